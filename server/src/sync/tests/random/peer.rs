//! One client of the random runs: its requests, the server's answers, and the check that both fit.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use vestibule_schema::timestamp::Timestamp;

use super::super::harness::{Client, PATIENCE, Server, ts};
use super::world::{Executed, History, Spec, Told, Who};

pub struct Peer {
    pub name: String,
    client: Client,
    history: Arc<History>,
    session: String,
    sockets: u32,
    next_query: u32,
    next_request: u32,
    /// The identity that it is signed in as.
    pub who: Option<Who>,
    /// By identity version sent on this socket.
    identities: Vec<Option<Who>>,
    /// By query set version sent on this socket.
    query_sets: Vec<BTreeMap<u32, Spec>>,
    /// The end version of the last Transition.
    version: Json,
    told: BTreeMap<u32, Told>,
    journals: BTreeMap<u32, Json>,
    /// Calls without a response.
    unanswered: BTreeMap<u32, Sent>,
    /// Calls with a response that no Transition has covered.
    uncovered: BTreeMap<u32, (Sent, Timestamp)>,
    /// A response, of a failed call, that no Transition has followed.
    owes_transition: bool,
    max_observed: Timestamp,
    pub transitions: usize,
}

#[derive(Clone, Debug)]
struct Sent {
    path: &'static str,
    args: Json,
    tag: String,
    /// The identities under which it was sent.
    identities: Vec<Option<String>>,
}

fn zero() -> Json {
    json!({ "querySet": 0, "identity": 0, "ts": "AAAAAAAAAAA=" })
}

impl Peer {
    pub async fn connect(name: String, server: &Server, history: &Arc<History>) -> Peer {
        let session = format!(
            "00000000-0000-4000-8000-{:0>12}",
            name.trim_start_matches("peer")
        );
        let mut peer = Peer {
            client: server.connect().await,
            name,
            history: history.clone(),
            session,
            sockets: 0,
            next_query: 0,
            next_request: 0,
            who: None,
            identities: vec![None],
            query_sets: vec![BTreeMap::new()],
            version: zero(),
            told: BTreeMap::new(),
            journals: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            uncovered: BTreeMap::new(),
            owes_transition: false,
            max_observed: Timestamp::ZERO,
            transitions: 0,
        };
        peer.say_connect().await;
        peer.modify(Vec::new(), BTreeMap::new()).await;
        peer
    }

    async fn say_connect(&mut self) {
        let connect = json!({
            "type": "Connect", "sessionId": self.session, "connectionCount": self.sockets,
            "maxObservedTimestamp": self.max_observed.to_wire(),
        });
        self.sockets += 1;
        self.client.send(connect).await;
    }

    /// Comes back as the npm client does: the same session, its queries with their journals, its unsettled calls again.
    pub async fn reconnect(&mut self, server: &Server) {
        self.client = server.connect().await;
        self.version = zero();
        self.told.clear();
        self.identities = vec![None];
        let queries = self.queries().clone();
        self.query_sets = vec![BTreeMap::new()];
        self.owes_transition = false;
        self.say_connect().await;
        if let Some(who) = self.who.clone() {
            self.present(server, Some(who)).await;
        }
        let adds = queries
            .iter()
            .map(|(id, spec)| self.add(*id, spec))
            .collect();
        self.modify(adds, queries).await;
        let uncovered = std::mem::take(&mut self.uncovered);
        self.unanswered.extend(
            uncovered
                .into_iter()
                .map(|(request, (sent, _))| (request, sent)),
        );
        let requests: Vec<u32> = self.unanswered.keys().copied().collect();
        for request in requests {
            self.send_call(request).await;
        }
    }

    pub async fn present(&mut self, server: &Server, who: Option<Who>) {
        let base = self.identities.len() as u32 - 1;
        match &who {
            Some(Who {
                subject,
                name,
                email,
            }) => {
                let claims = json!({ "subject": subject, "name": name, "email": email });
                self.client
                    .authenticate(base, &server.token_with(claims))
                    .await
            }
            None => self.client.sign_out(base).await,
        }
        self.who = who.clone();
        self.identities.push(who);
    }

    pub fn queries(&self) -> &BTreeMap<u32, Spec> {
        self.query_sets.last().expect("the first is empty")
    }

    fn add(&self, id: u32, spec: &Spec) -> Json {
        let mut add =
            json!({ "type": "Add", "queryId": id, "udfPath": spec.path(), "args": [spec.args()] });
        if let Some(journal) = self.journals.get(&id) {
            add["journal"] = journal.clone();
        }
        add
    }

