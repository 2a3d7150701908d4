//! Start and stop of the server.

use std::{
    io::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    App as Actix, HttpServer,
    body::MessageBody,
    dev::{ServerHandle, ServiceFactory, ServiceRequest, ServiceResponse},
    web,
};
use statuspulse_app::{
    AppError, Env,
    boot::{self, BootError, ConfigError, Purpose, Resources, Start},
    leaks::github::GithubKeys,
    webhooks::worker::Worker,
};
use statuspulse_delivery::{AllowedNetworks, Courier, SystemNames, send::TIMEOUT};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    config::{Config, ServeArgs},
    http, reload, routes,
    seed::{self, Seeded},
    state::{Outgoing, State},
    telemetry,
};

/// How long requests in flight may take when the server stops, in seconds.
const GRACE_SECONDS: u64 = 10;
/// A request's head must be complete in this time: a connection that dribbles holds no place for ever.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection whose request was refused half-way is still read: long enough for a client that is writing to find
/// the answer before the connection breaks, and less than a second in all (oauth G12). The library reckons from a clock that it
/// sets twice a second, so up to half a second of this is over at its beginning; a bound of no more than that can be over
/// before it begins, and then nothing ever closes the connection.
const LINGER: Duration = Duration::from_millis(800);

/// Why the server can't run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A bad value of the configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Database, private PostgreSQL or data directory.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// A use case of the start.
    #[error("{0}")]
    App(String),
    /// The address can't be had.
    #[error("can't listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// A signal came, and the start did not come to its end.
    #[error("stopped by a signal during a start that did not end")]
    Stopped,
    /// The runtime.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl ServeError {
    /// Whether the configuration is at fault: exit code 2.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Boot(BootError::Config(_)))
    }
}

impl From<AppError> for ServeError {
    fn from(error: AppError) -> Self {
        BootError::from(error).into()
    }
}

/// A running server.
pub struct Running {
    /// What the requests share.
    pub state: web::Data<State>,
    /// Its address, with the real port.
    pub address: std::net::SocketAddr,
    handle: ServerHandle,
    task: tokio::task::JoinHandle<io::Result<()>>,
    resources: Resources,
    seeded: Option<Seeded>,
    catalog_file: Option<std::path::PathBuf>,
}

/// Everything that is served, with what every request passes.
pub fn service(
    state: web::Data<State>,
) -> Actix<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + use<>>,
        Error = actix_web::Error,
        InitError = (),
    > + use<>,
> {
    Actix::new()
        .app_data(state)
        .wrap(actix_web::middleware::from_fn(http::headers::around))
        .configure(routes::configure)
}

/// Opens the instance and starts to listen.
///
/// # Errors
/// See [`ServeError`]; nothing is left running.
pub async fn start(config: Config, env: Env) -> Result<Running, ServeError> {
    let Config { settings, listen, public_url, client_ip, has_proxies, workers, data_dir, .. } = config;
    let (networks, github) = (config.webhook_networks, config.github_keys);
    let catalog_file = settings.catalog_file.clone();
    let instance = boot::open(settings, env, Purpose::Server).await?;
    for step in &instance.migrated {
        tracing::info!(step, "migration applied");
    }
    let resources = instance.resources;
    let app = match instance.app.start().await {
        Ok(app) => app,
        Err(error) => {
            resources.close().await?;
            return Err(error.into());
        }
    };
    let listening = async {
        let failed = |source| ServeError::Listen { address: listen.to_string(), source };
        let socket = std::net::TcpListener::bind(listen).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        // After the address is ours: what is printed names it, and is printed only once.
        let seeded = if resources.is_private() {
            seed::seed(&app, &format!("http://{address}"), data_dir.as_deref()).await?
        } else {
            None
        };
        let public_url = public_url.unwrap_or_else(|| format!("http://{address}"));
        let courier = courier(&networks);
        if let Some(courier) = &courier {
            tokio::spawn(Worker::new(Arc::clone(&app), Arc::clone(courier), public_url.clone()).run());
        }
        let outgoing = Outgoing {
            networks,
            github: github.map(|source| GithubKeys::new(source, courier.clone())),
            can_send: courier.is_some(),
            ..Outgoing::default()
        };
        let state = State::new(Arc::clone(&app), public_url, client_ip, has_proxies).with_outgoing(outgoing);
        let state = web::Data::new(state);
        let shared = state.clone();
        let mut server = HttpServer::new(move || service(shared.clone()))
            .disable_signals()
            .shutdown_timeout(GRACE_SECONDS)
            .client_request_timeout(HEAD_TIMEOUT)
            .client_disconnect_timeout(LINGER);
        if let Some(workers) = workers {
            server = server.workers(workers.get());
        }
        Ok::<_, ServeError>((state, address, server.listen(socket).map_err(failed)?.run(), seeded))
    };
    match listening.await {
        Ok((state, address, server, seeded)) => {
            let handle = server.handle();
            let task = tokio::spawn(server);
            Ok(Running { state, address, handle, task, resources, seeded, catalog_file })
        }
        Err(error) => {
            app.stop().await;
            resources.close().await?;
            Err(error)
        }
    }
}

