//! Many connections on one thread, made to be light: the load generator must never become what is measured.
//!
//! One thread waits for sockets with `mio` and reads incoming bytes into one buffer that all connections share. It
//! looks at each message no further than it has to, and writes all due requests of a connection with one call. Every
//! run reports its usage beside the server's own. The hidden scenario `echo` measures the floor: the same client
//! against a server that does nothing.

pub mod answers;
pub mod blocking;
pub mod connection;
pub mod frames;
pub mod messages;
mod timer;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

pub use connection::{Connection, News, Protocol};
use timer::{TIMER, Timer};

/// A scenario's reaction to the news of its connections.
pub trait Work {
    /// A connection has news, at `now`. Messages sent on it now go out in one write with all others.
    fn news(&mut self, connection: &mut Connection, news: News<'_>, now: Instant);

    /// A connection has ended, by the server's doing or the network's.
    fn ended(&mut self, number: usize, why: io::Error, now: Instant);

    /// Called after each round of news and at each time that it returned before. Messages sent on connections here go
    /// out after it when the connections are named with [`Connections::touch`].
    fn turn(&mut self, connections: &mut Connections, now: Instant) -> Next;
}

/// The step after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Wait for news until then at most.
    Until(Instant),
    /// Everything was done.
    Done,
}

/// All connections of a run.
pub struct Connections {
    poll: Poll,
    timer: Timer,
    address: SocketAddr,
    protocol: Protocol,
    all: Vec<Option<Connection>>,
    touched: Vec<usize>,
    /// Connections that have begun and are not open yet.
    opening: usize,
}

/// The most bytes read at once.
const SCRATCH_BYTES: usize = 256 << 10;
const EVENTS_MAX: usize = 4_096;
/// Connections that may wait for the server to take them up. Systems drop more than their backlog, and what was dropped
/// is tried again after a whole second.
const OPENING_MAX: usize = 1_000;
/// Shorter waits are left to the timer, longer ones to the event loop and its milliseconds.
const TIMER_WAIT_MAX: Duration = Duration::from_millis(20);

impl Connections {
    /// No connections yet to the server at `address`.
    pub fn new(address: SocketAddr, protocol: Protocol) -> io::Result<Connections> {
        let poll = Poll::new()?;
        Ok(Connections {
            timer: Timer::new(poll.registry())?,
            poll,
            address,
            protocol,
            all: Vec::new(),
            touched: Vec::new(),
            opening: 0,
        })
    }

    /// Begins one more connection and returns its number.
    pub fn begin(&mut self) -> io::Result<usize> {
        let number = self.all.len();
        self.begin_at(number)?;
        Ok(number)
    }

    /// Begins connections until there are `total`: a few at a time, as many as a server can be expected to have waiting.
    pub fn open_up_to(&mut self, total: usize) -> io::Result<()> {
        while self.all.len() < total && !self.is_opening_many() {
            self.begin()?;
        }
        Ok(())
    }

    /// Whether as many connections wait for the server as can be expected of it.
    pub fn is_opening_many(&self) -> bool {
        self.opening >= OPENING_MAX
    }

    /// Begins the connection `number`: the next one, or one in the place of another that has ended.
    pub fn begin_at(&mut self, number: usize) -> io::Result<()> {
        let registry = self.poll.registry();
        let connection = Connection::begin(number, self.address, self.protocol, registry)?;
        match self.all.get_mut(number) {
            Some(place) => *place = Some(connection),
            None => self.all.push(Some(connection)),
        }
        self.opening += 1;
        Ok(())
    }

    /// A connection to send on, until it has ended. Queued messages go out after the turn.
    pub fn touch(&mut self, number: usize) -> Option<&mut Connection> {
        let connection = self.all[number].as_mut()?;
        self.touched.push(number);
        Some(connection)
    }

    /// Cuts a connection without a goodbye.
    pub fn cut(&mut self, number: usize) {
        if let Some(mut connection) = self.all[number].take() {
            self.opening -= usize::from(!connection.is_open());
            // One that cannot be taken off the loop is off it when it is dropped.
            let _ = self.poll.registry().deregister(connection.stream());
        }
    }

    /// Lets `work` run until it is done.
    pub fn drive(&mut self, work: &mut impl Work) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut scratch = vec![0; SCRATCH_BYTES];
        loop {
            let mut now = Instant::now();
            let Next::Until(wake) = work.turn(self, now) else {
                return Ok(());
            };
            self.flush_touched(work, now);
            let wait = self.prepare_wait(wake)?;
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                if event.token() == TIMER {
                    continue;
                }
                let number = event.token().0;
                let Some(connection) = &mut self.all[number] else {
                    continue;
                };
                now = Instant::now();
                let news = |connection: &mut Connection, news: News<'_>| {
                    self.opening -= usize::from(matches!(news, News::Open));
                    work.news(connection, news, now);
                };
                let outcome = connection.happened(event, &mut scratch, news);
                if let Err(why) = outcome.and_then(|()| connection.flush()) {
                    self.cut(number);
                    work.ended(number, why, now);
                }
            }
        }
    }

    /// How long to wait for events so that the loop is awake at `wake`.
    fn prepare_wait(&mut self, wake: Instant) -> io::Result<Duration> {
        let wait = wake.saturating_duration_since(Instant::now());
        if wait.is_zero() || wait >= TIMER_WAIT_MAX {
            return Ok(wait);
        }
        self.timer.set(wait)?;
        Ok(wait.max(Duration::from_millis(1)))
    }

    fn flush_touched(&mut self, work: &mut impl Work, now: Instant) {
        let mut touched = std::mem::take(&mut self.touched);
        for number in touched.drain(..) {
            let Some(connection) = &mut self.all[number] else {
                continue;
            };
            if let Err(why) = connection.flush() {
                self.cut(number);
                work.ended(number, why, now);
            }
        }
        self.touched = touched;
    }
}
