//! RSA-OAEP.

use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512,
    OaepAlgorithm, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};

use super::arguments::Arguments;
use super::digest::Hash;
use super::keys::export_as;
use super::{Answer, HostError, HostValue, bad_key, operation_failed};

pub fn call(name: &str, arguments: &Arguments) -> Option<Answer> {
    let run = match name {
        "oaep_encrypt" => encrypt,
        "oaep_decrypt" => decrypt,
        _ => return None,
    };
    Some(run(arguments).map(HostValue::Bytes))
}

/// `(hash, public key, label, data)`
fn encrypt(arguments: &Arguments) -> Result<Vec<u8>, HostError> {
    let key = PublicEncryptingKey::from_der(&export_as("spki", arguments.bytes(1)?)?)
        .map_err(|_| bad_key())?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| operation_failed())?;
    let mut encrypted = vec![0; key.ciphertext_size()];
    let (label, data) = (label(arguments)?, arguments.bytes(3)?);
    let length = key
        .encrypt(algorithm(arguments)?, data, &mut encrypted, label)
        .map_err(|_| operation_failed())?
        .len();
    encrypted.truncate(length);
    Ok(encrypted)
}

/// `(hash, private key, label, data)`
fn decrypt(arguments: &Arguments) -> Result<Vec<u8>, HostError> {
    let key = PrivateDecryptingKey::from_pkcs8(&export_as("pkcs8", arguments.bytes(1)?)?)
        .map_err(|_| bad_key())?;
    let key = OaepPrivateDecryptingKey::new(key).map_err(|_| operation_failed())?;
    let mut decrypted = vec![0; key.min_output_size()];
    let (label, data) = (label(arguments)?, arguments.bytes(3)?);
    let length = key
        .decrypt(algorithm(arguments)?, data, &mut decrypted, label)
        .map_err(|_| operation_failed())?
        .len();
    decrypted.truncate(length);
    Ok(decrypted)
}

fn label<'a>(arguments: &Arguments<'a>) -> Result<Option<&'a [u8]>, HostError> {
    let label = arguments.bytes_if_any(2)?;
    Ok((!label.is_empty()).then_some(label))
}

fn algorithm(arguments: &Arguments) -> Result<&'static OaepAlgorithm, HostError> {
    Ok(match Hash::named(arguments.text(0)?)? {
        Hash::Sha1 => &OAEP_SHA1_MGF1SHA1,
        Hash::Sha256 => &OAEP_SHA256_MGF1SHA256,
        Hash::Sha384 => &OAEP_SHA384_MGF1SHA384,
        Hash::Sha512 => &OAEP_SHA512_MGF1SHA512,
    })
}
