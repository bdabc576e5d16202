//! Calls from many clients. In a closed loop as many are in flight as asked for, and each answer makes room for the
//! next call. In an open loop calls arrive at a rate that no answer holds up, and latency counts from when they were
//! due.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::arguments::Times;
use crate::arrivals::{Arrivals, Clockwork};
use crate::client::{Connection, Connections, News, Next, Work};
use crate::measure::{Latencies, Window};
use crate::progress::Progress;
use crate::run::Measured;
use crate::timing::Timing;

/// The clients' messages, and the messages that count as answers.
pub trait Calling {
    /// Queues the call `request` on a connection. Requests of one connection count up from 0.
    fn call(&mut self, connection: &mut Connection, request: u32);

    /// Hands `answered` each request that a message answers, with what went wrong, if something did.
    fn read(&mut self, connection: &Connection, message: &[u8], answered: Answered<'_>);
}

/// Takes a request and how it was answered.
pub type Answered<'a> = &'a mut dyn FnMut(u32, Outcome);
/// How a call was answered: with success, or with a kind of error.
pub type Outcome = Result<(), String>;

/// How calls are made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Connections.
    pub clients: usize,
    /// Calls that one connection may wait for.
    pub in_flight: usize,
    /// The length of the run, and the seed of its random choices.
    pub times: Times,
    /// When calls are due; each answer makes the next call where there is no rate.
    pub arrivals: Arrivals,
}

/// The results of the run.
pub struct Called {
    /// The measured time, and the answers in it.
    pub window: Window,
    /// From when a call was due, or made, to its answer.
    pub latencies: Latencies,
    /// Calls that were not answered with success, by what went wrong.
    pub errors: BTreeMap<String, u64>,
    /// Calls answered with success, before and after the measured time too.
    pub succeeded: u64,
}

/// Makes calls as `plan` says.
pub fn run(
    connections: &mut Connections,
    calling: &mut impl Calling,
    plan: &Plan,
    progress: &Progress,
    measured: &mut Measured<'_>,
) -> anyhow::Result<Called> {
    let mut calls = Calls {
        calling,
        plan: plan.clone(),
        progress,
        measured,
        timing: Timing::new(&plan.times),
        waiting: (0..plan.clients).map(|_| Waiting::default()).collect(),
        open: 0,
        lost: 0,
        in_flight: 0,
        clockwork: None,
        backlog: VecDeque::new(),
        next_connection: 0,
        answers: Vec::new(),
        latencies: Latencies::default(),
        errors: BTreeMap::new(),
        succeeded: 0,
    };
    connections.drive(&mut calls)?;
    if !calls.timing.has_started() {
        bail!("not every client could connect: {:?}", calls.errors);
    }
    Ok(calls.called())
}

struct Calls<'r, 's, C> {
    calling: &'r mut C,
    plan: Plan,
    progress: &'r Progress,
    measured: &'r mut Measured<'s>,
    timing: Timing,
    waiting: Vec<Waiting>,
    open: usize,
    /// Connections that have ended.
    lost: usize,
    in_flight: usize,
    clockwork: Option<Clockwork>,
    /// Arrivals for which no connection had room.
    backlog: VecDeque<Instant>,
    next_connection: usize,
    /// Answers of one message; kept for its memory.
    answers: Vec<(u32, Outcome)>,
    latencies: Latencies,
    errors: BTreeMap<String, u64>,
    succeeded: u64,
}

/// The requests that one connection waits for.
#[derive(Default)]
struct Waiting {
    is_open: bool,
    next_request: u32,
    /// Requests without an answer, oldest first, and when each was due.
    requests: VecDeque<(u32, Instant)>,
}

/// The longest time without a turn: progress is to be seen.
const TURN_MAX: Duration = Duration::from_millis(100);

impl<C: Calling> Calls<'_, '_, C> {
    fn called(mut self) -> Called {
        let unanswered = (self.in_flight + self.backlog.len()) as u64;
        if unanswered > 0 {
            self.errors.insert("unanswered".into(), unanswered);
        }
        Called {
            window: self.timing.window,
            latencies: self.latencies,
            errors: self.errors,
            succeeded: self.succeeded,
        }
    }

    /// All clients are connected: calls begin.
    fn start(&mut self, connections: &mut Connections, now: Instant) {
        self.timing.start(now);
        self.clockwork = Clockwork::new(self.plan.arrivals, self.plan.times.seed, now);
        if self.clockwork.is_some() {
            return;
        }
        for number in 0..self.plan.clients {
            let Some(connection) = connections.touch(number) else {
                continue;
            };
            for _ in 0..self.plan.in_flight {
                self.call(connection, now);
            }
        }
    }

