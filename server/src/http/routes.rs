//! Every route on one page.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn_with_state, map_request};
use axum::routing::{MethodRouter, any, get, head, post};

use super::around::{around, around_site, single_leading_slash};
use super::respond::WireError;
use super::{
    Http, actions, backups, calls, deploy, dev, files, health, keys, open_api, site, snapshots,
    transfers, upgrade,
};
use crate::auth::dev_issuer::DEV_JWKS_PATH;
use crate::files::UPLOAD_PATH;

/// A route, with its description for readers of the API.
pub(super) struct Route {
    /// In lower case, as the API's description spells it.
    pub method: &'static str,
    pub path: &'static str,
    pub role: Role,
    pub takes: Takes,
    pub summary: &'static str,
    handler: fn() -> MethodRouter<Arc<Http>>,
}

/// The clients that may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Any client; credentials are not looked at.
    Anyone,
    /// Any client; credentials name the identity the function runs as.
    Caller,
    /// The holder of an admin key.
    Admin,
    /// Programs and pages of this machine, in development.
    ThisMachine,
}

/// The request and answer of a route, for the description of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// A function's path and arguments; its outcome.
    Call,
    /// The same in the address.
    CallInAddress,
    /// Arguments; the outcome of the function in the address.
    Run,
    /// A function's path, arguments and a timestamp; its outcome.
    CallAt,
    /// Several calls; their outcomes.
    Batch,
    /// Nothing; a timestamp.
    Timestamp,
    /// Something the description does not cover.
    Other,
}

macro_rules! routes {
    ($($method:ident $path:expr, $role:ident, $takes:ident, $handler:path, $summary:literal;)*) => {
        &[$(Route {
            method: stringify!($method),
            path: $path,
            role: Role::$role,
            takes: Takes::$takes,
            summary: $summary,
            handler: || $method($handler),
        }),*]
    };
}

