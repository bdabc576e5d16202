//! The errors of functions, and the part that callers learn.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value as Json;
use thiserror::Error as ThisError;
use vestibule_schema::convert::to_value;
use vestibule_schema::object;
use vestibule_schema::value::Value;

use crate::database::{DatabaseError, QueryError, ReadersError};
use crate::storage::StorageError;

/// The code of a function whose time has passed.
pub(super) const TIMED_OUT_CODE: &str = "FunctionTimedOut";

/// The result of a function.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error thrown by a function.
///
/// Every standard error converts into it with `?` and is told to clients as text in development, and hidden in
/// production. An [application error](Error::application) carries data that clients always receive.
pub struct Error {
    thrown: Thrown,
}

impl Error {
    /// An error with data for the client: Convex calls it a `ConvexError`. `data` that is not a value
    /// becomes an ordinary error that says so.
    pub fn application(data: impl Serialize) -> Error {
        match to_value(&data) {
            Ok(data) => Error {
                thrown: Thrown::application(data),
            },
            Err(error) => Error::new(format!("ConvexError with invalid data: {error}")),
        }
    }

    /// An ordinary error: its text is for developers.
    pub fn new(message: impl fmt::Display) -> Error {
        Error {
            thrown: Thrown {
                message: format!("Uncaught Error: {message}"),
                data: None,
                is_fault: false,
            },
        }
    }

    /// An error of Vestibule's own, whose text is told as it is.
    pub(crate) fn plain(message: impl fmt::Display) -> Error {
        Error {
            thrown: Thrown {
                message: message.to_string(),
                data: None,
                is_fault: false,
            },
        }
    }

    /// The passing of a limit on what a function takes or returns.
    pub(crate) fn limit(code: &str, message: impl fmt::Display) -> Error {
        Error {
            thrown: Thrown {
                is_fault: true,
                ..Error::refused(code, message).thrown
            },
        }
    }

    /// The end of a function whose time has passed.
    pub(crate) fn timed_out(time_max: Duration) -> Error {
        let seconds = time_max.as_secs_f64();
        let text = format!("Function execution timed out (maximum duration: {seconds}s)");
        Error::limit(TIMED_OUT_CODE, text)
    }

    /// A refusal of Vestibule's own, with a code that clients see where texts are hidden too.
    pub(crate) fn refused(code: &str, message: impl fmt::Display) -> Error {
        Error {
            thrown: Thrown {
                data: Some(Value::Object(object! { "code" => code })),
                ..Error::plain(message).thrown
            },
        }
    }

    /// The error of a function that panicked.
    pub(crate) fn panicked(path: &impl fmt::Display, panic: &str) -> Error {
        let message = format!("Uncaught Error: {path} panicked: {panic}");
        Error {
            thrown: Thrown {
                message,
                data: None,
                is_fault: true,
            },
        }
    }

    /// Clients start a pagination again when they see this data, even where the text is redacted.
    fn invalid_cursor(message: &str) -> Error {
        let data = object! { "isConvexSystemError" => true, "paginationError" => "InvalidCursor" };
        Error {
            thrown: Thrown {
                message: message.to_string(),
                data: Some(Value::Object(data)),
                is_fault: false,
            },
        }
    }

    /// The data of an application error.
    pub fn data(&self) -> Option<&Value> {
        self.thrown.data.as_ref()
    }

    pub(crate) fn into_thrown(self) -> Thrown {
        self.thrown
    }

    pub(crate) fn from_thrown(thrown: Thrown) -> Error {
        Error { thrown }
    }
}

/// The largest number below which whole numbers are written as such.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Whole numbers without a fraction, wherever they stand.
pub(super) fn as_javascript_writes(json: Json) -> Json {
    match json {
        Json::Number(number) => match number.as_f64() {
            Some(whole) if whole.fract() == 0.0 && whole.abs() < WHOLE_MAX => {
                Json::from(whole as i64)
            }
            _ => Json::Number(number),
        },
        Json::Array(all) => all.into_iter().map(as_javascript_writes).collect(),
        Json::Object(fields) => {
            let written = |(name, json)| (name, as_javascript_writes(json));
            Json::Object(fields.into_iter().map(written).collect())
        }
        other => other,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.thrown.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.thrown.message)
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        let any: &dyn std::any::Any = &error;
        match any.downcast_ref() {
            Some(DatabaseError::Query(
                QueryError::ForeignCursor | QueryError::UnreadableCursor,
            )) => Error::invalid_cursor(&error.to_string()),
            Some(DatabaseError::Query(QueryError::Limit(limit))) => {
                let code = limit.code();
                let Error { thrown } = Error::new(error);
                Error {
                    thrown: Thrown {
                        is_fault: true,
                        data: Some(Value::Object(object! { "code" => code })),
                        ..thrown
                    },
                }
            }
            _ => Error::new(error),
        }
    }
}

