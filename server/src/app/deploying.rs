//! Building the room that takes pushes, and putting the stored deployment in place.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{App, Config, StartError};
use crate::auth::{AuthConfig, Authenticator};
use crate::functions::{Functions, Registered};
use crate::provisioning::Stated;
use crate::push::{Origins, Program, PushParts, Pushes};

/// Where a server is reached that listens on `address`.
pub(super) fn origins(config: &Config, address: SocketAddr) -> Origins {
    let cloud = config.origin.clone();
    let cloud = cloud.unwrap_or_else(|| format!("http://{address}"));
    let site = config.site_origin.clone();
    let site = site.unwrap_or_else(|| format!("{cloud}/http"));
    Origins { cloud, site }
}

/// The room, with the stored deployment live.
pub(super) async fn pushes(
    app: &App,
    functions: &Arc<Functions>,
    authenticator: &Arc<Authenticator>,
    configured: AuthConfig,
    stated: Stated,
    origins: Origins,
) -> Result<Arc<Pushes>, StartError> {
    let js = functions.js().clone();
    let native = functions.native().functions();
    let tables = app.schema.tables().iter();
    let routes = functions.native().http_routes().labels();
    let pushes = Pushes::new(PushParts {
        functions: functions.clone(),
        analyzer: app.analyzer.clone().unwrap_or_else(|| js.clone()),
        js: Some(js),
        authenticator: authenticator.clone(),
        configured,
        program: Program {
            functions: native.map(path_of).collect(),
            tables: tables.map(|table| table.name.clone()).collect(),
            routes: routes.map(str::to_owned).collect(),
        },
        stated,
        origins,
        clock: app.clock.clone(),
    });
    pushes.restore().await?;
    Ok(pushes)
}

fn path_of(function: &Arc<Registered>) -> vestibule_schema::FunctionPath {
    function.path.clone()
}
