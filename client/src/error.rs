//! The client's errors, by the call that failed.

use std::fmt;
use std::time::Duration;

use thiserror::Error;
use vestibule_schema::{ConvertError, FunctionPathError, Value};

use crate::connection::ConnectionError;
use crate::token::{TokenError, UnreadableToken};

/// An error that a function threw, as its caller learns it.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{message}")]
pub struct FunctionError {
    /// For people. A server in production hides all but a request id.
    pub message: String,
    /// The data of an application error, `null` included; `None` for any other error.
    pub data: Option<Value>,
}

/// Why a user is not let in.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum Unprovisioned {
    /// The provisioning function said no; the same person will be refused again.
    #[error("the user was refused: {0}")]
    Refused(FunctionError),
    /// The server does not accept the auth token, nor a fresh one if there was one to be had.
    #[error("the auth token was rejected: {message}")]
    TokenRejected {
        /// The server's reason.
        message: String,
    },
    /// A failure that may be gone at the next try.
    #[error("the user could not be provisioned: {message}")]
    Failed {
        /// The cause.
        message: String,
    },
    /// [`ClientOptions::step_max`](crate::ClientOptions::step_max) passed first.
    #[error("the user was not provisioned within {within:?}{}", after(.trouble))]
    TimedOut {
        /// How long was waited.
        within: Duration,
        /// The newest failure on the way, if any.
        trouble: Option<String>,
    },
}

fn after(trouble: &Option<String>) -> impl fmt::Display {
    trouble
        .as_ref()
        .map_or(String::new(), |trouble| format!(": {trouble}"))
}

/// How a login ended. Calls made under it never run as another user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum LoginEnd {
    /// The person signed out, or the token source says so.
    #[error("the user signed out")]
    SignedOut,
    /// Another user signed in on this client, or the token source began to speak for another person.
    #[error("another user signed in")]
    IdentityChanged,
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The function threw.
    #[error(transparent)]
    Function(#[from] FunctionError),
    /// The text is not a function path.
    #[error(transparent)]
    Path(#[from] FunctionPathError),
    /// The arguments are no values, or not an object.
    #[error("the arguments cannot be sent: {0}")]
    Args(String),
    /// The result is not of the type that was asked for. The call itself succeeded.
    #[error("the result has another type: {0}")]
    Result(#[source] ConvertError),
    /// The connection was lost while the action was under way. It may have run; it is not sent again.
    #[error("the connection was lost while the action was under way")]
    ConnectionLost,
    /// The user is not let in, or no more. [`Client::retry`](crate::Client::retry) tries again.
    #[error("the call was given up: {reason}{}", caveat(*.may_have_run))]
    NotProvisioned {
        /// Why not.
        reason: Unprovisioned,
        /// Whether the server may have run the call before that.
        may_have_run: bool,
    },
    /// The login under which the call was made is over.
    #[error("the call was given up: {end}{}", caveat(*.may_have_run))]
    LoginEnded {
        /// How it ended.
        end: LoginEnd,
        /// Whether the server may have run the call before that, as the earlier user.
        may_have_run: bool,
    },
    /// More than [`CALLS_PENDING_MAX`](crate::CALLS_PENDING_MAX) calls wait.
    #[error("too many calls wait for an answer")]
    TooManyCalls,
    /// The optimistic update panicked; the mutation was not sent.
    #[error("the optimistic update panicked")]
    OptimisticUpdatePanicked,
    /// The client has ended.
    #[error(transparent)]
    Closed(#[from] Closed),
}

fn caveat(may_have_run: bool) -> &'static str {
    match may_have_run {
        true => "; it may have run before that",
        false => "",
    }
}

/// Why a client ended for good.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Closed {
    /// The server says that the client broke the protocol; connecting again would not mend it.
    #[error("the server ended the client: {0}")]
    Fatal(String),
    /// The runtime that the client ran on has ended.
    #[error("the client's runtime has ended")]
    RuntimeEnded,
}

/// Why there is no first connection.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is not one of a deployment.
    #[error("`{address}` is not the address of a deployment: {reason}")]
    Address {
        /// As it was given.
        address: String,
        /// The fault of the address.
        reason: String,
    },
    /// Nothing answers there, or the answer is not a deployment's.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// [`ClientOptions::open_max`](crate::ClientOptions::open_max) passed first.
    #[error("no connection within {0:?}")]
    TimedOut(Duration),
}

/// Why there is no auth token to sign in with.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AuthenticateError {
    /// The token source has none.
    #[error(transparent)]
    Source(#[from] TokenError),
    /// It gave something that is not a JWT.
    #[error(transparent)]
    Unreadable(#[from] UnreadableToken),
    /// It did not answer within [`ClientOptions::fetch_max`](crate::ClientOptions::fetch_max).
    #[error("the token source did not answer within {0:?}")]
    TimedOut(Duration),
    /// The client has ended.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// Why a user was not provisioned by [`Client::ensure_user`](crate::Client::ensure_user).
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum EnsureUserError {
    /// The user is not let in.
    #[error(transparent)]
    Unprovisioned(#[from] Unprovisioned),
    /// The login ended meanwhile.
    #[error("the login ended: {0}")]
    LoginEnded(LoginEnd),
    /// The client has ended.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// A step that failed, with the client as it was before, to try again or to do something else with.
#[derive(Debug)]
pub struct StepError<C, E> {
    /// The client before the step.
    pub client: C,
    /// Why the step failed.
    pub reason: E,
}

impl<C, E: fmt::Display> fmt::Display for StepError<C, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.reason, f)
    }
}

impl<C: fmt::Debug, E: std::error::Error> std::error::Error for StepError<C, E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.reason.source()
    }
}
