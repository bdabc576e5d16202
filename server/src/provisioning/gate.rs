//! One run of the provisioning function per identity, however many ask.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;
use vestibule_schema::identity::{Identity, IdentityKey};
use vestibule_schema::path::FunctionPath;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::{Object, Value};

use super::flights::{Flights, Run};
use super::metrics::{GateMetrics, Outcome};
use super::new_users::NewUsers;
use crate::auth::{Caller, IdentityAccess, ProvisioningProof, VerifiedUser};
use crate::clock::{Clock, timeout};
use crate::database::ReadSet;
use crate::functions::{
    Call, FunctionKind, FunctionOutcome, Functions, MutationRun, Origin, QueryOutcome, SystemError,
    Thrown,
};
use crate::planted::{self, Bug};
use crate::record::{self, Tag};
use crate::storage::ReadView;
use crate::subscriptions::LiveQueries;

/// How the gate behaves.
#[derive(Clone, Debug)]
pub struct GateOptions {
    /// The provisioning function; `None` for a deployment that said it has none.
    pub function: Option<FunctionPath>,
    /// How long a run may take, its retries included, before it counts as failed.
    pub deadline: Duration,
    /// First logins of one issuer in a minute; no bound where none. Whoever comes too many is told to try again later.
    pub first_logins_per_minute: Option<NonZeroU32>,
    /// Development: looks after each run that wrote whether it did what a provisioning function must, and warns.
    pub checks: Option<Checks>,
}

/// What is looked at after a provisioning run that wrote.
#[derive(Clone, Debug)]
pub struct Checks {
    /// An internal query that says whether the caller has a user document; `None` where the app declared no index to
    /// find it by.
    pub has_user: Option<FunctionPath>,
}

/// Why an identity was not let in.
#[derive(Clone, Debug, PartialEq)]
pub enum Unprovisioned {
    /// The provisioning function threw: the app said no, and trying again with the same token will not help.
    Refused(Thrown),
    /// Storage, a time limit or overload got in the way; trying again may help.
    Failed {
        /// What got in the way, for the server's log.
        reason: String,
    },
}

impl Unprovisioned {
    /// One word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Unprovisioned::Refused(_) => "refused",
            Unprovisioned::Failed { .. } => "failed",
        }
    }
}

/// Lets identities in after their provisioning has committed.
pub struct Gate {
    functions: Arc<Functions>,
    live: Arc<LiveQueries>,
    options: GateOptions,
    clock: Arc<dyn Clock>,
    flights: Flights<IdentityKey, Flown>,
    metrics: Arc<GateMetrics>,
    new_users: NewUsers,
}

/// A run that has ended.
#[derive(Clone)]
struct Flown {
    /// The identity it ran for, every claim included.
    identity: Arc<Identity>,
    landing: Landing,
}

/// How a run ended.
#[derive(Clone)]
enum Landing {
    /// Everything of the identity must read at or past this timestamp.
    Committed(Timestamp),
    /// The provisioning function threw in the state as of this timestamp.
    Refused(Timestamp, Thrown),
    Failed {
        reason: String,
    },
}

const RETRY_FIRST: Duration = Duration::from_millis(25);

impl Gate {
    /// A gate in front of `functions`.
    pub fn new(
        functions: Arc<Functions>,
        live: Arc<LiveQueries>,
        options: GateOptions,
        clock: Arc<dyn Clock>,
        metrics: Arc<GateMetrics>,
    ) -> Arc<Gate> {
        let new_users = NewUsers::new(options.first_logins_per_minute);
        Arc::new(Gate {
            new_users,
            functions,
            live,
            options,
            clock,
            flights: Flights::default(),
            metrics,
        })
    }

    /// The gate's counters.
    pub fn metrics(&self) -> &GateMetrics {
        &self.metrics
    }

    /// Waits until `user` is provisioned. A run that was started goes on when the asker leaves.
    pub async fn admit(self: &Arc<Self>, user: &VerifiedUser) -> Result<Caller, Unprovisioned> {
        let identity = &user.identity;
        let Some(function) = self.function_for(user) else {
            return Ok(provisioned(identity, Timestamp::ZERO));
        };
        if let Some(caller) = self.admit_known(user) {
            self.metrics.waited(Duration::ZERO);
            return Ok(caller);
        }
        let asked = self.clock.elapsed();
        let newest = self.functions.database().durable_ts();
        let flown = self
            .flights
            .share(
                &identity.key(),
                |flown| flown.answers(identity, newest),
                |run| match run {
                    Some(run) => self.launch(run, identity, function),
                    None => self.metrics.joined(),
                },
            )
            .await;
        self.metrics
            .waited(self.clock.elapsed().saturating_sub(asked));
        match flown.map(|flown| flown.landing) {
            Some(Landing::Committed(ts)) => Ok(provisioned(identity, ts)),
            Some(Landing::Refused(_, thrown)) => Err(Unprovisioned::Refused(thrown)),
            Some(Landing::Failed { reason }) => Err(Unprovisioned::Failed { reason }),
            None => Err(Unprovisioned::Failed {
                reason: "the provisioning run ended without an outcome".into(),
            }),
        }
    }

