//! The example `chat`, built beside the tests that drive it as a process. With `CHAT_PROVISIONING_SWITCH`, a test can
//! make it provision slowly, or fail at it, while it runs. With `CHAT_WITHOUT_GATE` it leaves provisioning to its
//! clients, as other servers do. With `CHAT_BOUNDS` its connections have other bounds, and it has an action that waits.
//! With `CHAT_PUSHED` its functions are those that were pushed to its data directory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Semaphore;
use vestibule_server::database::Limits;
use vestibule_server::prelude::{ActionCtx, App, MutationCtx};
use vestibule_server::sync::SyncOptions;
use vestibule_tests::switch::Switch;

/// Where nothing fails at provisioning, only a machine busy with other tests makes a thousand people wait.
const PATIENT: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    chat::run_as(app).await
}

fn app(invited: Option<String>) -> App {
    let is_pushed = std::env::var_os("CHAT_PUSHED").is_some();
    let app = match std::env::var_os("CHAT_PROVISIONING_SWITCH") {
        Some(file) => switched(invited, file.into()),
        None if is_pushed => chat::site().gate_deadline(PATIENT),
        None => chat::app(invited).gate_deadline(PATIENT),
    };
    let app = match std::env::var("CHAT_BOUNDS") {
        Ok(bounds) => bounded(app, &bounds),
        Err(_) => app,
    };
    match std::env::var_os("CHAT_WITHOUT_GATE") {
        Some(_) => app.without_provisioning(),
        None => app,
    }
}

/// Arguments that may be made longer.
#[derive(Deserialize)]
struct Padded {
    #[serde(rename = "padding")]
    _padding: Option<String>,
}

/// The chat with bounds such as `subscriptions_max=3,anonymous_idle_max=50`, times in milliseconds.
fn bounded(app: App, bounds: &str) -> App {
    let mut options = SyncOptions::default();
    for bound in bounds.split(',') {
        let (name, value) = bound.split_once('=').expect("a bound has a value");
        let value: usize = value.parse().expect("a bound is a number");
        let place = match name {
            "anonymous_idle_max" => {
                options.anonymous_idle_max = Duration::from_millis(value as u64);
                continue;
            }
            "connections_max" => &mut options.connections_max,
            "frame_bytes_max" => &mut options.frame_bytes_max,
            "subscriptions_max" => &mut options.subscriptions_max,
            "query_set_bytes_max" => &mut options.query_set_bytes_max,
            "query_set_bytes_address_max" => &mut options.query_set_bytes_address_max,
            "query_set_bytes_total_max" => &mut options.query_set_bytes_total_max,
            "mutations_pending_max" => &mut options.mutations_pending_max,
            "actions_pending_max" => &mut options.actions_pending_max,
            "held_calls_max" => &mut options.held_calls_max,
            "held_bytes_max" => &mut options.held_bytes_max,
            "held_bytes_total_max" => &mut options.held_bytes_total_max,
            "inbound_bytes_address_max" => &mut options.inbound_bytes_address_max,
            "inbound_bytes_total_max" => &mut options.inbound_bytes_total_max,
            other => panic!("{other} is no bound"),
        };
        *place = value;
    }
    let (waits, releases) = {
        let release = Arc::new(Semaphore::new(0));
        (release.clone(), release)
    };
    app.action("tests:wait", move |_: ActionCtx, _: Padded| {
        let release = waits.clone();
        async move {
            release.acquire().await?.forget();
            Ok("released")
        }
    })
    .mutation("tests:release", move |_: &mut MutationCtx, (): ()| {
        releases.add_permits(1);
        Ok(())
    })
    .sync_options(options)
}

/// The chat, whose provisioning does what the file says.
fn switched(invited: Option<String>, file: PathBuf) -> App {
    let switch = Switch::new(file);
    let patient = Limits {
        user_millis_max: 600_000,
        ..Limits::default()
    };
    chat::app(invited.clone())
        .mutation("tests:ensureUser", move |ctx: &mut MutationCtx, (): ()| {
            switch.pass();
            chat::model::ensure_user(ctx, &invited)
        })
        .provision_with("tests:ensureUser")
        .limits(patient)
}
