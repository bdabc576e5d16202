//! The modules of a push for Node.js, with the variables that they see, and the processes that run them.
//!
//! Modules keep what they read when they were loaded. So other modules, other variables and other packages are other
//! code, which runs in processes of its own.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::folder::RunFolder;
use super::pool::Pool;
use crate::deployment::{NodeDependency, SourceModule};
use crate::functions::js::stack::{Places, SourceMap};
use crate::storage::private_directory;

/// Tells one code from another.
pub type CodeKey = [u8; 32];

/// What makes a code.
#[derive(Clone, Default)]
pub struct CodeParts {
    /// The modules for Node.js, chunks among them.
    pub modules: Vec<SourceModule>,
    /// The variables, the built-in ones among them.
    pub variables: BTreeMap<String, String>,
    /// Packages beside what is bundled.
    pub packages: Vec<NodeDependency>,
}

/// One code.
pub struct NodeCode {
    pub(super) parts: CodeParts,
    pub(super) pool: Pool,
    maps: HashMap<String, SourceMap>,
    run: Arc<RunFolder>,
    /// Where its modules are, once they have been written.
    root: OnceCell<PathBuf>,
    /// Deployments with this code that are live or may become so.
    uses: AtomicUsize,
    was_used: AtomicBool,
}

impl CodeParts {
    /// The key of the code that is made of these.
    pub fn key(&self) -> CodeKey {
        let mut hasher = Sha256::new();
        let mut add = |text: &str| {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        };
        for module in &self.modules {
            add(&module.path);
            add(&module.source);
        }
        add("variables");
        for (name, value) in &self.variables {
            add(name);
            add(value);
        }
        add("packages");
        for NodeDependency { name, version } in &self.packages {
            add(name);
            add(version);
        }
        hasher.finalize().into()
    }
}

impl NodeCode {
    /// Code whose modules will be written below `run`.
    pub fn new(parts: CodeParts, run: Arc<RunFolder>) -> NodeCode {
        let maps = parts.modules.iter().map(|module| {
            let map = SourceMap::new(module.source_map.clone());
            (module.path.clone(), map)
        });
        NodeCode {
            maps: maps.collect(),
            parts,
            pool: Pool::default(),
            run,
            root: OnceCell::new(),
            uses: AtomicUsize::new(0),
            was_used: AtomicBool::new(false),
        }
    }

    /// A deployment has this code.
    pub fn keep(&self) {
        self.uses.fetch_add(1, Ordering::AcqRel);
        self.was_used.store(true, Ordering::Release);
    }

    /// A deployment with this code is not live any more. Its processes end when nothing runs in them.
    pub fn let_go(&self) {
        let before = self.uses.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "a code is let go as often as it is kept");
        self.pool.look();
    }

    /// Whether no deployment has had it yet.
    pub(super) fn is_unused(&self) -> bool {
        !self.was_used.load(Ordering::Acquire)
    }

    /// Whether no deployment has it any more.
    pub(super) fn is_retired(&self) -> bool {
        self.was_used.load(Ordering::Acquire) && self.uses.load(Ordering::Acquire) == 0
    }

    /// The folder of its modules, which are written at the first call.
    pub(super) async fn root(&self, packages: Option<&Path>) -> io::Result<&Path> {
        let root = self.root.get_or_try_init(|| async {
            let (root, modules) = (self.run.next("code")?, self.parts.modules.clone());
            let packages = packages.map(Path::to_owned);
            let write = move || write(&root, &modules, packages.as_deref()).map(|()| root);
            let written = tokio::task::spawn_blocking(write).await;
            written.map_err(io::Error::other)?
        });
        root.await.map(PathBuf::as_path)
    }
}

impl Drop for NodeCode {
    fn drop(&mut self) {
        if let Some(root) = self.root.take() {
            self.run.remove(root);
        }
    }
}

impl Places for NodeCode {
    fn has(&self, path: &str) -> bool {
        self.maps.contains_key(path)
    }

    fn original(&self, path: &str, line: u32, column: u32) -> Option<(String, u32, u32)> {
        self.maps.get(path)?.original(line, column)
    }
}

/// Writes modules as an ESM package, beside the packages that they import.
fn write(root: &Path, modules: &[SourceModule], packages: Option<&Path>) -> io::Result<()> {
    private_directory(root)?;
    std::fs::write(root.join("package.json"), r#"{"type":"module"}"#)?;
    for module in modules {
        // Each push checks that paths lead nowhere else.
        let path = root.join(&module.path);
        private_directory(path.parent().unwrap_or(root))?;
        std::fs::write(&path, &*module.source)?;
    }
    match packages {
        Some(packages) => {
            std::os::unix::fs::symlink(packages.join("node_modules"), root.join("node_modules"))
        }
        None => Ok(()),
    }
}
