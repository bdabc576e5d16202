//! Identities on a connection: versions, expiry, administrators, and the cases of the first-login guarantee.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::apps::App;
use super::harness::{Client, GATE_DEADLINE, SESSION, add, remove, results, ts, version};
use crate::auth::AuthConfig;
use crate::clock::Clock;
use crate::sync::SyncOptions;

async fn connected(app: &App) -> Client {
    let mut client = app.server.connect().await;
    client.say_connect().await;
    client
}

/// A client whose first message is an Authenticate, its gate closed.
async fn pending(app: &App, subject: &str) -> Client {
    app.hooks.ensuring.close();
    let runs = app.hooks.ensuring.runs();
    let mut client = connected(app).await;
    client.authenticate(0, &app.server.token(subject)).await;
    app.hooks.ensuring.reached(runs + 1).await;
    client
}

async fn provisioned(app: &App, subject: &str, queries: &[(u32, &str)]) -> (Client, Json) {
    let mut client = connected(app).await;
    client.authenticate(0, &app.server.token(subject)).await;
    client.watch(0, queries).await;
    let first = client.next().await;
    (client, first)
}

async fn admin(
    client: &mut Client,
    app: &App,
    base: u32,
    acting_as: Option<Json>,
) -> crate::auth::KeyId {
    let minted = app
        .server
        .authenticator
        .admin_keys()
        .mint(app.server.clock.now(), None)
        .unwrap();
    let mut message = json!({
        "type": "Authenticate", "baseVersion": base, "tokenType": "Admin", "value": minted.text.expose(),
    });
    if let Some(attributes) = acting_as {
        message["impersonating"] = attributes;
    }
    client.send(message).await;
    minted.id
}

// ---- versions ----------------------------------------------------------------------------------------------

#[tokio::test]
async fn one_transition_acknowledges_several_authenticates() {
    let app = App::start();
    let mut client = connected(&app).await;
    let (a, b) = (app.server.token("ada"), app.server.token("grace"));
    client.authenticate(0, &a).await;
    client.authenticate(1, &b).await;
    client.sign_out(2).await;
    client.authenticate(3, &a).await;
    client.watch(0, &[(0, "users:me")]).await;
    let first = client.next().await;
    let (mut told, mut result) = (version(&first, "endVersion"), results(&first));
    while told != (1, 4) {
        let next = client.next().await;
        assert_eq!(version(&next, "startVersion"), told);
        told = version(&next, "endVersion");
        result = results(&next);
    }
    assert_eq!(result, [(0, json!("ada"))]);
    assert!(
        app.hooks
            .starts_of("users:me")
            .iter()
            .all(|start| start.subject.as_deref() != Some("grace"))
    );
}

#[tokio::test]
async fn a_rejected_token_behind_an_accepted_one_names_its_own_version() {
    let app = App::start();
    let mut client = pending(&app, "ada").await;
    client.authenticate(1, "rubbish").await;
    let error = client.next().await;
    assert_eq!(
        (&error["type"], &error["baseVersion"]),
        (&json!("AuthError"), &json!(1))
    );
    assert_eq!(client.next_or_close().await, Err(None));
}

#[tokio::test]
async fn a_token_that_expires_on_an_open_connection_is_told_at_the_next_work() {
    let app = App::start();
    for work in 0..3 {
        let (mut client, _) = provisioned(&app, "ada", &[(0, "notes:count")]).await;
        app.server.jump(Duration::from_secs(3_600));
        match work {
            0 => client.mutate(0, "users:whoami", json!({})).await,
            1 => client.act(0, "users:act", json!({})).await,
            _ => {
                // Another client's write is work too.
                let mut other = connected(&app).await;
                other.mutate(77, "notes:add", json!({ "text": "x" })).await;
                other.next().await;
            }
        }
        let error = client.next().await;
        assert_eq!(
            (
                &error["type"],
                &error["baseVersion"],
                &error["authUpdateAttempted"]
            ),
            (&json!("AuthError"), &json!(1), &json!(false)),
            "{work}"
        );
        assert_eq!(client.next_or_close().await, Err(None));
    }
    assert_eq!(
        app.hooks.starts_of("users:whoami").len() + app.hooks.starts_of("users:act").len(),
        0
    );
}

#[tokio::test]
async fn an_expired_token_is_refused_when_it_is_presented() {
    let app = App::start();
    let token = app.server.token("ada");
    app.server.jump(Duration::from_secs(3_600));
    let mut client = connected(&app).await;
    client.authenticate(0, &token).await;
    let error = client.next().await;
    assert_eq!(
        (&error["authUpdateAttempted"], &error["baseVersion"]),
        (&json!(true), &json!(0))
    );
    assert_eq!(app.hooks.starts_of("users:ensureUser"), []);
}

#[tokio::test]
async fn a_refusal_says_why_and_in_production_repeats_nothing_of_the_token() {
    // The header says RS256, and the payload that https://other.example speaks of "x".
    let header = "eyJhbGciOiJSUzI1NiJ9";
    let payload = "eyJpc3MiOiJodHRwczovL290aGVyLmV4YW1wbGUiLCJzdWIiOiJ4In0";
    let token = format!("{header}.{payload}.AA");
    for redact in [false, true] {
        let app = App::start_with(SyncOptions {
            redact,
            ..SyncOptions::default()
        });
        let mut client = connected(&app).await;
        client.authenticate(0, &token).await;
        let error = client.next().await;
        let text = error["error"].as_str().unwrap();
        assert!(text.starts_with("No auth provider found"), "{error}");
        assert_eq!(!text.contains("https://other.example"), redact, "{error}");
    }
}

