//! One run of the provisioning mutation, to an outcome.

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;
use vestibule_schema::identity::{Identity, IdentityKey};
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::Value;

use super::gate::{Checks, Gate, provisioned};
use super::metrics::Outcome;
use super::single_flight::Lead;
use crate::auth::IdentityAccess;
use crate::clock::timeout;
use crate::deployment::provisioning::MutationRule;
use crate::functions::{Call, CallSource, FunctionOutcome, QueryOutcome, SystemError, Thrown};

/// A run that has ended.
#[derive(Clone)]
pub(super) struct EndedRun {
    /// The identity it ran for, every claim included.
    identity: Arc<Identity>,
    /// The rule it ran.
    rule: MutationRule,
    pub outcome: RunOutcome,
}

/// How a run ended.
#[derive(Clone)]
pub(super) enum RunOutcome {
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
    pub(super) fn start_run(
        self: &Arc<Self>,
        run: Lead<IdentityKey, EndedRun>,
        identity: &Arc<Identity>,
        rule: &MutationRule,
    ) {
        let (gate, identity, rule) = (self.clone(), identity.clone(), rule.clone());
        let call = provisioning_call(&identity, &rule);
        let span = tracing::info_span!("provision", identity = ?identity.key());
        tokio::spawn(
            async move {
                let _in_flight = gate.metrics.run_began();
                gate.probe().run_began(&identity);
                let outcome = gate.run_to_an_outcome(&call).await;
                gate.report(&outcome);
                gate.probe().run_ended(&identity, outcome.as_stated());
                run.end(EndedRun {
                    identity,
                    rule,
                    outcome,
                });
            }
            .instrument(span),
        );
    }

    /// Runs the provisioning function to an outcome.
    async fn run_to_an_outcome(&self, call: &Call) -> RunOutcome {
        let mut reason = "the provisioning function did not end in time".to_string();
        let ended = timeout(
            &*self.clock,
            self.options.deadline,
            self.retry_until_ended(call, &mut reason),
        )
        .await;
        ended.unwrap_or(RunOutcome::Failed { reason })
    }

    /// Runs it until the server's own troubles are over. The last of them is left in `reason`.
    async fn retry_until_ended(&self, call: &Call, reason: &mut String) -> RunOutcome {
        let mut pause = RETRY_FIRST;
        loop {
            match self.run_once(call).await {
                Ok(outcome) => return outcome,
                Err(error) => *reason = error.to_string(),
            }
            tracing::warn!(reason, "provisioning failed; trying again");
            self.clock.sleep_until(self.clock.elapsed() + pause).await;
            pause *= 2;
        }
    }

    async fn run_once(&self, call: &Call) -> Result<RunOutcome, SystemError> {
        // First where it cannot write: a known user costs no commit.
        let without_writing = self.live.run_idempotent_without_writing(call).await?;
        let (result, ts) = match without_writing {
            Some(answer) => answer,
            None if self.may_come(call) => self.live.mutate_idempotently(call).await?,
            None => {
                return Ok(RunOutcome::Failed {
                    reason: "too many first logins in this minute".into(),
                });
            }
        };
        let outcome = result.done().expect("its caller may be looked at");
        let outcome = outcome_of(outcome, ts);
        if matches!(outcome, RunOutcome::Committed(_))
            && let Some(checks) = &self.options.checks
        {
            self.look_for_mistakes(checks, call).await?;
        }
        Ok(outcome)
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

    fn report(&self, outcome: &RunOutcome) {
        match outcome {
            RunOutcome::Committed(ts) => {
                self.metrics.ended(Outcome::Provisioned);
                tracing::debug!(ts = ts.0, "provisioned");
            }
            RunOutcome::Refused(_, thrown) => {
                self.metrics.ended(Outcome::Refused);
                tracing::warn!(
                    has_data = thrown.data.is_some(),
                    "the provisioning function refused an identity"
                );
            }
            RunOutcome::Failed { reason } => {
                self.metrics.ended(Outcome::Failed);
                tracing::error!(reason, "provisioning failed");
            }
        }
    }
}

impl RunOutcome {
    fn as_stated(&self) -> Result<Timestamp, &'static str> {
        match self {
            RunOutcome::Committed(ts) => Ok(*ts),
            RunOutcome::Refused(..) => Err("refused"),
            RunOutcome::Failed { .. } => Err("failed"),
        }
    }
}

impl EndedRun {
    /// Whether a run that was under way answers for `identity`, asked for when `newest` was the newest commit. It does
    /// not if it ran another rule, or for other claims of the same person. Nor does it if it may have seen the state
    /// before that commit.
    pub fn answers(&self, identity: &Identity, rule: &MutationRule, newest: Timestamp) -> bool {
        let is_fresh = match &self.outcome {
            RunOutcome::Committed(ts) | RunOutcome::Refused(ts, _) => *ts >= newest,
            RunOutcome::Failed { .. } => true,
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
        source: CallSource::Provisioning,
    }
}

fn outcome_of(outcome: &FunctionOutcome, ts: Timestamp) -> RunOutcome {
    match outcome {
        FunctionOutcome::Returned(_) => RunOutcome::Committed(ts),
        FunctionOutcome::Threw(thrown) if thrown.may_pass() => RunOutcome::Failed {
            reason: thrown.message.clone(),
        },
        FunctionOutcome::Threw(thrown) => RunOutcome::Refused(ts, thrown.clone()),
    }
}
