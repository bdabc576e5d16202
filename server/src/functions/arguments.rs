//! The arguments of a call as clients send them: a list that holds one object.

use serde_json::Value as Json;
use vestibule_schema::JsonFormat;
use vestibule_schema::path::FunctionPath;
use vestibule_schema::value::{Object, Value};
use vestibule_schema::wire::Args;

use super::error::{Error, as_javascript_writes};

/// The object that the function at `path` is called with. Without any it is an empty one.
pub fn one_object(path: &FunctionPath, args: Args) -> Result<Value, Error> {
    let args = match args {
        Args::Ok(args) => args,
        Args::Invalid(reason) => {
            let path = path.canonical();
            return Err(Error::plain(format!(
                "Invalid arguments for {path}: {reason}"
            )));
        }
    };
    match <[Value; 1]>::try_from(args) {
        Ok([object @ Value::Object(_)]) => Ok(object),
        Ok([other]) => Err(Error::plain(format!(
            "Expected to receive an object as the function's argument. Instead received: {}",
            shown(&other)
        ))),
        Err(none) if none.is_empty() => Ok(Value::Object(Object::new())),
        Err(many) => {
            let shown = Json::Array(many.iter().map(shown).collect());
            Err(Error::plain(format!(
                "Expected to receive a single object as the function's argument. Instead received {} arguments: {shown}",
                many.len()
            )))
        }
    }
}

/// As the sender may have written it.
fn shown(value: &Value) -> Json {
    as_javascript_writes(value.to_format(JsonFormat::Clean))
}
