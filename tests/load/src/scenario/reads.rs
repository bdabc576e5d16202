//! Reads: of one account or of a stretch, of the same few again and again or never the same twice, over WebSockets or
//! HTTP.
//!
//! Over a WebSocket a read is a query that is watched until its first result is there. The next request takes it off
//! the query set again. Over HTTP it is `POST /api/query`, with as many connections as there are calls in flight.

use clap::{Args, ValueEnum};
use memchr::memmem;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::accounts;
use crate::arguments::{Times, some};
use crate::arrivals::Arrivals;
use crate::calls::{self, Answered, Calling, Plan};
use crate::client::messages::{self, Told, number_after};
use crate::client::{Connection, Connections, Protocol};
use crate::progress::Progress;
use crate::report::Run;
use crate::run::{Measured, settings};
use crate::server::Server;

/// The flags of `reads`.
#[derive(Args, Clone, Debug)]
pub struct Reads {
    /// Clients.
    #[arg(long, default_value = "64", value_name = "NUMBER", value_parser = some)]
    pub clients: usize,
    /// Reads that one client waits for at a time; with --rate, the most that it may.
    #[arg(long, default_value = "1", value_name = "NUMBER", value_parser = some)]
    pub in_flight: usize,
    /// The documents that are read.
    #[arg(long, value_enum, default_value_t = What::Point)]
    pub what: What,
    /// Accounts of a stretch.
    #[arg(long, default_value_t = 20, value_name = "NUMBER")]
    pub stretch: u32,
    /// Never the same arguments twice, so that every read runs the query.
    #[arg(long)]
    pub uncached: bool,
    /// How many different reads there are, unless --uncached.
    #[arg(long, default_value_t = 1_000, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub distinct: u32,
    /// How it is asked for.
    #[arg(long, value_enum, default_value_t = Over::Websocket)]
    pub over: Over,
    /// How many accounts there are.
    #[arg(long, default_value_t = 100_000, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub accounts: u32,
    #[command(flatten)]
    pub arrivals: Arrivals,
    #[command(flatten)]
    pub times: Times,
}

impl Reads {
    /// How many connections it takes.
    pub fn connections(&self) -> usize {
        match self.over {
            Over::Websocket => self.clients,
            // One call at a time is all that a connection takes.
            Over::Http => self.clients.saturating_mul(self.in_flight),
        }
    }
}

/// The documents that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// One account.
    Point,
    /// The accounts of a stretch.
    Range,
}

/// How a read is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Over {
    /// As a query that is watched for a moment.
    Websocket,
    /// As a request of its own.
    Http,
}

/// Runs it.
pub fn run(flags: &Reads, server: &Server) -> anyhow::Result<Run> {
    accounts::open(flags.accounts, server)?;
    let (protocol, clients, in_flight) = match flags.over {
        Over::Websocket => (Protocol::Sync, flags.connections(), flags.in_flight),
        Over::Http => (Protocol::Http, flags.connections(), 1),
    };
    let plan = Plan {
        clients,
        in_flight,
        times: flags.times,
        arrivals: flags.arrivals,
    };
    let mut measured = Measured::of(server);
    let mut connections = Connections::new(server.address.socket, protocol)?;
    let progress = Progress::new("reads", flags.times.length().as_millis() as u64);
    let mut reading = Reading::new(flags, clients);
    let called = calls::run(
        &mut connections,
        &mut reading,
        &plan,
        &progress,
        &mut measured,
    )?;
    drop(progress);
    let mut run = measured.run("reads", "reads", &called.window)?;
    let name = |value: Option<clap::builder::PossibleValue>| {
        value.map_or_else(String::new, |value| value.get_name().to_string())
    };
    run.settings = settings([
        ("clients", flags.clients.to_string()),
        ("in flight", flags.in_flight.to_string()),
        ("what", name(flags.what.to_possible_value())),
        ("over", name(flags.over.to_possible_value())),
        ("seed", flags.times.seed.to_string()),
    ]);
    let distinct = match flags.uncached {
        true => "all".to_string(),
        false => flags.distinct.to_string(),
    };
    run.settings.insert("distinct".into(), distinct);
    if flags.what == What::Range {
        run.settings
            .insert("stretch".into(), flags.stretch.to_string());
    }
    if let Some(rate) = flags.arrivals.rate {
        run.settings.insert("rate".into(), rate.to_string());
    }
    run.latencies = vec![called.latencies.told("answer")];
    run.errors = called.errors;
    Ok(run)
}

