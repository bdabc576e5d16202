//! Curves: their keys, and the secret that two key pairs agree on.

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::encoding::{AsBigEndian, Curve25519SeedBin, EcPrivateKeyBin};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, Ed25519KeyPair,
    KeyPair, ParsedPublicKey,
};

use super::arguments::Arguments;
use super::{Answer, HostError, HostValue, bad_key, not_supported, operation_failed};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    P256,
    P384,
    P521,
    Ed25519,
    X25519,
}

impl Curve {
    pub fn named(name: &str) -> Result<Curve, HostError> {
        match name {
            "P-256" => Ok(Curve::P256),
            "P-384" => Ok(Curve::P384),
            "P-521" => Ok(Curve::P521),
            "Ed25519" => Ok(Curve::Ed25519),
            "X25519" => Ok(Curve::X25519),
            _ => Err(not_supported(format!("Unrecognized namedCurve: {name}"))),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Curve::P256 => "P-256",
            Curve::P384 => "P-384",
            Curve::P521 => "P-521",
            Curve::Ed25519 => "Ed25519",
            Curve::X25519 => "X25519",
        }
    }

    /// The content of its object identifier.
    pub fn oid(self) -> &'static [u8] {
        match self {
            Curve::P256 => &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07],
            Curve::P384 => &[0x2B, 0x81, 0x04, 0x00, 0x22],
            Curve::P521 => &[0x2B, 0x81, 0x04, 0x00, 0x23],
            Curve::Ed25519 => &[0x2B, 0x65, 0x70],
            Curve::X25519 => &[0x2B, 0x65, 0x6E],
        }
    }

    /// Whether its keys are plain bytes ("OKP") and no points with two coordinates.
    pub fn is_montgomery_or_edwards(self) -> bool {
        matches!(self, Curve::Ed25519 | Curve::X25519)
    }

    pub fn secret_bytes(self) -> usize {
        match self {
            Curve::P256 | Curve::Ed25519 | Curve::X25519 => 32,
            Curve::P384 => 48,
            Curve::P521 => 66,
        }
    }

    fn point_bytes(self) -> usize {
        if self.is_montgomery_or_edwards() {
            return self.secret_bytes();
        }
        1 + 2 * self.secret_bytes()
    }

    /// A public key that is a point of the curve.
    pub fn checked_point(self, point: &[u8]) -> Result<Vec<u8>, HostError> {
        if point.len() != self.point_bytes() {
            return Err(bad_key());
        }
        match self {
            Curve::P256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point),
            Curve::P384 => ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point),
            Curve::P521 => ParsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point),
            Curve::Ed25519 | Curve::X25519 => return Ok(point.to_vec()),
        }
        .map_err(|_| bad_key())?;
        Ok(point.to_vec())
    }

    /// The private key of a secret: the secret and its point.
    pub fn private(self, secret: &[u8]) -> Result<Vec<u8>, HostError> {
        let mut key = secret.to_vec();
        if self == Curve::Ed25519 {
            let pair = Ed25519KeyPair::from_seed_unchecked(secret).map_err(|_| bad_key())?;
            key.extend_from_slice(pair.public_key().as_ref());
            return Ok(key);
        }
        let private =
            PrivateKey::from_private_key(self.agreement()?, secret).map_err(|_| bad_key())?;
        let point = private.compute_public_key().map_err(|_| bad_key())?;
        key.extend_from_slice(point.as_ref());
        Ok(key)
    }

    /// The secret and the point of a private key.
    pub fn split(self, private: &[u8]) -> Result<(&[u8], &[u8]), HostError> {
        if private.len() != self.secret_bytes() + self.point_bytes() {
            return Err(bad_key());
        }
        Ok(private.split_at(self.secret_bytes()))
    }

    pub fn generate(self) -> Result<Vec<u8>, HostError> {
        if self == Curve::Ed25519 {
            let pair = Ed25519KeyPair::generate().map_err(|_| operation_failed())?;
            let seed = pair.seed().map_err(|_| operation_failed())?;
            let seed = AsBigEndian::<Curve25519SeedBin>::as_be_bytes(&seed);
            return self.private(seed.map_err(|_| operation_failed())?.as_ref());
        }
        let key = PrivateKey::generate(self.agreement()?).map_err(|_| operation_failed())?;
        if self == Curve::X25519 {
            let secret = AsBigEndian::<Curve25519SeedBin>::as_be_bytes(&key);
            return self.private(secret.map_err(|_| operation_failed())?.as_ref());
        }
        let secret = AsBigEndian::<EcPrivateKeyBin>::as_be_bytes(&key);
        self.private(secret.map_err(|_| operation_failed())?.as_ref())
    }

    fn agreement(self) -> Result<&'static agreement::Algorithm, HostError> {
        match self {
            Curve::P256 => Ok(&agreement::ECDH_P256),
            Curve::P384 => Ok(&agreement::ECDH_P384),
            Curve::P521 => Ok(&agreement::ECDH_P521),
            Curve::X25519 => Ok(&agreement::X25519),
            Curve::Ed25519 => Err(not_supported("Ed25519 signs and agrees on nothing")),
        }
    }
}

pub fn call(name: &str, arguments: &Arguments) -> Option<Answer> {
    (name == "agree").then(|| agree(arguments))
}

/// `(curve, private key, public key)`: the shared secret.
fn agree(arguments: &Arguments) -> Answer {
    let curve = Curve::named(arguments.text(0)?)?;
    let (secret, _) = curve.split(arguments.bytes(1)?)?;
    let algorithm = curve.agreement()?;
    let private = PrivateKey::from_private_key(algorithm, secret).map_err(|_| bad_key())?;
    let public = UnparsedPublicKey::new(algorithm, arguments.bytes(2)?);
    agreement::agree(&private, public, operation_failed(), |shared| {
        Ok(HostValue::Bytes(shared.to_vec()))
    })
}
