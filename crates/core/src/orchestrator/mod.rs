//! The seam to what runs replicas on hosts: turns work into scripts and their output into observations, without any I/O of its own.
//!
//! Planning and reporting know replicas; only what is behind this trait knows what a replica is made of (fleet: a unit).

pub mod fleet;
mod probe;
pub mod userdata;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

pub use probe::{Probe, ProbeCheck, ProbeError};
use serde::{Deserialize, Serialize};

use crate::{
    clean::Cleaning,
    command::{Look, Seen},
    config::{Architecture, FleetArchive},
    desired::{ReplicaSpec, Scope, SecretVersion},
    iam::EcrRegistry,
    image::PinnedImage,
    log::{LogOf, LogPart},
    name::{HostName, ReplicaName, ServiceName},
    observed::{Handle, HostReport, InstanceId},
    script::{ResultError, Script},
};

/// What a host is told about itself and its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterHost {
    /// Its symbolic name.
    pub host: HostName,
    /// The instance it is, by which a host finds its own line.
    pub instance: InstanceId,
    /// Its address inside the cluster.
    pub private_address: String,
    /// Its kind of processor.
    pub architecture: Architecture,
}

/// A cluster as configuring a host needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Whose cluster it is.
    pub scope: Scope,
    /// Every host.
    pub hosts: Vec<ClusterHost>,
    /// The hosts that carry an etcd member, or are about to: what every host reaches etcd by, and keeps containers away from.
    pub members: Vec<HostName>,
    /// Whether there is no etcd yet, and the members found one together. Later they come and go one at a time.
    pub founding: bool,
    /// Where the orchestrator's archive comes from, for each kind of processor. A host for which there is none keeps what it has.
    pub archives: BTreeMap<Architecture, FleetArchive>,
}

/// What a host fetches before replicas are started on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Supplies {
    /// The images.
    pub images: Vec<PinnedImage>,
    /// The secrets.
    pub secrets: BTreeSet<SecretVersion>,
}

/// Where a host finds the login that a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLogin {
    /// The registry, as Docker's configuration names it.
    pub registry: String,
    /// The parameter that holds it.
    pub parameter: SecretVersion,
}

/// How a host logs in to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryLogin {
    /// By a login that was kept for it.
    Kept(KeptLogin),
    /// By what its own role is given.
    Role {
        /// The registry, as images name it.
        registry: String,
        /// The region that it is in.
        region: String,
    },
}

impl RegistryLogin {
    /// The login of a host's own role, to a registry that gives one to roles.
    pub fn by_role(registry: &str) -> Option<Self> {
        EcrRegistry::of(registry).map(|ecr| Self::Role { registry: registry.to_owned(), region: ecr.region })
    }
}

/// An address at which a linked service is found from a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The service, which is the name that leads there.
    pub service: ServiceName,
    /// The address of a host that carries it.
    pub address: Ipv4Addr,
}

/// One replica to be started on a host.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Its symbolic name.
    pub replica: ReplicaName,
    /// What it will be called.
    pub handle: Handle,
    /// What to write for it; absent when it is registered already and only has to run again.
    pub spec: Option<ReplicaSpec>,
    /// How it is probed.
    pub probe: Probe,
    /// What must have stopped before: a predecessor (stop-first), or the replica itself where it is to be started anew.
    pub stop_before: Option<Handle>,
}

/// How one replica's start ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Its symbolic name.
    pub replica: ReplicaName,
    /// What was started.
    pub handle: Handle,
    /// Healthy, or why not.
    pub outcome: StartOutcome,
    /// Milliseconds from start to the outcome, by the host's clock.
    pub took_ms: u64,
}

/// Healthy, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartOutcome {
    /// Its check passed.
    Healthy,
    /// Its check did not pass before the deadline.
    Failed {
        /// The last state and the last answer, in one line.
        why: String,
        /// The end of its journal.
        journal: Vec<String>,
    },
}

/// What went wrong on a host that did answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The host says what failed, in its own words.
    #[error("{what}")]
    Said {
        /// What failed.
        what: String,
        /// Which kind it is, where skipper knows a remedy.
        kind: HostErrorKind,
    },
    /// Its answer could not be read.
    #[error("the host's answer could not be read")]
    Unreadable(#[source] ResultError),
    /// Its answer could be read and makes no sense.
    #[error("the host answered `{0}`, which is not understood")]
    NotUnderstood(String),
}

/// What a host says of cleaning: names of images with the bytes of each, not looked at yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostCleaned {
    /// The images that it removed.
    pub removed: Vec<(String, u64)>,
    /// How many more, for whose names there was no room.
    pub unnamed: u64,
    /// The bytes that this freed; absent where it cannot tell.
    pub freed: Option<u64>,
    /// The images that it could not remove, and why.
    pub stuck: Vec<(String, String)>,
}

/// Failures on hosts that have a remedy of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostErrorKind {
    /// The orchestrator's archive could not be fetched.
    ArchiveMissing,
    /// The archive's SHA-256 is another than the file says.
    ArchiveHash,
    /// The engine that runs containers does not answer.
    Engine,
    /// The disk is full.
    DiskFull,
    /// The image does not exist for the host's architecture.
    Platform,
    /// The host was not given a secret that it asked for.
    Secret,
    /// An image could not be pulled.
    Pull,
    /// The host's own role does not get it into a registry.
    RegistryRole,
    /// The host has seen a script of a later lease.
    Fenced,
    /// Another failure.
    Other,
}

