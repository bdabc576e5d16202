//! The books: what clients were told, against the journal, the users and the effects that the server shows in the end.
//! Nothing acknowledged may be lost, nothing may happen twice, and nothing that was refused may have happened.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::Event;
use crate::record::{Op, Outcome};
use crate::steps::Kind;

/// An entry of the journal, written by a transaction beside its other changes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Entry {
    /// The transaction.
    pub id: String,
    /// The results as the transaction had them.
    pub results: Vec<String>,
    /// The user as whom it ran.
    #[serde(default)]
    pub user: Option<String>,
}

/// The server's own account, read when all is over.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// All transactions that took effect.
    pub journal: Vec<Entry>,
    /// The tokens of all users.
    pub users: Vec<String>,
    /// Scheduled functions that took effect, each as often as it did.
    pub effects: Vec<String>,
}

/// The verdict of the books.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Everything that took effect.
    pub events: Vec<Event>,
    /// Mutations that were acknowledged.
    pub acknowledged: u64,
    /// Mutations without an answer that took effect.
    pub unknown_done: u64,
    /// Mutations without an answer that did not.
    pub unknown_not_done: u64,
    /// Mutations that were refused.
    pub refused: u64,
    /// Breaches.
    pub breaches: Vec<String>,
}

impl Books {
    /// Compares the books with a record.
    pub fn compare(&self, ops: &[Op]) -> Told {
        let mut told = Told::default();
        let mut journal = BTreeMap::new();
        for entry in &self.journal {
            if journal.insert(entry.id.as_str(), entry).is_some() {
                told.breaches.push(format!("twice: {}", entry.id));
            }
        }
        for op in ops {
            self.compare_op(op, journal.remove(op.id.as_str()), &mut told);
        }
        for id in journal.into_keys() {
            told.breaches.push(format!("from nowhere: {id}"));
        }
        self.compare_users(ops, &mut told.breaches);
        self.compare_effects(&told.events, &mut told.breaches);
        told
    }

    fn compare_op(&self, op: &Op, entry: Option<&Entry>, told: &mut Told) {
        let id = &op.id;
        match (&op.outcome, entry) {
            (Outcome::Done(results, _), Some(entry)) => {
                told.acknowledged += 1;
                if *results != entry.results {
                    let kept = &entry.results;
                    told.breaches
                        .push(format!("half: {id} was told {results:?}, kept {kept:?}"));
                }
            }
            (Outcome::Done(..), None) if op.is_mutation => {
                told.breaches.push(format!("lost: {id} was acknowledged"));
                return;
            }
            (Outcome::Failed(why), Some(_)) => {
                told.breaches
                    .push(format!("{id} was refused ({why}) and happened"));
            }
            (Outcome::Failed(why), None) => {
                told.refused += 1;
                if why.contains("NoUser") {
                    told.breaches
                        .push(format!("{id} ran before its user was there"));
                }
            }
            (Outcome::Unknown, Some(_)) => told.unknown_done += 1,
            (Outcome::Unknown, None) => told.unknown_not_done += u64::from(op.is_mutation),
            (Outcome::Done(..), None) => {}
        }
        if let (Some(entry), Some(person)) = (entry, &op.person) {
            let is_own = |user: &String| user.ends_with(&format!("|{person}"));
            if !entry.user.as_ref().is_some_and(is_own) {
                let user = &entry.user;
                told.breaches
                    .push(format!("{id} of {person} ran as {user:?}"));
            }
        }
        let results = entry.map(|entry| &entry.results[..]).or(op.results());
        told.events.extend(results.map(|results| Event {
            id: id.clone(),
            is_mutation: op.is_mutation,
            session: op.session,
            begun: op.begun,
            ended: op.ended,
            ts: op.ts(),
            steps: op.steps.clone(),
            results: results.to_vec(),
        }));
    }

    /// Each person who had an answer has one user, and nobody has two.
    fn compare_users(&self, ops: &[Op], breaches: &mut Vec<String>) {
        let mut users = BTreeSet::new();
        for user in &self.users {
            let subject = user.rsplit('|').next().unwrap_or_default();
            if !users.insert(subject) {
                breaches.push(format!("two users of {subject}"));
            }
        }
        for op in ops.iter().filter(|op| op.results().is_some()) {
            if let Some(person) = op.person.as_deref().filter(|it| !users.contains(it)) {
                breaches.push(format!("{} had an answer, and {person} has no user", op.id));
            }
        }
    }

    /// Each function that a transaction scheduled took effect once, and no other did.
    fn compare_effects(&self, events: &[Event], breaches: &mut Vec<String>) {
        let mut effects: BTreeMap<&str, u32> = BTreeMap::new();
        for name in &self.effects {
            *effects.entry(name).or_default() += 1;
        }
        for name in scheduled(events) {
            match effects.remove(name).unwrap_or(0) {
                1 => {}
                times => breaches.push(format!("the scheduled {name} ran {times} times")),
            }
        }
        for name in effects.into_keys() {
            breaches.push(format!("{name} ran and was never scheduled"));
        }
    }
}

/// The functions that transactions left for later.
pub fn scheduled(events: &[Event]) -> impl Iterator<Item = &str> {
    let mutations = events.iter().filter(|event| event.is_mutation);
    let steps = mutations.flat_map(|event| &event.steps);
    let scheduled = steps.filter(|step| step.kind == Kind::Schedule);
    scheduled.map(|step| step.other.as_str())
}
