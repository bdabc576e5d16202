//! A server of a few lines that holds the client to the protocol: it panics at anything a client must not do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::wire::{
    ActionResponse, AddQuery, Args, AuthError, Authenticate, CallFailure, CallMessage,
    ClientMessage, Connect, Credential, Journal, ModifyQuerySet, MutationResponse, PathText,
    QueryId, QuerySetModification, RequestId, ServerMessage, SessionId, StateModification,
    StateVersion, Transition,
};
use vestibule_schema::{Object, Value, object};

/// The path of the provisioning function.
const ENSURE: &str = "users:ensureUser";

/// One run of a call: its identity, and its number.
pub type Run = (Option<String>, u32);

/// The durable part.
#[derive(Default)]
pub struct Server {
    pub has_gate: bool,
    /// People whom the provisioning function refuses.
    pub refused: BTreeSet<String>,
    pub users: BTreeSet<String>,
    pub mutations: Vec<Run>,
    pub actions: Vec<Run>,
    /// Tokens that are not accepted any more.
    pub bad_tokens: BTreeSet<String>,
    ts: u64,
    records: BTreeMap<(SessionId, RequestId), (Value, Timestamp)>,
    pub socket: Option<Socket>,
}

/// One connection.
pub struct Socket {
    pub to_server: VecDeque<ClientMessage>,
    pub to_client: VecDeque<ServerMessage>,
    session: Option<SessionId>,
    identity: Option<String>,
    /// The identity waits for its provisioning.
    is_pending: bool,
    held: VecDeque<ClientMessage>,
    told: StateVersion,
    identities: u32,
    query_set: u32,
    queries: BTreeMap<QueryId, (AddQuery, Option<Value>)>,
    removed: BTreeSet<QueryId>,
    requests: BTreeSet<RequestId>,
    seen: u64,
    owes_transition: bool,
    pub is_closing: bool,
}

impl Server {
    pub fn new(has_gate: bool) -> Server {
        Server {
            has_gate,
            ts: 100,
            ..Server::default()
        }
    }

    /// Accepts a connection.
    pub fn accept(&mut self) {
        self.socket = Some(Socket {
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            session: None,
            identity: None,
            is_pending: false,
            held: VecDeque::new(),
            told: StateVersion::default(),
            identities: 0,
            query_set: 0,
            queries: BTreeMap::new(),
            removed: BTreeSet::new(),
            requests: BTreeSet::new(),
            seen: 0,
            owes_transition: false,
            is_closing: false,
        });
    }

    fn socket(&mut self) -> &mut Socket {
        self.socket.as_mut().expect("there is a connection")
    }

    /// Handles the next message, if there is one.
    pub fn take(&mut self) {
        let Some(message) = self.socket.as_mut().and_then(|socket| {
            let is_open = !socket.is_closing;
            socket.to_server.pop_front().filter(|_| is_open)
        }) else {
            return;
        };
        if !matches!(message, ClientMessage::Connect(_)) {
            assert!(self.socket().session.is_some(), "Connect comes first");
        }
        match message {
            ClientMessage::Connect(connect) => self.connect(connect),
            ClientMessage::Authenticate(authenticate) => self.authenticate(authenticate),
            ClientMessage::ModifyQuerySet(modify) => self.modify(modify),
            call @ (ClientMessage::Mutation(_) | ClientMessage::Action(_)) => self.call(call),
            ClientMessage::Event(event) => panic!("nobody sends {event:?}"),
        }
    }

    fn connect(&mut self, connect: Connect) {
        let newest = self.ts;
        let socket = self.socket();
        assert!(socket.session.replace(connect.session_id).is_none());
        socket.seen = connect.max_observed_timestamp.map_or(0, |ts| ts.0);
        assert!(socket.seen <= newest, "it has seen the future");
    }

