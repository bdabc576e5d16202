//! The identity a connection speaks for: verifying credentials, waiting for the gate, and holding calls meanwhile.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use vestibule_schema::provisioning::{Admission, Effect, Event, Rejection, State, step};
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::Value;
use vestibule_schema::wire::{
    AuthError, Authenticate, CallMessage, Credential, RequestId, StateVersion,
};

use super::budget::{InFlight, Share};
use super::connection::{Connection, End};
use super::respond::{gate_queue_full, refusal_text};
use super::socket::Close;
use crate::auth::{Caller, VerifiedAdmin, VerifiedUser, VerifyError};
use crate::functions::Thrown;
use crate::probe::Point;
use crate::provisioning::{CONNECTION_PATIENCE, Unprovisioned, not_provisioned};

/// The gate's answer for an identity version.
pub(super) struct Admitted {
    version: u32,
    outcome: Result<Caller, Unprovisioned>,
}

/// A call that waits behind the gate.
pub(super) struct Held {
    pub call: CallMessage,
    pub is_mutation: bool,
    pub bytes: usize,
    /// The budget that its message takes until it has its outcome.
    pub in_flight: InFlight,
}

impl Held {
    fn rejected(self, thrown: Thrown) -> Rejected {
        Rejected {
            request_id: self.call.request_id,
            is_mutation: self.is_mutation,
            thrown,
        }
    }
}

/// A call that is answered without being run.
pub(super) struct Rejected {
    pub request_id: RequestId,
    pub is_mutation: bool,
    pub thrown: Thrown,
}

/// The identity of one connection.
pub(super) struct Gatekeeper {
    state: State,
    /// The caller that calls run as while the gate is not closed.
    caller: Caller,
    credential: Presented,
    admission: Option<Pin<Box<dyn Future<Output = Admitted> + Send>>>,
    /// When the Authenticate came that is waited for, or the first of several as the same person.
    waiting_since: Option<Duration>,
    /// Since when the gate stays open while a renewed token is looked at.
    rechecking_since: Option<Duration>,
    /// Each with its share of what all connections may hold.
    held: VecDeque<(Held, Share)>,
    held_bytes: usize,
    /// Authenticates accepted.
    received: u32,
}

enum Presented {
    Nobody,
    User(VerifiedUser, Arc<str>),
    Admin {
        admin: VerifiedAdmin,
        checked_at: Duration,
    },
}

impl Gatekeeper {
    pub fn new() -> Gatekeeper {
        Gatekeeper {
            state: State::default(),
            caller: Caller::nobody(),
            credential: Presented::Nobody,
            admission: None,
            waiting_since: None,
            rechecking_since: None,
            held: VecDeque::new(),
            held_bytes: 0,
            received: 0,
        }
    }

    /// The gate's answer, when one is awaited; otherwise this never ends. Cancel-safe.
    pub async fn admission(&mut self) -> Admitted {
        match &mut self.admission {
            Some(admission) => {
                let admitted = admission.await;
                self.admission = None;
                admitted
            }
            None => std::future::pending().await,
        }
    }

    /// When the identity began to wait, while it waits.
    pub fn waiting_since(&self) -> Option<Duration> {
        self.waiting_since
    }

    /// The auth token that was presented, for functions that ask for it.
    pub fn auth_token(&self) -> Option<Arc<str>> {
        match &self.credential {
            Presented::User(_, token) => Some(token.clone()),
            Presented::Nobody | Presented::Admin { .. } => None,
        }
    }

    pub fn is_anonymous(&self) -> bool {
        matches!(self.credential, Presented::Nobody)
    }

    /// Cancelled when the provider of the presented identity is gone; `None` without an identity.
    pub fn provider_gone(&self) -> Option<CancellationToken> {
        match &self.credential {
            Presented::User(user, _) => Some(user.provider_gone.clone()),
            Presented::Nobody | Presented::Admin { .. } => None,
        }
    }

    /// The newest identity version.
    pub fn version(&self) -> u32 {
        self.received
    }

    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    fn apply(&mut self, event: Event) -> Vec<Effect> {
        let (state, effects) = step(std::mem::take(&mut self.state), event);
        self.state = state;
        effects
    }

    fn hold(&mut self, held: Held, share: Share) {
        self.held_bytes += held.bytes;
        self.held.push_back((held, share));
    }