// ---- administrators ----------------------------------------------------------------------------------------

#[tokio::test]
async fn an_admin_passes_the_gate_and_may_act_as_somebody() {
    let app = App::start();
    let mut client = connected(&app).await;
    admin(&mut client, &app, 0, None).await;
    client
        .watch(
            0,
            &[(0, "users:me"), (1, "users:claims"), (2, "notes:secret")],
        )
        .await;
    let told = client.next().await;
    assert_eq!(
        results(&told),
        [(0, json!(null)), (1, json!(null)), (2, json!("internal"))]
    );
    assert_eq!(app.hooks.starts_of("users:ensureUser"), []);
    let somebody =
        json!({ "issuer": "https://example.com", "subject": "eve", "email": "eve@example.com" });
    admin(&mut client, &app, 1, Some(somebody)).await;
    let told = client.next().await;
    let told_email: Vec<_> = results(&told)
        .into_iter()
        .filter(|(id, _)| *id == 1)
        .collect();
    assert_eq!(
        (version(&told, "endVersion"), told_email),
        ((1, 2), vec![(1, json!("eve@example.com"))])
    );
    assert_eq!(app.hooks.starts_of("users:ensureUser"), []);
}

#[tokio::test]
async fn a_revoked_admin_key_ends_its_connection_when_it_is_checked_again() {
    let app = App::start();
    let mut client = connected(&app).await;
    let key = admin(&mut client, &app, 0, None).await;
    client.modify(0, vec![]).await;
    client.next().await;
    app.server.authenticator.admin_keys().revoke(key).unwrap();
    app.server.clock.advance(Duration::from_secs(14));
    client.mutate(0, "notes:nothing", json!({})).await;
    assert_eq!(
        client.next_of("MutationResponse").await["success"],
        true,
        "not checked yet"
    );
    client.next_of("Transition").await;
    for _ in 0..2 {
        app.server.clock.advance(Duration::from_secs(16));
        client.next_of("Ping").await;
    }
    let rest = SyncOptions::default().admin_recheck_after - Duration::from_secs(46);
    app.server.clock.advance(rest);
    client.mutate(1, "notes:nothing", json!({})).await;
    let error = client.next().await;
    assert_eq!(
        (
            &error["type"],
            &error["baseVersion"],
            &error["authUpdateAttempted"]
        ),
        (&json!("AuthError"), &json!(1), &json!(true))
    );
    assert_eq!(client.next_or_close().await, Err(None));
}

#[tokio::test]
async fn a_wrong_admin_key_is_an_auth_error() {
    let app = App::start();
    let mut client = connected(&app).await;
    client.send(json!({ "type": "Authenticate", "baseVersion": 0, "tokenType": "Admin", "value": "test|00" })).await;
    assert_eq!(client.next().await["type"], "AuthError");
}

// ---- first touch -------------------------------------------------------------------------------------------

#[tokio::test]
async fn a1_the_first_result_contains_the_user_and_no_query_started_before_the_commit() {
    let app = App::start();
    let (_, first) = provisioned(&app, "ada", &[(0, "users:me"), (1, "users:count")]).await;
    assert_eq!(results(&first), [(0, json!("ada")), (1, json!(1.0))]);
    let committed = app.hooks.starts_of("users:ensureUser").last().unwrap().ts;
    let starts = app.hooks.starts_of("users:me");
    assert!(
        !starts.is_empty() && starts.iter().all(|start| start.ts >= committed),
        "{starts:?}"
    );
    assert!(ts(&first) >= committed);
}

#[tokio::test]
async fn a2_mutations_pipelined_behind_the_authenticate_run_in_order_after_the_commit() {
    let app = App::start();
    let mut client = pending(&app, "ada").await;
    client.watch(0, &[(0, "notes:list")]).await;
    for n in 0..20 {
        client
            .mutate(n, "notes:add", json!({ "text": n.to_string() }))
            .await;
    }
    client.mutate(20, "users:whoami", json!({})).await;
    app.hooks.ensuring.open();
    for n in 0..21 {
        let response = client.next_of("MutationResponse").await;
        assert_eq!(
            (&response["requestId"], &response["success"]),
            (&json!(n), &json!(true))
        );
    }
    let mut reader = connected(&app).await;
    reader.watch(0, &[(0, "notes:list")]).await;
    let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    assert_eq!(results(&reader.next().await), [(0, json!(expected))]);
    let committed = app.hooks.starts_of("users:ensureUser").last().unwrap().ts;
    let started = app.hooks.starts_of("users:whoami");
    assert!(
        started.len() == 1
            && started[0].ts > committed
            && started[0].subject.as_deref() == Some("ada")
    );
}

#[tokio::test]
async fn a3_an_action_behind_the_authenticate_starts_once_and_only_after_the_commit() {
    let app = App::start();
    let mut client = pending(&app, "ada").await;
    client.act(0, "users:act", json!({})).await;
    // The one thing that can be seen of a message that is held: one that was sent behind it was read.
    client.authenticate(1, &app.server.token("ada")).await;
    assert_eq!(app.hooks.starts_of("users:act"), []);
    app.hooks.ensuring.open();
    assert_eq!(client.next_of("ActionResponse").await["result"], "ada");
    assert_eq!(app.hooks.starts_of("users:act").len(), 1);
}

