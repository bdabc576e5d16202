//! How a call ends when it does not end with a value, and how the host answers a call that it refuses.

/// The kind of error that JavaScript sees when the host refuses a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorClass {
    /// A plain `Error`.
    Error,
    /// A `TypeError`.
    TypeError,
    /// A `RangeError`.
    RangeError,
    /// A `DOMException` with this name, such as `"DataError"`.
    DomException(String),
}

/// The host's refusal of one call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HostError {
    /// Which constructor makes the error.
    pub class: ErrorClass,
    /// The error's `message`.
    pub message: String,
    /// JSON text; parsed, it becomes the error's property `data`.
    pub data_json: Option<String>,
    /// Ends the whole call. JavaScript cannot catch it.
    pub is_fatal: bool,
}

impl HostError {
    /// An error that JavaScript may catch.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> HostError {
        HostError {
            class,
            message: message.into(),
            data_json: None,
            is_fatal: false,
        }
    }

    /// An error that ends the call.
    pub fn fatal(message: impl Into<String>) -> HostError {
        HostError {
            is_fatal: true,
            ..HostError::new(ErrorClass::Error, message)
        }
    }
}

/// A value that JavaScript threw and did not catch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Thrown {
    /// The error's `name`. Empty if the value is not an `Error`.
    pub name: String,
    /// The error's `message`. For other values the engine's text, such as `boom` or `#<Object>`.
    pub message: String,
    /// Frames, one a line: `    at f (rooms.js:12:5)`. Empty if the value is not an `Error`.
    pub stack: String,
    /// The property `data`, if it is a string: for a `ConvexError` its data as JSON text.
    pub data: Option<String>,
    /// Whether `error[error.ConvexErrorSymbol] === true`.
    pub is_convex_error: bool,
}

/// Why an entry gave no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// JavaScript threw, or left a rejected promise unhandled.
    #[error("uncaught {}: {}", .0.name, .0.message)]
    Threw(Thrown),
    /// The time in the engine exceeded the budget.
    #[error("the time budget is used up")]
    TimedOut,
    /// The memory limit was reached.
    #[error("out of memory")]
    OutOfMemory,
    /// The host ended the call.
    #[error("{0}")]
    Fatal(HostError),
    /// The module awaits at its top level.
    #[error("the module awaits at its top level")]
    Unsettled,
}
