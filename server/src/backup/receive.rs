//! Writing a backup of the frames that arrive. Everything is written under names that say it is not whole, synced, moved
//! to its place, read back, and only then named in `backup.json`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use vestibule_schema::timestamp::Timestamp;

use super::BackupError;
use super::frames::{End, Frames, Header, Kind, take_bytes, take_u64};
use super::manifest::{Base, Content, Log, Manifest, Private};
use super::place::{Digest, begin_beside, lock, replace, sync_directory};
use super::send::Wanted;
use super::verify::{Problems, check_arrived};
use crate::files::content_file;
use crate::storage::{Rebuild, StorageError, private_directory, private_file};

/// The ending of a backup's name before it is whole.
const ARRIVING: &str = ".arriving";
/// A base, a log and a content of a backup on their way.
const BASE_ARRIVING: &str = "base-arriving";
const LOG_ARRIVING: &str = "log-arriving";
const CONTENT_ARRIVING: &str = "content-arriving";

/// A backup that was made and read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The commit that it is the state of.
    pub ts: Timestamp,
    /// Whether it has a base of its own; else it goes on from the one before, by the log.
    pub is_base: bool,
    /// Bytes that arrived for it.
    pub bytes: u64,
    /// When it was begun, in milliseconds since 1970 by the server's clock.
    pub started_at: i64,
}

/// A backup that arrives. Dropped before it is finished, it leaves nothing that looks like one.
pub struct Receiver {
    target: PathBuf,
    /// Where it is written: the target, or a directory beside it.
    root: PathBuf,
    _lock: File,
    /// That of the backup which is added to.
    manifest: Option<Manifest>,
    wants_all_contents: bool,
    frames: Frames,
    bytes: u64,
    header: Option<Header>,
    rebuild: Option<Rebuild>,
    log: Option<ArrivingLog>,
    content: Option<ArrivingContent>,
    private: Vec<Private>,
    arrived: Vec<Content>,
    shards: BTreeSet<PathBuf>,
    counted: End,
    end: Option<End>,
    is_kept: bool,
}

struct ArrivingLog {
    file: File,
    hash: Sha256,
    bytes: u64,
    reached: u64,
}

struct ArrivingContent {
    key: Uuid,
    file: File,
    hash: Sha256,
    bytes: u64,
    left: u64,
}

impl Receiver {
    /// Begins a backup at `target`: a new one, or a part that is added to the one that is there. With `all_contents`,
    /// contents that are there already are asked for again.
    pub fn begin(target: &Path, all_contents: bool) -> Result<Receiver, BackupError> {
        let (root, lock, manifest) = match fs::symlink_metadata(target) {
            Ok(_) if super::is_backup(target) => {
                let lock = lock(target)?;
                (target.to_path_buf(), lock, Some(Manifest::read(target)?))
            }
            Ok(_) => return Err(BackupError::TargetExists(target.to_path_buf())),
            Err(_) => {
                let (root, lock) = begin_beside(target, ARRIVING)?;
                (root, lock, None)
            }
        };
        let receiver = Receiver {
            target: target.to_path_buf(),
            root,
            _lock: lock,
            manifest,
            wants_all_contents: all_contents,
            frames: Frames::default(),
            bytes: 0,
            header: None,
            rebuild: None,
            log: None,
            content: None,
            private: Vec::new(),
            arrived: Vec::new(),
            shards: BTreeSet::new(),
            counted: End {
                ts: 0,
                entries: 0,
                rows: 0,
                contents: 0,
            },
            end: None,
            is_kept: false,
        };
        receiver.remove_arriving();
        Ok(receiver)
    }

    /// The parts that the sender is asked for.
    pub fn wanted(&self) -> Wanted {
        let Some(manifest) = &self.manifest else {
            return Wanted::default();
        };
        Wanted {
            log_since: manifest.newest().map(Timestamp),
            contents_since: match self.wants_all_contents {
                true => None,
                false => manifest.last_started_at(),
            },
        }
    }

