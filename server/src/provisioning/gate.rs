//! The gate: the identities that ask, the steps that come first for each, and whether they are done.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use vestibule_schema::identity::{Identity, IdentityKey};
use vestibule_schema::path::FunctionPath;
use vestibule_schema::timestamp::Timestamp;

use super::lobby::{Lobby, WAITING_MAX};
use super::looks::{Look, look_call};
use super::metrics::{GateMetrics, Outcome};
use super::new_users::NewUsers;
use super::outcome::{Unprovisioned, claim_missing};
use super::plan::{Plan, Planner, Steps};
use super::runs::{EndedRun, RunOutcome, provisioning_call};
use super::single_flight::SingleFlight;
use super::waiting::Waiting;
use crate::auth::{Caller, IdentityAccess, ProvisioningProof, VerifiedUser};
use crate::clock::Clock;
use crate::deployment::provisioning::{DocumentRule, MutationRule, Stated};
use crate::functions::{
    Basis, Call, FunctionKind, FunctionOutcome, Functions, MutationRun, QueryOutcome, SystemError,
};
use crate::probe::Probe;
use crate::storage::ReadView;
use crate::subscriptions::LiveQueries;

/// How the gate behaves.
#[derive(Clone, Debug)]
pub struct GateOptions {
    /// The source of the provisioning rules.
    pub stated: Stated,
    /// How long a run may take, its retries included, before it counts as failed.
    pub deadline: Duration,
    /// First logins of one issuer in a minute; `None` for no bound. Identities beyond it are told to try again later.
    pub first_logins_per_minute: Option<NonZeroU32>,
    /// Development: checks after each run that wrote whether it did what a provisioning function must, and warns.
    pub checks: Option<Checks>,
}

/// The checks after a provisioning run that wrote.
#[derive(Clone, Debug)]
pub struct Checks {
    /// An internal query that says whether the caller has a user document; `None` where the app declared no index to
    /// find it by.
    pub has_user: Option<FunctionPath>,
}

/// The longest that a connection waits for a document made elsewhere, such as by a webhook.
pub const CONNECTION_PATIENCE: Duration = Duration::from_secs(60);
/// How long an HTTP request does.
pub const REQUEST_PATIENCE: Duration = Duration::from_secs(10);

/// Lets identities in after their provisioning has committed.
pub struct Gate {
    pub(super) functions: Arc<Functions>,
    pub(super) live: Arc<LiveQueries>,
    pub(super) options: GateOptions,
    pub(super) clock: Arc<dyn Clock>,
    planner: Planner,
    runs: SingleFlight<IdentityKey, EndedRun>,
    pub(super) lobby: Arc<Lobby>,
    pub(super) metrics: Arc<GateMetrics>,
    pub(super) new_users: NewUsers,
}

/// The gate's answer to an identity.
pub enum Admission {
    /// The gate is open.
    Open(Caller),
    /// The server's own steps are done, and a document made elsewhere is not there yet: the rest is waiting.
    Waits(Waiting),
}

/// How far the steps of a plan came.
pub(super) enum Progress {
    /// All are done as of this timestamp.
    Done(Timestamp),
    /// The missing document or rule is not the server's to make.
    Missing,
}

/// Plans that one caller may see replaced while they are followed.
const REPLACED_PLANS_MAX: usize = 8;

impl Gate {
    /// A gate in front of `functions`.
    pub fn new(
        functions: Arc<Functions>,
        live: Arc<LiveQueries>,
        options: GateOptions,
        clock: Arc<dyn Clock>,
        metrics: Arc<GateMetrics>,
    ) -> Arc<Gate> {
        Arc::new(Gate {
            new_users: NewUsers::new(options.first_logins_per_minute),
            planner: Planner::new(options.stated.clone()),
            lobby: Lobby::new(clock.clone(), WAITING_MAX),
            functions,
            live,
            options,
            clock,
            runs: SingleFlight::default(),
            metrics,
        })
    }

    /// Where the gate states what it does.
    pub fn probe(&self) -> &Probe {
        self.functions.probe()
    }

    /// The gate's counters.
    pub fn metrics(&self) -> &GateMetrics {
        &self.metrics
    }

    /// Waits until `user` is provisioned, as long as a connection does.
    pub async fn admit(self: &Arc<Self>, user: &VerifiedUser) -> Result<Caller, Unprovisioned> {
        let until = self.clock.elapsed().saturating_add(CONNECTION_PATIENCE);
        self.admit_until(user, until).await
    }