#[tokio::test]
async fn a4_signing_in_on_an_open_connection_keeps_the_old_results_until_all_move_together() {
    let app = App::start();
    let mut client = connected(&app).await;
    client
        .watch(
            0,
            &[
                (0, "users:me"),
                (1, "users:count"),
                (2, "users:meIfAnybody"),
            ],
        )
        .await;
    let before = results(&client.next().await);
    assert_eq!(
        before,
        [(0, json!(null)), (1, json!(0.0)), (2, json!(null))]
    );
    app.hooks.ensuring.close();
    client.authenticate(0, &app.server.token("ada")).await;
    app.hooks.ensuring.reached(1).await;
    app.server.clock.advance(SyncOptions::default().gate_grace);
    app.hooks.ensuring.open();
    let switched = client.next().await;
    assert_eq!(version(&switched, "endVersion"), (1, 1));
    assert_eq!(
        results(&switched),
        [(0, json!("ada")), (1, json!(1.0)), (2, json!("ada"))]
    );
}

#[tokio::test]
async fn a5_while_an_identity_is_pending_results_that_never_looked_at_it_move_and_all_others_stay()
{
    let app = App::start();
    let mut client = connected(&app).await;
    client
        .watch(
            0,
            &[(0, "users:me"), (1, "notes:list"), (2, "users:meIfAnybody")],
        )
        .await;
    client.next().await;
    let mut client = {
        app.hooks.ensuring.close();
        client.authenticate(0, &app.server.token("ada")).await;
        app.hooks.ensuring.reached(1).await;
        client
    };
    // The lane stands still with `ensureUser`, so what moves has to come from the query set.
    client
        .modify(
            1,
            vec![
                add(3, "notes:count", json!({})),
                add(4, "users:claims", json!({})),
                remove(1),
            ],
        )
        .await;
    app.server.clock.advance(SyncOptions::default().gate_grace);
    let partial = client.next().await;
    assert_eq!(
        version(&partial, "endVersion"),
        (2, 0),
        "not the new identity"
    );
    let told = results(&partial);
    assert_eq!(
        told.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        [3, 1],
        "{told:?}"
    );
    app.hooks.ensuring.open();
    let switched = client.next().await;
    assert_eq!(version(&switched, "endVersion"), (2, 1));
    assert_eq!(
        results(&switched),
        [(0, json!("ada")), (2, json!("ada")), (4, json!(null))]
    );
}

#[tokio::test]
async fn a12_a_second_connection_of_a_new_user_gates_itself_and_finds_the_document() {
    let app = App::start();
    let mut first = pending(&app, "ada").await;
    first.watch(0, &[(0, "users:me"), (1, "users:count")]).await;
    let mut second = connected(&app).await;
    second.authenticate(0, &app.server.token("ada")).await;
    second
        .watch(0, &[(0, "users:me"), (1, "users:count")])
        .await;
    while app.server.metric("gate_joined_total") < 1.0 {
        tokio::task::yield_now().await;
    }
    app.hooks.ensuring.open();
    for client in [&mut first, &mut second] {
        assert_eq!(
            results(&client.next().await),
            [(0, json!("ada")), (1, json!(1.0))]
        );
    }
    let (_, third) = provisioned(&app, "ada", &[(0, "users:me"), (1, "users:count")]).await;
    assert_eq!(results(&third), [(0, json!("ada")), (1, json!(1.0))]);
    assert_eq!(app.hooks.ensuring.runs(), 1, "one run wrote");
}

#[tokio::test]
async fn a15_a_query_added_and_removed_behind_the_closed_gate_never_runs() {
    let app = App::start();
    let mut client = pending(&app, "ada").await;
    client
        .watch(0, &[(0, "users:me"), (1, "notes:count")])
        .await;
    client.modify(1, vec![remove(0)]).await;
    app.server.clock.advance(SyncOptions::default().gate_grace);
    let told = client.next().await;
    assert_eq!(version(&told, "endVersion"), (2, 0));
    app.hooks.ensuring.open();
    assert_eq!(version(&client.next().await, "endVersion"), (2, 1));
    app.server.live.settle().await;
    assert_eq!(app.hooks.starts_of("users:me"), []);
}

#[tokio::test]
async fn a16_queries_sent_before_the_authenticate_are_never_answered_half_and_half() {
    let app = App::start();
    let queries = [(0, "users:me"), (1, "users:claims"), (2, "users:count")];
    let mut client = connected(&app).await;
    client.watch(0, &queries).await;
    client.authenticate(0, &app.server.token("ada")).await;
    loop {
        let told = client.next().await;
        let me = results(&told)
            .into_iter()
            .find(|(id, _)| *id == 0)
            .map(|(_, value)| value);
        match version(&told, "endVersion").1 {
            0 => assert!(me.is_none_or(|me| me == json!(null)), "as nobody: {told}"),
            _ => {
                assert_eq!(me, Some(json!("ada")), "{told}");
                break;
            }
        }
    }
}

// ---- concurrency -------------------------------------------------------------------------------------------

#[tokio::test]
async fn b1_two_tabs_of_one_new_user_make_one_document_and_read_behind_its_commit() {
    let app = App::start();
    let mut tabs = [connected(&app).await, connected(&app).await];
    let token = app.server.token("ada");
    for tab in &mut tabs {
        tab.authenticate(0, &token).await;
        tab.watch(0, &[(0, "users:me"), (1, "users:count")]).await;
    }
    let committed = |app: &App| {
        app.hooks
            .starts_of("users:ensureUser")
            .iter()
            .map(|start| start.ts)
            .max()
            .unwrap()
    };
    for tab in &mut tabs {
        let first = tab.next().await;
        assert_eq!(results(&first), [(0, json!("ada")), (1, json!(1.0))]);
        assert!(ts(&first) >= committed(&app).min(app.server.durable_ts()));
    }
}

