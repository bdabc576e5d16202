//! Clerk's webhooks beside the gate of the example chat: signed as Svix signs, sent over HTTP, before, while and after
//! the people they tell of sign in.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use futures_util::future::join_all;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use vestibule_schema::wire::SessionId;
use vestibule_tests::process::{Chat, ChatOptions, admin_authorization};
use vestibule_tests::raw::RawClient;

use super::people::refusal;
use super::{chat, free_address};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OLD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// When Clerk says that it made an event, in milliseconds, whatever is told by it.
const SENT: u64 = 1_700_000_000_000;

/// The chat, which takes webhooks, and what signs them.
struct World {
    chat: Chat,
    data: TempDir,
}

impl World {
    fn start() -> World {
        World::start_with(|options| options)
    }

    fn start_with(change: impl FnOnce(ChatOptions) -> ChatOptions) -> World {
        let data = tempfile::tempdir().unwrap();
        let options = with_secret(chat(data.path()), SECRET);
        let chat = change(options).start().unwrap();
        World { chat, data }
    }

    /// Sends an event as Clerk does, and says what became of it.
    async fn tell(&self, event: &Json) -> String {
        let (status, became) = self.send(Message::of(event)).await;
        assert_eq!(status, 200, "{became}");
        became
    }

    async fn send(&self, message: Message) -> (u16, String) {
        let address = format!("{}/http/clerk", self.chat.url());
        let mut request = reqwest::Client::new().post(address).body(message.body);
        for (name, value) in message.headers {
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The answer to `users:me`, asked with a token of this person.
    async fn login(&self, subject: &str) -> Json {
        let token = self.chat.token(subject).await.unwrap();
        let authorization = Some(format!("Bearer {token}"));
        let asked = self
            .chat
            .answer("query", "users:me", json!({}), authorization);
        asked.await.unwrap()
    }

    async fn me(&self, subject: &str) -> Json {
        let answer = self.login(subject).await;
        assert_eq!(answer["status"], "success", "{answer}");
        answer["value"].clone()
    }

    async fn count(&self) -> f64 {
        let count = self.chat.query("users:count", json!({})).await.unwrap();
        count.as_f64().unwrap()
    }

    async fn organizations(&self, subject: &str) -> Json {
        let token = self.chat.token(subject).await.unwrap();
        let asked = self
            .chat
            .call("query", "users:organizations", json!({}), Some(&token));
        asked.await.unwrap()
    }
}

/// On an address that is known before the start, so that the issuer is.
fn with_secret(options: ChatOptions, secret: &str) -> ChatOptions {
    options
        .arguments(&["--listen", &free_address()])
        .variable("CLERK_WEBHOOK_SECRET", secret)
}

/// A delivery, which a test may spoil.
#[derive(Clone)]
struct Message {
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Message {
    fn of(event: &Json) -> Message {
        Message::signed(&event.to_string(), SECRET, now_seconds())
    }

    fn signed(body: &str, secret: &str, seconds: u64) -> Message {
        let id = format!("msg_{:016x}", rand::random::<u64>());
        let signature = sign(secret, &id, seconds, body);
        Message {
            headers: vec![
                ("svix-id", id),
                ("svix-timestamp", seconds.to_string()),
                ("svix-signature", signature),
                ("content-type", "application/json".to_string()),
            ],
            body: body.to_string(),
        }
    }

    fn header(&mut self, name: &str) -> &mut String {
        let mut headers = self.headers.iter_mut();
        let found = headers.find(|(found, _)| *found == name);
        &mut found.unwrap().1
    }

    fn without(mut self, name: &str) -> Message {
        self.headers.retain(|(found, _)| *found != name);
        self
    }
}

fn sign(secret: &str, id: &str, seconds: u64, body: &str) -> String {
    let key = BASE64.decode(&secret.as_bytes()["whsec_".len()..]).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let tag = hmac::sign(&key, format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", BASE64.encode(tag.as_ref()))
}

fn now_seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

/// An event about a user as of `at`, with the fields that Clerk sends.
fn user(kind: &str, subject: &str, name: &str, at: u64) -> Json {
    json!({
        "data": {
            "birthday": "", "created_at": 1, "external_accounts": [], "image_url": "https://img.clerk.com/x",
            "email_addresses": [
                { "email_address": "other@example.org", "id": "idn_0", "object": "email_address",
                  "verification": { "status": "unverified", "strategy": "email_code" } },
                { "email_address": format!("{subject}@example.com"), "id": "idn_1", "object": "email_address",
                  "linked_to": [], "verification": { "status": "verified", "strategy": "email_code" } },
            ],
            "first_name": name, "id": subject, "last_name": null, "object": "user",
            "primary_email_address_id": "idn_1", "private_metadata": {}, "public_metadata": {},
            "updated_at": at, "username": null,
        },
        "event_attributes": { "http_request": { "client_ip": "0.0.0.0", "user_agent": "" } },
        "instance_id": "ins_1", "object": "event", "timestamp": SENT, "type": kind,
    })
}

fn deleted(subject: &str) -> Json {
    json!({
        "data": { "deleted": true, "id": subject, "object": "user" },
        "instance_id": "ins_1", "object": "event", "timestamp": SENT, "type": "user.deleted",
    })
}

fn membership(kind: &str, id: &str, subject: &str, organization: &str, at: u64) -> Json {
    json!({
        "data": {
            "created_at": 1, "id": id, "object": "organization_membership", "role": "org:member",
            "organization": { "id": "org_1", "name": organization, "slug": "x", "object": "organization" },
            "public_user_data": { "first_name": "", "identifier": "x@example.com", "user_id": subject },
            "updated_at": at,
        },
        "object": "event", "timestamp": SENT, "type": format!("organizationMembership.{kind}"),
    })
}

// ---- who is first ------------------------------------------------------------------------------------------------

#[tokio::test]
async fn w1_after_a_webhook_the_first_login_finds_its_user_and_writes_nothing() {
    let world = World::start();
    let created = user("user.created", "user_ada", "Ada of Clerk", 1);
    assert_eq!(world.tell(&created).await, "inserted");
    let told = world.chat.newest_commit().await.unwrap();
    let ada = world.me("user_ada").await;
    assert_eq!(
        (&ada["name"], &ada["email"]),
        (&json!("Ada of Clerk"), &json!("user_ada@example.com"))
    );
    assert_eq!(world.chat.newest_commit().await.unwrap(), told);
    assert_eq!(world.count().await, 1.0);
}

#[tokio::test]
async fn w2_and_w7_a_webhook_after_the_login_changes_what_the_login_made_and_is_not_needed_for_it()
{
    let world = World::start();
    assert_eq!(world.me("user_ada").await["name"], "user_ada");
    let token = world.chat.token("user_ada").await.unwrap();
    let session = SessionId(rand::random());
    let mut open = RawClient::connect(&world.chat.sync_url(), session)
        .await
        .unwrap();
    open.authenticate(&token).await.unwrap();
    open.watch("users:me").await.unwrap();
    open.result().await.unwrap();
    let created = user("user.created", "user_ada", "Ada L.", 1);
    assert_eq!(world.tell(&created).await, "updated");
    let moved = serde_json::to_value(open.result().await.unwrap()).unwrap();
    assert_eq!(moved["name"], "Ada L.");
    assert_eq!(world.count().await, 1.0);
}

#[tokio::test]
async fn w3_a_webhook_and_a_first_login_at_once_make_one_user() {
    let world = World::start();
    for number in 0..20 {
        let subject = format!("user_{number}");
        let created = user("user.created", &subject, "told", 1);
        let (me, _) = tokio::join!(world.me(&subject), world.tell(&created));
        assert!(me["name"].is_string());
        assert_eq!(world.me(&subject).await["name"], "told");
    }
    assert_eq!(world.count().await, 20.0);
}

// ---- late, twice, in any order -----------------------------------------------------------------------------------

#[tokio::test]
async fn w4_and_w5_an_event_again_and_one_that_is_older_change_nothing() {
    let world = World::start();
    let newer = Message::of(&user("user.updated", "user_ada", "newer", 5));
    assert_eq!(world.send(newer.clone()).await, (200, "inserted".into()));
    let told = world.chat.newest_commit().await.unwrap();
    // The same delivery again, and the same event in a new one.
    assert_eq!(world.send(newer.clone()).await, (200, "known".into()));
    let again = user("user.updated", "user_ada", "newer", 5);
    assert_eq!(world.tell(&again).await, "known");
    for (kind, at) in [("user.created", 1), ("user.updated", 4)] {
        let older = user(kind, "user_ada", "older", at);
        assert_eq!(world.tell(&older).await, "known");
    }
    assert_eq!(world.chat.newest_commit().await.unwrap(), told);
    assert_eq!(world.me("user_ada").await["name"], "newer");
    let newest = user("user.updated", "user_ada", "newest", 6);
    assert_eq!(world.tell(&newest).await, "updated");
    assert_eq!(world.me("user_ada").await["name"], "newest");
}

#[tokio::test]
async fn w4_one_event_delivered_many_times_at_once_is_applied_once() {
    let world = World::start();
    let message = Message::of(&user("user.created", "user_ada", "Ada", 1));
    let answers = join_all((0..20).map(|_| world.send(message.clone()))).await;
    let mut became: Vec<String> = answers.into_iter().map(|(_, became)| became).collect();
    became.sort();
    became.dedup();
    assert_eq!(became, ["inserted", "known"]);
    assert_eq!(world.count().await, 1.0);
}

#[tokio::test]
async fn w6_after_a_deletion_neither_an_event_nor_a_login_brings_anybody_back() {
    let world = World::start();
    world.me("user_ada").await;
    let updated = user("user.updated", "user_ada", "Ada", 7);
    let joined = membership("created", "orgmem_1", "user_ada", "Compilers", 7);
    world.tell(&joined).await;
    assert_eq!(world.tell(&deleted("user_ada")).await, "deleted");
    for event in [updated.clone(), deleted("user_ada"), joined] {
        assert_eq!(world.tell(&event).await, "deleted before");
    }
    let gone = json!({ "code": "Deleted", "message": "This account was deleted." });
    assert_eq!(refusal(&world.login("user_ada").await), &gone);
    // The same when the deletion is all that was ever heard of somebody.
    assert_eq!(world.tell(&deleted("user_grace")).await, "deleted");
    let late = user("user.created", "user_grace", "Grace", 1);
    assert_eq!(world.tell(&late).await, "deleted before");
    assert_eq!(refusal(&world.login("user_grace").await)["code"], "Deleted");
    assert_eq!(world.count().await, 0.0);
    // Undeleting is the one way back.
    let whom = json!({ "token": format!("{}|user_ada", world.chat.url()) });
    let admin = admin_authorization(world.data.path()).unwrap();
    let undeleted = world
        .chat
        .answer("mutation", "users:undelete", whom, Some(admin));
    assert_eq!(undeleted.await.unwrap()["value"], true);
    assert_eq!(world.me("user_ada").await["name"], "user_ada");
    assert_eq!(world.organizations("user_ada").await, json!([]));
}

#[tokio::test]
async fn a_deletion_reaches_who_is_connected_at_once() {
    let world = World::start();
    let token = world.chat.token("user_ada").await.unwrap();
    let session = SessionId(rand::random());
    let mut open = RawClient::connect(&world.chat.sync_url(), session)
        .await
        .unwrap();
    open.authenticate(&token).await.unwrap();
    open.watch("users:me").await.unwrap();
    open.result().await.unwrap();
    world.tell(&deleted("user_ada")).await;
    let failed = open.result().await.unwrap_err().to_string();
    assert!(failed.contains("UserNotFound"), "{failed}");
}

#[tokio::test]
async fn w9_a_membership_that_is_told_before_its_person_is_there_at_the_first_login() {
    let world = World::start();
    let joined = membership("created", "orgmem_1", "user_ada", "Compilers", 3);
    assert_eq!(world.tell(&joined).await, "inserted");
    let left = membership("deleted", "orgmem_2", "user_ada", "Debuggers", 5);
    let late = membership("created", "orgmem_2", "user_ada", "Debuggers", 4);
    assert_eq!(world.tell(&left).await, "inserted");
    assert_eq!(world.tell(&late).await, "deleted before");
    assert_eq!(world.organizations("user_ada").await, json!(["Compilers"]));
    let renamed = membership("updated", "orgmem_1", "user_ada", "Compiler People", 6);
    assert_eq!(world.tell(&renamed).await, "updated");
    assert_eq!(world.tell(&joined).await, "known");
    let now = world.organizations("user_ada").await;
    assert_eq!(now, json!(["Compiler People"]));
}

// ---- who is believed ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn w8_what_is_not_signed_lately_with_the_secret_writes_nothing() {
    let world = World::start();
    let before = world.chat.newest_commit().await.unwrap();
    let event = user("user.created", "user_ada", "Ada", 1).to_string();
    let good = Message::signed(&event, SECRET, now_seconds());
    let spoilt = |spoil: fn(&mut Message)| {
        let mut message = good.clone();
        spoil(&mut message);
        message
    };
    let minutes = 60;
    for (what, message, status, says) in [
        ("id", good.clone().without("svix-id"), 400, "svix-id"),
        (
            "time",
            good.clone().without("svix-timestamp"),
            400,
            "svix-timestamp",
        ),
        (
            "signature",
            good.clone().without("svix-signature"),
            400,
            "svix-signature",
        ),
        (
            "old",
            Message::signed(&event, SECRET, now_seconds() - 6 * minutes),
            400,
            "old",
        ),
        (
            "ahead",
            Message::signed(&event, SECRET, now_seconds() + 6 * minutes),
            400,
            "ahead",
        ),
        (
            "secret",
            Message::signed(&event, OLD_SECRET, now_seconds()),
            401,
            "signature",
        ),
        (
            "body",
            spoilt(|it| it.body = it.body.replace("Ada", "Eve")),
            401,
            "signature",
        ),
        ("space", spoilt(|it| it.body.push(' ')), 401, "signature"),
        (
            "other id",
            spoilt(|it| it.header("svix-id").push('x')),
            401,
            "signature",
        ),
        (
            "later",
            spoilt(|it| *it.header("svix-timestamp") = (now_seconds() + 2).to_string()),
            401,
            "signature",
        ),
        (
            "cut",
            spoilt(|it| it.header("svix-signature").truncate(20)),
            401,
            "signature",
        ),
        (
            "version",
            spoilt(|it| {
                *it.header("svix-signature") = it.header("svix-signature").replace("v1", "v2")
            }),
            401,
            "signature",
        ),
        (
            "nonsense",
            spoilt(|it| *it.header("svix-timestamp") = "now".into()),
            400,
            "svix-timestamp",
        ),
    ] {
        let (found, body) = world.send(message).await;
        assert_eq!(found, status, "{what}: {body}");
        assert!(body.contains(says), "{what}: {body}");
    }
    assert_eq!(world.chat.newest_commit().await.unwrap(), before);
    assert_eq!(world.count().await, 0.0);
    assert_eq!(world.send(good).await, (200, "inserted".into()));
}

#[tokio::test]
async fn w8_while_secrets_change_one_signature_of_several_is_enough() {
    let world = World::start();
    let event = user("user.created", "user_ada", "Ada", 1).to_string();
    let mut message = Message::signed(&event, SECRET, now_seconds());
    let by_old = {
        let id = message.header("svix-id").clone();
        sign(OLD_SECRET, &id, now_seconds(), &event)
    };
    let by_new = message.header("svix-signature").clone();
    *message.header("svix-signature") = format!("v1a,other {by_old} {by_new}");
    assert_eq!(world.send(message.clone()).await.0, 200);
    *message.header("svix-signature") = by_old;
    assert_eq!(world.send(message).await.0, 401);
}

#[tokio::test]
async fn w8_what_a_webhook_may_do_no_client_does() {
    let world = World::start();
    let ada = world.chat.token("user_ada").await.unwrap();
    let whom = json!({ "token": format!("{}|user_grace", world.chat.url()) });
    for path in ["clerk:deleteUser", "users:undelete"] {
        for authorization in [None, Some(format!("Bearer {ada}"))] {
            let answer = world
                .chat
                .answer("mutation", path, whom.clone(), authorization);
            let answer = answer.await.unwrap();
            let message = answer["errorMessage"].as_str().unwrap();
            assert!(
                message.contains("Could not find public function"),
                "{message}"
            );
        }
    }
    // Nor does a good token make up for a signature.
    let address = format!("{}/http/clerk", world.chat.url());
    let unsigned = reqwest::Client::new().post(address).bearer_auth(&ada);
    let unsigned = unsigned.body(deleted("user_grace").to_string());
    assert_eq!(unsigned.send().await.unwrap().status(), 400);
    assert_eq!(world.me("user_grace").await["name"], "user_grace");
}

#[tokio::test]
async fn what_clerk_does_not_send_is_refused_and_what_the_chat_does_not_use_is_taken() {
    let world = World::start();
    for body in [
        "",
        "nonsense",
        "[]",
        "{}",
        r#"{"type":"user.created"}"#,
        r#"{"type":"user.created","data":{"updated_at":1}}"#,
        r#"{"type":"user.created","data":{"id":"user_ada"}}"#,
        r#"{"type":"user.created","data":{"id":"user_ada","updated_at":"x"}}"#,
        r#"{"type":"user.deleted","data":{"deleted":true}}"#,
        r#"{"type":"organizationMembership.created","data":{"id":"orgmem_1"}}"#,
    ] {
        let message = Message::signed(body, SECRET, now_seconds());
        let (status, why) = world.send(message).await;
        assert_eq!(status, 400, "{body}: {why}");
    }
    let session = json!({ "type": "session.created", "data": { "id": "sess_1" } });
    assert_eq!(world.tell(&session).await, "ignored");
    assert_eq!(world.count().await, 0.0);
    let address = format!("{}/http/clerk", world.chat.url());
    assert_eq!(reqwest::get(address).await.unwrap().status(), 405);
}

#[tokio::test]
async fn a_webhook_lets_in_nobody_who_is_not_invited() {
    let world = World::start_with(|options| options.variable("CHAT_INVITE_DOMAIN", "here.example"));
    let eve = user("user.created", "user_eve", "Eve", 1);
    assert_eq!(world.tell(&eve).await, "not invited");
    assert_eq!(
        refusal(&world.login("user_eve").await)["code"],
        "NotInvited"
    );
    let mut ada = user("user.created", "user_ada", "Ada", 1);
    ada["data"]["email_addresses"][1]["email_address"] = json!("ada@here.example");
    let mut unverified = ada.clone();
    unverified["data"]["email_addresses"][1]["verification"]["status"] = json!("unverified");
    assert_eq!(world.tell(&unverified).await, "not invited");
    assert_eq!(world.tell(&ada).await, "inserted");
    assert_eq!(world.me("user_ada").await["name"], "Ada");
}

// ---- whose people they are ---------------------------------------------------------------------------------------

/// A provider whose keys stand in the configuration, and its tokens.
struct Provider {
    keys: EcdsaKeyPair,
}

impl Provider {
    const ISSUER: &str = "https://happy-otter-12.clerk.accounts.dev";

    fn new() -> Provider {
        let keys = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Provider { keys }
    }

    /// As a team may write it: with a slash at the end that its tokens do not have.
    fn config(&self) -> String {
        let point = self.keys.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..]].map(|part| BASE64URL_NOPAD.encode(part));
        let key = json!({ "kty": "EC", "crv": "P-256", "kid": "1", "x": x, "y": y });
        let keys = BASE64.encode(json!({ "keys": [key] }).to_string().as_bytes());
        json!({ "providers": [{
            "type": "customJwt", "issuer": format!("{}/", Self::ISSUER), "algorithm": "ES256",
            "jwks": format!("data:application/json;base64,{keys}"), "applicationID": "convex",
        }] })
        .to_string()
    }

    fn token(&self, subject: &str) -> String {
        let now = now_seconds();
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": "1" });
        let claims = json!({
            "iss": Self::ISSUER, "sub": subject, "aud": "convex", "iat": now, "exp": now + 60,
        });
        let [header, claims] =
            [header, claims].map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes()));
        let text = format!("{header}.{claims}");
        let signature = self.keys.sign(&SystemRandom::new(), text.as_bytes());
        format!(
            "{text}.{}",
            BASE64URL_NOPAD.encode(signature.unwrap().as_ref())
        )
    }
}

