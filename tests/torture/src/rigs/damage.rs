//! `damage`: bytes of the database or of its write-ahead log are changed at random, and everything is read. Each answer is
//! right, or an error, and nothing that was never written is ever told (R7).
//!
//! Two kinds of damage cannot be told at once. A log that is cut short, or whose very last frames do not fit, ends earlier.
//! It looks as after a crash, and the state is that of an earlier commit, whole. With commits behind the damage the start is
//! refused. An entry that is gone from an index is missed by nobody who does not know of it: `vestibule verify` has to find
//! it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use serde_json::{Value as Json, json};
use tokio::sync::watch;
use vestibule_server::backup::{Problems, verify};
use vestibule_tests::process::{Chat, ChatOptions, EndedEarly, post};

use super::storm::{free_address, patiently};
use super::{Bench, judge};
use crate::clients::{HttpClient, Stage, Work};
use crate::model::Model;
use crate::record::{Op, Record};
use crate::steps::{Kind, Step};

/// The size of a round.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Damages of one database.
    pub damages: usize,
    /// Whether the last commit is left out of what is expected, so that a right answer looks wrong.
    pub forgets_last: bool,
}

/// Rounds by command.
pub const RELEASE: Size = Size {
    damages: 50,
    forgets_last: false,
};
/// The round in `cargo test`.
pub const TEST: Size = Size {
    damages: 16,
    forgets_last: false,
};

const COMMITS: usize = 60;
const PAGE_BYTES: usize = 4096;
/// Commits at the end of the log that one damage may take whole, with all traces of them. A commit is a page or more.
const COMMITS_AT_END_MAX: usize = 4;

/// The outcome of a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// All answers were right.
    Right,
    /// The server refused to start and said why.
    Refused,
    /// Some reads failed, and the health was red.
    Errors,
    /// The state is that of an earlier commit.
    Earlier,
    /// Something is missed, and `verify` finds the damage.
    Hidden,
}

/// Runs the rig.
pub fn run(bench: &mut Bench, size: Size) -> anyhow::Result<()> {
    bench.rounds(|seed, bench| {
        let folder = tempfile::Builder::new()
            .prefix("vestibule-torture-")
            .tempdir()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let mut rng = StdRng::seed_from_u64(seed);
        let mut scene = Scene {
            program: bench.program.clone(),
            folder: folder.path().to_path_buf(),
            address: free_address()?,
            states: Vec::new(),
            journal: Vec::new(),
            steps: Vec::new(),
        };
        let mut commits = runtime.block_on(scene.make(seed, &mut rng))?;
        if size.forgets_last {
            commits.pop();
        }
        scene.expect(&commits);
        for number in 0..size.damages {
            let damage = Damage::choose(&scene.base(), &mut rng)?;
            let outcome = runtime.block_on(scene.try_out(&damage));
            let outcome = outcome.with_context(|| format!("damage {number}: {damage:?}"))?;
            let name = match outcome {
                Outcome::Right => "right",
                Outcome::Refused => "refused_to_start",
                Outcome::Errors => "errors_on_reads",
                Outcome::Earlier => "earlier_commit",
                Outcome::Hidden => "found_by_verify",
            };
            bench.totals.add("damages", 1);
            bench.totals.add(name, 1);
        }
        Ok(())
    })
}

/// A change of bytes.
#[derive(Clone, Debug)]
struct Damage {
    file: &'static str,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Flip {
        at: usize,
        bit: u8,
    },
    Zero {
        from: usize,
        bytes: usize,
    },
    Noise {
        from: usize,
        bytes: usize,
        seed: u64,
    },
    Truncate {
        to: usize,
    },
    SwapPages {
        one: usize,
        other: usize,
    },
    CopyPage {
        from: usize,
        to: usize,
    },
}

const DATABASE: &str = "vestibule.sqlite3";
const LOG: &str = "vestibule.sqlite3-wal";

