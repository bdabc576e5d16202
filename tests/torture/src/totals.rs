//! The totals of a rig over all its runs, in a small JSON file, so that a later run adds to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// Counts by name, and the seed of the next round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// The rig.
    pub rig: String,
    /// The seed of the round that comes next.
    pub next_seed: u64,
    /// When it was last added to.
    pub date: String,
    /// The work done, and the findings. Names that end in `_max` are the largest of all rounds.
    pub counts: BTreeMap<String, u64>,
    #[serde(skip)]
    file: Option<PathBuf>,
}

impl Totals {
    /// The totals of a rig in `file`, or new ones that begin at `seed`.
    pub fn resume(rig: &str, seed: u64, file: Option<&Path>) -> anyhow::Result<Totals> {
        let new = Totals {
            rig: rig.to_string(),
            next_seed: seed,
            ..Totals::default()
        };
        let Some(path) = file else {
            return Ok(new);
        };
        let totals = match std::fs::read(path) {
            Ok(text) => serde_json::from_slice(&text)
                .with_context(|| format!("{} holds no totals", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => new,
            Err(error) => return Err(error.into()),
        };
        anyhow::ensure!(
            totals.rig == rig,
            "{} holds totals of {}",
            path.display(),
            totals.rig
        );
        Ok(Totals {
            file: Some(path.to_path_buf()),
            ..totals
        })
    }

    /// Adds to a count, or keeps the larger of two, as its name says.
    pub fn add(&mut self, name: &str, count: u64) {
        let known = self.counts.entry(name.to_string()).or_default();
        *known = match name.ends_with("_max") {
            true => count.max(*known),
            false => *known + count,
        };
    }

    /// A count.
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// The round is over: what it added is kept.
    pub fn keep(&mut self) -> anyhow::Result<()> {
        self.next_seed += 1;
        self.date = jiff::Zoned::now().date().to_string();
        if let Some(path) = &self.file {
            // Written whole or not at all, since a run may be ended at any time.
            let new = path.with_extension("new");
            std::fs::write(&new, serde_json::to_vec_pretty(self)?)?;
            std::fs::rename(&new, path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_run_goes_on_where_an_earlier_one_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("totals.json");
        for round in 0..2 {
            let mut totals = Totals::resume("kills", 7, Some(&file)).expect("totals");
            assert_eq!(totals.next_seed, 7 + round);
            totals.add("kills", 3);
            totals.add("restart_ms_max", 9 - round);
            totals.keep().expect("kept");
        }
        let totals = Totals::resume("kills", 7, Some(&file)).expect("totals");
        assert_eq!(
            (totals.count("kills"), totals.count("restart_ms_max")),
            (6, 9)
        );
        assert!(Totals::resume("serial", 7, Some(&file)).is_err());
    }
}
