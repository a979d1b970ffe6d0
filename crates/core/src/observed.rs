//! What was found in the world, as plain data; what could not be found out is a gap, not an absence.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use crate::{
    desired::{Binding, Scope},
    etcd::{EtcdMember, Membership},
    image::PinnedImage,
    name::{GroupName, HostName, ReplicaName, ServiceName},
};

/// An EC2 instance id, `i-…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(pub String);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The orchestrator's own name of a running or stopped replica (fleet: the unit's name). Opaque to planning and reporting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Handle(pub String);

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything that planning may know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// The security groups that carry the project's ownership tag.
    pub security_groups: BTreeMap<SecurityGroup, ObservedSecurityGroup>,
    /// The instances that carry the project's ownership tag, by the host they are. Terminated ones are left out.
    pub hosts: BTreeMap<HostName, ObservedHost>,
    /// The elastic addresses that carry the project's ownership tag and say which host they are for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
    /// What a launch in a group would use; present for groups with missing hosts only.
    pub launch: BTreeMap<GroupName, LaunchFacts>,
    /// How often a host has been launched before.
    pub launches: BTreeMap<HostName, Launch>,
    /// The pull requests that have a preview which costs money; looked for before the first host of another preview only.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub previews: BTreeSet<u64>,
    /// What could not be observed.
    pub gaps: Vec<Gap>,
}

/// An address that outlives instances.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    /// The host that it is for.
    pub host: HostName,
    /// Its id, `eipalloc-…`.
    pub allocation: String,
    /// The address itself.
    pub ip: String,
    /// The instance that it leads to now.
    pub instance: Option<InstanceId>,
}

/// A part of the world that could not be observed, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// What it is about: a host, or everything when absent.
    pub host: Option<HostName>,
    /// What could not be observed, and why.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The security groups a project owns in a region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecurityGroup {
    /// Traffic between the project's own hosts.
    Cluster,
    /// The public ports of one group.
    Group(GroupName),
}

impl SecurityGroup {
    /// The word in the `skipper:security-group` tag.
    pub fn tag(&self) -> String {
        match self {
            Self::Cluster => "cluster".to_owned(),
            Self::Group(group) => format!("group/{group}"),
        }
    }
}

impl fmt::Display for SecurityGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("the cluster"),
            Self::Group(group) => write!(f, "group `{group}`"),
        }
    }
}

/// A security group as EC2 describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedSecurityGroup {
    /// Its id, `sg-…`.
    pub id: String,
    /// Its inbound rules.
    pub rules: BTreeSet<IngressRule>,
    /// Those among them that carry skipper's mark. Any other is somebody else's, whatever it says.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub marked: BTreeSet<IngressRule>,
}

/// Who may reach a port (always TCP).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IngressRule {
    /// The first port of the range.
    pub from_port: u16,
    /// The last port of the range.
    pub to_port: u16,
    /// From where.
    pub source: Source,
}

impl fmt::Display for IngressRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from_port == self.to_port {
            write!(f, "tcp {} from {}", self.from_port, self.source)
        } else {
            write!(f, "tcp {}-{} from {}", self.from_port, self.to_port, self.source)
        }
    }
}

/// Where inbound traffic may come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Everybody, over IPv4 (`0.0.0.0/0`).
    AnyIpv4,
    /// Everybody, over IPv6 (`::/0`).
    AnyIpv6,
    /// The project's own hosts: the cluster's security group itself.
    Cluster,
    /// The hosts of one of the project's groups: the group's own security group.
    Group(GroupName),
    /// Something skipper never writes: another address range, group or protocol, as EC2 spells it.
    Other(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnyIpv4 => f.write_str("0.0.0.0/0"),
            Self::AnyIpv6 => f.write_str("::/0"),
            Self::Cluster => f.write_str("the cluster"),
            Self::Group(group) => write!(f, "group `{group}`"),
            Self::Other(other) => f.write_str(other),
        }
    }
}

impl Source {
    /// The project's security group that it is, if it is one.
    pub fn security_group(&self) -> Option<SecurityGroup> {
        match self {
            Self::Cluster => Some(SecurityGroup::Cluster),
            Self::Group(group) => Some(SecurityGroup::Group(group.clone())),
            Self::AnyIpv4 | Self::AnyIpv6 | Self::Other(_) => None,
        }
    }
}

