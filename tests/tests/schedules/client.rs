//! A client of a schedule: a session with its wanted identity, its queries and its calls, over as many connections as
//! it takes. A naive one: it sends every unanswered call again, as its identity of that moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value as Json;
use vestibule_schema::identity::IdentityKey;
use vestibule_schema::object;
use vestibule_schema::value::{Object, Value};
use vestibule_schema::wire::{
    AddQuery, Args, Authenticate, CallMessage, ClientMessage, Connect, Credential, ModifyQuerySet,
    PathText, QueryId, QuerySetModification, RequestId, SessionId,
};

use super::peer::Peer;
use super::plan::Watched;

/// A client.
pub struct Client {
    session: SessionId,
    peer: Option<Peer>,
    /// The person that it wants to be.
    wants: Option<IdentityKey>,
    /// The identity its present connection has presented last.
    is: Option<IdentityKey>,
    watched: BTreeMap<Watched, u32>,
    next_query: u32,
    next_request: u32,
    last_mutation: Option<u32>,
    mutations: Vec<u32>,
    /// Counts the sockets that were opened.
    sockets: Sockets,
}

/// How many sockets clients have opened.
pub type Sockets = Arc<AtomicUsize>;

impl Client {
    pub fn new(sockets: &Sockets) -> Client {
        Client {
            session: SessionId(rand::random()),
            peer: None,
            wants: None,
            is: None,
            watched: BTreeMap::new(),
            next_query: 0,
            next_request: 0,
            last_mutation: None,
            mutations: Vec::new(),
            sockets: sockets.clone(),
        }
    }

    /// The connection, made when there is none. None when the server cannot be reached.
    async fn peer(&mut self, url: &str) -> Option<&mut Peer> {
        if self.peer.as_ref().is_none_or(Peer::is_over) {
            let mut peer = Peer::connect(url).await.ok()?;
            self.sockets.fetch_add(1, Ordering::Relaxed);
            let connect = Connect {
                session_id: self.session,
                connection_count: 0,
                last_close_reason: None,
                max_observed_timestamp: None,
                client_ts: None,
            };
            peer.send(&ClientMessage::Connect(connect)).await;
            self.watched.clear();
            self.is = None;
            self.peer = Some(peer);
        }
        self.peer.as_mut()
    }

    async fn authenticate(&mut self, url: &str, credential: Credential) {
        let Some(peer) = self.peer(url).await else {
            return;
        };
        let authenticate = Authenticate {
            base_version: peer.identities_sent(),
            credential,
        };
        peer.send(&ClientMessage::Authenticate(authenticate)).await;
    }

    pub async fn sign_in(&mut self, url: &str, identity: IdentityKey, token: String) {
        self.wants = Some(identity);
        self.present(url, token).await;
    }

    /// Presents a token of the identity it wants to be.
    async fn present(&mut self, url: &str, token: String) {
        self.authenticate(url, Credential::User(token)).await;
        self.is = self.wants.clone();
    }

    pub async fn sign_out(&mut self, url: &str) {
        self.wants = None;
        self.authenticate(url, Credential::None).await;
        self.is = None;
    }

    async fn modify(&mut self, url: &str, modification: QuerySetModification) {
        let Some(peer) = self.peer(url).await else {
            return;
        };
        let modify = ModifyQuerySet {
            base_version: peer.query_sets_sent(),
            new_version: peer.query_sets_sent() + 1,
            modifications: vec![modification],
        };
        peer.send(&ClientMessage::ModifyQuerySet(modify)).await;
    }

    pub async fn watch(&mut self, url: &str, query: Watched) {
        // Connected first: a new connection watches nothing.
        if self.peer(url).await.is_none() || self.watched.contains_key(&query) {
            return;
        }
        let id = self.next_query;
        self.next_query += 1;
        self.watched.insert(query, id);
        let add = AddQuery {
            query_id: QueryId(id),
            path: PathText::new(query.path()),
            args: Args::Ok(vec![Value::Object(Object::new())]),
            journal: None,
            component_path: None,
        };
        self.modify(url, QuerySetModification::Add(add)).await;
    }

    pub async fn unwatch(&mut self, url: &str, query: Watched) {
        if self.peer(url).await.is_none() {
            return;
        }
        if let Some(id) = self.watched.remove(&query) {
            let query_id = QueryId(id);
            self.modify(url, QuerySetModification::Remove { query_id })
                .await;
        }
    }

    fn call(&self, request: u32, path: &str) -> CallMessage {
        let meant = match &self.is {
            Some(identity) => Value::from(identity.as_str()),
            None => Value::Null,
        };
        CallMessage {
            request_id: RequestId(request),
            path: PathText::new(path),
            args: Args::Ok(vec![Value::Object(object! { "meant" => meant })]),
            component_path: None,
        }
    }

    fn next_request(&mut self) -> u32 {
        self.next_request += 1;
        self.next_request - 1
    }

    async fn send_mutation(&mut self, url: &str, request: u32) {
        if self.peer(url).await.is_none() {
            return;
        }
        let call = ClientMessage::Mutation(self.call(request, "notes:write"));
        if let Some(peer) = &mut self.peer {
            peer.send(&call).await;
        }
    }

    pub async fn mutate(&mut self, url: &str) {
        let request = self.next_request();
        self.last_mutation = Some(request);
        self.mutations.push(request);
        self.send_mutation(url, request).await;
    }

    pub async fn act(&mut self, url: &str) {
        let request = self.next_request();
        if self.peer(url).await.is_none() {
            return;
        }
        let call = ClientMessage::Action(self.call(request, "notes:act"));
        if let Some(peer) = &mut self.peer {
            peer.send(&call).await;
        }
    }

    /// Sends the last mutation once more.
    pub async fn again(&mut self, url: &str) {
        if let Some(request) = self.last_mutation {
            self.send_mutation(url, request).await;
        }
    }

    pub fn lose(&mut self) {
        self.peer = None;
    }

    /// Connects again as the identity it wants to be, watching what it watched, and sends its unanswered mutations
    /// again.
    pub async fn reconnect(&mut self, url: &str, token: Option<String>) {
        let unanswered = self.peer.as_ref().map_or_else(
            // Of a connection that is lost nothing is known: its newest mutations may have no answer.
            || self.mutations.iter().rev().take(2).rev().copied().collect(),
            Peer::unanswered,
        );
        let watched: Vec<Watched> = self.watched.keys().copied().collect();
        self.peer = None;
        if self.peer(url).await.is_none() {
            return;
        }
        if let Some(token) = token {
            self.present(url, token).await;
        }
        for query in watched {
            self.watch(url, query).await;
        }
        for request in unanswered {
            if self.mutations.contains(&request) {
                self.send_mutation(url, request).await;
            }
        }
    }

    /// Waits until everything is answered, or the connection is over.
    pub async fn settle(&mut self, limit: Duration) -> bool {
        match &mut self.peer {
            Some(peer) => peer.settle(limit).await,
            None => true,
        }
    }

    /// The newest result of the query that it watched last.
    pub fn newest_result(&mut self) -> Option<Json> {
        let query = u64::from(self.next_query.checked_sub(1)?);
        self.peer.as_ref()?.result(query)
    }

    /// Waits until `users:me`, the first query it watched, names this identity. Results from before the identity is let
    /// in do not count.
    pub async fn saw_itself(&mut self, identity: &IdentityKey, limit: Duration) -> bool {
        if !self.settle(limit).await {
            return false;
        }
        let Some(peer) = &mut self.peer else {
            return false;
        };
        let me = peer.wait_for_result(0, limit).await;
        me == Some(Json::from(identity.as_str()))
    }
}
