//! Secrets of a real process, which logs all it can: tokens, keys and documents are nowhere in its output.

use std::path::Path;
use std::time::Duration;

use data_encoding::BASE64;
use reqwest::RequestBuilder;
use serde_json::{Value as Json, json};
use vestibule_schema::object;
use vestibule_server::auth::{AdminKeys, AdminRights, DeploymentSecret};
use vestibule_server::clock::{Clock, SystemClock};
use vestibule_tests::process::Chat;
use vestibule_tests::raw::RawClient;

use super::chat;

const DOCUMENT: &str = "canary-of-a-document";
const ARGUMENT: &str = "canary-of-an-argument";
const NAME: &str = "canary-of-a-person";

fn admin_keys(data: &Path) -> AdminKeys {
    let secret = DeploymentSecret::load_or_create(data).unwrap();
    AdminKeys::open("vestibule", &secret, data).unwrap()
}

fn minted(keys: &AdminKeys, lifetime: Option<Duration>) -> String {
    let minted = keys.mint_with(AdminRights::All, SystemClock::new().now(), lifetime);
    minted.unwrap().text.expose().clone()
}

/// The token with its payload's last letters changed, so that it is refused only by its signature.
fn altered(token: &str) -> String {
    let (rest, signature) = token.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    format!("{rest}.{flipped}{}", &signature[1..])
}

struct Asking<'a> {
    chat: &'a Chat,
    client: reqwest::Client,
    /// Everything that was answered.
    answers: String,
}

impl Asking<'_> {
    fn post(&self, path: &str, body: Json) -> RequestBuilder {
        let address = format!("{}{path}", self.chat.url());
        self.client.post(address).json(&body)
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.chat.url()))
    }

    async fn expect(&mut self, status: u16, request: RequestBuilder) {
        let response = request.send().await.unwrap();
        let found = response.status().as_u16();
        let body = response.text().await.unwrap();
        assert_eq!(found, status, "{body}");
        self.answers.push_str(&body);
    }
}

#[tokio::test]
async fn nothing_that_is_secret_is_in_the_log_the_metrics_or_a_refusal() {
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("log");
    for format in ["text", "json"] {
        let running = chat(data.path())
            .variable("VESTIBULE_LOG", "trace")
            .variable("VESTIBULE_LOG_FORMAT", format)
            .log(&log)
            .start()
            .unwrap();
        let keys = admin_keys(data.path());
        let (key, revoked) = (minted(&keys, None), minted(&keys, None));
        let ended = minted(&keys, Some(Duration::ZERO));
        let unknown = format!("{}00", &key[..key.len() - 2]);
        let token = running.token(NAME).await.unwrap();
        let bad_token = altered(&token);
        let mut asking = Asking {
            chat: &running,
            client: reqwest::Client::new(),
            answers: String::new(),
        };
        let me = json!({ "path": "users:me", "args": {} });
        let strange = json!({ "path": "users:me", "args": { "strange": ARGUMENT } });
        let bearer = |asking: &Asking<'_>, token: &str, body: &Json| {
            asking.post("/api/query", body.clone()).bearer_auth(token)
        };
        running
            .call("query", "users:me", json!({}), Some(&token))
            .await
            .unwrap();
        asking.expect(401, bearer(&asking, &bad_token, &me)).await;
        asking.expect(401, bearer(&asking, &key, &me)).await;
        running
            .call("query", "users:me", strange["args"].clone(), Some(&token))
            .await
            .unwrap_err();
        let text = json!({ "channel": "general", "body": DOCUMENT });
        running
            .call("mutation", "messages:send", text, Some(&token))
            .await
            .unwrap();
        let added = json!({
            "path": "_system/frontend/addDocument",
            "args": { "table": "halls", "documents": [{ "body": DOCUMENT }] },
        });
        let added = asking.post("/api/mutation", added);
        let added = added.header("Authorization", format!("Convex {key}"));
        asking.expect(200, added).await;
        for (key, status) in [(&key, 200), (&unknown, 401), (&ended, 401), (&revoked, 200)] {
            let acting = BASE64.encode(br#"{"issuer":"https://i.example","subject":"s"}"#);
            let path = format!("/api/check_admin_key?adminKey={}", key.replace('|', "%7C"));
            asking.expect(status, asking.get(&path)).await;
            for presented in [key.clone(), format!("{key}:{acting}")] {
                let header = format!("Convex {presented}");
                let asked = asking
                    .get("/api/check_admin_key")
                    .header("Authorization", header);
                asking.expect(status, asked).await;
            }
        }
        keys.revoke(keys.id_of(&revoked).unwrap()).unwrap();
        let asked = asking.get("/api/check_admin_key");
        let asked = asked.header("Authorization", format!("Convex {revoked}"));
        asking.expect(401, asked).await;
        for token in [&token, &bad_token] {
            let session = "3f2b1c9e-5d4a-4c3b-8a7f-0123456789ab".parse().unwrap();
            let mut client = RawClient::connect(&running.sync_url(), session)
                .await
                .unwrap();
            client.authenticate(token).await.unwrap();
            let message = object! { "channel" => "general", "body" => DOCUMENT };
            client.mutate(0, "messages:send", message).await.unwrap();
            assert_eq!(client.response().await.is_ok(), token != &bad_token);
        }
        asking.expect(200, asking.get("/metrics")).await;
        asking.expect(200, asking.get("/healthz")).await;
        let answers = std::mem::take(&mut asking.answers);
        assert_eq!(running.stop().unwrap(), Some(0));
        let logged = std::fs::read_to_string(&log).unwrap();
        assert!(
            logged.contains("TRACE") && logged.contains("provisioned"),
            "{logged}"
        );
        let id = keys.id_of(&key).unwrap().to_string();
        let is_audit = |line: &&str| {
            line.contains("an admin key changed the deployment")
                && line.contains("_system/frontend/addDocument")
        };
        let audit = logged.lines().find(is_audit);
        assert!(audit.is_some_and(|line| line.contains(&id)), "{audit:?}");
        let signature = |token: &str| token.rsplit('.').next().unwrap()[8..40].to_string();
        let payload = token.split('.').nth(1).unwrap()[..40].to_string();
        let secret_part = |key: &str| key.split_once('|').unwrap().1[20..60].to_string();
        let secrets = [
            DOCUMENT.to_string(),
            ARGUMENT.to_string(),
            NAME.to_string(),
            signature(&token),
            signature(&bad_token),
            payload,
            secret_part(&key),
            secret_part(&unknown),
            secret_part(&ended),
            secret_part(&revoked),
        ];
        for secret in &secrets {
            for (place, text) in [("log", &logged), ("answers", &answers)] {
                let line = text.lines().find(|line| line.contains(secret));
                assert_eq!(line, None, "{secret} is in the {place}");
            }
        }
    }
}
