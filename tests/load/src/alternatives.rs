//! The servers that transfers are compared with, started from `alternatives/`: Node with SQLite and Node with PostgreSQL.
//! They install their packages from npm the first time; their errors name the other programs they need (Node,
//! PostgreSQL).

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::str::FromStr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a server may take until it listens: making a cluster and a hundred thousand accounts is a matter of seconds.
const START_MAX: Duration = Duration::from_secs(120);
/// How long it may take to put its directory away before it is killed.
const END_MAX: Duration = Duration::from_secs(20);
/// How many of its last lines on stderr an error tells.
const STDERR_LINES_MAX: usize = 40;
/// The versions that installed the packages, kept beside them: the packages are installed anew when these differ.
const STAMP: &str = "node_modules/.installed-for";

/// A server of the kind people write by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alternative {
    /// One Node process with `ws` and `better-sqlite3`: WAL, synchronous=FULL, one transaction a transfer.
    NodeSqlite,
    /// Node with `ws` and a pool of connections to its own PostgreSQL at SERIALIZABLE isolation.
    Postgres,
}

/// Why an alternative does not run.
#[derive(Debug, thiserror::Error)]
pub enum AlternativeError {
    /// The name is of none of them.
    #[error("there is no alternative {0}: take node-sqlite or postgres")]
    Unknown(String),
    /// The folder with its program is not where this program was built.
    #[error("{0} is missing: run the load program from a clone of the repository")]
    NoSource(PathBuf),
    /// Node or npm cannot be run.
    #[error(
        "{program} cannot be run ({source}): Node 20 or newer with npm is needed, see https://nodejs.org"
    )]
    NoNode {
        /// `node` or `npm`.
        program: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// Its packages could not be installed.
    #[error("{step} failed in {}:\n{said}", folder.display())]
    Install {
        /// The command.
        step: String,
        /// Where it ran.
        folder: PathBuf,
        /// Its output.
        said: String,
    },
    /// It ended, or said something else, instead of listening.
    #[error("{name} does not start:\n{said}")]
    Start {
        /// Which one.
        name: &'static str,
        /// Its last output.
        said: String,
    },
    /// It did not listen in time.
    #[error("{name} did not listen within {} s:\n{said}", START_MAX.as_secs())]
    Late {
        /// Which one.
        name: &'static str,
        /// Its last output.
        said: String,
    },
    /// A file or process could not be handled.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Alternative {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::NodeSqlite, Self::Postgres];

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::NodeSqlite => "node-sqlite",
            Self::Postgres => "postgres",
        }
    }

    fn folder(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("alternatives")
            .join(self.name())
    }

    /// Installs its packages when they are missing or are of another lock file or Node. Blocks for a minute or two where
    /// SQLite has to be compiled.
    ///
    /// # Errors
    /// When Node or npm is missing or an installation fails.
    pub fn install(self) -> Result<(), AlternativeError> {
        let folder = self.folder();
        let lock_file = folder.join("package-lock.json");
        if !lock_file.exists() {
            return Err(AlternativeError::NoSource(folder));
        }
        // Held until this returns, so that two programs do not install into one folder.
        let lock = File::open(&lock_file)?;
        lock.lock()?;
        let wanted = node_version()? + "\n" + &fs::read_to_string(&lock_file)?;
        let stamp = folder.join(STAMP);
        if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(());
        }
        npm(&folder, &["ci", "--no-audit", "--no-fund"])?;
        npm(&folder, &["run", "--if-present", "build"])?;
        fs::write(&stamp, wanted)?;
        Ok(())
    }

    /// Installs it if need be and starts it with so many accounts, numbered from 0, in a new temporary directory (below
    /// `TMPDIR`). Blocks until it listens.
    ///
    /// # Errors
    /// When something it needs is missing or it does not listen in time; the message says what to do.
    pub fn start(self, accounts: u64) -> Result<RunningAlternative, AlternativeError> {
        self.install()?;
        let child = Command::new("node")
            .args(["server.mjs", "--port", "0", "--accounts"])
            .arg(accounts.to_string())
            .current_dir(self.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| AlternativeError::NoNode {
                program: "node",
                source,
            })?;
        RunningAlternative::once_listening(self, child)
    }
}

