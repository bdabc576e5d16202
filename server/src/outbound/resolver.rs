//! Resolving names to addresses that functions may connect to.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::error::OutboundError;
use super::policy::AddressPolicy;

/// Addresses of a name, as they are being found.
pub type Found = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Tells what addresses a name has.
pub trait Names: Send + Sync {
    /// The addresses of `host`.
    fn find(&self, host: &str) -> Found;
}

/// The names of the system.
pub(super) struct SystemNames;

impl Names for SystemNames {
    fn find(&self, host: &str) -> Found {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Passes on only addresses that the policy admits. Without a policy, all of them.
pub(super) struct CheckedResolver {
    pub names: Arc<dyn Names>,
    pub policy: Option<AddressPolicy>,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let found = self.names.find(&host);
        let policy = self.policy.clone();
        Box::pin(async move {
            let found = found.await.unwrap_or_default();
            let refusal = |address: &IpAddr| policy.as_ref()?.refusal(*address);
            let allowed: Vec<SocketAddr> = found
                .iter()
                .filter(|address| refusal(address).is_none())
                .map(|address| SocketAddr::new(*address, 0))
                .collect();
            if !allowed.is_empty() {
                return Ok(Box::new(allowed.into_iter()) as Addrs);
            }
            let refused = found
                .into_iter()
                .find_map(|address| Some((address, refusal(&address)?)));
            Err(match refused {
                Some((address, kind)) => OutboundError::Address {
                    host,
                    address: address.to_canonical(),
                    kind,
                },
                None => OutboundError::Unresolved { host },
            }
            .into())
        })
    }
}
