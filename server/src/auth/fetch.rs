//! Asking a provider for its keys over the network, distrustfully.
//!
//! Only addresses from the configuration are asked, and the key address that a configured issuer's own discovery
//! document names. Redirects stay on the same host and scheme. An answer is bounded in bytes and time. What a name
//! resolves to is checked, and the connection goes to the address that was checked.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap};
use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Client, Response};
use serde::Deserialize;
use url::{Host, Url};

use super::config::{Issuer, KeysFrom, is_loopback_url, is_secure};
use super::jwks::KeySet;

/// Longest discovery document or key set, in bytes.
pub const JWKS_BYTES_MAX: usize = 1024 * 1024;
/// Longest time for one fetch, discovery and key set together, in seconds.
pub const FETCH_SECONDS_MAX: u64 = 5;
/// Most redirects that are followed, each on the same host.
const REDIRECTS_MAX: usize = 5;

/// Why a provider's keys could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("no connection to {host}, or it broke.")]
    Unreachable { host: String },
    #[error("no complete answer within {FETCH_SECONDS_MAX} seconds.")]
    TooSlow,
    #[error("it answered with status {status}.")]
    Status { status: u16 },
    #[error("its answer is longer than {JWKS_BYTES_MAX} bytes.")]
    TooLong,
    #[error("its answer is of type {found:?} instead of JSON.")]
    ContentType { found: String },
    #[error("its discovery document is not JSON with \"issuer\" and \"jwks_uri\".")]
    NotDiscovery,
    #[error("its discovery document is of another issuer, {found:?}.")]
    OtherIssuer { found: String },
    #[error("its discovery document names a key address that is not https: {found:?}.")]
    KeyAddress { found: String },
    #[error("its key set cannot be read: {reason}")]
    NotKeySet { reason: String },
    #[error("it redirects to another host, or too often.")]
    Redirect,
    #[error("{host} is at an address of a private or special network.")]
    Address { host: String },
    #[error("this server could not set up a TLS client: {reason}")]
    Client { reason: String },
    #[error("the fetch ended without an answer.")]
    Interrupted,
}

/// Fetched keys, and what the answer said about itself.
#[derive(Debug)]
pub(super) struct FetchedKeys {
    pub keys: KeySet,
    /// The issuer as its discovery document spells it; none without discovery.
    pub issuer: Option<String>,
    /// How long the provider says the answer may be kept.
    pub max_age: Option<Duration>,
}

/// The HTTP clients, made at the first fetch: a deployment without remote providers needs no TLS roots.
pub(super) struct Fetcher {
    configured: OnceLock<Result<Client, FetchError>>,
    named: OnceLock<Result<Client, FetchError>>,
}

/// Why a host is asked at all; it decides where it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// An operator wrote it into the configuration, so it may be in their own network.
    Configured,
    /// A provider's discovery document named it, so it must be on the internet.
    Named,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// An answer read in full.
struct Answer {
    bytes: Vec<u8>,
    content_type: Option<String>,
    max_age: Option<Duration>,
}

impl Fetcher {
    pub fn new() -> Fetcher {
        Fetcher {
            configured: OnceLock::new(),
            named: OnceLock::new(),
        }
    }

    /// Fetches the keys of a provider.
    pub async fn keys(&self, issuer: &Issuer, from: &KeysFrom) -> Result<FetchedKeys, FetchError> {
        let limit = Duration::from_secs(FETCH_SECONDS_MAX);
        let fetched = tokio::time::timeout(limit, self.keys_unlimited(issuer, from));
        fetched.await.unwrap_or(Err(FetchError::TooSlow))
    }

    async fn keys_unlimited(
        &self,
        issuer: &Issuer,
        from: &KeysFrom,
    ) -> Result<FetchedKeys, FetchError> {
        match from {
            KeysFrom::Discovery(address) => self.discovered(issuer, address).await,
            KeysFrom::Address(address) => {
                let answer = self.get(address, Trust::Configured).await?;
                // Without a discovery document before it, the type is the one sign that this is the right address.
                answer.check_type(&["application/json", "application/jwk-set+json"], false)?;
                answer.into_keys(None)
            }
            KeysFrom::Inline(_) => unreachable!("inline keys are never fetched"),
        }
    }

