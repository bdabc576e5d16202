//! The development issuer, through the same verifier as every provider.

use serde_json::json;

use super::issuer::{Answer, TestIssuer};
use super::{APP, NOW, authenticator, clock, code};
use crate::auth::dev_issuer::{
    DevIssuerError, check_dev_allowed, check_dev_origin, check_dev_peer,
};
use crate::auth::{DevIssuer, DevRefused, ProviderConfig, TokenRequest};

const ISSUER: &str = "http://127.0.0.1:3210";

fn ada() -> TokenRequest {
    serde_json::from_value(json!({"subject": "ada", "name": "Ada", "email": "ada@example.com"}))
        .unwrap()
}

#[tokio::test]
async fn its_tokens_sign_in_and_outlive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let issuer = DevIssuer::open(directory.path(), ISSUER, APP).unwrap();
    let token = issuer.mint(&ada(), NOW).unwrap();
    drop(issuer);
    let issuer = DevIssuer::open(directory.path(), ISSUER, APP).unwrap();
    let authenticator = authenticator([issuer.provider().unwrap()], clock());
    let user = authenticator.verify_user(&token).await.unwrap();
    assert_eq!(user.identity.token_identifier, format!("{ISSUER}|ada"));
    assert_eq!(user.identity.text("name"), Some("Ada"));
    assert_eq!(user.identity.text("email"), Some("ada@example.com"));
    assert_eq!(user.identity.attributes.len(), 2);
    assert_eq!(user.expires_at.seconds(), NOW.seconds() + 3_600);
}

#[tokio::test]
async fn another_server_finds_its_keys_by_discovery() {
    let directory = tempfile::tempdir().unwrap();
    let web = TestIssuer::start().await;
    let issuer = DevIssuer::open(directory.path(), &web.url, APP).unwrap();
    web.answer(
        "/.well-known/openid-configuration",
        Answer::json(issuer.discovery_json()),
    );
    web.answer("/.well-known/jwks.json", Answer::json(issuer.jwks_json()));
    let authenticator = authenticator([ProviderConfig::oidc(&web.url, APP).unwrap()], clock());
    let token = issuer.mint(&ada(), NOW).unwrap();
    assert_eq!(code(&authenticator, &token).await, "ok");
}

#[tokio::test]
async fn two_data_directories_do_not_know_each_others_tokens() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let one = DevIssuer::open(one.path(), ISSUER, APP).unwrap();
    let other = DevIssuer::open(other.path(), ISSUER, APP).unwrap();
    let authenticator = authenticator([one.provider().unwrap()], clock());
    let token = other.mint(&ada(), NOW).unwrap();
    assert_eq!(code(&authenticator, &token).await, "Unauthenticated");
}

#[test]
fn a_request_out_of_bounds_gets_no_token() {
    let directory = tempfile::tempdir().unwrap();
    let issuer = DevIssuer::open(directory.path(), ISSUER, APP).unwrap();
    let with = |fields: serde_json::Value| {
        let mut request = json!({"subject": "ada"});
        request
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        issuer.mint(&serde_json::from_value(request).unwrap(), NOW)
    };
    let long = "x".repeat(1_025);
    for fields in [
        json!({"subject": ""}),
        json!({"subject": long}),
        json!({"subject": "a\0b"}),
        json!({"name": ""}),
        json!({"email": long}),
    ] {
        assert!(matches!(with(fields), Err(DevIssuerError::Field { .. })));
    }
    for seconds in [0, 86_401, u64::MAX] {
        let refused = with(json!({"expiresInSeconds": seconds}));
        assert!(
            matches!(refused, Err(DevIssuerError::Lifetime)),
            "{seconds}"
        );
    }
    for seconds in [1, 86_400] {
        assert!(with(json!({"expiresInSeconds": seconds})).is_ok());
    }
    for body in [
        json!({}),
        json!({"subject": "a", "role": "admin"}),
        json!({"subject": 5}),
    ] {
        assert!(serde_json::from_value::<TokenRequest>(body).is_err());
    }
}

#[test]
fn it_runs_on_loopback_and_beside_no_real_provider() {
    let real = ProviderConfig::oidc("https://clerk.example.com", "convex").unwrap();
    let local = ProviderConfig::oidc("http://localhost:9000", "app").unwrap();
    let loopback = "127.0.0.1:3210".parse().unwrap();
    assert_eq!(check_dev_allowed(loopback, &[]), Ok(()));
    assert_eq!(
        check_dev_allowed("[::1]:3210".parse().unwrap(), std::slice::from_ref(&local)),
        Ok(())
    );
    for address in ["0.0.0.0:3210", "192.168.1.5:3210", "[::]:3210", "8.8.8.8:1"] {
        let address = address.parse().unwrap();
        let refused = check_dev_allowed(address, &[]).unwrap_err();
        assert!(refused.to_string().contains("loopback"), "{refused}");
    }
    let refused = check_dev_allowed(loopback, &[local, real]).unwrap_err();
    assert!(
        refused.to_string().contains("https://clerk.example.com"),
        "{refused}"
    );
}

#[test]
fn nobody_but_a_direct_peer_of_this_machine_gets_a_token() {
    let here = Some("127.0.0.1".parse().unwrap());
    let none = std::iter::empty;
    assert_eq!(
        check_dev_peer(here, ["host", "origin", "accept"].into_iter()),
        Ok(())
    );
    assert_eq!(check_dev_peer(Some("::1".parse().unwrap()), none()), Ok(()));
    assert_eq!(
        check_dev_peer(Some("::ffff:127.0.0.1".parse().unwrap()), none()),
        Ok(())
    );
    for peer in [
        None,
        Some("192.168.1.5".parse().unwrap()),
        Some("::2".parse().unwrap()),
    ] {
        assert_eq!(
            check_dev_peer(peer, none()),
            Err(DevRefused::Forwarded),
            "{peer:?}"
        );
    }
}

#[test]
fn no_foreign_page_gets_a_token() {
    let allowed = [
        (Some("127.0.0.1:3210"), None),
        (Some("localhost:3210"), Some("http://localhost:5173")),
        (Some("localhost"), Some("https://localhost")),
        (Some("[::1]:3210"), Some("http://127.0.0.1:3000")),
    ];
    for (host, origin) in allowed {
        assert_eq!(
            check_dev_origin(host, origin),
            Ok(()),
            "{host:?} {origin:?}"
        );
    }
    for host in [
        None,
        Some(""),
        Some("evil.example"),
        Some("evil.example:3210"),
        Some("localhost.evil.example"),
        Some("evil.example#localhost"),
        Some("localhost@evil.example"),
        Some("evil@localhost"),
        Some("192.168.1.5:3210"),
        Some("0.0.0.0:3210"),
    ] {
        assert_eq!(
            check_dev_origin(host, None),
            Err(DevRefused::Host),
            "{host:?}"
        );
    }
    for origin in [
        "null",
        "",
        "https://evil.example",
        "http://localhost.evil.example",
        "http://evil.example/http://localhost",
        "file://",
        "http://localhost@evil.example",
    ] {
        let refused = check_dev_origin(Some("localhost:3210"), Some(origin));
        assert_eq!(refused, Err(DevRefused::Origin), "{origin}");
    }
}