/// An error that a function threw.
#[derive(Clone, Debug, PartialEq)]
pub struct Thrown {
    /// The whole text, for developers and the server's log.
    pub message: String,
    /// The data of an application error, for clients.
    pub data: Option<Value>,
    /// The function broke: it panicked, or passed a limit. It did not refuse.
    pub is_fault: bool,
}

/// The error of a function that looks at an identity which may not be seen.
pub(super) const IDENTITY_HIDDEN: &str = "the caller's identity cannot be seen: its user is not provisioned, or its auth token was refused";
/// The refusal of every call of a system function without an admin key. Tools look for these words, so they are never
/// hidden.
pub(super) const NOT_PERMITTED: &str = "You do not have permission to perform this operation.";

impl Thrown {
    fn application(data: Value) -> Thrown {
        let shown = match &data {
            Value::String(text) => text.clone(),
            other => as_javascript_writes(other.to_json()).to_string(),
        };
        Thrown {
            message: format!("Uncaught ConvexError: {shown}"),
            data: Some(data),
            is_fault: false,
        }
    }

    /// Whether a function ended with `refusal`, as it is or as TypeScript throws it. Also when a function that it
    /// called looked at the refused identity.
    pub(crate) fn is_of(&self, refusal: &Thrown) -> bool {
        let first = self.message.lines().next().unwrap_or_default();
        // Each function that lets it through puts the words before it.
        let told = first.trim_start_matches("Uncaught Error: ");
        told == IDENTITY_HIDDEN || Some(told) == refusal.message.lines().next()
    }

    /// The data that a function which called this one may see. The code of a limit is for clients alone: official
    /// packages make an application error of whatever has data.
    pub(crate) fn application_data(&self) -> Option<&Value> {
        self.data.as_ref().filter(|_| !self.is_fault)
    }

    /// Whether it may not happen the next time. Arguments and results that are too large are so again.
    pub(crate) fn may_pass(&self) -> bool {
        let is_lasting = matches!(self.code(), Some("ArgumentsTooLarge" | "ResultTooLarge"));
        self.is_fault && !is_lasting
    }

    /// The code in its data.
    pub(crate) fn code(&self) -> Option<&str> {
        match self.data.as_ref()? {
            Value::Object(data) => match data.get("code")? {
                Value::String(code) => Some(code),
                _ => None,
            },
            _ => None,
        }
    }

    /// The text a client receives: the request id alone where `redacted`, the whole story in development.
    pub fn client_message(&self, request_id: &str, redacted: bool) -> String {
        match redacted && self.message != NOT_PERMITTED {
            true => format!("[Request ID: {request_id}] Server Error"),
            false => format!(
                "[Request ID: {request_id}] Server Error\n{}\n",
                self.message
            ),
        }
    }
}

/// The server could not run a function, or cannot say how it ended. Never the function's own doing.
#[derive(Clone, Debug, ThisError)]
pub enum SystemError {
    /// The store failed.
    #[error("the store failed: {0}")]
    Storage(Arc<StorageError>),
    /// A mutation left no trace because its batch was not committed.
    #[error("{0}")]
    NotCommitted(#[from] crate::database::CommitError),
    /// The mutation queue is full.
    #[error("too many mutations are waiting to run")]
    CommitterFull,
    /// Commits overtook a mutation beside the lane in all its runs.
    #[error(
        "Data read or written in this mutation changed while it was being run. Consider reducing the amount of data read by using indexed queries with selective index range expressions (https://docs.convex.dev/database/indexes/)."
    )]
    Contended,
    /// The query queue is full, or the server is ending.
    #[error(transparent)]
    Readers(#[from] ReadersError),
    /// The server is ending.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl SystemError {
    /// Whether too much waits to run, so that the same may be admitted in a moment.
    pub fn is_of_a_full_queue(&self) -> bool {
        matches!(
            self,
            SystemError::CommitterFull | SystemError::Readers(ReadersError::QueueFull)
        )
    }
}
