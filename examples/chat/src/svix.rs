//! Signatures of webhooks as Svix makes them, which sends Clerk's. A signature covers a message's id, time and body, by
//! a secret that both sides know.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use vestibule_server::prelude::{HeaderMap, StatusCode};

/// How far the time of a message may be from ours, in both directions. Older messages may be replayed by an attacker.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);
/// Signatures that are looked at: one for each secret that holds while secrets change.
const SIGNATURES_MAX: usize = 16;

/// The secret of one endpoint. It has no text form, so that no log shows it.
pub struct Secret(Vec<u8>);

/// A text that is no secret of an endpoint.
#[derive(Debug, thiserror::Error)]
#[error("it must be `whsec_` and base64 after it, as the endpoint's page shows it")]
pub struct NotASecret;

/// Why a message is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("The header {0} is missing or not text.")]
    HeaderMissing(&'static str),
    #[error("The header svix-timestamp is not a number of seconds.")]
    TimestampUnreadable,
    #[error("The message is more than five minutes old. Send it again.")]
    TooOld,
    #[error("The message is more than five minutes ahead. One of the two clocks is wrong.")]
    TooNew,
    #[error("No signature is of this endpoint's secret and this body.")]
    NotSigned,
}

impl Secret {
    /// Reads a secret as the endpoint's page shows it.
    pub fn parse(text: &str) -> Result<Secret, NotASecret> {
        let encoded = text.trim().strip_prefix("whsec_").ok_or(NotASecret)?;
        let bytes = BASE64.decode(encoded.as_bytes()).map_err(|_| NotASecret)?;
        match bytes.is_empty() {
            true => Err(NotASecret),
            false => Ok(Secret(bytes)),
        }
    }

    /// Whether a message with these headers and this body was signed with the secret, and lately.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Result<(), Refusal> {
        let header = |name| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.ok_or(Refusal::HeaderMissing(name))
        };
        let id = header("svix-id")?;
        let timestamp = header("svix-timestamp")?;
        let signatures = header("svix-signature")?;
        check_time(timestamp, now)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key may have any length");
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        // Compared in a time that does not tell how much of a signature is right.
        let is_ours = |signature: &str| {
            let encoded = signature.strip_prefix("v1,").unwrap_or_default();
            let bytes = BASE64.decode(encoded.as_bytes());
            bytes.is_ok_and(|bytes| mac.clone().verify_slice(&bytes).is_ok())
        };
        let mut signatures = signatures.split_ascii_whitespace().take(SIGNATURES_MAX);
        match signatures.any(is_ours) {
            true => Ok(()),
            false => Err(Refusal::NotSigned),
        }
    }
}

impl Refusal {
    /// The status of the answer to the sender.
    pub fn status(self) -> StatusCode {
        match self {
            Refusal::NotSigned => StatusCode::UNAUTHORIZED,
            Refusal::HeaderMissing(_)
            | Refusal::TimestampUnreadable
            | Refusal::TooOld
            | Refusal::TooNew => StatusCode::BAD_REQUEST,
        }
    }
}

