//! The Rust client's pages under random changes: documents come and go, and the wire is cut. The query also becomes
//! another one, so that the server takes its cursors no more. The shown pages are always one state.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tokio::time::timeout;
use vestibule_client::{Client, ClientOptions, Pages, Pagination, PendingCall, WithoutUser};
use vestibule_server::prelude::*;
use vestibule_server::sync::SyncOptions;
use vestibule_tests::proxy::Proxy;

/// Far more than anything here takes, so that a test that hangs fails instead.
const LONG: Duration = Duration::from_secs(60);
const SCHEDULES: u64 = 50;
/// Times that the schedule of a given seed is run: threads do not repeat themselves.
const REPLAYS: u64 = 30;
const PAGE: u32 = 4;
/// Shorter than in production, because every cut waits for it.
const GRACE: Duration = Duration::from_millis(5);

/// A number on a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Item {
    list: String,
    number: f64,
}

impl Item {
    const BY_LIST: Index<Item> = Index::new("by_list", &["list", "number"]);
}

impl Table for Item {
    const NAME: &'static str = "items";
    const INDEXES: &'static [Index<Item>] = &[Item::BY_LIST];
}

/// The edition of a list. Each edition is asked for by another query, which gives the same numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Edition {
    list: String,
    edition: f64,
}

impl Edition {
    const BY_LIST: Index<Edition> = Index::unique("by_list", &["list"]);
}

impl Table for Edition {
    const NAME: &'static str = "editions";
    const INDEXES: &'static [Index<Edition>] = &[Edition::BY_LIST];
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageArgs {
    list: String,
    pagination_opts: PaginationOptions,
}

#[derive(Deserialize)]
struct Change {
    list: String,
    add: Vec<f64>,
    remove: Vec<f64>,
    reissue: bool,
}

fn app() -> App {
    let schema = Schema::new().table::<Item>().table::<Edition>();
    App::new(schema)
        .query("items:page", page)
        .mutation("items:change", change)
        .without_provisioning()
        .sync_options(SyncOptions {
            gate_grace: GRACE,
            first_query_set_grace: GRACE,
            first_mutations_grace: GRACE,
            ..SyncOptions::default()
        })
}

fn page(ctx: &mut QueryCtx, args: PageArgs) -> Result<Page<f64>> {
    let editions = ctx.db().query::<Edition>();
    let edition = editions.index(Edition::BY_LIST, &args.list).unique()?;
    // All numbers are at least zero, so this bound changes the query and not its answer.
    let bound = edition.map_or(-1.0, |edition| -1.0 - edition.value.edition);
    let items = ctx.db().query::<Item>();
    let items = items.index_range(Item::BY_LIST, |range| {
        range.eq("list", &args.list).gte("number", bound)
    });
    let page = items.paginate(&args.pagination_opts)?;
    page.try_map(|item| Ok(item.value.number))
}

fn change(ctx: &mut MutationCtx, change: Change) -> Result<()> {
    let list = change.list;
    for number in change.add {
        let list = list.clone();
        ctx.db().insert(Item { list, number })?;
    }
    for number in change.remove {
        let items = ctx.db().query::<Item>();
        let found = items.index_range(Item::BY_LIST, |range| {
            range.eq("list", &list).eq("number", number)
        });
        if let Some(item) = found.unique()? {
            ctx.db().delete(item.id)?;
        }
    }
    if change.reissue {
        let editions = ctx.db().query::<Edition>();
        match editions.index(Edition::BY_LIST, &list).unique()? {
            Some(edition) => {
                let next = object! { "edition" => edition.value.edition + 1.0 };
                ctx.db().patch(edition.id, next)?;
            }
            None => {
                ctx.db().insert(Edition { list, edition: 1.0 })?;
            }
        }
    }
    Ok(())
}

/// The sights that a schedule is meant to have, with those it had.
#[derive(Default)]
struct Sights {
    /// Pages that were shown together, at most.
    items_max: usize,
    /// The query became another one while several pages were watched.
    reissues: usize,
    cuts: usize,
}

/// A schedule under way.
struct Run<'r> {
    seed: u64,
    rng: StdRng,
    client: WithoutUser,
    wire: &'r Proxy,
    list: String,
    pages: Pagination<f64>,
    /// All states of the list, the newest last, and the one that was shown last.
    states: Vec<Vec<u32>>,
    shown: usize,
    /// Changes not awaited yet.
    pending: Vec<PendingCall<Json>>,
    newest: Option<Pages<f64>>,
    sights: Sights,
}

