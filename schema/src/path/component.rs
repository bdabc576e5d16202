//! Component paths: which mounted component of a deployment is meant.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::identifier::{IdentifierError, check_identifier};

/// The path of a mounted component: names joined by slashes, as in `workflow/workpool`. The root is the app itself, and its
/// path is empty. Cloning is cheap.
///
/// ```
/// use vestibule_schema::ComponentPath;
///
/// let pool: ComponentPath = "workflow/workpool".parse()?;
/// assert_eq!((pool.parent().as_str(), pool.name()), ("workflow", "workpool"));
/// assert_eq!(pool, ComponentPath::ROOT.child("workflow")?.child("workpool")?);
/// # Ok::<(), vestibule_schema::IdentifierError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentPath(Option<Arc<str>>);

impl ComponentPath {
    /// The app itself.
    pub const ROOT: ComponentPath = ComponentPath(None);

    /// Whether it is the app itself.
    pub fn is_root(&self) -> bool {
        self.0.is_none()
    }

    /// As text; empty for the root.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// The component that this one mounts as `name`.
    pub fn child(&self, name: &str) -> Result<ComponentPath, IdentifierError> {
        check_name(name)?;
        Ok(ComponentPath(Some(match &self.0 {
            None => name.into(),
            Some(path) => [path, "/", name].concat().into(),
        })))
    }

    /// Whether it is `other`, or a component in it.
    pub fn is_within(&self, other: &ComponentPath) -> bool {
        let below = self.as_str().strip_prefix(other.as_str());
        let is_whole = |below: &str| below.is_empty() || below.starts_with('/');
        other.is_root() || below.is_some_and(is_whole)
    }

    /// The component that mounts this one; the root's is the root.
    pub fn parent(&self) -> ComponentPath {
        let parent = self.as_str().rsplit_once('/');
        ComponentPath(parent.map(|(parent, _)| parent.into()))
    }

    /// Its name in the component that mounts it; empty for the root.
    pub fn name(&self) -> &str {
        let path = self.as_str();
        path.rsplit_once('/').map_or(path, |(_, name)| name)
    }
}

/// Refuses what is no identifier, and names that would make a component's tables look like those of the server.
fn check_name(name: &str) -> Result<(), IdentifierError> {
    check_identifier(name)?;
    match name.starts_with('_') {
        true => Err(IdentifierError::LeadingUnderscore {
            identifier: name.to_owned(),
        }),
        false => Ok(()),
    }
}

/// The empty text is the root.
impl FromStr for ComponentPath {
    type Err = IdentifierError;

    fn from_str(text: &str) -> Result<ComponentPath, IdentifierError> {
        if text.is_empty() {
            return Ok(ComponentPath::ROOT);
        }
        text.split('/').try_for_each(check_name)?;
        Ok(ComponentPath(Some(text.into())))
    }
}

impl fmt::Display for ComponentPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ComponentPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ComponentPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ComponentPath, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_path_is_names_joined_by_slashes() {
        let path: ComponentPath = "a/b2/c".parse().unwrap();
        assert_eq!((path.name(), path.parent().as_str()), ("c", "a/b2"));
        assert_eq!(path.parent().parent().parent(), ComponentPath::ROOT);
        assert_eq!("".parse(), Ok(ComponentPath::ROOT));
        assert!(ComponentPath::ROOT.is_root() && ComponentPath::ROOT.name().is_empty());
        for text in [
            "/", "a/", "/a", "a//b", "a b", "a:b", "a-b", "../a", "_a", "a/_b",
        ] {
            assert!(text.parse::<ComponentPath>().is_err(), "{text}");
        }
        for name in ["x/y", "_x", ""] {
            assert!(path.child(name).is_err(), "{name}");
        }
    }
}
