//! An application on the Rust client, as a schedule drives it through the typed API. It cannot do what the types
//! forbid, so it keeps acts from before its user exists and does them then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{AbortHandle, JoinSet};
use vestibule_client::{
    Authenticated, Client, ClientOptions, Connected, EnsureUserError, PendingCall, Provisioned,
    Subscription, TokenError, TokenSource,
};
use vestibule_schema::identity::IdentityKey;
use vestibule_tests::story::{CallKind, Mine, Saw};

use super::driver::{Act, Mint};
use super::issuer::Person;
use super::page::{Desk, Open, Order};
use super::plan::{Quality, Watched};
use super::rust_words::{how, is_kept_out, marks, standing, why, why_outside};

/// Short pauses, because every schedule would wait for long ones.
const PAUSE_FIRST: Duration = Duration::from_millis(3);
const PAUSE_MAX: Duration = Duration::from_millis(40);
/// A person whose provisioning always fails is given up after this: every schedule with such a person waits for it.
const STEP_MAX: Duration = Duration::from_millis(800);

/// Where the application stands with its client.
enum Place {
    Nowhere,
    Out(Client<Connected>),
    /// On the way in, under the newest login.
    Entering,
    In(Client<Provisioned>),
    Outside(Client<Authenticated>),
}

/// How a way in ended.
struct Entered {
    login: u64,
    result: Result<Client<Provisioned>, (Client<Authenticated>, EnsureUserError)>,
    _open: Open,
}

/// A live query: its reader, and what it shows.
struct Live {
    reader: AbortHandle,
    shown: Arc<Subscription<Json>>,
}

struct App {
    c: usize,
    url: String,
    mint: Mint,
    desk: Arc<Desk>,
    /// Clients so far. The newest is the one in use.
    clients: u64,
    /// Sign-ins so far, with the person of the newest.
    login: u64,
    identity: Option<IdentityKey>,
    calls: u64,
    /// Whether the newest login's source has nothing but forged tokens.
    forges: Arc<AtomicBool>,
    place: Place,
    /// A handle of an earlier login of the same client.
    former: Option<(u64, IdentityKey, Client<Provisioned>)>,
    watched: BTreeSet<Watched>,
    live: BTreeMap<Watched, Live>,
    /// Calls for when the user exists.
    queued: Vec<CallKind>,
    entering: JoinSet<Entered>,
    tasks: JoinSet<()>,
    status: Option<AbortHandle>,
}

/// Carries out orders until there will be none any more.
pub async fn run(
    c: usize,
    url: String,
    mint: Mint,
    desk: Arc<Desk>,
    mut orders: UnboundedReceiver<Order>,
) {
    let mut app = App {
        c,
        url,
        mint,
        desk,
        clients: 0,
        login: 0,
        identity: None,
        calls: 0,
        forges: Arc::default(),
        place: Place::Nowhere,
        former: None,
        watched: BTreeSet::new(),
        live: BTreeMap::new(),
        queued: Vec::new(),
        entering: JoinSet::new(),
        tasks: JoinSet::new(),
        status: None,
    };
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some((act, _open)) => app.act(act).await,
                None => return,
            },
            Some(entered) = app.entering.join_next() => {
                // One that was given up has nothing to say.
                if let Ok(entered) = entered {
                    app.entered(entered);
                }
            }
        }
    }
}

impl App {
    async fn act(&mut self, act: Act) {
        match act {
            Act::SignIn(person, quality) => self.sign_in(person, quality).await,
            Act::SignOut => self.sign_out(),
            Act::Watch(query) => {
                if self.watched.insert(query) {
                    self.go_live(query);
                }
            }
            Act::Unwatch(query) => {
                self.watched.remove(&query);
                if let Some(live) = self.live.remove(&query) {
                    live.reader.abort();
                }
            }
            Act::Mutate => self.call(CallKind::Mutation),
            Act::Action => self.call(CallKind::Action),
            Act::Again => self.again(),
            // The wire's business.
            Act::Lose | Act::Reconnect => {}
        }
    }

    async fn sign_in(&mut self, person: Person, quality: Quality) {
        self.login += 1;
        let (login, former_login) = (self.login, self.login - 1);
        let identity = self.mint.identity(&person);
        let former_identity = self.identity.replace(identity.clone());
        // Every other client's trouble lasts until it asks again.
        let lasts = quality != Quality::Fresh && !self.c.is_multiple_of(2);
        self.forges = Arc::new(AtomicBool::new(lasts));
        let tokens = tokens(self.mint.clone(), person, quality, self.forges.clone());
        let was_entering = matches!(self.place, Place::Entering);
        self.desk.saw(Saw::Asks { login, identity });
        self.queued.clear();
        match std::mem::replace(&mut self.place, Place::Entering) {
            Place::Out(client) => {
                let client = authenticate(client, tokens).await;
                self.enter(ensure_user(client));
            }
            Place::Outside(client) => {
                let client = client.sign_out();
                self.ended(former_login);
                let client = authenticate(client, tokens).await;
                self.enter(ensure_user(client));
            }
            Place::In(client) => {
                self.former = former_identity.map(|who| (former_login, who, client.clone()));
                self.switch(client, former_login, tokens).await;
            }
            Place::Entering | Place::Nowhere => match &self.former {
                // A handle of an earlier login can still make room for another person.
                Some((_, _, client)) if was_entering => {
                    self.switch(client.clone(), former_login, tokens).await;
                }
                _ => self.connect(tokens),
            },
        }
    }

