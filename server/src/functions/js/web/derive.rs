//! Keys from passwords (PBKDF2) and from other keys (HKDF).

use std::num::NonZeroU32;

use aws_lc_rs::{hkdf, pbkdf2};

use super::arguments::Arguments;
use super::digest::Hash;
use super::{Answer, HostError, HostValue, not_supported, operation_failed};

/// Most bytes that one call derives.
const DERIVED_BYTES_MAX: usize = 64 * 1024;
/// Most work of one call, in iterations over all blocks: about two seconds.
const ITERATIONS_MAX: u64 = 10_000_000;
const SMALLEST_BLOCK_BYTES: u64 = 20;

pub fn call(name: &str, arguments: &Arguments) -> Option<Answer> {
    let run = match name {
        "pbkdf2" => pbkdf2_bytes,
        "hkdf" => hkdf_bytes,
        _ => return None,
    };
    Some(run(arguments).map(HostValue::Bytes))
}

/// `(hash, password, salt, iterations, bytes)`
fn pbkdf2_bytes(arguments: &Arguments) -> Result<Vec<u8>, HostError> {
    let algorithm = match Hash::named(arguments.text(0)?)? {
        Hash::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
        Hash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        Hash::Sha384 => pbkdf2::PBKDF2_HMAC_SHA384,
        Hash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
    };
    let (password, salt) = (arguments.bytes(1)?, arguments.bytes(2)?);
    let iterations = NonZeroU32::new(arguments.count(3)?).ok_or_else(operation_failed)?;
    let mut derived = derived(arguments, 4)?;
    let blocks = (derived.len() as u64).div_ceil(SMALLEST_BLOCK_BYTES);
    if u64::from(iterations.get()) * blocks > ITERATIONS_MAX {
        return Err(not_supported("PBKDF2 with so many iterations"));
    }
    if !derived.is_empty() {
        pbkdf2::derive(algorithm, iterations, salt, password, &mut derived);
    }
    Ok(derived)
}

/// `(hash, key, salt, info, bytes)`
fn hkdf_bytes(arguments: &Arguments) -> Result<Vec<u8>, HostError> {
    let algorithm = match Hash::named(arguments.text(0)?)? {
        Hash::Sha1 => hkdf::HKDF_SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha256 => hkdf::HKDF_SHA256,
        Hash::Sha384 => hkdf::HKDF_SHA384,
        Hash::Sha512 => hkdf::HKDF_SHA512,
    };
    let (key, salt, info) = (
        arguments.bytes(1)?,
        arguments.bytes(2)?,
        arguments.bytes(3)?,
    );
    let mut derived = derived(arguments, 4)?;
    hkdf::Salt::new(algorithm, salt)
        .extract(key)
        .expand(&[info], Length(derived.len()))
        .and_then(|material| material.fill(&mut derived))
        .map_err(|_| operation_failed())?;
    Ok(derived)
}

/// A number of bytes, as HKDF asks for it.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derived(arguments: &Arguments, position: usize) -> Result<Vec<u8>, HostError> {
    let length = arguments.count(position)? as usize;
    if length > DERIVED_BYTES_MAX {
        return Err(operation_failed());
    }
    Ok(vec![0; length])
}
