//! Actions in modules with "use node": they run in processes of Node.js, which this room starts and ends.
//!
//! Entry points: [`call::run`] for a call, `analysis` for a push. The operations of an action on the server are those of
//! actions in the engine (`action_calls.rs`). Whatever is pushed here is code of the deployer's that runs as the server's
//! user, so each process gets an empty environment, and permissions for its own modules alone (`program.rs`).

mod analysis;
pub(super) mod call;
pub mod code;
mod folder;
mod frames;
mod launch;
mod lease;
mod outgoing;
mod packages;
mod pool;
mod process;
mod program;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Mutex as AsyncMutex, Notify, OnceCell};
use tokio_util::sync::CancellationToken;

pub(super) use self::analysis::FoundInNode;
use self::code::{CodeKey, CodeParts, NodeCode};
use self::folder::{RunFolder, true_path};
use self::process::{Ending, Process};
use self::program::Program;
use super::action::TROUBLE;
use super::{Js, failures};
use crate::clock::{Clock, timeout};
use crate::deployment::{Deployment, ModuleEnvironment, SourceModule};
use crate::functions::error::Error;
use crate::functions::options::{JsOptions, NodeOptions, NodeProgram};
use crate::outbound::Outbound;

/// Processes of all codes together. Those of earlier pushes stay until their calls end.
const PROCESSES_MAX: usize = 16;
/// Time in which an idle process ends when another needs its room.
const FREEING_TIME_MAX: Duration = Duration::from_secs(5);
/// The pause after a look for Node.js that found none. A busy machine may have hidden it.
const LOOK_PAUSE: Duration = Duration::from_secs(30);
/// Memory that a process has beside what its calls use.
const OWN_BYTES: u64 = 128 << 20;

/// What is there to run actions in Node.js.
pub struct Node {
    options: NodeOptions,
    clock: Arc<dyn Clock>,
    outbound: Arc<Outbound>,
    ending: CancellationToken,
    /// Time that an action may keep its process busy.
    step_max: Duration,
    run: Arc<RunFolder>,
    scripts: OnceCell<PathBuf>,
    program: OnceCell<Program>,
    refused: Mutex<Option<Refused>>,
    codes: Mutex<HashMap<CodeKey, Weak<NodeCode>>>,
    rooms: Arc<Rooms>,
    installing: AsyncMutex<()>,
    counts: Counts,
}

/// Why no program was found, and until when nobody looks again, on the clock's own count.
struct Refused {
    why: String,
    until: Duration,
}

/// Room for one process, until it is dropped.
pub struct Room(Arc<Rooms>);

#[derive(Default)]
struct Rooms {
    taken: AtomicUsize,
    freed: Notify,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
        self.0.freed.notify_waiters();
    }
}

/// Processes since the start.
#[derive(Default)]
struct Counts {
    started: AtomicU64,
    broke: AtomicU64,
}

impl Counts {
    fn started(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    fn broke(&self) {
        self.broke.fetch_add(1, Ordering::Relaxed);
    }
}

/// Figures for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCounts {
    /// Processes that are there.
    pub processes: usize,
    /// Calls in them.
    pub calls: usize,
    /// Memory that they have by their own account.
    pub resident_bytes: u64,
    /// Processes that were started.
    pub started: u64,
    /// Processes that ended before their time.
    pub broke: u64,
}

impl Node {
    /// What `options` allow. It removes what an earlier server left, and starts nothing.
    pub(super) fn new(
        options: &JsOptions,
        outbound: Arc<Outbound>,
        clock: Arc<dyn Clock>,
        ending: CancellationToken,
    ) -> Arc<Node> {
        let step_max = options.action_step_max;
        let options = NodeOptions {
            folder: true_path(&options.node.folder),
            ..options.node.clone()
        };
        let run = RunFolder::below(&options.folder);
        run.sweep();
        Arc::new(Node {
            clock,
            outbound,
            ending,
            step_max,
            run: Arc::new(run),
            scripts: OnceCell::new(),
            program: OnceCell::new(),
            refused: Mutex::default(),
            codes: Mutex::default(),
            rooms: Arc::default(),
            installing: AsyncMutex::default(),
            counts: Counts::default(),
            options,
        })
    }

    /// The program, or a sentence on why there is none. One that was found is there for good.
    async fn program(&self) -> Result<&Program, String> {
        self.program.get_or_try_init(|| self.look()).await
    }

    /// Looks for the program, unless it was looked for in vain just now.
    async fn look(&self) -> Result<Program, String> {
        let now = self.clock.elapsed();
        let known = self
            .refused
            .lock()
            .as_ref()
            .map(|it| (it.why.clone(), it.until));
        let known = match known {
            Some((why, until)) if now < until => return Err(why),
            known => known.map(|(why, _)| why),
        };
        let found = program::find(&self.options, &*self.clock).await;
        let found = found.map_err(|why| program::refusal(&why));
        match &found {
            Ok(Program { path, version }) => {
                let program = path.display();
                tracing::info!(%program, %version, "actions with \"use node\" run in Node.js");
            }
            Err(why) => {
                if known.as_ref() != Some(why) {
                    tracing::info!(why, "there is no Node.js for actions with \"use node\"");
                }
                let until = self.clock.elapsed() + LOOK_PAUSE;
                *self.refused.lock() = Some(Refused {
                    why: why.clone(),
                    until,
                });
            }
        }
        found
    }

