//! Running what is due: when, in which order, how often, and what is written of it.

use super::*;

#[tokio::test]
async fn a_job_runs_when_its_time_has_come_and_not_before() {
    let rig = Rig::new();
    let late = rig.schedule("notes:add", 10_000.0, "late").await;
    let early = rig.schedule("notes:add", 9_000.0, "early").await;
    rig.clock.advance(Duration::from_millis(9_999));
    rig.until_state(early, JobState::Success).await;
    rig.settle().await;
    assert_eq!(rig.state(late).await, Some(JobState::Pending));
    rig.clock.advance(Duration::from_millis(1));
    rig.until_state(late, JobState::Success).await;
    assert_eq!(rig.notes().await, ["early", "settled", "late"]);
}

#[tokio::test]
async fn after_a_long_stop_a_client_waits_behind_no_more_jobs_than_run_at_once() {
    const AT_ONCE: usize = 8;
    const DUE: u32 = 1_000;
    let options = JobsOptions {
        concurrency: AT_ONCE,
        ..JobsOptions::default()
    };
    let mut rig = Rig::with(options, Limits::default());
    rig.stop().await;
    let many = Many {
        count: DUE,
        at_ms: START_MS,
    };
    rig.mutate("notes:scheduleMany", many).await;
    rig.clock.advance(Duration::from_secs(86_400));
    rig.start();
    let started = |rig: &Rig| rig.metrics.starts(Kind::Scheduled);
    let mut clients = 0;
    while started(&rig) < u64::from(DUE) {
        // The driver is on this thread, so nothing starts until the call is in the queue.
        assert!(rig.metrics.running.get() <= AT_ONCE as i64);
        let text = format!("client behind {}", started(&rig));
        rig.mutate("notes:write", Text { text }).await;
        clients += 1;
    }
    assert!(clients >= 2, "{clients}");
    rig.settle().await;
    let (mut jobs, mut seen) = (0, 0);
    for note in rig.notes().await {
        match note.strip_prefix("client behind ") {
            Some(behind) => {
                seen += 1;
                // Those that had started, of which no more than these were unfinished, and none that came later.
                assert!(jobs <= behind.parse().unwrap(), "{jobs} before {note}");
            }
            None => jobs += 1,
        }
    }
    // With the job by which the test settles.
    assert_eq!((jobs, seen), (u64::from(DUE) + 1, clients));
}

#[tokio::test]
async fn mutations_that_are_due_run_in_the_order_of_their_times() {
    let mut rig = Rig::new();
    rig.stop().await;
    let mut ids = Vec::new();
    for after_ms in [700.0, 100.0, 900.0, 300.0, -500.0, 500.0] {
        let text = after_ms.to_string();
        ids.push(rig.schedule("notes:add", after_ms, &text).await);
    }
    rig.clock.advance(Duration::from_secs(1));
    rig.start();
    for id in ids {
        rig.until_state(id, JobState::Success).await;
    }
    let expected = ["-500", "100", "300", "500", "700", "900"];
    assert_eq!(rig.notes().await, expected);
}

#[tokio::test]
async fn a_job_that_fails_leaves_its_error_and_nothing_else() {
    let rig = Rig::new();
    let failed = rig.schedule("notes:fail", 0.0, "gone").await;
    let panicked = rig.schedule("notes:panic", 0.0, "gone").await;
    let error = JobState::Failed("Uncaught Error: it failed".into());
    rig.until_state(failed, error).await;
    let error = JobState::Failed("Uncaught Error: notes:panic panicked: boom".into());
    rig.until_state(panicked, error).await;
    rig.settle().await;
    assert_eq!(rig.notes().await, ["settled"]);
    assert_eq!(rig.metrics.failures(Kind::Scheduled), 2);
    assert_eq!(rig.metrics.starts(Kind::Scheduled), 3);
}

#[tokio::test]
async fn a_job_whose_function_is_gone_or_takes_something_else_has_failed() {
    let rig = Rig::new();
    let plant = |name: &'static str, args: Object| {
        rig.transact(move |tx| {
            let job = object! {
                "name" => name, "args" => Value::Array(vec![Value::Object(args.clone())]),
                "scheduledTime" => START_MS, "state" => object! { "kind" => "pending" },
            };
            Ok(tx.insert(SCHEDULED_FUNCTIONS, job)?)
        })
    };
    let text = object! { "text" => "x" };
    let gone = plant("notes.js:gone", text.clone()).await.unwrap();
    let query = plant("notes.js:list", text).await.unwrap();
    let args = plant("notes.js:add", object! {}).await.unwrap();
    let error = JobState::Failed("Could not find function for 'notes:gone'.".into());
    rig.until_state(gone, error).await;
    let error = "Unsupported function type. notes.js:list is defined as a Query. Only Mutation and Action can be \
                 scheduled.";
    rig.until_state(query, JobState::Failed(error.into())).await;
    let is_failed = || async { matches!(rig.state(args).await, Some(JobState::Failed(_))) };
    rig.until(is_failed).await;
}

#[tokio::test]
async fn a_mutation_sees_itself_in_progress_and_others_see_it_wait() {
    let rig = Rig::new();
    let waits = rig.schedule("notes:add", 60_000.0, "").await;
    let looks = rig.schedule("notes:look", 0.0, "").await;
    rig.until_state(looks, JobState::Success).await;
    assert_eq!(rig.notes().await, ["pending,inProgress"]);
    assert_eq!(rig.state(waits).await, Some(JobState::Pending));
}