impl From<SecurityGroup> for Source {
    fn from(group: SecurityGroup) -> Self {
        match group {
            SecurityGroup::Cluster => Self::Cluster,
            SecurityGroup::Group(group) => Self::Group(group),
        }
    }
}

/// One instance that carries the ownership tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservedHost {
    /// The instance behind the host.
    pub instance: InstanceId,
    /// EC2's state of it.
    pub state: InstanceState,
    /// Its instance type, such as `t3.small`.
    pub size: String,
    /// Whether its root device is the machine's own store: it cannot be stopped then, and its disk ends with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub instance_store: bool,
    /// The address other hosts reach it at.
    pub private_address: Option<String>,
    /// The address the world reaches it at.
    pub public_address: Option<String>,
    /// Whether the SSM agent answers.
    pub agent: Agent,
    /// What the host said of itself; absent when it was not asked or did not answer (then there is a gap).
    pub report: Option<HostReport>,
}

impl ObservedHost {
    /// Whether it says that it was made a part of its cluster.
    pub fn is_configured(&self) -> bool {
        self.report.as_ref().is_some_and(|report| report.configured.is_some())
    }

    /// Whether it says that it has a member of etcd.
    pub fn has_member(&self) -> bool {
        self.report.as_ref().is_some_and(|report| report.membership == Membership::Member)
    }
}

/// EC2's instance states; terminated and shutting-down instances are not hosts any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Being started.
    Pending,
    /// Running.
    Running,
    /// Being stopped.
    Stopping,
    /// Stopped.
    Stopped,
}

impl InstanceState {
    /// EC2's word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

/// The SSM agent as Systems Manager sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agent {
    /// It answers.
    Online,
    /// It has answered before, and does not now.
    Lost,
    /// It has never registered.
    Absent,
}

/// What a host says of itself in one answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostReport {
    /// The identity of the last configuration that was applied completely; absent on a fresh host.
    pub configured: Option<String>,
    /// The boot that it is in, told apart from every other; absent where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// Its part in etcd.
    pub membership: Membership,
    /// The members of etcd, as they are told here; empty where etcd does not answer. Every host is told the same ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub etcd: Vec<EtcdMember>,
    /// The highest lease of the scope whose scripts it has seen; 0 where there was none.
    #[serde(default)]
    pub fence: u64,
    /// Whether the orchestrator answers on this host.
    pub orchestrator: OrchestratorState,
    /// Why the engine that runs containers does not answer on this host, in its own words; absent where it does. What runs is not known then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The replicas that are registered for or running on this host.
    pub replicas: Vec<ObservedReplica>,
    /// The host that it is to the orchestrator; absent where that does not answer.
    pub host: Option<HostName>,
    /// Registered replicas of hosts that the orchestrator does not see. Every host reports the same ones.
    pub stray: Vec<Stray>,
    /// The identity of what its containers were last told of the services that they link to; absent where that was never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<String>,
    /// The host ports that replicas of other scopes have on this host.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub held_ports: BTreeSet<u16>,
    /// The named volumes that it holds, whoever made them, by their names on the host; absent where its engine does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volumes: Option<BTreeSet<String>>,
}

impl HostReport {
    /// What a host says that has not been configured, is part of nothing and holds nothing.
    pub const fn bare(orchestrator: OrchestratorState) -> Self {
        Self {
            configured: None,
            boot: None,
            membership: Membership::None,
            etcd: Vec::new(),
            fence: 0,
            orchestrator,
            engine: None,
            replicas: Vec::new(),
            host: None,
            stray: Vec::new(),
            links: None,
            held_ports: BTreeSet::new(),
            volumes: Some(BTreeSet::new()),
        }
    }

    /// Whether a host that is in use cannot say what it runs: its engine or its orchestrator does not answer, or that has lost what it knew.
    pub const fn is_silent(&self) -> bool {
        self.engine.is_some() || self.orchestrator.is_cut_off()
    }

    /// Whether it holds volumes of a scope. Where its engine does not say, a host that is part of a cluster may.
    pub fn has_volumes(&self, scope: &Scope) -> bool {
        let any = |volumes: &BTreeSet<String>| volumes.iter().any(|volume| scope.owns_volume(volume));
        self.volumes.as_ref().map_or(self.host.is_some(), any)
    }
}

