//! etcd, in which the orchestrator keeps what should run: the part that a host has in it, and the members that it tells of.

use serde::{Deserialize, Serialize};

/// The part that a host has in etcd. It changes in steps that may be broken off, so what is under way is told, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Membership {
    /// It has no member, and reaches those of other hosts.
    #[default]
    None,
    /// It is getting a member: etcd may have been told of it, and it has not answered yet.
    Joining,
    /// It has a member.
    Member,
    /// Its member is being given up: etcd may have been told to forget it, and its data are still there.
    Leaving,
    /// It had a member, which does not run, and whose data are gone.
    Lost,
}

impl Membership {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::None, Self::Joining, Self::Member, Self::Leaving, Self::Lost];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "no",
            Self::Joining => "joining",
            Self::Member => "yes",
            Self::Leaving => "leaving",
            Self::Lost => "lost",
        }
    }
}

/// A member, as etcd tells of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EtcdMember {
    /// Its address inside the cluster. It has a name of its own, too, but none until it has begun.
    pub address: String,
    /// Whether it counts.
    pub state: MemberState,
}

/// Whether a member counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// It was added, and has never begun.
    Added,
    /// It answers, and knows a leader.
    Healthy,
    /// It has begun, and does not answer the host that was asked.
    Silent,
}

impl MemberState {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Added, Self::Healthy, Self::Silent];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Healthy => "healthy",
            Self::Silent => "silent",
        }
    }
}
