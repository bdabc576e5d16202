//! The HTTP clients: one that checks addresses, one for a proxy. Requests that lead back to this server need neither.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::redirect::Policy;
use reqwest::{Client, NoProxy, Proxy, Response};
use url::{Host, Url};

use super::RequestBody;
use super::error::OutboundError;
use super::networks::Network;
use super::own::{Own, OwnPlace};
use super::policy::AddressPolicy;
use super::resolver::{CheckedResolver, Names, SystemNames};

/// Time that an unused connection is kept.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);
/// Unused connections kept to one host.
const IDLE_PER_HOST_MAX: usize = 32;

/// The user agent of requests that name none.
const AGENT: &str = concat!("vestibule/", env!("CARGO_PKG_VERSION"));

/// Where requests may go, by which way, and for how long.
#[derive(Clone, Debug)]
pub struct OutboundOptions {
    /// Every address is allowed, as in development.
    pub is_open: bool,
    /// Networks that are allowed although they are not public: `--fetch-allow`.
    pub allowed: Vec<Network>,
    /// The addresses that lead back to this server, which are always allowed.
    pub own: Arc<Own>,
    /// The proxies to use.
    pub proxies: ProxyVariables,
    /// Time for a connection to be made, TLS included.
    pub connect_time_max: Duration,
    /// Time without a byte of an answer, its headers included.
    pub silence_time_max: Duration,
}

impl Default for OutboundOptions {
    fn default() -> OutboundOptions {
        OutboundOptions {
            is_open: false,
            allowed: Vec::new(),
            own: Arc::default(),
            proxies: ProxyVariables::default(),
            connect_time_max: Duration::from_secs(30),
            silence_time_max: Duration::from_secs(300),
        }
    }
}

/// Proxies as the environment names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyVariables {
    /// `HTTP_PROXY`.
    pub http: Option<String>,
    /// `HTTPS_PROXY`.
    pub https: Option<String>,
    /// `ALL_PROXY`.
    pub all: Option<String>,
    /// `NO_PROXY`.
    pub no: Option<String>,
}

/// Sends requests of functions.
pub struct Outbound {
    policy: AddressPolicy,
    own: Arc<Own>,
    proxies: ProxyVariables,
    matcher: Option<Matcher>,
    names: Arc<dyn Names>,
    connect_time_max: Duration,
    silence_time_max: Duration,
    /// Clients are made at the first request: a deployment without any needs no TLS roots.
    checked: OnceLock<Result<Client, OutboundError>>,
    proxied: OnceLock<Result<Client, OutboundError>>,
}

/// The way of a request.
#[derive(Clone, Copy)]
enum Way {
    /// Straight, to an address that was checked.
    Checked,
    /// To the proxy, which decides.
    Proxied,
}

impl ProxyVariables {
    /// The proxies of the process. A variable in small letters goes first, as is the custom.
    pub fn of_the_process() -> ProxyVariables {
        ProxyVariables::of(|name| std::env::var(name).ok())
    }

    fn of(environment: impl Fn(&str) -> Option<String>) -> ProxyVariables {
        let variable = |name: &str| {
            let found = environment(&name.to_lowercase()).or_else(|| environment(name));
            found.filter(|text| !text.trim().is_empty())
        };
        ProxyVariables {
            http: variable("HTTP_PROXY"),
            https: variable("HTTPS_PROXY"),
            all: variable("ALL_PROXY"),
            no: variable("NO_PROXY"),
        }
    }

    fn matcher(&self) -> Option<Matcher> {
        if self.http.is_none() && self.https.is_none() && self.all.is_none() {
            return None;
        }
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let builder = Matcher::builder()
            .all(text(&self.all))
            .http(text(&self.http))
            .https(text(&self.https))
            .no(text(&self.no));
        Some(builder.build())
    }

    fn proxies(&self) -> reqwest::Result<Vec<Proxy>> {
        let no = self.no.as_deref().and_then(NoProxy::from_string);
        let mut proxies = Vec::new();
        if let Some(http) = &self.http {
            proxies.push(Proxy::http(http)?.no_proxy(no.clone()));
        }
        if let Some(https) = &self.https {
            proxies.push(Proxy::https(https)?.no_proxy(no.clone()));
        }
        if let Some(all) = &self.all {
            proxies.push(Proxy::all(all)?.no_proxy(no));
        }
        Ok(proxies)
    }
}

impl Outbound {
    /// Whether every address may be reached.
    pub fn is_open(&self) -> bool {
        self.policy.is_open
    }

    /// Why a connection to `address` is refused, which is one of `host`. For connections that others make.
    pub fn refusal(&self, host: &str, port: u16, address: IpAddr) -> Option<OutboundError> {
        if self.own.is_at(host, port) {
            return None;
        }
        self.policy
            .refusal(address)
            .map(|kind| OutboundError::Address {
                host: host.to_owned(),
                address,
                kind,
            })
    }

    /// A client with these options.
    pub fn new(options: OutboundOptions) -> Outbound {
        Outbound::with_names(options, Arc::new(SystemNames))
    }

