//! The watchers and the writer: which client has seen which write, and when.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use anyhow::bail;
use memchr::memmem;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::FanOut;
use crate::arrivals::Clockwork;
use crate::client::messages::{self, Told, number_after};
use crate::client::{Connection, Connections, News, Next, Work};
use crate::measure::Latencies;
use crate::progress::Progress;
use crate::report::{Check, Figure, Latency};
use crate::run::Measured;
use crate::timing::Timing;

/// Numbers of one range. Only the first is ever written.
const RANGE: u32 = 10;
/// Ranges that are written to and that no client watches.
const OTHER_RANGES: u32 = 1_000;
/// The longest time without a turn: progress is to be seen.
const TURN_MAX: Duration = Duration::from_millis(100);
/// Writes that may wait for their answer; more are due, but not made yet.
const WRITES_MAX: usize = 500;

/// The results of the scenario.
pub struct Seen {
    pub unit: &'static str,
    pub timing: Timing,
    pub latencies: Vec<Latency>,
    pub figures: Vec<Figure>,
    pub errors: BTreeMap<String, u64>,
    pub checks: Vec<Check>,
}

/// The watchers and the writer.
pub struct Fan<'r, 's> {
    flags: FanOut,
    progress: &'r Progress,
    measured: &'r mut Measured<'s>,
    timing: Timing,
    body: Vec<u8>,
    rng: SmallRng,
    open: usize,
    ready: usize,
    /// The state of each client.
    clients: Vec<Client>,
    /// The number before the first write's: above those of earlier runs.
    before: u64,
    clockwork: Option<Clockwork>,
    /// Writes that are due and not made yet.
    backlog: VecDeque<Instant>,
    /// Writes that a client still waits for, oldest first, by the number that they wrote.
    writes: BTreeMap<u32, VecDeque<Write>>,
    waiting: usize,
    made: u32,
    answered: u64,
    measured_writes: u64,
    deliveries: Latencies,
    last_deliveries: Latencies,
    answers: Latencies,
    errors: BTreeMap<String, u64>,
    has_failed: bool,
}

/// The state of one client.
#[derive(Clone, Default)]
struct Client {
    /// It has its first results.
    is_current: bool,
    /// The newest write.
    newest: u64,
}

/// A write under way.
struct Write {
    at: u64,
    due: Instant,
    answered: Option<Instant>,
    /// The number of clients that have yet to see it.
    missing: usize,
    delivered: Instant,
}

impl<'r, 's> Fan<'r, 's> {
    /// No client is connected yet.
    pub fn new(flags: &FanOut, progress: &'r Progress, measured: &'r mut Measured<'s>) -> Self {
        Fan {
            flags: flags.clone(),
            progress,
            measured,
            timing: Timing::new(&flags.times),
            body: vec![b'x'; flags.size],
            rng: SmallRng::seed_from_u64(flags.times.seed),
            open: 0,
            ready: 0,
            clients: vec![Client::default(); flags.clients],
            before: jiff::Timestamp::now().as_microsecond() as u64,
            clockwork: None,
            backlog: VecDeque::new(),
            writes: BTreeMap::new(),
            waiting: 0,
            made: 0,
            answered: 0,
            measured_writes: 0,
            deliveries: Latencies::default(),
            last_deliveries: Latencies::default(),
            answers: Latencies::default(),
            errors: BTreeMap::new(),
            has_failed: false,
        }
    }

    /// The writer's connection is the one after all others.
    fn writer(&self) -> usize {
        self.flags.clients
    }

    /// How many clients see each write.
    fn audience(&self) -> usize {
        match self.flags.ranges {
            None => self.flags.clients,
            Some(ranges) => usize::from(ranges > 0 && !self.flags.miss),
        }
    }

    fn failed(&mut self, why: &str) {
        *self.errors.entry(why.to_string()).or_default() += 1;
    }

