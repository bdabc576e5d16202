//! One client as a pure state machine: events go in with their time, effects come out. No I/O, no clock; randomness is
//! given at construction. The worker owns one and does what it says.

mod calls;
mod gate;
mod link;
mod login;
mod queries;
mod receive;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use vestibule_schema::provisioning;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::wire::{ClientMessage, Connect, ModifyQuerySet, QueryId, SessionId};
use vestibule_schema::{FunctionPath, Object, Value};

use self::calls::{Calls, PendingCall};
use self::link::{Backoff, Link, Wire};
use self::login::Login;
use crate::error::{CallError, Closed, EnsureUserError, LoginEnd, Unprovisioned};
use crate::options::{CALLS_PENDING_MAX, ClientOptions};
use crate::status::{ConnectionStatus, Status};

pub(crate) use calls::{Kind, NewCall};
pub(crate) use link::Trouble;
pub(crate) use queries::{Changes, Outcome, Queries, QueryKey, Scope};

/// Something that waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(pub u64);

/// One sign-in of one person on this client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoginId(pub(crate) u64);

/// The effects for the worker, in order.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Open a socket, then say that it is open or why not.
    Open,
    /// Leave the socket that is open or being opened.
    Leave,
    Send(ClientMessage),
    /// Fetch a token that is newer than any before.
    FetchToken(LoginId),
    /// Show new results, all at once.
    Publish(Changes),
    /// A query of a login that cannot go on has nothing to show until further notice.
    Suspend(QueryId, Unprovisioned),
    /// A query that will never show anything again.
    End(QueryId, LoginEnd),
    Answer(Ticket, Result<Value, CallError>),
    AnswerStep(Ticket, Result<Value, EnsureUserError>),
}

/// The state machine.
pub(crate) struct Session {
    options: ClientOptions,
    rng: StdRng,
    id: SessionId,
    link: Link,
    backoff: Backoff,
    sockets: u32,
    last_close_reason: Option<String>,
    newest_seen: Timestamp,
    queries: Queries,
    calls: Calls,
    gate: provisioning::State,
    login: Option<Login>,
    last_login: Option<(LoginId, LoginEnd)>,
    closed: Option<Closed>,
    effects: VecDeque<Effect>,
}

impl Session {
    /// A client whose first socket is being opened.
    pub fn new(id: SessionId, options: ClientOptions, rng: StdRng) -> Session {
        Session {
            options,
            rng,
            id,
            link: Link::Opening,
            backoff: Backoff { attempts: 1 },
            sockets: 0,
            last_close_reason: None,
            newest_seen: Timestamp::ZERO,
            queries: Queries::default(),
            calls: Calls::default(),
            gate: provisioning::State::default(),
            login: None,
            last_login: None,
            closed: None,
            effects: VecDeque::new(),
        }
    }

    /// The next thing to do.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Why the client has ended, if it has.
    pub fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    /// Whether every call has its outcome.
    pub fn is_idle(&self) -> bool {
        self.calls.len() == 0
    }

    /// Where the client stands.
    pub fn status(&self) -> Status {
        let attempt = self.backoff.attempts;
        let connection = match (&self.closed, &self.link) {
            (Some(closed), _) => ConnectionStatus::Closed(closed.clone()),
            (None, Link::Waiting { .. }) => ConnectionStatus::Waiting { attempt },
            (None, Link::Opening) => ConnectionStatus::Connecting { attempt },
            (None, Link::Open(_)) => ConnectionStatus::Connected,
        };
        Status {
            connection,
            login: self.login_status(),
        }
    }

    /// Watches a query; gives its id and what it shows already. Fails for a login that is over.
    pub fn subscribe(
        &mut self,
        now: Duration,
        key: QueryKey,
    ) -> Result<(QueryId, Option<Arc<Outcome>>), LoginEnd> {
        self.check_scope(key.scope)?;
        let scope = key.scope;
        let id = self.queries.watch(key);
        if let (Scope::User(_), Some(reason)) = (scope, self.unprovisioned()) {
            self.effects.push_back(Effect::Suspend(id, reason));
        }
        self.flush(now);
        Ok((id, self.queries.shown(id)))
    }

    /// Watches a query once less.
    pub fn unsubscribe(&mut self, now: Duration, id: QueryId) {
        self.queries.unwatch(id);
        self.flush(now);
    }

