//! The example `chat`, built beside the tests that drive it as a process. With `CHAT_PROVISIONING_SWITCH` set it can be
//! made to provision slowly, or to fail at it, while it runs; with `CHAT_WITHOUT_GATE` it is a server as others are, that
//! leaves provisioning to its clients.

use std::path::PathBuf;
use std::time::Duration;

use vestibule_server::database::Limits;
use vestibule_server::prelude::{App, MutationCtx};
use vestibule_tests::switch::Switch;

/// Where nothing fails at provisioning, only a machine busy with other tests keeps a thousand people waiting.
const PATIENT: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    chat::run_as(app).await
}

fn app(invited: Option<String>) -> App {
    let app = match std::env::var_os("CHAT_PROVISIONING_SWITCH") {
        Some(file) => switched(invited, file.into()),
        None => chat::app(invited).gate_deadline(PATIENT),
    };
    match std::env::var_os("CHAT_WITHOUT_GATE") {
        Some(_) => app.without_provisioning(),
        None => app,
    }
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