impl Run<'_> {
    async fn go(mut self) -> Sights {
        for _ in 0..self.rng.random_range(10..40) {
            match self.rng.random_range(0..20) {
                0..10 => self.change().await,
                10..16 => self.pages.load_more(),
                16 => {
                    self.wire.cut();
                    self.sights.cuts += 1;
                }
                // Whatever is under way gets somewhere, or not.
                17 => tokio::task::yield_now().await,
                _ => self.wait().await,
            }
            self.look();
        }
        self.come_to_an_end().await;
        self.sights
    }

    async fn change(&mut self) {
        let mut numbers: BTreeSet<u32> =
            self.states[self.states.len() - 1].iter().copied().collect();
        // Close together now and then, so that one page grows.
        let range = match self.rng.random_bool(0.5) {
            true => 0..100_u32,
            false => 0..100_000,
        };
        let mut add = BTreeSet::new();
        for _ in 0..self.rng.random_range(0..8) {
            let number = self.rng.random_range(range.clone());
            if numbers.insert(number) {
                add.insert(number);
            }
        }
        let count = self.rng.random_range(0..4);
        let remove = numbers.difference(&add).copied();
        let remove = remove.choose_multiple(&mut self.rng, count);
        remove.iter().for_each(|number| {
            numbers.remove(number);
        });
        let reissue = self.rng.random_bool(0.2);
        if reissue
            && self
                .newest
                .as_ref()
                .is_some_and(|pages| pages.items.len() > PAGE as usize)
        {
            self.sights.reissues += 1;
        }
        let list = &self.list;
        let add: Vec<f64> = add.into_iter().map(f64::from).collect();
        let remove: Vec<f64> = remove.into_iter().map(f64::from).collect();
        let args = json!({ "list": list, "add": add, "remove": remove, "reissue": reissue });
        self.states.push(numbers.into_iter().collect());
        let call = self.client.mutation("items:change", args).send();
        if self.rng.random_bool(0.4) {
            return self.pending.push(call);
        }
        let changed: Result<Json, _> = timeout(LONG, call).await.expect("the change ends");
        changed.unwrap();
        self.look();
        // A mutation that has resolved is in what is shown.
        self.shown = self.states.len() - 1;
        if let Some(shown) = self.pages.latest() {
            self.check(shown.unwrap());
        }
    }

    /// Waits for something new, where there must be something.
    async fn wait(&mut self) {
        if self.newest.is_none() {
            let next = timeout(LONG, self.pages.next()).await;
            let next = next.unwrap_or_else(|_| panic!("nothing is shown\n{}", self.says()));
            self.check(next.unwrap().unwrap());
        }
    }

    /// Looks at everything that is new.
    fn look(&mut self) {
        while let Some(next) = self.pages.next().now_or_never() {
            let next = next.expect("the pages do not end");
            let next = next.unwrap_or_else(|error| panic!("{error}\n{}", self.says()));
            self.check(next);
        }
    }

    /// The shown pages are the beginning of one state, no older than the state shown before; and all of it, if they say
    /// so.
    fn check(&mut self, pages: Pages<f64>) {
        let is_whole = !pages.has_more && !pages.is_loading;
        let items = whole_numbers(&pages);
        let is_so = |state: &Vec<u32>| match is_whole {
            true => *state == items,
            false => state.starts_with(&items),
        };
        let place = self.states[self.shown..].iter().position(is_so);
        let Some(place) = place else {
            panic!("this is no state of the list: {pages:?}\n{}", self.says());
        };
        self.shown += place;
        self.sights.items_max = self.sights.items_max.max(pages.items.len());
        self.newest = Some(pages);
    }

    async fn come_to_an_end(&mut self) {
        for call in std::mem::take(&mut self.pending) {
            let changed = timeout(LONG, call).await.expect("the change ends");
            changed.unwrap();
        }
        loop {
            self.look();
            let newest = self.newest.as_ref();
            let last = self.states.last();
            if newest.is_some_and(|pages| !pages.has_more && Some(&whole_numbers(pages)) == last) {
                return;
            }
            self.pages.load_more();
            let next = timeout(LONG, self.pages.next()).await;
            let next = next.unwrap_or_else(|_| panic!("nothing more is shown\n{}", self.says()));
            self.check(next.unwrap().unwrap());
        }
    }

    fn says(&self) -> String {
        format!(
            "VESTIBULE_SEED={}, shown last: {:?}, state {} of these: {:?}",
            self.seed, self.newest, self.shown, self.states
        )
    }
}

fn whole_numbers(pages: &Pages<f64>) -> Vec<u32> {
    pages.items.iter().map(|number| *number as u32).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_show_one_state_whatever_changes_and_start_over_when_their_cursors_end() {
    let data = tempfile::tempdir().unwrap();
    let running = app().start(Config::for_tests(data.path())).await.unwrap();
    let wire = Proxy::start(&running.url()).await.unwrap();
    let options =
        ClientOptions::default().backoff(Duration::from_millis(1), Duration::from_millis(10));
    let client = Client::connect_with(&wire.url(), options).await.unwrap();
    let given = std::env::var("VESTIBULE_SEED").ok();
    let given: Option<u64> = given.and_then(|seed| seed.parse().ok());
    let first = given.unwrap_or_else(rand::random);
    println!("schedules from VESTIBULE_SEED={first} on");
    let mut all = Sights::default();
    for number in 0..given.map_or(SCHEDULES, |_| REPLAYS) {
        let seed = given.unwrap_or_else(|| first.wrapping_add(number));
        let list = format!("list {number}");
        let client = client.without_user();
        let args = json!({ "list": list });
        let run = Run {
            seed,
            rng: StdRng::seed_from_u64(seed),
            pages: client.paginate("items:page", args, PAGE).unwrap(),
            client,
            wire: &wire,
            list,
            states: vec![Vec::new()],
            shown: 0,
            pending: Vec::new(),
            newest: None,
            sights: Sights::default(),
        };
        let sights = run.go().await;
        all.items_max = all.items_max.max(sights.items_max);
        all.reissues += sights.reissues;
        all.cuts += sights.cuts;
    }
    println!(
        "{} reissues, {} cuts, up to {} items shown",
        all.reissues, all.cuts, all.items_max
    );
    if given.is_none() {
        assert!(all.reissues > 0 && all.cuts > 0 && all.items_max > 3 * PAGE as usize);
    }
    running.shut_down().await;
}
