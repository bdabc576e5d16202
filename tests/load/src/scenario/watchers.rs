//! Clients that connect and watch a query, until each has what it is to have.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use anyhow::bail;
use memchr::memmem;
use serde_json::json;

use crate::client::messages::{self, Told, number_after};
use crate::client::{Connection, Connections, News, Next, Work};
use crate::http::Address;
use crate::measure::{Latencies, Window};
use crate::progress::Progress;

/// How long all clients are waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// The longest time without a turn.
const TURN_MAX: Duration = Duration::from_millis(100);
/// Bytes of what is watched.
const BODY_BYTES: usize = 1_024;

/// Clients on their way to a query's result.
pub struct Watchers<'r> {
    count: usize,
    own: bool,
    /// The newest result must be this write or a later one.
    wanted: u64,
    progress: &'r Progress,
    begun: usize,
    start: Instant,
    current: Vec<bool>,
    current_count: usize,
    /// The time in which the clients became current.
    pub window: Window,
    /// How long it took each of them, from the start.
    pub latencies: Latencies,
    /// The errors, by kind.
    pub errors: BTreeMap<String, u64>,
}

impl<'r> Watchers<'r> {
    /// No client is connected yet. With `own`, every client watches a range of its own, which is empty. Otherwise all
    /// watch one range, which has to be at the write `wanted`.
    pub fn new(count: usize, own: bool, wanted: u64, progress: &'r Progress) -> Watchers<'r> {
        let now = Instant::now();
        Watchers {
            count,
            own,
            wanted,
            progress,
            begun: 0,
            start: now,
            current: vec![false; count],
            current_count: 0,
            window: Window::open(now),
            latencies: Latencies::default(),
            errors: BTreeMap::new(),
        }
    }

    /// Connects every client, in place of connections that were cut, and waits until they are current.
    pub fn gather(&mut self, connections: &mut Connections) -> anyhow::Result<()> {
        connections.drive(self)?;
        self.window.close(Instant::now());
        if self.current_count < self.count {
            let (current, count) = (self.current_count, self.count);
            bail!(
                "{current} of {count} clients became current: {:?}",
                self.errors
            );
        }
        Ok(())
    }

    /// How long it took until the last was current, in seconds.
    pub fn seconds(&self) -> f64 {
        self.window.seconds()
    }

    fn failed(&mut self, why: String) {
        *self.errors.entry(why).or_default() += 1;
    }

    fn subscribe(&self, connection: &mut Connection) {
        let first = match self.own {
            true => 1 + connection.number as u64,
            false => 0,
        };
        let args = move |out: &mut Vec<u8>| {
            out.extend_from_slice(br#"{"count":1,"first":"#);
            messages::number(out, first);
            out.push(b'}');
        };
        let queries = [(0, "items:range", args)];
        connection.send(|out| messages::modify_query_set(out, 0, [], queries));
    }

    fn look_at(&mut self, number: usize, transition: &[u8], now: Instant) {
        if memmem::find(transition, br#""QueryFailed""#).is_some() {
            self.failed("a query failed".into());
        }
        let is_current = match self.own {
            true => memmem::find(transition, br#""QueryUpdated""#).is_some(),
            false => number_after(transition, br#""at":"#).is_some_and(|(at, _)| at >= self.wanted),
        };
        if is_current && !std::mem::replace(&mut self.current[number], true) {
            self.current_count += 1;
            self.window.add(now, 1);
            self.latencies.add(now - self.start);
        }
    }
}

impl Work for Watchers<'_> {
    fn news(&mut self, connection: &mut Connection, news: News<'_>, now: Instant) {
        let message = match news {
            News::Open => return self.subscribe(connection),
            News::Message(message) => message,
        };
        match messages::told(message) {
            Told::Transition => self.look_at(connection.number, message, now),
            Told::Ping => {}
            Told::MutationResponse { .. } => self.failed("an answer to no call".into()),
            Told::Other(kind) => self.failed(format!("the server said {kind}")),
        }
    }

    fn ended(&mut self, _number: usize, why: io::Error, _now: Instant) {
        self.failed(format!("connection lost: {why}"));
    }

    fn turn(&mut self, connections: &mut Connections, now: Instant) -> Next {
        while self.begun < self.count && !connections.is_opening_many() {
            if let Err(why) = connections.begin_at(self.begun) {
                self.failed(format!("no connection: {why}"));
                return Next::Done;
            }
            self.begun += 1;
        }
        self.progress
            .step(self.current_count as u64, "current".to_string());
        let is_over = self.current_count == self.count || now > self.start + PATIENCE;
        match is_over || !self.errors.is_empty() {
            true => Next::Done,
            false => Next::Until(now + TURN_MAX),
        }
    }
}

/// Writes the document that all clients watch, and returns the number of the write.
pub fn write(address: &Address) -> anyhow::Result<u64> {
    let at = jiff::Timestamp::now().as_microsecond() as u64;
    let args = json!({ "at": at, "body": "x".repeat(BODY_BYTES), "number": 0 });
    address.call("mutation", "items:put", &args)?;
    Ok(at)
}
