//! Reads request bodies: their type, their size, their time.

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde::Deserialize;

use super::Http;
use super::budget::BodyShare;
use super::respond::WireError;
use crate::clock::timeout;

/// Bytes set aside for a body before any of it has arrived, whatever its header promises.
const FIRST_BYTES_MAX: usize = 64 << 10;

/// A body that has arrived, with its share of the budget.
pub(super) struct ReadBody {
    pub bytes: Bytes,
    /// Given back with the body.
    _share: BodyShare,
}

/// Why a body is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It has more bytes than this.
    TooLong { limit: usize },
    /// The client stopped sending it.
    EndedEarly,
    /// It took too long.
    TooSlow,
    /// All bodies together are too much.
    BudgetSpent,
}

impl From<BodyError> for WireError {
    fn from(error: BodyError) -> WireError {
        match error {
            BodyError::TooLong { limit } => {
                WireError::bad_body(format!("The body is longer than {limit} bytes."))
            }
            BodyError::EndedEarly => WireError::bad_body("The body ended early."),
            BodyError::TooSlow => WireError::new(
                StatusCode::REQUEST_TIMEOUT,
                "RequestTimeout",
                "The body took too long to arrive.",
            ),
            BodyError::BudgetSpent => WireError::too_many_requests(),
        }
    }
}

impl ReadBody {
    /// Reads it as JSON.
    pub fn json<'b, T: Deserialize<'b>>(&'b self) -> Result<T, WireError> {
        serde_json::from_slice(&self.bytes)
            .map_err(|error| WireError::bad_body(format!("The body is wrong: {error}.")))
    }
}

impl Http {
    /// Reads a body that must be of a JSON type.
    pub(super) async fn read_json(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<ReadBody, WireError> {
        if !is_json(headers) {
            return Err(WireError::bad_body(
                "The Content-Type must be application/json.",
            ));
        }
        let limit = self.options.body_bytes_max;
        Ok(self.read_body(headers, body, limit).await?)
    }

    /// Reads a body of any type, of at most `limit` bytes.
    pub(super) async fn read_body(
        &self,
        headers: &HeaderMap,
        body: Body,
        limit: usize,
    ) -> Result<ReadBody, BodyError> {
        let promised = headers
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let reading = async {
            let mut stream = body.into_data_stream();
            if promised.is_some_and(|promised| promised > limit) {
                return Err(BodyError::TooLong { limit });
            }
            let mut bytes =
                BytesMut::with_capacity(promised.unwrap_or_default().min(FIRST_BYTES_MAX));
            let mut share = self.budget.share();
            while let Some(chunk) = stream.next().await {
                let chunk = chunk.map_err(|_| BodyError::EndedEarly)?;
                if bytes.len() + chunk.len() > limit {
                    return Err(BodyError::TooLong { limit });
                }
                share
                    .grow_to(bytes.len() + chunk.len())
                    .map_err(|_| BodyError::BudgetSpent)?;
                bytes.extend_from_slice(&chunk);
            }
            Ok(ReadBody {
                bytes: bytes.freeze(),
                _share: share,
            })
        };
        timeout(&*self.clock, self.options.body_timeout, reading)
            .await
            .unwrap_or(Err(BodyError::TooSlow))
    }
}

/// Whether the type is `application/json` or `application/*+json`, with or without parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence.strip_prefix("application/").is_some_and(|subtype| {
        subtype == "json"
            || subtype
                .strip_suffix("+json")
                .is_some_and(|name| !name.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn json_types_are_json_with_any_parameters() {
        let json = |value: &'static str| {
            is_json(&HeaderMap::from_iter([(
                CONTENT_TYPE,
                HeaderValue::from_static(value),
            )]))
        };
        for value in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/vnd.api+json ;v=1",
        ] {
            assert!(json(value), "{value}");
        }
        for value in [
            "text/json",
            "application/jsonp",
            "application/+json",
            "application/x-www-form-urlencoded",
            "",
        ] {
            assert!(!json(value), "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