    /// Lets `user` in at once where nothing has to run: a run has ended for this person, and neither what it read nor a
    /// claim that it looked at has changed since.
    pub fn admit_known(&self, user: &VerifiedUser) -> Option<Caller> {
        let identity = &user.identity;
        let Some(function) = self.function_for(user) else {
            return Some(provisioned(identity, Timestamp::ZERO));
        };
        let (_, ts) = self
            .live
            .held_answer(&provisioning_call(identity, function))?;
        self.metrics.known();
        record::run_began(identity);
        record::run_landed(identity, Ok(&ts));
        Some(provisioned(identity, ts))
    }

    /// The answer to a call of the provisioning function itself by somebody for whom it has run, while nothing that it
    /// read has changed since.
    pub fn answer_known(&self, call: &Call) -> Option<MutationRun> {
        let function = self.options.function.as_ref()?;
        if call.path != *function || call.args != Value::Object(Object::new()) {
            return None;
        }
        let (IdentityAccess::Known(Some(identity)), Some(_)) =
            (call.caller.identity(), call.caller.proof())
        else {
            return None;
        };
        self.functions
            .registry()
            .find(FunctionKind::Mutation, call)
            .ok()?;
        let (result, ts) = self
            .live
            .held_answer(&provisioning_call(identity, function))?;
        Some(MutationRun {
            outcome: result.done()?.clone(),
            log_lines: result.log_lines.clone(),
            ts,
            reads: ReadSet::default(),
            claims_read: None,
        })
    }

    /// What has to run for `user`: nothing for machines, and where the app provisions nobody.
    fn function_for(&self, user: &VerifiedUser) -> Option<&FunctionPath> {
        let function = self.options.function.as_ref();
        function.filter(|_| user.needs_provisioning)
    }

    /// Whether `identity` was provisioned in an older state already, which nobody can change any more.
    pub fn was_provisioned_on(
        &self,
        view: &dyn ReadView,
        identity: &Arc<Identity>,
    ) -> Result<bool, SystemError> {
        let Some(function) = &self.options.function else {
            return Ok(true);
        };
        let run = self
            .functions
            .mutate_without_writing_on(view, &provisioning_call(identity, function))?;
        Ok(run.is_some_and(|run| {
            matches!(
                run.outcome,
                QueryOutcome::Done(FunctionOutcome::Returned(_))
            )
        }))
    }

    /// Makes the run in a task of its own.
    fn launch(
        self: &Arc<Self>,
        run: Run<IdentityKey, Flown>,
        identity: &Arc<Identity>,
        function: &FunctionPath,
    ) {
        let (gate, identity, function) = (self.clone(), identity.clone(), function.clone());
        let span = tracing::info_span!("provision", identity = ?identity.key());
        tokio::spawn(
            async move {
                let _in_flight = gate.metrics.take_off();
                record::run_began(&identity);
                let landing = gate.fly(&identity, &function).await;
                gate.report(&landing);
                record::run_landed(&identity, landing.as_recorded());
                run.land(Flown { identity, landing });
            }
            .instrument(span),
        );
    }

    /// Runs the provisioning function to an outcome.
    async fn fly(&self, identity: &Arc<Identity>, function: &FunctionPath) -> Landing {
        let call = provisioning_call(identity, function);
        let mut reason = "the provisioning function did not end in time".to_string();
        let landed = timeout(
            &*self.clock,
            self.options.deadline,
            self.try_until_landed(&call, &mut reason),
        )
        .await;
        landed.unwrap_or(Landing::Failed { reason })
    }

    /// Runs it until the server's own troubles are over. The last of them is left in `reason`.
    async fn try_until_landed(&self, call: &Call, reason: &mut String) -> Landing {
        let mut pause = RETRY_FIRST;
        loop {
            match self.run_once(call).await {
                Ok(landing) => return landing,
                Err(error) => *reason = error.to_string(),
            }
            tracing::warn!(reason, "provisioning failed; trying again");
            self.clock.sleep_until(self.clock.elapsed() + pause).await;
            pause *= 2;
        }
    }

