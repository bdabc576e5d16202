//! A client over HTTP: one call at a time, and no second attempt. A mutation without an answer stays unknown.

use serde_json::{Value as Json, json};
use vestibule_schema::timestamp::Timestamp;
use vestibule_tests::process::post;

use super::{Stage, Work};
use crate::record::{Op, Outcome};
use crate::steps::Step;

/// A client that calls one function after the other.
pub struct HttpClient {
    person: Option<String>,
    work: Work,
    token: Option<String>,
    /// Whether a call has had its result, so that the person has a user.
    has_user: bool,
}

impl HttpClient {
    /// A client that signs in as a person, or not at all.
    pub fn new(person: Option<String>, work: Work) -> HttpClient {
        HttpClient {
            person,
            work,
            token: None,
            has_user: false,
        }
    }

    /// Calls until all is over.
    pub async fn run(mut self, stage: Stage) {
        while !stage.is_over() {
            // It fails when the server is killed or the wire is cut, which is what is being tested.
            if self.call(&stage).await.is_err() {
                self.token = None;
                stage.pause().await;
            }
        }
    }

    async fn call(&mut self, stage: &Stage) -> anyhow::Result<()> {
        if let (Some(person), None) = (&self.person, &self.token) {
            self.token = Some(format!("Bearer {}", stage.token(person).await?));
        }
        if self.work.chance(60) {
            let (id, steps) = self.work.transaction();
            return self.transact(stage, id, steps).await;
        }
        let (id, steps) = self.work.read();
        let args = json!({ "steps": steps });
        // With more timestamps than these within seconds, the server reads at a later one. So it does for a person whose
        // user is not there yet.
        let is_exact = self.person.is_none() || self.has_user;
        let ts = match is_exact && self.work.chance(30) && stage.may_ask_ts() {
            true => Some(self.newest(stage).await?),
            false => None,
        };
        let route = if ts.is_some() { "query_at_ts" } else { "query" };
        self.note(stage, route, "ledger:look", id, steps, args, ts)
            .await
    }

    /// Makes one mutation, and says whether an answer came.
    pub async fn transact(
        &mut self,
        stage: &Stage,
        id: String,
        steps: Vec<Step>,
    ) -> anyhow::Result<()> {
        let args = json!({ "id": id, "steps": steps });
        self.note(stage, "mutation", "ledger:transact", id, steps, args, None)
            .await
    }

    /// The newest commit.
    async fn newest(&self, stage: &Stage) -> anyhow::Result<Timestamp> {
        let (_, answer) = post(&stage.wire, "/api/query_ts", &json!({}), None).await?;
        let text = answer["ts"].as_str().unwrap_or_default();
        Ok(Timestamp::from_wire(text)?)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a call")]
    async fn note(
        &mut self,
        stage: &Stage,
        route: &str,
        path: &str,
        id: String,
        steps: Vec<Step>,
        args: Json,
        ts: Option<Timestamp>,
    ) -> anyhow::Result<()> {
        let mut body = json!({ "path": path, "args": args, "format": "json" });
        if let Some(ts) = ts {
            body["ts"] = json!(ts.to_wire());
        }
        let begun = stage.record.now();
        let route = format!("/api/{route}");
        let answer = post(&stage.wire, &route, &body, self.token.as_deref()).await;
        let ended = stage.record.now();
        let (outcome, result) = match answer {
            Ok((200, answer)) => (outcome(&answer, ts), Ok(())),
            Ok((status, answer)) => {
                let refused = anyhow::anyhow!("{status}: {answer}");
                (refusal(&answer), Err(refused))
            }
            Err(error) => (Outcome::Unknown, Err(error)),
        };
        self.has_user |= matches!(outcome, Outcome::Done(..));
        stage.record.note(Op {
            id,
            is_mutation: route == "/api/mutation",
            session: None,
            person: self.person.clone(),
            // A read at a timestamp is of that timestamp, however long ago that was by now.
            begun: ts.is_none().then_some(begun),
            ended: (outcome != Outcome::Unknown).then_some(ended),
            steps,
            outcome,
        });
        result
    }
}

/// These answers say that nothing happened. Any other refusal may leave it open.
fn refusal(answer: &Json) -> Outcome {
    const NOTHING_HAPPENED: [&str; 3] =
        ["NotCommitted", "TooManyConcurrentRequests", "ShuttingDown"];
    match answer["code"].as_str() {
        Some(code) if NOTHING_HAPPENED.contains(&code) => Outcome::Failed(code.into()),
        _ => Outcome::Unknown,
    }
}

fn outcome(answer: &Json, ts: Option<Timestamp>) -> Outcome {
    let results = serde_json::from_value(answer["value"].clone());
    match (answer["status"].as_str(), results) {
        (Some("success"), Ok(results)) => Outcome::Done(results, ts),
        _ => Outcome::Failed(answer.to_string()),
    }
}
