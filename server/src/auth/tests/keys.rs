//! Key pairs of every kind, made once per test run.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value as Json, json};

pub enum TestKey {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

pub static RSA: LazyLock<TestKey> = LazyLock::new(rsa);
pub static OTHER_RSA: LazyLock<TestKey> = LazyLock::new(rsa);
pub static P256: LazyLock<TestKey> = LazyLock::new(p256);
pub static ED25519: LazyLock<TestKey> =
    LazyLock::new(|| TestKey::Ed25519(Ed25519KeyPair::generate().unwrap()));

fn rsa() -> TestKey {
    TestKey::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
}

fn p256() -> TestKey {
    TestKey::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
}

impl TestKey {
    pub fn algorithm(&self) -> &'static str {
        match self {
            TestKey::Rsa(_) => "RS256",
            TestKey::P256(_) => "ES256",
            TestKey::Ed25519(_) => "EdDSA",
        }
    }

    /// With the algorithm of its kind, whatever the header says.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            TestKey::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            TestKey::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            TestKey::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// The public key as a JWK under the name `kid`.
    pub fn jwk(&self, kid: &str) -> Json {
        let text = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        match self {
            TestKey::Rsa(pair) => {
                let public = pair.public_key();
                let n = text(public.modulus().big_endian_without_leading_zero());
                let e = text(public.exponent().big_endian_without_leading_zero());
                json!({"kty": "RSA", "kid": kid, "n": n, "e": e})
            }
            TestKey::P256(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (text(&point[1..33]), text(&point[33..]));
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y})
            }
            TestKey::Ed25519(pair) => {
                let x = text(pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
            }
        }
    }

    /// The public key as X.509 DER.
    pub fn public_der(&self) -> Vec<u8> {
        let der: PublicKeyX509Der = match self {
            TestKey::Rsa(pair) => pair.public_key().as_der().unwrap(),
            TestKey::P256(pair) => pair.public_key().as_der().unwrap(),
            TestKey::Ed25519(pair) => pair.public_key().as_der().unwrap(),
        };
        der.as_ref().to_vec()
    }
}

/// `jwk` with some fields set.
pub fn with(mut jwk: Json, fields: Json) -> Json {
    let fields = fields.as_object().unwrap().clone();
    jwk.as_object_mut().unwrap().extend(fields);
    jwk
}
