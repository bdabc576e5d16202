//! Building the rooms from the bottom up, and draining them from the top down.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use prometheus_client::registry::Registry as Metrics;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vestibule_schema::timestamp::Timestamp;

use super::config::{LISTEN, SITE_LISTEN, SiteListen};
use super::gauges::Gauges;
use super::push_gauges::PushGauges;
use super::settings::Setting;
use super::{App, Config, StartError, deploying, open_files};
use crate::auth::{
    AdminKeys, AuthConfig, Authenticator, DeploymentSecret, DevIssuer, DevRefused, ProviderConfig,
    TokenSigner, dev_issuer,
};
use crate::backup::{BackupMetrics, Backups, is_backup};
use crate::clock::Clock;
use crate::database::{CommitterOptions, Database, DatabaseOptions, UnknownOutcome};
use crate::deployment::Cron;
use crate::executor::SystemExecutor;
use crate::files::{Blobs, FileMetrics, Files, FilesParts, has_contents};
use crate::functions::js::Js;
use crate::functions::{Functions, HandleKey, JsOptions, NodeOptions, Registry};
use crate::http::{Http, HttpOptions, HttpParts, bind};
use crate::jobs::crons::{CronOwner, reconcile};
use crate::jobs::{Jobs, JobsMetrics};
use crate::outbound::{Origins, OutboundOptions, Own, OwnServer, ProxyVariables};
use crate::provisioning::{Checks, Gate, GateMetrics, GateOptions, Stated};
use crate::push::Pushes;
use crate::storage::{StoreOptions, is_store, private_directory};
use crate::subscriptions::{Following, LiveQueries};
use crate::sync::{Connections, ConnectionsParts, SyncMetrics, SyncOptions};
use crate::transfer::Transfers;

/// A server that is ready.
pub struct Running {
    address: SocketAddr,
    site_address: Option<SocketAddr>,
    own: Arc<Own>,
    dev: bool,
    shutdown: CancellationToken,
    http: Vec<JoinHandle<()>>,
    /// Itself as its functions ask it, for as long as it runs.
    within: Arc<dyn OwnServer>,
    sweepers: [JoinHandle<()>; 3],
    connections: Arc<Connections>,
    jobs: Option<Jobs>,
    pushes: Arc<Pushes>,
    transfers: Arc<Transfers>,
    following: Following,
    functions: Arc<Functions>,
    database: Arc<Database>,
}

/// The rooms, with nothing that reaches them yet.
pub(crate) struct Opened {
    own: Arc<Own>,
    rooms: Rooms,
    pushes: Arc<Pushes>,
    dev: bool,
    dev_issuer: Option<DevIssuer>,
}

/// Audience of the development issuer's tokens.
const DEV_AUDIENCE: &str = "vestibule-dev";
/// `EX_IOERR` of sysexits.h: the store cannot say whether a commit survives.
const EXIT_IOERR: i32 = 74;
/// How often answers of old mutations and leases of old snapshots are looked through, and calls are counted.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// How long a shutdown lets imports and exports finish. Those that take longer are interrupted.
const TRANSFERS_FINISH: Duration = Duration::from_secs(5);
/// The folder of Node.js in the data directory.
const NODE_FOLDER: &str = "node";
/// How long a shutdown waits for the store to be let go.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

