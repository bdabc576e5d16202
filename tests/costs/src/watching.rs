//! Live queries: the cost of a write beside those that it misses, and the cost of many subscribers of one.

use std::sync::Arc;

use tokio::sync::Notify;
use vestibule_schema::object;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::wire::QueryId;
use vestibule_server::auth::Caller;
use vestibule_server::subscriptions::{Moment, QueryResult, QuerySetChange, QuerySpec, Subscriber};

use crate::app;
use crate::rig::{Rig, call_of};
use crate::row::Scene;

/// A watcher, with the signal that wakes it.
pub struct Watcher {
    subscriber: Subscriber,
    wake: Arc<Notify>,
}

impl Watcher {
    fn new(rig: &Rig, queries: impl IntoIterator<Item = QuerySpec>) -> Watcher {
        let wake = Arc::new(Notify::new());
        let mut subscriber = Subscriber::new(rig.live.clone(), Caller::nobody(), wake.clone());
        let numbered = queries.into_iter().enumerate();
        let added = numbered
            .map(|(number, query)| (QueryId(number as u32), query))
            .collect();
        subscriber.modify(QuerySetChange {
            added,
            ..QuerySetChange::default()
        });
        Watcher { subscriber, wake }
    }

    /// The results that are new as of `ts` or later.
    fn news(&mut self, rig: &Rig, ts: Timestamp) -> Vec<(QueryId, Arc<QueryResult>)> {
        loop {
            match self.subscriber.assemble(ts, ts) {
                Moment::At { changed, .. } => return changed,
                Moment::NotYet => rig.wait(self.wake.notified()),
                Moment::Failed(error) => panic!("{error}"),
            }
        }
    }

    /// Takes the results known before the work began.
    fn settle(&mut self, rig: &Rig) {
        let ts = rig.functions.database().durable_ts();
        self.news(rig, ts);
    }
}

fn one(number: usize) -> QuerySpec {
    let path = app::ONE.parse().expect("the path is well formed");
    let args = object! { "number" => number as f64 };
    QuerySpec::new(path, args.into(), None)
}

/// Five numbers of the tenth that is `tenth`, which may be negative.
fn stretch(tenth: f64) -> QuerySpec {
    let path = app::RANGE.parse().expect("the path is well formed");
    let args = object! { "first" => tenth * 10.0, "count" => 5.0 };
    QuerySpec::new(path, args.into(), None)
}

/// Items that are there to be watched or missed.
const ITEMS: usize = 1_000;
/// The item that is written.
const WRITTEN: usize = ITEMS / 2;
/// Live queries of one subscriber.
const QUERIES_EACH: usize = 100;

/// A write that one live query reads, beside as many that do not. A third of those read single items, the others a
/// stretch, on both sides of the written item.
pub struct Missed {
    sentinel: Watcher,
    others: Vec<Watcher>,
    rig: Rig,
}

impl Missed {
    /// With so many live queries to miss.
    pub fn new(size: usize) -> Missed {
        let rig = Rig::with_items(ITEMS);
        // Most of these items are not there, which makes no difference to who must be told of what.
        let query = |number: usize| match number % 3 {
            0 => one(ITEMS + number),
            1 => stretch((ITEMS + number) as f64),
            _ => stretch(-(number as f64)),
        };
        let others = (0..size).step_by(QUERIES_EACH).map(|first| {
            let queries = (first..size.min(first + QUERIES_EACH)).map(query);
            let mut watcher = Watcher::new(&rig, queries);
            watcher.settle(&rig);
            watcher
        });
        let others = others.collect();
        let mut sentinel = Watcher::new(&rig, [one(WRITTEN)]);
        sentinel.settle(&rig);
        Missed {
            sentinel,
            others,
            rig,
        }
    }

    /// Deliveries due to those who watch something else.
    pub fn missed_deliveries(&mut self) -> usize {
        let ts = self.rig.functions.database().durable_ts();
        let (others, rig) = (&mut self.others, &self.rig);
        others
            .iter_mut()
            .map(|other| other.news(rig, ts).len())
            .sum()
    }
}

impl Scene for Missed {
    fn once(&mut self) -> u64 {
        let ts = self.rig.mutate(call_of(app::BUMP, WRITTEN));
        let news = self.sentinel.news(&self.rig, ts);
        assert_eq!(news.len(), 1, "what was written is delivered");
        1
    }

    fn rig(&self) -> &Rig {
        &self.rig
    }
}

/// A write that one live query reads, which has so many subscribers.
pub struct Shared {
    subscribers: Vec<Watcher>,
    rig: Rig,
}

impl Shared {
    /// With so many subscribers.
    pub fn new(size: usize) -> Shared {
        let rig = Rig::with_items(ITEMS);
        let watcher = |_| {
            let mut watcher = Watcher::new(&rig, [one(WRITTEN)]);
            watcher.settle(&rig);
            watcher
        };
        let subscribers = (0..size).map(watcher).collect();
        Shared { subscribers, rig }
    }

    /// Writes, and returns what each subscriber is sent.
    pub fn deliver(&mut self) -> Vec<Arc<QueryResult>> {
        let ts = self.rig.mutate(call_of(app::BUMP, WRITTEN));
        let (subscribers, rig) = (&mut self.subscribers, &self.rig);
        let sent = subscribers.iter_mut().map(|watcher| {
            let mut news = watcher.news(rig, ts);
            assert_eq!(news.len(), 1, "what was written is delivered");
            news.remove(0).1
        });
        sent.collect()
    }
}

impl Scene for Shared {
    fn once(&mut self) -> u64 {
        self.deliver().len() as u64
    }

    fn rig(&self) -> &Rig {
        &self.rig
    }
}