    async fn run_once(&self, call: &Call) -> Result<Landing, SystemError> {
        if planted::is(Bug::GateOpenedBeforeCommit) {
            let unheard = Box::new(|_| None);
            self.functions
                .submit_mutation(call.clone(), None, unheard)?;
            return Ok(Landing::Committed(self.functions.database().durable_ts()));
        }
        // First where it cannot write: a known user costs no commit.
        let without_writing = self.live.run_idempotent_without_writing(call).await?;
        let (result, ts) = match without_writing {
            Some(answer) => answer,
            None if self.may_come(call) => self.live.mutate_idempotently(call).await?,
            None => {
                return Ok(Landing::Failed {
                    reason: "too many first logins in this minute".into(),
                });
            }
        };
        let outcome = result.done().expect("its caller may be looked at");
        let landing = landing(outcome, ts);
        if matches!(landing, Landing::Committed(_))
            && let Some(checks) = &self.options.checks
        {
            self.look_for_mistakes(checks, call).await?;
        }
        Ok(landing)
    }

    fn may_come(&self, call: &Call) -> bool {
        match call.caller.identity() {
            IdentityAccess::Known(Some(identity)) => self
                .new_users
                .may_come(&identity.issuer, self.clock.elapsed()),
            IdentityAccess::Known(None) | IdentityAccess::Suspended => false,
        }
    }

    /// Development: a provisioning function that leaves no user, or that would write again, opens the gate on a promise
    /// that it does not keep.
    async fn look_for_mistakes(&self, checks: &Checks, call: &Call) -> Result<(), SystemError> {
        let function = &call.path;
        if let Some(has_user) = &checks.has_user {
            let asked = Call {
                path: has_user.clone(),
                ..call.clone()
            };
            let run = self.functions.query(asked, None).await?;
            if run.outcome == QueryOutcome::Done(FunctionOutcome::Returned(Value::Boolean(false))) {
                tracing::error!(
                    %function,
                    "{function} committed and left no user document for its caller: queries will not find the user"
                );
            }
        }
        let again = self.functions.mutate_without_writing(call.clone()).await?;
        if again.is_none() {
            tracing::error!(
                %function,
                "{function} writes again for a user that it has just provisioned: each login will cost a commit"
            );
        }
        Ok(())
    }

    fn report(&self, landing: &Landing) {
        match landing {
            Landing::Committed(ts) => {
                self.metrics.ended(Outcome::Provisioned);
                tracing::debug!(ts = ts.0, "provisioned");
            }
            Landing::Refused(_, thrown) => {
                self.metrics.ended(Outcome::Refused);
                tracing::warn!(
                    has_data = thrown.data.is_some(),
                    "the provisioning function refused an identity"
                );
            }
            Landing::Failed { reason } => {
                self.metrics.ended(Outcome::Failed);
                tracing::error!(reason, "provisioning failed");
            }
        }
    }
}

impl Landing {
    fn as_recorded(&self) -> Result<&Timestamp, &'static str> {
        match self {
            Landing::Committed(ts) => Ok(ts),
            Landing::Refused(..) => Err("refused"),
            Landing::Failed { .. } => Err("failed"),
        }
    }
}

impl Flown {
    /// Whether a run that was under way answers for `identity`, asked for when `newest` was the newest commit: not if
    /// it ran for other claims of the same person, and not if it may have seen the state before that commit.
    fn answers(&self, identity: &Identity, newest: Timestamp) -> bool {
        let is_fresh = match &self.landing {
            Landing::Committed(ts) | Landing::Refused(ts, _) => *ts >= newest,
            Landing::Failed { .. } => true,
        };
        *self.identity == *identity && is_fresh
    }
}

fn provisioning_call(identity: &Arc<Identity>, function: &FunctionPath) -> Call {
    Call {
        path: function.clone(),
        args: Value::Object(Object::new()),
        // The one run that sees an identity before its provisioning has committed is the provisioning itself.
        caller: provisioned(identity, Timestamp::ZERO).recorded_as(Tag::provisioning()),
        origin: Origin::Function,
    }
}

fn provisioned(identity: &Arc<Identity>, committed_at: Timestamp) -> Caller {
    Caller::provisioned(identity.clone(), ProvisioningProof::issue(committed_at))
}

fn landing(outcome: &FunctionOutcome, ts: Timestamp) -> Landing {
    match outcome {
        FunctionOutcome::Returned(_) => Landing::Committed(ts),
        FunctionOutcome::Threw(thrown) if thrown.is_fault => Landing::Failed {
            reason: thrown.message.clone(),
        },
        FunctionOutcome::Threw(thrown) => Landing::Refused(ts, thrown.clone()),
    }
}
