//! The log of executions: each run, its end and its log lines, for tools that follow a deployment.
//!
//! It is a ring in memory, bounded in entries and in bytes. A follower states how far it has read, by a cursor that
//! only grows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use tokio::sync::watch;
use vestibule_schema::path::ComponentPath;

/// Entries that are kept.
pub const LOG_ENTRIES_MAX: usize = 10_000;
/// Bytes of text in all entries that are kept.
pub const LOG_BYTES_MAX: usize = 16 << 20;
/// Entries that are handed out at once.
pub const LOG_PAGE_ENTRIES_MAX: usize = 1_000;
/// Milliseconds after its last look for which a tool counts as following.
const FOLLOWED_MILLIS: u64 = 120_000;

/// One execution, or a part of one that goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// Whether the execution has ended.
    pub is_completion: bool,
    /// `Query`, `Mutation`, `Action` or `HttpAction`.
    pub kind: &'static str,
    /// The function as clients write it; of an HTTP action `POST /hook`.
    pub identifier: String,
    /// The component whose function it is.
    pub component: ComponentPath,
    /// When it began, in milliseconds since 1970.
    pub began_millis: f64,
    /// How long it took.
    pub took: Duration,
    /// Its log lines, as `[LEVEL] text`.
    pub log_lines: Vec<String>,
    /// The error it threw.
    pub error: Option<String>,
    /// The status that an HTTP action answered.
    pub status: Option<u16>,
    /// The request that asked for it.
    pub request_id: Arc<str>,
    /// Where it runs: `isolate`, `node`, or `native` for Rust.
    pub environment: &'static str,
    /// `user`, `instance_admin`, `unknown` or `system`.
    pub identity: &'static str,
    /// Whether nothing ran: an earlier run's result was given out again.
    pub is_cached: bool,
}

/// Entries of the log behind a cursor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogPage {
    /// Oldest first.
    pub entries: Vec<LogEntry>,
    /// Where to go on.
    pub cursor: u64,
}

/// The log of a deployment.
pub struct FunctionLog {
    ring: Mutex<Ring>,
    newest: watch::Sender<u64>,
    /// The time of the last look, in milliseconds since 1970.
    looked_at: AtomicU64,
}

#[derive(Default)]
struct Ring {
    entries: VecDeque<(u64, LogEntry)>,
    bytes: usize,
    /// The newest cursor that was given out, to an entry or to a reader.
    cursor: u64,
}

impl Default for FunctionLog {
    fn default() -> FunctionLog {
        FunctionLog {
            ring: Mutex::default(),
            newest: watch::Sender::new(0),
            looked_at: AtomicU64::new(0),
        }
    }
}

impl FunctionLog {
    /// Whether an execution that succeeded and printed nothing is worth an entry: only while a tool follows.
    pub fn wants_successes(&self, now_millis: u64) -> bool {
        let looked_at = self.looked_at.load(Ordering::Relaxed);
        now_millis.saturating_sub(looked_at) < FOLLOWED_MILLIS
    }

    /// Whether a tool ever followed: cheaper than asking for the time.
    pub fn was_looked_at(&self) -> bool {
        self.looked_at.load(Ordering::Relaxed) != 0
    }

    /// Adds an entry. The oldest go when there are too many.
    pub fn push(&self, now_millis: u64, entry: LogEntry) {
        let cursor = {
            let mut ring = self.ring.lock();
            let cursor = now_millis.max(ring.cursor + 1);
            ring.cursor = cursor;
            ring.bytes += entry.bytes();
            ring.entries.push_back((cursor, entry));
            ring.shrink();
            cursor
        };
        self.newest.send_replace(cursor);
    }

