//! The server under load: a process of its own, so that what it uses is its own, or one that runs elsewhere.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use clap::Args;
use tempfile::TempDir;
use vestibule_server::prelude::*;

use crate::http::Address;
use crate::usage::Used;

/// The server that a scenario loads.
pub struct Server {
    /// Where it is.
    pub address: Address,
    /// What it is called in reports.
    pub subject: String,
    started: Option<Started>,
}

/// A process of ours, and its files.
struct Started {
    child: Child,
    _data: Option<TempDir>,
}

/// The flags of the process that serves. It ends when its standard input does.
#[derive(Args, Debug)]
pub struct Serve {
    #[command(flatten)]
    config: Config,
}

/// Runs the app until standard input ends.
pub fn serve(serve: Serve) -> anyhow::Result<()> {
    raise_open_files();
    log_to_stderr(serve.config.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let running = crate::app::app().start(serve.config).await?;
        println!("listening {}", running.address().port());
        let parent = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        // However it ended, nobody is there any more.
        let _ = parent.await;
        running.shut_down().await;
        Ok(())
    })
}

impl Server {
    /// Starts the app on a temporary directory. `auth_config` says whose tokens it takes.
    pub fn start(auth_config: Option<&str>) -> anyhow::Result<Server> {
        let data = tempfile::Builder::new()
            .prefix("vestibule-load-")
            .tempdir()?;
        let mut command = Command::new(program()?);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path());
        command.args(auth_config.map(|config| format!("--auth-config={config}")));
        command.env(
            "VESTIBULE_LOG",
            std::env::var("VESTIBULE_LOG").unwrap_or("warn".into()),
        );
        Server::start_command("vestibule", command, Some(data))
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
        let port = loop {
            let Some(line) = lines.next().transpose()? else {
                bail!("{subject} ended before it was ready: {}", child.wait()?);
            };
            if let Some(port) = line.strip_prefix("listening ") {
                break port.trim().to_string();
            }
        };
        // Keeps reading, so that it never meets a closed pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Server {
            address: Address::parse(&format!("http://127.0.0.1:{port}"))?,
            subject: subject.to_string(),
            started: Some(Started { child, _data: data }),
        })
    }

    /// One that runs elsewhere.
    pub fn elsewhere(address: Address) -> Server {
        Server {
            subject: address.url.clone(),
            address,
            started: None,
        }
    }

    /// What its process has used until now, if it is ours.
    pub fn used(&self) -> anyhow::Result<Option<Used>> {
        let started = self.started.as_ref();
        started
            .map(|started| Used::by(started.child.id()))
            .transpose()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(started) = &mut self.started {
            // It ends by itself once nobody can speak to it any more; its files go after it.
            drop(started.child.stdin.take());
            let _ = started.child.wait();
        }
    }
}

/// This very program, or what a test names in its place.
fn program() -> anyhow::Result<PathBuf> {
    match std::env::var_os("VESTIBULE_LOAD_PROGRAM") {
        Some(program) => Ok(program.into()),
        None => std::env::current_exe().context("this program does not know where it is"),
    }
}

/// Asks the system for as many open files as it gives: every connection is one.
pub fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is refused, whoever needs more files is told so when they run out.
    let _ = setrlimit(Resource::Nofile, limit);
}
