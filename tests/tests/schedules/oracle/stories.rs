//! The invariants of an application's sights through a client of ours, each a function of its story and of the file's
//! content in the end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use vestibule_schema::identity::IdentityKey;
use vestibule_server::probe::Event;
use vestibule_tests::control::Remark;
use vestibule_tests::story::{CallKind, How, Mine, Saw, Standing, Why};

use super::Violation;
use crate::child::remarked;

/// The story of one application, with the places in the record; the identities of its logins; and the file's content.
pub struct Story<'r> {
    pub client: usize,
    pub seen: Vec<(usize, Saw)>,
    people: BTreeMap<u64, IdentityKey>,
    written: &'r BTreeMap<IdentityKey, Vec<String>>,
    /// Time was skipped while a function ran, longer than one may take.
    has_timed_out: bool,
    /// Calls that failed once. If that answer was lost, they were sent again and may have run after later ones.
    failed_once: &'r BTreeSet<String>,
}

type Check = fn(&Story<'_>) -> Vec<Violation>;

const CHECKS: [Check; 8] = [
    c1_results_are_of_their_login_and_come_after_it_was_let_in,
    c2_answers_are_of_their_login,
    c3_every_call_ends_once_and_in_a_way_it_may,
    c4_a_mutation_that_resolved_is_seen,
    c5_what_was_answered_was_written_once_and_in_order,
    c6_what_is_made_under_a_login_that_has_ended_never_runs,
    c7_states_move_along_their_arrows,
    c8_nothing_fails_that_has_no_reason_to,
];

/// Everything that is wrong with the stories in a record.
pub fn judge_stories(record: &[Event]) -> Vec<Violation> {
    let written = written(record);
    let failed_once = failed_once(record);
    let stories = stories(record, &written, &failed_once);
    let mut violations: Vec<Violation> = stories
        .iter()
        .flat_map(|story| CHECKS.iter().flat_map(move |check| check(story)))
        .collect();
    violations.extend(c9_nothing_is_written_that_nobody_called(&stories, &written));
    violations
}

fn written(record: &[Event]) -> BTreeMap<IdentityKey, Vec<String>> {
    let remarks = record.iter().filter_map(remarked);
    remarks
        .filter_map(|remark| match remark {
            Remark::Written { identity, marks } => Some((identity, marks)),
            _ => None,
        })
        .collect()
}

fn stories<'r>(
    record: &[Event],
    written: &'r BTreeMap<IdentityKey, Vec<String>>,
    failed_once: &'r BTreeSet<String>,
) -> Vec<Story<'r>> {
    let mut seen: BTreeMap<usize, Vec<(usize, Saw)>> = BTreeMap::new();
    for (at, event) in record.iter().enumerate() {
        if let Some(Remark::Saw { client, saw }) = remarked(event) {
            seen.entry(client).or_default().push((at, saw));
        }
    }
    let has_timed_out = record.iter().any(has_timed_out);
    let stories = seen.into_iter().map(|(client, seen)| Story {
        has_timed_out,
        failed_once,
        client,
        people: people(&seen),
        seen,
        written,
    });
    stories.collect()
}

/// The stories of a record, for a search for sights in them.
pub fn seen(record: &[Event]) -> Vec<Vec<Saw>> {
    let (nothing, none) = (BTreeMap::new(), BTreeSet::new());
    let stories = stories(record, &nothing, &none).into_iter();
    stories
        .map(|story| story.seen.into_iter().map(|(_, saw)| saw).collect())
        .collect()
}

fn has_timed_out(event: &Event) -> bool {
    matches!(event, Event::Ended { threw: Some(threw), .. } if threw.contains("execution timed out"))
}

/// The marks of calls whose function failed: a server keeps only what succeeded, so they run again when sent again.
fn failed_once(record: &[Event]) -> BTreeSet<String> {
    let mut marks = BTreeMap::new();
    let mut failed = BTreeSet::new();
    for event in record {
        match event {
            Event::Received { seat, message } => {
                let request = message["requestId"].as_u64();
                let mark = message["args"][0]["mark"].as_str();
                if let (Some(request), Some(mark)) = (request, mark) {
                    marks.insert((*seat, request), mark);
                }
            }
            Event::Ended {
                execution,
                threw: Some(_),
            } => {
                let call = execution.call.as_ref();
                let key = call.and_then(|call| Some((call.seat, u64::from(call.request?))));
                failed.extend(key.and_then(|key| marks.get(&key)).map(ToString::to_string));
            }
            _ => {}
        }
    }
    failed
}

