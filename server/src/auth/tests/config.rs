//! Which configurations are taken, which are refused, and how a token finds its provider.

use serde_json::{Value as Json, json};

use super::keys::{P256, RSA};
use super::tokens::{Draft, Kind};
use super::{APP, authenticator, clock, code, inline};
use crate::auth::{AuthConfig, CustomJwtAlgorithm, ProviderConfig};
use crate::outbound::{Origins, Own};

fn read(providers: Json) -> Result<AuthConfig, (&'static str, String)> {
    let read = AuthConfig::from_json(&json!({ "providers": providers }));
    let checked = read.and_then(|config| config.check_secure(&own()).map(|()| config));
    checked.map_err(|error| (error.code(), error.to_string()))
}

/// A server that is reached at an address in a private network.
fn own() -> Own {
    let origins = Origins {
        cloud: "http://10.0.0.5:3210".to_owned(),
        site: "http://10.0.0.5:3211".to_owned(),
    };
    Own::new(origins, &Origins::default())
}

#[test]
fn both_kinds_of_provider_are_read() {
    let config = read(json!([
        {"domain": "https://verb-noun-00.clerk.accounts.dev", "applicationID": "convex"},
        {"domain": "clerk.example.com", "applicationID": "convex"},
        {"type": "customJwt", "issuer": "https://custom.example/", "jwks": "https://custom.example/jwks.json",
         "algorithm": "ES256"},
        {"type": "customJwt", "issuer": "https://custom.example", "jwks": "data:application/json;base64,eyJrZXlzIjpbXX0=",
         "algorithm": "RS256", "applicationID": "app"},
    ]))
    .unwrap();
    let issuers: Vec<&str> = config.providers().iter().map(|it| it.issuer()).collect();
    assert_eq!(
        issuers,
        [
            "https://verb-noun-00.clerk.accounts.dev",
            "https://clerk.example.com",
            "https://custom.example/",
            "https://custom.example",
        ]
    );
    assert!(
        AuthConfig::from_json(&json!({"providers": []}))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn an_issuer_that_cannot_be_one_is_refused_with_a_sentence() {
    for (domain, sentence) in [
        ("\"https://a.com\"", "quotation mark"),
        ("", "does not parse"),
        ("https://", "does not parse"),
        ("https://a b.com", "does not parse"),
        ("https://a.com\n", "does not parse"),
        ("ftp://a.com", "scheme"),
        ("HTTPS://a.com", "scheme"),
        ("intranet", "top-level domain"),
        ("issuer.local", "top-level domain"),
        ("10.0.0.1", "top-level domain"),
        ("https://user@a.com", "no place"),
        ("https://a.com?tenant=1", "no place"),
        ("https://a.com#x", "no place"),
        ("https://a.com|b", "character |"),
        ("a.com|b", "character |"),
        ("http://a.com", "plain http"),
        ("http://10.0.0.5:3212", "plain http"),
    ] {
        let (code, message) =
            read(json!([{"domain": domain, "applicationID": "app"}])).unwrap_err();
        assert_eq!(code, "InvalidProviderDomainUrl", "{domain}");
        assert!(message.contains(sentence), "{message}");
    }
    for domain in [
        "http://localhost:3210",
        "http://127.0.0.1:1",
        "http://[::1]:1",
        "localhost",
        "a.co.uk",
    ] {
        assert!(ProviderConfig::oidc(domain, "app").is_ok(), "{domain}");
    }
}

#[test]
fn an_issuer_may_be_this_server_over_plain_http() {
    for provider in [
        json!({"domain": "http://10.0.0.5:3211", "applicationID": "convex"}),
        json!({"type": "customJwt", "issuer": "http://10.0.0.5:3211", "algorithm": "RS256",
               "jwks": "http://10.0.0.5:3210/http/jwks"}),
    ] {
        assert!(read(json!([provider])).is_ok(), "{provider}");
    }
}

#[test]
fn t26_an_issuer_with_a_bar_is_refused_so_that_two_people_never_share_a_text() {
    let custom = ProviderConfig::custom_jwt(
        "https://a.com|x",
        "https://a.com/jwks",
        CustomJwtAlgorithm::Rs256,
        None,
    );
    assert_eq!(custom.unwrap_err().code(), "InvalidProviderDomainUrl");
}

#[test]
fn anything_else_odd_is_refused_with_a_sentence() {
    let custom = |fields: Json| {
        let mut provider = json!({
            "type": "customJwt", "issuer": "https://a.com", "jwks": "https://a.com/jwks", "algorithm": "RS256",
        });
        provider
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        json!([provider])
    };
    let cases = [
        (json!({}), "providers"),
        (json!([{"domain": "https://a.com"}]), "applicationID"),
        (
            json!([{"domain": "https://a.com", "applicationID": ""}]),
            "empty",
        ),
        (
            json!([{"domain": "https://a.com", "applicationID": "a", "algorithm": "RS256"}]),
            "algorithm",
        ),
        (json!([{"type": "saml"}]), "unknown"),
        (
            custom(json!({"applicationId": "misspelled"})),
            "applicationId",
        ),
        (custom(json!({"algorithm": "HS256"})), "RS256 or ES256"),
        (custom(json!({"jwks": "/jwks.json"})), "neither a URL"),
        (custom(json!({"jwks": "file:///etc/jwks"})), "scheme"),
        (custom(json!({"jwks": "http://a.com/jwks"})), "plain http"),
        (
            custom(json!({"jwks": "https://u:p@a.com/jwks"})),
            "user name",
        ),
        (custom(json!({"jwks": "data:application/json"})), "comma"),
        (
            custom(json!({"jwks": "data:application/json;base64,***"})),
            "base64",
        ),
        (
            custom(json!({"jwks": "data:application/json,%7"})),
            "hexadecimal",
        ),
        (
            custom(json!({"jwks": "data:application/json,{}"})),
            "JWK Set",
        ),
    ];
    for (providers, sentence) in cases {
        let (code, message) = read(providers).unwrap_err();
        assert_eq!(code, "InvalidAuthConfig", "{message}");
        assert!(message.contains(sentence), "{message}");
    }
    let many: Vec<Json> = (0..101)
        .map(|_| json!({"domain": "https://a.com", "applicationID": "a"}))
        .collect();
    assert!(read(json!(many)).unwrap_err().1.contains("101 providers"));
}

#[tokio::test]
async fn the_first_provider_that_matches_wins() {
    let wrong = inline(Kind::CustomRs256, &[P256.jwk("good")]);
    let right = inline(Kind::CustomRs256, &[RSA.jwk("good")]);
    let token = Draft::of(Kind::CustomRs256).signed(&RSA);
    let first_wrong = authenticator([wrong.clone(), right.clone()], clock());
    assert_eq!(code(&first_wrong, &token).await, "InvalidAuthHeader");
    let first_right = authenticator([right, wrong], clock());
    assert_eq!(code(&first_right, &token).await, "ok");
}

#[tokio::test]
async fn a_custom_jwt_without_an_application_id_has_any_audience() {
    let jwks = format!("data:,{}", json!({"keys": [RSA.jwk("good")]}));
    let issuer = Kind::CustomRs256.issuer();
    let provider =
        ProviderConfig::custom_jwt(issuer, &jwks, CustomJwtAlgorithm::Rs256, None).unwrap();
    let authenticator = authenticator([provider], clock());
    for audience in [json!(null), json!("other"), json!([APP, 5])] {
        let token = Draft::of(Kind::CustomRs256)
            .claim("aud", audience)
            .signed(&RSA);
        assert_eq!(code(&authenticator, &token).await, "ok");
    }
    let token = Draft::of(Kind::CustomRs256)
        .claim("iss", "rs256.example")
        .signed(&RSA);
    let user = authenticator.verify_user(&token).await.unwrap();
    assert_eq!(
        user.identity.token_identifier, "rs256.example|ada",
        "the text of the token"
    );
}

#[tokio::test]
async fn redacted_messages_name_neither_providers_nor_anything_of_the_token() {
    let authenticator = authenticator([inline(Kind::Oidc, &[RSA.jwk("good")])], clock());
    let tokens = [
        Draft::of(Kind::Oidc).claim("iss", "https://canary.example"),
        Draft::of(Kind::Oidc).claim("aud", "canary"),
        Draft::of(Kind::Oidc).header("kid", "canary"),
        Draft::of(Kind::Oidc).header("alg", "canary"),
    ];
    for draft in tokens {
        let error = authenticator
            .verify_user(&draft.signed(&RSA))
            .await
            .unwrap_err();
        assert!(error.message().contains("canary"), "{error}");
        let redacted = error.redacted_message();
        assert!(
            !redacted.contains("canary") && !redacted.contains("example"),
            "{redacted}"
        );
    }
    let stranger = Draft::of(Kind::Oidc).claim("aud", "other").signed(&RSA);
    let message = authenticator
        .verify_user(&stranger)
        .await
        .unwrap_err()
        .message();
    assert!(
        message.starts_with("No auth provider found matching the given token"),
        "{message}"
    );
    assert!(
        message.contains("https://issuer.example with applicationID \"app\""),
        "{message}"
    );
}

#[tokio::test]
async fn a_verified_user_has_the_expiry_of_the_token() {
    let authenticator = authenticator([inline(Kind::Oidc, &[RSA.jwk("good")])], clock());
    let user = authenticator
        .verify_user(&Draft::of(Kind::Oidc).signed(&RSA))
        .await
        .unwrap();
    assert_eq!(user.expires_at.seconds(), super::NOW_SECONDS + 60);
    let last = crate::clock::UnixNanos(user.expires_at.0 - 1);
    assert_eq!(user.check_not_expired(last), Ok(()));
    let error = user.check_not_expired(user.expires_at).unwrap_err();
    assert_eq!(error.code(), "TokenExpired");
}

#[tokio::test]
async fn a_provider_of_machines_says_so_and_no_other_is_taken_for_one() {
    let jwks = format!("data:,{}", json!({"keys": [P256.jwk("good")]}));
    let provider = |provisioning: Json| {
        let mut provider = json!({
            "type": "customJwt", "issuer": Kind::CustomEs256.issuer(), "jwks": jwks, "algorithm": "ES256",
        });
        if !provisioning.is_null() {
            provider["provisioning"] = provisioning;
        }
        read(json!([provider]))
    };
    let token = Draft::of(Kind::CustomEs256).signed(&P256);
    let expected = [
        (Json::Null, true),
        (json!(true), true),
        (json!(false), false),
    ];
    for (provisioning, expected) in expected {
        let provider = provider(provisioning).unwrap().providers()[0].clone();
        let authenticator = authenticator([provider], clock());
        let user = authenticator.verify_user(&token).await.unwrap();
        assert_eq!(user.needs_provisioning, expected);
    }
    let (code, sentence) = provider(json!("no")).unwrap_err();
    assert_eq!(code, "InvalidAuthConfig");
    assert!(sentence.contains("Auth provider 1"), "{sentence}");
}

#[tokio::test]
async fn e5_a_token_refused_for_its_time_is_told_the_servers() {
    let authenticator = authenticator([inline(Kind::Oidc, &[RSA.jwk("good")])], clock());
    let now = super::NOW_SECONDS;
    for (claim, at, said) in [
        ("exp", now - 1, "it has expired"),
        ("nbf", now + 61, "it is not valid yet"),
    ] {
        let token = Draft::of(Kind::Oidc).claim(claim, json!(at)).signed(&RSA);
        let error = authenticator.verify_user(&token).await.unwrap_err();
        for message in [error.message(), error.redacted_message()] {
            let clock = "by this server's clock it is 2023-11-14T22:13:20Z";
            assert!(
                message.contains(said) && message.contains(clock),
                "{message}"
            );
        }
    }
}