impl Damage {
    fn choose(base: &Path, rng: &mut StdRng) -> anyhow::Result<Damage> {
        let bytes = |file: &str| fs::metadata(base.join(file)).map_or(0, |it| it.len() as usize);
        let has_log = bytes(LOG) > PAGE_BYTES * 4;
        let file = if has_log && rng.random_bool(0.5) {
            LOG
        } else {
            DATABASE
        };
        let all = bytes(file);
        anyhow::ensure!(all > PAGE_BYTES * 4, "{file} has only {all} bytes");
        let pages = all / PAGE_BYTES;
        let (from, bytes) = (rng.random_range(0..all), rng.random_range(1..8192));
        let change = match rng.random_range(0..10) {
            0..4 => Change::Flip {
                at: from,
                bit: rng.random_range(0..8),
            },
            4 | 5 => Change::Zero { from, bytes },
            6 => Change::Noise {
                from,
                bytes,
                seed: rng.random(),
            },
            7 => Change::Truncate { to: from },
            8 => Change::SwapPages {
                one: rng.random_range(0..pages),
                other: rng.random_range(0..pages),
            },
            _ => Change::CopyPage {
                from: rng.random_range(0..pages),
                to: rng.random_range(0..pages),
            },
        };
        Ok(Damage { file, change })
    }

    fn apply(&self, data: &Path) -> anyhow::Result<()> {
        let path = data.join(self.file);
        let mut bytes = fs::read(&path)?;
        let end = |from: usize, count: usize| (from + count).min(bytes.len());
        let page = |number: usize| number * PAGE_BYTES..(number + 1) * PAGE_BYTES;
        match self.change {
            Change::Flip { at, bit } => bytes[at] ^= 1 << bit,
            Change::Zero { from, bytes: count } => {
                let end = end(from, count);
                bytes[from..end].fill(0);
            }
            Change::Noise {
                from,
                bytes: count,
                seed,
            } => {
                let end = end(from, count);
                StdRng::seed_from_u64(seed).fill_bytes(&mut bytes[from..end]);
            }
            Change::Truncate { to } => bytes.truncate(to),
            Change::SwapPages { one, other } => {
                let kept = bytes[page(one)].to_vec();
                bytes.copy_within(page(other), one * PAGE_BYTES);
                bytes[page(other)].copy_from_slice(&kept);
            }
            Change::CopyPage { from, to } => bytes.copy_within(page(from), to * PAGE_BYTES),
        }
        Ok(fs::write(path, bytes)?)
    }
}

/// A database, and what it must say.
struct Scene {
    program: PathBuf,
    folder: PathBuf,
    address: String,
    /// The answers to all steps after each commit, the first before any.
    states: Vec<Vec<String>>,
    /// The entries of the journal, in order.
    journal: Vec<Json>,
    /// All that can be asked.
    steps: Vec<Step>,
}

/// The answers of a server. Nothing stands for an error.
struct Answers {
    steps: Vec<Option<String>>,
    journal: Option<Vec<Json>>,
}

impl Scene {
    fn base(&self) -> PathBuf {
        self.folder.join("base")
    }

    fn server(&self, data: &Path) -> ChatOptions {
        ChatOptions::new(&self.program, data)
            .arguments(&["serve", "--listen", &self.address])
            .variable("VESTIBULE_LOG", "error")
            .log(&self.folder.join("log"))
    }

    /// Makes a database: some commits in its tables, others in its log, or all in its tables.
    async fn make(&mut self, seed: u64, rng: &mut StdRng) -> anyhow::Result<Vec<Op>> {
        let (_over, is_over) = watch::channel(false);
        let server = format!("http://{}", self.address);
        let stage = Stage {
            wire: server.clone(),
            server,
            record: Record::default(),
            end: "end".into(),
            timestamps: Default::default(),
            is_over,
        };
        let mut work = Work::new("c", seed, Default::default());
        let mut client = HttpClient::new(None, Work::new("h", seed, Default::default()));
        let folded = rng.random_range(1..COMMITS);
        let mut chat = self.server(&self.base()).start()?;
        for number in 0..COMMITS {
            if number == folded {
                chat.stop()?;
                chat = self.server(&self.base()).start()?;
            }
            let (id, mut steps) = work.transaction();
            // Scheduled functions would commit on their own.
            steps.retain(|step| step.kind != Kind::Schedule);
            client.transact(&stage, id, steps).await?;
        }
        match rng.random_bool(0.7) {
            true => chat.kill(),
            false => drop(chat.stop()?),
        }
        Ok(stage.record.ops())
    }

