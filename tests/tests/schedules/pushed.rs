//! The app in TypeScript that is pushed to a server while it serves: `tests/apps/gate`.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, ensure};
use serde_json::{Value as Json, json};

use super::child::Server;
use super::plan::Kind;

/// How long a preparation may be waited for in one request.
const PREPARATION_MILLIS: u64 = 10_000;
/// How often a push is tried.
const TRIES: usize = 5;

/// Pushes the app, each time with other code.
pub struct Pusher {
    key: String,
    http: reqwest::Client,
    pushes: AtomicU64,
}

impl Pusher {
    /// Pushes for the first time, and says how users come to exist.
    pub async fn begin(server: &Server, kind: Kind) -> anyhow::Result<Pusher> {
        let pusher = Pusher {
            key: server.admin_key()?,
            http: reqwest::Client::builder()
                .pool_max_idle_per_host(0)
                .build()?,
            pushes: AtomicU64::new(0),
        };
        let (name, value) = match kind {
            Kind::Webhook => ("VESTIBULE_PROVISION_WHEN", "users.by_token:tokenIdentifier"),
            _ => ("VESTIBULE_PROVISION_WITH", "users:ensureUser"),
        };
        let change = json!({ "changes": [{ "name": name, "value": value }] });
        let url = server.url();
        let changed = pusher.post(&url, "update_environment_variables", change);
        ensure!(changed.await?.is_some(), "the variable was not set");
        pusher.push(&url).await?;
        Ok(pusher)
    }

    /// Pushes the app with code that differs from all before. A clock that skips may take the time from a push under way; the
    /// official command line then tries again, too.
    pub async fn push(&self, url: &str) -> anyhow::Result<()> {
        let number = self.pushes.fetch_add(1, Ordering::Relaxed);
        for _ in 0..TRIES {
            if self.try_to_push(url, number).await? {
                return Ok(());
            }
        }
        anyhow::bail!("the server never had the time for a push")
    }

    /// Returns whether the server took the push.
    async fn try_to_push(&self, url: &str, number: u64) -> anyhow::Result<bool> {
        let started = json!({
            "adminKey": self.key, "dryRun": false, "functions": "convex/", "appDefinition": app(number),
            "componentDefinitions": [], "nodeDependencies": [], "forCodegen": false,
        });
        let Some(started) = self.post(url, "deploy2/start_push", started).await? else {
            return Ok(false);
        };
        loop {
            let prepare = json!({
                "adminKey": self.key, "schemaChange": started["schemaChange"], "timeoutMs": PREPARATION_MILLIS, "dryRun": false,
            });
            let prepared = self.post(url, "deploy2/wait_for_schema", prepare).await?;
            let prepared = prepared.unwrap_or_default();
            match prepared["type"].as_str() {
                Some("inProgress") => {}
                Some("complete") => break,
                None => return Ok(false),
                Some(_) => anyhow::bail!("the push was not prepared: {prepared}"),
            }
        }
        let finish =
            json!({ "adminKey": self.key, "startPush": started, "dryRun": false, "message": null });
        let finished = self.post(url, "deploy2/finish_push", finish).await?;
        Ok(finished.is_some())
    }

    /// The answer; none where the server is in trouble.
    async fn post(&self, url: &str, path: &str, body: Json) -> anyhow::Result<Option<Json>> {
        let request = self.http.post(format!("{url}/api/{path}")).json(&body);
        let authorization = format!("Convex {}", self.key);
        let answer = request
            .header("Authorization", authorization)
            .send()
            .await?;
        let (status, text) = (answer.status(), answer.text().await?);
        if status.is_server_error() {
            return Ok(None);
        }
        ensure!(status.is_success(), "{path}: {status} {text}");
        // Some answers have no body.
        Ok(Some(serde_json::from_str(&text).unwrap_or_default()))
    }
}

/// The app as it is pushed, with a number in each of its modules.
fn app(number: u64) -> Json {
    static APP: OnceLock<Json> = OnceLock::new();
    let mut app = APP.get_or_init(|| bundle().unwrap()).clone();
    for module in app["changedModules"].as_array_mut().into_iter().flatten() {
        let source = module["source"].as_str().unwrap_or_default();
        module["source"] = json!(format!("{source}\n// {number}\n"));
    }
    app
}

/// Bundles the app once.
fn bundle() -> anyhow::Result<Json> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("apps");
    if !folder.join("node_modules").exists() {
        let npm = Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(&folder)
            .output()
            .context("these tests need Node with npm: see https://nodejs.org")?;
        let said = String::from_utf8_lossy(&npm.stderr);
        ensure!(npm.status.success(), "npm ci failed:\n{said}");
    }
    let node = Command::new("node")
        .arg("gate/bundle.mjs")
        .current_dir(&folder)
        .output()?;
    let said = String::from_utf8_lossy(&node.stderr);
    ensure!(node.status.success(), "the app was not bundled:\n{said}");
    Ok(serde_json::from_slice(&node.stdout)?)
}
