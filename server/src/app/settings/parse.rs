//! The spellings of values, each with the clause that says why a text is none.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use url::Url;

use crate::auth::DeploymentSecret;
use crate::auth::secret::DEPLOYMENT_SECRET_BYTES;
use crate::http::{OriginFault, normal_origin};
use crate::outbound::{Network, NotANetwork};

/// The port of a listen address that names none.
pub const PORT_DEFAULT: u16 = 3210;

/// An allowed origin, or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigin {
    All,
    One(String),
}

/// On or off, as people write it.
pub fn boolean(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Ok(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Ok(false),
        _ => Err("it is neither true nor false"),
    }
}

/// A number, such as a positive one.
pub fn number<N: FromStr>(text: &str) -> Result<N, &'static str> {
    text.replace('_', "")
        .parse()
        .map_err(|_| "it is not a whole number in bounds, from 1 on")
}

/// An address to listen on: a host and a port, either of which may be left out. A host that is a name is looked up.
pub fn listen(text: &str) -> Result<SocketAddr, &'static str> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>() {
        return Ok((address, PORT_DEFAULT).into());
    }
    if let Ok(port) = text.parse::<u16>() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| NOT_AN_ADDRESS)?),
        None => (text, PORT_DEFAULT),
    };
    match host.to_ascii_lowercase().as_str() {
        "localhost" => Ok((Ipv4Addr::LOCALHOST, port).into()),
        "" | "*" => Ok((Ipv4Addr::UNSPECIFIED, port).into()),
        name if is_host_name(name) => look_up(name, port),
        _ => Err(NOT_AN_ADDRESS),
    }
}

const NOT_AN_ADDRESS: &str = "it is not an address of this machine and a port";

fn is_host_name(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

fn look_up(name: &str, port: u16) -> Result<SocketAddr, &'static str> {
    let found = (name, port).to_socket_addrs();
    found
        .ok()
        .and_then(|mut found| found.next())
        .ok_or("its host is unknown here")
}

/// One of the origins of pages that may connect; `*` is all of them.
pub fn allowed_origin(text: &str) -> Result<AllowedOrigin, OriginFault> {
    match text {
        "*" => Ok(AllowedOrigin::All),
        text => normal_origin(text).map(AllowedOrigin::One),
    }
}

/// Where something is reached: a URL without a slash at its end, in the spelling of browsers.
pub fn base_url(text: &str) -> Result<String, &'static str> {
    const NOT_ONE: &str = "it is not an http or https URL without a query";
    let url = Url::parse(text).map_err(|_| NOT_ONE)?;
    let is_one = matches!(url.scheme(), "http" | "https")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty();
    let origin = url.origin().ascii_serialization();
    match is_one {
        true => Ok(format!("{origin}{}", url.path().trim_end_matches('/'))),
        false => Err(NOT_ONE),
    }
}

/// An address or a range of addresses.
pub fn network(text: &str) -> Result<Network, NotANetwork> {
    text.parse()
}

/// An issuer in the spelling of its tokens: the letter case of scheme and host, and a default port, are put right. The rest
/// stays, since tokens name an issuer by its exact text; what is wrong with it, the auth room says.
pub fn issuer(text: &str) -> Result<String, std::convert::Infallible> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok(text.to_owned());
    };
    let (authority, path) = match rest.find(['/', '?', '#']) {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    let origin = Url::parse(&format!("{scheme}://{authority}"))
        .ok()
        .filter(|url| url.username().is_empty() && url.password().is_none())
        .map(|url| url.origin())
        .filter(|origin| origin.is_tuple());
    Ok(origin.map_or_else(
        || text.to_owned(),
        |origin| format!("{}{path}", origin.ascii_serialization()),
    ))
}

/// The deployment's secret: 32 bytes in hexadecimal.
pub fn deployment_secret(text: &str) -> Result<DeploymentSecret, &'static str> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE
        .decode(text.as_bytes())
        .ok()
        .and_then(|bytes| <[u8; DEPLOYMENT_SECRET_BYTES]>::try_from(bytes).ok());
    bytes
        .map(DeploymentSecret::from_bytes)
        .ok_or("it is not 32 bytes in hexadecimal, 64 digits")
}
