//! First logins of an app that does more than make a document: the people let in, their identities, and their
//! documents.

use std::path::Path;

use futures_util::future::join_all;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use vestibule_schema::wire::SessionId;
use vestibule_tests::process::{Chat, ChatOptions, admin_authorization};
use vestibule_tests::raw::RawClient;

pub fn people(data: &Path) -> ChatOptions {
    ChatOptions::new(env!("CARGO_BIN_EXE_people-under-test"), data)
}

/// The app, with a person who administers it.
pub struct World {
    pub app: Chat,
    pub admin: String,
    _data: TempDir,
}

impl World {
    pub fn start() -> World {
        let data = tempfile::tempdir().unwrap();
        let app = people(data.path()).start().unwrap();
        World {
            admin: admin_authorization(data.path()).unwrap(),
            app,
            _data: data,
        }
    }

    /// The identity of a subject, as the development issuer names it.
    pub fn token_identifier(&self, subject: &str) -> String {
        format!("{}|{subject}", self.app.url())
    }

    async fn as_admin(&self, path: &str, args: Json) -> Json {
        let answer = self
            .app
            .answer("mutation", path, args, Some(self.admin.clone()))
            .await
            .unwrap();
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["value"].clone()
    }

    /// The outcome of a webhook's event.
    pub async fn webhook(
        &self,
        event: &str,
        subject: &str,
        kind: &str,
        at: u32,
        more: Json,
    ) -> Json {
        let mut told = json!({
            "event": event, "kind": kind, "token": self.token_identifier(subject), "at": f64::from(at),
        });
        let fields = told.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        self.as_admin("webhooks:apply", told).await
    }

    /// The whole answer to `people:me`, asked with a token for `request`.
    pub async fn login(&self, request: Json) -> Json {
        let token = self.app.token_for(request).await.unwrap();
        self.app
            .answer(
                "query",
                "people:me",
                json!({}),
                Some(format!("Bearer {token}")),
            )
            .await
            .unwrap()
    }

    /// The identity let in as `subject`.
    pub async fn me(&self, subject: &str) -> Json {
        let answer = self
            .login(json!({ "subject": subject, "name": subject }))
            .await;
        assert_eq!(answer["status"], "success", "{answer}");
        answer["value"].clone()
    }

    async fn call(&self, subject: &str, path: &str, args: Json) -> Json {
        let token = self.app.token(subject).await.unwrap();
        self.app
            .call("mutation", path, args, Some(&token))
            .await
            .unwrap()
    }

    pub async fn read(&self, path: &str) -> Json {
        self.app.query(path, json!({})).await.unwrap()
    }
}

/// The reason for a refusal, in the app's own words.
pub fn refusal(answer: &Json) -> &Json {
    assert_eq!(answer["errorData"]["code"], "NotProvisioned", "{answer}");
    assert_eq!(answer["errorData"]["reason"], "refused", "{answer}");
    &answer["errorData"]["data"]
}

// ---- many at once ----------------------------------------------------------------------------------------------

#[tokio::test]
async fn a14_and_b7_of_many_at_once_one_is_the_owner_and_the_shared_count_misses_nobody() {
    const PEOPLE: usize = 60;
    let world = World::start();
    let names: Vec<String> = (0..PEOPLE).map(|number| format!("p{number}")).collect();
    let users = join_all(names.iter().map(|name| world.me(name))).await;
    let owners = users.iter().filter(|user| user["role"] == "owner").count();
    assert_eq!(owners, 1);
    assert_eq!(world.read("people:owners").await, 1.0);
    assert_eq!(world.read("people:welcomed").await, PEOPLE as f64);
    assert_eq!(world.read("people:count").await, PEOPLE as f64);
}

#[tokio::test]
async fn i8_the_first_result_has_all_that_was_made_with_the_user() {
    let world = World::start();
    let users = join_all((0..20).map(|_| world.me("ada"))).await;
    for user in users {
        assert_eq!(
            (&user["name"], &user["workspace"]),
            (&json!("ada"), &json!("Home"))
        );
    }
}

