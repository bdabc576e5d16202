//! Values as bytes that sort like the values. Index keys are made of them, and documents are stored in them.
//!
//! No encoding is a proper prefix of another, so a key may be several encodings one after another, with any bytes
//! behind them. Each starts with a tag, and tags are in the order of the types:
//!
//! | tag | content |
//! |---|---|
//! | 01 | undefined |
//! | 03 | null |
//! | 04 to 07 | a negative int64 in 8, 4, 2 or 1 big-endian bytes, as few as hold it |
//! | 08 | the int64 zero |
//! | 09 to 0C | a positive int64 in 1, 2, 4 or 8 big-endian bytes, as few as hold it |
//! | 0D | a float64: its big-endian bits, all flipped if negative, else with the sign set |
//! | 0E, 0F | false, true |
//! | 10, 11 | a string, bytes: the content with 00 written 01 01 and 01 written 01 02, then 00 |
//! | 12 | an array: its elements, then 00 |
//! | 15 | an object: each name, ended by 00, then its value; then 00. The empty name is 01 alone |
//!
//! Escaping by 01, not by a byte behind the 00, keeps `"a"` from being a prefix of `"a\0"`. So an index range of the
//! keys that start with one value's encoding holds only that value.

mod object;

use std::borrow::Cow;

use thiserror::Error;

use crate::value::{Object, VALUE_NESTING_MAX, Value, check_field_name};

use object::encode_name;
pub use object::{Patched, encoded_at, encoded_field, patch_encoded, push_encoded};

const UNDEFINED: u8 = 0x01;
const NULL: u8 = 0x03;
const INTEGER_MIN: u8 = 0x04;
const INTEGER_ZERO: u8 = 0x08;
const INTEGER_MAX: u8 = 0x0c;
const FLOAT: u8 = 0x0d;
const FALSE: u8 = 0x0e;
const TRUE: u8 = 0x0f;
const STRING: u8 = 0x10;
const BYTES: u8 = 0x11;
const ARRAY: u8 = 0x12;
const OBJECT: u8 = 0x15;
/// Ends strings, bytes, arrays and objects: below every tag, so that a prefix sorts first.
const END: u8 = 0x00;
/// Before [`ESCAPED_END`] or [`ESCAPED_ESCAPE`]: one byte of content that would otherwise read as a mark.
const ESCAPE: u8 = 0x01;
const ESCAPED_END: u8 = 0x01;
const ESCAPED_ESCAPE: u8 = 0x02;
/// The empty name of a field: above the end of its object, below every other name.
const EMPTY_NAME: u8 = 0x01;
const SIGN: u64 = 1 << 63;

/// Why bytes are not an encoded value. Stored bytes that fail are damaged.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum KeyError {
    #[error("the encoded value ends too early")]
    Truncated,
    #[error("no value starts with the byte {0:#04x}")]
    Tag(u8),
    #[error("an integer is encoded longer than it needs")]
    Integer,
    #[error("a string or bytes has a mark that means nothing")]
    Escape,
    #[error("a string is not UTF-8")]
    Utf8,
    #[error("a field name is not legal")]
    FieldName,
    #[error("the fields of an object are not in ascending order")]
    FieldOrder,
    #[error("undefined inside an array or object")]
    Undefined,
    #[error("containers are nested more than {VALUE_NESTING_MAX} deep")]
    TooNested,
}

/// Appends the encoding of `value`, `None` meaning undefined. Its field names must be legal.
pub fn encode_key(out: &mut Vec<u8>, value: Option<&Value>) {
    match value {
        None => out.push(UNDEFINED),
        Some(value) => encode_value(out, value),
    }
}

/// Appends the encoding of an object, for documents kept without their `Value`. Its field names must be legal.
pub fn encode_object(out: &mut Vec<u8>, object: &Object) {
    encode_fields(
        out,
        object.iter().map(|(name, value)| (name.as_str(), value)),
    );
}

/// As [`encode_object`], from fields that are given one by one, in ascending order of their names.
pub fn encode_fields<'v>(
    out: &mut Vec<u8>,
    fields: impl IntoIterator<Item = (&'v str, &'v Value)>,
) {
    out.push(OBJECT);
    for (name, value) in fields {
        encode_name(out, name);
        encode_value(out, value);
    }
    out.push(END);
}

fn encode_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(NULL),
        Value::Int64(number) => encode_integer(out, *number),
        Value::Float64(number) => {
            let bits = number.to_bits();
            let ordered = if bits & SIGN == 0 { bits | SIGN } else { !bits };
            out.push(FLOAT);
            out.extend_from_slice(&ordered.to_be_bytes());
        }
        Value::Boolean(truth) => out.push(if *truth { TRUE } else { FALSE }),
        Value::String(text) => {
            out.push(STRING);
            encode_escaped(out, text.as_bytes());
        }
        Value::Bytes(bytes) => {
            out.push(BYTES);
            encode_escaped(out, bytes);
        }
        Value::Array(elements) => {
            out.push(ARRAY);
            elements
                .iter()
                .for_each(|element| encode_value(out, element));
            out.push(END);
        }
        Value::Object(object) => encode_object(out, object),
    }
}

