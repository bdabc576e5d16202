//! A request's content, read from its texts: a function, its arguments and the format of its result.

use serde_json::value::RawValue;
use vestibule_schema::value::Value;
use vestibule_schema::wire::Args;
use vestibule_schema::{ComponentPath, FunctionPath, JsonFormat};

use super::Http;
use super::respond::WireError;
use crate::functions::{Error, Thrown, one_object};

/// The call to run, checked as far as possible without running it.
pub(super) struct Prepared {
    pub path: FunctionPath,
    /// Or why the function cannot be called with them.
    pub args: Result<Value, Thrown>,
    pub format: JsonFormat,
}

/// Checks what a body asks for.
pub(super) fn prepare(
    path: &str,
    args: &RawValue,
    format: Option<&str>,
    default_format: JsonFormat,
) -> Result<Prepared, WireError> {
    let path = read_path(path)?;
    Ok(Prepared {
        args: read_args(&path, args.get()),
        path,
        format: read_format(format, default_format)?,
    })
}

pub(super) fn read_path(text: &str) -> Result<FunctionPath, WireError> {
    text.parse()
        .map_err(|error| bad_identifier(format!("{text:?} is not a function path: {error}.")))
}

impl Http {
    /// The component that tools name by its path; the app where they name none.
    pub(super) fn component_named(&self, text: Option<&str>) -> Result<ComponentPath, WireError> {
        let text = text.unwrap_or_default();
        let path: Option<ComponentPath> = text.parse().ok();
        let path = path.filter(|path| self.pushes.has_component(path));
        path.ok_or_else(|| {
            let message = format!("There is no component {text:?}.");
            WireError::bad_request("ComponentNotFound", message)
        })
    }
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

/// Reads arguments: an object, or a list that holds it. `text` is JSON.
pub(super) fn read_args(path: &FunctionPath, text: &str) -> Result<Value, Thrown> {
    let is_list = text.trim_start().starts_with('[');
    let args = match is_list {
        true => Args::from_json(text),
        false => match serde_json::from_str(text) {
            Ok(args) => Args::Ok(vec![args]),
            // As a member of a list it is refused in the words that sockets use.
            Err(_) => Args::from_json(&format!("[{text}]")),
        },
    };
    one_object(path, args).map_err(Error::into_thrown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_an_object_or_a_list_that_holds_it() {
        let path: FunctionPath = "a:b".parse().unwrap();
        let read = |text| read_args(&path, text);
        let args = read(r#"{"n":1}"#).unwrap();
        assert_eq!(read(r#" [{"n":1}]"#).unwrap(), args);
        assert_eq!(read("[]").unwrap(), Value::Object(Default::default()));
        let refused = |text| read(text).unwrap_err().message;
        assert_eq!(
            refused("[{},{}]"),
            "Expected to receive a single object as the function's argument. Instead received 2 arguments: [{},{}]"
        );
        for text in ["5", "[5]"] {
            assert_eq!(
                refused(text),
                "Expected to receive an object as the function's argument. Instead received: 5"
            );
        }
        for text in [r#"{"$integer":"x"}"#, r#"[{"$integer":"x"}]"#] {
            assert!(refused(text).starts_with("Invalid arguments for a.js:b: "));
        }
    }
}
