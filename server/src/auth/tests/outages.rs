//! Providers that are slow, down, lying or changing their keys.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use serde_json::json;

use super::issuer::{Answer, DISCOVERY, KEYS, TestIssuer};
use super::keys::{OTHER_RSA, RSA};
use super::tokens::Draft;
use super::{APP, authenticator, authenticator_with, clock, code};
use crate::auth::fetch::Fetcher;
use crate::auth::{
    AuthConfig, Authenticator, CustomJwtAlgorithm, FetchError, KeysState, ProviderConfig,
    TokenError,
};
use crate::clock::{Clock, ManualClock};

const UNAVAILABLE: &str = "AuthProviderDiscoveryFailed";
const MINUTE: Duration = Duration::from_secs(60);

/// A provider, the verifier of its tokens, and the clock.
pub(super) struct World {
    pub issuer: TestIssuer,
    pub authenticator: Authenticator,
    pub clock: Arc<ManualClock>,
}

impl World {
    /// With an honest provider that has the key `good`.
    pub async fn new() -> World {
        World::of(TestIssuer::with_keys(&[RSA.jwk("good")]).await)
    }

    pub fn of(issuer: TestIssuer) -> World {
        let clock = clock();
        let provider = ProviderConfig::oidc(&issuer.url, APP).unwrap();
        let authenticator = authenticator([provider], clock.clone());
        World {
            issuer,
            authenticator,
            clock,
        }
    }

    /// A token that is valid now.
    pub fn draft(&self) -> Draft {
        let now = self.clock.now().seconds();
        let draft = Draft::new(&self.issuer.url, "RS256");
        draft
            .claim("iat", now)
            .claim("nbf", now)
            .claim("exp", now + 60)
    }

    pub fn token(&self) -> String {
        self.draft().signed(&RSA)
    }

    pub fn unknown(&self, kid: &str) -> String {
        self.draft().header("kid", kid).signed(&RSA)
    }

    pub async fn code(&self, token: &str) -> &'static str {
        code(&self.authenticator, token).await
    }

    pub fn go_down(&self) {
        self.issuer.answer(DISCOVERY, Answer::Status(503));
        self.issuer.answer(KEYS, Answer::Status(503));
    }

    pub fn come_back(&self) {
        self.issuer
            .answer(DISCOVERY, Answer::json(self.issuer.discovery()));
        self.issuer
            .answer(KEYS, Answer::json(json!({"keys": [RSA.jwk("good")]})));
    }

    fn state(&self) -> KeysState {
        self.authenticator.provider_health()[0].keys
    }
}

#[tokio::test]
async fn keys_are_found_by_discovery_and_fetched_once_for_all() {
    let world = World::new().await;
    assert_eq!(world.state(), KeysState::Unknown);
    let token = world.token();
    let codes = join_all((0..50).map(|_| world.code(&token))).await;
    assert!(codes.iter().all(|code| *code == "ok"));
    assert_eq!(
        (world.issuer.asked(DISCOVERY), world.issuer.asked(KEYS)),
        (1, 1)
    );
    assert_eq!(world.state(), KeysState::Fresh);
}

#[tokio::test]
async fn keys_are_kept_for_as_long_as_their_cache_headers_say_within_bounds() {
    for (header, minutes) in [
        ("no-store", 5),
        ("max-age=1", 5),
        ("max-age=1200", 20),
        ("max-age=99999999", 60),
    ] {
        let world = World::new().await;
        let keys = json!({"keys": [RSA.jwk("good")]});
        world.issuer.answer(KEYS, Answer::cached(keys, header));
        world.code(&world.token()).await;
        world
            .clock
            .advance(minutes * MINUTE - Duration::from_nanos(1));
        world.code(&world.token()).await;
        assert_eq!(world.issuer.asked(KEYS), 1, "{header}");
        world.clock.advance(Duration::from_nanos(1));
        assert_eq!(world.code(&world.token()).await, "ok");
        assert_eq!(world.issuer.asked(KEYS), 2, "{header}");
    }
}

