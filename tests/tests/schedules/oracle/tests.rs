//! The judgement is itself put to the test: a good record passes, and each way to break it is named.

use serde_json::{Value as Json, json};
use vestibule_schema::identity::IdentityKey;
use vestibule_schema::timestamp::Timestamp;
use vestibule_server::probe::{CallOf, Event, Execution};
use vestibule_tests::control::Remark;

use super::{Violation, first_logins, judge};
use crate::child::remark;

const SEAT: u64 = 7;
/// Before the first login, and its commit.
const BEFORE: u64 = 10;
const COMMIT: u64 = 20;
/// The commit of the first call.
const LATER: u64 = 30;

fn ada() -> IdentityKey {
    IdentityKey::new("issuer|ada")
}

fn bob() -> IdentityKey {
    IdentityKey::new("issuer|bob")
}

fn provisioning(identity: IdentityKey, commit_ts: Option<u64>) -> Event {
    Event::Started(Execution {
        path: "users:ensureUser".into(),
        kind: "Mutation".into(),
        identity: Some(identity),
        proof: Some(0),
        is_provisioning: true,
        read_ts: Some(BEFORE),
        commit_ts,
        call: None,
    })
}

/// The start of a query as Ada.
fn query(read_ts: u64) -> Event {
    Event::Started(Execution {
        path: "users:me".into(),
        kind: "Query".into(),
        identity: Some(ada()),
        proof: Some(COMMIT),
        is_provisioning: false,
        read_ts: Some(read_ts),
        commit_ts: None,
        call: None,
    })
}

/// The start of the client's mutation.
fn mutation(identity: IdentityKey, version: u32) -> Event {
    Event::Started(Execution {
        path: "notes:write".into(),
        kind: "Mutation".into(),
        identity: Some(identity),
        proof: Some(COMMIT),
        is_provisioning: false,
        read_ts: Some(COMMIT),
        commit_ts: Some(LATER),
        call: Some(CallOf {
            seat: SEAT,
            version,
            request: Some(0),
        }),
    })
}

fn received(message: Json) -> Event {
    Event::Received {
        seat: SEAT,
        message,
    }
}

fn sent(message: Json) -> Event {
    Event::Sent {
        seat: SEAT,
        message,
    }
}

fn wire(ts: u64) -> String {
    Timestamp(ts).to_wire()
}

/// A Transition in which `users:me` has this value.
fn transition(from: (u32, u64), to: (u32, u64), me: Json) -> Event {
    let version =
        |(identity, ts): (u32, u64)| json!({"querySet": 1, "identity": identity, "ts": wire(ts)});
    let update =
        json!({"type": "QueryUpdated", "queryId": 0, "value": me, "logLines": [], "journal": null});
    sent(json!({
        "type": "Transition", "startVersion": version(from), "endVersion": version(to), "modifications": [update],
    }))
}

fn response(ts: u64, meant: &IdentityKey, ran_as: &IdentityKey) -> Event {
    sent(json!({
        "type": "MutationResponse", "requestId": 0, "success": true, "ts": wire(ts), "logLines": [],
        "result": {"meant": meant, "ranAs": ran_as},
    }))
}

fn verified(version: u32, identity: IdentityKey) -> Event {
    Event::Verified {
        seat: SEAT,
        version,
        identity,
    }
}

fn opened(version: u32, identity: IdentityKey, at: u64) -> Event {
    Event::Opened {
        seat: SEAT,
        version,
        identity: Some(identity),
        at,
    }
}

fn ended(identity: IdentityKey, outcome: Result<u64, String>) -> Event {
    Event::RunEnded { identity, outcome }
}

/// Ada signs in for the first time, sees herself, and calls a mutation.
fn good() -> Vec<Event> {
    let committed = |ts| Event::Committed {
        timestamps: vec![ts],
    };
    let add = json!({"type": "Add", "queryId": 0, "udfPath": "users:me", "args": [{}]});
    vec![
        Event::Connected { seat: SEAT },
        received(json!({"type": "Connect", "sessionId": "s", "connectionCount": 0})),
        received(
            json!({"type": "ModifyQuerySet", "baseVersion": 0, "newVersion": 1, "modifications": [add]}),
        ),
        verified(1, ada()),
        received(
            json!({"type": "Mutation", "requestId": 0, "udfPath": "notes:write", "args": [{"meant": ada()}]}),
        ),
        Event::Accepted {
            seat: SEAT,
            version: 1,
            request: 0,
        },
        Event::RunBegan { identity: ada() },
        provisioning(ada(), None),
        provisioning(ada(), Some(COMMIT)),
        committed(COMMIT),
        ended(ada(), Ok(COMMIT)),
        opened(1, ada(), COMMIT),
        query(COMMIT),
        transition((0, 0), (1, COMMIT), json!(ada())),
        mutation(ada(), 1),
        committed(LATER),
        response(LATER, &ada(), &ada()),
        transition((1, COMMIT), (1, LATER), json!(ada())),
        Event::Closing {
            seat: SEAT,
            how: "Left".into(),
        },
        Event::Closed { seat: SEAT },
        remark(&Remark::Rows {
            identity: ada(),
            users: 1,
            settings: 1,
        }),
    ]
}