    fn authenticate(&mut self, authenticate: Authenticate) {
        let socket = self.socket.as_mut().expect("there is a connection");
        assert_eq!(authenticate.base_version, socket.identities);
        // Calls that waited for the earlier identity are told that they will not run.
        for message in std::mem::take(&mut socket.held) {
            socket.reject(&message, "identity_changed");
        }
        let (who, is_good) = match authenticate.credential {
            Credential::None => (None, true),
            Credential::User(token) => {
                let who = token.split('#').next().unwrap_or_default().to_string();
                (Some(who), !self.bad_tokens.contains(&token))
            }
            Credential::Admin { .. } => panic!("nobody is an admin"),
        };
        if !is_good {
            return socket.auth_error("bad token", authenticate.base_version, true);
        }
        let changes = who != socket.identity;
        socket.identities += 1;
        socket.identity = who;
        socket.owes_transition = true;
        let is_new = socket.identity.is_some() && (changes || socket.is_pending);
        socket.is_pending = self.has_gate && is_new;
        for (_, result) in socket.queries.values_mut() {
            *result = None;
        }
    }

    /// Lets the gate decide about the identity that waits for it.
    pub fn decide(&mut self) {
        let Some(socket) = self.socket.as_mut().filter(|socket| socket.is_pending) else {
            return;
        };
        let who = socket.identity.clone().expect("somebody waits");
        socket.is_pending = false;
        let held = std::mem::take(&mut socket.held);
        if self.refused.contains(&who) {
            for message in &held {
                socket.reject(message, "refused");
            }
            let base = socket.told.identity;
            return socket.auth_error("refused", base, true);
        }
        self.provision(who);
        for message in held {
            self.run(message);
        }
    }

    fn provision(&mut self, who: String) {
        if self.users.insert(who) {
            self.ts += 1;
        }
    }

    /// The token of the identity runs out.
    pub fn expire(&mut self) {
        if let Some(socket) = &mut self.socket
            && socket.identity.is_some()
            && !socket.is_pending
        {
            let told = socket.told.identity;
            socket.auth_error("expired", told, false);
        }
    }

    fn modify(&mut self, modify: ModifyQuerySet) {
        let socket = self.socket();
        assert_eq!(modify.base_version, socket.query_set);
        assert_eq!(modify.new_version, socket.query_set + 1);
        socket.query_set = modify.new_version;
        socket.owes_transition = true;
        for modification in modify.modifications {
            match modification {
                QuerySetModification::Add(add) => {
                    let id = add.query_id;
                    assert!(socket.queries.insert(id, (add, None)).is_none());
                }
                QuerySetModification::Remove { query_id } => {
                    assert!(socket.queries.remove(&query_id).is_some());
                    socket.removed.insert(query_id);
                }
            }
        }
    }

    fn call(&mut self, message: ClientMessage) {
        let (ClientMessage::Mutation(call) | ClientMessage::Action(call)) = &message else {
            panic!("only calls come here")
        };
        let request = call.request_id;
        let socket = self.socket();
        assert!(socket.requests.insert(request), "{request} is sent twice");
        match socket.is_pending {
            true => socket.held.push_back(message),
            false => self.run(message),
        }
    }

    fn run(&mut self, message: ClientMessage) {
        match message {
            ClientMessage::Mutation(call) => self.mutation(call),
            ClientMessage::Action(call) => self.action(call),
            other => panic!("{other:?} is no call"),
        }
    }

    fn mutation(&mut self, call: CallMessage) {
        let session = self.socket().session.expect("Connect came first");
        let key = (session, call.request_id);
        let outcome = match self.records.get(&key) {
            Some((value, ts)) => Ok((value.clone(), *ts)),
            None => self.execute(&call),
        };
        if let Ok((value, ts)) = &outcome {
            self.records.insert(key, (value.clone(), *ts));
        }
        let socket = self.socket();
        socket.owes_transition = true;
        socket
            .to_client
            .push_back(ServerMessage::MutationResponse(MutationResponse {
                request_id: call.request_id,
                outcome,
                log_lines: Vec::new(),
            }));
    }

    fn execute(&mut self, call: &CallMessage) -> Result<(Value, Timestamp), CallFailure> {
        let identity = self.socket().identity.clone();
        if text(&call.path) == ENSURE {
            let who = identity.expect("only somebody is provisioned");
            if self.refused.contains(&who) {
                return Err(failure(object! { "code" => "Refused" }));
            }
            self.provision(who.clone());
            return Ok((Value::from(who), Timestamp(self.ts)));
        }
        let args = args(&call.args);
        self.check_identity(args, &identity);
        if args.contains_key("fails") {
            return Err(failure(object! { "code" => "Fails" }));
        }
        self.ts += 1;
        self.mutations.push((identity, number(args)));
        Ok((Value::Null, Timestamp(self.ts)))
    }

