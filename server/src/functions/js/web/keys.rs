//! Keys of key pairs: their families, the one form they have in JavaScript objects, and the forms they travel in.
//!
//! In an object, a public RSA key is its PKCS #1 DER and a private one too. A public key of a curve is its point, and
//! a private one its secret number followed by the point.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;

use super::arguments::Arguments;
use super::der::{self, Reader};
use super::elliptic::Curve;
use super::{Answer, HostError, HostValue, bad_key, jwk, not_supported, operation_failed};

const RSA_ENCRYPTION: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];
const EC_PUBLIC_KEY: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];

/// The kinds of key pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Rsa,
    Elliptic(Curve),
}

impl Family {
    pub fn named(name: &str) -> Result<Family, HostError> {
        if name == "RSA" {
            return Ok(Family::Rsa);
        }
        Curve::named(name).map(Family::Elliptic)
    }

    /// The algorithm of PKCS #8 and SPKI.
    fn algorithm(self) -> Vec<u8> {
        let id = |id| der::element(der::OBJECT_ID, &[id]);
        let parts = match self {
            Family::Rsa => [id(RSA_ENCRYPTION), der::element(der::NULL, &[])],
            Family::Elliptic(curve) if curve.is_montgomery_or_edwards() => {
                [id(curve.oid()), vec![]]
            }
            Family::Elliptic(curve) => [id(EC_PUBLIC_KEY), id(curve.oid())],
        };
        der::element(der::SEQUENCE, &[&parts[0], &parts[1]])
    }

    /// Reads the algorithm and checks that it is this one.
    fn read_algorithm(self, reader: &mut Reader) -> Option<()> {
        let mut algorithm = reader.sequence()?;
        let id = algorithm.element(der::OBJECT_ID)?;
        let is_mine = match self {
            Family::Rsa => id == RSA_ENCRYPTION,
            Family::Elliptic(curve) if curve.is_montgomery_or_edwards() => id == curve.oid(),
            Family::Elliptic(curve) => {
                id == EC_PUBLIC_KEY && algorithm.element(der::OBJECT_ID)? == curve.oid()
            }
        };
        is_mine.then_some(())
    }

    /// A public key, checked.
    pub fn public(self, bytes: &[u8]) -> Result<Vec<u8>, HostError> {
        match self {
            Family::Rsa => RsaPublic::read(bytes)
                .map(|_| bytes.to_vec())
                .ok_or_else(bad_key),
            Family::Elliptic(curve) => curve.checked_point(bytes),
        }
    }

    /// The public key of a private one.
    fn public_of(self, private: &[u8]) -> Result<Vec<u8>, HostError> {
        match self {
            Family::Rsa => {
                let pair = RsaKeyPair::from_der(private).map_err(|_| bad_key())?;
                Ok(pair.public_key().as_ref().to_vec())
            }
            Family::Elliptic(curve) => Ok(curve.split(private)?.1.to_vec()),
        }
    }
}

pub fn call(name: &str, arguments: &Arguments) -> Option<Answer> {
    let run = match name {
        "key_import" => import,
        "key_export" => export,
        "key_generate" => generate,
        "key_public" => public,
        "key_from_jwk" => jwk::import,
        "key_to_jwk" => return Some(jwk::export(arguments).map(HostValue::String)),
        _ => return None,
    };
    Some(run(arguments).map(HostValue::Bytes))
}

/// `(family, format, bytes)`: format is "spki", "pkcs8" or "raw".
fn import(arguments: &Arguments) -> Result<Vec<u8>, HostError> {
    let family = Family::named(arguments.text(0)?)?;
    let bytes = arguments.bytes(2)?;
    match arguments.text(1)? {
        "spki" => family.public(from_spki(family, bytes).ok_or_else(bad_key)?),
        "pkcs8" => from_pkcs8(family, bytes),
        "raw" => family.public(bytes),
        format => Err(not_supported(format!("Key format {format}"))),
    }
}

fn from_spki(family: Family, bytes: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(bytes);
    let mut spki = reader.sequence()?;
    family.read_algorithm(&mut spki)?;
    let key = spki.bit_string()?;
    (reader.is_empty() && spki.is_empty()).then_some(key)
}