fn place(record: &[Event], of: &Event) -> usize {
    let place = record.iter().position(|event| event == of);
    place.unwrap_or_else(|| panic!("the good record holds no {of:?}"))
}

/// The good record with one event put into the place of another.
fn with(event: &Event, instead: Event) -> Vec<Event> {
    let mut record = good();
    let place = place(&record, event);
    record[place] = instead;
    record
}

fn without(event: &Event) -> Vec<Event> {
    let mut record = good();
    record.remove(place(&record, event));
    record
}

/// The good record with events put in behind one.
fn behind(event: &Event, more: Vec<Event>) -> Vec<Event> {
    let mut record = good();
    let place = place(&record, event) + 1;
    record.splice(place..place, more);
    record
}

#[track_caller]
fn breaks(rule: &str, record: &[Event]) -> Vec<Violation> {
    let violations = judge(record);
    assert!(
        violations.iter().any(|violation| violation.rule == rule),
        "{rule} is not among {violations:?}"
    );
    violations
}

#[test]
fn an_ordinary_first_login_breaks_nothing() {
    assert_eq!(judge(&good()), Vec::new());
    assert_eq!(first_logins(&good()), 1);
    assert!(super::is_quiet(&[], 0));
    assert!(!super::is_quiet(&[], 1));
    assert!(!super::is_quiet(&good()[..2], 0));
}

#[test]
fn a_function_before_the_end_of_the_run_breaks_g1() {
    let mut record = without(&query(COMMIT));
    let outcome = place(&record, &ended(ada(), Ok(COMMIT)));
    record.insert(outcome, query(COMMIT));
    breaks("G1", &record);
}

#[test]
fn a_call_before_its_own_gate_opened_breaks_g1() {
    let mut record = without(&mutation(ada(), 1));
    let opening = place(&record, &opened(1, ada(), COMMIT));
    record.insert(opening, mutation(ada(), 1));
    breaks("G1", &record);
}

#[test]
fn an_end_of_a_run_before_its_commit_breaks_g1() {
    let committed = Event::Committed {
        timestamps: vec![COMMIT],
    };
    breaks("G1", &without(&committed));
    // A run that only read proves nothing when no run has committed before.
    breaks("G1", &without(&provisioning(ada(), Some(COMMIT))));
}

#[test]
fn an_end_of_a_run_on_what_a_killed_server_left_breaks_nothing() {
    let mut record = without(&provisioning(ada(), Some(COMMIT)));
    record.insert(0, remark(&Remark::Killed));
    assert_eq!(judge(&record), Vec::new());
}

#[test]
fn a_read_before_the_commit_breaks_g2() {
    breaks("G2", &with(&query(COMMIT), query(COMMIT - 1)));
}

#[test]
fn a_frame_with_somebody_elses_result_breaks_g3() {
    let first = transition((0, 0), (1, COMMIT), json!(ada()));
    for me in [json!(bob()), Json::Null] {
        breaks("G3", &with(&first, transition((0, 0), (1, COMMIT), me)));
    }
}

#[test]
fn a_result_that_stays_from_before_the_switch_breaks_g3() {
    let signed_out = Event::SignedOut {
        seat: SEAT,
        version: 2,
    };
    let empty = sent(json!({
        "type": "Transition", "modifications": [],
        "startVersion": {"querySet": 1, "identity": 1, "ts": wire(LATER)},
        "endVersion": {"querySet": 1, "identity": 2, "ts": wire(LATER)},
    }));
    let last = transition((1, COMMIT), (1, LATER), json!(ada()));
    breaks("G3", &behind(&last, vec![signed_out, empty]));
}

#[test]
fn a_frame_of_before_the_commit_breaks_g3() {
    let first = transition((0, 0), (1, COMMIT), json!(ada()));
    let early = transition((0, 0), (1, COMMIT - 1), json!(ada()));
    breaks("G3", &with(&first, early));
}

#[test]
fn a_gate_opened_for_somebody_who_is_no_longer_there_breaks_g4() {
    let record = behind(
        &ended(ada(), Ok(COMMIT)),
        vec![verified(2, bob()), opened(2, ada(), COMMIT)],
    );
    breaks("G4", &record);
}

#[test]
fn a_refusal_for_an_older_identity_breaks_g4() {
    let shut = Event::Shut {
        seat: SEAT,
        version: 1,
        reason: "refused".into(),
    };
    let last = transition((1, COMMIT), (1, LATER), json!(ada()));
    breaks("G4", &behind(&last, vec![verified(2, bob()), shut]));
}

