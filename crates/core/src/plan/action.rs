//! What the steps of a plan do, and what they say of the replicas and instances that it is done to.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Places, Reason};
use crate::{
    desired::Binding,
    image::PinnedImage,
    name::{HostName, ReplicaName},
    observed::{Address, Handle, IngressRule, InstanceId, SecurityGroup},
};

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Creates a security group.
    CreateSecurityGroup {
        /// Which.
        security_group: SecurityGroup,
    },
    /// Lets traffic in.
    AuthorizeIngress {
        /// Into which security group.
        security_group: SecurityGroup,
        /// What is let in.
        rules: Vec<IngressRule>,
    },
    /// Stops letting traffic in.
    RevokeIngress {
        /// Into which security group.
        security_group: SecurityGroup,
        /// What was let in.
        rules: Vec<IngressRule>,
    },
    /// Launches the instance of a host.
    LaunchHost {
        /// The host.
        host: HostName,
        /// The launch.
        spec: LaunchSpec,
    },
    /// Gives hosts the addresses that outlive their instances, once those run.
    GiveAddresses {
        /// The address of each host; one is allocated where it has none.
        addresses: BTreeMap<HostName, Option<Address>>,
    },
    /// Gives an address back, once nothing uses it any more.
    ReleaseAddress {
        /// Which.
        address: Address,
    },
    /// Waits until hosts run and their SSM agents are online.
    AwaitHosts {
        /// The hosts.
        hosts: Vec<HostName>,
    },
    /// Brings hosts to the cluster's configuration: etcd, the orchestrator, the firewall.
    ConfigureHosts {
        /// The hosts.
        hosts: Vec<HostName>,
        /// The hosts with an etcd member, or with one to come.
        members: Vec<HostName>,
        /// Whether there is no etcd yet, and they found it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        founding: bool,
    },
    /// Keeps the orchestrator away from what runs on hosts, while there is nothing in its registry.
    HoldHosts {
        /// The hosts.
        hosts: Vec<HostName>,
        /// The hosts with an etcd member, or with one to come.
        members: Vec<HostName>,
        /// Whether etcd is lost, and not only what was in it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        founding: bool,
    },
    /// Fills the registry again with what hosts have on record, and gives them back to the orchestrator.
    RestoreRegistry {
        /// The hosts.
        hosts: Vec<HostName>,
        /// The hosts with an etcd member, or with one to come.
        members: Vec<HostName>,
        /// Whether etcd is lost, and the members found it anew.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        founding: bool,
    },
    /// Gives a host a member of etcd.
    JoinEtcd {
        /// The host.
        host: HostName,
        /// The hosts with an etcd member, or with one to come.
        members: Vec<HostName>,
    },
    /// Takes the member of etcd away that a host has.
    LeaveEtcd {
        /// The host.
        host: HostName,
        /// The hosts whose members stay.
        members: Vec<HostName>,
    },
    /// Has etcd forget a member that no host has.
    ForgetMember {
        /// Its address.
        address: String,
        /// The host that tells etcd.
        by: HostName,
        /// The hosts whose members stay.
        members: Vec<HostName>,
    },
    /// Fetches images, so that no old replica stops before the new image is there.
    PullImages {
        /// The images of each host.
        images: BTreeMap<HostName, Vec<PinnedImage>>,
    },
    /// Tells hosts where the services are that others link to, those that run included.
    LinkServices {
        /// The hosts that are told.
        hosts: Vec<HostName>,
        /// Where each linked service is.
        places: Places,
    },
    /// Starts replicas that replace nothing, on all hosts side by side, and waits until they are healthy.
    StartReplicas {
        /// The replicas.
        replicas: Vec<Fresh>,
    },
    /// Replaces replicas on one host and waits until the new ones are healthy.
    ReplaceReplicas {
        /// The host.
        host: HostName,
        /// The replicas.
        replacements: Vec<Replacement>,
    },
    /// Stops and forgets replicas.
    RemoveReplicas {
        /// By the host that does it.
        removals: BTreeMap<HostName, Vec<Removal>>,
        /// Whether the environment ends with them: then its secrets and volumes go from these hosts, too, of which some may have
        /// none of its replicas any more.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ends: bool,
    },
    /// Stops replicas on one host, and keeps them.
    StopReplicas {
        /// The host.
        host: HostName,
        /// The replicas.
        replicas: Vec<Paused>,
    },
    /// Reboots a host, and waits until it has joined its cluster again.
    RebootHost {
        /// The host.
        host: HostName,
        /// Its instance.
        instance: InstanceId,
        /// The boot that it is to get behind it.
        boot: String,
    },
    /// Stops a host's instance, gives it another size, starts it, and waits until the host has joined its cluster again.
    ResizeHost {
        /// The host.
        host: HostName,
        /// Its instance.
        instance: InstanceId,
        /// The size that it has.
        from: String,
        /// The size that it gets.
        size: String,
        /// The boot that it is to get behind it.
        boot: String,
    },
    /// Starts again what was stopped on one host, and waits until it serves.
    ResumeReplicas {
        /// The host.
        host: HostName,
        /// The replicas.
        replicas: Vec<Paused>,
    },
    /// Terminates the instance of a host.
    TerminateHost {
        /// The host.
        host: HostName,
        /// Its instance.
        instance: InstanceId,
    },
    /// Deletes a security group, once nothing uses it any more.
    DeleteSecurityGroup {
        /// Which.
        security_group: SecurityGroup,
        /// Its id.
        id: String,
    },
    /// Removes what is recorded of an environment that has ended.
    ForgetRecords {
        /// The records' names below the environment's path in the store, in the order in which they go.
        records: Vec<String>,
    },
}

