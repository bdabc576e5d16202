//! The limits of values and documents: sizes, nesting, lengths and field names, each with its refusal.

use std::fmt;

use thiserror::Error;

use super::{Object, Value, display};
use crate::path::{IdentifierError, check_identifier};

/// The largest value in flight, in bytes as [`Value::size`] counts them.
pub const VALUE_BYTES_MAX: usize = 32 << 20;
/// The deepest value in flight, in containers inside one another.
pub const VALUE_NESTING_MAX: usize = 64;
/// The largest document, in bytes, its system fields included.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;
/// The deepest document, in containers inside one another, itself included.
pub const DOCUMENT_NESTING_MAX: usize = 16;
/// The longest array, in elements.
pub const ARRAY_LENGTH_MAX: usize = 8192;
/// The most fields of one object.
pub const OBJECT_FIELDS_MAX: usize = 1024;
/// The longest field name, in bytes.
pub const FIELD_NAME_BYTES_MAX: usize = 1024;

/// The top-level fields the server sets itself.
const SYSTEM_FIELDS: [&str; 2] = ["_id", "_creationTime"];

/// The reason why something is not a value, or not a document. Function authors see these texts.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ValueError {
    #[error("Value is too large ({} > maximum size {})", ByteCount(*.size), ByteCount(*.maximum))]
    TooLarge { size: usize, maximum: usize },
    #[error(
        "Value is too nested (nested {levels} levels deep > maximum nesting {VALUE_NESTING_MAX})"
    )]
    TooNested { levels: usize },
    #[error("Array length is too long ({length} > maximum length {ARRAY_LENGTH_MAX})")]
    ArrayTooLong { length: usize },
    #[error("Object has too many fields ({fields} > maximum number {OBJECT_FIELDS_MAX})")]
    TooManyFields { fields: usize },
    #[error(transparent)]
    FieldName(#[from] FieldNameError),
    /// A wrapper object such as `{"$integer": …}` with the wrong content.
    #[error("`{wrapper}` must hold {expected}")]
    Wrapper {
        wrapper: &'static str,
        expected: &'static str,
    },
    /// Half of a surrogate pair, as from a text that was cut within an emoji.
    #[error("Strings must be valid Unicode, and one has half of a surrogate pair")]
    LoneSurrogate,
    #[error("{number} is outside the range of a float64")]
    NumberRange { number: String },
    #[error("{document} isn't a valid document: {reason}")]
    InvalidDocument {
        document: String,
        reason: DocumentError,
    },
    #[error(transparent)]
    Identifier(#[from] IdentifierError),
}

impl ValueError {
    /// The short code for programs that goes with the text.
    pub fn code(&self) -> &'static str {
        match self {
            ValueError::TooLarge { .. } => "ValueTooLargeError",
            ValueError::TooNested { .. } => "TooNestedError",
            ValueError::ArrayTooLong { .. } => "ArrayTooLong",
            ValueError::TooManyFields { .. } => "TooManyFieldsError",
            ValueError::FieldName(_) => "InvalidFieldNameError",
            ValueError::Wrapper { .. }
            | ValueError::LoneSurrogate
            | ValueError::NumberRange { .. } => "InvalidValueError",
            ValueError::InvalidDocument { .. } => "InvalidDocumentError",
            ValueError::Identifier(_) => "InvalidIdentifierError",
        }
    }
}

/// Why a value of legal parts is still no document.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum DocumentError {
    #[error(
        "Document is too nested (nested {levels} levels deep > maximum nesting {DOCUMENT_NESTING_MAX})"
    )]
    TooNested { levels: usize },
    #[error(
        "Field '{field}' starts with an underscore, which is only allowed for system fields like '_id'"
    )]
    Underscore { field: String },
}

/// Why a text cannot name a field of an object.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum FieldNameError {
    #[error("Field name {name} starts with '$', which is reserved")]
    Reserved { name: String },
    #[error("Field name is too long ({length} > maximum {FIELD_NAME_BYTES_MAX})")]
    TooLong { length: usize },
    #[error(
        "Field name {name:?} has invalid character {character:?}: field names are made of printable ASCII"
    )]
    Character { name: String, character: char },
}

/// Checks the limits and field names every value in flight must keep.
pub fn check_value(value: &Value) -> Result<(), ValueError> {
    let measure = measure_value(value, 0)?;
    check_size(measure.size, VALUE_BYTES_MAX)
}

