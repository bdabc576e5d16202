//! The loop of one connection: read what has come, do it, send what is due, flush once, wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use vestibule_schema::wire::{AuthError, ServerMessage, SessionId};

use super::gatekeeper::Gatekeeper;
use super::mailbox::Mailbox;
use super::respond::Respond;
use super::socket::{Close, Gone, Incoming, Socket};
use super::told::Told;
use super::{ClientFeatures, Connections};
use crate::auth::Caller;
use crate::subscriptions::Subscriber;

/// One connection.
pub(super) struct Connection<S> {
    pub rooms: Arc<Connections>,
    pub socket: Socket<S>,
    pub features: ClientFeatures,
    pub respond: Respond,
    pub mailbox: Mailbox,
    pub subscriber: Subscriber,
    pub told: Told,
    pub gatekeeper: Gatekeeper,
    /// Known once the client has said Connect: without it mutations cannot be recognised when sent again.
    pub session: Option<SessionId>,
    /// The client's clock minus the server's, in milliseconds.
    pub clock_skew: Option<i64>,
    pub mutations_pending: usize,
    pub actions_pending: usize,
    /// The first Transition waits for the client's first query set until then.
    pub first_query_set_by: Option<Duration>,
    heard_at: Duration,
    probed_at: Duration,
    pub sent_at: Duration,
    draining_since: Option<Duration>,
}

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum End {
    /// The client has gone.
    Gone,
    /// The server closes it.
    Close(Close),
    /// The identity is not accepted: the client is told, then the connection closes.
    AuthError(AuthError),
    /// The client broke the protocol in a way that connecting again would not mend.
    Fatal(String),
}

impl From<Gone> for End {
    fn from(Gone: Gone) -> Self {
        End::Gone
    }
}

impl From<Close> for End {
    fn from(close: Close) -> Self {
        End::Close(close)
    }
}

/// Messages handled in a row before what they caused is sent.
const MESSAGES_IN_A_ROW_MAX: usize = 64;

/// Serves a connection until it closes.
pub(super) async fn run<S>(rooms: Arc<Connections>, io: S, features: ClientFeatures)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let metrics = rooms.metrics.clone();
    metrics.connections.inc();
    let _counted = Counted(&metrics);
    let wake = Arc::new(Notify::new());
    let socket = Socket::new(io, rooms.options.frame_bytes_max, rooms.options.stall_max).await;
    let now = rooms.clock.elapsed();
    let mut connection = Connection {
        socket,
        features,
        respond: Respond { redact: rooms.options.redact },
        mailbox: Mailbox::new(wake.clone()),
        subscriber: Subscriber::new(rooms.live.clone(), Caller::nobody(), wake.clone()),
        told: Told::default(),
        gatekeeper: Gatekeeper::new(),
        session: None,
        clock_skew: None,
        mutations_pending: 0,
        actions_pending: 0,
        first_query_set_by: Some(now + rooms.options.first_query_set_grace),
        heard_at: now,
        probed_at: now,
        sent_at: now,
        draining_since: None,
        rooms,
    };
    tracing::debug!("opened");
    let Err(end) = connection.live(&wake).await;
    connection.end(end).await;
}

struct Counted<'m>(&'m super::SyncMetrics);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

enum Happened {
    Received(Incoming),
    Admitted(super::gatekeeper::Admitted),
    Woken,
    Draining,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn live(&mut self, wake: &Notify) -> Result<std::convert::Infallible, End> {
        loop {
            self.send_what_is_due().await?;
            self.check_silence().await?;
            self.check_drained()?;
            match self.wait(wake).await {
                Happened::Received(incoming) => self.receive(incoming).await?,
                Happened::Admitted(admitted) => self.admitted(admitted).await?,
                Happened::Woken => {}
                Happened::Draining => self.draining_since = Some(self.rooms.clock.elapsed()),
            }
        }
    }

