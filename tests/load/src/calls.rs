//! Calls from many clients: as many in flight as asked for, each answer making room for the next call (closed loop); or
//! arrivals at a rate that no answer holds up (open loop), whose latency counts from when they were due.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, Exp};

use crate::client::{Connection, Connections, News, Next, Work};
use crate::measure::{Latencies, Window};
use crate::progress::Progress;

/// What the clients say, and what counts as an answer.
pub trait Calling {
    /// Queues the call `request` on a connection. Requests of one connection count up from 0.
    fn call(&mut self, connection: &mut Connection, request: u32);

    /// Hands `answered` the request that a message answers, and whether it succeeded; each one, or none.
    fn read(
        &mut self,
        connection: &Connection,
        message: &[u8],
        answered: &mut dyn FnMut(u32, Result<(), String>),
    );
}

/// How calls are made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Connections.
    pub clients: usize,
    /// Calls that one connection may wait for.
    pub in_flight: usize,
    /// Time before the measured time.
    pub warm_up: Duration,
    /// The measured time.
    pub length: Duration,
    /// Arrivals; each answer makes the next call where there are none.
    pub arrivals: Option<Arrivals>,
    /// What chance is made of.
    pub seed: u64,
}

/// When calls are due.
#[derive(Clone, Copy, Debug)]
pub struct Arrivals {
    /// In a second, on average.
    pub rate: f64,
    /// At equal distances, instead of by chance.
    pub even: bool,
}

/// What came of it.
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

/// How long answers are waited for when nothing is called any more.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// Makes calls as `plan` says. `at_border` is called when the measured time begins and when it ends.
pub fn run(
    connections: &mut Connections,
    calling: impl Calling,
    plan: &Plan,
    progress: &Progress,
    at_border: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Called> {
    let mut calls = Calls::new(calling, plan.clone(), progress, at_border);
    for _ in 0..plan.clients {
        connections.begin()?;
    }
    connections.drive(&mut calls)?;
    calls.called()
}

struct Calls<'p, C, B> {
    calling: C,
    plan: Plan,
    progress: &'p Progress,
    at_border: B,
    border_failure: Option<anyhow::Error>,
    phase: Phase,
    waiting: Vec<Waiting>,
    open: usize,
    in_flight: usize,
    /// Arrivals for which no connection had room.
    backlog: VecDeque<Instant>,
    arrivals: Option<Clockwork>,
    next_connection: usize,
    /// Connections that have ended.
    lost: usize,
    /// Answers of one message; kept for its memory.
    answers: Vec<(u32, Result<(), String>)>,
    window: Window,
    latencies: Latencies,
    errors: BTreeMap<String, u64>,
    succeeded: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    WarmingUp,
    Measuring,
    Draining,
}

/// What one connection waits for.
#[derive(Default)]
struct Waiting {
    open: bool,
    next_request: u32,
    /// Requests without an answer, oldest first, and when each was due.
    requests: VecDeque<(u32, Instant)>,
}

/// Tells when the next call is due.
struct Clockwork {
    next: Instant,
    mean: f64,
    gaps: Option<Exp<f64>>,
    rng: SmallRng,
}

impl Clockwork {
    fn new(arrivals: Arrivals, seed: u64, start: Instant) -> Clockwork {
        let gaps = Exp::new(arrivals.rate).expect("the rate is positive");
        Clockwork {
            next: start,
            mean: 1.0 / arrivals.rate,
            gaps: (!arrivals.even).then_some(gaps),
            rng: SmallRng::seed_from_u64(seed),
        }
    }

    /// The next arrival that is due at `now`.
    fn due(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next;
        if due > now {
            return None;
        }
        let gap = self
            .gaps
            .map_or(self.mean, |gaps| gaps.sample(&mut self.rng));
        self.next += Duration::from_secs_f64(gap);
        Some(due)
    }
}

impl<'p, C: Calling, B: FnMut() -> anyhow::Result<()>> Calls<'p, C, B> {
    fn new(calling: C, plan: Plan, progress: &'p Progress, at_border: B) -> Self {
        Calls {
            calling,
            progress,
            at_border,
            border_failure: None,
            phase: Phase::Connecting,
            waiting: (0..plan.clients).map(|_| Waiting::default()).collect(),
            open: 0,
            in_flight: 0,
            backlog: VecDeque::new(),
            arrivals: None,
            next_connection: 0,
            lost: 0,
            answers: Vec::new(),
            window: Window::new(Instant::now(), plan.length),
            latencies: Latencies::default(),
            errors: BTreeMap::new(),
            succeeded: 0,
            plan,
        }
    }

    fn called(mut self) -> anyhow::Result<Called> {
        if let Some(failure) = self.border_failure {
            return Err(failure);
        }
        let unanswered = self.in_flight as u64;
        if unanswered > 0 {
            self.errors.insert("unanswered".into(), unanswered);
        }
        Ok(Called {
            window: self.window,
            latencies: self.latencies,
            errors: self.errors,
            succeeded: self.succeeded,
        })
    }

    fn calls_more(&self) -> bool {
        matches!(self.phase, Phase::WarmingUp | Phase::Measuring)
    }

