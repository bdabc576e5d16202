//! A wire between a client and a server that a test can cut, or make deaf on one side.

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
    listening: tokio::task::JoinHandle<()>,
}

#[derive(Clone, Copy, Default)]
struct Mode {
    /// Connections made before this one are cut.
    generation: u64,
    /// What the server says is thrown away.
    is_mute: bool,
    /// New connections are closed at once.
    is_down: bool,
}

impl Proxy {
    /// A wire to the server at `target`, an address with a port.
    pub async fn start(target: &str) -> anyhow::Result<Proxy> {
        let target = target.trim_start_matches("http://").to_string();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (mode, watched) = watch::channel(Mode::default());
        let accepted = Arc::new(AtomicUsize::new(0));
        let counted = accepted.clone();
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if watched.borrow().is_down {
                    continue;
                }
                counted.fetch_add(1, Ordering::SeqCst);
                let (target, watched) = (target.clone(), watched.clone());
                tokio::spawn(async move {
                    // Ends when either side has gone or the wire is cut, which is what it is for.
                    let _ = pass_on(client, &target, watched).await;
                });
            }
        });
        Ok(Proxy {
            address,
            mode,
            accepted,
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

    /// Throws away what the server says from now on, until the next [`Proxy::cut`].
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

async fn pass_on(
    mut client: TcpStream,
    target: &str,
    mut mode: watch::Receiver<Mode>,
) -> anyhow::Result<()> {
    let generation = mode.borrow().generation;
    let mut server = TcpStream::connect(target).await.context("no server")?;
    let (mut said, mut answered) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    loop {
        tokio::select! {
            changed = mode.changed() => {
                changed?;
                if mode.borrow().generation != generation {
                    return Ok(());
                }
            }
            read = client.read(&mut said) => match read? {
                0 => return Ok(()),
                length => server.write_all(&said[..length]).await?,
            },
            read = server.read(&mut answered) => match read? {
                0 => return Ok(()),
                length if !mode.borrow().is_mute => client.write_all(&answered[..length]).await?,
                _ => {}
            },
        }
    }
}
