//! One message at a time: the order of the messages, and the effect of each answer.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use vestibule_schema::identity::IdentityKey;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::wire::{
    AuthError, ClientMessage, Credential, Journal, MutationResponse, QueryId, QuerySetModification,
    RequestId, ServerMessage, SessionId, StateModification, StateVersion, Transition,
    TransitionChunk,
};
use vestibule_schema::{Object, Value};

use crate::error::{CallError, Closed, EnsureUserError, LoginEnd, Unprovisioned};
use crate::optimistic::Update;
use crate::options::{CALLS_PENDING_MAX, ClientOptions};
use crate::session::{Effect, Kind, LoginId, NewCall, QueryKey, Scope, Session, Ticket, Trouble};
use crate::status::{ConnectionStatus, LoginStatus};
use crate::token::{Token, TokenError};

const ADA: LoginId = LoginId(1);

struct Rig {
    session: Session,
    now: Duration,
    told: StateVersion,
    said: Vec<String>,
    answers: Vec<(Ticket, Result<Value, CallError>)>,
    steps: Vec<Result<Value, EnsureUserError>>,
    shown: Vec<(QueryId, Value)>,
    asked: Vec<&'static str>,
}

impl Rig {
    fn new() -> Rig {
        let rng = StdRng::seed_from_u64(1);
        let session = Session::new(SessionId([1; 16]), ClientOptions::default(), rng);
        let mut rig = Rig {
            session,
            now: Duration::ZERO,
            told: StateVersion::default(),
            said: Vec::new(),
            answers: Vec::new(),
            steps: Vec::new(),
            shown: Vec::new(),
            asked: Vec::new(),
        };
        rig.open();
        rig
    }

    /// One whose user is let in.
    fn provisioned() -> Rig {
        let mut rig = Rig::new();
        rig.session
            .authenticate(rig.now, ADA, token("ada", "first"));
        rig.session.ensure_user(rig.now, Ticket(900), ADA);
        rig.perform();
        rig.respond(0, 10);
        rig.transition(|told| told.identity = 1, Vec::new());
        assert!(matches!(rig.steps.remove(0), Ok(Value::Null)));
        rig.said.clear();
        rig
    }

    fn open(&mut self) {
        self.told = StateVersion::default();
        self.session.opened(self.now);
        self.perform();
    }

    fn perform(&mut self) {
        while let Some(effect) = self.session.next_effect() {
            match effect {
                Effect::Open => self.asked.push("open"),
                Effect::Leave => self.asked.push("leave"),
                Effect::FetchToken(_) => self.asked.push("token"),
                Effect::Send(message) => self.said.push(said(&message)),
                Effect::Publish(changes) => {
                    for (id, outcome) in changes {
                        self.shown.push((id, outcome.as_ref().clone().unwrap()));
                    }
                }
                Effect::Suspend(..) => self.asked.push("suspend"),
                Effect::End(..) => self.asked.push("end"),
                Effect::Answer(ticket, result) => self.answers.push((ticket, result)),
                Effect::AnswerStep(_, result) => self.steps.push(result),
            }
        }
    }

    fn hear(&mut self, message: ServerMessage) {
        self.session.received(self.now, message);
        self.perform();
    }

    fn respond(&mut self, request: u32, ts: u64) {
        self.hear(ServerMessage::MutationResponse(MutationResponse {
            request_id: RequestId(request),
            outcome: Ok((Value::Null, Timestamp(ts))),
            log_lines: Vec::new(),
        }));
    }

    fn transition(
        &mut self,
        advance: impl FnOnce(&mut StateVersion),
        modifications: Vec<StateModification>,
    ) {
        let transition = self.next_transition(advance, modifications);
        self.hear(ServerMessage::Transition(transition));
    }

    fn next_transition(
        &mut self,
        advance: impl FnOnce(&mut StateVersion),
        modifications: Vec<StateModification>,
    ) -> Transition {
        let start_version = self.told;
        advance(&mut self.told);
        Transition {
            start_version,
            end_version: self.told,
            modifications,
            clock: None,
        }
    }

    fn subscribe(&mut self, scope: Scope, path: &str) -> QueryId {
        let key = QueryKey {
            scope,
            path: path.parse().unwrap(),
            args: Object::new(),
        };
        let (id, _) = self.session.subscribe(self.now, key).unwrap();
        self.perform();
        id
    }

