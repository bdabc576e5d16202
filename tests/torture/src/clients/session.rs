//! A client over a WebSocket with many mutations under way. A mutation without an answer is sent again under the same
//! session, in order, until the server answers it.

use std::collections::BTreeMap;

use anyhow::Context;
use vestibule_schema::object;
use vestibule_schema::wire::{MutationResponse, SessionId};
use vestibule_tests::raw::RawClient;

use super::{Stage, Work, steps_value, texts};
use crate::record::{Op, Outcome};

/// Mutations under way at once.
const IN_FLIGHT: usize = 8;

/// One session over all its connections.
pub struct SessionClient {
    number: usize,
    session: SessionId,
    person: Option<String>,
    work: Work,
    /// Mutations that it makes at the most.
    made_max: u32,
    next_request: u32,
    unanswered: BTreeMap<u32, Op>,
}

impl SessionClient {
    /// A session that goes on until all is over.
    pub fn new(number: usize, person: Option<String>, work: Work) -> SessionClient {
        SessionClient {
            number,
            session: SessionId(rand::random()),
            person,
            work,
            made_max: u32::MAX,
            next_request: 0,
            unanswered: BTreeMap::new(),
        }
    }

    /// Ends it after so many mutations.
    pub fn at_most(self, made_max: u32) -> SessionClient {
        SessionClient { made_max, ..self }
    }

    /// Works until all is over and every mutation has its answer.
    pub async fn run(mut self, stage: Stage) {
        while !self.is_done(&stage) {
            // It ends when the server is killed or the wire is cut, which is what is being tested.
            if self.connect_and_work(&stage).await.is_err() {
                stage.pause().await;
            }
        }
    }

    fn is_done(&self, stage: &Stage) -> bool {
        let makes_more = self.next_request < self.made_max && !stage.is_over();
        // A session that was to make one mutation makes it, also when all is over by then.
        let has_begun = self.next_request > 0 || self.made_max == u32::MAX;
        self.unanswered.is_empty() && !makes_more && has_begun
    }

    async fn connect_and_work(&mut self, stage: &Stage) -> anyhow::Result<()> {
        let mut client = RawClient::connect(&stage.sync_url(), self.session).await?;
        if let Some(person) = &self.person {
            client.authenticate(&stage.token(person).await?).await?;
        }
        let again: Vec<u32> = self.unanswered.keys().copied().collect();
        for request in again {
            self.send(&mut client, request).await?;
        }
        while !self.is_done(stage) {
            self.make_more(&mut client, stage).await?;
            if !self.unanswered.is_empty() {
                let response = client.response().await?;
                self.take(response, stage)?;
            }
        }
        Ok(())
    }

    async fn make_more(&mut self, client: &mut RawClient, stage: &Stage) -> anyhow::Result<()> {
        let may_begin = |this: &Self| !stage.is_over() || this.next_request == 0;
        while self.unanswered.len() < IN_FLIGHT
            && self.next_request < self.made_max
            && may_begin(self)
        {
            let (id, steps) = self.work.transaction();
            let request = self.next_request;
            self.next_request += 1;
            let op = Op {
                id,
                is_mutation: true,
                session: Some((self.number, request)),
                person: self.person.clone(),
                begun: Some(stage.record.now()),
                ended: None,
                steps,
                outcome: Outcome::Unknown,
            };
            self.unanswered.insert(request, op);
            self.send(client, request).await?;
        }
        Ok(())
    }

    async fn send(&self, client: &mut RawClient, request: u32) -> anyhow::Result<()> {
        let op = &self.unanswered[&request];
        let args = object! { "id" => op.id.as_str(), "steps" => steps_value(&op.steps) };
        client.mutate(request, "ledger:transact", args).await
    }

    fn take(&mut self, response: MutationResponse, stage: &Stage) -> anyhow::Result<()> {
        let request = response.request_id.0;
        let Some(mut op) = self.unanswered.remove(&request) else {
            stage.record.breach(format!(
                "request {request} of session {} was answered twice on one connection",
                self.number
            ));
            return Ok(());
        };
        op.ended = Some(stage.record.now());
        op.outcome = match response.outcome {
            Ok((value, ts)) => {
                let results = texts(&value).context("the results are not texts")?;
                Outcome::Done(results, Some(ts))
            }
            Err(failure) => Outcome::Failed(format!("{} {:?}", failure.message, failure.data)),
        };
        stage.record.note(op);
        Ok(())
    }
}
