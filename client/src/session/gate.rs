//! The client's own gate: the provisioning call on every socket, and what its outcome opens.

use std::time::Duration;

use vestibule_schema::Value;
use vestibule_schema::provisioning::{Admission, Effect as GateEffect, Event, State, step};
use vestibule_schema::wire::{
    Args, CallFailure, CallMessage, ClientMessage, Credential, MutationResponse, PathText,
};

use super::calls::Progress;
use super::link::{Link, Trouble};
use super::{Effect, LoginId, Session};
use crate::error::{CallError, EnsureUserError, FunctionError, Unprovisioned};

impl Session {
    /// The login whose gate is open on this socket.
    pub(super) fn open_gate(&self) -> Option<LoginId> {
        let (Some(login), Link::Open(wire)) = (&self.login, &self.link) else {
            return None;
        };
        let is_admitted = matches!(self.gate.admission(), Admission::Run { .. });
        let is_open = login.is_wanted && login.unprovisioned.is_none() && is_admitted;
        (is_open && wire.presented == Some(login.id)).then_some(login.id)
    }

    /// The login as which a call without one runs.
    pub(super) fn speaks_for(&self) -> Option<LoginId> {
        self.login
            .as_ref()
            .filter(|login| login.is_wanted && login.unprovisioned.is_none())
            .map(|login| login.id)
    }

    /// The login as which a message that is sent now runs.
    pub(super) fn speaks_on_wire_for(&self) -> Option<LoginId> {
        match &self.link {
            Link::Open(wire) => wire.presented,
            Link::Waiting { .. } | Link::Opening => None,
        }
    }

    /// Why the user of the current login is not let in, if that is settled.
    pub(super) fn unprovisioned(&self) -> Option<Unprovisioned> {
        self.login.as_ref()?.unprovisioned.clone()
    }

    /// Presents the user and asks for the provisioning, in one breath, once every call without an identity is sent.
    pub(super) fn present_if_due(&mut self, now: Duration) {
        if self.speaks_on_wire_for().is_some() || self.calls.has_unsent(None) {
            return;
        }
        let Some(login) = self.login.as_mut() else {
            return;
        };
        if !login.is_wanted || login.unprovisioned.is_some() {
            return;
        }
        if login.has_run_out(now) && !login.is_untried && !login.needs_token {
            login.needs_token = true;
            login.rejected_text = None;
            self.tick_login(now);
            return;
        }
        if login.needs_token {
            return;
        }
        login.is_untried = false;
        let (id, key) = (login.id, login.token.key.clone());
        let credential = Credential::User(login.token.text.clone());
        if let Some(wire) = self.wire() {
            wire.presented = Some(id);
        }
        self.authenticate_as(credential);
        let version = self.gate.version() + 1;
        self.step_gate(Event::IdentityVerified { version, key });
    }

    /// Follows the machine that the server's gate follows too.
    pub(super) fn step_gate(&mut self, event: Event) {
        let (gate, effects) = step(std::mem::take(&mut self.gate), event);
        self.gate = gate;
        for effect in effects {
            match effect {
                GateEffect::Run { .. } => self.run_again(),
                // Waiting calls are sent by the flush that ends every event.
                GateEffect::Open { .. } => {}
                GateEffect::RejectHeld { .. } => self.reject_held(),
            }
        }
    }

    /// Sends the provisioning call.
    pub(super) fn run_again(&mut self) {
        let (path, args) = self.provisioning_call();
        let request_id = self.calls.next_request();
        if let Some(login) = &mut self.login {
            login.run = Some(request_id);
        }
        self.send(ClientMessage::Mutation(CallMessage {
            request_id,
            path: PathText::Valid(path),
            args: Args::Ok(vec![Value::Object(args)]),
            component_path: None,
        }));
    }

