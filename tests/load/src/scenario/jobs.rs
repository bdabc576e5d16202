//! Scheduled mutations: how many run a second, how late they run, and that each runs once. Each leaves a document with the moment at
//! which it ran. A million others may wait for a time far ahead meanwhile.

mod planning;
mod ran;

use std::time::{Duration, Instant};

use clap::Args;

use crate::arguments::positive;
use crate::measure::Window;
use crate::metrics::Metrics;
use crate::report::{Figure, Run};
use crate::run::{Measured, settings};
use crate::server::Server;
use planning::Plan;
use ran::Ran;

/// The flags of `jobs`.
#[derive(Args, Clone, Debug)]
pub struct Jobs {
    /// Jobs that are all due at the same moment. With --rate, as many as come due within the seconds.
    #[arg(long, default_value_t = 50_000, value_name = "NUMBER", conflicts_with = "rate",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub jobs: u32,
    /// Jobs that come due each second, at equal distances.
    #[arg(long, value_name = "PER SECOND", value_parser = positive)]
    pub rate: Option<f64>,
    /// Jobs that wait meanwhile for a time far ahead.
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    pub waiting: u32,
    /// Seconds in which jobs come due at a rate.
    #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = positive)]
    pub seconds: f64,
}

/// The server's counts of jobs.
const WAITING: &str = "vestibule_jobs_waiting";
const RUNNING: &str = "vestibule_jobs_running";
const ENDED: &str = "vestibule_jobs_ended";
const FAILED: &str = "vestibule_jobs_failed_total{kind=\"Scheduled\"}";
const RETRIED: &str = "vestibule_jobs_retried_total";
const LATENESS: &str = "vestibule_jobs_lateness_seconds";

/// Runs it.
pub fn run(flags: &Jobs, server: &Server) -> anyhow::Result<Run> {
    let waiting_seconds = planning::plan_far_ahead(flags.waiting, &server.address)?;
    let before = Metrics::of(&server.address)?;
    let plan = Plan::new(flags);
    let mut measured = Measured::of(server);
    let (planner, start) = plan.begin(&server.address);
    std::thread::sleep(start.saturating_duration_since(Instant::now()));
    measured.border();
    let planned = planner.join().expect("planning does not panic")?;
    let ran = wait_until_all_ran(&plan, before.value(WAITING).unwrap_or(0.0), server)?;
    measured.border();
    let after = Metrics::of(&server.address)?;

    let mut run = measured.run("jobs", "jobs", &window(&plan, start, &ran))?;
    run.settings = settings([
        ("jobs", plan.jobs.to_string()),
        ("waiting", flags.waiting.to_string()),
    ]);
    if let Some(rate) = flags.rate {
        run.settings.insert("rate".into(), rate.to_string());
    }
    run.latencies = vec![ran.lateness().told("due to run")];
    run.latencies
        .extend(after.latency_since(&before, LATENESS, "due to start (server's)"));
    let grown = |name| after.value(name).unwrap_or(0.0) - before.value(name).unwrap_or(0.0);
    run.figures.extend([
        Figure::new("planned after their time", planned.late.into(), ""),
        Figure::new("attempts made again", grown(RETRIED), ""),
        Figure::new("ended jobs kept", after.value(ENDED).unwrap_or(0.0), ""),
    ]);
    if flags.waiting > 0 {
        run.figures.push(Figure::new(
            "planning those that wait",
            waiting_seconds,
            "s",
        ));
    }
    let failed = grown(FAILED) as u64;
    if failed > 0 {
        run.errors.insert("failed jobs".into(), failed);
    }
    run.checks = ran.checks(&plan);
    Ok(run)
}

/// From when the first job was due to when the last one ran.
fn window(plan: &Plan, start: Instant, ran: &Ran) -> Window {
    let since_due = |at_ms: f64| Duration::from_secs_f64((at_ms - plan.due_ms).max(0.0) / 1e3);
    let mut window = Window::open(start);
    for at_ms in ran.moments() {
        window.add(start + since_due(at_ms), 1);
    }
    window.close(start + since_due(ran.last_ms()));
    window
}

/// How often the server is asked whether jobs are left.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long jobs may make no progress before they are given up.
const STILL_MAX: Duration = Duration::from_secs(30);

/// The traces of the jobs, once as many have run as were planned or no more do.
fn wait_until_all_ran(plan: &Plan, others: f64, server: &Server) -> anyhow::Result<Ran> {
    let mut moved = Instant::now();
    let mut left_before = f64::INFINITY;
    loop {
        let metrics = Metrics::of(&server.address)?;
        let value = |name| metrics.value(name).unwrap_or(f64::NAN);
        let left = value(WAITING) - others + value(RUNNING);
        if left <= 0.0 {
            let ran = Ran::of(plan, &server.address)?;
            if ran.count() >= plan.jobs as usize || moved.elapsed() > STILL_MAX {
                return Ok(ran);
            }
        }
        if left != left_before {
            (moved, left_before) = (Instant::now(), left);
        }
        if moved.elapsed() > STILL_MAX {
            return Ran::of(plan, &server.address);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
