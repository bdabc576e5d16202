//! Transfers before and while a push adds an index to their table. Each transfer moves two documents in the new index, so what the
//! backfill writes and what transfers write meet.

use std::thread::JoinHandle;

use clap::Args;
use serde_json::json;

use super::transfers::{AtRate, check};
use crate::accounts::{self, Total};
use crate::arguments::{Times, positive, some};
use crate::functions;
use crate::measure::Latencies;
use crate::report::{Check, Figure, Run};
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

/// Documents of a page of the index.
const PAGE: u32 = 2_000;

/// Runs it: first without, then beside the push. The times are those of the first run, and of each part of the second.
pub fn run(flags: &Backfill, server: &Server) -> anyhow::Result<Vec<Run>> {
    accounts::open(flags.documents, server)?;
    let before = accounts::total(flags.documents, server)?;
    let transfers = AtRate {
        clients: flags.clients,
        accounts: flags.documents,
        rate: flags.rate,
        times: flags.times,
    };
    let (mut quiet, called) = transfers.run(server, "transfers")?;
    quiet.latencies = vec![called.latencies.told("answer")];

    let Beside {
        run: mut beside,
        latencies,
        p99s: [fastest, slowest],
        seconds,
    } = beside(&transfers, server)?;
    beside.figures.extend([
        Figure::new("push", seconds, "s"),
        Figure::new(
            "documents indexed a second",
            f64::from(flags.documents) / seconds,
            "",
        ),
        Figure::new(
            "p99 beside it / before",
            latencies.p99() / called.latencies.p99(),
            "×",
        ),
        Figure::new("best part's p99", fastest, "ms"),
        Figure::new("worst part's p99", slowest, "ms"),
    ]);
    beside.latencies = vec![latencies.told("answer")];

    let after = accounts::total(flags.documents, server)?;
    beside.checks = vec![check(&before, &after), index_check(&after, server)?];
    Ok(vec![quiet, beside])
}

/// Transfers beside a push.
struct Beside {
    run: Run,
    latencies: Latencies,
    /// Of its parts, the lowest and the highest, in milliseconds: one long wait shows in a single part.
    p99s: [f64; 2],
    /// What the push took.
    seconds: f64,
}

/// Transfers until a push has ended.
fn beside(transfers: &AtRate, server: &Server) -> anyhow::Result<Beside> {
    let pushing = push(server)?;
    let mut beside = Vec::new();
    let mut latencies = Latencies::default();
    let mut p99s = [f64::INFINITY, 0.0];
    // Each part has its connections, and none waits to warm up: all that the push does is measured.
    let mut times = Times {
        warm_up: 0.0,
        seconds: transfers.times.seconds.min(5.0),
        ..transfers.times
    };
    while beside.is_empty() || !pushing.is_finished() {
        times.seed += 1;
        let part = AtRate {
            times,
            ..*transfers
        };
        let (run, called) = part.run(server, "transfers beside a backfill")?;
        latencies.add_all(&called.latencies);
        let p99 = called.latencies.p99();
        p99s = [p99s[0].min(p99), p99s[1].max(p99)];
        beside.push(run);
    }
    let seconds = pushing.join().expect("no push panics")?;
    Ok(Beside {
        run: joined(beside),
        latencies,
        p99s,
        seconds,
    })
}

/// Begins to push, and tells the seconds until the index is built.
fn push(server: &Server) -> anyhow::Result<JoinHandle<anyhow::Result<f64>>> {
    let url = server.address.url.clone();
    let admin_key = server.admin_key()?.to_string();
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
