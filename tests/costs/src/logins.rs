//! Logins behind the gate, from a verified token to a caller who may run functions.

use rand::Rng;
use rand::rngs::SmallRng;

use crate::rig::{Rig, chance, person};
use crate::row::Scene;

/// Known users who sign in one after another.
const BATCH: u64 = 64;
/// New ones who come at once.
const AT_ONCE: usize = 100;

/// Logins of people whose documents are there, each with a token that says something new, so that no answer from before holds.
pub struct Known {
    logins: u64,
    users: usize,
    chance: SmallRng,
    rig: Rig,
}

impl Known {
    /// With so many users, each of whom signed in before a restart.
    pub fn new(users: usize) -> Known {
        let rig = Rig::new();
        rig.let_in(0, users);
        Known {
            logins: 0,
            users,
            chance: chance(),
            rig: rig.reopened(),
        }
    }
}

impl Scene for Known {
    fn once(&mut self) -> u64 {
        for _ in 0..BATCH {
            self.logins += 1;
            let name = format!("Ada {}", self.logins);
            let user = person(self.chance.random_range(0..self.users), &name);
            let admitted = self.rig.wait(self.rig.gate.admit(&user));
            assert!(admitted.is_ok(), "a known user is let in");
        }
        BATCH
    }

    fn rig(&self) -> &Rig {
        &self.rig
    }
}

/// First logins.
pub struct First {
    next: usize,
    rig: Rig,
}

impl First {
    /// With so many users before.
    pub fn new(users: usize) -> First {
        let rig = Rig::new();
        rig.let_in(0, users);
        First {
            next: users,
            rig: rig.reopened(),
        }
    }
}

impl Scene for First {
    fn once(&mut self) -> u64 {
        self.rig.let_in(self.next, AT_ONCE);
        self.next += AT_ONCE;
        AT_ONCE as u64
    }

    fn rig(&self) -> &Rig {
        &self.rig
    }
}