    fn call(&mut self, ticket: u64, scope: Scope, kind: Kind, update: Option<Update>) {
        let call = NewCall {
            kind,
            path: "do:it".parse().unwrap(),
            args: Object::new(),
            update,
        };
        self.session.call(self.now, Ticket(ticket), scope, call);
        self.perform();
    }

    fn mutate(&mut self, ticket: u64) {
        self.call(ticket, Scope::User(ADA), Kind::Mutation, None);
    }

    fn cut(&mut self) {
        self.session.lost(self.now, Trouble::closed(None));
        self.perform();
    }

    fn after(&mut self, time: Duration) {
        self.now += time;
        self.session.tick(self.now);
        self.perform();
    }
}

fn token(who: &str, text: &str) -> Token {
    Token {
        text: text.to_string(),
        key: IdentityKey::new(who),
        lasts: Some(Duration::from_secs(60)),
    }
}

fn updated(id: QueryId, value: f64) -> StateModification {
    StateModification::QueryUpdated {
        query_id: id,
        value: Value::from(value),
        log_lines: Vec::new(),
        journal: Journal::default(),
    }
}

/// A message in a few words.
fn said(message: &ClientMessage) -> String {
    match message {
        ClientMessage::Connect(connect) => format!("connect {}", connect.connection_count),
        ClientMessage::Authenticate(authenticate) => match &authenticate.credential {
            Credential::User(token) => format!("authenticate {token}"),
            Credential::None => "authenticate nobody".to_string(),
            Credential::Admin { .. } => "authenticate an admin".to_string(),
        },
        ClientMessage::ModifyQuerySet(modify) => {
            let modifications = modify.modifications.iter().map(|it| match it {
                QuerySetModification::Add(add) => format!(" +{}", add.path),
                QuerySetModification::Remove { query_id } => format!(" -{query_id}"),
            });
            format!("watch{}", modifications.collect::<String>())
        }
        ClientMessage::Mutation(call) => format!("mutation {} {}", call.request_id, call.path),
        ClientMessage::Action(call) => format!("action {} {}", call.request_id, call.path),
        ClientMessage::Event(_) => "event".to_string(),
    }
}

#[test]
fn a_reconnect_walks_the_steps_before_it_sends_what_needs_them() {
    let mut rig = Rig::new();
    rig.call(1, Scope::Anyone, Kind::Mutation, None);
    rig.subscribe(Scope::Anyone, "public:list");
    rig.session.authenticate(rig.now, ADA, token("ada", "jwt"));
    rig.session.ensure_user(rig.now, Ticket(2), ADA);
    rig.perform();
    rig.subscribe(Scope::User(ADA), "mine:list");
    rig.mutate(3);
    let first = [
        "connect 0",
        "watch",
        "mutation 0 do:it",
        "watch +public:list",
        "authenticate jwt",
        "mutation 1 users:ensureUser",
    ];
    assert_eq!(rig.said, first);
    rig.respond(1, 10);
    assert_eq!(rig.said[6..], ["watch +mine:list", "mutation 2 do:it"]);

    rig.said.clear();
    rig.cut();
    rig.open();
    let again = [
        "connect 1",
        "watch +public:list",
        "mutation 0 do:it",
        "authenticate jwt",
        "mutation 3 users:ensureUser",
    ];
    assert_eq!(rig.said, again, "nothing of the user's before the answer");
    rig.respond(3, 11);
    assert_eq!(rig.said[5..], ["watch +mine:list", "mutation 2 do:it"]);
}

#[test]
fn equal_queries_are_asked_once_and_taken_off_with_the_last_watcher() {
    let mut rig = Rig::provisioned();
    let one = rig.subscribe(Scope::User(ADA), "mine:list");
    let other = rig.subscribe(Scope::User(ADA), "mine.js:list");
    assert_eq!(one, other);
    rig.session.unsubscribe(rig.now, one);
    rig.session.unsubscribe(rig.now, one);
    rig.perform();
    assert_eq!(rig.said, ["watch +mine:list", "watch -0"]);
}