pub(super) async fn start(app: App, config: Config) -> Result<Running, StartError> {
    open_files::raise_limit();
    let (listener, address) = listen(config.listen, &LISTEN)?;
    let site = match config.site_listen {
        Some(SiteListen::At(address)) => Some(listen(address, &SITE_LISTEN)?),
        Some(SiteListen::Off) | None => None,
    };
    let site_address = site.as_ref().map(|(_, address)| *address);
    let opened = Opened::open(&app, &config, address, site_address).await?;
    let Opened {
        own,
        rooms,
        pushes,
        dev,
        dev_issuer,
    } = opened;
    let is_dev_issuer_on = dev_issuer.is_some();
    let shutdown = CancellationToken::new();
    let http = Http::new(HttpParts {
        functions: rooms.functions.clone(),
        files: rooms.files.clone(),
        transfers: rooms.transfers.clone(),
        backups: rooms.backups.clone(),
        live: rooms.live.clone(),
        gate: rooms.gate.clone(),
        authenticator: rooms.authenticator.clone(),
        pushes: pushes.clone(),
        own: own.clone(),
        connections: rooms.connections.clone(),
        dev_issuer,
        site: app.site,
        metrics: rooms.metrics,
        clock: rooms.clock.clone(),
        options: config.bounds.http(HttpOptions {
            deployment_name: config.name.clone(),
            allowed_origins: config.allowed_origins.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
            ..HttpOptions::default()
        }),
    });
    let within = http.within();
    own.answer_by(Arc::downgrade(&within));
    let api = http.clone().serve(listener, shutdown.clone());
    let site = site.map(|(listener, _)| http.serve_site(listener, shutdown.clone()));
    let mut http = vec![tokio::spawn(api)];
    http.extend(site.map(tokio::spawn));
    let sweepers = [
        tokio::spawn(sweep(Arc::downgrade(&rooms.functions))),
        tokio::spawn(Files::keep_swept(Arc::downgrade(&rooms.files))),
        tokio::spawn(Transfers::keep_swept(Arc::downgrade(&rooms.transfers))),
    ];
    let jobs = app.runs_jobs.then(|| {
        let options = config.bounds.jobs(app.jobs.clone());
        Jobs::start(rooms.functions.clone(), options, rooms.jobs_metrics)
    });
    let site = site_address.map(tracing::field::display);
    tracing::info!(%address, site, dev, data = %config.data.display(), "ready");
    Ok(Running {
        address,
        site_address,
        own,
        dev: is_dev_issuer_on,
        shutdown,
        http,
        within,
        sweepers,
        connections: rooms.connections,
        jobs,
        pushes,
        transfers: rooms.transfers,
        following: rooms.following,
        database: rooms.functions.database().clone(),
        functions: rooms.functions,
    })
}

impl Opened {
    /// Opens the rooms of `app` from the bottom up, for a server that is reached at these addresses.
    pub(crate) async fn open(
        app: &App,
        config: &Config,
        address: SocketAddr,
        site_address: Option<SocketAddr>,
    ) -> Result<Opened, StartError> {
        if is_backup(&config.data) {
            return Err(StartError::IsBackup(config.data.clone()));
        }
        private_directory(&config.data).map_err(|source| StartError::DataDirectory {
            directory: config.data.display().to_string(),
            source,
        })?;
        if !is_store(&config.data) && has_contents(&config.data) {
            return Err(StartError::DatabaseMissing(config.data.clone()));
        }
        let providers = config.providers()?;
        let dev = config.dev.unwrap_or(providers.is_empty());
        let secret = match config.secret.clone() {
            Some(secret) => secret,
            None => DeploymentSecret::load_or_create(&config.data)?,
        };
        let own = Arc::new(deploying::own(config, address, site_address));
        providers.check_secure(&own)?;
        let dev_issuer = match config.dev_issuer.unwrap_or(dev) {
            true => Some(open_dev_issuer(config, address, &providers)?),
            false => None,
        };
        warn_of_modes(dev, dev_issuer.is_some(), &providers);
        let (dev_issuer, dev_provider) = dev_issuer.unzip();
        let all_providers = dev_provider.iter().cloned();
        let all_providers = all_providers.fold(providers.clone(), AuthConfig::with);
        let provisioning = app.stated(config)?;
        let handle_key = HandleKey::new(*secret.key_for("function handles").expose());
        let registry = app.registry(&own.origins(), &provisioning)?;
        let registry = registry.with_handle_key(handle_key);
        app.check_provisioning(&registry)?;
        let crons = app.crons(&registry)?;
        let clock = app.clock.clone();
        let database = open_database(app, config, &secret, clock.clone())?;
        let rooms = Rooms::build(
            app,
            config,
            dev,
            RoomsFrom {
                own: own.clone(),
                registry,
                provisioning: provisioning.clone(),
                providers: all_providers,
                secret,
                clock,
                database,
            },
        );
        let mut rooms = rooms?;
        declare_crons(&rooms.functions, crons).await?;
        let (functions, authenticator) = (&rooms.functions, &rooms.authenticator);
        let pushes = deploying::pushes(
            app,
            functions,
            authenticator,
            deploying::Providers {
                configured: providers,
                dev: dev_provider,
            },
            provisioning,
            own.clone(),
        );
        let pushes = pushes.await?;
        let gauges = PushGauges(Arc::downgrade(&pushes));
        rooms.metrics.register_collector(Box::new(gauges));
        pushes.set_initial_variables(config.env.clone()).await?;
        Ok(Opened {
            own,
            rooms,
            pushes,
            dev,
            dev_issuer,
        })
    }

