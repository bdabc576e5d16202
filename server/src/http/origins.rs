//! Origins of web pages, in the one spelling that browsers send.

use thiserror::Error;
use url::{Host, Url};

/// Why a text is not the origin of a page.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OriginFault {
    #[error("it has no scheme")]
    NoScheme,
    #[error("it does not parse as a URL")]
    NotUrl,
    #[error("an origin ends after its host and port")]
    Path,
    #[error("a host is written out, without a *")]
    Wildcard,
}

/// The spelling in which browsers send an origin: scheme and host in lower case, no default port, nothing behind it.
pub fn normal_origin(text: &str) -> Result<String, OriginFault> {
    let text = text.trim();
    if !text.contains("://") {
        return Err(OriginFault::NoScheme);
    }
    if text.contains('*') {
        return Err(OriginFault::Wildcard);
    }
    let url = Url::parse(text).map_err(|_| OriginFault::NotUrl)?;
    let is_bare = matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !is_bare {
        return Err(OriginFault::Path);
    }
    let origin = url.origin();
    if origin.is_tuple() {
        return Ok(origin.ascii_serialization());
    }
    // Apps in a shell of their own, as `capacitor://localhost`: the standard gives their scheme no origin, they send one.
    match (url.host(), url.port()) {
        (Some(Host::Domain("")) | None, _) => Err(OriginFault::NotUrl),
        (Some(host), port) => {
            let port = port.map_or_else(String::new, |port| format!(":{port}"));
            let host = host.to_string().to_ascii_lowercase();
            Ok(format!("{}://{host}{port}", url.scheme()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_one_spelling() {
        for (text, normal) in [
            ("https://app.example.com", "https://app.example.com"),
            (" HTTPS://App.Example.COM/ ", "https://app.example.com"),
            ("https://app.example.com:443", "https://app.example.com"),
            ("http://localhost:80/", "http://localhost"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("chrome-extension://ABCdef/", "chrome-extension://abcdef"),
        ] {
            assert_eq!(normal_origin(text).as_deref(), Ok(normal), "{text}");
        }
        for (text, fault) in [
            ("app.example.com", OriginFault::NoScheme),
            ("localhost:5173", OriginFault::NoScheme),
            ("null", OriginFault::NoScheme),
            ("https://", OriginFault::NotUrl),
            ("https://a b", OriginFault::NotUrl),
            ("https://app.example.com/path", OriginFault::Path),
            ("https://app.example.com?x", OriginFault::Path),
            ("https://user@app.example.com", OriginFault::Path),
            ("https://*.example.com", OriginFault::Wildcard),
            ("file:///", OriginFault::NotUrl),
        ] {
            assert_eq!(normal_origin(text), Err(fault), "{text}");
        }
    }
}