#[tokio::test]
async fn b3_many_new_users_at_once_are_all_let_in() {
    let app = App::start();
    let mut clients = Vec::new();
    for n in 0..100 {
        let mut client = connected(&app).await;
        client
            .authenticate(0, &app.server.token(&format!("user{n}")))
            .await;
        client.watch(0, &[(0, "users:me")]).await;
        clients.push(client);
    }
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(
            results(&client.next().await),
            [(0, json!(format!("user{n}")))]
        );
    }
    let mut reader = connected(&app).await;
    reader.watch(0, &[(0, "users:count")]).await;
    assert_eq!(results(&reader.next().await), [(0, json!(100.0))]);
}

#[tokio::test]
async fn b4_one_user_on_many_connections_is_provisioned_once() {
    let app = App::start();
    let mut first = pending(&app, "ada").await;
    first.watch(0, &[(0, "users:me")]).await;
    let token = app.server.token("ada");
    let mut clients = Vec::new();
    for _ in 0..200 {
        let mut client = connected(&app).await;
        client.authenticate(0, &token).await;
        client
            .watch(0, &[(0, "users:me"), (1, "users:count")])
            .await;
        clients.push(client);
    }
    while app.server.metric("gate_joined_total") < 200.0 {
        tokio::task::yield_now().await;
    }
    app.hooks.ensuring.open();
    for client in &mut clients {
        assert_eq!(
            results(&client.next().await),
            [(0, json!("ada")), (1, json!(1.0))]
        );
    }
    // Once where it may not write, once where it may.
    assert_eq!(app.hooks.starts_of("users:ensureUser").len(), 2);
}

#[tokio::test]
async fn b5_an_authenticate_sent_twice_joins_the_run() {
    let app = App::start();
    let mut client = pending(&app, "ada").await;
    client.authenticate(1, &app.server.token("ada")).await;
    client.watch(0, &[(0, "users:me")]).await;
    while app.server.metric("gate_joined_total") < 1.0 {
        tokio::task::yield_now().await;
    }
    app.hooks.ensuring.open();
    let told = client.next().await;
    assert_eq!(
        (version(&told, "endVersion"), results(&told)),
        ((1, 2), vec![(0, json!("ada"))])
    );
    assert_eq!(app.hooks.starts_of("users:ensureUser").len(), 2);
}

#[tokio::test]
async fn b6_only_the_last_of_set_clear_set_opens_and_nothing_is_written_twice() {
    let app = App::start();
    let mut client = connected(&app).await;
    let token = app.server.token("ada");
    client.authenticate(0, &token).await;
    client.sign_out(1).await;
    client.authenticate(2, &token).await;
    client
        .watch(0, &[(0, "users:me"), (1, "users:count")])
        .await;
    let mut last = client.next().await;
    while version(&last, "endVersion") != (1, 3) {
        last = client.next().await;
    }
    let mut reader = connected(&app).await;
    reader.watch(0, &[(0, "users:count")]).await;
    assert_eq!(results(&reader.next().await), [(0, json!(1.0))]);
    assert_eq!(app.hooks.ensuring.runs(), 1);
}

#[tokio::test]
async fn b9_a_connection_and_another_asker_share_one_run() {
    let app = App::start();
    let mut client = pending(&app, "ada").await;
    client
        .watch(0, &[(0, "users:me"), (1, "users:count")])
        .await;
    let token = app.server.token("ada");
    let user = app.server.authenticator.verify_user(&token).await.unwrap();
    let gate = app.server.gate.clone();
    let asking = tokio::spawn(async move { gate.admit(&user).await });
    while app.server.metric("gate_joined_total") < 1.0 {
        tokio::task::yield_now().await;
    }
    app.hooks.ensuring.open();
    let told = client.next().await;
    assert_eq!(results(&told), [(0, json!("ada")), (1, json!(1.0))]);
    let caller = asking.await.unwrap().unwrap();
    assert!(caller.proof().unwrap().committed_at() <= ts(&told));
    assert_eq!(app.hooks.ensuring.runs(), 1);
}

// ---- ensureUser misbehaves ---------------------------------------------------------------------------------

#[tokio::test]
async fn c1_a_refusal_reaches_the_client_with_its_data_and_is_not_retried() {
    let app = App::start();
    let mut client = connected(&app).await;
    client.authenticate(0, &app.server.token("stranger")).await;
    client.mutate(0, "users:whoami", json!({})).await;
    client.act(1, "users:act", json!({})).await;
    let data =
        json!({ "code": "NotProvisioned", "reason": "refused", "data": { "code": "NotInvited" } });
    for _ in 0..2 {
        let rejected = client.next().await;
        assert_eq!(
            (&rejected["success"], &rejected["errorData"]),
            (&json!(false), &data)
        );
    }
    let error = client.next().await;
    assert_eq!(
        (&error["type"], &error["authUpdateAttempted"]),
        (&json!("AuthError"), &json!(true))
    );
    assert_eq!(client.next_or_close().await, Err(None));
    assert_eq!(app.hooks.starts_of("users:ensureUser").len(), 1);
}

