//! What a request asks for, read from its texts: a function, its arguments and the format of its result.

use serde_json::value::RawValue;
use vestibule_schema::value::{Object, Value};
use vestibule_schema::wire::Args;
use vestibule_schema::{FunctionPath, JsonFormat};

use super::respond::WireError;

/// What is to run, everything about it checked that can be without running it.
pub(super) struct Prepared {
    pub path: FunctionPath,
    pub args: Value,
    pub format: JsonFormat,
}

/// Checks what a body asks for.
pub(super) fn prepare(
    path: &str,
    args: &RawValue,
    format: Option<&str>,
    default_format: JsonFormat,
) -> Result<Prepared, WireError> {
    Ok(Prepared {
        path: read_path(path)?,
        args: read_args(args.get()).map_err(WireError::bad_body)?,
        format: read_format(format, default_format)?,
    })
}

pub(super) fn read_path(text: &str) -> Result<FunctionPath, WireError> {
    text.parse()
        .map_err(|error| bad_identifier(format!("{text:?} is not a function path: {error}.")))
}

pub(super) fn bad_identifier(message: impl Into<String>) -> WireError {
    WireError::bad_request("BadConvexFunctionIdentifier", message)
}

pub(super) fn read_format(
    name: Option<&str>,
    default: JsonFormat,
) -> Result<JsonFormat, WireError> {
    match name {
        None => Ok(default),
        Some(name) => name
            .parse()
            .map_err(|error| WireError::bad_request("BadFormat", format!("{error}."))),
    }
}

/// Reads arguments: an object, or a list that holds it.
pub(super) fn read_args(text: &str) -> Result<Value, String> {
    if !text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map_err(|_| {
            match Args::from_json(&format!("[{text}]")) {
                // As a member of a list it is refused in the words that sockets use.
                Args::Invalid(why) => wrong_args(&why),
                Args::Ok(_) => wrong_args("they are not one JSON value"),
            }
        });
    }
    let mut args = match Args::from_json(text) {
        Args::Ok(args) => args.into_iter(),
        Args::Invalid(why) => return Err(wrong_args(&why)),
    };
    match (args.next(), args.next()) {
        (None, _) => Ok(Value::Object(Object::new())),
        (Some(args), None) => Ok(args),
        (Some(_), Some(_)) => Err(wrong_args("a function takes one object")),
    }
}

fn wrong_args(why: &str) -> String {
    format!("The arguments are wrong: {why}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_an_object_or_a_list_that_holds_it() {
        let args = read_args(r#"{"n":1}"#).unwrap();
        assert_eq!(read_args(r#" [{"n":1}]"#).unwrap(), args);
        assert_eq!(read_args("[]").unwrap(), Value::Object(Object::new()));
        for text in [
            "",
            "[",
            "[{},{}]",
            r#"{"$integer":"x"}"#,
            r#"[{"$integer":"x"}]"#,
            "{} {}",
            "],[",
            "1,2",
        ] {
            assert!(read_args(text).is_err(), "{text}");
        }
    }
}
