//! The judgement of stories is itself put to the test. A good story passes, and each way in which a client could break
//! its promise is named.

use serde_json::{Value as Json, json};
use vestibule_schema::identity::IdentityKey;
use vestibule_server::probe::{CallOf, Event, Execution};
use vestibule_tests::control::Remark;
use vestibule_tests::story::{CallKind, How, Mine, Saw, Standing, Why};

use super::{Violation, judge_stories};
use crate::child::remark;

fn ada() -> IdentityKey {
    IdentityKey::new("issuer|ada")
}

fn bob() -> IdentityKey {
    IdentityKey::new("issuer|bob")
}

fn asks(login: u64, identity: IdentityKey) -> Saw {
    Saw::Asks { login, identity }
}

fn stands(status: Standing) -> Saw {
    Saw::Stands { client: 1, status }
}

fn shown(login: u64, query: &str, value: Json) -> Saw {
    Saw::Shown {
        login,
        query: query.to_string(),
        value,
    }
}

fn failed(login: u64, why: Why, text: &str) -> Saw {
    Saw::Failed {
        login,
        query: "users:me".to_string(),
        why,
        text: text.to_string(),
    }
}

fn calls(login: u64, mark: &str) -> Saw {
    Saw::Calls {
        login,
        mark: mark.to_string(),
        kind: CallKind::Mutation,
    }
}

fn note(who: &IdentityKey, mark: &str) -> Json {
    json!({ "meant": who, "ranAs": who, "mark": mark })
}

fn answered(login: u64, mark: &str, how: How, mine: Mine) -> Saw {
    Saw::Answered {
        login,
        mark: mark.to_string(),
        how,
        mine,
    }
}

fn returned(login: u64, who: &IdentityKey, mark: &str, seen: &[&str]) -> Saw {
    let seen = seen.iter().map(ToString::to_string).collect();
    answered(
        login,
        mark,
        How::Returned(note(who, mark)),
        Mine::Marks(seen),
    )
}

fn given_up(mark: &str) -> Saw {
    let may_have_run = false;
    answered(1, mark, How::LoginEnded { may_have_run }, Mine::Over)
}

/// Ada comes in and writes twice, Bob takes over, and what is still called as Ada is given up.
fn good() -> Vec<Saw> {
    vec![
        stands(Standing::Nobody),
        asks(1, ada()),
        stands(Standing::Provisioning),
        Saw::LetIn { login: 1 },
        stands(Standing::Provisioned),
        shown(1, "users:me", json!(ada())),
        shown(1, "notes:mine", json!([])),
        calls(1, "a"),
        calls(1, "b"),
        returned(1, &ada(), "a", &["a"]),
        returned(1, &ada(), "b", &["a", "b"]),
        asks(2, bob()),
        Saw::Ended { login: 1 },
        failed(1, Why::LoginEnded, "another user signed in"),
        calls(1, "c"),
        given_up("c"),
        stands(Standing::Provisioning),
        Saw::LetIn { login: 2 },
        shown(2, "users:me", json!(bob())),
        calls(2, "d"),
        returned(2, &bob(), "d", &["d"]),
    ]
}

fn judge_with(story: Vec<Saw>, ada_wrote: &[&str], more: Vec<Event>) -> Vec<Violation> {
    let written = |identity: IdentityKey, marks: &[&str]| {
        let marks = marks.iter().map(ToString::to_string).collect();
        remark(&Remark::Written { identity, marks })
    };
    let mut record = more;
    record.push(written(ada(), ada_wrote));
    record.push(written(bob(), &["d"]));
    let story = story.into_iter().map(|saw| Remark::Saw { client: 0, saw });
    record.extend(story.map(|saw| remark(&saw)));
    judge_stories(&record)
}

fn judge(story: Vec<Saw>) -> Vec<Violation> {
    judge_with(story, &["a", "b"], Vec::new())
}

fn rules(violations: &[Violation]) -> Vec<&'static str> {
    let mut rules: Vec<_> = violations.iter().map(|violation| violation.rule).collect();
    rules.dedup();
    rules
}

/// The good story with something else in place of an event of it.
fn with(instead_of: &Saw, saw: Saw) -> Vec<Saw> {
    let mut story = good();
    let place = story.iter().position(|it| it == instead_of).unwrap();
    story[place] = saw;
    story
}

