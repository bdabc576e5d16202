//! Streams of bytes between an action and the world: bodies of requests and responses, and files.
//!
//! A stream is read chunk by chunk, and the next chunk is fetched when it is asked for. One that JavaScript feeds holds
//! a single chunk, so a slow reader holds the writer back. All streams of a call end with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio_util::sync::CancellationToken;
use vestibule_isolate::{ErrorClass, HostError, HostValue};

use super::action_calls::Outcome;
use crate::functions::BoxFuture;
use crate::functions::streamed::{Chunks, StreamError};

/// Streams that one call may have open.
pub(super) const STREAMS_MAX: usize = 1_000;
/// Bytes of bodies that the server holds for one call, beside the engine's own memory.
pub(super) const HELD_BYTES_MAX: usize = 64 << 20;
/// Chunks that JavaScript wrote and the reader has not taken, of one stream.
const CHUNKS_AHEAD_MAX: usize = 1;

impl From<StreamError> for Outcome {
    fn from(error: StreamError) -> Outcome {
        Outcome::Failed {
            class: error.class.to_owned(),
            message: error.message,
            data_json: None,
        }
    }
}

/// A part of the bytes that are held for a call. Dropping it gives the part back.
pub(super) struct Share {
    held: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The streams of one call.
#[derive(Default)]
pub(super) struct Streams {
    last: u64,
    readers: BTreeMap<u64, Reader>,
    writers: BTreeMap<u64, Writer>,
    held: Arc<AtomicUsize>,
}

struct Reader {
    source: Arc<AsyncMutex<Source>>,
    cancelled: CancellationToken,
    /// How many bytes it has, when that is known.
    length: Option<usize>,
}

struct Source {
    chunks: Chunks,
    /// For the table, which lets go of streams that were read to their end.
    has_ended: bool,
}

struct Writer {
    chunks: mpsc::Sender<(Bytes, Share)>,
    /// Why the stream broke off, when it did.
    failure: Arc<Mutex<Option<String>>>,
}

/// A stream that left the table.
pub(super) struct Taken {
    pub chunks: Chunks,
    pub length: Option<usize>,
}

impl Streams {
    /// Sets `bytes` aside for the call.
    pub fn hold(&self, bytes: usize) -> Result<Share, HostError> {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        let share = Share {
            held: self.held.clone(),
            bytes,
        };
        match before + bytes > HELD_BYTES_MAX {
            true => Err(HostError::new(ErrorClass::RangeError, Streams::too_much())),
            false => Ok(share),
        }
    }

    /// The bytes that are set aside for the call now.
    pub fn held_bytes(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Opens a stream that JavaScript feeds, or one of bytes that are there already.
    pub fn open(&mut self, bytes: Option<Vec<u8>>) -> Result<u64, HostError> {
        let Some(bytes) = bytes else {
            return self.open_for_writing();
        };
        let (length, share) = (bytes.len(), self.hold(bytes.len())?);
        let chunks = stream::iter((length > 0).then(|| (Bytes::from(bytes), share)));
        let chunks = chunks.map(|(bytes, _share)| Ok(bytes)).boxed();
        self.insert(chunks, Some(length))
    }

    fn open_for_writing(&mut self) -> Result<u64, HostError> {
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD_MAX);
        let failure = Arc::new(Mutex::new(None));
        let chunks = stream::unfold(
            (receiver, failure.clone()),
            |(mut receiver, failure)| async {
                let next: Option<(Bytes, Share)> = receiver.recv().await;
                if let Some((bytes, _share)) = next {
                    return Some((Ok(bytes), (receiver, failure)));
                }
                let failed: Option<String> = failure.lock().take();
                let failed = failed.map(StreamError::plain);
                failed.map(|error| (Err(error), (receiver, failure)))
            },
        );
        let id = self.insert(chunks.boxed(), None)?;
        let writer = Writer {
            chunks: sender,
            failure,
        };
        self.writers.insert(id, writer);
        Ok(id)
    }

