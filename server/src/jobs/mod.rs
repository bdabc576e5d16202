//! The jobs room: scheduled functions and crons, run when their time has come.
//!
//! A job to run is a document, and the transaction that runs it records the outcome in the same document. So a mutation
//! runs exactly once and an action at most once, whenever the server dies.

mod admin;
pub mod crons;
mod driver;
mod metrics;
mod next_run;
mod pause;
mod run;
mod scheduled;
mod sweep;
#[cfg(test)]
mod tests;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use admin::{CancelAll, JobsAdmin, JobsAdminError};
pub use metrics::JobsMetrics;
#[cfg(test)]
pub use metrics::Kind;
pub use next_run::first_run;
#[cfg(test)]
pub use scheduled::INTERRUPTED;
pub use sweep::ENDED_MAX;

use self::driver::Driver;
use self::run::Runner;
use crate::functions::Functions;

/// The index of scheduled functions, and that of crons, by state and time.
const BY_STATE_AND_TIME: &str = "by_state_and_time";
/// How often scheduled functions are looked for that ended long ago.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Bounds of the jobs room.
#[derive(Clone, Debug)]
pub struct JobsOptions {
    /// Jobs that run at once. Further due jobs wait for one to end.
    pub concurrency: usize,
    /// Scheduled functions that have ended and are kept.
    pub ended_max: u64,
}

/// Jobs that run at once, unless the program sets another number.
pub const CONCURRENCY_DEFAULT: usize = 64;

impl Default for JobsOptions {
    fn default() -> JobsOptions {
        JobsOptions {
            concurrency: CONCURRENCY_DEFAULT,
            ended_max: ENDED_MAX,
        }
    }
}

/// The running jobs room.
pub struct Jobs {
    stop: CancellationToken,
    driver: JoinHandle<()>,
    sweeper: JoinHandle<()>,
}

impl Jobs {
    /// Starts running what is due.
    pub fn start(
        functions: Arc<Functions>,
        options: JobsOptions,
        metrics: Arc<JobsMetrics>,
    ) -> Jobs {
        let stop = CancellationToken::new();
        let ended_max = options.ended_max;
        let runner = Runner {
            functions: functions.clone(),
            metrics: metrics.clone(),
            stop: stop.clone(),
        };
        let driver = Driver::new(runner, options);
        Jobs {
            driver: tokio::spawn(driver.drive(stop.clone())),
            sweeper: tokio::spawn(sweep_now_and_then(
                functions,
                metrics,
                ended_max,
                stop.clone(),
            )),
            stop,
        }
    }

    /// Starts nothing more, and waits for what runs.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for task in [&mut self.driver, &mut self.sweeper] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the jobs room panicked");
            }
        }
    }
}

impl Drop for Jobs {
    /// Once dropped, no owner can wait for running jobs; nothing more is started.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn sweep_now_and_then(
    functions: Arc<Functions>,
    metrics: Arc<JobsMetrics>,
    ended_max: u64,
    stop: CancellationToken,
) {
    let clock = functions.database().clock().clone();
    loop {
        let until = clock.elapsed() + SWEEP_EVERY;
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep_until(until) => {}
        }
        let ended = u64::try_from(metrics.ended.get()).unwrap_or(0);
        let mut surplus = ended.saturating_sub(ended_max);
        while !stop.is_cancelled() {
            let swept = functions.transact(move |tx| Ok(sweep::forget_oldest(tx, surplus)?));
            match swept.await {
                Ok(Ok(0)) => break,
                Ok(Ok(forgotten)) => surplus = surplus.saturating_sub(forgotten as u64),
                Ok(Err(error)) => {
                    tracing::error!(%error, "old scheduled functions could not be forgotten");
                    break;
                }
                Err(error) => {
                    tracing::debug!(%error, "old scheduled functions are forgotten later");
                    break;
                }
            }
        }
    }
}
