//! Functions over HTTP: what goes in, what comes out, what is refused.

use serde_json::{Value as Json, json};

use super::harness::{Server, Setup, answer, assert_refused};
use super::socket_client::SocketClient;

#[tokio::test]
async fn a_function_is_called_by_each_of_its_routes() {
    let server = Server::start().await;
    let (status, added) =
        answer(server.call("mutation", "notes:add", json!({ "text": "one" }))).await;
    assert_eq!(
        (status.as_u16(), &added),
        (
            200,
            &json!({ "status": "success", "value": 1.0, "logLines": ["[INFO] adding"] })
        )
    );
    let one = json!({ "status": "success", "value": 1.0 });
    let admin = format!("Convex {}", server.admin_key());
    let requests = [
        server.call("query", "notes:count", json!({})),
        server.call("query", "notes.js:count", json!({})),
        server.get("/api/query?path=notes:count&args=%7B%7D&format=json"),
        server.call("action", "acts:hello", json!({})),
        server.post("/api/run/notes/count", json!({ "args": {} })),
        server.post(
            "/api/run/acts/hello",
            json!({ "args": {}, "format": "json" }),
        ),
        server
            .post(
                "/api/function",
                json!({ "path": "notes:count", "args": {} }),
            )
            .header("Authorization", &admin),
        server.post(
            &format!("/api/function?adminKey={}", admin[7..].replace('|', "%7C")),
            json!({ "path": "acts:hello", "args": {}, "componentPath": null }),
        ),
        server
            .call("query", "notes:count", json!({}))
            .header("Content-Type", "application/vnd.api+json; charset=utf-8"),
    ];
    for request in requests {
        let what = format!("{request:?}");
        assert_eq!(
            answer(request).await,
            (reqwest::StatusCode::OK, one.clone()),
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_query_sees_every_mutation_that_was_answered() {
    let server = Server::start().await;
    for n in 1..=20 {
        answer(server.call("mutation", "notes:add", json!({ "text": "x" }))).await;
        assert_eq!(server.count().await, f64::from(n));
    }
}

#[tokio::test]
async fn what_a_function_throws_is_an_answer_of_200() {
    let server = Server::start().await;
    let request = server
        .call("mutation", "notes:add_and_fail", json!({ "text": "x" }))
        .header("Convex-Request-Id", "abc-1");
    let (status, thrown) = answer(request).await;
    assert_eq!(status, 200);
    assert_eq!(thrown["status"], "error");
    assert_eq!(
        thrown["errorData"],
        json!({ "code": "FULL", "seats": { "$integer": "AwAAAAAAAAA=" } })
    );
    assert_eq!(thrown["logLines"], json!(["[INFO] adding"]));
    let message = thrown["errorMessage"].as_str().unwrap();
    assert!(
        message.starts_with("[Request ID: abc-1] Server Error\nUncaught ConvexError: "),
        "{message}"
    );
    assert_eq!(server.count().await, 0.0);

    let cases = [
        ("odd:fails", "Uncaught Error: nope"),
        ("odd:panics", "panicked"),
        (
            "notes:missing",
            "Could not find public function for 'notes:missing'.",
        ),
        (
            "notes:hidden",
            "Could not find public function for 'notes:hidden'.",
        ),
        (
            "notes:add",
            "Trying to execute notes.js:add as Query, but it is defined as Mutation.",
        ),
        ("odd:echo", "ArgumentValidationError: "),
    ];
    for (path, text) in cases {
        let (status, thrown) = answer(server.call("query", path, json!({}))).await;
        let message = thrown["errorMessage"].as_str().unwrap_or_default();
        assert!(
            status == 200 && message.contains(text) && thrown.get("errorData").is_none(),
            "{path}: {thrown}"
        );
        let id = message
            .strip_prefix("[Request ID: ")
            .unwrap()
            .split(']')
            .next()
            .unwrap();
        assert!(
            id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{id}"
        );
    }
    assert_eq!(server.count().await, 0.0);
}

#[tokio::test]
async fn in_production_errors_show_no_more_than_their_id_and_their_data() {
    let server = Server::start_with(Setup {
        redact: true,
        ..Setup::default()
    })
    .await;
    let add = |path: &str| {
        server
            .call("mutation", path, json!({ "text": "x" }))
            .header("Convex-Request-Id", "abc")
    };
    let expected = json!({
        "status": "error",
        "errorMessage": "[Request ID: abc] Server Error",
        "errorData": { "code": "FULL", "seats": { "$integer": "AwAAAAAAAAA=" } },
    });
    assert_eq!(answer(add("notes:add_and_fail")).await.1, expected);
    assert_eq!(
        answer(add("notes:add")).await.1,
        json!({ "status": "success", "value": 1.0 })
    );
    let bearer = |token: &str| {
        server
            .call("query", "notes:count", json!({}))
            .bearer_auth(token)
    };
    let (_, refused) = answer(bearer(&server.token("ada").replacen('.', "x.", 1))).await;
    assert!(!refused.to_string().contains("127.0.0.1"), "{refused}");
}

#[tokio::test]
async fn results_come_in_the_format_that_is_asked_for() {
    let server = Server::start().await;
    let values = |format: Option<&str>, client: Option<&str>| {
        let mut body = json!({ "path": "odd:values", "args": {} });
        if let Some(format) = format {
            body["format"] = format.into();
        }
        let request = server.post("/api/query", body);
        match client {
            Some(client) => request.header("Convex-Client", client),
            None => request,
        }
    };
    let encoded = json!({
        "int": { "$integer": "BwAAAAAAAAA=" }, "nan": { "$float": "AAAAAAAA+H8=" }, "bytes": { "$bytes": "AQID" }, "text": "é",
    });
    let clean = json!({ "int": "7", "nan": "NaN", "bytes": "AQID", "text": "é" });
    let export = json!({ "int": 7, "nan": { "$float": "AAAAAAAA+H8=" }, "bytes": { "$bytes": "AQID" }, "text": "é" });
    let cases = [
        (Some("convex_encoded_json"), None, &encoded),
        (Some("convex_json"), None, &encoded),
        (Some("json"), Some("npm-1.0.0"), &clean),
        (Some("convex_clean_json"), None, &clean),
        (Some("export_json"), None, &export),
        (None, None, &clean),
        (None, Some("npm-1.45.0"), &clean),
        (None, Some("npm-1.0.0"), &encoded),
        (None, Some("python-0.4.0"), &encoded),
    ];
    for (format, client, expected) in cases {
        assert_eq!(
            &answer(values(format, client)).await.1["value"],
            expected,
            "{format:?} {client:?}"
        );
    }
    let run = server
        .post("/api/run/odd/values", json!({ "args": {} }))
        .header("Convex-Client", "npm-1.0.0");
    assert_eq!(answer(run).await.1["value"], clean);
    let echo = json!({ "path": "odd:echo", "args": { "seats": { "$integer": "BwAAAAAAAAA=" } } });
    let (_, echoed) = answer(server.post("/api/query", echo)).await;
    assert_eq!(
        echoed,
        json!({ "status": "success", "value": { "seats": "7" }, "logLines": ["[LOG] echoed"] })
    );
}

#[tokio::test]
async fn a_request_that_is_wrong_is_refused_with_its_code() {
    let server = Server::start().await;
    let query = |body: Json| server.post("/api/query", body);
    let text = |content_type: &str, body: &'static str| {
        server
            .ask(reqwest::Method::POST, "/api/query")
            .header("Content-Type", content_type)
            .body(body)
    };
    let fine = || server.call("query", "notes:count", json!({}));
    let cases = [
        (
            text("text/plain", r#"{"path":"notes:count","args":{}}"#),
            400,
            "BadJsonBody",
        ),
        (
            text("application/json", r#"{"path":"notes:count","args":{}"#),
            400,
            "BadJsonBody",
        ),
        (
            text("application/json", r#"{"path":"a","path":"b","args":{}}"#),
            400,
            "BadJsonBody",
        ),
        (text("application/json", ""), 400, "BadJsonBody"),
        (query(json!([])), 400, "BadJsonBody"),
        (query(json!({ "path": "notes:count" })), 400, "BadJsonBody"),
        (query(json!({ "args": {} })), 400, "BadJsonBody"),
        (
            query(json!({ "path": "notes/:count:x y", "args": {} })),
            400,
            "BadConvexFunctionIdentifier",
        ),
        (
            query(json!({ "path": "notes:count", "args": {}, "format": "xml" })),
            400,
            "BadFormat",
        ),
        (
            server.get("/api/query?path=notes:count"),
            400,
            "BadQueryArgs",
        ),
        (
            server.get("/api/query?path=notes:count&args=%7B"),
            400,
            "BadQueryArgs",
        ),
        (
            server.get("/api/query?path=%20&args=%7B%7D"),
            400,
            "BadConvexFunctionIdentifier",
        ),
        (
            server.post("/api/run/notes", json!({ "args": {} })),
            400,
            "MissingIdentifier",
        ),
        (
            server.post("/api/run/", json!({ "args": {} })),
            400,
            "MissingIdentifier",
        ),
        (
            server.post("/api/run/notes/%ff", json!({ "args": {} })),
            400,
            "BadPathArgs",
        ),
        (
            server.post("/api/run//count", json!({ "args": {} })),
            400,
            "BadConvexFunctionIdentifier",
        ),
        (
            fine().header("Convex-Client", "what"),
            400,
            "InvalidClientVersion",
        ),
        (
            fine().header("Convex-Client", "npm-0.19.1"),
            400,
            "ClientVersionUnsupported",
        ),
        (
            fine().header("Convex-Request-Id", "a b"),
            400,
            "InvalidRequestId",
        ),
        (
            fine().header("Convex-Request-Id", "x".repeat(65)),
            400,
            "InvalidRequestId",
        ),
        (
            fine().header("Authorization", "Bearer"),
            400,
            "InvalidHeaderFailure",
        ),
        (
            fine()
                .header("Authorization", "Bearer a")
                .header("Authorization", "Bearer b"),
            400,
            "InvalidHeaderFailure",
        ),
        (
            fine().header("Authorization", "Digest abcdef"),
            400,
            "InvalidAdminKey",
        ),
        (
            fine().header("Authorization", "Bearer a.b.c"),
            401,
            "InvalidAuthHeader",
        ),
        (
            fine().header("Authorization", "Convex test|0123"),
            401,
            "BadAdminKey",
        ),
        (
            server.post(
                "/api/query?adminKey=test%7C00",
                json!({ "path": "notes:count", "args": {} }),
            ),
            401,
            "BadAdminKey",
        ),
        (
            fine().header(
                "Authorization",
                format!("Convex {}:e30=", server.admin_key()),
            ),
            400,
            "HeaderParseFailure",
        ),
        (
            server.post(
                "/api/function",
                json!({ "path": "notes:count", "args": {} }),
            ),
            403,
            "BadDeployKey",
        ),
        (server.get("/api/nothing"), 404, "NotFound"),
        (server.get("/api/nothing/1"), 404, "NotFound"),
    ];
    for (request, status, code) in cases {
        assert_refused(request, status, code).await;
    }
    assert_refused(
        server
            .post(
                "/api/function",
                json!({ "path": "notes:count", "args": {}, "componentPath": "other" }),
            )
            .header("Authorization", format!("Convex {}", server.admin_key())),
        400,
        "ComponentNotFound",
    )
    .await;
}

#[tokio::test]
async fn old_clients_are_told_that_they_are_old() {
    let server = Server::start().await;
    let ask = |client: &'static str| {
        server
            .call("query", "notes:count", json!({}))
            .header("Convex-Client", client)
            .send()
    };
    let state = |response: &reqwest::Response| {
        let header = response.headers().get("x-convex-deprecation-state");
        header.map(|state| state.to_str().unwrap().to_owned())
    };
    let old = ask("python-0.2.0").await.unwrap();
    assert_eq!(
        (old.status().as_u16(), state(&old).as_deref()),
        (200, Some("UpgradeRequired"))
    );
    let too_old = ask("rust-0.0.1").await.unwrap();
    assert_eq!(
        (too_old.status().as_u16(), state(&too_old).as_deref()),
        (400, Some("Unsupported"))
    );
    assert!(
        too_old
            .headers()
            .contains_key("x-convex-deprecation-message")
    );
    assert_eq!(state(&ask("npm-1.45.0").await.unwrap()), None);
}

#[tokio::test]
async fn functions_see_whom_the_request_proves() {
    let server = Server::start().await;
    let me = |authorization: Option<String>| {
        let request = server.call("query", "users:me", json!({}));
        match authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        }
    };
    let admin = server.admin_key();
    let attributes =
        data_encoding::BASE64.encode(br#"{"issuer":"https://a.example","subject":"grace"}"#);
    let cases = [
        (None, Json::Null),
        (
            Some(format!("bearer {}", server.token("ada"))),
            json!("ada"),
        ),
        (
            Some(format!("Bearer  {} ", server.token("bob"))),
            json!("bob"),
        ),
        (Some(format!("Convex {admin}")), Json::Null),
        (Some(format!("Convex {admin}:{attributes}")), json!("grace")),
        (Some(format!("Convex prod:{admin}")), Json::Null),
    ];
    for (authorization, subject) in cases {
        assert_eq!(
            answer(me(authorization.clone())).await.1["value"],
            subject,
            "{authorization:?}"
        );
    }
    let hidden = server
        .call("query", "notes:hidden", json!({}))
        .header("Authorization", format!("Convex {admin}"));
    assert_eq!(answer(hidden).await.1["value"], "hidden");
}

#[tokio::test]
async fn an_expired_token_is_refused_and_not_taken_for_nobody() {
    let server = Server::start().await;
    let token = server.token("ada");
    server.clock.advance(std::time::Duration::from_secs(3_601));
    assert_refused(
        server
            .call("query", "notes:count", json!({}))
            .bearer_auth(token),
        401,
        "Unauthenticated",
    )
    .await;
}

#[tokio::test]
async fn a_doubled_slash_in_front_is_one() {
    let server = Server::start().await;
    let (status, answered) = answer(server.call("/query", "notes:count", json!({}))).await;
    assert_eq!(status, 404, "inside an address it is not: {answered}");
    let (status, _) =
        answer(server.post("//api/query", json!({ "path": "notes:count", "args": {} }))).await;
    assert_eq!(status, 200);
    let (status, _) = answer(server.get("///api/query?path=notes:count&args=%7B%7D")).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_query_that_the_cache_answers_is_logged_while_somebody_follows() {
    let server = Server::start().await;
    let ask = || answer(server.call("query", "notes:count", json!({})));
    let logged = async || {
        let log = server
            .get("/api/stream_function_logs?cursor=0")
            .header("Authorization", format!("Convex {}", server.admin_key()));
        let told = answer(log).await.1;
        let entries = told["entries"].as_array().unwrap();
        let entries = entries.iter().map(|entry| {
            assert_eq!(
                (&entry["kind"], &entry["udfType"], &entry["error"]),
                (&json!("Completion"), &json!("Query"), &Json::Null)
            );
            let identifier = entry["identifier"].as_str().unwrap();
            (identifier.to_owned(), entry["cachedResult"] == true)
        });
        entries.collect::<Vec<_>>()
    };
    ask().await;
    ask().await;
    assert_eq!(logged().await, [], "nobody followed");
    ask().await;
    let cached = || ("notes:count".to_owned(), true);
    assert_eq!(logged().await, [cached()]);
    let mut client = SocketClient::connect(&server, &[]).await;
    client.watch("notes:count").await;
    client.next_of("Transition").await;
    assert_eq!(logged().await, [cached(), cached()]);
}
