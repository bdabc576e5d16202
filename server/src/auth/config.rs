//! The providers that may state an identity.
//!
//! The configuration is the JSON of an `auth.config` file: a list of providers in order, the first that matches a
//! token wins. It is checked whole when it is given. So a mistake is a sentence at start or at a push instead of a
//! refused login later.

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::inline_keys::InlineKeys;
use super::issuer::{Issuer, IssuerFault, is_secure};
use crate::outbound::Own;

/// Most providers of one configuration.
pub const PROVIDERS_MAX: usize = 100;

/// The providers of a deployment, in order of preference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthConfig {
    providers: Vec<ProviderConfig>,
}

/// One provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderConfig {
    pub(super) issuer: Issuer,
    pub(super) application_id: Option<String>,
    pub(super) rules: Rules,
    pub(super) keys: KeysFrom,
    pub(super) needs_provisioning: bool,
}

/// The two kinds of provider, which differ in their rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// An OpenID Connect issuer, found by discovery.
    Oidc,
    /// An issuer of plain JWTs, with a key set of its own.
    CustomJwt,
}

/// The signature algorithm of a customJwt provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustomJwtAlgorithm {
    /// RSA with PKCS #1 padding and SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rules {
    Oidc,
    CustomJwt(CustomJwtAlgorithm),
}

/// Where a provider's keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeysFrom {
    /// The network.
    Remote(RemoteKeys),
    /// The configuration itself.
    Inline(InlineKeys),
}

/// Where on the network a provider's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RemoteKeys {
    /// Named by the discovery document at this address.
    Discovery(Url),
    /// At this address.
    Address(Url),
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthConfigError {
    #[error("The auth configuration is not of the form {{\"providers\": [...]}}: {reason}")]
    NotProviders { reason: String },
    #[error("The auth configuration lists {found} providers, more than {PROVIDERS_MAX}.")]
    TooManyProviders { found: usize },
    #[error("Auth provider {position} is not understood: {reason}")]
    Provider { position: usize, reason: String },
    #[error("The provider domain or issuer {given:?} is refused: {fault}")]
    Issuer { given: String, fault: IssuerFault },
    #[error("The applicationID of the provider {issuer:?} is empty.")]
    EmptyApplicationId { issuer: String },
    #[error("The algorithm {given:?} is not one a customJwt provider may have: RS256 or ES256.")]
    Algorithm { given: String },
    #[error("The jwks address {given:?} is refused: {reason}")]
    JwksAddress { given: String, reason: &'static str },
    #[error("The jwks given inline for the provider {issuer:?} cannot be used: {reason}")]
    InlineJwks { issuer: String, reason: String },
}

impl AuthConfigError {
    /// The code shown to a developer who pushes such a configuration.
    pub fn code(&self) -> &'static str {
        match self {
            AuthConfigError::Issuer { .. } => "InvalidProviderDomainUrl",
            _ => "InvalidAuthConfig",
        }
    }
}

impl AuthConfig {
    /// No providers: every token is refused.
    pub fn none() -> AuthConfig {
        AuthConfig::default()
    }

    /// Adds a provider after the others.
    pub fn with(mut self, provider: ProviderConfig) -> AuthConfig {
        self.providers.push(provider);
        self
    }

    /// Reads `{"providers": [...]}`.
    pub fn from_json(json: &Value) -> Result<AuthConfig, AuthConfigError> {
        let file =
            ConfigJson::deserialize(json).map_err(|error| AuthConfigError::NotProviders {
                reason: error.to_string(),
            })?;
        if file.providers.len() > PROVIDERS_MAX {
            return Err(AuthConfigError::TooManyProviders {
                found: file.providers.len(),
            });
        }
        let providers = file.providers.iter().enumerate();
        let providers = providers.map(|(index, json)| ProviderConfig::from_json(index + 1, json));
        Ok(AuthConfig {
            providers: providers.collect::<Result<_, _>>()?,
        })
    }

    /// Refuses keys that would come over plain http, unless they come from here. Every taker of a configuration calls
    /// this; the fetch itself refuses them too.
    pub fn check_secure(&self, own: &Own) -> Result<(), AuthConfigError> {
        let mut providers = self.providers.iter();
        providers.try_for_each(|provider| provider.check_secure(own))
    }

    /// The providers, in order.
    pub fn providers(&self) -> &[ProviderConfig] {
        &self.providers
    }

    /// Whether no provider is configured.
    pub fn is_empty(&self) -> bool {
        self.providers.is_empty()
    }
}

impl ProviderConfig {
    /// An OpenID Connect provider: tokens of `domain` for `application_id`.
    pub fn oidc(domain: &str, application_id: &str) -> Result<ProviderConfig, AuthConfigError> {
        let issuer = Issuer::parse(domain)?;
        let address = issuer.discovery_address()?;
        let keys = KeysFrom::Remote(RemoteKeys::Discovery(address));
        ProviderConfig::checked(issuer, Some(application_id), Rules::Oidc, keys)
    }

    /// An OpenID Connect provider whose key set is given here as JSON, so that it is never fetched.
    pub fn oidc_with_keys(
        domain: &str,
        application_id: &str,
        jwks: &str,
    ) -> Result<ProviderConfig, AuthConfigError> {
        let issuer = Issuer::parse(domain)?;
        let keys = KeysFrom::Inline(InlineKeys::parse(&issuer, jwks.to_owned())?);
        ProviderConfig::checked(issuer, Some(application_id), Rules::Oidc, keys)
    }

