//! Files of one size, sent to upload URLs or read back by many clients at once. The alternatives are a program that writes, syncs and
//! renames the same bytes, and nginx. With `--slow` they trickle, and the server's memory is what to look at.

mod client;
mod content;
mod moving;
mod nginx;

use clap::{Args, ValueEnum};
use serde_json::json;
use tempfile::TempDir;

use crate::arguments::{Times, bytes, some};
use crate::functions::Functions;
use crate::memory::Memory;
use crate::report::{Check, Figure, Run};
use crate::run::{Measured, settings};
use crate::server::Server;
use client::Client;
use content::Content;
use moving::{Moved, Mover};

/// The flags of `files`.
#[derive(Args, Clone, Debug)]
pub struct Files {
    /// The way files go.
    #[arg(long, value_enum, default_value_t = What::Upload)]
    pub what: What,
    /// The size of each.
    #[arg(long, default_value = "1MiB", value_name = "BYTES", value_parser = bytes)]
    pub bytes: u64,
    /// Clients, each with one file at a time.
    #[arg(long, default_value = "16", value_name = "NUMBER", value_parser = some)]
    pub clients: usize,
    /// Each client sends or reads no faster than this many bytes a second.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub slow: Option<u64>,
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

/// The way files go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// To the server.
    Upload,
    /// From the server.
    Download,
}

/// The programs that move the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Against {
    /// Writes each file under another name, syncs it and renames it: what every upload has to do. It is a part of load.
    WriteSyncRename,
    /// Serves the files of a folder. For downloads.
    Nginx,
}

impl Against {
    fn what(self) -> What {
        match self {
            Against::WriteSyncRename => What::Upload,
            Against::Nginx => What::Download,
        }
    }
}

/// Different files that are downloaded, at most: enough that no single one is a special case.
const DISTINCT_MAX: usize = 16;
/// The bytes of all of them together, at most.
const DISTINCT_BYTES_MAX: u64 = 64 << 20;

/// Runs it against an alternative, each time on servers of their own.
pub fn run_pairs(
    flags: &Files,
    against: Against,
    functions: Functions,
) -> anyhow::Result<Vec<Run>> {
    if against.what() != flags.what {
        anyhow::bail!("write-sync-rename is for --what upload, and nginx for --what download");
    }
    let mut runs = Vec::new();
    for pair in 1..=flags.pairs {
        for ours in [true, false] {
            let mut run = match (ours, against) {
                (true, _) => run(flags, &Server::start(None, functions)?)?,
                (false, Against::WriteSyncRename) => write_sync_rename(flags)?,
                (false, Against::Nginx) => from_nginx(flags)?,
            };
            run.pair = pair;
            eprintln!("pair {pair}: {}, {:.0} files/s", run.subject, run.rate);
            runs.push(run);
        }
    }
    Ok(runs)
}

/// Runs it.
pub fn run(flags: &Files, server: &Server) -> anyhow::Result<Run> {
    let content = Content::new(flags.bytes, flags.times.seed);
    match flags.what {
        What::Upload => {
            let url = server
                .address
                .call("mutation", "files:uploadUrl", &json!({}))?;
            let path = path_of(&url)?;
            let socket = server.address.socket;
            let run = measured(flags, server, Mover::Upload { socket, path }, &content);
            let (mut run, moved) = run?;
            run.checks.push(read_back(server, &moved, &content)?);
            Ok(run)
        }
        What::Download => {
            let paths = upload_some(flags, server, &content)?;
            let socket = server.address.socket;
            let (run, _) = measured(flags, server, Mover::Download { socket, paths }, &content)?;
            Ok(run)
        }
    }
}

fn write_sync_rename(flags: &Files) -> anyhow::Result<Run> {
    let folder = TempDir::with_prefix("vestibule-load-")?;
    let server = Server::none("write-sync-rename")?;
    let content = Content::new(flags.bytes, flags.times.seed);
    let mover = Mover::Disk {
        folder: folder.path().to_owned(),
    };
    Ok(measured(flags, &server, mover, &content)?.0)
}

