//! Imports and exports over HTTP, step by step as official tools go.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value as Json, json};

use super::harness::{Server, answer, assert_refused, json_of};

struct Tool {
    server: Server,
    key: String,
}

impl Tool {
    async fn new() -> Tool {
        let server = Server::start().await;
        let key = format!("Convex {}", server.admin_key());
        Tool { server, key }
    }

    fn post(&self, path: &str) -> RequestBuilder {
        let request = self.server.ask(Method::POST, path);
        request
            .header("authorization", &self.key)
            .header("content-type", "application/json")
    }

    async fn query(&self, path: &str, args: Json) -> Json {
        let request = self.server.call("query", path, args);
        let answered = request.header("authorization", &self.key).send().await;
        json_of(answered.unwrap()).await["value"].clone()
    }

    /// Asks until the state of what `path` shows is none of those that pass by themselves.
    async fn settled(&self, path: &str, args: Json) -> Json {
        loop {
            let shown = self.query(path, args.clone()).await;
            let state = match &shown["state"] {
                Json::Object(state) => state["state"].clone(),
                state => state.clone(),
            };
            let passing = ["uploaded", "requested", "in_progress"];
            if !passing.contains(&state.as_str().unwrap()) {
                return shown;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn upload(&self, parts: &[&'static str], import: Json) -> String {
        // No body, although the header promises one in JSON.
        let (_, started) = answer(self.post("/api/import/start_upload")).await;
        let token = started["uploadToken"].as_str().unwrap();
        let mut tokens = Vec::new();
        for (part, number) in parts.iter().zip(1..) {
            let path = format!("/api/import/upload_part?uploadToken={token}&partNumber={number}");
            let (status, part_token) = answer(self.post(&path).body(*part)).await;
            assert_eq!(status, 200, "{part_token}");
            tokens.push(part_token);
        }
        let finish = json!({ "import": import, "uploadToken": token, "partTokens": tokens });
        let finish = self
            .post("/api/import/finish_upload")
            .body(finish.to_string());
        let (status, finished) = answer(finish).await;
        assert_eq!(status, 200, "{finished}");
        finished["importId"].as_str().unwrap().to_string()
    }
}

#[tokio::test]
async fn an_import_is_uploaded_confirmed_and_done() {
    let tool = Tool::new().await;
    assert_eq!(
        tool.query("_system/cli/queryImport:list", json!({})).await,
        json!([])
    );
    let import = json!({ "tableName": "notes", "mode": "requireEmpty", "format": "jsonLines" });
    let id = tool.upload(&["{\"text\":", "\"hello\"}\n"], import).await;
    let args = json!({ "importId": id });
    let waiting = tool.settled("_system/cli/queryImport", args.clone()).await;
    assert_eq!(waiting["state"]["state"], "waiting_for_confirmation");
    assert_eq!(waiting["state"]["require_manual_confirmation"], false);
    let perform = || tool.post("/api/perform_import").body(args.to_string());
    assert_eq!(answer(perform()).await.0, 200);
    let done = tool.settled("_system/cli/queryImport", args.clone()).await;
    assert_eq!(
        done["state"]["num_rows_written"],
        json!({ "$integer": "AQAAAAAAAAA=" })
    );
    assert_eq!(tool.server.count().await, 1.0);
    assert_refused(perform(), 400, "WrongImportState").await;
    // A file of nothing has no parts, and clears the table.
    let import = json!({ "tableName": "notes", "mode": "replace", "format": "jsonLines" });
    let id = tool.upload(&[], import).await;
    let args = json!({ "importId": id });
    let waiting = tool.settled("_system/cli/queryImport", args.clone()).await;
    assert_eq!(waiting["state"]["require_manual_confirmation"], true);
    let perform = tool.post("/api/perform_import").body(args.to_string());
    assert_eq!(answer(perform).await.0, 200);
    let done = tool.settled("_system/cli/queryImport", args).await;
    assert_eq!(done["state"]["state"], "completed");
    assert_eq!(tool.server.count().await, 0.0);
}

#[tokio::test]
async fn an_export_is_requested_watched_and_downloaded() {
    let tool = Tool::new().await;
    let add = tool
        .server
        .call("mutation", "notes:add", json!({ "text": "hello" }));
    add.send().await.unwrap();
    let path = "/api/export/request/zip?includeStorage=false";
    let requested = tool.post(path).send().await.unwrap();
    assert_eq!(requested.status(), 200);
    let export = tool
        .settled("_system/cli/exports:getLatest", json!({}))
        .await;
    assert_eq!(export["state"], "completed");
    let ts = export["start_ts"]["$integer"].as_str().unwrap();
    let ts = data_encoding::BASE64.decode(ts.as_bytes()).unwrap();
    let ts = i64::from_le_bytes(ts.try_into().unwrap());
    let download = tool.server.get(&format!("/api/export/zip/{ts}"));
    let download = download
        .header("authorization", &tool.key)
        .send()
        .await
        .unwrap();
    assert_eq!(
        download.headers()["content-disposition"].to_str().unwrap(),
        format!("attachment; filename=snapshot_test_{ts}.zip")
    );
    let archive = download.bytes().await.unwrap();
    assert!(archive.starts_with(b"PK"));
    // The export goes in again.
    let imported = tool
        .post("/api/import?mode=replaceAll&format=zip")
        .body(archive);
    let (status, imported) = answer(imported).await;
    assert_eq!(
        (status.as_u16(), &imported["numWritten"]),
        (200, &json!(1)),
        "{imported}"
    );
    assert_eq!(tool.server.count().await, 1.0);
}

#[tokio::test]
async fn nobody_but_an_administrator_sees_or_does_any_of_it() {
    let tool = Tool::new().await;
    for path in [
        "/api/import/start_upload",
        "/api/import/upload_part?uploadToken=x&partNumber=1",
        "/api/export/request/zip",
    ] {
        let (status, _) = answer(tool.server.ask(Method::POST, path)).await;
        assert_eq!(status, 403, "{path}");
    }
    for path in [
        "_system/cli/queryImport:list",
        "_system/cli/exports:getLatest",
    ] {
        let request = tool.server.call("query", path, json!({}));
        let answered = json_of(request.send().await.unwrap()).await;
        assert_eq!(answered["status"], "error", "{path}");
    }
    let bad = json!({ "import": { "mode": "sideways", "format": "csv" }, "uploadToken": "x", "partTokens": [] });
    let bad = tool.post("/api/import/finish_upload").body(bad.to_string());
    assert_refused(bad, 400, "InvalidImport").await;
    let part = tool.post("/api/import/upload_part?uploadToken=../x&partNumber=1");
    assert_refused(part.body("x"), 400, "UploadNotFound").await;
}
