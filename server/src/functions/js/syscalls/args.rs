//! Arguments of host operations: the JSON object that the package sends, read argument by argument.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use serde_json::value::RawValue;
use vestibule_schema::id::DocumentId;
use vestibule_schema::value::{Object, Value, ValueError};

use super::super::encoded;
use super::commit_ts::{self, may_have_token};
use super::error::SyscallError;
use crate::database::CommitTsPlaces;

/// The arguments of one operation. Each is read when it is asked for.
pub(super) struct Args<'a> {
    /// The operation's name in error texts.
    api: &'static str,
    arguments: BTreeMap<String, &'a RawValue>,
}

/// The fields of an object, each of which may be `undefined`.
pub(super) type Fields = Vec<(String, Option<Value>)>;

impl<'a> Args<'a> {
    /// Reads `text`, an operation's arguments. Error texts call the operation `api`.
    pub fn parse(api: &'static str, text: &'a str) -> Result<Args<'a>, SyscallError> {
        let arguments = serde_json::from_str(text).map_err(|error| match error.is_data() {
            true => SyscallError::arguments(api, "expected an object"),
            false => SyscallError::bad_request(format!("Received invalid json: {error}")),
        })?;
        Ok(Args { api, arguments })
    }

    /// The JSON text of an argument; none as well when it is null.
    pub fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let raw = self.arguments.get(name).copied();
        raw.filter(|raw| raw.get() != "null")
    }

    fn required(&self, name: &str) -> Result<&'a RawValue, SyscallError> {
        let raw = self.arguments.get(name).copied();
        raw.ok_or_else(|| {
            SyscallError::arguments(self.api, format!("Missing required argument '{name}'"))
        })
    }

    fn read<T: DeserializeOwned>(
        &self,
        name: &str,
        raw: &RawValue,
        expected: &str,
    ) -> Result<T, SyscallError> {
        serde_json::from_str(raw.get()).map_err(|_| match encoded::tree(raw.get()) {
            Ok(_) => self.refuse(name, format!("expected {expected}, got {}", shown(raw))),
            Err(error) => self.refuse(name, error),
        })
    }

    /// An error that says why an argument cannot be used.
    pub fn refuse(&self, name: &str, reason: impl std::fmt::Display) -> SyscallError {
        SyscallError::argument(self.api, name, reason)
    }

    pub fn text(&self, name: &str) -> Result<String, SyscallError> {
        self.read(name, self.required(name)?, "a string")
    }

    pub fn optional_text(&self, name: &str) -> Result<Option<String>, SyscallError> {
        let raw = self.raw(name);
        raw.map(|raw| self.read(name, raw, "a string")).transpose()
    }

    pub fn number(&self, name: &str) -> Result<f64, SyscallError> {
        self.read(name, self.required(name)?, "a number")
    }

    pub fn optional_number(&self, name: &str) -> Result<Option<f64>, SyscallError> {
        let raw = self.raw(name);
        raw.map(|raw| self.read(name, raw, "a number")).transpose()
    }

    /// A boolean; false when it is absent.
    pub fn flag(&self, name: &str) -> Result<bool, SyscallError> {
        match self.raw(name) {
            Some(raw) => self.read(name, raw, "a boolean"),
            None => Ok(false),
        }
    }

    /// A small argument as a tree.
    pub fn tree(&self, name: &str) -> Result<Json, SyscallError> {
        self.read(name, self.required(name)?, "JSON")
    }

    /// An encoded value.
    pub fn value(&self, name: &str) -> Result<Value, SyscallError> {
        let raw = self.required(name)?;
        encoded::value(raw.get()).map_err(|error| self.no_value(name, raw, &error))
    }

    /// An encoded object, which may have unresolved commit timestamps at these places.
    pub fn object(&self, name: &str) -> Result<(Object, CommitTsPlaces), SyscallError> {
        let raw = self.required(name)?;
        let (value, places) = value_and_places(raw).map_err(|error| self.refuse(name, error))?;
        let object = value.into_object().ok();
        let object = object.ok_or_else(|| self.refuse(name, NOT_AN_OBJECT))?;
        Ok((object, places))
    }

    /// An encoded object whose fields may be `undefined`, and which may have unresolved commit timestamps at these places.
    pub fn fields(&self, name: &str) -> Result<(Fields, CommitTsPlaces), SyscallError> {
        let raw = self.required(name)?;
        let fields: Result<BTreeMap<String, &RawValue>, _> = serde_json::from_str(raw.get());
        // A wrapper such as `{"$bytes": …}` is an object in JSON only.
        let fields = fields.ok().filter(|fields| !is_wrapper(fields));
        let fields = fields.ok_or_else(|| self.refuse(name, NOT_AN_OBJECT))?;
        let mut places = CommitTsPlaces::default();
        let read = |(field, raw): (String, &RawValue)| {
            let Some((value, inside)) = defined(raw)? else {
                return Ok((field, None));
            };
            places.extend_inside(&field, inside);
            Ok((field, Some(value)))
        };
        let fields: Result<Fields, ValueError> = fields.into_iter().map(read).collect();
        let fields = fields.map_err(|error| self.refuse(name, error))?;
        Ok((fields, places))
    }

    /// Why an argument is no value. An unresolved commit timestamp has an error of its own.
    fn no_value(&self, name: &str, raw: &RawValue, error: &ValueError) -> SyscallError {
        match may_have_token(raw.get()) {
            true => SyscallError::bad_request(UNRESOLVED_HERE),
            false => self.refuse(name, error),
        }
    }

    /// A document's id.
    pub fn id(&self, name: &str) -> Result<DocumentId, SyscallError> {
        let text = self.text(name)?;
        text.parse()
            .map_err(|error| self.refuse(name, format!("Unable to decode ID: {error}")))
    }
}