    fn release(&mut self) -> VecDeque<(Held, Share)> {
        self.held_bytes = 0;
        std::mem::take(&mut self.held)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Presents an identity. A later Transition reports its effect.
    pub(super) async fn authenticate(&mut self, message: Authenticate) -> Result<(), End> {
        if message.base_version != self.gatekeeper.received {
            tracing::warn!(
                base = message.base_version,
                expected = self.gatekeeper.received,
                "Authenticate out of step"
            );
            return Err(Close::internal().into());
        }
        let rooms = self.rooms.clone();
        let rejected = |error: VerifyError| {
            self.seat.rejected(error.code());
            verification_failed(&error, message.base_version, rooms.options.redact)
        };
        let door = rooms.authenticator.door(self.from);
        let probe = rooms.functions.probe();
        probe.pause(Point::TokenReceived, || None).await;
        match &message.credential {
            Credential::None => self.sign_out().await,
            Credential::User(token) => {
                let user = door.verify_user(token).await.map_err(rejected)?;
                let whom = || Some(user.identity.key());
                probe.pause(Point::Verified, whom).await;
                self.sign_in(user, token.as_str().into()).await
            }
            Credential::Admin { key, acting_as } => {
                let verified = door.verify_admin(key, acting_as.as_ref());
                let admin = verified.map_err(rejected)?;
                self.become_admin(admin).await
            }
        }
    }

    async fn sign_out(&mut self) -> Result<(), End> {
        self.gatekeeper.received += 1;
        self.gatekeeper.credential = Presented::Nobody;
        let version = self.gatekeeper.received;
        self.seat.signed_out(version);
        self.do_effects(Event::SignedOut { version }).await?;
        self.switch(Caller::nobody(), Timestamp::ZERO);
        Ok(())
    }

    async fn become_admin(&mut self, admin: VerifiedAdmin) -> Result<(), End> {
        self.gatekeeper.received += 1;
        let version = self.gatekeeper.received;
        self.do_effects(Event::SignedOut { version }).await?;
        let caller = admin.caller();
        tracing::info!(
            acting = admin.acting_as().is_some(),
            "an admin passed by the gate"
        );
        self.gatekeeper.credential = Presented::Admin {
            admin,
            checked_at: self.rooms.clock.elapsed(),
        };
        self.switch(caller, Timestamp::ZERO);
        Ok(())
    }

    async fn sign_in(&mut self, user: VerifiedUser, token: Arc<str>) -> Result<(), End> {
        self.gatekeeper.received += 1;
        let version = self.gatekeeper.received;
        self.seat.verified(version, &user.identity);
        let key = user.identity.key();
        let is_refresh = self.gatekeeper.state.key() == Some(&key)
            && matches!(self.gatekeeper.state.admission(), Admission::Run { .. });
        if is_refresh && let Some(caller) = self.rooms.gate.admit_known(&user) {
            self.gatekeeper.credential = Presented::User(user, token);
            self.do_effects(Event::Refreshed { version, key }).await?;
            self.switch(caller, Timestamp::ZERO);
            return Ok(());
        }
        if is_refresh && self.rooms.gate.stays_open_at_refresh(&user) {
            self.gatekeeper.credential = Presented::User(user, token);
            self.do_effects(Event::Refreshed { version, key }).await?;
            // Its results are still those of the earlier token, of the same person.
            self.told.identity = version;
            self.recheck(version);
            return Ok(());
        }
        if !is_refresh {
            // Queries that look at the identity keep what the client has until the gate opens.
            self.gatekeeper.caller = Caller::pending(user.identity.clone());
            self.subscriber.set_caller(self.gatekeeper.caller.clone());
            // Those results also hold back every newer version, such as a sign-out right before.
            self.told.identity = self.told.version.identity;
        }
        self.gatekeeper.credential = Presented::User(user, token);
        self.do_effects(Event::IdentityVerified { version, key })
            .await
    }

    /// The gate has answered.
    pub(super) async fn admitted(&mut self, admitted: Admitted) -> Result<(), End> {
        let Admitted { version, outcome } = admitted;
        match outcome {
            Ok(caller) if self.gatekeeper.rechecking_since.is_some() => {
                let ts = committed_at(&caller);
                self.switch(caller, ts);
                Ok(())
            }
            Ok(caller) => {
                let ts = committed_at(&caller);
                if let Presented::User(user, _) = &self.gatekeeper.credential {
                    // The commit stands; the gate waits for a fresh token.
                    let base = self.gatekeeper.received.saturating_sub(1);
                    user.check_not_expired(self.rooms.clock.now())
                        .map_err(|error| {
                            verification_failed(&error.into(), base, self.rooms.options.redact)
                        })?;
                }
                self.gatekeeper.caller = caller;
                self.do_effects(Event::Committed { version, ts }).await
            }
            Err(why) => self.kept_out(version, &why).await,
        }
    }

    async fn kept_out(&mut self, version: u32, why: &Unprovisioned) -> Result<(), End> {
        self.seat.shut(version, why.name());
        let held = self.gatekeeper.held.iter();
        let held: Vec<String> = held.map(|(held, _)| held.call.path.to_string()).collect();
        let Some(thrown) = why.refusal(&held) else {
            // Nothing is answered: the client connects again, still signed in, and sends what it has again.
            return Err(Close::try_again(why.try_again_code()).into());
        };
        self.gatekeeper.apply(Event::Refused { version });
        self.reject_held("refused", thrown.data.clone()).await?;
        Err(End::AuthError(AuthError {
            error: refusal_text(why, &thrown, self.rooms.options.redact),
            base_version: self.gatekeeper.received.saturating_sub(1),
            auth_update_attempted: true,
        }))
    }

    async fn do_effects(&mut self, event: Event) -> Result<(), End> {
        for effect in self.gatekeeper.apply(event) {
            match effect {
                Effect::RejectHeld { rejection } => {
                    self.gatekeeper.admission = None;
                    self.gatekeeper.waiting_since = None;
                    self.reject_held(rejection_reason(rejection), None).await?;
                }
                Effect::Run { version, .. } => self.ask_the_gate(version),
                Effect::Open { at, .. } => self.open(at).await?,
            }
        }
        Ok(())
    }

    fn ask_the_gate(&mut self, version: u32) {
        let now = self.rooms.clock.elapsed();
        // A renewed token joins the wait of the one before.
        let since = *self.gatekeeper.waiting_since.get_or_insert(now);
        self.gatekeeper.rechecking_since = None;
        self.await_gate(version, since);
    }

    /// Does what is needed for a renewed token again, while the gate stays open.
    fn recheck(&mut self, version: u32) {
        let now = self.rooms.clock.elapsed();
        let since = *self.gatekeeper.rechecking_since.get_or_insert(now);
        self.await_gate(version, since);
    }

    fn await_gate(&mut self, version: u32, since: Duration) {
        let Presented::User(user, _) = &self.gatekeeper.credential else {
            return;
        };
        let (gate, user) = (self.rooms.gate.clone(), user.clone());
        let until = since.saturating_add(CONNECTION_PATIENCE);
        self.gatekeeper.admission = Some(Box::pin(async move {
            let outcome = gate.admit_until(&user, until).await;
            let whom = || Some(user.identity.key());
            gate.probe().pause(Point::BeforeOpening, whom).await;
            Admitted { version, outcome }
        }));
    }

    #[tracing::instrument(name = "open", level = "debug", skip_all, fields(held = self.gatekeeper.held.len()))]
    async fn open(&mut self, at: Timestamp) -> Result<(), End> {
        let caller = self.gatekeeper.caller.clone();
        let version = self.gatekeeper.received;
        self.seat.opened(version, || caller.identity_key(), at);
        self.switch(caller, at);
        for (held, _) in self.gatekeeper.release() {
            if let Some(rejected) = self.start(held)? {
                self.reject(rejected).await?;
            }
        }
        Ok(())
    }

    /// From now on every call runs as `caller`, reading at `at` or later. The next Transition says so.
    fn switch(&mut self, caller: Caller, at: Timestamp) {
        self.gatekeeper.caller = caller.clone();
        self.gatekeeper.admission = None;
        self.gatekeeper.waiting_since = None;
        self.gatekeeper.rechecking_since = None;
        self.subscriber.set_caller(caller);
        self.told.identity = self.gatekeeper.received;
        self.told.floor = self.told.floor.max(at);
    }

    async fn reject_held(&mut self, reason: &str, data: Option<Value>) -> Result<(), End> {
        let thrown = not_provisioned(reason, data);
        for (held, _) in self.gatekeeper.release() {
            if let Some(session) = self.session {
                let request = (session, held.call.request_id);
                self.rooms.held_mutations.forget(request);
            }
            self.reject(held.rejected(thrown.clone())).await?;
        }
        self.socket.flush().await?;
        Ok(())
    }

    /// Starts a call, or lets it wait behind the gate.
    pub(super) fn admit_call(&mut self, held: Held) -> Result<Option<Rejected>, End> {
        if !matches!(self.gatekeeper.state.admission(), Admission::Hold) {
            return self.start(held);
        }
        let options = &self.rooms.options;
        let has_room = self.gatekeeper.held.len() < options.held_calls_max
            && self.gatekeeper.held_bytes + held.bytes <= options.held_bytes_max;
        let purse = self.rooms.held.of(self.from);
        match has_room.then(|| purse.take(held.bytes)).flatten() {
            Some(share) => {
                if let (true, Some(session)) = (held.is_mutation, self.session)
                    && let Some(sender) = self.gatekeeper.caller.identity_key()
                {
                    let request = (session, held.call.request_id);
                    self.rooms.held_mutations.hold(request, sender);
                }
                self.gatekeeper.hold(held, share);
                Ok(None)
            }
            None => Ok(Some(held.rejected(gate_queue_full()))),
        }
    }

    /// Checks, before anything is done for it, that the identity still stands.
    pub(super) fn check_identity(&mut self) -> Result<(), End> {
        let rooms = &self.rooms;
        let (base_version, redact) = (self.told.version.identity, rooms.options.redact);
        match &mut self.gatekeeper.credential {
            Presented::Nobody => Ok(()),
            // A pending identity is checked when its gate opens.
            Presented::User(user, _)
                if self.gatekeeper.waiting_since.is_some()
                    && !user.provider_gone.is_cancelled() =>
            {
                Ok(())
            }
            Presented::User(user, _) => {
                user.check_not_expired(rooms.clock.now()).map_err(|error| {
                    End::AuthError(AuthError {
                        error: error.client_message(redact),
                        base_version,
                        auth_update_attempted: false,
                    })
                })
            }
            Presented::Admin { admin, checked_at } => {
                let now = rooms.clock.elapsed();
                if now.saturating_sub(*checked_at) < rooms.options.admin_recheck_after {
                    return Ok(());
                }
                *checked_at = now;
                let checked = rooms
                    .authenticator
                    .admin_keys()
                    .check_still_valid(admin, rooms.clock.now());
                checked.map_err(|error| verification_failed(&error.into(), base_version, redact))
            }
        }
    }

    /// Until when nothing partial is sent, so that an ordinary login is answered whole.
    pub(super) fn held_back_until(&self) -> Option<Duration> {
        let options = &self.rooms.options;
        let now = self.rooms.clock.elapsed();
        let gate = self
            .gatekeeper
            .waiting_since()
            .map(|since| since + options.gate_grace);
        // A client that comes back sends its unanswered mutations again, and some have run already. Until it has their
        // responses it shows its optimistic updates on top of results that hold their effect.
        let is_catching_up =
            self.told.version == StateVersion::default() && self.mutations_pending > 0;
        let resent = is_catching_up.then_some(self.first_mutations_by);
        gate.into_iter()
            .chain(self.first_query_set_by)
            .chain(resent)
            .filter(|until| *until > now)
            .max()
    }
}

/// Everything of a caller reads at this timestamp or later.
fn committed_at(caller: &Caller) -> Timestamp {
    caller
        .proof()
        .map_or(Timestamp::ZERO, |proof| proof.committed_at())
}

/// The answer to a mutation that somebody else sent first.
pub(super) fn identity_changed() -> Thrown {
    not_provisioned(rejection_reason(Rejection::IdentityChanged), None)
}

fn rejection_reason(rejection: Rejection) -> &'static str {
    match rejection {
        Rejection::Refused => "refused",
        Rejection::Failed => "failed",
        Rejection::SignedOut => "signed_out",
        Rejection::IdentityChanged => "identity_changed",
    }
}

/// A refused credential signs the client out; a provider that cannot be asked does not.
fn verification_failed(error: &VerifyError, base_version: u32, redact: bool) -> End {
    tracing::warn!(code = error.code(), "an identity was not accepted");
    if error.may_pass() {
        return Close::try_again(error.code()).into();
    }
    End::AuthError(AuthError {
        error: error.client_message(redact),
        base_version,
        auth_update_attempted: true,
    })
}
