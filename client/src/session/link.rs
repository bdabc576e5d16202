//! One socket after another: versions, long Transitions in pieces, and pauses between attempts.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use vestibule_schema::wire::{StateVersion, TransitionChunk};

use super::LoginId;
use crate::options::ClientOptions;

/// The state of the connection.
pub(super) enum Link {
    /// The next attempt is made then.
    Waiting { until: Duration },
    /// A socket is being opened.
    Opening,
    /// A socket is open.
    Open(Wire),
}

/// The state of the conversation on the open socket.
#[derive(Default)]
pub(super) struct Wire {
    /// The end version of the newest Transition.
    pub told: StateVersion,
    /// The newest query set version sent.
    pub query_set: u32,
    /// How many identities were presented.
    pub identity: u32,
    /// The login as which calls run now; `None` without an identity.
    pub presented: Option<LoginId>,
    pub heard_at: Duration,
    pub chunks: Chunks,
}

/// Why a socket ended, as far as it matters to when the next one is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// This side lost or left it, or the server is going away in good order.
    Ordinary(String),
    /// The server closed it with a reason.
    Server(String),
    /// The login walks its steps again with another token: nothing is wrong with the server.
    Restart,
}

impl Trouble {
    /// The meaning of a close frame, or of its absence.
    pub fn closed(frame: Option<(u16, String)>) -> Trouble {
        const GOING_AWAY: u16 = 1001;
        match frame {
            None => Trouble::Ordinary("the connection was lost".to_string()),
            Some((GOING_AWAY, reason)) => Trouble::Ordinary(reason),
            Some((code, reason)) if reason.is_empty() => {
                Trouble::Server(format!("closed with code {code}"))
            }
            Some((_, reason)) => Trouble::Server(reason),
        }
    }

    pub fn text(&self) -> &str {
        match self {
            Trouble::Ordinary(text) | Trouble::Server(text) => text,
            Trouble::Restart => "another auth token is needed",
        }
    }
}

/// Reasons with which a server says that it has too much to do.
const OVERLOAD: [&str; 10] = [
    "SubscriptionsWorkerFullError",
    "TooManyConcurrent",
    "CommitterFullError",
    "TooManyRequests",
    "ExecuteFullError",
    "SystemTimeoutError",
    "ExpiredInQueue",
    "VectorIndexTooLarge",
    "SearchIndexTooLarge",
    "TooManyWritesInTimePeriod",
];

/// The pauses between attempts.
#[derive(Default)]
pub(super) struct Backoff {
    pub attempts: u32,
}

impl Backoff {
    /// How long to wait after `trouble`; longer each time, and varied so that many clients do not come back at once.
    pub fn next(
        &mut self,
        trouble: &Trouble,
        options: &ClientOptions,
        rng: &mut StdRng,
    ) -> Duration {
        let times = match trouble {
            Trouble::Restart if self.attempts == 0 => {
                self.attempts += 1;
                return Duration::ZERO;
            }
            Trouble::Ordinary(_) | Trouble::Restart => 1,
            Trouble::Server(reason) if OVERLOAD.iter().any(|name| reason.starts_with(name)) => 30,
            Trouble::Server(_) => 10,
        };
        let doubled = options
            .backoff_first
            .saturating_mul(times)
            .saturating_mul(2_u32.saturating_pow(self.attempts));
        self.attempts = self.attempts.saturating_add(1);
        doubled
            .min(options.backoff_max)
            .mul_f64(rng.random_range(0.5..1.5))
    }
}

/// A Transition that comes in pieces.
#[derive(Default)]
pub(super) struct Chunks {
    text: String,
    transition_id: String,
    parts: u32,
    total: u32,
}

/// A piece that does not follow the one before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutOfOrder;

impl Chunks {
    /// Adds a piece; gives the text when it was the last one.
    pub fn add(&mut self, chunk: TransitionChunk) -> Result<Option<String>, OutOfOrder> {
        if chunk.part_number == 0 {
            *self = Chunks {
                transition_id: chunk.transition_id.clone(),
                total: chunk.total_parts,
                ..Chunks::default()
            };
        }
        let fits = chunk.part_number == self.parts
            && chunk.part_number < chunk.total_parts
            && chunk.total_parts == self.total
            && chunk.transition_id == self.transition_id;
        if !fits {
            return Err(OutOfOrder);
        }
        self.text.push_str(&chunk.chunk);
        self.parts += 1;
        let is_whole = self.parts == self.total;
        Ok(is_whole.then(|| std::mem::take(self).text))
    }
}
