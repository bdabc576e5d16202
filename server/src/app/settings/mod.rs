//! Settings as people write them: a flag, an environment variable, or a file that a variable names.
//!
//! Empty means not given, for all of them, since compose files write `${X:-}`. Blanks around a value are taken off. A
//! value that cannot be understood stops the start, with a sentence that shows it and a right one. A program adds its
//! [`Setting`]s to a command with `augment` and reads what was [`Given`].

#[cfg(feature = "cli")]
mod command;
mod near;
pub mod parse;
#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

#[cfg(feature = "cli")]
pub use command::augment;

use crate::deployment::VariableError;

/// Longest file that a variable may name, in bytes.
pub const SETTING_FILE_BYTES_MAX: u64 = 1 << 20;
/// The end of a variable's name when its value is the name of a file that holds the setting.
const FILE_SUFFIX: &str = "_FILE";

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The flag, without its hyphens. A secret has none: every user of a machine sees those.
    pub flag: Option<&'static str>,
    /// The environment variable. The same with `_FILE` behind it names a file that holds the value.
    pub variable: &'static str,
    /// The placeholder for the value in the help.
    pub value_name: &'static str,
    /// Its purpose.
    pub help: &'static str,
    /// A right value, for the sentence about a wrong one.
    pub example: &'static str,
    /// How it is given.
    pub kind: Kind,
}

/// How often and with what a setting is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value.
    One,
    /// Values with commas between them; the flag may be repeated.
    Many,
    /// Values on lines of their own, which no message shows; the flag may be repeated.
    Lines,
    /// On or off; the flag alone is on.
    Switch,
    /// A value that no message shows.
    Secret,
}

/// Why a setting cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum SettingError {
    #[error("{place} is {value:?}: {why}; write it as in {place_example}")]
    Wrong {
        place: String,
        value: String,
        why: String,
        place_example: String,
    },
    #[error("{place} cannot be used: {why}; write it as in {place_example}")]
    WrongSecret {
        place: String,
        why: String,
        place_example: String,
    },
    #[error("{place} is not text")]
    NotText { place: String },
    #[error("{variable} and {variable}_FILE are both given; take one of them away")]
    Twice { variable: &'static str },
    #[error("{variable}_FILE names {path:?}, which cannot be read: {why}")]
    File {
        variable: &'static str,
        path: PathBuf,
        why: String,
    },
    /// The value may be a secret.
    #[error("{place} cannot be used: {why}")]
    Variable { place: String, why: VariableError },
    #[error("{found} is no setting; {meant} is")]
    Misspelt { found: String, meant: String },
    #[error("{one} is given without {other}; they belong together")]
    Alone { one: String, other: String },
    #[error("{one} and {other} are both given; take one of them away")]
    Conflict { one: String, other: String },
}

impl SettingError {
    /// One setting is given without the other that belongs to it.
    pub fn alone(one: &Setting, other: &Setting) -> SettingError {
        SettingError::Alone {
            one: one.to_string(),
            other: other.to_string(),
        }
    }

    /// A variable of the deployment that cannot be one.
    pub fn variable(place: String, why: VariableError) -> SettingError {
        SettingError::Variable { place, why }
    }

    /// Two settings are given that exclude each other.
    pub fn conflict(one: &Setting, other: &Setting) -> SettingError {
        SettingError::Conflict {
            one: one.to_string(),
            other: other.to_string(),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.flag {
            Some(flag) => write!(f, "--{flag} ({})", self.variable),
            None => f.write_str(self.variable),
        }
    }
}

/// The environment variables that settings are looked up in.
#[derive(Clone, Debug, Default)]
pub struct Environment(Vec<(String, OsString)>);

impl Environment {
    /// The environment of this process. Variables whose names are not text belong to no setting.
    pub fn of_process() -> Environment {
        let variables = std::env::vars_os();
        Environment(
            variables
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
                .collect(),
        )
    }

