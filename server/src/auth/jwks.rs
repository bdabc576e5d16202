//! Key sets: which published keys are fit to verify a token, and which one a token means.
//!
//! Every doubtful key is left out when a set is loaded, so that no later code has to remember to look. Such keys are
//! too short, of a type or curve not used here, meant for encryption, or shared secrets.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Most keys of one set that are looked at; the rest is ignored.
pub const KEYS_MAX: usize = 100;
/// Shortest and longest RSA modulus, in bits.
const RSA_MODULUS_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// RSA public exponents lie below this.
const RSA_EXPONENT_END: u64 = 1 << 33;

/// The signature algorithms that tokens may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureAlgorithm {
    Rs256,
    Es256,
    EdDsa,
}

impl SignatureAlgorithm {
    fn library(self) -> jsonwebtoken::Algorithm {
        match self {
            SignatureAlgorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            SignatureAlgorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            SignatureAlgorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }

    /// Whether a key's `alg` means this algorithm.
    fn is_named(self, name: &str) -> bool {
        match self {
            SignatureAlgorithm::Rs256 => name == "RS256",
            SignatureAlgorithm::Es256 => name == "ES256",
            SignatureAlgorithm::EdDsa => name == "EdDSA" || name == "Ed25519",
        }
    }
}

/// The usable keys of a provider.
#[derive(Debug)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

/// One public key, which verifies one algorithm.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    algorithm: SignatureAlgorithm,
    key: DecodingKey,
}

/// A text that is not a key set.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeySetError {
    #[error("it is not a JWK Set, a JSON object with a list \"keys\": {0}")]
    NotKeySet(#[from] serde_json::Error),
}

/// Why no key, or no single key, fits a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyChoiceError {
    /// The set has no key of that id at all: a newer set may have one.
    UnknownId,
    /// There are keys, but none for the algorithm.
    NoneFits,
    /// More than one fits.
    Ambiguous,
}

#[derive(Deserialize)]
struct KeySetJson {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a JWK Set. A key that cannot be used is skipped with a warning; only a text that is no key set fails.
    pub fn parse(json: &[u8]) -> Result<KeySet, KeySetError> {
        let set: KeySetJson = serde_json::from_slice(json)?;
        if set.keys.len() > KEYS_MAX {
            let found = set.keys.len();
            tracing::warn!(
                found,
                "a key set has more than {KEYS_MAX} keys; the rest is ignored"
            );
        }
        let mut keys = Vec::new();
        for jwk in set.keys.iter().take(KEYS_MAX) {
            match Key::from_jwk(jwk) {
                Ok(key) => keys.push(key),
                Err(reason) => tracing::warn!(reason, "a key of a key set is ignored"),
            }
        }
        Ok(KeySet { keys })
    }

    /// The one key for a token of this `kid` and algorithm.
    pub fn choose(
        &self,
        id: Option<&str>,
        algorithm: SignatureAlgorithm,
    ) -> Result<&Key, KeyChoiceError> {
        if self.lacks(id) {
            return Err(KeyChoiceError::UnknownId);
        }
        let named = |key: &Key| id.is_none() || key.id.as_deref() == id;
        let fits = |key: &&Key| named(key) && key.algorithm == algorithm;
        let mut fitting = self.keys.iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (None, _) => Err(KeyChoiceError::NoneFits),
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => Err(KeyChoiceError::Ambiguous),
        }
    }

    /// Whether the set has no key of this id at all, so that a newer set may have it.
    pub fn lacks(&self, id: Option<&str>) -> bool {
        id.is_some() && !self.keys.iter().any(|key| key.id.as_deref() == id)
    }

    /// How many keys are usable.
    pub fn len(&self) -> usize {
        self.keys.len()
    }
}

impl Key {
    /// Whether `signature` (base64url) is this key's signature of `signed_text`.
    pub fn verifies(&self, signature: &str, signed_text: &str) -> bool {
        let message = signed_text.as_bytes();
        jsonwebtoken::crypto::verify(signature, message, &self.key, self.algorithm.library())
            .unwrap_or(false)
    }

