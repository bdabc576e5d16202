//! Which of Clerk's webhooks the example chat believes, and whose people they are.

use serde_json::json;
use vestibule_tests::clerk::{
    Message, OLD_SECRET, Provider, SECRET, deleted, now_seconds, sign, user,
};

use super::chat;
use super::clerk::{World, with_secret};
use super::people::refusal;

// ---- who is believed ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn w8_what_is_not_signed_lately_with_the_secret_writes_nothing() {
    let world = World::start();
    let before = world.chat.newest_commit().await.unwrap();
    let event = user("user.created", "user_ada", "Ada", 1).to_string();
    let signed = |secret: &str, seconds| Message::signed(&event, secret, seconds);
    let good = signed(SECRET, now_seconds());
    let without = |header: &str| good.clone().without(header);
    let with = |header: &str, change: fn(&mut String)| {
        let mut message = good.clone();
        change(message.header(header));
        message
    };
    let in_body = |change: fn(&mut String)| {
        let mut message = good.clone();
        change(&mut message.body);
        message
    };
    let six_minutes = 6 * 60;
    let not_to_be_read = [
        (without("svix-id"), "svix-id"),
        (without("svix-timestamp"), "svix-timestamp"),
        (without("svix-signature"), "svix-signature"),
        (with("svix-timestamp", |it| *it = "now".into()), "a number"),
        (signed(SECRET, now_seconds() - six_minutes), "old"),
        (signed(SECRET, now_seconds() + six_minutes), "ahead"),
    ];
    let not_signed = [
        signed(OLD_SECRET, now_seconds()),
        in_body(|it| *it = it.replace("Ada", "Eve")),
        in_body(|it| it.push(' ')),
        with("svix-id", |it| it.push('x')),
        with("svix-timestamp", |it| *it = (now_seconds() + 2).to_string()),
        with("svix-signature", |it| it.truncate(20)),
        with("svix-signature", |it| *it = it.replace("v1", "v2")),
    ];
    let not_signed = not_signed.map(|message| (message, "signature"));
    for (status, messages) in [(400, not_to_be_read.to_vec()), (401, not_signed.to_vec())] {
        for (message, says) in messages {
            let (found, why) = world.send(message.clone()).await;
            assert_eq!(found, status, "{:?}: {why}", message.headers);
            assert!(why.contains(says), "{why}");
        }
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
        chat: options.log(&log).start().unwrap(),
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
    let options = options.variable("VESTIBULE_LOG", "info").log(&log);
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
