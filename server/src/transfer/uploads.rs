//! Uploads of files to import: parts in a directory of their own, until the import is over.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use uuid::Uuid;

use super::error::TransferError;
use super::options::{IMPORTS_MAX, PART_IDLE_MAX, PARTS_MAX, TransferOptions};
use super::under_way::Stop;
use crate::files::{BrokenOff, FileError};
use crate::storage::private_directory;

/// The directory of uploads below the data directory.
const DIRECTORY: &str = "imports";
/// Name of a part while it arrives.
const ARRIVING: &str = "arriving-";
/// Name of a part that is there.
const PART: &str = "part-";
/// Name of an empty file that says that the upload was finished.
const FINISHED: &str = "finished";

/// The uploads of a deployment.
#[derive(Clone, Debug)]
pub struct Uploads {
    directory: PathBuf,
}

/// An upload as the sweep finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundUpload {
    /// Its token.
    pub token: Uuid,
    /// Whether all of it arrived.
    pub is_finished: bool,
    /// How long nothing of it has arrived.
    pub idle: Duration,
}

/// An upload that no import has yet. Unless one claims it, it is removed.
pub struct Unclaimed {
    uploads: Uploads,
    token: Option<Uuid>,
}

/// An upload that is there as a whole, in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// Its token.
    pub token: Uuid,
    /// How many parts it has; a file of nothing has none.
    pub parts: u32,
    /// How many bytes they have together.
    pub bytes: u64,
}

impl Uploads {
    /// Uploads in a directory of the data directory, made when it is missing.
    pub fn open(data: &Path) -> io::Result<Uploads> {
        let directory = data.join(DIRECTORY);
        private_directory(&directory)?;
        Ok(Uploads { directory })
    }

    /// Begins an upload and returns its token. Where there is no room, uploads that were left unfinished for
    /// `unfinished_kept_for` make room.
    pub fn start(&self, unfinished_kept_for: Duration) -> Result<Uuid, TransferError> {
        if fs::read_dir(&self.directory)?.count() >= IMPORTS_MAX {
            self.remove_unfinished(unfinished_kept_for)?;
            if fs::read_dir(&self.directory)?.count() >= IMPORTS_MAX {
                return Err(TransferError::TooManyUploads);
            }
        }
        let token = Uuid::new_v4();
        fs::create_dir(self.of(token))?;
        Ok(token)
    }

    /// Takes a part in. Sent again, a part replaces itself. Returns what stands for it.
    pub async fn take_part(
        &self,
        token: &str,
        number: u32,
        content: impl Stream<Item = Result<Bytes, BrokenOff>> + Send,
        options: &TransferOptions,
    ) -> Result<String, TransferError> {
        let directory = self.known(token)?;
        if !(1..=PARTS_MAX).contains(&number) {
            let problem = format!("their numbers go from 1 to {PARTS_MAX}");
            return Err(TransferError::BadParts(problem));
        }
        let others = bytes_of_others(&directory, number)?;
        let max = options
            .part_bytes_max
            .min(options.upload_bytes_max.saturating_sub(others));
        let arriving = directory.join(format!("{ARRIVING}{}", Uuid::new_v4()));
        let taken = write_part(&arriving, content, max).await;
        match taken {
            Ok(()) => fs::rename(&arriving, directory.join(part_name(number)))?,
            Err(error) => {
                let _ = fs::remove_file(&arriving);
                return Err(error);
            }
        }
        Ok(number.to_string())
    }

