//! The one place that turns inside errors and outcomes into messages for a sync client. It logs the inside and sends
//! the outside.

use vestibule_schema::object;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::Value;
use vestibule_schema::wire::{
    ActionResponse, CallFailure, Journal, MutationResponse, OutcomeJson, RequestId, ServerMessage,
    SessionId,
};

use super::gatekeeper::Rejected;
use super::socket::Close;
use crate::database::CommitError;
use crate::functions::{ActionRun, FunctionOutcome, MutationRun, RequestName, SystemError, Thrown};
use crate::provisioning::Unprovisioned;
use crate::subscriptions::QueryResult;

/// How much a client is told.
#[derive(Clone, Copy)]
pub(super) struct Respond {
    pub redact: bool,
}

impl Respond {
    /// A query's result as the fragment of a message.
    pub fn query(self, result: &QueryResult) -> &OutcomeJson {
        result.json.get_or_init(|| {
            let journal = Journal(result.journal.clone());
            match result.done() {
                Some(FunctionOutcome::Returned(value)) => {
                    OutcomeJson::updated(value, self.log_lines(&result.log_lines), &journal)
                }
                Some(FunctionOutcome::Threw(thrown)) => {
                    let message = thrown.client_message(&result.request_id, self.redact);
                    OutcomeJson::failed(
                        &message,
                        thrown.data.as_ref(),
                        self.log_lines(&result.log_lines),
                        &journal,
                    )
                }
                None => unreachable!("suspended results are left out of Transitions"),
            }
        })
    }

    /// The result of a query that cannot be run at all.
    pub fn impossible_query(self, thrown: &Thrown, request_id: &str) -> OutcomeJson {
        let message = thrown.client_message(request_id, self.redact);
        OutcomeJson::failed(&message, thrown.data.as_ref(), &[], &Journal(None))
    }

    /// A mutation whose outcome is certain. `None` when the server cannot say more than "try again".
    pub fn mutation(
        self,
        request: RequestId,
        session: Option<SessionId>,
        run: Result<MutationRun, SystemError>,
    ) -> Result<(ServerMessage, Option<Timestamp>), Close> {
        let (outcome, log_lines, ts) = match run {
            Ok(MutationRun {
                outcome,
                log_lines,
                ts,
                ..
            }) => (outcome, log_lines, ts),
            Err(SystemError::NotCommitted(error @ CommitError::NotCommitted(_))) => {
                tracing::warn!(%error, "a mutation was not committed");
                let data = object! { "code" => "NotCommitted", "reason" => "the server could not store the write" };
                let failure = self.failure(
                    &with_data("The write was not committed.", data),
                    request,
                    session,
                );
                let outcome = Err(failure);
                let response = MutationResponse {
                    request_id: request,
                    outcome,
                    log_lines: Vec::new(),
                };
                return Ok((ServerMessage::MutationResponse(response), None));
            }
            Err(error) => return Err(self.system_trouble(&error)),
        };
        let log_lines = self.log_lines(&log_lines).to_vec();
        let outcome = match outcome {
            FunctionOutcome::Returned(value) => Ok((value, ts)),
            FunctionOutcome::Threw(thrown) => Err(self.failure(&thrown, request, session)),
        };
        let ts = outcome.is_ok().then_some(ts);
        Ok((
            ServerMessage::MutationResponse(MutationResponse {
                request_id: request,
                outcome,
                log_lines,
            }),
            ts,
        ))
    }

    /// An action that has ended.
    pub fn action(
        self,
        request: RequestId,
        session: Option<SessionId>,
        run: Result<ActionRun, SystemError>,
    ) -> Result<ServerMessage, Close> {
        let ActionRun { outcome, log_lines } = run.map_err(|error| self.system_trouble(&error))?;
        let log_lines = self.log_lines(&log_lines).to_vec();
        let outcome = match outcome {
            FunctionOutcome::Returned(value) => Ok(value),
            FunctionOutcome::Threw(thrown) => Err(self.failure(&thrown, request, session)),
        };
        Ok(ServerMessage::ActionResponse(ActionResponse {
            request_id: request,
            outcome,
            log_lines,
        }))
    }

