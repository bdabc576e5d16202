//! The routes of tools that deploy, configure and look into a deployment.
//!
//! A mistake of the person who deploys is answered with 400 to 403 and a sentence. After any other status, tools try
//! again for a long time.

mod body;
mod charts;
mod clearing;
mod history;
mod logs;
mod looks;
mod pushes;
mod refusals;
mod settings;

use axum::http::request::Parts;
use serde::Deserialize;

pub(super) use charts::{
    failure_percentage_top_k, function_call_count_top_k, function_concurrency, no_series, udf_rate,
    uncounted_series,
};
pub(super) use clearing::{
    cancel_all_jobs, cancel_job, delete_component, delete_scheduled_functions_table, delete_tables,
};
pub(super) use history::{deployments, rollback};
pub(super) use logs::stream_function_logs;
pub(super) use looks::{
    authorize, check_opt_ins, deployment_info, get_indexes, get_usage, old_push, run_test_function,
    shapes2,
};
pub(super) use pushes::{
    evaluate_push, evaluate_schema, finish_push, get_config_hashes, report_push_completed,
    start_push, wait_for_schema,
};
pub(super) use settings::{
    get_canonical_urls, list_environment_variables, pause, unpause, update_canonical_url,
    update_environment_variables,
};

use super::Http;
use super::credentials::note_deployer;
use super::respond::{self, WireError};
use crate::auth::{AdminRights, VerifiedAdmin};

/// The key that bodies of pushes carry beside their header.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BodyKey {
    #[serde(default)]
    admin_key: Option<String>,
}

impl Http {
    /// Verifies an admin key that may change things.
    async fn verify_deployer(&self, request: &Parts) -> Result<VerifiedAdmin, WireError> {
        let admin = self.verify_admin(request).await?;
        may_change(request, admin)
    }
}

fn may_change(request: &Parts, admin: VerifiedAdmin) -> Result<VerifiedAdmin, WireError> {
    match admin.rights() {
        AdminRights::All => {
            note_deployer(request, &admin);
            Ok(admin)
        }
        AdminRights::ReadOnly => Err(respond::read_only_key()),
    }
}
