//! The loop of one connection: read the messages, process them, send what is due, flush once, wait.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use vestibule_schema::wire::{AuthError, ServerMessage, SessionId};

use super::gatekeeper::Gatekeeper;
use super::mailbox::Mailbox;
use super::query_set::QuerySetBytes;
use super::socket::{Close, Gone, Incoming, Socket};
use super::told::Told;
use super::{ClientFeatures, Connections, Peer};
use crate::auth::Caller;
use crate::clock::Sleep;
use crate::probe::Seat;
use crate::subscriptions::Subscriber;

/// One connection.
pub(super) struct Connection<S> {
    pub rooms: Arc<Connections>,
    pub socket: Socket<S>,
    /// Its place for a watcher.
    pub seat: Seat,
    pub features: ClientFeatures,
    /// Where its client is.
    pub from: Option<IpAddr>,
    pub user_agent: Option<Arc<str>>,
    /// Whether clients are told little of errors.
    pub redact: bool,
    pub mailbox: Mailbox,
    pub subscriber: Subscriber,
    /// In a box, since few watch queries long enough to be counted.
    pub query_set_bytes: Box<QuerySetBytes>,
    /// In a box: with it a connection would be larger than the 2 KiB that an allocator gives at once.
    pub told: Box<Told>,
    pub gatekeeper: Gatekeeper,
    /// Known once the client has said Connect: without it mutations cannot be recognised when sent again.
    pub session: Option<SessionId>,
    /// The client's clock minus the server's, in milliseconds.
    pub clock_skew: Option<i64>,
    pub mutations_pending: usize,
    pub actions_pending: usize,
    /// The first Transition waits for the client's first query set until then.
    pub first_query_set_by: Option<Duration>,
    /// Until then the first Transition waits for the mutations that came with the query set.
    pub first_mutations_by: Duration,
    heard_at: Duration,
    /// When it last said something, other than that it is alive.
    asked_at: Duration,
    probed_at: Duration,
    pub sent_at: Duration,
    alarm: Option<Alarm>,
    is_draining: bool,
}

