//! HTTP for load's own requests, beside the measured ones: one request at a time, over a connection of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value as Json, json};

/// A server's address, as `http://host:port`.
#[derive(Clone, Debug)]
pub struct Address {
    /// Where to connect.
    pub socket: SocketAddr,
    /// The text as given.
    pub url: String,
}

/// How long the answer to a request may take.
const ANSWER_MAX: Duration = Duration::from_secs(120);

impl Address {
    /// Reads `http://host:port`, and looks the host up.
    pub fn parse(url: &str) -> anyhow::Result<Address> {
        let Some(host) = url.strip_prefix("http://") else {
            bail!(
                "{url} does not begin with http://; TLS is a proxy's work, so aim at the server behind it"
            );
        };
        let host = host.trim_end_matches('/');
        let with_port = match host.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => host.to_string(),
            _ => format!("{host}:80"),
        };
        let mut found = with_port
            .to_socket_addrs()
            .with_context(|| format!("{url} has no address"))?;
        let socket = found
            .next()
            .with_context(|| format!("{url} has no address"))?;
        let url = format!("http://{host}");
        Ok(Address { socket, url })
    }

    /// The body of `GET path`, which has to be answered with success.
    pub fn fetch(&self, path: &str) -> anyhow::Result<String> {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.socket
        );
        self.ask(path, head.as_bytes())
    }

    /// Runs a function over HTTP and returns its value.
    pub fn call(&self, kind: &str, path: &str, args: &Json) -> anyhow::Result<Json> {
        let body = json!({ "path": path, "args": args, "format": "json" }).to_string();
        let head = format!(
            "POST /api/{kind} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.socket,
            body.len()
        );
        let answer = self.ask(path, head.as_bytes())?;
        let mut answer: Json = serde_json::from_str(&answer)
            .with_context(|| format!("{path} was answered with no JSON"))?;
        match answer["status"].as_str() {
            Some("success") => Ok(answer["value"].take()),
            _ => bail!("{path} failed: {}", answer["errorMessage"]),
        }
    }

    /// Posts bytes to `path` as the holder of an admin key, and returns the JSON of the answer.
    pub fn post(&self, path: &str, admin_key: &str, body: &[u8]) -> anyhow::Result<Json> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Convex {admin_key}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.socket,
            body.len()
        );
        let answer = self.ask(path, &[head.as_bytes(), body].concat())?;
        serde_json::from_str(&answer).with_context(|| format!("{path} was answered with no JSON"))
    }

    fn ask(&self, what: &str, request: &[u8]) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.socket)
            .with_context(|| format!("nobody answers at {}", self.url))?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.write_all(request)?;
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .with_context(|| format!("{} did not answer {what}", self.url))?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .with_context(|| format!("{} answered {what} with half a header", self.url))?;
        let status = head.split(' ').nth(1).unwrap_or("");
        if status != "200" {
            bail!(
                "{} answered {what} with {}",
                self.url,
                head.lines().next().unwrap_or("")
            );
        }
        Ok(body.to_string())
    }
}
