//! Which providers may say who someone is.
//!
//! The configuration is the JSON of an `auth.config` file: a list of providers in order, the first that matches a
//! token wins. It is checked whole when it is given, so that a mistake is a sentence at start or at a push instead of
//! a refused login later.

use std::net::IpAddr;
use std::sync::Arc;

use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::Value;
use url::{Host, Url};

use super::jwks::{KeySet, KeySetError};

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
    Rs256,
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
    /// The discovery document under the issuer, then the key set it names.
    Discovery(Url),
    /// A key set at this address.
    Address(Url),
    /// Given in the configuration: no network is needed.
    Inline(InlineKeys),
}

#[derive(Clone, Debug)]
pub(super) struct InlineKeys {
    text: String,
    pub keys: Arc<KeySet>,
}

impl PartialEq for InlineKeys {
    fn eq(&self, other: &InlineKeys) -> bool {
        self.text == other.text
    }
}

impl Eq for InlineKeys {}

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
    /// The code that whoever pushes a configuration sees.
    pub fn code(&self) -> &'static str {
        match self {
            AuthConfigError::Issuer { .. } => "InvalidProviderDomainUrl",
            _ => "InvalidAuthConfig",
        }
    }
}

/// What is wrong with the text of an issuer.
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
        "keys would be fetched over plain http, which anyone on the way could change; http is for loopback addresses."
    )]
    PlainHttp,
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
        let keys = KeysFrom::Discovery(address);
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
            None => KeysFrom::Address(jwks_address(jwks)?),
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
                issuer: issuer.text,
            });
        }
        Ok(ProviderConfig {
            issuer,
            application_id: application_id.map(str::to_owned),
            rules,
            keys,
        })
    }

    fn from_json(position: usize, json: &Value) -> Result<ProviderConfig, AuthConfigError> {
        let not_understood = |error: serde_json::Error| AuthConfigError::Provider {
            position,
            reason: error.to_string(),
        };
        match json.get("type") {
            None => {
                let oidc = OidcJson::deserialize(json).map_err(not_understood)?;
                ProviderConfig::oidc(&oidc.domain, &oidc.application_id)
            }
            Some(kind) if kind == "customJwt" => {
                let custom = CustomJwtJson::deserialize(json).map_err(not_understood)?;
                let algorithm = CustomJwtAlgorithm::parse(&custom.algorithm)?;
                let application_id = custom.application_id.as_deref();
                ProviderConfig::custom_jwt(&custom.issuer, &custom.jwks, algorithm, application_id)
            }
            Some(kind) => Err(AuthConfigError::Provider {
                position,
                reason: format!("its type {kind} is unknown: \"customJwt\", or no type for OIDC."),
            }),
        }
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
        &self.issuer.text
    }

    /// Whether its issuer is this machine, as a development issuer is.
    pub fn is_loopback(&self) -> bool {
        is_loopback_url(&self.issuer.url)
    }

    /// A phrase for the list in a full error message.
    pub(super) fn describe(&self) -> String {
        match &self.application_id {
            Some(id) => format!("{} with applicationID {id:?}", self.issuer.text),
            None => format!("{} with any audience", self.issuer.text),
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
}

/// An issuer as configured: the text with a scheme, otherwise as given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Issuer {
    text: String,
    url: Url,
}

impl Issuer {
    fn parse(given: &str) -> Result<Issuer, AuthConfigError> {
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

    /// Whether this is the issuer that a token's `iss` names: a missing scheme and slashes at the end do not matter,
    /// everything else does.
    pub fn matches(&self, token_issuer: &str) -> bool {
        comparable(&self.text) == comparable(token_issuer)
    }

    fn discovery_address(&self) -> Result<Url, AuthConfigError> {
        let refused = |fault| AuthConfigError::Issuer {
            given: self.text.clone(),
            fault,
        };
        if !is_secure(&self.url) {
            return Err(refused(IssuerFault::PlainHttp));
        }
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

/// Whether what is fetched from `url` cannot be changed on the way.
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
/// top-level domain. No list of those is kept here, since it changes every month: letters (or an encoded
/// international name), at least two, and not one of the reserved names.
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
    if !is_secure(&url) {
        return Err(refused(
            "keys would be fetched over plain http, which anyone on the way could change; http is for loopback addresses.",
        ));
    }
    Ok(url)
}

impl InlineKeys {
    fn parse(issuer: &Issuer, text: String) -> Result<InlineKeys, AuthConfigError> {
        let keys = KeySet::parse(text.as_bytes()).map_err(|error: KeySetError| {
            AuthConfigError::InlineJwks {
                issuer: issuer.text.clone(),
                reason: error.to_string(),
            }
        })?;
        Ok(InlineKeys {
            text,
            keys: Arc::new(keys),
        })
    }

    /// `rest` is what follows `data:`: a media type, perhaps `;base64`, a comma, the payload.
    fn from_data_uri(issuer: &Issuer, rest: &str) -> Result<InlineKeys, AuthConfigError> {
        let refused = |reason: &str| AuthConfigError::InlineJwks {
            issuer: issuer.text.clone(),
            reason: reason.to_owned(),
        };
        let (media_type, payload) = rest
            .split_once(',')
            .ok_or_else(|| refused("the data: URI has no comma before its payload."))?;
        let payload = percent_decoded(payload)
            .ok_or_else(|| refused("the data: URI holds a % without two hexadecimal digits."))?;
        let bytes = if media_type.ends_with(";base64") {
            decode_base64(payload)
                .ok_or_else(|| refused("the payload of the data: URI is not base64."))?
        } else {
            payload
        };
        let text = String::from_utf8(bytes)
            .map_err(|_| refused("the payload of the data: URI is not UTF-8."))?;
        InlineKeys::parse(issuer, text)
    }
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let high = digit(bytes.next()?)?;
        let low = digit(bytes.next()?)?;
        decoded.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(decoded)
}

/// Standard base64, with or without its padding.
fn decode_base64(mut text: Vec<u8>) -> Option<Vec<u8>> {
    while text.len() % 4 != 0 {
        text.push(b'=');
    }
    BASE64.decode(&text).ok()
}
