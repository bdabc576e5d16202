//! The server under load: a process of its own, so that what it uses is its own, or one that runs elsewhere.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use clap::Args;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use vestibule_server::auth::{AdminKeys, AdminRights, DeploymentSecret};
use vestibule_server::clock::{Clock, SystemClock};
use vestibule_server::prelude::*;

use crate::against::Against;
use crate::alternatives::RunningAlternative;
use crate::client::blocking;
use crate::functions::{self, Functions};
use crate::http::Address;
use crate::usage::{self, Used};

/// The server that a scenario loads.
pub struct Server {
    /// Where it is.
    pub address: Address,
    /// Its name in reports.
    pub subject: String,
    /// Whether it runs the app; an alternative does no more than transfers.
    pub has_app: bool,
    /// A key that may push to it and import, where it is ours.
    pub admin_key: Option<String>,
    started: Option<Started>,
}

/// A process of ours, and its files.
struct Started {
    process: Process,
    /// The worker processes, beside those it started itself.
    workers: Vec<u32>,
    _data: Option<TempDir>,
}

enum Process {
    /// This very program; it ends when its standard input does.
    Ours(Child),
    /// A shell that runs a server, and ends it when its standard input ends.
    Shell(Child),
    Alternative(RunningAlternative),
}

/// The flags of `serve`.
#[derive(Args, Debug)]
pub struct Serve {
    #[command(flatten)]
    config: Config,
    /// Stops when standard input ends, and says `listening PORT` when it is ready: for programs that start this one.
    #[arg(long, hide = true)]
    attached: bool,
    /// Leaves out what is pushed.
    #[arg(long, hide = true)]
    pushed: bool,
    /// Says `key KEY` first.
    #[arg(long, hide = true)]
    keyed: bool,
}

/// A key that may push to the deployment of these settings.
fn admin_key(name: &str, data: &std::path::Path) -> anyhow::Result<String> {
    let keys = AdminKeys::open(name, &DeploymentSecret::load_or_create(data)?, data)?;
    let key = keys.mint_with(AdminRights::All, SystemClock::new().now(), None)?;
    Ok(key.text.expose().to_owned())
}

/// Runs the app until it is asked to stop.
pub fn serve(serve: Serve) -> anyhow::Result<()> {
    log_to_stderr(serve.config.log_format);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().build()?.block_on(async {
        let functions = match serve.pushed {
            true => Functions::Ts,
            false => Functions::Rust,
        };
        let app = crate::app::app(functions);
        if !serve.attached {
            return Ok(app.serve(serve.config).await?);
        }
        let (name, data) = (serve.config.name.clone(), serve.config.data.clone());
        let running = app.start(serve.config).await?;
        if serve.keyed {
            println!("key {}", admin_key(&name, &data)?);
        }
        println!("listening {}", running.address().port());
        let parent = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        // However it ended, the parent is gone.
        let _ = parent.await;
        running.shut_down().await;
        Ok(())
    })
}

impl Server {
    /// Starts the app on a temporary directory. `auth_config` names the issuers whose tokens it takes.
    pub fn start(auth_config: Option<&str>, functions: Functions) -> anyhow::Result<Server> {
        let data = tempfile::Builder::new()
            .prefix("vestibule-load-")
            .tempdir()?;
        let mut command = Command::new(this_program()?);
        command
            .args(["serve", "--attached", "--keyed"])
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(data.path());
        command.args(auth_config.map(|config| format!("--auth-config={config}")));
        command.args((functions == Functions::Ts).then_some("--pushed"));
        command.env(
            "VESTIBULE_LOG",
            std::env::var("VESTIBULE_LOG").unwrap_or("warn".into()),
        );
        let server = Server::start_command(functions.subject(), command, Some(data))?;
        if functions == Functions::Ts {
            functions::push(&server.address.url, server.admin_key()?)?;
        }
        Ok(server)
    }

    /// Starts the server that ours is compared with, with this many accounts.
    pub fn start_against(against: Against, accounts: u32) -> anyhow::Result<Server> {
        let Some(alternative) = against.alternative() else {
            let mut command = Command::new(this_program()?);
            command.arg("serve-echo");
            let mut server = Server::start_command("echo", command, None)?;
            server.has_app = false;
            return Ok(server);
        };
        let running = alternative.start(accounts.into())?;
        let mut server = Server {
            address: Address::parse(&format!("http://127.0.0.1:{}", running.port()))?,
            subject: alternative.name().to_string(),
            has_app: false,
            admin_key: None,
            started: Some(Started {
                process: Process::Alternative(running),
                workers: Vec::new(),
                _data: None,
            }),
        };
        let stats = server.stats()?;
        let pids = stats["pids"].as_array().into_iter().flatten();
        if let Some(started) = &mut server.started {
            let pids = pids.filter_map(|pid| pid.as_u64()?.try_into().ok());
            started.workers = pids.collect();
        }
        Ok(server)
    }