#[tokio::test]
async fn c5_a_panic_in_ensure_user_closes_with_a_reason_to_come_back_and_harms_nobody_else() {
    let app = App::start();
    let mut client = connected(&app).await;
    client.authenticate(0, &app.server.token("jinx")).await;
    client.mutate(0, "users:whoami", json!({})).await;
    assert_eq!(
        client.next_or_close().await,
        Err(Some((1013, "ProvisioningFailed".to_string())))
    );
    let (_, first) = provisioned(&app, "ada", &[(0, "users:me"), (1, "users:count")]).await;
    assert_eq!(results(&first), [(0, json!("ada")), (1, json!(1.0))]);
}

#[tokio::test]
async fn c11_a_client_that_leaves_during_provisioning_finds_its_user_at_the_next_login() {
    let app = App::start();
    let client = pending(&app, "ada").await;
    drop(client);
    app.hooks.ensuring.open();
    let (_, first) = provisioned(&app, "ada", &[(0, "users:me"), (1, "users:count")]).await;
    assert_eq!(results(&first), [(0, json!("ada")), (1, json!(1.0))]);
    assert_eq!(app.hooks.ensuring.runs(), 1);
}

#[tokio::test]
async fn c16_when_the_deadline_passes_the_connection_closes_with_a_reason_to_come_back() {
    let app = App::start();
    let mut client = pending(&app, "ada").await;
    client.mutate(0, "users:whoami", json!({})).await;
    client.watch(0, &[(0, "users:me")]).await;
    app.server.clock.advance(GATE_DEADLINE);
    let closed = loop {
        match client.next_or_close().await {
            Ok(told) => assert_eq!(
                (version(&told, "endVersion").1, results(&told)),
                (0, vec![])
            ),
            Err(closed) => break closed,
        }
    };
    assert_eq!(closed, Some((1013, "ProvisioningFailed".to_string())));
    app.hooks.ensuring.open();
    assert_eq!(app.hooks.starts_of("users:whoami"), []);
}

// ---- session changes ---------------------------------------------------------------------------------------

#[tokio::test]
async fn d1_signing_out_during_provisioning_rejects_what_was_held_and_opens_nothing_later() {
    let app = App::start();
    let mut client = pending(&app, "ada").await;
    client
        .watch(0, &[(0, "users:me"), (1, "users:count")])
        .await;
    client.mutate(0, "users:whoami", json!({})).await;
    client.sign_out(1).await;
    let rejected = client.next().await;
    assert_eq!(rejected["errorData"]["reason"], "signed_out");
    let told = client.next().await;
    assert_eq!(
        (version(&told, "endVersion"), results(&told)),
        ((1, 2), vec![(0, json!(null)), (1, json!(0.0))])
    );
    app.hooks.ensuring.open();
    // The commit stands.
    let told = client.until(1, |count| *count == json!(1.0)).await;
    assert_eq!(version(told.last().unwrap(), "endVersion"), (1, 2));
    assert_eq!(client.said_so_far().await, Vec::<Json>::new());
    assert!(
        app.hooks
            .starts_of("users:me")
            .iter()
            .all(|start| start.subject.is_none())
    );
    assert_eq!(app.hooks.starts_of("users:whoami"), []);
}

#[tokio::test]
async fn d2_signing_out_and_in_again_passes_a_new_gate_without_a_write() {
    let app = App::start();
    let (mut client, _) = provisioned(&app, "ada", &[(0, "users:me")]).await;
    let committed = app.server.durable_ts();
    client.sign_out(1).await;
    client.authenticate(2, &app.server.token("ada")).await;
    let mut last = client.next().await;
    while version(&last, "endVersion") != (1, 3) {
        assert_eq!(results(&last), [(0, json!(null))]);
        last = client.next().await;
    }
    assert_eq!(app.server.durable_ts(), committed);
}

#[tokio::test]
async fn d2_nobody_is_not_told_in_passing_while_the_results_are_still_somebodys() {
    let app = App::start();
    let (mut client, _) = provisioned(&app, "ada", &[(0, "users:me")]).await;
    app.hooks.ensuring.close();
    let runs = app.hooks.ensuring.runs();
    // The sign-out is over before any result was computed without an identity.
    client.sign_out(1).await;
    client.authenticate(2, &app.server.token("grace")).await;
    app.hooks.ensuring.reached(runs + 1).await;
    client
        .modify(1, vec![add(1, "notes:count", json!({}))])
        .await;
    app.server.clock.advance(SyncOptions::default().gate_grace);
    let mut me = json!("ada");
    loop {
        let told = client.next().await;
        let of_me = results(&told).into_iter().find(|(query, _)| *query == 0);
        me = of_me.map_or(me, |(_, result)| result);
        let expected = match version(&told, "endVersion").1 {
            1 => json!("ada"),
            2 => json!(null),
            _ => json!("grace"),
        };
        assert_eq!(me, expected, "{told}");
        if me == "grace" {
            break;
        }
        app.hooks.ensuring.open();
    }
}

#[tokio::test]
async fn d3_the_completion_of_one_user_does_not_open_the_gate_of_the_next() {
    let app = App::start();
    let mut client = pending(&app, "ada").await;
    client.watch(0, &[(0, "users:me")]).await;
    client.mutate(0, "users:whoami", json!({})).await;
    client.authenticate(1, &app.server.token("stranger")).await;
    let rejected = client.next().await;
    assert_eq!(rejected["errorData"]["reason"], "identity_changed");
    app.hooks.ensuring.open();
    // Ada's commit opens nothing for the stranger, who is refused.
    assert_eq!(client.next().await["type"], "AuthError");
    assert_eq!(app.hooks.starts_of("users:me"), []);
}

