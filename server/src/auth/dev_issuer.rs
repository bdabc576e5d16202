//! The development issuer: signs in every client that asks, on the developer's own machine.
//!
//! It is an ordinary OpenID Connect issuer with one Ed25519 key, so its tokens take the same road as those of a real
//! provider. The guards against production use are here too: it refuses to start beside a provider on another machine,
//! or on an address that others reach. It answers no page of another host and no request through a proxy.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use url::Url;

use super::config::{AuthConfigError, ProviderConfig};
use super::issuer::is_loopback_url;
use super::private_file;
use super::secret::SecretFileError;
use crate::clock::UnixNanos;

/// The file of its key in the data directory.
pub const DEV_ISSUER_KEY_FILE: &str = "dev-issuer-key";
/// Lifetime of a token that is asked for without one, in seconds.
pub const DEV_TOKEN_SECONDS_DEFAULT: u64 = 3_600;
/// Longest lifetime of a token, in seconds.
pub const DEV_TOKEN_SECONDS_MAX: u64 = 86_400;
/// Longest subject, name or e-mail, in bytes.
pub const DEV_FIELD_BYTES_MAX: usize = 1_024;
/// Where its key set is, below the issuer.
pub const DEV_JWKS_PATH: &str = "/.well-known/jwks.json";

/// The built-in issuer for development and tests.
pub struct DevIssuer {
    issuer: String,
    application_id: String,
    key_id: String,
    public_key: String,
    signing_key: EncodingKey,
}

/// The user a development token is for: the body of `POST /dev/token`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenRequest {
    /// The `sub` claim, which tells users apart.
    pub subject: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub email: Option<String>,
    /// Lifetime in seconds, from 1 to a day; an hour without it.
    #[serde(default)]
    pub expires_in_seconds: Option<u64>,
}

/// The answer of `POST /dev/token`.
#[derive(Clone, Serialize)]
pub struct TokenResponse {
    pub token: String,
}

/// Why the development issuer makes no token, or does not start.
#[derive(Debug, thiserror::Error)]
pub enum DevIssuerError {
    #[error("{field} must be from 1 to {DEV_FIELD_BYTES_MAX} bytes of text without NUL.")]
    Field { field: &'static str },
    #[error("expiresInSeconds must be from 1 to {DEV_TOKEN_SECONDS_MAX}.")]
    Lifetime,
    #[error(transparent)]
    KeyFile(#[from] SecretFileError),
    #[error("The development issuer's key cannot sign: {0}")]
    Key(String),
}

/// Why the development issuer may not run or answer here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DevRefused {
    #[error(
        "Development mode signs in anyone who asks, so it listens on a loopback address only, and {0} is not one."
    )]
    Address(SocketAddr),
    #[error(
        "Development mode signs in anyone who asks, so it does not run beside the auth provider {0}: remove one of the two."
    )]
    Provider(String),
    #[error(
        "Development mode signs in anyone who asks, so it does not run behind a proxy: remove --trusted-proxy or development mode."
    )]
    Proxy,
    #[error(
        "The development issuer answers only programs and pages of this machine, and nobody through a proxy."
    )]
    Forwarded,
    #[error(
        "The development issuer answers only requests to this machine by a loopback name or address."
    )]
    Host,
    #[error("The development issuer answers no page of another origin.")]
    Origin,
}

/// Refuses development mode where it would let strangers in: on an address that others reach, or beside a provider
/// whose users are real.
pub fn check_dev_allowed(
    listen_address: SocketAddr,
    other_providers: &[ProviderConfig],
) -> Result<(), DevRefused> {
    if !listen_address.ip().to_canonical().is_loopback() {
        return Err(DevRefused::Address(listen_address));
    }
    match other_providers
        .iter()
        .find(|provider| !provider.is_loopback())
    {
        Some(provider) => Err(DevRefused::Provider(provider.issuer().to_owned())),
        None => Ok(()),
    }
}

/// Headers that a proxy adds, or those whose names begin with one of the second list.
const PROXY_HEADERS: [&str; 7] = [
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "x-original-host",
];
const PROXY_HEADER_PREFIXES: [&str; 5] = ["x-forwarded", "cf-", "x-envoy-", "x-amzn-", "fly-"];

/// Refuses a request that did not come straight from a program of this machine. A proxy on this machine connects from
/// here too, so whatever a proxy adds to a request is refused.
pub fn check_dev_peer<'h>(
    peer: Option<IpAddr>,
    mut header_names: impl Iterator<Item = &'h str>,
) -> Result<(), DevRefused> {
    let is_here = peer.is_some_and(|peer| peer.to_canonical().is_loopback());
    let is_proxys = |name: &str| {
        let begins = |prefix: &&str| name.starts_with(*prefix);
        PROXY_HEADERS.contains(&name) || PROXY_HEADER_PREFIXES.iter().any(begins)
    };
    match is_here && !header_names.any(is_proxys) {
        true => Ok(()),
        false => Err(DevRefused::Forwarded),
    }
}

