//! A server with a small app that keeps a record of what it does: the child of the randomized schedules.
//!
//! Every event is written to standard output before the server goes on, so a kill loses nothing that a client could
//! have seen.

mod app;
mod clock;
mod record;

use std::fs::File;
use std::io::{BufRead, stdin, stdout};
use std::os::fd::AsFd;
use std::sync::Arc;

use anyhow::Context;
use vestibule_server::prelude::*;
use vestibule_server::probe::{Event, Watch};
use vestibule_tests::control::{Command, Remark, variable};

use clock::SkippingClock;
use record::Record;

fn note(record: &Record, remark: &Remark) {
    let text = serde_json::to_string(remark).expect("remarks are plain data");
    record.event(Event::Noted(text));
}

fn number(name: &str) -> anyhow::Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text}")),
        Err(_) => Ok(0),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    log_to_stderr(LogFormat::Text);
    let lines = File::from(stdout().as_fd().try_clone_to_owned()?);
    let record = Record::new(lines, number(variable::FIRST_SEAT)?);
    let clock = Arc::new(SkippingClock::ahead(number(variable::AHEAD_MILLIS)?));
    let mut config = Config::for_tests(std::env::var(variable::DATA)?);
    config.dev = Some(false);
    config.auth_config = Some(std::env::var(variable::PROVIDERS)?);
    let app = match std::env::var_os(variable::PUSHED) {
        Some(_) => app::pushed(),
        None => app::app(),
    };
    let app = app.clock(clock.clone());
    let app = app.watched_by(Arc::new(record.clone()));
    let running = app.start(config).await?;
    note(&record, &Remark::Listening { url: running.url() });
    tokio::task::spawn_blocking(move || obey(&clock, &record)).await?
}

/// Carries out commands until the test that sends them is gone.
fn obey(clock: &SkippingClock, record: &Record) -> anyhow::Result<()> {
    for line in stdin().lock().lines() {
        match serde_json::from_str(&line?)? {
            Command::Arm { point, whom } => record.arm(point, whom),
            Command::Disarm => record.disarm(),
            Command::Release { point } => record.release(point),
            Command::Advance { millis } => clock.advance(millis),
            Command::Note(remark) => note(record, &remark),
        }
    }
    // The test is over; work under way no longer matters.
    std::process::exit(0)
}
