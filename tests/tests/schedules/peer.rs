//! One socket of a client that speaks the sync protocol: sends at once, and counts what it is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::Value as Json;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use vestibule_schema::wire::ClientMessage;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The client's end of a connection. Dropping it drops the connection.
pub struct Peer {
    sink: SplitSink<Socket, Message>,
    heard: Arc<Mutex<Heard>>,
    changed: watch::Receiver<u64>,
    reader: JoinHandle<()>,
    identities_sent: u64,
    query_sets_sent: u64,
}

/// The messages it received.
#[derive(Default)]
struct Heard {
    is_over: bool,
    identity: u64,
    query_set: u64,
    /// Requests sent and not answered, with how often.
    unanswered: BTreeMap<u32, usize>,
    /// The newest result of each query, null after a failure.
    results: BTreeMap<u64, Json>,
}

impl Peer {
    pub async fn connect(url: &str) -> anyhow::Result<Peer> {
        let (socket, _) =
            connect_async(format!("{}/api/sync", url.replacen("http", "ws", 1))).await?;
        let (sink, mut stream) = socket.split();
        let heard: Arc<Mutex<Heard>> = Arc::default();
        let (change, changed) = watch::channel(0);
        let hearing = heard.clone();
        let reader = tokio::spawn(async move {
            while let Some(Ok(message)) = stream.next().await {
                if let Message::Text(text) = message {
                    hearing.lock().hear(&text);
                    change.send_modify(|changes| *changes += 1);
                }
            }
            hearing.lock().is_over = true;
            change.send_modify(|changes| *changes += 1);
        });
        Ok(Peer {
            sink,
            heard,
            changed,
            reader,
            identities_sent: 0,
            query_sets_sent: 0,
        })
    }

    /// Sends a message. A connection that is over takes it without a word.
    pub async fn send(&mut self, message: &ClientMessage) {
        match message {
            ClientMessage::Authenticate(_) => self.identities_sent += 1,
            ClientMessage::ModifyQuerySet(modify) => {
                self.query_sets_sent = u64::from(modify.new_version);
            }
            ClientMessage::Mutation(call) | ClientMessage::Action(call) => {
                let mut heard = self.heard.lock();
                *heard.unanswered.entry(call.request_id.0).or_default() += 1;
            }
            ClientMessage::Connect(_) | ClientMessage::Event(_) => {}
        }
        if let Ok(text) = message.to_json() {
            // The reader notices that it is over.
            let _ = self.sink.send(Message::text(text)).await;
        }
    }

    /// How many identities it has presented: what the next Authenticate is based on.
    pub fn identities_sent(&self) -> u32 {
        u32::try_from(self.identities_sent).unwrap_or(u32::MAX)
    }

    pub fn query_sets_sent(&self) -> u32 {
        u32::try_from(self.query_sets_sent).unwrap_or(u32::MAX)
    }

    pub fn is_over(&self) -> bool {
        self.heard.lock().is_over
    }

    /// Requests that have no answer yet.
    pub fn unanswered(&self) -> Vec<u32> {
        self.heard.lock().unanswered.keys().copied().collect()
    }

    /// The newest result of a query.
    pub fn result(&self, query: u64) -> Option<Json> {
        self.heard.lock().results.get(&query).cloned()
    }

    /// Waits until everything that was sent is acknowledged and answered, or the connection is over. Returns whether
    /// that came about in time.
    pub async fn settle(&mut self, limit: Duration) -> bool {
        let (identity, query_set) = (self.identities_sent, self.query_sets_sent);
        let heard = self.heard.clone();
        let settled = self.changed.wait_for(|_| {
            let heard = heard.lock();
            let is_settled = heard.identity == identity
                && heard.query_set == query_set
                && heard.unanswered.is_empty();
            heard.is_over || is_settled
        });
        matches!(tokio::time::timeout(limit, settled).await, Ok(Ok(_)))
    }

    /// Waits until a query has a result, or the connection is over.
    pub async fn wait_for_result(&mut self, query: u64, limit: Duration) -> Option<Json> {
        let heard = self.heard.clone();
        let told = self.changed.wait_for(|_| {
            let heard = heard.lock();
            heard.is_over || heard.results.contains_key(&query)
        });
        // Too late is as good as never.
        let _ = tokio::time::timeout(limit, told).await;
        self.result(query)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Heard {
    fn hear(&mut self, text: &str) {
        let Ok(message) = serde_json::from_str::<Json>(text) else {
            return;
        };
        match message["type"].as_str() {
            Some("Transition") => {
                let end = &message["endVersion"];
                self.identity = end["identity"].as_u64().unwrap_or_default();
                self.query_set = end["querySet"].as_u64().unwrap_or_default();
                for change in message["modifications"].as_array().into_iter().flatten() {
                    let query = change["queryId"].as_u64().unwrap_or_default();
                    match change["type"].as_str() {
                        Some("QueryRemoved") => self.results.remove(&query),
                        _ => self.results.insert(query, change["value"].clone()),
                    };
                }
            }
            Some("MutationResponse" | "ActionResponse") => {
                let request = message["requestId"].as_u64().unwrap_or_default();
                let request = u32::try_from(request).unwrap_or(u32::MAX);
                if let Some(times) = self.unanswered.get_mut(&request) {
                    *times -= 1;
                    if *times == 0 {
                        self.unanswered.remove(&request);
                    }
                }
            }
            _ => {}
        }
    }
}
