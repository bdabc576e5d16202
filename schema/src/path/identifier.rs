//! Identifiers: what may name a table, an index, a function export or a declared field.

use thiserror::Error;

/// The longest identifier, in characters.
pub const IDENTIFIER_LENGTH_MAX: usize = 64;

/// Why a text is not an identifier.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum IdentifierError {
    #[error("Identifier cannot be empty")]
    Empty,
    #[error("Identifier is too long ({length} > maximum {IDENTIFIER_LENGTH_MAX})")]
    TooLong { length: usize },
    #[error(
        "Identifier {identifier} has invalid character '{character}': identifiers start with a letter or underscore \
         and go on with letters, digits and underscores"
    )]
    Character { identifier: String, character: char },
    #[error("Identifier {identifier} cannot have exclusively underscores")]
    OnlyUnderscores { identifier: String },
    #[error(
        "Identifier {identifier} cannot start with an underscore: such names are the server's own"
    )]
    LeadingUnderscore { identifier: String },
}

/// Checks that `text` is an identifier: ASCII letters, digits and underscores, no digit first, at most 64 characters,
/// and something other than underscores.
pub fn check_identifier(text: &str) -> Result<(), IdentifierError> {
    if text.is_empty() {
        return Err(IdentifierError::Empty);
    }
    if text.len() > IDENTIFIER_LENGTH_MAX {
        let length = text.chars().count();
        return Err(IdentifierError::TooLong { length });
    }
    let allowed = |position: usize, c: char| {
        c.is_ascii_alphabetic() || c == '_' || (position > 0 && c.is_ascii_digit())
    };
    if let Some((_, character)) = text.char_indices().find(|&(at, c)| !allowed(at, c)) {
        let identifier = text.to_owned();
        return Err(IdentifierError::Character {
            identifier,
            character,
        });
    }
    if text.bytes().all(|byte| byte == b'_') {
        let identifier = text.to_owned();
        return Err(IdentifierError::OnlyUnderscores { identifier });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_follow_the_rules() {
        for text in ["a", "A9", "_id", "__a__", "_0", &"x".repeat(64)] {
            assert_eq!(check_identifier(text), Ok(()), "{text}");
        }
        for (text, refusal) in [
            ("", "Identifier cannot be empty"),
            (&"x".repeat(70), "Identifier is too long (70 > maximum 64)"),
            ("__", "Identifier __ cannot have exclusively underscores"),
        ] {
            assert_eq!(check_identifier(text).unwrap_err().to_string(), refusal);
        }
        for (text, character) in [
            ("9a", '9'),
            ("a b", ' '),
            ("a-b", '-'),
            ("é", 'é'),
            ("a.b", '.'),
        ] {
            let refusal = check_identifier(text).unwrap_err().to_string();
            let start = format!("Identifier {text} has invalid character '{character}'");
            assert!(refusal.starts_with(&start), "{refusal}");
        }
    }
}