// ---- who is not let in, and why --------------------------------------------------------------------------------

#[tokio::test]
async fn c3_a_missing_claim_is_refused_by_its_name() {
    let world = World::start();
    let refused = world.login(json!({ "subject": "ada" })).await;
    assert_eq!(
        refusal(&refused),
        &json!({ "code": "ClaimMissing", "claim": "name" })
    );
    assert_eq!(world.read("people:count").await, 0.0);
    assert_eq!(world.me("ada").await["name"], "ada");
}

#[tokio::test]
async fn c4_f2_and_f6_of_two_with_one_address_the_second_is_told_so_and_linked_to_nobody() {
    let world = World::start();
    let ask = |subject: &'static str| {
        world.login(json!({ "subject": subject, "name": subject, "email": "a@example.com" }))
    };
    let answers = join_all([ask("ada"), ask("impostor")]).await;
    let (let_in, refused): (Vec<&Json>, Vec<&Json>) = answers
        .iter()
        .partition(|answer| answer["status"] == "success");
    assert_eq!(let_in.len(), 1, "{answers:?}");
    let taken = json!({ "code": "EmailTaken", "email": "a@example.com" });
    assert_eq!(refusal(refused[0]), &taken);
    assert_eq!(world.read("people:count").await, 1.0);
}

#[tokio::test]
async fn f3_a_new_subject_with_the_address_of_one_who_was_deleted_inherits_nothing() {
    let world = World::start();
    let with_address =
        |subject: &str| json!({ "subject": subject, "name": subject, "email": "a@example.com" });
    let first = world.login(with_address("ada")).await;
    assert_eq!(first["value"]["role"], "owner");
    world
        .webhook(
            "e1",
            "ada",
            "updated",
            1,
            json!({ "team": "board", "name": "ada" }),
        )
        .await;
    world.webhook("e2", "ada", "deleted", 2, json!({})).await;
    let second = world.login(with_address("ada-again")).await;
    assert_eq!(
        (&second["value"]["role"], &second["value"]["teams"]),
        (&json!("member"), &json!([]))
    );
    assert_eq!(
        refusal(&world.login(with_address("ada")).await)["code"],
        "Deleted"
    );
}

#[tokio::test]
async fn f5_a_changed_address_is_kept_in_the_same_document() {
    let world = World::start();
    for email in ["old@example.com", "new@example.com"] {
        let request = json!({ "subject": "ada", "name": "Ada", "email": email });
        assert_eq!(world.login(request).await["value"]["email"], email);
    }
    assert_eq!(world.read("people:count").await, 1.0);
}

// ---- deletion --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn h1_and_h4_one_who_was_deleted_is_refused_and_comes_back_by_undeleting_alone() {
    let world = World::start();
    let token = world.app.token("ada").await.unwrap();
    world.me("ada").await;
    world.webhook("e1", "ada", "deleted", 1, json!({})).await;
    for _ in 0..3 {
        let authorization = Some(format!("Bearer {token}"));
        let answer = world
            .app
            .answer("query", "people:me", json!({}), authorization)
            .await
            .unwrap();
        assert_eq!(refusal(&answer), &json!({ "code": "Deleted" }));
    }
    // Over a socket as well, and calls sent with it run without an identity.
    let mut client = RawClient::connect(&world.app.sync_url(), SessionId(rand::random()))
        .await
        .unwrap();
    client.authenticate(&token).await.unwrap();
    client
        .mutate(0, "people:leave", Default::default())
        .await
        .unwrap();
    assert!(client.response().await.unwrap().outcome.is_err());
    assert_eq!(world.read("people:count").await, 1.0);
    let whom = json!({ "token": world.token_identifier("ada") });
    world.as_admin("people:undelete", whom).await;
    assert_eq!(world.me("ada").await["name"], "ada");
    assert_eq!(world.read("people:count").await, 1.0);
}

