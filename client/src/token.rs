//! Auth tokens: their sources, and the claims that the client reads. Only the server can verify a token.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use thiserror::Error;
use vestibule_schema::identity::IdentityKey;

/// Gives auth tokens of one person, as long as the person is signed in.
///
/// A function that returns a future is one:
///
/// ```
/// use vestibule_client::{TokenError, TokenSource};
///
/// fn takes(_: impl TokenSource) {}
///
/// takes(|force_refresh: bool| async move {
///     let token = if force_refresh { "a new one" } else { "the one at hand" };
///     Ok::<String, TokenError>(token.to_string())
/// });
/// ```
pub trait TokenSource: Send + Sync + 'static {
    /// A JWT. With `force_refresh` one that is newer than any before, because the one at hand is about to expire or
    /// was rejected.
    ///
    /// A client asks again, with backoff, after [`TokenError::Unavailable`], and ends the login after
    /// [`TokenError::SignedOut`]. In neither case does it go on without an identity.
    fn fetch(&self, force_refresh: bool)
    -> impl Future<Output = Result<String, TokenError>> + Send;
}

impl<F, R> TokenSource for F
where
    F: Fn(bool) -> R + Send + Sync + 'static,
    R: Future<Output = Result<String, TokenError>> + Send,
{
    fn fetch(
        &self,
        force_refresh: bool,
    ) -> impl Future<Output = Result<String, TokenError>> + Send {
        self(force_refresh)
    }
}

/// One token that cannot be refreshed: the login lasts as long as it does.
#[derive(Clone)]
pub struct FixedToken(
    /// The JWT.
    pub String,
);

impl TokenSource for FixedToken {
    async fn fetch(&self, _: bool) -> Result<String, TokenError> {
        Ok(self.0.clone())
    }
}

/// Why a token source has no token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It cannot be reached, say; a later try may succeed.
    #[error("no auth token can be had now: {0}")]
    Unavailable(String),
    /// The person is no longer signed in.
    #[error("the token source says that nobody is signed in")]
    SignedOut,
}

impl TokenError {
    /// Something that a later try may get past.
    pub fn unavailable(trouble: impl fmt::Display) -> TokenError {
        TokenError::Unavailable(trouble.to_string())
    }
}

/// A text that is not a JWT with an issuer and a subject.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the auth token is not a JWT with `iss` and `sub`")]
pub struct UnreadableToken;

type Fetching = Pin<Box<dyn Future<Output = Result<String, TokenError>> + Send>>;

/// Any token source, owned by the worker.
pub(crate) type AnyTokenSource = Arc<dyn Fn(bool) -> Fetching + Send + Sync>;

pub(crate) fn any_source(source: impl TokenSource) -> AnyTokenSource {
    let source = Arc::new(source);
    Arc::new(move |force_refresh| {
        let source = source.clone();
        Box::pin(async move { source.fetch(force_refresh).await })
    })
}

/// A token and what stands in it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub text: String,
    /// The identity that it speaks for.
    pub key: IdentityKey,
    /// How long it lasts from the moment it was read; nothing if it says nothing about that.
    pub lasts: Option<Duration>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    exp: Option<f64>,
    iat: Option<f64>,
}

impl Token {
    /// Reads a token that may have been at hand for a while. Its remaining time is by this machine's clock, but never
    /// more than the whole lifetime it was made with.
    pub fn read(text: String) -> Result<Token, UnreadableToken> {
        Token::read_at(text, Some(now()))
    }

    /// Reads a token that was made just now. Its whole lifetime is before it, whatever this machine's clock says.
    pub fn read_new(text: String) -> Result<Token, UnreadableToken> {
        Token::read_at(text, None)
    }

    /// Reads a token as of `read_at`, or as of its own making.
    fn read_at(text: String, read_at: Option<Duration>) -> Result<Token, UnreadableToken> {
        let mut parts = text.trim().split('.');
        let (Some(_), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(UnreadableToken);
        };
        let json = BASE64URL_NOPAD
            .decode(payload.trim_end_matches('=').as_bytes())
            .map_err(|_| UnreadableToken)?;
        let claims: Claims = serde_json::from_slice(&json).map_err(|_| UnreadableToken)?;
        let lasts = claims.exp.map(|exp| {
            let by_clock = |now: Duration| exp - now.as_secs_f64();
            let seconds = match (claims.iat, read_at) {
                (Some(iat), None) => exp - iat,
                (Some(iat), Some(read_at)) => by_clock(read_at).min(exp - iat),
                (None, read_at) => by_clock(read_at.unwrap_or_else(now)),
            };
            Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
        });
        let key = IdentityKey::new(format!("{}|{}", claims.iss, claims.sub));
        Ok(Token { text, key, lasts })
    }
}

/// This machine's clock, since the Unix epoch.
fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

/// Shows nothing that could be used or that names a person.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("key", &self.key).finish()
    }
}

impl fmt::Debug for FixedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FixedToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> String {
        format!("e30.{}.c2ln", BASE64URL_NOPAD.encode(payload.as_bytes()))
    }

    fn read(payload: &str) -> Result<Token, UnreadableToken> {
        Token::read_at(token(payload), Some(Duration::from_secs(1_000)))
    }

    #[test]
    fn a_token_says_whom_it_speaks_for_and_how_long() {
        let ada = read(r#"{"iss":"https://i","sub":"ada","exp":1060,"iat":990}"#).unwrap();
        assert_eq!(ada.key.as_str(), "https://i|ada");
        assert_eq!(ada.lasts, Some(Duration::from_secs(60)));
        assert_eq!(read(r#"{"iss":"i","sub":"s"}"#).unwrap().lasts, None);
    }

    #[test]
    fn a_clock_that_is_behind_does_not_make_a_token_last_longer_than_it_was_made_for() {
        let ada = read(r#"{"iss":"i","sub":"ada","exp":9060,"iat":9000}"#).unwrap();
        assert_eq!(ada.lasts, Some(Duration::from_secs(60)));
    }

    #[test]
    fn an_expired_token_lasts_no_time() {
        let ada = read(r#"{"iss":"i","sub":"ada","exp":900,"iat":0}"#).unwrap();
        assert_eq!(ada.lasts, Some(Duration::ZERO));
    }

    #[test]
    fn a_new_token_lasts_its_whole_lifetime_whatever_the_clock_says() {
        let payload = r#"{"iss":"i","sub":"ada","exp":160,"iat":100}"#;
        let ada = Token::read_new(token(payload)).unwrap();
        assert_eq!(ada.lasts, Some(Duration::from_secs(60)));
    }

    #[test]
    fn what_is_no_jwt_is_refused() {
        for text in ["", "a.b", "a.b.c.d", "e30.e30.e30", "e30.!.e30"] {
            let read = Token::read_new(text.to_string());
            assert_eq!(read, Err(UnreadableToken), "{text}");
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        let ada = read(r#"{"iss":"i","sub":"ada"}"#).unwrap();
        assert!(!format!("{ada:?}").contains("ada"), "{ada:?}");
    }
}
