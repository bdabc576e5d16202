//! The login: the token and its refreshes, the steps walked on every new socket, and the end.

use std::time::Duration;

use vestibule_schema::provisioning::{Event, State, step};
use vestibule_schema::wire::{Authenticate, ClientMessage, Credential, RequestId};

use super::link::{Link, Trouble};
use super::{Effect, LoginId, Scope, Session, Ticket};
use crate::error::{CallError, EnsureUserError, LoginEnd, Unprovisioned};
use crate::status::LoginStatus;
use crate::token::{Token, TokenError};

/// Tokens that may be rejected in a row before the login is given up.
pub(super) const REJECTIONS_MAX: u32 = 3;
/// No token is replaced sooner than this after it was read, however short it lasts.
const REFRESH_AFTER_MIN: Duration = Duration::from_secs(1);
/// A token source that gives the same token again, or one that is about to expire, is not asked again before this.
const REFRESH_PAUSE_MIN: Duration = Duration::from_secs(5);

/// One sign-in.
pub(super) struct Login {
    pub id: LoginId,
    pub token: Token,
    read_at: Duration,
    refresh_at: Option<Duration>,
    /// The server has not seen the token yet, and may judge it by its own clock.
    pub is_untried: bool,
    /// The token was rejected or has run out: it is not presented any more.
    pub needs_token: bool,
    pub fetch: Fetch,
    fetch_failures: u32,
    /// The user is to be let in, on every connection anew.
    pub is_wanted: bool,
    /// The provisioning call under way on this connection.
    pub run: Option<RequestId>,
    /// The callers that wait for the step.
    pub asked: Vec<Ticket>,
    deadline: Option<Duration>,
    pub rejections: u32,
    pub rejected_text: Option<String>,
    pub unprovisioned: Option<Unprovisioned>,
    trouble: Option<String>,
}

/// A fetch of another token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetch {
    Idle,
    Running,
    RetryAt(Duration),
}

impl Session {
    /// A user signs in, token in hand. Nothing is presented before [`Session::ensure_user`]. An earlier login is over.
    pub fn authenticate(&mut self, now: Duration, id: LoginId, token: Token) {
        self.end_login(LoginEnd::IdentityChanged);
        let mut login = Login {
            id,
            token,
            read_at: now,
            refresh_at: None,
            is_untried: true,
            needs_token: false,
            fetch: Fetch::Idle,
            fetch_failures: 0,
            is_wanted: false,
            run: None,
            asked: Vec::new(),
            deadline: None,
            rejections: 0,
            rejected_text: None,
            unprovisioned: None,
            trouble: None,
        };
        login.schedule(now, self.options.refresh_before);
        self.login = Some(login);
        self.flush(now);
    }

    /// Lets the user in, now and on every connection from now on. Asked again after a failure, it tries again.
    pub fn ensure_user(&mut self, now: Duration, ticket: Ticket, id: LoginId) {
        if let Err(end) = self.check_scope(Scope::User(id)) {
            let error = EnsureUserError::LoginEnded(end);
            return self
                .effects
                .push_back(Effect::AnswerStep(ticket, Err(error)));
        }
        let deadline = now.saturating_add(self.options.step_max);
        let login = self.login.as_mut().expect("the login was just found");
        login.asked.push(ticket);
        login.deadline.get_or_insert(deadline);
        login.unprovisioned = None;
        login.rejections = 0;
        let is_open = login.is_wanted && login.run.is_none();
        login.is_wanted = true;
        if is_open && self.open_gate() == Some(id) {
            self.run_again();
        }
        self.tick_login(now);
        self.flush(now);
    }

    /// The person signs out.
    pub fn sign_out(&mut self, now: Duration, id: LoginId) {
        if self.login.as_ref().is_some_and(|login| login.id == id) {
            self.end_login(LoginEnd::SignedOut);
            self.flush(now);
        }
    }

    /// Ends the login: nothing made under it will run, and the connection is signed out.
    pub(super) fn end_login(&mut self, end: LoginEnd) {
        let Some(login) = self.login.take() else {
            return;
        };
        self.last_login = Some((login.id, end));
        for ticket in &login.asked {
            let error = EnsureUserError::LoginEnded(end);
            self.effects
                .push_back(Effect::AnswerStep(*ticket, Err(error)));
        }
        for ticket in self.queries.take_waiting(login.id) {
            let may_have_run = false;
            self.answer(ticket, Err(CallError::LoginEnded { end, may_have_run }));
        }
        for id in self.queries.of_login(login.id) {
            self.queries.remove(id);
            self.effects.push_back(Effect::End(id, end));
        }
        self.modify_query_set(false);
        let version = self.gate.version() + 1;
        // The rejections of held work are done below, for work that was sent before as well.
        let (gate, _) = step(std::mem::take(&mut self.gate), Event::SignedOut { version });
        self.gate = gate;
        self.present_nobody();
        self.give_up_orphans();
        self.show();
    }

