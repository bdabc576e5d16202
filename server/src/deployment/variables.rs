//! Environment variables: their names, their bounds, and the two that are always there.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use thiserror::Error;

/// Variables of one deployment.
pub const VARIABLES_MAX: usize = 512;
/// Characters of a name.
pub const VARIABLE_NAME_LENGTH_MAX: usize = 256;
/// Bytes of a value.
pub const VARIABLE_VALUE_BYTES_MAX: usize = 8 << 10;
/// Bytes of all names and values together.
pub const VARIABLES_BYTES_MAX: usize = 512 << 10;

/// The origin of the API, which functions may read.
pub const CLOUD_URL: &str = "CONVEX_CLOUD_URL";
/// The origin of the HTTP actions.
pub const SITE_URL: &str = "CONVEX_SITE_URL";
/// Names that the deployment sets itself.
const BUILT_IN: [&str; 2] = [CLOUD_URL, SITE_URL];

/// The variables of a deployment by name, without the built-in ones. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(Arc<BTreeMap<String, String>>);

/// A change of one variable. Without a value it is removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableChange {
    pub name: String,
    pub value: Option<String>,
}

/// Why variables are refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum VariableError {
    #[error(
        "The environment variable name {0} is invalid. Environment variable names must begin with a letter and may only include characters a-z, A-Z, 0-9, and underscores."
    )]
    Name(String),
    #[error(
        "The environment variable name {0} is too long. Environment variable names may have up to {VARIABLE_NAME_LENGTH_MAX} characters."
    )]
    NameTooLong(String),
    #[error("Environment variable with name \"{0}\" is built-in and cannot be overridden")]
    BuiltIn(String),
    #[error(
        "The value of the environment variable {0} is too large. Environment variable values may have up to {VARIABLE_VALUE_BYTES_MAX} bytes."
    )]
    ValueTooLarge(String),
    #[error("The environment variable limit ({VARIABLES_MAX}) has been met.")]
    TooMany,
    #[error(
        "The environment variables are too large together. They may have up to {VARIABLES_BYTES_MAX} bytes."
    )]
    TooLarge,
}

impl VariableError {
    /// The code that tools see.
    pub fn code(&self) -> &'static str {
        match self {
            VariableError::Name(_) | VariableError::BuiltIn(_) => "EnvironmentVariableNameInvalid",
            VariableError::NameTooLong(_) => "EnvironmentVariableNameTooLong",
            VariableError::ValueTooLarge(_) => "EnvironmentVariableValueTooLarge",
            VariableError::TooMany | VariableError::TooLarge => "EnvironmentVariableLimitExceeded",
        }
    }
}

impl VariableChange {
    /// Refuses a change that no deployment takes. A name that may not be set may not be removed either.
    pub fn check(&self) -> Result<(), VariableError> {
        let name = || self.name.clone();
        if self.name.len() > VARIABLE_NAME_LENGTH_MAX {
            return Err(VariableError::NameTooLong(name()));
        }
        let is_first = |byte: &u8| byte.is_ascii_alphabetic();
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let begins = self.name.as_bytes().first().is_some_and(is_first);
        if !begins || !self.name.bytes().all(is_allowed) {
            return Err(VariableError::Name(name()));
        }
        if BUILT_IN.contains(&&*self.name) {
            return Err(VariableError::BuiltIn(name()));
        }
        match &self.value {
            Some(value) if value.len() > VARIABLE_VALUE_BYTES_MAX => {
                Err(VariableError::ValueTooLarge(name()))
            }
            _ => Ok(()),
        }
    }
}

impl Variables {
    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Stands for these names and values: two sets with the same version are equal.
    pub fn version(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for part in self.0.iter().flat_map(|(name, value)| [name, value]) {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hasher.finalize().into()
    }

    /// The variables after `changes`, each of which is checked.
    pub fn changed(&self, changes: &[VariableChange]) -> Result<Variables, VariableError> {
        let mut variables = BTreeMap::clone(&self.0);
        for change in changes {
            change.check()?;
            match &change.value {
                Some(value) => variables.insert(change.name.clone(), value.clone()),
                None => variables.remove(&change.name),
            };
        }
        if variables.len() > VARIABLES_MAX {
            return Err(VariableError::TooMany);
        }
        let bytes: usize = variables
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        match bytes > VARIABLES_BYTES_MAX {
            true => Err(VariableError::TooLarge),
            false => Ok(Variables(Arc::new(variables))),
        }
    }
}

impl FromIterator<(String, String)> for Variables {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Variables {
        Variables(Arc::new(variables.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, value: Option<&str>) -> VariableChange {
        VariableChange {
            name: name.to_owned(),
            value: value.map(str::to_owned),
        }
    }

    #[test]
    fn changes_set_and_remove() {
        let none = Variables::default();
        let two = none
            .changed(&[change("A", Some("1")), change("b_2", Some(""))])
            .unwrap();
        assert_eq!(two.iter().collect::<Vec<_>>(), [("A", "1"), ("b_2", "")]);
        let one = two
            .changed(&[change("A", None), change("never", None)])
            .unwrap();
        assert_eq!(
            (one.len(), one.get("A"), one.get("b_2")),
            (1, None, Some(""))
        );
        assert_ne!(two.version(), one.version());
        assert_eq!(
            one.changed(&[change("b_2", None)]).unwrap().version(),
            none.version()
        );
    }

    #[test]
    fn names_and_values_are_bounded() {
        let refused = |name: &str, value: &str| {
            let refused = Variables::default().changed(&[change(name, Some(value))]);
            refused.unwrap_err()
        };
        for name in ["", "1A", "A-B", "Ä", "A B"] {
            assert_eq!(refused(name, ""), VariableError::Name(name.to_owned()));
        }
        assert_eq!(
            refused("A-B", "").to_string(),
            "The environment variable name A-B is invalid. Environment variable names must begin with a letter and may only \
             include characters a-z, A-Z, 0-9, and underscores."
        );
        assert_eq!(
            refused(&"A".repeat(257), "").code(),
            "EnvironmentVariableNameTooLong"
        );
        assert_eq!(
            refused("A", &"x".repeat(8_193)).code(),
            "EnvironmentVariableValueTooLarge"
        );
        assert_eq!(
            refused("CONVEX_SITE_URL", "x").to_string(),
            "Environment variable with name \"CONVEX_SITE_URL\" is built-in and cannot be overridden"
        );
    }

    #[test]
    fn there_are_not_too_many() {
        let many: Vec<VariableChange> = (0..=VARIABLES_MAX)
            .map(|n| change(&format!("A{n}"), Some("")))
            .collect();
        let none = Variables::default();
        assert_eq!(none.changed(&many), Err(VariableError::TooMany));
        assert!(none.changed(&many[1..]).is_ok());
        let large: Vec<VariableChange> = (0..65)
            .map(|n| change(&format!("A{n}"), Some(&"x".repeat(8_192))))
            .collect();
        assert_eq!(none.changed(&large), Err(VariableError::TooLarge));
    }
}
