//! A wire between a client and a server that a test can cut, make deaf on one side, or lead to another server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on to a server. Dropping it cuts them all.
pub struct Proxy {
    address: String,
    mode: watch::Sender<Mode>,
    accepted: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
    /// Connections under way.
    open: watch::Sender<usize>,
    listening: tokio::task::JoinHandle<()>,
}

#[derive(Clone, Default)]
struct Mode {
    /// Where the server is, if there is one.
    target: Option<Arc<str>>,
    /// Connections made before this one are cut.
    generation: u64,
    /// The server's messages are thrown away.
    is_mute: bool,
    /// New connections are closed at once.
    is_down: bool,
}

impl Proxy {
    /// A wire to the server at `target`, an address with a port.
    pub async fn start(target: &str) -> anyhow::Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (mode, watched) = watch::channel(Mode {
            target: Some(address_of(target)),
            ..Mode::default()
        });
        let (accepted, answered) = (Arc::default(), Arc::default());
        let open = watch::Sender::new(0);
        let counts = Counts {
            accepted: Arc::clone(&accepted),
            answered: Arc::clone(&answered),
            open: open.clone(),
        };
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let watched = watched.clone();
                let Mode {
                    generation,
                    target: Some(target),
                    is_down: false,
                    ..
                } = watched.borrow().clone()
                else {
                    continue;
                };
                counts.accepted.fetch_add(1, Ordering::SeqCst);
                counts.open.send_modify(|open| *open += 1);
                let counts = counts.clone();
                tokio::spawn(async move {
                    // Ends when either side has gone or the wire is cut, which is what it is for.
                    if let Ok(Gone {
                        is_websocket: true,
                        is_answered: true,
                        ..
                    }) = pass_on(client, &target, generation, watched).await
                    {
                        counts.answered.fetch_add(1, Ordering::SeqCst);
                    }
                    counts.open.send_modify(|open| *open -= 1);
                });
            }
        });
        Ok(Proxy {
            address,
            mode,
            accepted,
            answered,
            open,
            listening,
        })
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections there have been.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// WebSockets that are over, and on which the server had begun to answer.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// Leads new connections to another server, or nowhere.
    pub fn lead_to(&self, target: Option<&str>) {
        let target = target.map(address_of);
        self.mode.send_modify(|mode| mode.target = target);
    }

    /// Waits until no connection is left.
    pub async fn idle(&self) {
        // The sender is this proxy's own.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    /// Cuts every connection. New ones are passed on again, both ways.
    pub fn cut(&self) {
        self.mode.send_modify(|mode| {
            mode.generation += 1;
            mode.is_mute = false;
            mode.is_down = false;
        });
    }

    /// Cuts every connection and takes no new one until the next [`Proxy::cut`].
    pub fn go_down(&self) {
        self.mode.send_modify(|mode| {
            mode.generation += 1;
            mode.is_down = true;
        });
    }

    /// Throws away the server's messages from now on, until the next [`Proxy::cut`].
    pub fn mute_server(&self) {
        self.mode.send_modify(|mode| mode.is_mute = true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.mode.send_modify(|mode| mode.generation += 1);
    }
}

#[derive(Clone)]
struct Counts {
    accepted: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
    open: watch::Sender<usize>,
}

fn address_of(url: &str) -> Arc<str> {
    url.trim_start_matches("http://").into()
}

/// The traffic over a connection.
#[derive(Default)]
struct Gone {
    is_asked: bool,
    /// It began with the request for a WebSocket, as no call of a function does.
    is_websocket: bool,
    is_answered: bool,
}

/// Passes on until one side has gone or the wire is cut. A server that was asked is heard out until it begins to answer,
/// so that its effects are known.
async fn pass_on(
    client: TcpStream,
    target: &str,
    generation: u64,
    mode: watch::Receiver<Mode>,
) -> anyhow::Result<Gone> {
    let mut server = TcpStream::connect(target).await.context("no server")?;
    let mut gone = Gone::default();
    // However that ended, it is over.
    let _ = carry(client, &mut server, generation, mode, &mut gone).await;
    if gone.is_asked && !gone.is_answered {
        gone.is_answered = matches!(server.read(&mut [0; 1]).await, Ok(1));
    }
    Ok(gone)
}

async fn carry(
    mut client: TcpStream,
    server: &mut TcpStream,
    generation: u64,
    mut mode: watch::Receiver<Mode>,
    gone: &mut Gone,
) -> anyhow::Result<()> {
    let (mut said, mut answered) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    loop {
        tokio::select! {
            () = is_cut(generation, &mut mode) => return Ok(()),
            read = client.read(&mut said) => match read? {
                0 => return Ok(()),
                length => {
                    server.write_all(&said[..length]).await?;
                    gone.is_websocket |= !gone.is_asked && said.starts_with(b"GET ");
                    gone.is_asked = true;
                }
            },
            read = server.read(&mut answered) => match read? {
                0 => return Ok(()),
                length => {
                    gone.is_answered = true;
                    let is_mute = mode.borrow().is_mute;
                    if !is_mute {
                        client.write_all(&answered[..length]).await?;
                    }
                }
            },
        }
    }
}

/// Waits until connections of this generation are cut.
async fn is_cut(generation: u64, mode: &mut watch::Receiver<Mode>) {
    // A proxy that is gone has cut them as well.
    let _ = mode.wait_for(|mode| mode.generation != generation).await;
}
