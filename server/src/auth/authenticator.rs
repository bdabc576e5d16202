//! The room's front door: credentials in, verified callers out.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::Value as Json;
use tokio_util::sync::CancellationToken;
use vestibule_schema::identity::Identity;

use super::admin::{AdminKeyError, AdminKeys, VerifiedAdmin};
use super::authorization::Credentials;
use super::claims;
use super::config::{AuthConfig, ProviderConfig};
use super::error::TokenError;
use super::failures::{ADMIN_KEY_FAILURES_PER_MINUTE_MAX, AUTH_FAILURES_PER_MINUTE_MAX, Failures};
use super::fetch::{FETCH_TIME_MAX, Fetcher};
use super::provider::{Provider, ProviderHealth};
use super::token::Token;
use super::verify;
use crate::clock::{Clock, UnixNanos};
use crate::outbound::Own;

/// Verifies auth tokens against the configured providers, and admin keys against the deployment's secret.
pub struct Authenticator {
    providers: ArcSwap<Vec<Arc<Provider>>>,
    admin_keys: AdminKeys,
    refused_tokens: Failures,
    refused_keys: Failures,
    fetcher: Arc<Fetcher>,
    clock: Arc<dyn Clock>,
}

/// The front door for one address: an address that fails too often is refused for a while.
#[derive(Clone, Copy)]
pub struct Door<'a> {
    authenticator: &'a Authenticator,
    from: Option<IpAddr>,
}

/// A person whose auth token was verified. Whether their user exists is not known here.
#[derive(Clone, Debug)]
pub struct VerifiedUser {
    /// Their verified claims.
    pub identity: Arc<Identity>,
    /// When the token ends: from this moment on nothing runs as them.
    pub expires_at: UnixNanos,
    /// Whether the provider's identities have user documents to be made. Those of a provider of machines' tokens have
    /// none.
    pub needs_provisioning: bool,
    /// Cancelled when their provider is configured no more: from then on nothing runs as them either.
    pub provider_gone: CancellationToken,
}

/// The kind of caller that verified credentials belong to.
#[derive(Clone, Debug)]
pub enum Verified {
    /// There were none.
    Nobody,
    /// An auth token of this person.
    User(VerifiedUser),
    /// An admin key.
    Admin(VerifiedAdmin),
}

/// Why credentials are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    AdminKey(#[from] AdminKeyError),
    /// They were not even looked at.
    #[error("Too much was refused from this address: try again in a minute.")]
    TooManyFailures,
}

impl VerifyError {
    /// The code that clients see.
    pub fn code(&self) -> &'static str {
        match self {
            VerifyError::Token(error) => error.code(),
            VerifyError::AdminKey(error) => error.code(),
            VerifyError::TooManyFailures => "TooManyAuthFailures",
        }
    }

    /// The sentence for a client.
    pub fn client_message(&self, redact: bool) -> String {
        match self {
            VerifyError::Token(error) => error.client_message(redact),
            VerifyError::AdminKey(_) | VerifyError::TooManyFailures => self.to_string(),
        }
    }

    /// Whether they may be good, and are worth presenting again later.
    pub fn may_pass(&self) -> bool {
        match self {
            VerifyError::Token(error) => matches!(error, TokenError::ProviderUnavailable { .. }),
            VerifyError::AdminKey(error) => matches!(error, AdminKeyError::RevokedUnreadable),
            VerifyError::TooManyFailures => true,
        }
    }
}

impl VerifiedUser {
    /// Refuses a token that has expired since it was verified, or whose provider has gone.
    pub fn check_not_expired(&self, now: UnixNanos) -> Result<(), TokenError> {
        if self.provider_gone.is_cancelled() {
            Err(TokenError::ProviderGone)
        } else if now < self.expires_at {
            Ok(())
        } else {
            Err(TokenError::Expired)
        }
    }
}

impl Verified {
    /// The admin; an error for any other caller.
    pub fn require_admin(self) -> Result<VerifiedAdmin, AdminKeyError> {
        match self {
            Verified::Admin(admin) => Ok(admin),
            Verified::Nobody | Verified::User(_) => Err(AdminKeyError::NotAdmin),
        }
    }
}

impl Authenticator {
    /// A front door for these providers and admin keys. Nothing is fetched until a token needs it.
    /// One that is this server itself, by `own`, is asked without a network.
    pub fn new(
        config: AuthConfig,
        admin_keys: AdminKeys,
        clock: Arc<dyn Clock>,
        own: Arc<Own>,
    ) -> Authenticator {
        let fetcher = Fetcher::new(FETCH_TIME_MAX, own);
        Authenticator::with_fetcher(config, admin_keys, clock, fetcher)
    }

    pub(super) fn with_fetcher(
        config: AuthConfig,
        admin_keys: AdminKeys,
        clock: Arc<dyn Clock>,
        fetcher: Fetcher,
    ) -> Authenticator {
        let keys_max = ADMIN_KEY_FAILURES_PER_MINUTE_MAX;
        let tokens_max = AUTH_FAILURES_PER_MINUTE_MAX;
        let authenticator = Authenticator {
            providers: ArcSwap::default(),
            admin_keys,
            refused_tokens: Failures::new("auth tokens", tokens_max, clock.clone()),
            refused_keys: Failures::new("admin keys", keys_max, clock.clone()),
            fetcher: Arc::new(fetcher),
            clock,
        };
        authenticator.configure(config);
        authenticator
    }