#[tokio::test]
async fn an_action_is_in_progress_for_everybody_and_ends_once() {
    let rig = Rig::new();
    let good = rig.schedule("notes:act", 0.0, "good").await;
    let broken = rig.schedule("notes:act", 0.0, "broken").await;
    rig.until_noted("good began").await;
    rig.until_noted("broken began").await;
    assert_eq!(rig.state(good).await, Some(JobState::InProgress));
    assert_eq!(rig.metrics.running.get(), 2);
    rig.go_on.add_permits(2);
    rig.until_state(good, JobState::Success).await;
    let error = JobState::Failed("Uncaught Error: the action failed".into());
    rig.until_state(broken, error).await;
    rig.until_noted("good by action").await;
    rig.until_noted("good by mutation").await;
}

#[tokio::test]
async fn an_action_that_a_restart_interrupted_has_failed_and_a_job_that_waited_runs() {
    let rig = Rig::new();
    let action = rig.schedule("notes:act", 0.0, "cut").await;
    let waits = rig.schedule("notes:add", 10_000.0, "late").await;
    rig.until_noted("cut began").await;
    let rig = rig.restart_after(Duration::from_secs(3_600)).await;
    rig.go_on.add_permits(10);
    rig.until_state(action, JobState::Failed(INTERRUPTED.into()))
        .await;
    rig.until_state(waits, JobState::Success).await;
    rig.settle().await;
    assert_eq!(rig.notes().await, ["cut began", "late", "settled"]);
}

#[tokio::test]
async fn a_server_that_ends_lets_its_jobs_finish() {
    let mut rig = Rig::new();
    let action = rig.schedule("notes:act", 0.0, "last").await;
    rig.until_noted("last began").await;
    rig.go_on.add_permits(1);
    rig.stop().await;
    assert_eq!(rig.state(action).await, Some(JobState::Success));
}

#[tokio::test]
async fn more_jobs_than_are_kept_in_memory_run_once_each_even_at_one_moment() {
    const BATCHES: u32 = 6;
    const BATCH: u32 = 1_000;
    let options = JobsOptions {
        concurrency: 512,
        ..JobsOptions::default()
    };
    let rig = Rig::with(options, Limits::default());
    for batch in 0..BATCHES {
        let many = Many {
            count: BATCH,
            // Half of them at one moment, the others before it, and all known before they are due.
            at_ms: START_MS + 10_000.0 - f64::from(batch / 2),
        };
        rig.mutate("notes:scheduleMany", many).await;
    }
    assert_eq!(rig.scheduled().await.len(), (BATCHES * BATCH) as usize);
    rig.clock.advance(Duration::from_secs(10));
    let all = i64::from(BATCHES * BATCH);
    rig.until_seen(|| rig.metrics.ended.get() == all).await;
    let mut notes: Vec<u32> = rig
        .notes()
        .await
        .iter()
        .map(|n| n.parse().unwrap())
        .collect();
    notes.sort_unstable();
    let expected = (0..BATCH).flat_map(|n| std::iter::repeat_n(n, BATCHES as usize));
    assert!(notes.into_iter().eq(expected), "each ran once");
    rig.until_seen(|| rig.metrics.waiting.get() == 0).await;
    assert_eq!(rig.metrics.starts(Kind::Scheduled), all as u64);
}

#[tokio::test]
async fn no_more_jobs_run_at_once_than_may() {
    let options = JobsOptions {
        concurrency: 2,
        ..JobsOptions::default()
    };
    let rig = Rig::with(options, Limits::default());
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(rig.schedule("notes:act", 0.0, &number.to_string()).await);
    }
    let began = || async { rig.notes().await.len() };
    for done in 0..5 {
        rig.until(|| async { began().await >= (done + 2).min(5) })
            .await;
        let states = rig.scheduled().await;
        let running = states
            .iter()
            .filter(|job| job.state == JobState::InProgress);
        assert!(running.count() <= 2);
        rig.go_on.add_permits(1);
    }
    for id in ids {
        rig.until_state(id, JobState::Success).await;
    }
}

#[tokio::test]
async fn a_clock_that_is_set_loses_and_doubles_nothing() {
    let rig = Rig::new();
    let soon = rig.schedule("notes:add", 60_000.0, "soon").await;
    let later = rig.schedule("notes:add", 120_000.0, "later").await;
    rig.settle().await;
    // Forward: what has become due is noticed without a commit.
    rig.clock
        .jump_to(UnixNanos::from_seconds(START_MS as u64 / 1_000 + 90));
    rig.clock.advance(Duration::from_secs(1));
    rig.until_state(soon, JobState::Success).await;
    // Back: what is not due any more waits again, and what has run does not run again.
    rig.clock
        .jump_to(UnixNanos::from_seconds(START_MS as u64 / 1_000));
    rig.clock.advance(Duration::from_secs(1));
    rig.settle().await;
    assert_eq!(rig.state(later).await, Some(JobState::Pending));
    rig.clock.advance(Duration::from_secs(120));
    rig.until_state(later, JobState::Success).await;
    let notes = rig.notes().await;
    assert_eq!(notes, ["settled", "soon", "settled", "later"]);
}

#[test]
fn the_wait_before_another_attempt_doubles_up_to_two_hours() {
    use super::super::run::backoff;
    assert_eq!(backoff(0), Duration::from_millis(500));
    assert_eq!(backoff(3), Duration::from_secs(4));
    assert_eq!(backoff(40), Duration::from_secs(7_200));
}
