//! The one task of a client: it passes events to the session, and carries out the session's effects.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::{Future, pending};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use futures_util::FutureExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use vestibule_schema::wire::{ClientMessage, QueryId, SessionId};

use crate::address::sync_url;
use crate::client::fetch;
use crate::connection::{ConnectionError, Heard};
use crate::error::{AuthenticateError, CallError, ConnectError, EnsureUserError};
use crate::handle::{Handle, Shared};
use crate::inbox::{Answer, Command, Inbox, WatcherId};

use crate::options::ClientOptions;
use crate::session::{Changes, Effect, LoginId, Session, Ticket, Trouble};
use crate::socket::{Socket, SocketEvent, open};
use crate::status::Status;
use crate::subscription::Shown;
use crate::token::{AnyTokenSource, Token, TokenError};

/// How long a client without handles goes on for calls that have no outcome yet, and to say goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(5);

type Fetching = Pin<Box<dyn Future<Output = (LoginId, Result<Token, TokenError>)> + Send>>;

/// Connects, and starts the worker on the runtime that this is called on.
pub(crate) async fn start(address: &str, options: ClientOptions) -> Result<Handle, ConnectError> {
    let url = sync_url(address)?.to_string();
    let connection = open(url.clone(), options.open_max).await?;
    let session = Session::new(
        SessionId(session_id()),
        options.clone(),
        StdRng::from_rng(&mut rand::rng()),
    );
    let (status, watched) = watch::channel(session.status());
    let publication = Arc::new(RwLock::new(()));
    let shared = Arc::new(Shared {
        inbox: Inbox::default(),
        status: watched,
        options,
        publication: publication.clone(),
    });
    let handle = Handle::new(shared.clone());
    let mut worker = Worker {
        shared,
        url,
        session,
        status,
        started: Instant::now(),
        socket: Socket::Open(connection),
        outbox: VecDeque::new(),
        fetching: None,
        sources: HashMap::new(),
        watchers: HashMap::new(),
        shows: BTreeMap::new(),
        calls: HashMap::new(),
        steps: HashMap::new(),
        tickets: 0,
        ends_at: None,
    };
    tokio::spawn(async move { worker.run().await });
    Ok(handle)
}

/// A random UUID.
fn session_id() -> [u8; 16] {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}

struct Worker {
    shared: Arc<Shared>,
    url: String,
    session: Session,
    status: watch::Sender<Status>,
    started: Instant,
    socket: Socket,
    /// The messages that the socket has not taken yet. Bounded by the session's pending calls and queries.
    outbox: VecDeque<ClientMessage>,
    fetching: Option<Fetching>,
    sources: HashMap<LoginId, AnyTokenSource>,
    watchers: HashMap<WatcherId, QueryId>,
    shows: BTreeMap<QueryId, Vec<(WatcherId, watch::Sender<Shown>)>>,
    calls: HashMap<Ticket, Answer<CallError>>,
    steps: HashMap<Ticket, Answer<EnsureUserError>>,
    tickets: u64,
    /// The latest end of a client without handles.
    ends_at: Option<Duration>,
}

enum Happened {
    Asked,
    OnSocket(SocketEvent),
    Fetched(LoginId, Result<Token, TokenError>),
    Due,
}

/// When the runtime ends under the worker, later callers are told.
impl Drop for Worker {
    fn drop(&mut self) {
        let why = self.session.closed().cloned();
        self.shared
            .inbox
            .close(why.unwrap_or(crate::error::Closed::RuntimeEnded));
    }
}

impl Worker {
    async fn run(&mut self) {
        let now = self.now();
        self.session.opened(now);
        loop {
            self.perform();
            if self.session.closed().is_some() {
                return self.close_all();
            }
            let is_abandoned = self.take_commands();
            self.perform();
            if self.is_over(is_abandoned) {
                return self.say_goodbye().await;
            }
            let happened = self.wait().await;
            self.take(happened);
        }
    }

