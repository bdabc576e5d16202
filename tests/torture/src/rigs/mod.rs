//! The rigs. Each runs rounds that follow from a seed, and a round that finds a breach fails with everything it knows.

pub mod damage;
pub mod kills;
pub mod power;
pub mod serial;
pub mod soak;
pub mod storm;
pub mod syscalls;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use vestibule_tests::process::admin_authorization;

use crate::totals::Totals;

/// How long a rig runs.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// So many rounds.
    Rounds(u64),
    /// So long, and the last round to its end.
    Time(Duration),
}

/// The parts that all rigs need.
pub struct Bench {
    /// This program, which is also the server under torture.
    pub program: PathBuf,
    /// How long to run.
    pub length: Length,
    /// The counts so far.
    pub totals: Totals,
    /// Whether functions are pushed in TypeScript, and not part of the server's program.
    pub typescript: bool,
}

impl Bench {
    /// Runs rounds, each with its seed.
    pub fn rounds(
        &mut self,
        mut round: impl FnMut(u64, &mut Bench) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut done = 0;
        while match self.length {
            Length::Rounds(rounds) => done < rounds,
            Length::Time(time) => begun.elapsed() < time,
        } {
            let seed = self.totals.next_seed;
            round(seed, self)
                .map_err(|error| error.context(format!("round with --seed {seed}")))?;
            done += 1;
            self.totals.add("rounds", 1);
            self.totals.keep()?;
        }
        Ok(())
    }
}

/// All breaches as one error.
pub fn judge(breaches: &[String]) -> anyhow::Result<()> {
    const SHOWN_MAX: usize = 10;
    let shown = &breaches[..breaches.len().min(SHOWN_MAX)];
    anyhow::ensure!(
        breaches.is_empty(),
        "{} breaches:\n{}",
        breaches.len(),
        shown.join("\n")
    );
    Ok(())
}

/// Pushes the functions, if they are in TypeScript.
pub fn push_if_typescript(typescript: bool, data: &Path, url: &str) -> anyhow::Result<()> {
    if !typescript {
        return Ok(());
    }
    let authorization = admin_authorization(data)?;
    let key = authorization.trim_start_matches("Convex ");
    let functions = Path::new(env!("CARGO_MANIFEST_DIR")).join("functions");
    load::functions::push_folder(&functions, url, key)
}