#[tokio::test]
async fn d4_going_back_to_the_first_user_gates_a_third_time_and_shows_nothing_of_the_second() {
    let app = App::start();
    let (mut client, _) =
        provisioned(&app, "ada", &[(0, "users:me"), (1, "users:meIfAnybody")]).await;
    let before = app.hooks.starts_of("users:ensureUser").len();
    client.authenticate(1, &app.server.token("grace")).await;
    client.authenticate(2, &app.server.token("ada")).await;
    let mut last = client.next().await;
    while version(&last, "endVersion") != (1, 3) {
        for (_, result) in results(&last) {
            assert_eq!(
                (version(&last, "endVersion").1, result),
                (2, json!("grace"))
            );
        }
        last = client.next().await;
    }
    assert!(
        results(&last)
            .iter()
            .all(|(_, result)| *result == json!("ada")),
        "{last}"
    );
    assert!(app.hooks.starts_of("users:ensureUser").len() >= before);
}

#[tokio::test]
async fn d5_a_call_is_bound_to_the_identity_under_which_it_came() {
    let app = App::start();
    let (mut client, _) = provisioned(&app, "ada", &[]).await;
    app.hooks.slow.close();
    client.mutate(0, "notes:slow", json!({ "text": "x" })).await;
    client.mutate(1, "users:whoami", json!({})).await;
    client.authenticate(1, &app.server.token("grace")).await;
    client.mutate(2, "users:whoami", json!({})).await;
    app.hooks.slow.reached(1).await;
    app.hooks.slow.open();
    let mut who = Vec::new();
    while who.len() < 3 {
        let response = client.next_of("MutationResponse").await;
        who.push((
            response["requestId"].as_u64().unwrap(),
            response["result"].clone(),
        ));
    }
    assert_eq!(who[1..], [(1, json!("ada")), (2, json!("grace"))]);
    // Sent again by the next identity of the session, the record of the first tells it nothing.
    let mut again = connected(&app).await;
    again.authenticate(0, &app.server.token("grace")).await;
    again.mutate(1, "users:whoami", json!({})).await;
    let refused = again.next_of("MutationResponse").await;
    assert_eq!(refused["success"], false, "{refused}");
}

#[tokio::test]
async fn d5_a_call_that_waited_when_its_connection_broke_is_its_senders_when_it_comes_again() {
    let app = App::start();
    let mut client = pending(&app, "ada").await;
    client.mutate(0, "users:whoami", json!({})).await;
    client.mutate(1, "users:whoami", json!({})).await;
    // A query that anybody may ask shows that both have arrived.
    client
        .modify(0, vec![add(0, "notes:count", json!({}))])
        .await;
    app.server.clock.advance(SyncOptions::default().gate_grace);
    client.next_of("Transition").await;
    // It breaks before the gate opens; the client sends both again as nobody, and as somebody else.
    drop(client);
    while app.server.metric("sync_connections") > 0.0 {
        tokio::task::yield_now().await;
    }
    let mut nobody = connected(&app).await;
    nobody.mutate(0, "users:whoami", json!({})).await;
    let rejected_nobody = nobody.next_of("MutationResponse").await;
    let mut grace = connected(&app).await;
    grace.authenticate(0, &app.server.token("grace")).await;
    grace.mutate(1, "users:whoami", json!({})).await;
    grace.mutate(2, "users:whoami", json!({})).await;
    app.hooks.ensuring.open();
    let rejected = grace.next_of("MutationResponse").await;
    for rejected in [rejected_nobody, rejected] {
        assert_eq!(rejected["errorData"]["reason"], "identity_changed");
    }
    let own = grace.next_of("MutationResponse").await;
    assert_eq!(own["result"], "grace");
    let mut ada = connected(&app).await;
    ada.authenticate(0, &app.server.token("ada")).await;
    ada.mutate(1, "users:whoami", json!({})).await;
    let run = ada.next_of("MutationResponse").await;
    assert_eq!(run["result"], "ada");
}

// ---- tokens ------------------------------------------------------------------------------------------------

#[tokio::test]
async fn e1_a_refresh_during_provisioning_keeps_what_is_held_and_opens_with_the_newest_version() {
    let app = App::start();
    let mut client = pending(&app, "ada").await;
    client.watch(0, &[(0, "users:me")]).await;
    client.mutate(0, "users:whoami", json!({})).await;
    client.authenticate(1, &app.server.token("ada")).await;
    app.hooks.ensuring.open();
    let (mut is_answered, mut is_told) = (false, false);
    while !(is_answered && is_told) {
        let message = client.next().await;
        if message["type"] == "MutationResponse" {
            assert_eq!(message["result"], "ada");
            is_answered = true;
        } else if !is_told {
            assert_eq!(
                (version(&message, "endVersion"), results(&message)),
                ((1, 2), vec![(0, json!("ada"))])
            );
            is_told = true;
        }
    }
    assert_eq!(app.hooks.ensuring.runs(), 1);
}

