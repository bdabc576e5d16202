//! One of each kind of provider, and what each says to a token.

use std::fmt::Display;

use data_encoding::BASE64URL_NOPAD;
use serde_json::json;

use super::keys::{ED25519, OTHER_RSA, P256, RSA, with};
use super::tokens::{Draft, KINDS, Kind, encode};
use super::{authenticator, clock, code, inline};
use crate::auth::Authenticator;
use crate::auth::jwks::LOW_ORDER_Y;

/// A token or header that cannot be read.
pub const MALFORMED: &str = "InvalidAuthHeader";
/// A token of nobody who is configured.
pub const NO_PROVIDER: &str = "NoAuthProvider";

/// One of each kind of provider. The set of keys is the same everywhere, and only `good` and the ones beside it that
/// fit another algorithm are usable.
pub fn three_providers() -> Authenticator {
    let oct = json!({"kty": "oct", "kid": "oct", "k": encode(b"a shared secret of enough length")});
    let even = BASE64URL_NOPAD
        .decode(RSA.jwk("")["n"].as_str().unwrap().as_bytes())
        .map(|mut n| {
            *n.last_mut().unwrap() &= 0xfe;
            encode(&n)
        })
        .unwrap();
    let common = [
        ED25519.jwk("ed"),
        oct,
        with(RSA.jwk("encryption"), json!({"use": "enc"})),
        with(RSA.jwk("operations"), json!({"key_ops": ["sign"]})),
        with(RSA.jwk("rs512"), json!({"alg": "RS512"})),
        with(RSA.jwk("short"), json!({"n": encode(&[0xff; 128])})),
        with(RSA.jwk("even"), json!({"n": even})),
        with(RSA.jwk("e1"), json!({"e": encode(&[1])})),
        with(P256.jwk("off-curve"), json!({"x": encode(&[1; 32])})),
        with(
            ED25519.jwk("low-order"),
            json!({"x": encode(&LOW_ORDER_Y[2])}),
        ),
        OTHER_RSA.jwk("twice"),
        RSA.jwk("twice"),
        json!("not even an object"),
        json!({"kty": "RSA", "kid": "empty"}),
        json!({"kty": "RSA", "kid": 5}),
    ];
    let provider = |kind: Kind| {
        let other = match kind {
            Kind::CustomEs256 => RSA.jwk("other-type"),
            Kind::Oidc | Kind::CustomRs256 => P256.jwk("other-type"),
        };
        let keys = [vec![kind.key().jwk("good"), other], common.to_vec()].concat();
        inline(kind, &keys)
    };
    authenticator(KINDS.map(provider), clock())
}

/// Tries the token that `make` makes for each kind of provider, and expects its rules to refuse it.
pub async fn rejected(name: impl Display, make: impl Fn(Kind) -> String) {
    let authenticator = three_providers();
    for kind in KINDS {
        let token = make(kind);
        let found = code(&authenticator, &token).await;
        assert_eq!(found, kind.rejection(), "{name} ({kind:?})");
    }
}

/// Tries the honestly signed token that `change` makes of a valid one for each kind of provider.
pub async fn expect(expected: &str, name: impl Display, change: impl Fn(Draft) -> Draft) {
    let authenticator = three_providers();
    for kind in KINDS {
        let token = change(Draft::of(kind)).signed(kind.key());
        assert_eq!(
            code(&authenticator, &token).await,
            expected,
            "{name} ({kind:?})"
        );
    }
}

pub async fn honest_but_rejected(name: impl Display, change: impl Fn(Draft) -> Draft) {
    rejected(name, |kind| change(Draft::of(kind)).signed(kind.key())).await;
}
