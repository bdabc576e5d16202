//! The callers that HTTP actions run as, and the functions they may call.

use serde_json::json;

use super::actions::{gated, post, status, with};
use super::harness::{Server, answer, assert_refused};

#[tokio::test]
async fn an_action_calls_functions_of_every_kind_and_internal_ones_that_clients_do_not() {
    let server = Server::start().await;
    let (status, called) = answer(post(&server, "/http/add", "a note")).await;
    assert_eq!(
        (status.as_u16(), called),
        (200, json!([1.0, "hidden", 1.0]))
    );
    let (_, refused) = answer(server.call("query", "notes:hidden", json!({}))).await;
    assert_eq!(refused["status"], "error");
    assert_eq!(server.count().await, 1.0);
}

#[tokio::test]
async fn without_an_auth_token_an_action_runs_as_nobody() {
    let server = gated().await;
    let nobody = json!([null, null, 0.0]);
    assert_eq!(answer(server.get("/http/me")).await.1, nobody);
    // Other schemes are between the app and the sender: no sender is an administrator here.
    for authorization in [
        "Basic dXNlcjpwYXNz".to_string(),
        "a-shared-secret".to_string(),
        format!("Convex {}", server.admin_key()),
    ] {
        let request = server
            .get("/http/me")
            .header("Authorization", &authorization);
        assert_eq!(answer(request).await.1, nobody, "{authorization}");
    }
}

#[tokio::test]
async fn the_first_touch_of_a_user_passes_the_gate_before_the_action_starts() {
    let server = gated().await;
    let me = server.get("/http/me").bearer_auth(server.token("ada"));
    assert_eq!(answer(me).await.1, json!(["ada", "ada", 1.0]));
    // Even when the action never looks at the identity.
    let unasked = server
        .get("/http/unasked")
        .bearer_auth(server.token("grace"));
    assert_eq!(answer(unasked).await.1, json!([2.0, true]));
}

#[tokio::test]
async fn one_who_is_not_let_in_stops_only_what_looks_at_them() {
    let server = gated().await;
    let mallory = server.token("mallory");
    let (status, refused) = answer(server.get("/http/me").bearer_auth(&mallory)).await;
    let data =
        json!({ "code": "NotProvisioned", "reason": "refused", "data": { "why": "banned" } });
    assert_eq!(
        (status.as_u16(), &refused["code"], &refused["data"]),
        (403, &json!("NotProvisioned"), &data)
    );
    let unasked = server.get("/http/unasked").bearer_auth(&mallory);
    assert_eq!(answer(unasked).await.1, json!([0.0, false]));
    // Nor does it matter which function looks, however deep.
    for path in ["/http/nested", "/http/deep", "/http/writes"] {
        let (status, refused) = answer(server.get(path).bearer_auth(&mallory)).await;
        assert_eq!(
            (status.as_u16(), &refused["code"], &refused["data"]),
            (403, &json!("NotProvisioned"), &data),
            "{path}"
        );
    }
}

#[tokio::test]
async fn one_whose_provisioning_fails_is_told_to_come_back_where_an_action_looks_at_them() {
    let server = with(|setup| setup.provision_with = Some("users:break")).await;
    let ada = server.token("ada");
    let looks = server.get("/http/me").bearer_auth(&ada);
    assert_refused(looks, 503, "ProvisioningFailed").await;
    let unasked = server.get("/http/unasked").bearer_auth(&ada);
    assert_eq!(answer(unasked).await.1, json!([0.0, false]));
}

#[tokio::test]
async fn a_bearer_that_is_no_good_token_stops_only_what_looks_at_it() {
    let server = gated().await;
    let ada = server.token("ada");
    let forged = format!("{}x", &ada[..ada.len() - 1]);
    for bearer in ["a-shared-secret", "a.b.c", &forged] {
        let refused = server.get("/http/me").bearer_auth(bearer);
        let (status, refused) = answer(refused).await;
        assert_eq!(status, 401, "{bearer}: {refused}");
        assert!(refused["message"].is_string(), "{refused}");
        let unasked = server.get("/http/unasked").bearer_auth(bearer);
        assert_eq!(answer(unasked).await.1, json!([0.0, false]), "{bearer}");
        let looks = answer(server.get("/http/me").bearer_auth(bearer)).await;
        for path in ["/http/nested", "/http/deep", "/http/writes"] {
            let nested = answer(server.get(path).bearer_auth(bearer)).await;
            assert_eq!(nested, looks, "{bearer}: {path}");
        }
    }
    let twice = server
        .get("/http/me")
        .header("Authorization", format!("Bearer {ada}"))
        .header("Authorization", format!("Bearer {ada}"));
    assert_refused(twice, 400, "InvalidHeaderFailure").await;
}

#[tokio::test]
async fn a_webhooks_own_secret_does_not_count_as_a_refused_token_and_a_forged_token_does() {
    let server = Server::start().await;
    let ask = |bearer: &'static str| server.get("/http/unasked").bearer_auth(bearer);
    let most = crate::auth::AUTH_FAILURES_PER_MINUTE_MAX;
    for _ in 0..=most {
        assert_eq!(status(ask("a-shared-secret")).await, 200);
    }
    let fine = server
        .call("query", "notes:count", json!({}))
        .bearer_auth(server.token("ada"));
    assert_eq!(answer(fine).await.0, 200);
    for _ in 0..most {
        assert_eq!(status(ask("e30.e30.e30")).await, 200);
    }
    let listened_to = server.get("/http/me").bearer_auth(server.token("ada"));
    assert_refused(listened_to, 429, "TooManyAuthFailures").await;
    // An action that does not look at the identity goes on.
    assert_eq!(answer(ask("e30.e30.e30")).await.1, json!([0.0, false]));
}

#[tokio::test]
async fn an_admin_key_in_the_address_is_nothing_to_an_action() {
    let server = gated().await;
    let address = format!("/http/me?adminKey={}", server.admin_key());
    assert_eq!(
        answer(server.get(&address)).await.1,
        json!([null, null, 0.0])
    );
}
