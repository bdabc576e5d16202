//! Document ids: a table number, sixteen opaque bytes and a checksum, written in base32.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::table::Table;
use crate::value::Value;

/// Bytes of an [`InternalId`].
pub const INTERNAL_ID_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 2;
const TABLE_NUMBER_BYTES_MAX: usize = 5;
const ID_BYTES_MAX: usize = TABLE_NUMBER_BYTES_MAX + INTERNAL_ID_BYTES + CHECKSUM_BYTES;
const ID_TEXT_LENGTH_MIN: usize = 31;
const ID_TEXT_LENGTH_MAX: usize = 37;
/// Mixed into the checksum, so that an id of another format fails it.
const ID_VERSION: u16 = 0;

/// Crockford's alphabet in lower case. Without look-alikes: each id has one spelling.
static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification
        .symbols
        .push_str("0123456789abcdefghjkmnpqrstvwxyz");
    specification
        .encoding()
        .expect("32 distinct symbols make an encoding")
});

/// The number of a table, which its documents' ids carry. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableNumber(NonZeroU32);

impl TableNumber {
    /// The number the first user table gets; the numbers below it are not for user tables.
    pub const FIRST_USER: TableNumber = TableNumber(NonZeroU32::new(10_001).expect("not zero"));

    /// The first number of tables that no client sees: a server fills them, or clears them away. All others lie below it.
    pub const FIRST_HIDDEN: TableNumber = TableNumber(NonZeroU32::new(1 << 31).expect("not zero"));

    /// The table number `number`, unless it is zero.
    pub fn new(number: u32) -> Option<TableNumber> {
        NonZeroU32::new(number).map(TableNumber)
    }

    /// The number itself.
    pub fn get(self) -> u32 {
        self.0.get()
    }

    /// Whether a table of this number is a system table.
    pub fn is_system(self) -> bool {
        self < TableNumber::FIRST_USER
    }

    /// Whether a table of this number is seen by no client.
    pub fn is_hidden(self) -> bool {
        self >= TableNumber::FIRST_HIDDEN
    }
}

impl fmt::Display for TableNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The part of a document id that tells apart the documents of a table. Opaque: only its maker knows its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InternalId(pub [u8; INTERNAL_ID_BYTES]);

impl InternalId {
    /// A new id from randomness and the day it is made on, in days since 1970-01-01.
    pub fn from_random(random: [u8; 14], day: u16) -> InternalId {
        let mut bytes = [0; INTERNAL_ID_BYTES];
        bytes[..14].copy_from_slice(&random);
        bytes[14..].copy_from_slice(&day.to_be_bytes());
        InternalId(bytes)
    }
}

/// The id of a document. `T` is the table's type where it is known, `()` where it is not; it is not checked here.
///
/// ```
/// use vestibule_schema::{DocumentId, TableNumber};
///
/// let id: DocumentId = "j57004926d25askqh2ctneycvqqfznw8".parse()?;
/// assert_eq!(id.table(), TableNumber::FIRST_USER);
/// assert_eq!(id.to_string(), "j57004926d25askqh2ctneycvqqfznw8");
/// # Ok::<(), vestibule_schema::IdError>(())
/// ```
pub struct DocumentId<T: ?Sized = ()> {
    table: TableNumber,
    internal: InternalId,
    // A function's result: the id owns no `T`, and is `Send` and `Sync` whatever `T` is.
    document: PhantomData<fn() -> Box<T>>,
}

impl<T: ?Sized> DocumentId<T> {
    /// The id of the document `internal` of the table `table`.
    pub fn new(table: TableNumber, internal: InternalId) -> DocumentId<T> {
        DocumentId {
            table,
            internal,
            document: PhantomData,
        }
    }

    /// How many characters its text has.
    pub fn text_len(self) -> usize {
        let table_bytes = write_varint(self.table.get(), &mut [0; ID_BYTES_MAX]);
        BASE32.encode_len(table_bytes + INTERNAL_ID_BYTES + CHECKSUM_BYTES)
    }

