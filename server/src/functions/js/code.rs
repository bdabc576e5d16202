//! The code of a deployment: its compiled modules, and the values they see while they are loaded.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use vestibule_isolate::{Bytecode, ModuleSource, Thrown, compile_module};

use super::known::{KnownCounts, with_heads};
use super::memory_taken::MemoryTaken;
use super::stack::{Places, SourceMap};
use crate::deployment::{Given, ImportPhase, SourceModule};

/// Modules of one push that run in this server, and the values they see at import time.
pub struct Code {
    modules: HashMap<String, Compiled>,
    /// A module of the server's own that they may import.
    external: Option<Arc<Bytecode>>,
    /// The variables, the built-in ones among them.
    pub variables: BTreeMap<String, String>,
    /// Where the variables come from, for a component's code.
    given: Option<BTreeMap<String, Given>>,
    /// Seed and time of the import phase.
    pub import: ImportPhase,
    is_retired: AtomicBool,
    /// Learnt from the actions that ran it.
    memory: MemoryTaken,
}

struct Compiled {
    module: Arc<CompiledModule>,
}

/// One module, compiled.
pub struct CompiledModule {
    bytecode: Result<Arc<Bytecode>, Thrown>,
    source_map: SourceMap,
    /// The modules on which its native heads depend, and the hashes of their texts; none for one that was missing.
    looked_at: Vec<(String, Option<[u8; 32]>)>,
}

/// The texts of a push's modules by path.
type Texts<'m> = HashMap<&'m str, &'m str>;

/// Modules compiled before, by path and by the hash of their content: a push compiles only changed modules.
#[derive(Default)]
pub struct CompiledModules {
    known: Mutex<HashMap<CompiledKey, Arc<CompiledModule>>>,
    /// Functions that got a native head.
    pub heads: KnownCounts,
    is_plain: bool,
}

/// The path of a module, and the hash of its text.
type CompiledKey = (String, [u8; 32]);

/// Modules remembered beyond those of the newest code.
const COMPILED_MAX: usize = 20_000;

fn hash(text: &str) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(text.as_bytes()).into()
}

impl CompiledModules {
    /// Modules whose functions all run as they are written.
    pub fn plain() -> CompiledModules {
        CompiledModules {
            is_plain: true,
            ..CompiledModules::default()
        }
    }

    /// Compiles a module with a native head in each function that is known. Says which other modules that depends on.
    fn bytecode(
        &self,
        module: &SourceModule,
        texts: &Texts<'_>,
    ) -> (Result<Bytecode, Thrown>, Vec<String>) {
        let plain = || compile_module(&module.path, &module.source);
        if self.is_plain {
            return (plain(), Vec::new());
        }
        let text = |path: &str| texts.get(path).copied();
        let (source, looked_at) = with_heads(&module.path, &module.source, &text, &self.heads);
        let headed = match &source {
            Cow::Owned(source) => compile_module(&module.path, source).ok(),
            Cow::Borrowed(_) => None,
        };
        (headed.map_or_else(plain, Ok), looked_at)
    }

    fn compile(&self, module: &SourceModule, texts: &Texts<'_>) -> Arc<CompiledModule> {
        let key = (module.path.clone(), hash(&module.source));
        let hash_of = |path: &str| texts.get(path).map(|text| hash(text));
        if let Some(known) = self.known.lock().get(&key)
            && known
                .looked_at
                .iter()
                .all(|(path, then)| hash_of(path) == *then)
        {
            return known.clone();
        }
        let (bytecode, looked_at) = self.bytecode(module, texts);
        let looked_at = looked_at.into_iter().map(|path| {
            let hash = hash_of(&path);
            (path, hash)
        });
        let compiled = Arc::new(CompiledModule {
            bytecode: bytecode.map(Arc::new),
            source_map: SourceMap::new(module.source_map.clone()),
            looked_at: looked_at.collect(),
        });
        let mut known = self.known.lock();
        if known.len() >= COMPILED_MAX {
            known.clear();
        }
        known.insert(key, compiled.clone());
        compiled
    }
}

