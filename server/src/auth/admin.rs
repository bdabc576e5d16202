//! Admin keys: the credentials with which a person deploys and looks into a deployment.
//!
//! A key is `name|opaque`. The opaque part is lower-case hexadecimal of a version byte, the key's id, its times of
//! issue and expiry, and a code. Times are seconds since 1970; zero is never. The code covers all of that and the
//! deployment's name, and is made with a key derived from the deployment secret. So keys need no storage, and a key
//! is revoked by its id. The version byte also says what a key may do: everything, or look only.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, Mac};
use serde_json::Value as Json;
use sha2::Sha256;
use vestibule_schema::identity::Identity;

use super::caller::Caller;
use super::private_file;
use super::revoked_keys::{RevokedKeys, RevokedKeysError};
use super::secret::{DeploymentSecret, NoRandomness, Secret};
use super::strict_json;
use crate::clock::UnixNanos;

/// Longest admin key that is looked at, without the attributes of a user to act as, in bytes.
pub const ADMIN_KEY_BYTES_MAX: usize = 1024;
/// Longest attributes of a user to act as, in their base64 form, in bytes.
pub const ACTING_AS_BYTES_MAX: usize = 16 * 1024;
/// Longest deployment name, in bytes.
pub const DEPLOYMENT_NAME_BYTES_MAX: usize = 64;

/// The first byte of a key that may do everything.
const VERSION_ALL: u8 = 1;
/// The first byte of a key that may only look.
const VERSION_READ_ONLY: u8 = 2;
/// The purpose of the code; no other use of the deployment secret makes the same one.
const PURPOSE: &str = "admin keys, version 1";
const ID_BYTES: usize = 8;
const TIME_BYTES: usize = 8;
const FIELDS_BYTES: usize = 1 + ID_BYTES + 2 * TIME_BYTES;
const CODE_BYTES: usize = 32;

/// Makes and checks the admin keys of one deployment.
pub struct AdminKeys {
    name: String,
    code_key: Secret<[u8; 32]>,
    revoked: RevokedKeys,
}

/// The rights of the holder of an admin key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdminRights {
    /// Everything.
    #[default]
    All,
    /// Run queries.
    ReadOnly,
}

/// Names one admin key without being it, for lists, logs and revocation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; ID_BYTES]);

/// A key just made. Nothing else remembers it.
pub struct MintedKey {
    pub id: KeyId,
    /// The whole key, as a person pastes it.
    pub text: Secret<String>,
}

/// Proof that an admin key was checked.
#[derive(Clone, Debug)]
pub struct VerifiedAdmin {
    key_id: KeyId,
    rights: AdminRights,
    expires_at: Option<UnixNanos>,
    acting_as: Option<Arc<Identity>>,
}

/// Why an admin key, or what came with it, is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminKeyError {
    #[error("The admin key is not one of this deployment.")]
    Invalid,
    #[error("The admin key has expired: make a new one.")]
    Expired,
    #[error("The admin key was revoked: make a new one.")]
    Revoked,
    #[error("Admin keys cannot be checked now: the list of revoked ones cannot be read.")]
    RevokedUnreadable,
    #[error("The user to act as cannot be read: {reason}")]
    ActingAs { reason: String },
    #[error("This needs an admin key of the deployment.")]
    NotAdmin,
}

/// A deployment name that no key could carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "The deployment name {0:?} is not made of 1 to {DEPLOYMENT_NAME_BYTES_MAX} letters, digits, hyphens and underscores."
)]
pub struct DeploymentNameError(pub String);

/// Why a deployment's admin keys cannot be checked at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenAdminKeysError {
    #[error(transparent)]
    Name(#[from] DeploymentNameError),
    #[error(transparent)]
    Revoked(#[from] RevokedKeysError),
}

/// A text that is not a key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("An admin key id is 16 lower-case hexadecimal digits.")]
pub struct KeyIdError;

/// The fields in the opaque part of a key.
struct Fields {
    rights: AdminRights,
    id: KeyId,
    issued_at_seconds: u64,
    /// Zero is never.
    expires_at_seconds: u64,
}

impl AdminKeyError {
    /// The code that clients see.
    pub fn code(&self) -> &'static str {
        match self {
            AdminKeyError::Invalid | AdminKeyError::Expired | AdminKeyError::Revoked => {
                "BadAdminKey"
            }
            AdminKeyError::RevokedUnreadable => "AdminKeysUnavailable",
            AdminKeyError::ActingAs { .. } => "HeaderParseFailure",
            AdminKeyError::NotAdmin => "BadDeployKey",
        }
    }
}