fn people(seen: &[(usize, Saw)]) -> BTreeMap<u64, IdentityKey> {
    let asks = seen.iter().filter_map(|(_, saw)| match saw {
        Saw::Asks { login, identity } => Some((*login, identity.clone())),
        _ => None,
    });
    asks.collect()
}

impl Story<'_> {
    /// The marks that the file holds of a login's person.
    fn written_by(&self, login: u64) -> &[String] {
        let identity = self.people.get(&login);
        identity
            .and_then(|identity| self.written.get(identity))
            .map_or(&[], Vec::as_slice)
    }

    /// Whether a failure is one that the schedule brings about. A server in production hides its cause.
    fn is_expected(&self, failure: &str) -> bool {
        self.has_timed_out && failure.contains("Server Error")
    }

    fn violation(&self, rule: &'static str, at: usize, says: String) -> Violation {
        Violation::at(rule, at, format!("client {}: {says}", self.client))
    }
}

const PULSE: &str = "notes:pulse";

/// Whether a result is what this person must see.
fn is_of(query: &str, value: &Json, who: &IdentityKey) -> bool {
    let is_who = |value: &Json| value.as_str() == Some(who.as_str());
    match query {
        "notes:mine" => value
            .as_array()
            .is_some_and(|notes| notes.iter().all(|note| is_who(&note["ranAs"]))),
        _ => is_who(value),
    }
}

fn c1_results_are_of_their_login_and_come_after_it_was_let_in(story: &Story<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut let_in = BTreeSet::new();
    // Queries that were told that their user is not let in any more. Each time that they show a result again, the
    // application must have asked; the telling may be noted only after that.
    let mut suspended = BTreeSet::new();
    let mut resumed: BTreeMap<(u64, &String), usize> = BTreeMap::new();
    let mut asked: BTreeMap<u64, usize> = BTreeMap::new();
    let mut over = BTreeSet::new();
    let mut pulses: BTreeMap<u64, f64> = BTreeMap::new();
    for (at, saw) in &story.seen {
        match saw {
            Saw::LetIn { login } => {
                let_in.insert(*login);
            }
            Saw::Asks { login, .. } => *asked.entry(*login).or_default() += 1,
            Saw::Failed {
                login, query, why, ..
            } => {
                match why {
                    Why::NotProvisioned => suspended.insert((*login, query)),
                    Why::LoginEnded => over.insert((*login, query)),
                    Why::Function | Why::Other => false,
                };
            }
            Saw::Shown {
                login,
                query,
                value,
            } if query == PULSE => {
                let beats = value.as_f64().unwrap_or(-1.0);
                let before = pulses.insert(*login, beats).unwrap_or(0.0);
                if beats < before {
                    let says = format!("the pulse went from {before} back to {beats}");
                    violations.push(story.violation("C1", *at, says));
                }
            }
            Saw::Shown {
                login,
                query,
                value,
            } => {
                let who = story.people.get(login);
                let is_own = who.is_some_and(|who| is_of(query, value, who));
                let place = (*login, query);
                let times = resumed.entry(place).or_insert(1);
                *times += usize::from(suspended.remove(&place));
                let is_asked_for = asked.get(login).is_some_and(|asked| *times <= *asked);
                let flaw = match () {
                    () if !is_own => "which is not theirs",
                    () if !let_in.contains(login) => "before they were let in",
                    () if !is_asked_for => "though they are kept out",
                    () if over.contains(&place) => "though their login had ended",
                    () => continue,
                };
                let says = format!("login {login} of {who:?} is shown {value} of {query}, {flaw}");
                violations.push(story.violation("C1", *at, says));
            }
            _ => {}
        }
    }
    violations
}