    /// The answer to a call that was not run.
    pub fn rejected_call(self, rejected: Rejected, session: Option<SessionId>) -> ServerMessage {
        let Rejected {
            is_mutation,
            request_id,
            thrown,
        } = rejected;
        let failure = self.failure(&thrown, request_id, session);
        match is_mutation {
            true => ServerMessage::MutationResponse(MutationResponse {
                request_id,
                outcome: Err(failure),
                log_lines: Vec::new(),
            }),
            false => ServerMessage::ActionResponse(ActionResponse {
                request_id,
                outcome: Err(failure),
                log_lines: Vec::new(),
            }),
        }
    }

    /// How a connection closes over the server's trouble: so that the client connects again, with backoff.
    pub fn system_trouble(self, error: &SystemError) -> Close {
        match error {
            SystemError::Storage(_) => {
                tracing::error!(%error, "closing a connection");
                Close::internal()
            }
            SystemError::CommitterFull | SystemError::NotCommitted(CommitError::Full) => {
                Close::try_again("CommitterFullError")
            }
            SystemError::Contended => Close::try_again("OptimisticConcurrencyControlFailure"),
            SystemError::NotCommitted(_) | SystemError::ShuttingDown => {
                Close::try_again("ServerShuttingDown")
            }
            SystemError::Readers(_) => Close::try_again("TooManyConcurrentRequests"),
        }
    }

    fn log_lines(self, lines: &[String]) -> &[String] {
        if self.redact { &[] } else { lines }
    }

    fn failure(
        self,
        thrown: &Thrown,
        request: RequestId,
        session: Option<SessionId>,
    ) -> CallFailure {
        let name = RequestName::Call(session, request);
        let message = thrown.client_message(&name.to_string(), self.redact);
        CallFailure {
            message,
            data: thrown.data.clone(),
        }
    }
}

/// An error without data.
pub(super) fn plain(message: &str) -> Thrown {
    Thrown {
        message: message.to_string(),
        data: None,
        is_fault: false,
    }
}

fn with_data(message: &str, data: vestibule_schema::value::Object) -> Thrown {
    Thrown {
        message: message.to_string(),
        data: Some(Value::Object(data)),
        is_fault: false,
    }
}

/// A call that overflowed what may wait behind a gate.
pub(super) fn gate_queue_full() -> Thrown {
    with_data(
        "Too many calls are waiting for the user to be provisioned.",
        object! { "code" => "GateQueueFull" },
    )
}

/// A query for which there is no room, by its number.
pub(super) fn too_many_subscriptions() -> Thrown {
    with_data(
        "TooManySubscriptions: this connection, or this server, watches as many queries as it may. Remove some first.",
        object! { "code" => "TooManySubscriptions" },
    )
}

/// A query for which there is no room, by its size.
pub(super) fn query_set_too_large() -> Thrown {
    with_data(
        "QuerySetTooLarge: the arguments of the queries that this connection, its address or this server watches are as \
         long as they may be. Remove some first.",
        object! { "code" => "QuerySetTooLarge" },
    )
}

/// An action beside as many as one connection may have under way.
pub(super) fn too_many_actions() -> Thrown {
    with_data(
        "TooManyInflightActionsForSingleClient: this connection has as many actions under way as it may. Wait for one.",
        object! { "code" => "TooManyInflightActionsForSingleClient" },
    )
}

/// The error text for a refused user's client.
pub(super) fn refusal_text(refused: &Unprovisioned, thrown: &Thrown, redact: bool) -> String {
    match refused {
        Unprovisioned::Refused(_) if !redact => {
            format!(
                "The provisioning function refused this user: {}",
                thrown.message
            )
        }
        Unprovisioned::Refused(_) => "The provisioning function refused this user.".to_string(),
        Unprovisioned::NeverCame { .. } if !redact => thrown.message.clone(),
        Unprovisioned::NeverCame { .. } => "No user came to exist for this identity.".to_string(),
        Unprovisioned::Failed { .. } | Unprovisioned::Missing { .. } => {
            "The user could not be provisioned.".to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contention_without_end_has_the_client_come_back_and_send_again() {
        let close = Respond { redact: true }.system_trouble(&SystemError::Contended);
        let expected = Close::try_again("OptimisticConcurrencyControlFailure");
        assert_eq!(close, expected);
    }
}