    /// Adds a stream of the world's, for JavaScript to read.
    pub fn insert(&mut self, chunks: Chunks, length: Option<usize>) -> Result<u64, HostError> {
        if self.readers.len() >= STREAMS_MAX {
            self.readers.retain(|_, reader| !reader.has_ended());
        }
        if self.readers.len() >= STREAMS_MAX {
            let text = format!(
                "An action may have at most {STREAMS_MAX} streams open. \
                 Read the bodies of responses, or cancel them."
            );
            return Err(HostError::new(ErrorClass::Error, text));
        }
        self.last += 1;
        let source = Source {
            chunks,
            has_ended: false,
        };
        let reader = Reader {
            source: Arc::new(AsyncMutex::new(source)),
            cancelled: CancellationToken::new(),
            length,
        };
        self.readers.insert(self.last, reader);
        Ok(self.last)
    }

    /// Gives a stream that came with an outcome its id.
    pub fn settled(&mut self, outcome: Outcome) -> Outcome {
        let Outcome::Opened { mut json, body } = outcome else {
            return outcome;
        };
        if let Some(body) = body {
            match self.insert(body, None) {
                Ok(id) => json["streamId"] = id.into(),
                Err(error) => return Outcome::error(error.message),
            }
        }
        Outcome::Done(HostValue::String(json.to_string()))
    }

    /// The refusal of bodies that are more than a call may have under way.
    pub fn too_much() -> String {
        format!(
            "An action may have at most {} MiB of bodies under way.",
            HELD_BYTES_MAX >> 20
        )
    }

    /// Reads the next chunk: bytes, or `undefined` at the end.
    pub fn read(&self, id: u64) -> BoxFuture<Outcome> {
        let Some(reader) = self.readers.get(&id) else {
            return Box::pin(async { Outcome::Done(HostValue::Undefined) });
        };
        let (source, cancelled) = (reader.source.clone(), reader.cancelled.clone());
        Box::pin(async move {
            let next = async { source.lock().await.next().await };
            match cancelled.run_until_cancelled(next).await {
                Some(Some(Ok(bytes))) => Outcome::Done(HostValue::Bytes(bytes.to_vec())),
                Some(Some(Err(error))) => error.into(),
                Some(None) | None => Outcome::Done(HostValue::Undefined),
            }
        })
    }

    /// Writes a chunk. It is done when there is room for another one.
    pub fn write(&self, id: u64, bytes: Vec<u8>) -> Result<BoxFuture<Outcome>, HostError> {
        let share = self.hold(bytes.len())?;
        let sender = self.writers.get(&id).map(|writer| writer.chunks.clone());
        Ok(Box::pin(async move {
            let Some(sender) = sender else {
                return Outcome::error("This stream is closed");
            };
            match sender.send((Bytes::from(bytes), share)).await {
                // The place after this chunk.
                Ok(()) => match sender.reserve().await {
                    Ok(_) => Outcome::Done(HostValue::Undefined),
                    Err(_) => Outcome::error("The reader of this stream has gone"),
                },
                Err(_) => Outcome::error("The reader of this stream has gone"),
            }
        }))
    }

    /// Ends a stream that JavaScript feeds.
    pub fn close(&mut self, id: u64) {
        self.writers.remove(&id);
    }

    /// Ends it with an error.
    pub fn fail(&mut self, id: u64, text: String) {
        if let Some(writer) = self.writers.remove(&id) {
            *writer.failure.lock() = Some(text);
        }
    }

    /// Whether JavaScript may still feed it.
    pub fn is_fed(&self, id: u64) -> bool {
        self.writers.contains_key(&id)
    }

    /// Lets go of a stream that JavaScript reads.
    pub fn cancel(&mut self, id: u64) {
        if let Some(reader) = self.readers.remove(&id) {
            reader.cancelled.cancel();
        }
    }