/// Everything a launch needs that is known before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchSpec {
    /// The instance type.
    pub size: String,
    /// The image, `ami-…`.
    pub image: String,
    /// The image's name, for people.
    pub image_name: String,
    /// The image's root device.
    pub root_device: String,
    /// Size of the root volume in GiB; the image's own when absent.
    pub disk: Option<u32>,
    /// The instance profile's name.
    pub instance_profile: String,
    /// The subnets, tried in this order while there is no capacity; one of the region's default ones when empty.
    pub subnets: Vec<String>,
    /// Which launch of this host it is, counted from 1; part of the client token.
    pub generation: u32,
}

/// A replica and where it goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// Its symbolic name.
    pub replica: ReplicaName,
    /// Its host.
    pub host: HostName,
    /// Its published ports.
    pub bindings: Vec<Binding>,
    /// What it will be called.
    pub handle: Handle,
    /// What it runs.
    pub image: PinnedImage,
}

/// A replica that replaces no other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fresh {
    /// What and where.
    pub placement: Placement,
    /// Why.
    pub reason: Reason,
    /// Whether it is registered already, and must be stopped before it can start again.
    pub restart: bool,
}

/// A replica and what it replaces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replacement {
    /// The new one.
    pub new: Placement,
    /// What runs now.
    pub old: Handle,
    /// The old one's image, when it is known.
    pub old_image: Option<PinnedImage>,
    /// The old one's probe as it was told to its host, to judge it by if it has to come back.
    pub old_probe: Option<String>,
    /// The host ports the old one holds.
    pub old_ports: BTreeSet<u16>,
    /// Whether the old one served when it was observed; such a one is brought back when the new one fails.
    pub old_served: bool,
    /// Whether the old one was stopped when it was observed, as a stop-first rollout leaves it that was broken off; such a one is
    /// brought back, too.
    pub old_stopped: bool,
    /// Which goes first.
    pub order: Order,
    /// Why this one is replaced.
    pub reason: Reason,
}

/// Which of new and old goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The new one serves before the old one stops.
    StartFirst,
    /// The old one stops before the new one starts: both want the same host port, or write to the same volumes.
    StopFirst,
}

impl Order {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::StartFirst => "start-first",
            Self::StopFirst => "stop-first",
        }
    }
}

/// A replica that goes away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// Its symbolic name; absent where only its handle is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<ReplicaName>,
    /// What it is called.
    pub handle: Handle,
    /// Why.
    pub reason: Reason,
}

/// A replica that stops for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Its symbolic name.
    pub replica: ReplicaName,
    /// What it is called.
    pub handle: Handle,
    /// How it is probed, as it was told when it was deployed.
    pub probe: Option<String>,
}
