//! One thing broken at a time: the model would notice.

use stateright::{Checker, HasDiscoveries, Model};
use vestibule_schema::provisioning::{Effect, Event, State, step};
use vestibule_schema::timestamp::Timestamp;

use super::Gates;
use super::connection::Machine;
use super::world::{Budget, SingleFlight};

/// Whether some state of a few violates the invariant.
fn is_noticed(machine: Machine, runs: SingleFlight, invariant: &'static str) -> bool {
    let gates = Gates {
        machine,
        runs,
        budget: Budget {
            identities: 3,
            calls: 1,
            retries: 1,
            deletions: 1,
            ..Budget::default()
        },
    };
    let until = HasDiscoveries::AnyOf([invariant].into());
    let checked = gates.checker().finish_when(until).spawn_bfs().join();
    checked.discovery(invariant).is_some()
}

/// The steps of a machine that takes every answer for one to its newest question.
fn takes_any_answer(state: State, event: Event) -> (State, Vec<Effect>) {
    let version = state.version();
    step(
        state,
        match event {
            Event::Committed { ts, .. } => Event::Committed { version, ts },
            Event::Refused { .. } => Event::Refused { version },
            Event::Failed { .. } => Event::Failed { version },
            other => other,
        },
    )
}

fn keeps_what_waits(state: State, event: Event) -> (State, Vec<Effect>) {
    let (state, mut effects) = step(state, event);
    effects.retain(|effect| !matches!(effect, Effect::RejectHeld { .. }));
    (state, effects)
}

fn opens_at_once(state: State, event: Event) -> (State, Vec<Effect>) {
    let (state, effects) = step(state, event);
    match state {
        State::Provisioning { version, key, .. } => {
            let at = Timestamp::ZERO;
            let state = State::Provisioned {
                version,
                key,
                committed_at: at,
            };
            (state, vec![Effect::Open { version, at }])
        }
        state => (state, effects),
    }
}

fn asks_for_no_second_try(state: State, event: Event) -> (State, Vec<Effect>) {
    let is_retry = matches!(event, Event::Retried { .. });
    let (state, effects) = step(state, event);
    match is_retry {
        true => (state, Vec::new()),
        false => (state, effects),
    }
}

fn forgets_refusals(state: State, event: Event) -> (State, Vec<Effect>) {
    match event {
        Event::Refused { .. } => (state, Vec::new()),
        event => step(state, event),
    }
}

/// An open gate stays open for the next person.
fn carries_an_open_gate_over(state: State, event: Event) -> (State, Vec<Effect>) {
    match (state, event) {
        (State::Provisioned { committed_at, .. }, Event::Refreshed { version, key }) => {
            let state = State::Provisioned {
                version,
                key,
                committed_at,
            };
            (state, Vec::new())
        }
        (state, event) => step(state, event),
    }
}

fn stays_signed_in(state: State, event: Event) -> (State, Vec<Effect>) {
    match (&state, &event) {
        (State::Provisioned { .. }, Event::SignedOut { .. }) => (state, Vec::new()),
        _ => step(state, event),
    }
}

#[test]
fn an_older_versions_answer_that_is_accepted_is_noticed() {
    assert!(is_noticed(takes_any_answer, SingleFlight::Sound, "G4"));
    assert!(is_noticed(takes_any_answer, SingleFlight::Sound, "G1"));
}

#[test]
fn work_that_is_kept_for_the_next_person_is_noticed() {
    assert!(is_noticed(keeps_what_waits, SingleFlight::Sound, "G7"));
}

#[test]
fn a_gate_that_opens_before_the_commit_is_noticed() {
    assert!(is_noticed(opens_at_once, SingleFlight::Sound, "G1"));
    assert!(is_noticed(step, SingleFlight::EndEarly, "G1"));
}

#[test]
fn a_run_that_is_never_made_or_never_answered_is_noticed() {
    assert!(is_noticed(
        asks_for_no_second_try,
        SingleFlight::Sound,
        "G8"
    ));
    assert!(is_noticed(forgets_refusals, SingleFlight::Sound, "G8"));
    assert!(is_noticed(step, SingleFlight::ForgetOne, "G8"));
}

#[test]
fn a_gate_that_stays_open_for_somebody_else_is_noticed() {
    assert!(is_noticed(
        carries_an_open_gate_over,
        SingleFlight::Sound,
        "G1"
    ));
    assert!(is_noticed(stays_signed_in, SingleFlight::Sound, "G7"));
}

#[test]
fn a_run_for_the_wrong_person_and_one_that_saw_too_little_are_noticed() {
    assert!(is_noticed(step, SingleFlight::MixUpPeople, "G1"));
    assert!(is_noticed(step, SingleFlight::AnyOutcomeWillDo, "G1"));
}
