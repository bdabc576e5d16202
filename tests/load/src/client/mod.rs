//! Many connections on one thread, made to be light: the load generator must be far from being what is measured.
//!
//! One thread waits for sockets with `mio`, reads what came into one buffer that all connections share, looks at each
//! message no further than it has to, and writes all requests that a connection is due with one call. How much it takes
//! is reported beside the server's own usage with every run, and the hidden scenario `echo` measures the floor: the same
//! client against a server that does nothing.

pub mod connection;
pub mod frames;
pub mod messages;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

pub use connection::{Connection, News};

/// What a scenario does with what comes over its connections.
pub trait Work {
    /// Something came over a connection, at `now`. What is sent on it now goes out in one write with all else.
    fn news(&mut self, connection: &mut Connection, news: News<'_>, now: Instant);

    /// A connection has ended, by the server's doing or the network's.
    fn ended(&mut self, number: usize, why: io::Error, now: Instant);

    /// Called after each round of news and whenever the time has come that it returned before. What is sent on
    /// connections here goes out after it when they are named with [`Connections::touch`].
    fn turn(&mut self, connections: &mut Connections, now: Instant) -> Next;
}

/// What comes after a turn.
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
    address: SocketAddr,
    path: String,
    all: Vec<Option<Connection>>,
    touched: Vec<usize>,
}

/// What is read at once.
const SCRATCH_BYTES: usize = 256 << 10;
const EVENTS_MAX: usize = 4_096;

impl Connections {
    /// No connections yet to the server at `address`, which takes WebSockets at `path`.
    pub fn new(address: SocketAddr, path: &str) -> io::Result<Connections> {
        Ok(Connections {
            poll: Poll::new()?,
            address,
            path: path.to_string(),
            all: Vec::new(),
            touched: Vec::new(),
        })
    }

    /// Begins one more connection and returns its number.
    pub fn begin(&mut self) -> io::Result<usize> {
        let number = self.all.len();
        self.all.push(None);
        self.begin_again(number)?;
        Ok(number)
    }

    /// Begins a connection in the place of one that has ended.
    pub fn begin_again(&mut self, number: usize) -> io::Result<()> {
        let registry = self.poll.registry();
        let connection = Connection::begin(number, self.address, &self.path, registry)?;
        self.all[number] = Some(connection);
        Ok(())
    }

    /// A connection to send on, until it has ended. What is queued goes out after the turn.
    pub fn touch(&mut self, number: usize) -> Option<&mut Connection> {
        let connection = self.all[number].as_mut()?;
        self.touched.push(number);
        Some(connection)
    }

    /// Cuts a connection without a goodbye.
    pub fn cut(&mut self, number: usize) {
        if let Some(mut connection) = self.all[number].take() {
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
            let wait = wake.saturating_duration_since(Instant::now());
            match self.poll.poll(&mut events, Some(whole_millis(wait))) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                let number = event.token().0;
                let Some(connection) = &mut self.all[number] else {
                    continue;
                };
                now = Instant::now();
                let mut outcome = Ok(());
                if event.is_readable() || event.is_error() || event.is_read_closed() {
                    let news = |connection: &mut Connection, news: News<'_>| {
                        work.news(connection, news, now)
                    };
                    outcome = connection.receive(&mut scratch, event.is_read_closed(), news);
                }
                if let Err(why) = outcome.and_then(|()| connection.flush()) {
                    self.cut(number);
                    work.ended(number, why, now);
                }
            }
        }
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

/// The system waits in whole milliseconds and would round up; an arrival that is due sooner is not waited for at all.
fn whole_millis(wait: Duration) -> Duration {
    Duration::from_millis(wait.as_millis() as u64)
}
