//! The server's messages, one arm for each.

use std::time::Duration;

use vestibule_schema::Value;
use vestibule_schema::wire::{
    ActionResponse, AuthError, CallFailure, MutationResponse, ServerMessage, Transition,
    TransitionChunk,
};

use super::calls::{Kind, Progress};
use super::link::{Chunks, Link, Trouble};
use super::{LoginId, Session};
use crate::error::{CallError, Closed, FunctionError, LoginEnd, Unprovisioned};

impl Session {
    /// Takes a message of the open socket.
    pub fn received(&mut self, now: Duration, message: ServerMessage) {
        self.alive(now);
        if !matches!(self.link, Link::Open(_)) {
            return;
        }
        let goes_on_with_chunks = matches!(
            message,
            ServerMessage::TransitionChunk(_) | ServerMessage::Ping
        );
        if let Some(wire) = self.wire()
            && !goes_on_with_chunks
        {
            wire.chunks = Chunks::default();
        }
        match message {
            ServerMessage::Transition(transition) => self.transition(now, transition),
            ServerMessage::TransitionChunk(chunk) => self.chunk(now, chunk),
            ServerMessage::MutationResponse(response) => self.mutation_response(now, response),
            ServerMessage::ActionResponse(response) => self.action_response(response),
            ServerMessage::AuthError(error) => self.auth_error(now, error),
            ServerMessage::FatalError { error } => self.close(Closed::Fatal(error)),
            ServerMessage::Ping => {}
        }
        self.flush(now);
    }

    /// The server gave a sign of life.
    pub fn alive(&mut self, now: Duration) {
        if let Some(wire) = self.wire() {
            wire.heard_at = now;
        }
    }

    /// The server said something that makes no sense.
    pub fn garbled(&mut self, now: Duration, what: &str) {
        self.leave(now, Trouble::Server(what.to_string()));
    }

    fn transition(&mut self, now: Duration, transition: Transition) {
        let Some(wire) = self.wire() else { return };
        if transition.start_version != wire.told {
            return self.garbled(now, "StartVersionMismatch");
        }
        wire.told = transition.end_version;
        self.newest_seen = self.newest_seen.max(transition.end_version.ts);
        let mut answered = Vec::new();
        for modification in transition.modifications {
            answered.extend(self.queries.apply(modification));
        }
        // Results and the end of optimistic updates that they replace are shown in one step, before any answer.
        let shown = self
            .calls
            .take_shown(transition.end_version.query_set, transition.end_version.ts);
        self.show();
        for call in shown {
            self.answer_committed(call);
        }
        for id in answered {
            self.answer_fresh(id);
        }
        if self.queries.are_fresh() && self.is_settled() {
            self.backoff.attempts = 0;
        }
    }

    /// Whether the login, if there is one, has walked all its steps on this socket.
    fn is_settled(&self) -> bool {
        self.speaks_for().is_none() || self.open_gate().is_some()
    }

    fn chunk(&mut self, now: Duration, chunk: TransitionChunk) {
        let Some(wire) = self.wire() else { return };
        let whole = match wire.chunks.add(chunk) {
            Ok(whole) => whole,
            Err(_) => return self.garbled(now, "TransitionChunkOutOfOrder"),
        };
        let Some(text) = whole else { return };
        match ServerMessage::parse(&text) {
            Ok(ServerMessage::Transition(transition)) => self.transition(now, transition),
            Ok(_) | Err(_) => self.garbled(now, "TransitionChunkMalformed"),
        }
    }

    fn mutation_response(&mut self, now: Duration, response: MutationResponse) {
        if let Ok((_, ts)) = &response.outcome {
            self.newest_seen = self.newest_seen.max(*ts);
        }
        if self.take_run(now, &response) {
            return;
        }
        let watching = self.speaks_for();
        let Some(call) = self.calls.get(response.request_id) else {
            return;
        };
        if call.kind != Kind::Mutation || call.progress != Progress::Sent {
            return;
        }
        match response.outcome {
            Ok((value, ts)) => {
                let is_orphan = call.whom.is_some() && call.whom != watching;
                self.calls.commit(response.request_id, value, ts);
                // No subscription of that user is left, so there is nothing to wait for.
                if is_orphan && let Some(call) = self.calls.remove(response.request_id) {
                    self.answer_committed(call);
                    self.show();
                }
            }
            Err(failure) => {
                let (ticket, whom) = (call.ticket, call.whom);
                self.calls.remove(response.request_id);
                self.show();
                self.answer(ticket, Err(call_error(failure, whom)));
            }
        }
    }

    fn action_response(&mut self, response: ActionResponse) {
        let is_action = self
            .calls
            .get(response.request_id)
            .is_some_and(|call| call.kind == Kind::Action);
        if !is_action {
            return;
        }
        if let Some(call) = self.calls.remove(response.request_id) {
            let result = response
                .outcome
                .map_err(|failure| call_error(failure, call.whom));
            self.answer(call.ticket, result);
        }
    }

    fn auth_error(&mut self, now: Duration, error: AuthError) {
        let Some(wire) = self.wire() else { return };
        // The one it is about: the one that was presented on top of what was confirmed, or the confirmed one itself.
        let about = error
            .base_version
            .saturating_add(u32::from(error.auth_update_attempted));
        let is_stale = about < wire.identity;
        let presented = wire.presented;
        let is_current = self
            .login
            .as_ref()
            .is_some_and(|login| presented == Some(login.id));
        if is_current && !is_stale {
            self.token_rejected(now, error.error, error.auth_update_attempted);
        }
        // Otherwise it is about an identity that was given up meanwhile. The socket closes in any case, and the next
        // one begins with what is right by then.
    }
}

/// The error for the caller of a failed call.
fn call_error(failure: CallFailure, whom: Option<LoginId>) -> CallError {
    let text = |name: &str| {
        let fields = failure.data.as_ref()?.as_object()?;
        fields.get(name)?.as_str()
    };
    let ended = |end| CallError::LoginEnded {
        end,
        may_have_run: false,
    };
    let not_provisioned = |reason| CallError::NotProvisioned {
        reason,
        may_have_run: false,
    };
    match (whom, text("code"), text("reason")) {
        (Some(_), Some("NotProvisioned"), Some("signed_out")) => ended(LoginEnd::SignedOut),
        (Some(_), Some("NotProvisioned"), Some("identity_changed")) => {
            ended(LoginEnd::IdentityChanged)
        }
        (Some(_), Some("NotProvisioned"), Some("refused")) => {
            let fields = failure.data.as_ref().and_then(Value::as_object);
            let data = fields.and_then(|fields| fields.get("data")).cloned();
            not_provisioned(Unprovisioned::Refused(FunctionError {
                message: failure.message,
                data: data.filter(|data| !data.is_null()),
            }))
        }
        (Some(_), Some("NotProvisioned"), _) => not_provisioned(Unprovisioned::Failed {
            message: failure.message,
        }),
        _ => CallError::Function(FunctionError {
            message: failure.message,
            data: failure.data,
        }),
    }
}
