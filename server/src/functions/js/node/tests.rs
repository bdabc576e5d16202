//! Modules evaluated and processes ended, with the Node.js of this machine. Calls are tried by the official command line, in
//! `tests/cli/node.test.mjs`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::process::Ending;
use super::{LOOK_PAUSE, NodeCounts, PROCESSES_MAX};
use crate::clock::{Clock, ManualClock, SystemClock, UnixNanos};
use crate::deployment::{
    Analysis, AnalyzeError, AnalyzeInput, Analyzer, FunctionKind, ModuleEnvironment,
    NodeDependency, SourceModule, Visibility,
};
use crate::functions::js::Js;
use crate::functions::options::{JsOptions, NodeOptions, NodeProgram};

/// A module with an action of the package's shape.
const MODULE: &str = r#"
import { createHash } from "node:crypto";
import { suffix } from "./_deps/node/suffix.js";
if (typeof process.versions.node !== "string") throw new Error("not Node.js");
const handler = async (_, { text }) => createHash("sha256").update(text).digest("hex") + suffix;
export const hash = Object.assign(() => {}, {
  isAction: true, isPublic: true, _handler: handler,
  exportArgs: () => '{"type":"any"}', exportReturns: () => '{"type":"string"}',
});
export const helper = () => 1;
"#;

struct World {
    js: Arc<Js>,
    folder: TempDir,
}

fn world(change: impl FnOnce(&mut JsOptions)) -> World {
    world_at(Arc::new(SystemClock::new()), change)
}

fn world_at(clock: Arc<dyn Clock>, change: impl FnOnce(&mut JsOptions)) -> World {
    let folder = tempfile::tempdir().unwrap();
    let mut options = JsOptions {
        node: NodeOptions {
            program: NodeProgram::OnPath,
            folder: folder.path().to_owned(),
            ..NodeOptions::default()
        },
        ..JsOptions::default()
    };
    change(&mut options);
    let js = Js::new("test", options, clock);
    World { js, folder }
}

fn module(path: &str, source: &str) -> SourceModule {
    SourceModule {
        path: path.to_owned(),
        environment: ModuleEnvironment::Node,
        source: source.into(),
        source_map: None,
    }
}

impl World {
    async fn analyze(&self, input: AnalyzeInput) -> Result<Analysis, AnalyzeError> {
        let js = self.js.clone();
        let analyze = move || js.analyze(input);
        tokio::task::spawn_blocking(analyze).await.unwrap()
    }

    /// Analyzes `mail.js`, beside a chunk that it may import.
    async fn module(&self, source: &str) -> Result<Analysis, AnalyzeError> {
        self.analyze(AnalyzeInput {
            modules: vec![
                module("_deps/node/suffix.js", "export const suffix = '!';"),
                module("mail.js", source),
            ],
            variables: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
            ..AnalyzeInput::default()
        })
        .await
    }

    async fn refusal(&self, source: &str) -> String {
        self.module(source).await.unwrap_err().to_string()
    }

    /// The process that is there.
    fn pid(&self) -> Pid {
        let entries = std::fs::read_dir(self.folder.path().join("run")).unwrap();
        let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let pid = names.find_map(|name| name.strip_prefix("process-")?.parse().ok());
        Pid::from_raw(pid.unwrap()).unwrap()
    }

    /// The figures, once `is_there` holds for them.
    async fn counts(&self, is_there: impl Fn(&NodeCounts) -> bool) -> NodeCounts {
        let counts = async {
            loop {
                let counts = self.js.node_counts();
                if is_there(&counts) {
                    return counts;
                }
                tokio::task::yield_now().await;
            }
        };
        let limit = Duration::from_secs(60);
        tokio::time::timeout(limit, counts).await.unwrap()
    }
}

