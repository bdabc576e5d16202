//! Canceling, in every state of a job.

use super::*;

#[tokio::test]
async fn a_job_that_is_canceled_before_its_time_never_runs() {
    let rig = Rig::new();
    let id = rig.schedule("notes:add", 1_000.0, "never").await;
    rig.mutate("notes:cancel", Which { id }).await;
    assert_eq!(rig.state(id).await, Some(JobState::Canceled));
    rig.clock.advance(Duration::from_secs(2));
    rig.settle().await;
    assert_eq!(rig.notes().await, ["settled"]);
    rig.until_seen(|| rig.metrics.waiting.get() == 0).await;
}

#[tokio::test]
async fn an_action_that_is_canceled_goes_on_but_what_it_schedules_never_runs() {
    let rig = Rig::new();
    let id = rig.schedule("notes:act", 0.0, "cut").await;
    rig.until_noted("cut began").await;
    rig.mutate("notes:cancel", Which { id }).await;
    assert_eq!(rig.state(id).await, Some(JobState::Canceled));
    rig.go_on.add_permits(1);
    rig.until(|| async { rig.scheduled().await.len() == 3 })
        .await;
    rig.settle().await;
    let scheduled = rig.scheduled().await;
    let canceled = scheduled
        .iter()
        .filter(|job| job.state == JobState::Canceled);
    assert_eq!(canceled.count(), 3);
    assert_eq!(rig.notes().await, ["cut began", "settled"]);
    rig.until_seen(|| rig.metrics.ended.get() == 4).await;
    rig.until_seen(|| rig.metrics.waiting.get() == 0).await;
}

#[tokio::test]
async fn what_has_ended_or_never_was_is_canceled_without_effect() {
    let rig = Rig::new();
    let done = rig.schedule("notes:add", 0.0, "done").await;
    let failed = rig.schedule("notes:fail", 0.0, "").await;
    rig.until_state(done, JobState::Success).await;
    let error = JobState::Failed("Uncaught Error: it failed".into());
    rig.until_state(failed, error.clone()).await;
    rig.mutate("notes:cancel", Which { id: done }).await;
    rig.mutate("notes:cancel", Which { id: failed }).await;
    assert_eq!(rig.state(done).await, Some(JobState::Success));
    assert_eq!(rig.state(failed).await, Some(error));
    let mut internal = done.internal();
    internal.0[0] ^= 1;
    let id = DocumentId::new(done.table(), internal);
    rig.mutate("notes:cancel", Which { id }).await;
}

#[tokio::test]
async fn an_id_of_another_table_is_refused() {
    let rig = Rig::new();
    rig.settle().await;
    let id = rig.documents(Note::NAME).await[0].id;
    assert_eq!(
        rig.refusal("notes:cancel", Which { id }).await,
        "Invalid scheduled function ID. The ID must be an ID on the '_scheduled_functions' table."
    );
}

#[tokio::test]
async fn a_mutation_cannot_cancel_itself() {
    let rig = Rig::new();
    let waits = rig.schedule("notes:add", 60_000.0, "never").await;
    let id = rig.schedule("notes:cancelAllAndGoOn", 0.0, "went on").await;
    rig.until_state(id, JobState::Success).await;
    assert_eq!(rig.notes().await, ["went on"]);
    assert_eq!(rig.state(waits).await, Some(JobState::Canceled));
}
