//! The bounds of pushed functions that operators set.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::executor::{Executor, SystemExecutor};
use crate::outbound::OutboundOptions;

/// Bounds of actions, and of JavaScript functions.
#[derive(Clone)]
pub struct JsOptions {
    /// Time in the engine that a query may take.
    pub query_time_max: Duration,
    /// Time in the engine that a mutation may take.
    pub mutation_time_max: Duration,
    /// Time in the engine that the gate's run of a provisioning function may take: nobody waits for a longer one.
    pub provisioning_time_max: Duration,
    /// Time that an action may take in either language, its waits included.
    pub action_time_max: Duration,
    /// Time in the engine that an action may take between two waits.
    pub action_step_max: Duration,
    /// Actions that run at once; others wait.
    pub actions_max: usize,
    /// Memory of the actions in JavaScript that run, in bytes; others wait. An action that runs may still grow.
    pub actions_bytes_max: usize,
    /// Memory of one call in JavaScript, in bytes, beyond the modules of its app.
    pub call_memory_max: usize,
    /// Threads of queries, and as many of mutations, that are started while others are at long calls. Four for each
    /// core when it is not given.
    pub spare_threads: Option<usize>,
    /// Where the requests of actions may go.
    pub outbound: OutboundOptions,
    /// Whether functions of packages that are known get native heads.
    pub native_heads: bool,
    /// Whether errors of operations are told with the places that awaited them. That takes a few microseconds for each
    /// operation.
    pub is_in_development: bool,
    /// Each call runs in a runtime made for it alone, as if nothing ever went back to an image. It is slow, and judges what
    /// going back leaves behind.
    pub fresh_runtimes: bool,
    /// Where the threads of actions come from.
    pub executor: Arc<dyn Executor>,
    /// Actions in modules with "use node".
    pub node: NodeOptions,
}

/// Which Node.js runs actions in modules with "use node", and what they may.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// The program.
    pub program: NodeProgram,
    /// Where its modules and packages are written: a folder of its own.
    pub folder: PathBuf,
    /// Memory for JavaScript objects of one process, in bytes.
    pub memory_max: usize,
    /// Whether packages that a bundle leaves out are installed from the npm registry.
    pub installs_packages: bool,
    /// Whether packages may load native code.
    pub loads_addons: bool,
    /// How long a process without calls is kept.
    pub idle_time_max: Duration,
}

/// A program of Node.js.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NodeProgram {
    /// None: calls of such actions fail.
    #[default]
    Off,
    /// The `node` on the path of the server.
    OnPath,
    /// This one.
    At(PathBuf),
}

impl Default for NodeOptions {
    fn default() -> Self {
        NodeOptions {
            program: NodeProgram::Off,
            folder: PathBuf::new(),
            memory_max: 512 << 20,
            installs_packages: false,
            loads_addons: false,
            idle_time_max: Duration::from_secs(300),
        }
    }
}

impl Default for JsOptions {
    fn default() -> Self {
        JsOptions {
            query_time_max: Duration::from_secs(1),
            mutation_time_max: Duration::from_secs(10),
            provisioning_time_max: Duration::from_secs(5),
            action_time_max: Duration::from_secs(1_800),
            action_step_max: Duration::from_secs(60),
            actions_max: 256,
            actions_bytes_max: 2 << 30,
            call_memory_max: 128 << 20,
            spare_threads: None,
            outbound: OutboundOptions::default(),
            native_heads: true,
            is_in_development: false,
            fresh_runtimes: false,
            executor: Arc::new(SystemExecutor),
            node: NodeOptions::default(),
        }
    }
}