    fn subscribe(&mut self, connection: &mut Connection) {
        let client = connection.number as u32;
        let (ranges, first) = match self.flags.ranges {
            None => (1, 0),
            Some(ranges) => (ranges, client * ranges),
        };
        if ranges == 0 {
            self.ready += 1;
            return;
        }
        let queries = (0..ranges).map(|query| {
            let args = move |out: &mut Vec<u8>| {
                out.extend_from_slice(br#"{"first":"#);
                messages::number(out, ((first + query) * RANGE).into());
                out.extend_from_slice(br#","count":"#);
                messages::number(out, RANGE.into());
                out.push(b'}');
            };
            (query, "items:range", args)
        });
        connection.send(|out| messages::modify_query_set(out, 0, [], queries));
    }

    /// The range that the next write hits.
    fn range_to_write(&mut self) -> u32 {
        let watched = self.flags.ranges.unwrap_or(0) * self.flags.clients as u32;
        match (self.flags.ranges, self.audience()) {
            (None, _) => 0,
            // Always one of the same number of ranges that no client watches.
            (Some(_), 0) => watched + self.rng.random_range(0..OTHER_RANGES),
            (Some(_), _) => self.rng.random_range(0..watched),
        }
    }

    fn write(&mut self, connection: &mut Connection, due: Instant) {
        let number = self.range_to_write() * RANGE;
        let request = self.made;
        self.made += 1;
        let at = self.before + u64::from(self.made);
        let body = &self.body;
        connection.send(|out| {
            messages::mutation(out, request, "items:put", |out| {
                out.extend_from_slice(br#"{"at":"#);
                messages::number(out, at);
                out.extend_from_slice(br#","body":""#);
                out.extend_from_slice(body);
                out.extend_from_slice(br#"","number":"#);
                messages::number(out, number.into());
                out.push(b'}');
            });
        });
        let write = Write {
            at,
            due,
            answered: None,
            missing: self.audience(),
            delivered: due,
        };
        self.writes.entry(number).or_default().push_back(write);
        self.waiting += 1;
    }

    fn answered(&mut self, request: u32, success: bool, now: Instant) {
        if !success {
            self.failed("a write was refused");
            self.has_failed = true;
            return;
        }
        self.answered += 1;
        let at = self.before + u64::from(request) + 1;
        let mut all = self.writes.iter_mut();
        let found = all.find_map(|(number, writes)| {
            let write = writes.iter_mut().find(|write| write.at == at)?;
            write.answered = Some(now);
            Some((*number, write.due))
        });
        let Some((number, due)) = found else {
            return self.failed("an answer to no write");
        };
        if self.timing.window.holds(due) {
            self.answers.add(now - due);
        }
        if self.audience() == 0 {
            self.timing.window.add(now, 1);
        }
        self.settle(number);
    }

    /// A client has the write `at` of the range `number`, and with it all before.
    fn delivered(&mut self, client: usize, number: u32, at: u64, now: Instant) {
        let is_shared = self.flags.ranges.is_none();
        let newest = &mut self.clients[client].newest;
        let known = if is_shared { *newest } else { 0 };
        *newest = at.max(*newest);
        let mut is_new = false;
        for write in self.writes.entry(number).or_default() {
            if write.at <= known || write.at > at || write.missing == 0 {
                continue;
            }
            is_new = true;
            write.missing -= 1;
            write.delivered = now;
            if self.timing.window.holds(write.due) {
                self.deliveries.add(now - write.due);
            }
        }
        if is_new {
            self.timing.window.add(now, 1);
        }
        self.settle(number);
    }

    /// Forgets the writes that every client has and that were answered.
    fn settle(&mut self, number: u32) {
        let has_audience = self.audience() > 0;
        let Some(writes) = self.writes.get_mut(&number) else {
            return;
        };
        while let Some(write) = writes.front()
            && write.missing == 0
            && let Some(answered) = write.answered
        {
            if self.timing.window.holds(write.due) {
                self.measured_writes += 1;
                if has_audience {
                    let after = write.delivered.saturating_duration_since(answered);
                    self.last_deliveries.add(after);
                }
            }
            writes.pop_front();
            self.waiting -= 1;
        }
        if writes.is_empty() {
            self.writes.remove(&number);
        }
    }

    fn look_at(&mut self, client: usize, transition: &[u8], now: Instant) {
        if memmem::find(transition, br#""QueryFailed""#).is_some() {
            self.failed("a query failed");
        }
        let has_results = || memmem::find(transition, br#""QueryUpdated""#).is_some();
        if !self.clients[client].is_current {
            // The writes of earlier runs are no deliveries.
            self.clients[client].is_current = has_results();
            self.ready += usize::from(self.clients[client].is_current);
            return;
        }
        let mut rest = transition;
        while let Some((at, end)) = number_after(rest, br#""at":"#) {
            rest = &rest[end..];
            let Some((number, end)) = number_after(rest, br#""number":"#) else {
                return self.failed("a result without its number");
            };
            if end < self.body.len() {
                self.failed("a result that is too short");
            }
            rest = &rest[end..];
            self.delivered(client, number as u32, at, now);
        }
    }

    fn write_what_is_due(&mut self, connections: &mut Connections, now: Instant) {
        match &mut self.clockwork {
            Some(clockwork) => {
                while self.timing.is_asking()
                    && let Some(due) = clockwork.due(now)
                {
                    self.backlog.push_back(due);
                }
            }
            None if self.timing.is_asking() && self.waiting == 0 => self.backlog.push_back(now),
            None => {}
        }
        while self.waiting < WRITES_MAX
            && let Some(due) = self.backlog.pop_front()
        {
            let writer = self.writer();
            match connections.touch(writer) {
                Some(connection) => self.write(connection, due),
                None => self.has_failed = true,
            }
        }
    }

    /// The results, once everything is over.
    pub fn seen(mut self) -> anyhow::Result<Seen> {
        if !self.timing.has_started() {
            bail!(
                "not every client could connect and subscribe: {:?}",
                self.errors
            );
        }
        if self.waiting > 0 {
            self.errors
                .insert("writes not seen by all".into(), self.waiting as u64);
        }
        let has_all = self.errors.is_empty() && self.answered == u64::from(self.made);
        let check = Check {
            what: "Everybody who watches has seen every write.".into(),
            holds: has_all,
            seen: format!("{} writes, {} answered", self.made, self.answered),
        };
        let seconds = self.timing.window.seconds();
        let writes = Figure {
            name: "writes".into(),
            value: self.measured_writes as f64 / seconds,
            unit: "/s".into(),
        };
        let has_audience = self.audience() > 0;
        let mut latencies = Vec::new();
        if has_audience {
            latencies.push(self.last_deliveries.told("commit to last delivery"));
            latencies.push(self.deliveries.told("write to each delivery"));
        }
        latencies.push(self.answers.told("write to answer"));
        Ok(Seen {
            unit: if has_audience { "deliveries" } else { "writes" },
            timing: self.timing,
            latencies,
            figures: vec![writes],
            errors: self.errors,
            checks: vec![check],
        })
    }
}

impl Work for Fan<'_, '_> {
    fn news(&mut self, connection: &mut Connection, news: News<'_>, now: Instant) {
        let is_writer = connection.number == self.writer();
        let message = match news {
            News::Open => {
                self.open += 1;
                if !is_writer {
                    self.subscribe(connection);
                }
                return;
            }
            News::Message(message) => message,
        };
        match messages::told(message) {
            Told::MutationResponse { request, success } => self.answered(request, success, now),
            Told::Transition if !is_writer => self.look_at(connection.number, message, now),
            Told::Transition | Told::Ping => {}
            Told::Other(kind) => self.failed(&format!("the server said {kind}")),
        }
    }

    fn ended(&mut self, _number: usize, why: io::Error, _now: Instant) {
        self.failed(&format!("connection lost: {why}"));
        self.has_failed = true;
    }

    fn turn(&mut self, connections: &mut Connections, now: Instant) -> Next {
        if !self.timing.has_started() {
            if let Err(why) = connections.open_up_to(self.flags.clients + 1) {
                self.failed(&format!("no connection: {why}"));
                return Next::Done;
            }
            let all = self.open == self.flags.clients + 1;
            if all && self.ready == self.flags.clients {
                self.timing.start(now);
                self.clockwork = Clockwork::new(self.flags.arrivals, self.flags.times.seed, now);
            }
        }
        self.timing.turn(now, self.measured);
        self.write_what_is_due(connections, now);
        let is_idle = self.waiting == 0 && self.backlog.is_empty();
        if self.has_failed || self.timing.is_over(now, is_idle) {
            return Next::Done;
        }
        self.progress
            .show(now, &self.timing.window, &self.deliveries);
        let next_write = match (&self.clockwork, self.timing.is_asking()) {
            (Some(clockwork), true) => Some(clockwork.next()),
            _ => None,
        };
        let wakes = [next_write, self.timing.next(), Some(now + TURN_MAX)];
        Next::Until(wakes.into_iter().flatten().min().unwrap_or(now))
    }
}
