//! Why the steps of a plan are needed, in a few words each.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::preview::Cause;

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
    /// The engine that runs its containers does not answer.
    EngineSilent,
    /// Etcd counts on a member whose host has nothing of it.
    MemberLost,
    /// No host has the data of etcd any more.
    EtcdLost,
    /// Too many members of etcd are gone for good.
    QuorumLost {
        /// How many.
        gone: usize,
        /// How many there were.
        members: usize,
    },
    /// The registry has lost what it knew, and what ran has been stopped because of it.
    RegistryEmptied,
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
    /// The file gives its group a size of another processor, which the disk of the host does not fit.
    ProcessorDiffers {
        /// The size that it has.
        from: String,
        /// The size that the file says.
        size: String,
    },
    /// The file gives its group another size, and the host cannot be stopped, as its disk would be lost.
    DiskWouldBeLost {
        /// The size that it has.
        from: String,
        /// The size that the file says.
        size: String,
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
            Self::EngineSilent => f.write_str("its Docker engine does not answer"),
            Self::OrchestratorSilent => f.write_str("its orchestrator does not answer"),
            Self::MemberLost => f.write_str("its host has nothing of it"),
            Self::EtcdLost => f.write_str("no host has the data of etcd any more"),
            Self::QuorumLost { gone, members } => write!(f, "{gone} of {members} members of etcd are gone for good"),
            Self::RegistryEmptied => f.write_str("the registry has lost what it knew, and what ran was stopped"),
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
            Self::ProcessorDiffers { from, size } => {
                write!(f, "the host is a `{from}`, and a `{size}` has another processor")
            }
            Self::DiskWouldBeLost { from, size } => {
                write!(
                    f,
                    "the host is a `{from}` on the machine's own store, which cannot be stopped to become a `{size}`"
                )
            }
            Self::ServedBefore => f.write_str("it served before"),
            Self::AskedFor => f.write_str("it was asked for"),
        }
    }
}

const fn plural(number: usize) -> &'static str {
    if number == 1 { "" } else { "s" }
}