    pub(crate) fn rooms(&self) -> &Rooms {
        &self.rooms
    }
}

/// The first commit of this life. Makes the stored crons of the program those that it declares.
async fn declare_crons(functions: &Arc<Functions>, crons: Vec<Cron>) -> Result<(), StartError> {
    let declared = functions
        .transact(move |tx| {
            tx.note_start();
            Ok(reconcile(tx, CronOwner::Program, &crons)?)
        })
        .await;
    match declared {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(StartError::Crons(error.to_string())),
        Err(error) => Err(StartError::Crons(error.to_string())),
    }
}

/// A listener, and where it is.
fn listen(
    address: SocketAddr,
    setting: &'static Setting,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let listened = bind(address).and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    listened.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::AddressInUse { address, setting },
        _ => StartError::Listen { address, source },
    })
}

/// The development issuer, where that lets no stranger in. Its tokens are verified as any other provider's are: by
/// discovery and keys, asked of this server.
fn open_dev_issuer(
    config: &Config,
    address: SocketAddr,
    providers: &AuthConfig,
) -> Result<(DevIssuer, ProviderConfig), StartError> {
    check_dev_allowed(config, address, providers).map_err(|refused| {
        match config.dev.or(config.dev_issuer) {
            Some(_) => refused.into(),
            None => StartError::DevByDefault(refused),
        }
    })?;
    let issuer = format!("http://{address}");
    let dev_issuer = DevIssuer::open(&config.data, &issuer, DEV_AUDIENCE)?;
    let provider = ProviderConfig::oidc(&issuer, DEV_AUDIENCE)?;
    Ok((dev_issuer, provider))
}

fn check_dev_allowed(
    config: &Config,
    address: SocketAddr,
    providers: &AuthConfig,
) -> Result<(), DevRefused> {
    if !config.trusted_proxies.is_empty() {
        return Err(DevRefused::Proxy);
    }
    dev_issuer::check_dev_allowed(address, providers.providers())
}

/// Says at the start who can sign in and what clients see, where that may surprise.
fn warn_of_modes(dev: bool, has_dev_issuer: bool, providers: &AuthConfig) {
    if dev {
        tracing::warn!(
            "development mode is on: clients see error texts and logs, and functions reach every address; --dev=false turns \
             it off"
        );
    }
    if has_dev_issuer {
        tracing::warn!(
            "the development issuer is on: anybody who reaches this server can sign in as anybody"
        );
    } else if providers.is_empty() {
        tracing::warn!(
            "no issuer is given and the development issuer is off: nobody can sign in, unless a push names an issuer"
        );
    }
}

fn open_database(
    app: &App,
    config: &Config,
    secret: &DeploymentSecret,
    clock: Arc<dyn Clock>,
) -> Result<Arc<Database>, StartError> {
    let threads = std::thread::available_parallelism()
        .map_or(2, usize::from)
        .max(2);
    let database = Database::open(DatabaseOptions {
        dir: config.data.clone(),
        schema: app.schema.clone(),
        limits: app.limits,
        store: store_options(config),
        committer: CommitterOptions::default(),
        reader_threads: threads,
        secret: *secret.key_for("cursors").expose(),
        clock,
        executor: Arc::new(SystemExecutor),
        probe: app.probe.clone(),
        rng: Box::new(StdRng::from_os_rng()),
        on_unknown: Box::new(end_process),
    })?;
    Ok(Arc::new(database))
}

