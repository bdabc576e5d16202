//! Providers that change their keys while many connections refresh, and tokens with unknown keys.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::poll;
use serde_json::json;

use super::issuer::{Answer, KEYS};
use super::keys::{ED25519, OTHER_RSA, RSA, TestKey};
use super::outages::World;

const UNAVAILABLE: &str = "AuthProviderDiscoveryFailed";
const SECOND: Duration = Duration::from_secs(1);

/// The provider's keys in the order in which it uses them.
fn key(generation: usize) -> &'static TestKey {
    [&*RSA, &*OTHER_RSA, &*ED25519][generation % 3]
}

fn publish(world: &World, generations: std::ops::RangeInclusive<usize>) {
    let jwk = |generation| key(generation).jwk(&format!("key-{generation}"));
    let keys: Vec<_> = generations.map(jwk).collect();
    world
        .issuer
        .answer(KEYS, Answer::json(json!({ "keys": keys })));
}

fn token(world: &World, generation: usize, subject: usize) -> String {
    let key = key(generation);
    let draft = world.draft().header("alg", key.algorithm());
    let draft = draft.header("kid", format!("key-{generation}"));
    draft.claim("sub", subject.to_string()).signed(key)
}

/// The answer to each of these tokens, all presented at once.
async fn codes(world: &Arc<World>, tokens: Vec<String>) -> Vec<&'static str> {
    let answers = tokens.into_iter().map(|token| {
        let world = world.clone();
        tokio::spawn(async move { world.code(&token).await })
    });
    let answers = join_all(answers.collect::<Vec<_>>()).await;
    answers.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_keys_that_rotate_under_load_refuse_no_valid_token() {
    const GENERATIONS: usize = 12;
    const CONNECTIONS: usize = 100;
    let world = Arc::new(World::new().await);
    publish(&world, 0..=0);
    for generation in 1..=GENERATIONS {
        publish(&world, generation - 1..=generation);
        let tokens = |world: &World| {
            let one = |person| token(world, generation - person % 2, person);
            (0..CONNECTIONS).map(one).collect()
        };
        for _ in 0..3 {
            let codes = codes(&world, tokens(&world)).await;
            assert!(codes.iter().all(|code| *code == "ok"), "{codes:?}");
            world.clock.advance(4 * SECOND);
        }
    }
    let fetches = world.issuer.asked(KEYS);
    assert_eq!(fetches, GENERATIONS, "one for each new key");
    let removed = token(&world, 0, 0);
    assert_eq!(world.code(&removed).await, "Unauthenticated");
}

#[tokio::test]
async fn p6_a_key_published_right_after_an_unknown_one_was_looked_for_is_found() {
    let world = World::new().await;
    publish(&world, 0..=0);
    assert_eq!(world.code(&token(&world, 0, 0)).await, "ok");
    assert_eq!(world.code(&world.unknown("x")).await, "Unauthenticated");
    publish(&world, 0..=1);
    let new = token(&world, 1, 0);
    let mut finding = pin!(world.code(&new));
    for _ in 0..9 {
        assert!(poll!(&mut finding).is_pending());
        world.clock.advance(SECOND);
    }
    assert_eq!(world.issuer.asked(KEYS), 2);
    assert_eq!(
        world.code(&token(&world, 0, 0)).await,
        "ok",
        "known keys wait for nothing"
    );
    world.clock.advance(SECOND);
    assert_eq!(finding.await, "ok");
    assert_eq!(world.issuer.asked(KEYS), 3);
}

#[tokio::test]
async fn p3_a_flood_of_unknown_keys_causes_one_fetch_in_ten_seconds() {
    let world = World::new().await;
    publish(&world, 0..=0);
    let token = |kid: String| {
        let draft = world.draft().header("kid", kid);
        draft.claim("exp", 9_999_999_999_u64).signed(&RSA)
    };
    let known = token("key-0".to_owned());
    assert_eq!(world.code(&known).await, "ok");
    for second in 0..40 {
        let tokens: Vec<String> = (0..50).map(|n| token(format!("{second}-{n}"))).collect();
        let mut flood = pin!(join_all(tokens.iter().map(|token| world.code(token))));
        let mut answered = poll!(&mut flood);
        assert!(answered.is_pending());
        assert_eq!(world.code(&known).await, "ok");
        world.clock.advance(SECOND);
        // Now the provider may be asked again, for all who wait.
        if second % 10 == 9 {
            answered = Poll::Ready(flood.await);
        }
        if let Poll::Ready(codes) = answered {
            assert!(codes.iter().all(|code| *code == "Unauthenticated"));
        }
    }
    let fetches = world.issuer.asked(KEYS) - 1;
    assert_eq!(fetches, 5, "in forty seconds");
}

#[tokio::test]
async fn an_unknown_key_waits_for_nothing_when_the_provider_is_down() {
    let world = World::new().await;
    assert_eq!(world.code(&world.token()).await, "ok");
    assert_eq!(world.code(&world.unknown("a")).await, "Unauthenticated");
    world.go_down();
    world.clock.advance(10 * SECOND);
    for _ in 0..12 {
        assert_eq!(world.code(&world.unknown("b")).await, UNAVAILABLE);
        world.clock.advance(SECOND);
    }
    assert_eq!(world.code(&world.token()).await, "ok");
}
