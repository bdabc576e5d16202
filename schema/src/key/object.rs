//! Encoded objects, looked into and changed without decoding them: their fields are in order, and equal values have equal
//! bytes.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::iter::Peekable;

use super::{EMPTY_NAME, END, KeyError, OBJECT, Reader, encode_value};
use crate::path::FieldPath;
use crate::value::{Object, Value};

/// The fields of an encoded object, in ascending order of their names, each with the encoding of its value.
struct EncodedFields<'a> {
    reader: Reader<'a>,
}

/// One field of an encoded object.
#[derive(Clone, Copy)]
struct EncodedField<'a> {
    /// Its name.
    name: &'a [u8],
    /// The encoding of its value.
    value: &'a [u8],
    /// Its name as it stands in the object, and the value.
    whole: &'a [u8],
    /// As the object's size counts it.
    size: usize,
}

impl<'a> EncodedFields<'a> {
    /// The fields of the object that `bytes` begin with. Only what is needed to tell them apart is checked.
    fn of(bytes: &'a [u8]) -> Result<EncodedFields<'a>, KeyError> {
        let mut reader = Reader::new(bytes);
        match reader.byte()? {
            OBJECT => Ok(EncodedFields { reader }),
            other => Err(KeyError::Tag(other)),
        }
    }

    /// The next field; `None` at the end.
    fn advance(&mut self) -> Result<Option<EncodedField<'a>>, KeyError> {
        let from_name = self.reader.rest;
        let Some(name) = self.reader.name_bytes()? else {
            return Ok(None);
        };
        let from_value = self.reader.rest;
        let tag = self.reader.byte()?;
        let value_size = self.reader.skip(tag, 1)?;
        let rest = self.reader.rest.len();
        Ok(Some(EncodedField {
            name,
            value: &from_value[..from_value.len() - rest],
            whole: &from_name[..from_name.len() - rest],
            size: name.len() + 1 + value_size,
        }))
    }
}

impl<'a> Iterator for EncodedFields<'a> {
    type Item = Result<EncodedField<'a>, KeyError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

/// The encoding of the value at `path` in an encoded object; `None` (undefined) when there is none.
pub fn encoded_at<'a>(object: &'a [u8], path: &FieldPath) -> Result<Option<&'a [u8]>, KeyError> {
    let mut value = object;
    for (depth, name) in path.fields().iter().enumerate() {
        if depth > 0 && value.first() != Some(&OBJECT) {
            return Ok(None);
        }
        match encoded_field(value, name)? {
            Some(field) => value = field,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

/// The encoding of the value of a field of an encoded object; `None` (undefined) when it has no such field.
pub fn encoded_field<'a>(object: &'a [u8], name: &str) -> Result<Option<&'a [u8]>, KeyError> {
    for field in EncodedFields::of(object)? {
        let field = field?;
        match field.name.cmp(name.as_bytes()) {
            Ordering::Less => {}
            Ordering::Equal => return Ok(Some(field.value)),
            Ordering::Greater => return Ok(None),
        }
    }
    Ok(None)
}

/// Appends the key encoding of what [`encoded_at`] found.
pub fn push_encoded(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => out.extend_from_slice(value),
        None => out.push(super::UNDEFINED),
    }
}

/// An encoded object with some fields changed.
#[derive(Debug, PartialEq, Eq)]
pub struct Patched<'p> {
    /// The encoding of the new object.
    pub bytes: Vec<u8>,
    /// How many fields it has.
    pub fields: usize,
    /// Its size, as [`Value::size`] counts it.
    pub size: usize,
    /// The names of the fields that are not as they were.
    pub changed: Vec<&'p str>,
}

/// The size of an object without fields.
const EMPTY_SIZE: usize = 2;

/// An encoded object with the fields of `set` and without those that `unset` names. A field both set and unset is set.
/// Names must be legal.
pub fn patch_encoded<'p>(
    object: &[u8],
    set: &'p Object,
    unset: &'p BTreeSet<String>,
) -> Result<Patched<'p>, KeyError> {
    let mut patched = Patched {
        bytes: Vec::with_capacity(object.len() + 32),
        fields: 0,
        size: EMPTY_SIZE,
        changed: Vec::new(),
    };
    patched.bytes.push(OBJECT);
    let mut new = set.iter().peekable();
    let mut last = None;
    for field in EncodedFields::of(object)? {
        let field = field?;
        if last
            .replace(field.name)
            .is_some_and(|last| last >= field.name)
        {
            return Err(KeyError::FieldOrder);
        }
        patched.add_before(&mut new, Some(field.name));
        match new.next_if(|(name, _)| name.as_bytes() == field.name) {
            Some((name, value)) => patched.replace(name, value, field.value),
            None => match unset_name(unset, field.name) {
                Some(name) => patched.changed.push(name),
                None => patched.keep(field),
            },
        }
    }
    patched.add_before(&mut new, None);
    patched.bytes.push(END);
    Ok(patched)
}

