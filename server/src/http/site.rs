//! Static files of the app, and the answer at `/` without them.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::Http;
use super::respond::{WireError, text, with_type};

/// Pages run their own scripts alone, and may open sockets to this server or to another one.
const PAGE_POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'self'; connect-src 'self' ws: wss:");
/// Kept by browsers, asked about each time: the answer is short when nothing changed.
const KEEP_AND_ASK: HeaderValue = HeaderValue::from_static("no-cache");
const INDEX: &str = "/index.html";
const BANNER: &str = "This Vestibule deployment is running.";

/// One static file.
#[derive(Clone, Debug)]
pub struct Asset {
    /// Where it is served, from the first slash on: `/assets/app.js`. A site's start page is `/index.html`.
    pub path: String,
    /// Its media type, such as `text/html; charset=utf-8`.
    pub content_type: &'static str,
    /// Its content.
    pub bytes: Bytes,
}

/// The files, by path.
pub(super) struct Site(HashMap<String, Served>);

struct Served {
    asset: Asset,
    /// A hash of the bytes.
    tag: HeaderValue,
}

impl Site {
    pub fn new(assets: Vec<Asset>) -> Site {
        let served = |asset: Asset| {
            let tag = format!(
                "\"{}\"",
                HEXLOWER.encode(&Sha256::digest(&asset.bytes)[..16])
            );
            let tag = HeaderValue::try_from(tag).expect("hexadecimal in quotes is a header value");
            (asset.path.clone(), Served { asset, tag })
        };
        Site(assets.into_iter().map(served).collect())
    }

    fn find(&self, path: &str) -> Option<&Served> {
        self.0.get(if path == "/" { INDEX } else { path })
    }
}

/// `GET /`: the site's start page, or a line that says that the server runs.
pub(super) async fn start_page(State(http): State<Arc<Http>>, headers: HeaderMap) -> Response {
    match http.site.find("/") {
        Some(served) => answer(served, &headers),
        None => text(BANNER),
    }
}

/// Requests that no route takes: a file of the site, or nothing.
pub(super) async fn file(
    State(http): State<Arc<Http>>,
    request: Request,
) -> Result<Response, WireError> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    match http.site.find(request.uri().path()) {
        Some(served) if is_read => Ok(answer(served, request.headers())),
        Some(_) => Err(WireError::method_not_allowed()),
        None => Err(WireError::not_found()),
    }
}

fn answer(served: &Served, headers: &HeaderMap) -> Response {
    let is_kept = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|tags| names(tags.as_bytes(), served.tag.as_bytes()));
    let mut response = match is_kept {
        true => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        false => with_type(
            StatusCode::OK,
            served.asset.content_type,
            served.asset.bytes.clone().into(),
        ),
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, served.tag.clone());
    headers.insert(CACHE_CONTROL, KEEP_AND_ASK);
    headers.insert(CONTENT_SECURITY_POLICY, PAGE_POLICY);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Whether a list of tags holds this one, strong or weak.
fn names(tags: &[u8], tag: &[u8]) -> bool {
    let tags = tags.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    tags.map(|found| found.strip_prefix(b"W/").unwrap_or(found))
        .any(|found| found == tag || found == b"*")
}
