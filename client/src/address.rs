//! The address of a deployment, and the one of its WebSocket.

use url::Url;

use crate::error::ConnectError;

const SYNC_PATH: &str = "api/sync";

/// The WebSocket's address of the deployment at `address`: `http` becomes `ws`, `https` becomes `wss`, and a path before
/// the deployment's own is kept.
pub(crate) fn sync_url(address: &str) -> Result<Url, ConnectError> {
    let refuse = |reason: &str| ConnectError::Address {
        address: address.to_string(),
        reason: reason.to_string(),
    };
    let mut url = Url::parse(address.trim()).map_err(|error| refuse(&error.to_string()))?;
    let scheme = match url.scheme() {
        "http" | "ws" => "ws",
        "https" | "wss" => "wss",
        _ => return Err(refuse("it must begin with http:// or https://")),
    };
    if url.host_str().is_none_or(str::is_empty) {
        return Err(refuse("it names no host"));
    }
    if url.set_scheme(scheme).is_err() {
        return Err(refuse("it must begin with http:// or https://"));
    }
    url.set_query(None);
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').to_string();
    if !path.ends_with(&format!("/{SYNC_PATH}")) {
        url.set_path(&format!("{path}/{SYNC_PATH}"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_leads_to_the_socket() {
        for (address, url) in [
            ("http://127.0.0.1:3210", "ws://127.0.0.1:3210/api/sync"),
            ("http://127.0.0.1:3210/", "ws://127.0.0.1:3210/api/sync"),
            ("https://chat.example", "wss://chat.example/api/sync"),
            ("https://example/chat/", "wss://example/chat/api/sync"),
            ("ws://localhost:1/api/sync", "ws://localhost:1/api/sync"),
        ] {
            assert_eq!(sync_url(address).unwrap().as_str(), url);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_by_name() {
        for address in ["", "chat.example", "ftp://chat.example", "http://"] {
            let error = sync_url(address).unwrap_err().to_string();
            assert!(error.contains(&format!("`{address}`")), "{error}");
        }
    }
}
