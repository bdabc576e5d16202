//! The client's name and version, and whether it is too old to be served.

use std::fmt;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use semver::Version;
use vestibule_schema::JsonFormat;

use super::respond::WireError;
use crate::sync::ClientFeatures;

const CLIENT_HEADER: &str = "convex-client";
const STATE_HEADER: HeaderName = HeaderName::from_static("x-convex-deprecation-state");
const MESSAGE_HEADER: HeaderName = HeaderName::from_static("x-convex-deprecation-message");

/// Longest client name and version that is looked at, in bytes.
const CLIENT_BYTES_MAX: usize = 128;

/// A client's name and version, as the client states them. They decide nothing but the courtesy to old clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ClientVersion {
    name: String,
    version: Option<Version>,
}

/// Clients that age together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Npm,
    Python,
    Rust,
}

/// How a client's age is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Support {
    /// It is served.
    Supported,
    /// It is served, and told that it is old.
    Deprecated,
    /// It is refused.
    Unsupported,
}

/// A text that names no client version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InvalidClientVersion;

impl ClientVersion {
    /// A client that does not say.
    pub fn unknown() -> ClientVersion {
        ClientVersion::default()
    }

    /// Whether it said nothing.
    pub fn is_unknown(&self) -> bool {
        self.name.is_empty()
    }

    /// Reads the `Convex-Client` header, `<name>-<version>`. The longest suffix that is a version is the version.
    pub fn of(headers: &HeaderMap) -> Result<ClientVersion, InvalidClientVersion> {
        let Some(header) = headers.get(CLIENT_HEADER) else {
            return Ok(ClientVersion::unknown());
        };
        let text = header.to_str().map_err(|_| InvalidClientVersion)?;
        if text.is_empty() || text.len() > CLIENT_BYTES_MAX {
            return Err(InvalidClientVersion);
        }
        for (dash, _) in text.match_indices('-').filter(|(dash, _)| *dash > 0) {
            if let Ok(version) = Version::parse(&text[dash + 1..]) {
                let name = text[..dash].to_ascii_lowercase();
                return Ok(ClientVersion {
                    name,
                    version: Some(version),
                });
            }
        }
        // A family's own clients of long ago did not keep to the form: they are too old rather than odd.
        let client = |name: &str| ClientVersion {
            name: name.to_ascii_lowercase(),
            version: None,
        };
        let names = text
            .match_indices('-')
            .map(|(dash, _)| &text[..dash])
            .chain([text]);
        names
            .map(client)
            .find(|client| client.family().is_some())
            .ok_or(InvalidClientVersion)
    }

    /// Reads the version in a socket's path, as the JavaScript client writes it.
    pub fn of_path(segment: &str) -> Result<ClientVersion, InvalidClientVersion> {
        let version = Version::parse(segment).map_err(|_| InvalidClientVersion)?;
        Ok(ClientVersion {
            name: "npm".to_string(),
            version: Some(version),
        })
    }

    fn family(&self) -> Option<Family> {
        match self.name.as_str() {
            "npm" | "npm-cli" => Some(Family::Npm),
            "python" | "python-convex" => Some(Family::Python),
            "rust" => Some(Family::Rust),
            _ => None,
        }
    }

    /// Whether its version is at most this one. A family's unreadable version counts as its oldest.
    fn is_at_most(&self, major: u64, minor: u64, patch: u64) -> bool {
        self.version
            .as_ref()
            .is_none_or(|version| *version <= Version::new(major, minor, patch))
    }

    pub fn support(&self) -> Support {
        let (unsupported, deprecated) = match self.family() {
            Some(Family::Npm) => (self.is_at_most(0, 19, 1), false),
            Some(Family::Python) => (self.is_at_most(0, 0, 2), self.is_at_most(0, 2, 0)),
            Some(Family::Rust) => (self.is_at_most(0, 0, 1), false),
            None => (false, false),
        };
        match (unsupported, deprecated) {
            (true, _) => Support::Unsupported,
            (false, true) => Support::Deprecated,
            (false, false) => Support::Supported,
        }
    }

    /// The client's abilities on a socket: only clients that are known to put chunks together may be sent any.
    pub fn features(&self) -> ClientFeatures {
        let is_new = self
            .version
            .as_ref()
            .is_some_and(|version| *version >= Version::new(1, 28, 0));
        ClientFeatures {
            transition_chunks: self.name == "npm" && is_new,
        }
    }

    /// The format of results for a request that names none.
    pub fn default_format(&self) -> JsonFormat {
        let is_before = |major, minor, patch| {
            self.version
                .as_ref()
                .is_none_or(|version| *version < Version::new(major, minor, patch))
        };
        let is_old = match self.family() {
            Some(Family::Npm) => is_before(1, 4, 1),
            Some(Family::Python) => is_before(0, 5, 0),
            Some(Family::Rust) | None => false,
        };
        if is_old {
            JsonFormat::Encoded
        } else {
            JsonFormat::Clean
        }
    }