#[tokio::test]
async fn h2_whose_document_goes_while_connected_is_told_by_the_query_and_made_anew_by_the_next_login()
 {
    let world = World::start();
    let token = world.app.token("ada").await.unwrap();
    let mut client = RawClient::connect(&world.app.sync_url(), SessionId(rand::random()))
        .await
        .unwrap();
    client.authenticate(&token).await.unwrap();
    client.watch("people:me").await.unwrap();
    client.result().await.unwrap();
    client
        .mutate(0, "people:leave", Default::default())
        .await
        .unwrap();
    let failed = client.result().await.unwrap_err().to_string();
    assert!(failed.contains("UserNotFound"), "{failed}");
    assert_eq!(world.me("ada").await["name"], "ada");
    assert_eq!(world.read("people:count").await, 1.0);
}

#[tokio::test]
async fn h7_a_document_that_is_not_whole_is_repaired_before_its_owner_reads_it() {
    let world = World::start();
    world.me("ada").await;
    world.call("ada", "people:loseWorkspace", json!({})).await;
    assert_eq!(world.me("ada").await["workspace"], "Home");
}

// ---- cursors and logs ------------------------------------------------------------------------------------------

#[tokio::test]
async fn i5_a_page_begun_as_nobody_goes_on_as_somebody() {
    let data = tempfile::tempdir().unwrap();
    let chat = super::chat(data.path()).start().unwrap();
    let grace = chat.token("grace").await.unwrap();
    for number in 0..5 {
        let message = json!({ "channel": "general", "body": format!("{number}") });
        chat.call("mutation", "messages:send", message, Some(&grace))
            .await
            .unwrap();
    }
    let page = async |cursor: Json, token: Option<&str>| {
        let options = json!({ "numItems": 2, "cursor": cursor });
        let args = json!({ "channel": "general", "paginationOpts": options });
        chat.call("query", "messages:page", args, token)
            .await
            .unwrap()
    };
    let as_nobody = page(Json::Null, None).await;
    let ada = chat.token("ada").await.unwrap();
    let as_ada = page(as_nobody["continueCursor"].clone(), Some(&ada)).await;
    let bodies = |page: &Json| {
        let messages = page["page"].as_array().unwrap().iter();
        messages
            .map(|message| message["body"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (bodies(&as_nobody), bodies(&as_ada)),
        (vec![json!("4"), json!("3")], vec![json!("2"), json!("1")])
    );
}

#[tokio::test]
async fn j7_the_log_names_nobody_and_holds_no_token() {
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("log.txt");
    let options = people(data.path()).variable("VESTIBULE_LOG", "trace,hyper=off,mio=off");
    let app = options.log(&log).start().unwrap();
    let request = json!({ "subject": "ada-the-subject", "name": "Ada the Name" });
    let token = app.token_for(request).await.unwrap();
    let mut client = RawClient::connect(&app.sync_url(), SessionId(rand::random()))
        .await
        .unwrap();
    client.authenticate(&token).await.unwrap();
    client.watch("people:me").await.unwrap();
    client.result().await.unwrap();
    app.call("query", "people:me", json!({}), Some(&token))
        .await
        .unwrap();
    let nameless = app
        .token_for(json!({ "subject": "nameless-subject" }))
        .await;
    let nameless = nameless.unwrap();
    app.call("query", "people:me", json!({}), Some(&nameless))
        .await
        .unwrap_err();
    assert_eq!(app.stop().unwrap(), Some(0));
    let said = std::fs::read_to_string(&log).unwrap();
    let ours: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("vestibule_server"))
        .collect();
    assert!(
        ours.iter().any(|line| line.contains("refused an identity")),
        "{said}"
    );
    for line in ours {
        for secret in [
            "ada-the-subject",
            "Ada the Name",
            "nameless-subject",
            &*token,
            &*nameless,
        ] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}