#[tokio::test]
async fn a_custom_jwt_key_set_is_fetched_from_its_address() {
    let issuer = TestIssuer::start().await;
    let address = format!("{}{KEYS}", issuer.url);
    let provider =
        ProviderConfig::custom_jwt(&issuer.url, &address, CustomJwtAlgorithm::Rs256, Some(APP))
            .unwrap();
    let keys = json!({"keys": [RSA.jwk("good")]}).to_string().into_bytes();
    let token = Draft::new(&issuer.url, "RS256").signed(&RSA);
    for (content_type, expected) in [
        (Some("application/json"), "ok"),
        (Some("application/jwk-set+json; charset=UTF-8"), "ok"),
        (Some("application/json; charset=latin1"), UNAVAILABLE),
        (Some("text/html"), UNAVAILABLE),
        (None, UNAVAILABLE),
    ] {
        issuer.answer(KEYS, Answer::body(content_type, keys.clone()));
        let authenticator = authenticator([provider.clone()], clock());
        assert_eq!(
            code(&authenticator, &token).await,
            expected,
            "{content_type:?}"
        );
    }
    assert_eq!(issuer.asked(DISCOVERY), 0);
}

#[tokio::test]
async fn p1_a_provider_that_is_down_at_first_use_is_not_a_bad_token() {
    let world = World::of(TestIssuer::start().await);
    for status in [500, 503, 404, 401, 429] {
        world.issuer.answer(DISCOVERY, Answer::Status(status));
        assert_eq!(world.code(&world.token()).await, UNAVAILABLE, "{status}");
        world.clock.advance(MINUTE);
    }
    world.come_back();
    assert_eq!(world.code(&world.token()).await, "ok");
}

#[tokio::test]
async fn p1_no_connection_is_not_a_bad_token() {
    let gone = TestIssuer::start().await.url;
    let authenticator = authenticator([ProviderConfig::oidc(&gone, APP).unwrap()], clock());
    let token = Draft::new(&gone, "RS256").signed(&RSA);
    assert_eq!(code(&authenticator, &token).await, UNAVAILABLE);
}

#[tokio::test]
async fn p1_an_answer_that_never_ends_is_given_up() {
    for path in [DISCOVERY, KEYS] {
        let issuer = TestIssuer::with_keys(&[RSA.jwk("good")]).await;
        issuer.answer(path, Answer::Stall);
        let provider = ProviderConfig::oidc(&issuer.url, APP).unwrap();
        let impatient = Fetcher::new(Duration::from_millis(200), Arc::default());
        let authenticator = authenticator_with([provider], clock(), impatient);
        let token = Draft::new(&issuer.url, "RS256").signed(&RSA);
        let error = authenticator.verify_user(&token).await.unwrap_err();
        assert!(matches!(
            error,
            TokenError::ProviderUnavailable {
                reason: FetchError::TooSlow,
                ..
            }
        ));
        assert_eq!(error.code(), UNAVAILABLE);
    }
}

#[tokio::test]
async fn p1_a_provider_that_is_down_is_asked_ever_more_rarely_and_once_for_all() {
    let world = World::of(TestIssuer::start().await);
    let token = world.token();
    let codes = join_all((0..50).map(|_| world.code(&token))).await;
    assert!(codes.iter().all(|code| *code == UNAVAILABLE));
    assert_eq!(world.issuer.asked(DISCOVERY), 1);
    world.code(&token).await;
    assert_eq!(world.issuer.asked(DISCOVERY), 1, "within the first backoff");
    let token = world.draft().claim("exp", 9_999_999_999_u64).signed(&RSA);
    for _ in 0..10 * 60 {
        world.clock.advance(Duration::from_secs(1));
        assert_eq!(world.code(&token).await, UNAVAILABLE);
    }
    let asked = world.issuer.asked(DISCOVERY);
    assert!((60..=66).contains(&asked), "{asked} times in ten minutes");
}

#[tokio::test]
async fn p2_known_keys_serve_on_for_a_day() {
    let world = World::new().await;
    assert_eq!(world.code(&world.token()).await, "ok");
    world.go_down();
    for hour in 1..24 {
        world.clock.advance(60 * MINUTE);
        assert_eq!(world.code(&world.token()).await, "ok", "hour {hour}");
    }
    let health = &world.authenticator.provider_health()[0];
    assert_eq!(health.stale_uses, 23);
    assert_eq!(
        health.keys,
        KeysState::Stale {
            age: 23 * 60 * MINUTE
        }
    );
    assert!(health.failing.is_some());
    world.clock.advance(60 * MINUTE);
    assert_eq!(world.code(&world.token()).await, UNAVAILABLE, "after a day");
    world.come_back();
    world.clock.advance(MINUTE);
    assert_eq!(world.code(&world.token()).await, "ok");
    assert_eq!(world.state(), KeysState::Fresh);
}

