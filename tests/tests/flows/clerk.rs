//! Clerk's webhooks beside the gate of the example chat. They are signed as Svix signs and sent over HTTP, before,
//! while and after their people sign in.

use futures_util::future::join_all;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use vestibule_schema::wire::SessionId;
use vestibule_tests::clerk::{Message, SECRET, deleted, membership, user};
use vestibule_tests::process::{Chat, ChatOptions, admin_authorization};
use vestibule_tests::raw::RawClient;

use super::people::refusal;
use super::{chat, free_address};

/// The chat, which takes webhooks, and what signs them.
pub struct World {
    pub chat: Chat,
    pub data: TempDir,
}

impl World {
    pub fn start() -> World {
        World::start_with(|options| options)
    }

    pub fn start_with(change: impl FnOnce(ChatOptions) -> ChatOptions) -> World {
        let data = tempfile::tempdir().unwrap();
        let options = with_secret(chat(data.path()), SECRET);
        let chat = change(options).start().unwrap();
        World { chat, data }
    }

    /// Sends an event as Clerk does, and returns its outcome.
    pub async fn tell(&self, event: &Json) -> String {
        let (status, became) = self.send(Message::of(event)).await;
        assert_eq!(status, 200, "{became}");
        became
    }

    pub async fn send(&self, message: Message) -> (u16, String) {
        let address = format!("{}/http/clerk", self.chat.url());
        let mut request = reqwest::Client::new().post(address).body(message.body);
        for (name, value) in message.headers {
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The answer to `users:me`, asked with a token of this person.
    pub async fn login(&self, subject: &str) -> Json {
        let token = self.chat.token(subject).await.unwrap();
        let authorization = Some(format!("Bearer {token}"));
        let asked = self
            .chat
            .answer("query", "users:me", json!({}), authorization);
        asked.await.unwrap()
    }

    pub async fn me(&self, subject: &str) -> Json {
        let answer = self.login(subject).await;
        assert_eq!(answer["status"], "success", "{answer}");
        answer["value"].clone()
    }

    pub async fn count(&self) -> f64 {
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
pub fn with_secret(options: ChatOptions, secret: &str) -> ChatOptions {
    options
        .arguments(&["--listen", &free_address()])
        .variable("CLERK_WEBHOOK_SECRET", secret)
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
    // The same when the deletion is the only event ever about a person.
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
    // The end of a membership counts, whatever its time.
    let mut over = membership("deleted", "orgmem_1", "user_ada", "Compiler People", 6);
    over["data"].as_object_mut().unwrap().remove("updated_at");
    assert_eq!(world.tell(&over).await, "updated");
    assert_eq!(world.organizations("user_ada").await, json!([]));
}
