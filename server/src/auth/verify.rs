//! The rules by which a provider's token is believed.
//!
//! Checks that need no provider keys run first, so that a hopeless token costs no request. No
//! claim and no header field is believed before the signature is checked; until then they only ever lead to a refusal.
//! Keys come from the configured provider alone: `jku`, `x5u`, `jwk` and `x5c` in a header are never read.

use std::time::Duration;

use serde_json::{Map, Value};

use super::config::{CustomJwtAlgorithm, ProviderConfig, Rules};
use super::error::{TokenError, TokenFault};
use super::jwks::{KeyChoiceError, KeySet, SignatureAlgorithm};
use super::provider::Provider;
use super::token::Token;
use crate::clock::UnixNanos;

/// How far a provider's clock may run ahead of ours, for `nbf`. Common issuers put it 10 s before `iat`, and machines
/// differ by more. The value of `iat` refuses nothing, as with Convex.
pub const CLOCK_LEEWAY: Duration = Duration::from_secs(60);
/// Longest `sub`, in bytes.
pub const SUBJECT_BYTES_MAX: usize = 1024;
/// Longest `kid` that is looked for, in bytes.
pub const KEY_ID_BYTES_MAX: usize = 1024;
/// The last second that a time claim may name: the end of the year 9999. Milliseconds are beyond it.
const TIME_SECONDS_MAX: f64 = 253_402_300_799.0;

/// The fields of a verified token beside its claims.
#[derive(Debug)]
pub(super) struct Checked {
    pub subject: String,
    pub expires_at: UnixNanos,
    /// How far its `nbf` or `iat` is ahead of this server's clock.
    pub ahead: Duration,
}

/// Verifies `token` by the rules and keys of `provider`.
pub(super) async fn verify(
    provider: &Provider,
    token: &Token<'_>,
    now: UnixNanos,
) -> Result<Checked, TokenError> {
    let rejected = |fault| TokenError::Rejected {
        kind: provider.config.kind(),
        fault,
    };
    let (algorithm, key_id) = check_header(&provider.config, &token.header).map_err(rejected)?;
    let checked = check_claims(&provider.config, token, now);
    if let Err(TokenFault::NotYetValid { ahead, .. }) = &checked {
        provider.clock_difference(*ahead);
    }
    let checked = checked.map_err(rejected)?;
    let keys = provider.keys_for(key_id).await?;
    check_signature(keys.keys(), algorithm, key_id, token).map_err(rejected)?;
    // A discovered issuer is one exact text. The choice of the provider was looser, to give better errors.
    if keys.issuer().is_some_and(|issuer| issuer != token.issuer) {
        return Err(rejected(TokenFault::IssuerSpelling));
    }
    provider.clock_difference(checked.ahead);
    Ok(checked)
}

fn check_header<'a>(
    config: &ProviderConfig,
    header: &'a Map<String, Value>,
) -> Result<(SignatureAlgorithm, Option<&'a str>), TokenFault> {
    let algorithm = check_algorithm(config.rules, header)?;
    // An extension that must be understood and is not: the token's meaning is unknown.
    if header.contains_key("crit") {
        return Err(TokenFault::CriticalExtension);
    }
    let key_id = check_key_id(header)?;
    if key_id.is_none() && matches!(config.rules, Rules::CustomJwt(_)) {
        return Err(TokenFault::KeyIdMissing);
    }
    Ok((algorithm, key_id))
}

fn check_algorithm(
    rules: Rules,
    header: &Map<String, Value>,
) -> Result<SignatureAlgorithm, TokenFault> {
    let Some(Value::String(name)) = header.get("alg") else {
        return Err(TokenFault::AlgorithmMissing);
    };
    let not_allowed = |allowed| TokenFault::AlgorithmNotAllowed {
        found: name.clone(),
        allowed,
    };
    match (rules, name.as_str()) {
        (Rules::Oidc, "RS256") => Ok(SignatureAlgorithm::Rs256),
        (Rules::Oidc, "EdDSA") => Ok(SignatureAlgorithm::EdDsa),
        (Rules::Oidc, _) => Err(not_allowed("RS256 and EdDSA")),
        (Rules::CustomJwt(CustomJwtAlgorithm::Rs256), "RS256") => Ok(SignatureAlgorithm::Rs256),
        (Rules::CustomJwt(CustomJwtAlgorithm::Rs256), _) => Err(not_allowed("RS256")),
        (Rules::CustomJwt(CustomJwtAlgorithm::Es256), "ES256") => Ok(SignatureAlgorithm::Es256),
        (Rules::CustomJwt(CustomJwtAlgorithm::Es256), _) => Err(not_allowed("ES256")),
    }
}

