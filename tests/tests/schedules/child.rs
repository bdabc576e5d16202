//! The server under test as a process, and the record that it writes.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child as Process, ChildStdin, Command as Program, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, ensure};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::watch;
use vestibule_server::app::Config;
use vestibule_server::auth::{AdminKeys, AdminRights, DeploymentSecret};
use vestibule_server::clock::{Clock, SystemClock};
use vestibule_server::probe::Event;
use vestibule_tests::control::{Command, Remark, variable};

use super::driver::ServerTime;
use super::issuer::Issuer;

/// How long something may take that should take milliseconds.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// How every token of the provider begins: `{"alg":` in base64.
const TOKEN_BEGINNING: &str = "eyJhbGciOi";
/// Seats that one life of the server may use.
const SEATS_PER_LIFE: u64 = 1 << 32;

/// The events recorded since the schedule began, over all lives of the server.
#[derive(Clone)]
pub struct Tape {
    events: Arc<Mutex<Vec<Event>>>,
    grown: watch::Sender<usize>,
}

/// A server that can be killed and goes on with the same file.
pub struct Server {
    data: TempDir,
    providers: String,
    /// Whether its functions are pushed.
    is_pushed: bool,
    life: Option<Life>,
    lives: u64,
    pub time: ServerTime,
    orders: u64,
    pub tape: Tape,
}

/// One process.
struct Life {
    process: Process,
    orders: ChildStdin,
    reader: JoinHandle<()>,
    url: String,
}

impl Tape {
    fn new() -> Tape {
        Tape {
            events: Arc::default(),
            grown: watch::Sender::new(0),
        }
    }

    /// Adds what this process knows.
    pub fn push(&self, event: Event) {
        self.events.lock().push(event);
        self.grown.send_modify(|grown| *grown += 1);
    }

    /// Everything so far, leaving nothing.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock())
    }

    /// The result of `look` on the record.
    pub fn look<T>(&self, look: impl FnOnce(&[Event]) -> T) -> T {
        look(&self.events.lock())
    }

    /// Waits until `is_so`, at most for `limit`. Returns whether it is.
    pub async fn wait(&self, limit: Duration, is_so: impl Fn(&[Event]) -> bool) -> bool {
        let mut grown = self.grown.subscribe();
        let seen = grown.wait_for(|_| self.look(&is_so));
        matches!(tokio::time::timeout(limit, seen).await, Ok(Ok(_)))
    }
}

impl Server {
    /// Starts one on an empty file, without functions where they are to be pushed.
    pub async fn start(issuer: &Issuer, is_pushed: bool) -> anyhow::Result<Server> {
        let mut server = Server {
            data: tempfile::tempdir()?,
            providers: issuer.providers(),
            is_pushed,
            life: None,
            lives: 0,
            time: ServerTime::default(),
            orders: 0,
            tape: Tape::new(),
        };
        server.begin_life().await?;
        Ok(server)
    }