    /// The whole of an upload, whose parts are named in `tokens`.
    pub fn finish(&self, token: &str, tokens: &[String]) -> Result<Uploaded, TransferError> {
        let directory = self.known(token)?;
        let mut bytes = 0;
        let parts = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
        for number in 1..=parts {
            if tokens[number as usize - 1] != number.to_string() {
                let problem = format!("\"{}\" is not the next one", tokens[number as usize - 1]);
                return Err(TransferError::BadParts(problem));
            }
            let part = fs::metadata(directory.join(part_name(number)));
            let part = part.map_err(|_| TransferError::BadParts(format!("{number} is missing")))?;
            bytes += part.len();
        }
        if fs::metadata(directory.join(part_name(parts.saturating_add(1)))).is_ok() {
            let problem = "there are more than are named".to_string();
            return Err(TransferError::BadParts(problem));
        }
        File::create(directory.join(FINISHED))?;
        Ok(Uploaded {
            token: parse_token(token)?,
            parts,
            bytes,
        })
    }

    /// Opens an upload to read it.
    pub fn read(&self, upload: &Uploaded, stop: &Stop) -> io::Result<PartsReader> {
        let directory = self.of(upload.token);
        let names = (1..=upload.parts).map(|number| directory.join(part_name(number)));
        PartsReader::open(names, stop.clone())
    }