    /// Takes what arrives, in parts of any size.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.bytes += bytes.len() as u64;
        self.frames.push(bytes);
        while let Some((kind, payload)) = self.frames.next()? {
            let taken = self.take(kind, payload);
            taken.map_err(|error| self.of_target(error))?;
        }
        Ok(())
    }

    /// A full disk is that of the backup, and not the deployment's.
    fn of_target(&self, error: BackupError) -> BackupError {
        match error {
            BackupError::Storage(StorageError::DiskFull) | BackupError::DiskFull(_) => {
                BackupError::DiskFull(self.target.clone())
            }
            other => other,
        }
    }

    fn take(&mut self, kind: Kind, payload: Bytes) -> Result<(), BackupError> {
        if self.end.is_some() || (self.header.is_none() && !is_first(kind)) {
            return Err(BackupError::Garbled("a frame is out of place"));
        }
        match kind {
            Kind::Header => self.take_header(&payload),
            Kind::Entries => self.take_entries(&payload),
            Kind::Rows => self.take_rows(&payload),
            Kind::Private => self.take_private(&payload),
            Kind::Skipped => self.take_skipped(&payload),
            Kind::Content => self.take_content(&payload),
            Kind::Bytes => self.take_bytes(&payload),
            Kind::End => {
                self.end = Some(read_json(&payload)?);
                Ok(())
            }
            Kind::Failed => {
                let text = String::from_utf8_lossy(&payload).into_owned();
                Err(BackupError::Refused(text))
            }
        }
    }

    fn take_header(&mut self, payload: &[u8]) -> Result<(), BackupError> {
        let header: Header = read_json(payload)?;
        let earlier = self.manifest.as_ref();
        if let Some(earlier) = earlier.filter(|earlier| earlier.deployment != header.deployment) {
            return Err(BackupError::OtherDeployment {
                path: self.target.clone(),
                found: earlier.deployment,
                expected: header.deployment,
            });
        }
        if header.is_base {
            let directory = self.root.join(BASE_ARRIVING);
            private_directory(&directory).map_err(BackupError::at(&directory))?;
            self.rebuild = Some(Rebuild::create(&directory, Timestamp(header.from))?);
        } else {
            let path = self.root.join(LOG_ARRIVING);
            self.log = Some(ArrivingLog {
                file: private_file(&path).map_err(BackupError::at(&path))?,
                hash: Sha256::new(),
                bytes: 0,
                reached: header.from,
            });
        }
        self.header = Some(header);
        Ok(())
    }

    fn take_entries(&mut self, mut payload: &[u8]) -> Result<(), BackupError> {
        let misplaced = BackupError::Garbled("entries are out of place");
        let rebuild = self.rebuild.as_mut().ok_or(misplaced)?;
        while !payload.is_empty() {
            let key = take_bytes(&mut payload)?;
            let sealed = take_bytes(&mut payload)?;
            rebuild.entry(key, sealed)?;
            self.counted.entries += 1;
        }
        Ok(())
    }

    fn take_rows(&mut self, payload: &[u8]) -> Result<(), BackupError> {
        let mut rest = payload;
        while !rest.is_empty() {
            let last = take_u64(&mut rest)?;
            let body = take_bytes(&mut rest)?;
            if let Some(rebuild) = &mut self.rebuild {
                rebuild.row(Timestamp(last), body, Timestamp(u64::MAX), |_, _| None)?;
            }
            if let Some(log) = &mut self.log {
                log.reached = last;
            }
            self.counted.rows += 1;
        }
        if let Some(log) = &mut self.log {
            let path = self.root.join(LOG_ARRIVING);
            log.hash.update(payload);
            log.bytes += payload.len() as u64;
            let written = log.file.write_all(payload);
            written.map_err(BackupError::at(&path))?;
        }
        Ok(())
    }

    fn take_private(&mut self, mut payload: &[u8]) -> Result<(), BackupError> {
        let name = String::from_utf8_lossy(take_bytes(&mut payload)?).into_owned();
        if !crate::auth::PRIVATE_FILES.contains(&name.as_str()) {
            return Err(BackupError::Garbled("a private file has an unknown name"));
        }
        replace(&self.root.join(&name), |file| file.write_all(payload))?;
        let digest = Digest::of(payload);
        self.private.push(Private { name, digest });
        Ok(())
    }

    fn take_skipped(&mut self, payload: &[u8]) -> Result<(), BackupError> {
        for key in payload.chunks_exact(size_of::<Uuid>()) {
            let key = Uuid::from_slice(key).expect("a chunk has the length of a key");
            self.counted.contents += 1;
            if !content_file(&self.root, key).exists() {
                return Err(BackupError::ContentMissing(key));
            }
        }
        Ok(())
    }

    fn take_content(&mut self, payload: &[u8]) -> Result<(), BackupError> {
        let cut = BackupError::Garbled("a content is cut short");
        let (key, mut left) = payload.split_first_chunk().ok_or(cut)?;
        if self.content.is_some() {
            return Err(BackupError::Garbled("a content is cut short"));
        }
        let path = self.root.join(CONTENT_ARRIVING);
        self.content = Some(ArrivingContent {
            key: Uuid::from_bytes(*key),
            file: private_file(&path).map_err(BackupError::at(&path))?,
            hash: Sha256::new(),
            bytes: 0,
            left: take_u64(&mut left)?,
        });
        self.counted.contents += 1;
        self.take_bytes(&[])
    }

    fn take_bytes(&mut self, payload: &[u8]) -> Result<(), BackupError> {
        let misplaced = || BackupError::Garbled("a content is out of place");
        let path = self.root.join(CONTENT_ARRIVING);
        let mut content = self.content.take().ok_or_else(misplaced)?;
        content.left = content
            .left
            .checked_sub(payload.len() as u64)
            .ok_or_else(misplaced)?;
        content.hash.update(payload);
        content.bytes += payload.len() as u64;
        let written = content.file.write_all(payload);
        written.map_err(BackupError::at(&path))?;
        match content.left {
            0 => self.keep_content(content),
            _ => {
                self.content = Some(content);
                Ok(())
            }
        }
    }

    fn keep_content(&mut self, content: ArrivingContent) -> Result<(), BackupError> {
        let place = content_file(&self.root, content.key);
        let shard = place.parent().unwrap_or(&self.root).to_path_buf();
        let kept = fs::create_dir_all(&shard).and_then(|()| {
            content.file.sync_all()?;
            fs::rename(self.root.join(CONTENT_ARRIVING), &place)
        });
        kept.map_err(BackupError::at(&place))?;
        self.shards.insert(shard);
        let digest = Digest {
            bytes: content.bytes,
            sha256: data_encoding::HEXLOWER.encode(&content.hash.finalize()),
        };
        self.arrived.push(Content {
            key: content.key,
            digest,
        });
        Ok(())
    }

    /// Puts everything in its place, reads it back, and makes it the backup.
    pub fn finish(mut self) -> Result<Made, BackupError> {
        let end = self.end.take().ok_or(BackupError::EndedEarly)?;
        let header = self.header.take().ok_or(BackupError::EndedEarly)?;
        let counted = (
            self.counted.entries,
            self.counted.rows,
            self.counted.contents,
        );
        if counted != (end.entries, end.rows, end.contents)
            || self.content.is_some()
            || !self.frames.is_empty()
        {
            return Err(BackupError::Garbled("it has not as many parts as it says"));
        }
        let earlier = self.manifest.take();
        let mut manifest = earlier.unwrap_or_else(|| Manifest::new(header.deployment));
        if let Some(rebuild) = self.rebuild.take() {
            self.keep_base(rebuild, &header, &end, &mut manifest)?;
        }
        if let Some(log) = self.log.take() {
            self.keep_log(log, &header, &end, &mut manifest)?;
        }
        manifest.private = std::mem::take(&mut self.private);
        let root = BackupError::at(&self.root);
        for shard in &self.shards {
            sync_directory(shard).map_err(&root)?;
        }
        sync_directory(&self.root).map_err(&root)?;
        let mut problems = Problems::new(Problems::TOLD_MAX);
        check_arrived(
            &self.root,
            &manifest,
            header.is_base,
            &self.arrived,
            &mut problems,
        )?;
        problems.must_be_none()?;
        manifest.write(&self.root)?;
        self.move_to_target()?;
        self.is_kept = true;
        Ok(Made {
            ts: Timestamp(end.ts),
            is_base: header.is_base,
            bytes: self.bytes,
            started_at: header.started_at,
        })
    }

    fn keep_base(
        &self,
        rebuild: Rebuild,
        header: &Header,
        end: &End,
        manifest: &mut Manifest,
    ) -> Result<(), BackupError> {
        let finished = rebuild.finish(header.deployment, header.epoch);
        let finished = finished.map_err(|error| self.of_target(error.into()))?;
        if finished.0 != end.ts {
            return Err(BackupError::Garbled("it ends with another commit"));
        }
        let arriving = self.root.join(BASE_ARRIVING);
        let directory = format!("base-{}", end.ts);
        let failed = BackupError::at(&arriving);
        let digest = Digest::of_file(&crate::storage::database_file(&arriving)).map_err(&failed)?;
        sync_directory(&arriving).map_err(&failed)?;
        let place = self.root.join(&directory);
        // Left by a run that was cut short, or the same state once more.
        if place.exists() {
            fs::remove_dir_all(&place).map_err(&failed)?;
        }
        fs::rename(&arriving, &place).map_err(&failed)?;
        manifest.bases.retain(|base| base.ts != end.ts);
        manifest.bases.push(Base {
            directory,
            ts: end.ts,
            epoch: header.epoch,
            started_at: header.started_at,
            version: header.version.clone(),
            digest,
        });
        Ok(())
    }

    fn keep_log(
        &self,
        log: ArrivingLog,
        header: &Header,
        end: &End,
        manifest: &mut Manifest,
    ) -> Result<(), BackupError> {
        if log.reached != end.ts {
            return Err(BackupError::Garbled("it ends with another commit"));
        }
        if end.ts == header.from {
            // Nothing was committed since.
            return Ok(());
        }
        let file = format!("log-{}-{}", header.from, end.ts);
        let place = self.root.join(&file);
        let synced = log.file.sync_all();
        let moved = synced.and_then(|()| fs::rename(self.root.join(LOG_ARRIVING), &place));
        moved.map_err(BackupError::at(&place))?;
        manifest.logs.push(Log {
            file,
            from: header.from,
            to: end.ts,
            rows: end.rows,
            started_at: header.started_at,
            digest: Digest {
                bytes: log.bytes,
                sha256: data_encoding::HEXLOWER.encode(&log.hash.finalize()),
            },
            contents: self.arrived.clone(),
        });
        Ok(())
    }

    fn move_to_target(&mut self) -> Result<(), BackupError> {
        if self.root == self.target {
            return Ok(());
        }
        if fs::symlink_metadata(&self.target).is_ok() {
            return Err(BackupError::TargetExists(self.target.clone()));
        }
        let moved = fs::rename(&self.root, &self.target);
        let parent = self.target.parent().unwrap_or(Path::new("."));
        let moved = moved.and_then(|()| sync_directory(parent));
        moved.map_err(BackupError::at(&self.target))
    }

    /// Removes what is on its way within the backup.
    fn remove_arriving(&self) {
        // What stays is named as on its way, and is replaced by the next run.
        let _ = fs::remove_dir_all(self.root.join(BASE_ARRIVING));
        let _ = fs::remove_file(self.root.join(LOG_ARRIVING));
        let _ = fs::remove_file(self.root.join(CONTENT_ARRIVING));
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        self.rebuild = None;
        match self.root == self.target {
            true => self.remove_arriving(),
            false => {
                // Its name says that it is none; the next run throws it away.
                let _ = fs::remove_dir_all(&self.root);
            }
        }
    }
}

/// Takes a backup from a sender of this process.
pub(super) fn take(
    target: &Path,
    send: impl Fn(Wanted, &mut Receiver) -> Result<(), BackupError>,
) -> Result<Made, BackupError> {
    let mut receiver = Receiver::begin(target, false)?;
    match send(receiver.wanted(), &mut receiver) {
        Err(BackupError::ContentMissing(_)) => {
            drop(receiver);
            receiver = Receiver::begin(target, true)?;
            send(receiver.wanted(), &mut receiver)?;
        }
        sent => sent?,
    }
    receiver.finish()
}

fn is_first(kind: Kind) -> bool {
    matches!(kind, Kind::Header | Kind::Failed)
}

fn read_json<T: serde::de::DeserializeOwned>(payload: &[u8]) -> Result<T, BackupError> {
    let parsed = serde_json::from_slice(payload);
    parsed.map_err(|_| BackupError::Garbled("a frame cannot be read"))
}
