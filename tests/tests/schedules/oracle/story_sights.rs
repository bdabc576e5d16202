//! The threats to an application's promises that stories show: a campaign with clients of ours must have met each.

use std::collections::BTreeMap;

use vestibule_server::probe::Event;
use vestibule_tests::story::{CallKind, How, Mine, Saw, Standing, Why};

use super::stories::seen;

/// Everything there is to meet through the Rust client.
pub const RUST_SIGHTS: [&str; 15] = [
    "an application let in",
    "let in after being kept out",
    "kept out: refused",
    "kept out: token rejected",
    "kept out: timed out",
    "somebody else signed in after one who was let in",
    "somebody else signed in before the last was let in",
    "on the way in again after being let in",
    "a result shown",
    "a live query that ended with its login",
    "a live query that waits for its user to be let in again",
    "a mutation that resolved and was seen",
    "a mutation given up that may have run",
    "a call given up that did not run",
    "an action whose connection was lost",
];

/// Everything there is to meet through the React package, which says less of its states.
pub const REACT_SIGHTS: [&str; 6] = [
    "an application let in",
    "kept out: refused",
    "somebody else signed in after one who was let in",
    "somebody else signed in before the last was let in",
    "a result shown",
    "a call given up that did not run",
];

/// How often the stories in a record show each sight that they show.
pub fn story_sights(record: &[Event]) -> BTreeMap<&'static str, usize> {
    let mut sights = BTreeMap::new();
    for story in seen(record) {
        for (at, saw) in story.iter().enumerate() {
            if let Some(sight) = sights_of(&story[..at], saw) {
                *sights.entry(sight).or_default() += 1;
            }
        }
    }
    sights
}

fn sights_of(before: &[Saw], saw: &Saw) -> Option<&'static str> {
    let let_in = |login: u64| before.contains(&Saw::LetIn { login });
    match saw {
        Saw::LetIn { login } => {
            let is_kept_out =
                |saw: &Saw| matches!(saw, Saw::KeptOut { login: of, .. } if of == login);
            match before.iter().any(is_kept_out) {
                true => Some("let in after being kept out"),
                false => Some("an application let in"),
            }
        }
        Saw::KeptOut { why, .. } => match why.as_str() {
            "refused" => Some("kept out: refused"),
            "token rejected" => Some("kept out: token rejected"),
            "timed out" => Some("kept out: timed out"),
            _ => None,
        },
        Saw::Asks { login, .. } if *login > 1 => match let_in(login - 1) {
            true => Some("somebody else signed in after one who was let in"),
            false => Some("somebody else signed in before the last was let in"),
        },
        Saw::Stands { client, status } => {
            let stood = before.iter().rev().find_map(|saw| match saw {
                Saw::Stands { client: of, status } if of == client => Some(*status),
                _ => None,
            });
            match (stood, status) {
                (Some(Standing::Provisioned), Standing::Provisioning) => {
                    Some("on the way in again after being let in")
                }
                (_, Standing::Refreshing) => Some("another token fetched after being let in"),
                _ => None,
            }
        }
        Saw::Shown { .. } => Some("a result shown"),
        Saw::Failed {
            why: Why::LoginEnded,
            ..
        } => Some("a live query that ended with its login"),
        Saw::Failed {
            why: Why::NotProvisioned,
            ..
        } => Some("a live query that waits for its user to be let in again"),
        Saw::Answered {
            mark, how, mine, ..
        } => answered(before, mark, how, mine),
        _ => None,
    }
}

fn answered(before: &[Saw], mark: &str, how: &How, mine: &Mine) -> Option<&'static str> {
    let is_mutation = before.iter().any(
        |saw| matches!(saw, Saw::Calls { mark: of, kind: CallKind::Mutation, .. } if of == mark),
    );
    match (how, mine) {
        (How::Returned(_), Mine::Marks(_)) if is_mutation => {
            Some("a mutation that resolved and was seen")
        }
        (
            How::LoginEnded { may_have_run: true } | How::NotProvisioned { may_have_run: true },
            _,
        ) if is_mutation => Some("a mutation given up that may have run"),
        (How::LoginEnded { .. } | How::NotProvisioned { .. }, _) => {
            Some("a call given up that did not run")
        }
        (How::ConnectionLost, _) => Some("an action whose connection was lost"),
        _ => None,
    }
}
