//! Snapshots that are read at for a while.

use std::time::Duration;

use vestibule_schema::object;

use super::*;
use crate::database::leases::LEASES_MAX;
use crate::storage::ReadView;

fn rig() -> (Rig, SnapshotLeases) {
    let rig = Rig::new(schema([table("rooms", &[("by_a", &["a"])])]));
    let leases = SnapshotLeases::new(rig.store.clone(), rig.clock.clone());
    (rig, leases)
}

fn read(rig: &Rig, leases: &SnapshotLeases, ts: Timestamp) -> Vec<RawDocument> {
    let lease = leases.find(ts).unwrap();
    let snapshot = lease.lock();
    assert_eq!(snapshot.ts(), ts);
    let mut tx = Transaction::read_only(&*snapshot, &rig.environment);
    tx.collect(&index("rooms", "by_a")).unwrap()
}

#[test]
fn a_lease_gives_the_same_answers_after_later_commits_and_folds() {
    let (mut rig, leases) = rig();
    let kept = rig.insert("rooms", object! {"a" => 1});
    let gone = rig.insert("rooms", object! {"a" => 2});
    let ts = leases.take().unwrap();
    assert_eq!(ts, rig.store.durable_ts());
    let before = read(&rig, &leases, ts);
    assert_eq!(ids(&before), [kept, gone]);
    for round in 0..3 {
        rig.commit(|tx| {
            tx.insert("rooms", object! {"a" => round}).unwrap();
            tx.replace(kept, object! {"a" => 10 + round}).unwrap();
        });
        if round == 0 {
            rig.commit(|tx| tx.delete(gone)).unwrap();
        }
        rig.fold();
        rig.appender.checkpoint_if_due().unwrap();
        assert_eq!(read(&rig, &leases, ts), before);
    }
    let now = leases.take().unwrap();
    assert_eq!(read(&rig, &leases, now).len(), 4);
}

#[test]
fn a_lease_ends_by_the_clock_whatever_the_time_of_day_does() {
    let (mut rig, leases) = rig();
    let ts = leases.take().unwrap();
    rig.insert("rooms", object! {});
    rig.clock
        .jump_to(UnixNanos::from_seconds(START + 1_000_000));
    rig.clock.advance(Duration::from_secs(29));
    assert!(leases.find(ts).is_ok());
    rig.clock.advance(Duration::from_secs(1));
    assert_eq!(
        text(leases.find(ts).map(|_| ())),
        format!(
            "the timestamp {ts} is out of retention: it can be read for 30 seconds after it was given out"
        )
    );
}

#[test]
fn an_expired_lease_lets_go_of_its_snapshot() {
    let (rig, leases) = rig();
    let ts = leases.take().unwrap();
    let lease = Arc::downgrade(&leases.find(ts).unwrap());
    rig.clock.advance(Duration::from_secs(30));
    leases.drop_expired();
    assert!(lease.upgrade().is_none());
}

#[test]
fn a_lease_is_shared_until_it_ages_or_something_is_committed() {
    let (mut rig, leases) = rig();
    let ts = leases.take().unwrap();
    let first = leases.find(ts).unwrap();
    assert_eq!(leases.take().unwrap(), ts);
    assert!(Arc::ptr_eq(&first, &leases.find(ts).unwrap()));
    // An older one is given out anew, for the full time.
    rig.clock.advance(Duration::from_secs(29));
    assert_eq!(leases.take().unwrap(), ts);
    rig.clock.advance(Duration::from_secs(29));
    assert!(leases.find(ts).is_ok());

    rig.insert("rooms", object! {});
    assert!(leases.take().unwrap() > ts);
}

#[test]
fn leases_are_bounded_and_timestamps_that_were_never_given_are_refused() {
    let (mut rig, leases) = rig();
    let future = Timestamp(rig.store.durable_ts().0 + 1);
    assert_eq!(
        text(leases.find(future).map(|_| ())),
        format!("the timestamp {future} is ahead of the newest commit")
    );
    let never = Timestamp(rig.store.durable_ts().0 - 1);
    assert!(matches!(
        leases.find(never),
        Err(LeaseError::OutOfRetention(_))
    ));

    let mut given = Vec::new();
    for _ in 0..LEASES_MAX {
        given.push(leases.take().unwrap());
        leases.find(*given.last().unwrap()).unwrap();
        rig.insert("rooms", object! {});
    }
    // One more than there is room for, and all have been read at: the oldest gives way.
    let last = leases.take().unwrap();
    assert!(matches!(
        leases.find(given[0]),
        Err(LeaseError::OutOfRetention(_))
    ));
    for ts in &given[1..] {
        assert_eq!(leases.find(*ts).unwrap().lock().ts(), *ts);
    }
    leases.find(last).unwrap();
    // The newest is handed out again for a while, and renewed after that.
    rig.clock.advance(Duration::from_secs(1));
    assert_eq!(leases.take().unwrap(), last);
}

#[test]
fn a_timestamp_that_gives_way_unread_is_read_at_one_later_moment() {
    let (mut rig, leases) = rig();
    let read_at = leases.take().unwrap();
    let before = read(&rig, &leases, read_at);
    let mut given = Vec::new();
    for round in 0..2 * LEASES_MAX {
        rig.insert("rooms", object! {"a" => round as f64});
        given.push(leases.take().unwrap());
    }
    // An answer was given at this one: it stays.
    assert_eq!(read(&rig, &leases, read_at), before);
    let moment = leases.find(given[0]).unwrap();
    let moved_to = moment.lock().ts();
    assert!(moved_to > given[0]);
    rig.insert("rooms", object! {"a" => -1});
    let again = leases.find(given[0]).unwrap();
    assert_eq!(again.lock().ts(), moved_to);
    for ts in &given {
        assert!(leases.find(*ts).unwrap().lock().ts() >= *ts);
    }
    // Its time is that of the timestamp that was given.
    rig.clock.advance(Duration::from_secs(30));
    assert!(matches!(
        leases.find(given[0]),
        Err(LeaseError::OutOfRetention(_))
    ));
}
