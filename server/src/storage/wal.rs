//! Looking through a write-ahead log for acknowledged commits that damage hides.
//!
//! SQLite reads its log up to the first frame that does not fit, and takes that for the end. A crash ends it the same
//! way. Frames behind that place may still hold commits that were acknowledged, and a checkpoint would drop them without
//! a word. So they are looked through before the first checkpoint.
//!
//! A loss of power may leave any part of the writes since the last sync, in any order. These are folds, which are not
//! synced by themselves, and then one append. So frames behind the end prove nothing by being there. These two prove
//! that an append had been synced:
//!
//! - A row of the commit log says which row it follows. If that row is newer than all that can be read, the row between
//!   was appended before this one, and so synced before it. It counts wherever it is whole.
//! - Nothing is written behind an append before it is synced. So it was synced if frames go on from its transaction.
//!
//! Transactions that were undone leave frames too. None has a whole commit frame, and each of their rows follows one that
//! can be read. Frames of earlier turns of the log hold older rows alone. Neither is ever taken for damage.
//!
//! Not found: damage to the last append, which looks as if the power had failed during its sync, and a file that was cut
//! short.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::PathBuf;

use rusqlite::Connection;
use vestibule_schema::timestamp::Timestamp;

use super::sqlite::{Files, Meta};
use super::{StorageError, codec};

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// The log's header without its checksum.
const HEADER_SUMMED_BYTES: usize = 24;
/// The part of a frame's header that its checksum covers: the page's number and the file's size after a commit.
const FRAME_SUMMED_BYTES: usize = 8;
/// Begins a log whose checksums are over little-endian words; one more stands for big-endian.
const MAGIC: u32 = 0x377f_0682;
const PAGE_BYTES_DEFAULT: usize = 4096;

/// Refuses a log that hides acknowledged commits. Nothing may have moved it into the database file before.
pub(super) fn check(connection: &Connection, files: &Files) -> Result<(), StorageError> {
    let kept = newest_readable(connection)?;
    let hidden = find_hidden(files, kept).map_err(|source| StorageError::Unwritable {
        dir: files.dir.clone(),
        source,
    })?;
    match hidden {
        None => Ok(()),
        Some(Hidden { at, newest }) => Err(StorageError::HiddenCommits {
            path: files.wal.clone(),
            at,
            kept: kept.0,
            newest: newest.0,
        }),
    }
}

/// Keeps a copy of a damaged log beside it, before the log is given up.
pub(super) fn set_aside(files: &Files, kept: Timestamp) -> Result<PathBuf, StorageError> {
    let mut name = files.wal.clone().into_os_string();
    name.push(format!("-damaged-{}", kept.0));
    let copy = PathBuf::from(name);
    let copied = fs::copy(&files.wal, &copy).and_then(|_| File::open(&copy)?.sync_all());
    copied.map_err(|source| StorageError::Unwritable {
        dir: files.dir.clone(),
        source,
    })?;
    Ok(copy)
}

/// The last commit up to the place where SQLite stops reading.
fn newest_readable(connection: &Connection) -> Result<Timestamp, StorageError> {
    let folded = u64::from_le_bytes(Meta::Folded.read(connection)?);
    let logged: Option<i64> =
        connection.query_row("SELECT max(last_ts) FROM log", [], |row| row.get(0))?;
    let logged = u64::try_from(logged.unwrap_or(0)).unwrap_or(0);
    Ok(Timestamp(folded.max(logged)))
}

/// Acknowledged commits behind damage.
#[derive(Debug, PartialEq, Eq)]
struct Hidden {
    /// The first byte that does not fit.
    at: u64,
    /// The newest of them that was found.
    newest: Timestamp,
}

fn find_hidden(files: &Files, kept: Timestamp) -> io::Result<Option<Hidden>> {
    let file = match File::open(&files.wal) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut log = BufReader::with_capacity(1 << 20, file);
    let mut header = [0; HEADER_BYTES];
    if !fill(&mut log, &mut header)? {
        return Ok(None);
    }
    let mut walk = Walk::begin(&header, kept);
    let mut frame = vec![0; FRAME_HEADER_BYTES + walk.page_bytes];
    while fill(&mut log, &mut frame)? {
        walk.take(&frame);
    }
    Ok(walk.end())
}

/// Whether there was enough to fill the buffer.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// A walk over the frames, in order.
struct Walk {
    kept: Timestamp,
    page_bytes: usize,
    big_endian: bool,
    /// The salts of this turn of the log; `None` if the header that holds them is damaged.
    salts: Option<[u8; 8]>,
    /// The checksum that the next frame goes on from: that in the header of the frame before, right or wrong.
    before: Checksum,
    at: u64,
    /// Where the first frame that does not fit is.
    broken_at: Option<u64>,
    /// A row right after `kept` was seen behind that place.
    next: Option<Timestamp>,
    /// The frame before was whole and ended the transaction of that row.
    next_ended: bool,
    newest_hidden: Option<Timestamp>,
}

