//! An administrator's work on scheduled functions.

use vestibule_schema::path::ComponentPath;

use super::*;
use crate::functions::scheduled::{self, ToSchedule};

#[tokio::test]
async fn an_administrator_cancels_one_job_or_those_of_a_function_and_a_time() {
    let rig = Rig::new();
    let admin = JobsAdmin::new(rig.functions.clone());
    let one = rig.schedule("notes:add", 1_000.0, "one").await;
    let other = rig.schedule("notes:fail", 2_000.0, "other").await;
    let late = rig.schedule("notes:add", 3_000.0, "late").await;
    let later = rig.schedule("notes:add", 4_000.0, "later").await;
    admin.cancel_job(one).await.unwrap();
    assert_eq!(rig.state(one).await, Some(JobState::Canceled));
    let which = CancelAll {
        component: ComponentPath::ROOT,
        path: Some("notes:add".parse().unwrap()),
        from_ms: Some(START_MS + 1_000.0),
        until_ms: Some(START_MS + 4_000.0),
    };
    assert_eq!(admin.cancel_all(which).await.unwrap(), 1);
    assert_eq!(rig.state(late).await, Some(JobState::Canceled));
    assert_eq!(rig.state(later).await, Some(JobState::Pending));
    assert_eq!(rig.state(other).await, Some(JobState::Pending));
    assert_eq!(admin.cancel_all(CancelAll::default()).await.unwrap(), 2);
    let foreign = DocumentId::new(
        vestibule_schema::id::TableNumber::FIRST_USER,
        one.internal(),
    );
    let refused = admin.cancel_job(foreign).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .starts_with("Invalid scheduled function ID.")
    );
}

#[tokio::test]
async fn an_administrator_clears_the_table_in_steps() {
    let rig = Rig::new();
    let admin = JobsAdmin::new(rig.functions.clone());
    rig.settle().await;
    let many = Many {
        count: 700,
        at_ms: START_MS + 60_000.0,
    };
    rig.mutate("notes:scheduleMany", many).await;
    admin.clear(ComponentPath::ROOT).await.unwrap();
    assert!(rig.scheduled().await.is_empty());
    rig.clock.advance(Duration::from_secs(61));
    rig.settle().await;
    assert_eq!(rig.notes().await, ["settled", "settled"]);
    rig.until_seen(|| rig.metrics.ended.get() == 1).await;
    rig.until_seen(|| rig.metrics.waiting.get() == 0).await;
}

#[tokio::test]
async fn the_jobs_of_a_component_outlive_those_of_the_app() {
    let rig = Rig::new();
    let admin = JobsAdmin::new(rig.functions.clone());
    let kid: ComponentPath = "kid".parse().unwrap();
    let job = ToSchedule {
        path: "notes:add".parse().unwrap(),
        args: vec![Value::from(object! { "text" => "kid" })],
        at_seconds: (START_MS + 60_000.0) / 1e3,
        by: None,
        owner: kid.clone(),
    };
    let scheduled = rig.functions.transact(move |tx| {
        let job = ToSchedule {
            path: job.path.clone(),
            args: job.args.clone(),
            owner: job.owner.clone(),
            ..job
        };
        Ok(scheduled::schedule(tx, job)?)
    });
    let id = scheduled.await.unwrap().unwrap();
    let app = rig.schedule("notes:add", 60_000.0, "app").await;
    assert_eq!(admin.cancel_all(CancelAll::default()).await.unwrap(), 1);
    assert_eq!(rig.state(app).await, Some(JobState::Canceled));
    admin.clear(ComponentPath::ROOT).await.unwrap();
    assert_eq!(rig.state(app).await, None);
    assert_eq!(rig.state(id).await, Some(JobState::Pending));
    admin.clear(kid).await.unwrap();
    assert_eq!(rig.state(id).await, None);
}

#[tokio::test]
async fn the_jobs_of_a_component_go_with_those_of_its_own_components() {
    let rig = Rig::new();
    let admin = JobsAdmin::new(rig.functions.clone());
    let mut ids = Vec::new();
    for owner in ["", "kid", "kid/sub", "kids", "other/kid"] {
        let owner: ComponentPath = owner.parse().unwrap();
        let scheduled = rig.functions.transact(move |tx| {
            let job = ToSchedule {
                path: "notes:add".parse().unwrap(),
                args: vec![Value::from(object! { "text" => "later" })],
                at_seconds: (START_MS + 60_000.0) / 1e3,
                by: None,
                owner: owner.clone(),
            };
            Ok(scheduled::schedule(tx, job)?)
        });
        ids.push(scheduled.await.unwrap().unwrap());
    }
    admin.clear_within("kid".parse().unwrap()).await.unwrap();
    let mut left = Vec::new();
    for id in ids {
        left.push(rig.state(id).await.is_some());
    }
    assert_eq!(left, [true, false, false, true, true]);
}