fn from_nginx(flags: &Files) -> anyhow::Result<Run> {
    let content = Content::new(flags.bytes, flags.times.seed);
    let folder = TempDir::with_prefix("vestibule-load-")?;
    let names = (0..distinct(flags)).map(|number| format!("file-{number}"));
    let names: Vec<String> = names.collect();
    for name in &names {
        content.write_to(&folder.path().join(name))?;
    }
    let server = nginx::start(folder)?;
    let mover = Mover::Download {
        socket: server.address.socket,
        paths: names.iter().map(|name| format!("/{name}")).collect(),
    };
    Ok(measured(flags, &server, mover, &content)?.0)
}

/// Moves files for the time of the run, and tells what was seen.
fn measured(
    flags: &Files,
    server: &Server,
    mover: Mover,
    content: &Content,
) -> anyhow::Result<(Run, Moved)> {
    let memory = Memory::before(server)?;
    let mut measured = Measured::of(server);
    let mut moved = moving::run(flags, &mover, content, &mut measured)?;
    let mut run = measured.run("files", "files", &moved.window)?;
    run.settings = settings([
        ("what", format!("{:?}", flags.what).to_lowercase()),
        ("bytes", flags.bytes.to_string()),
        ("clients", flags.clients.to_string()),
    ]);
    if let Some(slow) = flags.slow {
        run.settings.insert("slow".into(), slow.to_string());
    }
    // Of slow files perhaps none ends in time.
    if moved.latencies.count() > 0 {
        run.latencies.push(moved.latencies.told("whole file"));
    }
    let mib = moved.bytes as f64 / f64::from(1 << 20) / moved.window.seconds();
    run.figures.push(Figure::new("content", mib, "MiB/s"));
    run.figures.extend(memory.figures(server)?);
    run.errors = std::mem::take(&mut moved.errors);
    Ok((run, moved))
}

fn distinct(flags: &Files) -> usize {
    let fit = usize::try_from(DISTINCT_BYTES_MAX / flags.bytes).unwrap_or(usize::MAX);
    fit.min(flags.clients).clamp(1, DISTINCT_MAX)
}

/// Stores the files to be downloaded, and tells where they are.
fn upload_some(flags: &Files, server: &Server, content: &Content) -> anyhow::Result<Vec<String>> {
    let url = server
        .address
        .call("mutation", "files:uploadUrl", &json!({}))?;
    let upload = path_of(&url)?;
    let mut client = Client::connect(server.address.socket, None)?;
    let mut paths = Vec::new();
    for _ in 0..distinct(flags) {
        let id = client.upload(&upload, content, &|_| true)?;
        paths.push(path_of_file(server, &id)?);
    }
    Ok(paths)
}

fn path_of_file(server: &Server, id: &str) -> anyhow::Result<String> {
    let url = server
        .address
        .call("query", "files:url", &json!({ "id": id }))?;
    path_of(&url)
}

/// The path of a URL and its query: the origin may be a public one that this program does not reach.
fn path_of(url: &serde_json::Value) -> anyhow::Result<String> {
    let rest = url.as_str().and_then(|url| url.split_once("://"));
    let path = rest.and_then(|(_, rest)| rest.find('/').map(|slash| rest[slash..].to_string()));
    path.ok_or_else(|| anyhow::anyhow!("{url} is no address of a file"))
}

/// Whether the last file of each client is there as it was sent.
fn read_back(server: &Server, moved: &Moved, content: &Content) -> anyhow::Result<Check> {
    let mut client = Client::connect(server.address.socket, None)?;
    let mut right = 0;
    for id in &moved.last {
        let path = path_of_file(server, id)?;
        right += usize::from(client.download(&path, content, &|_| true).is_ok());
    }
    Ok(Check {
        what: "The last file of each client is read back as it was sent.".into(),
        holds: right == moved.last.len(),
        seen: format!("{right} of {}", moved.last.len()),
    })
}
