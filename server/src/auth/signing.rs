//! Tokens that the deployment signs for its functions, and the keys that others check them with.
//!
//! The key pairs are documents of `_signing_keys`. The first signature makes the first pair, in the transaction that
//! asks for it. Private keys are sealed under the deployment's secret, so a copy of the database alone signs nothing.
//! Under another secret, a new pair is made, and the old public keys stay published.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};
use vestibule_schema::object;
use vestibule_schema::value::{Object, Value};

use super::secret::Secret;
use crate::database::{DatabaseError, Order, Query, Transaction};

const TABLE: &str = "_signing_keys";
/// Keys that are looked at, the newest first: one for each secret that the deployment ever had.
const KEYS_LOOKED_AT_MAX: usize = 32;
/// Longest lifetime of a token, in seconds.
pub const SIGNED_TOKEN_SECONDS_MAX: u64 = 3_600;
/// Claims that the deployment sets, or that would move a token's time.
const OWN_CLAIMS: [&str; 4] = ["iss", "iat", "exp", "nbf"];
/// Names that are kept for the deployment, in any case of their letters.
const OWN_PREFIXES: [&str; 2] = ["convex", "cvx"];
const NONCE_BYTES: usize = 12;
/// An elliptic point's coordinates follow a byte that says that both are there.
const COORDINATE_BYTES: usize = 32;

/// Signs tokens for functions.
pub struct TokenSigner {
    sealing_key: Secret<[u8; 32]>,
}

/// Why no token was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error("The '{0}' claim is set by Convex and can't be provided")]
    OwnClaim(String),
    #[error(
        "The '{0}' claim can't be provided: names that start with 'convex' or 'cvx' are reserved"
    )]
    OwnPrefix(String),
    #[error("The 'aud' claim is required. Set it to the audience that verifies the token.")]
    NoAudience,
    #[error("The '{0}' claim must be a non-empty string")]
    NotText(&'static str),
    #[error("expiresInSeconds must be between 1 second and 3600 seconds")]
    Lifetime,
    #[error("The deployment's signing key cannot be used.")]
    Key,
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl TokenSigner {
    /// A signer whose private keys are sealed under `sealing_key`.
    pub fn new(sealing_key: Secret<[u8; 32]>) -> TokenSigner {
        TokenSigner { sealing_key }
    }

    /// Signs a token of `issuer` that holds `claims` for so many seconds from the transaction's time on.
    pub fn sign(
        &self,
        tx: &mut Transaction<'_>,
        issuer: &str,
        claims: Map<String, Json>,
        expires_in_seconds: f64,
    ) -> Result<String, SignError> {
        check_claims(&claims)?;
        let seconds = 1.0..=SIGNED_TOKEN_SECONDS_MAX as f64;
        if !seconds.contains(&expires_in_seconds) {
            return Err(SignError::Lifetime);
        }
        let key = self.key(tx)?;
        let now_seconds = tx.now().0 as f64 / 1e9;
        let mut payload = claims;
        payload.insert("iss".into(), issuer.into());
        payload.insert("iat".into(), (now_seconds as u64).into());
        let expires = now_seconds + expires_in_seconds;
        payload.insert("exp".into(), (expires as u64).into());
        if !payload.contains_key("jti") {
            payload.insert("jti".into(), uuid::Uuid::new_v4().to_string().into());
        }
        let public = PublicKey::of(&key);
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": public.thumbprint()});
        let encoded = |json: String| BASE64URL_NOPAD.encode(json.as_bytes());
        let payload = encoded(Json::Object(payload).to_string());
        let signed = format!("{}.{payload}", encoded(header.to_string()));
        let signature = key.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.map_err(|_| SignError::Key)?;
        Ok(format!(
            "{signed}.{}",
            BASE64URL_NOPAD.encode(signature.as_ref())
        ))
    }

    /// The newest key pair that the secret opens, or a new one.
    fn key(&self, tx: &mut Transaction<'_>) -> Result<EcdsaKeyPair, SignError> {
        for fields in stored_keys(tx)? {
            if let Some(key) = self.open(&fields) {
                return Ok(key);
            }
        }
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let key = key.map_err(|_| SignError::Key)?;
        let fields = self.sealed(&key)?;
        tx.uncharged(|tx| tx.insert(TABLE, fields))?;
        Ok(key)
    }

    fn sealed(&self, key: &EcdsaKeyPair) -> Result<Object, SignError> {
        let mut sealed = key
            .to_pkcs8v1()
            .map_err(|_| SignError::Key)?
            .as_ref()
            .to_vec();
        let cipher = self.cipher().ok_or(SignError::Key)?;
        let nonce = cipher.seal_in_place_append_tag(Aad::empty(), &mut sealed);
        let nonce = nonce.map_err(|_| SignError::Key)?;
        let sealed = [nonce.as_ref().as_slice(), &sealed].concat();
        let PublicKey { x, y } = PublicKey::of(key);
        Ok(object! { "x" => x, "y" => y, "sealed" => Value::Bytes(sealed) })
    }

    fn open(&self, fields: &Object) -> Option<EcdsaKeyPair> {
        let Some(Value::Bytes(sealed)) = fields.get("sealed") else {
            return None;
        };
        let (nonce, sealed) = sealed.split_at_checked(NONCE_BYTES)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut opened = sealed.to_vec();
        let cipher = self.cipher()?;
        let opened = cipher
            .open_in_place(nonce, Aad::empty(), &mut opened)
            .ok()?;
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, opened).ok()
    }

    fn cipher(&self) -> Option<RandomizedNonceKey> {
        RandomizedNonceKey::new(&AES_256_GCM, self.sealing_key.expose()).ok()
    }
}