    /// Why there is no program, if that is known.
    pub(super) fn known_refusal(&self) -> Option<String> {
        if self.options.program == NodeProgram::Off {
            return Some(program::refusal(program::OFF));
        }
        if self.program.get().is_some() {
            return None;
        }
        self.refused.lock().as_ref().map(|it| it.why.clone())
    }

    /// Most memory of a process. Its heap has a bound of its own, which buffers beside it share again.
    fn resident_bytes_max(&self) -> u64 {
        2 * self.options.memory_max as u64 + OWN_BYTES
    }

    /// The folder of the scripts, which are written once.
    async fn scripts(&self) -> io::Result<PathBuf> {
        let run = self.run.clone();
        let write = || async move {
            let written = tokio::task::spawn_blocking(move || run.write_scripts()).await;
            written.map_err(io::Error::other)?
        };
        self.scripts.get_or_try_init(write).await.cloned()
    }

    /// The code that is made of `parts`. Equal parts make one code.
    fn code(&self, parts: CodeParts) -> Arc<NodeCode> {
        let key = parts.key();
        let mut codes = self.codes.lock();
        if let Some(code) = codes.get(&key).and_then(Weak::upgrade) {
            return code;
        }
        codes.retain(|_, code| code.strong_count() > 0);
        let code = Arc::new(NodeCode::new(parts, self.run.clone()));
        codes.insert(key, Arc::downgrade(&code));
        code
    }

    /// Room for another process, if there is any.
    fn room(&self) -> Option<Room> {
        let take = |count| (count < PROCESSES_MAX).then_some(count + 1);
        let taken = &self.rooms.taken;
        let taken = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.ok().map(|_| Room(self.rooms.clone()))
    }

    /// As [`room`](Node::room); where there is none, an idle process ends and makes room.
    async fn room_for_another(&self) -> Option<Room> {
        loop {
            let freed = self.rooms.freed.notified();
            if let Some(room) = self.room() {
                return Some(room);
            }
            self.longest_idle()?.close();
            timeout(&*self.clock, FREEING_TIME_MAX, freed).await?;
        }
    }

    /// The process that has been idle for longest; one whose code no deployment has, before all others.
    fn longest_idle(&self) -> Option<Arc<Process>> {
        let codes = self.codes();
        let idle = codes.iter().flat_map(|code| {
            let idle = code.pool.idle().into_iter();
            idle.map(|(since, process)| ((!code.is_unused(), since), process))
        });
        idle.min_by_key(|(order, _)| *order)
            .map(|(_, process)| process)
    }

    /// The codes that there are.
    fn codes(&self) -> Vec<Arc<NodeCode>> {
        let codes = self.codes.lock();
        codes.values().filter_map(Weak::upgrade).collect()
    }

    /// For each address that `host` has, why a connection to it is refused.
    fn judge(&self, host: &str, port: u16, addresses: &[String]) -> Vec<Option<String>> {
        let judge = |address: &String| match address.parse() {
            Ok(address) => {
                let refusal = self.outbound.refusal(host, port, address);
                refusal.map(|refusal| refusal.to_string())
            }
            Err(_) => Some(format!("{address:?} is not an address")),
        };
        addresses.iter().map(judge).collect()
    }

    /// The error of a call whose process has ended so.
    fn lost(&self, ending: &Ending) -> Error {
        match ending {
            Ending::Done => Error::plain(TROUBLE),
            Ending::Hung => failures::step_too_long(self.step_max),
            Ending::OutOfMemory => failures::out_of_memory(self.options.memory_max >> 20),
            Ending::Broke(status) => failures::broken(format!(
                "The Node.js process of this action ended before its time ({status})."
            )),
        }
    }

    /// Figures for metrics.
    fn counts(&self) -> NodeCounts {
        let codes = self.codes();
        let mut counts = NodeCounts {
            started: self.counts.started.load(Ordering::Relaxed),
            broke: self.counts.broke.load(Ordering::Relaxed),
            ..NodeCounts::default()
        };
        let mut add = |process: &Process| {
            counts.processes += 1;
            counts.calls += process.calls();
            counts.resident_bytes += process.resident_bytes();
        };
        codes.iter().for_each(|code| code.pool.each(&mut add));
        counts
    }
}

fn for_node(module: &&SourceModule) -> bool {
    module.environment == ModuleEnvironment::Node
}

impl Js {
    /// The code of `deployment` for Node.js; none when it has none. The caller retires it.
    pub fn node_code(
        &self,
        deployment: &Deployment,
        sources: &[SourceModule],
        variables: &BTreeMap<String, String>,
    ) -> Option<Arc<NodeCode>> {
        let modules: Vec<SourceModule> = sources.iter().filter(for_node).cloned().collect();
        if modules.is_empty() {
            return None;
        }
        let code = self.node.code(CodeParts {
            modules,
            variables: variables.clone(),
            packages: deployment.node_dependencies.clone(),
        });
        code.keep();
        Some(code)
    }

    /// Looks for Node.js, for a deployment that needs it.
    pub(super) fn look_for_node(&self) {
        let node = self.node.clone();
        if let Ok(handle) = Handle::try_current() {
            handle.spawn(async move { node.program().await.is_ok() });
        }
    }

    /// Why actions with "use node" cannot run, if it is known that they cannot.
    pub fn node_refusal(&self) -> Option<String> {
        self.node.known_refusal()
    }

    /// Figures of the processes of Node.js.
    pub fn node_counts(&self) -> NodeCounts {
        self.node.counts()
    }
}
