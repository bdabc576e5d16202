//! Whether requests come for the host that the server believes to have. Addresses of files and of HTTP actions carry
//! the configured one, and clients that cannot reach it see broken links.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::Request;
use axum::http::header::HOST;

use super::Http;
use super::routes::ACTION_ROUTES;
use super::within::FromWithin;
use crate::outbound::Face;

/// Where the routes of clients are. Other routes are asked by monitoring, by any name.
const API: &str = "/api/";

/// The warnings given already.
#[derive(Default)]
pub(super) struct Hosts {
    is_api_told: AtomicBool,
    is_site_told: AtomicBool,
}

impl Http {
    /// Says once of each face that a request came for another host than its own.
    pub(super) fn look_at_host(&self, face: Face, route: &str, request: &Request) {
        let told = match face {
            Face::Api => &self.hosts.is_api_told,
            Face::Site => &self.hosts.is_site_told,
        };
        let is_of_clients = route.starts_with(API) || ACTION_ROUTES.contains(&route);
        let is_ours = request.extensions().get::<FromWithin>().is_some();
        if !is_of_clients || is_ours || told.load(Ordering::Relaxed) {
            return;
        }
        let host = request.headers().get(HOST);
        let Some(host) = host.and_then(|host| host.to_str().ok()) else {
            return;
        };
        let origins = self.own.origins();
        let (origin, flag) = match face {
            Face::Api => (&origins.cloud, "--origin"),
            Face::Site => (&origins.site, "--site-origin"),
        };
        if !is_host_of(origin, host) && !told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                host,
                origin,
                "a request came for another host than {flag} names, and addresses of files and of HTTP actions begin with \
                 the latter: give the address that clients use, or let the proxy pass on the Host header"
            );
        }
    }
}

/// Whether `origin` is at `host`. All names of this machine are one.
fn is_host_of(origin: &str, host: &str) -> bool {
    let (scheme, rest) = origin.split_once("://").unwrap_or(("", origin));
    let expected = rest.split('/').next().unwrap_or_default();
    let usual = match scheme {
        "https" => ":443",
        _ => ":80",
    };
    let host = host.strip_suffix(usual).unwrap_or(host);
    expected.eq_ignore_ascii_case(host)
        || matches!((port_of_this_machine(expected), port_of_this_machine(host)), (Some(one), Some(other)) if one == other)
}

/// The port, as text, of a host that is this machine.
fn port_of_this_machine(host: &str) -> Option<&str> {
    ["127.0.0.1", "localhost", "[::1]"].iter().find_map(|name| {
        let port = host.strip_prefix(name)?;
        (port.is_empty() || port.starts_with(':')).then_some(port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_compared_as_browsers_spell_it() {
        for (origin, host, expected) in [
            ("https://api.example.com", "api.example.com", true),
            ("https://api.example.com", "API.example.com:443", true),
            ("https://api.example.com", "api.example.com:3210", false),
            ("https://api.example.com", "127.0.0.1:3210", false),
            ("https://api.example.com/base", "api.example.com", true),
            ("http://api.example.com:8080", "api.example.com:8080", true),
            ("http://api.example.com", "api.example.com:80", true),
            ("http://127.0.0.1:3210", "localhost:3210", true),
            ("http://127.0.0.1:3210", "localhost:3211", false),
            ("http://127.0.0.1:3210", "10.0.0.5:3210", false),
            ("http://[::1]:3210", "127.0.0.1:3210", true),
            ("http://127.0.0.1:3210", "127.0.0.1.example.com:3210", false),
        ] {
            assert_eq!(is_host_of(origin, host), expected, "{origin} {host}");
        }
    }
}
