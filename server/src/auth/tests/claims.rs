//! Every way the claims of a token can be wrong, against both kinds of provider, with the code each must give.

use serde_json::json;

use super::keys::RSA;
use super::table::{MALFORMED, NO_PROVIDER, Table, three_providers};
use super::tokens::{Draft, KINDS, Kind};
use super::{APP, NOW_SECONDS, admin_key};

pub fn valid_tokens_are_accepted(table: &mut Table) {
    table.expect("ok", "as it is", |draft| draft);
    table.expect("ok", "fractions of a second", |draft| {
        draft.claim("exp", NOW_SECONDS as f64 + 0.5)
    });
    table.expect("ok", "without nbf", |draft| draft.without_claim("nbf"));
    table.expect("ok", "an nbf of a clock ahead by a minute", |draft| {
        draft.claim("nbf", NOW_SECONDS + 60)
    });
    table.expect("ok", "an iat of a clock far ahead", |draft| {
        draft.claim("iat", NOW_SECONDS + 3_600)
    });
    table.expect("ok", "a far expiry", |draft| {
        draft.claim("exp", 253_402_300_799_u64)
    });
    table.expect("ok", "a slash after the issuer", |draft| {
        let issuer = format!("{}/", draft.claims["iss"].as_str().unwrap());
        draft.claim("iss", issuer)
    });
}

pub fn t17_a_token_ends_at_its_expiry(table: &mut Table) {
    table.honest_but_rejected("no exp", |draft| draft.without_claim("exp"));
    for past in [0, 1, 4, 3_600] {
        table.honest_but_rejected(past, |draft| draft.claim("exp", NOW_SECONDS - past));
    }
}

pub fn t18_times_are_numbers(table: &mut Table) {
    for claim in ["exp", "nbf", "iat"] {
        for value in [
            json!(NOW_SECONDS.to_string()),
            json!([NOW_SECONDS]),
            json!(null),
            json!(-1),
            json!(1e308),
            json!(true),
            json!(NOW_SECONDS * 1000),
        ] {
            table.honest_but_rejected(format!("{claim} {value}"), |draft| {
                draft.claim(claim, value.clone())
            });
        }
    }
}

pub fn t19_a_token_of_the_future_is_rejected(table: &mut Table) {
    table.honest_but_rejected("nbf", |draft| draft.claim("nbf", NOW_SECONDS + 61));
    table.honest_but_rejected("nbf", |draft| draft.claim("nbf", NOW_SECONDS as f64 + 60.5));
    for kind in KINDS {
        let token = Draft::of(kind).without_claim("iat").signed(kind.key());
        let expected = if kind == Kind::Oidc {
            kind.rejection()
        } else {
            "ok"
        };
        table.case("iat is required of OIDC", &token, expected);
    }
}

pub fn t20_an_issuer_is_a_text(table: &mut Table) {
    table.expect(MALFORMED, "no iss", |draft| draft.without_claim("iss"));
    for issuer in [json!(null), json!(5), json!(["https://issuer.example"])] {
        table.expect(MALFORMED, &issuer, |draft| {
            draft.claim("iss", issuer.clone())
        });
    }
}

pub fn t21_an_issuer_that_resembles_a_provider_is_none(table: &mut Table) {
    for issuer in [
        "",
        "https://other.example",
        "https://issuer.example.evil",
        "https://issuer.example@evil",
        "https://evil/https://issuer.example",
        "https://ISSUER.example",
        "HTTPS://issuer.example",
        "http://issuer.example",
        "https://issuer.example:443",
        "https://issuer.example/a",
        "https://issuer.example?",
        "https://issuer.exаmple",
        " https://issuer.example",
        "https://issuer.example|x",
    ] {
        let token = Draft::of(Kind::Oidc).claim("iss", issuer).signed(&RSA);
        table.case(issuer, &token, NO_PROVIDER);
    }
}

pub fn t22_an_audience_of_another_deployment_matches_no_provider(table: &mut Table) {
    table.expect(NO_PROVIDER, "no aud", |draft| draft.without_claim("aud"));
    for audience in [
        json!("other"),
        json!(5),
        json!(null),
        json!([]),
        json!(["other"]),
        json!("APP"),
    ] {
        table.expect(NO_PROVIDER, &audience, |draft| {
            draft.claim("aud", audience.clone())
        });
    }
}

pub fn t23_further_audiences_are_for_custom_jwts(table: &mut Table) {
    for (audience, custom) in [
        (json!([APP, "other"]), "ok"),
        (json!(["other", APP]), "ok"),
        (json!([APP, 5]), MALFORMED),
    ] {
        for kind in KINDS {
            let token = Draft::of(kind)
                .claim("aud", audience.clone())
                .signed(kind.key());
            let expected = if kind == Kind::Oidc {
                kind.rejection()
            } else {
                custom
            };
            table.case(format!("{audience} ({kind:?})"), &token, expected);
        }
    }
    table.expect("ok", "a list of one", |draft| {
        draft.claim("aud", json!([APP]))
    });
}

pub fn t24_a_subject_is_a_text_that_can_be_a_name(table: &mut Table) {
    table.honest_but_rejected("no sub", |draft| draft.without_claim("sub"));
    for subject in [
        json!(""),
        json!("x".repeat(1025)),
        json!("a\0b"),
        json!(5),
        json!(null),
    ] {
        table.honest_but_rejected("sub", |draft| draft.claim("sub", subject.clone()));
    }
    table.expect("ok", "1 KiB", |draft| draft.claim("sub", "x".repeat(1024)));
}

#[tokio::test]
async fn t25_subjects_that_differ_at_all_are_different_people() {
    let authenticator = three_providers();
    let mut seen = Vec::new();
    for subject in ["ada", "Ada", "ada ", "\u{e9}", "e\u{301}"] {
        let token = Draft::of(Kind::Oidc).claim("sub", subject).signed(&RSA);
        let user = authenticator.verify_user(&token).await.unwrap();
        assert_eq!(user.identity.subject, subject);
        seen.push(user.identity.token_identifier.clone());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5);
}

pub fn t30_an_admin_key_is_no_token(table: &mut Table) {
    let key = admin_key();
    table.case("an admin key", &key, MALFORMED);
    let attributes =
        data_encoding::BASE64.encode(br#"{"issuer":"https://i.example","subject":"s"}"#);
    table.case(
        "acting as somebody",
        &format!("{key}:{attributes}"),
        MALFORMED,
    );
}

#[test]
fn t30_a_token_is_no_admin_key() {
    let token = Draft::of(Kind::Oidc).signed(&RSA);
    let error = three_providers().verify_admin(&token, None).unwrap_err();
    assert_eq!(error.code(), "BadAdminKey");
}