/// The routes.
#[rustfmt::skip]
pub(super) const ROUTES: &[Route] = routes![
    // Functions
    post "/api/query",                        Caller,      Call,          calls::query,            "Run a query at the newest commit.";
    get  "/api/query",                        Caller,      CallInAddress, calls::query_by_address, "Run a query at the newest commit.";
    post "/api/mutation",                     Caller,      Call,          calls::mutation,         "Run a mutation.";
    post "/api/action",                       Caller,      Call,          calls::action,           "Run an action.";
    post "/api/run/{*path}",                  Caller,      Run,           calls::run,              "Run the function at module/…/name, whatever its kind.";
    post "/api/run/",                         Anyone,      Other,         calls::run_nothing,      "Refused: the address names no function.";
    post "/api/function",                     Admin,       Call,          calls::function,         "Run a function, internal ones included, whatever its kind.";
    post "/api/query_ts",                     Anyone,      Timestamp,     snapshots::query_ts,     "The newest commit's timestamp, readable for 30 seconds.";
    post "/api/query_at_ts",                  Caller,      CallAt,        snapshots::query_at_ts,  "Run a query at a timestamp that query_ts gave.";
    post "/api/query_batch",                  Caller,      Batch,         snapshots::query_batch,  "Run several queries at one commit.";
    // Files
    post UPLOAD_PATH,                         Anyone,      Other,         files::upload,           "Store a file, at an address that generateUploadUrl gave.";
    get  "/api/storage/{id}",                 Anyone,      Other,         files::download,         "A file, or a range of it.";
    // Imports and exports
    post "/api/import/start_upload",          Admin,       Other,         transfers::start_upload, "Begin to upload a file to import.";
    post "/api/import/upload_part",           Admin,       Other,         transfers::upload_part,  "Send a part of it.";
    post "/api/import/finish_upload",         Admin,       Other,         transfers::finish_upload, "Say what to do with it.";
    post "/api/perform_import",               Admin,       Other,         transfers::perform_import, "Do an import that waits for it.";
    post "/api/cancel_import",                Admin,       Other,         transfers::cancel_import, "Cancel an import.";
    post "/api/import",                       Admin,       Other,         transfers::import,       "Import a file at once.";
    post "/api/export/request/zip",           Admin,       Other,         transfers::request_export, "Begin an export.";
    get  "/api/export/zip/{id}",              Admin,       Other,         transfers::download_export, "The archive of an export.";
    post "/api/export/cancel/{id}",           Admin,       Other,         transfers::cancel_export, "Cancel an export.";
    post "/api/export/set_expiration/{id}",   Admin,       Other,         transfers::set_expiration, "Keep an export for longer, or not.";
    // Backups
    post "/api/vestibule/backup",             Admin,       Other,         backups::back_up,        "All that a backup needs, as it is read.";
    post "/api/vestibule/backup_verified",    Admin,       Other,         backups::note_verified,  "Take note of a backup that was read back.";
    // Sockets
    get  "/api/sync",                         Anyone,      Other,         upgrade::sync,           "Open a WebSocket; the client says its version in a header.";
    get  "/api/{version}/sync",               Anyone,      Other,         upgrade::versioned_sync, "Open a WebSocket; the client says its version in the address.";
    // The deployment
    get  "/",                                 Anyone,      Other,         site::start_page,        "The site, or a line that says that the server runs.";
    get  "/version",                          Anyone,      Other,         health::version,         "The server's version.";
    get  "/instance_version",                 Anyone,      Other,         health::version,         "The server's version.";
    get  "/instance_name",                    Anyone,      Other,         health::instance_name,   "The deployment's name.";
    get  "/healthz",                          Anyone,      Other,         health::healthz,         "Whether the server is alive; if not, start it again.";
    get  "/readyz",                           Anyone,      Other,         health::readyz,          "Whether the server should get traffic.";
    get  "/metrics",                          Anyone,      Other,         health::metrics,         "Metrics as OpenMetrics text.";
    post "/echo",                             Anyone,      Other,         health::echo,            "The body, as it came.";
    get  "/api/public_openapi.json",          Anyone,      Other,         open_api::public,        "This description.";
    get  "/api/check_admin_key",              Admin,       Other,         health::check_admin_key, "Whether an admin key is good.";
    post "/api/debug_event",                  Anyone,      Other,         health::debug_event,     "Telemetry of clients, taken and forgotten.";
    // Pushes
    post "/api/get_config_hashes",            Admin,       Other,         deploy::get_config_hashes, "The hashes of the modules that are live.";
    post "/api/deploy2/evaluate_schema",      Admin,       Other,         deploy::evaluate_schema, "What a schema would mean for the tables.";
    post "/api/deploy2/evaluate_push",        Admin,       Other,         deploy::evaluate_push,   "What a push would change.";
    post "/api/deploy2/start_push",           Admin,       Other,         deploy::start_push,      "Check a push, and keep it for its finish.";
    post "/api/deploy2/wait_for_schema",      Admin,       Other,         deploy::wait_for_schema, "Prepare the tables for a push.";
    post "/api/deploy2/finish_push",          Admin,       Other,         deploy::finish_push,     "Make a push live.";
    post "/api/deploy2/report_push_completed", Admin,      Other,         deploy::report_push_completed, "How long a push took, taken and forgotten.";
    post "/api/prepare_schema",               Admin,       Other,         deploy::old_push,        "Refused: older tools push so.";
    post "/api/push_config",                  Admin,       Other,         deploy::old_push,        "Refused: older tools push so.";
    get  "/api/schema_state/{id}",            Admin,       Other,         deploy::old_push,        "Refused: older tools push so.";
    // The deployment, for tools
    get  "/api/v1/get_canonical_urls",        Admin,       Other,         deploy::get_canonical_urls, "The origins of the API and of HTTP actions.";
    post "/api/update_canonical_url",         Admin,       Other,         deploy::update_canonical_url, "Change an origin.";
    post "/api/v1/update_canonical_url",      Admin,       Other,         deploy::update_canonical_url, "Change an origin.";
    get  "/api/list_environment_variables",   Admin,       Other,         deploy::list_environment_variables, "The environment variables.";
    get  "/api/v1/list_environment_variables", Admin,      Other,         deploy::list_environment_variables, "The environment variables.";
    post "/api/update_environment_variables", Admin,       Other,         deploy::update_environment_variables, "Change environment variables.";
    post "/api/v1/update_environment_variables", Admin,    Other,         deploy::update_environment_variables, "Change environment variables.";
    post "/api/v1/pause_deployment",          Admin,       Other,         deploy::pause,           "Refuse function calls.";
    post "/api/v1/unpause_deployment",        Admin,       Other,         deploy::unpause,         "Run functions again.";
    post "/api/cancel_job",                   Admin,       Other,         deploy::cancel_job,      "Call a scheduled function off.";
    post "/api/cancel_all_jobs",              Admin,       Other,         deploy::cancel_all_jobs, "Call many scheduled functions off.";
    post "/api/delete_scheduled_functions_table", Admin,   Other,         deploy::delete_scheduled_functions_table, "Call all scheduled functions off, and forget them.";
    post "/api/delete_component",             Admin,       Other,         deploy::delete_component, "Delete the tables of a component that is not mounted any more.";
    post "/api/delete_tables",                Admin,       Other,         deploy::delete_tables,   "Delete tables that no schema names.";
    get  "/api/vestibule/deployments",        Admin,       Other,         deploy::deployments,     "The pushes that are kept, the newest first.";
    post "/api/vestibule/rollback",           Admin,       Other,         deploy::rollback,        "Push again what was live before.";
    get  "/api/v1/deployment_info",           Admin,       Other,         deploy::deployment_info, "The kind of deployment.";
    get  "/api/stream_function_logs",         Admin,       Other,         deploy::stream_function_logs, "What functions logged; waits for news.";
    get  "/api/app_metrics/stream_function_logs", Admin,   Other,         deploy::stream_function_logs, "What functions logged; waits for news.";
    get  "/api/app_metrics/function_call_count_top_k", Admin, Other,      deploy::function_call_count_top_k, "The functions that were called most in the last hour, by the minute.";
    get  "/api/app_metrics/failure_percentage_top_k", Admin, Other,       deploy::failure_percentage_top_k, "The functions that failed most in the last hour, by the minute.";
    get  "/api/app_metrics/udf_rate",         Admin,       Other,         deploy::udf_rate,        "The calls or errors of one function in the last hour, by the minute.";
    get  "/api/app_metrics/table_rate",       Admin,       Other,         deploy::uncounted_series, "A series of gaps: this is not counted by the minute.";
    get  "/api/app_metrics/cache_hit_percentage", Admin,   Other,         deploy::uncounted_series, "A series of gaps: this is not counted by the minute.";
    get  "/api/app_metrics/scheduled_job_lag", Admin,      Other,         deploy::uncounted_series, "A series of gaps: this is not counted by the minute.";
    get  "/api/app_metrics/cache_hit_percentage_top_k", Admin, Other,     deploy::no_series,       "No series: this is not counted by the minute.";
    get  "/api/app_metrics/subscription_invalidations_top_k", Admin, Other, deploy::no_series,     "No series: this is not counted by the minute.";
    get  "/api/app_metrics/latency_percentiles", Admin,    Other,         deploy::no_series,       "No series: this is not counted by the minute.";
    get  "/api/app_metrics/function_concurrency", Admin,   Other,         deploy::function_concurrency, "No series: this is not counted by the minute.";
    get  "/api/shapes2",                      Admin,       Other,         deploy::shapes2,         "What the documents of each table look like.";
    get  "/api/get_indexes",                  Admin,       Other,         deploy::get_indexes,     "The declared indexes.";
    post "/api/run_test_function",            Admin,       Other,         deploy::run_test_function, "Run a query that is sent with the call.";
    get  "/api/v1/get_current_usage",         Admin,       Other,         deploy::get_usage,       "Refused: usage is not counted.";
    post "/api/v1/create_usage_limit",        Admin,       Other,         deploy::get_usage,       "Refused: usage is not counted.";
    post "/api/v1/update_usage_limit/{id}",   Admin,       Other,         deploy::get_usage,       "Refused: usage is not counted.";
    get  "/api/v1/list_usage_limits",         Admin,       Other,         deploy::get_usage,       "Refused: usage is not counted.";
    head "/api/authorize",                    Anyone,      Other,         deploy::authorize,       "Answers tools that want an account.";
    post "/api/check_opt_ins",                Anyone,      Other,         deploy::check_opt_ins,   "Answers tools that want terms accepted.";
    // Tokens of this deployment
    get  DEV_JWKS_PATH,                       Anyone,      Other,         keys::key_set,           "The public keys of the auth tokens that this deployment signs.";
    // The development issuer
    post "/dev/token",                        ThisMachine, Other,         dev::token,              "A token for whoever is asked for.";
    get  "/.well-known/openid-configuration", Anyone,      Other,         dev::discovery,          "The development issuer's description.";
];