    /// The answers after each of these commits.
    fn expect(&mut self, commits: &[Op]) {
        let mut asked = BTreeSet::new();
        for step in commits.iter().flat_map(|op| &op.steps) {
            match step.kind {
                Kind::Append | Kind::Read => drop(asked.insert((1, step.key.clone()))),
                Kind::Join | Kind::Members => drop(asked.insert((2, step.key.clone()))),
                _ => {}
            }
        }
        let step = |(kind, key): (u8, String)| match kind {
            1 => Step::new(Kind::Read, key, "", 0),
            _ => Step::new(Kind::Members, key, "", 0),
        };
        self.steps = asked.into_iter().map(step).collect();
        self.steps.push(Step::new(Kind::Total, "", "", 0));
        let mut model = Model::default();
        self.states.push(model.clone().run("", &self.steps));
        for op in commits {
            let results = model.run(&op.id, &op.steps);
            self.journal
                .push(json!({ "id": op.id, "results": results }));
            self.states.push(model.clone().run("", &self.steps));
        }
    }

    /// A copy of the database with a damage.
    fn damaged(&self, damage: &Damage, name: &str) -> anyhow::Result<PathBuf> {
        let data = self.folder.join(name);
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
        fs::create_dir(&data)?;
        for entry in fs::read_dir(self.base())? {
            let entry = entry?;
            // The index of the log is made anew.
            let is_copied =
                entry.file_type()?.is_file() && !entry.path().ends_with("vestibule.sqlite3-shm");
            if is_copied {
                fs::copy(entry.path(), data.join(entry.file_name()))?;
            }
        }
        damage.apply(&data)?;
        Ok(data)
    }

    async fn try_out(&self, damage: &Damage) -> anyhow::Result<Outcome> {
        let data = self.damaged(damage, "damaged")?;
        let options = self.server(&data);
        let started = tokio::task::spawn_blocking(move || options.start());
        let chat = match patiently("the start", started).await?? {
            Ok(chat) => chat,
            Err(error) => return self.judge_refusal(error),
        };
        let answers = patiently("the answers", self.ask(&chat)).await??;
        let (status, health) = chat.health().await?;
        chat.kill();
        if self.is_state(&answers, self.states.len() - 1) {
            let has_errors = answers.has_errors();
            anyhow::ensure!(
                !has_errors || status == 503,
                "reads failed, and the health is {status}: {health}"
            );
            return Ok(if has_errors {
                Outcome::Errors
            } else {
                Outcome::Right
            });
        }
        let earlier = (0..self.states.len()).rfind(|at| self.is_state(&answers, *at));
        if let (LOG, Some(at)) = (damage.file, earlier) {
            let lost = self.states.len() - 1 - at;
            let is_cut = matches!(damage.change, Change::Truncate { .. });
            anyhow::ensure!(
                is_cut || lost <= COMMITS_AT_END_MAX,
                "{lost} commits are lost without a word"
            );
            return Ok(Outcome::Earlier);
        }
        self.check_known(&answers)?;
        let copy = self.damaged(damage, "copy")?;
        let mut problems = Problems::new(Problems::TOLD_MAX);
        let verified = verify(&copy, &mut problems);
        anyhow::ensure!(
            verified.is_err() || problems.count() > 0,
            "some answers were wrong, and verify finds nothing: {:?}",
            self.differing(&answers)
        );
        Ok(Outcome::Hidden)
    }

