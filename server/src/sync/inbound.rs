//! The requests of clients, one message at a time.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::Instrument;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::Value;
use vestibule_schema::wire::{
    AddQuery, Args, CallMessage, ClientMessage, Connect, ModifyQuerySet, PathText, QueryId,
    QuerySetModification, RequestId,
};

use super::budget::InFlight;
use super::connection::{Connection, End};
use super::gatekeeper::{Held, Rejected, identity_changed};
use super::mailbox::Completion;
use super::respond::{plain, query_set_too_large, too_many_actions, too_many_subscriptions};
use super::socket::Close;
use crate::database::SessionRequest;
use crate::functions::{self, CallSource, RequestMetadata, RequestName, Thrown};
use crate::subscriptions::{QuerySetChange, QuerySpec};

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Handles one message: one arm for each kind.
    pub(super) async fn handle(&mut self, text: &str) -> Result<(), End> {
        self.rooms.metrics.received.inc();
        let message = ClientMessage::parse(text).map_err(|error| {
            End::Fatal(format!(
                "WSMessageInvalidJson: the message cannot be read: {error}"
            ))
        })?;
        self.seat.received(&message);
        match message {
            ClientMessage::Connect(connect) => self.connect(connect),
            // In a box, because it is rare and no other message needs as much room.
            ClientMessage::Authenticate(authenticate) => {
                Box::pin(self.authenticate(authenticate)).await
            }
            ClientMessage::ModifyQuerySet(modify) => self.modify_query_set(modify),
            ClientMessage::Mutation(call) => match self.call(call, true, text.len())? {
                Some(rejected) => self.reject(rejected).await,
                None => Ok(()),
            },
            ClientMessage::Action(call) => match self.call(call, false, text.len())? {
                Some(rejected) => self.reject(rejected).await,
                None => Ok(()),
            },
            ClientMessage::Event(event) => {
                tracing::debug!(kind = event.event_type, "telemetry");
                Ok(())
            }
        }
    }

    fn connect(&mut self, connect: Connect) -> Result<(), End> {
        let newest = self.rooms.functions.database().durable_ts();
        if connect
            .max_observed_timestamp
            .is_some_and(|observed| observed > newest)
        {
            tracing::error!("a client has seen a newer state than this server holds");
            return Err(Close::internal().into());
        }
        self.session = Some(connect.session_id);
        self.told.floor = self
            .told
            .floor
            .max(connect.max_observed_timestamp.unwrap_or(Timestamp::ZERO));
        let now_ms = i64::try_from(self.rooms.clock.now().0 / 1_000_000).unwrap_or(i64::MAX);
        self.clock_skew = connect
            .client_ts
            .map(|client| client.saturating_sub(now_ms));
        Ok(())
    }

    fn modify_query_set(&mut self, message: ModifyQuerySet) -> Result<(), End> {
        let ModifyQuerySet {
            base_version,
            new_version,
            modifications,
        } = message;
        if base_version != self.told.query_set || new_version <= base_version {
            let expected = self.told.query_set;
            return Err(End::Fatal(format!(
                "BaseVersionMismatch: the query set is at version {expected}, not {base_version}"
            )));
        }
        self.told.query_set = new_version;
        self.first_query_set_by = None;
        let mut change = QuerySetChange::default();
        for modification in modifications {
            match modification {
                QuerySetModification::Add(add) => self.add_query(add, &mut change)?,
                QuerySetModification::Remove { query_id } => {
                    self.remove_query(query_id, &mut change)
                }
            }
        }
        if !change.added.is_empty() {
            // A query added after any client's commit was acknowledged sees that commit.
            self.told.floor = self
                .told
                .floor
                .max(self.rooms.functions.database().durable_ts());
        }
        for refused in self.subscriber.modify(change) {
            self.query_set_bytes.remove(refused);
            self.refuse_query(refused, too_many_subscriptions());
        }
        Ok(())
    }

    fn add_query(&mut self, add: AddQuery, change: &mut QuerySetChange) -> Result<(), End> {
        let query_id = add.query_id;
        let is_known = self.subscriber.contains_after(change, query_id)
            || self.told.impossible.contains_key(&query_id);
        if is_known {
            return Err(End::Fatal(format!(
                "The query id {query_id} is already in the query set."
            )));
        }
        self.told.removed.remove(&query_id);
        if self.subscriber.len_after(change) >= self.rooms.options.subscriptions_max {
            self.refuse_query(query_id, too_many_subscriptions());
            return Ok(());
        }
        let AddQuery {
            path,
            args,
            journal,
            component_path,
            ..
        } = add;
        match target(path, args, component_path.as_deref()) {
            Ok((path, args)) => {
                let journal = journal.and_then(|journal| journal.0);
                let spec = QuerySpec::new(path, args, journal);
                match self.query_set_bytes.add(query_id, spec.bytes()) {
                    true => drop(change.added.insert(query_id, spec)),
                    false => self.refuse_query(query_id, query_set_too_large()),
                }
            }
            Err(reason) => self.refuse_query(query_id, plain(&reason)),
        }
        Ok(())
    }

    /// The query's result says why it cannot be run.
    fn refuse_query(&mut self, query_id: QueryId, thrown: Thrown) {
        let request_id = self.rooms.request_id();
        let outcome = self.respond().impossible_query(&thrown, &request_id);
        self.told.impossible.insert(query_id, outcome);
    }

    fn remove_query(&mut self, query_id: QueryId, change: &mut QuerySetChange) {
        change.added.remove(&query_id);
        self.query_set_bytes.remove(query_id);
        if self.subscriber.contains(query_id) {
            change.removed.insert(query_id);
        }
        self.told.impossible.remove(&query_id);
        self.told.removed.insert(query_id);
    }

    fn call(
        &mut self,
        call: CallMessage,
        is_mutation: bool,
        bytes: usize,
    ) -> Result<Option<Rejected>, End> {
        self.check_identity()?;
        self.seat
            .accepted(self.gatekeeper.version(), call.request_id);
        let in_flight = self.socket.take_in_flight();
        self.admit_call(Held {
            call,
            is_mutation,
            bytes,
            in_flight,
        })
    }

    /// Starts a call as the connection's current identity.
    pub(super) fn start(&mut self, held: Held) -> Result<Option<Rejected>, End> {
        let Held {
            call:
                CallMessage {
                    request_id,
                    path,
                    args,
                    component_path,
                },
            is_mutation,
            in_flight,
            ..
        } = held;
        let (path, args) = match target(path, args, component_path.as_deref()) {
            Ok(target) => target,
            Err(reason) => {
                return Ok(Some(Rejected {
                    is_mutation,
                    request_id,
                    thrown: plain(&reason),
                }));
            }
        };
        if !is_mutation && self.actions_pending >= self.rooms.options.actions_pending_max {
            return Ok(Some(Rejected {
                is_mutation,
                request_id,
                thrown: too_many_actions(),
            }));
        }
        let call = functions::Call {
            path,
            args,
            caller: self.gatekeeper.caller().clone(),
            source: CallSource::Request(
                Arc::new(RequestMetadata {
                    ip: self.from,
                    user_agent: self.user_agent.clone(),
                    request_id: RequestName::Call(self.session, request_id),
                    scheduled_function_id: None,
                    auth_token: self.gatekeeper.auth_token(),
                }),
                self.seat.call(self.gatekeeper.version(), Some(request_id)),
            ),
        };
        if let (true, Some(session)) = (is_mutation, self.session) {
            let sender = call.caller.identity_key();
            let held = &self.rooms.held_mutations;
            if held.is_of_another((session, request_id), sender.as_ref()) {
                return Ok(Some(Rejected {
                    is_mutation,
                    request_id,
                    thrown: identity_changed(),
                }));
            }
        }
        match is_mutation {
            true => self.start_mutation(request_id, call, in_flight)?,
            false => self.start_action(request_id, call, in_flight),
        }
        Ok(None)
    }

    fn start_mutation(
        &mut self,
        request_id: RequestId,
        call: functions::Call,
        in_flight: InFlight,
    ) -> Result<(), End> {
        // Clients that provision their user themselves do so each time they connect. Behind a gate that has just done
        // so there is nothing to run or record, unless an earlier mutation of theirs may undo it.
        if self.mutations_pending == 0
            && let Some(run) = self.rooms.gate.answer_known(&call)
        {
            self.mutations_pending += 1;
            self.mailbox
                .deliver(Completion::Mutation(request_id, Ok(run)));
            return Ok(());
        }
        let session_request = self.session.map(|session| SessionRequest {
            session: session.0,
            request: request_id.0,
            identity: call
                .caller
                .identity_key()
                .map_or_else(String::new, |key| key.as_str().to_string()),
        });
        let mailbox = self.mailbox.clone();
        let on_finish = Box::new(move |run| {
            let _done_with = in_flight;
            Some(mailbox.leave(Completion::Mutation(request_id, run)))
        });
        let submitted = self
            .rooms
            .functions
            .submit_mutation(call, session_request, on_finish);
        submitted.map_err(|error| self.respond().system_trouble(&error))?;
        self.mutations_pending += 1;
        Ok(())
    }

    /// An action goes on when its connection closes; its result then has no recipient.
    fn start_action(&mut self, request_id: RequestId, call: functions::Call, in_flight: InFlight) {
        self.actions_pending += 1;
        let (functions, mailbox) = (self.rooms.functions.clone(), self.mailbox.clone());
        let abort = self.rooms.abort.clone();
        let acting = async move {
            let _held_meanwhile = in_flight;
            let run = functions.act(call).await;
            mailbox.deliver(Completion::Action(request_id, run));
        };
        self.rooms
            .tasks
            .spawn(abort.run_until_cancelled_owned(acting).in_current_span());
    }

    /// Answers a call that is not run.
    pub(super) async fn reject(&mut self, rejected: Rejected) -> Result<(), End> {
        if rejected.is_mutation {
            self.told.owe(self.told.version.ts);
        }
        let message = self
            .respond()
            .rejected_call(rejected, self.session)
            .to_json();
        // In a box: few calls are rejected, and each connection would keep room for it.
        Box::pin(self.say(message)).await
    }
}

/// The function that a message names, or why it cannot be run.
fn target(
    path: PathText,
    args: Args,
    component: Option<&str>,
) -> Result<(FunctionPath, Value), String> {
    let path = match path {
        PathText::Valid(path) => path,
        PathText::Invalid(text) => {
            return Err(format!("Could not find public function for '{text}'."));
        }
    };
    // Those of a component are found for administrators alone.
    let component = component.unwrap_or_default();
    let component = component
        .parse()
        .map_err(|_| format!("Could not find public function for '{path}' in '{component}'."))?;
    let path = path.in_component(component);
    let args = functions::one_object(&path, args);
    args.map(|args| (path, args))
        .map_err(|error| error.to_string())
}
