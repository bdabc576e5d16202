//! Transfers between accounts: two reads and two writes each, and answered once they are durable. Nothing is lost or made
//! on the way: the accounts hold together afterwards what they held before.

use clap::Args;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::accounts::{self, Total};
use crate::against::Against;
use crate::arguments::{Times, not_negative, some};
use crate::arrivals::Arrivals;
use crate::calls::{self, Called, Calling, Plan};
use crate::choice::Choice;
use crate::client::messages::{self, Told};
use crate::client::{Connection, Connections, Protocol};
use crate::functions::Functions;
use crate::metrics::{BESIDE, BESIDE_RERUNS, Metrics};
use crate::progress::Progress;
use crate::report::{Check, Figure, Run};
use crate::run::{Measured, settings};
use crate::server::Server;

/// The flags of `transfers`.
#[derive(Args, Clone, Debug)]
pub struct Transfers {
    /// Connections.
    #[arg(long, default_value = "64", value_name = "NUMBER", value_parser = some)]
    pub clients: usize,
    /// Transfers that one connection waits for at a time; with --rate, the most that it may.
    #[arg(long, default_value = "1", value_name = "NUMBER", value_parser = some)]
    pub in_flight: usize,
    /// How unevenly accounts are chosen: 0 is evenly, else the exponent of Zipf's distribution.
    #[arg(long, default_value_t = 0.0, value_name = "EXPONENT", value_parser = not_negative)]
    pub alpha: f64,
    /// How many accounts there are.
    #[arg(long, default_value_t = 100_000, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(2..))]
    pub accounts: u32,
    #[command(flatten)]
    pub arrivals: Arrivals,
    /// Runs an alternative right after each run of ours, and tells how their rates compare.
    #[arg(long, value_enum, conflicts_with = "url")]
    pub against: Option<Against>,
    /// How often both are run.
    #[arg(long, default_value_t = 5, value_name = "NUMBER", requires = "against",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub pairs: u32,
    #[command(flatten)]
    pub times: Times,
}

/// Runs it against an alternative, each time on servers of their own.
pub fn run_pairs(
    flags: &Transfers,
    against: Against,
    functions: Functions,
) -> anyhow::Result<Vec<Run>> {
    let mut runs = Vec::new();
    for pair in 1..=flags.pairs {
        for ours in [true, false] {
            let server = match ours {
                true => Server::start(None, functions)?,
                false => Server::start_against(against, flags.accounts)?,
            };
            let mut run = run(flags, &server)?;
            run.pair = pair;
            eprintln!("pair {pair}: {}, {:.0} transfers/s", run.subject, run.rate);
            runs.push(run);
        }
    }
    Ok(runs)
}

/// Runs it.
pub fn run(flags: &Transfers, server: &Server) -> anyhow::Result<Run> {
    accounts::open(flags.accounts, server)?;
    let before = accounts::total(flags.accounts, server)?;
    let plan = Plan {
        clients: flags.clients,
        in_flight: flags.in_flight,
        times: flags.times,
        arrivals: flags.arrivals,
    };
    let retries_before = retries(server)?;
    let reruns_before = Reruns::of(server);
    let mut measured = Measured::of(server);
    let mut connections = Connections::new(server.address.socket, Protocol::Sync)?;
    let progress = Progress::new("transfers", flags.times.length().as_millis() as u64);
    let mut transferring = Transferring::new(flags.accounts, flags.alpha, flags.times.seed);
    let called = calls::run(
        &mut connections,
        &mut transferring,
        &plan,
        &progress,
        &mut measured,
    )?;
    drop(progress);
    drop(connections);
    let after = accounts::total(flags.accounts, server)?;
    let mut run = measured.run("transfers", "transfers", &called.window)?;
    run.settings = settings([
        ("clients", flags.clients.to_string()),
        ("in flight", flags.in_flight.to_string()),
        ("alpha", flags.alpha.to_string()),
        ("accounts", flags.accounts.to_string()),
        ("seed", flags.times.seed.to_string()),
    ]);
    if let Some(rate) = flags.arrivals.rate {
        run.settings.insert("rate".into(), rate.to_string());
    }
    if let Some((before, after)) = retries_before.zip(retries(server)?) {
        run.figures.push(Figure::new("retries", after - before, ""));
    }
    run.figures
        .extend(reruns_per_commit(&reruns_before, &Reruns::of(server)));
    run.latencies = vec![called.latencies.told("answer")];
    run.errors = called.errors;
    run.checks = vec![check(&before, &after)];
    Ok(run)
}