/// The wait for something that is due by the clock. It outlives the waits for all else, since setting it costs more than
/// most of them. One that goes off too early costs a look.
struct Alarm {
    at: Duration,
    sleep: Sleep,
}

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum End {
    /// The client has gone: it closed, or its connection ended.
    Left,
    /// It takes nothing more, or gives no sign of life.
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

/// Messages handled in a row before their answers are sent.
const MESSAGES_IN_A_ROW_MAX: usize = 64;

/// Serves a connection until it closes.
pub(super) async fn run<S>(rooms: Arc<Connections>, io: S, features: ClientFeatures, peer: Peer)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Peer {
        ip: from,
        user_agent,
    } = peer;
    let metrics = rooms.metrics.clone();
    metrics.connections.inc();
    let _counted = Counted(&metrics);
    let wake = Arc::new(Notify::new());
    let socket = Socket::new(
        io,
        &rooms.options,
        rooms.inbound.of(from),
        rooms.clock.clone(),
    )
    .await;
    let now = rooms.clock.elapsed();
    let drain_max = rooms.options.drain_max;
    let (clock, shutdown) = (rooms.clock.clone(), rooms.shutdown.clone());
    let mut connection = Connection {
        socket,
        seat: Seat::take(rooms.functions.probe()),
        features,
        from,
        user_agent,
        redact: rooms.options.redact,
        mailbox: Mailbox::new(wake.clone()),
        subscriber: Subscriber::new(rooms.live.clone(), Caller::nobody(), wake.clone()),
        query_set_bytes: Box::new(QuerySetBytes::new(
            rooms.options.query_set_bytes_max,
            rooms.watched.of(from),
        )),
        told: Box::default(),
        gatekeeper: Gatekeeper::new(),
        session: None,
        clock_skew: None,
        mutations_pending: 0,
        actions_pending: 0,
        first_query_set_by: Some(now + rooms.options.first_query_set_grace),
        first_mutations_by: now + rooms.options.first_mutations_grace,
        heard_at: now,
        asked_at: now,
        probed_at: now,
        sent_at: now,
        alarm: None,
        is_draining: false,
        rooms,
    };
    tracing::debug!("opened");
    // A client that takes nothing does not keep a draining server from ending.
    let drained = async {
        shutdown.cancelled().await;
        clock
            .sleep_until(clock.elapsed().saturating_add(drain_max))
            .await;
    };
    let end = tokio::select! {
        end = connection.live(&wake) => end,
        () = drained => Close::going_away().into(),
    };
    // In a box, so that no connection keeps room for its end.
    Box::pin(connection.end(end)).await;
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
    ProviderGone,
    Draining,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn live(&mut self, wake: &Notify) -> End {
        loop {
            if let Err(end) = self.step(wake).await {
                return end;
            }
        }
    }

    async fn step(&mut self, wake: &Notify) -> Result<(), End> {
        self.send_what_is_due().await?;
        self.check_silence().await?;
        self.check_idle()?;
        self.check_drained()?;
        match self.wait(wake).await {
            Happened::Received(incoming) => self.receive(incoming).await,
            // As rare as Authenticate, and as large.
            Happened::Admitted(admitted) => Box::pin(self.admitted(admitted)).await,
            Happened::Woken => Ok(()),
            Happened::ProviderGone => self.check_identity(),
            Happened::Draining => {
                self.is_draining = true;
                Ok(())
            }
        }
    }

    /// Waits for the next thing to happen, at most until something is due by the clock.
    async fn wait(&mut self, wake: &Notify) -> Happened {
        self.set_alarm();
        let (is_draining, reads) = (self.is_draining, self.reads_on());
        let shutdown = self.rooms.shutdown.clone();
        let provider_gone = self.gatekeeper.provider_gone();
        let provider_gone = async {
            match &provider_gone {
                Some(gone) => gone.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let alarm = &mut self.alarm;
        let due = async {
            match alarm {
                Some(alarm) => (&mut alarm.sleep).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            admitted = self.gatekeeper.admission() => Happened::Admitted(admitted),
            () = wake.notified() => Happened::Woken,
            incoming = self.socket.receive(), if reads => Happened::Received(incoming),
            () = shutdown.cancelled(), if !is_draining => Happened::Draining,
            () = provider_gone => Happened::ProviderGone,
            () = due => {
                self.alarm = None;
                Happened::Woken
            }
        }
    }

    /// Makes sure that the alarm goes off when the next thing is due, or before.
    fn set_alarm(&mut self) {
        let at = self.next_due();
        if self.alarm.as_ref().is_none_or(|alarm| alarm.at > at) {
            let sleep = self.rooms.clock.sleep_until(at);
            self.alarm = Some(Alarm { at, sleep });
        }
    }

    /// Whether the client's next message is wanted now. When the most mutations wait, the message waits too. A client
    /// turned away for this would connect again, repeat every unanswered call, and be turned away for ever.
    fn reads_on(&self) -> bool {
        !self.is_draining && self.mutations_pending < self.rooms.options.mutations_pending_max
    }

    /// Handles a message and those that have come right behind it.
    async fn receive(&mut self, first: Incoming) -> Result<(), End> {
        let mut incoming = first;
        for handled in 1.. {
            self.heard_at = self.rooms.clock.elapsed();
            match incoming {
                Incoming::Text(text) => {
                    self.asked_at = self.heard_at;
                    self.handle(&text).await?;
                    drop(self.socket.take_in_flight());
                }
                Incoming::Alive => {}
                Incoming::Left => return Err(End::Left),
                Incoming::TooLong => return Err(End::Fatal(self.message_too_long())),
                Incoming::Broken(close) => {
                    self.rooms.metrics.protocol_errors.inc();
                    return Err(close.into());
                }
            }
            if handled == MESSAGES_IN_A_ROW_MAX || !self.reads_on() {
                break;
            }
            let Some(next) = self.socket.receive_now() else {
                break;
            };
            incoming = next;
        }
        Ok(())
    }

    /// A client whose connection merely closes would send the same again each time it comes back.
    fn message_too_long(&self) -> String {
        let bytes = self.rooms.options.frame_bytes_max;
        format!("MessageTooLong: a message has at most {bytes} bytes.")
    }

    /// When something is due by the clock, though nothing happens.
    fn next_due(&self) -> Duration {
        let options = &self.rooms.options;
        let ping = self.sent_at.saturating_add(options.ping_after);
        let probe = self
            .heard_at
            .max(self.probed_at)
            .saturating_add(options.probe_after);
        let lost = self.heard_at.saturating_add(options.silence_max);
        let idle = self.idle_since().map_or(Duration::MAX, |since| {
            since.saturating_add(options.anonymous_idle_max)
        });
        let due = ping.min(probe).min(lost).min(idle);
        self.held_back_until().map_or(due, |until| due.min(until))
    }

    /// Asks a silent client for a sign of life; drops one that gives none.
    async fn check_silence(&mut self) -> Result<(), End> {
        let now = self.rooms.clock.elapsed();
        // A client that is not read from cannot be heard.
        if self.socket.take_progress() || (!self.reads_on() && !self.is_draining) {
            self.heard_at = now;
        }
        let silent_for = now.saturating_sub(self.heard_at);
        if silent_for >= self.rooms.options.silence_max {
            return Err(End::Gone);
        }
        let probe_after = self.rooms.options.probe_after;
        if now
            >= self
                .heard_at
                .max(self.probed_at)
                .saturating_add(probe_after)
        {
            self.probed_at = now;
            self.socket.probe().await?;
            self.socket.flush().await?;
        }
        Ok(())
    }

    /// The moment since when an anonymous connection has had no work.
    fn idle_since(&self) -> Option<Duration> {
        let is_idle = self.gatekeeper.is_anonymous()
            && self.subscriber.is_empty()
            && self.mutations_pending == 0
            && self.actions_pending == 0;
        is_idle.then_some(self.asked_at)
    }

    /// Unused sockets are not held open for strangers; a client that wants one connects again.
    fn check_idle(&self) -> Result<(), End> {
        let idle_max = self.rooms.options.anonymous_idle_max;
        let now = self.rooms.clock.elapsed();
        match self.idle_since() {
            Some(since) if now.saturating_sub(since) >= idle_max => {
                Err(Close::try_again("Idle").into())
            }
            _ => Ok(()),
        }
    }

    /// A draining connection closes once its calls have their outcome.
    fn check_drained(&self) -> Result<(), End> {
        match self.is_draining && self.mutations_pending == 0 && self.actions_pending == 0 {
            true => Err(Close::going_away().into()),
            false => Ok(()),
        }
    }

    async fn end(mut self, end: End) {
        self.seat.closing(|| format!("{end:?}"));
        let close = match end {
            End::Left => {
                tracing::debug!("closed by the client");
                drop(self.subscriber);
                return self.socket.part().await;
            }
            End::Gone => {
                tracing::debug!("lost the client");
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
        let text = message.to_json();
        self.seat.sent(&text);
        // A client that cannot be told any more is closed all the same.
        let _ = self.socket.feed(text).await;
        let _ = self.socket.flush().await;
        Close::without_code()
    }
}
