//! Tokens as an honest or dishonest issuer would write them.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value as Json, json};

use super::keys::{self, TestKey};
use super::{APP, NOW_SECONDS};

/// The providers that tokens are tried against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Oidc,
    CustomRs256,
    CustomEs256,
}

pub const KINDS: [Kind; 3] = [Kind::Oidc, Kind::CustomRs256, Kind::CustomEs256];

impl Kind {
    pub fn issuer(self) -> &'static str {
        match self {
            Kind::Oidc => "https://issuer.example",
            Kind::CustomRs256 => "https://rs256.example",
            Kind::CustomEs256 => "https://es256.example",
        }
    }

    /// The key that its honest tokens are signed with, under the id `good`.
    pub fn key(self) -> &'static TestKey {
        match self {
            Kind::Oidc | Kind::CustomRs256 => &keys::RSA,
            Kind::CustomEs256 => &keys::P256,
        }
    }

    /// The code of a refusal by the provider's rules.
    pub fn rejection(self) -> &'static str {
        match self {
            Kind::Oidc => "Unauthenticated",
            Kind::CustomRs256 | Kind::CustomEs256 => "InvalidAuthHeader",
        }
    }
}

/// A token in the making; it starts valid.
#[derive(Clone)]
pub struct Draft {
    pub header: Map<String, Json>,
    pub claims: Map<String, Json>,
}

impl Draft {
    /// A valid token of `issuer`, signed later with a key named `good`.
    pub fn new(issuer: &str, algorithm: &str) -> Draft {
        let object = |json: Json| json.as_object().unwrap().clone();
        Draft {
            header: object(json!({"alg": algorithm, "typ": "JWT", "kid": "good"})),
            claims: object(json!({
                "iss": issuer, "sub": "ada", "aud": APP,
                "iat": NOW_SECONDS, "nbf": NOW_SECONDS, "exp": NOW_SECONDS + 60,
            })),
        }
    }

    pub fn of(kind: Kind) -> Draft {
        Draft::new(kind.issuer(), kind.key().algorithm())
    }

    pub fn header(mut self, name: &str, value: impl Into<Json>) -> Draft {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    pub fn claim(mut self, name: &str, value: impl Into<Json>) -> Draft {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    pub fn without_header(mut self, name: &str) -> Draft {
        self.header.remove(name);
        self
    }

    pub fn without_claim(mut self, name: &str) -> Draft {
        self.claims.remove(name);
        self
    }

    /// Header and payload in their text form.
    pub fn message(&self) -> String {
        let header = Json::Object(self.header.clone()).to_string();
        let claims = Json::Object(self.claims.clone()).to_string();
        message(header.as_bytes(), claims.as_bytes())
    }

    pub fn signed(&self, key: &TestKey) -> String {
        signed(&self.message(), key)
    }

    /// With these bytes for a signature.
    pub fn with_signature(&self, signature: &[u8]) -> String {
        format!("{}.{}", self.message(), encode(signature))
    }
}

pub fn encode(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

pub fn message(header: &[u8], payload: &[u8]) -> String {
    format!("{}.{}", encode(header), encode(payload))
}

pub fn signed(message: &str, key: &TestKey) -> String {
    format!("{message}.{}", encode(&key.sign(message.as_bytes())))
}
