//! An identity, as verified claims: the fields that functions see, and the key under which a person is provisioned.
//! Verifying a token is the server's work; nothing here proves anything.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use thiserror::Error;

use crate::value::{Object, Value, ValueError, check_value};

const TOKEN_IDENTIFIER: &str = "tokenIdentifier";
const ISSUER: &str = "issuer";
const SUBJECT: &str = "subject";

/// The fields of an identity that are always text.
const TEXT_FIELDS: [&str; 19] = [
    "name",
    "givenName",
    "familyName",
    "nickname",
    "preferredUsername",
    "profileUrl",
    "pictureUrl",
    "websiteUrl",
    "email",
    "gender",
    "birthday",
    "timezone",
    "language",
    "phoneNumber",
    "address",
    "updatedAt",
    TOKEN_IDENTIFIER,
    ISSUER,
    SUBJECT,
];

/// The fields of an identity that are always a boolean.
const BOOLEAN_FIELDS: [&str; 2] = ["emailVerified", "phoneNumberVerified"];

/// The claims of one person as functions see them. Its `Debug` form shows no claim.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// `<issuer>|<subject>`, by which the app finds the person's document.
    pub token_identifier: String,
    /// The `iss` claim as the token spells it.
    pub issuer: String,
    /// The `sub` claim.
    pub subject: String,
    /// All other fields, from the profile (`name`, `email`, …) and custom claims. Never holds the three above.
    pub attributes: Object,
}

/// The identity by which provisioning, gates and runs in flight are told apart: the token identifier. Its `Debug` form
/// is a short hash, so that logs and spans name no person.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdentityKey(Arc<str>);

/// Why a JSON object does not describe an identity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum IdentityError {
    /// Attributes are always an object.
    #[error("user attributes must be an object")]
    NotAnObject,
    /// Neither way to name the person was given.
    #[error("user attributes need `tokenIdentifier`, or both `issuer` and `subject`")]
    Nobody,
    /// A field with a fixed meaning has another type.
    #[error("the user attribute `{field}` must be a {expected}")]
    WrongType {
        field: String,
        expected: &'static str,
    },
    /// A custom claim cannot be a value, because of its name or of what it holds.
    #[error("the user attributes are not a valid value: {0}")]
    NotAValue(#[source] ValueError),
}

impl Identity {
    /// An identity from its two names and its other fields, which lose `tokenIdentifier`, `issuer` and `subject` if
    /// they hold them. No custom claim may pass for one of those.
    pub fn new(
        issuer: impl Into<String>,
        subject: impl Into<String>,
        attributes: Object,
    ) -> Identity {
        let (issuer, subject) = (issuer.into(), subject.into());
        let token_identifier = token_identifier(&issuer, &subject);
        Identity::from_parts(token_identifier, issuer, subject, attributes)
    }

    fn from_parts(
        token_identifier: String,
        issuer: String,
        subject: String,
        mut attributes: Object,
    ) -> Identity {
        for field in [TOKEN_IDENTIFIER, ISSUER, SUBJECT] {
            attributes.remove(field);
        }
        Identity {
            token_identifier,
            issuer,
            subject,
            attributes,
        }
    }

    /// The identity that an admin acts as, from the attributes in plain JSON. These are the fields functions see, with
    /// custom claims under their own names. Profile fields that are `null` count as absent.
    ///
    /// With `tokenIdentifier` alone, issuer and subject are its two sides; a text without a `|` is all subject.
    pub fn from_attributes_json(attributes: &Json) -> Result<Identity, IdentityError> {
        let fields = attributes.as_object().ok_or(IdentityError::NotAnObject)?;
        let mut object = Object::new();
        for (name, json) in fields {
            if let Some(value) = attribute(name, json)? {
                object.insert(name.clone(), value);
            }
        }
        let names = [TOKEN_IDENTIFIER, ISSUER, SUBJECT].map(|field| take_text(&mut object, field));
        let (token_identifier, issuer, subject) = who(names).ok_or(IdentityError::Nobody)?;
        let identity = Identity::from_parts(token_identifier, issuer, subject, object);
        check_value(&identity.to_value()).map_err(IdentityError::NotAValue)?;
        Ok(identity)
    }

    /// The same person without any claim.
    pub fn from_names(other: &Identity) -> Identity {
        Identity {
            attributes: Object::new(),
            ..other.clone()
        }
    }

