//! One process of Node.js: how it is started, how calls sit in it, and how it ends.
//!
//! The process and the server talk by a socket that is the process's standard input. It ends when the socket closes, and
//! with it when the server dies. A process in an endless loop does not notice that: its processor time is a lease, which
//! the server renews while the process answers.

use std::collections::HashMap;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::unix::OwnedReadHalf;
use tokio::process::Child;
use tokio::sync::{Notify, mpsc, oneshot};
use vestibule_isolate::Thrown;

use super::code::NodeCode;
use super::frames::{self, FromNode, ToNode};
use super::launch::{Launched, launch};
use super::lease::Lease;
use super::outgoing::{Outgoing, Overloaded, Written, outgoing};
use super::{Node, Room};
use crate::clock::timeout;
use crate::functions::error::{Error, Result};

/// Time in which a process has to be ready for calls.
const START_TIME_MAX: Duration = Duration::from_secs(30);
/// Between two questions whether it is alive.
const BEAT: Duration = Duration::from_secs(1);
/// A process that has not answered for so long gets no more calls while another can be started.
const STALLED: Duration = Duration::from_millis(1_500);
/// How long a process waits for its code to become live after it was analyzed.
const UNUSED_IDLE_TIME: Duration = Duration::from_secs(60);
/// Between two processes that are started because a module could not be loaded.
const RELOAD_PAUSE: Duration = Duration::from_secs(1);
/// Messages of one call that wait to be looked at.
const EVENTS_MAX: usize = 8;
/// The end of what a process printed, where it says why it ended.
const PRINTED_BYTES_KEPT: usize = 4_096;
/// Node.js prints this when its heap is full.
const HEAP_FULL: &str = "heap out of memory";

/// What a call does in its process.
pub enum Event {
    Operation {
        operation: u64,
        name: String,
        args: Vec<serde_json::Value>,
        bytes: Vec<u8>,
    },
    Console {
        level: String,
        messages: Vec<String>,
        stack: Option<String>,
    },
    Returned(String),
    Threw(Thrown),
}

/// Why a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It had nothing left to do, or the server ends.
    Done,
    /// It did not answer for as long as an action may keep it busy.
    Hung,
    /// Its heap was full.
    OutOfMemory,
    /// It ended by itself: with this status.
    Broke(String),
}

/// One process.
pub struct Process {
    node: Arc<Node>,
    code: Arc<NodeCode>,
    outgoing: Outgoing,
    state: Mutex<State>,
    changed: Notify,
    printed: Mutex<Vec<u8>>,
    began: Duration,
    _room: Room,
}

#[derive(Default)]
struct State {
    calls: HashMap<u64, mpsc::Sender<Event>>,
    last_call: u64,
    /// It gets no more calls.
    is_closed: bool,
    unanswered_since: Option<Duration>,
    idle_since: Duration,
    resident_bytes: u64,
    ending: Option<Ending>,
    ready: Option<oneshot::Sender<()>>,
}

/// A call's place in a process, until it is dropped.
pub struct Seat {
    pub process: Arc<Process>,
    pub call: u64,
    pub events: mpsc::Receiver<Event>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.process.leave(self.call);
    }
}