/// A registered replica of a host that the orchestrator does not see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stray {
    /// What the orchestrator calls it.
    pub handle: Handle,
    /// The host it is registered for, which may exist and be away.
    pub host: HostName,
}

/// Whether the orchestrator can be asked and trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrchestratorState {
    /// Not installed yet.
    Absent,
    /// It answers.
    Ready,
    /// It is installed and does not answer, with its own words.
    Silent(String),
    /// It answers and has lost what it knew, with its own words: taken at its word, it would be deployed into while it stops what runs.
    Emptied(String),
}

impl OrchestratorState {
    /// Whether it is there and is not to be asked: it does not answer, or has lost what it knew.
    pub const fn is_cut_off(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Emptied(_))
    }
}

/// One replica as found on its host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservedReplica {
    /// Its symbolic name.
    pub replica: ReplicaName,
    /// What the orchestrator calls it.
    pub handle: Handle,
    /// Whether it is asked to run.
    pub wanted: bool,
    /// What it is doing.
    pub state: ReplicaState,
    /// The image its container was started from; absent while there is no container.
    pub image: Option<PinnedImage>,
    /// Its published ports.
    pub bindings: Vec<Binding>,
    /// How it is probed, as it was told when it was deployed; what restores it needs this.
    pub probe: Option<String>,
    /// Whether its check passes.
    pub health: Health,
    /// When its container started, RFC 3339, as Docker says.
    pub since: Option<String>,
}

/// What a replica is doing, in words that do not depend on the orchestrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    /// Its container runs.
    Running,
    /// It is on its way up: pulling, starting, or between two tries.
    Starting,
    /// It ended in failure.
    Failed,
    /// It does not run and is not asked to.
    Stopped,
    /// It is registered, and no host has picked it up.
    Waiting,
}

impl ReplicaState {
    /// The word shown in the `state` column.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Starting => "starting",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Waiting => "waiting",
        }
    }
}

/// Whether a replica's check passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It passes.
    Healthy,
    /// It does not; the last answer in its own words.
    Unhealthy(String),
    /// There is nothing to ask.
    Unknown,
}

/// What launching in a group would use, found before planning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchFacts {
    /// A launch can be tried.
    Ready {
        /// The image, `ami-…`.
        image: String,
        /// Its name, such as `Flatcar-stable-4593.2.5-hvm`.
        image_name: String,
        /// The image's root device, such as `/dev/xvda`.
        root_device: String,
    },
    /// It would fail, and why.
    Impossible {
        /// What is in the way.
        why: String,
        /// What to do about it.
        hint: Option<String>,
        /// Whether it was refused for want of permission.
        refused: bool,
    },
}

/// The record of a host's launches: client tokens outlive terminated instances, so each needs a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// Counted from 1.
    pub generation: u32,
    /// The instance that generation became, once known.
    pub instance: Option<InstanceId>,
    /// The subnet it was launched into, where one was named. A launch whose outcome is not known is tried there first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
}

/// More leases than any environment will have had.
const HIGHEST_LEASE: u64 = 1 << 40;

impl Observed {
    /// The highest lease that a host has seen; a lease with a lower number could change nothing there. What no chain of leases gets
    /// to is not believed: a host that lies would leave no number for the next.
    pub fn fence(&self) -> u64 {
        let reports = self.hosts.values().filter_map(|host| host.report.as_ref());
        reports.map(|report| report.fence).filter(|fence| *fence <= HIGHEST_LEASE).max().unwrap_or(0)
    }

    /// The hosts with a replica of a service that is to run there.
    pub fn hosts_with(&self, service: &ServiceName) -> BTreeSet<HostName> {
        let found = self.replicas().filter(|(_, found)| found.replica.service == *service && found.wanted);
        found.map(|(host, _)| host.clone()).collect()
    }

    /// Every replica found, with its host.
    pub fn replicas(&self) -> impl Iterator<Item = (&HostName, &ObservedReplica)> {
        self.hosts.iter().flat_map(|(name, host)| {
            host.report.iter().flat_map(|report| &report.replicas).map(move |replica| (name, replica))
        })
    }
}