/// A machine without root certificates has a server all the same: what is to be sent waits, and readiness says so.
fn courier(networks: &AllowedNetworks) -> Option<Arc<Courier>> {
    match Courier::new(networks.clone(), Arc::new(SystemNames), TIMEOUT) {
        Ok(courier) => Some(Arc::new(courier)),
        Err(error) => {
            tracing::error!(%error, "webhooks can't be sent");
            None
        }
    }
}

impl Running {
    /// Reads the catalog and the geo database again.
    pub fn reload(&self) {
        self.state.app.geo.reload();
        reload::reload(&self.state, self.catalog_file.as_ref());
    }

    /// Stops in order: no new connections, ten seconds for requests in flight, the audit trail written, the private
    /// PostgreSQL stopped.
    ///
    /// # Errors
    /// When the private PostgreSQL can't be stopped.
    pub async fn stop(self) -> Result<(), ServeError> {
        self.handle.stop(true).await;
        if let Ok(ended) = self.task.await {
            ended?;
        }
        let app = Arc::clone(&self.state.app);
        app.stop().await;
        self.resources.close().await?;
        Ok(())
    }
}

/// Serves until a signal says to stop.
///
/// # Errors
/// See [`ServeError`].
pub(crate) async fn serve(args: ServeArgs) -> Result<(), ServeError> {
    let config = args.read()?;
    telemetry::start(&config.log_filter, config.log_format);
    let (mut terminate, mut interrupt, mut hang_up) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?);
    let private = config.settings.is_private();
    let told = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let (running, stopped) = match boot::until_stopped(start(config, Env::system()), told).await? {
        Start::Done(started) => (started?, false),
        Start::Stopped(Some(started)) => (started?, true),
        Start::Stopped(None) if private => return Err(ServeError::Stopped),
        Start::Stopped(None) => {
            // There is nothing of ours to be stopped, and a step of the schema that hangs would hold the process.
            tell(&format!("error: {}", ServeError::Stopped));
            std::process::exit(1);
        }
    };
    announce(&running);
    let mut serving = !stopped;
    while serving {
        tokio::select! {
            _ = terminate.recv() => serving = false,
            _ = interrupt.recv() => serving = false,
            _ = hang_up.recv() => running.reload(),
        }
    }
    tracing::info!("stopping: requests in flight are finished first");
    running.stop().await
}

/// Says where the server is, and what it has made. That nobody can be told is no reason not to serve.
fn announce(running: &Running) {
    let mut text = format!("StatusPulse Auth is listening on http://{}\n", running.address);
    if let Some(seeded) = &running.seeded {
        text.push_str(seeded.text());
        text.push('\n');
    }
    let mut output = io::stdout().lock();
    if let Err(error) = output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        let (address, made) = (running.address, running.seeded.is_some());
        tracing::warn!(%error, %address, "standard output can't be written to");
        if made {
            tracing::error!("the first password and key could not be shown; remove the data directory and start again");
        }
    }
}

/// Writes a line to standard error; where nobody listens there is nobody to tell.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
