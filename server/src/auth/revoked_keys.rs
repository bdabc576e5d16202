//! The revoked admin keys.
//!
//! They stand in a file of the data directory, one id a line, which an operator's command adds to while the server
//! runs. The server looks at the file whenever a key is used, so a revocation holds from the next use on and over
//! restarts. While the file cannot be read no key works: damage must not bring a revoked key back.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use parking_lot::Mutex;

use super::admin::KeyId;
use super::private_file::sync_directory;

/// The list's file in the data directory.
pub const REVOKED_KEYS_FILE: &str = "revoked-admin-keys";
/// Longest list that is read, in bytes: some sixty thousand keys.
const REVOKED_KEYS_BYTES_MAX: u64 = 1 << 20;

/// Why the list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RevokedKeysError {
    #[error("Could not read or write the list of revoked admin keys {path}: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "The list of revoked admin keys {path} is not understood in line {line}; write one key id of 16 hexadecimal digits a line.",
        path = path.display()
    )]
    Line { path: PathBuf, line: usize },
    #[error(
        "The list of revoked admin keys {path} is longer than {REVOKED_KEYS_BYTES_MAX} bytes; remove the ids of keys that have expired.",
        path = path.display()
    )]
    TooLong { path: PathBuf },
}

pub(super) struct RevokedKeys {
    /// None for a list that is kept elsewhere.
    path: Option<PathBuf>,
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    ids: BTreeSet<KeyId>,
    /// The file as it was when it was read; none when there was none.
    read_from: Option<Version>,
}

/// Tells one state of the file from the next: it only grows, or is edited by hand.
#[derive(Clone, PartialEq, Eq)]
struct Version {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl RevokedKeys {
    pub fn of(ids: impl IntoIterator<Item = KeyId>) -> RevokedKeys {
        let list = List {
            ids: ids.into_iter().collect(),
            read_from: None,
        };
        RevokedKeys {
            path: None,
            list: Mutex::new(list),
        }
    }

    pub fn open(data_directory: &Path) -> Result<RevokedKeys, RevokedKeysError> {
        let keys = RevokedKeys {
            path: Some(data_directory.join(REVOKED_KEYS_FILE)),
            list: Mutex::default(),
        };
        keys.read()?;
        Ok(keys)
    }

    pub fn contains(&self, id: KeyId) -> Result<bool, RevokedKeysError> {
        self.read()?;
        Ok(self.list.lock().ids.contains(&id))
    }

    /// Adds an id, and returns once it is durable.
    pub fn insert(&self, id: KeyId) -> Result<(), RevokedKeysError> {
        // Nothing is added to a list whose end cannot be read.
        self.read()?;
        if let Some(path) = &self.path {
            append(path, id).map_err(failed(path))?;
        }
        self.list.lock().ids.insert(id);
        Ok(())
    }

    pub fn ids(&self) -> Vec<KeyId> {
        self.list.lock().ids.iter().copied().collect()
    }

    /// Reads the file if it has changed since. Looking costs one system call, and keys are used rarely.
    fn read(&self) -> Result<(), RevokedKeysError> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let mut list = self.list.lock();
        let version = Version::of(path).map_err(failed(path))?;
        if version != list.read_from {
            list.ids = match version {
                Some(_) => parse(path, &text_of(path)?)?,
                None => BTreeSet::new(),
            };
            list.read_from = version;
        }
        Ok(())
    }
}