    /// The entries behind `cursor`; from the beginning for zero.
    pub fn after(&self, cursor: u64, now_millis: u64) -> LogPage {
        self.looked_at.store(now_millis, Ordering::Relaxed);
        let mut ring = self.ring.lock();
        // A cursor of another life of the server may lie ahead of everything that is to come.
        let cursor = cursor.min(ring.cursor);
        let first = ring.entries.partition_point(|(at, _)| *at <= cursor);
        let found: Vec<(u64, LogEntry)> = ring
            .entries
            .range(first..)
            .take(LOG_PAGE_ENTRIES_MAX)
            .cloned()
            .collect();
        let next = match found.last() {
            Some((last, _)) => *last,
            None if cursor == 0 => {
                // Nothing is earlier than this moment, and what comes will be later.
                ring.cursor = now_millis.max(ring.cursor);
                ring.cursor
            }
            None => cursor,
        };
        LogPage {
            entries: found.into_iter().map(|(_, entry)| entry).collect(),
            cursor: next,
        }
    }

    /// As [`Self::after`], but waits until there is something, unless the cursor is zero. Set a timeout on the wait.
    pub async fn wait_after(&self, cursor: u64, now_millis: impl Fn() -> u64) -> LogPage {
        let mut newest = self.newest.subscribe();
        loop {
            newest.borrow_and_update();
            let page = self.after(cursor, now_millis());
            if cursor == 0 || !page.entries.is_empty() || newest.changed().await.is_err() {
                return page;
            }
        }
    }
}

impl Ring {
    fn shrink(&mut self) {
        while self.entries.len() > LOG_ENTRIES_MAX || self.bytes > LOG_BYTES_MAX {
            match self.entries.pop_front() {
                Some((_, oldest)) => self.bytes -= oldest.bytes(),
                None => return,
            }
        }
    }
}

impl LogEntry {
    fn bytes(&self) -> usize {
        let lines: usize = self.log_lines.iter().map(String::len).sum();
        let error = self.error.as_ref().map_or(0, String::len);
        lines + error + self.identifier.len() + self.request_id.len() + size_of::<LogEntry>()
    }

    /// As tools read it.
    pub fn to_json(&self) -> Json {
        let ended_millis = self.began_millis + self.took.as_secs_f64() * 1_000.0;
        let lines = self
            .log_lines
            .iter()
            .map(|line| line_json(line, ended_millis));
        let success = match (&self.error, self.status) {
            (None, Some(status)) => json!({"status": status.to_string()}),
            _ => Json::Null,
        };
        json!({
            "kind": if self.is_completion { "Completion" } else { "Progress" },
            "udfType": self.kind,
            "identifier": self.identifier,
            "componentPath": Some(&self.component).filter(|component| !component.is_root()),
            "timestamp": ended_millis / 1_000.0,
            "executionTimestamp": self.began_millis / 1_000.0,
            "executionTime": self.took.as_secs_f64(),
            "logLines": lines.collect::<Vec<_>>(),
            "error": self.error,
            "success": success,
            "cachedResult": self.is_cached,
            "requestId": self.request_id,
            "executionId": self.request_id,
            "parentExecutionId": null,
            "caller": null,
            "environment": self.environment,
            "identityType": self.identity,
            "usageStats": {
                "database_read_bytes": 0, "database_write_bytes": 0, "database_read_documents": 0,
                "storage_read_bytes": 0, "storage_write_bytes": 0, "vector_index_read_bytes": 0,
                "vector_index_write_bytes": 0, "memory_used_mb": 0,
            },
            "returnBytes": null,
            "occInfo": null,
            "willRetry": false,
        })
    }
}

const TRUNCATED: &str = " (truncated due to length)";