/// Refuses a request for a token that a foreign page may have sent. `host` and `origin` are the headers of those names.
/// The host must be loopback, so that no other party's name resolves to here, and so must the origin if there is one.
pub fn check_dev_origin(host: Option<&str>, origin: Option<&str>) -> Result<(), DevRefused> {
    let host_is_loopback =
        host.is_some_and(|host| is_loopback_host(&format!("http://{host}/"), host));
    if !host_is_loopback {
        return Err(DevRefused::Host);
    }
    match origin {
        None => Ok(()),
        Some(origin) if is_loopback_origin(origin) => Ok(()),
        Some(_) => Err(DevRefused::Origin),
    }
}

fn is_loopback_origin(origin: &str) -> bool {
    let host = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    host.is_some_and(|host| is_loopback_host(origin, host))
}

/// `host` is a name or address with perhaps a port and nothing else, and `url` is it as a URL.
fn is_loopback_host(url: &str, host: &str) -> bool {
    let is_plain = host.bytes().all(|byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']')
    });
    is_plain && Url::parse(url).is_ok_and(|url| is_loopback_url(&url))
}

impl DevIssuer {
    /// The issuer `issuer` (an `http` address on this machine, without a slash at the end) for tokens of
    /// `application_id`. Its key is kept in `data_directory`, so tokens outlive a restart.
    pub fn open(
        data_directory: &Path,
        issuer: &str,
        application_id: &str,
    ) -> Result<DevIssuer, DevIssuerError> {
        let seed = private_file::load_or_create(&data_directory.join(DEV_ISSUER_KEY_FILE))?;
        let broken = |error: &dyn std::fmt::Display| DevIssuerError::Key(error.to_string());
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|error| broken(&error))?;
        let document = pair.to_pkcs8().map_err(|error| broken(&error))?;
        let public_key = pair.public_key().as_ref();
        Ok(DevIssuer {
            issuer: issuer.to_owned(),
            application_id: application_id.to_owned(),
            key_id: HEXLOWER.encode(&Sha256::digest(public_key)[..8]),
            public_key: BASE64URL_NOPAD.encode(public_key),
            signing_key: EncodingKey::from_ed_der(document.as_ref()),
        })
    }

    /// The provider that admits its tokens, with its key at hand: the server need not fetch from itself.
    pub fn provider(&self) -> Result<ProviderConfig, AuthConfigError> {
        let jwks = self.jwks_json().to_string();
        ProviderConfig::oidc_with_keys(&self.issuer, &self.application_id, &jwks)
    }

    /// Its name in tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The discovery document, served at `/.well-known/openid-configuration` below the issuer.
    pub fn discovery_json(&self) -> serde_json::Value {
        json!({
            "issuer": self.issuer,
            "jwks_uri": format!("{}{DEV_JWKS_PATH}", self.issuer),
            // Required by the standard; there is no page to sign in at, tokens are asked for directly.
            "authorization_endpoint": format!("{}/dev/token", self.issuer),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["EdDSA"],
        })
    }

    /// The key set, served at [`DEV_JWKS_PATH`] below the issuer.
    pub fn jwks_json(&self) -> serde_json::Value {
        json!({
            "keys": [{
                "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
                "kid": self.key_id, "x": self.public_key,
            }]
        })
    }

    /// A token for the requested user, valid from `now` on.
    pub fn mint(&self, request: &TokenRequest, now: UnixNanos) -> Result<String, DevIssuerError> {
        check_field("subject", Some(&request.subject))?;
        check_field("name", request.name.as_deref())?;
        check_field("email", request.email.as_deref())?;
        let lifetime = request
            .expires_in_seconds
            .unwrap_or(DEV_TOKEN_SECONDS_DEFAULT);
        if !(1..=DEV_TOKEN_SECONDS_MAX).contains(&lifetime) {
            return Err(DevIssuerError::Lifetime);
        }
        let issued_at = now.seconds();
        let claims = Claims {
            iss: &self.issuer,
            sub: &request.subject,
            aud: &self.application_id,
            iat: issued_at,
            nbf: issued_at,
            exp: issued_at.saturating_add(lifetime),
            jti: uuid::Uuid::new_v4().to_string(),
            name: request.name.as_deref(),
            email: request.email.as_deref(),
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.key_id.clone());
        jsonwebtoken::encode(&header, &claims, &self.signing_key)
            .map_err(|error| DevIssuerError::Key(error.to_string()))
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: u64,
    nbf: u64,
    exp: u64,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
}

fn check_field(field: &'static str, value: Option<&str>) -> Result<(), DevIssuerError> {
    let is_fine =
        |text: &str| (1..=DEV_FIELD_BYTES_MAX).contains(&text.len()) && !text.contains('\0');
    if value.is_none_or(is_fine) {
        Ok(())
    } else {
        Err(DevIssuerError::Field { field })
    }
}
