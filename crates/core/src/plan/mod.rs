//! What it takes to bring the observed world to the desired one: total, pure and deterministic.

mod addresses;
mod etcd;
mod hosts;
mod instances;
mod links;
mod network;
mod outline;
mod preview;
mod replicas;
mod rollout;
mod sizes;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use crate::{
    desired::{Binding, Desired},
    image::PinnedImage,
    name::{HostName, ReplicaName},
    observed::{Address, Handle, IngressRule, InstanceId, Observed, SecurityGroup},
    orchestrator::Orchestrator,
    preview::Cause,
};

pub use self::{
    hosts::cluster,
    instances::{Rebooted, rebooting, to_reboot, without_host},
    links::{Places, seen_from},
    outline::{Outline, PlanHash},
    preview::removal,
    replicas::SHARED_PUBLIC_PORTS,
    replicas::taking_down,
};

/// What it would take to make `observed` match `desired`.
///
/// Total and deterministic: equal inputs give equal plans, and every input gives one. What cannot be
/// done is not an error but a [`Blocked`] entry, and what is not known is never destroyed.
pub fn plan(desired: &Desired, observed: &Observed, orchestrator: &dyn Orchestrator) -> Plan {
    if let Some(first) = etcd::first_part(observed) {
        return first;
    }
    let mut draft = Draft::default();
    draft.block_gaps(observed);
    preview::find_room(desired, observed, &mut draft);
    let network = network::open(desired, observed, &mut draft);
    let hosts = hosts::bring_up(desired, observed, orchestrator, &network.before_launch, &mut draft);
    let wishes = replicas::compare(desired, observed, orchestrator, &hosts, &mut draft);
    let telling = links::Telling::new(desired, observed, orchestrator, &hosts);
    rollout::arrange(observed, &hosts, wishes, telling, &network.links, &mut draft);
    hosts::take_down(desired, &hosts, &mut draft);
    addresses::release(desired, observed, &hosts.leaving, &mut draft);
    network::close(desired, observed, &mut draft);
    draft.finish()
}

/// A plan under construction.
#[derive(Default)]
struct Draft {
    steps: Vec<Step>,
    kept: Vec<Kept>,
    blocked: Vec<Blocked>,
    notes: Vec<String>,
}

impl Draft {
    /// Adds a step behind those it needs.
    fn step(&mut self, action: Action, reason: Reason, needs: impl IntoIterator<Item = StepId>) -> StepId {
        let id = StepId(u32::try_from(self.steps.len() + 1).unwrap_or(u32::MAX));
        let needs: BTreeSet<StepId> = needs.into_iter().collect();
        self.steps.push(Step { id, action, reason, needs: needs.into_iter().collect() });
        id
    }

    /// Every step so far, for a step that comes after all of them.
    fn all_steps(&self) -> Vec<StepId> {
        self.steps.iter().map(|step| step.id).collect()
    }

    fn block(&mut self, what: impl Into<String>, why: impl Into<String>, hint: impl Into<String>) {
        self.blocked.push(Blocked { what: what.into(), why: why.into(), hint: Some(hint.into()), refused: false });
    }

    /// Blocks for want of what could not be observed.
    fn block_gaps(&mut self, observed: &Observed) {
        self.blocked.extend(observed.gaps.iter().map(|gap| Blocked {
            what: gap.host.as_ref().map_or_else(|| "the world".to_owned(), |host| format!("host `{host}`")),
            why: gap.what.clone(),
            hint: gap.hint.clone(),
            refused: false,
        }));
    }

    fn finish(self) -> Plan {
        Plan { steps: self.steps, kept: self.kept, blocked: self.blocked, notes: self.notes, partial: false }
    }
}

/// What it would take, in order, with reasons.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The work, in an order that respects every `needs`.
    pub steps: Vec<Step>,
    /// What stays as it is.
    pub kept: Vec<Kept>,
    /// What cannot be done, and why. A plan with any of these is not carried out.
    pub blocked: Vec<Blocked>,
    /// What is found and left alone, with what would remove it.
    pub notes: Vec<String>,
    /// Whether it is only the first part: what is left can be seen, and planned, once it is carried out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

impl Plan {
    /// Whether it changes hosts or who may reach them, and not only what they run.
    pub fn changes_hosts(&self) -> bool {
        self.steps.iter().any(|step| match step.action {
            Action::CreateSecurityGroup { .. }
            | Action::AuthorizeIngress { .. }
            | Action::RevokeIngress { .. }
            | Action::LaunchHost { .. }
            | Action::AwaitHosts { .. }
            | Action::ConfigureHosts { .. }
            | Action::JoinEtcd { .. }
            | Action::LeaveEtcd { .. }
            | Action::ForgetMember { .. }
            | Action::GiveAddresses { .. }
            | Action::ReleaseAddress { .. }
            | Action::RebootHost { .. }
            | Action::ResizeHost { .. }
            | Action::TerminateHost { .. }
            | Action::DeleteSecurityGroup { .. } => true,
            Action::PullImages { .. }
            | Action::LinkServices { .. }
            | Action::StartReplicas { .. }
            | Action::ReplaceReplicas { .. }
            | Action::RemoveReplicas { .. }
            | Action::StopReplicas { .. }
            | Action::ResumeReplicas { .. }
            | Action::ForgetRecords { .. } => false,
        })
    }

    /// Whether there is nothing to do and nothing in the way.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.blocked.is_empty()
    }
}

/// A step's place in its plan, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub u32);

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One item of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its place.
    pub id: StepId,
    /// What is done.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// The steps that must have succeeded before; all of them stand earlier in the plan.
    pub needs: Vec<StepId>,
}

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
    /// The old one stops before the new one starts: both want the same host port.
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

