//! Clients outside the server. Each goes on over kills and cuts until it is asked to stop, and notes what it saw.

mod http;
mod session;
mod watcher;
mod work;

pub use http::HttpClient;
pub use session::SessionClient;
pub use watcher::Watcher;
pub use work::Work;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use vestibule_schema::value::Value;

use crate::record::Record;
use crate::steps::Step;

/// The place where clients work.
#[derive(Clone)]
pub struct Stage {
    /// The server's address, the same over all its lives.
    pub server: String,
    /// The address that clients take: the server's own, or a wire that is cut at times.
    pub wire: String,
    /// Their notes.
    pub record: Record,
    /// The list to which one value is appended when all is over, so that watchers know that they have seen everything.
    pub end: String,
    /// The number of timestamps that were asked for.
    pub timestamps: Arc<AtomicU32>,
    /// Set when no client begins anything any more.
    pub is_over: watch::Receiver<bool>,
}

impl Stage {
    fn sync_url(&self) -> String {
        format!("{}/api/sync", self.wire.replacen("http", "ws", 1))
    }

    fn is_over(&self) -> bool {
        *self.is_over.borrow()
    }

    /// Whether one more timestamp may be asked for in this storm. Those of which a server keeps the state are few.
    fn may_ask_ts(&self) -> bool {
        const TIMESTAMPS_MAX: u32 = 60;
        self.timestamps.fetch_add(1, Ordering::Relaxed) < TIMESTAMPS_MAX
    }

    /// Between two attempts, so that a server that starts has the processor.
    async fn pause(&self) {
        const PAUSE: Duration = Duration::from_millis(4);
        tokio::time::sleep(PAUSE).await;
    }

    /// A token for a person, once the server answers.
    async fn token(&self, person: &str) -> anyhow::Result<String> {
        let request = serde_json::json!({ "subject": person, "name": person });
        vestibule_tests::process::mint_token(&self.server, request).await
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let Value::Array(all) = value else {
        return None;
    };
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        _ => None,
    };
    all.iter().map(text).collect()
}

fn steps_value(steps: &[Step]) -> Value {
    vestibule_schema::to_value(steps).expect("steps are values")
}
