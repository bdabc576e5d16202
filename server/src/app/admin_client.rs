//! The admin API as tools ask it, of a server that runs elsewhere or in the same process.

use futures_util::TryStreamExt;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value as Json, json};
use thiserror::Error;
use url::Url;

use crate::outbound::{
    ByteStream, Outbound, OutboundError, OutboundOptions, OutboundRequest, OutboundResponse,
    Redirect, RequestBody,
};

/// Longest answer that is no file, in bytes.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Asks a server with an admin key.
pub struct AdminClient {
    base: Url,
    authorization: HeaderValue,
    outbound: Outbound,
}

/// Why a server did not do what was asked.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum AdminClientError {
    #[error("{0:?} is not the address of a server, as in http://127.0.0.1:3210")]
    Address(String),
    #[error("no server answers at {server}: {error}")]
    Unreachable {
        server: String,
        error: OutboundError,
    },
    /// In the server's words.
    #[error("{message}")]
    Refused {
        status: u16,
        code: String,
        message: String,
    },
    #[error("{server} does not answer as this server does: {reason}")]
    NotOurs { server: String, reason: String },
}

impl AdminClient {
    /// A client of the server at `address`.
    pub fn new(address: &str, key: &str) -> Result<AdminClient, AdminClientError> {
        let wrong = || AdminClientError::Address(address.to_owned());
        let base = Url::parse(address).map_err(|_| wrong())?;
        let mut authorization =
            HeaderValue::from_str(&format!("Convex {key}")).map_err(|_| wrong())?;
        authorization.set_sensitive(true);
        match base.scheme() {
            "http" | "https" => {}
            _ => return Err(wrong()),
        }
        Ok(AdminClient {
            base,
            authorization,
            outbound: Outbound::new(OutboundOptions {
                is_open: true,
                ..OutboundOptions::default()
            }),
        })
    }

    /// The content at a path.
    pub async fn get(&self, path: &str) -> Result<Json, AdminClientError> {
        let response = self.send(Method::GET, path, None, RequestBody::Nothing);
        self.json(response.await?).await
    }

    /// Asks for something in JSON.
    pub async fn post(&self, path: &str, body: &Json) -> Result<Json, AdminClientError> {
        let text = RequestBody::Bytes(body.to_string().into());
        let response = self.send(Method::POST, path, Some("application/json"), text);
        self.json(response.await?).await
    }

    /// Sends bytes.
    pub async fn post_bytes(&self, path: &str, bytes: Vec<u8>) -> Result<Json, AdminClientError> {
        let kind = Some("application/octet-stream");
        let response = self.send(Method::POST, path, kind, RequestBody::Bytes(bytes.into()));
        self.json(response.await?).await
    }

    /// The value of a query.
    pub async fn query(&self, path: &str, args: Json) -> Result<Json, AdminClientError> {
        let call = json!({ "path": path, "args": args, "format": "json" });
        let answer = self.post("/api/query", &call).await?;
        match answer["status"].as_str() {
            Some("success") => Ok(answer["value"].clone()),
            _ => Err(AdminClientError::Refused {
                status: 200,
                code: "FunctionFailed".to_owned(),
                message: answer["errorMessage"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            }),
        }
    }

    /// The bytes at a path, as they arrive.
    pub async fn download(&self, path: &str) -> Result<ByteStream, AdminClientError> {
        let response = self.send(Method::GET, path, None, RequestBody::Nothing);
        self.streamed(response.await?).await
    }

    /// The bytes of an answer, as they arrive.
    pub async fn post_download(&self, path: &str) -> Result<ByteStream, AdminClientError> {
        let response = self.send(Method::POST, path, None, RequestBody::Nothing);
        self.streamed(response.await?).await
    }

    async fn streamed(&self, response: OutboundResponse) -> Result<ByteStream, AdminClientError> {
        let empty = || Box::pin(futures_util::stream::empty()) as ByteStream;
        Ok(self.accepted(response).await?.unwrap_or_else(empty))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        kind: Option<&'static str>,
        body: RequestBody,
    ) -> Result<OutboundResponse, AdminClientError> {
        let base = self.base.as_str().trim_end_matches('/');
        let url = format!("{base}{path}");
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        if let Some(kind) = kind {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        let request = OutboundRequest {
            url: Url::parse(&url).map_err(|_| AdminClientError::Address(url))?,
            method,
            headers,
            body,
            redirect: Redirect::Error,
        };
        let sent = self.outbound.send(request).await;
        sent.map_err(|error| self.unreachable(error))
    }

    /// The body of an answer that is no refusal.
    async fn accepted(
        &self,
        response: OutboundResponse,
    ) -> Result<Option<ByteStream>, AdminClientError> {
        let status = response.status;
        if status.is_success() {
            return Ok(response.body);
        }
        let bytes = self.read(response.body).await?;
        let refusal: Json = serde_json::from_slice(&bytes).unwrap_or_default();
        let text = |name: &str| refusal[name].as_str().map(str::to_owned);
        match (text("code"), text("message")) {
            (Some(code), Some(message)) => Err(AdminClientError::Refused {
                status: status.as_u16(),
                code,
                message,
            }),
            _ => Err(self.not_ours(format!("its status is {status}"))),
        }
    }

    async fn json(&self, response: OutboundResponse) -> Result<Json, AdminClientError> {
        let body = self.accepted(response).await?;
        let bytes = self.read(body).await?;
        let parsed = serde_json::from_slice(&bytes);
        parsed.map_err(|error| self.not_ours(error.to_string()))
    }

    async fn read(&self, body: Option<ByteStream>) -> Result<Vec<u8>, AdminClientError> {
        let mut all = Vec::new();
        let Some(mut body) = body else {
            return Ok(all);
        };
        while let Some(bytes) = body
            .try_next()
            .await
            .map_err(|error| self.unreachable(error))?
        {
            all.extend_from_slice(&bytes);
            if all.len() > ANSWER_BYTES_MAX {
                let reason = format!("its answer is longer than {ANSWER_BYTES_MAX} bytes");
                return Err(self.not_ours(reason));
            }
        }
        Ok(all)
    }

    fn unreachable(&self, error: OutboundError) -> AdminClientError {
        AdminClientError::Unreachable {
            server: self.base.to_string(),
            error,
        }
    }

    fn not_ours(&self, reason: String) -> AdminClientError {
        AdminClientError::NotOurs {
            server: self.base.to_string(),
            reason,
        }
    }
}