fn unset_name<'p>(unset: &'p BTreeSet<String>, name: &[u8]) -> Option<&'p String> {
    match unset.is_empty() {
        true => None,
        false => unset.get(str::from_utf8(name).ok()?),
    }
}

impl<'p> Patched<'p> {
    fn keep(&mut self, field: EncodedField<'_>) {
        self.fields += 1;
        self.size += field.size;
        self.bytes.extend_from_slice(field.whole);
    }

    /// Adds a field. Returns where its value begins.
    fn push(&mut self, name: &str, value: &Value) -> usize {
        self.fields += 1;
        self.size += name.len() + 1 + value.size();
        encode_name(&mut self.bytes, name);
        let from = self.bytes.len();
        encode_value(&mut self.bytes, value);
        from
    }

    /// Adds the new fields whose names come before a name.
    fn add_before<'v>(
        &mut self,
        new: &mut Peekable<impl Iterator<Item = (&'p String, &'v Value)>>,
        end: Option<&[u8]>,
    ) {
        let is_before = |name: &str| end.is_none_or(|end| name.as_bytes() < end);
        while let Some((name, value)) = new.next_if(|(name, _)| is_before(name)) {
            self.push(name, value);
            self.changed.push(name);
        }
    }

    fn replace(&mut self, name: &'p str, value: &Value, old: &[u8]) {
        let from = self.push(name, value);
        if self.bytes[from..] != *old {
            self.changed.push(name);
        }
    }
}

/// Appends a legal name as it stands before its value.
pub(super) fn encode_name(out: &mut Vec<u8>, name: &str) {
    if name.is_empty() {
        out.push(EMPTY_NAME);
    } else {
        // Legal names are printable: there is nothing to escape.
        out.extend_from_slice(name.as_bytes());
        out.push(END);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;
    use crate::key::{encode_key, encode_object, encoded_size};
    use crate::object;
    use crate::value::arbitrary::{arb_field_name, arb_value};

    fn encoded(object: &Object) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_object(&mut bytes, object);
        bytes
    }

    fn key_of(value: Option<&Value>) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_key(&mut bytes, value);
        bytes
    }

    #[test]
    fn a_nested_value_is_found_where_decoding_finds_it() {
        let document = object! {
            "" => 1,
            "a" => object! { "b" => object! { "c" => "deep" }, "z" => Value::Null },
            "ab" => 2.5,
        };
        let bytes = encoded(&document);
        for path in [
            "a", "a.b", "a.b.c", "a.b.c.d", "a.c", "a.z", "a.z.b", "ab", "b", "aa",
        ] {
            let path: FieldPath = path.parse().unwrap();
            let mut key = Vec::new();
            push_encoded(&mut key, encoded_at(&bytes, &path).unwrap());
            assert_eq!(key, key_of(path.lookup(&document)), "{path}");
        }
    }

    #[test]
    fn damaged_objects_are_refused() {
        let none = (Object::new(), BTreeSet::new());
        let patched = |bytes: &[u8]| patch_encoded(bytes, &none.0, &none.1).map(|it| it.bytes);
        assert_eq!(patched(&[]), Err(KeyError::Truncated));
        assert_eq!(patched(&key_of(Some(&Value::Null))), Err(KeyError::Tag(3)));
        let whole = encoded(&object! { "a" => 1, "b" => 2 });
        assert_eq!(patched(&whole[..whole.len() - 1]), Err(KeyError::Truncated));
        let twice = [&whole[..whole.len() - 1], &whole[1..]].concat();
        assert_eq!(patched(&twice), Err(KeyError::FieldOrder));
    }

    proptest! {
        #[test]
        fn patching_bytes_is_patching_the_object(
            old in btree_map(arb_field_name(), arb_value(), 0..6),
            patch in btree_map(arb_field_name(), proptest::option::of(arb_value()), 0..6),
        ) {
            let set: Object = patch.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
            let unset: BTreeSet<String> = patch.keys().filter(|name| !set.contains_key(*name)).cloned().collect();
            let mut expected = old.clone();
            expected.extend(set.clone());
            expected.retain(|name, _| !unset.contains(name));
            let is_other = |name: &&String| key_of(old.get(*name)) != key_of(expected.get(*name));
            let changed: Vec<&str> = patch.keys().filter(is_other).map(String::as_str).collect();

            let bytes = encoded(&old);
            let patched = patch_encoded(&bytes, &set, &unset).unwrap();
            prop_assert_eq!(&patched.bytes, &encoded(&expected));
            prop_assert_eq!(patched.fields, expected.len());
            prop_assert_eq!(patched.size, encoded_size(&patched.bytes).unwrap());
            prop_assert_eq!(patched.changed, changed);
        }
    }
}