/// Routes whose bodies may take any time: they have bounds of their own.
pub(super) const UNHURRIED_ROUTES: [&str; 3] =
    [UPLOAD_PATH, "/api/import/upload_part", "/api/import"];

/// Routes that change nothing by themselves, though they need an admin key that may. The log does not tell of each request.
pub(super) const UNAUDITED_ROUTES: [&str; 7] = [
    "/api/get_config_hashes",
    "/api/deploy2/evaluate_schema",
    "/api/deploy2/evaluate_push",
    "/api/deploy2/start_push",
    "/api/deploy2/wait_for_schema",
    "/api/deploy2/report_push_completed",
    "/api/import/upload_part",
];

/// The routes of the app's HTTP actions, for every method. The actions set their own origin headers.
pub(super) const ACTION_ROUTES: [&str; 2] = ["/http/", "/http/{*path}"];

/// The routes that are answered when there is no room for another connection.
pub(super) const SPARE_ROUTES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// The routes at work, with what is around them.
pub(super) fn router(http: Arc<Http>) -> Router {
    let unrouted: Router<Arc<Http>> = Router::new();
    let routes = ROUTES.iter().fold(unrouted, |router, route| {
        router.route(route.path, (route.handler)())
    });
    let routes = ACTION_ROUTES
        .into_iter()
        .fold(routes, |router, path| {
            router.route(path, any(actions::answer))
        })
        .fallback(site::file)
        .method_not_allowed_fallback(async || WireError::method_not_allowed())
        .layer(from_fn_with_state(http.clone(), around))
        .with_state(http);
    // Paths are put in order before they are matched.
    Router::new()
        .fallback_service(routes)
        .layer(map_request(single_leading_slash))
}

/// The site: every path is the app's HTTP actions', also those below `/.well-known`.
pub(super) fn site_router(http: Arc<Http>) -> Router {
    Router::new()
        .fallback(actions::answer_at_root)
        .layer(from_fn_with_state(http.clone(), around_site))
        .with_state(http)
}