/// Asks for accounts.
struct Reading {
    flags: Reads,
    rng: SmallRng,
    /// Reads made by all.
    made: u64,
    asking: Vec<Asking>,
}

/// The requests of one connection.
#[derive(Default)]
struct Asking {
    query_set: u32,
    /// Queries that were answered and are still watched.
    answered: Vec<u32>,
    /// Over HTTP, the request under way.
    request: u32,
}

impl Reading {
    fn new(flags: &Reads, connections: usize) -> Reading {
        Reading {
            flags: flags.clone(),
            rng: SmallRng::seed_from_u64(flags.times.seed),
            made: 0,
            asking: (0..connections).map(|_| Asking::default()).collect(),
        }
    }

    fn path(&self) -> &'static str {
        match self.flags.what {
            What::Point => "accounts:point",
            What::Range => "accounts:range",
        }
    }

    /// The arguments of one more read.
    fn args(&mut self) -> impl Fn(&mut Vec<u8>) + use<> {
        self.made += 1;
        let flags = &self.flags;
        let first = match flags.uncached {
            true => self.rng.random_range(0..flags.accounts),
            false => self.rng.random_range(0..flags.distinct) % flags.accounts,
        };
        let nonce = if flags.uncached { self.made } else { 0 };
        let stretch = (flags.what == What::Range).then_some(flags.stretch);
        move |out: &mut Vec<u8>| {
            match stretch {
                None => out.extend_from_slice(br#"{"number":"#),
                Some(stretch) => {
                    out.extend_from_slice(br#"{"count":"#);
                    messages::number(out, stretch.into());
                    out.extend_from_slice(br#","first":"#);
                }
            }
            messages::number(out, first.into());
            out.extend_from_slice(br#","nonce":"#);
            messages::number(out, nonce);
            out.push(b'}');
        }
    }

    fn read_transition(&mut self, number: usize, message: &[u8], answered: Answered<'_>) {
        let asking = &mut self.asking[number];
        let mut rest = message;
        while let Some((query, end)) = number_after(rest, br#""queryId":"#) {
            // A modification's type stands before its query's number.
            let kind = &rest[..end];
            let is_update = memmem::rfind(kind, br#""QueryUpdated""#).is_some();
            let is_failure = memmem::rfind(kind, br#""QueryFailed""#).is_some();
            rest = &rest[end..];
            if is_update || is_failure {
                let query = query as u32;
                asking.answered.push(query);
                let outcome = if is_update {
                    Ok(())
                } else {
                    Err("a query failed".into())
                };
                answered(query, outcome);
            }
        }
    }
}

impl Calling for Reading {
    fn call(&mut self, connection: &mut Connection, request: u32) {
        let (path, args) = (self.path(), self.args());
        let asking = &mut self.asking[connection.number];
        match self.flags.over {
            Over::Websocket => {
                let base = asking.query_set;
                asking.query_set += 1;
                let removed = asking.answered.drain(..);
                connection.send(|out| {
                    messages::modify_query_set(out, base, removed, [(request, path, args)])
                });
            }
            Over::Http => {
                asking.request = request;
                connection.send_bytes(|out| messages::post(out, "query", path, args));
            }
        }
    }

    fn read(&mut self, connection: &Connection, message: &[u8], answered: Answered<'_>) {
        if self.flags.over == Over::Http {
            let is_success = memmem::find(message, br#""status":"success""#).is_some();
            let request = self.asking[connection.number].request;
            let outcome = if is_success {
                Ok(())
            } else {
                Err("refused".into())
            };
            return answered(request, outcome);
        }
        match messages::told(message) {
            Told::Transition => self.read_transition(connection.number, message, answered),
            Told::MutationResponse { .. } | Told::Ping => {}
            Told::Other(kind) => eprintln!("the server said {kind}"),
        }
    }
}
