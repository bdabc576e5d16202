//! Key sets that stand in the configuration, as JSON or in a `data:` URI.

use std::sync::Arc;

use data_encoding::BASE64;

use super::config::AuthConfigError;
use super::issuer::Issuer;
use super::jwks::KeySet;

/// A key set and the text it was read from, by which two are compared.
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

impl InlineKeys {
    pub fn parse(issuer: &Issuer, text: String) -> Result<InlineKeys, AuthConfigError> {
        let keys = KeySet::parse(text.as_bytes()).map_err(|error| AuthConfigError::InlineJwks {
            issuer: issuer.text().to_owned(),
            reason: error.to_string(),
        })?;
        Ok(InlineKeys {
            text,
            keys: Arc::new(keys),
        })
    }

    /// `rest` is what follows `data:`: a media type, perhaps `;base64`, a comma, the payload.
    pub fn from_data_uri(issuer: &Issuer, rest: &str) -> Result<InlineKeys, AuthConfigError> {
        let refused = |reason: &str| AuthConfigError::InlineJwks {
            issuer: issuer.text().to_owned(),
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
    while !text.len().is_multiple_of(4) {
        text.push(b'=');
    }
    BASE64.decode(&text).ok()
}