impl AdminKeys {
    /// The keys of the deployment `name`, without those that the list in its data directory revokes.
    pub fn open(
        name: &str,
        secret: &DeploymentSecret,
        data_directory: &Path,
    ) -> Result<AdminKeys, OpenAdminKeysError> {
        let keys = AdminKeys::new(name, secret, [])?;
        let revoked = RevokedKeys::open(data_directory)?;
        Ok(AdminKeys { revoked, ..keys })
    }

    /// The keys of the deployment `name`, without those of the ids in `revoked`.
    pub fn new(
        name: &str,
        secret: &DeploymentSecret,
        revoked: impl IntoIterator<Item = KeyId>,
    ) -> Result<AdminKeys, DeploymentNameError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=DEPLOYMENT_NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(is_allowed) {
            return Err(DeploymentNameError(name.to_owned()));
        }
        Ok(AdminKeys {
            name: name.to_owned(),
            code_key: secret.key_for(PURPOSE),
            revoked: RevokedKeys::of(revoked),
        })
    }

    /// The deployment's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes a key. Without a `lifetime` it works until it is revoked; with one, for that time in whole seconds.
    pub fn mint(
        &self,
        now: UnixNanos,
        lifetime: Option<Duration>,
    ) -> Result<MintedKey, NoRandomness> {
        self.mint_with(AdminRights::All, now, lifetime)
    }

    /// Makes a key as [`AdminKeys::mint`] does, whose holder may do what `rights` say.
    pub fn mint_with(
        &self,
        rights: AdminRights,
        now: UnixNanos,
        lifetime: Option<Duration>,
    ) -> Result<MintedKey, NoRandomness> {
        let id = KeyId(private_file::random()?);
        let fields = Fields {
            rights,
            id,
            issued_at_seconds: now.seconds(),
            expires_at_seconds: lifetime.map_or(0, |it| now.plus(it).seconds().max(1)),
        };
        let mut opaque = fields.to_bytes().to_vec();
        opaque.extend(self.code(&fields).finalize().into_bytes());
        let text = format!("{}|{}", self.name, HEXLOWER.encode(&opaque));
        Ok(MintedKey {
            id,
            text: Secret::new(text),
        })
    }

    /// Checks `key`, which may carry a deployment type in front and, after a `:`, the attributes of a user to act as.
    /// `acting_as` are such attributes from elsewhere; they win over those in the key.
    pub fn verify(
        &self,
        key: &str,
        acting_as: Option<&Json>,
        now: UnixNanos,
    ) -> Result<VerifiedAdmin, AdminKeyError> {
        if key.len() > ADMIN_KEY_BYTES_MAX + ACTING_AS_BYTES_MAX {
            return Err(AdminKeyError::Invalid);
        }
        let (name, secret_part) = key.split_once('|').ok_or(AdminKeyError::Invalid)?;
        let (opaque, suffix) = match secret_part.split_once(':') {
            Some((opaque, suffix)) => (opaque, Some(suffix)),
            None => (secret_part, None),
        };
        self.check_name(name)?;
        let mut admin = self.check_opaque(opaque, now)?;
        // Only now, so that a stranger's attributes are not even parsed.
        admin.acting_as = match (acting_as, suffix) {
            (Some(attributes), _) => Some(identity_to_act_as(attributes)?),
            (None, Some(suffix)) => Some(identity_to_act_as(&attributes_in(suffix)?)?),
            (None, None) => None,
        };
        Ok(admin)
    }

    /// Checks again that an admin's key has neither expired nor been revoked since.
    pub fn check_still_valid(
        &self,
        admin: &VerifiedAdmin,
        now: UnixNanos,
    ) -> Result<(), AdminKeyError> {
        if admin.expires_at.is_some_and(|end| now >= end) {
            return Err(AdminKeyError::Expired);
        }
        match self.revoked.contains(admin.key_id) {
            Ok(false) => Ok(()),
            Ok(true) => Err(AdminKeyError::Revoked),
            Err(error) => {
                tracing::error!(%error, "no admin key works");
                Err(AdminKeyError::RevokedUnreadable)
            }
        }
    }

    /// Refuses the key of this id from now on, over restarts too when the list has a file.
    pub fn revoke(&self, id: KeyId) -> Result<(), RevokedKeysError> {
        self.revoked.insert(id)
    }

    /// The ids refused, in ascending order.
    pub fn revoked(&self) -> Vec<KeyId> {
        self.revoked.ids()
    }

    /// The id of one of this deployment's keys, whether or not it still works.
    pub fn id_of(&self, key: &str) -> Result<KeyId, AdminKeyError> {
        let (name, secret_part) = key.split_once('|').ok_or(AdminKeyError::Invalid)?;
        self.check_name(name)?;
        let opaque = secret_part.split(':').next().unwrap_or_default();
        self.fields_of(opaque).map(|fields| fields.id)
    }

    /// `given` is what stands before the `|`: the name, perhaps after a deployment type. A preview or project key
    /// names no deployment, so its code alone decides, which covers the name.
    fn check_name(&self, given: &str) -> Result<(), AdminKeyError> {
        let (kind, name) = match given.split_once(':') {
            Some((kind, name)) => (kind, name),
            None => ("", given),
        };
        if name == self.name || matches!(kind, "preview" | "project") {
            Ok(())
        } else {
            Err(AdminKeyError::Invalid)
        }
    }

    fn check_opaque(&self, opaque: &str, now: UnixNanos) -> Result<VerifiedAdmin, AdminKeyError> {
        let fields = self.fields_of(opaque)?;
        let expires_at = fields.expires_at_seconds;
        let admin = VerifiedAdmin {
            key_id: fields.id,
            rights: fields.rights,
            expires_at: (expires_at != 0).then(|| UnixNanos::from_seconds(expires_at)),
            acting_as: None,
        };
        self.check_still_valid(&admin, now)?;
        Ok(admin)
    }

    /// The fields of a key of this deployment.
    fn fields_of(&self, opaque: &str) -> Result<Fields, AdminKeyError> {
        if opaque.len() != 2 * (FIELDS_BYTES + CODE_BYTES) {
            return Err(AdminKeyError::Invalid);
        }
        let bytes = HEXLOWER
            .decode(opaque.as_bytes())
            .map_err(|_| AdminKeyError::Invalid)?;
        let (fields, code) = bytes.split_at(FIELDS_BYTES);
        let fields = Fields::from_bytes(fields).ok_or(AdminKeyError::Invalid)?;
        // Compared in constant time.
        self.code(&fields)
            .verify_slice(code)
            .map_err(|_| AdminKeyError::Invalid)?;
        Ok(fields)
    }

    fn code(&self, fields: &Fields) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.code_key.expose())
            .expect("HMAC takes keys of any length");
        mac.update(&fields.to_bytes());
        mac.update(self.name.as_bytes());
        mac
    }
}