    /// The number of the document's table.
    pub fn table(self) -> TableNumber {
        self.table
    }

    /// Which document of its table this is.
    pub fn internal(self) -> InternalId {
        self.internal
    }

    /// The same id without its table's type.
    pub fn untyped(self) -> DocumentId {
        DocumentId::new(self.table, self.internal)
    }
}

/// Why a text is not a document id.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum IdError {
    #[error("Invalid ID length {0}")]
    Length(usize),
    #[error("ID wasn't valid base32")]
    Base32,
    #[error("Invalid table number")]
    TableNumber,
    #[error("Invalid ID version {found} (expected {ID_VERSION})")]
    Version { found: u16 },
}

impl<T: ?Sized> fmt::Display for DocumentId<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; ID_BYTES_MAX];
        let table_end = write_varint(self.table.get(), &mut bytes);
        let internal_end = table_end + INTERNAL_ID_BYTES;
        bytes[table_end..internal_end].copy_from_slice(&self.internal.0);
        let checksum = fletcher16(&bytes[..internal_end]) ^ ID_VERSION;
        let end = internal_end + CHECKSUM_BYTES;
        bytes[internal_end..end].copy_from_slice(&checksum.to_le_bytes());

        let mut text = [0; ID_TEXT_LENGTH_MAX];
        let text = &mut text[..BASE32.encode_len(end)];
        BASE32.encode_mut(&bytes[..end], text);
        f.pad(str::from_utf8(text).expect("base32 is ASCII"))
    }
}

impl<T: ?Sized> FromStr for DocumentId<T> {
    type Err = IdError;

    fn from_str(text: &str) -> Result<DocumentId<T>, IdError> {
        if !(ID_TEXT_LENGTH_MIN..=ID_TEXT_LENGTH_MAX).contains(&text.len()) {
            return Err(IdError::Length(text.len()));
        }
        let mut buffer = [0; ID_BYTES_MAX];
        let length = BASE32
            .decode_len(text.len())
            .map_err(|_| IdError::Length(text.len()))?;
        // This also refuses padding bits other than zero.
        let decoded = BASE32.decode_mut(text.as_bytes(), &mut buffer[..length]);
        decoded.map_err(|_| IdError::Base32)?;
        let bytes = &buffer[..length];

        let (table, table_end) = read_varint(bytes).ok_or(IdError::TableNumber)?;
        let rest = &bytes[table_end..];
        let (internal, checksum) = rest
            .split_first_chunk::<INTERNAL_ID_BYTES>()
            .ok_or(IdError::Length(text.len()))?;
        let checksum: [u8; CHECKSUM_BYTES] = checksum
            .try_into()
            .map_err(|_| IdError::Length(text.len()))?;
        let expected = fletcher16(&bytes[..table_end + INTERNAL_ID_BYTES]);
        let version = u16::from_le_bytes(checksum) ^ expected;
        if version != ID_VERSION {
            return Err(IdError::Version { found: version });
        }
        Ok(DocumentId::new(table, InternalId(*internal)))
    }
}

/// Writes `number` as LEB128, low seven bits first, and returns its length in bytes.
fn write_varint(mut number: u32, bytes: &mut [u8; ID_BYTES_MAX]) -> usize {
    let mut length = 0;
    while number >= 0x80 {
        bytes[length] = (number & 0x7f) as u8 | 0x80;
        number >>= 7;
        length += 1;
    }
    bytes[length] = number as u8;
    length + 1
}

/// Reads what [`write_varint`] writes; `None` for zero, for more than 32 bits, and for a form longer than needed.
fn read_varint(bytes: &[u8]) -> Option<(TableNumber, usize)> {
    let mut number: u64 = 0;
    for (position, &byte) in bytes.iter().take(TABLE_NUMBER_BYTES_MAX).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            // A last byte of zero adds nothing, so there is a shorter form (or the number is zero).
            let table = u32::try_from(number).ok().and_then(TableNumber::new)?;
            return (byte != 0).then_some((table, position + 1));
        }
    }
    None
}

