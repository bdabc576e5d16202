//! An identity provider on this machine: it signs tokens in advance, and serves the keys that they are verified with.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use clap::ValueEnum;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value as Json, json};

/// How tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSA of 2048 bits with SHA-256.
    Rs256,
}

/// An identity provider. Its keys are served until the program ends.
pub struct Issuer {
    url: String,
    algorithm: Algorithm,
    key: Key,
    key_id: String,
}

enum Key {
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

/// The audience of the tokens.
const AUDIENCE: &str = "load";
/// How long tokens hold: longer than any run.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

impl Issuer {
    /// A provider with a new key, on a port of this machine; 0 is any that is free.
    pub fn start(algorithm: Algorithm, port: u16) -> anyhow::Result<Issuer> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port)))
            .with_context(|| format!("the issuer cannot listen on port {port}"))?;
        let key_id = uuid::Uuid::new_v4().to_string();
        let key = Key::generate(algorithm)?;
        let keys = json!({ "keys": [key.public(&key_id)] }).to_string();
        let url = format!("http://{}", listener.local_addr()?);
        std::thread::spawn(move || serve(&listener, keys.into()));
        Ok(Issuer {
            url,
            algorithm,
            key,
            key_id,
        })
    }

    /// The value of `--auth-config` with which a server trusts it.
    pub fn auth_config(&self) -> String {
        let algorithm = self.algorithm_name();
        json!({ "providers": [{
            "type": "customJwt",
            "issuer": self.url,
            "jwks": format!("{}/keys", self.url),
            "algorithm": algorithm,
            "applicationID": AUDIENCE,
        }]})
        .to_string()
    }

    /// A token of `subject`, whose name is the same.
    pub fn token(&self, subject: &str) -> anyhow::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let header = json!({ "alg": self.algorithm_name(), "typ": "JWT", "kid": self.key_id });
        let claims = json!({
            "iss": self.url,
            "sub": subject,
            "aud": AUDIENCE,
            "name": subject,
            "iat": now.as_secs(),
            "exp": (now + LIFETIME).as_secs(),
        });
        let encode = |json: Json| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.key.sign(signed.as_bytes())?;
        Ok(format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature)))
    }

    fn algorithm_name(&self) -> &'static str {
        match self.algorithm {
            Algorithm::Es256 => "ES256",
            Algorithm::Rs256 => "RS256",
        }
    }
}

impl Key {
    fn generate(algorithm: Algorithm) -> anyhow::Result<Key> {
        Ok(match algorithm {
            Algorithm::Es256 => {
                Key::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?)
            }
            Algorithm::Rs256 => Key::Rs256(RsaKeyPair::generate(KeySize::Rsa2048)?),
        })
    }

    /// As a key set holds it.
    fn public(&self, key_id: &str) -> Json {
        let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        match self {
            Key::Es256(key) => {
                // An uncompressed point: one byte that says so, then both coordinates.
                let point = key.public_key().as_ref();
                let (x, y) = point[1..].split_at(32);
                json!({
                    "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": key_id,
                    "x": encode(x), "y": encode(y),
                })
            }
            Key::Rs256(key) => {
                let key = key.public_key();
                json!({
                    "kty": "RSA", "alg": "RS256", "use": "sig", "kid": key_id,
                    "n": encode(key.modulus().big_endian_without_leading_zero()),
                    "e": encode(key.exponent().big_endian_without_leading_zero()),
                })
            }
        }
    }

    fn sign(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Key::Es256(key) => Ok(key.sign(&random, message)?.as_ref().to_vec()),
            Key::Rs256(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                Ok(signature)
            }
        }
    }
}

/// Answers every request with the keys.
fn serve(listener: &TcpListener, keys: Arc<str>) {
    for stream in listener.incoming().flatten() {
        let keys = keys.clone();
        // A malformed request gets no answer; the server will complain.
        std::thread::spawn(move || answer(stream, &keys));
    }
}

fn answer(mut stream: TcpStream, keys: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{keys}",
        keys.len()
    )
}