    /// An issuer of plain JWTs. `jwks` is the http(s) address of its key set, or a `data:` URI that holds it.
    /// Without an `application_id` the audience of its tokens is not looked at.
    pub fn custom_jwt(
        issuer: &str,
        jwks: &str,
        algorithm: CustomJwtAlgorithm,
        application_id: Option<&str>,
    ) -> Result<ProviderConfig, AuthConfigError> {
        let issuer = Issuer::parse(issuer)?;
        let keys = match jwks.strip_prefix("data:") {
            Some(rest) => KeysFrom::Inline(InlineKeys::from_data_uri(&issuer, rest)?),
            None => KeysFrom::Remote(RemoteKeys::Address(jwks_address(jwks)?)),
        };
        ProviderConfig::checked(issuer, application_id, Rules::CustomJwt(algorithm), keys)
    }

    fn checked(
        issuer: Issuer,
        application_id: Option<&str>,
        rules: Rules,
        keys: KeysFrom,
    ) -> Result<ProviderConfig, AuthConfigError> {
        if application_id == Some("") {
            return Err(AuthConfigError::EmptyApplicationId {
                issuer: issuer.text().to_owned(),
            });
        }
        Ok(ProviderConfig {
            issuer,
            application_id: application_id.map(str::to_owned),
            rules,
            keys,
            needs_provisioning: true,
        })
    }

    /// The same provider, with identities that need no user document: those of services, say. They pass the gate without
    /// a run of the provisioning function.
    pub fn without_provisioning(self) -> ProviderConfig {
        ProviderConfig {
            needs_provisioning: false,
            ..self
        }
    }

    fn provisioned_as(self, provisioning: Option<bool>) -> ProviderConfig {
        match provisioning {
            Some(false) => self.without_provisioning(),
            Some(true) | None => self,
        }
    }

    fn from_json(position: usize, json: &Value) -> Result<ProviderConfig, AuthConfigError> {
        let not_understood = |error: serde_json::Error| AuthConfigError::Provider {
            position,
            reason: error.to_string(),
        };
        match json.get("type") {
            None => {
                let oidc = OidcJson::deserialize(json).map_err(not_understood)?;
                let provider = ProviderConfig::oidc(&oidc.domain, &oidc.application_id)?;
                Ok(provider.provisioned_as(oidc.provisioning))
            }
            Some(kind) if kind == "customJwt" => {
                let custom = CustomJwtJson::deserialize(json).map_err(not_understood)?;
                let algorithm = CustomJwtAlgorithm::parse(&custom.algorithm)?;
                let application_id = custom.application_id.as_deref();
                let provider = ProviderConfig::custom_jwt(
                    &custom.issuer,
                    &custom.jwks,
                    algorithm,
                    application_id,
                )?;
                Ok(provider.provisioned_as(custom.provisioning))
            }
            Some(kind) => Err(AuthConfigError::Provider {
                position,
                reason: format!("its type {kind} is unknown: \"customJwt\", or no type for OIDC."),
            }),
        }
    }

    fn check_secure(&self, own: &Own) -> Result<(), AuthConfigError> {
        let KeysFrom::Remote(keys) = &self.keys else {
            return Ok(());
        };
        let (RemoteKeys::Discovery(address) | RemoteKeys::Address(address)) = keys;
        if is_secure(address) || own.leads_here(address) {
            return Ok(());
        }
        Err(match keys {
            RemoteKeys::Discovery(_) => AuthConfigError::Issuer {
                given: self.issuer.text().to_owned(),
                fault: IssuerFault::PlainHttp,
            },
            RemoteKeys::Address(address) => AuthConfigError::JwksAddress {
                given: address.to_string(),
                reason: PLAIN_HTTP_KEYS,
            },
        })
    }

    /// Which rules its tokens follow.
    pub fn kind(&self) -> ProviderKind {
        match self.rules {
            Rules::Oidc => ProviderKind::Oidc,
            Rules::CustomJwt(_) => ProviderKind::CustomJwt,
        }
    }

    /// The issuer as configured, with its scheme.
    pub fn issuer(&self) -> &str {
        self.issuer.text()
    }

    /// Whether its issuer is this machine, as a development issuer is.
    pub fn is_loopback(&self) -> bool {
        self.issuer.is_loopback()
    }

    /// A phrase for the list in a full error message.
    pub(super) fn describe(&self) -> String {
        match &self.application_id {
            Some(id) => format!("{} with applicationID {id:?}", self.issuer.text()),
            None => format!("{} with any audience", self.issuer.text()),
        }
    }
}

impl CustomJwtAlgorithm {
    fn parse(text: &str) -> Result<CustomJwtAlgorithm, AuthConfigError> {
        match text {
            "RS256" => Ok(CustomJwtAlgorithm::Rs256),
            "ES256" => Ok(CustomJwtAlgorithm::Es256),
            other => Err(AuthConfigError::Algorithm {
                given: other.to_owned(),
            }),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigJson {
    providers: Vec<Value>,
}

// Unknown fields are refused: a misspelled `applicationID` of a customJwt provider would silently admit every audience.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OidcJson {
    domain: String,
    #[serde(rename = "applicationID")]
    application_id: String,
    provisioning: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CustomJwtJson {
    #[serde(rename = "type")]
    _kind: String,
    issuer: String,
    jwks: String,
    algorithm: String,
    #[serde(rename = "applicationID")]
    application_id: Option<String>,
    provisioning: Option<bool>,
}

const PLAIN_HTTP_KEYS: &str = "keys would be fetched over plain http, which anyone on the way could change; http is for loopback addresses and this server's own origins.";

fn jwks_address(given: &str) -> Result<Url, AuthConfigError> {
    let refused = |reason| AuthConfigError::JwksAddress {
        given: given.to_owned(),
        reason,
    };
    let url = Url::parse(given).map_err(|_| refused("it is neither a URL nor a data: URI."))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused("its scheme is not http, https or data."));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("a user name or password has no place in it."));
    }
    Ok(url)
}
