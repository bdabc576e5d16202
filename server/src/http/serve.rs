//! The listener and the life of a connection.
//!
//! A connection's task ends with its peer or with the server. It also ends when a header does not arrive in time, or
//! when the peer does not take a write. The server waits for work under way, for a bounded time, and drops the rest.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::Http;
use super::lingering::Lingering;
use super::metrics::Counted;
use super::options::{SPARE_CONNECTIONS, SPARE_HEADER_TIMEOUT};
use super::pace::Pace;
use super::routes;
use super::stall::StallGuard;
use crate::clock::timeout;

/// Written bytes that the system holds for one connection. Bytes that a peer does not take must not pile up outside of
/// every bound.
pub const SEND_BUFFER_BYTES: u32 = 64 << 10;
/// Connections that the system may hold before they are accepted.
const BACKLOG: u32 = 4_096;
/// Bytes of a header beyond their bound that are still read, so that the client is told. Longer ones are refused
/// without a word. A connection reads bodies in pieces of a header's bytes at most, and takes no more of an answer once
/// as many wait to be written: this slack and the bound are what a slow transfer holds.
const HEADER_SLACK_BYTES: usize = 16 << 10;
/// Lines of a header, as a multiple of their bound, that are still read for the same reason.
const HEADER_SLACK: usize = 4;
/// How long accepting rests when the system refuses, for want of files as a rule.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// The answer on a connection too many, which is closed without being read.
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\n\
    access-control-allow-origin: *\r\n\
    retry-after: 1\r\n\
    connection: close\r\n\
    content-length: 81\r\n\
    \r\n\
    {\"code\":\"TooManyConnections\",\"message\":\"There is no room for another connection\"}";

/// A connection that counts as open, as long as one of these exists.
#[derive(Clone)]
pub(super) struct OpenConnection {
    /// The peer: a client, or a proxy before it.
    pub peer: IpAddr,
    /// There was no room for it: only health checks are answered.
    pub is_spare: bool,
    _held: Arc<(OwnedSemaphorePermit, Counted)>,
}

/// Listens on `address`, with the buffers that the bounds of a connection assume.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Http {
    /// Accepts connections until `shutdown`. Then the listener closes, idle connections are closed, and requests and
    /// sockets under way have [`HttpOptions::drain_timeout`] to end; the rest is dropped. Called once.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        let router = routes::router(self.clone());
        self.serve_router(router, listener, shutdown).await;
    }

    /// The same for the site: the app's HTTP actions at the root.
    pub async fn serve_site(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        let router = routes::site_router(self.clone());
        self.serve_router(router, listener, shutdown).await;
    }

    async fn serve_router(
        self: Arc<Self>,
        router: Router,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) {
        self.metrics.connections_max(self.options.connections_max);
        tracing::info!(
            connections_max = self.options.connections_max,
            "accepting connections"
        );
        let mut pace = Pace::new(self.options.connects_per_second_max, self.clock.clone());
        let accepting = async {
            loop {
                pace.turn().await;
                match listener.accept().await {
                    Ok((stream, peer)) => self.accept(stream, peer.ip(), &router, &shutdown),
                    Err(error) => {
                        self.metrics.refused_connection();
                        if let Some(left_out) = self.room_warnings.pass(self.clock.elapsed()) {
                            tracing::warn!(%error, left_out, "a connection could not be accepted");
                        }
                        let rested = self.clock.elapsed().saturating_add(ACCEPT_REST);
                        self.clock.sleep_until(rested).await;
                    }
                }
            }
        };
        let Option::<()>::None = shutdown.run_until_cancelled(accepting).await else {
            return;
        };
        drop(listener);
        self.health.drain();
        self.closing.cancel();
        self.drain().await;
    }

    /// Waits for the tasks under way, and ends those that take too long.
    async fn drain(&self) {
        self.tasks.close();
        let drained = timeout(&*self.clock, self.options.drain_timeout, self.tasks.wait());
        if drained.await.is_none() {
            tracing::warn!(
                tasks = self.tasks.len(),
                "requests and sockets still under way are dropped"
            );
            self.abort.cancel();
            self.tasks.wait().await;
        }
    }

    fn accept(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: IpAddr,
        router: &Router,
        shutdown: &CancellationToken,
    ) {
        let place = self.places.take();
        if !matches!(place, Some((_, false))) {
            self.metrics.refused_connection();
            self.warn_of_no_room();
        }
        let Some((permit, is_spare)) = place else {
            return refuse(stream);
        };
        let connection = OpenConnection {
            peer,
            is_spare,
            _held: Arc::new((permit, self.metrics.connected())),
        };
        let serving = serve_connection(
            self.clone(),
            stream,
            connection,
            router.clone(),
            shutdown.clone(),
        );
        self.spawn(serving.instrument(tracing::debug_span!("http_connection")));
    }
}

/// Places for connections.
pub(super) struct Places {
    room: Arc<Semaphore>,
    /// For health checks, when there is no other place.
    spare: Arc<Semaphore>,
}

impl Places {
    /// Places for so many connections, and the spare ones.
    pub fn new(connections_max: usize) -> Places {
        Places {
            room: Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS))),
            spare: Arc::new(Semaphore::new(SPARE_CONNECTIONS)),
        }
    }

    /// A place, and whether it is a spare one.
    fn take(&self) -> Option<(OwnedSemaphorePermit, bool)> {
        let place = |places: &Arc<Semaphore>| places.clone().try_acquire_owned().ok();
        let usual = place(&self.room).map(|permit| (permit, false));
        usual.or_else(|| place(&self.spare).map(|permit| (permit, true)))
    }
}

impl Http {
    fn warn_of_no_room(&self) {
        if let Some(left_out) = self.room_warnings.pass(self.clock.elapsed()) {
            tracing::warn!(
                connections_max = self.options.connections_max,
                left_out,
                "connections are refused: as many are open as may be"
            );
        }
    }
}

async fn serve_connection(
    http: Arc<Http>,
    stream: TcpStream,
    connection: OpenConnection,
    router: Router,
    shutdown: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection ended as it began");
        return;
    }
    let options = &http.options;
    let is_spare = connection.is_spare;
    let header_timeout = match is_spare {
        true => SPARE_HEADER_TIMEOUT.min(options.header_timeout),
        false => options.header_timeout,
    };
    let routes = TowerToHyperService::new(router);
    let serving_http = http.clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(connection.clone());
        let (parts, body) = request.into_parts();
        let body = Lingering::of(body, &parts.headers, serving_http.clone());
        routes.call(hyper::Request::from_parts(parts, body))
    });
    let io = TokioIo::new(StallGuard::new(
        stream,
        options.stall_timeout,
        http.clock.clone(),
    ));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .keep_alive(!is_spare)
        .max_headers(HEADER_SLACK * options.header_lines_max)
        .max_buf_size(options.header_bytes_max + HEADER_SLACK_BYTES)
        .serve_connection(io, service)
        .with_upgrades();
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

/// Tells a connection that there is no room, if it listens, and closes it.
fn refuse(stream: TcpStream) {
    // The stream does not block, and a new one takes so few bytes at once. If not, it is closed without a word.
    let told = stream
        .into_std()
        .and_then(|mut stream| stream.write_all(NO_ROOM));
    if let Err(error) = told {
        tracing::debug!(%error, "a refused connection did not hear why");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = std::str::from_utf8(NO_ROOM).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.ends_with(&format!("content-length: {}", body.len())),
            "{}",
            body.len()
        );
    }
}
