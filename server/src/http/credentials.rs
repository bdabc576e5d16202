//! Identifying callers: from a request's headers to the caller its function runs as.

use std::net::IpAddr;

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use tokio::sync::OwnedSemaphorePermit;
use vestibule_schema::timestamp::Timestamp;

use super::Http;
use super::around::Asked;
use super::respond::{self, NoCaller, WireError};
use super::serve::OpenConnection;
use crate::auth::{Caller, Verified, VerifiedAdmin, VerifiedUser, parse_authorization};
use crate::probe::{CallOf, Point, Seat};
use crate::provisioning::{Admission, REQUEST_PATIENCE, Unprovisioned};

/// A caller whose function may run.
pub(super) struct Admitted {
    pub caller: Caller,
    /// Its place among the requests that run.
    pub slot: OwnedSemaphorePermit,
    /// The request's mark for a watcher.
    pub call: Option<CallOf>,
}

/// The query parameter that stands in for the header.
const ADMIN_KEY_PARAMETER: &str = "adminKey";
/// The header in which a proxy names the client it speaks for, after the addresses that others named before it.
const FORWARDED_FOR: &str = "x-forwarded-for";

impl Http {
    /// Verifies the request's credentials. Wrong credentials refuse the request: no user becomes anonymous by
    /// mistake.
    pub(super) async fn verify(&self, request: &Parts) -> Result<Verified, WireError> {
        let parameter = query_parameter(request, ADMIN_KEY_PARAMETER);
        let headers = request
            .headers
            .get_all(AUTHORIZATION)
            .iter()
            .map(|value| value.as_bytes());
        let credentials =
            parse_authorization(headers, parameter.as_deref()).map_err(respond::authorization)?;
        let door = self
            .authenticator
            .door(self.client_address(&request.extensions, &request.headers));
        let verified = door.verify(&credentials).await;
        verified.map_err(|error| respond::credentials(&error, self.connections.redacts()))
    }

    /// Verifies that the request presents an admin key.
    pub(super) async fn verify_admin(&self, request: &Parts) -> Result<VerifiedAdmin, WireError> {
        let verified = self.verify(request).await?;
        verified
            .require_admin()
            .map_err(|error| respond::admin_key(&error))
    }

    /// Verifies an admin key that came in a body.
    pub(super) fn verify_admin_key(
        &self,
        request: &Parts,
        key: &str,
    ) -> Result<VerifiedAdmin, WireError> {
        let from = self.client_address(&request.extensions, &request.headers);
        let verified = self.authenticator.door(from).verify_admin(key, None);
        verified.map_err(|error| respond::credentials(&error, self.connections.redacts()))
    }

    /// The admin key that stands in the address.
    pub(super) fn admin_key_in_address(&self, request: &Parts) -> Option<String> {
        query_parameter(request, ADMIN_KEY_PARAMETER)
    }

    /// Where a request comes from: its peer, or, when that is a trusted proxy, the last address in its header that is
    /// not one. Any client could have written the addresses before that one.
    pub(super) fn client_address(
        &self,
        extensions: &Extensions,
        headers: &HeaderMap,
    ) -> Option<IpAddr> {
        let peer = extensions.get::<OpenConnection>()?.peer.to_canonical();
        let is_trusted = |address: &IpAddr| {
            let proxies = &self.options.trusted_proxies;
            proxies.iter().any(|proxy| proxy.contains(*address))
        };
        let values = headers.get_all(FORWARDED_FOR).into_iter();
        let texts: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        let addresses = texts.iter().rev().flat_map(|text| text.rsplit(','));
        let mut client = peer;
        for text in addresses {
            match text.trim().parse::<IpAddr>() {
                Ok(address) if is_trusted(&client) => client = address.to_canonical(),
                Ok(_) | Err(_) => break,
            }
        }
        Some(client)
    }

    /// Whether a request comes from a proxy whose word is taken.
    pub(super) fn is_from_trusted_proxy(&self, extensions: &Extensions) -> bool {
        let connection = extensions.get::<OpenConnection>();
        connection.is_some_and(|connection| {
            let peer = connection.peer.to_canonical();
            let mut proxies = self.options.trusted_proxies.iter();
            proxies.any(|proxy| proxy.contains(peer))
        })
    }

    /// The caller that a function runs as. A user passes the gate first, which may wait for their provisioning. Where
    /// the user is made outside the gate, the request gives back its place among those that run. The maker of the user
    /// may need it. `calls` are what it asks for.
    pub(super) async fn admit(
        &self,
        verified: Verified,
        slot: OwnedSemaphorePermit,
        calls: impl Fn() -> Vec<String>,
    ) -> Result<Admitted, NoCaller> {
        let redact = self.connections.redacts();
        let admitted = |caller, slot, call| Admitted { caller, slot, call };
        let user = match verified {
            Verified::Nobody => return Ok(admitted(Caller::nobody(), slot, None)),
            Verified::Admin(admin) => return Ok(admitted(admin.caller(), slot, None)),
            Verified::User(user) => user,
        };
        let probe = self.functions.probe();
        let seat = Seat::take(probe);
        seat.verified(1, &user.identity);
        let passed = self.pass_gate(&user, slot).await;
        let whom = || Some(user.identity.key());
        probe.pause(Point::BeforeOpening, whom).await;
        let (caller, slot) = passed.map_err(|why| {
            seat.shut(1, why.name());
            respond::unprovisioned(&why, &calls())
        })?;
        // The wait may have outlasted the token.
        let now = self.clock.now();
        user.check_not_expired(now)
            .map_err(|error| NoCaller::Refused(respond::token(&error, redact)))?;
        let at = caller
            .proof()
            .map_or(Timestamp::ZERO, |proof| proof.committed_at());
        seat.opened(1, || caller.identity_key(), at);
        Ok(admitted(caller, slot, seat.call(1, None)))
    }

    async fn pass_gate(
        &self,
        user: &VerifiedUser,
        slot: OwnedSemaphorePermit,
    ) -> Result<(Caller, OwnedSemaphorePermit), Unprovisioned> {
        match self.gate.enter(user).await? {
            Admission::Open(caller) => Ok((caller, slot)),
            Admission::Waits(waiting) => {
                drop(slot);
                let until = self.clock.elapsed().saturating_add(REQUEST_PATIENCE);
                // In a box: few wait, and every request would keep room for it.
                let caller = Box::pin(waiting.until(until)).await?;
                Ok((caller, self.next_slot().await))
            }
        }
    }

    /// A turn among the requests that may run, waited for by one that had a turn before.
    async fn next_slot(&self) -> OwnedSemaphorePermit {
        let slot = self.slots.clone().acquire_owned().await;
        slot.expect("the semaphore is never closed")
    }
}

/// Notes whose admin key may change the deployment, for the log.
pub(super) fn note_deployer(request: &Parts, admin: &VerifiedAdmin) {
    if let Some(asked) = request.extensions.get::<Asked>() {
        // A second verification of one request names the same key.
        let _ = asked.deployer.set(admin.key_id());
    }
}

/// The first value of a parameter in the request's query string.
pub(super) fn query_parameter(request: &Parts, name: &str) -> Option<String> {
    let query = request.uri.query()?;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}