/// The logarithm of the fewest bytes, of 1, 2, 4 and 8, that hold `number` with its sign.
fn integer_width_log(number: i64) -> u8 {
    if i8::try_from(number).is_ok() {
        0
    } else if i16::try_from(number).is_ok() {
        1
    } else if i32::try_from(number).is_ok() {
        2
    } else {
        3
    }
}

fn integer_tag(number: i64) -> u8 {
    match number.signum() {
        0 => INTEGER_ZERO,
        1 => INTEGER_ZERO + 1 + integer_width_log(number),
        _ => INTEGER_ZERO - 1 - integer_width_log(number),
    }
}

fn encode_integer(out: &mut Vec<u8>, number: i64) {
    out.push(integer_tag(number));
    if number != 0 {
        let width = 1 << integer_width_log(number);
        out.extend_from_slice(&number.to_be_bytes()[8 - width..]);
    }
}

fn encode_escaped(out: &mut Vec<u8>, content: &[u8]) {
    let mut rest = content;
    while let Some(plain) = find_mark(rest) {
        out.extend_from_slice(&rest[..plain]);
        out.extend_from_slice(&[ESCAPE, rest[plain] + ESCAPED_END]);
        rest = &rest[plain + 1..];
    }
    out.extend_from_slice(rest);
    out.push(END);
}

/// Where the first [`END`] or [`ESCAPE`] is. Most content has none for long, so whole chunks are looked at without a
/// branch a byte.
fn find_mark(bytes: &[u8]) -> Option<usize> {
    let (chunks, _) = bytes.as_chunks::<16>();
    let is_plain = |chunk: &&[u8; 16]| {
        chunk
            .iter()
            .fold(true, |plain, &byte| plain & (byte > ESCAPE))
    };
    let plain = 16 * chunks.iter().take_while(is_plain).count();
    let mark = bytes[plain..].iter().position(|&byte| byte <= ESCAPE)?;
    Some(plain + mark)
}

/// Decodes the value `bytes` start with, `None` meaning undefined, and tells how many bytes it took. Only what
/// [`encode_key`] writes is accepted, so equal values have equal bytes.
pub fn decode_key(bytes: &[u8]) -> Result<(Option<Value>, usize), KeyError> {
    let mut reader = Reader::new(bytes);
    let value = match reader.byte()? {
        UNDEFINED => None,
        tag => Some(reader.value(tag, 0)?),
    };
    Ok((value, bytes.len() - reader.rest.len()))
}

/// The size of the encoded value `bytes` consist of, as [`Value::size`] counts it, without decoding it. Only what is
/// needed to find the end is checked.
pub fn encoded_size(bytes: &[u8]) -> Result<usize, KeyError> {
    let mut reader = Reader::new(bytes);
    let tag = reader.byte()?;
    let size = reader.skip(tag, 0)?;
    reader.finish()?;
    Ok(size)
}

/// The rest, still to be decoded.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

/// The kind of content that a tag announces, for decoders into something else than a [`Value`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Null,
    String,
    Array,
    Object,
    Other,
}

impl Shape {
    pub fn of(tag: u8) -> Shape {
        match tag {
            NULL => Shape::Null,
            STRING => Shape::String,
            ARRAY => Shape::Array,
            OBJECT => Shape::Object,
            _ => Shape::Other,
        }
    }
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// Checks that nothing is left.
    pub fn finish(self) -> Result<(), KeyError> {
        match self.rest.first() {
            None => Ok(()),
            Some(tag) => Err(KeyError::Tag(*tag)),
        }
    }

    /// The tag of an array's next element; `None` at its end.
    pub fn element(&mut self) -> Result<Option<u8>, KeyError> {
        self.byte().map(|tag| (tag != END).then_some(tag))
    }

