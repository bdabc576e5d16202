//! The keys of one remote provider, kept between tokens.
//!
//! Keys are used without asking while they are fresh. When they are not, one fetch runs for all who wait. When that
//! fails, the old keys serve on for a day: an outage of the provider signs no user out. A token with an unknown key id
//! may mean that the provider has new keys, so it waits for one more fetch. There is at most one in ten seconds,
//! however many tokens ask. Only keys that were fetched after an unknown key id was presented refuse it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::config::RemoteKeys;
use super::fetch::{FetchError, FetchedKeys, Fetcher};
use super::issuer::Issuer;
use crate::clock::Clock;

/// Keys are used at least this long without asking again, whatever the provider's cache headers say.
pub const KEYS_FRESH_MIN: Duration = Duration::from_secs(5 * 60);
/// Keys are used at most this long without asking again, so that a removed key stops working within this time.
pub const KEYS_FRESH_MAX: Duration = Duration::from_secs(60 * 60);
/// While the provider cannot be asked, its last keys serve for this long.
pub const KEYS_STALE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Least time between two fetches caused by unknown key ids.
pub const REFETCH_INTERVAL: Duration = Duration::from_secs(10);
/// Wait after a first failed fetch; it doubles with each further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// Longest wait after a failed fetch.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// The outcome of a fetch.
type Outcome = Result<Arc<FetchedKeys>, FetchError>;

pub(super) struct KeyCache {
    source: Source,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    /// The running or last fetch; dropping the cache ends it.
    task: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// Everything a fetch needs, cheap to hand to its task.
#[derive(Clone)]
struct Source {
    issuer: Issuer,
    from: RemoteKeys,
    fetcher: Arc<Fetcher>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    stale_uses: AtomicU64,
    fetches: AtomicU64,
}

#[derive(Default)]
struct State {
    known: Option<Known>,
    /// Fetches begun.
    begun: u64,
    flight: Option<watch::Receiver<Option<Outcome>>>,
    /// The failures since the last success.
    failure: Option<FailedFetch>,
    /// When an unknown key id last caused a fetch.
    refetched_at: Option<Duration>,
}

#[derive(Clone)]
struct Known {
    keys: Arc<FetchedKeys>,
    /// The number of the fetch that brought them.
    fetch: u64,
    fetched_at: Duration,
    fresh_for: Duration,
}

#[derive(Clone)]
struct FailedFetch {
    error: FetchError,
    count: u32,
    retry_at: Duration,
}

/// The next step of a verification after a look at the state.
enum Next {
    Use(Arc<FetchedKeys>),
    UseStale(Arc<FetchedKeys>),
    Wait {
        flight: watch::Receiver<Option<Outcome>>,
        stale: Option<Arc<FetchedKeys>>,
    },
    Refuse(FetchError),
}

/// The next step of a search for an unknown key id after a look at the state.
enum Search {
    Done(Outcome),
    Join(watch::Receiver<Option<Outcome>>),
    WaitUntil(Duration),
}

/// How old a cache's keys are.
pub(super) struct CacheReport {
    /// The age of the known keys and whether they are fresh; none before the first successful fetch.
    pub age: Option<(Duration, bool)>,
    pub failing: Option<FetchError>,
    pub keys: usize,
    pub stale_uses: u64,
    pub fetches: u64,
}

impl KeyCache {
    pub fn new(
        issuer: Issuer,
        from: RemoteKeys,
        fetcher: Arc<Fetcher>,
        clock: Arc<dyn Clock>,
    ) -> KeyCache {
        KeyCache {
            source: Source {
                issuer,
                from,
                fetcher,
            },
            clock,
            shared: Arc::default(),
            task: Mutex::new(None),
        }
    }

    /// The keys to verify with now.
    pub async fn current(&self) -> Outcome {
        let next = self.next_for_current();
        match next {
            Next::Use(keys) => Ok(keys),
            Next::UseStale(keys) => Ok(self.count_stale(keys)),
            Next::Refuse(error) => Err(error),
            Next::Wait { flight, stale } => match (outcome(flight).await, stale) {
                (Ok(keys), _) => Ok(keys),
                (Err(_), Some(keys)) => Ok(self.count_stale(keys)),
                (Err(error), None) => Err(error),
            },
        }
    }

    /// Keys among which `key_id` is, or that were fetched after this was called, so that it exists nowhere. An error
    /// when the provider cannot be asked: then nothing is known about the id.
    pub async fn search(&self, key_id: Option<&str>) -> Outcome {
        let begun = self.shared.state.lock().begun;
        loop {
            match self.next_for_search(key_id, begun) {
                Search::Done(outcome) => return outcome,
                Search::Join(flight) => outcome(flight).await.map(drop)?,
                Search::WaitUntil(at) => self.clock.sleep_until(at).await,
            }
        }
    }

