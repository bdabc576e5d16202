//! The few shapes of DER that keys are written in.

pub const INTEGER: u8 = 0x02;
pub const BIT_STRING: u8 = 0x03;
pub const OCTET_STRING: u8 = 0x04;
pub const NULL: u8 = 0x05;
pub const OBJECT_ID: u8 = 0x06;
pub const SEQUENCE: u8 = 0x30;
/// Context tag 1, constructed.
pub const TAGGED_1: u8 = 0xA1;

/// Reads elements one after the other. Every method gives `None` at what is not such DER.
#[derive(Clone, Copy)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The content of the next element, which has this tag.
    pub fn element(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.any()?;
        (found == tag).then_some(content)
    }

    /// The next element, whatever it is.
    pub fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (length, rest) = length(rest)?;
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    pub fn sequence(&mut self) -> Option<Reader<'a>> {
        self.element(SEQUENCE).map(Reader)
    }

    /// The next element, a number that is not negative, without leading zeros.
    pub fn unsigned(&mut self) -> Option<&'a [u8]> {
        let content = self.element(INTEGER)?;
        match content {
            [first, ..] if first & 0x80 != 0 => None,
            [0, rest @ ..] if !rest.is_empty() => Some(rest),
            [_, ..] => Some(content),
            [] => None,
        }
    }

    /// The next element, a string of whole bytes.
    pub fn bit_string(&mut self) -> Option<&'a [u8]> {
        self.element(BIT_STRING)?.strip_prefix(&[0])
    }
}

fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some((first.into(), rest));
    }
    let count = usize::from(first & 0x7F);
    if count == 0 || count > 4 {
        return None;
    }
    let (digits, rest) = rest.split_at_checked(count)?;
    let length = digits
        .iter()
        .fold(0, |length, digit| length << 8 | usize::from(*digit));
    Some((length, rest))
}

/// An element whose content is these parts.
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = vec![tag];
    if length < 0x80 {
        bytes.push(length as u8);
    } else {
        let digits = length.to_be_bytes();
        let skipped = digits.iter().take_while(|digit| **digit == 0).count();
        bytes.push(0x80 | (digits.len() - skipped) as u8);
        bytes.extend_from_slice(&digits[skipped..]);
    }
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes
}

/// A number that is not negative, from its bytes.
pub fn unsigned(number: &[u8]) -> Vec<u8> {
    let leading = number.iter().take_while(|byte| **byte == 0).count();
    let number = &number[leading..];
    match number.first() {
        None => element(INTEGER, &[&[0]]),
        Some(first) if first & 0x80 != 0 => element(INTEGER, &[&[0], number]),
        Some(_) => element(INTEGER, &[number]),
    }
}