    async fn discovered(&self, issuer: &Issuer, address: &Url) -> Result<FetchedKeys, FetchError> {
        let answer = self.get(address, Trust::Configured).await?;
        answer.check_type(&["application/json"], true)?;
        let discovery: Discovery =
            serde_json::from_slice(&answer.bytes).map_err(|_| FetchError::NotDiscovery)?;
        if !issuer.matches(&discovery.issuer) {
            return Err(FetchError::OtherIssuer {
                found: discovery.issuer,
            });
        }
        let key_address = Url::parse(&discovery.jwks_uri).ok().filter(is_secure);
        let key_address = key_address.ok_or(FetchError::KeyAddress {
            found: discovery.jwks_uri,
        })?;
        let trust = trust_in(&key_address, address);
        let answer = self.get(&key_address, trust).await?;
        answer.check_type(&["application/json", "application/jwk-set+json"], true)?;
        answer.into_keys(Some(discovery.issuer))
    }

    async fn get(&self, address: &Url, trust: Trust) -> Result<Answer, FetchError> {
        check_literal_address(address, trust)?;
        let request = self.client(trust)?.get(address.clone());
        let request = request.header(ACCEPT, "application/json");
        let response = request.send().await.map_err(|e| describe(address, &e))?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status {
                status: response.status().as_u16(),
            });
        }
        read(response, address).await
    }

    fn client(&self, trust: Trust) -> Result<&Client, FetchError> {
        let slot = match trust {
            Trust::Configured => &self.configured,
            Trust::Named => &self.named,
        };
        slot.get_or_init(|| build_client(trust))
            .as_ref()
            .map_err(FetchError::clone)
    }
}

impl Answer {
    fn check_type(&self, allowed: &[&str], may_be_absent: bool) -> Result<(), FetchError> {
        let refused = |found: &str| FetchError::ContentType {
            found: found.to_owned(),
        };
        let Some(content_type) = &self.content_type else {
            return if may_be_absent {
                Ok(())
            } else {
                Err(refused(""))
            };
        };
        let lower = content_type.to_ascii_lowercase();
        let mut pieces = lower.split(';').map(str::trim);
        let is_allowed = pieces.next().is_some_and(|kind| allowed.contains(&kind));
        let is_utf8 = pieces
            .filter_map(|piece| piece.strip_prefix("charset="))
            .all(|charset| charset.trim_matches('"') == "utf-8");
        if is_allowed && is_utf8 {
            Ok(())
        } else {
            Err(refused(content_type))
        }
    }

    fn into_keys(self, issuer: Option<String>) -> Result<FetchedKeys, FetchError> {
        let keys = KeySet::parse(&self.bytes).map_err(|error| FetchError::NotKeySet {
            reason: error.to_string(),
        })?;
        Ok(FetchedKeys {
            keys,
            issuer,
            max_age: self.max_age,
        })
    }
}

/// A key set on the issuer's own host is trusted as the issuer is, and so is everything of a development issuer.
fn trust_in(key_address: &Url, issuer_address: &Url) -> Trust {
    if key_address.host() == issuer_address.host() || is_loopback_url(issuer_address) {
        Trust::Configured
    } else {
        Trust::Named
    }
}