#[test]
fn a_mutation_resolves_when_its_effect_is_shown_and_not_before() {
    let mut rig = Rig::provisioned();
    let id = rig.subscribe(Scope::User(ADA), "mine:list");
    rig.mutate(5);
    rig.respond(1, 20);
    rig.transition(|told| told.ts = Timestamp(19), Vec::new());
    assert!(rig.answers.is_empty());
    let with_the_query = |told: &mut StateVersion| {
        told.ts = Timestamp(20);
        told.query_set = 2;
    };
    rig.transition(with_the_query, vec![updated(id, 1.0)]);
    assert_eq!(rig.answers, [(Ticket(5), Ok(Value::Null))]);
}

#[test]
fn after_a_reconnect_a_committed_mutation_waits_for_the_queries_to_be_shown_again() {
    let mut rig = Rig::provisioned();
    let id = rig.subscribe(Scope::User(ADA), "mine:list");
    rig.mutate(5);
    rig.respond(1, 20);
    rig.cut();
    rig.open();
    // The new connection is past the commit, but has not said anything of the query.
    rig.transition(
        |told| {
            told.ts = Timestamp(30);
            told.query_set = 1;
        },
        Vec::new(),
    );
    rig.respond(2, 30);
    assert!(rig.answers.is_empty());
    let sent = rig.said.iter().filter(|it| *it == "mutation 1 do:it");
    assert_eq!(sent.count(), 1, "what is answered is not sent again");
    rig.transition(|told| told.query_set = 2, vec![updated(id, 1.0)]);
    assert_eq!(rig.answers, [(Ticket(5), Ok(Value::Null))]);
}

#[test]
fn an_action_is_sent_at_most_once() {
    let mut rig = Rig::provisioned();
    rig.call(5, Scope::User(ADA), Kind::Action, None);
    rig.cut();
    assert_eq!(rig.answers, [(Ticket(5), Err(CallError::ConnectionLost))]);
    // One that was never sent is not lost.
    rig.call(6, Scope::User(ADA), Kind::Action, None);
    rig.open();
    let ensure = ensure_request(&rig);
    rig.respond(ensure, 12);
    let actions = rig.said.iter().filter(|said| said.starts_with("action"));
    assert_eq!(
        actions.collect::<Vec<_>>(),
        ["action 1 do:it", "action 2 do:it"]
    );
}

#[test]
fn a_change_of_users_gives_up_what_was_not_answered() {
    let mut rig = Rig::provisioned();
    rig.subscribe(Scope::User(ADA), "mine:list");
    rig.mutate(5);
    rig.cut();
    rig.mutate(6);
    rig.session
        .authenticate(rig.now, LoginId(2), token("grace", "other"));
    rig.perform();
    let given_up = |may_have_run| {
        Err(CallError::LoginEnded {
            end: LoginEnd::IdentityChanged,
            may_have_run,
        })
    };
    assert_eq!(
        rig.answers,
        [(Ticket(5), given_up(true)), (Ticket(6), given_up(false))]
    );
    rig.said.clear();
    rig.open();
    assert_eq!(rig.said, ["connect 1", "watch"]);
}

#[test]
fn what_is_sent_when_the_user_signs_out_is_answered_yet() {
    let mut rig = Rig::provisioned();
    rig.mutate(5);
    rig.session.sign_out(rig.now, ADA);
    rig.perform();
    assert_eq!(rig.said, ["mutation 1 do:it", "authenticate nobody"]);
    rig.respond(1, 20);
    assert_eq!(rig.answers, [(Ticket(5), Ok(Value::Null))]);
}

#[test]
fn a_token_is_replaced_on_the_open_connection_before_it_ends() {
    let mut rig = Rig::provisioned();
    let due = rig.session.due().unwrap();
    assert_eq!(due, Duration::from_secs(30), "the silence comes first here");
    rig.hear(ServerMessage::Ping);
    rig.now = Duration::from_secs(25);
    rig.hear(ServerMessage::Ping);
    rig.after(Duration::from_secs(25));
    assert_eq!(rig.asked, ["token"]);
    assert_eq!(rig.session.status().login, LoginStatus::Provisioned);
    rig.session
        .fetched(rig.now, ADA, Ok(token("ada", "second")));
    rig.perform();
    assert_eq!(rig.said, ["authenticate second"]);
    assert_eq!(rig.session.status().login, LoginStatus::Provisioned);
    rig.mutate(5);
    assert_eq!(rig.said[1..], ["mutation 1 do:it"]);
}

