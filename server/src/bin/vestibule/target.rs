//! The server that a command talks to: the one that uses the data directory, or one that runs for the command alone.

use std::path::Path;

use anyhow::{Context, bail};
use clap::Args;
use tokio::runtime::{Builder, Runtime};
use vestibule_schema::table::Schema;
use vestibule_server::app::config::{LISTEN, LISTEN_DEFAULT, SiteListen};
use vestibule_server::app::settings::{Environment, parse};
use vestibule_server::app::{AdminClient, App, Config, Running, url_of};

use super::Deployment;

/// A deployment, whether a server runs on it or not.
#[derive(Args)]
pub struct Target {
    #[command(flatten)]
    deployment: Deployment,
    /// Where the server is that uses the data directory, if one does. When not given, the address of VESTIBULE_LISTEN, or
    /// http://127.0.0.1:3210.
    #[arg(long, alias = "url", env = "VESTIBULE_SERVER", value_name = "URL")]
    server: Option<String>,
}

/// A server that can be asked.
pub struct Opened {
    /// Asks it.
    pub client: AdminClient,
    own: Option<Running>,
}

/// The threads of a command.
pub fn runtime() -> anyhow::Result<Runtime> {
    let mut runtime = Builder::new_multi_thread();
    runtime.enable_all();
    runtime.build().context("no threads for the command")
}

impl Target {
    /// Runs `command` against the deployment. A server of its own ends with it.
    pub fn run<F: Future<Output = anyhow::Result<()>>>(
        self,
        command: impl FnOnce(AdminClient) -> F,
    ) -> anyhow::Result<()> {
        runtime()?.block_on(async {
            let Opened { client, own } = self.open().await?;
            let done = command(client).await;
            if let Some(own) = own {
                own.shut_down().await;
            }
            done
        })
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.deployment.data
    }

    /// The server at the given address, asked with a key of the caller's.
    pub fn client_with(&self, key: &str) -> anyhow::Result<AdminClient> {
        Ok(AdminClient::new(&self.server_address()?, key)?)
    }

    /// The server that uses the data directory.
    pub async fn of_server(&self) -> anyhow::Result<AdminClient> {
        let client = self.client_with(&self.deployment.new_key()?)?;
        self.check(&client).await?;
        Ok(client)
    }

    async fn open(&self) -> anyhow::Result<Opened> {
        let key = self.deployment.new_key()?;
        let app = App::new(Schema::new())
            .provision_as_deployed()
            .without_jobs();
        let own = match app.start(self.config()?).await {
            Ok(running) => Some(running),
            Err(error) if error.is_in_use() => None,
            Err(error) => return Err(error.into()),
        };
        let address = match &own {
            Some(running) => running.url(),
            None => self.server_address()?,
        };
        let client = AdminClient::new(&address, &key)?;
        if own.is_none() {
            self.check(&client).await?;
        }
        Ok(Opened { client, own })
    }

    /// A server that no client finds, with the settings of the environment otherwise.
    fn config(&self) -> anyhow::Result<Config> {
        let mut config = Config::of_environment()?;
        config.data = self.deployment.data.clone();
        config.name = self.deployment.name.clone();
        config.listen = ([127, 0, 0, 1], 0).into();
        config.site_listen = Some(SiteListen::Off);
        config.dev = Some(false);
        config.dev_issuer = Some(false);
        config.env = Vec::new();
        Ok(config)
    }

    fn server_address(&self) -> anyhow::Result<String> {
        if let Some(server) = &self.server {
            return Ok(server.clone());
        }
        let listen = Environment::of_process().read(&LISTEN, parse::listen)?;
        let default = || LISTEN_DEFAULT.parse().expect("the default is an address");
        Ok(url_of(listen.unwrap_or_else(default)))
    }

    /// Something else may well listen there.
    async fn check(&self, client: &AdminClient) -> anyhow::Result<()> {
        if let Err(error) = client.get("/api/check_admin_key").await {
            bail!(
                "the data directory {} is in use by a server, which was not found: {error}. Say where it is with --server \
                 or VESTIBULE_SERVER, and with --name what it is called",
                self.deployment.data.display()
            );
        }
        Ok(())
    }
}