    /// Takes a stream out, for another reader.
    pub fn take(&mut self, id: u64) -> Option<Taken> {
        let Reader { source, length, .. } = self.readers.remove(&id)?;
        let chunks = stream::unfold(source, |source| async {
            let next = source.lock().await.next().await;
            next.map(|next| (next, source))
        });
        Some(Taken {
            chunks: chunks.boxed(),
            length,
        })
    }

    /// Breaks off everything that JavaScript still feeds.
    pub fn break_off(&mut self, why: &str) {
        for id in self.writers.keys().copied().collect::<Vec<_>>() {
            self.fail(id, why.to_owned());
        }
    }
}

impl Reader {
    fn has_ended(&self) -> bool {
        self.source.try_lock().is_ok_and(|source| source.has_ended)
    }
}

impl Source {
    async fn next(&mut self) -> Option<Result<Bytes, StreamError>> {
        let next = self.chunks.next().await;
        if !matches!(next, Some(Ok(_))) {
            // The source behind it is let go of at once.
            self.chunks = stream::empty().boxed();
            self.has_ended = true;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn bytes(outcome: Option<Outcome>) -> Option<Vec<u8>> {
        match outcome {
            Some(Outcome::Done(HostValue::Bytes(bytes))) => Some(bytes),
            Some(Outcome::Done(HostValue::Undefined)) => Some(Vec::new()),
            Some(Outcome::Failed { message, .. }) => Some(message.into_bytes()),
            _ => None,
        }
    }

    #[tokio::test]
    async fn a_writer_waits_until_its_chunk_is_taken() {
        let mut streams = Streams::default();
        let id = streams.open(None).unwrap();
        let mut writing = streams.write(id, vec![1]).unwrap();
        assert!((&mut writing).now_or_never().is_none());
        assert_eq!(bytes(streams.read(id).now_or_never()), Some(vec![1]));
        assert!((&mut writing).now_or_never().is_some());
        let mut reading = streams.read(id);
        assert!((&mut reading).now_or_never().is_none());
        streams.close(id);
        assert_eq!(bytes(Some(reading.await)), Some(Vec::new()));
        assert_eq!(streams.held.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_stream_that_fails_tells_its_reader_once() {
        let mut streams = Streams::default();
        let id = streams.open(None).unwrap();
        streams.fail(id, "torn".to_owned());
        assert_eq!(bytes(Some(streams.read(id).await)), Some(b"torn".to_vec()));
        assert_eq!(bytes(Some(streams.read(id).await)), Some(Vec::new()));
        let late = streams.write(id, vec![1]).unwrap().await;
        assert_eq!(bytes(Some(late)), Some(b"This stream is closed".to_vec()));
    }

    #[tokio::test]
    async fn a_cancelled_stream_frees_its_writer_and_its_reader() {
        let mut streams = Streams::default();
        let id = streams.open(None).unwrap();
        let mut reading = streams.read(id);
        assert!((&mut reading).now_or_never().is_none());
        streams.cancel(id);
        assert_eq!(bytes(Some(reading.await)), Some(Vec::new()));
        let writing = streams.write(id, vec![1]).unwrap().await;
        let gone = "The reader of this stream has gone";
        assert_eq!(bytes(Some(writing)), Some(gone.into()));
    }

    #[test]
    fn streams_and_the_bytes_that_they_hold_are_bounded() {
        let mut streams = Streams::default();
        for _ in 0..STREAMS_MAX {
            streams.open(Some(Vec::new())).unwrap();
        }
        let refused = streams.open(None).err().unwrap();
        assert!(refused.message.contains("at most 1000 streams"));
        // Those that were read to their end make room.
        assert!(streams.read(7).now_or_never().is_some());
        assert!(streams.open(None).is_ok());
        let share = streams.hold(HELD_BYTES_MAX).unwrap();
        assert!(streams.hold(1).is_err());
        drop(share);
        assert!(streams.hold(HELD_BYTES_MAX).is_ok());
    }
}