fn c2_answers_are_of_their_login(story: &Story<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (at, saw) in &story.seen {
        let Saw::Answered {
            login,
            mark,
            how: How::Returned(note),
            ..
        } = saw
        else {
            continue;
        };
        let who = story.people.get(login).map(IdentityKey::as_str);
        let is_own = ["meant", "ranAs"]
            .iter()
            .all(|field| note[*field].as_str() == who);
        if !is_own || note["mark"].as_str() != Some(mark) {
            let says = format!("call {mark} of login {login}, {who:?}, returned {note}");
            violations.push(story.violation("C2", *at, says));
        }
    }
    violations
}

fn c3_every_call_ends_once_and_in_a_way_it_may(story: &Story<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut open: BTreeMap<(u64, &str), (usize, CallKind)> = BTreeMap::new();
    for (at, saw) in &story.seen {
        match saw {
            Saw::Calls { login, mark, kind } => {
                open.insert((*login, mark), (*at, *kind));
            }
            Saw::Answered {
                login, mark, how, ..
            } => {
                let call = open.remove(&(*login, mark.as_str()));
                let may_be = match (call, how) {
                    (None, _) => false,
                    (_, How::Threw(text)) => story.is_expected(text),
                    (Some((_, CallKind::Mutation)), How::ConnectionLost) => false,
                    (Some(_), _) => true,
                };
                if !may_be {
                    let says = format!("call {mark} of login {login} ended in {how:?}");
                    violations.push(story.violation("C3", *at, says));
                }
            }
            _ => {}
        }
    }
    violations.extend(open.into_iter().map(|((login, mark), (at, _))| {
        let says = format!("call {mark} of login {login} never ended");
        story.violation("C3", at, says)
    }));
    violations
}

/// Read your writes.
fn c4_a_mutation_that_resolved_is_seen(story: &Story<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mutations = mutations(story);
    for (at, saw) in &story.seen {
        let Saw::Answered {
            mark,
            how: How::Returned(_),
            mine,
            ..
        } = saw
        else {
            continue;
        };
        let is_seen = match mine {
            Mine::NotWatched | Mine::Over => true,
            Mine::Nothing => false,
            Mine::Marks(marks) => marks.contains(mark),
        };
        if !is_seen && mutations.contains(mark.as_str()) {
            let says = format!("mutation {mark} resolved, and what is shown is {mine:?}");
            violations.push(story.violation("C4", *at, says));
        }
    }
    violations
}

fn mutations<'s>(story: &'s Story<'_>) -> BTreeSet<&'s str> {
    let calls = story.seen.iter().filter_map(|(_, saw)| match saw {
        Saw::Calls {
            mark,
            kind: CallKind::Mutation,
            ..
        } => Some(mark.as_str()),
        _ => None,
    });
    calls.collect()
}

fn c5_what_was_answered_was_written_once_and_in_order(story: &Story<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (at, saw) in &story.seen {
        let Saw::Answered {
            login, mark, how, ..
        } = saw
        else {
            continue;
        };
        let times = story.written_by(*login).iter().filter(|it| *it == mark);
        let times = times.count();
        let is_right = match how {
            How::Returned(_) => times == 1,
            How::LoginEnded {
                may_have_run: false,
            }
            | How::NotProvisioned {
                may_have_run: false,
            } => times == 0,
            _ => times <= 1,
        };
        if !is_right {
            let says = format!("call {mark} ended in {how:?} and was written {times} times");
            violations.push(story.violation("C5", *at, says));
        }
    }
    let mut last: BTreeMap<u64, usize> = BTreeMap::new();
    for (at, saw) in &story.seen {
        let Saw::Calls {
            login,
            mark,
            kind: CallKind::Mutation,
        } = saw
        else {
            continue;
        };
        let place = story.written_by(*login).iter().position(|it| it == mark);
        let Some(place) = place else { continue };
        if story.failed_once.contains(mark) {
            continue;
        }
        if last.insert(*login, place).is_some_and(|last| last > place) {
            let says = format!("mutation {mark} of login {login} ran before an earlier one");
            violations.push(story.violation("C5", *at, says));
        }
    }
    violations
}

