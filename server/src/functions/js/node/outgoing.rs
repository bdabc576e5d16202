//! Messages on their way to a process. A busy one reads none for as long as an action keeps it busy, so their bytes have a
//! bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::frames::{self, ToNode};
use crate::functions::error::Error;

/// Bytes of messages that a process has not read. One message may be larger, when nothing else waits.
pub const UNREAD_BYTES_MAX: usize = 64 << 20;
const OVERLOADED_CODE: &str = "NodeProcessOverloaded";

/// The queue of one process. Dropped, it ends the writer once that has written the rest.
pub struct Outgoing {
    queue: mpsc::UnboundedSender<Bytes>,
    unread: Arc<AtomicUsize>,
}

/// Its other end.
pub struct Written {
    queue: mpsc::UnboundedReceiver<Bytes>,
    unread: Arc<AtomicUsize>,
}

/// As many bytes wait for the process as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overloaded;

impl Overloaded {
    /// The text where nothing was done.
    fn of_call(self) -> String {
        format!("{} Try again later.", self.reason())
    }

    /// The text that an action sees in place of an operation's answer. A mutation may have committed.
    pub fn of_answer(self) -> String {
        format!(
            "{} The answer is lost, and the operation is done.",
            self.reason()
        )
    }

    fn reason(self) -> String {
        let mebibytes = UNREAD_BYTES_MAX >> 20;
        format!(
            "The Node.js process of this action is busy, and {mebibytes} MiB wait for it already."
        )
    }
}

impl From<Overloaded> for Error {
    fn from(overloaded: Overloaded) -> Error {
        Error::refused(OVERLOADED_CODE, overloaded.of_call())
    }
}

/// The queue of a process, and the end from which it is written.
pub fn outgoing() -> (Outgoing, Written) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let unread = Arc::<AtomicUsize>::default();
    let written = Written {
        queue: receiver,
        unread: unread.clone(),
    };
    let outgoing = Outgoing {
        queue: sender,
        unread,
    };
    (outgoing, written)
}

impl Outgoing {
    /// Queues a message of any size, if there is room for it. To a process that has ended, it is lost.
    pub fn offer(&self, message: &ToNode<'_>, bytes: &[u8]) -> Result<(), Overloaded> {
        let frame = frames::frame(message, bytes);
        let unread = self.unread.load(Ordering::Relaxed);
        if unread > 0 && unread + frame.len() > UNREAD_BYTES_MAX {
            return Err(Overloaded);
        }
        self.push(frame);
        Ok(())
    }

    /// Queues a message that is small, and has no more of its kind than there are calls and operations.
    pub fn send(&self, message: &ToNode<'_>) {
        self.push(frames::frame(message, &[]));
    }

    fn push(&self, frame: Bytes) {
        self.unread.fetch_add(frame.len(), Ordering::Relaxed);
        let _ = self.queue.send(frame);
    }
}

impl Written {
    /// Writes what is queued, until the queue or its reader ends.
    pub async fn to(mut self, mut writing: impl AsyncWrite + Unpin) {
        while let Some(frame) = self.queue.recv().await {
            if writing.write_all(&frame).await.is_err() {
                // Its reader notices too.
                return;
            }
            self.unread.fetch_sub(frame.len(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn what_a_busy_process_does_not_read_is_bounded() {
        let (outgoing, written) = outgoing();
        let (ours, mut theirs) = tokio::io::duplex(1_024);
        let writing = tokio::spawn(written.to(ours));
        let large = vec![0; UNREAD_BYTES_MAX / 2];
        let end = ToNode::End { call: 1 };
        outgoing.offer(&end, &large).unwrap();
        assert_eq!(outgoing.offer(&end, &large), Err(Overloaded));
        outgoing.offer(&end, &large[..1_000]).unwrap();
        outgoing.send(&ToNode::Ping);
        let error = Error::from(Overloaded).into_thrown();
        assert_eq!(error.code(), Some(OVERLOADED_CODE));
        // It reads again.
        let unread = outgoing.unread.load(Ordering::Relaxed);
        let mut read = vec![0; unread];
        theirs.read_exact(&mut read).await.unwrap();
        while outgoing.unread.load(Ordering::Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
        // One alone may have any size.
        outgoing
            .offer(&end, &vec![0; UNREAD_BYTES_MAX + 1])
            .unwrap();
        drop(theirs);
        writing.await.unwrap();
    }
}