/// Checks that `document`, as it will be stored with its system fields, may be stored.
pub fn check_document(document: &Object) -> Result<(), ValueError> {
    let measure = measure_object(document, 0)?;
    // Before the errors below, which carry the document's text: this bounds it.
    check_size(measure.size, DOCUMENT_BYTES_MAX)?;
    if measure.nesting > DOCUMENT_NESTING_MAX {
        let levels = measure.nesting;
        return Err(invalid(document, DocumentError::TooNested { levels }));
    }
    for name in document.keys() {
        if name.starts_with('_') && !SYSTEM_FIELDS.contains(&name.as_str()) {
            let field = name.clone();
            return Err(invalid(document, DocumentError::Underscore { field }));
        }
        check_identifier(name)?;
    }
    Ok(())
}

/// Checks that `name` may name a field of an object: at most 1024 printable ASCII characters, the first no `$`.
pub fn check_field_name(name: &str) -> Result<(), FieldNameError> {
    if name.len() > FIELD_NAME_BYTES_MAX {
        return Err(FieldNameError::TooLong { length: name.len() });
    }
    if name.starts_with('$') {
        let name = name.to_owned();
        return Err(FieldNameError::Reserved { name });
    }
    let printable = |byte: u8| matches!(byte, b' '..=b'~');
    // Every name of every value comes by here: one pass without a branch a byte.
    if name.bytes().fold(true, |all, byte| all & printable(byte)) {
        return Ok(());
    }
    let character = name.chars().find(|c| !matches!(c, ' '..='~'));
    let character =
        character.expect("a byte that is not printable ASCII is part of such a character");
    let name = name.to_owned();
    Err(FieldNameError::Character { name, character })
}

pub(crate) fn check_array_length(length: usize) -> Result<(), ValueError> {
    if length > ARRAY_LENGTH_MAX {
        return Err(ValueError::ArrayTooLong { length });
    }
    Ok(())
}

pub(crate) fn check_field_count(fields: usize) -> Result<(), ValueError> {
    if fields > OBJECT_FIELDS_MAX {
        return Err(ValueError::TooManyFields { fields });
    }
    Ok(())
}

/// Checks the level of a container: 1 when nothing is around it.
pub(crate) fn check_nesting(levels: usize) -> Result<(), ValueError> {
    if levels > VALUE_NESTING_MAX {
        return Err(ValueError::TooNested { levels });
    }
    Ok(())
}

fn check_size(size: usize, maximum: usize) -> Result<(), ValueError> {
    if size > maximum {
        return Err(ValueError::TooLarge { size, maximum });
    }
    Ok(())
}

fn invalid(document: &Object, reason: DocumentError) -> ValueError {
    struct Text<'a>(&'a Object);
    impl fmt::Display for Text<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            display::write_object(f, self.0)
        }
    }
    ValueError::InvalidDocument {
        document: Text(document).to_string(),
        reason,
    }
}

/// The measurements of one walk over a value.
struct Measure {
    size: usize,
    nesting: usize,
}

impl Measure {
    const EMPTY_CONTAINER: Measure = Measure {
        size: 2,
        nesting: 1,
    };

    fn add(&mut self, child: Measure, name_size: usize) {
        self.size += child.size + name_size;
        self.nesting = self.nesting.max(child.nesting + 1);
    }
}

/// Checks the parts of `value`, which lies inside `depth` containers. The walk ends at the nesting limit.
fn measure_value(value: &Value, depth: usize) -> Result<Measure, ValueError> {
    match value {
        Value::Array(elements) => measure_array(elements, depth),
        Value::Object(object) => measure_object(object, depth),
        scalar => Ok(Measure {
            size: scalar.size(),
            nesting: 0,
        }),
    }
}

fn measure_array(elements: &[Value], depth: usize) -> Result<Measure, ValueError> {
    check_nesting(depth + 1)?;
    check_array_length(elements.len())?;
    let mut measure = Measure::EMPTY_CONTAINER;
    for element in elements {
        measure.add(measure_value(element, depth + 1)?, 0);
    }
    Ok(measure)
}

fn measure_object(object: &Object, depth: usize) -> Result<Measure, ValueError> {
    check_nesting(depth + 1)?;
    check_field_count(object.len())?;
    let mut measure = Measure::EMPTY_CONTAINER;
    for (name, value) in object {
        check_field_name(name)?;
        measure.add(measure_value(value, depth + 1)?, name.len() + 1);
    }
    Ok(measure)
}