/// Transfers at a fixed rate, which another scenario puts beside its own load.
#[derive(Clone, Copy, Debug)]
pub struct AtRate {
    /// Connections.
    pub clients: usize,
    /// How many accounts there are.
    pub accounts: u32,
    /// Transfers that are due each second.
    pub rate: f64,
    /// How long, and the seed.
    pub times: Times,
}

/// Transfers at a rate that one connection may wait for.
const IN_FLIGHT: usize = 100;

impl AtRate {
    /// Makes them. The run has neither latencies nor checks yet.
    pub fn run(&self, server: &Server, scenario: &str) -> anyhow::Result<(Run, Called)> {
        let plan = Plan {
            clients: self.clients,
            in_flight: IN_FLIGHT,
            times: self.times,
            arrivals: Arrivals {
                rate: Some(self.rate),
                even: false,
            },
        };
        let mut measured = Measured::of(server);
        let mut connections = Connections::new(server.address.socket, Protocol::Sync)?;
        let progress = Progress::new("transfers", self.times.length().as_millis() as u64);
        let mut transferring = Transferring::new(self.accounts, 0.0, self.times.seed);
        let called = calls::run(
            &mut connections,
            &mut transferring,
            &plan,
            &progress,
            &mut measured,
        )?;
        let mut run = measured.run(scenario, "transfers", &called.window)?;
        run.settings = settings([
            ("clients", self.clients.to_string()),
            ("accounts", self.accounts.to_string()),
            ("rate", self.rate.to_string()),
            ("seed", self.times.seed.to_string()),
        ]);
        run.errors.clone_from(&called.errors);
        Ok((run, called))
    }
}

/// How often an alternative has had to try a transfer again.
fn retries(server: &Server) -> anyhow::Result<Option<f64>> {
    match server.has_app {
        true => Ok(None),
        false => Ok(server.stats()?["retries"].as_f64()),
    }
}

/// Mutations in TypeScript that ran beside each other, and how often one of them had to run again.
#[derive(Default)]
struct Reruns {
    begun: f64,
    again: f64,
}

impl Reruns {
    /// As the server counts them; none where it does not.
    fn of(server: &Server) -> Reruns {
        let metrics = match server.has_app {
            true => Metrics::of(&server.address).ok(),
            false => None,
        };
        let value = |name| metrics.as_ref()?.value(name);
        Reruns {
            begun: value(BESIDE).unwrap_or(0.0),
            again: value(BESIDE_RERUNS).unwrap_or(0.0),
        }
    }
}

/// Nothing where no mutation ran beside another, as in Rust.
fn reruns_per_commit(before: &Reruns, after: &Reruns) -> Option<Figure> {
    let begun = after.begun - before.begun;
    let again = after.again - before.again;
    (begun > 0.0).then(|| Figure::new("reruns per commit", again / begun, ""))
}

/// Whether nothing was lost or made.
pub fn check(before: &Total, after: &Total) -> Check {
    Check {
        what: "The accounts hold together what they held before.".into(),
        holds: before == after,
        seen: format!(
            "{} in {} accounts; before, {} in {}",
            after.balance, after.accounts, before.balance, before.accounts
        ),
    }
}

/// Chooses accounts and requests transfers.
pub struct Transferring {
    accounts: Choice,
    rng: SmallRng,
}

impl Transferring {
    /// Transfers between so many accounts, chosen as unevenly as `alpha` says.
    pub fn new(accounts: u32, alpha: f64, seed: u64) -> Transferring {
        Transferring {
            accounts: Choice::new(accounts, alpha),
            rng: SmallRng::seed_from_u64(seed),
        }
    }
}

impl Calling for Transferring {
    fn call(&mut self, connection: &mut Connection, request: u32) {
        let from = self.accounts.choose(&mut self.rng);
        let mut to = self.accounts.choose(&mut self.rng);
        while to == from {
            to = self.accounts.choose(&mut self.rng);
        }
        connection.send(|out| {
            messages::mutation(out, request, "accounts:transfer", |out| {
                out.extend_from_slice(br#"{"from":"#);
                messages::number(out, from.into());
                out.extend_from_slice(br#","to":"#);
                messages::number(out, to.into());
                out.extend_from_slice(br#","amount":1}"#);
            });
        });
    }

    fn read(
        &mut self,
        _: &Connection,
        message: &[u8],
        answered: &mut dyn FnMut(u32, Result<(), String>),
    ) {
        match messages::told(message) {
            Told::MutationResponse {
                request,
                success: true,
            } => answered(request, Ok(())),
            Told::MutationResponse {
                request,
                success: false,
            } => answered(request, Err("refused".into())),
            Told::Transition | Told::Ping => {}
            Told::Other(kind) => eprintln!("the server said {kind}"),
        }
    }
}