    /// Removes an upload.
    pub fn remove(&self, token: Uuid) -> io::Result<()> {
        match fs::remove_dir_all(self.of(token)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Ties an upload to what is returned.
    pub fn unclaimed(&self, token: &str) -> Result<Unclaimed, TransferError> {
        Ok(Unclaimed {
            uploads: self.clone(),
            token: Some(parse_token(token)?),
        })
    }

    /// All uploads.
    pub fn all(&self) -> io::Result<Vec<FoundUpload>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(token) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            match look_at(token, &entry.path()) {
                Ok(upload) => found.push(upload),
                // It went meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Removes the uploads of which nothing has arrived for `age`, and that were never finished.
    pub fn remove_unfinished(&self, age: Duration) -> io::Result<()> {
        let mut all = self.all()?.into_iter();
        all.try_for_each(|upload| match !upload.is_finished && upload.idle >= age {
            true => self.remove(upload.token),
            false => Ok(()),
        })
    }

    fn known(&self, token: &str) -> Result<PathBuf, TransferError> {
        let directory = self.of(parse_token(token)?);
        match directory.is_dir() {
            true => Ok(directory),
            false => Err(TransferError::UnknownUpload),
        }
    }

    fn of(&self, token: Uuid) -> PathBuf {
        self.directory.join(token.to_string())
    }
}

impl Unclaimed {
    /// An import has it now.
    pub fn claim(mut self) {
        self.token = None;
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(token) = self.token
            && let Err(error) = self.uploads.remove(token)
        {
            tracing::warn!(%error, "an upload could not be removed; the sweep tries again");
        }
    }
}

fn look_at(token: Uuid, directory: &Path) -> io::Result<FoundUpload> {
    let mut newest = fs::metadata(directory)?.modified()?;
    let mut is_finished = false;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        is_finished |= entry.file_name() == FINISHED;
        // A part that arrives changes its own file only.
        newest = newest.max(entry.metadata()?.modified()?);
    }
    Ok(FoundUpload {
        token,
        is_finished,
        // A file of the future is new.
        idle: newest.elapsed().unwrap_or_default(),
    })
}

/// Tokens are ours, so a token that is not written as we write it leads nowhere.
fn parse_token(token: &str) -> Result<Uuid, TransferError> {
    crate::files::parse_uuid(token).ok_or(TransferError::UnknownUpload)
}

fn part_name(number: u32) -> String {
    format!("{PART}{number}")
}

fn bytes_of_others(directory: &Path, number: u32) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_str() != Some(&part_name(number)) {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

async fn write_part(
    path: &Path,
    content: impl Stream<Item = Result<Bytes, BrokenOff>> + Send,
    bytes_max: u64,
) -> Result<(), TransferError> {
    let mut content = std::pin::pin!(content);
    // Made here and now: made by another thread, it could appear after its directory was removed for a sender who left.
    let mut file = tokio::fs::File::from_std(File::create_new(path)?);
    let mut bytes: u64 = 0;
    loop {
        let next = timeout(PART_IDLE_MAX, content.next()).await;
        let Some(some) = next.map_err(|_| FileError::TooSlow(PART_IDLE_MAX))? else {
            break;
        };
        let some = some.map_err(|BrokenOff| FileError::EndedEarly)?;
        bytes += some.len() as u64;
        if bytes > bytes_max {
            return Err(FileError::TooLarge { max: bytes_max }.into());
        }
        file.write_all(&some).await?;
    }
    file.flush().await?;
    Ok(())
}

/// Files that are read as one. Clones have positions of their own.
#[derive(Clone, Debug)]
pub struct PartsReader {
    /// Each with where it begins.
    parts: Arc<[(u64, File)]>,
    bytes: u64,
    position: u64,
    /// Told to stop, it fails: whatever reads it is never far from its next read.
    stop: Stop,
}

impl PartsReader {
    fn open(names: impl Iterator<Item = PathBuf>, stop: Stop) -> io::Result<PartsReader> {
        let (mut parts, mut bytes) = (Vec::new(), 0);
        for name in names {
            let file = File::open(name)?;
            let start = bytes;
            bytes += file.metadata()?.len();
            parts.push((start, file));
        }
        Ok(PartsReader {
            parts: parts.into(),
            bytes,
            position: 0,
            stop,
        })
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Read for PartsReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stop.check().map_err(io::Error::other)?;
        let after = self
            .parts
            .partition_point(|(start, _)| *start <= self.position);
        let Some((start, file)) = after.checked_sub(1).and_then(|at| self.parts.get(at)) else {
            return Ok(0);
        };
        let read = std::os::unix::fs::FileExt::read_at(file, buffer, self.position - start)?;
        self.position += read as u64;
        match read == 0 && !buffer.is_empty() && self.position < self.bytes {
            // Another program or person cut a part behind our back.
            true => Err(io::ErrorKind::UnexpectedEof.into()),
            false => Ok(read),
        }
    }
}

impl Seek for PartsReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.bytes.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    async fn upload(parts: &[&str]) -> (tempfile::TempDir, Uploads, Uploaded) {
        let dir = tempfile::tempdir().unwrap();
        let uploads = Uploads::open(dir.path()).unwrap();
        let token = uploads.start(DAY).unwrap().to_string();
        let mut tokens = Vec::new();
        for (part, number) in parts.iter().zip(1..) {
            let content = Bytes::copy_from_slice(part.as_bytes());
            let content = futures_util::stream::iter([Ok(content)]);
            let options = TransferOptions::default();
            let taken = uploads.take_part(&token, number, content, &options);
            tokens.push(taken.await.unwrap());
        }
        let uploaded = uploads.finish(&token, &tokens).unwrap();
        (dir, uploads, uploaded)
    }

    #[tokio::test]
    async fn parts_are_read_as_one_file() {
        let (_dir, uploads, uploaded) = upload(&["hello", "", " ", "world"]).await;
        let mut reader = uploads.read(&uploaded, &Stop::default()).unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(
            (text.as_str(), PartsReader::bytes(&reader)),
            ("hello world", 11)
        );
        for start in 0..=11 {
            reader.seek(SeekFrom::Start(start)).unwrap();
            let mut rest = String::new();
            reader.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, text[start as usize..]);
        }
        assert_eq!(reader.seek(SeekFrom::End(-5)).unwrap(), 6);
        assert_eq!(reader.seek(SeekFrom::Current(-6)).unwrap(), 0);
        assert!(reader.seek(SeekFrom::Current(-1)).is_err());
    }

    #[tokio::test]
    async fn a_file_of_nothing_has_no_parts() {
        let (_dir, uploads, uploaded) = upload(&[]).await;
        let mut text = String::new();
        let mut reader = uploads.read(&uploaded, &Stop::default()).unwrap();
        reader.read_to_string(&mut text).unwrap();
        assert!(text.is_empty());
    }

    #[tokio::test]
    async fn parts_that_are_missing_or_unnamed_are_refused() {
        let (_dir, uploads, uploaded) = upload(&["a", "b"]).await;
        let token = uploaded.token.to_string();
        let finish = |tokens: &[&str]| {
            let tokens: Vec<String> = tokens.iter().map(|token| token.to_string()).collect();
            uploads.finish(&token, &tokens)
        };
        assert!(finish(&["1", "2"]).is_ok());
        for wrong in [
            &["1"][..],
            &["2", "1"],
            &["1", "2", "3"],
            &["../1", "2"],
            &[],
        ] {
            assert!(finish(wrong).is_err(), "{wrong:?}");
        }
        for hostile in ["", "..", "../..", "/etc", "x"] {
            let unknown = uploads.finish(hostile, &[]);
            assert!(
                matches!(unknown, Err(TransferError::UnknownUpload)),
                "{hostile}"
            );
        }
    }

    #[tokio::test]
    async fn a_part_that_is_too_long_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let uploads = Uploads::open(dir.path()).unwrap();
        let token = uploads.start(DAY).unwrap().to_string();
        let options = TransferOptions {
            upload_bytes_max: 5,
            ..TransferOptions::default()
        };
        let part = |text: &'static str| {
            futures_util::stream::iter([Ok(Bytes::from_static(text.as_bytes()))])
        };
        let mut taken = Vec::new();
        for (number, text) in [
            (1, "abc"),
            (2, "def"),
            (1, "abcde"),
            (0, "a"),
            (10_000, "a"),
        ] {
            let taken_part = uploads
                .take_part(&token, number, part(text), &options)
                .await;
            taken.push(taken_part.is_ok());
        }
        assert_eq!(taken, [true, false, true, false, false]);
        let left = fs::read_dir(dir.path().join(DIRECTORY).join(&token)).unwrap();
        assert_eq!(left.count(), 1);
    }

    #[tokio::test]
    async fn unfinished_uploads_make_room_for_new_ones_and_finished_ones_do_not() {
        let (_dir, uploads, uploaded) = upload(&["a"]).await;
        for _ in 1..IMPORTS_MAX {
            uploads.start(DAY).unwrap();
        }
        assert!(matches!(
            uploads.start(DAY),
            Err(TransferError::TooManyUploads)
        ));
        uploads.start(Duration::ZERO).unwrap();
        let left = uploads.all().unwrap();
        assert_eq!(left.len(), 2);
        let finished = left.iter().filter(|upload| upload.is_finished);
        assert!(finished.map(|upload| upload.token).eq([uploaded.token]));
    }

    #[tokio::test]
    async fn an_upload_that_no_import_claims_goes() {
        let dir = tempfile::tempdir().unwrap();
        let uploads = Uploads::open(dir.path()).unwrap();
        let token = uploads.start(DAY).unwrap().to_string();
        drop(uploads.unclaimed(&token).unwrap());
        assert_eq!(uploads.all().unwrap(), []);
        let token = uploads.start(DAY).unwrap().to_string();
        uploads.unclaimed(&token).unwrap().claim();
        assert_eq!(uploads.all().unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_brings_nothing_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let uploads = Uploads::open(dir.path()).unwrap();
        let token = uploads.start(DAY).unwrap().to_string();
        let options = TransferOptions::default();
        let taken = uploads.take_part(&token, 1, futures_util::stream::pending(), &options);
        let slow = taken.await.unwrap_err();
        assert!(matches!(
            slow,
            TransferError::Files(FileError::TooSlow(PART_IDLE_MAX))
        ));
    }

    #[tokio::test]
    async fn a_reader_that_is_told_to_stop_fails() {
        let (_dir, uploads, uploaded) = upload(&["hello"]).await;
        let under_way = super::super::under_way::UnderWay::default();
        let id = "j57004926d25askqh2ctneycvqqfznw8".parse().unwrap();
        let begun = under_way.begin(id);
        let mut reader = uploads.read(&uploaded, &begun.stop).unwrap();
        under_way.end();
        assert!(reader.read(&mut [0; 5]).is_err());
    }
}
