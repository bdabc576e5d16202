//! Clients that are connected, watch a query, and do nothing: the memory each costs, and the CPU time of all.

use std::io;
use std::time::{Duration, Instant};

use clap::Args;

use super::watchers::{self, Watchers};
use crate::arguments::{Times, some};
use crate::client::{Connection, Connections, News, Next, Protocol, Work};
use crate::progress::Progress;
use crate::report::{Check, Figure, Run};
use crate::run::{Measured, settings};
use crate::server::Server;
use crate::timing::Timing;

/// The flags of `idle`.
#[derive(Args, Clone, Debug)]
pub struct Idle {
    /// Connections.
    #[arg(long, default_value = "10000", value_name = "NUMBER", value_parser = some)]
    pub clients: usize,
    /// Every client watches a query of its own, instead of the one that all watch.
    #[arg(long)]
    pub own: bool,
    #[command(flatten)]
    pub times: Times,
}

/// The longest time without a turn.
const TURN_MAX: Duration = Duration::from_millis(250);

/// Runs it.
pub fn run(flags: &Idle, server: &Server) -> anyhow::Result<Run> {
    let wanted = watchers::write(&server.address)?;
    let before = server.used()?;
    let mut connections = Connections::new(server.address.socket, Protocol::Sync)?;
    let progress = Progress::new("connecting", flags.clients as u64);
    let mut watchers = Watchers::new(flags.clients, flags.own, wanted, &progress);
    watchers.gather(&mut connections)?;
    let mut measured = Measured::of(server);
    let progress = Progress::new("idle", flags.times.length().as_millis() as u64);
    let mut idling = Idling {
        timing: Timing::new(&flags.times),
        measured: &mut measured,
        progress: &progress,
        messages: 0,
        lost: 0,
    };
    connections.drive(&mut idling)?;
    let (timing, messages, lost) = (idling.timing, idling.messages, idling.lost);
    let after = server.used()?;
    let mut run = measured.run("idle", "messages", &timing.window)?;
    // The few messages of this scenario are no measure of CPU time.
    run.figures.clear();
    run.settings = settings([
        ("clients", flags.clients.to_string()),
        (
            "watching",
            if flags.own {
                "own queries"
            } else {
                "one query"
            }
            .to_string(),
        ),
    ]);
    if let Some((before, after)) = before.zip(after) {
        let bytes = after.rss_bytes().saturating_sub(before.rss_bytes());
        run.figures.push(Figure {
            name: "RSS per connection".into(),
            value: bytes as f64 / flags.clients as f64,
            unit: "bytes".into(),
        });
    }
    run.figures.push(Figure {
        name: "connects".into(),
        value: flags.clients as f64 / watchers.seconds(),
        unit: "/s".into(),
    });
    run.latencies = vec![watchers.latencies.told("start to first result")];
    run.checks = vec![Check {
        what: "Everybody stayed connected.".into(),
        holds: lost == 0,
        seen: format!(
            "{} of {}, {messages} messages meanwhile",
            flags.clients - lost,
            flags.clients
        ),
    }];
    Ok(run)
}

/// Waits, and counts what comes all the same.
struct Idling<'r, 's> {
    timing: Timing,
    measured: &'r mut Measured<'s>,
    progress: &'r Progress,
    messages: u64,
    lost: usize,
}

impl Work for Idling<'_, '_> {
    fn news(&mut self, _: &mut Connection, _: News<'_>, now: Instant) {
        self.messages += u64::from(self.timing.window.add(now, 1));
    }

    fn ended(&mut self, _number: usize, _why: io::Error, _now: Instant) {
        self.lost += 1;
    }

    fn turn(&mut self, _: &mut Connections, now: Instant) -> Next {
        if !self.timing.has_started() {
            self.timing.start(now);
        }
        self.timing.turn(now, self.measured);
        if self.timing.is_over(now, true) {
            return Next::Done;
        }
        let passed = now.saturating_duration_since(self.timing.window.start);
        self.progress.step(
            passed.as_millis() as u64,
            format!("{} messages", self.messages),
        );
        let wake = self
            .timing
            .next()
            .map_or(now, |next| next.min(now + TURN_MAX));
        Next::Until(wake)
    }
}
