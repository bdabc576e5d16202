//! AES in the modes of `crypto.subtle`.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptionContext, EncryptingKey, EncryptionContext,
    PaddedBlockDecryptingKey, PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;

use super::arguments::Arguments;
use super::{Answer, HostError, HostValue, bad_key, not_supported, operation_failed};

const BLOCK_BYTES: usize = 16;
const GCM_IV_BYTES: usize = 12;

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

/// `(key, iv, data, additional data?)`: the text and a tag of 16 bytes.
fn gcm_encrypt(arguments: &Arguments) -> Result<Vec<u8>, HostError> {
    let (key, nonce) = gcm_key(arguments)?;
    let mut data = arguments.bytes(2)?.to_vec();
    let additional = Aad::from(arguments.bytes_if_any(3)?);
    key.seal_in_place_append_tag(nonce, additional, &mut data)
        .map_err(|_| operation_failed())?;
    Ok(data)
}

/// `(key, iv, data with tag, additional data?)`
fn gcm_decrypt(arguments: &Arguments) -> Result<Vec<u8>, HostError> {
    let (key, nonce) = gcm_key(arguments)?;
    let mut data = arguments.bytes(2)?.to_vec();
    let additional = Aad::from(arguments.bytes_if_any(3)?);
    let length = key
        .open_in_place(nonce, additional, &mut data)
        .map_err(|_| operation_failed())?
        .len();
    data.truncate(length);
    Ok(data)
}

fn gcm_key(arguments: &Arguments) -> Result<(LessSafeKey, Nonce), HostError> {
    let (key, iv) = (arguments.bytes(0)?, arguments.bytes(1)?);
    let algorithm = match key.len() {
        16 => &aead::AES_128_GCM,
        24 => &aead::AES_192_GCM,
        32 => &aead::AES_256_GCM,
        _ => return Err(bad_key()),
    };
    let nonce = Nonce::try_assume_unique_for_key(iv)
        .map_err(|_| not_supported(format!("AES-GCM needs an iv of {GCM_IV_BYTES} bytes here")))?;
    let key = UnboundKey::new(algorithm, key).map_err(|_| bad_key())?;
    Ok((LessSafeKey::new(key), nonce))
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
    let mut data = arguments.bytes(2)?.to_vec();
    let blocks = data.len().div_ceil(BLOCK_BYTES) as u128;
    // The cipher counts in all 128 bits, which is the same unless the counter's own bits wrap.
    if blocks > blocks_before_wrap(counter, bits)? {
        return Err(not_supported("An AES-CTR counter must not wrap here"));
    }
    let context = EncryptionContext::Iv128(iv(arguments)?);
    EncryptingKey::ctr(key(arguments)?)
        .and_then(|key| key.less_safe_encrypt(&mut data, context))
        .map_err(|_| operation_failed())?;
    Ok(data)
}

fn blocks_before_wrap(counter: &[u8], bits: u32) -> Result<u128, HostError> {
    let counter: [u8; BLOCK_BYTES] = counter.try_into().map_err(|_| operation_failed())?;
    let counter = u128::from_be_bytes(counter);
    match bits {
        1..=127 => {
            let limit = 1 << bits;
            Ok(limit - (counter & (limit - 1)))
        }
        128 => Ok(u128::MAX - counter),
        _ => Err(operation_failed()),
    }
}

fn iv(arguments: &Arguments) -> Result<FixedLength<BLOCK_BYTES>, HostError> {
    FixedLength::try_from(arguments.bytes(1)?).map_err(|_| operation_failed())
}

fn key(arguments: &Arguments) -> Result<UnboundCipherKey, HostError> {
    let key = arguments.bytes(0)?;
    let algorithm: &'static Algorithm = match key.len() {
        16 => &AES_128,
        24 => &AES_192,
        32 => &AES_256,
        _ => return Err(bad_key()),
    };
    UnboundCipherKey::new(algorithm, key).map_err(|_| bad_key())
}