/// The good story with something more after an event of it.
fn behind(event: &Saw, saw: Saw) -> Vec<Saw> {
    let mut story = good();
    let place = story.iter().position(|it| it == event).unwrap();
    story.insert(place + 1, saw);
    story
}

fn without(event: &Saw) -> Vec<Saw> {
    let mut story = good();
    story.retain(|it| it != event);
    story
}

#[test]
fn a_good_story_passes() {
    assert_eq!(judge(good()), []);
}

#[test]
fn a_held_query_that_is_delivered_before_the_user_is_let_in_breaks_c1() {
    let early = behind(&asks(1, ada()), shown(1, "users:me", json!(ada())));
    assert_eq!(rules(&judge(early)), ["C1"]);
}

#[test]
fn a_result_of_nobody_or_of_somebody_else_breaks_c1() {
    let own = shown(1, "users:me", json!(ada()));
    for value in [json!(null), json!(bob())] {
        let foreign = with(&own, shown(1, "users:me", value));
        assert_eq!(rules(&judge(foreign)), ["C1"]);
    }
    let notes = json!([note(&bob(), "d")]);
    let foreign = with(
        &shown(1, "notes:mine", json!([])),
        shown(1, "notes:mine", notes),
    );
    assert_eq!(rules(&judge(foreign)), ["C1"]);
}

#[test]
fn a_result_for_one_who_is_kept_out_breaks_c1_until_somebody_asks_again() {
    let own = || shown(1, "users:me", json!(ada()));
    let mut story = good();
    let place = story.iter().position(|it| *it == own()).unwrap() + 1;
    story.insert(place, failed(1, Why::NotProvisioned, "refused"));
    story.insert(place + 1, own());
    assert_eq!(rules(&judge(story.clone())), ["C1"]);
    story.insert(place + 1, asks(1, ada()));
    assert_eq!(judge(story), []);
}

#[test]
fn a_result_after_the_end_of_a_login_and_a_pulse_that_goes_back_break_c1() {
    let over = failed(1, Why::LoginEnded, "another user signed in");
    let late = behind(&over, shown(1, "users:me", json!(ada())));
    assert_eq!(rules(&judge(late)), ["C1"]);
    let mut story = good();
    story.push(shown(1, "notes:pulse", json!(3.0)));
    assert_eq!(judge(story.clone()), []);
    story.push(shown(1, "notes:pulse", json!(2.0)));
    assert_eq!(rules(&judge(story)), ["C1"]);
}

#[test]
fn an_old_logins_mutation_that_is_answered_as_the_new_one_breaks_c2() {
    let own = returned(1, &ada(), "b", &["a", "b"]);
    let mine = Mine::Marks(vec!["b".to_string()]);
    let as_bob = answered(1, "b", How::Returned(note(&bob(), "b")), mine);
    let violations = judge(with(&own, as_bob));
    assert!(rules(&violations).contains(&"C2"), "{violations:?}");
}

#[test]
fn a_call_that_ends_twice_or_never_or_as_it_must_not_breaks_c3() {
    let own = returned(1, &ada(), "b", &["a", "b"]);
    assert_eq!(rules(&judge(behind(&own, own.clone()))), ["C3"]);
    assert_eq!(rules(&judge(without(&own))), ["C3"]);
    for how in [How::ConnectionLost, How::Threw("Server Error".to_string())] {
        let other = answered(1, "b", how, Mine::NotWatched);
        assert_eq!(rules(&judge(with(&own, other))), ["C3"]);
    }
}

#[test]
fn a_function_that_was_out_of_time_is_no_fault_of_the_client() {
    let own = returned(1, &ada(), "b", &["a", "b"]);
    let threw = How::Threw("Server Error".to_string());
    let story = with(&own, answered(1, "b", threw, Mine::NotWatched));
    assert_eq!(judge_with(story, &["a", "b"], vec![timed_out(None)]), []);
}

/// A write of Ada's that took too long.
fn timed_out(call: Option<CallOf>) -> Event {
    let execution = Execution {
        path: "notes:write".into(),
        kind: "Mutation".into(),
        identity: Some(ada()),
        proof: None,
        is_provisioning: false,
        read_ts: None,
        commit_ts: None,
        call,
    };
    let threw = Some("Function execution timed out".to_string());
    Event::Ended { execution, threw }
}