    /// The result of `ctx.auth.getUserIdentity()`: all fields in one object, absent ones absent.
    pub fn to_value(&self) -> Value {
        let mut object = self.attributes.clone();
        let names = [
            (TOKEN_IDENTIFIER, &self.token_identifier),
            (ISSUER, &self.issuer),
            (SUBJECT, &self.subject),
        ];
        for (field, text) in names {
            object.insert(field.to_owned(), Value::String(text.clone()));
        }
        Value::Object(object)
    }

    /// Everything a function could read from this identity, as one text: equal for equal identities and different
    /// for different ones, over restarts too. Hash it for cache keys; it holds personal data, so never log it.
    pub fn canonical(&self) -> String {
        let mut out = String::new();
        self.to_value().write_json(&mut out);
        out
    }

    /// The key under which this person is provisioned.
    pub fn key(&self) -> IdentityKey {
        IdentityKey::new(self.token_identifier.as_str())
    }

    /// One field as functions see it, `tokenIdentifier`, `issuer` and `subject` included.
    pub fn text(&self, field: &str) -> Option<&str> {
        match field {
            TOKEN_IDENTIFIER => Some(&self.token_identifier),
            ISSUER => Some(&self.issuer),
            SUBJECT => Some(&self.subject),
            other => match self.attributes.get(other) {
                Some(Value::String(text)) => Some(text),
                _ => None,
            },
        }
    }
}

/// A claim as functions see it: plain JSON becomes the natural value, every number a float. Nesting and names
/// are not checked: [`check_value`] does that.
pub fn claim_to_value(claim: &Json) -> Value {
    match claim {
        Json::Null => Value::Null,
        Json::Bool(boolean) => Value::Boolean(*boolean),
        Json::Number(number) => Value::Float64(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => Value::Array(items.iter().map(claim_to_value).collect()),
        Json::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, claim)| (name.clone(), claim_to_value(claim)))
                .collect(),
        ),
    }
}

/// One field of the attributes, or nothing if it counts as absent.
fn attribute(name: &str, json: &Json) -> Result<Option<Value>, IdentityError> {
    let is_text = TEXT_FIELDS.contains(&name);
    let is_boolean = BOOLEAN_FIELDS.contains(&name);
    match json {
        Json::Null if is_text || is_boolean => Ok(None),
        Json::String(_) if is_text => Ok(Some(claim_to_value(json))),
        Json::Bool(_) if is_boolean => Ok(Some(claim_to_value(json))),
        _ if is_text || is_boolean => Err(IdentityError::WrongType {
            field: name.to_owned(),
            expected: if is_text { "string" } else { "boolean" },
        }),
        custom => Ok(Some(claim_to_value(custom))),
    }
}

fn take_text(object: &mut Object, field: &str) -> Option<String> {
    match object.remove(field) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// Completes (token identifier, issuer, subject) from the ones that were given.
fn who(names: [Option<String>; 3]) -> Option<(String, String, String)> {
    match names {
        [None, Some(issuer), Some(subject)] => {
            Some((token_identifier(&issuer, &subject), issuer, subject))
        }
        [Some(identifier), issuer, subject] => {
            let (left, right) = identifier.split_once('|').unwrap_or(("", &identifier));
            let issuer = issuer.unwrap_or_else(|| left.to_owned());
            let subject = subject.unwrap_or_else(|| right.to_owned());
            Some((identifier, issuer, subject))
        }
        [None, None, _] | [None, _, None] => None,
    }
}

fn token_identifier(issuer: &str, subject: &str) -> String {
    format!("{issuer}|{subject}")
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.key()).finish()
    }
}

impl IdentityKey {
    /// The key that a token identifier stands for.
    pub fn new(token_identifier: impl Into<Arc<str>>) -> IdentityKey {
        IdentityKey(token_identifier.into())
    }