    /// A start that fails says what is damaged, and ends by itself.
    fn judge_refusal(&self, error: anyhow::Error) -> anyhow::Result<Outcome> {
        const SAID: [&str; 5] = [
            "damaged",
            "is not a database",
            "database of another program",
            "has format",
            "is empty",
        ];
        let said = fs::read_to_string(self.folder.join("log"))?;
        let ended = error.downcast::<EndedEarly>()?.0;
        anyhow::ensure!(
            ended.code() == Some(1),
            "the start ended with {ended}: {said}"
        );
        let is_said = SAID.iter().any(|text| said.contains(text));
        anyhow::ensure!(is_said, "the start does not say what is damaged: {said}");
        Ok(Outcome::Refused)
    }

    async fn ask(&self, chat: &Chat) -> anyhow::Result<Answers> {
        let mut steps = Vec::new();
        for step in &self.steps {
            let value = call(chat, "ledger:look", json!({ "steps": [step] })).await?;
            let text = value.map(|value| value[0].as_str().map(String::from));
            steps.push(text.map(|text| text.context("no text")).transpose()?);
        }
        let all = json!({ "paginationOpts": { "numItems": 1000, "cursor": null } });
        let journal = call(chat, "ledger:journal", all).await?;
        let journal = journal.map(|mut page| serde_json::from_value(page["page"].take()));
        Ok(Answers {
            steps,
            journal: journal.transpose()?,
        })
    }

    /// Whether all answers that are none of errors are those after so many commits.
    fn is_state(&self, answers: &Answers, commits: usize) -> bool {
        let fits = |(answer, expected): (&Option<String>, &String)| {
            answer.as_ref().is_none_or(|answer| answer == expected)
        };
        let journal = answers.journal.as_ref();
        answers.steps.iter().zip(&self.states[commits]).all(fits)
            && journal.is_none_or(|journal| self.journal[..commits] == journal[..])
    }

    /// Nothing is told that was never so.
    fn check_known(&self, answers: &Answers) -> anyhow::Result<()> {
        let mut breaches = Vec::new();
        for (place, answer) in answers.steps.iter().enumerate() {
            let Some(answer) = answer else { continue };
            let step = &self.steps[place];
            let is_known = match step.kind {
                // A total misses accounts; each that it has was so once.
                Kind::Total => parts(answer).all(|part| {
                    self.states
                        .iter()
                        .any(|state| parts(&state[place]).any(|it| it == part))
                }),
                Kind::Members => {
                    let last = &self.states[self.states.len() - 1][place];
                    parts(answer).all(|part| parts(last).any(|it| it == part))
                }
                _ => self.states.iter().any(|state| state[place] == *answer),
            };
            if !is_known {
                breaches.push(format!("{step:?} never was {answer:?}"));
            }
        }
        for entry in answers.journal.iter().flatten() {
            if !self.journal.contains(entry) {
                breaches.push(format!("the journal never had {entry}"));
            }
        }
        judge(&breaches)
    }

    fn differing(&self, answers: &Answers) -> Vec<String> {
        let last = &self.states[self.states.len() - 1];
        let all = self.steps.iter().zip(&answers.steps).zip(last);
        let differing = all.filter(|((_, answer), expected)| {
            answer.as_ref().is_some_and(|answer| answer != *expected)
        });
        let mut differing: Vec<String> = differing.map(|it| format!("{it:?}")).collect();
        let journal = answers.journal.as_ref().map_or(0, Vec::len);
        differing.push(format!("{journal} of {} entries", self.journal.len()));
        differing
    }
}

impl Answers {
    fn has_errors(&self) -> bool {
        self.journal.is_none() || self.steps.iter().any(Option::is_none)
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|part| !part.is_empty())
}

/// The value of a query, or nothing where it failed.
async fn call(chat: &Chat, path: &str, args: Json) -> anyhow::Result<Option<Json>> {
    let body = json!({ "path": path, "args": args, "format": "json" });
    let (status, mut answer) = post(chat.url(), "/api/query", &body, None).await?;
    let is_success = status == 200 && answer["status"] == "success";
    Ok(is_success.then(|| answer["value"].take()))
}
