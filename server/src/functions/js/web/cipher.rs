//! AES in the modes of `crypto.subtle`.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptionContext, EncryptingKey, EncryptionContext,
    PaddedBlockDecryptingKey, PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;

use super::arguments::Arguments;
use super::{Answer, HostError, HostValue, bad_key, gcm, operation_failed};

pub const BLOCK_BYTES: usize = 16;
/// The length of a tag that the library offers.
const GCM_TAG_BYTES: usize = 16;

pub fn call(name: &str, arguments: &Arguments) -> Option<Answer> {
    let run = match name {
        "aes_gcm_encrypt" => gcm_encrypt,
        "aes_gcm_decrypt" => gcm_decrypt,
        "aes_cbc_encrypt" => cbc_encrypt,
        "aes_cbc_decrypt" => cbc_decrypt,
        "aes_ctr" => ctr,
        _ => return None,
    };
    Some(run(arguments).map(HostValue::Bytes))
}

/// `(key, iv, data, additional data?, bytes of the tag)`: the encrypted data and the tag.
fn gcm_encrypt(arguments: &Arguments) -> Result<Vec<u8>, HostError> {
    let (data, additional) = (arguments.bytes(2)?, arguments.bytes_if_any(3)?);
    let Some((key, nonce)) = gcm_key(arguments)? else {
        let (key, iv) = (arguments.bytes(0)?, arguments.bytes(1)?);
        return gcm::encrypt(key, iv, additional, data, tag_bytes(arguments)?);
    };
    let mut data = data.to_vec();
    key.seal_in_place_append_tag(nonce, Aad::from(additional), &mut data)
        .map_err(|_| operation_failed())?;
    Ok(data)
}

/// `(key, iv, data with tag, additional data?, bytes of the tag)`
fn gcm_decrypt(arguments: &Arguments) -> Result<Vec<u8>, HostError> {
    let (data, additional) = (arguments.bytes(2)?, arguments.bytes_if_any(3)?);
    let Some((key, nonce)) = gcm_key(arguments)? else {
        let (key, iv) = (arguments.bytes(0)?, arguments.bytes(1)?);
        return gcm::decrypt(key, iv, additional, data, tag_bytes(arguments)?);
    };
    let mut data = data.to_vec();
    let length = key
        .open_in_place(nonce, Aad::from(additional), &mut data)
        .map_err(|_| operation_failed())?
        .len();
    data.truncate(length);
    Ok(data)
}

fn tag_bytes(arguments: &Arguments) -> Result<usize, HostError> {
    let bytes = arguments.count(4)? as usize;
    let is_short = bytes <= GCM_TAG_BYTES;
    is_short.then_some(bytes).ok_or_else(operation_failed)
}

/// `None` for lengths that the library does not offer.
fn gcm_key(arguments: &Arguments) -> Result<Option<(LessSafeKey, Nonce)>, HostError> {
    let (key, iv) = (arguments.bytes(0)?, arguments.bytes(1)?);
    let algorithm = match key.len() {
        16 => &aead::AES_128_GCM,
        24 => &aead::AES_192_GCM,
        32 => &aead::AES_256_GCM,
        _ => return Err(bad_key()),
    };
    let nonce = match Nonce::try_assume_unique_for_key(iv) {
        Ok(nonce) if tag_bytes(arguments)? == GCM_TAG_BYTES => nonce,
        Ok(_) | Err(_) => return Ok(None),
    };
    let key = UnboundKey::new(algorithm, key).map_err(|_| bad_key())?;
    Ok(Some((LessSafeKey::new(key), nonce)))
}

/// `(key, iv, data)`
fn cbc_encrypt(arguments: &Arguments) -> Result<Vec<u8>, HostError> {
    let mut data = arguments.bytes(2)?.to_vec();
    let context = EncryptionContext::Iv128(iv(arguments)?);
    PaddedBlockEncryptingKey::cbc_pkcs7(key(arguments)?)
        .and_then(|key| key.less_safe_encrypt(&mut data, context))
        .map_err(|_| operation_failed())?;
    Ok(data)
}

/// `(key, iv, data)`
fn cbc_decrypt(arguments: &Arguments) -> Result<Vec<u8>, HostError> {
    let mut data = arguments.bytes(2)?.to_vec();
    let context = DecryptionContext::Iv128(iv(arguments)?);
    let key =
        PaddedBlockDecryptingKey::cbc_pkcs7(key(arguments)?).map_err(|_| operation_failed())?;
    let length = key
        .decrypt(&mut data, context)
        .map_err(|_| operation_failed())?
        .len();
    data.truncate(length);
    Ok(data)
}

/// `(key, counter, data, counter's bits)`: both directions are the same.
fn ctr(arguments: &Arguments) -> Result<Vec<u8>, HostError> {
    let (counter, bits) = (arguments.bytes(1)?, arguments.count(3)?);
    let counter: [u8; BLOCK_BYTES] = counter.try_into().map_err(|_| operation_failed())?;
    let mut data = arguments.bytes(2)?.to_vec();
    let counter = u128::from_be_bytes(counter);
    count(arguments.bytes(0)?, counter, bits, &mut data)?;
    Ok(data)
}

/// Encrypts, or decrypts, with a counter that begins at `counter` and of which the last `bits` bits count.
pub fn count(key: &[u8], counter: u128, bits: u32, data: &mut [u8]) -> Result<(), HostError> {
    let blocks = data.len().div_ceil(BLOCK_BYTES) as u128;
    let counts = match bits {
        1..=127 => (1 << bits) - 1,
        128 => u128::MAX,
        _ => return Err(operation_failed()),
    };
    // No block of the counter may come twice.
    if blocks.saturating_sub(1) > counts {
        return Err(operation_failed());
    }
    // The library's cipher counts in all bits, so what comes after the last count has a run of its own.
    let blocks_left = (counts - (counter & counts)).saturating_add(1);
    let first = blocks_left.min(blocks) as usize * BLOCK_BYTES;
    let (first, rest) = data.split_at_mut(first.min(data.len()));
    count_on(key, counter, first)?;
    match rest.is_empty() {
        true => Ok(()),
        false => count_on(key, counter & !counts, rest),
    }
}

fn count_on(key: &[u8], counter: u128, data: &mut [u8]) -> Result<(), HostError> {
    let iv = FixedLength::from(counter.to_be_bytes());
    EncryptingKey::ctr(cipher_key(key)?)
        .and_then(|key| key.less_safe_encrypt(data, EncryptionContext::Iv128(iv)))
        .map_err(|_| operation_failed())?;
    Ok(())
}

fn iv(arguments: &Arguments) -> Result<FixedLength<BLOCK_BYTES>, HostError> {
    FixedLength::try_from(arguments.bytes(1)?).map_err(|_| operation_failed())
}

fn key(arguments: &Arguments) -> Result<UnboundCipherKey, HostError> {
    cipher_key(arguments.bytes(0)?)
}

fn cipher_key(key: &[u8]) -> Result<UnboundCipherKey, HostError> {
    let algorithm: &'static Algorithm = match key.len() {
        16 => &AES_128,
        24 => &AES_192,
        32 => &AES_256,
        _ => return Err(bad_key()),
    };
    UnboundCipherKey::new(algorithm, key).map_err(|_| bad_key())
}