impl FromStr for Alternative {
    type Err = AlternativeError;

    fn from_str(name: &str) -> Result<Self, AlternativeError> {
        let found = Self::ALL
            .into_iter()
            .find(|alternative| alternative.name() == name);
        found.ok_or_else(|| AlternativeError::Unknown(name.to_owned()))
    }
}

/// A running alternative. Dropping it closes its stdin and waits until it has put everything away; this may block for
/// some seconds.
#[derive(Debug)]
pub struct RunningAlternative {
    port: u16,
    child: Child,
    /// Open as long as the server is to run.
    stdin: Option<ChildStdin>,
    /// Tells its first line, and its end.
    stdout: Receiver<String>,
}

impl RunningAlternative {
    /// Takes over a child; after any later error, dropping this ends the child.
    fn once_listening(
        alternative: Alternative,
        mut child: Child,
    ) -> Result<Self, AlternativeError> {
        let stdin = child.stdin.take();
        let stdout = first_line(child.stdout.take());
        let said = LastLines::of(child.stderr.take());
        let mut running = Self {
            port: 0,
            child,
            stdin,
            stdout,
        };
        let name = alternative.name();
        match running.stdout.recv_timeout(START_MAX) {
            Ok(line) => match line.strip_prefix("listening ").map(str::parse) {
                Some(Ok(port)) => {
                    running.port = port;
                    Ok(running)
                }
                _ => {
                    let said = line + "\n" + &said.text();
                    Err(AlternativeError::Start { name, said })
                }
            },
            Err(RecvTimeoutError::Disconnected) => {
                running.end();
                let said = said.text();
                Err(AlternativeError::Start { name, said })
            }
            Err(RecvTimeoutError::Timeout) => {
                let said = said.text();
                Err(AlternativeError::Late { name, said })
            }
        }
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it speaks the sync protocol.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/api/sync", self.port)
    }

    /// The Node process; `server:stats` names all processes that count.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn end(&mut self) {
        self.stdin.take();
        if self.stdout.recv_timeout(END_MAX) == Err(RecvTimeoutError::Timeout) {
            // Its directory stays behind, for a person who looks into why it did not end.
            let _ = self.child.kill();
        }
        // It cannot fail: no other code waits for this child.
        let _ = self.child.wait();
    }
}

impl Drop for RunningAlternative {
    fn drop(&mut self) {
        self.end();
    }
}

fn node_version() -> Result<String, AlternativeError> {
    let node = run("node", Command::new("node").arg("--version"))?;
    Ok(String::from_utf8_lossy(&node.stdout).trim().to_owned())
}

fn npm(folder: &Path, args: &[&str]) -> Result<(), AlternativeError> {
    let npm = run("npm", Command::new("npm").args(args).current_dir(folder))?;
    if npm.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&npm.stderr);
    let lines: Vec<&str> = stderr.lines().collect();
    let last = lines.len().saturating_sub(STDERR_LINES_MAX);
    Err(AlternativeError::Install {
        step: format!("npm {}", args.join(" ")),
        folder: folder.to_owned(),
        said: lines[last..].join("\n"),
    })
}

fn run(program: &'static str, command: &mut Command) -> Result<Output, AlternativeError> {
    let output = command.stdin(Stdio::null()).output();
    output.map_err(|source| AlternativeError::NoNode { program, source })
}

/// The first line; the channel disconnects when the process ends. The rest is read and forgotten, so that the pipe never fills.
fn first_line(stdout: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut lines = stdout.into_iter().flat_map(lines_of);
        if let Some(line) = lines.next() {
            // The receiver is gone when starting took too long.
            let _ = sender.send(line);
        }
        lines.for_each(drop);
        drop(sender);
    });
    receiver
}

fn lines_of(pipe: impl Read) -> impl Iterator<Item = String> {
    BufReader::new(pipe).lines().map_while(Result::ok)
}

/// The last lines of a process's output, read by a thread that ends with it.
struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&lines);
        thread::spawn(move || {
            for line in pipe.into_iter().flat_map(lines_of) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() == STDERR_LINES_MAX {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
        });
        Self(lines)
    }

    fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Vec::from(lines.clone()).join("\n")
    }
}