    /// Asks for a result of a query once, not older than now.
    pub fn query(&mut self, now: Duration, ticket: Ticket, key: QueryKey) {
        if let Err(end) = self.check_scope(key.scope) {
            let error = CallError::LoginEnded {
                end,
                may_have_run: false,
            };
            return self.answer(ticket, Err(error));
        }
        if let (Scope::User(_), Some(reason)) = (key.scope, self.unprovisioned()) {
            let may_have_run = false;
            let error = CallError::NotProvisioned {
                reason,
                may_have_run,
            };
            return self.answer(ticket, Err(error));
        }
        let id = self.queries.wait(key, ticket);
        self.answer_fresh(id);
        self.flush(now);
    }

    /// Makes a call as the user of a login, or as the client's current identity.
    pub fn call(&mut self, now: Duration, ticket: Ticket, scope: Scope, call: NewCall) {
        if let Err(error) = self.check_call(scope) {
            return self.answer(ticket, Err(error));
        }
        let whom = match scope {
            Scope::User(login) => Some(login),
            Scope::Anyone => self.speaks_for(),
        };
        let update = call.update.clone();
        let request = self.calls.add(ticket, whom, call);
        if let Some(update) = update
            && self.update_panics(&update)
        {
            self.calls.remove(request);
            return self.answer(ticket, Err(CallError::OptimisticUpdatePanicked));
        }
        self.show();
        self.flush(now);
    }

    fn check_call(&self, scope: Scope) -> Result<(), CallError> {
        self.check_scope(scope)
            .map_err(|end| CallError::LoginEnded {
                end,
                may_have_run: false,
            })?;
        if let (Scope::User(_), Some(reason)) = (scope, self.unprovisioned()) {
            let may_have_run = false;
            return Err(CallError::NotProvisioned {
                reason,
                may_have_run,
            });
        }
        match self.calls.len() < CALLS_PENDING_MAX {
            true => Ok(()),
            false => Err(CallError::TooManyCalls),
        }
    }

    fn update_panics(&mut self, update: &crate::optimistic::Update) -> bool {
        let mut scratch = std::collections::BTreeMap::new();
        let mut store = crate::optimistic::LocalStore::new(&self.queries, &mut scratch);
        update.apply(&mut store).is_err()
    }

    /// The socket that was asked for is open.
    pub fn opened(&mut self, now: Duration) {
        self.link = Link::Open(Wire {
            heard_at: now,
            ..Wire::default()
        });
        let connect = Connect {
            session_id: self.id,
            connection_count: self.sockets,
            last_close_reason: Some(
                self.last_close_reason
                    .take()
                    .unwrap_or_else(|| "InitialConnect".to_string()),
            ),
            max_observed_timestamp: (self.newest_seen > Timestamp::ZERO)
                .then_some(self.newest_seen),
            client_ts: None,
        };
        self.sockets += 1;
        self.send(ClientMessage::Connect(connect));
        self.modify_query_set(true);
        self.flush(now);
    }

    /// The socket ended, or could not be opened.
    pub fn lost(&mut self, now: Duration, trouble: Trouble) {
        if self.closed.is_some() {
            return;
        }
        tracing::debug!(reason = trouble.text(), "disconnected");
        let pause = self.backoff.next(&trouble, &self.options, &mut self.rng);
        self.link = Link::Waiting {
            until: now.saturating_add(pause),
        };
        self.last_close_reason = Some(trouble.text().to_string());
        self.queries.disconnected();
        for action in self.calls.disconnected() {
            self.answer(action.ticket, Err(CallError::ConnectionLost));
        }
        self.login_disconnected(trouble);
        self.give_up_orphans();
        self.show();
    }

    /// Leaves the open socket of its own accord.
    fn leave(&mut self, now: Duration, trouble: Trouble) {
        self.effects.push_back(Effect::Leave);
        self.lost(now, trouble);
    }

    /// When [`Session::tick`] has something to do, if nothing happens before.
    pub fn due(&self) -> Option<Duration> {
        let link = match &self.link {
            Link::Waiting { until } => Some(*until),
            Link::Opening => None,
            Link::Open(wire) => Some(wire.heard_at.saturating_add(self.options.silence_max)),
        };
        [link, self.login_due()].into_iter().flatten().min()
    }