    /// Ends the calls of a login that is over. Calls sent on this connection ran as the earlier user and are still
    /// answered, and so are committed ones; all others are given up.
    pub(super) fn give_up_orphans(&mut self) {
        let current = self.login.as_ref().map(|login| login.id);
        let is_open = matches!(self.link, Link::Open(_));
        let orphans = self.calls.take(|call| {
            let is_orphan = call.whom.is_some() && call.whom != current;
            is_orphan && !(is_open && call.progress == super::calls::Progress::Sent)
        });
        for call in orphans {
            if matches!(call.progress, super::calls::Progress::Committed { .. }) {
                self.answer_committed(call);
                continue;
            }
            let end = call
                .whom
                .map_or(LoginEnd::IdentityChanged, |id| self.end_of(id));
            let may_have_run = call.may_have_run();
            self.answer(
                call.ticket,
                Err(CallError::LoginEnded { end, may_have_run }),
            );
        }
    }

    /// How a login that is over ended.
    fn end_of(&self, id: LoginId) -> LoginEnd {
        match self.last_login {
            Some((last, end)) if last == id => end,
            Some(_) | None => LoginEnd::IdentityChanged,
        }
    }

    pub(super) fn check_scope(&self, scope: Scope) -> Result<(), LoginEnd> {
        match (scope, &self.login) {
            (Scope::Anyone, _) => Ok(()),
            (Scope::User(id), Some(login)) if login.id == id => Ok(()),
            (Scope::User(id), Some(_) | None) => Err(self.end_of(id)),
        }
    }

    /// Takes the identity off the open socket.
    pub(super) fn present_nobody(&mut self) {
        let Some(wire) = self.wire() else { return };
        if wire.presented.take().is_some() {
            self.authenticate_as(Credential::None);
        }
    }

    pub(super) fn authenticate_as(&mut self, credential: Credential) {
        let Some(wire) = self.wire() else { return };
        let base_version = wire.identity;
        wire.identity += 1;
        self.send(ClientMessage::Authenticate(Authenticate {
            base_version,
            credential,
        }));
    }

    /// Another token has been fetched, or not.
    pub fn fetched(&mut self, now: Duration, id: LoginId, result: Result<Token, TokenError>) {
        let Some(login) = self.login.as_mut().filter(|login| login.id == id) else {
            return;
        };
        login.fetch = Fetch::Idle;
        match result {
            Ok(token) if token.key != login.token.key => {
                self.end_login(LoginEnd::IdentityChanged);
            }
            Ok(token) => self.take_token(now, token),
            Err(TokenError::SignedOut) => self.end_login(LoginEnd::SignedOut),
            Err(error @ TokenError::Unavailable(_)) => {
                login.trouble = Some(error.to_string());
                let pause = self
                    .options
                    .backoff_first
                    .saturating_mul(10)
                    .saturating_mul(2_u32.saturating_pow(login.fetch_failures))
                    .min(self.options.backoff_max);
                login.fetch_failures += 1;
                login.fetch = Fetch::RetryAt(now.saturating_add(pause));
            }
        }
        self.flush(now);
    }

    fn take_token(&mut self, now: Duration, token: Token) {
        let refresh_before = self.options.refresh_before;
        let Some(login) = &mut self.login else { return };
        login.fetch_failures = 0;
        let is_same = login.token.text == token.text;
        login.token = token;
        login.read_at = now;
        login.schedule(now, refresh_before);
        if is_same && login.needs_token {
            let message = login.rejected_text.take();
            let message = message.unwrap_or_else(|| "it has expired".to_string());
            return self.refuse(now, Unprovisioned::TokenRejected { message });
        }
        if is_same {
            login.refresh_at = login
                .refresh_at
                .map(|at| at.max(now.saturating_add(REFRESH_PAUSE_MIN)));
            return;
        }
        login.needs_token = false;
        login.is_untried = true;
        let (id, key) = (login.id, login.token.key.clone());
        let text = login.token.text.clone();
        let is_presented = self.wire().is_some_and(|wire| wire.presented == Some(id));
        if is_presented {
            if let Some(login) = &mut self.login {
                login.is_untried = false;
            }
            self.authenticate_as(Credential::User(text));
            let version = self.gate.version() + 1;
            self.step_gate(Event::Refreshed { version, key });
        }
    }