fn c6_what_is_made_under_a_login_that_has_ended_never_runs(story: &Story<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut ended = BTreeSet::new();
    let mut late = BTreeSet::new();
    for (at, saw) in &story.seen {
        match saw {
            Saw::Ended { login } => {
                ended.insert(*login);
            }
            Saw::Calls { login, mark, .. } if ended.contains(login) => {
                late.insert(mark);
            }
            Saw::Answered { mark, how, .. } if late.contains(mark) => {
                let may_have_run = false;
                if *how != (How::LoginEnded { may_have_run }) {
                    let says = format!("call {mark} came after its login, and ended in {how:?}");
                    violations.push(story.violation("C6", *at, says));
                }
            }
            _ => {}
        }
    }
    violations
}

/// States between two that were seen may have been missed, so an arrow may stand for several. Without the application's
/// act, no login may be under way, and none may be over.
fn c7_states_move_along_their_arrows(story: &Story<'_>) -> Vec<Violation> {
    use Standing::{Authenticated, Ended, KeptOut, Nobody};
    let mut violations = Vec::new();
    let ends = |saw: &Saw| matches!(saw, Saw::Ended { .. });
    let ended = story.seen.iter().filter(|(_, saw)| ends(saw)).count();
    let (mut asked, mut entered, mut over) = (0, 0, 0);
    let mut stood: BTreeMap<u64, Standing> = BTreeMap::new();
    for (at, saw) in &story.seen {
        let (client, to) = match saw {
            Saw::Asks { .. } => {
                asked += 1;
                continue;
            }
            Saw::Stands { client, status } => (*client, *status),
            _ => continue,
        };
        let Some(from) = stood.insert(client, to) else {
            continue;
        };
        let begins = to == Authenticated || matches!(from, Nobody | Ended | KeptOut);
        let is_beginning = begins && !matches!(to, Nobody | Ended | KeptOut);
        entered += usize::from(is_beginning);
        over += usize::from(to == Ended);
        if entered > asked || over > ended || (to == Nobody && from != Nobody) {
            let says = format!("it stood at {from:?} and stands at {to:?}");
            violations.push(story.violation("C7", *at, says));
        }
    }
    violations
}

fn c8_nothing_fails_that_has_no_reason_to(story: &Story<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let gave_way = |login: u64| {
        story.seen.iter().any(|(_, saw)| match saw {
            Saw::Asks { login: newer, .. } => *newer > login,
            Saw::Ended { login: ended } => *ended == login,
            _ => false,
        })
    };
    for (at, saw) in &story.seen {
        let says = match saw {
            Saw::Failed {
                query,
                why: Why::Function | Why::Other,
                text,
                ..
            } if !story.is_expected(text) => format!("{query} failed: {text}"),
            Saw::Failed {
                login,
                query,
                why: Why::LoginEnded,
                ..
            } if !gave_way(*login) => format!("{query} says that login {login} has ended"),
            Saw::KeptOut { login, why } => match why.as_str() {
                "refused" | "token rejected" | "failed" | "timed out" => continue,
                "login ended" if gave_way(*login) => continue,
                _ => format!("login {login} was kept out: {why}"),
            },
            _ => continue,
        };
        violations.push(story.violation("C8", *at, says));
    }
    violations
}

/// Every note was called for under a login of its author.
fn c9_nothing_is_written_that_nobody_called(
    stories: &[Story<'_>],
    written: &BTreeMap<IdentityKey, Vec<String>>,
) -> Vec<Violation> {
    let mut called: BTreeSet<(&IdentityKey, &str)> = BTreeSet::new();
    for story in stories {
        for (_, saw) in &story.seen {
            if let Saw::Calls { login, mark, .. } = saw
                && let Some(who) = story.people.get(login)
            {
                called.insert((who, mark));
            }
        }
    }
    let marks = written
        .iter()
        .flat_map(|(who, marks)| marks.iter().map(move |mark| (who, mark.as_str())));
    marks
        .filter(|note| !called.contains(note))
        .map(|(who, mark)| Violation::new("C9", format!("{who:?} wrote {mark}, uncalled for")))
        .collect()
}