/// Fletcher's checksum with modulus 256: the low byte sums the bytes, the high byte sums those sums.
fn fletcher16(bytes: &[u8]) -> u16 {
    let (low, high) = bytes.iter().fold((0_u8, 0_u8), |(low, high), &byte| {
        let low = low.wrapping_add(byte);
        (low, high.wrapping_add(low))
    });
    u16::from_le_bytes([low, high])
}

// The traits below are written out because deriving them would ask the same of `T`, which an id does not hold.

impl<T: ?Sized> Clone for DocumentId<T> {
    fn clone(&self) -> DocumentId<T> {
        *self
    }
}

impl<T: ?Sized> Copy for DocumentId<T> {}

impl<T: ?Sized> PartialEq for DocumentId<T> {
    fn eq(&self, other: &DocumentId<T>) -> bool {
        (self.table, self.internal) == (other.table, other.internal)
    }
}

impl<T: ?Sized> Eq for DocumentId<T> {}

impl<T: ?Sized> PartialOrd for DocumentId<T> {
    fn partial_cmp(&self, other: &DocumentId<T>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By table number, then by the bytes; within a table this is also the order of the texts.
impl<T: ?Sized> Ord for DocumentId<T> {
    fn cmp(&self, other: &DocumentId<T>) -> Ordering {
        (self.table, self.internal).cmp(&(other.table, other.internal))
    }
}

impl<T: ?Sized> Hash for DocumentId<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.table, self.internal).hash(state);
    }
}

impl<T: ?Sized> fmt::Debug for DocumentId<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DocumentId({self})")
    }
}

impl<T: ?Sized> From<DocumentId<T>> for Value {
    fn from(id: DocumentId<T>) -> Value {
        Value::String(id.to_string())
    }
}

impl<T: ?Sized> Serialize for DocumentId<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The name a typed id asks a deserializer for, before it asks for one of its table's name. So a traced type tells the
/// table of its ids. Formats like JSON see the text alone.
pub(crate) const TYPED_ID: &str = "$vestibule::DocumentId";

/// The types of a document id: a [`Table`](crate::Table), or `()` when the table is not known.
pub trait IdOf {
    /// The table's name, where it is known.
    const TABLE: Option<&'static str>;
}

impl IdOf for () {
    const TABLE: Option<&'static str> = None;
}

impl<T: Table> IdOf for T {
    const TABLE: Option<&'static str> = Some(T::NAME);
}

impl<'de, T: IdOf + ?Sized> Deserialize<'de> for DocumentId<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DocumentId<T>, D::Error> {
        match T::TABLE {
            Some(_) => {
                deserializer.deserialize_newtype_struct(TYPED_ID, TypedIdVisitor(PhantomData))
            }
            None => deserializer.deserialize_str(IdVisitor(PhantomData)),
        }
    }
}

/// Asks for the name of the table in its turn.
struct TypedIdVisitor<T: ?Sized>(PhantomData<fn() -> Box<T>>);

impl<'de, T: IdOf + ?Sized> de::Visitor<'de> for TypedIdVisitor<T> {
    type Value = DocumentId<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document id")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<DocumentId<T>, D::Error> {
        let table = T::TABLE.expect("an id is read as typed when its table is known");
        deserializer.deserialize_newtype_struct(table, IdVisitor(PhantomData))
    }

    // Buffers, as of a flattened struct, hand the text over at once.
    fn visit_str<E: de::Error>(self, text: &str) -> Result<DocumentId<T>, E> {
        de::Visitor::visit_str(IdVisitor(PhantomData), text)
    }
}

struct IdVisitor<T: ?Sized>(PhantomData<fn() -> Box<T>>);

impl<'de, T: ?Sized> de::Visitor<'de> for IdVisitor<T> {
    type Value = DocumentId<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document id")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<DocumentId<T>, D::Error> {
        deserializer.deserialize_str(self)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<DocumentId<T>, E> {
        let undecodable = |error| E::custom(format_args!("Unable to decode ID: {error}"));
        text.parse().map_err(undecodable)
    }
}

#[cfg(test)]
mod tests;