    /// Waits until `user` is provisioned; for a document made elsewhere, until then at the most.
    pub async fn admit_until(
        self: &Arc<Self>,
        user: &VerifiedUser,
        until: Duration,
    ) -> Result<Caller, Unprovisioned> {
        match self.enter(user).await? {
            Admission::Open(caller) => Ok(caller),
            // In a box: few callers wait, and all others would keep room for it.
            Admission::Waits(waiting) => Box::pin(waiting.until(until)).await,
        }
    }

    /// Does all that the server can do for `user`. A run that was started goes on when the asker leaves.
    pub async fn enter(self: &Arc<Self>, user: &VerifiedUser) -> Result<Admission, Unprovisioned> {
        let plan = self.plan_for(user);
        if let Some(caller) = self.known(user, &plan) {
            if *plan != Plan::Nothing {
                self.metrics.waited(Duration::ZERO);
            }
            return Ok(Admission::Open(caller));
        }
        let asked = self.clock.elapsed();
        let (plan, progress) = self.follow_newest(plan, user).await;
        match progress {
            Ok(Progress::Missing) => Waiting::begin(self, user, plan, asked).map(Admission::Waits),
            Ok(Progress::Done(ts)) => {
                self.waited_since(asked);
                Ok(Admission::Open(provisioned(&user.identity, ts)))
            }
            Err(why) => {
                self.waited_since(asked);
                Err(why)
            }
        }
    }

    pub(super) fn waited_since(&self, asked: Duration) {
        self.metrics
            .waited(self.clock.elapsed().saturating_sub(asked));
    }

    /// The steps for `user` now: none for machines.
    pub(super) fn plan_for(&self, user: &VerifiedUser) -> Arc<Plan> {
        match user.needs_provisioning {
            true => self.planner.newest(&self.functions),
            false => Arc::new(Plan::Nothing),
        }
    }

    /// Does the steps of a plan, or of the one that has taken its place. A refusal of a plan that a push has replaced
    /// meanwhile says nothing of the new one. Returns the plan that was followed to its end.
    pub(super) async fn follow_newest(
        self: &Arc<Self>,
        mut plan: Arc<Plan>,
        user: &VerifiedUser,
    ) -> (Arc<Plan>, Result<Progress, Unprovisioned>) {
        for _ in 0..REPLACED_PLANS_MAX {
            let progress = self.follow(&plan, user).await;
            let newest = self.plan_for(user);
            if !matches!(progress, Err(Unprovisioned::Refused(_))) || Arc::ptr_eq(&plan, &newest) {
                return (plan, progress);
            }
            plan = newest;
        }
        let reason = "the rules of provisioning change again and again".to_owned();
        (plan, Err(Unprovisioned::Failed { reason }))
    }

    /// Does the steps of a plan, as far as the server can.
    async fn follow(
        self: &Arc<Self>,
        plan: &Plan,
        user: &VerifiedUser,
    ) -> Result<Progress, Unprovisioned> {
        let Steps { mutation, document } = match plan {
            Plan::Nothing => return Ok(Progress::Done(Timestamp::ZERO)),
            Plan::Unmet(_) => return Ok(Progress::Missing),
            Plan::Steps(steps) => steps,
        };
        let run_at = match mutation {
            Some(rule) => self.run(rule, &user.identity).await?,
            None => Timestamp::ZERO,
        };
        let Some(rule) = document else {
            return Ok(Progress::Done(run_at));
        };
        let (look, ts) = self.look(rule, &user.identity).await?;
        match (look, mutation) {
            (Look::Found, _) => {
                let at = run_at.max(ts);
                self.probe().found_provisioned(&user.identity, at);
                Ok(Progress::Done(at))
            }
            (Look::Building, _) => Err(Unprovisioned::Missing {
                reason: format!("the index {rule} is still being built"),
            }),
            (Look::Missing | Look::NoIndex, mutation) => {
                if let Some(MutationRule { path, .. }) = mutation {
                    tracing::error!(
                        function = %path,
                        index = %rule,
                        "{path} committed and left no document in {rule} for its caller: the gate waits until there is one"
                    );
                }
                Ok(Progress::Missing)
            }
        }
    }

    /// Runs the mutation, or joins its run.
    async fn run(
        self: &Arc<Self>,
        rule: &MutationRule,
        identity: &Arc<Identity>,
    ) -> Result<Timestamp, Unprovisioned> {
        let newest = self.functions.database().durable_ts();
        let ended = self
            .runs
            .share(
                &identity.key(),
                |run| run.answers(identity, rule, newest),
                |run| match run {
                    Some(run) => self.start_run(run, identity, rule),
                    None => self.metrics.joined(),
                },
            )
            .await;
        match ended.map(|run| run.outcome) {
            Some(RunOutcome::Committed(ts)) => Ok(ts),
            Some(RunOutcome::Refused(_, thrown)) => Err(Unprovisioned::Refused(thrown)),
            Some(RunOutcome::Failed { reason }) => Err(Unprovisioned::Failed { reason }),
            None => Err(Unprovisioned::Failed {
                reason: "the provisioning run ended without an outcome".into(),
            }),
        }
    }