    /// Replaces the providers, as a push does. A provider that is configured as before keeps its keys and its verified
    /// users. Users verified by any other provider are refused from now on.
    pub fn configure(&self, config: AuthConfig) {
        let before = self.providers.load();
        let provider = |config: &ProviderConfig| {
            let kept = before.iter().find(|provider| provider.config == *config);
            kept.cloned().unwrap_or_else(|| {
                let (fetcher, clock) = (self.fetcher.clone(), self.clock.clone());
                Arc::new(Provider::new(config.clone(), fetcher, clock))
            })
        };
        let providers: Vec<Arc<Provider>> = config.providers().iter().map(provider).collect();
        self.providers.store(Arc::new(providers.clone()));
        let is_kept = |old: &&Arc<Provider>| providers.iter().any(|kept| Arc::ptr_eq(kept, old));
        let gone = before.iter().filter(|old| !is_kept(old));
        gone.for_each(|old| old.gone.cancel());
    }

    /// Whether an issuer is a provider's now.
    pub fn trusts(&self, issuer: &str) -> bool {
        let providers = self.providers.load();
        let mut issuers = providers.iter().map(|provider| provider.config.issuer());
        issuers.any(|trusted| trusted == issuer)
    }

    /// The door for clients at this address. Without an address, as for a program in the same process, failures are not
    /// counted.
    pub fn door(&self, from: Option<IpAddr>) -> Door<'_> {
        Door {
            authenticator: self,
            from,
        }
    }

    /// Verifies an auth token. It may wait for the provider's keys, a few seconds at most; checking a signature is
    /// quick enough to happen in place.
    #[tracing::instrument(name = "verify", level = "debug", skip_all)]
    pub async fn verify_user(&self, token: &str) -> Result<VerifiedUser, TokenError> {
        let token = Token::parse(token)?;
        let provider = self.provider_of(&token)?;
        let checked = verify::verify(&provider, &token, self.clock.now()).await?;
        let kind = provider.config.kind();
        let identity = claims::identity(kind, &token.issuer, &checked.subject, &token.claims)
            .map_err(|fault| TokenError::Rejected { kind, fault })?;
        Ok(VerifiedUser {
            identity: Arc::new(identity),
            expires_at: checked.expires_at,
            needs_provisioning: provider.config.needs_provisioning,
            provider_gone: provider.gone.clone(),
        })
    }

    /// Verifies an admin key. `acting_as` are the attributes of a user to act as, if they are not in the key.
    pub fn verify_admin(
        &self,
        key: &str,
        acting_as: Option<&Json>,
    ) -> Result<VerifiedAdmin, AdminKeyError> {
        self.admin_keys.verify(key, acting_as, self.clock.now())
    }

    /// The admin keys, to mint, revoke and check again.
    pub fn admin_keys(&self) -> &AdminKeys {
        &self.admin_keys
    }

    /// The state of each provider's keys, in the order of the configuration.
    pub fn provider_health(&self) -> Vec<ProviderHealth> {
        let providers = self.providers.load();
        providers.iter().map(|provider| provider.health()).collect()
    }

    /// The first provider that a token's issuer and audience match.
    fn provider_of(&self, token: &Token<'_>) -> Result<Arc<Provider>, TokenError> {
        let providers = self.providers.load();
        let is_meant = |provider: &&Arc<Provider>| provider.is_meant_by(token);
        providers
            .iter()
            .find(is_meant)
            .cloned()
            .ok_or_else(|| TokenError::NoProvider {
                issuer: token.issuer.clone(),
                audience: token.audience.names.clone(),
                providers: providers.iter().map(|it| it.config.describe()).collect(),
            })
    }
}

impl Door<'_> {
    /// Verifies whatever a request presented.
    pub async fn verify(self, credentials: &Credentials) -> Result<Verified, VerifyError> {
        match credentials {
            Credentials::Nobody => Ok(Verified::Nobody),
            Credentials::User(token) => Ok(Verified::User(self.verify_user(token.expose()).await?)),
            Credentials::Admin(key) => Ok(Verified::Admin(self.verify_admin(key.expose(), None)?)),
        }
    }

    /// Verifies an auth token, as [`Authenticator::verify_user`] does.
    pub async fn verify_user(self, token: &str) -> Result<VerifiedUser, VerifyError> {
        let failures = &self.authenticator.refused_tokens;
        self.check(failures)?;
        let verified = self.authenticator.verify_user(token).await;
        Ok(verified.inspect_err(|error| match error {
            TokenError::Malformed(_)
            | TokenError::NoProvider { .. }
            | TokenError::Rejected { .. }
            | TokenError::Expired => self.count(failures),
            TokenError::ProviderUnavailable { .. } | TokenError::ProviderGone => {}
        })?)
    }

    /// Verifies an admin key, as [`Authenticator::verify_admin`] does.
    pub fn verify_admin(
        self,
        key: &str,
        acting_as: Option<&Json>,
    ) -> Result<VerifiedAdmin, VerifyError> {
        let failures = &self.authenticator.refused_keys;
        // A valid key passes, however many invalid ones came from its address: see `failures`.
        let verified = self.authenticator.verify_admin(key, acting_as);
        if matches!(verified, Err(AdminKeyError::Invalid)) {
            self.check(failures)?;
            self.count(failures);
        }
        // The holder of a key that has expired, or the like, does not guess.
        Ok(verified?)
    }

    fn check(self, failures: &Failures) -> Result<(), VerifyError> {
        match self.from.is_some_and(|from| failures.are_too_many(from)) {
            true => Err(VerifyError::TooManyFailures),
            false => Ok(()),
        }
    }

    fn count(self, failures: &Failures) {
        if let Some(from) = self.from {
            failures.count(from);
        }
    }
}
