//! Who is calling: from a request's headers to the caller its function runs as.

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use vestibule_schema::timestamp::Timestamp;

use super::Http;
use super::respond::{self, NoCaller, WireError};
use crate::auth::{Caller, Verified, VerifiedAdmin, parse_authorization};
use crate::record::{self, Point, Seat};

/// The query parameter that stands in for the header.
const ADMIN_KEY_PARAMETER: &str = "adminKey";

impl Http {
    /// Verifies whatever the request presents. Credentials that are wrong refuse the request: nobody becomes
    /// anonymous by mistake.
    pub(super) async fn verify(&self, request: &Parts) -> Result<Verified, WireError> {
        let parameter = query_parameter(request, ADMIN_KEY_PARAMETER);
        let headers = request
            .headers
            .get_all(AUTHORIZATION)
            .iter()
            .map(|value| value.as_bytes());
        let credentials =
            parse_authorization(headers, parameter.as_deref()).map_err(respond::authorization)?;
        let verified = self.authenticator.verify(&credentials).await;
        verified.map_err(|error| respond::credentials(&error, self.options.redact_errors))
    }

    /// Verifies that the request presents an admin key.
    pub(super) async fn verify_admin(&self, request: &Parts) -> Result<VerifiedAdmin, WireError> {
        let verified = self.verify(request).await?;
        verified
            .require_admin()
            .map_err(|error| respond::admin_key(&error))
    }

    /// The caller that a function runs as. A user passes the gate first, which may wait for their provisioning.
    pub(super) async fn admit(&self, verified: Verified) -> Result<Caller, NoCaller> {
        let redact = self.options.redact_errors;
        let user = match verified {
            Verified::Nobody => return Ok(Caller::nobody()),
            Verified::Admin(admin) => return Ok(admin.caller()),
            Verified::User(user) => user,
        };
        let seat = Seat::take();
        seat.verified(1, &user.identity);
        let admitted = self.gate.admit(&user).await;
        record::pause(Point::BeforeOpening, || Some(user.identity.key())).await;
        let caller = admitted.map_err(|why| {
            seat.shut(1, why.name());
            respond::unprovisioned(why)
        })?;
        // The wait may have outlasted the token.
        let now = self.clock.now();
        user.check_not_expired(now)
            .map_err(|error| NoCaller::Refused(respond::token(&error, redact)))?;
        let at = caller
            .proof()
            .map_or(Timestamp::ZERO, |proof| proof.committed_at());
        seat.opened(1, || caller.identity_key(), at);
        Ok(caller.recorded_as(seat.tag(1, None)))
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
