//! The server asked by its own functions, and by its own auth room: the same routes, without a network.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::CONTENT_LENGTH;
use axum::http::uri::Scheme;
use axum::http::{self, HeaderValue, Response, Uri};
use axum::response::IntoResponse;
use futures_util::TryStreamExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::Http;
use super::respond::WireError;
use super::routes;
use crate::outbound::{ByteStream, Face, OutboundError, OwnAnswer, OwnServer};

/// Marks a request of our own.
#[derive(Clone, Copy)]
pub(super) struct FromWithin {
    /// Whether its address says https.
    pub is_https: bool,
}

struct Within {
    api: Router,
    site: Router,
}

impl Http {
    /// The server as it asks itself. Its holder keeps the server.
    pub fn within(self: &Arc<Self>) -> Arc<dyn OwnServer> {
        Arc::new(Within {
            api: routes::router(self.clone()),
            site: routes::site_router(self.clone()),
        })
    }
}

impl OwnServer for Within {
    fn ask(
        &self,
        face: Face,
        path: String,
        request: http::Request<Option<ByteStream>>,
    ) -> OwnAnswer {
        let router = match face {
            Face::Api => &self.api,
            Face::Site => &self.site,
        };
        let router = TowerToHyperService::new(router.clone());
        Box::pin(async move {
            let response = match at(path, request) {
                Ok(request) => match router.call(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                },
                Err(error) => error.into_response(),
            };
            read(response)
        })
    }
}

/// The request at a path of the server, as a connection would have brought it.
fn at(path: String, request: http::Request<Option<ByteStream>>) -> Result<Request, WireError> {
    let is_https = request.uri().scheme() == Some(&Scheme::HTTPS);
    let mut request = request.map(|body| body.map_or_else(Body::empty, Body::from_stream));
    *request.uri_mut() = path.parse::<Uri>().map_err(|_| WireError::not_found())?;
    request.extensions_mut().insert(FromWithin { is_https });
    Ok(request)
}

/// The answer as a client would have read it.
fn read(mut response: Response<Body>) -> Response<ByteStream> {
    if let Some(length) = response.body().size_hint().exact() {
        let length = HeaderValue::from(length);
        response
            .headers_mut()
            .entry(CONTENT_LENGTH)
            .or_insert(length);
    }
    response.map(|body| {
        let broken = |error: axum::Error| OutboundError::Body {
            reason: error.to_string(),
        };
        Box::pin(body.into_data_stream().map_err(broken)) as ByteStream
    })
}
