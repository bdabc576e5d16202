//! Bytes on disk: log rows, entries and bookkeeping values, each closed by a CRC32C.
//!
//! A log row is the `u64` timestamp of the row before it, the `u32` count of commits, then each commit. A commit is
//! `u64` ts, `u32` count of writes and the writes. A write is `u32` key length, key, `u32` value length plus one (zero
//! deletes), value. Integers are little endian. The checksum covers the row's own timestamp too, so a row cannot stand
//! in for another.

use bytes::Bytes;
use vestibule_schema::timestamp::Timestamp;

use super::{Commit, Write};

const CHECKSUM_BYTES: usize = size_of::<u32>();

/// The header of a log row: the row before it, and how many commits follow.
pub(super) const ROW_HEADER_BYTES: usize = size_of::<u64>() + size_of::<u32>();

/// A row of the commit log, read back.
pub(super) struct DecodedRow {
    /// Timestamp of the row before this one; shows a missing row.
    pub previous: Timestamp,
    pub commits: Vec<Commit>,
}

/// Appends a commit to a log row.
pub(super) fn encode_commit(commit: &Commit, out: &mut Vec<u8>) {
    put_u64(out, commit.ts.0);
    put_len(out, commit.writes.len());
    for write in &commit.writes {
        put_len(out, write.key.len());
        out.extend_from_slice(&write.key);
        match &write.value {
            None => put_len(out, 0),
            Some(value) => {
                put_len(out, value.len() + 1);
                out.extend_from_slice(value);
            }
        }
    }
}

/// Ends a log row of so many commits, for which it begins with [`ROW_HEADER_BYTES`]. The row's timestamp is that of its
/// last commit.
pub(super) fn seal_log_row(previous: Timestamp, commits: u32, last: Timestamp, row: &mut Vec<u8>) {
    let (previous_bytes, count_bytes) = row[..ROW_HEADER_BYTES].split_at_mut(size_of::<u64>());
    previous_bytes.copy_from_slice(&previous.0.to_le_bytes());
    count_bytes.copy_from_slice(&commits.to_le_bytes());
    let checksum = checksum(&last.0.to_le_bytes(), row);
    row.extend_from_slice(&checksum.to_le_bytes());
}

/// Reads a log row; `None` if it does not match its checksum or does not parse.
pub(super) fn decode_log_row(last: Timestamp, stored: &[u8]) -> Option<DecodedRow> {
    let mut rest = unseal(&last.0.to_le_bytes(), stored)?;
    let previous = Timestamp(take_u64(&mut rest)?);
    let count = take_len(&mut rest)?;
    let mut commits = Vec::new();
    for _ in 0..count {
        let ts = Timestamp(take_u64(&mut rest)?);
        let writes = (0..take_len(&mut rest)?)
            .map(|_| take_write(&mut rest))
            .collect::<Option<_>>()?;
        commits.push(Commit { ts, writes });
    }
    rest.is_empty().then_some(DecodedRow { previous, commits })
}

fn take_write(rest: &mut &[u8]) -> Option<Write> {
    let key_len = take_len(rest)?;
    let key = Bytes::copy_from_slice(rest.split_off(..key_len)?);
    let value = match take_len(rest)? {
        0 => None,
        len => Some(Bytes::copy_from_slice(rest.split_off(..len - 1)?)),
    };
    Some(Write { key, value })
}

/// Writes `value` and its checksum, bound to `name`, into `out`, which is cleared first.
pub(super) fn seal(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(value);
    out.extend_from_slice(&checksum(name, value).to_le_bytes());
}

/// The value that [`seal`] stored under `name`; `None` if it does not match its checksum.
pub(super) fn unseal<'s>(name: &[u8], stored: &'s [u8]) -> Option<&'s [u8]> {
    let (value, expected) = stored.split_last_chunk::<CHECKSUM_BYTES>()?;
    (checksum(name, value) == u32::from_le_bytes(*expected)).then_some(value)
}

fn checksum(name: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(name), value)
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).expect("keys, values and batches are far below 4 GiB");
    out.extend_from_slice(&len.to_le_bytes());
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    rest.split_off(..size_of::<u64>())?
        .try_into()
        .ok()
        .map(u64::from_le_bytes)
}

fn take_len(rest: &mut &[u8]) -> Option<usize> {
    let len = rest
        .split_off(..size_of::<u32>())?
        .try_into()
        .ok()
        .map(u32::from_le_bytes)?;
    usize::try_from(len).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commits() -> Vec<Commit> {
        let write = |key: &'static str, value: Option<&'static str>| Write {
            key: Bytes::from(key),
            value: value.map(Bytes::from),
        };
        vec![
            Commit {
                ts: Timestamp(7),
                writes: vec![write("a", Some("1")), write("", Some("")), write("b", None)],
            },
            Commit {
                ts: Timestamp(9),
                writes: vec![],
            },
        ]
    }

    /// The row of the commits, behind the row of timestamp 5.
    fn row() -> Vec<u8> {
        let mut row = vec![0; ROW_HEADER_BYTES];
        let commits = commits();
        commits
            .iter()
            .for_each(|commit| encode_commit(commit, &mut row));
        seal_log_row(Timestamp(5), commits.len() as u32, Timestamp(9), &mut row);
        row
    }

    #[test]
    fn a_log_row_reads_back_as_written() {
        let row = row();
        let decoded = decode_log_row(Timestamp(9), &row).unwrap();
        assert_eq!(decoded.previous, Timestamp(5));
        assert_eq!(decoded.commits, commits());
    }

    #[test]
    fn a_log_row_with_any_bit_changed_or_under_another_timestamp_is_refused() {
        let row = row();
        assert!(decode_log_row(Timestamp(8), &row).is_none());
        for bit in 0..row.len() * 8 {
            let mut damaged = row.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_log_row(Timestamp(9), &damaged).is_none());
        }
        for len in 0..row.len() {
            assert!(decode_log_row(Timestamp(9), &row[..len]).is_none());
        }
    }

    #[test]
    fn a_sealed_value_opens_under_its_own_name_only() {
        let mut stored = Vec::new();
        seal(b"name", b"value", &mut stored);
        assert_eq!(unseal(b"name", &stored), Some(&b"value"[..]));
        assert_eq!(unseal(b"mane", &stored), None);
        assert_eq!(unseal(b"name", b"abc"), None);
    }
}
