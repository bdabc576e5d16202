//! `syscalls`: the server is killed, or the disk fails, at the k-th write, read, sync, cut or removal of a file by a
//! thread. A round tries each k of a start and of a short run of commits, folds and checkpoints. Nothing acknowledged is
//! lost (R2), "not committed" is said of nothing that is there later, and after a failed sync the process ends (R5).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use vestibule_tests::process::{Chat, ChatOptions};

use super::storm::{free_address, patiently, read_books};
use super::{Bench, judge};
use crate::checks::replay;
use crate::clients::{HttpClient, Stage, Work};
use crate::record::{Op, Outcome, Record};
use crate::steps::{Kind, Step};

/// The system calls that change files, as `strace` names them, and the one that reads them.
const CALLS: [&str; 7] = [
    "pwrite64",
    "fdatasync",
    "fsync",
    "ftruncate",
    "unlink",
    "rename",
    "pread64",
];

/// The end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// SIGKILL of the process at the call.
    Kill,
    /// It fails once.
    FailOnce(&'static str),
    /// It fails, and so does each later one of its kind.
    FailFromThen(&'static str),
}

const EFFECTS: [Effect; 5] = [
    Effect::Kill,
    Effect::FailOnce("EIO"),
    Effect::FailFromThen("EIO"),
    Effect::FailOnce("ENOSPC"),
    Effect::FailFromThen("ENOSPC"),
];

/// A point of the run, and what comes over it.
#[derive(Clone, Copy, Debug)]
struct Fault {
    call: &'static str,
    effect: Effect,
    k: usize,
}

impl Fault {
    fn strace(self) -> String {
        let Fault { call, effect, k } = self;
        match effect {
            Effect::Kill => format!("inject={call}:signal=SIGKILL:when={k}"),
            Effect::FailOnce(error) => format!("inject={call}:error={error}:when={k}"),
            Effect::FailFromThen(error) => format!("inject={call}:error={error}:when={k}+"),
        }
    }
}

/// The part of a server's life that a fault comes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// A first start, or one on what a kill left.
    Start,
    /// Few small commits, then a stop that folds and checkpoints.
    Short,
    /// Commits of so many bytes that checkpoints run beside them.
    Long,
}

impl Part {
    const ALL: [Part; 3] = [Part::Start, Part::Short, Part::Long];

    /// The part of a round, and its place among the rounds of this part.
    fn of(round: u64) -> (Part, usize) {
        let (turn, place) = (round / 8, round % 8);
        let (part, nth) = match place {
            0..3 => (Part::Start, turn * 3 + place),
            3..7 => (Part::Short, turn * 4 + place - 3),
            _ => (Part::Long, turn),
        };
        (part, usize::try_from(nth).unwrap_or(usize::MAX))
    }
}

/// Where commits of [`Part::Long`] fill the write-ahead log.
const LONG_COMMITS: usize = 44;
const LONG_BYTES: usize = 400_000;
const SHORT_COMMITS: usize = 12;

/// Runs the rig: each round is one fault, and the faults come in turn.
///
/// With `loses_log` the write-ahead log is removed before what is left is opened: a planted fault, which the verdict has
/// to notice.
pub fn run(bench: &mut Bench, loses_log: bool) -> anyhow::Result<()> {
    check_strace()?;
    let mut points: Vec<Counted> = Vec::new();
    bench.rounds(|seed, bench| {
        if points.is_empty() {
            for part in Part::ALL {
                points.push(one(bench, part, None, 0, false)?.counted);
            }
        }
        let (part, nth) = Part::of(seed);
        let counted = &points[part as usize];
        let fault = match part {
            // There are too many to have each in its turn.
            Part::Long => at(
                counted,
                StdRng::seed_from_u64(seed).random_range(0..usize::MAX / 2),
            ),
            _ => at(counted, nth),
        };
        let told = one(bench, part, Some(fault), seed, loses_log);
        let told = told.with_context(|| format!("{fault:?} in {part:?}"))?;
        let totals = &mut bench.totals;
        let kind = match fault.effect {
            Effect::Kill => "kills",
            _ => "failures",
        };
        totals.add(kind, 1);
        for part in Part::ALL {
            let name = format!("points_{part:?}_max").to_lowercase();
            totals.add(&name, counted_points(&points[part as usize]));
        }
        totals.add("met", u64::from(told.was_met));
        totals.add("ended_by_itself", u64::from(told.ended_by_itself));
        totals.add("acknowledged", told.acknowledged);
        totals.add("not_committed", told.refused);
        totals.add("unknown", told.unknown);
        Ok(())
    })
}

