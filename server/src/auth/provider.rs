//! A configured provider at work: its rules, and the keys it verifies with.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::config::{KeysFrom, ProviderConfig};
use super::error::TokenError;
use super::fetch::{FetchError, FetchedKeys, Fetcher};
use super::jwks::KeySet;
use super::key_cache::KeyCache;
use super::token::Token;
use crate::clock::Clock;
use crate::sampled::Sampled;

/// One configured provider.
pub(super) struct Provider {
    pub config: ProviderConfig,
    /// Cancelled when it is configured no more.
    pub gone: CancellationToken,
    keys: Keys,
    clock: Arc<dyn Clock>,
    clock_warnings: Sampled,
}

/// A smaller difference of clocks is ordinary and is not logged.
const CLOCK_DIFFERENCE_MIN: Duration = Duration::from_secs(5);

enum Keys {
    Inline(Arc<KeySet>),
    Remote(Box<KeyCache>),
}

/// The state of a provider's keys, for health checks and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderHealth {
    /// The configured issuer.
    pub issuer: String,
    pub keys: KeysState,
    /// How many keys are usable.
    pub usable_keys: usize,
    /// Why the last fetch failed; none when it did not.
    pub failing: Option<FetchError>,
    /// Tokens that were verified with keys past their age because the provider could not be asked.
    pub stale_uses: u64,
    /// Fetches begun since the start.
    pub fetches: u64,
}

/// Whether a provider's tokens can be verified now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysState {
    /// They stand in the configuration.
    Inline,
    /// Nothing was fetched yet: no token asked for it, or no fetch succeeded.
    Unknown,
    /// Fetched, and within their age.
    Fresh,
    /// Past their age by now; they serve on while the provider cannot be asked.
    Stale {
        /// Time since they were fetched.
        age: Duration,
    },
}

/// Keys to look for a token's key in.
pub(super) enum KeysInUse {
    Inline(Arc<KeySet>),
    Fetched(Arc<FetchedKeys>),
}

impl Provider {
    pub fn new(config: ProviderConfig, fetcher: Arc<Fetcher>, clock: Arc<dyn Clock>) -> Provider {
        let keys = match &config.keys {
            KeysFrom::Inline(inline) => Keys::Inline(inline.keys.clone()),
            KeysFrom::Remote(remote) => {
                let (issuer, remote) = (config.issuer.clone(), remote.clone());
                let cache = KeyCache::new(issuer, remote, fetcher, clock.clone());
                Keys::Remote(Box::new(cache))
            }
        };
        Provider {
            config,
            gone: CancellationToken::new(),
            keys,
            clock,
            clock_warnings: Sampled::default(),
        }
    }

    /// Says, once a minute, that a token came from the future: one of the two clocks is wrong.
    pub fn clock_difference(&self, ahead: Duration) {
        if ahead < CLOCK_DIFFERENCE_MIN {
            return;
        }
        if let Some(left_out) = self.clock_warnings.pass(self.clock.elapsed()) {
            tracing::warn!(
                issuer = self.config.issuer(),
                seconds = ahead.as_secs(),
                left_out,
                "this server's clock is behind the auth provider's; synchronize it"
            );
        }
    }

    /// Whether `token` says that it is of this provider, and for this deployment.
    pub fn is_meant_by(&self, token: &Token<'_>) -> bool {
        let audience_fits = match &self.config.application_id {
            Some(id) => token.audience.contains(id),
            None => true,
        };
        audience_fits && self.config.issuer.matches(&token.issuer)
    }

    /// The keys in which a token's key is to be looked for. An unknown key id asks the provider once more; that
    /// may take some seconds when it was asked just now.
    pub async fn keys_for(&self, key_id: Option<&str>) -> Result<KeysInUse, TokenError> {
        let cache = match &self.keys {
            Keys::Inline(keys) => return Ok(KeysInUse::Inline(keys.clone())),
            Keys::Remote(cache) => cache,
        };
        let unavailable = |reason: FetchError| TokenError::ProviderUnavailable {
            issuer: self.config.issuer().to_owned(),
            reason,
        };
        let current = cache.current().await.map_err(unavailable)?;
        if !current.keys.lacks(key_id) {
            return Ok(KeysInUse::Fetched(current));
        }
        let newest = cache.search(key_id).await.map_err(unavailable)?;
        Ok(KeysInUse::Fetched(newest))
    }

    pub fn health(&self) -> ProviderHealth {
        let issuer = self.config.issuer().to_owned();
        match &self.keys {
            Keys::Inline(keys) => ProviderHealth {
                issuer,
                keys: KeysState::Inline,
                usable_keys: keys.len(),
                failing: None,
                stale_uses: 0,
                fetches: 0,
            },
            Keys::Remote(cache) => {
                let report = cache.report();
                ProviderHealth {
                    issuer,
                    keys: match report.age {
                        None => KeysState::Unknown,
                        Some((_, true)) => KeysState::Fresh,
                        Some((age, false)) => KeysState::Stale { age },
                    },
                    usable_keys: report.keys,
                    failing: report.failing,
                    stale_uses: report.stale_uses,
                    fetches: report.fetches,
                }
            }
        }
    }
}

impl KeysInUse {
    pub fn keys(&self) -> &KeySet {
        match self {
            KeysInUse::Inline(keys) => keys,
            KeysInUse::Fetched(fetched) => &fetched.keys,
        }
    }

    /// The issuer as the provider spells it itself, where it says so.
    pub fn issuer(&self) -> Option<&str> {
        match self {
            KeysInUse::Inline(_) => None,
            KeysInUse::Fetched(fetched) => fetched.issuer.as_deref(),
        }
    }
}
