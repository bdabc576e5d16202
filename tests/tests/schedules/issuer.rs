//! A provider on this machine with two faces, an OpenID Connect issuer and a plain one of JWTs. It can rotate its keys,
//! be down, be slow, and sign any claims it is told to.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;
use vestibule_schema::identity::IdentityKey;

/// The audience of this deployment.
const APP: &str = "app";

/// The face at which a person signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Face {
    /// OpenID Connect, signing with EdDSA.
    Oidc,
    /// Plain JWTs, signing with ES256.
    Plain,
}

/// A person at one of the faces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Person {
    pub face: Face,
    pub subject: String,
}

struct Keys {
    id: u32,
    ed25519: Ed25519KeyPair,
    p256: EcdsaKeyPair,
}

struct Shared {
    url: String,
    /// The newest last; only the last two are published, so that old tokens hold for a while.
    keys: Mutex<Vec<Keys>>,
    is_down: Mutex<bool>,
    slowness: Mutex<Duration>,
    /// Answers given at the plain face's key address.
    plain_fetches: Mutex<usize>,
}

/// The provider. Dropping it ends it.
pub struct Issuer {
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Issuer {
    pub async fn start() -> anyhow::Result<Issuer> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let shared = Arc::new(Shared {
            url: format!("http://{}", listener.local_addr()?),
            keys: Mutex::new(vec![Keys::new(0)]),
            is_down: Mutex::new(false),
            slowness: Mutex::default(),
            plain_fetches: Mutex::default(),
        });
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let server = tokio::spawn(async move {
            // It ends with the test.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Issuer { shared, server })
    }

    /// The configuration of a server that trusts both faces.
    pub fn providers(&self) -> String {
        let url = &self.shared.url;
        json!({"providers": [
            {"domain": url, "applicationID": APP},
            {"type": "customJwt", "issuer": format!("{url}/plain"), "jwks": format!("{url}/plain/keys"),
             "algorithm": "ES256", "applicationID": APP},
        ]})
        .to_string()
    }

    /// The key by which the server knows a person.
    pub fn identity(&self, person: &Person) -> IdentityKey {
        let issuer = self.shared.issuer(person.face);
        IdentityKey::new(format!("{issuer}|{}", person.subject))
    }

    /// A token that holds from `now` for so many seconds. `extra` claims come on top.
    pub fn token(&self, person: &Person, now: u64, seconds: u64, extra: &Json) -> String {
        let keys = self.shared.keys.lock();
        let keys = keys.last().expect("there is always a key");
        let (algorithm, face) = match person.face {
            Face::Oidc => ("EdDSA", person.face),
            Face::Plain => ("ES256", person.face),
        };
        // Written in this order, by which a token is known.
        let header = json!({"alg": algorithm, "typ": "JWT", "kid": keys.id.to_string()});
        let mut claims = json!({
            "iss": self.shared.issuer(face), "sub": person.subject, "aud": APP, "iat": now, "exp": now + seconds,
        });
        if let (Some(claims), Some(extra)) = (claims.as_object_mut(), extra.as_object()) {
            claims.extend(extra.clone());
        }
        let text = format!("{}.{}", encode(&header), encode(&claims));
        let signature = keys.sign(face, text.as_bytes());
        format!("{text}.{}", BASE64URL_NOPAD.encode(&signature))
    }

    /// Whether it is down.
    pub fn is_down(&self) -> bool {
        *self.shared.is_down.lock()
    }

    /// Signs with new keys from now on. The ones before stay published.
    pub fn rotate(&self) {
        let mut keys = self.shared.keys.lock();
        let next = keys.last().map_or(0, |keys| keys.id + 1);
        keys.push(Keys::new(next));
        if keys.len() > 2 {
            keys.remove(0);
        }
    }

    /// Answers with 503, or again as it should.
    pub fn set_down(&self, is_down: bool) {
        *self.shared.is_down.lock() = is_down;
    }

    /// Answers only after this time.
    pub fn set_slowness(&self, slowness: Duration) {
        *self.shared.slowness.lock() = slowness;
    }

    /// How often the plain face was asked for its keys.
    pub fn plain_fetches(&self) -> usize {
        *self.shared.plain_fetches.lock()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Keys {
    fn new(id: u32) -> Keys {
        let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Keys {
            id,
            ed25519: Ed25519KeyPair::generate().expect("a key"),
            p256: p256.expect("a key"),
        }
    }

    fn sign(&self, face: Face, text: &[u8]) -> Vec<u8> {
        match face {
            Face::Oidc => self.ed25519.sign(text).as_ref().to_vec(),
            Face::Plain => {
                let signature = self.p256.sign(&SystemRandom::new(), text);
                signature.expect("a signature").as_ref().to_vec()
            }
        }
    }

    fn public(&self, face: Face) -> Json {
        let text = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let kid = self.id.to_string();
        match face {
            Face::Oidc => {
                let x = text(self.ed25519.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
            }
            Face::Plain => {
                let point = self.p256.public_key().as_ref();
                let (x, y) = (text(&point[1..33]), text(&point[33..]));
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y})
            }
        }
    }
}

impl Shared {
    fn issuer(&self, face: Face) -> String {
        match face {
            Face::Oidc => self.url.clone(),
            Face::Plain => format!("{}/plain", self.url),
        }
    }

    fn published(&self, face: Face) -> Json {
        let keys = self.keys.lock();
        let keys: Vec<Json> = keys.iter().map(|keys| keys.public(face)).collect();
        json!({ "keys": keys })
    }
}

fn encode(json: &Json) -> String {
    BASE64URL_NOPAD.encode(json.to_string().as_bytes())
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    if uri.path() == "/plain/keys" {
        *shared.plain_fetches.lock() += 1;
    }
    let slowness = *shared.slowness.lock();
    tokio::time::sleep(slowness).await;
    if *shared.is_down.lock() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let json = match uri.path() {
        "/.well-known/openid-configuration" => {
            json!({"issuer": shared.url, "jwks_uri": format!("{}/keys", shared.url)})
        }
        "/keys" => shared.published(Face::Oidc),
        "/plain/keys" => shared.published(Face::Plain),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    (
        [(header::CONTENT_TYPE, "application/json")],
        json.to_string(),
    )
        .into_response()
}
