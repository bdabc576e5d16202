//! Why a request of a function failed, in words for its author.

use std::error::Error;
use std::net::IpAddr;

use thiserror::Error as ThisError;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
pub enum OutboundError {
    /// The address is not on the internet.
    #[error(
        "fetch failed: {host} is at {address}, {kind}, where functions may not go. \
         Start the server with --fetch-allow {address} to allow it."
    )]
    Address {
        host: String,
        address: IpAddr,
        kind: &'static str,
    },
    /// The name means nothing.
    #[error("fetch failed: the name {host} cannot be resolved")]
    Unresolved { host: String },
    /// There is no connection, or it broke before the answer.
    #[error("fetch failed: no connection to {host}, or it broke: {reason}")]
    Unreachable { host: String, reason: String },
    /// Nothing came for too long.
    #[error("fetch failed: {host} did not answer in time")]
    TooSlow { host: String },
    /// The answer broke off, or cannot be decompressed.
    #[error("fetch failed: the response's body ended early: {reason}")]
    Body { reason: String },
    /// The request's own body failed.
    #[error("fetch failed: the request's body failed: {0}")]
    RequestBody(String),
    /// More redirects than are followed.
    #[error("fetch too many redirects")]
    TooManyRedirects,
    /// A redirect where none is wanted.
    #[error("fetch failed: unexpected redirect")]
    UnexpectedRedirect,
    /// A redirect to what is no address.
    #[error("fetch failed: the redirect's location is not an http or https address")]
    RedirectLocation,
    /// A redirect that asks for a body which is gone.
    #[error("fetch failed: a request whose body is a stream cannot be redirected")]
    BodyTwice,
    /// The client itself.
    #[error("fetch failed: this server could not set up an HTTP client: {0}")]
    Client(String),
}

impl OutboundError {
    /// Our own refusals travel inside the library's error.
    pub(super) fn of(host: &str, error: &reqwest::Error) -> OutboundError {
        if let Some(own) = own(error) {
            return own;
        }
        let host = host.to_owned();
        match error.is_timeout() {
            true => OutboundError::TooSlow { host },
            false => OutboundError::Unreachable {
                host,
                reason: innermost(error),
            },
        }
    }

    pub(super) fn body(error: &reqwest::Error) -> OutboundError {
        own(error).unwrap_or_else(|| OutboundError::Body {
            reason: innermost(error),
        })
    }
}

fn sources(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let first: Option<&(dyn Error + 'static)> = error.source();
    std::iter::successors(first, |error| (*error).source())
}

fn own(error: &reqwest::Error) -> Option<OutboundError> {
    sources(error).find_map(|source| source.downcast_ref::<OutboundError>().cloned())
}

fn innermost(error: &reqwest::Error) -> String {
    let innermost = sources(error).last();
    innermost.map_or_else(|| error.to_string(), ToString::to_string)
}
