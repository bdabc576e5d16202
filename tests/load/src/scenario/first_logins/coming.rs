//! Users on their way in, and the results they get.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use super::{FirstLogins, People};
use crate::arrivals::Clockwork;
use crate::client::messages::{self, Told};
use crate::client::{Connection, Connections, News, Next, Work};
use crate::measure::{Latencies, Window};
use crate::progress::Progress;

/// How long the last first result is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// The longest time without a turn: progress is to be seen.
const TURN_MAX: Duration = Duration::from_millis(100);
/// How often progress is shown.
const SHOW_EVERY: Duration = Duration::from_millis(250);

/// Users on their way in. Connection `n` is of person `n / tabs`.
pub struct Coming<'r> {
    flags: &'r FirstLogins,
    people: &'r People,
    progress: &'r Progress,
    /// The number of arrivals.
    pub total: usize,
    start: Instant,
    clockwork: Option<Clockwork>,
    /// The arrivals so far: when each was due, when the connection began, and whether it has its first result.
    came: Vec<Came>,
    /// How many have their first result.
    pub done: usize,
    failed: usize,
    /// When they had it.
    pub window: Window,
    last: Instant,
    shown: Instant,
    /// From the due time of an arrival to its first result.
    pub from_arrival: Latencies,
    /// From the beginning of a connection to its first result.
    pub from_connect: Latencies,
    /// The errors, by kind.
    pub errors: BTreeMap<String, u64>,
}

struct Came {
    due: Instant,
    began: Instant,
    is_done: bool,
}

impl<'r> Coming<'r> {
    /// No user has come yet.
    pub fn new(flags: &'r FirstLogins, people: &'r People, progress: &'r Progress) -> Self {
        let now = Instant::now();
        let total = flags.users * flags.tabs;
        Coming {
            flags,
            people,
            progress,
            total,
            start: now,
            clockwork: Clockwork::new(flags.arrivals, flags.seed, now),
            came: Vec::with_capacity(total),
            done: 0,
            failed: 0,
            window: Window::open(now),
            last: now,
            shown: now,
            from_arrival: Latencies::default(),
            from_connect: Latencies::default(),
            errors: BTreeMap::new(),
        }
    }

    fn wrong(&mut self, why: impl Into<String>) {
        *self.errors.entry(why.into()).or_default() += 1;
    }

    /// The run ended with the last first result.
    pub fn close(&mut self) {
        self.window.close(self.last);
        let missing = (self.total - self.done - self.failed) as u64;
        if missing > 0 {
            self.errors.insert("no first result".into(), missing);
        }
    }

    /// Lets in the users who are due. All at once, every user is due at the start. As many connect at the same time as
    /// a server can be expected to have waiting.
    fn begin_what_is_due(&mut self, connections: &mut Connections, now: Instant) -> io::Result<()> {
        while self.came.len() < self.total {
            let due = match &mut self.clockwork {
                Some(clockwork) => clockwork.due(now),
                None if connections.is_opening_many() => None,
                None => Some(self.start),
            };
            let Some(due) = due else {
                return Ok(());
            };
            connections.begin()?;
            let (began, is_done) = (now, false);
            self.came.push(Came {
                due,
                began,
                is_done,
            });
        }
        Ok(())
    }

    fn sign_in(&self, connection: &mut Connection) {
        let token = &self.people.tokens[connection.number / self.flags.tabs];
        connection.send(|out| messages::authenticate(out, token));
        let args: [(u32, &str, &[u8]); 2] = [
            (ME, "users:me", b"{}"),
            (LIST, "messages:list", br#"{"channel":"general"}"#),
        ];
        let queries = args.map(|(query, path, args)| {
            (query, path, move |out: &mut Vec<u8>| {
                out.extend_from_slice(args)
            })
        });
        connection.send(|out| messages::modify_query_set(out, 0, [], queries));
    }

    fn look_at(&mut self, number: usize, transition: &[u8], now: Instant) {
        let Ok(transition) = serde_json::from_slice::<Transition>(transition) else {
            return self.wrong("a Transition that cannot be read");
        };
        for result in transition.modifications {
            if result.kind != "QueryUpdated" {
                self.wrong(format!("{} of {}", result.kind, name(result.query_id)));
            } else if result.query_id == ME {
                let me = result.value.as_ref().and_then(|value| value.get("name"));
                let is_own = me.and_then(|me| me.as_str())
                    == Some(&self.people.names[number / self.flags.tabs]);
                match is_own {
                    true => self.arrived(number, now),
                    false => self.wrong("users:me of nobody, or of somebody else"),
                }
            }
        }
    }

    fn arrived(&mut self, number: usize, now: Instant) {
        let came = &mut self.came[number];
        if std::mem::replace(&mut came.is_done, true) {
            return;
        }
        self.done += 1;
        self.last = now;
        self.window.add(now, 1);
        self.from_arrival.add(now - came.due);
        self.from_connect.add(now - came.began);
    }

    fn show(&mut self, now: Instant) {
        if now - self.shown >= SHOW_EVERY {
            self.shown = now;
            let p99 = self.from_arrival.p99();
            self.progress.step(
                self.done as u64,
                format!("{} logged in, p99 {p99:.0} ms", self.done),
            );
        }
    }
}

/// The queries that every user watches.
const ME: u32 = 0;
const LIST: u32 = 1;

fn name(query: u32) -> &'static str {
    if query == ME {
        "users:me"
    } else {
        "messages:list"
    }
}

/// A Transition, as far as it is looked at.
#[derive(serde::Deserialize)]
struct Transition<'m> {
    #[serde(borrow)]
    modifications: Vec<Modification<'m>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Modification<'m> {
    #[serde(rename = "type")]
    kind: &'m str,
    query_id: u32,
    value: Option<serde_json::Value>,
}

impl Work for Coming<'_> {
    fn news(&mut self, connection: &mut Connection, news: News<'_>, now: Instant) {
        let message = match news {
            News::Open => return self.sign_in(connection),
            News::Message(message) => message,
        };
        match messages::told(message) {
            Told::Transition => self.look_at(connection.number, message, now),
            Told::Ping => {}
            Told::MutationResponse { .. } => self.wrong("an answer to no call"),
            Told::Other(kind) => self.wrong(format!("the server said {kind}")),
        }
    }

    fn ended(&mut self, number: usize, why: io::Error, _now: Instant) {
        self.wrong(format!("connection lost: {why}"));
        // One that has its first result has been counted.
        self.failed += usize::from(!self.came[number].is_done);
    }

    fn turn(&mut self, connections: &mut Connections, now: Instant) -> Next {
        if let Err(why) = self.begin_what_is_due(connections, now) {
            self.wrong(format!("no connection: {why}"));
            return Next::Done;
        }
        self.show(now);
        let has_all = self.done + self.failed == self.total;
        let due = self.came.last().map_or(self.start, |came| came.due);
        if has_all || now > due + PATIENCE {
            return Next::Done;
        }
        let next = self.clockwork.as_ref().map(Clockwork::next);
        let next = next.filter(|_| self.came.len() < self.total);
        Next::Until(next.unwrap_or(now + TURN_MAX).min(now + TURN_MAX))
    }
}
