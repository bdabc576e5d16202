//! One writer, and many watchers: of one query, or each of ranges of their own, of which one is hit by each write.
//!
//! The next write is made when every client has the one before, or, with `--rate`, when it is due. A client that has a
//! newer write has all before it: results that a client had no time to look at need not be sent.

mod fan;

use clap::Args;

use self::fan::Fan;
use crate::arguments::{Times, some};
use crate::arrivals::Arrivals;
use crate::client::{Connections, Protocol};
use crate::progress::Progress;
use crate::report::Run;
use crate::run::{Measured, settings};
use crate::server::Server;

/// The flags of `fan-out`.
#[derive(Args, Clone, Debug)]
pub struct FanOut {
    /// Connections that watch.
    #[arg(long, default_value = "1000", value_name = "NUMBER", value_parser = some)]
    pub clients: usize,
    /// Bytes of what is written and delivered.
    #[arg(long, default_value_t = 1_024, value_name = "BYTES")]
    pub size: usize,
    /// Every client watches ranges of its own, this many, instead of the one range that all watch; each write hits one
    /// range of one client. With 0 no client watches anything, which shows the cost of a write by itself.
    #[arg(long, value_name = "NUMBER")]
    pub ranges: Option<u32>,
    /// Each write hits a range that no client watches: the cost of a write beside all watchers of other ranges.
    #[arg(long, requires = "ranges")]
    pub miss: bool,
    #[command(flatten)]
    pub arrivals: Arrivals,
    #[command(flatten)]
    pub times: Times,
}

/// Runs it.
pub fn run(flags: &FanOut, server: &Server) -> anyhow::Result<Run> {
    let mut measured = Measured::of(server);
    let mut connections = Connections::new(server.address.socket, Protocol::Sync)?;
    let progress = Progress::new("fan-out", flags.times.length().as_millis() as u64);
    let mut fan = Fan::new(flags, &progress, &mut measured);
    connections.drive(&mut fan)?;
    let seen = fan.seen()?;
    drop(progress);
    let mut run = measured.run("fan-out", seen.unit, &seen.timing.window)?;
    run.settings = settings([
        ("clients", flags.clients.to_string()),
        ("bytes", flags.size.to_string()),
        ("seed", flags.times.seed.to_string()),
    ]);
    if let Some(ranges) = flags.ranges {
        let hit = if flags.miss { ", none hit" } else { "" };
        run.settings
            .insert("ranges each".into(), format!("{ranges}{hit}"));
    }
    if let Some(rate) = flags.arrivals.rate {
        run.settings.insert("rate".into(), rate.to_string());
    }
    run.latencies = seen.latencies;
    run.figures.extend(seen.figures);
    run.errors = seen.errors;
    run.checks = seen.checks;
    Ok(run)
}
