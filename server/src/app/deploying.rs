//! Building the room that takes pushes, and putting the stored deployment in place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::{App, Config, StartError};
use crate::auth::{AuthConfig, Authenticator, ProviderConfig};
use crate::deployment::{Analyzer, NoJavaScript};
use crate::functions::js::Js;
use crate::functions::{Functions, Registered};
use crate::outbound::{Origins, Own};
use crate::provisioning::Stated;
use crate::push::{Program, PushParts, Pushes};

/// Where a server is reached that listens on `address`, with its HTTP actions on `site_address`.
pub(super) fn own(config: &Config, address: SocketAddr, site_address: Option<SocketAddr>) -> Own {
    let mut listening = Origins::below(url_of(address));
    if let Some(site_address) = site_address {
        listening.site = url_of(site_address);
    }
    let origins = match (&config.origin, &config.site_origin) {
        (None, None) => listening.clone(),
        (None, Some(site)) => Origins {
            cloud: listening.cloud.clone(),
            site: site.clone(),
        },
        (Some(cloud), Some(site)) => Origins {
            cloud: cloud.clone(),
            site: site.clone(),
        },
        // The site's own listener is for operators who say where it is reached.
        (Some(cloud), None) => Origins::below(cloud),
    };
    Own::new(origins, &listening)
}

/// The address for programs of this machine. One that stands for all of its addresses is none to connect to.
pub fn url_of(mut address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    format!("http://{address}")
}

/// The providers that sign users in before any push.
pub(super) struct Providers {
    pub configured: AuthConfig,
    pub dev: Option<ProviderConfig>,
}

/// The room, with the stored deployment live.
pub(super) async fn pushes(
    app: &App,
    functions: &Arc<Functions>,
    authenticator: &Arc<Authenticator>,
    providers: Providers,
    stated: Stated,
    own: Arc<Own>,
) -> Result<Arc<Pushes>, StartError> {
    let js = functions.js().cloned();
    let native = functions.native().functions();
    let tables = app.schema.tables().iter();
    let routes = functions.native().http_routes().labels();
    let pushes = Pushes::new(PushParts {
        functions: functions.clone(),
        analyzer: app.analyzer.clone().unwrap_or_else(|| engine_of(&js)),
        js,
        authenticator: authenticator.clone(),
        configured: providers.configured,
        dev_provider: providers.dev,
        program: Program {
            functions: native.map(path_of).collect(),
            tables: tables.map(|table| table.name.clone()).collect(),
            routes: routes.map(str::to_owned).collect(),
        },
        stated,
        own,
        clock: app.clock.clone(),
    });
    pushes.restore().await?;
    Ok(pushes)
}

fn engine_of(js: &Option<Arc<Js>>) -> Arc<dyn Analyzer> {
    match js {
        Some(js) => js.clone(),
        None => Arc::new(NoJavaScript),
    }
}

fn path_of(function: &Arc<Registered>) -> vestibule_schema::FunctionPath {
    function.path.clone()
}