/// The error of a commit timestamp where the commit cannot put one.
const UNRESOLVED_HERE: &str = "`db.vars.commitTs` can only be written to documents, passed to functions of the same transaction and returned by mutations.";
const NOT_AN_OBJECT: &str = "Value must be an Object";

fn is_wrapper(fields: &BTreeMap<String, &RawValue>) -> bool {
    let only = fields.keys().next().filter(|_| fields.len() == 1);
    only.is_some_and(|name| name.starts_with('$'))
}

/// Characters of an argument that an error text shows.
const SHOWN_MAX: usize = 100;

fn shown(raw: &RawValue) -> &str {
    let text = raw.get();
    &text[..text.floor_char_boundary(SHOWN_MAX)]
}

/// A value that may have unresolved commit timestamps.
fn value_and_places(raw: &RawValue) -> Result<(Value, CommitTsPlaces), ValueError> {
    match encoded::value(raw.get()) {
        Err(_) if may_have_token(raw.get()) => commit_ts::read(raw.get()),
        read => Ok((read?, CommitTsPlaces::default())),
    }
}

fn defined(raw: &RawValue) -> Result<Option<(Value, CommitTsPlaces)>, ValueError> {
    match is_undefined(raw) {
        true => Ok(None),
        false => value_and_places(raw).map(Some),
    }
}

/// The longest text, blanks included, that is looked at for being `undefined`.
const UNDEFINED_BYTES_MAX: usize = 64;

fn is_undefined(raw: &RawValue) -> bool {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Undefined {
        #[serde(rename = "$undefined")]
        _undefined: (),
    }
    let text = raw.get();
    text.len() <= UNDEFINED_BYTES_MAX
        && text.starts_with('{')
        && serde_json::from_str::<Undefined>(text).is_ok()
}

/// A value in a tree that is compared with. It may be `undefined` or an unresolved commit timestamp.
pub(super) fn defined_in_tree(json: &Json) -> Result<Option<Value>, ValueError> {
    match json.as_object() {
        Some(fields) if fields.len() == 1 && fields.get("$undefined") == Some(&Json::Null) => {
            Ok(None)
        }
        _ if commit_ts::is_token(json) => Ok(Some(CommitTsPlaces::UNRESOLVED)),
        _ => Value::from_json(json).map(Some),
    }
}