/// A number of bytes for people: `1.25 MiB`, at most two decimals and none that are zero.
pub struct ByteCount(pub usize);

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
        let mut amount = self.0 as f64;
        let mut unit = 0;
        while amount >= 1024.0 && unit + 1 < UNITS.len() {
            amount /= 1024.0;
            unit += 1;
        }
        write!(f, "{} {}", (amount * 100.0).round() / 100.0, UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::arbitrary::arb_value;
    use super::*;
    use crate::object;

    fn nested(levels: usize) -> Value {
        (1..levels).fold(Value::from(Vec::<Value>::new()), |inner, _| {
            Value::from(vec![inner])
        })
    }

    fn refusal(value: Value) -> String {
        check_value(&value).unwrap_err().to_string()
    }

    fn document_refusal(document: Object) -> String {
        check_document(&document).unwrap_err().to_string()
    }

    #[test]
    fn each_limit_of_a_value_has_its_text() {
        assert_eq!(check_value(&nested(64)), Ok(()));
        assert_eq!(
            refusal(nested(65)),
            "Value is too nested (nested 65 levels deep > maximum nesting 64)"
        );
        assert_eq!(check_value(&Value::from(vec![Value::Null; 8192])), Ok(()));
        assert_eq!(
            refusal(Value::from(vec![Value::Null; 9000])),
            "Array length is too long (9000 > maximum length 8192)"
        );
        let fields = |n: usize| Object::from_iter((0..n).map(|i| (format!("f{i}"), Value::Null)));
        assert_eq!(check_value(&Value::from(fields(1024))), Ok(()));
        assert_eq!(
            refusal(Value::from(fields(1100))),
            "Object has too many fields (1100 > maximum number 1024)"
        );
        assert_eq!(
            check_value(&Value::from("x".repeat((32 << 20) - 2))),
            Ok(())
        );
        assert_eq!(
            refusal(Value::from("x".repeat(33 << 20))),
            "Value is too large (33 MiB > maximum size 32 MiB)"
        );
    }

    #[test]
    fn field_names_are_printable_ascii_without_a_leading_dollar() {
        for name in ["", " ", "a b", "_x", "a$", "~", &"x".repeat(1024)] {
            assert_eq!(check_field_name(name), Ok(()), "{name}");
        }
        for (name, text) in [
            (
                "$a".to_owned(),
                "Field name $a starts with '$', which is reserved",
            ),
            (
                "x".repeat(1025),
                "Field name is too long (1025 > maximum 1024)",
            ),
            (
                "a\n".to_owned(),
                r#"Field name "a\n" has invalid character '\n': field names are made of printable ASCII"#,
            ),
            (
                "é".to_owned(),
                "Field name \"é\" has invalid character 'é': field names are made of printable ASCII",
            ),
        ] {
            assert_eq!(check_field_name(&name).unwrap_err().to_string(), text);
            assert_eq!(refusal(Value::from(object! { name => () })), text);
        }
    }

    #[test]
    fn a_document_is_smaller_and_flatter_than_a_value() {
        assert_eq!(check_document(&object! { "a" => nested(15) }), Ok(()));
        assert_eq!(
            document_refusal(object! { "a" => nested(16) }),
            format!(
                "{{a: {}}} isn't a valid document: Document is too nested (nested 17 levels deep > maximum nesting 16)",
                nested(16)
            )
        );
        let with_text = |length: usize| object! { "a" => "x".repeat(length) };
        // Two for the object, two for the field's name, two for the string.
        assert_eq!(check_document(&with_text((1 << 20) - 6)), Ok(()));
        assert_eq!(
            document_refusal(with_text((1 << 20) * 6 / 5)),
            "Value is too large (1.2 MiB > maximum size 1 MiB)"
        );
    }

    #[test]
    fn the_top_level_fields_of_a_document_are_identifiers_and_not_ours() {
        let system =
            object! { "_id" => "x", "_creationTime" => 1.0, "a" => object! { "_b c" => 1 } };
        assert_eq!(check_document(&system), Ok(()));
        for (document, text) in [
            (
                object! { "_x" => 1 },
                "{_x: 1.0} isn't a valid document: Field '_x' starts with an underscore, which is only allowed for \
                 system fields like '_id'",
            ),
            (object! { "" => 1 }, "Identifier cannot be empty"),
            (
                object! { "x".repeat(70) => 1 },
                "Identifier is too long (70 > maximum 64)",
            ),
        ] {
            assert_eq!(document_refusal(document), text);
        }
        assert!(
            document_refusal(object! { "a b" => 1 })
                .starts_with("Identifier a b has invalid character")
        );
    }

    proptest! {
        #[test]
        fn the_measure_agrees_with_size_and_nesting(value in arb_value()) {
            let measure = measure_value(&value, 0).unwrap();
            prop_assert_eq!(measure.size, value.size());
            prop_assert_eq!(measure.nesting, value.nesting());
        }
    }
}
