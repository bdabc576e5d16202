//! Unresolved commit timestamps as the package writes them: `db.vars.commitTs` is `{"$commitTs":null}` in JSON. No value can
//! look so. Inside, it is an integer and a place beside the value (`database/commit_ts.rs`).

use serde_json::Value as Json;
use vestibule_schema::object;
use vestibule_schema::value::{Object, Value, ValueError};

use crate::database::{CommitTsPlaces, PlaceStep};

/// The only field of the token.
const NAME: &str = "$commitTs";
/// The token.
const TOKEN: &str = r#"{"$commitTs":null}"#;

/// Whether a JSON text may have the token in it.
pub fn may_have_token(text: &str) -> bool {
    text.contains(TOKEN)
}

/// A value with tokens, and their places.
pub fn read(json: &str) -> Result<(Value, CommitTsPlaces), ValueError> {
    let mut tree = serde_json::from_str(json).map_err(|_| ValueError::LoneSurrogate)?;
    let mut places = CommitTsPlaces::default();
    take_tokens(&mut tree, &mut Vec::new(), &mut places);
    Ok((Value::from_json(&tree)?, places))
}

/// Puts the integer in the place of each token. The parser has bounded the nesting.
fn take_tokens(json: &mut Json, at: &mut Vec<PlaceStep>, places: &mut CommitTsPlaces) {
    if is_token(json) {
        *json = CommitTsPlaces::UNRESOLVED.to_json();
        places.push(at.clone());
        return;
    }
    match json {
        Json::Array(elements) => {
            for (number, element) in elements.iter_mut().enumerate() {
                at.push(PlaceStep::Element(number));
                take_tokens(element, at, places);
                at.pop();
            }
        }
        Json::Object(fields) => {
            for (name, field) in fields {
                at.push(PlaceStep::Field(name.clone()));
                take_tokens(field, at, places);
                at.pop();
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

/// Whether this is the token.
pub fn is_token(json: &Json) -> bool {
    let fields = json.as_object().filter(|fields| fields.len() == 1);
    fields.and_then(|fields| fields.get(NAME)) == Some(&Json::Null)
}

/// A document as encoded JSON, with a token at each of these places.
pub fn encoded(fields: Object, places: Option<&CommitTsPlaces>) -> String {
    let mut value = Value::Object(fields);
    if let Some(places) = places {
        put_tokens(&mut value, places);
    }
    let mut out = String::new();
    value.write_json(&mut out);
    out
}

/// Puts a token at each place. The result is no value any more, and fits only to be written as JSON.
pub fn put_tokens(value: &mut Value, places: &CommitTsPlaces) {
    if !places.is_empty() {
        places.fill(value, &Value::Object(object! { NAME => () }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_and_written_at_their_places() {
        let text = r#"{"a":{"$commitTs":null},"b":[1.0,{"c":{"$commitTs":null}}],"d":null}"#;
        assert!(may_have_token(text));
        let (value, places) = read(text).unwrap();
        let expected = object! {
            "a" => i64::MAX,
            "b" => vec![Value::from(1.0), Value::from(object! { "c" => i64::MAX })],
            "d" => (),
        };
        assert_eq!(value, Value::from(expected.clone()));
        assert_eq!(encoded(expected, Some(&places)), text);
        let mut resolved = value;
        places.resolve(&mut resolved, vestibule_schema::timestamp::Timestamp(7));
        assert_eq!(resolved.as_object().unwrap()["a"], Value::from(7_i64));
    }

    #[test]
    fn the_token_alone_is_a_value_and_what_only_resembles_it_is_none() {
        let (value, places) = read(TOKEN).unwrap();
        assert_eq!(value, CommitTsPlaces::UNRESOLVED);
        assert!(!places.is_empty());
        for text in [r#"{"$commitTs":1}"#, r#"{"$commitTs":null,"a":1}"#] {
            read(text).unwrap_err();
        }
    }
}