    /// An alternative's own statistics.
    pub fn stats(&self) -> anyhow::Result<Json> {
        blocking::mutate(self.address.socket, "server:stats", &json!({}))
    }

    /// Starts a program that says `listening PORT` when it is ready, and ends when its standard input does.
    fn start_command(
        subject: &str,
        mut command: Command,
        data: Option<TempDir>,
    ) -> anyhow::Result<Server> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("{subject} does not start"))?;
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let mut admin_key = None;
        let port = loop {
            let Some(line) = lines.next().transpose()? else {
                bail!("{subject} ended before it was ready: {}", child.wait()?);
            };
            if let Some(key) = line.strip_prefix("key ") {
                admin_key = Some(key.trim().to_string());
            }
            if let Some(port) = line.strip_prefix("listening ") {
                break port.trim().to_string();
            }
        };
        // Keeps reading, so that it never meets a closed pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Server {
            address: Address::parse(&format!("http://127.0.0.1:{port}"))?,
            subject: subject.to_string(),
            has_app: true,
            admin_key,
            started: Some(Started {
                process: Process::Ours(child),
                workers: Vec::new(),
                _data: data,
            }),
        })
    }

    /// A server that a shell runs on this port, and its files.
    pub fn of_shell(
        subject: &str,
        port: u16,
        shell: Child,
        data: TempDir,
    ) -> anyhow::Result<Server> {
        Ok(Server {
            address: Address::parse(&format!("http://127.0.0.1:{port}"))?,
            subject: subject.to_string(),
            has_app: false,
            admin_key: None,
            started: Some(Started {
                process: Process::Shell(shell),
                workers: Vec::new(),
                _data: Some(data),
            }),
        })
    }

    /// No server: this program does the work itself, and its usage is the client's.
    pub fn none(subject: &str) -> anyhow::Result<Server> {
        Ok(Server {
            address: Address::parse("http://127.0.0.1:1")?,
            subject: subject.to_string(),
            has_app: false,
            admin_key: None,
            started: None,
        })
    }

    /// One that runs elsewhere, which has to be `load serve`.
    pub fn elsewhere(url: &str) -> anyhow::Result<Server> {
        let address = Address::parse(url)?;
        let nothing = json!({ "first": 0, "count": 0 });
        let total = address.call("query", "accounts:total", &nothing);
        total.with_context(|| {
            format!("{url} cannot be loaded; it has to be started with `load serve`")
        })?;
        Ok(Server {
            subject: address.url.clone(),
            address,
            has_app: true,
            admin_key: None,
            started: None,
        })
    }

    /// A key that may push to it and import.
    ///
    /// # Errors
    /// Where the server is not ours.
    pub fn admin_key(&self) -> anyhow::Result<&str> {
        let key = self.admin_key.as_deref();
        key.context("this takes an admin key, so it needs a server of its own: leave out --url")
    }

    /// The profile by which it was built, where it tells.
    pub fn profile(&self) -> String {
        let profile = self.address.call("query", "load:profile", &json!({}));
        let profile = profile
            .ok()
            .and_then(|told| Some(told.as_str()?.to_string()));
        profile.unwrap_or_else(|| "unknown".to_string())
    }

    /// Lets the peak of its memory count from now on.
    pub fn forget_peak(&self) {
        if let Some(Process::Ours(child)) = self.started.as_ref().map(|it| &it.process) {
            usage::forget_peak(child.id());
        }
    }

    /// The usage of its process until now, if it is ours.
    pub fn used(&self) -> anyhow::Result<Option<Used>> {
        let started = self.started.as_ref();
        started.map(Started::used).transpose()
    }
}

impl Started {
    fn used(&self) -> anyhow::Result<Used> {
        let root = match &self.process {
            Process::Ours(child) => return Used::by(child.id()),
            Process::Shell(child) => child.id(),
            Process::Alternative(running) => running.pid(),
        };
        let mut roots = self.workers.clone();
        roots.push(root);
        roots.sort_unstable();
        roots.dedup();
        Used::by_all(&roots)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(started) = &mut self.started else {
            return;
        };
        if let Process::Ours(child) | Process::Shell(child) = &mut started.process {
            // It ends by itself once no client can speak to it any more; its files go after it.
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// Where this very program is.
pub fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("this program does not know where it is")
}

/// Open files of a process beside its connections.
const OTHER_FILES: u64 = 100;

/// Asks the system for as many open files as it gives, and makes sure that they are enough: every connection is one.
pub fn raise_open_files(connections: usize) -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where that is refused, the present limit counts.
    let _ = setrlimit(Resource::Nofile, limit);
    let wanted = connections as u64 + OTHER_FILES;
    match getrlimit(Resource::Nofile).current {
        Some(most) if most < wanted => bail!(
            "{connections} connections need {wanted} open files, and the system allows a process {most} here: ask for \
             fewer, or have the limit raised (`ulimit -Hn` tells it)"
        ),
        _ => Ok(()),
    }
}