    async fn modify(&mut self, modifications: Vec<Json>, queries: BTreeMap<u32, Spec>) {
        let base = self.query_sets.len() as u32 - 1;
        self.query_sets.push(queries);
        self.client.modify(base, modifications).await;
    }

    pub async fn subscribe(&mut self, specs: Vec<Spec>) {
        let mut queries = self.queries().clone();
        let mut adds = Vec::new();
        for spec in specs {
            adds.push(self.add(self.next_query, &spec));
            queries.insert(self.next_query, spec);
            self.next_query += 1;
        }
        self.modify(adds, queries).await;
    }

    pub async fn unsubscribe(&mut self, id: u32) {
        let mut queries = self.queries().clone();
        queries.remove(&id);
        self.modify(vec![json!({ "type": "Remove", "queryId": id })], queries)
            .await;
    }

    /// The cursor behind a page it was told of.
    pub fn some_cursor(&self) -> Option<(u32, String)> {
        self.queries().iter().find_map(|(id, spec)| {
            match (spec, self.told.get(id), self.journals.get(id)) {
                (Spec::Page { group, .. }, Some(Told::Value(_)), Some(Json::String(cursor))) => {
                    Some((*group, cursor.clone()))
                }
                _ => None,
            }
        })
    }

    pub async fn mutate(&mut self, path: &'static str, mut args: Json) {
        let request = self.next_request;
        self.next_request += 1;
        let tag = format!("{} {request}", self.name);
        args["tag"] = json!(tag);
        self.unanswered.insert(
            request,
            Sent {
                path,
                args,
                tag,
                identities: Vec::new(),
            },
        );
        self.send_call(request).await;
    }

    async fn send_call(&mut self, request: u32) {
        let subject = self.who.as_ref().map(|who| who.subject.clone());
        let sent = self
            .unanswered
            .get_mut(&request)
            .expect("it was noted before it is sent");
        sent.identities.push(subject);
        let (path, args) = (sent.path, sent.args.clone());
        self.client.mutate(request, path, args).await;
    }

    /// Takes what has come.
    pub fn read_now(&mut self) {
        while let Some(message) = self.client.next_now() {
            let message =
                message.unwrap_or_else(|closed| panic!("{}: closed with {closed:?}", self.name));
            self.take(message);
        }
    }

    /// Reads until everything it asked for is acknowledged, answered and covered.
    pub async fn read_until_settled(&mut self) {
        while !self.is_settled() {
            let next = tokio::time::timeout(PATIENCE / 2, self.client.next()).await;
            let message = next.unwrap_or_else(|_| panic!("{} waits for ever: {self:?}", self.name));
            self.take(message);
        }
    }

    fn is_settled(&self) -> bool {
        let acknowledged = (&self.version["querySet"], &self.version["identity"]);
        acknowledged
            == (
                &json!(self.query_sets.len() - 1),
                &json!(self.identities.len() - 1),
            )
            && self.unanswered.is_empty()
            && self.uncovered.is_empty()
            && !self.owes_transition
    }

    fn take(&mut self, message: Json) {
        match message["type"].as_str().unwrap() {
            "Transition" => self.take_transition(&message),
            "MutationResponse" => self.take_response(&message),
            "Ping" => {}
            _ => panic!("{}: {message}", self.name),
        }
    }

    fn take_response(&mut self, message: &Json) {
        let request = message["requestId"].as_u64().unwrap() as u32;
        let sent = self
            .unanswered
            .remove(&request)
            .expect("a call is answered once on a socket");
        let executed = self
            .history
            .executed
            .lock()
            .get(&sent.tag)
            .cloned()
            .unwrap_or_default();
        assert!(
            executed.len() <= 1,
            "{}: {sent:?} ran as {executed:?}",
            self.name
        );
        if message["success"] == true {
            let [
                Executed {
                    ts: ran_at,
                    subject,
                },
            ] = &executed[..]
            else {
                panic!("{}: {sent:?} succeeded and did not run", self.name)
            };
            assert_eq!(ts(message), *ran_at, "{}: {sent:?}", self.name);
            assert!(
                sent.identities.contains(subject),
                "G7: {}: {sent:?} ran as {subject:?}",
                self.name
            );
            self.max_observed = self.max_observed.max(*ran_at);
            self.uncovered.insert(request, (sent, *ran_at));
            return;
        }
        let code = message["errorData"]["code"].as_str();
        let is_somebody_elses = message["result"]
            .as_str()
            .unwrap()
            .contains("by another identity");
        match (sent.path, code) {
            ("items:fail", Some("FAILED")) => {}
            (_, Some("NotProvisioned")) => {
                assert!(executed.is_empty() || sent.identities.len() > 1, "{sent:?}")
            }
            _ if is_somebody_elses => assert!(sent.identities.len() > 1, "{sent:?}"),
            _ => panic!("{}: {sent:?} failed: {message}", self.name),
        }
        self.owes_transition = true;
    }

