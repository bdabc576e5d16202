//! Pausing, and forgetting what ended long ago.

use super::*;

#[tokio::test]
async fn jobs_wait_while_the_deployment_is_paused() {
    let rig = Rig::new();
    rig.set_paused(true).await;
    let id = rig.schedule("notes:add", 0.0, "after the pause").await;
    // A cron that is skipped shows that the driver has looked.
    let skipped = super::crons::every_minute(&rig, "notes:add").await;
    rig.until(|| async { super::crons::next_ms(&rig, &skipped).await > START_MS })
        .await;
    assert_eq!(rig.state(id).await, Some(JobState::Pending));
    assert!(rig.notes().await.is_empty());
    rig.set_paused(false).await;
    rig.until_state(id, JobState::Success).await;
}

#[tokio::test]
async fn a_pause_outlives_a_restart() {
    let rig = Rig::new();
    rig.set_paused(true).await;
    let rig = rig.restart_after(Duration::from_secs(1)).await;
    let id = rig.schedule("notes:add", 0.0, "after the pause").await;
    let skipped = super::crons::every_minute(&rig, "notes:add").await;
    rig.until(|| async { super::crons::next_ms(&rig, &skipped).await > START_MS + 60_000.0 })
        .await;
    assert_eq!(rig.state(id).await, Some(JobState::Pending));
    rig.set_paused(false).await;
    rig.until_state(id, JobState::Success).await;
}

#[tokio::test]
async fn what_ended_seven_days_ago_is_forgotten_and_what_waits_is_not() {
    const DAY: Duration = Duration::from_secs(86_400);
    let rig = Rig::new();
    let old = rig.schedule("notes:add", 0.0, "old").await;
    let waits = rig.schedule("notes:add", 1e10, "waits").await;
    rig.until_state(old, JobState::Success).await;
    rig.clock.advance(DAY * 6);
    let young = rig.schedule("notes:add", 0.0, "young").await;
    rig.until_state(young, JobState::Success).await;
    rig.clock.advance(DAY);
    rig.until(|| async { rig.state(old).await.is_none() }).await;
    assert_eq!(rig.state(young).await, Some(JobState::Success));
    assert_eq!(rig.state(waits).await, Some(JobState::Pending));
}

#[tokio::test]
async fn of_too_many_that_have_ended_the_oldest_are_forgotten() {
    let options = JobsOptions {
        ended_max: 300,
        ..JobsOptions::default()
    };
    let rig = Rig::with(options, Limits::default());
    let first = rig.schedule("notes:add", 0.0, "first").await;
    rig.until_state(first, JobState::Success).await;
    rig.clock.advance(Duration::from_secs(1));
    let many = Many {
        count: 900,
        at_ms: START_MS,
    };
    rig.mutate("notes:scheduleMany", many).await;
    rig.until_seen(|| rig.metrics.ended.get() == 901).await;
    rig.clock.advance(SWEEP_EVERY);
    rig.until_seen(|| rig.metrics.ended.get() == 300).await;
    assert_eq!(rig.state(first).await, None);
    assert_eq!(rig.scheduled().await.len(), 300);
}

#[tokio::test]
async fn a_start_counts_what_waits_and_what_has_ended() {
    let rig = Rig::new();
    let id = rig.schedule("notes:add", 0.0, "done").await;
    rig.schedule("notes:add", 60_000.0, "waits").await;
    rig.until_state(id, JobState::Success).await;
    let rig = rig.restart_after(Duration::ZERO).await;
    rig.settle().await;
    rig.until_seen(|| rig.metrics.ended.get() == 2).await;
    rig.until_seen(|| rig.metrics.waiting.get() == 1).await;
}

#[tokio::test]
async fn a_job_that_is_canceled_in_the_mutation_that_schedules_it_is_counted_as_ended() {
    let rig = Rig::new();
    for _ in 0..3 {
        rig.mutate("notes:scheduleInVain", ask("notes:add", 60_000.0, "never"))
            .await;
    }
    rig.settle().await;
    rig.until_seen(|| rig.metrics.ended.get() == 4).await;
    assert_eq!(rig.metrics.waiting.get(), 0);
}
