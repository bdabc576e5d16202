//! The frames in which a deployment is sent: a kind, a length, the payload and a CRC32C over all three. The last frame
//! says that everything was sent, so a stream that is cut off never passes for a whole one.

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::BackupError;

/// Longest payload of a frame, in bytes. A batch of commits is one row of the log, and a row is one frame at the most.
const PAYLOAD_BYTES_MAX: usize = 1 << 30;
const HEAD_BYTES: usize = 1 + size_of::<u32>();
const CHECKSUM_BYTES: usize = size_of::<u32>();

/// The kinds of frames, in the order in which they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A [`Header`].
    Header = 1,
    /// Entries: a key and its value as it is stored, each behind its length.
    Entries = 2,
    /// Rows of the log: timestamp, length, body.
    Rows = 3,
    /// A private file: the length of its name, the name, its bytes.
    Private = 4,
    /// Keys of contents that the receiver has from an earlier backup.
    Skipped = 5,
    /// The key and the length of a content; its bytes follow.
    Content = 6,
    /// Bytes of the content.
    Bytes = 7,
    /// An [`End`].
    End = 8,
    /// Why the sender cannot go on, as text. Nothing follows.
    Failed = 9,
}

/// The beginning of what is sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Header {
    pub deployment: Uuid,
    pub epoch: u64,
    /// The state that the rows go on from. Where it is a base, the entries come first.
    pub from: u64,
    pub is_base: bool,
    /// When the sender began, in milliseconds since 1970 by its clock.
    pub started_at: i64,
    pub version: String,
}

/// The end of what is sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct End {
    /// The commit that it is the state of.
    pub ts: u64,
    pub entries: u64,
    pub rows: u64,
    pub contents: u64,
}

impl Kind {
    fn read(byte: u8) -> Option<Kind> {
        use Kind::*;
        let kinds = [
            Header, Entries, Rows, Private, Skipped, Content, Bytes, End, Failed,
        ];
        kinds.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A frame as it is sent.
pub(super) fn frame(kind: Kind, payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(HEAD_BYTES + payload.len() + CHECKSUM_BYTES);
    out.push(kind as u8);
    put_len(&mut out, payload.len());
    out.extend_from_slice(payload);
    let checksum = crc32c::crc32c(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out.into()
}

/// A frame that holds JSON.
pub(super) fn json_frame(kind: Kind, content: &impl Serialize) -> Bytes {
    let json = serde_json::to_vec(content).expect("a header has text keys and plain values");
    frame(kind, &json)
}

/// Appends a length.
pub(super) fn put_len(out: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).expect("keys, values and batches are far below 4 GiB");
    out.extend_from_slice(&len.to_le_bytes());
}

/// Takes bytes behind their length.
pub(super) fn take_bytes<'p>(rest: &mut &'p [u8]) -> Result<&'p [u8], BackupError> {
    let cut = || BackupError::Garbled("a part is cut short");
    let len = rest.split_off(..size_of::<u32>()).ok_or_else(cut)?;
    let len = u32::from_le_bytes(len.try_into().map_err(|_| cut())?);
    rest.split_off(..len as usize).ok_or_else(cut)
}

/// Takes a `u64`.
pub(super) fn take_u64(rest: &mut &[u8]) -> Result<u64, BackupError> {
    let cut = || BackupError::Garbled("a part is cut short");
    let bytes = rest.split_off(..size_of::<u64>()).ok_or_else(cut)?;
    Ok(u64::from_le_bytes(bytes.try_into().map_err(|_| cut())?))
}

/// Frames of bytes that arrive in any parts.
#[derive(Default)]
pub(super) struct Frames(BytesMut);

impl Frames {
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next frame that is whole.
    pub fn next(&mut self) -> Result<Option<(Kind, Bytes)>, BackupError> {
        let Some((&kind, rest)) = self.0.split_first() else {
            return Ok(None);
        };
        let kind = Kind::read(kind).ok_or(BackupError::Garbled("a frame is of no known kind"))?;
        let Some(len) = rest.first_chunk() else {
            return Ok(None);
        };
        let len = u32::from_le_bytes(*len) as usize;
        if len > PAYLOAD_BYTES_MAX {
            return Err(BackupError::Garbled("a frame is too long"));
        }
        let whole = HEAD_BYTES + len;
        if self.0.len() < whole + CHECKSUM_BYTES {
            return Ok(None);
        }
        let mut taken = self.0.split_to(whole).freeze();
        let expected = self.0.get_u32_le();
        if crc32c::crc32c(&taken) != expected {
            return Err(BackupError::Garbled("a frame does not match its checksum"));
        }
        taken.advance(HEAD_BYTES);
        Ok(Some((kind, taken)))
    }

    /// Whether part of a frame is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_in_any_parts_and_a_changed_bit_is_noticed() {
        let sent = [frame(Kind::Rows, b"some rows"), frame(Kind::End, b"")].concat();
        for cut in 0..sent.len() {
            let mut frames = Frames::default();
            let mut kinds = Vec::new();
            for part in [&sent[..cut], &sent[cut..]] {
                frames.push(part);
                while let Some((kind, _)) = frames.next().unwrap() {
                    kinds.push(kind);
                }
            }
            assert_eq!(kinds, [Kind::Rows, Kind::End]);
            assert!(frames.is_empty());
        }
        for bit in 0..sent.len() * 8 {
            let mut damaged = sent.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let mut frames = Frames::default();
            frames.push(&damaged);
            let mut whole = 0;
            let failed = loop {
                match frames.next() {
                    Ok(Some(_)) => whole += 1,
                    Ok(None) => break !frames.is_empty(),
                    Err(_) => break true,
                }
            };
            assert!(failed, "bit {bit}: {whole} frames passed");
        }
    }
}
