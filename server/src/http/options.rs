//! The bounds and settings of the HTTP room.

use std::time::Duration;

use crate::outbound::Network;

/// Longest body of a public route, in bytes: the largest arguments, and the fields around them.
pub const BODY_BYTES_MAX: usize = (16 << 20) + 2_000;
/// Longest body that `/echo` gives back.
pub const ECHO_BYTES_MAX: usize = 16 << 20;
/// Longest body of a request to an HTTP action.
pub const HTTP_REQUEST_BYTES_MAX: usize = 20 << 20;
/// Bytes of all bodies held at the same time.
pub const BODY_BYTES_TOTAL_MAX: usize = 256 << 20;
/// Function requests that may run at the same time.
pub const REQUESTS_MAX: usize = 1_024;
/// Longest request line and header lines, in bytes: the longest auth token, and the lines around it.
pub const HEADER_BYTES_MAX: usize = 48 << 10;
/// Most header lines.
pub const HEADER_LINES_MAX: usize = 100;
/// Connections accepted in a second, beyond which accepting is paced.
pub const CONNECTS_PER_SECOND_MAX: u32 = 10_000;
/// Connections beyond all others, for health checks.
pub const SPARE_CONNECTIONS: usize = 16;
/// Time for a request's header to arrive on one of them.
pub const SPARE_HEADER_TIMEOUT: Duration = Duration::from_secs(2);
/// Open files left to the rest of the process when connections take all others.
const FILES_RESERVED: usize = 100;
/// Open files where the system does not say.
const FILES_DEFAULT: usize = 1_024;

/// Settings of the HTTP room. The defaults are the documented bounds.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Answers what `/instance_name` asks; official tools compare it.
    pub deployment_name: String,
    /// Web pages that may open sockets and read answers, as origins (`https://app.example`); `None` is all. There are
    /// no ambient credentials to steal, so a list is for deployments that want one. HTTP actions answer for themselves.
    pub allowed_origins: Option<Vec<String>>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Whether `/metrics` is served.
    pub expose_metrics: bool,
    /// Longest body of a request, in bytes.
    pub body_bytes_max: usize,
    /// Longest body of a request to an HTTP action, in bytes.
    pub action_body_bytes_max: usize,
    /// Bytes of all bodies held at the same time.
    pub body_bytes_total_max: usize,
    /// Time for a body to arrive.
    pub body_timeout: Duration,
    /// Function requests that may run at the same time.
    pub requests_max: usize,
    /// Time for one request, its body included. An HTTP action goes on, and learns that nobody waits for it.
    pub request_timeout: Duration,
    /// Longest request line and header lines, in bytes.
    pub header_bytes_max: usize,
    /// Most header lines.
    pub header_lines_max: usize,
    /// Time for a request's header to arrive, also on a connection kept open for it.
    pub header_timeout: Duration,
    /// Connections at the same time, sockets included.
    pub connections_max: usize,
    /// Connections accepted in a second, beyond which accepting is paced.
    pub connects_per_second_max: u32,
    /// How long a peer may take nothing of what is written to it before its connection is closed.
    pub stall_timeout: Duration,
    /// Time for requests and sockets under way to end when the server does.
    pub drain_timeout: Duration,
}

impl Default for HttpOptions {
    fn default() -> HttpOptions {
        HttpOptions {
            deployment_name: "vestibule".to_string(),
            allowed_origins: None,
            trusted_proxies: Vec::new(),
            expose_metrics: true,
            body_bytes_max: BODY_BYTES_MAX,
            action_body_bytes_max: HTTP_REQUEST_BYTES_MAX,
            body_bytes_total_max: BODY_BYTES_TOTAL_MAX,
            body_timeout: Duration::from_secs(60),
            requests_max: REQUESTS_MAX,
            request_timeout: Duration::from_secs(300),
            header_bytes_max: HEADER_BYTES_MAX,
            header_lines_max: HEADER_LINES_MAX,
            header_timeout: Duration::from_secs(10),
            connections_max: open_files_max().saturating_sub(FILES_RESERVED).max(1),
            connects_per_second_max: CONNECTS_PER_SECOND_MAX,
            stall_timeout: Duration::from_secs(120),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

impl HttpOptions {
    /// Whether a page of `origin` may open sockets and read answers.
    pub(super) fn allows_origin(&self, origin: &[u8]) -> bool {
        let is_origin = |allowed: &String| allowed.as_bytes().eq_ignore_ascii_case(origin);
        self.allowed_origins
            .as_ref()
            .is_none_or(|allowed| allowed.iter().any(is_origin))
    }
}

/// How many files the process may hold open, as far as the system says.
fn open_files_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    match soft {
        Some("unlimited") => 1 << 20,
        Some(number) => number.parse().unwrap_or(FILES_DEFAULT),
        None => FILES_DEFAULT,
    }
}
