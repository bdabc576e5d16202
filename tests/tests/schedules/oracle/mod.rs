//! The rules of a record: the invariants of the first-login guarantee, each a function of the record alone.

mod calls;
mod frames;
mod gates;
mod reading;
mod sights;
mod stories;
mod story_sights;
#[cfg(test)]
mod story_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use vestibule_schema::identity::IdentityKey;
use vestibule_server::probe::Event;
use vestibule_tests::control::Remark;

use super::child::remarked;
use reading::Reading;
pub use reading::{held_up, is_quiet};
pub use sights::{SIGHTS, TYPESCRIPT_SIGHTS, WEBHOOK_SIGHTS, sights};
pub use stories::judge_stories;
pub use story_sights::{REACT_SIGHTS, RUST_SIGHTS, story_sights};

/// A place where a record is not as it must be.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// The invariant, such as `G1`.
    pub rule: &'static str,
    /// The event at which it shows; none for what never happened.
    pub at: Option<usize>,
    pub says: String,
}

impl Violation {
    /// Of something that never happened.
    pub fn new(rule: &'static str, says: String) -> Violation {
        Violation {
            rule,
            at: None,
            says,
        }
    }

    fn at(rule: &'static str, at: usize, says: String) -> Violation {
        Violation {
            at: Some(at),
            ..Violation::new(rule, says)
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "{} at event {at}: {}", self.rule, self.says),
            None => write!(f, "{}: {}", self.rule, self.says),
        }
    }
}

type Check = fn(&Reading<'_>) -> Vec<Violation>;

const CHECKS: [Check; 15] = [
    gates::g1_nothing_runs_before_its_commit,
    gates::g1_a_run_that_ended_has_a_commit_behind_it,
    gates::g2_reads_are_at_or_past_the_commit,
    frames::g3_no_frame_mixes_identities,
    gates::g4_only_its_own_answer_opens_or_shuts_a_gate,
    g5_and_g6_one_whole_user_or_none,
    calls::g7_calls_run_as_whom_they_were_taken_from,
    calls::g7_answers_are_of_whom_the_call_was_meant,
    gates::g8_every_gate_ends,
    gates::g8_every_run_ends,
    gates::g9_waiting_delays_nobody_else,
    frames::g10_a_refresh_is_never_anonymous,
    nobody_is_told_that_a_user_is_missing,
    calls::a_request_commits_once,
    frames::a_response_goes_before_what_shows_it,
];

/// Everything that is wrong with a record.
pub fn judge(record: &[Event]) -> Vec<Violation> {
    let reading = Reading::of(record);
    CHECKS.iter().flat_map(|check| check(&reading)).collect()
}

/// How many identities were let in.
pub fn first_logins(record: &[Event]) -> usize {
    let let_in: BTreeSet<&IdentityKey> = record.iter().filter_map(let_in).collect();
    let_in.len()
}

fn let_in(event: &Event) -> Option<&IdentityKey> {
    match event {
        Event::RunEnded {
            identity,
            outcome: Ok(_),
        } => Some(identity),
        _ => None,
    }
}

/// G5, G6: the file holds at most one user of an identity, with everything that is made together with them. It holds
/// exactly one of every identity that was let in.
fn g5_and_g6_one_whole_user_or_none(reading: &Reading<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (at, event) in reading.events() {
        let Some(Remark::Rows {
            identity,
            users,
            settings,
        }) = remarked(event)
        else {
            continue;
        };
        let was_let_in = reading
            .events()
            .any(|(_, event)| let_in(event) == Some(&identity));
        if users > 1 || (was_let_in && users == 0) {
            let says = format!("{identity:?} has {users} users");
            violations.push(Violation::at("G5", at, says));
        }
        if users != settings {
            let says = format!("{identity:?} has {users} users and {settings} settings");
            violations.push(Violation::at("G6", at, says));
        }
    }
    violations
}

/// No function may run as an identity whose user is not there, or not whole.
fn nobody_is_told_that_a_user_is_missing(reading: &Reading<'_>) -> Vec<Violation> {
    let is_bad = |text: &str| text.contains("UserNotFound") || text.contains("HalfUser");
    let mut violations = Vec::new();
    for (at, event) in reading.events() {
        let text = match event {
            Event::Sent { message, .. } => message.to_string(),
            Event::Ended {
                threw: Some(threw), ..
            } => threw.clone(),
            _ => continue,
        };
        if is_bad(&text) {
            violations.push(Violation::at("UserNotFound", at, text));
        }
    }
    violations
}
