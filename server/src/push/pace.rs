//! The pace of a walk over a whole table, such as the fill of an index. Beside commits of others its steps are short, and
//! each is followed by a pause. While nobody else commits, it goes as fast as it can.

use std::sync::Arc;
use std::time::Duration;

use vestibule_schema::id::InternalId;

use super::Pushes;
use super::backfill::{GONE, STEP_DOCUMENTS_MAX, timed};
use super::error::PushError;
use super::stored::trouble;
use crate::clock::Clock;
use crate::database::{Database, DatabaseError, Step, TableMeta, Transaction, WriteLog};

/// Documents of a step, however long they take.
const STEP_DOCUMENTS_MIN: usize = 16;
/// The work of one step beside commits of others.
const STEP_TIME: Duration = Duration::from_millis(1);
/// How many times its work a step is followed by a pause. The walk then takes a quarter of one core at the most.
const PAUSE_FACTOR: u32 = 3;
/// The longest pause. A step that took longer than its part of this was held up by something else.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// The pace of one walk.
pub(super) struct Pace {
    clock: Arc<dyn Clock>,
    write_log: Arc<WriteLog>,
    documents: usize,
    /// Commits of the walk itself.
    own: u64,
    /// Commits of others, when it last looked.
    others: u64,
}

impl Pace {
    /// The pace of a walk that begins now.
    pub fn new(database: &Database) -> Pace {
        let write_log = database.write_log().clone();
        Pace {
            clock: database.clock().clone(),
            documents: STEP_DOCUMENTS_MAX,
            own: 0,
            others: write_log.commits(),
            write_log,
        }
    }

    /// How many documents the next step looks at.
    pub fn documents(&self) -> usize {
        self.documents
    }

    /// Does a step, after a pause again while a queue has no room for it. Callers alone fill queues, for a moment, and a
    /// walk may have gone on for hours.
    pub async fn step<T, S>(&self, step: impl Fn() -> S) -> Result<T, PushError>
    where
        S: Future<Output = Result<T, PushError>>,
    {
        loop {
            match step().await {
                Err(PushError::System(error)) if error.is_of_a_full_queue() => {
                    let until = self.clock.elapsed() + PAUSE_MAX;
                    self.clock.sleep_until(until).await;
                }
                done => return done,
            }
        }
    }

    /// The last step was a commit.
    pub fn committed(&mut self) {
        self.own += 1;
    }

    /// Rests after a step that worked for `worked`.
    pub async fn rest(&mut self, worked: Duration) {
        let pause = self.pause_after(worked);
        if !pause.is_zero() {
            self.clock.sleep_until(self.clock.elapsed() + pause).await;
        }
    }

    fn pause_after(&mut self, worked: Duration) -> Duration {
        // The news of the walk's own commit may come a moment after its answer.
        let others = self.write_log.commits().saturating_sub(self.own);
        let is_alone = others <= self.others;
        self.others = others.max(self.others);
        self.documents = match is_alone {
            true => STEP_DOCUMENTS_MAX,
            false => fitting(self.documents, worked),
        };
        match is_alone {
            true => Duration::ZERO,
            false => (PAUSE_FACTOR * worked).min(PAUSE_MAX),
        }
    }
}

/// As many documents as the time of a step allows, where `documents` took `worked`.
fn fitting(documents: usize, worked: Duration) -> usize {
    let per_document = worked.as_secs_f64() / documents as f64;
    // A float becomes the nearest number that there is.
    let fitting = (STEP_TIME.as_secs_f64() / per_document) as usize;
    fitting.clamp(STEP_DOCUMENTS_MIN, STEP_DOCUMENTS_MAX)
}

