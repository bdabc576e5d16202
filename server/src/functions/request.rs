//! The facts about the request that a function runs for.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use vestibule_schema::id::DocumentId;

use super::request_name::RequestName;

/// The request that a function runs for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestMetadata {
    /// The address that the request came from.
    pub ip: Option<IpAddr>,
    /// Its `User-Agent` header.
    pub user_agent: Option<Arc<str>>,
    /// Its id, which everything that it starts shares.
    pub request_id: RequestName,
    /// The scheduled job that it is part of.
    pub scheduled_function_id: Option<String>,
    /// The auth token that it came with.
    pub auth_token: Option<Arc<str>>,
}

/// An id for a request: 16 hexadecimal digits.
pub fn new_request_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}

impl RequestMetadata {
    /// The metadata where no request came from outside: a new name, and the job that runs.
    pub fn unknown(scheduled: Option<DocumentId>) -> RequestMetadata {
        RequestMetadata {
            request_id: RequestName::Given(new_request_id()),
            scheduled_function_id: scheduled.map(|id| id.to_string()),
            ..RequestMetadata::default()
        }
    }

    /// As functions read it.
    pub fn to_json(&self) -> Json {
        json!({
            "ip": self.ip.map(|ip| ip.to_string()),
            "userAgent": self.user_agent.as_deref(),
            "requestId": self.request_id.to_string(),
            "scheduledFunctionId": self.scheduled_function_id,
            "authToken": self.auth_token.as_deref(),
        })
    }
}
