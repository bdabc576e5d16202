//! Many clients at once, each with a thread of its own, for the time of a run.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Files;
use super::client::{Client, NotMoved};
use super::content::Content;
use crate::measure::{Latencies, Window};
use crate::run::Measured;

/// Where files go, or come from.
pub enum Mover {
    /// To an upload URL.
    Upload {
        /// The server.
        socket: SocketAddr,
        /// The URL's path and query.
        path: String,
    },
    /// From these paths, in turns.
    Download {
        /// The server.
        socket: SocketAddr,
        /// Where the files are.
        paths: Vec<String>,
    },
    /// Into a folder of this machine.
    Disk {
        /// Which.
        folder: PathBuf,
    },
}

/// The files of a run.
pub struct Moved {
    /// The measured time, and the files that ended in it.
    pub window: Window,
    /// How long each of them took.
    pub latencies: Latencies,
    /// Bytes that went in the measured time, also of files that did not end in it.
    pub bytes: u64,
    /// The last upload of each client, by its id.
    pub last: Vec<String>,
    /// Files that did not arrive, by what went wrong.
    pub errors: BTreeMap<String, u64>,
}

/// The state that the clients share.
struct Shared<'r> {
    flags: &'r Files,
    mover: &'r Mover,
    content: &'r Content,
    bytes: AtomicU64,
    /// No further file begins, and slow ones break off.
    is_over: AtomicBool,
}

/// The files of one client.
#[derive(Default)]
struct Tally {
    ended: Vec<(Instant, Duration)>,
    last: Option<String>,
    errors: BTreeMap<String, u64>,
}

/// A client needs no more: its buffers are on the heap.
const STACK_BYTES: usize = 256 << 10;
/// Failures after which a client gives up.
const FAILURES_MAX: u64 = 100;

/// Moves files for the time of the run.
pub fn run(
    flags: &Files,
    mover: &Mover,
    content: &Content,
    measured: &mut Measured<'_>,
) -> anyhow::Result<Moved> {
    let shared = Shared {
        flags,
        mover,
        content,
        bytes: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    };
    let window = Window::new(Instant::now() + flags.times.warm_up(), flags.times.length());
    std::thread::scope(|scope| {
        let mut clients = Vec::new();
        for number in 0..flags.clients {
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
            let shared = &shared;
            clients.push(thread.spawn_scoped(scope, move || shared.client(number))?);
        }
        let bytes_before = wait_for(window.start, &shared, measured);
        let bytes = wait_for(window.end, &shared, measured) - bytes_before;
        shared.is_over.store(true, Ordering::Relaxed);
        let tallies = clients.into_iter().map(|client| client.join());
        let tallies = tallies.map(|tally| tally.expect("no client panics"));
        Ok(Moved::of(window, bytes, tallies))
    })
}

/// Waits for a border of the measured time, and tells the bytes moved until then.
fn wait_for(border: Instant, shared: &Shared<'_>, measured: &mut Measured<'_>) -> u64 {
    std::thread::sleep(border.saturating_duration_since(Instant::now()));
    measured.border();
    shared.bytes.load(Ordering::Relaxed)
}

impl Moved {
    fn of(window: Window, bytes: u64, tallies: impl Iterator<Item = Tally>) -> Moved {
        let mut moved = Moved {
            window,
            latencies: Latencies::default(),
            bytes,
            last: Vec::new(),
            errors: BTreeMap::new(),
        };
        for tally in tallies {
            for (at, took) in tally.ended {
                if moved.window.add(at, 1) {
                    moved.latencies.add(took);
                }
            }
            moved.last.extend(tally.last);
            for (kind, count) in tally.errors {
                *moved.errors.entry(kind).or_default() += count;
            }
        }
        moved
    }
}

impl Shared<'_> {
    /// Moves one file after the other until the run is over, and one at least.
    fn client(&self, number: usize) -> Tally {
        let mut tally = Tally::default();
        let mut connection = None;
        let mut failures = 0;
        let mut round = number;
        loop {
            let start = Instant::now();
            match self.file(&mut connection, number, round) {
                Ok(id) => {
                    let now = Instant::now();
                    tally.ended.push((now, now - start));
                    tally.last = id.or(tally.last);
                }
                Err(NotMoved::Over) => break,
                Err(error) => {
                    *tally.errors.entry(error.kind()).or_default() += 1;
                    failures += 1;
                    // Half an answer may be under way.
                    connection = None;
                }
            }
            round += 1;
            if self.is_over.load(Ordering::Relaxed) || failures == FAILURES_MAX {
                break;
            }
        }
        tally
    }

    /// Moves one file, and tells its id where it has one.
    fn file(
        &self,
        connection: &mut Option<Client>,
        number: usize,
        round: usize,
    ) -> Result<Option<String>, NotMoved> {
        let goes_on = |bytes: u64| {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
            // Without slow clients, a file that has begun is soon there.
            self.flags.slow.is_none() || !self.is_over.load(Ordering::Relaxed)
        };
        let (socket, path) = match self.mover {
            Mover::Disk { folder } => {
                write_sync_rename(folder, number, round, self.content)?;
                goes_on(self.content.bytes);
                return Ok(None);
            }
            Mover::Upload { socket, path } => (socket, path),
            Mover::Download { socket, paths } => (socket, &paths[round % paths.len()]),
        };
        let client = match connection {
            Some(client) => client,
            none => none.insert(Client::connect(*socket, self.flags.slow)?),
        };
        match self.mover {
            Mover::Download { .. } => client.download(path, self.content, &goes_on)?,
            _ => return Ok(Some(client.upload(path, self.content, &goes_on)?)),
        }
        Ok(None)
    }
}

/// The least that an upload has to do to be durable, and whole or not there.
fn write_sync_rename(
    folder: &Path,
    client: usize,
    round: usize,
    content: &Content,
) -> std::io::Result<()> {
    // Writers of one folder would wait for each other.
    let own = folder.join(client.to_string());
    std::fs::create_dir_all(&own)?;
    let unfinished = own.join(format!("{round}.part"));
    content.write_to(&unfinished)?.sync_all()?;
    std::fs::rename(&unfinished, own.join(round.to_string()))
}