    /// Waits for the next thing to happen, at most until something is due by the clock.
    async fn wait(&mut self, wake: &Notify) -> Happened {
        let due_in = self.next_due().saturating_sub(self.rooms.clock.elapsed());
        let is_draining = self.draining_since.is_some();
        let shutdown = self.rooms.shutdown.clone();
        tokio::select! {
            admitted = self.gatekeeper.admission() => Happened::Admitted(admitted),
            () = wake.notified() => Happened::Woken,
            incoming = self.socket.receive(), if !is_draining => Happened::Received(incoming),
            () = shutdown.cancelled(), if !is_draining => Happened::Draining,
            () = tokio::time::sleep(due_in) => Happened::Woken,
        }
    }

    /// Handles a message and those that have come right behind it.
    async fn receive(&mut self, first: Incoming) -> Result<(), End> {
        let mut next = Some(first);
        for _ in 0..MESSAGES_IN_A_ROW_MAX {
            let Some(incoming) = next else { break };
            self.heard_at = self.rooms.clock.elapsed();
            match incoming {
                Incoming::Text(text) => self.handle(&text).await?,
                Incoming::Alive => {}
                Incoming::Gone => return Err(End::Gone),
                Incoming::Broken(close) => {
                    self.rooms.metrics.protocol_errors.inc();
                    return Err(close.into());
                }
            }
            next = self.socket.receive_now();
        }
        if let Some(incoming) = next {
            self.heard_at = self.rooms.clock.elapsed();
            if let Incoming::Text(text) = incoming {
                return self.handle(&text).await;
            }
            return match incoming {
                Incoming::Gone => Err(End::Gone),
                Incoming::Broken(close) => Err(close.into()),
                Incoming::Alive | Incoming::Text(_) => Ok(()),
            };
        }
        Ok(())
    }

    fn next_due(&self) -> Duration {
        let options = &self.rooms.options;
        let draining = self.draining_since.map(|since| since + options.drain_max);
        let probe = self.heard_at.max(self.probed_at) + options.probe_after;
        [Some(self.sent_at + options.ping_after), Some(probe), self.held_back_until(), draining]
            .into_iter()
            .flatten()
            .min()
            .expect("a ping is always due")
    }

    /// Asks a silent client for a sign of life; drops one that gives none.
    async fn check_silence(&mut self) -> Result<(), End> {
        let now = self.rooms.clock.elapsed();
        let silent_for = now.saturating_sub(self.heard_at);
        if silent_for > self.rooms.options.silence_max {
            tracing::debug!("the client has gone silent");
            return Err(End::Gone);
        }
        if now >= self.heard_at.max(self.probed_at) + self.rooms.options.probe_after {
            self.probed_at = now;
            self.socket.probe().await?;
            self.socket.flush().await?;
        }
        Ok(())
    }

    /// A draining connection closes once its mutations have their outcome, or when that takes too long.
    fn check_drained(&self) -> Result<(), End> {
        let Some(since) = self.draining_since else { return Ok(()) };
        let is_over = self.rooms.clock.elapsed() >= since + self.rooms.options.drain_max;
        match self.mutations_pending == 0 || is_over {
            true => Err(Close::going_away().into()),
            false => Ok(()),
        }
    }

    async fn end(mut self, end: End) {
        let close = match end {
            End::Gone => {
                tracing::debug!("closed by the client");
                return;
            }
            End::Close(close) => close,
            End::AuthError(error) => {
                self.rooms.metrics.auth_errors.inc();
                self.say_last(ServerMessage::AuthError(error)).await
            }
            End::Fatal(error) => {
                self.rooms.metrics.protocol_errors.inc();
                tracing::warn!(error, "a client broke the protocol");
                self.say_last(ServerMessage::FatalError { error }).await
            }
        };
        tracing::debug!(?close, "closing");
        // The subscriptions end now, not when the client has agreed to the close.
        drop(self.subscriber);
        self.socket.close(close).await;
    }

    async fn say_last(&mut self, message: ServerMessage) -> Close {
        // A client that cannot be told any more is closed all the same.
        let _ = self.socket.feed(message.to_json()).await;
        let _ = self.socket.flush().await;
        Close::without_code()
    }
}