#[tokio::test]
async fn a_webhook_and_a_token_of_one_provider_mean_the_same_person() {
    let provider = Provider::new();
    let world = World::start_with(|options| {
        let config = provider.config();
        options.variable("VESTIBULE_AUTH_CONFIG", &config)
    });
    let created = user("user.created", "user_2abc", "Ada of Clerk", 1);
    assert_eq!(world.tell(&created).await, "inserted");
    let token = provider.token("user_2abc");
    let me = world
        .chat
        .call("query", "users:me", json!({}), Some(&token))
        .await
        .unwrap();
    assert_eq!(me["name"], "Ada of Clerk");
    assert_eq!(me["token"], format!("{}|user_2abc", Provider::ISSUER));
    world.tell(&deleted("user_2abc")).await;
    let authorization = Some(format!("Bearer {token}"));
    let refused = world
        .chat
        .answer("query", "users:me", json!({}), authorization);
    assert_eq!(refusal(&refused.await.unwrap())["code"], "Deleted");
    assert_eq!(world.count().await, 0.0);
}

// ---- how it is run -----------------------------------------------------------------------------------------------

#[tokio::test]
async fn each_delivery_is_counted_and_none_is_logged() {
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("log.txt");
    let options = with_secret(chat(data.path()), SECRET).variable("VESTIBULE_LOG", "trace");
    let world = World {
        chat: options.log_to(&log).start().unwrap(),
        data,
    };
    let ada = user("user.created", "user_canary", "Canary the Name", 1);
    world.tell(&ada).await;
    let mut forged = Message::of(&ada);
    forged.body.push(' ');
    world.send(forged).await;
    let counted = world
        .chat
        .metrics(&[
            r#"vestibule_functions_runs_total{path="POST /clerk",kind="HttpAction"}"#,
            r#"vestibule_functions_errors_total{path="POST /clerk",kind="HttpAction"}"#,
            r#"vestibule_functions_runs_total{path="clerk:changeUser",kind="Mutation"}"#,
        ])
        .await
        .unwrap();
    assert_eq!(counted, [2.0, 0.0, 1.0]);
    assert_eq!(world.chat.stop().unwrap(), Some(0));
    let said = std::fs::read_to_string(&log).unwrap();
    for secret in ["user_canary", "Canary the Name", &SECRET["whsec_".len()..]] {
        assert!(!said.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn without_a_secret_there_is_no_such_address_and_the_log_says_so_once() {
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("log.txt");
    let options = chat(data.path()).variable("CLERK_WEBHOOK_SECRET", "");
    let options = options.variable("VESTIBULE_LOG", "info").log_to(&log);
    let world = World {
        chat: options.start().unwrap(),
        data,
    };
    let event = user("user.created", "user_ada", "Ada", 1);
    let (status, _) = world.send(Message::of(&event)).await;
    assert_eq!(status, 404);
    assert_eq!(world.chat.stop().unwrap(), Some(0));
    let said = std::fs::read_to_string(&log).unwrap();
    assert_eq!(said.matches("CLERK_WEBHOOK_SECRET").count(), 1, "{said}");
}

#[test]
fn a_secret_that_cannot_be_used_is_refused_at_the_start() {
    let data = tempfile::tempdir().unwrap();
    let two = json!({ "providers": [
        { "domain": "https://one.example.com", "applicationID": "convex" },
        { "domain": "https://two.example.com", "applicationID": "convex" },
    ] });
    for (secret, providers, arguments, says) in [
        ("sk_live_no_such_secret", None, vec![], "whsec_"),
        (SECRET, None, vec!["--listen", "127.0.0.1:0"], "--issuer"),
        (SECRET, Some(two.to_string()), vec![], "one issuer"),
    ] {
        let options = with_secret(chat(data.path()), secret);
        let options = match arguments.is_empty() {
            true => options,
            false => options.arguments(&arguments),
        };
        let options = match providers {
            Some(providers) => options.variable("VESTIBULE_AUTH_CONFIG", &providers),
            None => options,
        };
        let (code, said) = options.run_to_end().unwrap();
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("CLERK_WEBHOOK_SECRET") && said.contains(says),
            "{said}"
        );
        assert!(!said.contains("no_such_secret"), "{said}");
    }
}
