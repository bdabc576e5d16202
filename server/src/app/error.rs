//! Why a server did not start, in sentences that say what to do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

use super::settings::Setting;

use crate::auth::{
    AuthConfigError, DevIssuerError, DevRefused, OpenAdminKeysError, SecretFileError,
};
use crate::database::OpenError;
use crate::deployment::provisioning::RulesError;
use crate::files::FileError;
use crate::functions::RegistryError;
use crate::push::PushError;
use crate::transfer::TransferError;

impl StartError {
    /// Whether another server uses the data directory.
    pub fn is_in_use(&self) -> bool {
        let StartError::Database(OpenError::Storage(error)) = self else {
            return false;
        };
        error.is_in_use()
    }
}

/// Why a server did not start.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum StartError {
    #[error(
        "the app does not say how users are provisioned; name the mutation with `provision_with(\"users:ensureUser\")`, \
         or say `without_provisioning()`"
    )]
    ProvisioningUnsaid,
    #[error(
        "the app says how users are provisioned, with `provision_with` or `without_provisioning`, and --provision-with or \
         --provision-when says it too; take the flags away"
    )]
    ProvisioningTwice,
    #[error(transparent)]
    ProvisioningRules(#[from] RulesError),
    #[error("the provisioning function `{path}` {problem}")]
    ProvisioningFunction { path: String, problem: &'static str },
    #[error("the cron {name:?} {problem}")]
    Cron { name: String, problem: String },
    #[error("the crons cannot be brought in line: {0}")]
    Crons(String),
    #[error(
        "the address {address} is in use; stop the program that listens there, or choose another with {setting}"
    )]
    AddressInUse {
        address: SocketAddr,
        setting: &'static Setting,
    },
    #[error("cannot listen on {address}: {source}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error(
        "{path} is a backup; restore it into a new directory with `vestibule restore {path} --data DIR`, and start on that",
        path = .0.display()
    )]
    IsBackup(PathBuf),
    #[error(
        "{path} holds uploaded files, and no database that they belong to; check the path, restore a backup, or move the files \
         away to begin a new deployment",
        path = .0.display()
    )]
    DatabaseMissing(PathBuf),
    #[error("cannot make the data directory {directory}: {source}")]
    DataDirectory {
        directory: String,
        source: io::Error,
    },
    #[error(transparent)]
    Database(#[from] OpenError),
    #[error(transparent)]
    Functions(#[from] RegistryError),
    #[error("the auth configuration is not usable: {0}")]
    Auth(#[from] AuthConfigError),
    #[error(transparent)]
    Secret(#[from] SecretFileError),
    #[error(transparent)]
    AdminKeys(#[from] OpenAdminKeysError),
    #[error(transparent)]
    DevIssuer(#[from] DevIssuerError),
    #[error(transparent)]
    DevRefused(#[from] DevRefused),
    #[error("files cannot be kept in the data directory: {0}")]
    Files(#[from] FileError),
    #[error("imports and exports cannot be kept in the data directory: {0}")]
    Transfers(#[from] TransferError),
    #[error("the stored deployment cannot be put in place: {0}")]
    Deployment(#[from] PushError),
    #[error(
        "{0} It is the default because no issuer is given: give one with --issuer and --audience or with --auth-config, \
         or say --dev=false, and nobody can sign in."
    )]
    DevByDefault(DevRefused),
    #[error("cannot prepare for signals: {0}")]
    Signals(#[source] io::Error),
}