    /// Opens a client, for want of one or because the way in cannot be left otherwise.
    fn connect(&mut self, tokens: impl TokenSource) {
        self.give_up();
        self.clients += 1;
        let (url, number, desk) = (self.url.clone(), self.clients, self.desk.clone());
        let (told, mut status) = tokio::sync::oneshot::channel();
        self.enter(async move {
            let client = loop {
                let options = ClientOptions::default()
                    .backoff(PAUSE_FIRST, PAUSE_MAX)
                    .step_max(STEP_MAX);
                match Client::connect_with(&url, options).await {
                    Ok(client) => break client,
                    // Lost, or the server is being started again.
                    Err(_) => tokio::time::sleep(PAUSE_FIRST).await,
                }
            };
            let _ = told.send(client.status());
            ensure_user(authenticate(client, tokens).await).await
        });
        let watching = self.tasks.spawn(async move {
            let Ok(mut status) = (&mut status).await else {
                return;
            };
            let mut stood = None;
            loop {
                let stands = standing(&status.borrow_and_update().login);
                if stood.replace(stands) != Some(stands) {
                    desk.saw(Saw::Stands {
                        client: number,
                        status: stands,
                    });
                }
                if status.changed().await.is_err() {
                    return;
                }
            }
        });
        self.status = Some(watching);
    }

    /// Drops the client and everything that hangs on it, but for calls on their way.
    fn give_up(&mut self) {
        self.entering.abort_all();
        self.former = None;
        for (_, live) in std::mem::take(&mut self.live) {
            live.reader.abort();
        }
        if let Some(status) = self.status.take() {
            status.abort();
        }
    }

    fn enter<F>(&mut self, way: F)
    where
        F: Future<Output = Result<Client<Provisioned>, (Client<Authenticated>, EnsureUserError)>>
            + Send
            + 'static,
    {
        let (login, open) = (self.login, self.desk.begin());
        self.entering.spawn(async move {
            Entered {
                login,
                result: way.await,
                _open: open,
            }
        });
    }

    /// Switches here and now: of two sign-ins under way at once, neither would be known to come last.
    async fn switch(&mut self, client: Client<Provisioned>, former: u64, tokens: impl TokenSource) {
        let switched = client.switch_user(tokens).await;
        let client = switched.expect("the source has a token at hand");
        self.ended(former);
        self.enter(ensure_user(client));
    }

    fn entered(&mut self, entered: Entered) {
        let Entered { login, result, .. } = entered;
        let is_newest = login == self.login && matches!(self.place, Place::Entering);
        match result {
            Ok(client) => {
                self.desk.saw(Saw::LetIn { login });
                if is_newest {
                    self.place = Place::In(client);
                    self.at_home();
                }
            }
            Err((client, error)) => {
                let why = why_outside(&error).to_string();
                self.desk.saw(Saw::KeptOut { login, why });
                if is_newest {
                    self.place = Place::Outside(client);
                }
            }
        }
    }

    /// The user exists: what waited for that is done.
    fn at_home(&mut self) {
        for query in self.watched.clone() {
            self.go_live(query);
        }
        for kind in std::mem::take(&mut self.queued) {
            self.call(kind);
        }
    }

    fn sign_out(&mut self) {
        self.queued.clear();
        self.place = match std::mem::replace(&mut self.place, Place::Nowhere) {
            Place::In(client) => {
                let identity = self.identity.clone();
                self.former = identity.map(|who| (self.login, who, client.clone()));
                let client = client.sign_out();
                self.ended(self.login);
                Place::Out(client)
            }
            Place::Outside(client) => {
                let client = client.sign_out();
                self.ended(self.login);
                Place::Out(client)
            }
            Place::Entering => {
                self.give_up();
                Place::Nowhere
            }
            elsewhere => elsewhere,
        };
    }

    fn ended(&self, login: u64) {
        self.desk.saw(Saw::Ended { login });
    }

    fn go_live(&mut self, query: Watched) {
        let Place::In(client) = &self.place else {
            return;
        };
        if query == Watched::Pulse && self.live.contains_key(&query) {
            // It stays over sign-ins.
            return;
        }
        let subscribe = || match query {
            Watched::Pulse => client.without_user().subscribe::<Json>(query.path(), ()),
            _ => client.subscribe::<Json>(query.path(), ()),
        };
        let (Ok(shown), Ok(read)) = (subscribe(), subscribe()) else {
            return;
        };
        let login = match query {
            Watched::Pulse => self.clients,
            _ => self.login,
        };
        let reader = self
            .tasks
            .spawn(read_on(self.desk.clone(), login, query, read));
        let shown = Arc::new(shown);
        self.live.insert(query, Live { reader, shown });
    }

