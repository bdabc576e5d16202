//! Values as the package writes them, and why a text is none.

use serde_json::Value as Json;
use vestibule_schema::value::{Value, ValueError};

/// The value of a text that the package wrote.
pub(super) fn value(text: &str) -> Result<Value, ValueError> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    // The tree tells why, without the parser's words about lines and columns.
    Value::from_json(&tree(text)?)
}

/// The text as a tree. The package has written JSON, so there is no tree only where the parser goes no deeper, or where a
/// string is no Unicode.
pub(super) fn tree(text: &str) -> Result<Json, ValueError> {
    serde_json::from_str(text).map_err(|_| match nesting(text) {
        levels if levels > PARSED_NESTING_MAX => ValueError::TooNested { levels },
        _ => ValueError::LoneSurrogate,
    })
}

/// Levels of arrays and objects that serde_json reads.
const PARSED_NESTING_MAX: usize = 127;

/// How deep the arrays and objects of a JSON text are nested.
fn nesting(json: &str) -> usize {
    let (mut levels, mut deepest, mut is_in_string, mut is_escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_in_string,
            b'"' => is_in_string = !is_in_string,
            b'[' | b'{' if !is_in_string => {
                levels += 1;
                deepest = deepest.max(levels);
            }
            b']' | b'}' if !is_in_string => levels = levels.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