/// The `kid`: a text to compare with, never an address of anything.
fn check_key_id(header: &Map<String, Value>) -> Result<Option<&str>, TokenFault> {
    match header.get("kid") {
        None => Ok(None),
        Some(Value::String(id))
            if id.len() <= KEY_ID_BYTES_MAX && !id.chars().any(char::is_control) =>
        {
            Ok(Some(id))
        }
        Some(_) => Err(TokenFault::KeyIdMalformed),
    }
}

fn check_claims(
    config: &ProviderConfig,
    token: &Token<'_>,
    now: UnixNanos,
) -> Result<Checked, TokenFault> {
    check_audience(config, token)?;
    let claims = &token.claims;
    // No leeway: the same instant ends the token on a running connection.
    let expires_at = time(claims, "exp")?.ok_or(TokenFault::TimeMissing { claim: "exp" })?;
    if now >= expires_at {
        return Err(TokenFault::Expired { now });
    }
    let ahead = ahead_of(now, time(claims, "nbf")?);
    if ahead > CLOCK_LEEWAY {
        return Err(TokenFault::NotYetValid { now, ahead });
    }
    let issued_at = time(claims, "iat")?;
    if issued_at.is_none() && matches!(config.rules, Rules::Oidc) {
        return Err(TokenFault::TimeMissing { claim: "iat" });
    }
    let subject = check_subject(claims)?;
    Ok(Checked {
        subject,
        expires_at,
        ahead: ahead.max(ahead_of(now, issued_at)),
    })
}

/// How far a time claim lies in the future.
fn ahead_of(now: UnixNanos, claim: Option<UnixNanos>) -> Duration {
    claim.map_or(Duration::ZERO, |at| {
        Duration::from_nanos(at.0.saturating_sub(now.0))
    })
}

/// The provider was chosen by the audience already; here the rest of the audience is looked at.
fn check_audience(config: &ProviderConfig, token: &Token<'_>) -> Result<(), TokenFault> {
    let Some(application_id) = &config.application_id else {
        return Ok(());
    };
    match config.rules {
        Rules::Oidc if !token.audience.is_only(application_id) => Err(TokenFault::AudienceNotAlone),
        Rules::CustomJwt(_) if token.audience.malformed => Err(TokenFault::AudienceMalformed),
        Rules::Oidc | Rules::CustomJwt(_) => Ok(()),
    }
}

fn check_subject(claims: &Map<String, Value>) -> Result<String, TokenFault> {
    match claims.get("sub") {
        Some(Value::String(subject))
            if (1..=SUBJECT_BYTES_MAX).contains(&subject.len()) && !subject.contains('\0') =>
        {
            Ok(subject.clone())
        }
        _ => Err(TokenFault::SubjectMalformed {
            limit: SUBJECT_BYTES_MAX,
        }),
    }
}

/// A time claim: a number of seconds, perhaps with a fraction. None when it is absent. Anything else is refused, so
/// that a claim of a wrong type is never taken for an absent one.
fn time(claims: &Map<String, Value>, claim: &'static str) -> Result<Option<UnixNanos>, TokenFault> {
    let Some(value) = claims.get(claim) else {
        return Ok(None);
    };
    let seconds = value
        .as_f64()
        .filter(|it| (0.0..=TIME_SECONDS_MAX).contains(it));
    let seconds = seconds.ok_or(TokenFault::TimeMalformed { claim })?;
    // Both bounds were checked, so the whole seconds and the fraction convert without loss of meaning.
    let whole = UnixNanos::from_seconds(seconds.trunc() as u64);
    Ok(Some(whole.plus(Duration::from_secs_f64(seconds.fract()))))
}

fn check_signature(
    keys: &KeySet,
    algorithm: SignatureAlgorithm,
    key_id: Option<&str>,
    token: &Token<'_>,
) -> Result<(), TokenFault> {
    let key = keys
        .choose(key_id, algorithm)
        .map_err(|error| match (error, key_id) {
            (KeyChoiceError::Ambiguous, _) => TokenFault::AmbiguousKey,
            (_, None) => TokenFault::NoFittingKey,
            (_, Some(kid)) => TokenFault::UnknownKey {
                kid: kid.to_owned(),
            },
        })?;
    if key.verifies(token.signature, token.signed_text) {
        Ok(())
    } else {
        Err(TokenFault::WrongSignature)
    }
}
