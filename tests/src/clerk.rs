//! Clerk as a test plays it: the events that it sends, signed as Svix signs them, and the tokens of its people.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Value as Json, json};

/// The secret of the endpoint.
pub const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// The secret that it had before.
pub const OLD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// When Clerk says that it made an event, in milliseconds, whatever is told by it.
const SENT: u64 = 1_700_000_000_000;

/// A delivery, which a test may spoil.
#[derive(Clone)]
pub struct Message {
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Message {
    /// An event, as it is sent now.
    pub fn of(event: &Json) -> Message {
        Message::signed(&event.to_string(), SECRET, now_seconds())
    }

    /// Any body, signed with a secret at this time.
    pub fn signed(body: &str, secret: &str, seconds: u64) -> Message {
        let id = format!("msg_{:016x}", rand::random::<u64>());
        let signature = sign(secret, &id, seconds, body);
        Message {
            headers: vec![
                ("svix-id", id),
                ("svix-timestamp", seconds.to_string()),
                ("svix-signature", signature),
                ("content-type", "application/json".to_string()),
            ],
            body: body.to_string(),
        }
    }

    /// The value of a header, to change it.
    pub fn header(&mut self, name: &str) -> &mut String {
        let mut headers = self.headers.iter_mut();
        let found = headers.find(|(found, _)| *found == name);
        &mut found.expect("a message has that header").1
    }

    /// The same without a header.
    pub fn without(mut self, name: &str) -> Message {
        self.headers.retain(|(found, _)| *found != name);
        self
    }
}

/// A signature as Svix makes it, written apart from how the chat reads it.
pub fn sign(secret: &str, id: &str, seconds: u64, body: &str) -> String {
    let key = BASE64.decode(&secret.as_bytes()["whsec_".len()..]);
    let key = key.expect("what follows `whsec_` is base64");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let tag = hmac::sign(&key, format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", BASE64.encode(tag.as_ref()))
}

/// The time in seconds since 1970.
pub fn now_seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("it is after 1970").as_secs()
}

/// An event about a user as of `at`, with the fields that Clerk sends.
pub fn user(kind: &str, subject: &str, name: &str, at: u64) -> Json {
    json!({
        "data": {
            "birthday": "", "created_at": 1, "external_accounts": [], "image_url": "https://img.clerk.com/x",
            "email_addresses": [
                { "email_address": "other@example.org", "id": "idn_0", "object": "email_address",
                  "verification": { "status": "unverified", "strategy": "email_code" } },
                { "email_address": format!("{subject}@example.com"), "id": "idn_1", "object": "email_address",
                  "linked_to": [], "verification": { "status": "verified", "strategy": "email_code" } },
            ],
            "first_name": name, "id": subject, "last_name": null, "object": "user",
            "primary_email_address_id": "idn_1", "private_metadata": {}, "public_metadata": {},
            "updated_at": at, "username": null,
        },
        "event_attributes": { "http_request": { "client_ip": "0.0.0.0", "user_agent": "" } },
        "instance_id": "ins_1", "object": "event", "timestamp": SENT, "type": kind,
    })
}

/// The event of a user's deletion.
pub fn deleted(subject: &str) -> Json {
    json!({
        "data": { "deleted": true, "id": subject, "object": "user" },
        "instance_id": "ins_1", "object": "event", "timestamp": SENT, "type": "user.deleted",
    })
}

/// An event about a membership in an organization as of `at`: `created`, `updated` or `deleted`.
pub fn membership(kind: &str, id: &str, subject: &str, organization: &str, at: u64) -> Json {
    json!({
        "data": {
            "created_at": 1, "id": id, "object": "organization_membership", "role": "org:member",
            "organization": { "id": "org_1", "name": organization, "slug": "x", "object": "organization" },
            "public_user_data": { "first_name": "", "identifier": "x@example.com", "user_id": subject },
            "updated_at": at,
        },
        "object": "event", "timestamp": SENT, "type": format!("organizationMembership.{kind}"),
    })
}

/// A provider whose keys stand in the configuration, and its tokens.
pub struct Provider {
    keys: EcdsaKeyPair,
}

impl Provider {
    /// As its tokens name it.
    pub const ISSUER: &str = "https://happy-otter-12.clerk.accounts.dev";

    /// With a key of its own.
    #[allow(clippy::new_without_default, reason = "each is another")]
    pub fn new() -> Provider {
        let keys = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let keys = keys.expect("a key");
        Provider { keys }
    }

    /// As a team may write it: with a slash at the end that its tokens do not have.
    pub fn config(&self) -> String {
        let point = self.keys.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..]].map(|part| BASE64URL_NOPAD.encode(part));
        let key = json!({ "kty": "EC", "crv": "P-256", "kid": "1", "x": x, "y": y });
        let keys = BASE64.encode(json!({ "keys": [key] }).to_string().as_bytes());
        json!({ "providers": [{
            "type": "customJwt", "issuer": format!("{}/", Self::ISSUER), "algorithm": "ES256",
            "jwks": format!("data:application/json;base64,{keys}"), "applicationID": "convex",
        }] })
        .to_string()
    }

    /// An auth token of this person, which holds for a minute.
    pub fn token(&self, subject: &str) -> String {
        let now = now_seconds();
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": "1" });
        let claims = json!({
            "iss": Self::ISSUER, "sub": subject, "aud": "convex", "iat": now, "exp": now + 60,
        });
        let [header, claims] =
            [header, claims].map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes()));
        let text = format!("{header}.{claims}");
        let signature = self.keys.sign(&SystemRandom::new(), text.as_bytes());
        let signature = signature.expect("a signature");
        format!("{text}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }
}
