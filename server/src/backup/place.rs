//! Files that are whole or not there: temporary names, syncs, renames, and what a file is told by.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::BackupError;
use crate::storage::{private_directory, private_file};

/// Bytes that are read at a time.
const READ_BYTES: usize = 256 << 10;
/// The name that marks a directory as in work while a program holds its lock.
const LOCK: &str = ".work";

/// The size and hash that identify a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Digest {
    pub bytes: u64,
    pub sha256: String,
}

impl Digest {
    /// That of bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest {
            bytes: bytes.len() as u64,
            sha256: data_encoding::HEXLOWER.encode(&Sha256::digest(bytes)),
        }
    }

    /// That of a file as it is.
    pub fn of_file(path: &Path) -> io::Result<Digest> {
        copy(path, &mut io::sink())
    }
}

/// Copies a file, and tells what was copied.
pub(super) fn copy(path: &Path, to: &mut impl Write) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut bytes = 0;
    let mut part = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut part)?;
        if read == 0 {
            let sha256 = data_encoding::HEXLOWER.encode(&hash.finalize());
            return Ok(Digest { bytes, sha256 });
        }
        hash.update(&part[..read]);
        to.write_all(&part[..read])?;
        bytes += read as u64;
    }
}

/// Writes a file under a temporary name, syncs it, and puts it in the place of the one that was there.
pub(super) fn replace(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), BackupError> {
    let arriving = beside(path, ".arriving");
    let replaced = private_file(&arriving).and_then(|mut file| {
        write(&mut file)?;
        file.sync_all()?;
        fs::rename(&arriving, path)?;
        sync_directory(path.parent().unwrap_or(Path::new(".")))
    });
    replaced.map_err(BackupError::at(path))
}

/// The name of a path with an ending.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    let directory = match directory.as_os_str().is_empty() {
        true => Path::new("."),
        false => directory,
    };
    File::open(directory)?.sync_all()
}

/// Takes a directory for this process alone, for as long as the file is open.
pub(super) fn lock(directory: &Path) -> Result<File, BackupError> {
    let path = directory.join(LOCK);
    let file = private_file(&path).map_err(BackupError::at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BackupError::Busy(directory.to_path_buf())),
        Err(TryLockError::Error(error)) => Err(BackupError::at(&path)(error)),
    }
}

/// Removes the mark by which a directory is locked.
pub(super) fn unlock(directory: &Path) -> io::Result<()> {
    fs::remove_file(directory.join(LOCK))
}

/// A directory that is made beside its place, and moved there once it is whole. An attempt that was cut short is thrown
/// away by the next one; until then its name says that it is none.
pub(super) fn begin_beside(target: &Path, ending: &str) -> Result<(PathBuf, File), BackupError> {
    let arriving = beside(target, ending);
    let failed = BackupError::at(&arriving);
    if arriving.exists() {
        drop(lock(&arriving)?);
        fs::remove_dir_all(&arriving).map_err(&failed)?;
    }
    private_directory(&arriving).map_err(&failed)?;
    let lock = lock(&arriving)?;
    Ok((arriving, lock))
}