impl Walk {
    fn begin(header: &[u8; HEADER_BYTES], kept: Timestamp) -> Walk {
        let magic = word(header, 0);
        let big_endian = match magic & !1 == MAGIC {
            true => magic & 1 == 1,
            false => cfg!(target_endian = "big"),
        };
        let stored = Checksum(
            word(header, HEADER_SUMMED_BYTES),
            word(header, HEADER_SUMMED_BYTES + 4),
        );
        let summed = Checksum::default().over(&header[..HEADER_SUMMED_BYTES], big_endian);
        let is_whole = magic & !1 == MAGIC && summed == stored;
        let page_bytes = word(header, 8) as usize;
        Walk {
            kept,
            page_bytes: match is_whole && (512..=65536).contains(&page_bytes) {
                true => page_bytes,
                false => PAGE_BYTES_DEFAULT,
            },
            big_endian,
            salts: is_whole.then(|| header[16..24].try_into().expect("eight bytes")),
            before: stored,
            at: HEADER_BYTES as u64,
            broken_at: (!is_whole).then_some(0),
            next: None,
            next_ended: false,
            newest_hidden: None,
        }
    }

    fn take(&mut self, frame: &[u8]) {
        let (header, page) = frame.split_at(FRAME_HEADER_BYTES);
        let stored = Checksum(word(header, 16), word(header, 20));
        let fits = self.salts.is_none_or(|salts| salts == header[8..16])
            && self
                .before
                .over(&header[..FRAME_SUMMED_BYTES], self.big_endian)
                .over(page, self.big_endian)
                == stored;
        let (number, ends_transaction) = (word(header, 0), word(header, 4) != 0);
        if !fits && self.broken_at.is_none() {
            self.broken_at = Some(self.at);
        }
        // The first page holds the schema.
        if self.broken_at.is_some() && number > 1 {
            self.look_at(page, fits);
        }
        self.next_ended = fits && ends_transaction && self.next.is_some();
        self.before = stored;
        self.at += frame.len() as u64;
    }

    /// A frame behind the damage. One that does not go on from the frame before it may be whole itself; then its rows
    /// match their own checksums.
    fn look_at(&mut self, page: &[u8], fits: bool) {
        if let (Some(ts), true, true) = (self.next, self.next_ended, fits) {
            self.note_hidden(ts);
        }
        for row in log_rows(page) {
            if row.previous > self.kept && row.last > row.previous && (fits || row.is_whole()) {
                self.note_hidden(row.previous);
            } else if fits && row.previous == self.kept && row.last > self.kept {
                self.next = Some(row.last);
            }
        }
    }

    fn note_hidden(&mut self, ts: Timestamp) {
        self.newest_hidden = self.newest_hidden.max(Some(ts));
    }

    fn end(self) -> Option<Hidden> {
        Some(Hidden {
            at: self.broken_at?,
            newest: self.newest_hidden?,
        })
    }
}

/// A row of the commit log: its last commit, and that of the row before it.
struct Row<'p> {
    last: Timestamp,
    previous: Timestamp,
    /// As it is stored; without its end, where that is on other pages.
    body: &'p [u8],
}

impl Row<'_> {
    fn is_whole(&self) -> bool {
        codec::unseal(&self.last.0.to_le_bytes(), self.body).is_some()
    }
}

/// The rows on a page. The commit log is the only table whose leaves are of this kind, beside the schema.
fn log_rows(page: &[u8]) -> impl Iterator<Item = Row<'_>> {
    const TABLE_LEAF: u8 = 0x0d;
    const LEAF_HEADER_BYTES: usize = 8;
    let count = match page {
        [TABLE_LEAF, _, _, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    };
    (0..count).filter_map(move |cell| {
        let pointer = page.get(LEAF_HEADER_BYTES + 2 * cell..)?.first_chunk()?;
        log_row(page.get(usize::from(u16::from_be_bytes(*pointer))..)?)
    })
}

/// A cell: the length of its record, the row's id, which is the timestamp, and the record. Its header tells two columns:
/// the id, which is not repeated, and the body.
fn log_row(mut cell: &[u8]) -> Option<Row<'_>> {
    let record_bytes = usize::try_from(take_varint(&mut cell)?).ok()?;
    let last = take_varint(&mut cell)?;
    let record = &cell[..record_bytes.min(cell.len())];
    let header_bytes = usize::from(*record.first()?);
    let body = record.get(header_bytes..)?;
    Some(Row {
        last: Timestamp(last),
        previous: Timestamp(u64::from_le_bytes(*body.first_chunk()?)),
        body,
    })
}

/// SQLite's integers of up to nine bytes: seven bits a byte, and all eight of the ninth.
fn take_varint(from: &mut &[u8]) -> Option<u64> {
    const BYTES_MAX: usize = 9;
    let mut value = 0;
    for nth in 1..=BYTES_MAX {
        let byte = u64::from(*from.split_off_first()?);
        if nth == BYTES_MAX {
            return Some(value << 8 | byte);
        }
        value = value << 7 | byte & 0x7f;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// SQLite's checksum of a log: two sums that each frame continues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Checksum(u32, u32);

impl Checksum {
    fn over(self, bytes: &[u8], big_endian: bool) -> Checksum {
        let word = |bytes: [u8; 4]| match big_endian {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        };
        let (pairs, _) = bytes.as_chunks::<8>();
        let Checksum(mut one, mut two) = self;
        for [a, b, c, d, e, f, g, h] in pairs {
            one = one.wrapping_add(word([*a, *b, *c, *d])).wrapping_add(two);
            two = two.wrapping_add(word([*e, *f, *g, *h])).wrapping_add(one);
        }
        Checksum(one, two)
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}
