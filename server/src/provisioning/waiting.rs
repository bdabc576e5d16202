//! Waiting for a step outside the server: a document by a webhook, or a push that makes the rules possible.
//!
//! A waiting identity holds a live query and a seat, and nothing else: no thread, no snapshot, no place among the
//! running requests. So the call it waits for always has room.

use std::sync::Arc;
use std::time::Duration;

use vestibule_schema::timestamp::Timestamp;

use super::gate::{Gate, Progress, provisioned};
use super::lobby::Seat;
use super::looks::{Look, Watch};
use super::metrics::Outcome;
use super::outcome::{Unprovisioned, claim_missing};
use super::plan::{Plan, Steps};
use crate::auth::{Caller, VerifiedUser};
use crate::clock::timeout;
use crate::functions::SystemError;

/// An identity that waits at the gate.
pub struct Waiting {
    gate: Arc<Gate>,
    user: VerifiedUser,
    plan: Arc<Plan>,
    /// When it came.
    asked: Duration,
    seat: Seat,
}

impl Waiting {
    /// Takes a seat.
    pub(super) fn begin(
        gate: &Arc<Gate>,
        user: &VerifiedUser,
        plan: Arc<Plan>,
        asked: Duration,
    ) -> Result<Waiting, Unprovisioned> {
        match gate.lobby.enter(user.identity.key()) {
            Some(seat) => Ok(Waiting {
                gate: gate.clone(),
                user: user.clone(),
                plan,
                asked,
                seat,
            }),
            None => {
                gate.waited_since(asked);
                Err(no_room())
            }
        }
    }

    /// Waits, until then at the most.
    pub async fn until(mut self, until: Duration) -> Result<Caller, Unprovisioned> {
        let _waiting = self.gate.metrics.clone().wait_begins();
        let clock = self.gate.clock.clone();
        let limit = until.saturating_sub(clock.elapsed());
        let came = timeout(&*clock, limit, self.came()).await;
        self.gate.waited_since(self.asked);
        match came {
            Some(Ok(at)) => {
                self.gate.metrics.ended(Outcome::Provisioned);
                self.seat.let_in();
                Ok(provisioned(&self.user.identity, at))
            }
            Some(Err(why)) => Err(why),
            None => Err(self.gave_up()),
        }
    }

    /// Waits until everything is there.
    async fn came(&mut self) -> Result<Timestamp, Unprovisioned> {
        loop {
            let plan = self.plan.clone();
            match &*plan {
                Plan::Nothing => return Ok(Timestamp::ZERO),
                Plan::Unmet(sentence) => self.becomes_possible(sentence).await?,
                Plan::Steps(steps) => {
                    if let Some(at) = self.document_came(steps).await? {
                        return Ok(at);
                    }
                }
            }
            let newest = self.gate.plan_for(&self.user);
            let (followed, progress) = self.gate.follow_newest(newest, &self.user).await;
            self.plan = followed;
            match progress? {
                Progress::Done(at) => return Ok(at),
                Progress::Missing => {}
            }
        }
    }

    /// Waits until the rules may be possible.
    async fn becomes_possible(&self, sentence: &str) -> Result<(), Unprovisioned> {
        let mut watch = Watch::unmet(&self.gate.live).ok_or_else(no_room)?;
        let changed = watch.until_changed(sentence).await;
        changed.map_err(|error| self.failed(&error))
    }

    /// When the document came; `None` when a push has replaced the plan.
    async fn document_came(&self, steps: &Steps) -> Result<Option<Timestamp>, Unprovisioned> {
        let Some(rule) = &steps.document else {
            return Ok(Some(Timestamp::ZERO));
        };
        let identity = &self.user.identity;
        let value = rule
            .value_for(identity)
            .ok_or_else(|| claim_missing(&rule.to_string(), &rule.claim))?;
        let mut watch = Watch::document(&self.gate.live, rule, value).ok_or_else(no_room)?;
        loop {
            let (result, ts) = watch.next().await.map_err(|error| self.failed(&error))?;
            match Look::read(&result) {
                Ok(Look::Found) => {
                    self.gate.probe().found_provisioned(identity, ts);
                    return Ok(Some(ts));
                }
                Ok(_) if self.is_replaced() => return Ok(None),
                Ok(Look::Missing | Look::NoIndex | Look::Building) => {}
                Err(_) if self.is_replaced() => return Ok(None),
                Err(reason) => return Err(Unprovisioned::Failed { reason }),
            }
        }
    }

    fn is_replaced(&self) -> bool {
        self.gate.plan_for(&self.user) != self.plan
    }

    fn failed(&self, error: &SystemError) -> Unprovisioned {
        tracing::error!(%error, "waiting for a user failed");
        self.gate.metrics.ended(Outcome::Failed);
        Unprovisioned::Failed {
            reason: error.to_string(),
        }
    }

    /// It did not come in time.
    fn gave_up(&self) -> Unprovisioned {
        let key = self.user.identity.key();
        let reason = self.missing();
        let is_possible = !matches!(*self.plan, Plan::Unmet(_));
        if is_possible && self.seat.has_waited_long() {
            self.gate.metrics.ended(Outcome::Refused);
            return Unprovisioned::NeverCame { reason };
        }
        self.gate.metrics.ended(Outcome::Missing);
        tracing::warn!(identity = ?key, reason, "an identity waits for its user");
        Unprovisioned::Missing { reason }
    }

    /// The missing part, in words.
    fn missing(&self) -> String {
        match &*self.plan {
            Plan::Unmet(sentence) => sentence.trim_end_matches('.').to_owned(),
            Plan::Steps(Steps {
                mutation: Some(mutation),
                document: Some(rule),
            }) => format!(
                "{} committed, and still no document in {rule} has the claim \"{}\" of its caller",
                mutation.path, rule.claim
            ),
            Plan::Steps(Steps {
                document: Some(rule),
                ..
            }) => format!(
                "no document in {rule} has the claim \"{}\" of its token",
                rule.claim
            ),
            Plan::Nothing | Plan::Steps(_) => "nothing".to_owned(),
        }
    }
}

fn no_room() -> Unprovisioned {
    tracing::warn!("too many identities wait for their users");
    Unprovisioned::Missing {
        reason: "too many identities wait for their users".to_owned(),
    }
}
