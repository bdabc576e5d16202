//! `kills`: SIGKILL of the server at random instants, also while it starts. Nothing acknowledged is lost, nothing happens
//! twice or in half, everyone has one user, and what was scheduled is done once (R1, R10, R11).

use super::storm::{Aftermath, Storm};
use super::{Bench, judge};

/// The size of a round.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Kills of a server that is ready.
    pub kills: usize,
    /// Clients over WebSockets.
    pub sessions: usize,
    /// The planted fault of [`Storm`].
    pub rolls_back: bool,
}

/// Rounds by command.
pub const RELEASE: Size = Size {
    kills: 20,
    sessions: 48,
    rolls_back: false,
};
/// The round in `cargo test`.
pub const TEST: Size = Size {
    kills: 12,
    sessions: 16,
    rolls_back: false,
};

/// Runs the rig.
pub fn run(bench: &mut Bench, size: Size) -> anyhow::Result<()> {
    bench.rounds(|seed, bench| {
        let folder = tempfile::Builder::new()
            .prefix("vestibule-torture-")
            .tempdir()?;
        let storm = Storm {
            seed,
            program: bench.program.clone(),
            sessions: size.sessions,
            callers: size.sessions / 4,
            watchers: size.sessions / 8,
            visitors: 4,
            kills: size.kills,
            answers_max: 400,
            cuts: false,
            typescript: bench.typescript,
            rolls_back: size.rolls_back,
        };
        let after = storm.run(&folder.path().join("data"))?;
        judge(&verdict(&after, bench))
    })
}

/// Compares the record with the books, and adds to the totals.
pub fn verdict(after: &Aftermath, bench: &mut Bench) -> Vec<String> {
    let told = after.books.compare(&after.ops);
    let totals = &mut bench.totals;
    totals.add("kills", after.kills);
    totals.add("kills_at_start", after.kills_at_start);
    totals.add("cuts", after.cuts);
    totals.add("starts", after.restarts.len() as u64);
    totals.add("acknowledged", told.acknowledged);
    totals.add("unknown_done", told.unknown_done);
    totals.add("unknown_not_done", told.unknown_not_done);
    totals.add("refused", told.refused);
    totals.add("users", after.books.users.len() as u64);
    totals.add("scheduled", after.books.effects.len() as u64);
    let slowest = after.restarts.iter().max().map_or(0, |it| it.as_millis());
    totals.add("start_ms_max", u64::try_from(slowest).unwrap_or(u64::MAX));
    totals.add("file_bytes_max", after.file_bytes);
    let mut breaches = after.breaches.clone();
    breaches.extend(told.breaches);
    breaches
}