    /// Whether the client has no handle any more, and nothing left to do or no time left.
    fn is_over(&mut self, is_abandoned: bool) -> bool {
        if !is_abandoned {
            self.ends_at = None;
            return false;
        }
        let now = self.now();
        let ends_at = *self.ends_at.get_or_insert(now + GOODBYE_MAX);
        self.session.is_idle() || now >= ends_at
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    async fn wait(&mut self) -> Happened {
        let due = [self.session.due(), self.ends_at]
            .into_iter()
            .flatten()
            .min();
        let started = self.started;
        let timer = async move {
            match due {
                Some(due) => sleep_until(started + due).await,
                None => pending().await,
            }
        };
        let fetching = async {
            match &mut self.fetching {
                Some(fetching) => fetching.await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = self.shared.inbox.filled() => Happened::Asked,
            (login, token) = fetching => Happened::Fetched(login, token),
            event = self.socket.next(&mut self.outbox) => Happened::OnSocket(event),
            () = timer => Happened::Due,
        }
    }

    fn take(&mut self, happened: Happened) {
        let now = self.now();
        match happened {
            Happened::Asked => {}
            Happened::OnSocket(event) => self.take_socket_event(now, event),
            Happened::Fetched(login, token) => {
                self.fetching = None;
                self.session.fetched(now, login, token);
            }
            Happened::Due => self.session.tick(now),
        }
    }

    fn take_socket_event(&mut self, now: Duration, event: SocketEvent) {
        match event {
            SocketEvent::Opened(Ok(connection)) => {
                self.socket = Socket::Open(connection);
                self.session.opened(now);
            }
            SocketEvent::Opened(Err(error)) => {
                self.lost(Trouble::Server(error.to_string()));
            }
            SocketEvent::Heard(Ok(Heard::Alive)) => self.session.alive(now),
            SocketEvent::Heard(Ok(Heard::Message(message))) => self.session.received(now, message),
            SocketEvent::Heard(Err(ConnectionError::Message(error))) => {
                self.session.garbled(now, &error.to_string());
            }
            SocketEvent::Heard(Err(ConnectionError::Closed(frame))) => {
                self.lost(Trouble::closed(frame));
            }
            SocketEvent::Heard(Err(error)) => {
                self.lost(Trouble::Ordinary(error.to_string()));
            }
        }
    }

    fn lost(&mut self, trouble: Trouble) {
        self.socket = Socket::None;
        self.outbox.clear();
        let now = self.now();
        self.session.lost(now, trouble);
    }

    /// Carries out the session's effects. An answered caller finds the status of that moment.
    fn perform(&mut self) {
        let status = self.session.status();
        self.status.send_if_modified(|shown| {
            let has_changed = *shown != status;
            *shown = status;
            has_changed
        });
        while let Some(effect) = self.session.next_effect() {
            match effect {
                Effect::Open => {
                    let opening = open(self.url.clone(), self.shared.options.open_max);
                    self.socket = Socket::Opening(Box::pin(opening));
                }
                Effect::Leave => {
                    self.socket = Socket::None;
                    self.outbox.clear();
                }
                Effect::Send(message) => self.outbox.push_back(message),
                Effect::FetchToken(login) => self.fetch(login),
                Effect::Publish(changes) => self.publish(changes),
                Effect::Suspend(id, reason) => self.show(id, &Shown::Suspended(reason)),
                Effect::End(id, end) => {
                    self.show(id, &Shown::Ended(end));
                    self.shows.remove(&id);
                }
                Effect::Answer(ticket, result) => {
                    if let Some(answer) = self.calls.remove(&ticket) {
                        // The caller may have stopped waiting.
                        let _ = answer.send(result);
                    }
                }
                Effect::AnswerStep(ticket, result) => {
                    if let Some(answer) = self.steps.remove(&ticket) {
                        let _ = answer.send(result);
                    }
                }
            }
        }
    }

    fn publish(&self, changes: Changes) {
        let _at_once = self
            .shared
            .publication
            .write()
            .expect("nothing panics while results are shown");
        for (id, outcome) in changes {
            self.show(id, &Shown::Outcome(outcome));
        }
    }

    fn show(&self, id: QueryId, shown: &Shown) {
        for (_, show) in self.shows.get(&id).into_iter().flatten() {
            show.send_replace(shown.clone());
        }
    }

    fn fetch(&mut self, login: LoginId) {
        let Some(source) = self.sources.get(&login).cloned() else {
            return;
        };
        let fetch_max = self.shared.options.fetch_max;
        self.fetching = Some(Box::pin(async move {
            let fetched = AssertUnwindSafe(fetch(&source, true, fetch_max)).catch_unwind();
            let token = match fetched.await {
                Ok(fetched) => fetched.map_err(token_error),
                Err(_) => Err(TokenError::unavailable("the token source panicked")),
            };
            (login, token)
        }));
    }

    /// Passes on what handles ask. Says whether there are none left.
    fn take_commands(&mut self) -> bool {
        let taken = self.shared.inbox.take();
        for command in taken.commands {
            self.command(command);
        }
        let now = self.now();
        for watcher in taken.dropped {
            let Some(id) = self.watchers.remove(&watcher) else {
                continue;
            };
            if let Some(shows) = self.shows.get_mut(&id) {
                shows.retain(|(theirs, _)| *theirs != watcher);
                if shows.is_empty() {
                    self.shows.remove(&id);
                }
            }
            self.session.unsubscribe(now, id);
        }
        taken.is_abandoned
    }

    fn command(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Subscribe(watcher, key, show) => match self.session.subscribe(now, key) {
                Ok((id, shown)) => {
                    if let Some(outcome) = shown {
                        show.send_replace(Shown::Outcome(outcome));
                    }
                    self.watchers.insert(watcher, id);
                    self.shows.entry(id).or_default().push((watcher, show));
                }
                Err(end) => {
                    show.send_replace(Shown::Ended(end));
                }
            },
            Command::Query(key, answer) => {
                let ticket = self.ticket();
                self.calls.insert(ticket, answer);
                self.session.query(now, ticket, key);
            }
            Command::Call(scope, call, answer) => {
                let ticket = self.ticket();
                self.calls.insert(ticket, answer);
                self.session.call(now, ticket, scope, call);
            }
            Command::Authenticate(login, token, source) => {
                self.sources.clear();
                self.sources.insert(login, source);
                self.fetching = None;
                self.session.authenticate(now, login, token);
            }
            Command::EnsureUser(login, answer) => {
                let ticket = self.ticket();
                self.steps.insert(ticket, answer);
                self.session.ensure_user(now, ticket, login);
            }
            Command::SignOut(login) => {
                if self.sources.remove(&login).is_some() {
                    self.fetching = None;
                }
                self.session.sign_out(now, login);
            }
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// The session has ended for good: subscriptions say why, and calls from now on are refused.
    fn close_all(&mut self) {
        let Some(why) = self.session.closed().cloned() else {
            return;
        };
        for (_, show) in self.shows.values().flatten() {
            show.send_replace(Shown::Closed(why.clone()));
        }
        self.shared.inbox.close(why);
    }

    /// Sends what is still to be sent and closes the socket.
    async fn say_goodbye(&mut self) {
        let Socket::Open(mut connection) = std::mem::replace(&mut self.socket, Socket::None) else {
            return;
        };
        let outbox = std::mem::take(&mut self.outbox);
        let goodbye = async move {
            for message in outbox {
                connection.send(&message).await?;
            }
            connection.close().await
        };
        // A server that does not listen to it is left all the same.
        let _ = timeout(GOODBYE_MAX, goodbye).await;
    }
}

fn token_error(error: AuthenticateError) -> TokenError {
    match error {
        AuthenticateError::Source(error) => error,
        AuthenticateError::Unreadable(error) => TokenError::unavailable(error),
        error @ AuthenticateError::TimedOut(_) => TokenError::unavailable(error),
        AuthenticateError::Closed(closed) => TokenError::unavailable(closed),
    }
}
