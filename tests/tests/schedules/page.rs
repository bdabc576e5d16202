//! An application on one of our clients, seen from the schedule. It has a wire of its own to the server, acts that it
//! takes one after another, and its story.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use vestibule_tests::proxy::Proxy;
use vestibule_tests::story::Saw;

use super::child::PATIENCE;
use super::driver::{Act, Mint};
use super::react_app::{self, Pages};
use super::rust_app;

/// The record on which an application and its tasks write.
pub struct Desk {
    story: Mutex<Vec<Saw>>,
    /// Acts that have not been taken, and calls and logins that have no outcome.
    open: watch::Sender<usize>,
}

impl Desk {
    /// Notes what was seen just now.
    pub fn saw(&self, saw: Saw) {
        self.story.lock().push(saw);
    }

    /// Something begins that has an end.
    pub fn begin(self: &Arc<Self>) -> Open {
        self.open.send_modify(|open| *open += 1);
        Open(self.clone())
    }
}

/// Something that has not ended. It ends when this is dropped.
pub struct Open(Arc<Desk>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

/// An act that has not been taken.
pub type Order = (Act, Open);

/// The application as the schedule has it.
pub struct Page {
    wire: Proxy,
    is_lost: bool,
    desk: Arc<Desk>,
    orders: mpsc::UnboundedSender<Order>,
    app: JoinHandle<()>,
    /// Sockets that an earlier life of the server knew.
    forgotten: usize,
}

impl Page {
    /// One on the React package, in a process with pages, or on the Rust client.
    pub async fn new(
        pages: Option<Arc<Pages>>,
        c: usize,
        mint: Mint,
        url: &str,
    ) -> anyhow::Result<Page> {
        let wire = Proxy::start(url).await?;
        let desk = Arc::new(Desk {
            story: Mutex::default(),
            open: watch::Sender::new(0),
        });
        let (orders, taken) = mpsc::unbounded_channel();
        let (at, desk_of_app) = (wire.url(), desk.clone());
        let app = match pages {
            Some(pages) => tokio::spawn(react_app::run(pages, c, at, mint, desk_of_app, taken)),
            None => tokio::spawn(rust_app::run(c, at, mint, desk_of_app, taken)),
        };
        Ok(Page {
            wire,
            is_lost: false,
            desk,
            orders,
            app,
            forgotten: 0,
        })
    }

    pub fn act(&mut self, act: Act) {
        match act {
            Act::Lose => {
                self.is_lost = true;
                self.wire.go_down();
            }
            Act::Reconnect => {
                self.is_lost = false;
                self.wire.cut();
            }
            // An application that has failed is noticed when it is asked for its end.
            act => drop(self.orders.send((act, self.desk.begin()))),
        }
    }

    /// Puts the wire in order again, if it is not.
    pub fn open_way(&mut self) {
        if self.is_lost {
            self.act(Act::Reconnect);
        }
    }

    pub async fn settle(&mut self, limit: Duration) -> bool {
        let mut open = self.desk.open.subscribe();
        let settled = open.wait_for(|open| *open == 0);
        matches!(timeout(limit, settled).await, Ok(Ok(_)))
    }

    pub fn lead_to(&self, url: Option<&str>) {
        self.wire.lead_to(url);
    }

    /// The server that knew the sockets so far is gone.
    pub async fn forget_sockets(&mut self) {
        self.wire.idle().await;
        self.forgotten = self.wire.answered();
    }

    pub async fn end(self) -> anyhow::Result<(usize, Vec<Saw>)> {
        drop(self.orders);
        self.app.await?;
        timeout(PATIENCE, self.wire.idle()).await?;
        let story = std::mem::take(&mut *self.desk.story.lock());
        Ok((self.wire.answered() - self.forgotten, story))
    }
}
