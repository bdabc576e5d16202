//! Mutations and actions on their way: in order, mutations exactly once, actions at most once.

use std::collections::{BTreeMap, BTreeSet};

use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::wire::{Args, CallMessage, ClientMessage, PathText, RequestId};
use vestibule_schema::{FunctionPath, Object, Value};

use super::{LoginId, Ticket};
use crate::optimistic::Update;

/// Calls sent and not answered; the rest waits on this side, so that a server's own bound is never met.
pub(super) const CALLS_SENT_MAX: usize = 500;

/// The kind of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Mutation,
    Action,
}

/// A call as it was made.
#[derive(Clone, Debug)]
pub(crate) struct NewCall {
    pub kind: Kind,
    pub path: FunctionPath,
    pub args: Object,
    pub update: Option<Update>,
}

pub(super) struct PendingCall {
    pub ticket: Ticket,
    /// The login as which it runs; `None` to run without an identity.
    pub whom: Option<LoginId>,
    pub kind: Kind,
    path: FunctionPath,
    args: Object,
    update: Option<Update>,
    pub progress: Progress,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Progress {
    /// To be sent on this connection. It may have been sent on an earlier one.
    Unsent { was_sent: bool },
    /// Sent on this connection.
    Sent,
    /// Committed, and to be answered once its effect is shown.
    Committed {
        value: Value,
        ts: Timestamp,
        /// The query set that must be shown at `ts` or later, once it is known.
        query_set: Option<u32>,
    },
}

impl PendingCall {
    /// Whether the server may have run it.
    pub fn may_have_run(&self) -> bool {
        !matches!(self.progress, Progress::Unsent { was_sent: false })
    }

    fn message(&self, request_id: RequestId) -> ClientMessage {
        let call = CallMessage {
            request_id,
            path: PathText::Valid(self.path.clone()),
            args: Args::Ok(vec![Value::Object(self.args.clone())]),
            component_path: None,
        };
        match self.kind {
            Kind::Mutation => ClientMessage::Mutation(call),
            Kind::Action => ClientMessage::Action(call),
        }
    }
}

/// All calls without an outcome, by request id, which is the order in which they were made. Those that are looked for at
/// every message are listed beside, so that a message costs the same however many calls wait.
#[derive(Default)]
pub(super) struct Calls {
    all: BTreeMap<RequestId, PendingCall>,
    next: u32,
    unsent: BTreeSet<RequestId>,
    committed: BTreeSet<RequestId>,
    updating: BTreeSet<RequestId>,
}

impl Calls {
    /// A number that no call has had.
    pub fn next_request(&mut self) -> RequestId {
        let request = RequestId(self.next);
        self.next += 1;
        request
    }

    pub fn add(&mut self, ticket: Ticket, whom: Option<LoginId>, call: NewCall) -> RequestId {
        let NewCall {
            kind,
            path,
            args,
            update,
        } = call;
        let request = self.next_request();
        if update.is_some() {
            self.updating.insert(request);
        }
        self.unsent.insert(request);
        let call = PendingCall {
            ticket,
            whom,
            kind,
            path,
            args,
            update,
            progress: Progress::Unsent { was_sent: false },
        };
        self.all.insert(request, call);
        request
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn get(&self, request: RequestId) -> Option<&PendingCall> {
        self.all.get(&request)
    }

    pub fn remove(&mut self, request: RequestId) -> Option<PendingCall> {
        self.unsent.remove(&request);
        self.committed.remove(&request);
        self.updating.remove(&request);
        self.all.remove(&request)
    }

    /// The server has committed a mutation.
    pub fn commit(&mut self, request: RequestId, value: Value, ts: Timestamp) {
        if let Some(call) = self.all.get_mut(&request) {
            self.committed.insert(request);
            call.progress = Progress::Committed {
                value,
                ts,
                query_set: None,
            };
        }
    }

    /// The optimistic updates, in the order of their mutations.
    pub fn updates(&self) -> impl Iterator<Item = &Update> {
        self.updating
            .iter()
            .filter_map(|request| self.all.get(request)?.update.as_ref())
    }

    /// The messages to send now as `whom`, in order.
    pub fn take_unsent(&mut self, whom: Option<LoginId>) -> Vec<ClientMessage> {
        let sent = self.all.len() - self.unsent.len() - self.committed.len();
        let requests: Vec<RequestId> = self
            .unsent
            .iter()
            .filter(|request| self.all[*request].whom == whom)
            .take(CALLS_SENT_MAX.saturating_sub(sent))
            .copied()
            .collect();
        requests
            .into_iter()
            .filter_map(|request| {
                self.unsent.remove(&request);
                let call = self.all.get_mut(&request)?;
                call.progress = Progress::Sent;
                Some(call.message(request))
            })
            .collect()
    }

    /// Whether something is still to be sent as `whom`.
    pub fn has_unsent(&self, whom: Option<LoginId>) -> bool {
        self.unsent
            .iter()
            .any(|request| self.all[request].whom == whom)
    }

    /// Takes out the calls that `wanted` says, in order.
    pub fn take(&mut self, wanted: impl Fn(&PendingCall) -> bool) -> Vec<PendingCall> {
        let requests: Vec<RequestId> = self
            .all
            .iter()
            .filter(|(_, call)| wanted(call))
            .map(|(request, _)| *request)
            .collect();
        self.remove_all(requests)
    }

    fn remove_all(&mut self, requests: Vec<RequestId>) -> Vec<PendingCall> {
        requests
            .into_iter()
            .filter_map(|request| self.remove(request))
            .collect()
    }

    /// The connection is gone: mutations are sent again; what is committed waits for the next connection to show it.
    /// Gives the actions that were under way.
    pub fn disconnected(&mut self) -> Vec<PendingCall> {
        let lost = self.take(|call| call.kind == Kind::Action && call.progress == Progress::Sent);
        for (request, call) in &mut self.all {
            match &mut call.progress {
                Progress::Sent => {
                    call.progress = Progress::Unsent { was_sent: true };
                    self.unsent.insert(*request);
                }
                Progress::Committed { query_set, .. } => *query_set = None,
                Progress::Unsent { .. } => {}
            }
        }
        lost
    }

    /// Fixes which query set must show the committed mutations of `whom`.
    pub fn await_query_set(&mut self, whom: Option<LoginId>, newest: u32) {
        for request in &self.committed {
            if let Some(call) = self.all.get_mut(request)
                && call.whom == whom
                && let Progress::Committed { query_set, .. } = &mut call.progress
            {
                query_set.get_or_insert(newest);
            }
        }
    }

    /// Takes out the mutations whose effect is shown by query set `shown` at `ts`.
    pub fn take_shown(&mut self, shown: u32, at: Timestamp) -> Vec<PendingCall> {
        let is_shown = |request: &&RequestId| match &self.all[*request].progress {
            Progress::Committed { ts, query_set, .. } => {
                *ts <= at && query_set.is_some_and(|query_set| query_set <= shown)
            }
            Progress::Unsent { .. } | Progress::Sent => false,
        };
        let requests = self.committed.iter().filter(is_shown).copied().collect();
        self.remove_all(requests)
    }
}