impl Process {
    /// Starts a process, and waits until it can take calls.
    pub async fn start(node: &Arc<Node>, code: &Arc<NodeCode>, room: Room) -> Result<Arc<Process>> {
        let program = node.program().await.map_err(Error::plain)?;
        let packages = node.packages(program, &code.parts.packages).await?;
        let launched = launch(node, program, code, packages.as_deref()).await;
        let launched = launched.map_err(|error| {
            tracing::error!(%error, "Node.js cannot be started");
            Error::plain(format!("Node.js cannot be started: {error}"))
        })?;
        let (outgoing, to_write) = outgoing();
        let (tell_ready, ready) = oneshot::channel();
        let now = node.clock.elapsed();
        let process = Arc::new(Process {
            node: node.clone(),
            code: code.clone(),
            outgoing,
            state: Mutex::new(State {
                idle_since: now,
                ready: Some(tell_ready),
                ..State::default()
            }),
            changed: Notify::new(),
            printed: Mutex::default(),
            began: now,
            _room: room,
        });
        process.send(&launched.setup(node, code));
        node.counts.started();
        tokio::spawn(process.clone().live(launched, to_write));
        match timeout(&*node.clock, START_TIME_MAX, ready).await {
            Some(Ok(())) => Ok(process),
            Some(Err(_)) => Err(process.lost()),
            None => {
                process.end(Ending::Hung);
                Err(Error::plain("Node.js did not start in time."))
            }
        }
    }

    /// Whether it has answered lately.
    pub fn is_responsive(&self, now: Duration) -> bool {
        let asked = self.state.lock().unanswered_since;
        asked.is_none_or(|asked| now.saturating_sub(asked) < STALLED)
    }

    /// Whether it takes calls.
    pub fn is_open(&self) -> bool {
        !self.state.lock().is_closed
    }

    /// Calls that sit in it.
    pub fn calls(&self) -> usize {
        self.state.lock().calls.len()
    }

    /// Since when it has done nothing, on the clock's own count. None of one that does something, or takes no calls.
    pub fn idle_since(&self) -> Option<Duration> {
        let state = self.state.lock();
        let is_idle = state.calls.is_empty() && state.ready.is_none() && !state.is_closed;
        is_idle.then_some(state.idle_since)
    }

    /// Memory that it has by its own account.
    pub fn resident_bytes(&self) -> u64 {
        self.state.lock().resident_bytes
    }

    /// A place for another call; none if it takes none.
    pub fn seat(self: &Arc<Self>) -> Option<Seat> {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let mut state = self.state.lock();
        if state.is_closed {
            return None;
        }
        state.last_call += 1;
        let call = state.last_call;
        state.calls.insert(call, sender);
        Some(Seat {
            process: self.clone(),
            call,
            events,
        })
    }

    fn leave(&self, call: u64) {
        let mut state = self.state.lock();
        state.calls.remove(&call);
        state.idle_since = self.node.clock.elapsed();
        drop(state);
        self.send(&ToNode::End { call });
        self.look();
    }

    /// Sends a small message. To a process that has ended, it is lost.
    pub fn send(&self, message: &ToNode<'_>) {
        self.outgoing.send(message);
    }

    /// Sends a message of any size, unless too much waits for the process already.
    pub fn offer(&self, message: &ToNode<'_>, bytes: &[u8]) -> std::result::Result<(), Overloaded> {
        self.outgoing.offer(message, bytes)
    }

    /// Takes no more calls, and ends with those that it has: something in it may go on for ever.
    pub fn close(&self) {
        self.state.lock().is_closed = true;
        self.look();
    }

    /// Has it look whether it has anything left to do.
    pub fn look(&self) {
        self.changed.notify_one();
    }

