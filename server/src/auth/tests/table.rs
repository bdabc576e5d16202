//! The table of tokens: every way one can be wrong, or look wrong and be right, with the code that must answer it.
//!
//! The rows stand in `signatures.rs` and `claims.rs`. They are tried here at the verifier, and by the `http` room at
//! every door of a whole server.

use std::fmt::Display;

use data_encoding::BASE64URL_NOPAD;
use serde_json::json;

use super::keys::{ED25519, OTHER_RSA, P256, RSA, with};
use super::tokens::{Draft, KINDS, Kind, encode};
use super::{authenticator, claims, clock, code, inline, mutants, signatures};
use crate::auth::jwks::LOW_ORDER_Y;
use crate::auth::{Authenticator, ProviderConfig};

/// A token or header that cannot be read.
pub const MALFORMED: &str = "InvalidAuthHeader";
/// A token of no configured provider.
pub const NO_PROVIDER: &str = "NoAuthProvider";

/// One of each kind of provider. The set of keys is the same everywhere, and only `good` and the ones beside it that
/// fit another algorithm are usable.
pub fn providers() -> [ProviderConfig; 3] {
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
    KINDS.map(provider)
}

/// The verifier of their tokens.
pub fn three_providers() -> Authenticator {
    authenticator(providers(), clock())
}

/// A token to try.
pub struct Case {
    /// Row and name, for people.
    pub name: String,
    pub token: String,
    /// The code of the refusal, or `ok`.
    pub expected: &'static str,
}

/// Collects the cases of one row after another.
#[derive(Default)]
pub struct Table {
    row: &'static str,
    pub cases: Vec<Case>,
}

macro_rules! rows {
    ($($room:ident::$row:ident,)*) => {
        [$((stringify!($row), $room::$row as fn(&mut Table))),*]
    };
}

impl Table {
    /// Every row there is.
    pub fn whole() -> Table {
        let mut table = Table::default();
        for (name, row) in rows![
            signatures::an_ed25519_token_is_accepted_by_oidc_alone,
            signatures::t1_a_token_without_three_parts_is_malformed,
            signatures::t2_a_token_has_one_spelling,
            signatures::t3_header_and_payload_are_objects_with_distinct_keys_and_bounded,
            signatures::t4_a_token_without_a_signature_is_rejected,
            signatures::t5_a_public_key_is_never_a_shared_secret,
            signatures::t6_an_algorithm_that_the_provider_does_not_allow_is_rejected,
            signatures::t7_a_key_of_another_type_is_rejected,
            signatures::t8_a_shared_secret_in_a_key_set_is_ignored,
            signatures::t9_and_t10_keys_that_are_not_fit_for_signatures_are_ignored,
            signatures::t10_a_signature_that_anyone_can_make_for_exponent_one_is_rejected,
            signatures::t11_elliptic_signatures_have_one_form,
            signatures::t11_a_key_of_low_order_is_ignored,
            signatures::t12_an_extension_that_must_be_understood_is_rejected,
            signatures::t13_keys_in_the_header_are_not_read,
            signatures::t14_a_kid_is_only_a_name,
            signatures::t15_exactly_one_key_must_fit,
            signatures::t16_an_unknown_kid_is_rejected,
            claims::valid_tokens_are_accepted,
            claims::t17_a_token_ends_at_its_expiry,
            claims::t18_times_are_numbers,
            claims::t19_a_token_of_the_future_is_rejected,
            claims::t20_an_issuer_is_a_text,
            claims::t21_an_issuer_that_resembles_a_provider_is_none,
            claims::t22_an_audience_of_another_deployment_matches_no_provider,
            claims::t23_further_audiences_are_for_custom_jwts,
            claims::t24_a_subject_is_a_text_that_can_be_a_name,
            mutants::t27_one_flipped_bit_is_noticed,
            claims::t30_an_admin_key_is_no_token,
        ] {
            table.row = name;
            row(&mut table);
        }
        table
    }

    /// A token and the code that answers it.
    pub fn case(&mut self, name: impl Display, token: &str, expected: &'static str) {
        self.cases.push(Case {
            name: format!("{}: {name}", self.row),
            token: token.to_owned(),
            expected,
        });
    }

    /// The token that `make` makes for each kind of provider, which its rules refuse.
    pub fn rejected(&mut self, name: impl Display, make: impl Fn(Kind) -> String) {
        for kind in KINDS {
            self.case(format!("{name} ({kind:?})"), &make(kind), kind.rejection());
        }
    }

    /// The honestly signed token that `change` makes of a valid one for each kind of provider.
    pub fn expect(
        &mut self,
        expected: &'static str,
        name: impl Display,
        change: impl Fn(Draft) -> Draft,
    ) {
        for kind in KINDS {
            let token = change(Draft::of(kind)).signed(kind.key());
            self.case(format!("{name} ({kind:?})"), &token, expected);
        }
    }

    /// The same, which its provider's rules refuse.
    pub fn honest_but_rejected(&mut self, name: impl Display, change: impl Fn(Draft) -> Draft) {
        self.rejected(name, |kind| change(Draft::of(kind)).signed(kind.key()));
    }
}

#[tokio::test]
async fn every_token_of_the_table_is_answered_with_its_code() {
    let authenticator = three_providers();
    let table = Table::whole();
    for case in &table.cases {
        assert_eq!(
            code(&authenticator, &case.token).await,
            case.expected,
            "{}",
            case.name
        );
    }
    assert!(table.cases.len() > 400, "{} cases", table.cases.len());
}
