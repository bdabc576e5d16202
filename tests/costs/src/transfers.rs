//! Transfers: requests of clients, as they come from connections.

use rand::Rng;
use rand::rngs::SmallRng;
use vestibule_schema::object;
use vestibule_server::database::SessionRequest;
use vestibule_server::functions::Call;

use crate::app;
use crate::rig::{Rig, call, chance};
use crate::row::Scene;

/// Requests that are queued at once.
const BATCH: u32 = 256;
/// Sessions that they come from.
const SESSIONS: u32 = 16;

/// Transfers between items of a table.
pub struct Transfers {
    size: usize,
    requests: u32,
    chance: SmallRng,
    rig: Rig,
}

impl Transfers {
    /// A table with so many items.
    pub fn new(size: usize) -> Transfers {
        Transfers {
            size,
            requests: 0,
            chance: chance(),
            rig: Rig::with_items(size).reopened(),
        }
    }

    fn next(&mut self) -> (Call, Option<SessionRequest>) {
        let mut number = || self.chance.random_range(0..self.size) as f64;
        let args = object! { "from" => number(), "to" => number(), "amount" => 1.0 };
        let session = (self.requests % SESSIONS) as u8;
        self.requests += 1;
        let request = SessionRequest {
            session: [session; 16],
            request: self.requests,
            identity: String::new(),
        };
        (call(app::MOVE, args), Some(request))
    }
}

impl Scene for Transfers {
    fn once(&mut self) -> u64 {
        let calls = (0..BATCH).map(|_| self.next()).collect();
        self.rig.request_all(calls);
        BATCH.into()
    }

    fn rig(&self) -> &Rig {
        &self.rig
    }
}