    fn call(&mut self, connection: &mut Connection, due: Instant) {
        let waiting = &mut self.waiting[connection.number];
        let request = waiting.next_request;
        waiting.next_request += 1;
        waiting.requests.push_back((request, due));
        self.in_flight += 1;
        self.calling.call(connection, request);
    }

    /// Makes the calls that are due by the clock, on one connection after the other, and says when the next one is.
    fn call_what_is_due(&mut self, connections: &mut Connections, now: Instant) -> Option<Instant> {
        let clockwork = self.clockwork.as_mut()?;
        while let Some(due) = clockwork.due(now) {
            self.backlog.push_back(due);
        }
        let next = clockwork.next();
        self.call_backlog(connections);
        Some(next)
    }

    fn call_backlog(&mut self, connections: &mut Connections) {
        let mut without_room = 0;
        while without_room < self.plan.clients {
            let Some(due) = self.backlog.front().copied() else {
                return;
            };
            let number = self.next_connection;
            self.next_connection = (number + 1) % self.plan.clients;
            let waiting = &self.waiting[number];
            let has_room = waiting.is_open && waiting.requests.len() < self.plan.in_flight;
            let connection = match has_room {
                true => connections.touch(number),
                false => None,
            };
            match connection {
                Some(connection) => {
                    self.backlog.pop_front();
                    self.call(connection, due);
                    without_room = 0;
                }
                None => without_room += 1,
            }
        }
    }

    fn answered(&mut self, number: usize, request: u32, outcome: Outcome, now: Instant) {
        let requests = &mut self.waiting[number].requests;
        let at = requests.iter().position(|(waiting, _)| *waiting == request);
        let Some((_, due)) = at.and_then(|at| requests.remove(at)) else {
            return self.failed("an answer to no call", 1);
        };
        self.in_flight -= 1;
        if let Err(why) = outcome {
            return self.failed(&why, 1);
        }
        self.succeeded += 1;
        let is_measured = self.timing.window.add(now, 1);
        // Arrivals that were due in the measured time count, however late they are answered.
        let has_latency = match self.clockwork {
            Some(_) => self.timing.window.holds(due),
            None => is_measured,
        };
        if has_latency {
            self.latencies.add(now - due);
        }
    }

    fn failed(&mut self, why: &str, calls: u64) {
        match self.errors.get_mut(why) {
            Some(count) => *count += calls,
            None => drop(self.errors.insert(why.to_string(), calls)),
        }
    }
}

impl<C: Calling> Work for Calls<'_, '_, C> {
    fn news(&mut self, connection: &mut Connection, news: News<'_>, now: Instant) {
        let message = match news {
            News::Open => {
                self.waiting[connection.number].is_open = true;
                self.open += 1;
                return;
            }
            News::Message(message) => message,
        };
        let mut answers = std::mem::take(&mut self.answers);
        let mut answered = |request, outcome| answers.push((request, outcome));
        self.calling.read(connection, message, &mut answered);
        for (request, outcome) in answers.drain(..) {
            self.answered(connection.number, request, outcome, now);
            if self.clockwork.is_none() && self.timing.is_asking() {
                self.call(connection, now);
            }
        }
        self.answers = answers;
    }

    fn ended(&mut self, number: usize, why: io::Error, _now: Instant) {
        let waiting = &mut self.waiting[number];
        waiting.is_open = false;
        let lost = waiting.requests.len();
        waiting.requests.clear();
        self.in_flight -= lost;
        self.lost += 1;
        self.failed(&format!("connection lost: {why}"), lost.max(1) as u64);
    }

    fn turn(&mut self, connections: &mut Connections, now: Instant) -> Next {
        if !self.timing.has_started() {
            if let Err(why) = connections.open_up_to(self.plan.clients) {
                self.failed(&format!("no connection: {why}"), 1);
                return Next::Done;
            }
            if self.open == self.plan.clients {
                self.start(connections, now);
            }
        }
        self.timing.turn(now, self.measured);
        let next_arrival = match self.timing.is_asking() {
            true => self.call_what_is_due(connections, now),
            false => None,
        };
        if !self.timing.is_asking() {
            // Calls due in the measured time are made, however late.
            self.call_backlog(connections);
        }
        let is_idle = self.in_flight == 0 && self.backlog.is_empty();
        let is_alone = self.lost == self.plan.clients;
        let is_short = self.lost > 0 && !self.timing.has_started();
        if self.timing.is_over(now, is_idle) || is_alone || is_short {
            return Next::Done;
        }
        self.progress
            .show(now, &self.timing.window, &self.latencies);
        let wakes = [next_arrival, self.timing.next(), Some(now + TURN_MAX)];
        Next::Until(wakes.into_iter().flatten().min().unwrap_or(now))
    }
}