    async fn begin_life(&mut self) -> anyhow::Result<()> {
        let mut program = Program::new(env!("CARGO_BIN_EXE_gate-under-test"));
        program
            .env(variable::DATA, self.data.path().join("data"))
            .env(variable::PROVIDERS, &self.providers)
            .env(
                variable::AHEAD_MILLIS,
                self.time.skipped().as_millis().to_string(),
            )
            .env(
                variable::FIRST_SEAT,
                (self.lives * SEATS_PER_LIFE).to_string(),
            )
            .env("VESTIBULE_LOG", "off")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Provisioning functions panic as they are told.
            .stderr(Stdio::null());
        if self.is_pushed {
            program.env(variable::PUSHED, "");
        }
        self.lives += 1;
        let mut process = program.spawn().context("the server does not start")?;
        let lines = BufReader::new(process.stdout.take().context("its output is piped")?);
        let orders = process.stdin.take().context("its input is piped")?;
        let tape = self.tape.clone();
        let reader = std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                assert!(
                    !line.contains(TOKEN_BEGINNING),
                    "a token stands in the record: {line}"
                );
                // A kill may cut the last line short.
                if let Ok(event) = serde_json::from_str(&line) {
                    tape.push(event);
                }
            }
        });
        let mut life = Life {
            process,
            orders,
            reader,
            url: String::new(),
        };
        let listening = self
            .tape
            .wait(PATIENCE, |events| url(events).is_some())
            .await;
        ensure!(listening, "the server did not come up");
        life.url = self.tape.look(url).context("it has said where it is")?;
        self.life = Some(life);
        Ok(())
    }

    /// Kills it as a power cut would, and starts it again.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.end()?;
        // Said only now, when the last event of the killed one has been read.
        self.tape.events.lock().retain(|event| !is_listening(event));
        self.tape.push(remark(&Remark::Killed));
        self.begin_life().await
    }

    fn end(&mut self) -> anyhow::Result<()> {
        if let Some(mut life) = self.life.take() {
            // It may have ended by itself.
            let _ = life.process.kill();
            life.process.wait()?;
            let read = life.reader.join();
            ensure!(
                read.is_ok(),
                "the record could not be read, or held a token"
            );
        }
        Ok(())
    }

    /// Whether its process ended by itself.
    pub fn has_died(&mut self) -> bool {
        let life = self.life.as_mut();
        life.is_none_or(|life| !matches!(life.process.try_wait(), Ok(None)))
    }

    pub fn tell(&mut self, command: &Command) -> anyhow::Result<()> {
        let life = self.life.as_mut().context("the server is not running")?;
        let mut line = serde_json::to_string(command)?;
        line.push('\n');
        life.orders.write_all(line.as_bytes())?;
        Ok(())
    }

    /// Waits until every command sent to it has been done, and stands in the record.
    pub async fn obeyed(&mut self) -> anyhow::Result<()> {
        self.orders += 1;
        let obeyed = Remark::Obeyed { order: self.orders };
        self.tell(&Command::Note(obeyed.clone()))?;
        let is_there = |events: &[Event]| {
            let mut newest_first = events.iter().rev();
            newest_first.any(|event| remarked(event) == Some(obeyed.clone()))
        };
        let has_obeyed = self.tape.wait(PATIENCE, is_there).await;
        ensure!(has_obeyed, "the server does not obey");
        Ok(())
    }

    /// Lets time pass.
    pub fn advance(&mut self, time: Duration) -> anyhow::Result<()> {
        self.time.skip(time);
        let millis = u64::try_from(time.as_millis())?;
        self.tell(&Command::Advance { millis })
    }

    /// How often it was started.
    pub fn lives(&self) -> u64 {
        self.lives
    }

    /// A new key of an administrator.
    pub fn admin_key(&self) -> anyhow::Result<String> {
        let config = Config::for_tests(self.data.path().join("data"));
        let secret = DeploymentSecret::load_or_create(&config.data)?;
        let keys = AdminKeys::open(&config.name, &secret, &config.data)?;
        let key = keys.mint_with(AdminRights::All, SystemClock::new().now(), None)?;
        Ok(key.text.expose().to_string())
    }

    /// Its address for HTTP clients.
    pub fn url(&self) -> String {
        let life = self.life.as_ref();
        life.map_or_else(String::new, |life| life.url.clone())
    }

    /// Where a failing schedule's record is left.
    pub fn artifact(seed: u64) -> PathBuf {
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("schedule-{seed}.jsonl"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its data is gone with its directory.
        let _ = self.end();
    }
}

pub fn remark(remark: &Remark) -> Event {
    Event::Noted(serde_json::to_string(remark).expect("remarks are plain data"))
}

/// The remark in an event, if it has one.
pub fn remarked(event: &Event) -> Option<Remark> {
    match event {
        Event::Noted(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
}

fn is_listening(event: &Event) -> bool {
    matches!(remarked(event), Some(Remark::Listening { .. }))
}

fn url(events: &[Event]) -> Option<String> {
    events.iter().rev().find_map(|event| match remarked(event) {
        Some(Remark::Listening { url }) => Some(url),
        _ => None,
    })
}