    /// Does what is due by the clock.
    pub fn tick(&mut self, now: Duration) {
        match &self.link {
            Link::Waiting { until } if *until <= now => {
                self.link = Link::Opening;
                self.effects.push_back(Effect::Open);
            }
            Link::Open(wire) if wire.heard_at.saturating_add(self.options.silence_max) <= now => {
                self.leave(now, Trouble::Ordinary("InactiveServer".to_string()));
            }
            Link::Waiting { .. } | Link::Opening | Link::Open(_) => {}
        }
        self.tick_login(now);
        self.flush(now);
    }

    /// Sends every message that may be sent now, in the required order. First come messages that need no user and
    /// calls without an identity, then the steps of the login, then the calls behind its gate.
    fn flush(&mut self, now: Duration) {
        if !matches!(self.link, Link::Open(_)) {
            return;
        }
        self.modify_query_set(false);
        if self.speaks_on_wire_for().is_none() {
            self.send_calls(None);
        }
        self.present_if_due(now);
        if let Some(login) = self.open_gate() {
            self.send_calls(Some(login));
        }
        self.settle();
    }

    fn modify_query_set(&mut self, even_if_empty: bool) {
        let open = self.open_gate();
        let Link::Open(wire) = &mut self.link else {
            return;
        };
        let modifications = self.queries.modifications(|scope| match scope {
            Scope::Anyone => true,
            Scope::User(login) => Some(login) == open,
        });
        if modifications.is_empty() && !even_if_empty {
            return;
        }
        let base_version = wire.query_set;
        wire.query_set += 1;
        let modify = ModifyQuerySet {
            base_version,
            new_version: wire.query_set,
            modifications,
        };
        self.send(ClientMessage::ModifyQuerySet(modify));
    }

    fn send_calls(&mut self, whom: Option<LoginId>) {
        for message in self.calls.take_unsent(whom) {
            self.send(message);
        }
    }

    /// Answers mutations whose effect is shown.
    fn settle(&mut self) {
        let (told, newest) = match &self.link {
            Link::Open(wire) => (wire.told, wire.query_set),
            Link::Waiting { .. } | Link::Opening => return,
        };
        for whom in [None, self.open_gate()] {
            self.calls.await_query_set(whom, newest);
        }
        let shown = self.calls.take_shown(told.query_set, told.ts);
        if shown.is_empty() {
            return;
        }
        self.show();
        for call in shown {
            self.answer_committed(call);
        }
    }

    fn answer_committed(&mut self, call: PendingCall) {
        if let calls::Progress::Committed { value, .. } = call.progress {
            self.answer(call.ticket, Ok(value));
        }
    }

    /// Shows what the server says with the optimistic updates on top.
    fn show(&mut self) {
        let changes = self.queries.show(self.calls.updates());
        if !changes.is_empty() {
            self.effects.push_back(Effect::Publish(changes));
        }
    }

    fn answer_fresh(&mut self, id: QueryId) {
        for (ticket, outcome) in self.queries.answer_fresh(id) {
            let result = Outcome::clone(&outcome).map_err(CallError::Function);
            self.answer(ticket, result);
        }
    }

    fn answer(&mut self, ticket: Ticket, result: Result<Value, CallError>) {
        self.effects.push_back(Effect::Answer(ticket, result));
    }

    fn send(&mut self, message: ClientMessage) {
        self.effects.push_back(Effect::Send(message));
    }

    fn wire(&mut self) -> Option<&mut Wire> {
        match &mut self.link {
            Link::Open(wire) => Some(wire),
            Link::Waiting { .. } | Link::Opening => None,
        }
    }

    /// Ends for good: everything that waits is told why.
    fn close(&mut self, why: Closed) {
        self.effects.push_back(Effect::Leave);
        for call in self.calls.take(|_| true) {
            self.answer(call.ticket, Err(CallError::Closed(why.clone())));
        }
        for (_, tickets) in self.queries.take_all() {
            for ticket in tickets {
                self.answer(ticket, Err(CallError::Closed(why.clone())));
            }
        }
        if let Some(login) = self.login.take() {
            for ticket in login.asked {
                let error = EnsureUserError::Closed(why.clone());
                self.effects
                    .push_back(Effect::AnswerStep(ticket, Err(error)));
            }
        }
        self.link = Link::Opening;
        self.closed = Some(why);
    }

    fn provisioning_call(&self) -> (FunctionPath, Object) {
        (self.options.provisioning_function.clone(), Object::new())
    }
}
