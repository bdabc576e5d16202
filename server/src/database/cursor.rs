//! Pagination cursors and journals: positions in a query that clients keep and cannot read, forge or move to
//! another query.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};
use vestibule_schema::path::FieldPath;

use super::error::QueryError;
use super::query::{Operator, Query, Source};

/// A position in a query's scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// Strictly behind this index key, in scan direction. The key goes without its index id.
    After(Bytes),
    /// Behind everything.
    End,
}

/// Seals positions into opaque texts. The same position of the same query always gives the same text, so that a
/// result that did not change is recognised as equal.
pub struct CursorSeal {
    key: LessSafeKey,
}

/// Longer cursor texts are refused before they are looked at: this is above any that a document's key can make.
const CURSOR_BYTES_MAX: usize = 16 << 20;
const TAG_AFTER: u8 = 1;
const TAG_END: u8 = 2;
/// The cipher stays safe under a repeated nonce: equal plaintexts give equal texts, as intended here.
const NONCE: [u8; 12] = *b"query cursor";

/// Identifies a query: its table, range, order and operators.
pub(super) type Fingerprint = [u8; 8];

impl CursorSeal {
    /// A seal under a key derived from the deployment's secret, so that cursors outlive restarts.
    pub fn new(deployment_secret: &[u8; 32]) -> CursorSeal {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"vestibule pagination cursors");
        let pseudorandom = salt.extract(deployment_secret);
        let okm = pseudorandom.expand(&[b"aes-256-gcm-siv"], &AES_256_GCM_SIV);
        let key = UnboundKey::from(okm.expect("one key's length can always be expanded"));
        CursorSeal {
            key: LessSafeKey::new(key),
        }
    }

    pub(super) fn seal(&self, fingerprint: Fingerprint, position: &Position) -> String {
        let mut plain = Vec::with_capacity(64);
        plain.extend_from_slice(&fingerprint);
        match position {
            Position::After(key) => {
                plain.push(TAG_AFTER);
                plain.extend_from_slice(key);
            }
            Position::End => plain.push(TAG_END),
        }
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(NONCE),
                Aad::empty(),
                &mut plain,
            )
            .expect("a position is far below the cipher's length limit");
        BASE64URL_NOPAD.encode(&plain)
    }

    pub(super) fn open(
        &self,
        fingerprint: Fingerprint,
        text: &str,
    ) -> Result<Position, QueryError> {
        let plain = self.decrypt(text).ok_or(QueryError::UnreadableCursor)?;
        let parts = plain.split_at_checked(8);
        let (found, position) = parts.ok_or(QueryError::UnreadableCursor)?;
        if found != fingerprint {
            return Err(QueryError::ForeignCursor);
        }
        match position.split_first() {
            Some((&TAG_AFTER, key)) => Ok(Position::After(Bytes::copy_from_slice(key))),
            Some((&TAG_END, [])) => Ok(Position::End),
            _ => Err(QueryError::UnreadableCursor),
        }
    }

    fn decrypt(&self, text: &str) -> Option<Vec<u8>> {
        if text.len() > CURSOR_BYTES_MAX {
            return None;
        }
        let mut sealed = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let nonce = Nonce::assume_unique_for_key(NONCE);
        let length = self
            .key
            .open_in_place(nonce, Aad::empty(), &mut sealed)
            .ok()?
            .len();
        sealed.truncate(length);
        Some(sealed)
    }
}

/// A hash over everything that decides which documents a query gives, and in which order; `fields` are those of the
/// index it scans.
pub(super) fn fingerprint(query: &Query, fields: &[FieldPath]) -> Fingerprint {
    let mut hash = Sha256::new();
    for field in fields {
        hash.update(format!("{field}\0"));
    }
    hash.update(query.table.as_bytes());
    hash.update([0, query.order as u8]);
    match &query.source {
        Source::FullTableScan => hash.update([0]),
        Source::IndexRange { index, bounds } => {
            hash.update(index.as_bytes());
            for bound in bounds {
                hash.update(format!(
                    "\0{:?} {} {:?}",
                    bound.kind, bound.field, bound.value
                ));
            }
        }
        Source::Search { index, filters } => {
            hash.update(index.as_bytes());
            for filter in filters {
                hash.update(format!("\0{filter:?}"));
            }
        }
    }
    for operator in &query.operators {
        match operator {
            Operator::Filter(expression) => hash.update(format!("\0{expression:?}")),
            Operator::Limit(n) => hash.update(format!("\0{n}")),
        }
    }
    *hash
        .finalize()
        .first_chunk()
        .expect("a SHA-256 has more than eight bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_sealing_and_equal_positions_have_equal_texts() {
        let seal = CursorSeal::new(&[7; 32]);
        for position in [Position::End, Position::After(Bytes::from_static(b"key"))] {
            let text = seal.seal([1; 8], &position);
            assert_eq!(seal.open([1; 8], &text).unwrap(), position);
            assert_eq!(CursorSeal::new(&[7; 32]).seal([1; 8], &position), text);
        }
    }

    #[test]
    fn an_altered_foreign_or_otherwise_sealed_cursor_is_refused() {
        let seal = CursorSeal::new(&[7; 32]);
        let text = seal.seal([1; 8], &Position::After(Bytes::from_static(b"key")));
        assert!(seal.open([2; 8], &text).is_err());
        assert!(CursorSeal::new(&[8; 32]).open([1; 8], &text).is_err());
        for at in 0..text.len() {
            let mut altered = text.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            assert!(
                seal.open([1; 8], std::str::from_utf8(&altered).unwrap())
                    .is_err(),
                "at {at}"
            );
        }
        assert!(seal.open([1; 8], "").is_err());
    }
}
