//! Hashes and HMAC.

use aws_lc_rs::{digest, hmac};

use super::arguments::Arguments;
use super::{Answer, HostError, HostValue, not_supported};

/// A hash that `crypto.subtle` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    pub fn named(name: &str) -> Result<Hash, HostError> {
        match name {
            "SHA-1" => Ok(Hash::Sha1),
            "SHA-256" => Ok(Hash::Sha256),
            "SHA-384" => Ok(Hash::Sha384),
            "SHA-512" => Ok(Hash::Sha512),
            _ => Err(not_supported(format!("Unrecognized hash: {name}"))),
        }
    }

    pub fn digest(self) -> &'static digest::Algorithm {
        match self {
            Hash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha384 => &digest::SHA384,
            Hash::Sha512 => &digest::SHA512,
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha384 => hmac::HMAC_SHA384,
            Hash::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

pub fn call(name: &str, arguments: &Arguments) -> Option<Answer> {
    Some(match name {
        "digest" => digest(arguments),
        "hmac" => sign(arguments),
        "hmac_verify" => verify(arguments),
        _ => return None,
    })
}

/// `(hash, data)`
fn digest(arguments: &Arguments) -> Answer {
    let hash = Hash::named(arguments.text(0)?)?;
    let digest = digest::digest(hash.digest(), arguments.bytes(1)?);
    Ok(HostValue::Bytes(digest.as_ref().to_vec()))
}

/// `(hash, key, data)`
fn sign(arguments: &Arguments) -> Answer {
    let tag = hmac::sign(&key(arguments)?, arguments.bytes(2)?);
    Ok(HostValue::Bytes(tag.as_ref().to_vec()))
}

/// `(hash, key, data, signature)`
fn verify(arguments: &Arguments) -> Answer {
    let (data, signature) = (arguments.bytes(2)?, arguments.bytes(3)?);
    let is_valid = hmac::verify(&key(arguments)?, data, signature).is_ok();
    Ok(HostValue::Bool(is_valid))
}

fn key(arguments: &Arguments) -> Result<hmac::Key, HostError> {
    let hash = Hash::named(arguments.text(0)?)?;
    Ok(hmac::Key::new(hash.hmac(), arguments.bytes(1)?))
}
