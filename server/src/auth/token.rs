//! An auth token taken apart, before anything in it is believed.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

use super::error::{TokenError, TokenFault};
use super::strict_json;

/// Longest auth token that is looked at, in bytes.
pub const AUTH_TOKEN_BYTES_MAX: usize = 32 * 1024;

/// A token whose three parts could be read. Nothing is verified yet.
pub(super) struct Token<'a> {
    /// Header and payload as they stand in the token: what the signature is over.
    pub signed_text: &'a str,
    /// The signature, in base64url.
    pub signature: &'a str,
    pub header: Map<String, Value>,
    pub claims: Map<String, Value>,
    /// The `iss` claim.
    pub issuer: String,
    pub audience: Audience,
}

/// The `aud` claim.
pub(super) struct Audience {
    /// The audiences that are strings.
    pub names: Vec<String>,
    /// Whether the claim holds anything that is not a string.
    pub malformed: bool,
}

impl<'a> Token<'a> {
    pub fn parse(text: &'a str) -> Result<Token<'a>, TokenError> {
        Token::take_apart(text).map_err(TokenError::Malformed)
    }

    fn take_apart(text: &'a str) -> Result<Token<'a>, TokenFault> {
        if text.len() > AUTH_TOKEN_BYTES_MAX {
            return Err(TokenFault::TooLong {
                limit: AUTH_TOKEN_BYTES_MAX,
            });
        }
        let (header, payload, signature) = three_parts(text)?;
        let header = object_part("header", header)?;
        let claims = object_part("payload", payload)?;
        decode_part("signature", signature)?;
        let Some(Value::String(issuer)) = claims.get("iss") else {
            return Err(TokenFault::IssuerMissing);
        };
        Ok(Token {
            signed_text: &text[..text.len() - signature.len() - 1],
            signature,
            issuer: issuer.clone(),
            audience: Audience::of(claims.get("aud")),
            header,
            claims,
        })
    }
}

impl Audience {
    fn of(claim: Option<&Value>) -> Audience {
        let one = |value: &Value| value.as_str().map(str::to_owned);
        match claim {
            None => Audience {
                names: Vec::new(),
                malformed: false,
            },
            Some(Value::Array(list)) => {
                let names: Vec<String> = list.iter().filter_map(one).collect();
                let malformed = names.len() != list.len();
                Audience { names, malformed }
            }
            Some(value) => Audience {
                names: one(value).into_iter().collect(),
                malformed: !value.is_string(),
            },
        }
    }

    pub fn contains(&self, name: &str) -> bool {
        self.names.iter().any(|audience| audience == name)
    }

    /// Whether it names `name` and nothing else.
    pub fn is_only(&self, name: &str) -> bool {
        !self.malformed && self.contains(name) && self.names.iter().all(|other| other == name)
    }
}

fn three_parts(text: &str) -> Result<(&str, &str, &str), TokenFault> {
    let mut parts = text.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(payload), Some(signature), None) => Ok((header, payload, signature)),
        _ => Err(TokenFault::NotThreeParts {
            parts: text.split('.').count(),
        }),
    }
}

/// Refuses padding, white space, and spare bits that are not zero: each token has exactly one text.
fn decode_part(part: &'static str, text: &str) -> Result<Vec<u8>, TokenFault> {
    BASE64URL_NOPAD
        .decode(text.as_bytes())
        .map_err(|_| TokenFault::NotBase64Url { part })
}

fn object_part(part: &'static str, text: &str) -> Result<Map<String, Value>, TokenFault> {
    let bytes = decode_part(part, text)?;
    strict_json::parse_object(&bytes).map_err(|_| TokenFault::NotJsonObject { part })
}