    fn border(&mut self) {
        if let Err(failure) = (self.at_border)() {
            self.border_failure.get_or_insert(failure);
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

    fn answered(&mut self, number: usize, request: u32, outcome: Result<(), String>, now: Instant) {
        let requests = &mut self.waiting[number].requests;
        let Some(at) = requests.iter().position(|(waiting, _)| *waiting == request) else {
            *self
                .errors
                .entry("an answer to no call".into())
                .or_default() += 1;
            return;
        };
        let (_, due) = requests.remove(at).expect("it is at its position");
        self.in_flight -= 1;
        match outcome {
            Ok(()) => {
                self.succeeded += 1;
                let is_measured = self.window.add(now, 1);
                // Arrivals that were due in the measured time count however late they are answered.
                let has_latency = match self.arrivals {
                    Some(_) => self.window.holds(due),
                    None => is_measured,
                };
                if has_latency {
                    self.latencies.add(now - due);
                }
            }
            Err(why) => *self.errors.entry(why).or_default() += 1,
        }
    }

    /// Makes the calls that are due by the clock, on one connection after the other.
    fn call_what_is_due(&mut self, connections: &mut Connections, now: Instant) -> Option<Instant> {
        let clockwork = self.arrivals.as_mut()?;
        while let Some(due) = clockwork.due(now) {
            self.backlog.push_back(due);
        }
        let next = clockwork.next;
        let mut full = 0;
        while let Some(due) = self.backlog.front().copied()
            && full < self.plan.clients
        {
            let number = self.next_connection;
            self.next_connection = (number + 1) % self.plan.clients;
            let waiting = &self.waiting[number];
            let has_room = waiting.open && waiting.requests.len() < self.plan.in_flight;
            match connections.touch(number).filter(|_| has_room) {
                Some(connection) => {
                    self.backlog.pop_front();
                    self.call(connection, due);
                    full = 0;
                }
                None => full += 1,
            }
        }
        Some(next)
    }

    fn start(&mut self, connections: &mut Connections, now: Instant) {
        self.phase = Phase::WarmingUp;
        self.window = Window::new(now + self.plan.warm_up, self.plan.length);
        match self.plan.arrivals {
            Some(arrivals) => self.arrivals = Some(Clockwork::new(arrivals, self.plan.seed, now)),
            None => {
                for number in 0..self.plan.clients {
                    let Some(connection) = connections.touch(number) else {
                        continue;
                    };
                    for _ in 0..self.plan.in_flight {
                        self.call(connection, now);
                    }
                }
            }
        }
    }
}

impl<C: Calling, B: FnMut() -> anyhow::Result<()>> Work for Calls<'_, C, B> {
    fn news(&mut self, connection: &mut Connection, news: News<'_>, now: Instant) {
        let message = match news {
            News::Open => {
                self.waiting[connection.number].open = true;
                self.open += 1;
                return;
            }
            News::Message(message) => message,
        };
        let mut answers = std::mem::take(&mut self.answers);
        self.calling
            .read(connection, message, &mut |request, outcome| {
                answers.push((request, outcome))
            });
        for (request, outcome) in answers.drain(..) {
            self.answered(connection.number, request, outcome, now);
            if self.calls_more() && self.arrivals.is_none() {
                self.call(connection, now);
            }
        }
        self.answers = answers;
    }

    fn ended(&mut self, number: usize, why: io::Error, _now: Instant) {
        let waiting = &mut self.waiting[number];
        waiting.open = false;
        self.in_flight -= waiting.requests.len();
        let lost = waiting.requests.drain(..).count() as u64;
        *self
            .errors
            .entry(format!("connection lost: {why}"))
            .or_default() += lost.max(1);
        self.lost += 1;
    }

    fn turn(&mut self, connections: &mut Connections, now: Instant) -> Next {
        let all_there = self.open == self.plan.clients;
        match self.phase {
            Phase::Connecting if all_there => self.start(connections, now),
            Phase::WarmingUp if now >= self.window.start => {
                self.phase = Phase::Measuring;
                self.border();
            }
            Phase::Measuring if now >= self.window.end => {
                self.phase = Phase::Draining;
                self.border();
            }
            _ => {}
        }
        if self.lost == self.plan.clients || self.border_failure.is_some() {
            return Next::Done;
        }
        let next_arrival = match self.calls_more() {
            true => self.call_what_is_due(connections, now),
            false => None,
        };
        let next_step = match self.phase {
            Phase::Connecting => now + TURN_MAX,
            Phase::WarmingUp => self.window.start,
            Phase::Measuring => self.window.end,
            Phase::Draining if self.in_flight == 0 || now >= self.window.end + DRAIN_MAX => {
                return Next::Done;
            }
            Phase::Draining => self.window.end + DRAIN_MAX,
        };
        self.progress.show(now, &self.window, &self.latencies);
        let wake = next_arrival.map_or(next_step, |arrival| arrival.min(next_step));
        Next::Until(wake.min(now + TURN_MAX))
    }
}

/// The longest time without a turn: progress is to be seen.
const TURN_MAX: Duration = Duration::from_millis(100);
