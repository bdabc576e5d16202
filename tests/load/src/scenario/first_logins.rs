//! Users who were never seen before sign in: each connects, presents a real token, and watches `users:me` and
//! `messages:list`. All come at once, or at a rate. Nobody may be told anything but who they are, and each of them is one
//! document afterwards.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use serde_json::json;

use crate::arguments::some;
use crate::arrivals::{Arrivals, Clockwork};
use crate::client::messages::{self, Told};
use crate::client::{Connection, Connections, News, Next, Protocol, Work};
use crate::issuer::{Algorithm, Issuer};
use crate::measure::{Latencies, Window};
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
    /// Lets everybody come a second time, when they are known: nothing may be written then.
    #[arg(long)]
    pub known: bool,
    /// The port of this machine on which the tokens' keys are served; any free one when not given. Needed with --url, whose
    /// server has to be told of it.
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub issuer_port: u16,
    #[command(flatten)]
    pub arrivals: Arrivals,
    /// What chance is made of.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
}

/// Messages that everybody sees.
const MESSAGES: usize = 20;
/// How long the last first result is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// The longest time without a turn: progress is to be seen.
const TURN_MAX: Duration = Duration::from_millis(100);
/// How often progress is shown.
const SHOW_EVERY: Duration = Duration::from_millis(250);

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

/// Who comes, and with what.
struct People {
    names: Vec<String>,
    tokens: Vec<String>,
}

impl People {
    fn sign(flags: &FirstLogins, issuer: &Issuer) -> anyhow::Result<People> {
        let progress = Progress::new("tokens", flags.users as u64);
        // No earlier run knew anybody of this one.
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

/// Lets everybody come once. `documents` is how many are to be made of them.
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

/// Everybody on their way in. Connection `n` is of person `n / tabs`.
struct Coming<'r> {
    flags: &'r FirstLogins,
    people: &'r People,
    progress: &'r Progress,
    total: usize,
    start: Instant,
    clockwork: Option<Clockwork>,
    /// Whoever has come: when that was due, when the connection began, and whether they have their first result.
    came: Vec<Came>,
    done: usize,
    failed: usize,
    window: Window,
    last: Instant,
    shown: Instant,
    from_arrival: Latencies,
    from_connect: Latencies,
    errors: BTreeMap<String, u64>,
}

struct Came {
    due: Instant,
    began: Instant,
    is_done: bool,
}

impl<'r> Coming<'r> {
    fn new(flags: &'r FirstLogins, people: &'r People, progress: &'r Progress) -> Self {
        let now = Instant::now();
        let total = flags.users * flags.tabs;
        Coming {
            flags,
            people,
            progress,
            total,
            start: now,
            clockwork: Clockwork::new(flags.arrivals, flags.seed, now),
            came: Vec::with_capacity(total),
            done: 0,
            failed: 0,
            window: Window::open(now),
            last: now,
            shown: now,
            from_arrival: Latencies::default(),
            from_connect: Latencies::default(),
            errors: BTreeMap::new(),
        }
    }

    fn wrong(&mut self, why: impl Into<String>) {
        *self.errors.entry(why.into()).or_default() += 1;
    }

    /// The run ended with the last first result.
    fn close(&mut self) {
        self.window.close(self.last);
        let missing = (self.total - self.done - self.failed) as u64;
        if missing > 0 {
            self.errors.insert("no first result".into(), missing);
        }
    }

    /// Lets those in who are due. All at once, everybody is due at the start, and as many as a server can be expected
    /// to have waiting connect at the same time.
    fn begin_what_is_due(&mut self, connections: &mut Connections, now: Instant) -> io::Result<()> {
        while self.came.len() < self.total {
            let due = match &mut self.clockwork {
                Some(clockwork) => clockwork.due(now),
                None if connections.is_opening_many() => None,
                None => Some(self.start),
            };
            let Some(due) = due else {
                return Ok(());
            };
            connections.begin()?;
            let (began, is_done) = (now, false);
            self.came.push(Came {
                due,
                began,
                is_done,
            });
        }
        Ok(())
    }

