//! The values that cross between JavaScript and the server.

/// A value on its way between JavaScript and the server.
#[derive(Debug, Clone, PartialEq)]
pub enum HostValue {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    String(String),
    Bytes(Vec<u8>),
}

/// The class of the error that JavaScript sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorClass {
    Error,
    TypeError,
    RangeError,
    DomException(String),
}

/// An error that the server throws into JavaScript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostError {
    pub class: ErrorClass,
    pub message: String,
    pub data_json: Option<String>,
    pub is_fatal: bool,
}
