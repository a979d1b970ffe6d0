//! `fleetd`: enters its machine into the registry, keeps it there, and runs the units that are for it.

mod agent;
mod config;
mod systemd;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::console::Console;
use crate::etcd::{self, Etcd};
use crate::http::BadEndpoint;
use crate::log::Log;
use crate::registry::Registry;
use crate::wire::Machine;
use crate::{REFUSED, VERSION, api};

pub use agent::Agent;
pub use config::{Config, ConfigError};
pub use systemd::{Systemctl, Systemd, SystemdError, SystemdState, UnitsDirectory};

const DEFAULT_CONFIG: &str = "/etc/fleet/fleet.conf";
const MACHINE_ID: &str = "/etc/machine-id";

/// The first pause after an attempt to enter the machine, and the longest; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A fleetd that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its configuration.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// An etcd endpoint.
    #[error("{0}")]
    Endpoint(#[from] BadEndpoint),
    /// The directory of unit files.
    #[error("{0}")]
    Units(#[from] SystemdError),
}

/// One machine's fleetd.
pub struct Fleetd {
    machine: Machine,
    ttl: Duration,
    registry: Registry,
    agent: Agent,
    token_limit: u16,
    available: Arc<AtomicBool>,
    log: Log,
}

/// How a fleetd gets its machine into the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// When it starts: not while an entry of the same machine lives, its own of before a SIGKILL included.
    Register,
    /// When it was cut off: over its own entry, if that still lives.
    Beat,
}

impl Fleetd {
    /// The fleetd of the machine `id`.
    ///
    /// # Errors
    /// What it cannot start without.
    pub fn new(config: &Config, id: &str, systemd: Box<dyn Systemd>, log: Log) -> Result<Self, StartError> {
        let etcd = Etcd::new(config.etcd_servers.iter().map(String::as_str), config.etcd_request_timeout)?;
        let registry = Registry::new(etcd, &config.etcd_key_prefix);
        let machine =
            Machine { id: id.to_owned(), metadata: config.metadata.clone(), primary_ip: config.public_ip.clone() };
        let units = UnitsDirectory::open(&config.units_directory)?;
        Ok(Self {
            agent: Agent::new(registry.clone(), machine.clone(), config.agent_ttl, units, systemd, log.clone()),
            machine,
            ttl: config.agent_ttl,
            registry,
            token_limit: config.token_limit,
            available: Arc::default(),
            log,
        })
    }

    /// Serves the API on `listener` for ever: 503 until the machine is entered, and whenever it is cut off.
    pub async fn serve(&self, listener: UnixListener) {
        let router = api::router(self.registry.clone(), self.available.clone(), self.token_limit);
        if let Err(error) = axum::serve(listener, router).await {
            self.log.error("server.go:51", &format!("Failed serving HTTP on listener: {error}"));
        }
    }

    /// Enters the machine, however long that takes.
    pub async fn register(&self) {
        self.enter(Entry::Register).await;
    }

    /// Runs the entered machine for ever. When etcd cannot be reached for too long it stops answering and
    /// watching, but not its units, and enters the machine again.
    pub async fn run(&self) {
        loop {
            self.log.info("server.go:229", "Starting server components");
            self.available.store(true, Ordering::Relaxed);
            tokio::select! {
                () = self.agent.keep_reconciling() => {}
                () = self.agent.keep_publishing() => {}
                () = self.keep_beating() => {}
            }
            self.available.store(false, Ordering::Relaxed);
            let why = "Monitor timed out before successful heartbeat";
            self.log.error("server.go:268", &format!("Server monitor triggered: {why}"));
            self.log.info("server.go:283", "Restarting server");
            self.enter(Entry::Beat).await;
        }
    }

    /// Attempts for ever to enter the machine a second time, which can't succeed while the first entry is
    /// renewed: what SIGHUP does to fleetd.
    async fn reload(&self) {
        self.log.info("fleetd.go:116", &format!("Reloading configuration from {DEFAULT_CONFIG}"));
        self.log.info("fleetd.go:126", "Restarting server components");
        self.available.store(false, Ordering::Relaxed);
        self.enter(Entry::Register).await;
    }

    /// Stops every unit of this machine and takes it out of the registry: what SIGTERM does to fleetd.
    pub async fn leave(&self) {
        self.available.store(false, Ordering::Relaxed);
        self.log.info("fleetd.go:146", "Gracefully shutting down");
        self.agent.purge().await;
        if let Err(error) = self.registry.remove_machine(&self.machine.id).await {
            self.log.error("server.go:301", &format!("Failed removing machine: {error}"));
        }
    }

    /// The agent, for whoever wants to drive it by hand.
    #[must_use]
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Answers requests although nothing runs yet, for whoever drives the agent by hand.
    pub fn answer(&self) {
        self.available.store(true, Ordering::Relaxed);
    }

