//! A client and its server with everything between them, and the rules that are always checked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use vestibule_schema::identity::IdentityKey;
use vestibule_schema::wire::{QueryId, SessionId};
use vestibule_schema::{Object, Value, object};

use super::random::{Op, PEOPLE};
use super::server::Server;
use crate::error::{CallError, EnsureUserError};
use crate::optimistic::Update;
use crate::options::ClientOptions;
use crate::session::{
    Effect, Kind, LoginId, NewCall, Outcome, QueryKey, Scope, Session, Ticket, Trouble,
};
use crate::status::LoginStatus;
use crate::token::{Token, TokenError};

/// The request, for judging the answer.
#[derive(Clone, Debug)]
enum Asked {
    Mutation { number: u32, login: Option<LoginId> },
    Action { number: u32 },
    Query,
    Step,
}

pub struct World {
    session: Session,
    server: Server,
    now: Duration,
    away: u8,
    tokens: u32,
    are_tokens_away: bool,
    fetches: Vec<LoginId>,
    login: Option<(LoginId, String)>,
    next: u64,
    asked: BTreeMap<Ticket, Asked>,
    /// Live watchers, each with its user.
    watched: Vec<(QueryId, Scope)>,
    shown: BTreeMap<QueryId, Arc<Outcome>>,
    committed_answers: BTreeSet<u32>,
    never_ran: BTreeSet<u32>,
}

impl World {
    pub fn new(has_gate: bool) -> World {
        let options = ClientOptions::default();
        let rng = StdRng::seed_from_u64(7);
        let mut world = World {
            session: Session::new(SessionId([7; 16]), options, rng),
            server: Server::new(has_gate),
            now: Duration::ZERO,
            away: 0,
            tokens: 0,
            are_tokens_away: false,
            fetches: Vec::new(),
            login: None,
            next: 0,
            asked: BTreeMap::new(),
            watched: Vec::new(),
            shown: BTreeMap::new(),
            committed_answers: BTreeSet::new(),
            never_ran: BTreeSet::new(),
        };
        world.server.accept();
        world.session.opened(world.now);
        world.perform();
        world
    }

