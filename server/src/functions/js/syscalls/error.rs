//! The errors of host operations, and whether the function may catch them.

use thiserror::Error;
use vestibule_schema::object;
use vestibule_schema::value::Value;

use crate::auth::SignError;
use crate::database::{DatabaseError, LimitError, QueryError};
use crate::functions::scheduled::ScheduleError;

/// A host operation that failed. The message is what the function's author reads.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("{message}")]
pub struct SyscallError {
    /// The text of the JavaScript error.
    pub message: String,
    /// Its property `data`, as encoded JSON. The package treats every error with data as a `ConvexError`.
    pub data_json: Option<String>,
    /// The kind of failure.
    pub kind: ErrorKind,
    /// The code that clients see of a limit that was passed, when the function does not catch it.
    pub code: Option<&'static str>,
}

/// Kinds of failed host operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The call was wrong.
    BadRequest,
    /// A limit on what is read or written was passed. A page ends at such a limit; anything else fails.
    Limit,
    /// The function ran out of time.
    TimedOut,
    /// A function that it called ran out of time or memory, which ends all of the call.
    EndedCallee,
    /// The function asked for an identity that must not be seen yet.
    Suspended,
    /// The server is in trouble.
    Internal,
}

impl ErrorKind {
    /// Whether the function may catch it. If not, the function ends with it.
    pub fn is_catchable(self) -> bool {
        match self {
            ErrorKind::BadRequest | ErrorKind::Limit => true,
            ErrorKind::TimedOut
            | ErrorKind::EndedCallee
            | ErrorKind::Suspended
            | ErrorKind::Internal => false,
        }
    }
}

/// The text that a function's author reads for the server's own trouble.
const INTERNAL: &str = "Your request couldn't be completed. Try again later.";

impl SyscallError {
    /// A call that was wrong.
    pub fn bad_request(message: impl Into<String>) -> SyscallError {
        SyscallError::new(ErrorKind::BadRequest, message)
    }

    /// A failure without data.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> SyscallError {
        SyscallError {
            message: message.into(),
            data_json: None,
            kind,
            code: None,
        }
    }

    /// The error of a nested function, which may have thrown data.
    pub fn thrown(message: impl Into<String>, data: Option<&Value>) -> SyscallError {
        SyscallError {
            data_json: data.map(|data| data.to_json().to_string()),
            ..SyscallError::bad_request(message)
        }
    }

    /// Arguments that cannot be read.
    pub(super) fn arguments(api: &str, reason: impl std::fmt::Display) -> SyscallError {
        SyscallError::bad_request(format!("Invalid arguments for `{api}`: {reason}"))
    }

    /// One argument that cannot be read.
    pub(super) fn argument(api: &str, name: &str, reason: impl std::fmt::Display) -> SyscallError {
        SyscallError::bad_request(format!("Invalid argument `{name}` for `{api}`: {reason}"))
    }
}

impl From<DatabaseError> for SyscallError {
    fn from(error: DatabaseError) -> SyscallError {
        match error {
            DatabaseError::Query(error) => error.into(),
            DatabaseError::Storage(_) => SyscallError::new(ErrorKind::Internal, INTERNAL),
        }
    }
}

impl From<SignError> for SyscallError {
    fn from(error: SignError) -> SyscallError {
        match error {
            SignError::Database(error) => error.into(),
            SignError::Key => SyscallError::new(ErrorKind::Internal, INTERNAL),
            refused => SyscallError::bad_request(refused.to_string()),
        }
    }
}

impl From<ScheduleError> for SyscallError {
    fn from(error: ScheduleError) -> SyscallError {
        match error {
            ScheduleError::Refused(text) => SyscallError::bad_request(text),
            ScheduleError::Database(error) => error.into(),
        }
    }
}

impl From<QueryError> for SyscallError {
    fn from(error: QueryError) -> SyscallError {
        match error {
            QueryError::Limit(limit) => limit.into(),
            // Clients start a pagination again when they see this data, which redaction leaves alone.
            QueryError::ForeignCursor | QueryError::UnreadableCursor => {
                let data = object! {
                    "isConvexSystemError" => true,
                    "paginationError" => "InvalidCursor",
                };
                SyscallError::thrown(error.to_string(), Some(&Value::Object(data)))
            }
            other => SyscallError::bad_request(other.to_string()),
        }
    }
}

impl From<LimitError> for SyscallError {
    fn from(limit: LimitError) -> SyscallError {
        let kind = match limit {
            LimitError::UserTime(_) => ErrorKind::TimedOut,
            _ => ErrorKind::Limit,
        };
        SyscallError {
            code: Some(limit.code()),
            ..SyscallError::new(kind, limit.to_string())
        }
    }
}