    /// `begun` is how many fetches had begun when the search did: their keys prove nothing about later ones.
    fn next_for_search(&self, key_id: Option<&str>, begun: u64) -> Search {
        let mut state = self.shared.state.lock();
        let now = self.clock.elapsed();
        let answers = |it: &&Known| it.fetch > begun || !it.keys.keys.lacks(key_id);
        if let Some(known) = state.known.as_ref().filter(answers) {
            return Search::Done(Ok(known.keys.clone()));
        }
        if let Some(flight) = state.running_flight() {
            return Search::Join(flight);
        }
        if let Some(failure) = state.failure_until(now) {
            return Search::Done(Err(failure.error.clone()));
        }
        if let Some(at) = state
            .refetched_at
            .map(|at| at.saturating_add(REFETCH_INTERVAL))
            && now < at
        {
            return match &state.failure {
                Some(failure) => Search::Done(Err(failure.error.clone())),
                None => Search::WaitUntil(at),
            };
        }
        state.refetched_at = Some(now);
        Search::Join(self.start_flight(&mut state))
    }

    pub fn report(&self) -> CacheReport {
        let state = self.shared.state.lock();
        let now = self.clock.elapsed();
        CacheReport {
            age: state
                .known
                .as_ref()
                .map(|it| (it.age(now), it.is_fresh(now))),
            failing: state.failure.as_ref().map(|it| it.error.clone()),
            keys: state.known.as_ref().map_or(0, |it| it.keys.keys.len()),
            stale_uses: self.shared.stale_uses.load(Ordering::Relaxed),
            fetches: self.shared.fetches.load(Ordering::Relaxed),
        }
    }

    fn next_for_current(&self) -> Next {
        let mut state = self.shared.state.lock();
        let now = self.clock.elapsed();
        if let Some(known) = state.known.as_ref().filter(|it| it.is_fresh(now)) {
            return Next::Use(known.keys.clone());
        }
        let stale = state
            .known
            .as_ref()
            .filter(|it| it.age(now) < KEYS_STALE_MAX);
        let stale = stale.map(|it| it.keys.clone());
        let is_failing = state.failure.is_some();
        if let Some(failure) = state.failure_until(now) {
            return match stale {
                Some(keys) => Next::UseStale(keys),
                None => Next::Refuse(failure.error.clone()),
            };
        }
        let flight = match state.running_flight() {
            Some(flight) => flight,
            None => self.start_flight(&mut state),
        };
        match stale {
            // The provider was down a moment ago. The fetch that finds out whether it still is runs by itself, and no
            // login waits for its time limit.
            Some(keys) if is_failing => Next::UseStale(keys),
            stale => Next::Wait { flight, stale },
        }
    }

    /// Starts the one fetch that all askers wait for.
    fn start_flight(&self, state: &mut State) -> watch::Receiver<Option<Outcome>> {
        state.begun += 1;
        let number = state.begun;
        let (sender, receiver) = watch::channel(None);
        let (source, shared, clock) =
            (self.source.clone(), self.shared.clone(), self.clock.clone());
        let span = tracing::info_span!("fetch_keys", issuer = source.issuer.text());
        let fetch = async move {
            shared.fetches.fetch_add(1, Ordering::Relaxed);
            let fetched = source.fetcher.keys(&source.issuer, &source.from).await;
            let outcome = fetched.map(Arc::new);
            shared
                .state
                .lock()
                .finish(&outcome, number, clock.elapsed());
            sender.send_replace(Some(outcome));
        };
        let task = tokio::spawn(fetch.instrument(span));
        *self.task.lock() = Some(AbortOnDropHandle::new(task));
        state.flight = Some(receiver.clone());
        receiver
    }

    fn count_stale(&self, keys: Arc<FetchedKeys>) -> Arc<FetchedKeys> {
        self.shared.stale_uses.fetch_add(1, Ordering::Relaxed);
        keys
    }
}

impl State {
    /// The fetch that runs now. A fetch that ended without a result (it panicked) counts as none.
    fn running_flight(&self) -> Option<watch::Receiver<Option<Outcome>>> {
        let flight = self.flight.as_ref()?;
        flight.has_changed().is_ok().then(|| flight.clone())
    }

    /// The last failure, while its backoff lasts.
    fn failure_until(&self, now: Duration) -> Option<&FailedFetch> {
        self.failure.as_ref().filter(|it| now < it.retry_at)
    }

    fn finish(&mut self, outcome: &Outcome, fetch: u64, now: Duration) {
        self.flight = None;
        match outcome {
            Ok(keys) => {
                if self.failure.take().is_some() {
                    tracing::info!("the provider answers again");
                }
                let asked = keys.max_age.unwrap_or(KEYS_FRESH_MIN);
                self.known = Some(Known {
                    keys: keys.clone(),
                    fetch,
                    fetched_at: now,
                    fresh_for: asked.clamp(KEYS_FRESH_MIN, KEYS_FRESH_MAX),
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a provider's keys could not be fetched");
                let count = self.failure.as_ref().map_or(0, |it| it.count);
                let backoff = BACKOFF_FIRST.saturating_mul(1 << count.min(16));
                self.failure = Some(FailedFetch {
                    error: error.clone(),
                    count: count.saturating_add(1),
                    retry_at: now.saturating_add(backoff.min(BACKOFF_MAX)),
                });
            }
        }
    }
}

impl Known {
    fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.fetched_at)
    }

    fn is_fresh(&self, now: Duration) -> bool {
        self.age(now) < self.fresh_for
    }
}

async fn outcome(mut flight: watch::Receiver<Option<Outcome>>) -> Outcome {
    match flight.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().unwrap_or(Err(FetchError::Interrupted)),
        Err(_) => Err(FetchError::Interrupted),
    }
}