#[tokio::test]
async fn e2_a_refresh_of_an_open_gate_never_passes_through_nobody_and_runs_nothing_again() {
    let app = App::start();
    let (mut client, _) =
        provisioned(&app, "ada", &[(0, "users:me"), (1, "users:meIfAnybody")]).await;
    let runs = app.hooks.starts.lock().len();
    for version_before in 1..4 {
        client
            .authenticate(version_before, &app.server.token("ada"))
            .await;
        let told = client.next().await;
        assert_eq!(
            version(&told, "endVersion"),
            (1, u64::from(version_before) + 1)
        );
        assert_eq!(results(&told), []);
    }
    assert_eq!(app.hooks.starts.lock().len(), runs);
}

#[tokio::test]
async fn e3_a_token_that_expires_during_provisioning_opens_nothing_though_its_commit_stands() {
    let app = App::start();
    let mut client = pending(&app, "ada").await;
    client.watch(0, &[(0, "users:me")]).await;
    client.mutate(0, "users:whoami", json!({})).await;
    // Read before time passes.
    client.authenticate(1, &app.server.token("ada")).await;
    app.server.jump(Duration::from_secs(3_600));
    app.hooks.ensuring.open();
    let error = client.next().await;
    assert_eq!(
        (&error["type"], &error["authUpdateAttempted"]),
        (&json!("AuthError"), &json!(true))
    );
    assert_eq!(app.hooks.starts_of("users:whoami"), []);
    let (_, first) = provisioned(&app, "ada", &[(0, "users:count")]).await;
    assert_eq!(results(&first), [(0, json!(1.0))]);
    assert_eq!(app.hooks.ensuring.runs(), 1);
}

#[tokio::test]
async fn e9_changed_claims_run_ensure_user_before_queries_see_them() {
    let app = App::start();
    let (mut client, first) = provisioned(&app, "ada", &[(0, "users:claims")]).await;
    assert_eq!(results(&first), [(0, json!(null))]);
    let runs = app.hooks.starts_of("users:ensureUser").len();
    let renamed = json!({ "subject": "ada", "name": "Ada L.", "email": "ada@example.com" });
    client
        .authenticate(1, &app.server.token_with(renamed))
        .await;
    let told = client.next().await;
    assert_eq!(
        (version(&told, "endVersion"), results(&told)),
        ((1, 2), vec![(0, json!("ada@example.com"))])
    );
    assert_eq!(app.hooks.starts_of("users:ensureUser").len(), runs + 1);
}

#[tokio::test]
async fn e9_a_changed_claim_runs_again_what_looked_at_it_and_nothing_else() {
    let app = App::start();
    let watched = [(0, "users:claims"), (1, "users:me"), (2, "users:count")];
    let (mut client, _) = provisioned(&app, "ada", &watched).await;
    let runs = app.hooks.starts.lock().len();
    let (ensured, me) = (
        app.hooks.starts_of("users:ensureUser").len(),
        app.hooks.starts_of("users:me").len(),
    );
    for (version_before, email) in [(1, "ada@example.com"), (2, "lovelace@example.com")] {
        let token = json!({ "subject": "ada", "name": "ada", "email": email });
        client
            .authenticate(version_before, &app.server.token_with(token))
            .await;
        let told = client.next().await;
        assert_eq!(results(&told), [(0, json!(email))]);
    }
    assert_eq!(app.hooks.starts.lock().len(), runs);
    assert_eq!(app.hooks.starts_of("users:ensureUser").len(), ensured);
    assert_eq!(app.hooks.starts_of("users:me").len(), me);
}

#[tokio::test]
async fn e10_a_refresh_that_brings_another_subject_is_another_sign_in() {
    let app = App::start();
    let (mut client, _) = provisioned(&app, "ada", &[(0, "users:me"), (1, "users:count")]).await;
    app.hooks.ensuring.close();
    client.authenticate(1, &app.server.token("grace")).await;
    app.hooks.ensuring.reached(2).await;
    app.server.clock.advance(SyncOptions::default().gate_grace);
    client.modify(1, vec![]).await;
    let meanwhile = client.next().await;
    assert_eq!(
        (version(&meanwhile, "endVersion"), results(&meanwhile)),
        ((2, 1), vec![])
    );
    app.hooks.ensuring.open();
    let told = client.next().await;
    assert_eq!(
        (version(&told, "endVersion"), results(&told)),
        ((2, 2), vec![(0, json!("grace")), (1, json!(2.0))])
    );
}

// ---- data, limits, clients ---------------------------------------------------------------------------------

#[tokio::test]
async fn i2_and_i3_a_result_from_before_the_commit_is_not_shown_under_the_new_identity() {
    let app = App::start();
    // An anonymous client watches the same query, so that a result of it is held.
    let mut other = connected(&app).await;
    other
        .watch(
            0,
            &[
                (0, "users:me"),
                (1, "users:meIfAnybody"),
                (2, "users:count"),
            ],
        )
        .await;
    other.next().await;
    for subject in ["ada", "grace", "edsger"] {
        let queries = [
            (0, "users:me"),
            (1, "users:meIfAnybody"),
            (2, "users:count"),
        ];
        let (_, first) = provisioned(&app, subject, &queries).await;
        assert_eq!(version(&first, "endVersion"), (1, 1));
        assert_eq!(
            results(&first)[..2],
            [(0, json!(subject)), (1, json!(subject))]
        );
    }
}

#[tokio::test]
async fn i7_a_known_user_who_comes_back_costs_no_write_and_wakes_nobody() {
    let app = App::start();
    let (_first, _) = provisioned(&app, "ada", &[(0, "users:me")]).await;
    let mut other = connected(&app).await;
    other.watch(0, &[(0, "users:count")]).await;
    other.next().await;
    let committed = app.server.durable_ts();
    for _ in 0..5 {
        let (_, first) = provisioned(&app, "ada", &[(0, "users:me")]).await;
        assert_eq!(results(&first), [(0, json!("ada"))]);
    }
    assert_eq!(app.server.durable_ts(), committed);
    assert_eq!(other.said_so_far().await, Vec::<Json>::new());
}

