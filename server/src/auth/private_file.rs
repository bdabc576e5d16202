//! Files of 32 random bytes that only their owner may use.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use super::secret::{NoRandomness, SecretFileError};

/// Length of such a file, in bytes.
const LENGTH: usize = 32;

/// The bytes in the file at `path`; a file that does not exist is created with random ones.
pub(super) fn load_or_create(path: &Path) -> Result<[u8; LENGTH], SecretFileError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => load(path, &metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path),
        Err(error) => Err(failed(path)(error)),
    }
}

/// Random bytes from the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| NoRandomness)?;
    Ok(bytes)
}

fn load(path: &Path, metadata: &fs::Metadata) -> Result<[u8; LENGTH], SecretFileError> {
    if !metadata.is_file() {
        return Err(SecretFileError::NotAFile {
            path: path.to_owned(),
        });
    }
    check_mode(path, metadata)?;
    let wrong_length = |found| SecretFileError::Length {
        path: path.to_owned(),
        found,
        expected: LENGTH,
    };
    if metadata.len() != LENGTH as u64 {
        return Err(wrong_length(metadata.len()));
    }
    let mut bytes = [0; LENGTH];
    let mut file = File::open(path).map_err(failed(path))?;
    file.read_exact(&mut bytes).map_err(failed(path))?;
    Ok(bytes)
}

#[cfg(unix)]
fn check_mode(path: &Path, metadata: &fs::Metadata) -> Result<(), SecretFileError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(SecretFileError::Mode {
            path: path.to_owned(),
            mode,
        })
    }
}

#[cfg(not(unix))]
fn check_mode(_path: &Path, _metadata: &fs::Metadata) -> Result<(), SecretFileError> {
    Ok(())
}

/// Writes beside, then renames: a crash in between leaves no file of half a secret.
fn create(path: &Path) -> Result<[u8; LENGTH], SecretFileError> {
    let bytes = random()?;
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(path)(error)),
        _ => {}
    }
    write_new(&beside, &bytes).map_err(failed(path))?;
    fs::rename(&beside, path).map_err(failed(path))?;
    sync_directory(path).map_err(failed(path))?;
    Ok(bytes)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes the name of a file just created durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    match path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> SecretFileError {
    move |source| SecretFileError::Io {
        path: path.to_owned(),
        source,
    }
}