    /// Takes the answer to the provisioning call, if this is one. Says whether it was.
    pub(super) fn take_run(&mut self, now: Duration, response: &MutationResponse) -> bool {
        let Some(login) = &mut self.login else {
            return false;
        };
        if login.run != Some(response.request_id) {
            return false;
        }
        login.run = None;
        let version = self.gate.version();
        match &response.outcome {
            Ok((value, ts)) => {
                login.rejections = 0;
                let asked = login.step_done();
                self.step_gate(Event::Committed { version, ts: *ts });
                for ticket in asked {
                    self.effects
                        .push_back(Effect::AnswerStep(ticket, Ok(value.clone())));
                }
            }
            Err(failure) => self.refuse(now, reason_of(failure)),
        }
        true
    }

    /// The user is not let in: every waiter is told, and nothing goes on as the user.
    pub(super) fn refuse(&mut self, now: Duration, reason: Unprovisioned) {
        let version = self.gate.version();
        let Some(login) = &mut self.login else { return };
        login.unprovisioned = Some(reason.clone());
        login.is_wanted = false;
        login.run = None;
        let (id, asked) = (login.id, login.step_done());
        for ticket in asked {
            let error = EnsureUserError::Unprovisioned(reason.clone());
            self.effects
                .push_back(Effect::AnswerStep(ticket, Err(error)));
        }
        // Before any answer: a mutation that resolves is in whatever is shown then.
        for query in self.queries.suspend(id) {
            self.effects
                .push_back(Effect::Suspend(query, reason.clone()));
        }
        // Queries that already run as the user must stop, and a query cannot be put back under the number it had.
        if self.queries.is_on_wire(id) {
            self.leave(now, Trouble::Restart);
        }
        if matches!(self.gate, State::Provisioning { .. }) {
            self.step_gate(match &reason {
                Unprovisioned::Refused(_) | Unprovisioned::TokenRejected { .. } => {
                    Event::Refused { version }
                }
                Unprovisioned::Failed { .. } | Unprovisioned::TimedOut { .. } => {
                    Event::Failed { version }
                }
            });
        } else {
            self.reject_held();
        }
        self.present_nobody();
    }

    /// Answers everything that waits for the gate of a user who is not let in. Calls already sent on this connection
    /// ran before that, and are still answered.
    pub(super) fn reject_held(&mut self) {
        let Some(login) = &self.login else { return };
        let id = login.id;
        // Nothing is rejected while the machine only begins another run for the same person.
        let Some(reason) = login.unprovisioned.clone() else {
            return;
        };
        let reject = |reason: &Unprovisioned, may_have_run| CallError::NotProvisioned {
            reason: reason.clone(),
            may_have_run,
        };
        for ticket in self.queries.take_waiting(id) {
            self.answer(ticket, Err(reject(&reason, false)));
        }
        let held = self
            .calls
            .take(|call| call.whom == Some(id) && call.progress != Progress::Sent);
        for call in held {
            if matches!(call.progress, Progress::Committed { .. }) {
                // The user's queries show nothing, so there is nothing to wait for.
                self.answer_committed(call);
                continue;
            }
            self.answer(call.ticket, Err(reject(&reason, call.may_have_run())));
        }
        self.show();
    }
}

/// The reason that a failure of the provisioning call gives.
fn reason_of(failure: &CallFailure) -> Unprovisioned {
    let text = |name: &str| {
        let fields = failure.data.as_ref()?.as_object()?;
        fields.get(name)?.as_str()
    };
    match (text("code"), text("reason")) {
        // A server with a gate of its own passes on the error that its provisioning function threw.
        (Some("NotProvisioned"), Some("refused")) => {
            let fields = failure.data.as_ref().and_then(Value::as_object);
            let data = fields.and_then(|fields| fields.get("data")).cloned();
            Unprovisioned::Refused(FunctionError {
                message: failure.message.clone(),
                data: data.filter(|data| !data.is_null()),
            })
        }
        (Some("NotProvisioned" | "GateQueueFull" | "NotCommitted"), _) => Unprovisioned::Failed {
            message: failure.message.clone(),
        },
        _ => Unprovisioned::Refused(FunctionError {
            message: failure.message.clone(),
            data: failure.data.clone(),
        }),
    }
}