impl VerifiedAdmin {
    /// The id of the key.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The holder's rights.
    pub fn rights(&self) -> AdminRights {
        self.rights
    }

    /// When the key ends; none if it does not.
    pub fn expires_at(&self) -> Option<UnixNanos> {
        self.expires_at
    }

    /// The identity that the admin acts as.
    pub fn acting_as(&self) -> Option<&Arc<Identity>> {
        self.acting_as.as_ref()
    }

    /// The caller this admin is.
    pub fn caller(&self) -> Caller {
        Caller::admin_with(self.rights, self.acting_as.clone()).by_key(self.key_id)
    }
}

impl Fields {
    fn to_bytes(&self) -> [u8; FIELDS_BYTES] {
        let mut bytes = [0; FIELDS_BYTES];
        bytes[0] = match self.rights {
            AdminRights::All => VERSION_ALL,
            AdminRights::ReadOnly => VERSION_READ_ONLY,
        };
        bytes[1..9].copy_from_slice(&self.id.0);
        bytes[9..17].copy_from_slice(&self.issued_at_seconds.to_be_bytes());
        bytes[17..25].copy_from_slice(&self.expires_at_seconds.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Fields> {
        let (version, rest) = bytes.split_first()?;
        let (id, rest) = rest.split_first_chunk()?;
        let (issued_at, rest) = rest.split_first_chunk()?;
        let (expires_at, rest) = rest.split_first_chunk()?;
        let rights = match *version {
            VERSION_ALL => AdminRights::All,
            VERSION_READ_ONLY => AdminRights::ReadOnly,
            _ => return None,
        };
        rest.is_empty().then_some(Fields {
            rights,
            id: KeyId(*id),
            issued_at_seconds: u64::from_be_bytes(*issued_at),
            expires_at_seconds: u64::from_be_bytes(*expires_at),
        })
    }
}

fn attributes_in(suffix: &str) -> Result<Json, AdminKeyError> {
    let refused = |reason: &str| AdminKeyError::ActingAs {
        reason: reason.to_owned(),
    };
    let bytes = BASE64
        .decode(suffix.as_bytes())
        .map_err(|_| refused("what follows the key is not standard base64."))?;
    strict_json::parse_object(&bytes)
        .map(Json::Object)
        .map_err(|_| refused("it is not one JSON object with distinct keys."))
}

fn identity_to_act_as(attributes: &Json) -> Result<Arc<Identity>, AdminKeyError> {
    Identity::from_attributes_json(attributes)
        .map(Arc::new)
        .map_err(|error| AdminKeyError::ActingAs {
            reason: error.to_string(),
        })
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<KeyId, KeyIdError> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| KeyIdError)?;
        bytes.try_into().map(KeyId).map_err(|_| KeyIdError)
    }
}
