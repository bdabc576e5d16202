//! Turns inside errors into outside answers. The inside is logged, the outside is sent.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use vestibule_schema::value::Value;
use vestibule_schema::{JsonFormat, object};

use crate::auth::{
    AdminKeyError, AuthorizationError, DevIssuerError, DevRefused, TokenError, VerifyError,
};
use crate::database::{CommitError, LeaseError, ReadersError};
use crate::files::FileError;
use crate::functions::{FunctionOutcome, READ_ONLY_CODE, SystemError, Thrown};
use crate::provisioning::{Unprovisioned, not_provisioned};

/// A request that is refused as a whole: `{"code": …, "message": …}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WireError {
    pub status: StatusCode,
    /// The code, for programs.
    pub code: &'static str,
    /// The message, for people.
    pub message: String,
}

/// The code for an identity whose user is not made yet …
const PROVISIONING_MISSING: &str = "ProvisioningMissing";
/// … and after how long it is worth asking again.
const MISSING_RETRY_AFTER_SECONDS: &str = "5";

/// Why credentials give no caller.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum NoCaller {
    /// The request is refused.
    Refused(WireError),
    /// The app refused the identity. A function call is answered as if its function had thrown this, so that clients
    /// find the data where they look for it.
    NotProvisioned(Thrown),
}

impl WireError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> WireError {
        WireError {
            status,
            code,
            message: message.into(),
        }
    }

    pub fn bad_request(code: &'static str, message: impl Into<String>) -> WireError {
        WireError::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// A body that is not what the route reads.
    pub fn bad_body(message: impl Into<String>) -> WireError {
        WireError::bad_request("BadJsonBody", message)
    }

    pub fn not_found() -> WireError {
        WireError::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            "There is nothing at this address.",
        )
    }

    pub fn method_not_allowed() -> WireError {
        let message = "This address is not asked with this method.";
        WireError::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    /// A request line and header lines that are longer, or more, than is read.
    pub fn header_too_long(bytes_max: usize, lines_max: usize) -> WireError {
        let message = format!(
            "The header is longer than {bytes_max} bytes, or has more than {lines_max} lines."
        );
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        WireError::new(status, "HeaderTooLong", message)
    }

    /// A request that has taken as long as any may.
    pub fn too_slow() -> WireError {
        let message = "The request took longer than it may.";
        WireError::new(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", message)
    }

    /// The server is asked for more at once than it takes.
    pub fn too_many_requests() -> WireError {
        let message = "Too many requests are running: try again in a moment.";
        WireError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyConcurrentRequests",
            message,
        )
    }

    /// A bug of ours. The error has been logged.
    pub fn internal() -> WireError {
        let message = "Your request couldn't be completed. Try again later.";
        WireError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            message,
        )
    }

    pub fn unavailable(code: &'static str, message: impl Into<String>) -> WireError {
        WireError::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
    }

    fn overloaded() -> WireError {
        WireError::unavailable(
            "TooManyConcurrentRequests",
            "The server is overloaded: try again in a moment.",
        )
    }

    fn shutting_down() -> WireError {
        WireError::unavailable(
            "ShuttingDown",
            "The server is shutting down: try again in a moment.",
        )
    }

    /// No room for one more socket.
    pub fn too_many_connections() -> WireError {
        WireError::unavailable(
            "TooManyConnections",
            "There is no room for another connection: try again in a moment.",
        )
    }
}

impl IntoResponse for WireError {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "code": self.code, "message": self.message });
        let mut response = json(self.status, body.to_string());
        if self.code == PROVISIONING_MISSING {
            let after = HeaderValue::from_static(MISSING_RETRY_AFTER_SECONDS);
            response.headers_mut().insert(header::RETRY_AFTER, after);
        }
        response
    }
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, body: String) -> Response {
    with_type(status, "application/json", Body::from(body))
}

/// An answer in plain text.
pub(super) fn text(body: impl Into<Body>) -> Response {
    with_type(StatusCode::OK, "text/plain; charset=utf-8", body.into())
}