#[test]
fn no_user_or_two_break_g5_and_half_a_one_breaks_g6() {
    let rows = |users, settings| {
        remark(&Remark::Rows {
            identity: ada(),
            users,
            settings,
        })
    };
    breaks("G5", &with(&rows(1, 1), rows(2, 2)));
    breaks("G5", &with(&rows(1, 1), rows(0, 0)));
    breaks("G6", &with(&rows(1, 1), rows(1, 0)));
}

#[test]
fn a_call_that_runs_as_somebody_else_breaks_g7() {
    breaks("G7", &with(&mutation(ada(), 1), mutation(bob(), 1)));
    // Taken as Ada's, run as Bob's who came next.
    let record = with(&mutation(ada(), 1), mutation(bob(), 2));
    let first = place(&record, &transition((0, 0), (1, COMMIT), json!(ada())));
    let mut record = record;
    record.insert(first + 1, verified(2, bob()));
    breaks("G7", &record);
}

#[test]
fn an_answer_to_somebody_elses_call_breaks_g7() {
    let own = response(LATER, &ada(), &ada());
    breaks("G7", &with(&own, response(LATER, &bob(), &bob())));
    breaks("G7", &with(&own, response(LATER, &ada(), &bob())));
}

#[test]
fn a_gate_or_a_run_without_an_end_breaks_g8() {
    let opening = place(&good(), &opened(1, ada(), COMMIT));
    breaks("G8", &good()[..opening]);
    let outcome = place(&good(), &ended(ada(), Ok(COMMIT)));
    breaks("G8", &good()[..outcome]);
}

#[test]
fn a_login_that_waits_for_somebody_elses_breaks_g9() {
    let probe = || IdentityKey::new("issuer|probe");
    let began = remark(&Remark::ProbeBegan { identity: probe() });
    let ended = remark(&Remark::ProbeEnded { identity: probe() });
    let late = Event::Opened {
        seat: 8,
        version: 1,
        identity: Some(probe()),
        at: LATER,
    };
    let waits = behind(&query(COMMIT), vec![began.clone(), ended.clone(), late]);
    breaks("G9", &waits);

    // An identity whose provider is left alone after it failed waits for that provider, and for no other identity.
    let refused = |code: &str| {
        let code = code.to_string();
        let rejected = Event::Rejected { seat: 8, code };
        let events = vec![
            began.clone(),
            Event::Connected { seat: 8 },
            rejected,
            ended.clone(),
        ];
        behind(&query(COMMIT), events)
    };
    assert_eq!(judge(&refused("AuthProviderDiscoveryFailed")), []);
    breaks("G9", &refused("InvalidAuthHeader"));
}

#[test]
fn a_refresh_that_passes_through_nobody_breaks_g10() {
    let last = transition((1, COMMIT), (1, LATER), json!(ada()));
    let nobody = transition((1, LATER), (0, LATER), Json::Null);
    breaks("G10", &behind(&last, vec![verified(2, ada()), nobody]));
}

#[test]
fn a_missing_user_is_noticed_in_a_frame_and_in_a_function() {
    let failed = json!({"type": "QueryFailed", "queryId": 0, "errorMessage": "", "logLines": [],
        "errorData": {"code": "UserNotFound"}});
    let version = json!({"querySet": 1, "identity": 1, "ts": wire(LATER)});
    let frame = sent(json!({
        "type": "Transition", "startVersion": version, "endVersion": version, "modifications": [failed],
    }));
    let Event::Started(execution) = query(COMMIT) else {
        unreachable!("it is a start")
    };
    let ended = Event::Ended {
        execution,
        threw: Some("HalfUser".into()),
    };
    for event in [frame, ended] {
        let last = transition((1, COMMIT), (1, LATER), json!(ada()));
        breaks("UserNotFound", &behind(&last, vec![event]));
    }
}

#[test]
fn a_request_that_commits_twice_is_noticed() {
    let own = response(LATER, &ada(), &ada());
    let again = response(LATER + 1, &ada(), &ada());
    breaks("R10", &behind(&own, vec![again]));
}

#[test]
fn a_transition_that_overtakes_its_response_is_noticed() {
    let mut record = without(&response(LATER, &ada(), &ada()));
    let last = place(&record, &transition((1, COMMIT), (1, LATER), json!(ada())));
    record.insert(last + 1, response(LATER, &ada(), &ada()));
    breaks("R9", &record);
}

#[test]
fn a_mutation_that_wrote_nothing_is_answered_with_a_moment_that_may_have_been_shown() {
    let own = response(LATER, &ada(), &ada());
    let mut record = with(&own, response(COMMIT, &ada(), &ada()));
    let committed = Event::Committed {
        timestamps: vec![LATER],
    };
    record.remove(place(&record, &committed));
    let last = place(&record, &transition((1, COMMIT), (1, LATER), json!(ada())));
    record[last] = transition((1, COMMIT), (1, COMMIT), json!(ada()));
    assert_eq!(judge(&record), Vec::new());
}
