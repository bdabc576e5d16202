//! Crons: when they run, what changes at a push, and what is kept of their runs.

use super::super::crons::{CRON_RUNS, CRON_RUNS_KEPT, CRONS, CronChanges, CronOwner, reconcile};
use super::*;
use crate::deployment::{Cron, CronExpression, Schedule};

const MINUTE_MS: f64 = 60_000.0;

fn cron(name: &str, schedule: Schedule, path: &str) -> Cron {
    Cron {
        name: name.into(),
        function: path.parse().unwrap(),
        args: object! { "text" => name },
        schedule,
    }
}

fn interval(name: &str, seconds: u64, path: &str) -> Cron {
    cron(name, Schedule::Interval { seconds }, path)
}

fn calendar(name: &str, expression: &str) -> Cron {
    let schedule = Schedule::Cron(CronExpression::parse(expression).unwrap());
    cron(name, schedule, "notes:add")
}

async fn declare(rig: &Rig, owner: CronOwner, crons: Vec<Cron>) -> Result<CronChanges> {
    rig.transact(move |tx| Ok(reconcile(tx, owner, &crons)?))
        .await
}

async fn push(rig: &Rig, crons: Vec<Cron>) -> CronChanges {
    declare(rig, CronOwner::Pushed, crons).await.unwrap()
}

/// A cron that runs at once and then every minute.
pub async fn every_minute(rig: &Rig, path: &str) -> String {
    push(rig, vec![interval("minutely", 60, path)]).await;
    "minutely".into()
}

async fn field(rig: &Rig, name: &str, field: &str) -> Option<f64> {
    let crons = rig.documents(CRONS).await;
    let cron = crons
        .into_iter()
        .find(|cron| cron.fields["name"].as_str() == Some(name))?;
    match cron.fields.get(field)? {
        Value::Float64(number) => Some(*number),
        other => panic!("{field} is {other}"),
    }
}

pub async fn next_ms(rig: &Rig, name: &str) -> f64 {
    field(rig, name, "nextRun").await.unwrap()
}

async fn runs(rig: &Rig) -> Vec<Object> {
    let runs = rig.documents(CRON_RUNS).await;
    runs.into_iter().map(|run| run.fields).collect()
}

async fn until_ran(rig: &Rig, name: &str, times: usize) {
    let ran = || async {
        rig.notes()
            .await
            .iter()
            .filter(|note| *note == name)
            .count()
    };
    rig.until(|| async { ran().await >= times }).await;
    assert_eq!(ran().await, times);
}

#[tokio::test]
async fn an_interval_runs_at_once_and_keeps_its_beat() {
    let rig = Rig::new();
    let name = every_minute(&rig, "notes:add").await;
    until_ran(&rig, &name, 1).await;
    assert_eq!(next_ms(&rig, &name).await, START_MS + MINUTE_MS);
    for time in 2..=8 {
        rig.clock.advance(Duration::from_secs(60));
        until_ran(&rig, &name, time).await;
    }
    assert_eq!(
        field(&rig, &name, "lastRun").await,
        Some(START_MS + 7.0 * MINUTE_MS)
    );
    let runs = runs(&rig).await;
    assert_eq!(runs.len(), CRON_RUNS_KEPT);
    assert_eq!(runs[0]["ts"], Value::from(START_MS + 3.0 * MINUTE_MS));
    assert_eq!(
        runs[0]["status"],
        Value::from(object! { "type" => "success", "result" => "null" })
    );
    assert!(
        rig.scheduled().await.is_empty(),
        "a cron is no scheduled function"
    );
}

#[tokio::test]
async fn a_calendar_runs_on_its_minutes() {
    let rig = Rig::new();
    // The beginning of the test is a quarter past nothing: 2027-01-15 08:00:00 UTC.
    push(&rig, vec![calendar("tens", "*/10 * * * *")]).await;
    assert_eq!(next_ms(&rig, "tens").await, START_MS + 10.0 * MINUTE_MS);
    rig.clock.advance(Duration::from_secs(599));
    rig.settle().await;
    assert_eq!(rig.notes().await, ["settled"]);
    rig.clock.advance(Duration::from_secs(1));
    until_ran(&rig, "tens", 1).await;
    assert_eq!(next_ms(&rig, "tens").await, START_MS + 20.0 * MINUTE_MS);
}

