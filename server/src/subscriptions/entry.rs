//! One live query: what it is, what it last gave, and who watches it.

use std::sync::{Arc, OnceLock};

use vestibule_schema::path::FunctionPath;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::wire::{OutcomeJson, QueryId};

use crate::auth::CacheScope;
use crate::functions::{Call, FunctionOutcome, QueryOutcome, SystemError};
use crate::storage::KeyRange;

/// What a query gave, shared by everyone who watches it.
#[derive(Debug)]
pub struct QueryResult {
    /// How it ended.
    pub outcome: QueryOutcome,
    /// What it logged.
    pub log_lines: Vec<String>,
    /// Where its page ended, to be handed in when it runs again.
    pub journal: Option<Arc<str>>,
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
        self.outcome == other.outcome && self.log_lines == other.log_lines && self.journal == other.journal
    }

    /// Roughly what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let value = match &self.outcome {
            QueryOutcome::Done(FunctionOutcome::Returned(value)) => value.size(),
            _ => 0,
        };
        256 + 2 * value + self.log_lines.iter().map(String::len).sum::<usize>()
    }
}

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Execution {
    /// A query.
    Query,
    /// A mutation, where it cannot write: its answer holds as long as nothing it read changes.
    MutationWithoutWriting,
}

/// Whose result it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    /// Everybody's: it runs without an identity to look at, and is suspended when it looks.
    Shared,
    /// That of callers whose identity looks the same.
    Of(CacheScope),
}

/// What makes two executions the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct EntryKey {
    pub execution: Execution,
    pub path: FunctionPath,
    /// The arguments as canonical JSON text.
    pub args: Arc<str>,
    pub journal: Option<Arc<str>>,
    pub scope: Scope,
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

/// A live query.
pub(super) struct Entry {
    pub key: EntryKey,
    pub call: Arc<Call>,
    pub version: Option<Version>,
    /// Its part of the interval index.
    pub ranges: Vec<KeyRange>,
    /// Executions under way.
    pub running: usize,
    pub watchers: Vec<(u64, QueryId)>,
    /// When it was last used while nobody watches it.
    pub idle_since: Option<u64>,
}

impl Entry {
    pub fn new(key: EntryKey, call: Arc<Call>) -> Entry {
        Entry {
            key,
            call,
            version: None,
            ranges: Vec::new(),
            running: 0,
            watchers: Vec::new(),
            idle_since: None,
        }
    }

    /// The journal its next execution is given.
    pub fn journal(&self) -> Option<String> {
        let result = self.version.as_ref().and_then(|version| version.result.as_ref().ok());
        match result {
            Some(result) => result.journal.as_deref().map(str::to_string),
            None => self.key.journal.as_deref().map(str::to_string),
        }
    }

    /// Whether it has an answer that no commit has overtaken.
    pub fn is_fresh(&self) -> bool {
        self.version.as_ref().is_some_and(|version| version.until.is_none() && version.result.is_ok())
    }

    pub fn is_suspended(&self) -> bool {
        let result = self.version.as_ref().and_then(|version| version.result.as_ref().ok());
        result.is_some_and(|result| result.outcome == QueryOutcome::Suspended)
    }
}