#[tokio::test]
async fn p2_while_a_provider_is_known_to_be_down_no_login_waits_for_the_next_attempt() {
    let world = World::new().await;
    assert_eq!(world.code(&world.token()).await, "ok");
    world.go_down();
    world.clock.advance(60 * MINUTE);
    assert_eq!(world.code(&world.token()).await, "ok", "which found it out");
    for path in [DISCOVERY, KEYS] {
        world.issuer.answer(path, Answer::Stall);
    }
    world.clock.advance(MINUTE);
    let token = world.token();
    assert_eq!(world.code(&token).now_or_never(), Some("ok"));
}

#[tokio::test]
async fn p2_an_unknown_key_of_a_provider_that_is_down_is_not_a_bad_token() {
    let world = World::new().await;
    assert_eq!(world.code(&world.token()).await, "ok");
    world.go_down();
    for _ in 0..3 {
        assert_eq!(world.code(&world.unknown("new")).await, UNAVAILABLE);
    }
    assert_eq!(
        world.code(&world.token()).await,
        "ok",
        "the known key still serves"
    );
    world.come_back();
    world.clock.advance(MINUTE);
    assert_eq!(world.code(&world.unknown("new")).await, "Unauthenticated");
}

#[tokio::test]
async fn p3_a_hopeless_token_causes_no_fetch() {
    let world = World::new().await;
    for draft in [
        world.draft().claim("exp", 1),
        world.draft().header("alg", "HS256"),
        world.draft().header("kid", "a\0b"),
        world.draft().claim("aud", json!([APP, "other"])),
    ] {
        assert_eq!(world.code(&draft.signed(&RSA)).await, "Unauthenticated");
    }
    assert_eq!(world.issuer.asked(DISCOVERY), 0);
}

#[tokio::test]
async fn t13_no_request_leaves_for_an_address_in_a_header() {
    let world = World::new().await;
    let other = TestIssuer::with_keys(&[OTHER_RSA.jwk("theirs")]).await;
    let address = format!("{}{KEYS}", other.url);
    for name in ["jku", "x5u"] {
        let draft = world.draft().header(name, address.clone());
        assert_eq!(world.code(&draft.signed(&RSA)).await, "ok");
        let forged = draft.header("kid", "theirs").signed(&OTHER_RSA);
        assert_eq!(world.code(&forged).await, "Unauthenticated");
        world.clock.advance(Duration::from_secs(10));
    }
    assert_eq!(other.asked(KEYS), 0);
}

#[tokio::test]
async fn p4_redirects_stay_on_the_same_host() {
    let other = TestIssuer::with_keys(&[RSA.jwk("good")]).await;
    for to in [
        format!("{}{KEYS}", other.url),
        "file:///etc/passwd".to_owned(),
        "http://169.254.169.254/keys".to_owned(),
        "//localhost/keys".to_owned(),
    ] {
        let world = World::new().await;
        world.issuer.answer(KEYS, Answer::Redirect(to.clone()));
        assert_eq!(world.code(&world.token()).await, UNAVAILABLE, "{to}");
    }
    assert_eq!(other.asked(KEYS), 0);
    let world = World::new().await;
    world
        .issuer
        .answer(KEYS, Answer::Redirect("/moved".to_owned()));
    world
        .issuer
        .answer("/moved", Answer::json(json!({"keys": [RSA.jwk("good")]})));
    assert_eq!(world.code(&world.token()).await, "ok");
    world
        .issuer
        .answer("/moved", Answer::Redirect(KEYS.to_owned()));
    world.clock.advance(60 * MINUTE);
    assert_eq!(
        world.code(&world.unknown("x")).await,
        UNAVAILABLE,
        "a circle"
    );
}

#[tokio::test]
async fn p5_a_discovery_document_that_lies_is_a_failed_fetch() {
    let world = World::of(TestIssuer::start().await);
    let keys = format!("{}{KEYS}", world.issuer.url);
    let documents = [
        Answer::json(json!({"issuer": "https://other.example", "jwks_uri": keys})),
        Answer::json(json!({"issuer": world.issuer.url})),
        Answer::json(json!({"issuer": world.issuer.url, "jwks_uri": "http://keys.example/keys"})),
        Answer::json(json!({"issuer": world.issuer.url, "jwks_uri": "file:///etc/keys"})),
        Answer::json(json!([])),
        Answer::body(Some("text/html"), b"<html>".to_vec()),
        Answer::body(Some("application/json"), b"<html>".to_vec()),
        Answer::body(Some("application/json"), vec![b' '; 10 * 1024 * 1024]),
    ];
    for (index, document) in documents.into_iter().enumerate() {
        world.issuer.answer(DISCOVERY, document);
        assert_eq!(
            world.code(&world.token()).await,
            UNAVAILABLE,
            "document {index}"
        );
        world.clock.advance(MINUTE);
    }
    assert_eq!(world.issuer.asked(KEYS), 0);
    world.come_back();
    assert_eq!(world.code(&world.token()).await, "ok");
}