#[tokio::test]
async fn j3_what_is_held_is_bounded_in_number_and_in_bytes_and_the_rest_is_told_so() {
    let bounds = [
        SyncOptions {
            held_calls_max: 3,
            redact: false,
            ..SyncOptions::default()
        },
        SyncOptions {
            held_bytes_max: 450,
            redact: false,
            ..SyncOptions::default()
        },
    ];
    for options in bounds {
        let app = App::start_with(options);
        let mut client = pending(&app, "ada").await;
        let call = json!({ "text": "y".repeat(40) });
        for n in 0..4 {
            client.mutate(n, "notes:add", call.clone()).await;
        }
        client.act(4, "notes:echo", call.clone()).await;
        let mut rejected = Vec::new();
        while rejected.len() < 2 {
            let response = client.next().await;
            assert_eq!(
                response["errorData"],
                json!({ "code": "GateQueueFull" }),
                "{response}"
            );
            rejected.push(response["requestId"].as_u64().unwrap());
        }
        assert_eq!(rejected, [3, 4]);
        app.hooks.ensuring.open();
        for n in 0..3 {
            let response = client.next_of("MutationResponse").await;
            assert_eq!(
                (&response["requestId"], &response["success"]),
                (&json!(n), &json!(true))
            );
        }
    }
}

#[tokio::test]
async fn k4_a_client_that_knows_no_gate_only_sees_a_longer_wait() {
    let app = App::start();
    app.hooks.ensuring.close();
    let mut client = app.server.connect().await;
    // As the npm client opens a connection, and what it tolerates.
    client
        .send(json!({
            "type": "Connect", "sessionId": SESSION, "connectionCount": 0, "lastCloseReason": "InitialConnect",
            "clientTs": 1_760_000_000_000_i64,
        }))
        .await;
    client.authenticate(0, &app.server.token("ada")).await;
    client.watch(0, &[(0, "users:me")]).await;
    client.mutate(0, "users:whoami", json!({})).await;
    app.hooks.ensuring.reached(1).await;
    app.hooks.ensuring.open();
    let known = [
        "Transition",
        "MutationResponse",
        "ActionResponse",
        "AuthError",
        "FatalError",
        "Ping",
    ];
    let (mut is_answered, mut is_told) = (false, false);
    while !(is_answered && is_told) {
        let message = client.next().await;
        assert!(
            known.contains(&message["type"].as_str().unwrap()),
            "{message}"
        );
        is_answered |= message["type"] == "MutationResponse" && message["result"] == "ada";
        is_told |= results(&message) == [(0, json!("ada"))];
    }
}

#[tokio::test]
async fn without_a_provisioning_function_an_identity_is_let_in_at_once() {
    let app = App::without_gate();
    let mut client = connected(&app).await;
    client.authenticate(0, &app.server.token("ada")).await;
    client
        .watch(0, &[(0, "users:me"), (1, "users:claims")])
        .await;
    let told = client.next().await;
    assert_eq!(version(&told, "endVersion"), (1, 1));
    assert_eq!(
        results(&told)[0].1["errorData"],
        json!({ "code": "UserNotFound" })
    );
    assert_eq!(app.hooks.starts_of("users:ensureUser"), []);
}

/// The gate is for identities: a caller with a proof can only come from it.
#[tokio::test]
async fn a_caller_from_the_gate_reads_at_or_past_its_commit() {
    let app = App::start();
    for n in 0..10 {
        let token = app.server.token(&format!("user{n}"));
        let user = app.server.authenticator.verify_user(&token).await.unwrap();
        let caller = app.server.gate.admit(&user).await.unwrap();
        let committed = app.hooks.starts_of("users:ensureUser").last().unwrap().ts;
        assert!(caller.proof().unwrap().committed_at() >= committed);
        assert!(app.server.durable_ts() >= committed);
    }
}

#[tokio::test]
async fn whoever_a_provider_vouched_for_is_told_at_once_when_it_is_configured_no_more() {
    let app = App::start();
    let (mut known, _) = provisioned(&app, "ada", &[]).await;
    let mut waiting = pending(&app, "grace").await;
    let mut nobody = connected(&app).await;
    app.server.authenticator.configure(AuthConfig::none());
    for client in [&mut known, &mut waiting] {
        let error = client.next_of("AuthError").await;
        assert_eq!(
            error["error"],
            "The auth provider of this token is not one of this deployment any more."
        );
        assert_eq!(client.next_or_close().await, Err(None));
    }
    app.hooks.ensuring.open();
    nobody.mutate(0, "notes:add", json!({ "text": "x" })).await;
    assert_eq!(nobody.next_of("MutationResponse").await["success"], true);
}

#[tokio::test]
async fn whoever_a_provider_vouched_for_stays_when_it_is_configured_as_before() {
    let app = App::start();
    let (mut client, _) = provisioned(&app, "ada", &[]).await;
    let same = app.server.issuer.provider().unwrap();
    app.server
        .authenticator
        .configure(AuthConfig::none().with(same));
    client.mutate(0, "users:whoami", json!({})).await;
    assert_eq!(client.next_of("MutationResponse").await["result"], "ada");
}
