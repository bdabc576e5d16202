//! Commit timestamps and their form on the wire. Choosing one is the committer's work.

use std::fmt;

use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// A place in the order of commits: nanoseconds since the Unix epoch, at most `i64::MAX`. Zero is before every commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

/// Why a text is not a timestamp.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TimestampError {
    /// Not padded standard base64 of exactly eight bytes.
    #[error("a timestamp is the base64 form of 8 bytes")]
    Malformed,
    /// Eight bytes that lie beyond [`Timestamp::MAX`].
    #[error("the timestamp {0} lies beyond the last one")]
    OutOfRange(u64),
}

impl Timestamp {
    /// Before every commit: what a connection has seen before its first Transition.
    pub const ZERO: Timestamp = Timestamp(0);
    /// The smallest timestamp, the same as [`Timestamp::ZERO`].
    pub const MIN: Timestamp = Timestamp::ZERO;
    /// The largest timestamp: clients keep it in a signed 64-bit number.
    pub const MAX: Timestamp = Timestamp(i64::MAX as u64);

    /// The timestamp right after this one.
    ///
    /// # Panics
    ///
    /// At [`Timestamp::MAX`], which the clock reaches in the year 2262.
    pub fn next(self) -> Timestamp {
        self.checked_next()
            .expect("the commit clock ends in the year 2262")
    }

    /// The timestamp right after this one, or nothing at the end of time.
    pub fn checked_next(self) -> Option<Timestamp> {
        (self < Timestamp::MAX).then(|| Timestamp(self.0 + 1))
    }

    /// The wire form: padded base64 of the eight little-endian bytes, always 12 characters.
    pub fn to_wire(self) -> String {
        let mut out = String::with_capacity(12);
        self.write_wire(&mut out);
        out
    }

    /// Appends the wire form to a text that is being assembled.
    pub fn write_wire(self, out: &mut String) {
        BASE64.encode_append(&self.0.to_le_bytes(), out);
    }

    /// Reads the wire form; any other spelling of the same bytes is refused.
    pub fn from_wire(text: &str) -> Result<Timestamp, TimestampError> {
        // The length is known beforehand, so a long text costs nothing.
        if text.len() != 12 {
            return Err(TimestampError::Malformed);
        }
        let bytes = BASE64
            .decode(text.as_bytes())
            .map_err(|_| TimestampError::Malformed)?;
        let bytes: [u8; 8] = bytes.try_into().map_err(|_| TimestampError::Malformed)?;
        let timestamp = Timestamp(u64::from_le_bytes(bytes));
        if timestamp > Timestamp::MAX {
            return Err(TimestampError::OutOfRange(timestamp.0));
        }
        Ok(timestamp)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_wire())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WireForm;
        impl de::Visitor<'_> for WireForm {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a timestamp in base64")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
                Timestamp::from_wire(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(WireForm)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_wire_form_is_base64_of_little_endian_bytes() {
        assert_eq!(Timestamp::ZERO.to_wire(), "AAAAAAAAAAA=");
        assert_eq!(Timestamp(1).to_wire(), "AQAAAAAAAAA=");
        assert_eq!(Timestamp(1760000000000000100).to_wire(), "ZACw1KzGbBg=");
        assert_eq!(Timestamp::MAX.to_wire(), "/////////38=");
    }

    #[test]
    fn other_spellings_of_a_timestamp_are_refused() {
        for text in [
            "",
            "AQAAAAAAAAA",
            "AQAAAAAAAAB=",
            " AQAAAAAAAAA",
            "_____-____8=",
            "AQAAAAAAAAAA",
            "AQAAAAAAAAAAAAAA",
            "é¨AAAAAAAA==",
        ] {
            assert_eq!(
                Timestamp::from_wire(text),
                Err(TimestampError::Malformed),
                "{text}"
            );
        }
        assert_eq!(
            Timestamp::from_wire("AAAAAAAAAIA="),
            Err(TimestampError::OutOfRange(1 << 63))
        );
    }

    #[test]
    fn a_timestamp_prints_in_decimal_and_travels_as_text() {
        assert_eq!(Timestamp(42).to_string(), "42");
        assert_eq!(
            serde_json::to_string(&Timestamp(1)).unwrap(),
            "\"AQAAAAAAAAA=\""
        );
        assert!(serde_json::from_str::<Timestamp>("1").is_err());
        assert!(serde_json::from_str::<Timestamp>("null").is_err());
    }

    #[test]
    fn the_next_timestamp_follows_until_the_last() {
        assert_eq!(Timestamp::ZERO.next(), Timestamp(1));
        assert_eq!(Timestamp::MAX.checked_next(), None);
    }

    proptest! {
        #[test]
        fn every_timestamp_survives_the_wire(nanos in 0..=i64::MAX as u64) {
            prop_assert_eq!(Timestamp::from_wire(&Timestamp(nanos).to_wire()), Ok(Timestamp(nanos)));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            if let Ok(timestamp) = Timestamp::from_wire(&text) {
                prop_assert_eq!(timestamp.to_wire(), text);
            }
        }
    }
}
