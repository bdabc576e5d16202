//! Upload tokens: the signed part of an upload URL. The server stores nothing about them. A token is valid because this
//! deployment signed it, for an hour, and for the identity it was made for.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use vestibule_schema::identity::IdentityKey;

use super::error::FileError;
use super::options::UPLOAD_URL_LIFETIME;
use crate::auth::Secret;
use crate::clock::UnixNanos;

/// The first byte of every token.
const VERSION: u8 = 1;
const EXPIRES_AT_BYTES: usize = 8;
const BOUND_TO_BYTES: usize = 16;
const NONCE_BYTES: usize = 8;
const PAYLOAD_BYTES: usize = 1 + EXPIRES_AT_BYTES + BOUND_TO_BYTES + NONCE_BYTES;
const MAC_BYTES: usize = 32;
/// How far ahead a token's end may lie when the clock went back meanwhile.
const CLOCK_SLACK: Duration = Duration::from_secs(300);

/// Makes and checks upload tokens.
pub(super) struct UploadTokens {
    key: Secret<[u8; 32]>,
}

/// The fields of a valid token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadGrant {
    bound_to: [u8; BOUND_TO_BYTES],
}

impl UploadTokens {
    pub fn new(key: Secret<[u8; 32]>) -> UploadTokens {
        UploadTokens { key }
    }

    /// A token for the asker; for any sender when the asker is signed out.
    pub fn mint(
        &self,
        asked_by: Option<&IdentityKey>,
        now: UnixNanos,
        nonce: [u8; NONCE_BYTES],
    ) -> String {
        let expires_at = now.plus(UPLOAD_URL_LIFETIME).0;
        let mut token = Vec::with_capacity(PAYLOAD_BYTES + MAC_BYTES);
        token.push(VERSION);
        token.extend_from_slice(&expires_at.to_be_bytes());
        token.extend_from_slice(&binding(asked_by));
        token.extend_from_slice(&nonce);
        let mac = self.mac(&token).finalize().into_bytes();
        token.extend_from_slice(&mac);
        BASE64URL_NOPAD.encode(&token)
    }

    /// The grant of a token at the moment `now`.
    pub fn check(&self, token: &str, now: UnixNanos) -> Result<UploadGrant, FileError> {
        let token = BASE64URL_NOPAD.decode(token.as_bytes());
        let token = token.map_err(|_| FileError::InvalidToken)?;
        let (payload, mac) = token
            .split_at_checked(PAYLOAD_BYTES)
            .ok_or(FileError::InvalidToken)?;
        // Compares in constant time.
        let genuine = self.mac(payload).verify_slice(mac);
        genuine.map_err(|_| FileError::InvalidToken)?;
        let (version, rest) = payload.split_at(1);
        let (expires_at, rest) = rest.split_at(EXPIRES_AT_BYTES);
        let bound_to = &rest[..BOUND_TO_BYTES];
        if version != [VERSION] {
            return Err(FileError::InvalidToken);
        }
        let expires_at = u64::from_be_bytes(expires_at.try_into().expect("it was cut to size"));
        let latest = now.plus(UPLOAD_URL_LIFETIME).plus(CLOCK_SLACK).0;
        match expires_at > now.0 && expires_at <= latest {
            true => Ok(UploadGrant {
                bound_to: bound_to.try_into().expect("it was cut to size"),
            }),
            false => Err(FileError::TokenExpired),
        }
    }

    fn mac(&self, payload: &[u8]) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(self.key.expose());
        mac.expect("HMAC takes keys of any length")
            .chain_update(payload)
    }
}

impl UploadGrant {
    /// Refuses a sender who is signed in as another identity than the token was made for. A sender without an identity
    /// shows the token alone, as official clients do.
    pub fn check_sender(&self, sender: Option<&IdentityKey>) -> Result<(), FileError> {
        let is_unbound = self.bound_to == [0; BOUND_TO_BYTES];
        let is_same = |sender| self.bound_to == binding(Some(sender));
        match is_unbound || sender.is_none_or(is_same) {
            true => Ok(()),
            false => Err(FileError::InvalidToken),
        }
    }
}

/// Half a hash of an identity; zeros without one.
fn binding(identity: Option<&IdentityKey>) -> [u8; BOUND_TO_BYTES] {
    let Some(identity) = identity else {
        return [0; BOUND_TO_BYTES];
    };
    let hash = Sha256::digest(identity.as_str().as_bytes());
    *hash.first_chunk().expect("a SHA-256 is longer")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixNanos = UnixNanos::from_seconds(1_760_000_000);
    const NONCE: [u8; NONCE_BYTES] = [7; NONCE_BYTES];

    fn tokens(key: u8) -> UploadTokens {
        UploadTokens::new(Secret::new([key; 32]))
    }

    fn identity(subject: &str) -> IdentityKey {
        IdentityKey::new(format!("https://issuer.example|{subject}"))
    }

    #[test]
    fn a_token_is_valid_for_an_hour() {
        let token = tokens(1).mint(None, NOW, NONCE);
        for (seconds, is_valid) in [(0, true), (3_599, true), (3_600, false), (90_000, false)] {
            let now = NOW.plus(Duration::from_secs(seconds));
            let checked = tokens(1).check(&token, now);
            match is_valid {
                true => assert!(checked.is_ok(), "{seconds}"),
                false => assert!(matches!(checked, Err(FileError::TokenExpired)), "{seconds}"),
            }
        }
    }

    #[test]
    fn a_token_of_another_deployment_is_none() {
        let token = tokens(1).mint(None, NOW, NONCE);
        let checked = tokens(2).check(&token, NOW);
        assert!(matches!(checked, Err(FileError::InvalidToken)));
    }

    #[test]
    fn a_token_with_one_changed_character_is_none() {
        let token = tokens(1).mint(Some(&identity("ada")), NOW, NONCE);
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            let checked = tokens(1).check(&changed, NOW);
            assert!(matches!(checked, Err(FileError::InvalidToken)), "{at}");
        }
        for hostile in [
            "",
            "A",
            "../../etc/passwd",
            &token[1..],
            &format!("{token}A"),
            "\u{0}",
        ] {
            let checked = tokens(1).check(hostile, NOW);
            assert!(matches!(checked, Err(FileError::InvalidToken)), "{hostile}");
        }
    }

    #[test]
    fn a_token_serves_whoever_asked_for_it_and_nobody_else() {
        let (ada, eve) = (identity("ada"), identity("eve"));
        let grant = |asked_by: Option<&IdentityKey>| {
            let token = tokens(1).mint(asked_by, NOW, NONCE);
            tokens(1).check(&token, NOW).unwrap()
        };
        assert!(grant(Some(&ada)).check_sender(Some(&ada)).is_ok());
        assert!(grant(Some(&ada)).check_sender(None).is_ok());
        assert!(grant(Some(&ada)).check_sender(Some(&eve)).is_err());
        assert!(grant(None).check_sender(Some(&eve)).is_ok());
    }
}