    /// The token identifier itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        write!(f, "identity#{:016x}", hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn identity(attributes: Json) -> Identity {
        Identity::from_attributes_json(&attributes).unwrap()
    }

    #[test]
    fn issuer_and_subject_make_the_token_identifier() {
        let ada = identity(json!({"issuer": "https://issuer.example/", "subject": "ada"}));
        assert_eq!(ada.token_identifier, "https://issuer.example/|ada");
        assert_eq!(
            ada,
            Identity::new("https://issuer.example/", "ada", Object::new())
        );
        assert_eq!(ada.key().as_str(), "https://issuer.example/|ada");
    }

    #[test]
    fn a_token_identifier_alone_is_enough() {
        let ada = identity(json!({"tokenIdentifier": "https://issuer.example|auth0|7"}));
        assert_eq!(
            (ada.issuer.as_str(), ada.subject.as_str()),
            ("https://issuer.example", "auth0|7")
        );
        let bare = identity(json!({"tokenIdentifier": "ada", "issuer": null}));
        assert_eq!((bare.issuer.as_str(), bare.subject.as_str()), ("", "ada"));
    }

    #[test]
    fn attributes_that_name_nobody_are_refused() {
        for attributes in [
            json!({}),
            json!({"issuer": "i"}),
            json!({"subject": "s"}),
            json!({"issuer": null, "subject": "s"}),
        ] {
            assert_eq!(
                Identity::from_attributes_json(&attributes),
                Err(IdentityError::Nobody)
            );
        }
        for attributes in [json!(null), json!([]), json!("ada")] {
            assert_eq!(
                Identity::from_attributes_json(&attributes),
                Err(IdentityError::NotAnObject)
            );
        }
    }

    #[test]
    fn fields_with_a_meaning_keep_their_type() {
        for (attributes, message) in [
            (
                json!({"tokenIdentifier": 1}),
                "the user attribute `tokenIdentifier` must be a string",
            ),
            (
                json!({"tokenIdentifier": "a", "email": true}),
                "the user attribute `email` must be a string",
            ),
            (
                json!({"tokenIdentifier": "a", "emailVerified": "yes"}),
                "the user attribute `emailVerified` must be a boolean",
            ),
        ] {
            let error = Identity::from_attributes_json(&attributes).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn functions_see_all_fields_and_no_absent_ones() {
        let ada = identity(json!({
            "issuer": "i", "subject": "s", "email": "ada@example.com", "emailVerified": true, "name": null,
            "orgRole": "admin", "level": 3, "nothing": null, "props": {"tags": ["a", 1.5]},
        }));
        assert_eq!(
            ada.canonical(),
            r#"{"email":"ada@example.com","emailVerified":true,"issuer":"i","level":3.0,"nothing":null,"#
                .to_owned()
                + r#""orgRole":"admin","props":{"tags":["a",1.5]},"subject":"s","tokenIdentifier":"i|s"}"#
        );
        assert_eq!(ada.text("email"), Some("ada@example.com"));
        assert_eq!(ada.text("subject"), Some("s"));
        assert_eq!(ada.text("level"), None);
        let Value::Object(seen) = ada.to_value() else {
            panic!("an identity is an object")
        };
        assert!(!seen.contains_key("name"));
    }

    #[test]
    fn a_custom_claim_never_passes_for_the_subject() {
        let claims = Object::from([("subject".to_owned(), Value::String("root".to_owned()))]);
        assert_eq!(
            Identity::new("i", "s", claims),
            Identity::new("i", "s", Object::new())
        );
    }

    #[test]
    fn a_claim_that_is_no_value_is_refused() {
        let attributes = json!({"tokenIdentifier": "a", "props": {"$integer": "AAAAAAAAAAA="}});
        assert!(matches!(
            Identity::from_attributes_json(&attributes),
            Err(IdentityError::NotAValue(_))
        ));
    }

    #[test]
    fn the_canonical_text_tells_identities_apart() {
        let texts = [
            json!({"issuer": "i", "subject": "s"}),
            json!({"issuer": "i", "subject": "s", "role": "1"}),
            json!({"issuer": "i", "subject": "s", "role": 1}),
            json!({"issuer": "i", "subject": "s", "role": null}),
            json!({"tokenIdentifier": "x", "issuer": "i", "subject": "s"}),
        ]
        .map(|attributes| identity(attributes).canonical());
        for (index, text) in texts.iter().enumerate() {
            assert!(!texts[..index].contains(text), "{text}");
        }
    }

    #[test]
    fn logs_show_neither_claims_nor_the_key() {
        let ada = identity(json!({"issuer": "i", "subject": "ada", "email": "ada@example.com"}));
        let shown = format!("{ada:?} {:?}", ada.key());
        assert!(
            !shown.contains("ada") && shown.contains("identity#"),
            "{shown}"
        );
        assert_eq!(
            serde_json::to_string(&ada.key()).unwrap(),
            "\"i|ada\"",
            "but it travels as it is"
        );
    }
}