    /// One for tests.
    pub fn of<'t>(variables: impl IntoIterator<Item = (&'t str, &'t str)>) -> Environment {
        let variables = variables.into_iter();
        Environment(
            variables
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<&OsStr> {
        let found = self.0.iter().find(|(variable, _)| variable == name);
        found
            .map(|(_, value)| value.as_os_str())
            .filter(|value| !is_blank(value))
    }

    /// Reads a setting of which no flag is looked at, as [`Given::read`] does.
    pub fn read<T, E: fmt::Display>(
        &self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, SettingError> {
        match variable_or_file(self, setting.variable)? {
            Some(found) => found.read(setting, parse).map(Some),
            None => Ok(None),
        }
    }

    /// A variable of a program's own, such as a secret, given by itself or by a file.
    pub fn variable(&self, name: &'static str) -> Result<Option<String>, SettingError> {
        let Some(found) = variable_or_file(self, name)? else {
            return Ok(None);
        };
        let text = found.text.to_str().ok_or_else(|| SettingError::NotText {
            place: found.place.to_string(),
        })?;
        Ok(Some(text.trim().to_owned()))
    }

    /// The variables whose names begin with `prefix`, by what follows it. Those without a value are not given.
    fn below(&self, prefix: &'static str) -> impl Iterator<Item = (&str, &OsStr)> {
        let below = self.0.iter().filter_map(move |(name, value)| {
            let name = name.strip_prefix(prefix)?;
            Some((name, value.as_os_str()))
        });
        below.filter(|(_, value)| !is_blank(value))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

/// The flags of a command line.
pub trait Flags: fmt::Debug {
    /// The values of a flag, empty ones included; none when it is not given.
    fn values(&self, flag: &str) -> Option<Vec<OsString>>;
}

/// No command line: the environment alone.
#[derive(Clone, Copy, Debug)]
pub struct NoFlags;

impl Flags for NoFlags {
    fn values(&self, _: &str) -> Option<Vec<OsString>> {
        None
    }
}

/// The given settings: flags first, then variables.
#[derive(Clone, Copy, Debug)]
pub struct Given<'g> {
    flags: &'g dyn Flags,
    environment: &'g Environment,
}

/// A value, and where it was found.
struct Found {
    place: Place,
    text: OsString,
}

#[derive(Clone, Copy)]
enum Place {
    Flag(&'static str),
    Variable(&'static str),
    File(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Flag(flag) => write!(f, "--{flag}"),
            Place::Variable(variable) => f.write_str(variable),
            Place::File(variable) => write!(f, "the file that {variable}{FILE_SUFFIX} names"),
        }
    }
}

impl<'g> Given<'g> {
    /// The settings of a command line and an environment.
    pub fn new(flags: &'g dyn Flags, environment: &'g Environment) -> Given<'g> {
        Given { flags, environment }
    }

    /// Reads a setting with `parse`, which says in a clause why a text is wrong. None when it is not given.
    pub fn read<T, E: fmt::Display>(
        &self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, SettingError> {
        match self.find(setting)?.pop() {
            Some(found) => found.read(setting, parse).map(Some),
            None => Ok(None),
        }
    }

    /// Reads a setting that is any text.
    pub fn text(&self, setting: &Setting) -> Result<Option<String>, SettingError> {
        self.read(setting, |text| Ok::<_, fmt::Error>(text.to_owned()))
    }

    /// Reads a setting that names a file or a directory, which may be no text.
    pub fn path(&self, setting: &Setting) -> Result<Option<PathBuf>, SettingError> {
        let found = self.find(setting)?.pop();
        Ok(found.map(|found| match found.text.to_str() {
            Some(text) => text.trim().into(),
            None => found.text.into(),
        }))
    }

    /// Reads a setting of several values. Empty ones are left out.
    pub fn list<T, E: fmt::Display>(
        &self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, SettingError> {
        let mut values = Vec::new();
        let between: &[char] = match setting.kind {
            Kind::Lines => &['\n'],
            _ => &[',', '\n'],
        };
        for found in self.find(setting)? {
            let texts = found.text(setting)?.split(between).map(str::trim);
            for text in texts.filter(|text| !text.is_empty()) {
                let parsed = parse(text).map_err(|why| found.wrong(setting, text, &why))?;
                values.push(parsed);
            }
        }
        Ok(values)
    }

    /// The variables whose names begin with `prefix`, by what follows it, as texts with their ends as they are.
    pub fn below(&self, prefix: &'static str) -> Result<Vec<(String, String)>, SettingError> {
        let below = self.environment.below(prefix).map(|(name, value)| {
            let text = value.to_str().ok_or_else(|| SettingError::NotText {
                place: format!("{prefix}{name}"),
            })?;
            Ok((name.to_owned(), text.to_owned()))
        });
        below.collect()
    }

    /// Refuses variables whose names are almost those of settings: a misspelled setting would be ignored.
    pub fn check_spelling(&self, settings: &[Setting]) -> Result<(), SettingError> {
        near::check(self.environment.names(), settings)
    }

    /// The values of the flag, or else of the variable, or else of the file that another variable names.
    fn find(&self, setting: &Setting) -> Result<Vec<Found>, SettingError> {
        let flags = self.flags(setting);
        if let Some(flag) = setting.flag.filter(|_| flags.is_some()) {
            let place = Place::Flag(flag);
            let texts = flags.into_iter().flatten();
            return Ok(texts.map(|text| Found { place, text }).collect());
        }
        let found = variable_or_file(self.environment, setting.variable)?;
        Ok(found.into_iter().collect())
    }

    /// The flag's values; `Some` also when all of them are empty, which takes the variable's away.
    fn flags(&self, setting: &Setting) -> Option<Vec<OsString>> {
        let flag = setting.flag?;
        let mut values = self.flags.values(flag)?;
        values.retain(|value| !is_blank(value));
        Some(values)
    }
}

fn variable_or_file(
    environment: &Environment,
    variable: &'static str,
) -> Result<Option<Found>, SettingError> {
    let direct = environment.get(variable);
    let file = environment.get(&format!("{variable}{FILE_SUFFIX}"));
    match (direct, file) {
        (Some(_), Some(_)) => Err(SettingError::Twice { variable }),
        (Some(text), None) => Ok(Some(Found {
            place: Place::Variable(variable),
            text: text.to_owned(),
        })),
        (None, Some(path)) => {
            let text = read_file(variable, path.into())?;
            Ok((!text.trim().is_empty()).then(|| Found {
                place: Place::File(variable),
                text: text.into(),
            }))
        }
        (None, None) => Ok(None),
    }
}

fn read_file(variable: &'static str, path: PathBuf) -> Result<String, SettingError> {
    use std::io::Read;
    let read = || {
        let mut text = String::new();
        let file = std::fs::File::open(&path)?;
        file.take(SETTING_FILE_BYTES_MAX + 1)
            .read_to_string(&mut text)?;
        match text.len() as u64 > SETTING_FILE_BYTES_MAX {
            true => Err(std::io::ErrorKind::FileTooLarge.into()),
            false => Ok(text),
        }
    };
    read().map_err(|error: std::io::Error| SettingError::File {
        variable,
        path: path.clone(),
        why: error.to_string(),
    })
}

impl Found {
    fn read<T, E: fmt::Display>(
        &self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, SettingError> {
        let text = self.text(setting)?;
        parse(text).map_err(|why| self.wrong(setting, text, &why))
    }

    fn text(&self, setting: &Setting) -> Result<&str, SettingError> {
        let place = || self.place.to_string();
        match self.text.to_str() {
            Some(text) => Ok(text.trim()),
            None if matches!(setting.kind, Kind::Secret | Kind::Lines) => {
                Err(SettingError::NotText { place: place() })
            }
            None => Err(SettingError::Wrong {
                place: place(),
                value: self.text.to_string_lossy().into_owned(),
                why: "it is not text".to_owned(),
                place_example: self.example(setting),
            }),
        }
    }

    fn wrong(&self, setting: &Setting, value: &str, why: &dyn fmt::Display) -> SettingError {
        let (place, why) = (self.place.to_string(), why.to_string());
        let place_example = self.example(setting);
        match setting.kind {
            Kind::Secret | Kind::Lines => SettingError::WrongSecret {
                place,
                why,
                place_example,
            },
            Kind::One | Kind::Many | Kind::Switch => SettingError::Wrong {
                place,
                value: value.to_owned(),
                why,
                place_example,
            },
        }
    }

    fn example(&self, setting: &Setting) -> String {
        let example = setting.example;
        match (self.place, setting.kind) {
            (Place::Flag(flag), Kind::Switch) => format!("--{flag}={example}"),
            (Place::Flag(flag), _) => format!("--{flag} {example}"),
            (Place::Variable(variable), _) => format!("{variable}={example}"),
            (Place::File(_), _) => example.to_owned(),
        }
    }
}

fn is_blank(value: &OsStr) -> bool {
    value.to_str().is_some_and(|text| text.trim().is_empty())
}