#[test]
fn a_token_of_another_person_ends_the_login() {
    let mut rig = Rig::provisioned();
    rig.mutate(5);
    rig.cut();
    rig.session
        .fetched(rig.now, ADA, Ok(token("grace", "other")));
    rig.perform();
    assert!(matches!(
        rig.answers[0].1,
        Err(CallError::LoginEnded {
            end: LoginEnd::IdentityChanged,
            may_have_run: true
        })
    ));
    let ended = LoginStatus::Ended(LoginEnd::IdentityChanged);
    assert_eq!(rig.session.status().login, ended);
}

#[test]
fn while_no_token_can_be_had_nobody_is_presented_and_calls_wait() {
    let mut rig = Rig::provisioned();
    let expired = AuthError {
        error: "expired".to_string(),
        base_version: 1,
        auth_update_attempted: false,
    };
    rig.hear(ServerMessage::AuthError(expired));
    assert_eq!(rig.asked, ["leave", "token"]);
    assert_eq!(rig.session.status().login, LoginStatus::Refreshing);
    rig.open();
    rig.mutate(5);
    for _ in 0..5 {
        let away = TokenError::Unavailable("away".to_string());
        rig.session.fetched(rig.now, ADA, Err(away));
        rig.perform();
        rig.after(Duration::from_secs(20));
        rig.hear(ServerMessage::Ping);
    }
    assert_eq!(rig.asked.iter().filter(|it| **it == "token").count(), 6);
    assert!(rig.answers.is_empty());
    assert_eq!(rig.said, ["connect 1", "watch"]);
    rig.session
        .fetched(rig.now, ADA, Ok(token("ada", "second")));
    rig.perform();
    assert_eq!(
        rig.said[2..],
        ["authenticate second", "mutation 2 users:ensureUser"]
    );
    rig.respond(2, 20);
    assert_eq!(rig.said[4..], ["mutation 1 do:it"]);
}

#[test]
fn a_rejected_token_that_cannot_be_replaced_is_told_and_not_presented_again() {
    let mut rig = Rig::new();
    rig.session.authenticate(rig.now, ADA, token("ada", "bad"));
    rig.session.ensure_user(rig.now, Ticket(1), ADA);
    rig.perform();
    let rejected = AuthError {
        error: "bad signature".to_string(),
        base_version: 0,
        auth_update_attempted: true,
    };
    rig.hear(ServerMessage::AuthError(rejected));
    rig.session.fetched(rig.now, ADA, Ok(token("ada", "bad")));
    rig.perform();
    let Err(EnsureUserError::Unprovisioned(Unprovisioned::TokenRejected { message })) =
        &rig.steps[0]
    else {
        panic!("{:?}", rig.steps)
    };
    assert_eq!(message, "bad signature");
    rig.said.clear();
    rig.open();
    assert_eq!(rig.said, ["connect 1", "watch"]);
}

#[test]
fn a_committed_mutation_of_a_user_who_is_kept_out_resolves_when_nothing_old_is_shown_any_more() {
    let mut rig = Rig::provisioned();
    let id = rig.subscribe(Scope::User(ADA), "tasks:mine");
    let show = |told: &mut StateVersion| told.query_set = 2;
    rig.transition(show, vec![updated(id, 1.0)]);
    rig.mutate(1);
    rig.respond(1, 20);
    assert!(rig.answers.is_empty(), "its effect is not shown yet");
    rig.hear(ServerMessage::AuthError(AuthError {
        error: "expired".to_string(),
        base_version: 1,
        auth_update_attempted: false,
    }));
    rig.session.fetched(rig.now, ADA, Ok(token("ada", "first")));
    let mut last = Vec::new();
    while let Some(effect) = rig.session.next_effect() {
        match effect {
            Effect::Suspend(query, _) if query == id => last.push("suspend"),
            Effect::Answer(Ticket(1), Ok(_)) => last.push("answer"),
            _ => {}
        }
    }
    assert_eq!(last, ["suspend", "answer"]);
}