    /// A string's content, borrowed where nothing in it is escaped.
    pub fn text(&mut self) -> Result<Cow<'a, str>, KeyError> {
        let plain = self.plain()?;
        if self.rest.first() == Some(&END) {
            self.byte()?;
            let text = str::from_utf8(plain).map_err(|_| KeyError::Utf8)?;
            return Ok(Cow::Borrowed(text));
        }
        let content = self.escaped_from(plain)?;
        let text = String::from_utf8(content).map_err(|_| KeyError::Utf8)?;
        Ok(Cow::Owned(text))
    }

    /// Passes the content after `tag`, inside `depth` containers, and returns its size.
    pub fn skip(&mut self, tag: u8, depth: usize) -> Result<usize, KeyError> {
        match tag {
            NULL | FALSE | TRUE => Ok(1),
            INTEGER_MIN..=INTEGER_MAX => self.integer(tag).map(|_| 9),
            FLOAT => self.float().map(|_| 9),
            STRING | BYTES => self.skip_escaped(),
            ARRAY | OBJECT if depth == VALUE_NESTING_MAX => Err(KeyError::TooNested),
            ARRAY => {
                let mut size = 2;
                while let Some(tag) = self.element()? {
                    size += self.skip(tag, depth + 1)?;
                }
                Ok(size)
            }
            OBJECT => {
                let mut size = 2;
                while let Some(name) = self.name_bytes()? {
                    let tag = self.byte()?;
                    size += name.len() + 1 + self.skip(tag, depth + 1)?;
                }
                Ok(size)
            }
            UNDEFINED => Err(KeyError::Undefined),
            other => Err(KeyError::Tag(other)),
        }
    }

    fn skip_escaped(&mut self) -> Result<usize, KeyError> {
        let mut len = self.plain()?.len();
        while self.byte()? == ESCAPE {
            self.byte()?;
            len += 1 + self.plain()?.len();
        }
        Ok(2 + len)
    }

    pub fn byte(&mut self) -> Result<u8, KeyError> {
        let (&byte, rest) = self.rest.split_first().ok_or(KeyError::Truncated)?;
        self.rest = rest;
        Ok(byte)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], KeyError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(KeyError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Reads what follows `tag`, inside `depth` containers.
    pub fn value(&mut self, tag: u8, depth: usize) -> Result<Value, KeyError> {
        match tag {
            NULL => Ok(Value::Null),
            INTEGER_MIN..=INTEGER_MAX => self.integer(tag).map(Value::Int64),
            FLOAT => self.float().map(Value::Float64),
            FALSE => Ok(Value::Boolean(false)),
            TRUE => Ok(Value::Boolean(true)),
            STRING => self.string().map(Value::String),
            BYTES => self.escaped().map(Value::Bytes),
            ARRAY | OBJECT if depth == VALUE_NESTING_MAX => Err(KeyError::TooNested),
            ARRAY => self.array(depth + 1).map(Value::Array),
            OBJECT => self.object(depth + 1).map(Value::Object),
            UNDEFINED => Err(KeyError::Undefined),
            other => Err(KeyError::Tag(other)),
        }
    }

    fn integer(&mut self, tag: u8) -> Result<i64, KeyError> {
        if tag == INTEGER_ZERO {
            return Ok(0);
        }
        let width = 1 << (tag.abs_diff(INTEGER_ZERO) - 1);
        let fill = if tag < INTEGER_ZERO { 0xff } else { 0x00 };
        let mut bytes = [fill; 8];
        bytes[8 - width..].copy_from_slice(self.take(width)?);
        let number = i64::from_be_bytes(bytes);
        if integer_tag(number) != tag {
            return Err(KeyError::Integer);
        }
        Ok(number)
    }

    fn float(&mut self) -> Result<f64, KeyError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(KeyError::Truncated)?;
        self.rest = rest;
        let ordered = u64::from_be_bytes(*bytes);
        let bits = if ordered & SIGN == 0 {
            !ordered
        } else {
            ordered & !SIGN
        };
        Ok(f64::from_bits(bits))
    }

    fn escaped(&mut self) -> Result<Vec<u8>, KeyError> {
        let plain = self.plain()?;
        self.escaped_from(plain)
    }

    /// Content that begins with what was read already.
    fn escaped_from(&mut self, plain: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut content = plain.to_vec();
        while self.byte()? == ESCAPE {
            content.push(match self.byte()? {
                ESCAPED_END => END,
                ESCAPED_ESCAPE => ESCAPE,
                _ => return Err(KeyError::Escape),
            });
            content.extend_from_slice(self.plain()?);
        }
        Ok(content)
    }

    /// Content up to the next [`END`] or [`ESCAPE`].
    fn plain(&mut self) -> Result<&'a [u8], KeyError> {
        let mark = find_mark(self.rest).ok_or(KeyError::Truncated)?;
        self.take(mark)
    }

    fn string(&mut self) -> Result<String, KeyError> {
        self.text().map(Cow::into_owned)
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Value>, KeyError> {
        let mut elements = Vec::new();
        loop {
            match self.byte()? {
                END => return Ok(elements),
                tag => elements.push(self.value(tag, depth)?),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Object, KeyError> {
        let mut object = Object::new();
        while let Some(name) = self.name()? {
            check_field_name(name).map_err(|_| KeyError::FieldName)?;
            if object
                .last_key_value()
                .is_some_and(|(last, _)| last.as_str() >= name)
            {
                return Err(KeyError::FieldOrder);
            }
            let tag = self.byte()?;
            object.insert(name.to_owned(), self.value(tag, depth)?);
        }
        Ok(object)
    }

    /// The next name of an object, legal or not; `None` at its end.
    pub fn name(&mut self) -> Result<Option<&'a str>, KeyError> {
        let name = self.name_bytes()?;
        name.map(|name| str::from_utf8(name).map_err(|_| KeyError::Utf8))
            .transpose()
    }

    fn name_bytes(&mut self) -> Result<Option<&'a [u8]>, KeyError> {
        match self.rest.first() {
            Some(&END) => self.byte().map(|_| None),
            Some(&EMPTY_NAME) => self.byte().map(|_| Some(&[][..])),
            _ => {
                let end = self.rest.iter().position(|&byte| byte == END);
                let name = self.take(end.ok_or(KeyError::Truncated)?)?;
                self.byte()?;
                Ok(Some(name))
            }
        }
    }
}

#[cfg(test)]
mod tests;
