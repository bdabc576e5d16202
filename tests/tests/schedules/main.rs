//! The first-login guarantee under randomized schedules. Its judges are the record of a real server on a real file, and
//! the stories of applications on our own clients.
//!
//! `cargo test --test schedules` runs until 5,000 people have signed in for the first time through clients that know
//! nothing of the guarantee. A share of that signs in through each of our clients. `VESTIBULE_FIRST_LOGINS` asks for
//! another number. A failing schedule is shrunk and printed with its seed. `VESTIBULE_SEED=… cargo test --test schedules
//! first_logins` runs that schedule alone, many times, because threads do not repeat themselves. The other names are
//! `rust_client`, `react_pages`, `pushed_functions` and `users_of_a_webhook`.

// In a test every failure is the test's failure, in helpers too.
#![allow(clippy::unwrap_used)]

mod child;
mod client;
mod doors;
mod driver;
mod issuer;
mod oracle;
mod page;
mod peer;
mod plan;
mod pushed;
mod react_app;
mod rig;
mod rust_app;
mod rust_words;
mod shrink;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use plan::{Kind, Plan};
use rig::Rig;

/// First logins of an ordinary run.
const FIRST_LOGINS: usize = 5_000;
/// Servers that schedules run on at the same time. Each schedule mostly waits.
const RIGS: usize = 6;
/// Times that the schedule of a given seed is run.
const REPLAYS: usize = 50;
/// A long run says how far it is after so many first logins.
const PROGRESS_EVERY: usize = 10_000;
/// A server is put away after so many schedules, so that each also meets a file that is nearly empty.
const SCHEDULES_PER_SERVER: usize = 400;

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// The state that all rigs share.
struct Campaign {
    kind: Kind,
    next_seed: AtomicU64,
    first_logins: AtomicUsize,
    schedules: AtomicUsize,
    sights: Mutex<BTreeMap<&'static str, usize>>,
    wanted: usize,
    is_over: AtomicBool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_logins_keep_the_guarantee_whatever_the_schedule() {
    run(Kind::Naive, &oracle::SIGHTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rust_client_keeps_its_promises_whatever_the_schedule() {
    run(Kind::Rust, &oracle::RUST_SIGHTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn react_pages_keep_their_promises_whatever_the_schedule() {
    run(Kind::React, &oracle::REACT_SIGHTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushed_functions_keep_the_guarantee_whatever_the_schedule() {
    run(Kind::TypeScript, &oracle::TYPESCRIPT_SIGHTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_of_a_webhook_are_waited_for_whatever_the_schedule() {
    run(Kind::Webhook, &oracle::WEBHOOK_SIGHTS).await;
}

/// Runs as many schedules with clients of a kind as are asked for, or that of the given seed. A guarantee that nothing
/// threatens is kept easily: a run of ordinary length must have met all of `sights`.
async fn run(kind: Kind, sights: &[&'static str]) {
    if let Some(seed) = variable("VESTIBULE_SEED") {
        return replay(seed, kind).await;
    }
    let seed: u64 = u64::from(rand::random::<u32>()) << 20;
    let asked_for = variable("VESTIBULE_FIRST_LOGINS").unwrap_or(FIRST_LOGINS);
    let campaign = Arc::new(Campaign {
        kind,
        next_seed: AtomicU64::new(seed),
        first_logins: AtomicUsize::new(0),
        schedules: AtomicUsize::new(0),
        sights: Mutex::default(),
        wanted: asked_for / share(kind),
        is_over: AtomicBool::new(false),
    });
    println!("schedules from VESTIBULE_SEED={seed} on");
    let rigs: Vec<_> = (0..RIGS)
        .map(|_| tokio::spawn(run_many(campaign.clone())))
        .collect();
    for rig in rigs {
        if let Err(failure) = rig.await.unwrap() {
            campaign.is_over.store(true, Ordering::Relaxed);
            panic!("{failure}");
        }
    }
    println!(
        "{} first logins in {} schedules",
        campaign.first_logins.load(Ordering::Relaxed),
        campaign.schedules.load(Ordering::Relaxed)
    );
    let met = campaign.sights.lock();
    for (sight, times) in &*met {
        println!("{times:>8}  {sight}");
    }
    let missing = sights.iter().find(|sight| !met.contains_key(**sight));
    if asked_for >= FIRST_LOGINS
        && let Some(sight) = missing
    {
        panic!("no schedule met this: {sight}");
    }
}

/// Of how many first logins one goes through clients of a kind. Ours do more for each, and the server's side is tried
/// by the naive ones.
fn share(kind: Kind) -> usize {
    match kind {
        Kind::Naive => 1,
        Kind::Rust => 7,
        Kind::React => 40,
        Kind::TypeScript | Kind::Webhook => 10,
    }
}

/// Runs schedules on servers of its own until enough people have signed in, or one schedule fails.
async fn run_many(campaign: Arc<Campaign>) -> Result<(), String> {
    loop {
        let mut rig = Rig::start(campaign.kind)
            .await
            .map_err(|error| error.to_string())?;
        for _ in 0..SCHEDULES_PER_SERVER {
            let logins = campaign.first_logins.load(Ordering::Relaxed);
            if logins >= campaign.wanted || campaign.is_over.load(Ordering::Relaxed) {
                return Ok(());
            }
            let seed = campaign.next_seed.fetch_add(1, Ordering::Relaxed);
            let plan = Plan::of_seed(seed).driven_by(campaign.kind);
            let outcome = rig.run(&plan).await;
            let outcome =
                outcome.map_err(|error| format!("VESTIBULE_SEED={}: {error:#}", plan.seed))?;
            if !outcome.violations.is_empty() {
                campaign.is_over.store(true, Ordering::Relaxed);
                return Err(shrink::report(&plan, outcome).await);
            }
            let first_logins = &campaign.first_logins;
            let before = first_logins.fetch_add(outcome.first_logins, Ordering::Relaxed);
            let so_far = before + outcome.first_logins;
            if so_far % PROGRESS_EVERY < outcome.first_logins {
                println!("{so_far} first logins so far");
            }
            campaign.schedules.fetch_add(1, Ordering::Relaxed);
            let mut sights = campaign.sights.lock();
            for (sight, times) in outcome.sights {
                *sights.entry(sight).or_default() += times;
            }
        }
    }
}

async fn replay(seed: u64, kind: Kind) {
    let plan = Plan::of_seed(seed).driven_by(kind);
    println!("VESTIBULE_SEED={seed}, {REPLAYS} times\n{plan}");
    let mut rig = Rig::start(kind).await.unwrap();
    for _ in 0..REPLAYS {
        let outcome = rig.run(&plan).await.unwrap();
        if !outcome.violations.is_empty() {
            panic!("{}", shrink::report(&plan, outcome).await);
        }
    }
}
