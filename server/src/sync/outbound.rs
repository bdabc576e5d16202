//! The order of answers: responses first, then at most one Transition, then a flush.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use vestibule_schema::timestamp::Timestamp;
use vestibule_schema::wire::{
    ClockStamp, QueryId, ServerMessage, TransitionChunk, TransitionWriter,
};

use super::connection::{Connection, End};
use super::mailbox::Completion;
use super::options::CHUNK_BYTES_MAX;
use super::respond::Respond;
use crate::probe::Point;
use crate::subscriptions::{Moment, QueryResult};

/// Results that the client does not have yet.
type Changed = Vec<(QueryId, Arc<QueryResult>)>;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Sends everything that is due, and flushes once.
    pub(super) async fn send_what_is_due(&mut self) -> Result<(), End> {
        loop {
            // The moment is taken before the responses are collected. Every mutation that it shows has delivered its
            // response by then, so the response goes out first.
            let moment = self.moment()?;
            let has_responded = self.send_responses().await?;
            if let Some((ts, changed)) = moment {
                self.send_transition(ts, changed).await?;
            }
            // A response may show only after the moment: then another Transition is owed, now or when it is time.
            if !has_responded || self.told.owed.is_none() {
                break;
            }
        }
        let is_silent = self.rooms.clock.elapsed()
            >= self.sent_at.saturating_add(self.rooms.options.ping_after);
        if is_silent {
            self.say(ServerMessage::Ping.to_json()).await?;
        }
        self.socket.flush().await?;
        Ok(())
    }

    /// Queues a message.
    pub(super) async fn say(&mut self, text: String) -> Result<(), End> {
        self.sent_at = self.rooms.clock.elapsed();
        self.seat.sent(&text);
        self.socket.feed(text).await?;
        Ok(())
    }

    async fn send_responses(&mut self) -> Result<bool, End> {
        let mut completions = self.mailbox.collect().into_iter();
        let has_some = completions.len() > 0;
        while let Some(text) = completions.next().map(|next| self.response(next)) {
            self.say(text?).await?;
        }
        Ok(has_some)
    }

    /// How much the client is told, as the one who it is now.
    pub(super) fn respond(&self) -> Respond {
        Respond {
            redact: self.redact && !self.gatekeeper.caller().is_admin(),
        }
    }

    fn response(&mut self, completion: Completion) -> Result<String, End> {
        self.rooms.metrics.responses.inc();
        let message = match completion {
            Completion::Mutation(request, run) => {
                self.mutations_pending -= 1;
                let (message, ts) = self.respond().mutation(request, self.session, run)?;
                self.told.owe(ts.unwrap_or(self.told.version.ts));
                message
            }
            Completion::Action(request, run) => {
                self.actions_pending -= 1;
                self.respond().action(request, self.session, run)?
            }
        };
        Ok(message.to_json())
    }

    /// The next Transition's results, when one is due and may be sent.
    fn moment(&mut self) -> Result<Option<(Timestamp, Changed)>, End> {
        if self.held_back_until().is_some() {
            return Ok(None);
        }
        match self
            .subscriber
            .assemble(self.told.wanted(), self.told.required())
        {
            Moment::NotYet => Ok(None),
            Moment::Failed(error) => Err(self.respond().system_trouble(&error).into()),
            Moment::At { ts, changed } => {
                if changed.is_empty() && !self.told.has_news() {
                    return Ok(None);
                }
                self.check_identity()?;
                Ok(Some((ts, changed)))
            }
        }
    }

    async fn send_transition(&mut self, ts: Timestamp, changed: Changed) -> Result<(), End> {
        if self.told.version.identity != self.told.identity {
            let whom = || self.gatekeeper.caller().identity_key();
            let probe = self.rooms.functions.probe();
            probe.pause(Point::BeforeFirstFrame, whom).await;
        }
        let text = self.transition(ts, changed);
        self.send_long(text).await
    }

    fn transition(&mut self, ts: Timestamp, changed: Changed) -> String {
        let (start, end) = self.told.advance(ts);
        let mut writer = TransitionWriter::new(start, end);
        let respond = self.respond();
        for (query, result) in &changed {
            writer.outcome(*query, respond.query(result));
        }
        for (query, outcome) in &std::mem::take(&mut self.told.impossible) {
            writer.outcome(*query, outcome);
        }
        for query in std::mem::take(&mut self.told.removed) {
            writer.removed(query);
        }
        let clock = self.clock_skew.map(|client_clock_skew| ClockStamp {
            client_clock_skew,
            server_ts: self.rooms.clock.now().0,
        });
        self.rooms.metrics.transitions.inc();
        self.rooms.metrics.results.inc_by(changed.len() as u64);
        tracing::debug!(ts = ts.0, results = changed.len(), "transition");
        writer.finish(clock)
    }

    /// A long Transition goes out in chunks where the client can put them together: each one tells it that the
    /// server is alive.
    async fn send_long(&mut self, text: String) -> Result<(), End> {
        if text.len() <= CHUNK_BYTES_MAX || !self.features.transition_chunks {
            return self.say(text).await;
        }
        for chunk in TransitionChunk::split(&text, CHUNK_BYTES_MAX) {
            let text = ServerMessage::TransitionChunk(chunk).to_json();
            self.say(text).await?;
        }
        Ok(())
    }
}