#[test]
fn news_of_an_identity_that_was_replaced_is_ignored() {
    let mut rig = Rig::provisioned();
    rig.session.sign_out(rig.now, ADA);
    rig.session
        .authenticate(rig.now, LoginId(2), token("grace", "good"));
    rig.session.ensure_user(rig.now, Ticket(2), LoginId(2));
    rig.perform();
    rig.hear(ServerMessage::AuthError(AuthError {
        error: "expired".to_string(),
        base_version: 1,
        auth_update_attempted: false,
    }));
    rig.respond(0, 50);
    assert!(rig.asked.is_empty() && rig.steps.is_empty());
    assert_eq!(rig.session.status().login, LoginStatus::Provisioning);
}

#[test]
fn a_step_that_takes_too_long_is_given_up_and_can_be_tried_again() {
    let mut rig = Rig::new();
    rig.session.authenticate(rig.now, ADA, token("ada", "jwt"));
    rig.session.ensure_user(rig.now, Ticket(1), ADA);
    rig.perform();
    rig.now += Duration::from_secs(20);
    rig.hear(ServerMessage::Ping);
    rig.after(Duration::from_secs(10));
    assert!(matches!(
        rig.steps[0],
        Err(EnsureUserError::Unprovisioned(
            Unprovisioned::TimedOut { .. }
        ))
    ));
    assert_eq!(rig.said.last().unwrap(), "authenticate nobody");
    // The answer that was given up opens nothing.
    rig.respond(0, 10);
    assert!(matches!(
        rig.session.status().login,
        LoginStatus::Unprovisioned(_)
    ));
    rig.session.ensure_user(rig.now, Ticket(2), ADA);
    rig.perform();
    rig.respond(1, 20);
    assert_eq!(rig.steps[1], Ok(Value::Null));
}

#[test]
fn an_optimistic_update_goes_in_the_step_in_which_the_truth_comes() {
    let mut rig = Rig::provisioned();
    let id = rig.subscribe(Scope::User(ADA), "mine:count");
    rig.transition(|told| told.query_set = 2, vec![updated(id, 1.0)]);
    let one_more = Update::new(|store| {
        store.update("mine:count", &(), |count: &mut f64| *count += 1.0);
    });
    rig.call(5, Scope::User(ADA), Kind::Mutation, Some(one_more));
    // Another's change comes first: the update is on top of it.
    rig.transition(|told| told.ts = Timestamp(20), vec![updated(id, 5.0)]);
    rig.respond(1, 30);
    rig.transition(|told| told.ts = Timestamp(30), vec![updated(id, 6.0)]);
    let shown: Vec<_> = rig.shown.iter().map(|(_, value)| value.as_f64()).collect();
    assert_eq!(shown, [1.0, 2.0, 6.0].map(Some));
    assert_eq!(rig.answers, [(Ticket(5), Ok(Value::Null))]);
}

#[test]
fn an_optimistic_update_that_panics_fails_its_own_mutation_alone() {
    let mut rig = Rig::provisioned();
    let panics = Update::new(|_| panic!("on purpose"));
    rig.call(5, Scope::User(ADA), Kind::Mutation, Some(panics));
    assert_eq!(
        rig.answers,
        [(Ticket(5), Err(CallError::OptimisticUpdatePanicked))]
    );
    rig.mutate(6);
    assert_eq!(rig.said, ["mutation 2 do:it"]);
}

#[test]
fn a_long_transition_may_come_in_pieces() {
    let mut rig = Rig::provisioned();
    let id = rig.subscribe(Scope::User(ADA), "mine:count");
    let transition = rig.next_transition(|told| told.query_set = 2, vec![updated(id, 7.0)]);
    let text = ServerMessage::Transition(transition).to_json();
    for chunk in TransitionChunk::split(&text, 20) {
        rig.hear(ServerMessage::TransitionChunk(chunk));
        rig.hear(ServerMessage::Ping);
    }
    assert_eq!(rig.shown, [(id, Value::from(7.0))]);

    let mut pieces = TransitionChunk::split(&text, 20);
    pieces.swap(0, 1);
    rig.hear(ServerMessage::TransitionChunk(pieces.remove(0)));
    assert_eq!(
        rig.asked,
        ["leave"],
        "pieces out of order mean a new connection"
    );
}

#[test]
fn a_transition_that_does_not_follow_means_a_new_connection() {
    let mut rig = Rig::provisioned();
    rig.told.ts = Timestamp(5);
    rig.transition(|_| {}, Vec::new());
    assert_eq!(rig.asked, ["leave"]);
    assert!(matches!(
        rig.session.status().connection,
        ConnectionStatus::Waiting { .. }
    ));
}

