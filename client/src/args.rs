//! Arguments: anything that serializes to an object, or `()`.

use serde::Serialize;
use vestibule_schema::{Object, Value, check_value, to_value};

use crate::error::CallError;

/// The arguments that `source` stands for.
pub(crate) fn to_args(source: &(impl Serialize + ?Sized)) -> Result<Object, CallError> {
    let value = to_value(source).map_err(|error| CallError::Args(error.to_string()))?;
    check_value(&value).map_err(|error| CallError::Args(error.to_string()))?;
    match value {
        Value::Object(args) => Ok(args),
        Value::Null => Ok(Object::new()),
        other => Err(CallError::Args(format!(
            "arguments are an object, not {}",
            other.type_name()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use vestibule_schema::object;

    use super::*;

    #[derive(Serialize)]
    struct Send {
        body: &'static str,
    }

    #[test]
    fn arguments_are_objects_however_they_are_written() {
        let wanted = object! { "body" => "hi" };
        assert_eq!(to_args(&wanted).unwrap(), wanted);
        assert_eq!(to_args(&Send { body: "hi" }).unwrap(), wanted);
        assert_eq!(to_args(&()).unwrap(), Object::new());
        assert!(matches!(to_args(&1), Err(CallError::Args(_))));
    }
}
