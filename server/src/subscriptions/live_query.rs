//! One live query: its call, its last result, and its watchers.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use vestibule_schema::path::FunctionPath;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::wire::{OutcomeJson, QueryId};

use super::idle::IdlePlace;
use crate::auth::{CacheScope, ClaimsRead};
use crate::database::ReadSet;
use crate::functions::{Call, FunctionOutcome, MutationRun, QueryOutcome, QueryRun, SystemError};

/// The result of a query, shared by all its watchers.
#[derive(Debug)]
pub struct QueryResult {
    /// How it ended.
    pub outcome: QueryOutcome,
    /// Its log lines.
    pub log_lines: Vec<String>,
    /// Where its page ended, to be handed in when it runs again.
    pub journal: Option<Arc<str>>,
    /// The request id of the run, which clients see in its error.
    pub request_id: Arc<str>,
    /// The result as a message's fragment, written by the first connection that sends it.
    pub json: OnceLock<OutcomeJson>,
}

impl QueryResult {
    /// The outcome, unless the query was suspended.
    pub fn done(&self) -> Option<&FunctionOutcome> {
        match &self.outcome {
            QueryOutcome::Done(outcome) => Some(outcome),
            QueryOutcome::Suspended => None,
        }
    }

    /// Whether a client that has the one need not be sent the other.
    pub(super) fn says_the_same_as(&self, other: &QueryResult) -> bool {
        self.outcome == other.outcome
            && self.log_lines == other.log_lines
            && self.journal == other.journal
    }

    /// Its rough size in memory, the message's fragment included.
    fn bytes(&self) -> usize {
        let value = match &self.outcome {
            QueryOutcome::Done(FunctionOutcome::Returned(value)) => value.size(),
            QueryOutcome::Done(FunctionOutcome::Threw(_)) | QueryOutcome::Suspended => 0,
        };
        2 * value + self.log_lines.iter().map(String::len).sum::<usize>()
    }
}

/// The outcome of one execution, with all that decides how long it holds.
#[derive(Debug)]
pub(super) struct Answer {
    pub result: Arc<QueryResult>,
    /// The page border that the execution was given.
    pub given: Option<Arc<str>>,
    pub reads: ReadSet,
    /// The claims of the caller's identity that it looked at; `None` when it never asked for the identity.
    pub claims_read: Option<ClaimsRead>,
    /// The commit it saw.
    pub ts: Timestamp,
    /// When it ran, where it asked what time it is.
    pub time_seen: Option<Duration>,
}

impl From<QueryRun> for Answer {
    fn from(run: QueryRun) -> Answer {
        let QueryRun {
            outcome,
            log_lines,
            reads,
            claims_read,
            journal,
            ts,
            request_id,
            time_seen,
        } = run;
        let result = QueryResult {
            outcome,
            log_lines,
            journal: journal.map(Arc::from),
            request_id,
            json: OnceLock::new(),
        };
        Answer {
            result: Arc::new(result),
            given: None,
            reads,
            claims_read,
            ts,
            time_seen,
        }
    }
}

impl From<MutationRun> for Answer {
    fn from(run: MutationRun) -> Answer {
        let MutationRun {
            outcome,
            log_lines,
            ts,
            basis,
        } = run;
        let outcome = QueryOutcome::Done(outcome);
        Answer::from(QueryRun {
            outcome,
            log_lines,
            reads: basis.reads.and(basis.stale_reads),
            claims_read: basis.claims_read,
            journal: None,
            ts,
            // Its outcome is the gate's to tell.
            request_id: "".into(),
            time_seen: basis.time_seen,
        })
    }
}

/// The kind of execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Execution {
    /// A query.
    Query,
    /// An idempotent mutation: once it has run, it has nothing to do until something it read changes.
    IdempotentMutation,
}

/// The callers that a result serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    /// All callers': it runs without an identity to look at, and is suspended when it looks.
    Shared,
    /// That of callers whose identities agree in the claims that executions of the function looked at.
    Of(CacheScope),
}

/// The key under which two executions are the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LiveQueryKey {
    pub execution: Execution,
    pub path: FunctionPath,
    /// The arguments as canonical JSON text.
    pub args: Arc<str>,
    pub journal: Option<Arc<str>>,
    pub scope: Scope,
    /// Whether internal functions exist for the caller: their answers are not for callers for whom they do not exist.
    pub sees_internal: bool,
}

impl LiveQueryKey {
    /// The key of an answer that depends on no identity.
    pub fn of_everybody(self) -> LiveQueryKey {
        LiveQueryKey {
            scope: Scope::Shared,
            ..self
        }
    }
}

