//! A client that watches queries. Each Transition is noted as a read of its whole query set at its timestamp.

use std::collections::BTreeMap;

use anyhow::bail;
use vestibule_client::Connection;
use vestibule_schema::object;
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::value::Value;
use vestibule_schema::wire::{
    AddQuery, Args, ClientMessage, Connect, ModifyQuerySet, PathText, QueryId,
    QuerySetModification, ServerMessage, SessionId, StateModification, Transition,
};

use super::{Stage, Work, steps_value, texts};
use crate::record::{Op, Outcome};
use crate::steps::{Kind, Step};

/// Queries of one set.
const QUERIES: u32 = 3;
/// Transitions until it watches something else.
const TRANSITIONS_MAX: usize = 40;

/// A client that only watches.
pub struct Watcher {
    number: usize,
    work: Work,
    connections: u32,
    seen: Option<Timestamp>,
    noted: usize,
}

impl Watcher {
    /// A client whose queries come from `work`.
    pub fn new(number: usize, work: Work) -> Watcher {
        Watcher {
            number,
            work,
            connections: 0,
            seen: None,
            noted: 0,
        }
    }

    /// Watches until it has seen the end of all.
    pub async fn run(mut self, stage: Stage) {
        loop {
            match self.connect_and_watch(&stage).await {
                Ok(true) => return,
                Ok(false) => {}
                // The server was killed or the wire was cut.
                Err(_) => stage.pause().await,
            }
        }
    }

    /// Whether the end was seen.
    async fn connect_and_watch(&mut self, stage: &Stage) -> anyhow::Result<bool> {
        let mut connection = Connection::open(&stage.sync_url()).await?;
        let mut queries = BTreeMap::new();
        for query in 0..QUERIES {
            let (_, steps) = self.work.read();
            queries.insert(query, steps);
        }
        queries.insert(
            QUERIES,
            vec![Step::new(Kind::Read, stage.end.as_str(), "", 0)],
        );
        connection.send(&self.hello()).await?;
        connection.send(&modify(&queries)).await?;
        let mut results = BTreeMap::new();
        for _ in 0..TRANSITIONS_MAX {
            let transition = match connection.next().await? {
                ServerMessage::Transition(transition) => transition,
                ServerMessage::Ping => continue,
                other => bail!("the server said {other:?}"),
            };
            if self.take(transition, &queries, &mut results, stage)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn hello(&mut self) -> ClientMessage {
        self.connections += 1;
        ClientMessage::Connect(Connect {
            session_id: SessionId(rand::random()),
            connection_count: self.connections - 1,
            last_close_reason: None,
            max_observed_timestamp: self.seen,
            client_ts: None,
        })
    }

    fn take(
        &mut self,
        transition: Transition,
        queries: &BTreeMap<u32, Vec<Step>>,
        results: &mut BTreeMap<u32, Vec<String>>,
        stage: &Stage,
    ) -> anyhow::Result<bool> {
        let ts = transition.end_version.ts;
        if self.seen.is_some_and(|seen| ts < seen) && transition.end_version.query_set > 0 {
            let seen = self.seen;
            stage.record.breach(format!(
                "watcher {} was told of {ts:?} after {seen:?}",
                self.number
            ));
        }
        for change in transition.modifications {
            match change {
                StateModification::QueryUpdated {
                    query_id, value, ..
                } => match texts(&value) {
                    Some(all) => drop(results.insert(query_id.0, all)),
                    None => stage.record.breach(format!("a query returned {value:?}")),
                },
                other => stage.record.breach(format!("a query ended as {other:?}")),
            }
        }
        if results.len() < queries.len() {
            return Ok(false);
        }
        self.seen = self.seen.max(Some(ts));
        self.noted += 1;
        let all: Vec<String> = results.values().flatten().cloned().collect();
        let is_end = results[&QUERIES] != [""];
        stage.record.note(Op {
            id: format!("t{}-{}", self.number, self.noted),
            is_mutation: false,
            session: None,
            person: None,
            begun: None,
            ended: Some(stage.record.now()),
            steps: queries.values().flatten().cloned().collect(),
            outcome: Outcome::Done(all, Some(ts)),
        });
        Ok(is_end)
    }
}

fn modify(queries: &BTreeMap<u32, Vec<Step>>) -> ClientMessage {
    let add = |(query, steps): (&u32, &Vec<Step>)| {
        let args = object! { "steps" => steps_value(steps) };
        QuerySetModification::Add(AddQuery {
            query_id: QueryId(*query),
            path: PathText::new("ledger:look"),
            args: Args::Ok(vec![Value::Object(args)]),
            journal: None,
            component_path: None,
        })
    };
    ClientMessage::ModifyQuerySet(ModifyQuerySet {
        base_version: 0,
        new_version: 1,
        modifications: queries.iter().map(add).collect(),
    })
}
