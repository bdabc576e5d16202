//! Addresses: parsing, changing a part, and the pairs of a query.

use ::url::{Position, Url, form_urlencoded, quirks};

use super::arguments::Arguments;
use super::{Answer, HostError, HostValue, type_error};

/// Longest address that is parsed.
const URL_BYTES_MAX: usize = 2 * 1024 * 1024;

pub fn call(name: &str, arguments: &Arguments) -> Option<Answer> {
    Some(match name {
        "parse" => parse(arguments),
        "set" => set(arguments),
        "pairs" => pairs(arguments),
        "query" => query(arguments),
        _ => return None,
    })
}

/// `(input, base?)`: the parts of the address, or null if it is none.
fn parse(arguments: &Arguments) -> Answer {
    let input = bounded(arguments.text(0)?)?;
    let base = match arguments.text_if_any(1)? {
        None => None,
        Some(base) => match Url::parse(bounded(base)?) {
            Ok(base) => Some(base),
            Err(_) => return Ok(HostValue::Null),
        },
    };
    let parsed = Url::options().base_url(base.as_ref()).parse(input);
    Ok(parsed.map_or(HostValue::Null, |url| HostValue::String(parts(&url))))
}

/// `(href, part, value)`: the parts after `part` was set as the standard's setter sets it.
fn set(arguments: &Arguments) -> Answer {
    let mut url = Url::parse(arguments.text(0)?).map_err(|_| type_error("Invalid URL"))?;
    let value = bounded(arguments.text(2)?)?;
    // A setter that cannot set leaves the address as it was.
    let _ = match arguments.text(1)? {
        "protocol" => quirks::set_protocol(&mut url, value),
        "username" => quirks::set_username(&mut url, value),
        "password" => quirks::set_password(&mut url, value),
        "host" => quirks::set_host(&mut url, value),
        "hostname" => quirks::set_hostname(&mut url, value),
        "port" => quirks::set_port(&mut url, value),
        "pathname" => {
            quirks::set_pathname(&mut url, value);
            Ok(())
        }
        "search" => {
            quirks::set_search(&mut url, value);
            Ok(())
        }
        "hash" => {
            quirks::set_hash(&mut url, value);
            Ok(())
        }
        _ => Err(()),
    };
    Ok(HostValue::String(parts(&url)))
}

/// The address, which is ASCII, and where its parts are: `href origin s u u p p h h p p p s s h`.
fn parts(url: &Url) -> String {
    let href = url.as_str();
    let at = |position: Position| url[..position].len();
    // Asked for the place of a password that is not there, the library is at a loss after a username.
    let password = match url.password() {
        Some(_) => [Position::BeforePassword, Position::AfterPassword],
        None => [Position::AfterUsername, Position::AfterUsername],
    };
    let positions = [
        at(Position::AfterScheme),
        at(Position::BeforeUsername),
        at(Position::AfterUsername),
        at(password[0]),
        at(password[1]),
        at(Position::BeforeHost),
        at(Position::AfterHost),
        at(Position::BeforePort),
        at(Position::AfterPort),
        at(Position::BeforePath),
        at(Position::AfterPath),
        at(Position::AfterQuery),
    ];
    let origin = url.origin().ascii_serialization();
    let mut text = format!("{href}\n{origin}\n");
    for position in positions {
        text.push_str(&position.to_string());
        text.push(' ');
    }
    text.pop();
    text
}

/// `(query)`: a JSON array of names and values in turn.
fn pairs(arguments: &Arguments) -> Answer {
    let flat: Vec<_> = form_urlencoded::parse(bounded(arguments.text(0)?)?.as_bytes())
        .flat_map(|(name, value)| [name, value])
        .collect();
    let json = serde_json::to_string(&flat).expect("strings are JSON");
    Ok(HostValue::String(json))
}

/// `(json)`: the query text of a JSON array of names and values in turn.
fn query(arguments: &Arguments) -> Answer {
    let flat: Vec<String> =
        serde_json::from_str(arguments.text(0)?).map_err(|_| type_error("Invalid pairs"))?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    for pair in flat.chunks_exact(2) {
        query.append_pair(&pair[0], &pair[1]);
    }
    Ok(HostValue::String(query.finish()))
}

fn bounded(text: &str) -> Result<&str, HostError> {
    if text.len() > URL_BYTES_MAX {
        return Err(type_error("Invalid URL: it is longer than 2 MiB"));
    }
    Ok(text)
}