/// Why a step is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The file names a host that does not exist.
    HostMissing,
    /// The host is not ready yet: it was launched, or is on its way up.
    HostStarting,
    /// The group has more hosts than the file says.
    HostOverCount {
        /// How many the file says.
        wanted: u32,
    },
    /// The security group does not exist.
    SecurityGroupMissing,
    /// The file makes a port public, or the cluster needs it, and no rule lets it in.
    RuleMissing,
    /// A rule lets in what the file does not.
    RuleNotInConfig,
    /// The file wants the host to have an address of its own, and it does not lead there.
    AddressMissing,
    /// The host that an address was for goes, or is gone.
    AddressUnused,
    /// Somebody else wrote the rule, and it was asked that such ones go.
    RuleForeign,
    /// The host has not been configured.
    NotConfigured,
    /// The host was configured for something else.
    ConfigurationDiffers,
    /// The number of hosts asks for another number of members of etcd, or one of those that have one goes away.
    EtcdSize {
        /// How many hosts there are.
        hosts: usize,
        /// How many members that asks for.
        members: usize,
    },
    /// An earlier run began it, and did not get to its end.
    BrokenOff,
    /// The orchestrator does not answer on it.
    OrchestratorSilent,
    /// Etcd counts on a member whose host has nothing of it.
    MemberLost,
    /// The hosts do not have the images of the release.
    ImagesNeeded,
    /// Services there link to others, and look for them elsewhere or nowhere.
    LinksDiffer,
    /// The replica does not exist.
    ReplicaMissing,
    /// It runs another image.
    ImageDiffers,
    /// Its image is the same and something else of it is not: ports, environment, command, healthcheck.
    SettingsDiffer,
    /// It is the right one, and does not run.
    NotRunning,
    /// It is the right one and runs, and its check does not pass.
    NotHealthy,
    /// Its service is not in the file, or not on this group.
    NotInConfig,
    /// There are more than the scale says.
    OverScale {
        /// How many the file says for this host.
        wanted: u32,
    },
    /// The host it belongs to does not exist any more.
    HostGone,
    /// A leftover of an earlier rollout that did not finish.
    Leftover,
    /// Its host goes away.
    HostLeaves,
    /// The preview that it belongs to ends.
    PreviewEnds(Cause),
    /// Its host reboots.
    HostReboots,
    /// The file gives its group another size.
    SizeDiffers {
        /// The size that it has.
        from: String,
    },
    /// It served before its host rebooted.
    ServedBefore,
    /// Somebody asked for it.
    AskedFor,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostMissing => f.write_str("the host does not exist"),
            Self::HostStarting => f.write_str("it is not ready yet"),
            Self::HostOverCount { wanted } => write!(f, "the group's scale is {wanted}"),
            Self::SecurityGroupMissing => f.write_str("it does not exist"),
            Self::RuleMissing => f.write_str("no rule lets it in"),
            Self::RuleNotInConfig => f.write_str("skipper.yml does not ask for it"),
            Self::AddressMissing => f.write_str("`address: elastic` asks for it"),
            Self::AddressUnused => f.write_str("its host has no use for it"),
            Self::RuleForeign => f.write_str("skipper did not write it, and `prune-rules` is given"),
            Self::NotConfigured => f.write_str("not configured yet"),
            Self::ConfigurationDiffers => f.write_str("configured for something else"),
            Self::EtcdSize { hosts, members } => {
                write!(f, "{hosts} host{} have {members} member{} of etcd", plural(*hosts), plural(*members))
            }
            Self::BrokenOff => f.write_str("an earlier run began it"),
            Self::OrchestratorSilent => f.write_str("its orchestrator does not answer"),
            Self::MemberLost => f.write_str("its host has nothing of it"),
            Self::ImagesNeeded => f.write_str("every host has the image before any old replica stops"),
            Self::LinksDiffer => f.write_str("services there link to it"),
            Self::ReplicaMissing => f.write_str("it does not exist"),
            Self::ImageDiffers => f.write_str("its image changed"),
            Self::SettingsDiffer => f.write_str("its settings changed"),
            Self::NotRunning => f.write_str("it does not run"),
            Self::NotHealthy => f.write_str("its check does not pass"),
            Self::NotInConfig => f.write_str("skipper.yml does not put it here"),
            Self::OverScale { wanted } => write!(f, "its scale is {wanted}"),
            Self::HostGone => f.write_str("its host does not exist any more"),
            Self::Leftover => f.write_str("left over from a rollout that did not finish"),
            Self::HostLeaves => f.write_str("its host goes away"),
            Self::PreviewEnds(cause) => cause.fmt(f),
            Self::HostReboots => f.write_str("its host reboots"),
            Self::SizeDiffers { from } => write!(f, "the host is a `{from}`, and skipper.yml says another size"),
            Self::ServedBefore => f.write_str("it served before"),
            Self::AskedFor => f.write_str("it was asked for"),
        }
    }
}

const fn plural(number: usize) -> &'static str {
    if number == 1 { "" } else { "s" }
}

/// A replica that stays as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The replica and where it runs.
    pub placement: Placement,
}

/// Something that cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// What it is about: `host `web_3``, `group `web``.
    pub what: String,
    /// Why it cannot be done.
    pub why: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether it was refused for want of permission (exit 3 rather than 5).
    pub refused: bool,
}

impl Blocked {
    /// The path of the key in `skipper.yml` that it is about, by what it names: a service, a group, or the group of a host.
    pub fn key(&self) -> Option<String> {
        let (kind, name) = self.what.strip_suffix('`')?.split_once(" `")?;
        match kind {
            "service" => Some(format!("services.{name}")),
            "group" => Some(format!("groups.{name}")),
            "host" => Some(format!("groups.{}", name.parse::<HostName>().ok()?.group)),
            _ => None,
        }
    }
}
