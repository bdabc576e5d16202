//! The processes of one code: a call goes to one that answers, and another is started when none does.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;

use super::Node;
use super::code::NodeCode;
use super::process::{Process, Seat};
use crate::functions::error::{Error, Result};

/// Processes of one code. More than one is there while an action keeps one busy.
const PROCESSES_OF_CODE_MAX: usize = 4;
/// The pause before another process is started after one that broke; it doubles with each.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A process that lived so long broke by itself, and not because of its start.
const LIVED_LONG: Duration = Duration::from_secs(60);

/// The processes of one code.
#[derive(Default)]
pub struct Pool {
    processes: Mutex<Vec<Arc<Process>>>,
    /// Held while a process is started, so that calls that come together start one.
    starting: AsyncMutex<()>,
    broken: Mutex<Broken>,
}

/// Processes that broke one after another.
#[derive(Default)]
struct Broken {
    count: u32,
    /// On the clock's own count.
    pause_until: Duration,
}

impl Pool {
    /// A seat in a process of `code`, which is started if there is none to sit in.
    pub async fn seat(&self, node: &Arc<Node>, code: &Arc<NodeCode>) -> Result<Seat> {
        if let Some(seat) = self.responsive(node) {
            return Ok(seat);
        }
        let _starting = self.starting.lock().await;
        if let Some(seat) = self.responsive(node) {
            return Ok(seat);
        }
        let has_all = self.processes.lock().len() >= PROCESSES_OF_CODE_MAX;
        let room = match has_all {
            true => None,
            false => node.room_for_another().await,
        };
        let Some(room) = room else {
            return self.any().ok_or_else(|| Error::plain(TOO_MANY));
        };
        self.pause(node).await;
        let process = Process::start(node, code, room).await?;
        // One that ends takes itself off the list after it has closed.
        let mut processes = self.processes.lock();
        let seat = process.seat().ok_or_else(|| process.lost())?;
        processes.push(process);
        Ok(seat)
    }

    /// A seat in the process with the fewest calls among those that answer.
    fn responsive(&self, node: &Node) -> Option<Seat> {
        let now = node.clock.elapsed();
        self.least(|process| process.is_responsive(now))
    }

    fn any(&self) -> Option<Seat> {
        self.least(|_| true)
    }

    fn least(&self, is_fit: impl Fn(&Process) -> bool) -> Option<Seat> {
        let processes = self.processes.lock();
        let fit = processes.iter().filter(|process| is_fit(process));
        let open = fit.filter(|process| process.is_open());
        open.min_by_key(|process| process.calls())?.seat()
    }

    /// Whether a process takes no more calls and has not ended yet.
    pub fn has_closed(&self) -> bool {
        let processes = self.processes.lock();
        processes.iter().any(|process| !process.is_open())
    }

    /// The processes that do nothing, and since when.
    pub fn idle(&self) -> Vec<(Duration, Arc<Process>)> {
        let processes = self.processes.lock();
        let idle = processes.iter();
        idle.filter_map(|process| Some((process.idle_since()?, process.clone())))
            .collect()
    }

    async fn pause(&self, node: &Node) {
        let until = self.broken.lock().pause_until;
        if node.clock.elapsed() < until {
            node.clock.sleep_until(until).await;
        }
    }

    /// A process of this code has ended. `lived` is for how long it was there, if it broke.
    pub fn ended(&self, process: &Process, now: Duration, lived: Option<Duration>) {
        self.processes
            .lock()
            .retain(|other| !std::ptr::eq(&**other, process));
        let Some(lived) = lived else { return };
        let mut broken = self.broken.lock();
        broken.count = match lived < LIVED_LONG {
            true => broken.count.saturating_add(1),
            false => 1,
        };
        let doubled = PAUSE.saturating_mul(1 << (broken.count - 1).min(10));
        broken.pause_until = now + doubled.min(PAUSE_MAX);
    }

    /// Shows each process.
    pub fn each(&self, see: &mut impl FnMut(&Process)) {
        self.processes
            .lock()
            .iter()
            .for_each(|process| see(process));
    }

    /// Has each process look whether it has anything left to do.
    pub fn look(&self) {
        self.processes
            .lock()
            .iter()
            .for_each(|process| process.look());
    }
}

const TOO_MANY: &str = "As many Node.js processes run as may be, with actions of earlier pushes in them. Try again later.";