fn store_options(config: &Config) -> StoreOptions {
    let mut options = StoreOptions::default();
    if let Some(mib) = config.document_cache_mib {
        // On a machine that cannot address so much it is as much as can be.
        let mib = usize::try_from(mib.get()).unwrap_or(usize::MAX);
        options.slot_bytes_max = mib.saturating_mul(1 << 20);
    }
    if let Some(kept) = config.bounds.log_kept {
        options.log_kept = kept;
    }
    options.lose_commits_after = config.bounds.lose_commits_after.map(Timestamp);
    options
}

/// No call may be answered any more: waiting clients send again and meet the record, if there is one.
fn end_process(unknown: UnknownOutcome) {
    tracing::error!(error = %unknown, "ending the process; restart it once the disk works");
    std::process::exit(EXIT_IOERR);
}

struct RoomsFrom {
    own: Arc<Own>,
    registry: Registry,
    provisioning: Stated,
    providers: AuthConfig,
    secret: DeploymentSecret,
    clock: Arc<dyn Clock>,
    database: Arc<Database>,
}

pub(crate) struct Rooms {
    pub(crate) functions: Arc<Functions>,
    files: Arc<Files>,
    transfers: Arc<Transfers>,
    backups: Arc<Backups>,
    pub(crate) live: Arc<LiveQueries>,
    following: Following,
    pub(crate) gate: Arc<Gate>,
    authenticator: Arc<Authenticator>,
    connections: Arc<Connections>,
    jobs_metrics: Arc<JobsMetrics>,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
}

/// Actions always reach this server itself, and non-public addresses only where allowed.
fn js_options(app: &App, config: &Config, dev: bool, own: Arc<Own>) -> JsOptions {
    config.bounds.js(JsOptions {
        outbound: OutboundOptions {
            is_open: dev,
            allowed: config.fetch_allow.clone(),
            own,
            proxies: ProxyVariables::of_the_process(),
            ..OutboundOptions::default()
        },
        native_heads: config.native_heads,
        is_in_development: dev,
        provisioning_time_max: app.gate_deadline,
        node: config.bounds.node(NodeOptions {
            program: config.node.clone(),
            folder: config.data.join(NODE_FOLDER),
            installs_packages: config.node_packages,
            loads_addons: config.node_addons,
            ..NodeOptions::default()
        }),
        ..JsOptions::default()
    })
}

impl Rooms {
    /// Starts scheduled functions and crons.
    pub(crate) fn start_jobs(&self, app: &App, config: &Config) -> Jobs {
        let options = config.bounds.jobs(app.jobs.clone());
        Jobs::start(self.functions.clone(), options, self.jobs_metrics.clone())
    }

    fn build(app: &App, config: &Config, dev: bool, from: RoomsFrom) -> Result<Rooms, StartError> {
        let RoomsFrom {
            own,
            registry,
            provisioning,
            providers,
            secret,
            clock,
            database,
        } = from;
        let mut metrics = Metrics::with_prefix("vestibule");
        let options = js_options(app, config, dev, own.clone());
        let js = Js::of_this_build(&config.name, options.clone(), clock.clone());
        let functions = Functions::with_js(registry, database.clone(), js.clone(), &options);
        #[cfg(feature = "typescript")]
        if let Some(js) = &js {
            metrics.register_collector(Box::new(super::js_gauges::JsGauges {
                js: Arc::downgrade(js),
                functions: Arc::downgrade(&functions),
            }));
        }
        let files = Files::new(FilesParts {
            database: database.clone(),
            blobs: Blobs::in_directory(&config.data)?,
            own: own.clone(),
            secret: secret.key_for("uploads"),
            metrics: FileMetrics::register(&mut metrics),
            options: config.bounds.files(),
        });
        functions.install_files(files.clone());
        functions.install_signer(TokenSigner::new(secret.key_for("token signing keys")));
        let transfers = Transfers::open(
            &config.data,
            database.clone(),
            files.clone(),
            config.bounds.transfers(),
        )?;
        let backups = Backups::new(
            database.clone(),
            files.clone(),
            config.data.clone(),
            BackupMetrics::register(&mut metrics),
        );
        let (live, following) = LiveQueries::start(functions.clone());
        let gauges = Gauges {
            database: Arc::downgrade(&database),
            live: Arc::downgrade(&live),
        };
        metrics.register_collector(Box::new(gauges));
        let options = GateOptions {
            stated: provisioning,
            deadline: app.gate_deadline,
            first_logins_per_minute: config.first_logins_per_minute,
            checks: dev.then(|| Checks {
                has_user: app.has_user.clone(),
            }),
        };
        let gate_metrics = Arc::new(GateMetrics::register(&mut metrics));
        let gate = Gate::new(
            functions.clone(),
            live.clone(),
            options,
            clock.clone(),
            gate_metrics,
        );
        let admin_keys = AdminKeys::open(&config.name, &secret, &config.data)?;
        let authenticator = Arc::new(Authenticator::new(
            providers,
            admin_keys,
            clock.clone(),
            own,
        ));
        let connections = Connections::new(ConnectionsParts {
            functions: functions.clone(),
            live: live.clone(),
            gate: gate.clone(),
            authenticator: authenticator.clone(),
            clock: clock.clone(),
            options: SyncOptions {
                redact: config.redact.unwrap_or(!dev),
                ..app.sync.clone()
            },
            metrics: Arc::new(SyncMetrics::register(&mut metrics)),
            rng: Box::new(StdRng::from_os_rng()),
        });
        let jobs_metrics = Arc::new(JobsMetrics::register(&mut metrics));
        Ok(Rooms {
            functions,
            files,
            transfers,
            backups,
            live,
            following,
            gate,
            authenticator,
            connections,
            jobs_metrics,
            metrics,
            clock,
        })
    }
}