    /// When something about the login is due.
    pub(super) fn login_due(&self) -> Option<Duration> {
        let login = self.login.as_ref()?;
        let fetch = match login.fetch {
            Fetch::Running => None,
            Fetch::RetryAt(at) => Some(at),
            Fetch::Idle if login.needs_token && login.is_wanted => Some(Duration::ZERO),
            Fetch::Idle if self.is_presented(login) => login.refresh_at,
            Fetch::Idle => None,
        };
        [fetch, login.deadline].into_iter().flatten().min()
    }

    pub(super) fn tick_login(&mut self, now: Duration) {
        let Some(login) = &self.login else { return };
        if login.deadline.is_some_and(|deadline| deadline <= now) {
            let reason = Unprovisioned::TimedOut {
                within: self.options.step_max,
                trouble: login.trouble.clone(),
            };
            return self.refuse(now, reason);
        }
        let is_due = match login.fetch {
            Fetch::Running => false,
            Fetch::RetryAt(at) => at <= now,
            Fetch::Idle if login.needs_token => login.is_wanted,
            Fetch::Idle => self.is_presented(login) && login.refresh_at.is_some_and(|at| at <= now),
        };
        if is_due {
            let id = login.id;
            self.fetch(id);
        }
    }

    fn fetch(&mut self, id: LoginId) {
        if let Some(login) = &mut self.login {
            login.fetch = Fetch::Running;
            self.effects.push_back(Effect::FetchToken(id));
        }
    }

    fn is_presented(&self, login: &Login) -> bool {
        matches!(&self.link, Link::Open(wire) if wire.presented == Some(login.id))
    }

    /// The server does not take the token, or not any more. The socket is about to close.
    pub(super) fn token_rejected(&mut self, now: Duration, text: String, was_attempt: bool) {
        let Some(login) = &mut self.login else { return };
        login.needs_token = true;
        login.rejected_text = Some(text.clone());
        login.trouble = Some(text.clone());
        login.rejections += u32::from(was_attempt);
        if login.rejections >= REJECTIONS_MAX {
            self.refuse(now, Unprovisioned::TokenRejected { message: text });
        }
        if matches!(self.link, Link::Open(_)) {
            self.leave(now, Trouble::Restart);
        }
        self.tick_login(now);
    }

    /// The socket is gone: the steps are walked again on the next one.
    pub(super) fn login_disconnected(&mut self, trouble: Trouble) {
        if let Some(login) = &mut self.login {
            login.run = None;
            if trouble != Trouble::Restart {
                login.trouble = Some(trouble.text().to_string());
            }
        }
        self.reject_held();
    }

    pub(super) fn login_status(&self) -> LoginStatus {
        let Some(login) = &self.login else {
            return match self.last_login {
                Some((_, end)) => LoginStatus::Ended(end),
                None => LoginStatus::Nobody,
            };
        };
        if let Some(reason) = &login.unprovisioned {
            return LoginStatus::Unprovisioned(reason.clone());
        }
        if !login.is_wanted {
            return LoginStatus::Authenticated;
        }
        if login.needs_token && login.deadline.is_none() {
            return LoginStatus::Refreshing;
        }
        match &self.gate {
            State::Provisioned { .. } => LoginStatus::Provisioned,
            State::Provisioning { .. } | State::Unprovisioned { .. } => LoginStatus::Provisioning,
        }
    }
}

impl Login {
    fn schedule(&mut self, now: Duration, before: Duration) {
        self.refresh_at = self.token.lasts.map(|lasts| {
            let wait = lasts.saturating_sub(before.min(lasts / 2));
            now.saturating_add(wait.max(REFRESH_AFTER_MIN))
        });
    }

    /// Whether the token has run out by now.
    pub fn has_run_out(&self, now: Duration) -> bool {
        self.token
            .lasts
            .is_some_and(|lasts| self.read_at.saturating_add(lasts) <= now)
    }

    /// The step is over: it has no waiters any more.
    pub fn step_done(&mut self) -> Vec<Ticket> {
        self.deadline = None;
        std::mem::take(&mut self.asked)
    }
}