impl Version {
    fn of(path: &Path) -> io::Result<Option<Version>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(Version {
                bytes: metadata.len(),
                modified: metadata.modified().ok(),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn text_of(path: &Path) -> Result<Vec<u8>, RevokedKeysError> {
    let mut text = Vec::new();
    let file = File::open(path).map_err(failed(path))?;
    let mut file = file.take(REVOKED_KEYS_BYTES_MAX + 1);
    file.read_to_end(&mut text).map_err(failed(path))?;
    if text.len() as u64 > REVOKED_KEYS_BYTES_MAX {
        return Err(RevokedKeysError::TooLong {
            path: path.to_owned(),
        });
    }
    Ok(text)
}

fn parse(path: &Path, text: &[u8]) -> Result<BTreeSet<KeyId>, RevokedKeysError> {
    let lines = text.split(|byte| *byte == b'\n').enumerate();
    let lines = lines.map(|(index, line)| (index, line.trim_ascii()));
    let id = |(index, line): (usize, &[u8])| {
        let id = std::str::from_utf8(line).ok().map(str::parse);
        id.and_then(Result::ok).ok_or(RevokedKeysError::Line {
            path: path.to_owned(),
            line: index + 1,
        })
    };
    lines.filter(|(_, line)| !line.is_empty()).map(id).collect()
}

/// One write of one line at the end, so that two commands at once lose nothing.
fn append(path: &Path, id: KeyId) -> io::Result<()> {
    let mut file = match open_to_append(path, true) {
        Ok(file) => {
            #[cfg(unix)]
            give_to_owner_of_directory(path, &file)?;
            file
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open_to_append(path, false)?,
        Err(error) => return Err(error),
    };
    file.write_all(format!("{id}\n").as_bytes())?;
    file.sync_all()?;
    sync_directory(path)
}

fn open_to_append(path: &Path, is_new: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create_new(is_new);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

/// A list that the superuser has just made belongs to the server's user, who must be able to read it.
#[cfg(unix)]
fn give_to_owner_of_directory(path: &Path, made: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let Some(directory) = path.parent() else {
        return Ok(());
    };
    let directory = fs::metadata(directory)?;
    match made.metadata()?.uid() == 0 && directory.uid() != 0 {
        true => fchown(made, Some(directory.uid()), Some(directory.gid())),
        false => Ok(()),
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> RevokedKeysError {
    move |source| RevokedKeysError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> KeyId {
        text.parse().unwrap()
    }

    #[test]
    fn what_one_adds_the_other_sees_at_once_and_after_a_restart() {
        let data = tempfile::tempdir().unwrap();
        let (server, command) = (
            RevokedKeys::open(data.path()).unwrap(),
            RevokedKeys::open(data.path()).unwrap(),
        );
        let ids = ["00000000000000aa", "00000000000000bb", "00000000000000cc"].map(id);
        for (position, added) in ids.into_iter().enumerate() {
            assert!(!server.contains(added).unwrap());
            command.insert(added).unwrap();
            assert!(server.contains(added).unwrap());
            let restarted = RevokedKeys::open(data.path()).unwrap();
            assert_eq!(restarted.ids(), ids[..=position]);
        }
        fs::remove_file(data.path().join(REVOKED_KEYS_FILE)).unwrap();
        assert!(!server.contains(ids[0]).unwrap(), "an operator's decision");
    }

    #[test]
    fn a_list_edited_by_hand_is_read_again() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join(REVOKED_KEYS_FILE);
        let keys = RevokedKeys::open(data.path()).unwrap();
        fs::write(&path, "\n 00000000000000aa\r\n\n00000000000000bb").unwrap();
        assert!(keys.contains(id("00000000000000aa")).unwrap());
        assert!(keys.contains(id("00000000000000bb")).unwrap());
    }

    #[test]
    fn a_damaged_list_is_refused_with_a_sentence_and_not_added_to() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join(REVOKED_KEYS_FILE);
        let keys = RevokedKeys::open(data.path()).unwrap();
        let damaged = [
            ("00000000000000aa\n00000000", 2),
            ("x", 1),
            ("00000000000000AA", 1),
            ("\n\n\u{e9}", 3),
        ];
        for (text, line) in damaged {
            fs::write(&path, text).unwrap();
            let error = keys.contains(id("00000000000000bb")).unwrap_err();
            let place = format!("in line {line};");
            assert!(error.to_string().contains(&place), "{error}");
            assert!(RevokedKeys::open(data.path()).is_err());
            assert!(keys.insert(id("00000000000000bb")).is_err());
            assert_eq!(fs::read(&path).unwrap(), text.as_bytes());
        }
        fs::write(&path, " ".repeat(REVOKED_KEYS_BYTES_MAX as usize)).unwrap();
        assert!(!keys.contains(id("00000000000000bb")).unwrap());
        fs::write(&path, " ".repeat(REVOKED_KEYS_BYTES_MAX as usize + 1)).unwrap();
        let error = keys.contains(id("00000000000000bb")).unwrap_err();
        assert!(error.to_string().contains("longer than"), "{error}");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(keys.contains(id("00000000000000bb")).is_err());
    }

    #[test]
    fn a_list_that_cannot_be_looked_at_does_not_count_as_none() {
        let data = tempfile::tempdir().unwrap();
        let no_directory = data.path().join("file");
        fs::write(&no_directory, "").unwrap();
        let opened = RevokedKeys::open(&no_directory);
        assert!(matches!(opened, Err(RevokedKeysError::Io { .. })));
    }
}
