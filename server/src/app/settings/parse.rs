//! The spellings of values, each with the clause that says why a text is none.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

use url::Url;

use crate::auth::DeploymentSecret;
use crate::auth::secret::DEPLOYMENT_SECRET_BYTES;
use crate::deployment::{VariableChange, VariableError};
use crate::http::{OriginFault, normal_origin};
use crate::outbound::{Network, NotANetwork};

/// The port of a listen address that names none.
pub const PORT_DEFAULT: u16 = 3210;

/// An allowed origin, or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// Every origin.
    All,
    /// This one.
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

/// How many of something, from one on.
pub fn count(text: &str) -> Result<usize, &'static str> {
    let count: std::num::NonZeroUsize = number(text)?;
    Ok(count.get())
}

/// A number, which may be none at all.
pub fn whole(text: &str) -> Result<u64, &'static str> {
    let digits = text.replace('_', "");
    digits.parse().map_err(|_| "it is not a whole number")
}

/// Bytes: a number and a unit of 1,024, as in 512KiB; without a unit, bytes.
pub fn bytes(text: &str) -> Result<u64, &'static str> {
    const NOT_BYTES: &str = "it is not a number of bytes, with KiB, MiB, GiB or TiB behind it";
    let (number, unit) = number_and_unit(text).ok_or(NOT_BYTES)?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "kib" => 10,
        "mib" => 20,
        "gib" => 30,
        "tib" => 40,
        _ => return Err(NOT_BYTES),
    };
    let bytes = number.checked_mul(1 << shift).filter(|bytes| *bytes > 0);
    bytes.ok_or(NOT_BYTES)
}

/// Memory of one call in JavaScript. With less no call runs; of more, an engine cannot reserve the addresses.
pub fn call_memory(text: &str) -> Result<u64, &'static str> {
    let is_usable = |bytes: &u64| (CALL_MEMORY_MIN..=CALL_MEMORY_MAX).contains(bytes);
    let bytes = Some(bytes(text)?).filter(is_usable);
    bytes.ok_or("the memory of a call is from 16MiB to 8GiB")
}

const CALL_MEMORY_MIN: u64 = 16 << 20;
const CALL_MEMORY_MAX: u64 = 8 << 30;

/// A time: a number and a unit, as in 90s.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    const NOT_A_TIME: &str = "it is not a time with ms, s, min, h or d behind it";
    let (number, unit) = number_and_unit(text).ok_or(NOT_A_TIME)?;
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(NOT_A_TIME),
    };
    // A thousand years are enough, and far from what clocks can count.
    let ms = number
        .checked_mul(unit_ms)
        .filter(|ms| (1..=TIME_MS_MAX).contains(ms));
    ms.map(Duration::from_millis).ok_or(NOT_A_TIME)
}

const TIME_MS_MAX: u64 = 365_000 * 86_400_000;

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '_');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    Some((number.replace('_', "").parse().ok()?, unit.trim_start()))
}

/// An address to listen on: a host and a port, either of which may be left out. A host that is a name is looked up.
pub fn listen(text: &str) -> Result<SocketAddr, &'static str> {
    listen_on(text, PORT_DEFAULT)
}

/// The same with another port where none is named.
pub fn listen_on(text: &str, port_default: u16) -> Result<SocketAddr, &'static str> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>() {
        return Ok((address, port_default).into());
    }
    if let Ok(port) = text.parse::<u16>() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| NOT_AN_ADDRESS)?),
        None => (text, port_default),
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

/// A line `NAME=VALUE` of the deployment's variables; quotes around the value are taken off. None for a comment.
pub fn variable(line: &str) -> Result<Option<VariableChange>, String> {
    if line.starts_with('#') {
        return Ok(None);
    }
    let (name, value) = line.split_once('=').ok_or("it holds no =")?;
    let value = value.trim();
    let bare = ['"', '\''].iter().find_map(|quote| {
        let rest = value.strip_prefix(*quote)?;
        rest.strip_suffix(*quote)
    });
    let variable = checked_variable(name.trim(), bare.unwrap_or(value));
    variable.map(Some).map_err(|why| why.to_string())
}

/// A variable of the deployment.
pub fn checked_variable(name: &str, value: &str) -> Result<VariableChange, VariableError> {
    let change = VariableChange {
        name: name.to_owned(),
        value: Some(value.to_owned()),
    };
    change.check()?;
    Ok(change)
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