/// A line as tools read it: `[LEVEL] text` in its parts.
fn line_json(line: &str, at_millis: f64) -> Json {
    let parts = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "));
    let (level, text) = parts.unwrap_or(("LOG", line));
    let (text, is_truncated) = match text.strip_suffix(TRUNCATED) {
        Some(text) => (text, true),
        None => (text, false),
    };
    json!({
        "messages": [text],
        "level": level,
        "timestamp": at_millis,
        "isTruncated": is_truncated,
        "systemMetadata": null,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> LogEntry {
        LogEntry {
            is_completion: true,
            kind: "Query",
            identifier: name.to_owned(),
            component: ComponentPath::ROOT,
            began_millis: 1_000.0,
            took: Duration::from_millis(500),
            log_lines: vec!["[WARN] 'hi'".to_owned()],
            error: None,
            status: None,
            request_id: "ab".into(),
            environment: "isolate",
            identity: "unknown",
            is_cached: false,
        }
    }

    fn names(page: &LogPage) -> Vec<&str> {
        page.entries
            .iter()
            .map(|entry| &*entry.identifier)
            .collect()
    }

    #[test]
    fn a_reader_sees_every_entry_once_and_in_order() {
        let log = FunctionLog::default();
        log.push(50, entry("a"));
        log.push(50, entry("b"));
        let page = log.after(0, 60);
        assert_eq!((names(&page), page.cursor), (vec!["a", "b"], 51));
        assert_eq!(log.after(page.cursor, 60).entries, []);
        log.push(50, entry("c"));
        let page = log.after(page.cursor, 60);
        assert_eq!((names(&page), page.cursor), (vec!["c"], 52));
        assert_eq!(log.after(9_999, 60).cursor, 52);
    }

    #[test]
    fn an_empty_log_answers_with_the_present_and_loses_nothing_after_it() {
        let log = FunctionLog::default();
        let page = log.after(0, 100);
        assert_eq!((page.entries.len(), page.cursor), (0, 100));
        log.push(100, entry("a"));
        assert_eq!(names(&log.after(page.cursor, 100)), ["a"]);
    }

    #[test]
    fn successes_are_wanted_while_somebody_follows() {
        let log = FunctionLog::default();
        assert!(!log.wants_successes(1_000_000));
        log.after(0, 1_000_000);
        assert!(log.wants_successes(1_000_001));
        assert!(!log.wants_successes(1_000_000 + FOLLOWED_MILLIS));
    }

    #[test]
    fn the_log_is_bounded() {
        let log = FunctionLog::default();
        (0..LOG_ENTRIES_MAX + 10).for_each(|_| log.push(1, entry("a")));
        assert_eq!(log.ring.lock().entries.len(), LOG_ENTRIES_MAX);
        let mut large = entry("large");
        large.log_lines = vec!["x".repeat(LOG_BYTES_MAX / 2)];
        (0..3).for_each(|_| log.push(1, large.clone()));
        assert!(log.ring.lock().entries.len() <= 2);
        assert_eq!(log.after(0, 1).entries.len(), 1);
    }

    #[test]
    fn an_entry_has_the_form_that_tools_read() {
        let json = entry("rooms:list").to_json();
        assert_eq!(json["kind"], "Completion");
        assert_eq!(
            (&json["timestamp"], &json["executionTime"]),
            (&json!(1.5), &json!(0.5))
        );
        assert_eq!(json["logLines"][0]["messages"], json!(["'hi'"]));
        assert_eq!(json["logLines"][0]["level"], "WARN");
        assert_eq!(json["success"], Json::Null);
        let answered = LogEntry {
            status: Some(200),
            ..entry("POST /hook")
        };
        assert_eq!(answered.to_json()["success"]["status"], "200");
        let cached = LogEntry {
            is_cached: true,
            ..entry("rooms:list")
        };
        assert_eq!(
            (&json["cachedResult"], &cached.to_json()["cachedResult"]),
            (&json!(false), &json!(true))
        );
    }

    #[tokio::test]
    async fn a_reader_waits_for_what_comes() {
        let log = FunctionLog::default();
        let cursor = log.wait_after(0, || 10).await.cursor;
        let (page, ()) = tokio::join!(log.wait_after(cursor, || 10), async {
            tokio::task::yield_now().await;
            log.push(10, entry("a"));
        });
        assert_eq!(names(&page), ["a"]);
    }
}
