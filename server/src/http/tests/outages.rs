//! Providers that fail or change their keys, seen from the doors: clients are told to come back, and stay signed in.

use std::time::Duration;

use serde_json::json;

use super::harness::{Server, Setup, answer, assert_refused};
use super::socket_client::SocketClient;
use crate::auth::ProviderConfig;
use crate::auth::tests::APP;
use crate::auth::tests::issuer::{Answer, DISCOVERY, KEYS, TestIssuer};
use crate::auth::tests::keys::{OTHER_RSA, RSA, TestKey};
use crate::auth::tests::tokens::Draft;
use crate::clock::Clock;

const UNAVAILABLE: &str = "AuthProviderDiscoveryFailed";

struct World {
    issuer: TestIssuer,
    server: Server,
}

impl World {
    async fn new(issuer: TestIssuer) -> World {
        let server = Server::start_with(Setup {
            provision_with: Some("guarded:ensure"),
            providers: vec![ProviderConfig::oidc(&issuer.url, APP).unwrap()],
            ..Setup::default()
        })
        .await;
        World { issuer, server }
    }

    fn token(&self, key: &TestKey, kid: &str, subject: &str) -> String {
        let now = self.server.clock.now().seconds();
        let draft = Draft::new(&self.issuer.url, "RS256").claim("sub", subject);
        let draft = draft.header("kid", kid).claim("iat", now).claim("nbf", now);
        draft.claim("exp", now + 3_600).signed(key)
    }

    fn ask(&self, token: &str) -> reqwest::RequestBuilder {
        let ask = self.server.call("query", "users:me", json!({}));
        ask.bearer_auth(token)
    }

    /// Presents a token at every door while its provider cannot be asked: no user is let in, none is signed out.
    async fn expect_outage(&self, token: &str, what: &str) {
        let began = self.server.latch.guarded.began();
        assert_refused(self.ask(token), 503, UNAVAILABLE).await;
        let mut client = SocketClient::connect(&self.server, &[]).await;
        client.authenticate(0, "User", token).await;
        client.call("Mutation", 0, "guarded:mutation").await;
        let (said, closed) = client.until_closed().await;
        assert!(
            said.iter().all(|it| it["type"] == "Transition"),
            "{what}: {said:?}"
        );
        assert_eq!(closed, Some((1013, UNAVAILABLE.to_owned())), "{what}");
        assert_eq!(self.server.latch.guarded.began(), began, "{what}");
    }

    async fn expect_let_in(&self, token: &str, subject: &str) {
        assert_eq!(answer(self.ask(token)).await.1["value"], subject);
        let mut client = SocketClient::connect(&self.server, &[]).await;
        client.authenticate(0, "User", token).await;
        client.watch("users:me").await;
        let told = client.identified(1).await;
        assert_eq!(told["modifications"][0]["value"], subject);
    }

    fn later(&self, seconds: u64) {
        self.server.clock.advance(Duration::from_secs(seconds));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_and_p5_a_provider_that_cannot_be_believed_lets_nobody_in_and_signs_nobody_out() {
    let world = World::new(TestIssuer::start().await).await;
    let discovery = world.issuer.discovery();
    let keys = || Answer::json(json!({ "keys": [RSA.jwk("good")] }));
    let long = || Answer::body(Some("application/json"), vec![b' '; 10 << 20]);
    let other = json!({ "issuer": "https://other.example", "jwks_uri": "https://other.example/" });
    let cases = [
        ("discovery 404", Answer::Status(404), keys()),
        ("discovery 503", Answer::Status(503), keys()),
        (
            "keys 503",
            Answer::json(discovery.clone()),
            Answer::Status(503),
        ),
        ("another issuer", Answer::json(other), keys()),
        ("10 MiB", Answer::json(discovery.clone()), long()),
        (
            "HTML",
            Answer::body(Some("text/html"), b"<html>".to_vec()),
            keys(),
        ),
        (
            "a redirect to a private address",
            Answer::json(discovery.clone()),
            Answer::Redirect("http://10.0.0.1/keys".to_owned()),
        ),
        (
            "a redirect to a file",
            Answer::json(discovery.clone()),
            Answer::Redirect("file:///etc/passwd".to_owned()),
        ),
    ];
    for (what, discovery, keys) in cases {
        world.issuer.answer(DISCOVERY, discovery);
        world.issuer.answer(KEYS, keys);
        let token = world.token(&RSA, "good", "ada");
        world.expect_outage(&token, what).await;
        world.later(60);
    }
    world.issuer.answer(DISCOVERY, Answer::json(discovery));
    world.issuer.answer(KEYS, keys());
    let token = world.token(&RSA, "good", "ada");
    world.expect_let_in(&token, "ada").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_known_keys_serve_on_and_an_unknown_one_is_an_outage() {
    let world = World::new(TestIssuer::with_keys(&[RSA.jwk("good")]).await).await;
    world
        .expect_let_in(&world.token(&RSA, "good", "ada"), "ada")
        .await;
    world.issuer.answer(DISCOVERY, Answer::Status(503));
    world.issuer.answer(KEYS, Answer::Status(503));
    for hour in 1..24 {
        world.later(3_600);
        let subject = format!("person {hour}");
        let token = world.token(&RSA, "good", &subject);
        world.expect_let_in(&token, &subject).await;
    }
    world
        .expect_outage(&world.token(&OTHER_RSA, "new", "eve"), "unknown")
        .await;
    let (_, health) = answer(world.server.get("/healthz")).await;
    assert!(health["warnings"].is_array(), "{health}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_connections_refresh_through_a_rotation_without_a_word() {
    const CONNECTIONS: u32 = 40;
    let world = World::new(TestIssuer::with_keys(&[RSA.jwk("old")]).await).await;
    let mut clients = Vec::new();
    for number in 0..CONNECTIONS {
        let mut client = SocketClient::connect(&world.server, &[]).await;
        let token = world.token(&RSA, "old", &format!("person {number}"));
        client.authenticate(0, "User", &token).await;
        client.watch("users:me").await;
        client.identified(1).await;
        clients.push(client);
    }
    let newest = || world.server.http.functions.database().durable_ts();
    let before = newest();
    let both = json!({ "keys": [RSA.jwk("old"), OTHER_RSA.jwk("new")] });
    world.issuer.answer(KEYS, Answer::json(both));
    let refreshed = clients.iter_mut().enumerate().map(|(number, client)| {
        let (key, kid) = [(&*RSA, "old"), (&*OTHER_RSA, "new")][number % 2];
        let token = world.token(key, kid, &format!("person {number}"));
        async move {
            client.authenticate(1, "User", &token).await;
            client.identified(2).await
        }
    });
    futures_util::future::join_all(refreshed).await;
    assert_eq!(world.issuer.asked(KEYS), 2);
    assert_eq!(newest(), before, "a refresh writes nothing");
}
