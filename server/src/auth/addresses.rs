//! Where on the network a provider's host may be.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::fetch::FetchError;
use super::issuer::is_loopback_url;
use crate::outbound::is_public;

/// Why a host is asked at all; it decides where it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// An operator named it in the configuration, so it may be in the operator's own network.
    Configured,
    /// A provider's discovery document named it, so it must be on the internet.
    Named,
}

/// A key set on the issuer's own host is trusted as the issuer is, and so is everything of a development issuer.
pub(super) fn trust_in(key_address: &Url, issuer_address: &Url) -> Trust {
    if key_address.host() == issuer_address.host() || is_loopback_url(issuer_address) {
        Trust::Configured
    } else {
        Trust::Named
    }
}

/// Resolves names, and passes on only addresses that the host may have.
pub(super) struct CheckedResolver {
    pub trust: Trust,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let trust = self.trust;
        Box::pin(async move {
            let host = name.as_str();
            let found = tokio::net::lookup_host((host, 0)).await?;
            let allowed: Vec<SocketAddr> = found
                .filter(|address| admits(trust, address.ip()))
                // Plain http is allowed for this name, so it must really be a loopback name.
                .filter(|address| host != "localhost" || address.ip().is_loopback())
                .collect();
            if allowed.is_empty() {
                return Err(FetchError::Address {
                    host: host.to_owned(),
                }
                .into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

pub(super) fn check_literal_address(url: &Url, trust: Trust) -> Result<(), FetchError> {
    let literal = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    if admits(trust, literal) {
        Ok(())
    } else {
        Err(FetchError::Address {
            host: literal.to_string(),
        })
    }
}

/// Whether a host may be at `address`.
fn admits(trust: Trust, address: IpAddr) -> bool {
    let address = address.to_canonical();
    match trust {
        // Cloud machines hand out credentials at a link-local address; no issuer lives there.
        Trust::Configured => !is_special(address),
        Trust::Named => is_public(address),
    }
}

/// Addresses that can never be those of a provider's server.
fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_unspecified()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.octets()[0] == 0
        }
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_unicast_link_local() || v6.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_host_must_be_on_the_internet() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.9.9",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
        ] {
            assert!(!admits(Trust::Named, address.parse().unwrap()), "{address}");
        }
        for address in ["9.9.9.9", "2620:fe::fe"] {
            assert!(admits(Trust::Named, address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_configured_host_may_be_in_the_own_network_but_not_link_local() {
        let admits = |text: &str| admits(Trust::Configured, text.parse().unwrap());
        assert!(admits("10.1.2.3") && admits("127.0.0.1") && admits("9.9.9.9"));
        assert!(!admits("169.254.169.254") && !admits("fe80::1") && !admits("0.0.0.0"));
    }

    #[tokio::test]
    async fn a_name_is_resolved_to_addresses_it_may_have() {
        let resolved = async |trust| {
            let name = "localhost".parse().unwrap();
            CheckedResolver { trust }
                .resolve(name)
                .await
                .map(Iterator::count)
        };
        assert!(resolved(Trust::Configured).await.unwrap() > 0);
        let refused = resolved(Trust::Named).await.unwrap_err();
        assert!(refused.is::<FetchError>(), "{refused}");
    }

    #[test]
    fn a_key_set_on_another_host_is_trusted_less_than_the_issuer() {
        let url = |text: &str| Url::parse(text).unwrap();
        let issuer = url("https://accounts.example.com/.well-known/openid-configuration");
        assert_eq!(
            trust_in(&url("https://accounts.example.com/k"), &issuer),
            Trust::Configured
        );
        assert_eq!(
            trust_in(&url("https://keys.example.com/k"), &issuer),
            Trust::Named
        );
        let literal = url("https://10.0.0.1/k");
        assert!(check_literal_address(&literal, Trust::Named).is_err());
        assert!(check_literal_address(&literal, Trust::Configured).is_ok());
    }
}