impl Pushes {
    /// Walks over a table's documents, each step on a snapshot of its own. `look` looks at some documents behind the one that
    /// it is given, as [`Transaction::check_documents`] does. `seen` gets what it found, and says whether to go on.
    pub(super) async fn walk<T: Send + 'static>(
        &self,
        table: &str,
        look: impl Fn(
            &mut Transaction<'_>,
            &TableMeta,
            Option<InternalId>,
            usize,
        ) -> Result<(Step, T), DatabaseError>
        + Clone
        + Send
        + 'static,
        mut seen: impl FnMut(&Step, T) -> bool,
    ) -> Result<(), PushError> {
        let mut after = None;
        let mut pace = Pace::new(self.functions.database());
        loop {
            let step = || {
                let (name, look, max) = (table.to_owned(), look.clone(), pace.documents());
                self.read(move |tx| {
                    timed(tx, |tx| {
                        let catalog = tx.catalog();
                        let table = catalog.table(&name).ok_or(GONE)?;
                        look(tx, table, after, max).map_err(trouble)
                    })
                })
            };
            let ((step, found), worked) = pace.step(step).await?;
            after = step.next;
            if !seen(&step, found) || after.is_none() {
                return Ok(());
            }
            pace.rest(worked).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use vestibule_schema::timestamp::Timestamp;

    use super::*;
    use crate::clock::{ManualClock, UnixNanos};
    use crate::database::{LogEntry, Touched};

    struct Walk {
        pace: Pace,
        write_log: Arc<WriteLog>,
        newest: u64,
    }

    impl Walk {
        fn begin() -> Walk {
            let write_log = Arc::new(WriteLog::new(Timestamp(1)));
            let pace = Pace {
                clock: Arc::new(ManualClock::at(UnixNanos::from_seconds(1))),
                write_log: write_log.clone(),
                documents: STEP_DOCUMENTS_MAX,
                own: 0,
                others: 0,
            };
            Walk {
                pace,
                write_log,
                newest: 1,
            }
        }

        fn publish(&mut self) {
            self.newest += 1;
            let ts = Timestamp(self.newest);
            let touched = Arc::new(Touched::default());
            self.write_log.publish(vec![LogEntry { ts, touched }], ts);
        }

        /// A step of so many milliseconds that was a commit. Returns the milliseconds of the pause after it.
        fn step(&mut self, millis: u64) -> u128 {
            self.pace.committed();
            let pause = self.pace.pause_after(Duration::from_millis(millis));
            self.publish();
            pause.as_millis()
        }
    }

    #[test]
    fn a_walk_that_is_alone_goes_on_at_once_with_long_steps() {
        let mut walk = Walk::begin();
        // The news of each step comes after it.
        let pauses = [1, 30, 2_000, 1].map(|millis| walk.step(millis));
        assert_eq!(pauses, [0; 4]);
        assert_eq!(walk.pace.documents(), STEP_DOCUMENTS_MAX);
    }

    #[test]
    fn beside_other_commits_steps_become_short_and_pauses_follow_them() {
        let mut walk = Walk::begin();
        // The news of the first step is not there yet, and hides one of these.
        walk.publish();
        walk.publish();
        assert_eq!(walk.step(4), 12);
        assert_eq!(walk.pace.documents(), STEP_DOCUMENTS_MAX / 4);
        walk.publish();
        assert_eq!(walk.step(1), 3);
        assert_eq!(walk.pace.documents(), STEP_DOCUMENTS_MAX / 4);
        walk.publish();
        assert_eq!(walk.step(60_000), PAUSE_MAX.as_millis());
        assert_eq!(walk.pace.documents(), STEP_DOCUMENTS_MIN);
        assert_eq!(walk.step(1), 0, "nobody else has committed since");
        assert_eq!(walk.pace.documents(), STEP_DOCUMENTS_MAX);
    }

    #[test]
    fn a_clock_that_stands_still_holds_no_walk_up() {
        let mut walk = Walk::begin();
        walk.publish();
        walk.publish();
        assert_eq!(walk.step(0), 0);
        assert_eq!(walk.pace.documents(), STEP_DOCUMENTS_MAX);
    }
}