    fn take_transition(&mut self, message: &Json) {
        let context = format!("{}: {message}", self.name);
        assert_eq!(
            message["startVersion"], self.version,
            "versions chain: {context}"
        );
        let (before, now) = (ts(&json!({ "ts": self.version["ts"] })), ts(message));
        assert!(now >= before, "time goes back: {context}");
        self.version = message["endVersion"].clone();
        self.transitions += 1;
        self.max_observed = self.max_observed.max(now);
        self.owes_transition = false;
        let query_set = &self.query_sets[self.version["querySet"].as_u64().unwrap() as usize];
        let version = self.version["identity"].as_u64().unwrap() as usize;
        let who = self.identities[version].as_ref();
        let subject = who.map(|who| who.subject.as_str());
        let is_behind = version + 1 < self.identities.len();
        if let Some(subject) = subject {
            let ensured = self.history.ensured.lock().get(subject).copied();
            assert!(
                ensured.is_some_and(|ensured| ensured <= now),
                "G3: {subject} at {ensured:?}: {context}"
            );
        }
        let mut mentioned = Vec::new();
        for told in message["modifications"].as_array().unwrap() {
            let id = told["queryId"].as_u64().unwrap() as u32;
            assert!(!mentioned.contains(&id), "{id} twice: {context}");
            mentioned.push(id);
            let told_now = match told["type"].as_str().unwrap() {
                "QueryRemoved" => {
                    assert!(!query_set.contains_key(&id), "{context}");
                    self.told.remove(&id);
                    self.journals.remove(&id);
                    continue;
                }
                "QueryUpdated" if told["value"].get("page").is_some() => {
                    let value = &told["value"];
                    assert_eq!(value["continueCursor"], told["journal"], "{context}");
                    Told::Value(json!({ "page": value["page"], "isDone": value["isDone"] }))
                }
                "QueryUpdated" => Told::Value(told["value"].clone()),
                _ => Told::Threw(told["errorData"].clone()),
            };
            assert!(
                query_set.contains_key(&id),
                "{id} is not asked for: {context}"
            );
            assert!(told["logLines"].is_array(), "{context}");
            if let Some(Json::String(journal)) = self.journals.get(&id) {
                assert_eq!(
                    told["journal"],
                    json!(journal),
                    "the border of {id} moved: {context}"
                );
            }
            self.told.insert(id, told_now);
            self.journals.insert(id, told["journal"].clone());
        }
        let world = self.history.at(now);
        for (id, spec) in query_set {
            let journal = self.journals.get(id).and_then(Json::as_str);
            let told = self.told.get(id);
            // A query that looks at an identity which waits behind the gate stays as it was.
            let is_frozen = is_behind && spec.may_look() && !mentioned.contains(id);
            let expected = match (told, spec) {
                (None, _) if is_frozen => continue,
                (None, _) => panic!("{id} {spec:?} is not answered: {context}"),
                (Some(_), _) => spec.evaluate(&world, who, journal, &self.history),
            };
            let is_right = told == Some(&expected) || is_frozen;
            assert!(
                is_right,
                "{id} {spec:?} at {now}: told {told:?}, must be {expected:?} for {who:?}: {context}"
            );
        }
        self.told.retain(|id, _| query_set.contains_key(id));
        let executed = self.history.executed.lock();
        for sent in self
            .unanswered
            .values()
            .filter(|sent| sent.identities.len() == 1)
        {
            let ran = executed.get(&sent.tag).and_then(|ran| ran.first());
            assert!(
                ran.is_none_or(|ran| ran.ts > now),
                "shown before its response: {sent:?} {ran:?}: {context}"
            );
        }
        self.uncovered.retain(|_, (_, ts)| *ts > now);
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer")
            .field("version", &self.version)
            .field("query_sets", &self.query_sets.len())
            .field("queries", self.queries())
            .field("identities", &self.identities)
            .field("unanswered", &self.unanswered)
            .field("uncovered", &self.uncovered)
            .field("owes_transition", &self.owes_transition)
            .finish()
    }
}