#[test]
fn a_silent_server_is_given_up() {
    let mut rig = Rig::provisioned();
    rig.after(Duration::from_secs(29));
    assert!(rig.asked.is_empty());
    rig.after(Duration::from_secs(1));
    assert_eq!(rig.asked, ["leave"]);
}

#[test]
fn pauses_grow_and_vary_and_begin_anew_once_all_is_well() {
    let mut rig = Rig::provisioned();
    let mut pauses = Vec::new();
    for _ in 0..12 {
        rig.cut();
        let due = rig.session.due().unwrap();
        pauses.push(due - rig.now);
        rig.now = due;
        rig.after(Duration::ZERO);
    }
    for (attempt, pause) in pauses.iter().enumerate() {
        let whole = Duration::from_millis(100 << attempt).min(Duration::from_secs(16));
        assert!(
            (whole / 2..whole * 3 / 2).contains(pause),
            "{attempt}: {pause:?}"
        );
    }
    rig.open();
    // The token has run out by now.
    let another = Ok(token("ada", "second"));
    rig.session.fetched(rig.now, ADA, another);
    rig.perform();
    let ensure = ensure_request(&rig);
    rig.respond(ensure, 12);
    rig.transition(|told| told.query_set = 1, Vec::new());
    rig.cut();
    let pause = rig.session.due().unwrap() - rig.now;
    assert!(pause < Duration::from_millis(150), "{pause:?}");
}

#[test]
fn an_overloaded_server_is_left_alone_for_longer() {
    let mut rig = Rig::provisioned();
    let frame = Some((1013, "CommitterFullError".to_string()));
    rig.session.lost(rig.now, Trouble::closed(frame));
    assert!(rig.session.due().unwrap() >= Duration::from_millis(1_500));
}

#[test]
fn after_a_fatal_error_everything_is_told_and_nothing_is_tried() {
    let mut rig = Rig::provisioned();
    rig.mutate(5);
    rig.hear(ServerMessage::FatalError {
        error: "bad client".to_string(),
    });
    let closed = Closed::Fatal("bad client".to_string());
    assert_eq!(
        rig.answers,
        [(Ticket(5), Err(CallError::Closed(closed.clone())))]
    );
    assert_eq!(rig.session.closed(), Some(&closed));
}

#[test]
fn calls_that_wait_are_bounded() {
    let mut rig = Rig::provisioned();
    rig.cut();
    for ticket in 0..CALLS_PENDING_MAX as u64 {
        rig.mutate(ticket);
    }
    assert!(rig.answers.is_empty());
    rig.mutate(1_000_000);
    assert_eq!(
        rig.answers,
        [(Ticket(1_000_000), Err(CallError::TooManyCalls))]
    );
    rig.said.clear();
    rig.open();
    let ensure = ensure_request(&rig);
    rig.respond(ensure, 20);
    let sent = rig.said.iter().filter(|it| it.ends_with("do:it")).count();
    assert_eq!(sent, super::super::calls::CALLS_SENT_MAX);
}

/// The number of the newest provisioning call.
fn ensure_request(rig: &Rig) -> u32 {
    let call = rig.said.iter().rfind(|it| it.ends_with("users:ensureUser"));
    let number = call.and_then(|it| it.split(' ').nth(1)?.parse().ok());
    number.unwrap()
}

#[test]
fn nobody_is_presented_before_everything_is_sent_that_runs_as_nobody() {
    const SENT_MAX: u32 = super::super::calls::CALLS_SENT_MAX as u32;
    let mut rig = Rig::new();
    for ticket in 0..=u64::from(SENT_MAX) {
        rig.call(ticket, Scope::Anyone, Kind::Mutation, None);
    }
    rig.session.authenticate(rig.now, ADA, token("ada", "jwt"));
    rig.session.ensure_user(rig.now, Ticket(1_000_000), ADA);
    rig.perform();
    assert_eq!(rig.said.last().unwrap(), "mutation 499 do:it");
    rig.respond(0, 10);
    assert_eq!(
        rig.said[SENT_MAX as usize + 2..],
        [
            "mutation 500 do:it",
            "authenticate jwt",
            "mutation 501 users:ensureUser"
        ]
    );
}