    /// A key from its JSON, or why it is not used.
    fn from_jwk(jwk: &Value) -> Result<Key, &'static str> {
        let jwk = jwk.as_object().ok_or("it is not an object")?;
        check_purpose(jwk)?;
        let (algorithm, key) = match text(jwk, "kty")? {
            "RSA" => (SignatureAlgorithm::Rs256, rsa_key(jwk)?),
            "EC" => (SignatureAlgorithm::Es256, p256_key(jwk)?),
            "OKP" => (SignatureAlgorithm::EdDsa, ed25519_key(jwk)?),
            "oct" => {
                return Err("it is a shared secret, which anyone who verifies could sign with");
            }
            _ => return Err("its type is not used here"),
        };
        match jwk.get("alg") {
            None => {}
            Some(Value::String(name)) if algorithm.is_named(name) => {}
            Some(_) => return Err("its \"alg\" is not an algorithm used here for its type"),
        }
        let id = match jwk.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err("its \"kid\" is not a string"),
        };
        Ok(Key { id, algorithm, key })
    }
}

fn check_purpose(jwk: &Map<String, Value>) -> Result<(), &'static str> {
    if jwk.get("use").is_some_and(|purpose| purpose != "sig") {
        return Err("its \"use\" is not signing");
    }
    match jwk.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(operations)) if operations.iter().any(|op| op == "verify") => Ok(()),
        Some(_) => Err("its \"key_ops\" do not include verify"),
    }
}

fn rsa_key(jwk: &Map<String, Value>) -> Result<DecodingKey, &'static str> {
    let modulus = number(jwk, "n")?;
    let exponent = number(jwk, "e")?;
    let first = modulus.first().ok_or("its modulus is zero")?;
    let bits = modulus.len() * 8 - first.leading_zeros() as usize;
    if !RSA_MODULUS_BITS.contains(&bits) {
        return Err("its modulus is shorter than 2048 or longer than 8192 bits");
    }
    if modulus.last().is_some_and(|last| last % 2 == 0) {
        return Err("its modulus is even");
    }
    if exponent.len() > 8 {
        return Err("its exponent is too large");
    }
    let value = exponent
        .iter()
        .fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
    if value < 3 || value % 2 == 0 || value >= RSA_EXPONENT_END {
        return Err("its exponent is not an odd number from 3 to 2^33");
    }
    Ok(DecodingKey::from_rsa_raw_components(&modulus, &exponent))
}

fn p256_key(jwk: &Map<String, Value>) -> Result<DecodingKey, &'static str> {
    if text(jwk, "crv")? != "P-256" {
        return Err("its curve is not P-256");
    }
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != 32 || y.len() != 32 {
        return Err("its coordinates are not of 32 bytes");
    }
    let point = [&[4][..], &x, &y].concat();
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point)
        .map_err(|_| "its point is not on the curve")?;
    Ok(DecodingKey::from_ec_der(&point))
}

fn ed25519_key(jwk: &Map<String, Value>) -> Result<DecodingKey, &'static str> {
    if text(jwk, "crv")? != "Ed25519" {
        return Err("its curve is not Ed25519");
    }
    let point: [u8; 32] = bytes(jwk, "x")?
        .try_into()
        .map_err(|_| "its point is not of 32 bytes")?;
    if has_low_order(point) {
        return Err("its point has a low order, so that signatures without a secret would fit");
    }
    Ok(DecodingKey::from_ed_der(&point))
}

/// The seven y coordinates of the points of order 1, 2, 4 and 8 on the curve of Ed25519, in every encoding of 255 bits.
pub(super) const LOW_ORDER_Y: [[u8; 32]; 7] = [
    [0; 32],
    with_ends(1, 0, 0),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
    with_ends(0xec, 0xff, 0x7f),
    with_ends(0xed, 0xff, 0x7f),
    with_ends(0xee, 0xff, 0x7f),
];

const fn with_ends(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

fn has_low_order(mut point: [u8; 32]) -> bool {
    // The highest bit is the sign of x; both signs have the same order.
    point[31] &= 0x7f;
    LOW_ORDER_Y.contains(&point)
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, &'static str> {
    jwk.get(name)
        .and_then(Value::as_str)
        .ok_or("a field that its type needs is missing or not a string")
}

fn bytes(jwk: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, &'static str> {
    BASE64URL_NOPAD
        .decode(text(jwk, name)?.as_bytes())
        .map_err(|_| "a field of it is not unpadded base64url")
}

/// A big-endian number without leading zeros.
fn number(jwk: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, &'static str> {
    let bytes = bytes(jwk, name)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Ok(bytes[zeros..].to_vec())
}

#[cfg(test)]
mod tests;
