//! A client that sends only the messages that a test tells it to.

use anyhow::bail;
use vestibule_client::Connection;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::{Object, Value};
use vestibule_schema::wire::{
    AddQuery, Args, Authenticate, CallMessage, ClientMessage, Connect, Credential, ModifyQuerySet,
    MutationResponse, PathText, QueryId, QuerySetModification, RequestId, ServerMessage, SessionId,
    StateModification,
};

/// One connection of a session.
pub struct RawClient {
    connection: Connection,
}

impl RawClient {
    /// Connects and says Connect for `session`.
    pub async fn connect(sync_url: &str, session_id: SessionId) -> anyhow::Result<RawClient> {
        RawClient::connect_having_seen(sync_url, session_id, None).await
    }

    /// The same for a client that comes back and has seen a timestamp.
    pub async fn connect_having_seen(
        sync_url: &str,
        session_id: SessionId,
        seen: Option<Timestamp>,
    ) -> anyhow::Result<RawClient> {
        let connect = Connect {
            session_id,
            connection_count: seen.is_some().into(),
            last_close_reason: None,
            max_observed_timestamp: seen,
            client_ts: None,
        };
        let mut connection = Connection::open(sync_url).await?;
        connection.send(&ClientMessage::Connect(connect)).await?;
        Ok(RawClient { connection })
    }

    /// Presents a user's token as the connection's first identity.
    pub async fn authenticate(&mut self, token: &str) -> anyhow::Result<()> {
        let authenticate = Authenticate {
            base_version: 0,
            credential: Credential::User(token.to_string()),
        };
        Ok(self
            .connection
            .send(&ClientMessage::Authenticate(authenticate))
            .await?)
    }

    /// Watches a query without arguments, as the connection's only one.
    pub async fn watch(&mut self, path: &str) -> anyhow::Result<()> {
        let add = AddQuery {
            query_id: QueryId(0),
            path: PathText::new(path),
            args: Args::Ok(vec![Value::Object(Object::new())]),
            journal: None,
            component_path: None,
        };
        let modify = ModifyQuerySet {
            base_version: 0,
            new_version: 1,
            modifications: vec![QuerySetModification::Add(add)],
        };
        Ok(self
            .connection
            .send(&ClientMessage::ModifyQuerySet(modify))
            .await?)
    }

    /// The next result of the watched query; messages without one are passed over.
    pub async fn result(&mut self) -> anyhow::Result<Value> {
        loop {
            match self.connection.next().await? {
                ServerMessage::Transition(transition) => {
                    match transition.modifications.into_iter().next() {
                        None => {}
                        Some(StateModification::QueryUpdated { value, .. }) => return Ok(value),
                        Some(other) => bail!("the query's result is {other:?}"),
                    }
                }
                ServerMessage::MutationResponse(_) | ServerMessage::Ping => {}
                other => bail!("the server said {other:?}"),
            }
        }
    }

    /// Calls a mutation.
    pub async fn mutate(&mut self, request: u32, path: &str, args: Object) -> anyhow::Result<()> {
        let call = CallMessage {
            request_id: RequestId(request),
            path: PathText::new(path),
            args: Args::Ok(vec![Value::Object(args)]),
            component_path: None,
        };
        Ok(self.connection.send(&ClientMessage::Mutation(call)).await?)
    }

    /// The next answer to a mutation; Transitions and Pings are passed over.
    pub async fn response(&mut self) -> anyhow::Result<MutationResponse> {
        loop {
            match self.connection.next().await? {
                ServerMessage::MutationResponse(response) => return Ok(response),
                ServerMessage::Transition(_) | ServerMessage::Ping => {}
                other => bail!("the server said {other:?}"),
            }
        }
    }
}