    async fn enter(&self, entry: Entry) {
        self.log.info("server.go:206", "Establishing etcd connectivity");
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.attempt(entry).await {
            let retry = format!("retrying in {} sec.", pause.as_nanos());
            self.log.warn("server.go:223", &format!("Server register machine failed: {error}, {retry}"));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        match entry {
            Entry::Register => self.log.info("server.go:219", "hrt.Register() success"),
            Entry::Beat => self.log.info("server.go:213", "hrt.Beat() success"),
        }
    }

    async fn attempt(&self, entry: Entry) -> Result<(), etcd::Error> {
        match entry {
            Entry::Register => self.registry.register(&self.machine, self.ttl).await,
            Entry::Beat => self.registry.beat(&self.machine, self.ttl).await,
        }
    }

    /// Renews the machine's entry every half of its life; returns when that failed for a third of it.
    async fn keep_beating(&self) {
        let patience = self.ttl / 3;
        loop {
            tokio::time::sleep(self.ttl / 2).await;
            let beat = async {
                while self.attempt(Entry::Beat).await.is_err() {
                    tokio::time::sleep(patience / 4).await;
                }
            };
            if tokio::time::timeout(patience, beat).await.is_err() {
                return;
            }
        }
    }
}

/// Runs `fleetd args` until SIGTERM and returns its exit code.
pub async fn main(args: &[String], console: &mut Console) -> u8 {
    let path = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => None,
        ["--version" | "version"] => {
            console.out(&format!("fleetd version {VERSION}"));
            return 0;
        }
        ["--config", path] => Some(path.to_owned()),
        [one] if one.starts_with("--config=") => one.strip_prefix("--config=").map(ToOwned::to_owned),
        _ => {
            console.err("fleetd takes no arguments. Did you mean to invoke fleetctl instead?");
            return 1;
        }
    };
    let log = Log::stderr();
    log.info("fleetd.go:75", &format!("Starting fleetd version {VERSION}"));
    let text = match configuration(path.as_deref(), &log) {
        Ok(text) => text,
        Err(message) => {
            console.err(&format!("FATAL fleetd.go:195: {message}"));
            return 1;
        }
    };
    let started = Config::read(&text, |name| std::env::var(name).ok()).map_err(StartError::from).and_then(|config| {
        let id = std::fs::read_to_string(MACHINE_ID).unwrap_or_default();
        Fleetd::new(&config, id.trim(), Box::new(Systemctl), log)
    });
    match started {
        Ok(fleetd) if fleetd.machine.id.is_empty() => {
            console.err("FATAL fleetd.go:109: Failed creating Server: unable to determine local machine ID");
            1
        }
        Ok(fleetd) => {
            run_until_told(&fleetd).await;
            0
        }
        Err(error) => {
            console.err(&format!("FATAL fleetd.go:109: Failed creating Server: {error}"));
            if matches!(error, StartError::Config(ConfigError::Unsupported(_))) { REFUSED } else { 1 }
        }
    }
}

/// The text of the configuration file: a named one has to be there.
fn configuration(path: Option<&str>, log: &Log) -> Result<String, String> {
    let read = std::fs::read_to_string(path.unwrap_or(DEFAULT_CONFIG));
    match (path, read) {
        (Some(path), Ok(text)) => {
            log.info("fleetd.go:201", &format!("Using provided config file {path}"));
            Ok(text)
        }
        (Some(path), Err(error)) => Err(format!("Unable to use config file {path}: {error}")),
        (None, Ok(text)) => {
            log.info("fleetd.go:205", &format!("Using default config file {DEFAULT_CONFIG}"));
            Ok(text)
        }
        (None, Err(_)) => {
            log.info("fleetd.go:208", "No provided or default config file found - proceeding without");
            Ok(String::new())
        }
    }
}

/// Runs with signals as fleetd has them: none is listened to before the machine is entered, so that SIGTERM
/// then ends the process at once and nothing is purged.
async fn run_until_told(fleetd: &Fleetd) {
    let work = async {
        fleetd.register().await;
        let (Some(mut term), Some(mut int), Some(mut hup)) =
            (listen(SignalKind::terminate()), listen(SignalKind::interrupt()), listen(SignalKind::hangup()))
        else {
            return;
        };
        let run = fleetd.run();
        tokio::pin!(run);
        tokio::select! {
            () = &mut run => {}
            _ = term.recv() => fleetd.leave().await,
            _ = int.recv() => fleetd.leave().await,
            // From here on the old server runs beside the attempts, and nobody listens to signals any more.
            _ = hup.recv() => {
                tokio::join!(run, fleetd.reload());
            }
        }
    };
    match activated_socket() {
        Some(listener) => tokio::select! {
            () = work => {}
            () = async { fleetd.serve(listener).await; std::future::pending().await } => {}
        },
        // Started without its socket, fleetd works and cannot be asked.
        None => work.await,
    }
}

fn listen(kind: SignalKind) -> Option<Signal> {
    signal(kind).ok()
}

/// The socket that systemd passed, if it did.
fn activated_socket() -> Option<UnixListener> {
    let listener = listenfd::ListenFd::from_env().take_unix_listener(0).ok()??;
    listener.set_nonblocking(true).ok()?;
    UnixListener::from_std(listener).ok()
}