    fn action(&mut self, call: CallMessage) {
        let identity = self.socket().identity.clone();
        let args = args(&call.args);
        self.check_identity(args, &identity);
        self.actions.push((identity, number(args)));
        let response = ActionResponse {
            request_id: call.request_id,
            outcome: Ok(Value::Null),
            log_lines: Vec::new(),
        };
        self.socket()
            .to_client
            .push_back(ServerMessage::ActionResponse(response));
    }

    /// A call made as a person runs as that person, who exists; a call made without an identity runs without one.
    fn check_identity(&self, args: &Object, identity: &Option<String>) {
        let made_as = args.get("as").and_then(Value::as_str);
        assert_eq!(made_as, identity.as_deref(), "it runs as somebody else");
        if let Some(who) = identity {
            assert!(self.users.contains(who), "{who} has no document yet");
        }
    }

    /// Sends the next Transition, if one is due.
    pub fn transition(&mut self) {
        let Some(socket) = &self.socket else { return };
        if socket.session.is_none() || socket.is_pending || socket.is_closing {
            return;
        }
        let identity = socket.identity.clone();
        let newest: Vec<Value> = self
            .mutations
            .iter()
            .map(|(_, number)| Value::from(f64::from(*number)))
            .collect();
        let mut checked = Vec::new();
        for (id, (add, earlier)) in &socket.queries {
            let args = args(&add.args);
            if args.contains_key("as") {
                self.check_identity(args, &identity);
            }
            if earlier.as_ref() != Some(&Value::Array(newest.clone())) {
                checked.push(*id);
            }
        }
        let ts = Timestamp(self.ts);
        let socket = self.socket();
        if checked.is_empty() && !socket.owes_transition {
            return;
        }
        socket.owes_transition = false;
        let mut modifications: Vec<StateModification> = std::mem::take(&mut socket.removed)
            .into_iter()
            .map(|query_id| StateModification::QueryRemoved { query_id })
            .collect();
        for query_id in checked {
            let value = Value::Array(newest.clone());
            if let Some((_, earlier)) = socket.queries.get_mut(&query_id) {
                *earlier = Some(value.clone());
            }
            modifications.push(StateModification::QueryUpdated {
                query_id,
                value,
                log_lines: Vec::new(),
                journal: Journal::default(),
            });
        }
        let start_version = socket.told;
        socket.told = StateVersion {
            query_set: socket.query_set,
            identity: socket.identities,
            ts,
        };
        let end_version = socket.told;
        socket
            .to_client
            .push_back(ServerMessage::Transition(Transition {
                start_version,
                end_version,
                modifications,
                clock: None,
            }));
    }
}

impl Socket {
    fn auth_error(&mut self, error: &str, base_version: u32, auth_update_attempted: bool) {
        self.is_closing = true;
        self.to_client
            .push_back(ServerMessage::AuthError(AuthError {
                error: error.to_string(),
                base_version,
                auth_update_attempted,
            }));
    }

    fn reject(&mut self, message: &ClientMessage, reason: &str) {
        let failure =
            failure(object! { "code" => "NotProvisioned", "reason" => reason, "data" => () });
        let log_lines = Vec::new();
        self.to_client.push_back(match message {
            ClientMessage::Mutation(call) => ServerMessage::MutationResponse(MutationResponse {
                request_id: call.request_id,
                outcome: Err(failure),
                log_lines,
            }),
            ClientMessage::Action(call) => ServerMessage::ActionResponse(ActionResponse {
                request_id: call.request_id,
                outcome: Err(failure),
                log_lines,
            }),
            other => panic!("{other:?} is never held"),
        });
    }
}

fn failure(data: Object) -> CallFailure {
    CallFailure {
        message: "it failed".to_string(),
        data: Some(data.into()),
    }
}

fn text(path: &PathText) -> String {
    path.to_string()
}

fn args(args: &Args) -> &Object {
    match args {
        Args::Ok(values) => values[0].as_object().expect("arguments are an object"),
        Args::Invalid(why) => panic!("{why}"),
    }
}

fn number(args: &Object) -> u32 {
    args["n"].as_f64().expect("every call has a number") as u32
}
