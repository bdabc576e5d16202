//! `serial`: transactions of all kinds over WebSockets and HTTP, with kills and cuts, judged by the graph and by the replay
//! (R8). Every Transition is a read at its timestamp, and every watcher has to see the end (R9).

use super::storm::Storm;
use super::{Bench, judge, kills};
use crate::checks::{Graph, replay};

/// The size of a round.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Kills of a server that is ready.
    pub kills: usize,
    /// Answers in each life at the most.
    pub answers_max: usize,
    /// The planted fault of [`Storm`].
    pub rolls_back: bool,
}

/// Rounds by command.
pub const RELEASE: Size = Size {
    kills: 4,
    answers_max: 4_000,
    rolls_back: false,
};
/// The round in `cargo test`.
pub const TEST: Size = Size {
    kills: 3,
    answers_max: 1_500,
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
            sessions: 8,
            callers: 6,
            watchers: 6,
            visitors: 2,
            kills: size.kills,
            answers_max: size.answers_max,
            cuts: true,
            typescript: bench.typescript,
            rolls_back: size.rolls_back,
        };
        let after = storm.run(&folder.path().join("data"))?;
        let mut breaches = kills::verdict(&after, bench);
        let events = after.books.compare(&after.ops).events;
        let (_, cycles, counts) = Graph::new(&events).order();
        breaches.extend(cycles);
        breaches.extend(replay(&events));
        let totals = &mut bench.totals;
        let count = |is_it: &dyn Fn(&crate::checks::Event) -> bool| {
            events.iter().filter(|event| is_it(event)).count() as u64
        };
        totals.add("transactions", count(&|event| event.is_mutation));
        totals.add("reads", count(&|event| event.id.starts_with('r')));
        totals.add("transitions", count(&|event| event.id.starts_with('t')));
        totals.add("edges", counts.edges);
        judge(&breaches)
    })
}