#[tokio::test]
async fn p5_a_key_set_is_bounded_and_one_bad_key_does_not_spoil_it() {
    let sets = [
        (
            json!({"keys": [5, {"kty": "RSA"}, {"kty": "oct", "k": "AA"}, RSA.jwk("good")]}),
            "ok",
        ),
        (json!({"keys": "none"}), UNAVAILABLE),
        (json!({}), UNAVAILABLE),
    ];
    for (set, expected) in sets {
        let world = World::new().await;
        world.issuer.answer(KEYS, Answer::json(set));
        assert_eq!(world.code(&world.token()).await, expected);
    }
    for (place, expected) in [(99, "ok"), (100, "Unauthenticated")] {
        let mut keys = vec![json!({"kty": "oct"}); 10_000];
        keys[place] = RSA.jwk("good");
        let world = World::of(TestIssuer::with_keys(&keys).await);
        assert_eq!(world.code(&world.token()).await, expected, "key {place}");
    }
    let world = World::new().await;
    let long = format!("{{\"keys\":[]{}}}", " ".repeat(2 * 1024 * 1024));
    world
        .issuer
        .answer(KEYS, Answer::body(None, long.into_bytes()));
    assert_eq!(world.code(&world.token()).await, UNAVAILABLE);
}

#[tokio::test]
async fn p6_a_new_key_is_found_at_once_and_a_removed_one_ends_with_the_cache() {
    let world = World::new().await;
    assert_eq!(world.code(&world.token()).await, "ok");
    let both = json!({"keys": [RSA.jwk("good"), OTHER_RSA.jwk("next")]});
    world.issuer.answer(KEYS, Answer::json(both));
    let new = || world.draft().header("kid", "next").signed(&OTHER_RSA);
    let (old_token, new_token) = (world.token(), new());
    let codes = join_all((0..50).map(|index| {
        world.code(if index % 2 == 0 {
            &old_token
        } else {
            &new_token
        })
    }));
    assert!(codes.await.iter().all(|code| *code == "ok"));
    assert_eq!(world.issuer.asked(KEYS), 2);
    let only_new = json!({"keys": [OTHER_RSA.jwk("next")]});
    world.issuer.answer(KEYS, Answer::json(only_new));
    world.clock.advance(5 * MINUTE);
    assert_eq!(world.code(&new()).await, "ok");
    assert_eq!(world.code(&world.token()).await, "Unauthenticated");
}

#[tokio::test]
async fn the_issuer_is_spelled_as_discovery_spells_it() {
    let world = World::new().await;
    let slash = format!("{}/", world.issuer.url);
    let token = world.draft().claim("iss", slash).signed(&RSA);
    assert_eq!(world.code(&token).await, "Unauthenticated");
}

#[tokio::test]
async fn a_jump_of_the_wall_clock_does_not_age_the_keys() {
    let world = World::new().await;
    assert_eq!(world.code(&world.token()).await, "ok");
    world.go_down();
    let decade = 10 * 365 * 24 * 60 * MINUTE;
    world.clock.jump_to(world.clock.now().plus(decade));
    assert_eq!(world.code(&world.token()).await, "ok");
    assert_eq!(world.issuer.asked(KEYS), 1);
}

#[tokio::test]
async fn a_push_keeps_the_keys_of_providers_that_stay() {
    let world = World::new().await;
    assert_eq!(world.code(&world.token()).await, "ok");
    world.go_down();
    let same = ProviderConfig::oidc(&world.issuer.url, APP).unwrap();
    let another = ProviderConfig::oidc("https://another.example", APP).unwrap();
    let config = AuthConfig::none().with(another).with(same);
    world.authenticator.configure(config);
    assert_eq!(world.code(&world.token()).await, "ok");
    world.authenticator.configure(AuthConfig::none());
    assert_eq!(world.code(&world.token()).await, "NoAuthProvider");
}