    /// Looks for the document of `identity`.
    async fn look(
        &self,
        rule: &DocumentRule,
        identity: &Identity,
    ) -> Result<(Look, Timestamp), Unprovisioned> {
        let value = rule
            .value_for(identity)
            .ok_or_else(|| claim_missing(&rule.to_string(), &rule.claim))?;
        let looked = self.live.query(look_call(rule, value)).await;
        let failed = |reason: String| {
            tracing::error!(reason, "the gate could not look for a document");
            self.metrics.ended(Outcome::Failed);
            Unprovisioned::Failed { reason }
        };
        let (result, ts) = looked.map_err(|error| failed(error.to_string()))?;
        let look = Look::read(&result).map_err(failed)?;
        Ok((look, ts))
    }

    /// Lets `user` in at once where nothing has to run. That is so when a run has ended for this person, and neither
    /// its read set nor a claim it looked at has changed since.
    pub fn admit_known(&self, user: &VerifiedUser) -> Option<Caller> {
        self.known(user, &self.plan_for(user))
    }

    fn known(&self, user: &VerifiedUser, plan: &Plan) -> Option<Caller> {
        let identity = &user.identity;
        let Steps { mutation, document } = match plan {
            Plan::Nothing => return Some(provisioned(identity, Timestamp::ZERO)),
            Plan::Unmet(_) => return None,
            Plan::Steps(steps) => steps,
        };
        let mut at = Timestamp::ZERO;
        if let Some(rule) = mutation {
            let (_, ts) = self.live.held_answer(&provisioning_call(identity, rule))?;
            at = ts;
        }
        if let Some(rule) = document {
            let call = look_call(rule, rule.value_for(identity)?);
            let (result, ts) = self.live.held_query(&call)?;
            if Look::read(&result) != Ok(Look::Found) {
                return None;
            }
            at = at.max(ts);
        }
        self.metrics.known();
        self.probe().found_provisioned(identity, at);
        Some(provisioned(identity, at))
    }

    /// Whether an open gate stays open while the steps are done again for a renewed token. If the document has gone, or
    /// another claim names another one, its maker may take a while.
    pub fn stays_open_at_refresh(&self, user: &VerifiedUser) -> bool {
        self.plan_for(user).is_up_to_others()
    }

    /// The answer to a call of the provisioning function itself, for an identity for which it has run. It holds while
    /// nothing that the run read has changed.
    pub fn answer_known(&self, call: &Call) -> Option<MutationRun> {
        let (IdentityAccess::Known(Some(identity)), Some(_)) =
            (call.caller.identity(), call.caller.proof())
        else {
            return None;
        };
        let plan = self.planner.newest(&self.functions);
        let rule = plan.mutation()?;
        if call.path != rule.path || call.args != rule.arguments_for(identity) {
            return None;
        }
        self.functions
            .registry()
            .find(FunctionKind::Mutation, call)
            .ok()?;
        let (result, ts) = self.live.held_answer(&provisioning_call(identity, rule))?;
        Some(MutationRun {
            outcome: result.done()?.clone(),
            log_lines: result.log_lines.clone(),
            ts,
            basis: Basis::default(),
        })
    }

    /// Whether `identity` was provisioned in an older state already, which no commit can change any more.
    pub fn was_provisioned_on(
        &self,
        view: &dyn ReadView,
        identity: &Arc<Identity>,
    ) -> Result<bool, SystemError> {
        let Steps { mutation, document } = match self.planner.at(&self.functions, view.ts()) {
            Plan::Nothing => return Ok(true),
            Plan::Unmet(_) => return Ok(false),
            Plan::Steps(steps) => steps,
        };
        if let Some(rule) = mutation {
            let call = provisioning_call(identity, &rule);
            let run = self.functions.mutate_without_writing_on(view, &call)?;
            let has_run = run.is_some_and(|run| {
                matches!(
                    run.outcome,
                    QueryOutcome::Done(FunctionOutcome::Returned(_))
                )
            });
            if !has_run {
                return Ok(false);
            }
        }
        let Some(rule) = document else {
            return Ok(true);
        };
        let Some(value) = rule.value_for(identity) else {
            return Ok(false);
        };
        let run = self
            .functions
            .query_on(view, &look_call(&rule, value), None)?;
        Ok(Look::of(&run.outcome) == Ok(Look::Found))
    }
}

pub(super) fn provisioned(identity: &Arc<Identity>, committed_at: Timestamp) -> Caller {
    Caller::provisioned(identity.clone(), ProvisioningProof::issue(committed_at))
}