    fn sign_in(&self, connection: &mut Connection) {
        let token = &self.people.tokens[connection.number / self.flags.tabs];
        connection.send(|out| messages::authenticate(out, token));
        let args: [(u32, &str, &[u8]); 2] = [
            (ME, "users:me", b"{}"),
            (LIST, "messages:list", br#"{"channel":"general"}"#),
        ];
        let queries = args.map(|(query, path, args)| {
            (query, path, move |out: &mut Vec<u8>| {
                out.extend_from_slice(args)
            })
        });
        connection.send(|out| messages::modify_query_set(out, 0, [], queries));
    }

    fn look_at(&mut self, number: usize, transition: &[u8], now: Instant) {
        let Ok(transition) = serde_json::from_slice::<Transition>(transition) else {
            return self.wrong("a Transition that cannot be read");
        };
        for result in transition.modifications {
            if result.kind != "QueryUpdated" {
                self.wrong(format!("{} of {}", result.kind, name(result.query_id)));
            } else if result.query_id == ME {
                let me = result.value.as_ref().and_then(|value| value.get("name"));
                let is_own = me.and_then(|me| me.as_str())
                    == Some(&self.people.names[number / self.flags.tabs]);
                match is_own {
                    true => self.arrived(number, now),
                    false => self.wrong("users:me of nobody, or of somebody else"),
                }
            }
        }
    }

    fn arrived(&mut self, number: usize, now: Instant) {
        let came = &mut self.came[number];
        if std::mem::replace(&mut came.is_done, true) {
            return;
        }
        self.done += 1;
        self.last = now;
        self.window.add(now, 1);
        self.from_arrival.add(now - came.due);
        self.from_connect.add(now - came.began);
    }

    fn show(&mut self, now: Instant) {
        if now - self.shown >= SHOW_EVERY {
            self.shown = now;
            let p99 = self.from_arrival.told("").p99;
            self.progress.step(
                self.done as u64,
                format!("{} logged in, p99 {p99:.0} ms", self.done),
            );
        }
    }
}

/// The queries that everybody watches.
const ME: u32 = 0;
const LIST: u32 = 1;

fn name(query: u32) -> &'static str {
    if query == ME {
        "users:me"
    } else {
        "messages:list"
    }
}

/// A Transition, as far as it is looked at.
#[derive(serde::Deserialize)]
struct Transition<'m> {
    #[serde(borrow)]
    modifications: Vec<Modification<'m>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Modification<'m> {
    #[serde(rename = "type")]
    kind: &'m str,
    query_id: u32,
    value: Option<serde_json::Value>,
}

impl Work for Coming<'_> {
    fn news(&mut self, connection: &mut Connection, news: News<'_>, now: Instant) {
        let message = match news {
            News::Open => return self.sign_in(connection),
            News::Message(message) => message,
        };
        match messages::told(message) {
            Told::Transition => self.look_at(connection.number, message, now),
            Told::Ping => {}
            Told::MutationResponse { .. } => self.wrong("an answer to no call"),
            Told::Other(kind) => self.wrong(format!("the server said {kind}")),
        }
    }

    fn ended(&mut self, number: usize, why: io::Error, _now: Instant) {
        self.wrong(format!("connection lost: {why}"));
        // One that has its first result has been counted.
        self.failed += usize::from(!self.came[number].is_done);
    }

    fn turn(&mut self, connections: &mut Connections, now: Instant) -> Next {
        if let Err(why) = self.begin_what_is_due(connections, now) {
            self.wrong(format!("no connection: {why}"));
            return Next::Done;
        }
        self.show(now);
        let has_all = self.done + self.failed == self.total;
        let due = self.came.last().map_or(self.start, |came| came.due);
        if has_all || now > due + PATIENCE {
            return Next::Done;
        }
        let next = self.clockwork.as_ref().map(Clockwork::next);
        let next = next.filter(|_| self.came.len() < self.total);
        Next::Until(next.unwrap_or(now + TURN_MAX).min(now + TURN_MAX))
    }
}
