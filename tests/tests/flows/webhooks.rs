//! Webhooks beside the gate: an identity provider tells of users before, while and after they sign in.

use serde_json::json;
use vestibule_schema::wire::SessionId;
use vestibule_tests::raw::RawClient;

use super::people::{World, refusal};

#[tokio::test]
async fn w1_after_a_webhook_the_first_login_finds_its_user_and_writes_what_is_missing_alone() {
    let world = World::start();
    let made = world
        .webhook(
            "e1",
            "ada",
            "updated",
            1,
            json!({ "name": "Ada of the IdP" }),
        )
        .await;
    assert_eq!(made, "inserted");
    assert_eq!(world.me("ada").await["name"], "Ada of the IdP");
    let newest = world.app.newest_commit().await.unwrap();
    assert_eq!(world.me("ada").await["workspace"], "Home");
    assert_eq!(world.app.newest_commit().await.unwrap(), newest);
    assert_eq!(world.read("people:count").await, 1.0);
}

#[tokio::test]
async fn w2_and_w7_a_webhook_after_the_login_updates_what_the_login_made_and_is_not_needed_for_it()
{
    let world = World::start();
    assert_eq!(world.me("ada").await["name"], "ada");
    let told = world
        .webhook("e1", "ada", "updated", 1, json!({ "name": "Ada L." }))
        .await;
    assert_eq!(told, "updated");
    assert_eq!(world.me("ada").await["name"], "Ada L.");
    assert_eq!(world.read("people:count").await, 1.0);
}

#[tokio::test]
async fn w3_a_webhook_and_a_first_login_at_once_make_one_user() {
    let world = World::start();
    for number in 0..30 {
        let (subject, event) = (format!("p{number}"), format!("e{number}"));
        let told = json!({ "name": "told" });
        let (user, _) = tokio::join!(
            world.me(&subject),
            world.webhook(&event, &subject, "updated", 1, told)
        );
        assert_eq!(user["workspace"], "Home");
        assert_eq!(world.me(&subject).await["name"], "told");
    }
    assert_eq!(world.read("people:count").await, 30.0);
}

#[tokio::test]
async fn w4_w5_and_w6_an_event_again_an_older_one_and_one_after_the_deletion_change_nothing() {
    let world = World::start();
    world.me("ada").await;
    let told = async |event: &str, kind: &str, at: u32, name: &str| {
        world
            .webhook(event, "ada", kind, at, json!({ "name": name }))
            .await
    };
    assert_eq!(told("e5", "updated", 5, "newer").await, "updated");
    assert_eq!(told("e5", "updated", 5, "again").await, "known");
    assert_eq!(told("e3", "updated", 3, "older").await, "older");
    assert_eq!(world.me("ada").await["name"], "newer");
    assert_eq!(told("e6", "deleted", 6, "gone").await, "updated");
    assert_eq!(told("e7", "updated", 7, "back").await, "deleted before");
    let refused = world
        .login(json!({ "subject": "ada", "name": "ada" }))
        .await;
    assert_eq!(refusal(&refused), &json!({ "code": "Deleted" }));
    // The same when the deletion is the only event ever about a person.
    world.webhook("g2", "grace", "deleted", 2, json!({})).await;
    let late = world
        .webhook("g1", "grace", "updated", 1, json!({ "name": "Grace" }))
        .await;
    assert_eq!(late, "deleted before");
    let refused = world
        .login(json!({ "subject": "grace", "name": "grace" }))
        .await;
    assert_eq!(refusal(&refused)["code"], "Deleted");
}

#[tokio::test]
async fn w8_what_only_a_webhook_may_do_nobody_does_without_its_key() {
    let world = World::start();
    let ada = world.app.token("ada").await.unwrap();
    let told = json!({
        "event": "e1", "kind": "deleted", "token": world.token_identifier("ada"), "at": 1.0,
    });
    for authorization in [None, Some(format!("Bearer {ada}"))] {
        let answer = world
            .app
            .answer("mutation", "webhooks:apply", told.clone(), authorization)
            .await
            .unwrap();
        assert_eq!(answer["status"], "error");
        let message = answer["errorMessage"].as_str().unwrap();
        assert!(
            message.contains("Could not find public function"),
            "{message}"
        );
    }
    let forged = world.admin[..world.admin.len() - 4].to_string();
    let refused = world
        .app
        .answer("mutation", "webhooks:apply", told, Some(forged))
        .await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(world.me("ada").await["name"], "ada");
}

#[tokio::test]
async fn w9_a_membership_that_is_told_before_its_person_is_there_at_the_first_login() {
    let world = World::start();
    let joined = world
        .webhook("e1", "ada", "updated", 1, json!({ "team": "compilers" }))
        .await;
    assert_eq!(joined, "joined");
    assert_eq!(world.me("ada").await["teams"], json!(["compilers"]));
}

#[tokio::test]
async fn w10_and_i6_what_is_told_of_a_user_moves_their_open_queries() {
    let world = World::start();
    let token = world.app.token("ada").await.unwrap();
    let mut client = RawClient::connect(&world.app.sync_url(), SessionId(rand::random()))
        .await
        .unwrap();
    client.authenticate(&token).await.unwrap();
    client.watch("people:me").await.unwrap();
    let first = serde_json::to_value(client.result().await.unwrap()).unwrap();
    assert_eq!(first["role"], "owner");
    world
        .webhook("e1", "ada", "updated", 1, json!({ "role": "editor" }))
        .await;
    let moved = serde_json::to_value(client.result().await.unwrap()).unwrap();
    assert_eq!(moved["role"], "editor");
    let mut list = RawClient::connect(&world.app.sync_url(), SessionId(rand::random()))
        .await
        .unwrap();
    list.watch("people:list").await.unwrap();
    list.result().await.unwrap();
    world.me("grace").await;
    let members = serde_json::to_value(list.result().await.unwrap()).unwrap();
    assert_eq!(members, json!(["ada", "grace"]));
}
