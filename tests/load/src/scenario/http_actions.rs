//! Requests to an HTTP action that reads one document, over connections that stay open: `GET /http/account?number=N`.

use clap::Args;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::accounts;
use crate::arguments::{Times, some};
use crate::arrivals::Arrivals;
use crate::calls::{self, Answered, Calling, Outcome, Plan};
use crate::client::messages::{self, number_after};
use crate::client::{Connection, Connections, Protocol};
use crate::progress::Progress;
use crate::report::Run;
use crate::run::{Measured, settings};
use crate::server::Server;

/// The flags of `http-actions`.
#[derive(Args, Clone, Debug)]
pub struct HttpActions {
    /// Connections, each with one request at a time.
    #[arg(long, default_value = "64", value_name = "NUMBER", value_parser = some)]
    pub clients: usize,
    /// How many accounts there are.
    #[arg(long, default_value_t = 10_000, value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub accounts: u32,
    #[command(flatten)]
    pub arrivals: Arrivals,
    #[command(flatten)]
    pub times: Times,
}

/// Runs it.
pub fn run(flags: &HttpActions, server: &Server) -> anyhow::Result<Run> {
    accounts::open(flags.accounts, server)?;
    let plan = Plan {
        clients: flags.clients,
        in_flight: 1,
        times: flags.times,
        arrivals: flags.arrivals,
    };
    let mut measured = Measured::of(server);
    let mut connections = Connections::new(server.address.socket, Protocol::Http)?;
    let progress = Progress::new("requests", flags.times.length().as_millis() as u64);
    let mut asking = Asking {
        accounts: flags.accounts,
        rng: SmallRng::seed_from_u64(flags.times.seed),
        asked: vec![(0, 0); flags.clients],
    };
    let called = calls::run(
        &mut connections,
        &mut asking,
        &plan,
        &progress,
        &mut measured,
    )?;
    drop(progress);
    let mut run = measured.run("http-actions", "requests", &called.window)?;
    run.settings = settings([
        ("clients", flags.clients.to_string()),
        ("accounts", flags.accounts.to_string()),
        ("seed", flags.times.seed.to_string()),
    ]);
    if let Some(rate) = flags.arrivals.rate {
        run.settings.insert("rate".into(), rate.to_string());
    }
    run.latencies = vec![called.latencies.told("answer")];
    run.errors = called.errors;
    Ok(run)
}

/// Asks for accounts.
struct Asking {
    accounts: u32,
    rng: SmallRng,
    /// The request under way on each connection, and the account that it asks for.
    asked: Vec<(u32, u32)>,
}

impl Calling for Asking {
    fn call(&mut self, connection: &mut Connection, request: u32) {
        let account = self.rng.random_range(0..self.accounts);
        self.asked[connection.number] = (request, account);
        connection.send_bytes(|out| {
            out.extend_from_slice(b"GET /http/account?number=");
            messages::number(out, account.into());
            out.extend_from_slice(b" HTTP/1.1\r\nHost: load\r\n\r\n");
        });
    }

    fn read(&mut self, connection: &Connection, message: &[u8], answered: Answered<'_>) {
        let (request, account) = self.asked[connection.number];
        answered(request, outcome(message, account));
    }
}

/// Whether an answer is the account that was asked for; else, what it is.
fn outcome(body: &[u8], account: u32) -> Outcome {
    match number_after(body, br#""number":"#) {
        Some((number, _)) if number == u64::from(account) => Ok(()),
        Some(_) => Err("the answer is another account".into()),
        None => Err(kind_of_refusal(body)),
    }
}

/// The code of a refusal, or its first line where it has none.
pub fn kind_of_refusal(body: &[u8]) -> String {
    let refusal: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let code = refusal.and_then(|refusal| {
        let code = refusal["code"].as_str();
        Some(
            code.or_else(|| refusal["errorMessage"].as_str())?
                .to_string(),
        )
    });
    code.unwrap_or_else(|| {
        let line = body.split(|byte| *byte == b'\n').next().unwrap_or(body);
        let line = String::from_utf8_lossy(&line[..line.len().min(KIND_BYTES_MAX)]);
        format!("the answer is {line:?}")
    })
}

/// As much of an unknown answer as tells kinds apart.
const KIND_BYTES_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_the_account_asked_for_or_an_error_by_its_kind() {
        assert_eq!(outcome(br#"{"number":7,"balance":1}"#, 7), Ok(()));
        assert_eq!(outcome(br#"{"balance":1,"number":7.0}"#, 7), Ok(()));
        let kind = |body: &[u8]| outcome(body, 7).unwrap_err();
        assert_eq!(kind(br#"{"number":8}"#), "the answer is another account");
        assert_eq!(
            kind(br#"{"code":"Overloaded","message":"x"}"#),
            "Overloaded"
        );
        assert_eq!(kind(b"null"), "the answer is \"null\"");
    }
}
