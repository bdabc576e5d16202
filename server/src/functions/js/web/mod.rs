//! Operations of the web platform that are quicker or safer in Rust than in JavaScript: addresses, character sets,
//! cryptography and the data of `Intl`.
//!
//! All are pure: they depend on their arguments alone and keep nothing. Keys are bytes that JavaScript objects hold,
//! so no JavaScript object owns memory of the server.

mod arguments;
mod cipher;
mod der;
mod derive;
mod digest;
mod elliptic;
mod encoding;
mod gcm;
mod intl;
mod jwk;
mod keys;
mod known;
mod rsa;
mod signature;
mod url;

use vestibule_isolate::{ErrorClass, HostError, HostValue};

use arguments::Arguments;

/// An operation's answer.
type Answer = Result<HostValue, HostError>;

/// Runs the operation `op` if it is one of the web platform's.
pub fn call(op: &str, arguments: &mut [HostValue]) -> Option<Answer> {
    let (family, name) = op.split_once('.')?;
    let arguments = Arguments::new(arguments);
    match family {
        "url" => url::call(name, &arguments),
        "encoding" => encoding::call(name, &arguments),
        "crypto" => crypto(name, &arguments),
        "intl" => intl::call(name, &arguments),
        "known" => known::call(name, &arguments),
        _ => None,
    }
}

fn crypto(name: &str, arguments: &Arguments) -> Option<Answer> {
    digest::call(name, arguments)
        .or_else(|| cipher::call(name, arguments))
        .or_else(|| derive::call(name, arguments))
        .or_else(|| keys::call(name, arguments))
        .or_else(|| signature::call(name, arguments))
        .or_else(|| rsa::call(name, arguments))
        .or_else(|| elliptic::call(name, arguments))
}

fn error(class: ErrorClass, message: impl Into<String>) -> HostError {
    HostError::new(class, message)
}

fn type_error(message: impl Into<String>) -> HostError {
    error(ErrorClass::TypeError, message)
}

fn range_error(message: impl Into<String>) -> HostError {
    error(ErrorClass::RangeError, message)
}

fn dom_exception(name: &str, message: impl Into<String>) -> HostError {
    error(ErrorClass::DomException(name.to_owned()), message)
}

/// The work failed for a reason that must not be told, as a wrong key or a wrong text.
fn operation_failed() -> HostError {
    dom_exception("OperationError", "The operation failed")
}

/// The bytes of a key are not those of such a key.
fn bad_key() -> HostError {
    dom_exception("DataError", "The key data is invalid")
}

fn not_supported(what: impl Into<String>) -> HostError {
    dom_exception("NotSupportedError", what)
}

#[cfg(test)]
mod tests;