    fn call(&mut self, kind: CallKind) {
        match (&self.place, &self.identity) {
            (Place::In(client), Some(identity)) => {
                let (client, identity) = (client.clone(), identity.clone());
                let mine = self.live.get(&Watched::Mine).map(|live| live.shown.clone());
                self.call_on(&client, self.login, &identity, kind, mine);
            }
            (Place::Entering, _) => self.queued.push(kind),
            // There is no client that it could be made on.
            _ => {}
        }
    }

    fn call_on(
        &mut self,
        client: &Client<Provisioned>,
        login: u64,
        identity: &IdentityKey,
        kind: CallKind,
        mine: Option<Arc<Subscription<Json>>>,
    ) {
        self.calls += 1;
        let mark = format!("{}-{}", self.c, self.calls);
        let args = json!({ "meant": identity, "mark": mark });
        let (desk, open) = (self.desk.clone(), self.desk.begin());
        desk.saw(Saw::Calls {
            login,
            mark: mark.clone(),
            kind,
        });
        let pending: PendingCall<Json> = match kind {
            CallKind::Mutation => client.mutation("notes:write", args).send(),
            CallKind::Action => client.action("notes:act", args),
        };
        self.tasks.spawn(async move {
            let _open = open;
            let how = how(pending.await);
            let mine = mine.map_or(Mine::NotWatched, |mine| marks(mine.latest()));
            desk.saw(Saw::Answered {
                login,
                mark,
                how,
                mine,
            });
        });
    }

    /// Tries to get in again, or calls through a handle of an earlier login.
    fn again(&mut self) {
        match std::mem::replace(&mut self.place, Place::Entering) {
            Place::Outside(client) => {
                self.ask_again();
                self.enter(ensure_user(client));
            }
            Place::In(client) if is_kept_out(&client) => {
                self.ask_again();
                self.retry(client.clone());
                self.place = Place::In(client);
            }
            place => {
                self.place = place;
                match self.former.clone() {
                    Some((login, identity, client)) => {
                        self.call_on(&client, login, &identity, CallKind::Mutation, None);
                    }
                    None => self.call(CallKind::Mutation),
                }
            }
        }
    }

    fn ask_again(&self) {
        self.forges.store(false, Ordering::SeqCst);
        if let Some(identity) = self.identity.clone() {
            let login = self.login;
            self.desk.saw(Saw::Asks { login, identity });
        }
    }

    fn retry(&mut self, mut client: Client<Provisioned>) {
        let (login, desk, open) = (self.login, self.desk.clone(), self.desk.begin());
        self.tasks.spawn(async move {
            let _open = open;
            desk.saw(match client.retry().await {
                Ok(()) => Saw::LetIn { login },
                Err(error) => {
                    let why = why_outside(&error).to_string();
                    Saw::KeptOut { login, why }
                }
            });
        });
    }
}

async fn authenticate(
    client: Client<Connected>,
    tokens: impl TokenSource,
) -> Client<Authenticated> {
    let authenticated = client.authenticate(tokens).await;
    authenticated.expect("the source has a token at hand")
}

async fn ensure_user(
    client: Client<Authenticated>,
) -> Result<Client<Provisioned>, (Client<Authenticated>, EnsureUserError)> {
    let step = client.ensure_user().await;
    step.map_err(|failed| (failed.client, failed.reason))
}

/// A source that has a token of some quality at hand; later ones are forged for as long as `forges` says so, and good
/// otherwise.
fn tokens(
    mint: Mint,
    person: Person,
    at_hand: Quality,
    forges: Arc<AtomicBool>,
) -> impl TokenSource {
    let was_asked = AtomicBool::new(false);
    move |force_refresh: bool| {
        let is_first = !was_asked.swap(true, Ordering::SeqCst);
        let quality = match (is_first, forges.load(Ordering::SeqCst)) {
            (true, _) => at_hand,
            (false, true) => Quality::Forged,
            (false, false) => Quality::Fresh,
        };
        let token = mint.token(&person, quality);
        let is_down = force_refresh && mint.issuer.is_down();
        async move {
            match is_down {
                true => Err(TokenError::unavailable("the provider is down")),
                false => Ok(token),
            }
        }
    }
}

async fn read_on(
    desk: Arc<Desk>,
    login: u64,
    query: Watched,
    mut subscription: Subscription<Json>,
) {
    let query = query.path().to_string();
    while let Some(item) = subscription.next().await {
        let query = query.clone();
        desk.saw(match item {
            Ok(value) => Saw::Shown {
                login,
                query,
                value,
            },
            Err(error) => Saw::Failed {
                login,
                query,
                why: why(&error),
                text: error.to_string(),
            },
        });
    }
}
