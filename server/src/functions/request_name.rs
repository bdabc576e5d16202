//! The id of a request, by which error texts, logs and functions name it. Most are never read, so the text is made by
//! its reader.

use std::fmt;

use sha2::{Digest, Sha256};
use vestibule_schema::wire::{RequestId, SessionId};

/// The id of a request; everything that the request starts shares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestName {
    /// A text that was chosen where the request came in.
    Given(String),
    /// A call on a connection: the same text for every attempt at the same call.
    Call(Option<SessionId>, RequestId),
}

/// Bytes of the hash that a call's text shows.
const SHOWN_BYTES: usize = 8;

impl Default for RequestName {
    fn default() -> RequestName {
        RequestName::Given(String::new())
    }
}

impl fmt::Display for RequestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (session, request) = match self {
            RequestName::Given(text) => return f.write_str(text),
            RequestName::Call(session, request) => (session, request),
        };
        let session = session.map_or_else(String::new, |session| session.to_string());
        let hash = Sha256::digest(format!("{session}|{}", request.0));
        let mut shown = hash.iter().take(SHOWN_BYTES);
        shown.try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calls_request_id_is_the_hash_of_its_session_and_number() {
        let session = "3f2b1c9e-5d4a-4c3b-8a7f-0123456789ab".parse().unwrap();
        let name = RequestName::Call(Some(session), RequestId(7));
        assert_eq!(name.to_string(), "2ce0264e564a3150");
    }
}