/// How often one thread made each call.
type Counted = Vec<(&'static str, usize)>;

fn counted_points(counted: &Counted) -> u64 {
    counted.iter().map(|(_, count)| *count as u64).sum()
}

/// The fault that comes in this place, over all calls and effects.
fn at(counted: &Counted, place: usize) -> Fault {
    let total: usize = counted.iter().map(|(_, count)| count).sum();
    let effect = EFFECTS[(place / total) % EFFECTS.len()];
    let mut k = place % total;
    for (call, count) in counted {
        if k < *count {
            return Fault {
                call,
                effect,
                k: k + 1,
            };
        }
        k -= count;
    }
    unreachable!("the place is below the total")
}

/// The outcome of a run.
#[derive(Debug, Default)]
struct TellTale {
    counted: Counted,
    was_met: bool,
    ended_by_itself: bool,
    acknowledged: u64,
    refused: u64,
    unknown: u64,
}

fn one(
    bench: &Bench,
    part: Part,
    fault: Option<Fault>,
    seed: u64,
    loses_log: bool,
) -> anyhow::Result<TellTale> {
    let folder = tempfile::Builder::new()
        .prefix("vestibule-torture-")
        .tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let scene = Scene {
        program: bench.program.clone(),
        data: folder.path().join("data"),
        trace: folder.path().join("trace"),
        address: free_address()?,
        loses_log,
    };
    runtime.block_on(scene.play(part, fault, seed))
}

/// The files and the address of a run.
struct Scene {
    program: PathBuf,
    data: PathBuf,
    trace: PathBuf,
    address: String,
    loses_log: bool,
}

impl Scene {
    async fn play(&self, part: Part, fault: Option<Fault>, seed: u64) -> anyhow::Result<TellTale> {
        let (over, is_over) = watch::channel(false);
        let server = format!("http://{}", self.address);
        let stage = Stage {
            wire: server.clone(),
            server,
            record: Record::default(),
            end: "end".into(),
            timestamps: Default::default(),
            is_over,
        };
        let mut code = None;
        let mut asked_at = f64::INFINITY;
        if part == Part::Start {
            // Every second start finds what a kill left.
            if seed.is_multiple_of(2) {
                let chat = self.server().start()?;
                patiently("the answers", commit(&stage, "before", part, seed)).await?;
                chat.kill();
            }
            // A server that is killed or fails before it is ready is one of the cases.
            if let Ok(chat) = self.traced(fault).start() {
                patiently("the answers", commit(&stage, "after", part, seed)).await?;
                asked_at = epoch_seconds();
                code = Some(end(chat)?);
            }
        } else {
            let chat = self.server().start()?;
            let tracer = self.attach(&chat, fault)?;
            patiently("the answers", commit(&stage, "c", part, seed)).await?;
            asked_at = epoch_seconds();
            code = Some(end(chat)?);
            tracer.wait_with_output()?;
        }
        let trace = std::fs::read_to_string(&self.trace).unwrap_or_default();
        let mut told = TellTale {
            counted: counted(&trace),
            was_met: trace.contains("(INJECTED)") || trace.contains("killed by SIGKILL"),
            ended_by_itself: code == Some(Some(74)),
            ..TellTale::default()
        };
        anyhow::ensure!(
            fault.is_some() || told.counted.iter().any(|(call, _)| *call == "fdatasync"),
            "no sync was seen: {trace}"
        );
        drop(over);
        if self.loses_log {
            std::fs::remove_file(self.data.join("vestibule.sqlite3-wal"))?;
        }
        let ops = stage.record.ops();
        self.reopen(&ops, &mut told).await?;
        self.check_syncs(&trace, code, asked_at)?;
        Ok(told)
    }

    fn server(&self) -> ChatOptions {
        ChatOptions::new(&self.program, &self.data)
            .arguments(&["serve", "--listen", &self.address])
            .variable("VESTIBULE_LOG", "off")
            .log(&self.data.with_extension("log"))
    }

    fn trace_arguments(&self, fault: Option<Fault>) -> Vec<String> {
        let trace = self.trace.to_string_lossy().into_owned();
        let calls = format!("trace={}", CALLS.join(","));
        let mut arguments: Vec<String> = ["-f", "-y", "-ttt", "-o", &trace, "-e", &calls]
            .map(String::from)
            .to_vec();
        if let Some(fault) = fault {
            arguments.extend(["-e".into(), fault.strace()]);
        }
        arguments
    }

    /// The server below `strace`, as its direct child so that it can be killed by its id.
    fn traced(&self, fault: Option<Fault>) -> ChatOptions {
        let mut arguments = vec!["-D".to_string()];
        arguments.extend(self.trace_arguments(fault));
        let program = self.program.to_string_lossy().into_owned();
        arguments.extend([
            program,
            "serve".into(),
            "--listen".into(),
            self.address.clone(),
        ]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        ChatOptions::new("strace", &self.data)
            .arguments(&arguments)
            .variable("VESTIBULE_LOG", "off")
            .log(&self.data.with_extension("log"))
    }

    /// Begins to trace a server that is ready. It counts calls from here on.
    fn attach(&self, chat: &Chat, fault: Option<Fault>) -> anyhow::Result<Child> {
        let mut tracer = Command::new("strace")
            .args(self.trace_arguments(fault))
            .args(["-p", &chat.id().to_string()])
            .stderr(Stdio::piped())
            .spawn()?;
        let said = tracer.stderr.take().context("stderr is piped")?;
        let mut lines = BufReader::new(said).lines();
        while let Some(line) = lines.next().transpose()? {
            if line.contains("attached") {
                // Keeps reading, so that it never meets a closed pipe.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(tracer);
            }
        }
        bail!("strace did not attach")
    }

    /// Opens what is left without a fault, and compares it with the record.
    async fn reopen(&self, ops: &[Op], told: &mut TellTale) -> anyhow::Result<()> {
        let chat = self
            .server()
            .start()
            .context("what was left does not open")?;
        let books = patiently("the books", read_books(&chat)).await??;
        let compared = books.compare(ops);
        let mut breaches = compared.breaches;
        breaches.extend(replay(&compared.events));
        let count =
            |is_it: fn(&Outcome) -> bool| ops.iter().filter(|op| is_it(&op.outcome)).count() as u64;
        told.acknowledged = count(|outcome| matches!(outcome, Outcome::Done(..)));
        told.refused = count(|outcome| matches!(outcome, Outcome::Failed(_)));
        told.unknown = count(|outcome| matches!(outcome, Outcome::Unknown));
        judge(&breaches)
    }

    /// After a failed sync of the database or its log the process ends by itself. Once it was asked to stop, everything is
    /// answered, and the next start repeats a checkpoint that failed.
    fn check_syncs(
        &self,
        trace: &str,
        code: Option<Option<i32>>,
        asked_at: f64,
    ) -> anyhow::Result<()> {
        let is_of_store = |line: &&str| {
            let is_sync = line.contains("fdatasync(") || line.contains("fsync(");
            is_sync && line.contains("vestibule.sqlite3") && line.contains("(INJECTED)")
        };
        let Some(line) = trace.lines().find(is_of_store) else {
            return Ok(());
        };
        let at = line.split_whitespace().nth(1).map(str::parse::<f64>);
        let at = at.context("no time")??;
        match code {
            // It failed at its start, or says that it failed.
            None | Some(Some(1 | 74)) => Ok(()),
            Some(Some(0)) if at >= asked_at => Ok(()),
            other => bail!("after {line:?} the process ended as {other:?}"),
        }
    }
}

fn epoch_seconds() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

/// Asks for a stop, and returns the exit code. A process that has ended has one already.
fn end(chat: Chat) -> anyhow::Result<Option<i32>> {
    chat.ask_to_stop()?;
    chat.wait()
}

/// One mutation after the other, whatever becomes of the server.
async fn commit(stage: &Stage, name: &str, part: Part, seed: u64) {
    let mut choices = Work::new(name, seed, Default::default());
    let mut client = HttpClient::new(None, Work::new("h", seed, Default::default()));
    let commits = match part {
        Part::Start => SHORT_COMMITS / 2,
        Part::Short => SHORT_COMMITS,
        Part::Long => LONG_COMMITS,
    };
    for number in 0..commits {
        let (id, mut steps) = choices.transaction();
        if part == Part::Long {
            let bytes = "x".repeat(LONG_BYTES);
            steps = vec![Step::new(Kind::Append, format!("big{number}"), bytes, 0)];
        }
        // It fails when the server is gone, which is what is being tested.
        let _ = client.transact(stage, id, steps).await;
    }
}

/// The calls in a trace, each as often as the thread made it that made it most. A call that another thread interrupts
/// has two lines, the second without its parenthesis.
fn counted(trace: &str) -> Counted {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in trace.lines() {
        let mut parts = line.split_whitespace();
        let (Some(thread), Some(_time), Some(rest)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        if let Some((call, _)) = rest.split_once('(') {
            *counts.entry((thread, call)).or_default() += 1;
        }
    }
    let most = |call: &'static str| {
        let of_call = counts.iter().filter(|((_, name), _)| *name == call);
        (call, of_call.map(|(_, count)| *count).max().unwrap_or(0))
    };
    CALLS.map(most).to_vec()
}

fn check_strace() -> anyhow::Result<()> {
    if let Some(refusal) = refusal()? {
        bail!(
            "strace may not trace here: {refusal}; run as root, or allow ptrace (`sysctl kernel.yama.ptrace_scope`)"
        );
    }
    Ok(())
}

/// The words in which this machine forbids tracing, as some containers do. An error where strace is missing.
pub fn refusal() -> anyhow::Result<Option<String>> {
    let traces = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .output();
    match traces {
        Ok(output) if output.status.success() => Ok(None),
        Ok(output) => Ok(Some(String::from_utf8_lossy(&output.stderr).into_owned())),
        Err(error) => bail!("strace is missing ({error}); install it: `apt-get install strace`"),
    }
}
