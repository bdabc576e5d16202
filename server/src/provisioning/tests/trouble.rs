//! Runs that do not end well: trouble that passes, limits and panics.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;

use super::{Rig, Setup, nobodys, person, rig, rig_with};
use crate::clock::{Alarm, Clock, ManualClock, Sleep, SystemClock, UnixNanos};
use crate::database::CommitterOptions;
use crate::provisioning::Unprovisioned;
use crate::provisioning::single_flight::{Lead, SingleFlight};

#[tokio::test]
async fn a_run_that_panics_ends_for_everybody_who_waits_and_the_next_one_starts_anew() {
    let runs = SingleFlight::<u8, &str>::default();
    let ask = || {
        runs.share(
            &1,
            |_| true,
            |run| {
                if let Some(run) = run {
                    tokio::spawn(async move {
                        let _run = run;
                        panic!("the run broke");
                    });
                }
            },
        )
    };
    assert_eq!(join_all([ask(), ask()]).await, [None, None]);
    let end = |run: Option<Lead<u8, &'static str>>| run.unwrap().end("done");
    assert_eq!(runs.share(&1, |_| true, end).await, Some("done"));
}

/// A clock that tells how long each wait for it is.
struct WatchedClock<C> {
    clock: C,
    sleeps: watch::Sender<Vec<Duration>>,
}

impl<C: Clock> WatchedClock<C> {
    fn of(clock: C) -> Arc<WatchedClock<C>> {
        let sleeps = watch::Sender::new(Vec::new());
        Arc::new(WatchedClock { clock, sleeps })
    }

    /// The waits so far, once there are this many.
    async fn sleeps(&self, count: usize) -> Vec<Duration> {
        let mut sleeps = self.sleeps.subscribe();
        let sleeps = sleeps.wait_for(|sleeps| sleeps.len() >= count).await;
        sleeps.unwrap().clone()
    }
}

impl<C: Clock> Clock for WatchedClock<C> {
    fn now(&self) -> UnixNanos {
        self.clock.now()
    }

    fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    fn sleep_until(&self, elapsed: Duration) -> Sleep {
        let wait = elapsed.saturating_sub(self.elapsed());
        self.sleeps.send_modify(|sleeps| sleeps.push(wait));
        self.clock.sleep_until(elapsed)
    }

    fn alarm_at(&self, elapsed: Duration) -> Alarm {
        self.clock.alarm_at(elapsed)
    }
}

/// A rig whose lane is held by one mutation and whose queue is filled by another. Until the held one may go on, there
/// is no room for a provisioning.
async fn without_room(clock: Arc<dyn Clock>) -> Rig {
    let committer = CommitterOptions {
        queue_max: 1,
        ..CommitterOptions::default()
    };
    let rig = rig_with(Setup {
        committer,
        clock,
        ..Setup::default()
    });
    rig.pause.is_wanted.store(true, Ordering::Relaxed);
    let submit = |path| {
        rig.functions
            .submit_mutation(nobodys(path), None, Box::new(|_| None))
    };
    submit("users:hold").unwrap();
    let pause = rig.pause.clone();
    tokio::task::spawn_blocking(move || pause.has_read.wait())
        .await
        .unwrap();
    submit("users:deleteAll").unwrap();
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_trouble_that_passes_is_tried_again_and_nobody_is_told() {
    let clock = WatchedClock::of(SystemClock::new());
    let rig = without_room(clock.clone()).await;
    let asked = {
        let gate = rig.gate.clone();
        tokio::spawn(async move { gate.admit(&person("ada", "Ada")).await })
    };
    // First for the deadline, then before the second try.
    clock.sleeps(2).await;
    assert!(!asked.is_finished());
    rig.pause.may_go_on.wait();
    asked.await.unwrap().unwrap();
    assert_eq!(
        (rig.writes(), rig.metric("gate_wait_seconds_count")),
        (1, "1".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_further_try_waits_twice_as_long_as_the_one_before() {
    let clock = WatchedClock::of(ManualClock::at(UnixNanos::from_seconds(1)));
    clock.clock.advance(Duration::from_secs(1));
    let rig = without_room(clock.clone()).await;
    let asked = {
        let gate = rig.gate.clone();
        tokio::spawn(async move { gate.admit(&person("ada", "Ada")).await })
    };
    for (tries, millis) in (1..).zip([25, 50, 100, 200]) {
        // One more is for the deadline, seconds away; whether it comes before the first or after is up to the threads.
        let mut waits = clock.sleeps(tries + 1).await;
        waits.retain(|wait| *wait < Duration::from_secs(1));
        let wait = Duration::from_millis(millis);
        assert_eq!(waits[tries - 1], wait);
        clock.clock.advance(wait);
    }
    rig.pause.may_go_on.wait();
    while !asked.is_finished() {
        clock.clock.advance(Duration::from_millis(1));
        tokio::task::yield_now().await;
    }
    drop(asked.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn c6_and_c18_one_that_takes_too_long_or_too_much_has_failed_and_frees_the_lane() {
    let rig = rig();
    for subject in ["endless", "greedy"] {
        let failed = rig.gate.admit(&person(subject, "E")).await;
        assert!(
            matches!(failed, Err(Unprovisioned::Failed { .. })),
            "{subject}: {failed:?}"
        );
    }
    rig.gate.admit(&person("ada", "Ada")).await.unwrap();
    assert_eq!(rig.writes(), 1);
    assert_eq!(rig.metric("gate_outcomes_total{outcome=\"Failed\"}"), "2");
}

#[test]
fn who_stops_waiting_leaves_no_waker_behind() {
    struct Quiet;
    impl std::task::Wake for Quiet {
        fn wake(self: Arc<Self>) {}
    }
    let runs = SingleFlight::<u8, &str>::default();
    let mut run: Option<Lead<u8, &str>> = None;
    let quiet = Arc::new(Quiet);
    let waker = std::task::Waker::from(quiet.clone());
    let held = Arc::strong_count(&quiet);
    {
        let join = |joined: Option<Lead<u8, &'static str>>| run = joined;
        let mut waiting = std::pin::pin!(runs.share(&1, |_| true, join));
        let polled = waiting
            .as_mut()
            .poll(&mut std::task::Context::from_waker(&waker));
        assert!(polled.is_pending());
        assert_eq!(Arc::strong_count(&quiet), held + 1);
    }
    assert!(run.is_some(), "what was waited for goes on");
    assert_eq!(Arc::strong_count(&quiet), held);
}