/// The JSON Web Keys of all key pairs, as members of a set.
pub fn public_keys(tx: &mut Transaction<'_>) -> Result<Vec<Json>, DatabaseError> {
    let keys = stored_keys(tx)?;
    let keys = keys.iter().filter_map(PublicKey::stored);
    Ok(keys.map(|key| key.to_jwk()).collect())
}

/// The stored key pairs, the newest first.
fn stored_keys(tx: &mut Transaction<'_>) -> Result<Vec<Object>, DatabaseError> {
    let query = Query {
        order: Order::Desc,
        ..Query::table(TABLE)
    };
    let stored = tx.uncharged(|tx| tx.take(&query, KEYS_LOOKED_AT_MAX))?;
    Ok(stored.into_iter().map(|document| document.fields).collect())
}

/// The coordinates of a public key in base64url.
struct PublicKey {
    x: String,
    y: String,
}

impl PublicKey {
    fn of(key: &EcdsaKeyPair) -> PublicKey {
        let point = &key.public_key().as_ref()[1..];
        let (x, y) = point.split_at(COORDINATE_BYTES);
        PublicKey {
            x: BASE64URL_NOPAD.encode(x),
            y: BASE64URL_NOPAD.encode(y),
        }
    }

    fn stored(fields: &Object) -> Option<PublicKey> {
        let text = |name| match fields.get(name) {
            Some(Value::String(text)) => Some(text.to_string()),
            _ => None,
        };
        Some(PublicKey {
            x: text("x")?,
            y: text("y")?,
        })
    }

    /// The key's name: the hash of its members in their order, as RFC 7638 has it.
    fn thumbprint(&self) -> String {
        let PublicKey { x, y } = self;
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        BASE64URL_NOPAD.encode(&Sha256::digest(members))
    }

    fn to_jwk(&self) -> Json {
        json!({
            "kty": "EC",
            "crv": "P-256",
            "x": self.x,
            "y": self.y,
            "kid": self.thumbprint(),
            "alg": "ES256",
            "use": "sig",
        })
    }
}

fn check_claims(claims: &Map<String, Json>) -> Result<(), SignError> {
    for name in claims.keys() {
        if OWN_CLAIMS.contains(&name.as_str()) {
            return Err(SignError::OwnClaim(name.clone()));
        }
        let lower = name.to_lowercase();
        if OWN_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
            return Err(SignError::OwnPrefix(name.clone()));
        }
    }
    let is_text = |json: &Json| json.as_str().is_some_and(|text| !text.is_empty());
    let is_audience = |json: &Json| match json {
        Json::Array(all) => !all.is_empty() && all.iter().all(is_text),
        one => is_text(one),
    };
    if !claims.get("aud").is_some_and(is_audience) {
        return Err(SignError::NoAudience);
    }
    for name in ["sub", "jti"] {
        if claims.get(name).is_some_and(|claim| !is_text(claim)) {
            return Err(SignError::NotText(name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(claims: Json) -> String {
        let claims = claims.as_object().unwrap();
        check_claims(claims).unwrap_err().to_string()
    }

    #[test]
    fn claims_of_the_deployments_own_are_refused_by_name() {
        for name in ["iss", "iat", "exp", "nbf"] {
            let text = format!("The '{name}' claim is set by Convex and can't be provided");
            assert_eq!(refused(json!({"aud": "a", name: 1})), text);
        }
        for name in ["convex", "CvxRole", "ConvexThing"] {
            assert!(refused(json!({"aud": "a", name: 1})).contains(name));
        }
    }

    #[test]
    fn an_audience_is_text_or_a_list_of_it() {
        for aud in [
            json!(""),
            json!([]),
            json!(["a", ""]),
            json!(1),
            json!(null),
        ] {
            assert!(refused(json!({ "aud": aud })).starts_with("The 'aud' claim is required."));
        }
        for aud in [json!("a"), json!(["a", "b"])] {
            assert!(check_claims(json!({ "aud": aud }).as_object().unwrap()).is_ok());
        }
        assert!(refused(json!({"aud": "a", "sub": ""})).contains("'sub'"));
        assert!(refused(json!({"aud": "a", "jti": 5})).contains("'jti'"));
    }

    #[test]
    fn another_secret_does_not_open_a_sealed_key() {
        let signer = |byte| TokenSigner::new(Secret::new([byte; 32]));
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let fields = signer(1).sealed(&key).unwrap();
        let opened = signer(1).open(&fields).expect("the same secret opens it");
        assert_eq!(opened.public_key().as_ref(), key.public_key().as_ref());
        assert!(signer(2).open(&fields).is_none());
    }
}
