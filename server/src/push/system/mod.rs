//! Functions of the server's own, which tools call over the same protocol as an app's clients call the app's. Only the
//! holder of an admin key may call them. They are queries like any other, so watchers are told when an answer changes.

mod data;
mod deployment;

use std::sync::Arc;

use vestibule_schema::validator::Validator;

use crate::database::Transaction;
use crate::deployment::Deployment;
use crate::functions::{Function, Registry};
use crate::outbound::Origins;

/// All of them. `origins` are the server's addresses unless settings say otherwise.
pub fn functions(origins: &Origins) -> Vec<Function> {
    let functions = data::functions()
        .into_iter()
        .chain(deployment::functions(origins));
    // Newer tools may say more than these functions look at.
    functions
        .map(|function| function.args(Validator::Any))
        .collect()
}

/// The deployment that a transaction uses.
fn deployment_of(tx: &Transaction<'_>) -> Arc<Deployment> {
    Registry::of(tx.definitions()).deployment().clone()
}
