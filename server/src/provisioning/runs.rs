//! One run of the provisioning mutation, to an outcome.

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;
use vestibule_schema::identity::{Identity, IdentityKey};
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::Value;

use super::flights::Run;
use super::gate::{Checks, Gate, provisioned};
use super::metrics::Outcome;
use crate::auth::IdentityAccess;
use crate::clock::timeout;
use crate::deployment::provisioning::MutationRule;
use crate::functions::{Call, FunctionOutcome, Origin, QueryOutcome, SystemError, Thrown};

/// A run that has ended.
#[derive(Clone)]
pub(super) struct Flown {
    /// The identity it ran for, every claim included.
    identity: Arc<Identity>,
    /// The rule it ran.
    rule: MutationRule,
    pub landing: Landing,
}

/// How a run ended.
#[derive(Clone)]
pub(super) enum Landing {
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
    /// Makes the run in a task of its own.
    pub(super) fn launch(
        self: &Arc<Self>,
        run: Run<IdentityKey, Flown>,
        identity: &Arc<Identity>,
        rule: &MutationRule,
    ) {
        let (gate, identity, rule) = (self.clone(), identity.clone(), rule.clone());
        let call = provisioning_call(&identity, &rule);
        let span = tracing::info_span!("provision", identity = ?identity.key());
        tokio::spawn(
            async move {
                let _in_flight = gate.metrics.take_off();
                gate.probe().run_began(&identity);
                let landing = gate.fly(&call).await;
                gate.report(&landing);
                gate.probe().run_landed(&identity, landing.as_stated());
                run.land(Flown {
                    identity,
                    rule,
                    landing,
                });
            }
            .instrument(span),
        );
    }

    /// Runs the provisioning function to an outcome.
    async fn fly(&self, call: &Call) -> Landing {
        let mut reason = "the provisioning function did not end in time".to_string();
        let landed = timeout(
            &*self.clock,
            self.options.deadline,
            self.try_until_landed(call, &mut reason),
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
    fn as_stated(&self) -> Result<Timestamp, &'static str> {
        match self {
            Landing::Committed(ts) => Ok(*ts),
            Landing::Refused(..) => Err("refused"),
            Landing::Failed { .. } => Err("failed"),
        }
    }
}

impl Flown {
    /// Whether a run that was under way answers for `identity`, asked for when `newest` was the newest commit. It does
    /// not if it ran another rule, or for other claims of the same person. Nor does it if it may have seen the state
    /// before that commit.
    pub fn answers(&self, identity: &Identity, rule: &MutationRule, newest: Timestamp) -> bool {
        let is_fresh = match &self.landing {
            Landing::Committed(ts) | Landing::Refused(ts, _) => *ts >= newest,
            Landing::Failed { .. } => true,
        };
        *self.identity == *identity && self.rule == *rule && is_fresh
    }
}

/// The call of the mutation that `rule` names, for `identity`.
pub(super) fn provisioning_call(identity: &Arc<Identity>, rule: &MutationRule) -> Call {
    Call {
        path: rule.path.clone(),
        args: rule.arguments_for(identity),
        // The one run that sees an identity before its provisioning has committed is the provisioning itself.
        caller: provisioned(identity, Timestamp::ZERO),
        origin: Origin::Provisioning,
    }
}

fn landing(outcome: &FunctionOutcome, ts: Timestamp) -> Landing {
    match outcome {
        FunctionOutcome::Returned(_) => Landing::Committed(ts),
        FunctionOutcome::Threw(thrown) if thrown.may_pass() => Landing::Failed {
            reason: thrown.message.clone(),
        },
        FunctionOutcome::Threw(thrown) => Landing::Refused(ts, thrown.clone()),
    }
}
