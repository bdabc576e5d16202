//! The number of users that may come for the first time in a minute.
//!
//! Where sign-up is open, one person may sign up ten thousand times. Each sign-up has a valid token, so only their
//! number gives them away. The bound is per issuer: a flood at one leaves the others alone, and known users are never
//! counted.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use parking_lot::Mutex;

/// Counts the first logins of each issuer, minute by minute.
pub(super) struct NewUsers {
    per_minute: Option<NonZeroU32>,
    /// Issuers are those of verified tokens, so there are no more than configured providers.
    minutes: Mutex<HashMap<String, Minute>>,
}

struct Minute {
    began: Duration,
    came: u32,
}

const MINUTE: Duration = Duration::from_secs(60);

impl NewUsers {
    /// No bound where `per_minute` is none.
    pub fn new(per_minute: Option<NonZeroU32>) -> NewUsers {
        NewUsers {
            per_minute,
            minutes: Mutex::default(),
        }
    }

    /// Counts a first login of `issuer` at `now`, if one more may come in this minute.
    pub fn may_come(&self, issuer: &str, now: Duration) -> bool {
        let Some(per_minute) = self.per_minute else {
            return true;
        };
        let mut minutes = self.minutes.lock();
        let minute = minutes.entry(issuer.to_owned()).or_insert(Minute {
            began: now,
            came: 0,
        });
        if now.saturating_sub(minute.began) >= MINUTE {
            *minute = Minute {
                began: now,
                came: 0,
            };
        }
        let may_come = minute.came < per_minute.get();
        minute.came += u32::from(may_come);
        may_come
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_issuer_has_its_own_number_a_minute() {
        let new_users = NewUsers::new(NonZeroU32::new(2));
        let second = Duration::from_secs;
        let come = |issuer, at| new_users.may_come(issuer, second(at));
        assert_eq!(
            [come("a", 5), come("a", 6), come("a", 64)],
            [true, true, false]
        );
        assert!(come("b", 64));
        assert_eq!(
            [come("a", 65), come("a", 66), come("a", 67)],
            [true, true, false]
        );
        assert!(NewUsers::new(None).may_come("a", second(0)));
    }
}
