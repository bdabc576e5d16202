//! The name of an issuer: what may be configured as one, and when a token's `iss` means the same one.

use std::net::IpAddr;

use url::{Host, Url};

use super::config::AuthConfigError;

/// A fault in the text of an issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerFault {
    #[error("it starts with a quotation mark; remove the quotes around the value.")]
    Quoted,
    #[error("it does not parse as a URL.")]
    NotUrl,
    #[error("its scheme is neither http:// nor https://.")]
    Scheme,
    #[error(
        "it has no scheme, and its host is neither localhost nor a name under a public top-level domain."
    )]
    UnknownTopLevel,
    #[error("a user name, a query or a fragment has no place in it.")]
    Decorated,
    #[error("it holds the character |, which separates issuer and subject in an identity.")]
    Bar,
    #[error(
        "keys would be fetched over plain http, which anyone on the way could change; http is for loopback addresses and this server's own origins."
    )]
    PlainHttp,
}

/// An issuer as configured: the text with a scheme, otherwise as given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Issuer {
    text: String,
    url: Url,
}

impl Issuer {
    pub fn parse(given: &str) -> Result<Issuer, AuthConfigError> {
        Issuer::check(given).map_err(|fault| AuthConfigError::Issuer {
            given: given.to_owned(),
            fault,
        })
    }

    fn check(given: &str) -> Result<Issuer, IssuerFault> {
        if given.starts_with('"') {
            return Err(IssuerFault::Quoted);
        }
        if given.contains('|') {
            return Err(IssuerFault::Bar);
        }
        // The URL parser drops these silently; the text is compared literally, so it would never match a token.
        if given.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(IssuerFault::NotUrl);
        }
        let has_scheme = given.contains("://");
        let text = if has_scheme {
            given.to_owned()
        } else {
            format!("https://{given}")
        };
        let url = Url::parse(&text).map_err(|_| IssuerFault::NotUrl)?;
        // Looked for in the text, not in the URL, because issuers are compared as texts: `HTTPS:` would never match.
        if !(text.starts_with("https://") || text.starts_with("http://")) {
            return Err(IssuerFault::Scheme);
        }
        if !has_scheme && !is_public_name(&url) {
            return Err(IssuerFault::UnknownTopLevel);
        }
        if is_decorated(&url) {
            return Err(IssuerFault::Decorated);
        }
        Ok(Issuer { text, url })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback_url(&self.url)
    }

    /// Whether this is the issuer that a token's `iss` names: a missing scheme and slashes at the end do not matter,
    /// everything else does.
    pub fn matches(&self, token_issuer: &str) -> bool {
        comparable(&self.text) == comparable(token_issuer)
    }

    /// Where its discovery document is.
    pub fn discovery_address(&self) -> Result<Url, AuthConfigError> {
        let refused = |fault| AuthConfigError::Issuer {
            given: self.text.clone(),
            fault,
        };
        let slash = if self.text.ends_with('/') { "" } else { "/" };
        let address = format!("{}{slash}.well-known/openid-configuration", self.text);
        Url::parse(&address).map_err(|_| refused(IssuerFault::NotUrl))
    }
}

/// An issuer in the spelling by which two are compared.
fn comparable(issuer: &str) -> String {
    let has_scheme = issuer.starts_with("https://") || issuer.starts_with("http://");
    let scheme = if has_scheme { "" } else { "https://" };
    format!("{scheme}{}", issuer.trim_end_matches('/'))
}

/// Whether a fetch from `url` cannot be changed on the way.
pub(super) fn is_secure(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback_url(url))
}

/// Whether `url` names this machine.
pub(super) fn is_loopback_url(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

fn is_decorated(url: &Url) -> bool {
    !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
}

/// Top-level names that are set aside and so can never be an issuer on the internet.
const RESERVED_TOP_LEVELS: [&str; 8] = [
    "alt",
    "example",
    "internal",
    "invalid",
    "local",
    "localhost",
    "onion",
    "test",
];

/// Whether a host given without a scheme can be meant as one: `localhost`, or a name whose last label looks like a
/// top-level domain. No list of those is kept here, since it changes every month. A label counts if it has at least two
/// letters (or is an encoded international name) and is not reserved.
fn is_public_name(url: &Url) -> bool {
    let Some(Host::Domain(name)) = url.host() else {
        return false;
    };
    if name == "localhost" {
        return true;
    }
    let Some((_, top_level)) = name.rsplit_once('.') else {
        return false;
    };
    let letters = top_level.len() >= 2 && top_level.bytes().all(|byte| byte.is_ascii_alphabetic());
    (letters || top_level.starts_with("xn--")) && !RESERVED_TOP_LEVELS.contains(&top_level)
}
