//! Signatures with key pairs.

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING,
    ED25519, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, RsaEncoding, UnparsedPublicKey,
    VerificationAlgorithm,
};

use super::arguments::Arguments;
use super::digest::Hash;
use super::elliptic::Curve;
use super::{Answer, HostError, HostValue, bad_key, not_supported, operation_failed};

/// A way to sign, with its hash and its curve.
#[derive(Debug, Clone, Copy)]
enum Scheme {
    RsaPkcs1(Hash),
    RsaPss(Hash),
    Ecdsa(Curve, Hash),
    Ed25519,
}

pub fn call(name: &str, arguments: &Arguments) -> Option<Answer> {
    Some(match name {
        "sign" => sign(arguments).map(HostValue::Bytes),
        "verify" => verify(arguments).map(HostValue::Bool),
        _ => return None,
    })
}

/// `(algorithm, family of the key, hash, private key, data)`
fn sign(arguments: &Arguments) -> Result<Vec<u8>, HostError> {
    let (key, data) = (arguments.bytes(3)?, arguments.bytes(4)?);
    match scheme(arguments)? {
        Scheme::RsaPkcs1(hash) => sign_rsa(pkcs1_signing(hash)?, key, data),
        Scheme::RsaPss(hash) => sign_rsa(pss_signing(hash)?, key, data),
        Scheme::Ecdsa(curve, hash) => {
            let (secret, point) = curve.split(key)?;
            let Ecdsa { signing, .. } = ecdsa(curve)?;
            let pair = EcdsaKeyPair::from_private_key_and_public_key(signing, secret, point)
                .map_err(|_| bad_key())?;
            let signature = pair.sign_digest(&digest_for(curve, hash, data)?);
            Ok(signature.map_err(|_| operation_failed())?.as_ref().to_vec())
        }
        Scheme::Ed25519 => {
            let (seed, point) = Curve::Ed25519.split(key)?;
            let pair = Ed25519KeyPair::from_seed_and_public_key(seed, point);
            let signature = pair.map_err(|_| bad_key())?.sign(data);
            Ok(signature.as_ref().to_vec())
        }
    }
}

fn sign_rsa(
    encoding: &'static dyn RsaEncoding,
    key: &[u8],
    data: &[u8],
) -> Result<Vec<u8>, HostError> {
    let pair = RsaKeyPair::from_der(key).map_err(|_| bad_key())?;
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), data, &mut signature)
        .map_err(|_| operation_failed())?;
    Ok(signature)
}

/// `(algorithm, family of the key, hash, public key, data, signature)`
fn verify(arguments: &Arguments) -> Result<bool, HostError> {
    let (key, data, signature) = (
        arguments.bytes(3)?,
        arguments.bytes(4)?,
        arguments.bytes(5)?,
    );
    let algorithm: &'static dyn VerificationAlgorithm = match scheme(arguments)? {
        Scheme::RsaPkcs1(hash) => match hash {
            Hash::Sha1 => &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
            Hash::Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Hash::Sha512 => &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        },
        Scheme::RsaPss(hash) => match hash {
            Hash::Sha1 => return Err(not_supported("RSA-PSS with SHA-1")),
            Hash::Sha256 => &signature::RSA_PSS_2048_8192_SHA256,
            Hash::Sha384 => &signature::RSA_PSS_2048_8192_SHA384,
            Hash::Sha512 => &signature::RSA_PSS_2048_8192_SHA512,
        },
        Scheme::Ecdsa(curve, hash) => {
            let digest = digest_for(curve, hash, data)?;
            let key = UnparsedPublicKey::new(ecdsa(curve)?.verification, key);
            return Ok(key.verify_digest(&digest, signature).is_ok());
        }
        Scheme::Ed25519 => &ED25519,
    };
    Ok(UnparsedPublicKey::new(algorithm, key)
        .verify(data, signature)
        .is_ok())
}

fn scheme(arguments: &Arguments) -> Result<Scheme, HostError> {
    let hash = || Hash::named(arguments.text(2)?);
    match arguments.text(0)? {
        "RSASSA-PKCS1-v1_5" => Ok(Scheme::RsaPkcs1(hash()?)),
        "RSA-PSS" => Ok(Scheme::RsaPss(hash()?)),
        "ECDSA" => Ok(Scheme::Ecdsa(Curve::named(arguments.text(1)?)?, hash()?)),
        "Ed25519" => Ok(Scheme::Ed25519),
        name => Err(not_supported(format!("Signatures of {name}"))),
    }
}

fn pkcs1_signing(hash: Hash) -> Result<&'static dyn RsaEncoding, HostError> {
    match hash {
        Hash::Sha1 => Err(not_supported("Signing with SHA-1")),
        Hash::Sha256 => Ok(&signature::RSA_PKCS1_SHA256),
        Hash::Sha384 => Ok(&signature::RSA_PKCS1_SHA384),
        Hash::Sha512 => Ok(&signature::RSA_PKCS1_SHA512),
    }
}

fn pss_signing(hash: Hash) -> Result<&'static dyn RsaEncoding, HostError> {
    match hash {
        Hash::Sha1 => Err(not_supported("Signing with SHA-1")),
        Hash::Sha256 => Ok(&signature::RSA_PSS_SHA256),
        Hash::Sha384 => Ok(&signature::RSA_PSS_SHA384),
        Hash::Sha512 => Ok(&signature::RSA_PSS_SHA512),
    }
}

/// How a curve signs a digest of its own length.
struct Ecdsa {
    verification: &'static dyn VerificationAlgorithm,
    signing: &'static EcdsaSigningAlgorithm,
    digest: &'static digest::Algorithm,
}

fn ecdsa(curve: Curve) -> Result<Ecdsa, HostError> {
    match curve {
        Curve::P256 => Ok(Ecdsa {
            verification: &ECDSA_P256_SHA256_FIXED,
            signing: &ECDSA_P256_SHA256_FIXED_SIGNING,
            digest: &digest::SHA256,
        }),
        Curve::P384 => Ok(Ecdsa {
            verification: &ECDSA_P384_SHA384_FIXED,
            signing: &ECDSA_P384_SHA384_FIXED_SIGNING,
            digest: &digest::SHA384,
        }),
        Curve::P521 => Ok(Ecdsa {
            verification: &ECDSA_P521_SHA512_FIXED,
            signing: &ECDSA_P521_SHA512_FIXED_SIGNING,
            digest: &digest::SHA512,
        }),
        Curve::Ed25519 | Curve::X25519 => Err(not_supported(format!("ECDSA of {}", curve.name()))),
    }
}

/// The digest of `data`, as long as the curve's own. ECDSA takes a digest for a number: of a longer one the first bits,
/// and zeros before a shorter one change nothing.
fn digest_for(curve: Curve, hash: Hash, data: &[u8]) -> Result<Digest, HostError> {
    let own = ecdsa(curve)?.digest;
    let digest = digest::digest(hash.digest(), data);
    let digest = digest.as_ref();
    let mut fitted = vec![0; own.output_len.saturating_sub(digest.len())];
    fitted.extend_from_slice(&digest[..digest.len().min(own.output_len)]);
    Digest::import_less_safe(&fitted, own).map_err(|_| operation_failed())
}