fn build_client(trust: Trust) -> Result<Client, FetchError> {
    Client::builder()
        .user_agent(concat!("vestibule/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(Policy::custom(same_host_only))
        .dns_resolver(Arc::new(CheckedResolver { trust }))
        .build()
        .map_err(|error| FetchError::Client {
            reason: error.to_string(),
        })
}

fn same_host_only(attempt: Attempt) -> Action {
    let place = |url: &Url| {
        (
            url.scheme().to_owned(),
            url.host_str().map(str::to_owned),
            url.port(),
        )
    };
    let first = attempt.previous().first().map(place);
    if first == Some(place(attempt.url())) && attempt.previous().len() <= REDIRECTS_MAX {
        attempt.follow()
    } else {
        attempt.error(FetchError::Redirect)
    }
}

async fn read(mut response: Response, address: &Url) -> Result<Answer, FetchError> {
    let content_type = header(response.headers(), CONTENT_TYPE.as_str());
    let max_age = max_age(response.headers());
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| describe(address, &e))? {
        if bytes.len() + chunk.len() > JWKS_BYTES_MAX {
            return Err(FetchError::TooLong);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Answer {
        bytes,
        content_type,
        max_age,
    })
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// The `max-age` of the cache headers; zero when they forbid keeping the answer.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let control = header(headers, CACHE_CONTROL.as_str())?.to_ascii_lowercase();
    let mut directives = control.split(',').map(str::trim);
    if directives
        .clone()
        .any(|it| it == "no-store" || it == "no-cache")
    {
        return Some(Duration::ZERO);
    }
    let seconds = directives.find_map(|it| it.strip_prefix("max-age="))?;
    seconds.parse().ok().map(Duration::from_secs)
}

/// Our own refusals travel inside the library's error; anything else is a broken connection.
fn describe(address: &Url, error: &reqwest::Error) -> FetchError {
    let mut source: Option<&dyn Error> = error.source();
    while let Some(inner) = source {
        if let Some(refusal) = inner.downcast_ref::<FetchError>() {
            return refusal.clone();
        }
        source = inner.source();
    }
    if error.is_redirect() {
        return FetchError::Redirect;
    }
    FetchError::Unreachable {
        host: address.host_str().unwrap_or_default().to_owned(),
    }
}

/// Resolves names, and passes on only addresses that the host may have.
struct CheckedResolver {
    trust: Trust,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let trust = self.trust;
        Box::pin(async move {
            let host = name.as_str();
            let found = tokio::net::lookup_host((host, 0)).await?;
            let allowed: Vec<SocketAddr> = found
                .filter(|address| admits(trust, address.ip(), host == "localhost"))
                .collect();
            if allowed.is_empty() {
                return Err(FetchError::Address {
                    host: host.to_owned(),
                }
                .into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

fn check_literal_address(url: &Url, trust: Trust) -> Result<(), FetchError> {
    let literal = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    // A literal address of this machine can only have been meant as one.
    if admits(trust, literal, true) {
        Ok(())
    } else {
        Err(FetchError::Address {
            host: literal.to_string(),
        })
    }
}

/// Whether a host may be at `address`. `meant_local`: its name says that it is this machine.
fn admits(trust: Trust, address: IpAddr, meant_local: bool) -> bool {
    let address = address.to_canonical();
    match trust {
        // Cloud machines answer credentials at a link-local address; no issuer lives there.
        Trust::Configured if address.is_loopback() => meant_local,
        Trust::Configured => !is_special(address),
        Trust::Named => !is_special(address) && !address.is_loopback() && !is_private(address),
    }
}

/// Addresses at which no server of anyone can be meant.
fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_unspecified()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.octets()[0] == 0
        }
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_unicast_link_local() || v6.is_multicast(),
    }
}

/// Addresses of networks that are not the internet.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let is_shared = a == 100 && (64..128).contains(&b);
            let is_benchmark = a == 198 && (b == 18 || b == 19);
            v4.is_private() || is_shared || is_benchmark || a >= 240
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            // Also the translated forms, which would reach a private IPv4 address by another way.
            let is_translated = first == 0x2002 || (first == 0x64 && v6.segments()[1] == 0xff9b);
            v6.is_unique_local() || is_translated
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_host_must_be_on_the_internet() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.9.9",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
        ] {
            assert!(
                !admits(Trust::Named, address.parse().unwrap(), true),
                "{address}"
            );
        }
        for address in ["9.9.9.9", "2620:fe::fe"] {
            assert!(
                admits(Trust::Named, address.parse().unwrap(), false),
                "{address}"
            );
        }
    }

    #[test]
    fn a_configured_host_may_be_in_the_own_network_but_not_link_local() {
        let admits =
            |text: &str, meant_local| admits(Trust::Configured, text.parse().unwrap(), meant_local);
        assert!(admits("10.1.2.3", false));
        assert!(!admits("169.254.169.254", false));
        assert!(
            !admits("127.0.0.1", false),
            "a public name rebound to this machine"
        );
        assert!(admits("127.0.0.1", true));
    }

    #[test]
    fn a_key_set_on_another_host_is_trusted_less_than_the_issuer() {
        let url = |text: &str| Url::parse(text).unwrap();
        let issuer = url("https://accounts.example.com/.well-known/openid-configuration");
        assert_eq!(
            trust_in(&url("https://accounts.example.com/k"), &issuer),
            Trust::Configured
        );
        assert_eq!(
            trust_in(&url("https://keys.example.com/k"), &issuer),
            Trust::Named
        );
        let literal = url("https://10.0.0.1/k");
        assert!(check_literal_address(&literal, Trust::Named).is_err());
        assert!(check_literal_address(&literal, Trust::Configured).is_ok());
    }

    #[test]
    fn cache_headers_are_read() {
        let age = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, value.parse().unwrap());
            max_age(&headers)
        };
        assert_eq!(age("public, max-age=600"), Some(Duration::from_secs(600)));
        assert_eq!(age("no-store, max-age=600"), Some(Duration::ZERO));
        assert_eq!(age("public"), None);
        assert_eq!(max_age(&HeaderMap::new()), None);
    }
}
