//! Arguments with claims in them, as in `{"name": "$name"}`.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use vestibule_schema::identity::Identity;
use vestibule_schema::value::{Object, Value};

use super::claim;

/// The sign in front of a claim's name. Doubled it is itself.
const SIGN: char = '$';

/// An object in which claims are filled in.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Template(BTreeMap<String, Part>);

/// One value of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Literal(Value),
    Claim(String),
    Array(Vec<Part>),
    Object(Template),
}

impl Template {
    /// Reads a template. The error says which part is no value.
    pub fn read(fields: &Map<String, Json>) -> Result<Template, String> {
        let field = |(name, json): (&String, &Json)| Ok((name.clone(), Part::read(json)?));
        fields
            .iter()
            .map(field)
            .collect::<Result<_, _>>()
            .map(Template)
    }

    /// Its fields.
    pub fn fields(&self) -> &BTreeMap<String, Part> {
        &self.0
    }

    /// The object for `identity`.
    pub fn fill(&self, identity: &Identity) -> Object {
        let field = |(name, part): (&String, &Part)| Some((name.clone(), part.fill(identity)?));
        self.0.iter().filter_map(field).collect()
    }
}

impl Part {
    fn read(json: &Json) -> Result<Part, String> {
        match json {
            Json::String(text) => Ok(Part::of_text(text)),
            Json::Array(parts) => parts
                .iter()
                .map(Part::read)
                .collect::<Result<_, _>>()
                .map(Part::Array),
            // An encoded value, such as `{"$integer": …}`.
            Json::Object(fields) if fields.keys().any(|name| name.starts_with(SIGN)) => {
                let value = Value::from_json(json).map_err(|error| error.to_string())?;
                Ok(Part::Literal(value))
            }
            Json::Object(fields) => Ok(Part::Object(Template::read(fields)?)),
            Json::Null | Json::Bool(_) | Json::Number(_) => {
                let value = Value::from_json(json).map_err(|error| error.to_string())?;
                Ok(Part::Literal(value))
            }
        }
    }

    fn of_text(text: &str) -> Part {
        match text.strip_prefix(SIGN) {
            Some(rest) if rest.starts_with(SIGN) || rest.is_empty() => {
                Part::Literal(rest_or(text, rest))
            }
            Some(claim) => Part::Claim(claim.to_owned()),
            None => Part::Literal(text.into()),
        }
    }

    fn fill(&self, identity: &Identity) -> Option<Value> {
        match self {
            Part::Literal(value) => Some(value.clone()),
            Part::Claim(name) => claim(identity, name),
            Part::Array(parts) => {
                let filled = parts.iter().filter_map(|part| part.fill(identity));
                Some(Value::Array(filled.collect()))
            }
            Part::Object(template) => Some(Value::Object(template.fill(identity))),
        }
    }
}

/// A doubled sign stands for one; a sign alone for itself.
fn rest_or(text: &str, rest: &str) -> Value {
    match rest.is_empty() {
        true => text.into(),
        false => rest.into(),
    }
}