fn check_time(timestamp: &str, now: SystemTime) -> Result<(), Refusal> {
    let seconds: u64 = timestamp
        .parse()
        .map_err(|_| Refusal::TimestampUnreadable)?;
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if seconds.saturating_add(TOLERANCE.as_secs()) < now {
        return Err(Refusal::TooOld);
    }
    if seconds > now.saturating_add(TOLERANCE.as_secs()) {
        return Err(Refusal::TooNew);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use vestibule_server::prelude::HeaderValue;

    use super::*;

    /// The example of Svix's documentation.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SECONDS: u64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn verify(signatures: &str, seconds_later: i64) -> Result<(), Refusal> {
        let headers = headers(ID, &SECONDS.to_string(), signatures);
        let now = SECONDS.checked_add_signed(seconds_later).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(now);
        Secret::parse(SECRET).unwrap().verify(&headers, BODY, now)
    }

    fn headers(id: &str, timestamp: &str, signatures: &str) -> HeaderMap {
        let fields = [
            ("svix-id", id),
            ("svix-timestamp", timestamp),
            ("svix-signature", signatures),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn the_documented_example_is_believed_alone_and_among_others() {
        assert_eq!(verify(SIGNATURE, 0), Ok(()));
        let other = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert_eq!(verify(&format!("{other} {SIGNATURE}"), 0), Ok(()));
        assert_eq!(verify(&format!("v1a,x {SIGNATURE} {other}"), 0), Ok(()));
    }

    #[test]
    fn a_signature_that_differs_at_all_is_none() {
        let bare = &SIGNATURE[3..];
        for signatures in [
            "",
            "v1,",
            "v1",
            bare,
            &SIGNATURE[..SIGNATURE.len() - 1],
            &format!("v2,{bare}"),
            &format!("v1,{}", bare.to_lowercase()),
            &format!("v1,{}", &bare[..20]),
            &format!("{} {SIGNATURE}", "v1,AAAA ".repeat(SIGNATURES_MAX)),
        ] {
            assert_eq!(
                verify(signatures, 0),
                Err(Refusal::NotSigned),
                "{signatures}"
            );
        }
    }

    #[test]
    fn a_message_holds_five_minutes_both_ways() {
        for (later, expected) in [
            (300, Ok(())),
            (301, Err(Refusal::TooOld)),
            (-300, Ok(())),
            (-301, Err(Refusal::TooNew)),
        ] {
            assert_eq!(verify(SIGNATURE, later), expected, "{later}");
        }
        let secret = Secret::parse(SECRET).unwrap();
        for (text, expected) in [
            ("", Refusal::TimestampUnreadable),
            ("soon", Refusal::TimestampUnreadable),
            ("-1", Refusal::TimestampUnreadable),
            ("1614265330.5", Refusal::TimestampUnreadable),
            ("18446744073709551615", Refusal::TooNew),
            ("0", Refusal::TooOld),
        ] {
            let headers = headers(ID, text, SIGNATURE);
            let now = UNIX_EPOCH + Duration::from_secs(SECONDS);
            assert_eq!(secret.verify(&headers, BODY, now), Err(expected), "{text}");
        }
    }

    #[test]
    fn everything_that_is_signed_counts() {
        let secret = Secret::parse(SECRET).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(SECONDS);
        let timestamp = SECONDS.to_string();
        let later = (SECONDS + 1).to_string();
        for (headers, body) in [
            (headers("msg_other", &timestamp, SIGNATURE), BODY),
            (headers(ID, &later, SIGNATURE), BODY),
            (headers(ID, &timestamp, SIGNATURE), &b"{}"[..]),
        ] {
            assert_eq!(secret.verify(&headers, body, now), Err(Refusal::NotSigned));
        }
        let other = Secret::parse("whsec_AAAA").unwrap();
        let headers = headers(ID, &timestamp, SIGNATURE);
        assert_eq!(other.verify(&headers, BODY, now), Err(Refusal::NotSigned));
    }

    #[test]
    fn each_header_is_needed() {
        let secret = Secret::parse(SECRET).unwrap();
        for name in ["svix-id", "svix-timestamp", "svix-signature"] {
            let mut headers = headers(ID, &SECONDS.to_string(), SIGNATURE);
            headers.remove(name);
            let refused = secret.verify(&headers, BODY, UNIX_EPOCH);
            assert_eq!(refused, Err(Refusal::HeaderMissing(name)));
        }
    }

    #[test]
    fn a_secret_is_what_the_endpoints_page_shows() {
        assert!(Secret::parse(&format!(" {SECRET}\n")).is_ok());
        for text in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_not base64",
            "sk_live_x",
        ] {
            assert!(Secret::parse(text).is_err(), "{text}");
        }
    }
}
