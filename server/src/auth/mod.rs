//! Identifying callers: auth tokens become identities, admin keys become admins, and both become a [`Caller`].
//!
//! An auth token (a JWT) is read strictly ([`token`]), matched to one configured provider ([`config`]), and verified
//! with that provider's keys ([`jwks`], [`provider`]). Its claims then become the identity that functions see
//! ([`claims`]). Tokens that functions have signed are made in [`signing`]. Admin keys are made and checked with the
//! deployment secret alone ([`admin`], [`secret`]). An address that fails too often is refused for a while
//! ([`failures`], [`Door`]). Other rooms pass around a [`Caller`]: it says which identity a function may look at, and
//! cannot be made up.
//!
//! Left to others: routes and status codes (`http`), identity versions and expiry on a connection (`sync`), and
//! whether an identity's user exists (`provisioning`).

mod addresses;
pub mod admin;
pub mod authenticator;
pub mod authorization;
pub mod caller;
mod claims;
pub mod config;
pub mod dev_issuer;
pub mod error;
mod failures;
mod fetch;
mod inline_keys;
mod issuer;
mod jwks;
mod key_cache;
mod private_file;
mod provider;
mod revoked_keys;
pub mod secret;
pub mod signing;
mod strict_json;
mod token;
pub mod user_identity;
mod verify;

#[cfg(test)]
pub(crate) mod tests;

pub use admin::{
    AdminKeyError, AdminKeys, AdminRights, DeploymentNameError, KeyId, OpenAdminKeysError,
    VerifiedAdmin,
};
/// The files of a data directory that only its owner may read.
pub const PRIVATE_FILES: [&str; 3] = [
    secret::DEPLOYMENT_SECRET_FILE,
    revoked_keys::REVOKED_KEYS_FILE,
    dev_issuer::DEV_ISSUER_KEY_FILE,
];

pub use authenticator::{Authenticator, Door, Verified, VerifiedUser, VerifyError};
pub use authorization::{AuthorizationError, Credentials, parse_authorization};
pub use caller::{CacheScope, Caller, IdentityAccess, ProvisioningProof, SystemAccess};
pub use config::{AuthConfig, AuthConfigError, CustomJwtAlgorithm, ProviderConfig};
pub use dev_issuer::{DevIssuer, DevIssuerError, DevRefused, TokenRequest, TokenResponse};
pub use error::{TokenError, TokenFault};
pub use failures::{ADMIN_KEY_FAILURES_PER_MINUTE_MAX, AUTH_FAILURES_PER_MINUTE_MAX, network};
pub use fetch::FetchError;
pub use issuer::IssuerFault;
pub use provider::{KeysState, ProviderHealth};
pub use revoked_keys::{REVOKED_KEYS_FILE, RevokedKeysError};
pub use secret::{DeploymentSecret, Secret, SecretFileError};
pub use signing::{SIGNED_TOKEN_SECONDS_MAX, SignError, TokenSigner};
pub use token::AUTH_TOKEN_BYTES_MAX;
pub use user_identity::{ClaimsRead, UserIdentity};
