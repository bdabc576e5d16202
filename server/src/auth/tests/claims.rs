//! Every way the claims of a token can be wrong, against both kinds of provider, with the code each must give.

use serde_json::json;

use super::keys::RSA;
use super::refusals::{MALFORMED, NO_PROVIDER, expect, honest_but_rejected, three_providers};
use super::tokens::{Draft, KINDS, Kind};
use super::{APP, NOW_SECONDS, code};

#[tokio::test]
async fn valid_tokens_are_accepted() {
    expect("ok", "as it is", |draft| draft).await;
    expect("ok", "fractions of a second", |draft| {
        draft.claim("exp", NOW_SECONDS as f64 + 0.5)
    })
    .await;
    expect("ok", "without nbf", |draft| draft.without_claim("nbf")).await;
    expect("ok", "a clock ahead by five seconds", |draft| {
        draft.claim("nbf", NOW_SECONDS + 5)
    })
    .await;
    expect("ok", "a far expiry", |draft| {
        draft.claim("exp", 253_402_300_799_u64)
    })
    .await;
    expect("ok", "a slash after the issuer", |draft| {
        let issuer = format!("{}/", draft.claims["iss"].as_str().unwrap());
        draft.claim("iss", issuer)
    })
    .await;
}

#[tokio::test]
async fn t17_a_token_ends_at_its_expiry() {
    honest_but_rejected("no exp", |draft| draft.without_claim("exp")).await;
    for past in [0, 1, 4, 3_600] {
        honest_but_rejected(past, |draft| draft.claim("exp", NOW_SECONDS - past)).await;
    }
}

#[tokio::test]
async fn t18_times_are_numbers() {
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
            honest_but_rejected(format!("{claim} {value}"), |draft| {
                draft.claim(claim, value.clone())
            })
            .await;
        }
    }
}

#[tokio::test]
async fn t19_a_token_of_the_future_is_rejected() {
    honest_but_rejected("nbf", |draft| draft.claim("nbf", NOW_SECONDS + 6)).await;
    honest_but_rejected("nbf", |draft| draft.claim("nbf", NOW_SECONDS as f64 + 5.5)).await;
    let authenticator = three_providers();
    for kind in KINDS {
        let token = Draft::of(kind).without_claim("iat").signed(kind.key());
        let expected = if kind == Kind::Oidc {
            kind.rejection()
        } else {
            "ok"
        };
        assert_eq!(
            code(&authenticator, &token).await,
            expected,
            "iat is required of OIDC"
        );
    }
}

#[tokio::test]
async fn t20_an_issuer_is_a_text() {
    expect(MALFORMED, "no iss", |draft| draft.without_claim("iss")).await;
    for issuer in [json!(null), json!(5), json!(["https://issuer.example"])] {
        expect(MALFORMED, &issuer, |draft| {
            draft.claim("iss", issuer.clone())
        })
        .await;
    }
}

#[tokio::test]
async fn t21_an_issuer_that_resembles_a_provider_is_none() {
    let authenticator = three_providers();
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
        assert_eq!(code(&authenticator, &token).await, NO_PROVIDER, "{issuer}");
    }
}

#[tokio::test]
async fn t22_an_audience_of_another_deployment_matches_no_provider() {
    expect(NO_PROVIDER, "no aud", |draft| draft.without_claim("aud")).await;
    for audience in [
        json!("other"),
        json!(5),
        json!(null),
        json!([]),
        json!(["other"]),
        json!("APP"),
    ] {
        expect(NO_PROVIDER, &audience, |draft| {
            draft.claim("aud", audience.clone())
        })
        .await;
    }
}

#[tokio::test]
async fn t23_further_audiences_are_for_custom_jwts() {
    let authenticator = three_providers();
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
            assert_eq!(
                code(&authenticator, &token).await,
                expected,
                "{audience} ({kind:?})"
            );
        }
    }
    expect("ok", "a list of one", |draft| {
        draft.claim("aud", json!([APP]))
    })
    .await;
}

#[tokio::test]
async fn t24_a_subject_is_a_text_that_can_be_a_name() {
    honest_but_rejected("no sub", |draft| draft.without_claim("sub")).await;
    for subject in [
        json!(""),
        json!("x".repeat(1025)),
        json!("a\0b"),
        json!(5),
        json!(null),
    ] {
        honest_but_rejected("sub", |draft| draft.claim("sub", subject.clone())).await;
    }
    expect("ok", "1 KiB", |draft| draft.claim("sub", "x".repeat(1024))).await;
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

#[tokio::test]
async fn t30_tokens_and_admin_keys_are_not_mistaken_for_each_other() {
    let authenticator = three_providers();
    let token = Draft::of(Kind::Oidc).signed(&RSA);
    let error = authenticator.verify_admin(&token, None).unwrap_err();
    assert_eq!(error.code(), "BadAdminKey");
    let key = authenticator.admin_keys().mint(super::NOW, None).unwrap();
    assert_eq!(code(&authenticator, key.text.expose()).await, MALFORMED);
}