async fn sweep(functions: Weak<Functions>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(functions) = functions.upgrade() else {
            return;
        };
        functions.count_minute();
        let database = functions.database();
        database.sweep_session_requests();
        database.leases().drop_expired();
    }
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address for browsers and HTTP clients of this machine.
    pub fn url(&self) -> String {
        deploying::url_of(self.address)
    }

    /// Where it listens for HTTP actions at the root of an origin.
    pub fn site_address(&self) -> Option<SocketAddr> {
        self.site_address
    }

    /// Where clients reach it.
    pub fn origins(&self) -> Origins {
        Origins::clone(&self.own.origins())
    }

    /// Whether the built-in issuer signs in every client that asks.
    pub fn is_dev(&self) -> bool {
        self.dev
    }

    /// Runs until a signal comes, then shuts down. A second one ends the process at once.
    pub async fn until(self, mut signals: StopSignals) {
        signals.next().await;
        tracing::info!("asked to stop; letting what is under way finish");
        tokio::select! {
            () = self.shut_down() => {}
            () = signals.next() => {}
        }
    }

    /// Takes no more work, and lets mutations, actions and requests under way finish. Then it closes every connection
    /// so that its client connects again later, and lets go of the data directory.
    pub async fn shut_down(self) {
        let Running {
            shutdown,
            http,
            within,
            sweepers,
            connections,
            jobs,
            pushes,
            transfers,
            following,
            functions,
            database,
            ..
        } = self;
        shutdown.cancel();
        pushes.stop();
        let stopping = async {
            if let Some(jobs) = jobs {
                jobs.stop().await;
            }
        };
        let transferring = transfers.shut_down(TRANSFERS_FINISH);
        let ((), (), ()) = tokio::join!(connections.drain(), stopping, transferring);
        for serving in http {
            // The server's task ends by itself; one that panicked has been logged.
            let _ = serving.await;
        }
        pushes.settled().await;
        sweepers.iter().for_each(JoinHandle::abort);
        functions.end_actions();
        drop((within, connections, pushes, transfers, following, functions));
        if tokio::time::timeout(CLOSE_WAIT, database.close())
            .await
            .is_err()
        {
            tracing::warn!("something still uses the database");
        }
        tracing::info!("stopped");
    }
}

/// SIGINT and SIGTERM, from the moment this is made on: made before a server says that it is ready, none is lost.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Listens for them, instead of being ended by them.
    pub fn listen() -> Result<StopSignals, StartError> {
        let listen = |kind| signal(kind).map_err(StartError::Signals);
        Ok(StopSignals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