fn from_pkcs8(family: Family, bytes: &[u8]) -> Result<Vec<u8>, HostError> {
    let content = pkcs8_content(family, bytes).ok_or_else(bad_key)?;
    match family {
        Family::Rsa => {
            RsaKeyPair::from_der(content).map_err(|_| bad_key())?;
            Ok(content.to_vec())
        }
        Family::Elliptic(curve) if curve.is_montgomery_or_edwards() => {
            let secret = Reader::new(content).element(der::OCTET_STRING);
            curve.private(secret.ok_or_else(bad_key)?)
        }
        Family::Elliptic(curve) => {
            let secret = sec1_secret(content).ok_or_else(bad_key)?;
            curve.private(secret)
        }
    }
}

fn pkcs8_content(family: Family, bytes: &[u8]) -> Option<&[u8]> {
    let mut pkcs8 = Reader::new(bytes).sequence()?;
    pkcs8.unsigned()?;
    family.read_algorithm(&mut pkcs8)?;
    pkcs8.element(der::OCTET_STRING)
}

fn sec1_secret(bytes: &[u8]) -> Option<&[u8]> {
    let mut sec1 = Reader::new(bytes).sequence()?;
    sec1.unsigned()?;
    sec1.element(der::OCTET_STRING)
}

/// `(family, format, key)`
fn export(arguments: &Arguments) -> Result<Vec<u8>, HostError> {
    let family = Family::named(arguments.text(0)?)?;
    exported(family, arguments.text(1)?, arguments.bytes(2)?)
}

/// An RSA key in `format`.
pub fn export_as(format: &str, key: &[u8]) -> Result<Vec<u8>, HostError> {
    exported(Family::Rsa, format, key)
}

fn exported(family: Family, format: &str, key: &[u8]) -> Result<Vec<u8>, HostError> {
    match format {
        "spki" => Ok(der::element(
            der::SEQUENCE,
            &[
                &family.algorithm(),
                &der::element(der::BIT_STRING, &[&[0], key]),
            ],
        )),
        "pkcs8" => to_pkcs8(family, key),
        format => Err(not_supported(format!("Key format {format}"))),
    }
}

fn to_pkcs8(family: Family, key: &[u8]) -> Result<Vec<u8>, HostError> {
    let content = match family {
        Family::Rsa => key.to_vec(),
        Family::Elliptic(curve) => {
            let (secret, point) = curve.split(key)?;
            let secret = der::element(der::OCTET_STRING, &[secret]);
            if curve.is_montgomery_or_edwards() {
                secret
            } else {
                let point = der::element(der::BIT_STRING, &[&[0], point]);
                let point = der::element(der::TAGGED_1, &[&point]);
                der::element(der::SEQUENCE, &[&der::unsigned(&[1]), &secret, &point])
            }
        }
    };
    let content = der::element(der::OCTET_STRING, &[&content]);
    let parts = [&der::unsigned(&[0])[..], &family.algorithm(), &content];
    Ok(der::element(der::SEQUENCE, &parts))
}

/// `(family, bits of an RSA modulus)`: a new private key.
fn generate(arguments: &Arguments) -> Result<Vec<u8>, HostError> {
    match Family::named(arguments.text(0)?)? {
        Family::Rsa => {
            let size = match arguments.count(1)? {
                2048 => KeySize::Rsa2048,
                3072 => KeySize::Rsa3072,
                4096 => KeySize::Rsa4096,
                bits => return Err(not_supported(format!("RSA keys of {bits} bits"))),
            };
            let pair = RsaKeyPair::generate(size).map_err(|_| operation_failed())?;
            let pkcs8 = pair.as_der().map_err(|_| operation_failed())?;
            from_pkcs8(Family::Rsa, pkcs8.as_ref())
        }
        Family::Elliptic(curve) => curve.generate(),
    }
}

/// `(family, private key)`
fn public(arguments: &Arguments) -> Result<Vec<u8>, HostError> {
    Family::named(arguments.text(0)?)?.public_of(arguments.bytes(1)?)
}

/// The numbers of a public RSA key.
pub struct RsaPublic<'a> {
    pub modulus: &'a [u8],
    pub exponent: &'a [u8],
}

impl<'a> RsaPublic<'a> {
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let mut key = reader.sequence()?;
        let (modulus, exponent) = (key.unsigned()?, key.unsigned()?);
        (reader.is_empty() && key.is_empty()).then_some(RsaPublic { modulus, exponent })
    }
}
