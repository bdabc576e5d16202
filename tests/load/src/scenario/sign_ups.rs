//! Sign-ups with passwords beside transfers: a key by scrypt keeps a core busy, and others should hardly notice.

use clap::Args;
use memchr::memmem;
use serde_json::json;

use super::http_actions::kind_of_refusal;
use super::transfers::{AtRate, check};
use crate::accounts;
use crate::arguments::{Times, positive, some};
use crate::arrivals::Arrivals;
use crate::calls::{self, Answered, Called, Calling, Plan};
use crate::client::messages::{self, number};
use crate::client::{Connection, Connections, Protocol};
use crate::functions;
use crate::progress::Progress;
use crate::report::{Check, Figure, Run};
use crate::run::{Measured, settings};
use crate::server::Server;

/// The flags of `sign-ups`.
#[derive(Args, Clone, Debug)]
pub struct SignUps {
    /// Sign-ups that are due each second.
    #[arg(long, default_value_t = 20.0, value_name = "PER SECOND", value_parser = positive)]
    pub rate: f64,
    /// Transfers that are due each second meanwhile.
    #[arg(long, default_value_t = 500.0, value_name = "PER SECOND", value_parser = positive)]
    pub transfers: f64,
    /// Connections of the transfers, and as many of the sign-ups.
    #[arg(long, default_value = "64", value_name = "NUMBER", value_parser = some)]
    pub clients: usize,
    /// How many accounts there are.
    #[arg(long, default_value_t = 10_000, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(2..))]
    pub accounts: u32,
    #[command(flatten)]
    pub times: Times,
}

/// Runs it: transfers alone, then beside sign-ups, and the sign-ups.
pub fn run(flags: &SignUps, server: &Server) -> anyhow::Result<Vec<Run>> {
    functions::push_with_sign_ups(&server.address.url, server.admin_key()?)?;
    accounts::open(flags.accounts, server)?;
    let before = accounts::total(flags.accounts, server)?;
    let transfers = AtRate {
        clients: flags.clients,
        accounts: flags.accounts,
        rate: flags.transfers,
        times: flags.times,
    };
    let (mut alone, called_alone) = transfers.run(server, "transfers")?;
    alone.latencies = vec![called_alone.latencies.told("answer")];

    let (flags_beside, url) = (flags.clone(), server.address.url.clone());
    let signing_up = std::thread::spawn(move || sign_up(&flags_beside, &url));
    let (mut beside, called) = transfers.run(server, "transfers beside sign-ups")?;
    let (mut sign_ups, signed_up) = signing_up.join().expect("no sign-up panics")?;
    beside.latencies = vec![called.latencies.told("answer")];
    beside.figures.push(Figure::new(
        "p99 beside them / before",
        called.latencies.p99() / called_alone.latencies.p99(),
        "×",
    ));
    let after = accounts::total(flags.accounts, server)?;
    beside.checks = vec![check(&before, &after)];
    let people = server.address.call("query", "people:count", &json!({}))?;
    let people = people.as_f64().unwrap_or(f64::NAN);
    sign_ups.subject.clone_from(&server.subject);
    sign_ups.checks = vec![Check {
        what: "Everybody who signed up is there once.".into(),
        holds: people == signed_up.succeeded as f64,
        seen: format!("{people}, and {} were told so", signed_up.succeeded),
    }];
    Ok(vec![alone, beside, sign_ups])
}

/// Signs people up for the time of the run.
fn sign_up(flags: &SignUps, url: &str) -> anyhow::Result<(Run, Called)> {
    // Its process is measured by the transfers.
    let server = Server::elsewhere(url)?;
    let plan = Plan {
        clients: flags.clients,
        in_flight: 1,
        times: flags.times,
        arrivals: Arrivals {
            rate: Some(flags.rate),
            even: true,
        },
    };
    let mut measured = Measured::of(&server);
    let mut connections = Connections::new(server.address.socket, Protocol::Http)?;
    let progress = Progress::new("sign-ups", flags.times.length().as_millis() as u64);
    let mut signing_up = SigningUp {
        people: 0,
        asked: vec![0; flags.clients],
    };
    let called = calls::run(
        &mut connections,
        &mut signing_up,
        &plan,
        &progress,
        &mut measured,
    )?;
    let mut run = measured.run("sign-ups", "sign-ups", &called.window)?;
    run.settings = settings([
        ("clients", flags.clients.to_string()),
        ("rate", flags.rate.to_string()),
        ("transfers", flags.transfers.to_string()),
    ]);
    run.latencies = vec![called.latencies.told("answer")];
    run.errors.clone_from(&called.errors);
    Ok((run, called))
}

/// Asks for sign-ups of ever new people.
struct SigningUp {
    people: u64,
    /// The request under way on each connection.
    asked: Vec<u32>,
}

impl Calling for SigningUp {
    fn call(&mut self, connection: &mut Connection, request: u32) {
        self.asked[connection.number] = request;
        self.people += 1;
        let person = self.people;
        connection.send_bytes(|out| {
            messages::post(out, "action", "people:signUp", |out| {
                out.extend_from_slice(br#"{"name":"person "#);
                number(out, person);
                out.extend_from_slice(br#"","password":"correct horse "#);
                number(out, person);
                out.extend_from_slice(br#""}"#);
            });
        });
    }

    fn read(&mut self, connection: &Connection, message: &[u8], answered: Answered<'_>) {
        let is_success = memmem::find(message, br#""status":"success""#).is_some();
        let outcome = match is_success {
            true => Ok(()),
            false => Err(kind_of_refusal(message)),
        };
        answered(self.asked[connection.number], outcome);
    }
}
