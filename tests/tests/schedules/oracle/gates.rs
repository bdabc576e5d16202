//! The invariants of gates: when they open, for whom, and that they end.

use vestibule_schema::identity::IdentityKey;
use vestibule_server::probe::{Event, Execution};
use vestibule_tests::control::Remark;

use super::Violation;
use super::reading::{Reading, is_kill};
use crate::child::remarked;

/// A start of a function behind the gate.
fn gated(event: &Event) -> Option<(&Execution, &IdentityKey)> {
    match event {
        Event::Started(execution) if !execution.is_provisioning => {
            Some((execution, execution.identity.as_ref()?))
        }
        _ => None,
    }
}

fn is_end_of_run(event: &Event, of: &IdentityKey, at: u64) -> bool {
    matches!(event, Event::RunEnded { identity, outcome } if identity == of && *outcome == Ok(at))
}

/// G1: a function that runs as an identity starts after a run of the provisioning function ended for it, at the
/// timestamp of its proof. A function that a client called starts also after the gate of its seat opened for that
/// identity.
pub fn g1_nothing_runs_before_its_commit(reading: &Reading<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (at, event) in reading.events() {
        let Some((execution, identity)) = gated(event) else {
            continue;
        };
        let has_ended = execution.proof.is_some_and(|proof| {
            reading
                .before(at)
                .any(|event| is_end_of_run(event, identity, proof))
        });
        if !has_ended {
            let says = format!("{} runs as {identity:?} without a commit", execution.path);
            violations.push(Violation::at("G1", at, says));
        }
        let Some(call) = execution.call else { continue };
        let opened = reading.opened(call.seat, call.version, at);
        if opened.is_none_or(|(whom, _)| whom != Some(identity)) {
            let says = format!("{} runs behind a gate that is not open", execution.path);
            violations.push(Violation::at("G1", at, says));
        }
    }
    violations
}

/// G1: a run lands where its own commit is durable, or where it read what an earlier one left.
pub fn g1_a_run_that_ended_has_a_commit_behind_it(reading: &Reading<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (at, event) in reading.events() {
        let Event::RunEnded {
            identity,
            outcome: Ok(ts),
        } = event
        else {
            continue;
        };
        if !is_backed(reading, at, identity, *ts) {
            let says = format!("a run for {identity:?} ended at {ts} with no commit behind it");
            violations.push(Violation::at("G1", at, says));
        }
    }
    violations
}

fn is_backed(reading: &Reading<'_>, at: usize, of: &IdentityKey, ts: u64) -> bool {
    if reading.is_in_typescript() {
        return is_backed_in_typescript(reading, at, of, ts);
    }
    let runs = || {
        reading.before(at).filter_map(|event| match event {
            Event::Started(run) if run.is_provisioning && run.identity.as_ref() == Some(of) => {
                Some(run)
            }
            _ => None,
        })
    };
    let is_durable = |commit: u64| {
        reading.before(at).any(
            |event| matches!(event, Event::Committed { timestamps } if timestamps.contains(&commit)),
        )
    };
    let mut commits = runs().filter_map(|run| run.commit_ts);
    // The state that a run left holds until a write overlaps what it read, so a later run may land without running
    // again.
    if commits.any(|commit| commit <= ts && is_durable(commit)) {
        return true;
    }
    // A kill may come between a commit and its event; then it is found in the file.
    let has_read = |run: &Execution| run.read_ts.is_some_and(|read| read <= ts);
    reading.was_killed_before(at) && runs().any(has_read)
}

/// A function beside the lane learns its commit's timestamp after its run. So there must be a run for them, or of the
/// webhook, that read before the end of the run, and a commit since.
fn is_backed_in_typescript(reading: &Reading<'_>, at: usize, of: &IdentityKey, ts: u64) -> bool {
    let mut reads = reading.before(at).filter_map(|event| match event {
        Event::Started(run) => {
            let is_theirs = run.is_provisioning && run.identity.as_ref() == Some(of);
            let is_webhook = run.path == "users:told";
            run.read_ts.filter(|_| is_theirs || is_webhook)
        }
        _ => None,
    });
    let has_committed = |read: u64| {
        reading.before(at).any(|event| {
            matches!(event, Event::Committed { timestamps }
                if timestamps.iter().any(|commit| (read..=ts).contains(commit)))
        })
    };
    reads.any(|read| read <= ts && (has_committed(read) || reading.was_killed_before(at)))
}