/// A result with the commits between which it holds.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub result: Result<Arc<QueryResult>, SystemError>,
    /// It is the answer from this commit on …
    pub from: Timestamp,
    /// … and until before this one; as far as is known where `None`.
    pub until: Option<Timestamp>,
}

impl Version {
    /// Whether no commit is known to have overtaken it.
    pub fn is_newest(&self) -> bool {
        self.until.is_none()
    }
}

/// A live query.
pub(super) struct LiveQuery {
    pub key: LiveQueryKey,
    pub call: Arc<Call>,
    pub version: Option<Version>,
    /// When its last execution asked what time it is.
    pub time_seen: Option<Duration>,
    /// Its part of the interval index.
    pub reads: ReadSet,
    /// Executions under way.
    pub running: usize,
    /// Executions that gave an answer.
    pub answers: u64,
    pub watchers: BTreeSet<(u64, QueryId)>,
    /// The page border in the last result that a watcher was told. The page ends there from then on.
    pub told_border: Option<Arc<str>>,
    /// Its place among the live queries without watchers.
    pub idle: Option<IdlePlace>,
}

/// Memory that a live query takes beside its result: its key, its call, its place in the maps.
const ENTRY_BYTES: usize = 1 << 10;
/// How long the answer of an execution that asked what time it is serves new requests.
pub(super) const TIME_HOLDS: Duration = Duration::from_secs(15);
/// Memory that one of its ranges takes, the interval index included.
const RANGE_BYTES: usize = 128;

impl LiveQuery {
    pub fn new(key: LiveQueryKey, call: Arc<Call>) -> LiveQuery {
        LiveQuery {
            key,
            call,
            version: None,
            time_seen: None,
            reads: ReadSet::default(),
            running: 0,
            answers: 0,
            watchers: BTreeSet::new(),
            told_border: None,
            idle: None,
        }
    }

    /// The result of its last execution, unless that failed for the server's reasons.
    pub fn result(&self) -> Option<&Arc<QueryResult>> {
        self.version
            .as_ref()
            .and_then(|version| version.result.as_ref().ok())
    }

    /// The journal its next execution is given.
    pub fn journal(&self) -> Option<String> {
        self.border().map(|journal| journal.to_string())
    }

    /// Where its page ends, if a client has been shown its end. A border that nobody has been shown binds nobody: the
    /// next execution reads its first page anew.
    pub(super) fn border(&self) -> Option<&Arc<str>> {
        if self.key.journal.is_none() {
            return self.told_border.as_ref();
        }
        let journal = self
            .result()
            .map_or(&self.key.journal, |result| &result.journal);
        journal.as_ref()
    }

    /// Whether a client has been shown the end of a page since an execution began that was given another: its answer would
    /// move that end.
    pub fn has_shown_another_end(&self, given: Option<&Arc<str>>) -> bool {
        self.told_border.is_some() && given != self.border()
    }

    /// Whether a result is of another page than the one that the live query holds, which nobody may have been shown.
    pub fn holds_another_page_than(&self, result: &QueryResult) -> bool {
        let own = self.result().filter(|_| self.key.journal.is_none());
        own.is_some_and(|own| own.journal != result.journal)
    }

    /// Whether it has an answer that no commit has overtaken.
    pub fn is_fresh(&self) -> bool {
        self.version
            .as_ref()
            .is_some_and(|version| version.is_newest() && version.result.is_ok())
    }

    /// Whether its answer is too old for anybody new: the execution asked what time it was, and it is later now. Those who
    /// watch it keep it until something it read changes, or somebody new asks.
    pub fn is_outdated(&self, now: Duration) -> bool {
        self.time_seen
            .is_some_and(|seen| now.saturating_sub(seen) > TIME_HOLDS)
    }

    /// Its answer holds at no moment any more. The next execution begins where it ended.
    pub fn end_answer(&mut self) {
        if let Some(version) = &mut self.version {
            version.until = Some(version.from);
        }
    }

    /// Whether a commit has overtaken its answer.
    pub fn is_stale(&self) -> bool {
        self.version
            .as_ref()
            .is_some_and(|version| !version.is_newest())
    }

    /// Whether its last execution broke: it passed a limit, of time perhaps, or panicked. The next one may not.
    pub fn is_broken(&self) -> bool {
        self.result().is_some_and(
            |result| matches!(result.done(), Some(FunctionOutcome::Threw(thrown)) if thrown.may_pass()),
        )
    }

    pub fn is_suspended(&self) -> bool {
        self.result()
            .is_some_and(|result| result.outcome == QueryOutcome::Suspended)
    }

    /// Roughly what it takes in memory.
    pub fn bytes(&self) -> usize {
        let result = self.result().map_or(0, |result| result.bytes());
        ENTRY_BYTES + self.reads.len() * RANGE_BYTES + result
    }
}
