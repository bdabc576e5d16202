//! Contents whose documents may still be on their way. The sweep leaves them alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use uuid::Uuid;

/// The keys of contents that this process wrote a moment ago, with when it began, on a clock that never goes back.
#[derive(Clone, Default)]
pub(super) struct UnderWay(Arc<Mutex<HashMap<Uuid, Duration>>>);

/// A key that is under way for as long as this exists.
pub(super) struct Begun {
    under_way: UnderWay,
    key: Uuid,
}

impl UnderWay {
    /// Notes that content is about to be written.
    pub fn begin(&self, key: Uuid, now: Duration) -> Begun {
        self.0.lock().insert(key, now);
        let under_way = self.clone();
        Begun { under_way, key }
    }

    /// Notes that content is about to be written whose transaction ends without a report to this room.
    pub fn begin_and_forget(&self, key: Uuid, now: Duration) {
        self.0.lock().insert(key, now);
    }

    pub fn contains(&self, key: &Uuid) -> bool {
        self.0.lock().contains_key(key)
    }

    /// Forgets the keys that were not taken back for `age`.
    pub fn forget_older_than(&self, age: Duration, now: Duration) {
        self.0
            .lock()
            .retain(|_, begun| now.saturating_sub(*begun) < age);
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.under_way.0.lock().remove(&self.key);
    }
}