    /// The same, which finds addresses of names in `names`.
    pub fn with_names(options: OutboundOptions, names: Arc<dyn Names>) -> Outbound {
        let OutboundOptions {
            is_open,
            allowed,
            own,
            proxies,
            connect_time_max,
            silence_time_max,
        } = options;
        let matcher = proxies.matcher();
        if matcher.is_some() {
            tracing::info!(
                "a proxy of the environment carries the requests of functions, and decides where they may go"
            );
        }
        Outbound {
            policy: AddressPolicy { is_open, allowed },
            own,
            proxies,
            matcher,
            names,
            connect_time_max,
            silence_time_max,
            checked: OnceLock::new(),
            proxied: OnceLock::new(),
        }
    }

    /// Sends one request and follows nothing.
    pub(super) async fn send_once(
        &self,
        url: &Url,
        method: &Method,
        headers: &HeaderMap,
        body: RequestBody,
    ) -> Result<Response, OutboundError> {
        if let Some(place) = self.own.place(url) {
            return ask_ourselves(place, url, method, headers, body).await;
        }
        let way = self.way(url);
        if let Way::Checked = way {
            self.check_literal(url)?;
        }
        let request = self.client(way)?.request(method.clone(), url.clone());
        let mut request = request.headers(headers.clone());
        if let Some(body) = body.into_body() {
            request = request.body(body);
        }
        let host = url.host_str().unwrap_or_default();
        let sent = request.send().await;
        sent.map_err(|error| OutboundError::of(host, &error))
    }

    fn way(&self, url: &Url) -> Way {
        let uri: Option<http::Uri> = url.as_str().parse().ok();
        let proxy = uri.and_then(|uri| self.matcher.as_ref()?.intercept(&uri));
        match proxy {
            Some(_) => Way::Proxied,
            None => Way::Checked,
        }
    }

    /// The resolver sees names alone.
    fn check_literal(&self, url: &Url) -> Result<(), OutboundError> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        match self.policy.refusal(address) {
            None => Ok(()),
            Some(kind) => Err(OutboundError::Address {
                host: url.host_str().unwrap_or_default().to_owned(),
                address: address.to_canonical(),
                kind,
            }),
        }
    }

    fn client(&self, way: Way) -> Result<&Client, OutboundError> {
        let slot = match way {
            Way::Checked => &self.checked,
            Way::Proxied => &self.proxied,
        };
        let client = slot.get_or_init(|| {
            let built = self.build(way);
            built.map_err(|error| OutboundError::Client(error.to_string()))
        });
        client.as_ref().map_err(OutboundError::clone)
    }

    fn build(&self, way: Way) -> reqwest::Result<Client> {
        let policy = match way {
            Way::Checked => Some(self.policy.clone()),
            Way::Proxied => None,
        };
        let mut builder = Client::builder()
            .user_agent(AGENT)
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(self.connect_time_max)
            .read_timeout(self.silence_time_max)
            .pool_idle_timeout(IDLE_TIME_MAX)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .dns_resolver(Arc::new(CheckedResolver {
                names: self.names.clone(),
                policy,
            }));
        if let Way::Proxied = way {
            for proxy in self.proxies.proxies()? {
                builder = builder.proxy(proxy);
            }
        }
        builder.build()
    }
}

/// Asks the server itself, with the headers that a client sends.
pub(super) async fn ask_ourselves(
    place: OwnPlace,
    url: &Url,
    method: &Method,
    headers: &HeaderMap,
    body: RequestBody,
) -> Result<Response, OutboundError> {
    let request = own_request(url, method, headers, body)?;
    let (parts, body) = place.ask(request).await.into_parts();
    let body = reqwest::Body::wrap_stream(body);
    Ok(http::Response::from_parts(parts, body).into())
}

fn own_request(
    url: &Url,
    method: &Method,
    headers: &HeaderMap,
    body: RequestBody,
) -> Result<http::Request<Option<super::ByteStream>>, OutboundError> {
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let unusable = |error: &dyn std::fmt::Display| OutboundError::Unreachable {
        host: host.to_owned(),
        reason: error.to_string(),
    };
    let host_value = HeaderValue::from_str(host).map_err(|error| unusable(&error))?;
    let mut request = http::Request::new(body.into_stream());
    *request.uri_mut() = url
        .as_str()
        .parse()
        .map_err(|error: http::uri::InvalidUri| unusable(&error))?;
    *request.method_mut() = method.clone();
    *request.headers_mut() = headers.clone();
    for (name, value) in [
        (HOST, host_value),
        (USER_AGENT, HeaderValue::from_static(AGENT)),
        (ACCEPT, HeaderValue::from_static("*/*")),
    ] {
        request.headers_mut().entry(name).or_insert(value);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_variable_in_small_letters_goes_first_and_an_empty_one_is_none() {
        let environment = [
            ("http_proxy", "http://small"),
            ("HTTP_PROXY", "http://large"),
            ("HTTPS_PROXY", "http://secure"),
            ("all_proxy", " "),
            ("ALL_PROXY", "http://all"),
        ];
        let read = ProxyVariables::of(|name| {
            let found = environment.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        let text = |text: &str| Some(text.to_owned());
        let expected = ProxyVariables {
            http: text("http://small"),
            https: text("http://secure"),
            // The small one is there, and turns the proxy off.
            all: None,
            no: None,
        };
        assert_eq!(read, expected);
    }
}