impl Code {
    /// Compiles `modules`. A module that cannot be compiled fails every importer.
    pub fn compile<'m>(
        known: &CompiledModules,
        modules: impl IntoIterator<Item = &'m SourceModule>,
        variables: BTreeMap<String, String>,
        import: ImportPhase,
    ) -> Code {
        let modules: Vec<&SourceModule> = modules.into_iter().collect();
        let pairs = modules
            .iter()
            .map(|module| (&*module.path, &*module.source));
        let texts: Texts<'_> = pairs.collect();
        let modules = modules.into_iter().map(|module| {
            let compiled = known.compile(module, &texts);
            (module.path.clone(), Compiled { module: compiled })
        });
        Code {
            modules: modules.collect(),
            external: None,
            variables,
            given: None,
            import,
            is_retired: AtomicBool::default(),
            memory: MemoryTaken::default(),
        }
    }

    /// The same modules with other variables.
    pub fn with_variables(&self, variables: BTreeMap<String, String>) -> Code {
        let modules = self.modules.iter().map(|(path, compiled)| {
            let module = compiled.module.clone();
            (path.clone(), Compiled { module })
        });
        Code {
            modules: modules.collect(),
            external: self.external.clone(),
            variables,
            given: self.given.clone(),
            import: self.import.clone(),
            is_retired: AtomicBool::default(),
            memory: MemoryTaken::default(),
        }
    }

    /// The same with a module of the server's own that they may import.
    pub fn with_external(self, module: Arc<Bytecode>) -> Code {
        Code {
            external: Some(module),
            ..self
        }
    }

    /// The same as the code of a component that was given its variables.
    pub fn given(self, given: BTreeMap<String, Given>) -> Code {
        Code {
            given: Some(given),
            ..self
        }
    }

    /// The variable of the app on which reading the variable `name` depends. What else a component was given changes with its
    /// modules.
    pub fn variable_behind<'n>(&'n self, name: &'n str) -> Option<&'n str> {
        match &self.given {
            Some(given) => given.get(name)?.variable.as_deref(),
            None => Some(name),
        }
    }

    /// It is not live any more: no runtime is kept for it.
    pub fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
    }

    /// Whether no runtime is kept for it.
    pub fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Acquire)
    }

    /// The memory that an action is expected to take, in bytes.
    pub fn bytes_expected(&self) -> usize {
        self.memory.expected()
    }

    /// An action took this many.
    pub(super) fn note_bytes(&self, bytes: usize) {
        self.memory.note(bytes);
    }

    /// Why a module cannot be compiled, if it cannot.
    pub fn compile_error(&self, path: &str) -> Option<&Thrown> {
        let compiled = self.modules.get(path)?;
        compiled.module.bytecode.as_ref().err()
    }

    /// Why the module cannot be compiled that a failed import names, if that is why it failed.
    pub fn compile_error_of_import(&self, failure: &Thrown) -> Option<&Thrown> {
        let import = failure.message.strip_prefix("Could not resolve \"")?;
        let (import, _) = import.split_once('"')?;
        let file = import.trim_start_matches(['.', '/']);
        let mut broken = self.modules.keys().filter(|path| path.ends_with(file));
        broken.find_map(|path| self.compile_error(path))
    }
}

impl Places for Code {
    fn has(&self, path: &str) -> bool {
        self.modules.contains_key(path)
    }

    fn original(&self, path: &str, line: u32, column: u32) -> Option<(String, u32, u32)> {
        self.modules
            .get(path)?
            .module
            .source_map
            .original(line, column)
    }
}

impl ModuleSource for Code {
    fn bytecode(&self, name: &str) -> Option<Arc<Bytecode>> {
        if let Some(external) = self.external.as_ref().filter(|_| self.is_external(name)) {
            return Some(external.clone());
        }
        let compiled = self.modules.get(name)?;
        compiled.module.bytecode.as_ref().ok().cloned()
    }

    fn is_external(&self, name: &str) -> bool {
        let external = self.external.as_ref();
        external.is_some_and(|external| external.name() == name)
    }
}
