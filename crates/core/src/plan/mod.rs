//! What it takes to bring the observed world to the desired one: total, pure and deterministic.

mod action;
mod addresses;
mod etcd;
mod forecast;
mod hosts;
mod instances;
mod links;
mod network;
mod outline;
mod preview;
mod reason;
mod registry;
mod replacing;
mod replicas;
mod rollout;
mod sizes;
mod volumes;

use std::{borrow::Cow, collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use self::{hosts::Hosts, network::Network};
use crate::{
    desired::Desired,
    name::{HostName, ServiceName},
    observed::Observed,
    orchestrator::Orchestrator,
};

pub use self::{
    action::{Action, Fresh, LaunchSpec, Order, Paused, Placement, Removal, Replacement},
    hosts::cluster,
    instances::{Rebooted, rebooting, to_reboot, without_host},
    links::{Places, seen_from},
    outline::{Outline, PlanHash},
    preview::removal,
    reason::Reason,
    replacing::why_replaced,
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
    let due = replacing::due(desired, observed, &mut draft);
    let network = network::open(desired, observed, &mut draft);
    let (world, hosts) = if due.is_empty() || !draft.blocked.is_empty() {
        (Cow::Borrowed(observed), roll_out(desired, observed, orchestrator, &Pass::over_all(), &network, &mut draft))
    } else {
        let (world, hosts) = replacing::one_after_another(desired, observed, orchestrator, due, &network, &mut draft);
        (Cow::Owned(world), hosts)
    };
    hosts::take_down(desired, &hosts, &mut draft);
    addresses::release(desired, observed, &hosts.leaving, &mut draft);
    network::close(desired, &world, &mut draft);
    volumes::tell_of_unused(desired, &world, &mut draft);
    hosts::tell_of_left_alone(desired, observed, &mut draft);
    draft.finish()
}

/// What one way through all hosts leaves for another. Where hosts are replaced it takes several: what is new comes first, and what is
/// not needed any more goes last.
struct Pass {
    /// Hosts that are replaced later: they only hear of the others.
    still: BTreeSet<HostName>,
    /// Why hosts are missing.
    missing: Reason,
    /// Services of which no replica is replaced that serves: others that they link to are replaced later.
    following: BTreeSet<ServiceName>,
    /// Services of which nothing starts: others that they link to do not run anywhere yet.
    waiting: BTreeSet<ServiceName>,
    /// Whether it is the last one, in which replicas and hosts go away that there should not be.
    last: bool,
}

impl Pass {
    /// The one that leaves nothing.
    const fn over_all() -> Self {
        Self {
            still: BTreeSet::new(),
            missing: Reason::HostMissing,
            following: BTreeSet::new(),
            waiting: BTreeSet::new(),
            last: true,
        }
    }
}

/// Brings hosts up, and what they run to what it should be.
fn roll_out(
    desired: &Desired,
    observed: &Observed,
    orchestrator: &dyn Orchestrator,
    pass: &Pass,
    network: &Network,
    draft: &mut Draft,
) -> Hosts {
    let hosts = hosts::bring_up(desired, observed, orchestrator, pass, network, draft);
    let wishes = replicas::compare(desired, observed, orchestrator, &hosts, pass, draft);
    let telling = links::Telling::new(desired, observed, orchestrator, &hosts, pass);
    rollout::arrange(&hosts, wishes, telling, &network.links, pass, draft);
    hosts
}

/// A plan under construction.
#[derive(Default)]
struct Draft {
    steps: Vec<Step>,
    kept: Vec<Kept>,
    blocked: Vec<Blocked>,
    notes: Vec<String>,
    /// What every further step comes after.
    behind: BTreeSet<StepId>,
}

impl Draft {
    /// Adds a step behind those it needs.
    fn step(&mut self, action: Action, reason: Reason, needs: impl IntoIterator<Item = StepId>) -> StepId {
        let id = StepId(u32::try_from(self.steps.len() + 1).unwrap_or(u32::MAX));
        let mut needs: BTreeSet<StepId> = needs.into_iter().collect();
        if needs.is_empty() {
            needs.clone_from(&self.behind);
        }
        self.steps.push(Step { id, action, reason, needs: needs.into_iter().collect() });
        id
    }

    /// The steps that no other needs so far: what comes after them comes after all.
    fn ends(&self) -> Vec<StepId> {
        let needed: BTreeSet<StepId> = self.steps.iter().flat_map(|step| &step.needs).copied().collect();
        self.steps.iter().map(|step| step.id).filter(|id| !needed.contains(id)).collect()
    }

    /// Has every further step come after all that there are.
    fn begin_anew(&mut self) {
        self.behind = self.ends().into_iter().collect();
    }

    /// Says something once, however many ways through the hosts come upon it.
    fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn block(&mut self, what: impl Into<String>, why: impl Into<String>, hint: impl Into<String>) {
        let blocked = Blocked { what: what.into(), why: why.into(), hint: Some(hint.into()), refused: false };
        if !self.blocked.contains(&blocked) {
            self.blocked.push(blocked);
        }
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
            | Action::HoldHosts { .. }
            | Action::RestoreRegistry { .. }
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