    fn token(&mut self, who: &str) -> Token {
        self.tokens += 1;
        Token {
            text: format!("{who}#{}", self.tokens),
            key: IdentityKey::new(who),
            lasts: Some(Duration::from_secs(60)),
        }
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn ticket(&mut self, asked: Asked) -> Ticket {
        let ticket = Ticket(self.id());
        self.asked.insert(ticket, asked);
        ticket
    }

    fn scope(&self, as_user: bool) -> Option<(Scope, Option<LoginId>)> {
        match (as_user, &self.login) {
            (false, _) => Some((Scope::Anyone, None)),
            (true, Some((login, _))) => Some((Scope::User(*login), Some(*login))),
            (true, None) => None,
        }
    }

    /// Arguments that name the person as whom the call is made, which the server compares.
    fn args(&self, as_whom: Option<&str>) -> Object {
        as_whom.map_or_else(Object::new, |who| object! { "as" => who })
    }

    fn key(&self, scope: Scope, which: u8) -> QueryKey {
        let who = match scope {
            Scope::Anyone => None,
            Scope::User(_) => self.login.as_ref().map(|(_, who)| who.as_str()),
        };
        let mut args = self.args(who);
        args.insert("which".to_string(), Value::from(f64::from(which)));
        QueryKey {
            scope,
            path: "numbers:list".parse().unwrap(),
            args,
        }
    }

    fn call(&mut self, as_user: bool, kind: Kind, fails: bool, is_optimistic: bool) {
        let Some((scope, login)) = self.scope(as_user) else {
            return;
        };
        // A call without a user runs as the client's current identity, so its arguments must name that one.
        let speaks_for = self.session.speaks_for();
        let who = match (scope, &self.login) {
            (Scope::User(_), Some((_, who))) => Some(who.as_str()),
            (Scope::Anyone, Some((login, who))) if speaks_for == Some(*login) => Some(who.as_str()),
            (Scope::Anyone | Scope::User(_), _) => None,
        };
        let mut args = self.args(who);
        self.next += 1;
        let number = self.next as u32;
        args.insert("n".to_string(), Value::from(f64::from(number)));
        if fails {
            args.insert("fails".to_string(), Value::from(true));
        }
        let asked = match kind {
            Kind::Mutation => Asked::Mutation { number, login },
            Kind::Action => Asked::Action { number },
        };
        let ticket = self.ticket(asked);
        let update = Update::new(move |store| {
            for (args, value) in store.all("numbers:list") {
                let mut list = value.as_array().unwrap().to_vec();
                list.push(Value::from(f64::from(number)));
                store.set("numbers:list", &args, &list);
            }
        });
        let call = NewCall {
            kind,
            path: "numbers:add".parse().unwrap(),
            args,
            update: is_optimistic.then_some(update),
        };
        self.session.call(self.now, ticket, scope, call);
    }

    pub fn apply(&mut self, op: Op) {
        match op {
            Op::SignIn(person) => {
                let who = PEOPLE[person];
                let login = LoginId(self.id());
                let token = self.token(who);
                self.login = Some((login, who.to_string()));
                self.fetches.clear();
                self.session.authenticate(self.now, login, token);
            }
            Op::EnsureUser => {
                if let Some((login, _)) = self.login {
                    let ticket = self.ticket(Asked::Step);
                    self.session.ensure_user(self.now, ticket, login);
                }
            }
            Op::SignOut => {
                if let Some((login, _)) = self.login.take() {
                    self.session.sign_out(self.now, login);
                }
            }
            Op::Subscribe { as_user, which } => {
                if let Some((scope, _)) = self.scope(as_user) {
                    let key = self.key(scope, which);
                    if let Ok((id, shown)) = self.session.subscribe(self.now, key) {
                        self.watched.push((id, scope));
                        self.shown.extend(shown.map(|outcome| (id, outcome)));
                    }
                }
            }
            Op::Unsubscribe(which) => {
                if !self.watched.is_empty() {
                    let (id, _) = self.watched.swap_remove(which % self.watched.len());
                    if !self.watched.iter().any(|(other, _)| *other == id) {
                        self.shown.remove(&id);
                    }
                    self.session.unsubscribe(self.now, id);
                }
            }
            Op::Query { as_user } => {
                if let Some((scope, _)) = self.scope(as_user) {
                    let key = self.key(scope, 9);
                    let ticket = self.ticket(Asked::Query);
                    self.session.query(self.now, ticket, key);
                }
            }
            Op::Mutation {
                as_user,
                fails,
                is_optimistic,
            } => self.call(as_user, Kind::Mutation, fails, is_optimistic),
            Op::Action { as_user } => self.call(as_user, Kind::Action, false, false),
            Op::ServerTakes => self.server.take(),
            Op::ServerDecides => self.server.decide(),
            Op::ServerTells => self.server.transition(),
            Op::ClientTakes => self.client_takes(),
            Op::Settle => {
                for _ in 0..20 {
                    for step in [
                        Op::ServerTakes,
                        Op::ServerDecides,
                        Op::ServerTells,
                        Op::ClientTakes,
                    ] {
                        self.apply(step);
                    }
                    self.answer_fetches();
                }
            }
            Op::Cut { taken_before } => self.cut(taken_before),
            Op::Away(attempts) => self.away = attempts,
            Op::Expire => self.server.expire(),
            Op::RejectToken => {
                let newest = self.tokens;
                for who in PEOPLE {
                    self.server.bad_tokens.insert(format!("{who}#{newest}"));
                }
            }
            Op::Refuse(person) => {
                self.server.refused.insert(PEOPLE[person].to_string());
            }
            Op::LetIn(person) => {
                self.server.refused.remove(PEOPLE[person]);
            }
            Op::TokensAway(are_away) => self.are_tokens_away = are_away,
            Op::Wait(milliseconds) => self.wait(Duration::from_millis(milliseconds.into())),
        }
        self.perform();
    }

    fn client_takes(&mut self) {
        let Some(socket) = &mut self.server.socket else {
            return;
        };
        match socket.to_client.pop_front() {
            Some(message) => self.session.received(self.now, message),
            None if socket.is_closing => {
                self.server.socket = None;
                self.session.lost(self.now, Trouble::closed(None));
            }
            None => {}
        }
    }

    fn cut(&mut self, taken_before: usize) {
        if self.server.socket.is_none() {
            return;
        }
        for _ in 0..taken_before {
            self.server.take();
        }
        self.server.socket = None;
        self.session.lost(self.now, Trouble::closed(None));
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.session.due().filter(|due| *due <= end) {
            let before = self.now;
            self.now = self.now.max(due);
            self.session.tick(self.now);
            self.perform();
            self.answer_fetches();
            if self.session.due() == Some(due) && self.now == before {
                break;
            }
        }
        self.now = end;
        self.answer_fetches();
    }

    pub fn answer_fetches(&mut self) {
        for login in std::mem::take(&mut self.fetches) {
            let result = match (&self.login, self.are_tokens_away) {
                (Some((current, who)), false) if *current == login => {
                    let who = who.clone();
                    Ok(self.token(&who))
                }
                _ => Err(TokenError::unavailable("away")),
            };
            self.session.fetched(self.now, login, result);
            self.perform();
        }
    }

    fn perform(&mut self) {
        while let Some(effect) = self.session.next_effect() {
            match effect {
                Effect::Open if self.away > 0 => {
                    self.away -= 1;
                    self.session
                        .lost(self.now, Trouble::Server("away".to_string()));
                }
                Effect::Open => {
                    self.server.accept();
                    self.session.opened(self.now);
                }
                Effect::Leave => self.server.socket = None,
                Effect::Send(message) => {
                    let socket = self.server.socket.as_mut();
                    socket
                        .expect("only an open socket is written to")
                        .to_server
                        .push_back(message);
                }
                Effect::FetchToken(login) => self.fetches.push(login),
                Effect::Publish(changes) => self.shown.extend(changes),
                Effect::Suspend(id, _) => {
                    self.shown.remove(&id);
                }
                Effect::End(id, _) => {
                    self.shown.remove(&id);
                    self.watched.retain(|(watched, _)| *watched != id);
                }
                Effect::Answer(ticket, result) => self.judge(ticket, result),
                Effect::AnswerStep(ticket, result) => self.judge_step(ticket, result),
            }
        }
    }

    fn judge(&mut self, ticket: Ticket, result: Result<Value, CallError>) {
        let asked = self.asked.remove(&ticket).expect("it is answered once");
        match (asked, result) {
            (Asked::Mutation { number, login }, Ok(_)) => {
                self.committed_answers.insert(number);
                self.check_visible(number, login);
            }
            (
                Asked::Mutation { number, .. } | Asked::Action { number },
                Err(
                    CallError::LoginEnded {
                        may_have_run: false,
                        ..
                    }
                    | CallError::NotProvisioned {
                        may_have_run: false,
                        ..
                    }
                    | CallError::Function(_),
                ),
            ) => {
                self.never_ran.insert(number);
            }
            (Asked::Query, Ok(value)) => {
                assert!(value.as_array().is_some());
            }
            (Asked::Step, answer) => panic!("a step is answered with {answer:?}"),
            (Asked::Mutation { .. } | Asked::Action { .. } | Asked::Query, _) => {}
        }
    }

    fn judge_step(&mut self, ticket: Ticket, result: Result<Value, EnsureUserError>) {
        let asked = self.asked.remove(&ticket).expect("it is answered once");
        assert!(matches!(asked, Asked::Step));
        if let Ok(user) = result {
            let who = user.as_str().expect("the user's name");
            assert!(self.server.users.contains(who));
            assert_eq!(self.login.as_ref().map(|(_, who)| who.as_str()), Some(who));
        }
    }

    /// Read your writes: the effect of an answered call is in every result that its login shows.
    fn check_visible(&self, number: u32, login: Option<LoginId>) {
        let Some(login) = login.filter(|login| {
            self.login
                .as_ref()
                .is_some_and(|(current, _)| current == login)
        }) else {
            return;
        };
        for (id, scope) in &self.watched {
            if *scope != Scope::User(login) {
                continue;
            }
            if let Some(outcome) = self.shown.get(id) {
                let list = outcome.as_ref().as_ref().unwrap().as_array().unwrap();
                let number = Value::from(f64::from(number));
                assert!(list.contains(&number), "{number} is not in {list:?}");
            }
        }
    }

    /// Everything goes well from here on, until nothing happens any more.
    pub fn heal(&mut self) {
        self.away = 0;
        self.are_tokens_away = false;
        self.server.bad_tokens.clear();
        self.server.refused.clear();
        for _ in 0..200 {
            let is_to_be_asked = matches!(
                self.session.status().login,
                LoginStatus::Unprovisioned(_) | LoginStatus::Authenticated
            );
            if is_to_be_asked {
                self.apply(Op::EnsureUser);
            }
            self.wait(Duration::from_millis(500));
            self.apply(Op::Settle);
        }
    }

    pub fn check_end(&self) {
        assert!(self.asked.is_empty(), "unanswered: {:?}", self.asked);
        let ran: Vec<u32> = self.server.mutations.iter().map(|(_, n)| *n).collect();
        let distinct: BTreeSet<u32> = ran.iter().copied().collect();
        assert_eq!(distinct.len(), ran.len(), "a mutation ran twice");
        assert!(self.committed_answers.is_subset(&distinct));
        assert!(
            self.never_ran.is_disjoint(&distinct),
            "{:?}",
            self.never_ran
        );
        for who in [None, Some("ada"), Some("grace")] {
            let order: Vec<u32> = self
                .server
                .mutations
                .iter()
                .filter(|(by, _)| by.as_deref() == who)
                .map(|(_, number)| *number)
                .collect();
            assert!(order.is_sorted(), "out of order: {order:?}");
        }
        let actions: Vec<u32> = self.server.actions.iter().map(|(_, n)| *n).collect();
        let distinct_actions: BTreeSet<u32> = actions.iter().copied().collect();
        assert_eq!(distinct_actions.len(), actions.len(), "an action ran twice");
        assert!(self.never_ran.is_disjoint(&distinct_actions));
        let newest: Vec<Value> = ran.iter().map(|n| Value::from(f64::from(*n))).collect();
        for (id, _) in &self.watched {
            let shown = self.shown.get(id).map(|outcome| outcome.as_ref().clone());
            assert_eq!(shown, Some(Ok(Value::Array(newest.clone()))), "{id}");
        }
    }
}
