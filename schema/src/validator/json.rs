//! The exported JSON form of validators, read with the rules a push applies.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::{Map, Value as Json, json};

use super::{Field, FunctionType, Validator};
use crate::path::check_identifier;
use crate::value::Value;

/// Why a validator cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ValidatorError {
    #[error("Args validator must be an object or any")]
    ArgsNotObject,
    /// Carries the validator as it is displayed.
    #[error(
        "The document validator in a schema must be an object, a union of objects, or `v.any()`. Found {0}. To learn more, see the schema documentation at https://docs.convex.dev/database/schemas."
    )]
    DocumentNotObject(String),
    #[error("Records can only have string keys. Found {0}.")]
    RecordKeys(String),
    #[error("Records cannot have string literal keys")]
    RecordLiteralKeys,
    #[error("Records cannot have optional values")]
    RecordOptionalValues,
    /// Carries what is wrong with the name of an object's field.
    #[error("{0}")]
    FieldName(String),
    #[error(
        "`v.literal({0})` is not supported. Literals are strings, booleans, numbers or int64s."
    )]
    Literal(String),
    /// Carries what was expected, and what stood there.
    #[error("Invalid validator: expected {expected}, found {found}")]
    Shape {
        expected: &'static str,
        found: String,
    },
}

impl Validator {
    /// The JSON form that `exportArgs()`, `exportReturns()` and schemas carry.
    pub fn to_json(&self) -> Json {
        match self {
            Validator::Null => json!({"type": "null"}),
            Validator::Boolean => json!({"type": "boolean"}),
            Validator::Number => json!({"type": "number"}),
            Validator::Bigint => json!({"type": "bigint"}),
            Validator::CommitTs => json!({"type": "commitTs"}),
            Validator::String => json!({"type": "string"}),
            Validator::Bytes => json!({"type": "bytes"}),
            Validator::Any => json!({"type": "any"}),
            Validator::Id { table } => json!({"type": "id", "tableName": table}),
            Validator::Literal(value) => json!({"type": "literal", "value": value.to_json()}),
            Validator::Function(declared) => function_to_json(declared),
            Validator::Array(element) => json!({"type": "array", "value": element.to_json()}),
            Validator::Object(fields) => {
                let fields = fields.iter().map(|(name, field)| {
                    (
                        name.clone(),
                        field_to_json(&field.validator, field.optional),
                    )
                });
                json!({"type": "object", "value": fields.collect::<Map<_, _>>()})
            }
            Validator::Record { keys, values } => json!({
                "type": "record", "keys": keys.to_json(), "values": field_to_json(values, false),
            }),
            Validator::Union(members) => {
                let members: Vec<Json> = members.iter().map(Validator::to_json).collect();
                json!({"type": "union", "value": members})
            }
        }
    }

    /// Reads the JSON form. Refuses unknown nodes, field names that are not identifiers, and records whose keys are
    /// not plain strings.
    pub fn from_json(json: &Json) -> Result<Self, ValidatorError> {
        let node = as_object(json, "a validator")?;
        let kind = member(node, "type", "a validator with a `type`")?;
        Ok(match kind.as_str() {
            Some("null") => Validator::Null,
            Some("boolean") => Validator::Boolean,
            Some("number") => Validator::Number,
            Some("bigint") => Validator::Bigint,
            Some("commitTs") => Validator::CommitTs,
            Some("string") => Validator::String,
            Some("bytes") => Validator::Bytes,
            Some("any") => Validator::Any,
            Some("id") => id_from_json(node)?,
            Some("literal") => literal_from_json(node)?,
            Some("function") => function_from_json(node)?,
            Some("array") => {
                let element = member(node, "value", "an array validator with a `value`")?;
                Validator::array(Validator::from_json(element)?)
            }
            Some("object") => object_from_json(node)?,
            Some("record") => record_from_json(node)?,
            Some("union") => union_from_json(node)?,
            _ => return Err(shape("a validator type", kind)),
        })
    }
}

fn field_to_json(validator: &Validator, optional: bool) -> Json {
    json!({"fieldType": validator.to_json(), "optional": optional})
}

fn function_to_json(declared: &FunctionType) -> Json {
    let FunctionType {
        kind,
        args,
        returns,
    } = declared;
    let mut json = json!({"type": "function"});
    let parts = [
        ("fnType", kind.as_ref().map(|kind| json!(kind))),
        ("args", args.as_ref().map(Validator::to_json)),
        ("returns", returns.as_ref().map(Validator::to_json)),
    ];
    for (name, part) in parts {
        if let Some(part) = part {
            json[name] = part;
        }
    }
    json
}