#[tokio::test]
async fn node_finds_what_a_module_registers() {
    let world = world(|_| {});
    let analysis = world.module(MODULE).await.unwrap();
    let [hash] = &analysis.modules["mail.js"].functions[..] else {
        panic!("{analysis:?}")
    };
    assert_eq!(hash.name, "hash");
    assert_eq!(hash.kind, FunctionKind::Action);
    assert_eq!(hash.visibility, Some(Visibility::Public));
    assert_eq!(hash.returns.as_deref(), Some(r#"{"type":"string"}"#));
    assert!(!analysis.modules.contains_key("_deps/node/suffix.js"));
    let counts = world.js.node_counts();
    assert_eq!((counts.processes, counts.started, counts.broke), (1, 1, 0));
}

#[tokio::test]
async fn a_module_that_fails_to_load_is_told_with_its_place_and_its_lines() {
    let world = world(|_| {});
    let refused = world
        .refusal("console.log('before', process.env.GREETING);\nnull.x;")
        .await;
    let expected = "Failed to analyze mail.js: Uncaught TypeError: Cannot read properties of null (reading 'x')";
    assert!(refused.starts_with(expected), "{refused}");
    assert!(
        refused.contains("at <anonymous> (../convex/mail.js:2:6)"),
        "{refused}"
    );
    assert!(refused.ends_with("\n[LOG] 'before' 'hello'"), "{refused}");
    let refused = world.refusal("export const x = ;").await;
    assert!(refused.contains("SyntaxError"), "{refused}");
    let refused = world
        .refusal("await Convex.asyncSyscall('1.0/actions/query', '{}');")
        .await;
    assert!(
        refused.contains("Cannot call another function at import time"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_process_reads_its_own_modules_and_nothing_else() {
    let world = world(|_| {});
    let secret = world.folder.path().join("secret");
    std::fs::write(&secret, "s3cret").unwrap();
    let secret = secret.to_str().unwrap();
    for attempt in [
        format!("(await import('node:fs')).readFileSync('{secret}')"),
        format!("(await import('node:fs')).writeFileSync('{secret}', 'mine')"),
        "(await import('node:fs')).readFileSync('/proc/' + process.ppid + '/environ')".to_owned(),
        format!("(await import('node:fs')).symlinkSync('{secret}', process.env.TMPDIR + '/link')"),
        format!("new ((await import('node:sqlite')).DatabaseSync)('{secret}')"),
        "(await import('node:child_process')).execSync('id')".to_owned(),
        "new ((await import('node:worker_threads')).Worker)('1', { eval: true })".to_owned(),
        "process.binding('fs')".to_owned(),
        "process.dlopen({ exports: {} }, '/x.node')".to_owned(),
        "process.kill(process.ppid)".to_owned(),
        "process.exit(1)".to_owned(),
        "(await import('node:net')).connect('/var/run/docker.sock')".to_owned(),
        "(await import('node:dgram')).createSocket('udp4').send('x', 9, '127.0.0.1')".to_owned(),
        "(await import('node:http')).createServer().listen(0)".to_owned(),
        "await fetch('http://127.0.0.1:4000/')".to_owned(),
        "await fetch('http://localhost:4000/')".to_owned(),
        "(await import('node:inspector')).open(0)".to_owned(),
    ] {
        let refused = world.refusal(&format!("{attempt};")).await;
        assert!(
            refused.starts_with("Failed to analyze mail.js"),
            "{attempt}: {refused}"
        );
        assert!(!refused.contains("s3cret"), "{attempt}: {refused}");
    }
    assert_eq!(std::fs::read_to_string(secret).unwrap(), "s3cret");
    let refused = world
        .refusal("await fetch('http://127.0.0.1:4000/');")
        .await;
    assert!(
        refused.contains("127.0.0.1 is at 127.0.0.1, a loopback address"),
        "{refused}"
    );
    let names = "throw new Error(Object.keys(process.env).sort().join());";
    let refused = world.refusal(names).await;
    assert!(refused.contains("Error: GREETING,TMPDIR,TZ\n"), "{refused}");
    let counts = world.counts(|_| true).await;
    assert_eq!(counts.broke, 0, "none of these broke its process");
}

#[tokio::test]
async fn what_a_process_does_to_itself_is_told_and_the_next_one_works() {
    let world = world(|options| {
        options.action_step_max = Duration::from_secs(2);
        options.node.memory_max = 64 << 20;
    });
    let hung = world.refusal("for (;;);").await;
    assert!(
        hung.contains("maximum duration of a step that waits for nothing: 2s"),
        "{hung}"
    );
    let full = world
        .refusal("const all = []; for (;;) all.push(new Array(1e5).fill(0));")
        .await;
    assert!(
        full.contains("ran out of memory (maximum memory usage: 64 MB)"),
        "{full}"
    );
    let kill = async {
        world.counts(|counts| counts.calls == 1).await;
        kill_process(world.pid(), Signal::SEGV).unwrap();
    };
    let (broken, ()) = tokio::join!(world.refusal("await new Promise(() => {});"), kill);
    assert!(
        broken.contains("ended before its time (signal: 11"),
        "{broken}"
    );
    let counts = world.counts(|counts| counts.processes == 0).await;
    assert_eq!((counts.started, counts.broke), (3, 3));
    world.module(MODULE).await.unwrap();
}

#[tokio::test]
async fn without_node_modules_are_known_by_stand_ins_and_the_reason_is_remembered() {
    let none = Path::new("/nonexistent/node");
    for (program, why) in [
        (NodeProgram::Off, "it was started with --node off"),
        (
            NodeProgram::At(none.into()),
            "/nonexistent/node cannot be used",
        ),
        (
            NodeProgram::At("/bin/true".into()),
            "/bin/true is not Node.js",
        ),
        (
            NodeProgram::At("/bin/false".into()),
            "/bin/false cannot be used",
        ),
    ] {
        let world = world(|options| options.node.program = program);
        let analysis = world
            .module(&format!("{MODULE}\nexport {{ hash as again }};"))
            .await;
        // It fails where there is no Node.js, so its exports are taken for actions.
        let functions = &analysis.unwrap().modules["mail.js"].functions;
        assert_eq!(functions[0].name, "again");
        let refusal = world.js.node_refusal().unwrap();
        assert!(refusal.contains(why), "{refusal}");
        assert!(refusal.contains("--node PATH"), "{refusal}");
        assert_eq!(world.js.node_counts(), NodeCounts::default());
    }
}

#[tokio::test]
async fn versions_and_packages_that_are_not_there_are_refused() {
    let world = world(|_| {});
    let asked = |node_version: Option<&str>, packages: &[&str]| AnalyzeInput {
        modules: vec![module("mail.js", "export const x = 1;")],
        node_version: node_version.map(str::to_owned),
        node_dependencies: packages
            .iter()
            .map(|name| NodeDependency {
                name: (*name).to_owned(),
                version: "1.0.0".to_owned(),
            })
            .collect(),
        ..AnalyzeInput::default()
    };
    let refused = world.analyze(asked(Some("99"), &[])).await.unwrap_err();
    assert_eq!(refused.code(), "NodeVersionNotSupported");
    assert!(
        refused.to_string().contains("asks for Node.js 99"),
        "{refused}"
    );
    let refused = world.analyze(asked(None, &["sharp"])).await.unwrap_err();
    assert_eq!(refused.code(), "NodePackagesNotInstalled");
    assert!(
        refused.to_string().contains("installs none: sharp"),
        "{refused}"
    );
    assert!(world.analyze(asked(Some("20"), &[])).await.is_ok());
}

#[tokio::test]
async fn idle_processes_end_and_so_do_those_of_a_server_that_ends() {
    let world = world(|options| options.node.idle_time_max = Duration::from_millis(1));
    world.module(MODULE).await.unwrap();
    world.counts(|counts| counts.processes == 0).await;
    let lasting = super::tests::world(|_| {});
    lasting.module(MODULE).await.unwrap();
    assert_eq!(lasting.js.node_counts().processes, 1);
    lasting.js.end_actions();
    let counts = lasting.counts(|counts| counts.processes == 0).await;
    assert_eq!(counts.broke, 0);
}

#[tokio::test]
async fn there_is_room_for_so_many_processes_and_no_more() {
    let world = world(|_| {});
    let node = &world.js.node;
    let mut rooms: Vec<_> = (0..PROCESSES_MAX).map(|_| node.room().unwrap()).collect();
    assert!(node.room().is_none());
    rooms.pop();
    assert!(node.room().is_some());
    let told = node
        .lost(&Ending::Broke("signal: 11 (SIGSEGV)".to_owned()))
        .into_thrown();
    assert!(
        told.is_fault && told.message.contains("SIGSEGV"),
        "{told:?}"
    );
}

#[tokio::test]
async fn an_idle_process_makes_room_for_another() {
    let world = world(|_| {});
    let node = &world.js.node;
    let _taken: Vec<_> = (1..PROCESSES_MAX).map(|_| node.room().unwrap()).collect();
    world.module(MODULE).await.unwrap();
    assert!(node.room().is_none());
    let first = world.pid();
    world.module("export const other = 1;").await.unwrap();
    assert_ne!(world.pid(), first);
    let counts = world.js.node_counts();
    assert_eq!((counts.processes, counts.started, counts.broke), (1, 2, 0));
}

#[tokio::test]
async fn a_data_directory_may_be_relative_and_behind_a_link_and_its_folder_not_there_yet() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", folder.path().join("link")).unwrap();
    let depth = std::env::current_dir().unwrap().components().count() - 1;
    let relative = Path::new(&"../".repeat(depth)).join(folder.path().strip_prefix("/").unwrap());
    let first = world(|options| options.node.folder = relative.join("link/node"));
    first.module(MODULE).await.unwrap();
    assert!(folder.path().join("real/node/run/worker").is_dir());
}

#[tokio::test]
async fn what_is_too_large_or_no_text_fails_alone() {
    let world = world(|_| {});
    let told = world
        .refusal("throw new Error('\\ud800'.repeat(3 << 20));")
        .await;
    assert!(
        told.contains("Uncaught Error: \u{fffd}"),
        "{} bytes",
        told.len()
    );
    assert!(told.len() < 4 << 20, "{} bytes", told.len());
    let logs =
        "console.log('x'.repeat(1 << 27)); console.log('\\u{1f642}'.repeat(1 << 20)); null.x;";
    let told = world.refusal(logs).await;
    assert!(told.contains("reading 'x'"), "{} bytes", told.len());
    assert!(told.len() < 1 << 20, "{} bytes", told.len());
    assert_eq!(world.js.node_counts().broke, 0);
}

#[tokio::test]
async fn memory_beside_the_heap_has_a_bound_too() {
    let world = world(|options| options.node.memory_max = 64 << 20);
    let holds = "globalThis.all = [Buffer.alloc(400 << 20, 1)]; await new Promise(() => {});";
    let full = world.refusal(holds).await;
    assert!(
        full.contains("ran out of memory (maximum memory usage: 64 MB)"),
        "{full}"
    );
}

#[tokio::test]
async fn a_process_that_starts_slowly_is_not_taken_for_one_that_hangs() {
    use std::os::unix::fs::PermissionsExt;
    let world = world(|options| {
        let slow = options.node.folder.join("slow");
        let node = super::program::on_path("node").unwrap();
        let text = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] || sleep 4\nexec {} \"$@\"\n",
            node.display()
        );
        std::fs::write(&slow, text).unwrap();
        std::fs::set_permissions(&slow, std::fs::Permissions::from_mode(0o755)).unwrap();
        options.node.program = NodeProgram::At(slow);
        options.action_step_max = Duration::from_secs(1);
    });
    world.module(MODULE).await.unwrap();
}

#[tokio::test]
async fn a_program_that_was_not_there_is_looked_for_again_after_a_pause() {
    let clock = Arc::new(ManualClock::at(UnixNanos(0)));
    let programs = tempfile::tempdir().unwrap();
    let program = programs.path().join("node");
    let world = world_at(clock.clone(), |options| {
        options.node.program = NodeProgram::At(program.clone());
    });
    let node = &world.js.node;
    let refused = node.program().await.unwrap_err();
    assert!(refused.contains("cannot be used"), "{refused}");
    std::os::unix::fs::symlink("/bin/echo", &program).unwrap();
    clock.advance(LOOK_PAUSE - Duration::from_nanos(1));
    assert_eq!(node.program().await.unwrap_err(), refused, "nobody looked");
    clock.advance(Duration::from_nanos(1));
    // `echo` says `--version`, which is no version.
    let other = node.program().await.unwrap_err();
    assert!(other.contains("is not Node.js"), "{other}");
    std::fs::remove_file(&program).unwrap();
    let found = super::program::on_path("node").expect("the machine has Node.js");
    std::os::unix::fs::symlink(found, &program).unwrap();
    assert_eq!(node.program().await.unwrap_err(), other, "nobody looked");
    clock.advance(LOOK_PAUSE);
    assert_eq!(node.program().await.unwrap().path, program);
    // One that was found stays.
    std::fs::remove_file(&program).unwrap();
    clock.advance(LOOK_PAUSE);
    assert!(node.program().await.is_ok());
    assert_eq!(world.js.node_refusal(), None);
}
