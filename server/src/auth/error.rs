//! Why an auth token gives no identity.
//!
//! Every refusal has a code that clients know, a full sentence for a developer's log, and a redacted sentence. The
//! redacted one names no configured provider, and nothing taken from the token.

use std::time::Duration;

use super::config::ProviderKind;
use super::fetch::FetchError;
use crate::clock::UnixNanos;

/// Longest piece of a token that a full message quotes, in characters.
const QUOTED_CHARS_MAX: usize = 64;

/// A refused auth token, or a provider that could not be asked about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read as a token that names an issuer.
    #[error("Could not read the auth token: {0}")]
    Malformed(TokenFault),
    /// No configured provider has its issuer and audience.
    #[error(
        "No auth provider found matching the given token: it has issuer {} and {}. {}",
        quoted(issuer),
        audience_text(audience),
        providers_text(providers)
    )]
    NoProvider {
        /// The token's `iss`.
        issuer: String,
        /// The token's audiences.
        audience: Vec<String>,
        /// The configured providers, one phrase each.
        providers: Vec<String>,
    },
    /// It was verified, and its provider is configured no more.
    #[error("The auth provider of this token is not one of this deployment any more.")]
    ProviderGone,
    /// Its provider's rules refuse it.
    #[error("Could not verify the auth token: {fault}")]
    Rejected {
        /// The kind of the provider whose rules refused it; it decides the code.
        kind: ProviderKind,
        /// Which rule.
        fault: TokenFault,
    },
    /// It was valid and has expired since.
    #[error("The auth token has expired: authenticate again with a fresh one.")]
    Expired,
    /// The provider could not be asked for its keys, so nothing is known about the token. Trying again may help; the
    /// client that presented it must not be signed out.
    #[error("Could not reach the auth provider {issuer} for its keys: {reason}")]
    ProviderUnavailable {
        /// The configured issuer.
        issuer: String,
        /// The failure.
        reason: FetchError,
    },
}

impl TokenError {
    /// The code that clients see.
    pub fn code(&self) -> &'static str {
        match self {
            TokenError::Malformed(_) => "InvalidAuthHeader",
            TokenError::NoProvider { .. } | TokenError::ProviderGone => "NoAuthProvider",
            TokenError::Rejected { kind, .. } => match kind {
                ProviderKind::Oidc => "Unauthenticated",
                ProviderKind::CustomJwt => "InvalidAuthHeader",
            },
            TokenError::Expired => "TokenExpired",
            TokenError::ProviderUnavailable { .. } => "AuthProviderDiscoveryFailed",
        }
    }

    /// The full sentence, for developers.
    pub fn message(&self) -> String {
        self.to_string()
    }

    /// The sentence for a client: the full one unless errors are to be redacted.
    pub fn client_message(&self, redact: bool) -> String {
        match redact {
            true => self.redacted_message(),
            false => self.message(),
        }
    }

    /// The sentence for every client: nothing from the configuration, nothing from the token.
    pub fn redacted_message(&self) -> String {
        match self {
            TokenError::Malformed(fault) => {
                format!("Could not read the auth token: {}", fault.redacted())
            }
            TokenError::NoProvider { .. } => {
                "No auth provider found matching the given token.".to_owned()
            }
            TokenError::Rejected { fault, .. } => {
                format!("Could not verify the auth token: {}", fault.redacted())
            }
            TokenError::Expired | TokenError::ProviderGone => self.to_string(),
            TokenError::ProviderUnavailable { .. } => {
                "Could not reach the auth provider for its keys: try again in a moment.".to_owned()
            }
        }
    }
}

/// A fault of an auth token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    #[error("it is longer than {limit} bytes.")]
    TooLong { limit: usize },
    #[error("a signed JWT has three parts with a point between them, and this has {parts}.")]
    NotThreeParts { parts: usize },
    #[error("its {part} is not canonical unpadded base64url.")]
    NotBase64Url { part: &'static str },
    #[error("its {part} is not one JSON object with distinct keys.")]
    NotJsonObject { part: &'static str },
    #[error("it has no \"iss\" claim of type string.")]
    IssuerMissing,
    #[error("its header has no \"alg\" of type string.")]
    AlgorithmMissing,
    #[error(
        "it is signed with {}, and its provider allows {allowed} only.",
        quoted(found)
    )]
    AlgorithmNotAllowed {
        found: String,
        allowed: &'static str,
    },
    #[error("its header has \"crit\", and no extension is understood here.")]
    CriticalExtension,
    #[error("its header has no \"kid\", and its provider needs one.")]
    KeyIdMissing,
    #[error("its \"kid\" is not a short printable string.")]
    KeyIdMalformed,
    #[error("its provider has no key with kid {} that fits.", quoted(kid))]
    UnknownKey { kid: String },
    #[error("it names no key, and its provider has no key that fits.")]
    NoFittingKey,
    #[error("more than one key of its provider fits.")]
    AmbiguousKey,
    #[error("its signature is wrong.")]
    WrongSignature,
    #[error("it has no \"{claim}\" claim.")]
    TimeMissing { claim: &'static str },
    #[error("its \"{claim}\" claim is not a number of seconds since 1970 before the year 10000.")]
    TimeMalformed { claim: &'static str },
    #[error("it has expired: by this server's clock it is {}.", utc(now))]
    Expired { now: UnixNanos },
    #[error("it is not valid yet: by this server's clock it is {}.", utc(now))]
    NotYetValid {
        now: UnixNanos,
        /// How far ahead its beginning lies.
        ahead: Duration,
    },
    #[error("its \"aud\" claim names others than the configured applicationID.")]
    AudienceNotAlone,
    #[error("its \"aud\" claim is not a string or a list of strings.")]
    AudienceMalformed,
    #[error("it has no \"sub\" claim of type string, from 1 to {limit} bytes and without NUL.")]
    SubjectMalformed { limit: usize },
    #[error("its \"iss\" claim is not spelled as the provider's discovery document spells it.")]
    IssuerSpelling,
    #[error("its claims cannot be an identity: {reason}")]
    ClaimsRefused { reason: String },
}

impl TokenFault {
    fn redacted(&self) -> String {
        match self {
            TokenFault::UnknownKey { .. } => "its provider has no key that fits.".to_owned(),
            TokenFault::AlgorithmNotAllowed { .. } => {
                "its provider does not allow its algorithm.".to_owned()
            }
            TokenFault::ClaimsRefused { .. } => "its claims cannot be an identity.".to_owned(),
            other => other.to_string(),
        }
    }
}

/// A moment as text, so that a reader can compare clocks.
fn utc(at: &UnixNanos) -> String {
    let seconds = i64::try_from(at.seconds()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(
        |_| format!("{seconds} s after 1970"),
        |time| time.to_string(),
    )
}

/// A piece of a token in quotes: shortened, and with everything odd escaped.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

fn audience_text(audience: &[String]) -> String {
    match audience {
        [] => "no audience".to_owned(),
        [one] => format!("audience {}", quoted(one)),
        [first, rest @ ..] => format!("audience {} and {} more", quoted(first), rest.len()),
    }
}

fn providers_text(providers: &[String]) -> String {
    if providers.is_empty() {
        "No providers are configured.".to_owned()
    } else {
        format!("Configured providers: {}.", providers.join("; "))
    }
}
