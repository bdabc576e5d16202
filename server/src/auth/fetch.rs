//! Asking a provider for its keys over the network, distrustfully.
//!
//! Only addresses from the configuration are asked, and the key address that a configured issuer's own discovery
//! document names. Redirects stay on the same host and scheme. An answer is bounded in bytes and time. The addresses of
//! a name are checked, and the connection goes to a checked address.

use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap};
use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Client, Response};
use serde::Deserialize;
use url::Url;

use super::addresses::{CheckedResolver, Trust, check_literal_address, trust_in};
use super::config::RemoteKeys;
use super::issuer::{Issuer, is_secure};
use super::jwks::KeySet;
use crate::outbound::Own;

/// Longest discovery document or key set, in bytes.
pub const JWKS_BYTES_MAX: usize = 1024 * 1024;
/// Longest time for one fetch, discovery and key set together.
pub const FETCH_TIME_MAX: Duration = Duration::from_secs(5);
/// Most redirects that are followed, each on the same host.
const REDIRECTS_MAX: usize = 5;

/// Why a provider's keys could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("no connection to {host}, or it broke.")]
    Unreachable { host: String },
    #[error("no complete answer in time.")]
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
    #[error(
        "its keys would be fetched from {host} over plain http, which anyone on the way could change."
    )]
    PlainHttp { host: String },
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
    time_limit: Duration,
    /// An issuer that is this server itself is asked without a network.
    own: Arc<Own>,
    configured: OnceLock<Result<Client, FetchError>>,
    named: OnceLock<Result<Client, FetchError>>,
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
    /// A fetcher that gives up after `time_limit`.
    pub fn new(time_limit: Duration, own: Arc<Own>) -> Fetcher {
        Fetcher {
            time_limit,
            own,
            configured: OnceLock::new(),
            named: OnceLock::new(),
        }
    }

    /// Fetches the keys of a provider.
    pub async fn keys(
        &self,
        issuer: &Issuer,
        from: &RemoteKeys,
    ) -> Result<FetchedKeys, FetchError> {
        let fetched = tokio::time::timeout(self.time_limit, self.keys_unlimited(issuer, from));
        fetched.await.unwrap_or(Err(FetchError::TooSlow))
    }

    async fn keys_unlimited(
        &self,
        issuer: &Issuer,
        from: &RemoteKeys,
    ) -> Result<FetchedKeys, FetchError> {
        match from {
            RemoteKeys::Discovery(address) => self.discovered(issuer, address).await,
            RemoteKeys::Address(address) => {
                let answer = self.get(address, Trust::Configured).await?;
                // Without a discovery document before it, the type is the one sign that this is the right address.
                answer.check_type(&["application/json", "application/jwk-set+json"], false)?;
                answer.into_keys(None)
            }
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
        let is_ours =
            |key_address: &Url| self.own.leads_here(address) && self.own.leads_here(key_address);
        let is_safe = |key_address: &Url| is_secure(key_address) || is_ours(key_address);
        let key_address = Url::parse(&discovery.jwks_uri).ok().filter(is_safe);
        let key_address = key_address.ok_or(FetchError::KeyAddress {
            found: discovery.jwks_uri,
        })?;
        let trust = match is_ours(&key_address) {
            true => Trust::Configured,
            false => trust_in(&key_address, address),
        };
        let answer = self.get(&key_address, trust).await?;
        answer.check_type(&["application/json", "application/jwk-set+json"], true)?;
        answer.into_keys(Some(discovery.issuer))
    }

    async fn get(&self, address: &Url, trust: Trust) -> Result<Answer, FetchError> {
        let ours = match trust {
            Trust::Configured => self.own.get(address).await,
            Trust::Named => None,
        };
        let response = match ours {
            Some(response) => response,
            None => self.get_from_afar(address, trust).await?,
        };
        if response.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status {
                status: response.status().as_u16(),
            });
        }
        read(response, address).await
    }

    async fn get_from_afar(&self, address: &Url, trust: Trust) -> Result<Response, FetchError> {
        if !is_secure(address) {
            return Err(FetchError::PlainHttp {
                host: address.host_str().unwrap_or_default().to_owned(),
            });
        }
        check_literal_address(address, trust)?;
        let request = self.client(trust)?.get(address.clone());
        let request = request.header(ACCEPT, "application/json");
        request.send().await.map_err(|e| describe(address, &e))
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

#[cfg(test)]
mod tests {
    use super::*;

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