    /// Refuses a client that is too old.
    pub fn check_supported(&self) -> Result<(), WireError> {
        match self.support() {
            Support::Supported | Support::Deprecated => Ok(()),
            Support::Unsupported => Err(WireError::bad_request(
                "ClientVersionUnsupported",
                self.notice("no longer"),
            )),
        }
    }

    /// Tells an old client so, beside whatever it is answered.
    pub fn mark(&self, headers: &mut HeaderMap) {
        let (state, notice) = match self.support() {
            Support::Supported => return,
            Support::Deprecated => ("UpgradeRequired", self.notice("soon no longer")),
            Support::Unsupported => ("Unsupported", self.notice("no longer")),
        };
        headers.insert(STATE_HEADER, HeaderValue::from_static(state));
        if let Ok(notice) = HeaderValue::try_from(notice) {
            headers.insert(MESSAGE_HEADER, notice);
        }
    }

    fn notice(&self, when: &str) -> String {
        format!("The client {self} is {when} supported. Upgrade it to a current version.")
    }
}

impl fmt::Display for ClientVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.version {
            Some(version) => write!(f, "-{version}"),
            None => Ok(()),
        }
    }
}

impl From<InvalidClientVersion> for WireError {
    fn from(_: InvalidClientVersion) -> WireError {
        let message = "The client version must be of the form <name>-<version>, as in npm-1.45.0.";
        WireError::bad_request("InvalidClientVersion", message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<ClientVersion, InvalidClientVersion> {
        let mut headers = HeaderMap::new();
        headers.insert(CLIENT_HEADER, HeaderValue::from_str(text).unwrap());
        ClientVersion::of(&headers)
    }

    #[test]
    fn the_longest_suffix_that_is_a_version_is_the_version() {
        let cases = [
            ("npm-1.45.0", "npm", "1.45.0"),
            ("NPM-1.45.0", "npm", "1.45.0"),
            ("npm-cli-1.46.0-alpha.2", "npm-cli", "1.46.0-alpha.2"),
            ("rust-0.10.4", "rust", "0.10.4"),
            ("my-own-tool-0.0.1", "my-own-tool", "0.0.1"),
        ];
        for (text, name, version) in cases {
            let client = parsed(text).unwrap();
            assert_eq!(
                (client.name.as_str(), client.version),
                (name, Some(Version::parse(version).unwrap())),
                "{text}"
            );
        }
        for text in [
            "",
            "tool",
            "tool-1",
            "-1.0.0",
            "1.0.0",
            "tool-1.0",
            &format!("{}-1.0.0", "x".repeat(200)),
        ] {
            assert_eq!(parsed(text), Err(InvalidClientVersion), "{text}");
        }
        assert!(ClientVersion::of(&HeaderMap::new()).unwrap().is_unknown());
    }

    #[test]
    fn clients_age_by_family() {
        use Support::{Deprecated, Supported, Unsupported};
        let cases = [
            ("npm-0.19.1", Unsupported),
            ("npm-0.19.2", Supported),
            ("npm-cli-0.1.0", Unsupported),
            ("npm-unknown", Unsupported),
            ("python-0.0.2", Unsupported),
            ("python-convex-0.2.0", Deprecated),
            ("python-0.2.1", Supported),
            ("rust-0.0.1", Unsupported),
            ("rust-0.10.4", Supported),
            ("mine-0.0.0", Supported),
        ];
        for (text, support) in cases {
            assert_eq!(parsed(text).unwrap().support(), support, "{text}");
        }
        assert_eq!(ClientVersion::unknown().support(), Supported);
    }

    #[test]
    fn only_very_old_clients_get_encoded_results_unasked() {
        let cases = [
            ("npm-1.4.0", JsonFormat::Encoded),
            ("npm-1.4.1", JsonFormat::Clean),
            ("python-0.4.9", JsonFormat::Encoded),
            ("python-0.5.0", JsonFormat::Clean),
            ("rust-0.1.0", JsonFormat::Clean),
        ];
        for (text, format) in cases {
            assert_eq!(parsed(text).unwrap().default_format(), format, "{text}");
        }
        assert_eq!(ClientVersion::unknown().default_format(), JsonFormat::Clean);
    }

    #[test]
    fn only_javascript_clients_of_late_are_sent_chunks() {
        for (text, takes) in [
            ("npm-1.27.9", false),
            ("npm-1.28.0", true),
            ("rust-2.0.0", false),
        ] {
            assert_eq!(
                parsed(text).unwrap().features().transition_chunks,
                takes,
                "{text}"
            );
        }
        assert!(!ClientVersion::unknown().features().transition_chunks);
    }

    #[test]
    fn a_version_in_a_path_is_that_of_the_javascript_client() {
        assert_eq!(
            ClientVersion::of_path("1.46.0-alpha.2").unwrap(),
            parsed("npm-1.46.0-alpha.2").unwrap()
        );
        assert_eq!(ClientVersion::of_path("latest"), Err(InvalidClientVersion));
    }
}
