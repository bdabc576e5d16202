//! Looking at a data directory or a backup for damage, without changing anything.

use std::fmt::Display;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use vestibule_schema::timestamp::Timestamp;

use super::BackupError;
use super::manifest::{Base, Content, Log, Manifest};
use super::place::Digest;
use crate::database::{compare, read_catalog};
use crate::files::{check_contents, content_file};
use crate::storage::{database_file, inspect, read_row};

/// The problems that were found: how many, and the first of them.
#[derive(Debug)]
pub struct Problems {
    first: Vec<String>,
    count: u64,
    told_max: usize,
}

/// Counts of what was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Entries of databases, by their checksums.
    pub entries: u64,
    /// Rows of logs.
    pub rows: u64,
    /// Documents, held against every index of their tables.
    pub documents: u64,
    /// Entries of indexes, held against their documents.
    pub index_entries: u64,
    /// Files, by the SHA-256 of their contents.
    pub files: u64,
    /// The bytes of those.
    pub file_bytes: u64,
}

impl Problems {
    /// How many are told one by one unless something else is asked for.
    pub const TOLD_MAX: usize = 20;

    /// None yet, of which `told_max` will be told.
    pub fn new(told_max: usize) -> Problems {
        Problems {
            first: Vec::new(),
            count: 0,
            told_max,
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The first of them, each a sentence.
    pub fn first(&self) -> &[String] {
        &self.first
    }

    fn add(&mut self, place: &str, problem: impl Display) {
        self.count += 1;
        if self.first.len() < self.told_max {
            self.first.push(format!("{place}: {problem}"));
        }
    }

    pub(super) fn must_be_none(self) -> Result<(), BackupError> {
        match self.count {
            0 => Ok(()),
            count => Err(BackupError::Unsound {
                count,
                first: self.first,
            }),
        }
    }
}

/// Looks at a backup, or at a data directory that no server uses.
pub fn verify(path: &Path, problems: &mut Problems) -> Result<Checked, BackupError> {
    let mut checked = Checked::default();
    if !super::is_backup(path) {
        check_store(path, path, "database", problems, &mut checked)?;
        return Ok(checked);
    }
    let manifest = Manifest::read(path)?;
    if manifest.bases.is_empty() {
        problems.add("backup.json", "it names no base");
    }
    for base in &manifest.bases {
        check_base(path, base, problems, &mut checked)?;
    }
    for log in &manifest.logs {
        check_log(path, log, problems, &mut checked);
        check_contents_of(path, &log.contents, problems, &mut checked);
        if !manifest.goes_on_from(log) {
            problems.add(&log.file, "what it goes on from is missing");
        }
    }
    for private in &manifest.private {
        check_digest(
            &path.join(&private.name),
            &private.digest,
            &private.name,
            problems,
        );
    }
    Ok(checked)
}

/// Reads back what has arrived: a base and all contents that it names, or a log and the contents that came with it.
pub(super) fn check_arrived(
    root: &Path,
    manifest: &Manifest,
    is_base: bool,
    arrived: &[Content],
    problems: &mut Problems,
) -> Result<(), BackupError> {
    let mut checked = Checked::default();
    match (is_base, manifest.bases.last(), manifest.logs.last()) {
        (true, Some(base), _) => check_base(root, base, problems, &mut checked)?,
        (false, _, Some(log)) => check_log(root, log, problems, &mut checked),
        _ => {}
    }
    // With a base, its documents say what all contents are.
    if !is_base {
        check_contents_of(root, arrived, problems, &mut checked);
    }
    for private in &manifest.private {
        check_digest(
            &root.join(&private.name),
            &private.digest,
            &private.name,
            problems,
        );
    }
    Ok(())
}

impl Manifest {
    fn goes_on_from(&self, log: &Log) -> bool {
        let bases = self.bases.iter().map(|base| base.ts);
        let logs = self.logs.iter().map(|log| log.to);
        bases.chain(logs).any(|reached| reached == log.from)
    }
}

fn check_base(
    root: &Path,
    base: &Base,
    problems: &mut Problems,
    checked: &mut Checked,
) -> Result<(), BackupError> {
    let directory = base.in_backup(root);
    let place = &base.directory;
    check_digest(&database_file(&directory), &base.digest, place, problems);
    match check_store(&directory, root, place, problems, checked) {
        // What cannot be looked at is a problem of the backup.
        Err(BackupError::Storage(error)) if !error.is_in_use() => {
            problems.add(place, error);
            Ok(())
        }
        other => other,
    }
}

/// Looks at the store in `dir`, and at the contents below `data`.
pub(super) fn check_store(
    dir: &Path,
    data: &Path,
    place: &str,
    problems: &mut Problems,
    checked: &mut Checked,
) -> Result<(), BackupError> {
    let inspected = inspect(dir, &mut |fault| problems.add(place, fault))?;
    checked.entries += inspected.entries;
    checked.rows += inspected.rows;
    let Some(snapshot) = inspected.snapshot else {
        problems.add(
            place,
            "documents, indexes and files were not compared, because of the damage above",
        );
        return Ok(());
    };
    let catalog = read_catalog(&snapshot, &mut |fault| problems.add(place, fault));
    let compared = compare(&snapshot, &catalog, &mut |fault| problems.add(place, fault));
    checked.documents += compared.documents;
    checked.index_entries += compared.index_entries;
    let (files, bytes) = check_contents(&snapshot, &catalog, data, &mut |fault| {
        problems.add(place, fault)
    });
    checked.files += files;
    checked.file_bytes += bytes;
    Ok(())
}

fn check_digest(path: &Path, expected: &Digest, place: &str, problems: &mut Problems) {
    match Digest::of_file(path) {
        Ok(digest) if digest == *expected => {}
        Ok(digest) if digest.bytes != expected.bytes => {
            let (found, expected) = (digest.bytes, expected.bytes);
            problems.add(place, format!("it has {found} bytes instead of {expected}"));
        }
        Ok(_) => problems.add(place, "it does not match its SHA-256"),
        Err(error) => problems.add(place, format!("it cannot be read: {error}")),
    }
}

fn check_contents_of(
    root: &Path,
    contents: &[Content],
    problems: &mut Problems,
    checked: &mut Checked,
) {
    for Content { key, digest } in contents {
        checked.files += 1;
        checked.file_bytes += digest.bytes;
        let place = format!("the content {key}");
        check_digest(&content_file(root, *key), digest, &place, problems);
    }
}

fn check_log(root: &Path, log: &Log, problems: &mut Problems, checked: &mut Checked) {
    check_digest(&root.join(&log.file), &log.digest, &log.file, problems);
    let mut reached = Timestamp(log.from);
    let read = each_row(root, log, |last, body| {
        checked.rows += 1;
        match read_row(last, body) {
            None => problems.add(&log.file, "a row does not match its checksum"),
            Some((previous, _)) if previous != reached => {
                problems.add(&log.file, "the row before one is missing");
            }
            Some(_) => {}
        }
        reached = last;
        Ok(())
    });
    match read {
        Err(error) => problems.add(&log.file, error),
        Ok(()) if reached.0 != log.to => problems.add(&log.file, "it ends with another commit"),
        Ok(()) => {}
    }
}

/// Hands every row of a log to `visit`.
pub(super) fn each_row(
    root: &Path,
    log: &Log,
    mut visit: impl FnMut(Timestamp, &[u8]) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let path = root.join(&log.file);
    let failed = BackupError::at(&path);
    let mut file = BufReader::new(File::open(&path).map_err(&failed)?);
    let mut left = log.digest.bytes;
    const HEAD_BYTES: usize = size_of::<u64>() + size_of::<u32>();
    while left > 0 {
        let mut head = [0; HEAD_BYTES];
        file.read_exact(&mut head).map_err(&failed)?;
        let (ts, len) = head.split_at(size_of::<u64>());
        let ts = u64::from_le_bytes(ts.try_into().expect("it was split there"));
        let len = u32::from_le_bytes(len.try_into().expect("it was split there"));
        let whole = HEAD_BYTES as u64 + u64::from(len);
        left = left
            .checked_sub(whole)
            .ok_or(BackupError::Garbled("a row of a log is cut short"))?;
        let mut body = vec![0; len as usize];
        file.read_exact(&mut body).map_err(&failed)?;
        visit(Timestamp(ts), &body)?;
    }
    Ok(())
}
