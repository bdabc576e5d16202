//! Carries out the steps of a schedule: a client that knows nothing of the guarantee, or an application on one of ours.
//! All take the same acts; our clients' stories come at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use vestibule_schema::identity::IdentityKey;
use vestibule_tests::story::Saw;

use super::client::{Client as Naive, Sockets};
use super::issuer::{Issuer, Person};
use super::page::Page;
use super::plan::{Kind, Quality, Watched};
use super::react_app::Pages;

const SHORT_SECONDS: u64 = 20;
const LONG_SECONDS: u64 = 86_400;

/// The time that the server's clock shows: the machine's, and what it was told to skip.
#[derive(Clone, Default)]
pub struct ServerTime(Arc<AtomicU64>);

impl ServerTime {
    pub fn skip(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    pub fn skipped(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    pub fn seconds(&self) -> u64 {
        let machine = SystemTime::now().duration_since(UNIX_EPOCH);
        (machine.expect("the clock is past 1970") + self.skipped()).as_secs()
    }
}

/// Makes tokens, at any time and for any person.
#[derive(Clone)]
pub struct Mint {
    pub issuer: Arc<Issuer>,
    pub time: ServerTime,
}

impl Mint {
    pub fn identity(&self, person: &Person) -> IdentityKey {
        self.issuer.identity(person)
    }

    pub fn token(&self, person: &Person, quality: Quality) -> String {
        let seconds = match quality {
            Quality::Short => SHORT_SECONDS,
            Quality::Fresh | Quality::Forged => LONG_SECONDS,
        };
        let now = self.time.seconds();
        let token = self.issuer.token(person, now, seconds, &json!({}));
        match quality {
            Quality::Forged => forge(&token),
            Quality::Fresh | Quality::Short => token,
        }
    }
}

/// The token with another signature.
fn forge(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap_or((token, ""));
    let other = match signature.starts_with('A') {
        true => 'B',
        false => 'A',
    };
    format!("{signed}.{other}{}", signature.get(1..).unwrap_or_default())
}

/// A client's act in a step.
#[derive(Clone, Debug)]
pub enum Act {
    SignIn(Person, Quality),
    SignOut,
    Watch(Watched),
    Unwatch(Watched),
    Mutate,
    Action,
    /// Repeats its last act, in a way that is likely to go wrong.
    Again,
    Lose,
    Reconnect,
}

/// A client of a schedule.
pub enum Driver {
    Naive {
        client: Naive,
        wants: Option<Person>,
    },
    Page(Page),
}

impl Driver {
    /// The client with this number, of a server at `url`.
    pub async fn new(
        kind: Kind,
        pages: Option<Arc<Pages>>,
        c: usize,
        mint: &Mint,
        url: &str,
        sockets: &Sockets,
    ) -> anyhow::Result<Driver> {
        Ok(match kind {
            Kind::Naive | Kind::TypeScript | Kind::Webhook => Driver::Naive {
                client: Naive::new(sockets),
                wants: None,
            },
            Kind::Rust | Kind::React => Driver::Page(Page::new(pages, c, mint.clone(), url).await?),
        })
    }

    pub async fn act(&mut self, act: Act, mint: &Mint, url: &str) {
        match self {
            Driver::Naive { client, wants } => act_naively(client, wants, act, mint, url).await,
            Driver::Page(page) => page.act(act),
        }
    }

    /// Waits until everything that was asked for is answered.
    pub async fn settle(&mut self, limit: Duration) -> bool {
        match self {
            Driver::Naive { client, .. } => client.settle(limit).await,
            Driver::Page(page) => page.settle(limit).await,
        }
    }

    /// Opens the way again for clients that find their own way back.
    pub fn open_ways(&mut self) {
        match self {
            Driver::Naive { .. } => {}
            Driver::Page(page) => page.open_way(),
        }
    }

    /// The server is about to be killed.
    pub fn before_kill(&mut self) {
        match self {
            Driver::Naive { client, .. } => client.lose(),
            Driver::Page(page) => page.lead_to(None),
        }
    }

    /// The server runs again, elsewhere.
    pub async fn after_kill(&mut self, url: &str) {
        if let Driver::Page(page) = self {
            page.forget_sockets().await;
            page.lead_to(Some(url));
        }
    }

    /// Ends it. Returns how many sockets the present life of the server knows of that are not counted yet, and the
    /// application's story.
    pub async fn end(self) -> anyhow::Result<(usize, Vec<Saw>)> {
        match self {
            Driver::Naive { .. } => Ok((0, Vec::new())),
            Driver::Page(page) => page.end().await,
        }
    }
}

async fn act_naively(
    client: &mut Naive,
    wants: &mut Option<Person>,
    act: Act,
    mint: &Mint,
    url: &str,
) {
    match act {
        Act::SignIn(person, quality) => {
            let (token, identity) = (mint.token(&person, quality), mint.identity(&person));
            *wants = Some(person);
            client.sign_in(url, identity, token).await;
        }
        Act::SignOut => {
            *wants = None;
            client.sign_out(url).await;
        }
        Act::Watch(query) => client.watch(url, query).await,
        Act::Unwatch(query) => client.unwatch(url, query).await,
        Act::Mutate => client.mutate(url).await,
        Act::Action => client.act(url).await,
        Act::Again => client.again(url).await,
        Act::Lose => client.lose(),
        Act::Reconnect => {
            let token = wants.as_ref();
            let token = token.map(|person| mint.token(person, Quality::Fresh));
            client.reconnect(url, token).await;
        }
    }
}
