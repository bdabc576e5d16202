//! Transfers between accounts: two reads and two writes each, and answered once they are durable. Nothing is lost or made
//! on the way: the accounts hold together afterwards what they held before.

use std::time::Duration;

use clap::Args;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, Uniform, Zipf};
use serde_json::json;

use crate::calls::{self, Arrivals, Calling, Plan};
use crate::client::messages::{self, Told};
use crate::client::{Connection, Connections};
use crate::progress::Progress;
use crate::report::{Check, Run};
use crate::run::Measured;
use crate::server::Server;

/// The flags of `transfers`.
#[derive(Args, Clone, Debug)]
pub struct Transfers {
    /// Connections.
    #[arg(long, default_value_t = 64, value_name = "NUMBER")]
    pub clients: usize,
    /// Transfers that one connection waits for at a time; with --rate, the most that it may.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub in_flight: usize,
    /// Measured seconds.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    pub seconds: f64,
    /// Seconds before the measured ones.
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS")]
    pub warm_up: f64,
    /// How unevenly accounts are chosen: 0 is evenly, else the exponent of Zipf's distribution.
    #[arg(long, default_value_t = 0.0, value_name = "EXPONENT")]
    pub alpha: f64,
    /// How many accounts there are.
    #[arg(long, default_value_t = 100_000, value_name = "NUMBER")]
    pub accounts: u32,
    /// Transfers arrive at this rate a second, however slow the answers are, and latency counts from the time at which one
    /// was due. Without it, each answer makes the next transfer.
    #[arg(long, value_name = "PER SECOND")]
    pub rate: Option<f64>,
    /// Arrivals at equal distances instead of by chance (Poisson).
    #[arg(long, requires = "rate")]
    pub even: bool,
    /// What chance is made of.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
}

/// Accounts that one call opens or adds up.
const STRETCH: u32 = 2_000;

/// Runs it.
pub fn run(flags: &Transfers, server: &Server) -> anyhow::Result<Run> {
    open(flags.accounts, server)?;
    let before = total(flags.accounts, server)?;
    let plan = Plan {
        clients: flags.clients,
        in_flight: flags.in_flight,
        warm_up: Duration::from_secs_f64(flags.warm_up),
        length: Duration::from_secs_f64(flags.seconds),
        arrivals: flags.rate.map(|rate| Arrivals {
            rate,
            even: flags.even,
        }),
        seed: flags.seed,
    };
    let mut measured = Measured::of(server);
    let mut connections = Connections::new(server.address.socket, "/api/sync")?;
    let progress = Progress::new("transfers", plan.length.as_millis() as u64);
    let transferring = Transferring::new(flags);
    let called = calls::run(&mut connections, transferring, &plan, &progress, || {
        measured.border()
    })?;
    drop(progress);
    drop(connections);
    let after = total(flags.accounts, server)?;
    let mut run = measured.run("transfers", "transfers", &called.window)?;
    run.settings = [
        ("clients", flags.clients.to_string()),
        ("in flight", flags.in_flight.to_string()),
        ("alpha", flags.alpha.to_string()),
        ("accounts", flags.accounts.to_string()),
        ("seed", flags.seed.to_string()),
    ]
    .map(|(name, value)| (name.to_string(), value))
    .into();
    if let Some(rate) = flags.rate {
        run.settings.insert("rate".into(), rate.to_string());
    }
    run.latencies = vec![called.latencies.told("answer")];
    run.errors = called.errors;
    run.checks = vec![check(&before, &after)];
    Ok(run)
}

/// Opens the accounts that are missing.
fn open(accounts: u32, server: &Server) -> anyhow::Result<()> {
    let progress = Progress::new("accounts", accounts.into());
    for first in (0..accounts).step_by(STRETCH as usize) {
        let count = STRETCH.min(accounts - first);
        let args = json!({ "first": first, "count": count });
        server.address.call("mutation", "accounts:open", &args)?;
        progress.step((first + count).into(), "opened".into());
    }
    Ok(())
}

/// What accounts are and hold.
#[derive(Debug, PartialEq)]
struct Total {
    accounts: f64,
    balance: f64,
}

fn total(accounts: u32, server: &Server) -> anyhow::Result<Total> {
    let mut total = Total {
        accounts: 0.0,
        balance: 0.0,
    };
    for first in (0..accounts).step_by(STRETCH as usize) {
        let count = STRETCH.min(accounts - first);
        let args = json!({ "first": first, "count": count });
        let stretch = server.address.call("query", "accounts:total", &args)?;
        total.accounts += stretch["accounts"].as_f64().unwrap_or(f64::NAN);
        total.balance += stretch["balance"].as_f64().unwrap_or(f64::NAN);
    }
    Ok(total)
}

fn check(before: &Total, after: &Total) -> Check {
    Check {
        what: "The accounts hold together what they held before.".into(),
        holds: before == after,
        seen: format!(
            "{} in {} accounts; before, {} in {}",
            after.balance, after.accounts, before.balance, before.accounts
        ),
    }
}

/// Chooses accounts and says transfers.
struct Transferring {
    accounts: Accounts,
    rng: SmallRng,
}

/// How accounts are chosen.
enum Accounts {
    Evenly(Uniform<u32>),
    Zipf(Zipf<f64>),
}

impl Accounts {
    fn choose(&self, rng: &mut SmallRng) -> u32 {
        match self {
            Accounts::Evenly(uniform) => uniform.sample(rng),
            Accounts::Zipf(zipf) => zipf.sample(rng) as u32 - 1,
        }
    }
}

impl Transferring {
    fn new(flags: &Transfers) -> Transferring {
        let accounts = match flags.alpha {
            0.0 => Accounts::Evenly(Uniform::new(0, flags.accounts).expect("there are accounts")),
            alpha => Accounts::Zipf(
                Zipf::new(flags.accounts.into(), alpha).expect("the flags were checked"),
            ),
        };
        Transferring {
            accounts,
            rng: SmallRng::seed_from_u64(flags.seed),
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