#[tokio::test]
async fn runs_that_were_missed_are_skipped_but_for_one() {
    let rig = Rig::new();
    let name = every_minute(&rig, "notes:add").await;
    until_ran(&rig, &name, 1).await;
    let rig = rig.restart_after(Duration::from_secs(630)).await;
    until_ran(&rig, &name, 2).await;
    assert_eq!(next_ms(&rig, &name).await, START_MS + 11.0 * MINUTE_MS);
    let told =
        "[WARN] Skipping 9 run(s) of \"minutely\" because multiple scheduled runs are in the past";
    let page = || rig.functions.log().after(0, 0);
    let is_told = || page().entries.iter().any(|entry| entry.log_lines == [told]);
    rig.until(|| async { is_told() }).await;
    rig.settle().await;
    until_ran(&rig, &name, 2).await;
}

#[tokio::test]
async fn a_cron_never_runs_beside_itself() {
    let rig = Rig::new();
    let name = every_minute(&rig, "notes:act").await;
    let began = format!("{name} began");
    rig.until_noted(&began).await;
    rig.clock.advance(Duration::from_secs(150));
    rig.settle().await;
    assert_eq!(rig.notes().await, [&*began, "settled"]);
    rig.go_on.add_permits(1);
    let next = START_MS + 3.0 * MINUTE_MS;
    rig.until(|| async { next_ms(&rig, &name).await == next })
        .await;
    rig.clock.advance(Duration::from_secs(30));
    let times = || async {
        rig.notes()
            .await
            .iter()
            .filter(|note| **note == began)
            .count()
    };
    rig.until(|| async { times().await == 2 }).await;
}

#[tokio::test]
async fn a_run_that_fails_is_kept_and_the_next_one_comes() {
    let rig = Rig::new();
    let name = every_minute(&rig, "notes:fail").await;
    rig.until(|| async { next_ms(&rig, &name).await > START_MS })
        .await;
    let failed = runs(&rig).await.pop().unwrap();
    let error = object! { "type" => "err", "error" => "Uncaught Error: it failed" };
    assert_eq!(failed["status"], Value::from(error));
    assert_eq!(rig.metrics.failures(Kind::Cron), 1);
    rig.clock.advance(Duration::from_secs(60));
    rig.until(|| async { runs(&rig).await.len() == 2 }).await;
}

#[tokio::test]
async fn a_run_that_a_restart_interrupted_has_failed_and_the_next_one_comes() {
    let rig = Rig::new();
    let name = every_minute(&rig, "notes:act").await;
    rig.until_noted("minutely began").await;
    let rig = rig.restart_after(Duration::from_secs(1)).await;
    rig.until(|| async { next_ms(&rig, &name).await == START_MS + MINUTE_MS })
        .await;
    let failed = runs(&rig).await.pop().unwrap();
    let error = object! { "type" => "err", "error" => INTERRUPTED };
    assert_eq!(failed["status"], Value::from(error));
    rig.clock.advance(Duration::from_secs(59));
    rig.until(|| async { rig.notes().await.len() == 2 }).await;
}

#[tokio::test]
async fn a_push_adds_updates_and_deletes_and_leaves_alone_what_it_repeats() {
    let rig = Rig::new();
    let changes = push(
        &rig,
        vec![
            interval("kept", 60, "notes:add"),
            calendar("moved", "0 * * * *"),
            calendar("gone", "0 * * * *"),
        ],
    );
    assert_eq!(changes.await.added, ["kept", "moved", "gone"]);
    until_ran(&rig, "kept", 1).await;
    rig.clock.advance(Duration::from_secs(10));
    let changes = push(
        &rig,
        vec![
            interval("kept", 60, "notes:add"),
            calendar("moved", "30 * * * *"),
            calendar("new", "15 * * * *"),
        ],
    );
    let changes = changes.await;
    assert_eq!(changes.added, ["new"]);
    assert_eq!(changes.updated, ["moved"]);
    assert_eq!(changes.deleted, ["gone"]);
    assert_eq!(next_ms(&rig, "kept").await, START_MS + MINUTE_MS);
    assert_eq!(next_ms(&rig, "moved").await, START_MS + 30.0 * MINUTE_MS);
    assert_eq!(field(&rig, "gone", "nextRun").await, None);
    rig.clock.advance(Duration::from_secs(3_600));
    until_ran(&rig, "new", 1).await;
    until_ran(&rig, "moved", 1).await;
    assert!(!rig.notes().await.contains(&"gone".to_string()));
    // Of a cron that is gone nothing stays.
    push(&rig, Vec::new()).await;
    assert!(runs(&rig).await.is_empty());
}

