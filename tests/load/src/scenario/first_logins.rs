//! Users who were never seen before sign in: each connects, presents a real token, and watches `users:me` and
//! `messages:list`. All come at once, or at a rate. Each must be told their own identity and no other, and each has one
//! document afterwards.

mod coming;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use self::coming::Coming;
use crate::arguments::some;
use crate::arrivals::Arrivals;
use crate::client::{Connections, Protocol};
use crate::issuer::{Algorithm, Issuer};
use crate::metrics::{DURABLE_TS, GATE_WAIT, Metrics};
use crate::progress::Progress;
use crate::report::{Check, Run};
use crate::run::{Measured, settings};
use crate::server::Server;

/// The flags of `first-logins`.
#[derive(Args, Clone, Debug)]
pub struct FirstLogins {
    /// People.
    #[arg(long, default_value = "10000", value_name = "NUMBER", value_parser = some)]
    pub users: usize,
    /// How often each of them comes at the same time, as with several tabs.
    #[arg(long, default_value = "1", value_name = "NUMBER", value_parser = some)]
    pub tabs: usize,
    /// How tokens are signed.
    #[arg(long, value_enum, default_value_t = Algorithm::Es256)]
    pub alg: Algorithm,
    /// Lets every user come a second time, when they are known: nothing may be written then.
    #[arg(long)]
    pub known: bool,
    /// The port of this machine on which the tokens' keys are served; any free one when not given. Needed with --url, whose
    /// server has to be told of it.
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub issuer_port: u16,
    #[command(flatten)]
    pub arrivals: Arrivals,
    /// The seed of all random choices.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
}

/// Messages that every user sees.
const MESSAGES: usize = 20;
/// Runs it: once, or a second time too when they are to be known.
pub fn run(flags: &FirstLogins, issuer: &Issuer, server: &Server) -> anyhow::Result<Vec<Run>> {
    let people = People::sign(flags, issuer)?;
    for number in 0..MESSAGES {
        let args = json!({ "channel": "general", "body": format!("message {number}") });
        server.address.call("mutation", "messages:send", &args)?;
    }
    let first = round(flags, &people, server, flags.users as f64)?;
    let mut runs = vec![first];
    if flags.known {
        runs.push(round(flags, &people, server, 0.0)?);
    }
    Ok(runs)
}

/// The users, with their tokens.
struct People {
    names: Vec<String>,
    tokens: Vec<String>,
}

impl People {
    fn sign(flags: &FirstLogins, issuer: &Issuer) -> anyhow::Result<People> {
        let progress = Progress::new("tokens", flags.users as u64);
        // No earlier run knew a user of this one.
        let crowd = uuid::Uuid::new_v4().simple().to_string();
        let names = (0..flags.users).map(|number| format!("{crowd}-{number}"));
        let names: Vec<String> = names.collect();
        let mut tokens = Vec::with_capacity(flags.users);
        for name in &names {
            tokens.push(issuer.token(name)?);
            progress.step(tokens.len() as u64, "signed".into());
        }
        Ok(People { names, tokens })
    }
}

/// Lets every user come once. `documents` is how many are to be made of them.
fn round(
    flags: &FirstLogins,
    people: &People,
    server: &Server,
    documents: f64,
) -> anyhow::Result<Run> {
    let is_known = documents == 0.0;
    let what = if is_known {
        "known-logins"
    } else {
        "first-logins"
    };
    let users_before = count_users(server)?;
    let metrics_before = Metrics::of(&server.address)?;
    let progress = Progress::new(what, (flags.users * flags.tabs) as u64);
    let mut measured = Measured::of(server);
    let mut connections = Connections::new(server.address.socket, Protocol::Sync)?;
    measured.border();
    let mut coming = Coming::new(flags, people, &progress);
    connections.drive(&mut coming)?;
    measured.border();
    drop(connections);
    let metrics_after = Metrics::of(&server.address)?;
    coming.close();
    let mut run = measured.run(what, "logins", &coming.window)?;
    run.settings = settings([
        ("users", flags.users.to_string()),
        ("tabs", flags.tabs.to_string()),
        ("alg", issuer_name(flags.alg).to_string()),
    ]);
    let arrivals = flags.arrivals.rate.map(|rate| rate.to_string());
    run.settings
        .insert("rate".into(), arrivals.unwrap_or("all at once".into()));
    run.latencies = vec![
        coming.from_arrival.told("arrival to first result"),
        coming.from_connect.told("connect to first result"),
    ];
    run.latencies.extend(metrics_after.latency_since(
        &metrics_before,
        GATE_WAIT,
        "gate wait (server's)",
    ));
    let made = count_users(server)? - users_before;
    run.checks.push(Check {
        what: format!("{documents} documents were made."),
        holds: made == documents,
        seen: format!("{made}"),
    });
    let wrong = coming.errors.values().sum::<u64>();
    run.checks.push(Check {
        what: "Everybody was told who they are, and nothing else.".into(),
        holds: wrong == 0 && coming.done == coming.total,
        seen: format!(
            "{} of {} logins, {wrong} wrong answers and errors",
            coming.done, coming.total
        ),
    });
    if is_known {
        let newest = |metrics: &Metrics| metrics.value(DURABLE_TS);
        let (before, after) = (newest(&metrics_before), newest(&metrics_after));
        run.checks.push(Check {
            what: "Nothing was written for people who are known.".into(),
            holds: before.is_some() && before == after,
            seen: format!(
                "the newest commit is {}",
                if before == after {
                    "the same"
                } else {
                    "another"
                }
            ),
        });
    }
    run.errors = coming.errors;
    Ok(run)
}

fn issuer_name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Es256 => "ES256",
        Algorithm::Rs256 => "RS256",
    }
}

/// How many users there are, counted a stretch at a time.
fn count_users(server: &Server) -> anyhow::Result<f64> {
    let (mut users, mut after) = (0.0, String::new());
    loop {
        let stretch = server
            .address
            .call("query", "users:count", &json!({ "after": after }))?;
        let Some(count) = stretch["count"].as_f64() else {
            bail!("users:count gave {stretch}");
        };
        users += count;
        match stretch["last"].as_str() {
            Some(last) => after = last.to_string(),
            None => return Ok(users),
        }
    }
}