/// What runs replicas on hosts.
///
/// Every script is idempotent: Systems Manager may deliver a command twice.
pub trait Orchestrator {
    /// What a replica with this spec is called. Equal specs have equal handles; a change of anything that it runs changes it.
    fn handle(&self, scope: &Scope, spec: &ReplicaSpec) -> Handle;

    /// Why this orchestrator could not run a replica with this spec, where that is known without trying.
    fn obstacle(&self, scope: &Scope, spec: &ReplicaSpec) -> Option<String>;

    /// The identity of the configuration that [`Orchestrator::configure`] would apply; the same for every host.
    fn configuration(&self, cluster: &Cluster) -> String;

    /// Asks every host what it is and runs. The same text for every host of every run, and named as it may be kept.
    fn observe(&self, scope: &Scope) -> Script;

    /// Reads one host's answer to [`Orchestrator::observe`].
    ///
    /// # Errors
    /// When the host reports a failure or the answer cannot be read.
    fn read_observation(&self, output: &str) -> Result<HostReport, HostError>;

    /// Brings hosts to the cluster's configuration.
    fn configure(&self, cluster: &Cluster) -> Script;

    /// Keeps the orchestrator of hosts away from a registry that is empty, or is about to be, so that it does not stop what runs.
    /// Where the cluster is founding, the hosts refuse as long as etcd answers.
    fn hold(&self, cluster: &Cluster) -> Script;

    /// Brings hosts back that were held: each registers again what it has on record, and where the cluster is founding, its members
    /// found etcd in the place of one that is lost.
    fn restore(&self, cluster: &Cluster) -> Script;

    /// Gives a host a member of etcd, beside those that there are.
    fn join(&self, cluster: &Cluster) -> Script;

    /// Takes the member at an address out of etcd, for those of the cluster to stay; on its own host ends it, too.
    fn leave(&self, cluster: &Cluster, address: &str) -> Script;

    /// The identity of what [`Orchestrator::link`] would tell a host.
    fn linked(&self, places: &[Place]) -> String;

    /// Tells the containers of each host where the services are that they link to, those that run included.
    fn link(&self, scope: &Scope, places: &BTreeMap<InstanceId, Vec<Place>>) -> Script;

    /// Fetches images and secrets, by host; with these logins to the registries that they are for.
    fn pull(&self, scope: &Scope, supplies: &BTreeMap<InstanceId, Supplies>, logins: &[RegistryLogin]) -> Script;

    /// Starts replicas, by host, and waits until each is healthy or its deadline has passed.
    fn start(&self, scope: &Scope, starts: &BTreeMap<InstanceId, Vec<Start>>) -> Script;

    /// Reads one host's answer to [`Orchestrator::start`].
    ///
    /// # Errors
    /// When the host reports a failure or the answer cannot be read.
    fn read_started(&self, output: &str) -> Result<Vec<Started>, HostError>;

    /// Stops replicas, by host, waits until they are gone, and keeps them registered.
    fn stop(&self, scope: &Scope, handles: &BTreeMap<InstanceId, Vec<Handle>>) -> Script;

    /// Stops and forgets replicas, by the host that does it, and waits until they are gone. Whether the environment `ends` with them:
    /// then its secrets are forgotten, too, and its volumes removed, on whichever hosts this is sent to.
    fn remove(&self, scope: &Scope, handles: &BTreeMap<InstanceId, Vec<Handle>>, ends: bool) -> Script;

    /// Asks what replicas have printed, by host: the newest lines of each, at most so many. `asked` is the name of the question, under
    /// which a host keeps what it has collected until all parts of it are fetched.
    fn logs(&self, scope: &Scope, lines: u32, asked: &str, hosts: &BTreeMap<InstanceId, LogOf>) -> Script;

    /// Reads one host's answer to [`Orchestrator::logs`].
    ///
    /// # Errors
    /// When the host reports a failure or the answer cannot be read.
    fn read_logs(&self, output: &str) -> Result<LogPart, HostError>;

    /// Removes older images, by one rule for every host.
    fn clean(&self, scope: &Scope, cleaning: &Cleaning) -> Script;

    /// Reads one host's answer to [`Orchestrator::clean`].
    ///
    /// # Errors
    /// When the host reports a failure or the answer cannot be read.
    fn read_cleaned(&self, output: &str) -> Result<HostCleaned, HostError>;

    /// Begins a command on a host, or looks how far it is. A look that is delivered twice begins it once.
    fn look_at_command(&self, scope: &Scope, look: &Look) -> Script;

    /// Reads the host's answer to [`Orchestrator::look_at_command`].
    ///
    /// # Errors
    /// When the host reports a failure or the answer cannot be read.
    fn read_command(&self, output: &str) -> Result<Seen, HostError>;

    /// Ends a command by its name, with everything that it has begun, and forgets its output.
    fn end_command(&self, scope: &Scope, asked: &str) -> Script;

    /// Reads one host's answer to a script that reports nothing but success.
    ///
    /// # Errors
    /// When the host reports a failure or the answer cannot be read.
    fn read_done(&self, output: &str) -> Result<(), HostError>;
}
