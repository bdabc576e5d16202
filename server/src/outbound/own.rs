//! Our own addresses, and the server itself for requests that lead back to it. These need no network, no certificate
//! and no proxy, and reach it through any firewall of the machine.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwap;
use http::{Request, Response};
use url::Url;

use super::clients::ask_ourselves;
use super::{ByteStream, RequestBody};

/// Where clients reach a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// The API.
    pub cloud: String,
    /// The HTTP actions.
    pub site: String,
}

/// The two faces of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// The API.
    Api,
    /// The HTTP actions, at the root.
    Site,
}

/// An answer that comes later.
pub type OwnAnswer = Pin<Box<dyn Future<Output = Response<ByteStream>> + Send>>;

/// The server, asked by itself.
pub trait OwnServer: Send + Sync {
    /// Answers a request whose path begins at the root of `face`. Its address is whole otherwise.
    fn ask(&self, face: Face, path: String, request: Request<Option<ByteStream>>) -> OwnAnswer;
}

/// The addresses that lead back to this server.
#[derive(Default)]
pub struct Own {
    origins: ArcSwap<Origins>,
    /// Where it listens.
    listening: Vec<(Face, Url)>,
    server: OnceLock<Weak<dyn OwnServer>>,
}

/// A place of our own.
pub(crate) struct OwnPlace {
    face: Face,
    path: String,
    server: Arc<dyn OwnServer>,
}

impl Own {
    /// A server that clients reach at `origins`, and that listens at the addresses of `listening`.
    pub fn new(origins: Origins, listening: &Origins) -> Own {
        Own {
            origins: ArcSwap::from_pointee(origins),
            listening: listening.faces(),
            server: OnceLock::new(),
        }
    }

    /// A server that clients reach at `origins` alone.
    pub fn at(origins: Origins) -> Arc<Own> {
        Arc::new(Own::new(origins, &Origins::default()))
    }

    /// Where clients reach it.
    pub fn origins(&self) -> Arc<Origins> {
        self.origins.load_full()
    }

    /// Where clients reach it from now on.
    pub fn set_origins(&self, origins: Origins) {
        self.origins.store(Arc::new(origins));
    }

    /// Hands in the server, once. Until then nothing leads back.
    pub fn answer_by(&self, server: Weak<dyn OwnServer>) {
        let is_first = self.server.set(server).is_ok();
        assert!(is_first, "a server is handed in once");
    }

    /// Whether an address is ours.
    pub fn leads_here(&self, url: &Url) -> bool {
        self.path_of(url).is_some()
    }

    /// Where an address leads that is ours, while the server is there.
    pub(crate) fn place(&self, url: &Url) -> Option<OwnPlace> {
        let server = self.server.get()?.upgrade()?;
        let (face, path) = self.path_of(url)?;
        Some(OwnPlace { face, path, server })
    }

    /// The answer at an address that leads back to this server; `None` at any other.
    pub(crate) async fn get(&self, url: &Url) -> Option<reqwest::Response> {
        let place = self.place(url)?;
        let (method, headers) = (http::Method::GET, http::HeaderMap::new());
        let asked = ask_ourselves(place, url, &method, &headers, RequestBody::Nothing);
        asked.await.ok()
    }

    /// Whether this server is reached at this host and port.
    pub(super) fn is_at(&self, host: &str, port: u16) -> bool {
        let origins = self.origins.load();
        let configured = origins.faces();
        let mut all = configured.iter().chain(&self.listening);
        all.any(|(_, url)| {
            let is_host = url.host_str().map(|own| own.trim_matches(['[', ']'])) == Some(host);
            is_host && url.port_or_known_default() == Some(port)
        })
    }

    /// The longest origin wins: the site may be a path below the API.
    fn path_of(&self, url: &Url) -> Option<(Face, String)> {
        let origins = self.origins.load();
        let configured = origins.faces();
        let all = configured.iter().chain(&self.listening);
        let below = all.filter_map(|(face, base)| Some((*face, base, rest(base, url)?)));
        let (face, _, path) = below.max_by_key(|(_, base, _)| base.path().len())?;
        Some((face, path))
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Own").field(&self.origins()).finish()
    }
}

impl Origins {
    /// Those of a server without an origin for its HTTP actions.
    pub fn below(cloud: impl Into<String>) -> Origins {
        let cloud = cloud.into();
        let site = format!("{cloud}/http");
        Origins { cloud, site }
    }

    fn faces(&self) -> Vec<(Face, Url)> {
        let faces = [(Face::Api, &self.cloud), (Face::Site, &self.site)];
        let parsed = faces.into_iter();
        parsed
            .filter_map(|(face, text)| Some((face, Url::parse(text).ok()?)))
            .collect()
    }
}

impl OwnPlace {
    /// Asks the server.
    pub async fn ask(self, request: Request<Option<ByteStream>>) -> Response<ByteStream> {
        self.server.ask(self.face, self.path, request).await
    }
}

/// The path of `url` below `base`, with its query.
fn rest(base: &Url, url: &Url) -> Option<String> {
    if base.origin() != url.origin() {
        return None;
    }
    let path = url.path().strip_prefix(base.path().trim_end_matches('/'))?;
    let path = match path {
        "" => "/",
        path if path.starts_with('/') => path,
        _ => return None,
    };
    Some(match url.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Own {
        let origins = |cloud: &str, site: &str| Origins {
            cloud: cloud.to_owned(),
            site: site.to_owned(),
        };
        Own::new(
            origins("https://example.com/base", "https://example.com/base/http"),
            &origins("http://127.0.0.1:3210", "http://127.0.0.1:3211"),
        )
    }

    #[test]
    fn an_address_below_one_of_our_origins_leads_to_its_face() {
        let own = own();
        for (address, expected) in [
            (
                "https://example.com/base/api/query?x=1",
                Some((Face::Api, "/api/query?x=1")),
            ),
            ("https://example.com/base", Some((Face::Api, "/"))),
            ("https://example.com/base/http", Some((Face::Site, "/"))),
            (
                "https://EXAMPLE.com:443/base/http/hook/",
                Some((Face::Site, "/hook/")),
            ),
            (
                "https://example.com/base/httpd",
                Some((Face::Api, "/httpd")),
            ),
            ("https://example.com/basement", None),
            ("https://example.com/", None),
            ("http://example.com/base", None),
            ("https://www.example.com/base", None),
            (
                "http://127.0.0.1:3210/version",
                Some((Face::Api, "/version")),
            ),
            ("http://127.0.0.1:3211/hook?", Some((Face::Site, "/hook?"))),
            ("http://127.0.0.1:3212/hook", None),
        ] {
            let found = own.path_of(&Url::parse(address).unwrap());
            let found = found.as_ref().map(|(face, path)| (*face, path.as_str()));
            assert_eq!(found, expected, "{address}");
        }
    }

    #[test]
    fn an_origin_that_changes_is_ours_from_then_on() {
        let own = own();
        let moved = Url::parse("https://moved.example/x").unwrap();
        assert!(!own.leads_here(&moved));
        own.set_origins(Origins {
            cloud: "https://moved.example".to_owned(),
            site: "https://site.moved.example".to_owned(),
        });
        assert!(own.leads_here(&moved));
        assert!(!own.leads_here(&Url::parse("https://example.com/base/x").unwrap()));
        assert!(own.leads_here(&Url::parse("http://127.0.0.1:3210/x").unwrap()));
    }
}