pub(super) fn with_type(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The error of a function call that the server could not run.
pub(super) fn system(error: &SystemError) -> WireError {
    match error {
        SystemError::Storage(error) => {
            tracing::error!(%error, "the store failed under a request");
            WireError::internal()
        }
        SystemError::NotCommitted(CommitError::NotCommitted(error)) => {
            tracing::error!(%error, "a mutation was not committed");
            WireError::unavailable(
                "NotCommitted",
                "The mutation was not committed and has no effect.",
            )
        }
        SystemError::CommitterFull | SystemError::NotCommitted(CommitError::Full) => {
            tracing::warn!("a mutation was refused: the queue is full");
            WireError::overloaded()
        }
        SystemError::Contended => {
            let code = "OptimisticConcurrencyControlFailure";
            WireError::unavailable(code, error.to_string())
        }
        SystemError::Readers(ReadersError::QueueFull) => {
            tracing::warn!("a query was refused: the queue is full");
            WireError::overloaded()
        }
        SystemError::NotCommitted(CommitError::ShuttingDown)
        | SystemError::Readers(ReadersError::Closed)
        | SystemError::ShuttingDown => WireError::shutting_down(),
    }
}

/// The error that keeps a file from being stored or read.
pub(super) fn file(error: &FileError) -> WireError {
    file_refused(file_answer(error))
}

/// A refused request for a file. The log has its code, and nothing that was sent.
pub(super) fn file_refused(answer: WireError) -> WireError {
    if answer.status.is_client_error() {
        tracing::info!(code = answer.code, "a request for a file was refused");
    }
    answer
}

fn file_answer(error: &FileError) -> WireError {
    let bad = |code| WireError::bad_request(code, error.to_string());
    let refused = |status, code| WireError::new(status, code, error.to_string());
    match error {
        FileError::InvalidToken => refused(StatusCode::UNAUTHORIZED, "InvalidStorageToken"),
        FileError::TokenExpired => refused(StatusCode::UNAUTHORIZED, "StorageTokenExpired"),
        FileError::Sha256Mismatch { .. } => bad("Sha256Mismatch"),
        FileError::InvalidSha256(_) => bad("InvalidSha256"),
        FileError::InvalidContentType { .. } => bad("InvalidContentType"),
        FileError::InvalidId { .. } | FileError::IdOfOtherTable { .. } => bad("InvalidStorageId"),
        FileError::NotFound(_) => refused(StatusCode::NOT_FOUND, "FileNotFound"),
        FileError::TooLarge { .. } => refused(StatusCode::PAYLOAD_TOO_LARGE, "FileTooLarge"),
        FileError::QuotaExceeded { .. } => {
            tracing::warn!(%error, "a file was refused");
            refused(StatusCode::INSUFFICIENT_STORAGE, "FileStorageFull")
        }
        FileError::TooManyAtOnce => WireError::too_many_requests(),
        FileError::EndedEarly => bad("FileEndedEarly"),
        FileError::TooSlow(_) => refused(StatusCode::REQUEST_TIMEOUT, "RequestTimeout"),
        FileError::CommitterFull
        | FileError::NotCommitted(CommitError::Full)
        | FileError::Readers(ReadersError::QueueFull) => {
            tracing::warn!(%error, "a file was refused");
            WireError::overloaded()
        }
        FileError::ShuttingDown
        | FileError::NotCommitted(CommitError::ShuttingDown)
        | FileError::Readers(ReadersError::Closed) => WireError::shutting_down(),
        FileError::NotCommitted(CommitError::NotCommitted(_)) => {
            tracing::error!(%error, "a file was not committed");
            WireError::unavailable("NotCommitted", "The file was not stored.")
        }
        FileError::ContentMissing(_)
        | FileError::Store(_)
        | FileError::Io(_)
        | FileError::Database(_) => {
            tracing::error!(%error, "a request for a file failed");
            WireError::internal()
        }
    }
}

/// An `Authorization` header that cannot be read.
pub(super) fn authorization(error: AuthorizationError) -> WireError {
    WireError::bad_request(error.code(), error.to_string())
}

/// Credentials that prove nothing.
pub(super) fn credentials(error: &VerifyError, redact: bool) -> WireError {
    match error {
        VerifyError::Token(error) => token(error, redact),
        VerifyError::AdminKey(error) => admin_key(error),
        VerifyError::TooManyFailures => WireError::new(
            StatusCode::TOO_MANY_REQUESTS,
            error.code(),
            error.to_string(),
        ),
    }
}

pub(super) fn token(error: &TokenError, redact: bool) -> WireError {
    let status = match error {
        TokenError::Malformed(_)
        | TokenError::NoProvider { .. }
        | TokenError::Rejected { .. }
        | TokenError::Expired
        | TokenError::ProviderGone => {
            tracing::debug!(code = error.code(), "an auth token was refused");
            StatusCode::UNAUTHORIZED
        }
        TokenError::ProviderUnavailable { .. } => {
            tracing::warn!(%error, "an auth token could not be checked");
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    WireError::new(status, error.code(), error.client_message(redact))
}

pub(super) fn admin_key(error: &AdminKeyError) -> WireError {
    let status = match error {
        AdminKeyError::Invalid | AdminKeyError::Expired | AdminKeyError::Revoked => {
            StatusCode::UNAUTHORIZED
        }
        AdminKeyError::RevokedUnreadable => StatusCode::SERVICE_UNAVAILABLE,
        AdminKeyError::ActingAs { .. } => StatusCode::BAD_REQUEST,
        AdminKeyError::NotAdmin => StatusCode::FORBIDDEN,
    };
    tracing::debug!(code = error.code(), "an admin key was refused");
    WireError::new(status, error.code(), error.to_string())
}

/// A mutation or an action by the holder of a key that may only look.
pub(super) fn read_only() -> WireError {
    WireError::new(
        StatusCode::FORBIDDEN,
        READ_ONLY_CODE,
        "This admin key may run queries only.",
    )
}

/// A change of the deployment by the holder of a key that may only look.
pub(super) fn read_only_key() -> WireError {
    WireError::new(
        StatusCode::FORBIDDEN,
        READ_ONLY_CODE,
        "This admin key may look at the deployment and not change it.",
    )
}

/// A body in JSON that is not what the route reads.
pub(super) fn wrong_json(error: serde_json::Error) -> WireError {
    WireError::bad_body(format!("The body is wrong: {error}."))
}

/// An identity that was not let in. The gate has logged it.
pub(super) fn unprovisioned(why: &Unprovisioned, calls: &[String]) -> NoCaller {
    match why.refusal(calls) {
        Some(thrown) => NoCaller::NotProvisioned(not_provisioned("refused", thrown.data)),
        None => {
            let message = "The user could not be provisioned: try again in a moment.";
            let code = why.try_again_code();
            NoCaller::Refused(WireError::unavailable(code, message))
        }
    }
}

/// The error an HTTP action gets when it looks at an identity that was not let in. Beside it, the answer to its request
/// if the action does not catch that error.
pub(super) fn refused_asker(no_caller: NoCaller) -> (Thrown, Response) {
    match no_caller {
        NoCaller::Refused(error) => {
            let data = object! { "code" => error.code, "message" => error.message.clone() };
            let thrown = Thrown {
                message: error.message.clone(),
                data: Some(Value::Object(data)),
                is_fault: false,
            };
            (thrown, error.into_response())
        }
        NoCaller::NotProvisioned(thrown) => {
            let data = thrown.data.as_ref().map(clean_json);
            let body = serde_json::json!({
                "code": "NotProvisioned", "message": thrown.message, "data": data,
            });
            (thrown, json(StatusCode::FORBIDDEN, body.to_string()))
        }
    }
}

/// The answer to a request whose HTTP action threw.
pub(super) fn uncaught(thrown: &Thrown, request_id: &str, redact: bool) -> Response {
    let code = format!("[Request ID: {request_id}] Server Error");
    let mut body = match redact {
        true => serde_json::json!({ "code": code }),
        false => {
            let first_line = thrown.message.lines().next().unwrap_or_default();
            serde_json::json!({ "code": format!("{code}: {first_line}"), "trace": thrown.message })
        }
    };
    if let Some(data) = &thrown.data {
        body["data"] = clean_json(data);
    }
    json(StatusCode::INTERNAL_SERVER_ERROR, body.to_string())
}

fn clean_json(value: &Value) -> serde_json::Value {
    value.to_format(JsonFormat::Clean)
}

/// A timestamp that cannot be read at.
pub(super) fn lease(error: &LeaseError) -> WireError {
    match error {
        LeaseError::Future(_) => {
            tracing::debug!(%error, "a query was refused");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            WireError::new(status, "InternalServerError", error.to_string())
        }
        LeaseError::OutOfRetention(_) => {
            WireError::unavailable("OutOfRetention", error.to_string())
        }
        LeaseError::Storage(error) => {
            tracing::error!(%error, "the store failed under a request");
            WireError::internal()
        }
    }
}

/// A query at a timestamp from before the identity's provisioning: its user may be missing there.
pub(super) fn before_provisioning() -> WireError {
    let message = "The timestamp is older than the caller's provisioning: ask for a new one.";
    WireError::unavailable("OutOfRetention", message)
}

/// A development token that is not made.
pub(super) fn dev_token(error: &DevIssuerError) -> WireError {
    match error {
        DevIssuerError::Field { .. } | DevIssuerError::Lifetime => {
            WireError::bad_request("BadTokenRequest", error.to_string())
        }
        DevIssuerError::KeyFile(_) | DevIssuerError::Key(_) => {
            tracing::error!(%error, "the development issuer failed");
            WireError::internal()
        }
    }
}

/// A page that must not get development tokens.
pub(super) fn dev_refused(error: &DevRefused) -> WireError {
    WireError::new(StatusCode::FORBIDDEN, "DevIssuerRefused", error.to_string())
}

/// How the outcome of a function is written.
#[derive(Clone, Copy)]
pub(super) struct Writing<'a> {
    pub format: JsonFormat,
    pub request_id: &'a str,
    pub redact: bool,
}

impl Writing<'_> {
    /// Appends the outcome of a function as clients read it.
    pub fn write(&self, outcome: &FunctionOutcome, log_lines: &[String], out: &mut String) {
        match outcome {
            FunctionOutcome::Returned(value) => {
                out.push_str(r#"{"status":"success","value":"#);
                self.write_value(value, out);
            }
            FunctionOutcome::Threw(thrown) => {
                out.push_str(r#"{"status":"error","errorMessage":"#);
                write_text(&thrown.client_message(self.request_id, self.redact), out);
                if let Some(data) = &thrown.data {
                    out.push_str(r#","errorData":"#);
                    self.write_value(data, out);
                }
            }
        }
        if !self.redact && !log_lines.is_empty() {
            out.push_str(r#","logLines":["#);
            for (position, line) in log_lines.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write_text(line, out);
            }
            out.push(']');
        }
        out.push('}');
    }

    /// The whole answer of a route that runs one function.
    pub fn answer(&self, outcome: &FunctionOutcome, log_lines: &[String]) -> Response {
        let mut body = String::new();
        self.write(outcome, log_lines, &mut body);
        json(StatusCode::OK, body)
    }

    fn write_value(&self, value: &Value, out: &mut String) {
        match self.format {
            JsonFormat::Encoded => value.write_json(out),
            JsonFormat::Clean | JsonFormat::Export => {
                out.push_str(&value.to_format(self.format).to_string())
            }
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contention_without_end_is_told_with_its_code() {
        let error = system(&SystemError::Contended);
        assert_eq!(error.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(error.code, "OptimisticConcurrencyControlFailure");
    }
}