    /// Ends it at once.
    fn end(&self, ending: Ending) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.ending.get_or_insert(ending);
        drop(state);
        self.look();
    }

    /// The error of a call whose process has ended.
    pub fn lost(&self) -> Error {
        let ending = self.state.lock().ending.clone();
        self.node.lost(&ending.unwrap_or(Ending::Done))
    }

    /// Its life: until it ends by itself, has nothing left to do, or does not answer any more.
    async fn live(self: Arc<Self>, launched: Launched, to_write: Written) {
        let Launched {
            mut child,
            socket,
            temporary,
            sign,
            ..
        } = launched;
        let (reading, writing) = socket.into_split();
        let lease = Lease::of(&child, self.node.step_max);
        lease.renew(Duration::ZERO);
        let writer = tokio::spawn(to_write.to(writing));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let printing = [
            stdout.map(|from| tokio::spawn(self.clone().keep_printed(from))),
            stderr.map(|from| tokio::spawn(self.clone().keep_printed(from))),
        ];
        let gone = tokio::spawn(self.clone().read(reading, lease));
        let ending = self.watch(gone).await;
        let ending = match ending {
            Some(ending) => {
                // It may have ended meanwhile.
                let _ = child.start_kill();
                let _ = child.wait().await;
                ending
            }
            None => {
                let status = self.status(&mut child).await;
                for reading in printing.into_iter().flatten() {
                    // The pipes close with the process.
                    let _ = reading.await;
                }
                self.why(status)
            }
        };
        writer.abort();
        drop(sign);
        self.node.run.remove(temporary);
        self.ended(ending);
    }

    /// Waits for the end. `None` when it came by itself.
    async fn watch(&self, gone: tokio::task::JoinHandle<()>) -> Option<Ending> {
        let clock = &self.node.clock;
        let mut gone = gone;
        let mut beat = clock.elapsed() + BEAT;
        let ending = loop {
            tokio::select! {
                biased;
                () = self.node.ending.cancelled() => break Ending::Done,
                // A reader that panicked has ended too.
                _ = &mut gone => return None,
                () = self.changed.notified() => {}
                () = clock.sleep_until(beat) => {
                    beat = clock.elapsed() + BEAT;
                    self.beat();
                }
            }
            if let Some(ending) = self.is_over() {
                break ending;
            }
        };
        gone.abort();
        Some(ending)
    }

    /// Asks whether it is alive, or says that it does not answer.
    fn beat(&self) {
        let now = self.node.clock.elapsed();
        let mut state = self.state.lock();
        if state.ready.is_some() {
            let is_late = now.saturating_sub(self.began) > START_TIME_MAX;
            drop(state);
            // Whoever started it may have gone.
            return if is_late {
                self.end(Ending::Hung)
            };
        }
        match state.unanswered_since {
            None => {
                state.unanswered_since = Some(now);
                drop(state);
                self.send(&ToNode::Ping);
            }
            Some(asked) if now.saturating_sub(asked) > self.node.step_max => {
                drop(state);
                self.end(Ending::Hung);
            }
            Some(_) => {}
        }
    }

    /// Why it is to end now, if it is.
    fn is_over(&self) -> Option<Ending> {
        let mut state = self.state.lock();
        if state.ending.is_some() {
            return state.ending.clone();
        }
        if !state.calls.is_empty() || state.ready.is_some() {
            return None;
        }
        let idle = self.node.clock.elapsed().saturating_sub(state.idle_since);
        let idle_time_max = match self.code.is_unused() {
            true => UNUSED_IDLE_TIME.min(self.node.options.idle_time_max),
            false => self.node.options.idle_time_max,
        };
        let is_over = state.is_closed || self.code.is_retired() || idle > idle_time_max;
        state.is_closed |= is_over;
        is_over.then_some(Ending::Done)
    }

    async fn status(&self, child: &mut Child) -> Option<ExitStatus> {
        // It has closed its socket, so it is about to end.
        let waited = timeout(&*self.node.clock, BEAT, child.wait()).await;
        let _ = child.start_kill();
        match waited {
            Some(status) => status.ok(),
            None => child.wait().await.ok(),
        }
    }

    fn why(&self, status: Option<ExitStatus>) -> Ending {
        let printed = self.printed.lock();
        match String::from_utf8_lossy(&printed).contains(HEAP_FULL) {
            true => Ending::OutOfMemory,
            false => Ending::Broke(
                status.map_or("an unknown status".to_owned(), |status| status.to_string()),
            ),
        }
    }

    /// Tells everybody that it has ended.
    fn ended(&self, ending: Ending) {
        let now = self.node.clock.elapsed();
        let mut state = self.state.lock();
        state.is_closed = true;
        let ending = state.ending.get_or_insert(ending).clone();
        let calls = std::mem::take(&mut state.calls);
        state.ready = None;
        drop(state);
        let is_broken = ending != Ending::Done;
        if is_broken {
            self.node.counts.broke();
            let calls = calls.len();
            tracing::warn!(?ending, calls, "a process of Node.js ended before its time");
        }
        let lived = is_broken.then(|| now.saturating_sub(self.began));
        self.code.pool.ended(self, now, lived);
    }

    /// Reads messages to the end.
    async fn read(self: Arc<Self>, mut reading: OwnedReadHalf, lease: Lease) {
        loop {
            match frames::read(&mut reading).await {
                Ok((message, bytes)) => self.take(message, bytes, &lease).await,
                Err(error) => {
                    tracing::debug!(%error, "a process of Node.js closed its socket");
                    return;
                }
            }
        }
    }

    async fn take(&self, message: FromNode, bytes: Vec<u8>, lease: &Lease) {
        let (call, event) = match message {
            FromNode::Ready => {
                let ready = self.state.lock().ready.take();
                // Whoever waited may have gone.
                let _ = ready.map(|ready| ready.send(()));
                return;
            }
            FromNode::Pong {
                resident_bytes,
                cpu_micros,
            } => {
                lease.renew(Duration::from_micros(cpu_micros));
                let mut state = self.state.lock();
                state.unanswered_since = None;
                state.resident_bytes = resident_bytes;
                drop(state);
                if resident_bytes > self.node.resident_bytes_max() {
                    self.end(Ending::OutOfMemory);
                }
                return;
            }
            FromNode::Judge {
                judgement,
                host,
                port,
                addresses,
            } => {
                let refusals = self.node.judge(&host, port, &addresses);
                let judged = ToNode::Judged {
                    judgement,
                    refusals,
                };
                return self.send(&judged);
            }
            FromNode::Operation {
                call,
                operation,
                name,
                args,
            } => {
                let operation = Event::Operation {
                    operation,
                    name,
                    args,
                    bytes,
                };
                (call, operation)
            }
            FromNode::Console {
                call,
                level,
                messages,
                stack,
            } => {
                let console = Event::Console {
                    level,
                    messages,
                    stack,
                };
                (call, console)
            }
            FromNode::Returned { call, text } => (call, Event::Returned(text)),
            FromNode::Threw {
                call,
                name,
                message,
                stack,
                data,
                failed_to_load,
            } => {
                if failed_to_load {
                    self.forget_module();
                }
                let thrown = Thrown {
                    name,
                    message,
                    stack,
                    is_convex_error: data.is_some(),
                    data,
                };
                (call, Event::Threw(thrown))
            }
        };
        let events = self.state.lock().calls.get(&call).cloned();
        if let Some(events) = events {
            // The call may have ended.
            let _ = events.send(event).await;
        }
    }

    /// A module that could not be loaded fails for as long as this process lives, so the next call gets another one. The
    /// module may always fail: calls that go on here cost a process for each that they keep, so there is one such at a time.
    fn forget_module(&self) {
        let lived = self.node.clock.elapsed().saturating_sub(self.began);
        if lived >= RELOAD_PAUSE && !self.code.pool.has_closed() {
            self.close();
        }
    }

    /// Keeps the end of what it prints, and shows all of it to an operator who asks.
    async fn keep_printed(self: Arc<Self>, mut from: impl AsyncRead + Unpin) {
        let mut chunk = vec![0; PRINTED_BYTES_KEPT];
        while let Ok(bytes @ 1..) = from.read(&mut chunk).await {
            let text = String::from_utf8_lossy(&chunk[..bytes]);
            tracing::debug!(%text, "a process of Node.js printed");
            let mut printed = self.printed.lock();
            printed.extend_from_slice(&chunk[..bytes]);
            let beyond = printed.len().saturating_sub(PRINTED_BYTES_KEPT);
            printed.drain(..beyond);
        }
    }
}