#[tokio::test]
async fn a_run_that_is_near_stays_when_its_schedule_changes() {
    let rig = Rig::new();
    push(&rig, vec![interval("beat", 60, "notes:add")]).await;
    until_ran(&rig, "beat", 1).await;
    rig.clock.advance(Duration::from_secs(31));
    push(&rig, vec![interval("beat", 3_600, "notes:add")]).await;
    assert_eq!(next_ms(&rig, "beat").await, START_MS + MINUTE_MS);
    rig.clock.advance(Duration::from_secs(29));
    until_ran(&rig, "beat", 2).await;
    assert_eq!(next_ms(&rig, "beat").await, START_MS + 61.0 * MINUTE_MS);
    // A distant run moves to the new schedule's moment after the last run.
    push(&rig, vec![interval("beat", 120, "notes:add")]).await;
    assert_eq!(next_ms(&rig, "beat").await, START_MS + 3.0 * MINUTE_MS);
}

#[tokio::test]
async fn a_run_under_way_is_neither_lost_nor_doubled_by_a_push() {
    let rig = Rig::new();
    let name = every_minute(&rig, "notes:act").await;
    rig.until_noted("minutely began").await;
    push(&rig, vec![interval(&name, 600, "notes:add")]).await;
    rig.settle().await;
    assert_eq!(rig.notes().await, ["minutely began", "settled"]);
    rig.go_on.add_permits(1);
    let next = START_MS + 10.0 * MINUTE_MS;
    rig.until(|| async { next_ms(&rig, &name).await == next })
        .await;
    rig.clock.advance(Duration::from_secs(600));
    until_ran(&rig, &name, 1).await;
}

#[tokio::test]
async fn a_program_and_a_push_have_crons_of_their_own() {
    let rig = Rig::new();
    let own = calendar("own", "0 * * * *");
    declare(&rig, CronOwner::Program, vec![own.clone()])
        .await
        .unwrap();
    push(&rig, vec![calendar("pushed", "0 * * * *")]).await;
    push(&rig, Vec::new()).await;
    assert_eq!(rig.documents(CRONS).await.len(), 1);
    let refused = declare(&rig, CronOwner::Pushed, vec![own])
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("\"own\" is declared twice"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_clock_that_was_ahead_for_a_moment_silences_no_cron() {
    const TEN_YEARS_SECONDS: u64 = 10 * 365 * 86_400;
    let start = START_MS as u64 / 1_000;
    let rig = Rig::new();
    push(
        &rig,
        vec![
            interval("beat", 60, "notes:add"),
            calendar("tens", "*/10 * * * *"),
        ],
    )
    .await;
    until_ran(&rig, "beat", 1).await;
    rig.clock
        .jump_to(UnixNanos::from_seconds(start + TEN_YEARS_SECONDS));
    rig.clock.advance(Duration::from_secs(1));
    until_ran(&rig, "beat", 2).await;
    until_ran(&rig, "tens", 1).await;
    rig.clock.jump_to(UnixNanos::from_seconds(start + 5));
    rig.clock.advance(Duration::from_secs(1));
    let next = START_MS + 6_000.0 + MINUTE_MS;
    rig.until(|| async { next_ms(&rig, "beat").await <= next })
        .await;
    assert_eq!(next_ms(&rig, "tens").await, START_MS + 10.0 * MINUTE_MS);
    rig.clock.advance(Duration::from_secs(60));
    until_ran(&rig, "beat", 3).await;
    // A schedule that changes goes by the present time, too.
    push(&rig, vec![interval("beat", 600, "notes:add")]).await;
    assert_eq!(next_ms(&rig, "beat").await, START_MS + 666_000.0);
}

#[tokio::test]
async fn a_start_brings_back_crons_that_ran_by_a_clock_that_was_ahead() {
    let rig = Rig::new();
    push(&rig, vec![calendar("tens", "*/10 * * * *")]).await;
    let far = START_MS + 1e11;
    rig.transact(move |tx| {
        for cron in tx.collect(&Query::table(CRONS))? {
            tx.patch(
                cron.id,
                crate::database::Patch::default().set("nextRun", far),
            )?;
        }
        Ok(())
    })
    .await
    .unwrap();
    let rig = rig.restart_after(Duration::ZERO).await;
    rig.until(|| async { next_ms(&rig, "tens").await == START_MS + 10.0 * MINUTE_MS })
        .await;
}
