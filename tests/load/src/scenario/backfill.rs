//! Transfers before and while a push adds an index to their table. Each transfer moves two documents in the new index, so what the
//! backfill writes and what transfers write meet.

use std::thread::JoinHandle;

use clap::Args;
use serde_json::json;

use super::transfers::{Transferring, check};
use crate::accounts::{self, Total};
use crate::arguments::{Times, positive, some};
use crate::arrivals::Arrivals;
use crate::calls::{self, Called, Plan};
use crate::client::{Connections, Protocol};
use crate::functions;
use crate::measure::Latencies;
use crate::progress::Progress;
use crate::report::{Check, Figure, Run};
use crate::run::{Measured, settings};
use crate::server::Server;

/// The flags of `backfill`.
#[derive(Args, Clone, Debug)]
pub struct Backfill {
    /// Connections.
    #[arg(long, default_value = "64", value_name = "NUMBER", value_parser = some)]
    pub clients: usize,
    /// How many documents the table has.
    #[arg(long, default_value_t = 1_000_000, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(2..))]
    pub documents: u32,
    /// Transfers that are due each second.
    #[arg(long, default_value_t = 500.0, value_name = "PER SECOND", value_parser = positive)]
    pub rate: f64,
    #[command(flatten)]
    pub times: Times,
}

/// Transfers that one connection may wait for.
const IN_FLIGHT: usize = 100;
/// Documents of a page of the index.
const PAGE: u32 = 2_000;

/// Runs it: first without, then beside the push. The times are those of the first run, and of each part of the second.
pub fn run(flags: &Backfill, server: &Server) -> anyhow::Result<Vec<Run>> {
    accounts::open(flags.documents, server)?;
    let before = accounts::total(flags.documents, server)?;
    let (mut quiet, called) = part(flags, flags.times, server, "transfers")?;
    quiet.latencies = vec![called.latencies.told("answer")];

    let pushing = push(server)?;
    let mut beside = Vec::new();
    let mut latencies = Latencies::default();
    // Each part has its connections, and none waits to warm up: all that the push does is measured.
    let mut times = Times {
        warm_up: 0.0,
        seconds: flags.times.seconds.min(5.0),
        ..flags.times
    };
    while beside.is_empty() || !pushing.is_finished() {
        times.seed += 1;
        let (run, called) = part(flags, times, server, "transfers beside a backfill")?;
        latencies.add_all(&called.latencies);
        beside.push(run);
    }
    let seconds = pushing.join().expect("no push panics")?;
    let mut beside = joined(beside);
    beside.figures.extend([
        figure("push", seconds, "s"),
        figure(
            "documents indexed a second",
            f64::from(flags.documents) / seconds,
            "",
        ),
        figure(
            "p99 beside it / before",
            latencies.p99() / called.latencies.p99(),
            "×",
        ),
    ]);
    beside.latencies = vec![latencies.told("answer")];

    let after = accounts::total(flags.documents, server)?;
    beside.checks = vec![check(&before, &after), index_check(&after, server)?];
    Ok(vec![quiet, beside])
}

/// Transfers for some time.
fn part(
    flags: &Backfill,
    times: Times,
    server: &Server,
    scenario: &str,
) -> anyhow::Result<(Run, Called)> {
    let plan = Plan {
        clients: flags.clients,
        in_flight: IN_FLIGHT,
        times,
        arrivals: Arrivals {
            rate: Some(flags.rate),
            even: false,
        },
    };
    let mut measured = Measured::of(server);
    let mut connections = Connections::new(server.address.socket, Protocol::Sync)?;
    let progress = Progress::new("transfers", times.length().as_millis() as u64);
    let mut transferring = Transferring::new(flags.documents, 0.0, times.seed);
    let called = calls::run(
        &mut connections,
        &mut transferring,
        &plan,
        &progress,
        &mut measured,
    )?;
    let mut run = measured.run(scenario, "transfers", &called.window)?;
    run.settings = settings([
        ("clients", flags.clients.to_string()),
        ("documents", flags.documents.to_string()),
        ("rate", flags.rate.to_string()),
        ("seed", flags.times.seed.to_string()),
    ]);
    run.errors.clone_from(&called.errors);
    Ok((run, called))
}

/// Begins to push, and tells the seconds until the index is built.
fn push(server: &Server) -> anyhow::Result<JoinHandle<anyhow::Result<f64>>> {
    let url = server.address.url.clone();
    let Some(admin_key) = server.admin_key.clone() else {
        anyhow::bail!("a push needs an admin key");
    };
    Ok(std::thread::spawn(move || {
        let start = std::time::Instant::now();
        functions::push_with_index(&url, &admin_key)?;
        Ok(start.elapsed().as_secs_f64())
    }))
}

/// The parts of a run as one. The process is as the last part left it.
fn joined(parts: Vec<Run>) -> Run {
    let parts = parts.into_iter();
    let joined = parts.reduce(|mut sum, part| {
        sum.count += part.count;
        sum.seconds += part.seconds;
        for (why, count) in part.errors {
            *sum.errors.entry(why).or_default() += count;
        }
        sum.server = part.server;
        sum.client = part.client;
        sum
    });
    let mut run = joined.expect("there is a part");
    run.rate = run.count as f64 / run.seconds;
    run.figures.clear();
    run
}

fn figure(name: &str, value: f64, unit: &str) -> Figure {
    Figure {
        name: name.into(),
        value,
        unit: unit.into(),
    }
}

/// Whether the new index has each document once, in order.
fn index_check(expected: &Total, server: &Server) -> anyhow::Result<Check> {
    let mut seen = Total {
        accounts: 0.0,
        balance: 0.0,
    };
    let mut is_in_order = true;
    let mut newest = f64::NEG_INFINITY;
    let mut cursor = json!(null);
    loop {
        let args = json!({ "paginationOpts": { "numItems": PAGE, "cursor": cursor } });
        let page = server
            .address
            .call("query", "accounts:pageByBalance", &args)?;
        let number = |name: &str| page[name].as_f64();
        seen.accounts += number("accounts").unwrap_or(f64::NAN);
        seen.balance += number("balance").unwrap_or(f64::NAN);
        if let Some((first, last)) = number("first").zip(number("last")) {
            is_in_order &= newest <= first && first <= last;
            newest = last;
        }
        if page["isDone"] == true {
            break;
        }
        cursor = page["continueCursor"].clone();
    }
    Ok(Check {
        what: "The new index has each account once, in the order of balances.".into(),
        holds: seen == *expected && is_in_order,
        seen: format!("{} in {} accounts", seen.balance, seen.accounts),
    })
}