/// G2: a function that runs as an identity reads at that identity's commit or past it.
pub fn g2_reads_are_at_or_past_the_commit(reading: &Reading<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (at, event) in reading.events() {
        let Some((execution, _)) = gated(event) else {
            continue;
        };
        let opened_at = execution
            .call
            .and_then(|call| reading.opened(call.seat, call.version, at))
            .map(|(_, ts)| ts);
        let bound = execution.proof.max(opened_at);
        if execution.read_ts.is_some() && execution.read_ts < bound {
            let (path, read) = (&execution.path, execution.read_ts);
            let says = format!("{path} reads at {read:?}, before {bound:?}");
            violations.push(Violation::at("G2", at, says));
        }
    }
    violations
}

/// G4: a gate opens, or is shut, only for the newest identity version of its seat, and opens by an answer for that
/// identity.
pub fn g4_only_its_own_answer_opens_or_shuts_a_gate(reading: &Reading<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (at, event) in reading.events() {
        match event {
            Event::Opened {
                seat,
                version,
                identity,
                at: ts,
            } => {
                let newest = reading.newest(*seat, at);
                let has_ended = identity.as_ref().is_some_and(|identity| {
                    let mut before = reading.before(at);
                    before.any(|event| is_end_of_run(event, identity, *ts))
                });
                if newest != Some((*version, identity.as_ref())) || !has_ended {
                    let says = format!("seat {seat} opened for {identity:?}, but is {newest:?}");
                    violations.push(Violation::at("G4", at, says));
                }
            }
            Event::Shut { seat, version, .. } => {
                let newest = reading.newest(*seat, at).map(|(_, who)| who);
                if newest.is_none() || newest != reading.who(*seat, *version) {
                    let says = format!("an answer for version {version} shut seat {seat}");
                    violations.push(Violation::at("G4", at, says));
                }
            }
            _ => {}
        }
    }
    violations
}

/// G8: every identity that was verified is let in, refused or given up, superseded, or loses its connection.
pub fn g8_every_gate_ends(reading: &Reading<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (at, event) in reading.events() {
        let Event::Verified { seat, version, .. } = event else {
            continue;
        };
        let ends = |event: &Event| match event {
            Event::Opened { seat: of, .. }
            | Event::Shut { seat: of, .. }
            | Event::Verified { seat: of, .. }
            | Event::SignedOut { seat: of, .. }
            | Event::Rejected { seat: of, .. }
            | Event::Closing { seat: of, .. }
            | Event::Closed { seat: of } => of == seat,
            other => is_kill(other),
        };
        if !reading.after(at).any(ends) {
            let says = format!("the gate of seat {seat} for version {version} never ended");
            violations.push(Violation::at("G8", at, says));
        }
    }
    violations
}

/// G8: every run of the provisioning function lands.
pub fn g8_every_run_ends(reading: &Reading<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (at, event) in reading.events() {
        let Event::RunBegan { identity: of } = event else {
            continue;
        };
        let lands = |event: &Event| match event {
            Event::RunEnded { identity, .. } => identity == of,
            other => is_kill(other),
        };
        if !reading.after(at).any(lands) {
            violations.push(Violation::at(
                "G8",
                at,
                format!("a run for {of:?} never ended"),
            ));
        }
    }
    violations
}

/// Whether an identity within these events was refused because its provider had failed and is not asked again yet. The
/// waiting identities are not at fault.
fn is_turned_away_for_its_provider<'e>(events: impl Iterator<Item = &'e Event>) -> bool {
    let mut came = Vec::new();
    for event in events {
        match event {
            Event::Connected { seat } => came.push(*seat),
            Event::Rejected { seat, code } if came.contains(seat) => {
                return code == "AuthProviderDiscoveryFailed";
            }
            _ => {}
        }
    }
    false
}

/// G9: an identity that signs in while others are held up at their own gates is let in before those go on.
pub fn g9_waiting_delays_nobody_else(reading: &Reading<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (at, event) in reading.events() {
        let Some(Remark::ProbeBegan { identity: probe }) = remarked(event) else {
            continue;
        };
        let is_end = |event: &&Event| !matches!(remarked(event), Some(Remark::ProbeEnded { identity }) if identity == probe);
        let opens = |event: &Event| matches!(event, Event::Opened { identity, .. } if identity.as_ref() == Some(&probe));
        let window = || reading.after(at).take_while(is_end);
        if !window().any(opens) && !is_turned_away_for_its_provider(window()) {
            let says = format!("{probe:?} was not let in while others waited");
            violations.push(Violation::at("G9", at, says));
        }
    }
    violations
}