#[test]
fn a_mutation_that_failed_unheard_may_run_after_later_ones_when_it_is_sent_again() {
    let message = json!({ "type": "Mutation", "requestId": 6, "args": [{ "mark": "a" }] });
    let received = Event::Received { seat: 3, message };
    let of_request = |request| CallOf {
        seat: 3,
        version: 1,
        request: Some(request),
    };
    let failed = |request| vec![received.clone(), timed_out(Some(of_request(request)))];
    // The results seen in between came before it ran.
    let own = returned(1, &ada(), "a", &["a"]);
    let story = with(&own, returned(1, &ada(), "a", &["b", "a"]));
    assert_eq!(judge_with(story.clone(), &["b", "a"], failed(6)), []);
    let violations = judge_with(story, &["b", "a"], failed(7));
    assert_eq!(rules(&violations), ["C5"], "another call failed");
}

#[test]
fn a_mutation_that_resolves_before_it_is_seen_breaks_c4() {
    let own = returned(1, &ada(), "b", &["a", "b"]);
    let unseen = returned(1, &ada(), "b", &["a"]);
    assert_eq!(rules(&judge(with(&own, unseen))), ["C4"]);
    let blank = answered(1, "b", How::Returned(note(&ada(), "b")), Mine::Nothing);
    assert_eq!(rules(&judge(with(&own, blank))), ["C4"]);
}

#[test]
fn a_mutation_that_ran_twice_or_out_of_order_or_though_it_was_given_up_breaks_c5() {
    for marks in [&["a", "b", "b"][..], &["b", "a"], &["a"], &["a", "b", "c"]] {
        let violations = judge_with(good(), marks, Vec::new());
        assert_eq!(rules(&violations), ["C5"], "{marks:?}");
    }
}

#[test]
fn a_call_under_a_login_that_has_ended_must_be_given_up_or_breaks_c6() {
    let may_have_run = true;
    for how in [
        How::LoginEnded { may_have_run },
        How::NotProvisioned { may_have_run },
    ] {
        let story = with(&given_up("c"), answered(1, "c", how, Mine::Over));
        assert_eq!(rules(&judge(story)), ["C6"]);
    }
    // A client that runs it as the current user breaks more than one rule.
    let ran = with(
        &given_up("c"),
        answered(1, "c", How::Returned(note(&bob(), "c")), Mine::Over),
    );
    let violations = judge(ran);
    assert!(rules(&violations).contains(&"C6"), "{violations:?}");
}

#[test]
fn a_state_that_nobody_asked_for_breaks_c7() {
    let kept_out = stands(Standing::KeptOut);
    let mut story = good();
    story.push(kept_out);
    assert_eq!(judge(story.clone()), []);
    story.push(stands(Standing::Provisioned));
    assert_eq!(judge(story.clone()), [], "Bob's own way in was not seen");
    story.push(stands(Standing::KeptOut));
    story.push(stands(Standing::Provisioned));
    assert_eq!(rules(&judge(story)), ["C7"]);
    for status in [Standing::Nobody, Standing::Authenticated] {
        let mut story = good();
        story.extend([stands(status), stands(Standing::Authenticated)]);
        story.push(stands(status));
        let violations = judge(story);
        assert!(rules(&violations).contains(&"C7"), "{status:?}");
    }
    let mut story = good();
    story.extend([stands(Standing::Ended), stands(Standing::Provisioning)]);
    story.push(stands(Standing::Ended));
    assert_eq!(rules(&judge(story)), ["C7"]);
}

#[test]
fn a_missing_user_and_an_end_that_nobody_wanted_break_c8() {
    let own = shown(1, "users:me", json!(ada()));
    let missing = failed(1, Why::Function, "UserNotFound");
    assert_eq!(rules(&judge(with(&own, missing))), ["C8"]);
    let mut story = good();
    story.push(failed(2, Why::LoginEnded, "the user signed out"));
    assert_eq!(rules(&judge(story.clone())), ["C8"]);
    story.pop();
    let why = "login ended".to_string();
    story.push(Saw::KeptOut { login: 2, why });
    assert_eq!(rules(&judge(story)), ["C8"]);
}

#[test]
fn a_note_that_nobody_called_for_breaks_c9() {
    let violations = judge_with(good(), &["a", "b", "z"], Vec::new());
    assert_eq!(rules(&violations), ["C9"]);
}