fn function_from_json(node: &Map<String, Json>) -> Result<Validator, ValidatorError> {
    let kind = match node.get("fnType") {
        None | Some(Json::Null) => None,
        Some(Json::String(kind)) if ["query", "mutation", "action"].contains(&kind.as_str()) => {
            Some(kind.clone())
        }
        Some(other) => return Err(shape("`fnType` to be query, mutation or action", other)),
    };
    let part = |name: &str| match node.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(json) => Validator::from_json(json).map(Some),
    };
    Ok(Validator::Function(Box::new(FunctionType {
        kind,
        args: part("args")?,
        returns: part("returns")?,
    })))
}

fn id_from_json(node: &Map<String, Json>) -> Result<Validator, ValidatorError> {
    let table = member(node, "tableName", "an id validator with a `tableName`")?;
    match table.as_str() {
        Some(name) => Ok(Validator::id(name)),
        None => Err(shape("the name of a table", table)),
    }
}

fn literal_from_json(node: &Map<String, Json>) -> Result<Validator, ValidatorError> {
    let json = member(node, "value", "a literal validator with a `value`")?;
    let value = Value::from_json(json).map_err(|_| shape("a literal's value", json))?;
    match value {
        Value::String(_) | Value::Boolean(_) | Value::Float64(_) | Value::Int64(_) => {
            Ok(Validator::Literal(value))
        }
        Value::Null | Value::Bytes(_) | Value::Array(_) | Value::Object(_) => {
            Err(ValidatorError::Literal(value.to_string()))
        }
    }
}

fn object_from_json(node: &Map<String, Json>) -> Result<Validator, ValidatorError> {
    let declared = member(node, "value", "an object validator with a `value`")?;
    let mut fields = BTreeMap::new();
    for (name, json) in as_object(declared, "the fields of an object validator")? {
        check_identifier(name).map_err(|reason| ValidatorError::FieldName(reason.to_string()))?;
        fields.insert(name.clone(), field_from_json(json)?);
    }
    Ok(Validator::Object(fields))
}

fn field_from_json(json: &Json) -> Result<Field, ValidatorError> {
    let node = as_object(json, "a field with a `fieldType`")?;
    let field_type = member(node, "fieldType", "a field with a `fieldType`")?;
    let optional = match node.get("optional") {
        None => false,
        Some(Json::Bool(optional)) => *optional,
        Some(other) => return Err(shape("`optional` to be a boolean", other)),
    };
    let validator = Validator::from_json(field_type)?;
    Ok(Field {
        validator,
        optional,
    })
}

fn record_from_json(node: &Map<String, Json>) -> Result<Validator, ValidatorError> {
    let keys = member(node, "keys", "a record validator with `keys`")?;
    let keys = Validator::from_json(keys)?;
    check_record_keys(&keys)?;
    let values = field_from_json(member(node, "values", "a record validator with `values`")?)?;
    if values.optional {
        return Err(ValidatorError::RecordOptionalValues);
    }
    Ok(Validator::record(keys, values.validator))
}

fn check_record_keys(keys: &Validator) -> Result<(), ValidatorError> {
    match keys {
        Validator::String | Validator::Id { .. } => Ok(()),
        Validator::Literal(Value::String(_)) => Err(ValidatorError::RecordLiteralKeys),
        Validator::Union(members) => members.iter().try_for_each(check_record_keys),
        other => Err(ValidatorError::RecordKeys(other.to_string())),
    }
}

fn union_from_json(node: &Map<String, Json>) -> Result<Validator, ValidatorError> {
    let members = member(node, "value", "a union validator with a `value`")?;
    let Some(list) = members.as_array() else {
        return Err(shape("the members of a union", members));
    };
    let members: Result<_, _> = list.iter().map(Validator::from_json).collect();
    Ok(Validator::Union(members?))
}

fn as_object<'a>(
    json: &'a Json,
    expected: &'static str,
) -> Result<&'a Map<String, Json>, ValidatorError> {
    json.as_object().ok_or_else(|| shape(expected, json))
}

fn member<'a>(
    node: &'a Map<String, Json>,
    name: &str,
    expected: &'static str,
) -> Result<&'a Json, ValidatorError> {
    node.get(name)
        .ok_or_else(|| shape(expected, &Json::Object(node.clone())))
}

fn shape(expected: &'static str, found: &Json) -> ValidatorError {
    let found = found.to_string();
    ValidatorError::Shape { expected, found }
}

impl Serialize for Validator {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json()
            .serialize(serializer)
            .map_err(ser::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Validator {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        Validator::from_json(&json).map_err(de::Error::custom)
    }
}
