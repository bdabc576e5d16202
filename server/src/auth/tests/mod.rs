//! Tests of the room as a whole: tokens of every kind against both kinds of provider, and providers that fail.

mod admin;
mod claims;
mod clocks;
mod config;
mod dev;
pub mod issuer;
pub mod keys;
mod mutants;
mod outages;
mod rotation;
mod signatures;
pub mod table;
pub mod tokens;

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::fetch::{FETCH_TIME_MAX, Fetcher};
use super::{
    AdminKeys, AuthConfig, Authenticator, CustomJwtAlgorithm, DeploymentSecret, ProviderConfig,
};
use crate::clock::{ManualClock, UnixNanos};

/// The present moment of these tests.
pub const NOW_SECONDS: u64 = 1_700_000_000;
pub const NOW: UnixNanos = UnixNanos::from_seconds(NOW_SECONDS);
/// The audience of these tests.
pub const APP: &str = "app";

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(NOW))
}

fn authenticator(
    providers: impl IntoIterator<Item = ProviderConfig>,
    clock: Arc<ManualClock>,
) -> Authenticator {
    authenticator_with(
        providers,
        clock,
        Fetcher::new(FETCH_TIME_MAX, Arc::default()),
    )
}

fn authenticator_with(
    providers: impl IntoIterator<Item = ProviderConfig>,
    clock: Arc<ManualClock>,
    fetcher: Fetcher,
) -> Authenticator {
    let config = providers
        .into_iter()
        .fold(AuthConfig::none(), AuthConfig::with);
    let secret = DeploymentSecret::from_bytes([7; 32]);
    let admin_keys = AdminKeys::new("test", &secret, []).unwrap();
    Authenticator::with_fetcher(config, admin_keys, clock, fetcher)
}

/// A provider whose keys stand in the configuration.
fn inline(kind: tokens::Kind, keys: &[Json]) -> ProviderConfig {
    let jwks = json!({ "keys": keys }).to_string();
    let data = format!("data:text/plain,{}", jwks.replace('%', "%25"));
    let custom =
        |algorithm| ProviderConfig::custom_jwt(kind.issuer(), &data, algorithm, Some(APP)).unwrap();
    match kind {
        tokens::Kind::Oidc => ProviderConfig::oidc_with_keys(kind.issuer(), APP, &jwks).unwrap(),
        tokens::Kind::CustomRs256 => custom(CustomJwtAlgorithm::Rs256),
        tokens::Kind::CustomEs256 => custom(CustomJwtAlgorithm::Es256),
    }
}

/// The code of a refusal, or `ok`.
async fn code(authenticator: &Authenticator, token: &str) -> &'static str {
    match authenticator.verify_user(token).await {
        Ok(_) => "ok",
        Err(error) => error.code(),
    }
}

/// A key of the deployment whose tokens are tried.
fn admin_key() -> String {
    let secret = DeploymentSecret::from_bytes([7; 32]);
    let keys = AdminKeys::new("test", &secret, []).unwrap();
    keys.mint(NOW, None).unwrap().text.expose().clone()
}
