//! Bounds that operators set: of jobs, of functions, of requests, of files, of imports and exports. A bound that is
//! not given keeps the room's default.

use std::time::Duration;

use super::config;
use super::settings::{Given, SettingError, parse};
use crate::files::FilesOptions;
use crate::functions::{JsOptions, NodeOptions};
use crate::http::HttpOptions;
use crate::jobs::JobsOptions;
use crate::transfer::TransferOptions;

/// Bounds that were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Scheduled functions that run at once.
    pub jobs_at_once: Option<usize>,
    /// Scheduled functions that have ended and are kept.
    pub jobs_kept: Option<u64>,
    /// Actions that run at once.
    pub actions_at_once: Option<usize>,
    /// Memory of the actions in JavaScript that run.
    pub actions_bytes_max: Option<u64>,
    /// Memory of one call in JavaScript, from 16 MiB to 8 GiB.
    pub call_memory_max: Option<u64>,
    /// Memory for JavaScript objects of one process of Node.js.
    pub node_memory_max: Option<u64>,
    /// Threads of calls in JavaScript that are started while others are at long calls.
    pub spare_threads: Option<usize>,
    /// Time of a query in the engine.
    pub query_time_max: Option<Duration>,
    /// Time of a mutation in the engine.
    pub mutation_time_max: Option<Duration>,
    /// Time of an action.
    pub action_time_max: Option<Duration>,
    /// Time in the engine of an action between two waits.
    pub action_step_max: Option<Duration>,
    /// HTTP requests that wait for a function's answer at the same time.
    pub requests_at_once: Option<usize>,
    /// Bytes of one file.
    pub file_bytes_max: Option<u64>,
    /// Bytes of all files together.
    pub files_bytes_max: Option<u64>,
    /// Uploads at the same time.
    pub uploads_at_once: Option<usize>,
    /// Downloads at the same time.
    pub downloads_at_once: Option<usize>,
    /// Time of an upload.
    pub upload_time_max: Option<Duration>,
    /// Bytes of a file that is imported.
    pub import_bytes_max: Option<u64>,
    /// Bytes of everything in an archive that is imported, unpacked.
    pub import_unpacked_bytes_max: Option<u64>,
    /// Time that an import waits for its next step.
    pub import_kept: Option<Duration>,
    /// Time that an export can be downloaded.
    pub export_kept: Option<Duration>,
    /// Time that commits stay in the log for backups.
    pub log_kept: Option<Duration>,
    /// The last commit that is kept where damage hides later ones.
    pub lose_commits_after: Option<u64>,
}

impl Bounds {
    pub(super) fn read(given: &Given<'_>) -> Result<Bounds, SettingError> {
        Ok(Bounds {
            jobs_at_once: given.read(&config::JOBS_AT_ONCE, parse::count)?,
            jobs_kept: given.read(&config::JOBS_KEPT, parse::whole)?,
            actions_at_once: given.read(&config::ACTIONS_AT_ONCE, parse::count)?,
            actions_bytes_max: given.read(&config::ACTIONS_BYTES_MAX, parse::bytes)?,
            call_memory_max: given.read(&config::CALL_MEMORY_MAX, parse::call_memory)?,
            node_memory_max: given.read(&config::NODE_MEMORY_MAX, parse::bytes)?,
            spare_threads: given.read(&config::SPARE_THREADS, parse::count)?,
            query_time_max: given.read(&config::QUERY_TIME_MAX, parse::duration)?,
            mutation_time_max: given.read(&config::MUTATION_TIME_MAX, parse::duration)?,
            action_time_max: given.read(&config::ACTION_TIME_MAX, parse::duration)?,
            action_step_max: given.read(&config::ACTION_STEP_MAX, parse::duration)?,
            requests_at_once: given.read(&config::REQUESTS_AT_ONCE, parse::count)?,
            file_bytes_max: given.read(&config::FILE_BYTES_MAX, parse::bytes)?,
            files_bytes_max: given.read(&config::FILES_BYTES_MAX, parse::bytes)?,
            uploads_at_once: given.read(&config::UPLOADS_AT_ONCE, parse::count)?,
            downloads_at_once: given.read(&config::DOWNLOADS_AT_ONCE, parse::count)?,
            upload_time_max: given.read(&config::UPLOAD_TIME_MAX, parse::duration)?,
            import_bytes_max: given.read(&config::IMPORT_BYTES_MAX, parse::bytes)?,
            import_unpacked_bytes_max: given
                .read(&config::IMPORT_UNPACKED_BYTES_MAX, parse::bytes)?,
            import_kept: given.read(&config::IMPORT_KEPT, parse::duration)?,
            export_kept: given.read(&config::EXPORT_KEPT, parse::duration)?,
            log_kept: given.read(&config::LOG_KEPT, parse::duration)?,
            lose_commits_after: given.read(&config::LOSE_COMMITS_AFTER, parse::whole)?,
        })
    }

    pub(super) fn jobs(&self, mut options: JobsOptions) -> JobsOptions {
        set(&mut options.concurrency, self.jobs_at_once);
        set(&mut options.ended_max, self.jobs_kept);
        options
    }

    pub(super) fn js(&self, mut options: JsOptions) -> JsOptions {
        set(&mut options.actions_max, self.actions_at_once);
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        set(
            &mut options.actions_bytes_max,
            self.actions_bytes_max.map(bytes),
        );
        set(
            &mut options.call_memory_max,
            self.call_memory_max.map(bytes),
        );
        options.spare_threads = self.spare_threads.or(options.spare_threads);
        set(&mut options.query_time_max, self.query_time_max);
        set(&mut options.mutation_time_max, self.mutation_time_max);
        set(&mut options.action_time_max, self.action_time_max);
        set(&mut options.action_step_max, self.action_step_max);
        options
    }

    pub(super) fn node(&self, mut options: NodeOptions) -> NodeOptions {
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        set(&mut options.memory_max, self.node_memory_max.map(bytes));
        options
    }

    pub(super) fn http(&self, mut options: HttpOptions) -> HttpOptions {
        set(&mut options.requests_max, self.requests_at_once);
        options
    }

    pub(super) fn files(&self) -> FilesOptions {
        let mut options = FilesOptions {
            file_bytes_max: self.file_bytes_max,
            total_bytes_max: self.files_bytes_max,
            ..FilesOptions::default()
        };
        set(&mut options.uploads_max, self.uploads_at_once);
        set(&mut options.downloads_max, self.downloads_at_once);
        set(&mut options.upload_time_max, self.upload_time_max);
        set(&mut options.deleted_kept_for, self.log_kept);
        options
    }

    pub(super) fn transfers(&self) -> TransferOptions {
        let mut options = TransferOptions::default();
        set(&mut options.upload_bytes_max, self.import_bytes_max);
        set(
            &mut options.unpacked_bytes_max,
            self.import_unpacked_bytes_max,
        );
        set(&mut options.import_kept_for, self.import_kept);
        set(&mut options.export_kept_for, self.export_kept);
        options
    }
}

fn set<T>(bound: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *bound = given;
    }
}
