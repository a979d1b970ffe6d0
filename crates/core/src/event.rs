//! The one stream of events a run emits; log, comment, summary and outputs are rendered from it and nothing else.
//!
//! Guarantees, asserted by [`check`] over every simulated run and described in `docs/events.md`:
//!
//! 1. the first event is `RunStarted`, the last is `RunFinished`, each exactly once;
//! 2. `seq` counts from 0 without gaps, `at_ms` never goes back;
//! 3. every `StepStarted` is followed by exactly one `StepFinished` of the same step, and `StepOutput`,
//!    `StepRetrying` and `ReplicaStarted` come only in between;
//! 4. no step appears that the latest `Planned` does not hold, and none before it; nothing is planned while a step is under way;
//! 5. no event carries the value of a secret.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    clean::Cleaned,
    cost::Estimate,
    desired::Scope,
    exit::Exit,
    failure::Failure,
    image::{PinnedImage, Revision},
    lease::Holder,
    name::{EnvName, HostName, ServiceName},
    observed::{Agent, Health, ObservedReplica},
    orchestrator::Started,
    plan::{Plan, StepId},
};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the stream, from 0.
    pub seq: u64,
    /// Milliseconds since the run started.
    pub at_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// Always first.
    RunStarted(RunStarted),
    /// Something the user should know that does not stop the run.
    Warning {
        /// What, why, and the remedy.
        failure: Failure,
    },
    /// An image is being made ready.
    ImageStarted {
        /// Whose.
        service: ServiceName,
    },
    /// A line of a build's or push's output.
    ImageOutput {
        /// Whose.
        service: ServiceName,
        /// The line, without its end.
        line: String,
    },
    /// An image is ready, by digest.
    ImageReady {
        /// Whose.
        service: ServiceName,
        /// The image.
        image: PinnedImage,
        /// Where it came from.
        origin: ImageOrigin,
        /// Milliseconds since `ImageStarted`.
        took_ms: u64,
    },
    /// An image as a plan foresees it; nothing was built.
    ImageForeseen {
        /// Whose.
        service: ServiceName,
        /// The image that the registry has; absent where it is to be built.
        image: Option<PinnedImage>,
    },
    /// An image could not be made ready.
    ImageFailed {
        /// Whose.
        service: ServiceName,
        /// Why.
        failure: Failure,
    },
    /// The version of a secret that replicas are given was found out; its value is told nobody.
    SecretReady {
        /// The secret.
        name: EnvName,
        /// Which version of it.
        version: u64,
        /// Where it came from.
        origin: SecretOrigin,
    },
    /// The world was observed.
    Observed {
        /// What runs where.
        state: StateTable,
        /// When, as to the run.
        moment: Moment,
    },
    /// The plan was made. The latest one before anything was changed is carried out, and the one after it is the proof. Where a plan
    /// is but a first part, the next one follows it, with steps of its own that count from 1 again.
    Planned {
        /// The plan.
        plan: Plan,
        /// When, as to the run.
        moment: Moment,
    },
    /// What the hosts cost a month before and after the plan.
    Estimated {
        /// The estimate.
        estimate: Estimate,
    },
    /// Another run holds the lease, and this one waits for it, or looks whether that run still lives.
    LeaseAwaited {
        /// The number of the lease.
        number: u64,
        /// Who holds it.
        holder: Holder,
        /// Whether it is that of the hosts which previews share.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        of_hosts: bool,
    },
    /// This run holds the lease; nothing was changed before.
    LeaseAcquired {
        /// Its number.
        number: u64,
        /// Whose lease was taken over, where that run ended without giving it back.
        over: Option<Holder>,
        /// Whether it is that of the hosts which previews share.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        of_hosts: bool,
    },
    /// A step began.
    StepStarted {
        /// Which.
        step: StepId,
    },
    /// A line of output from a step's work.
    StepOutput {
        /// Which.
        step: StepId,
        /// The line, without its end.
        line: String,
    },
    /// A step's call failed and is tried again.
    StepRetrying {
        /// Which.
        step: StepId,
        /// The try that failed, from 1.
        attempt: u32,
        /// Milliseconds until the next.
        after_ms: u64,
        /// Why.
        because: String,
    },
    /// A replica's start ended, well or not.
    ReplicaStarted {
        /// In which step.
        step: StepId,
        /// On which host.
        host: HostName,
        /// How it ended.
        started: Started,
    },
    /// A step ended; exactly one for every `StepStarted`.
    StepFinished {
        /// Which.
        step: StepId,
        /// How.
        outcome: Outcome,
        /// Milliseconds since `StepStarted`.
        took_ms: u64,
    },
    /// Older images were removed.
    Cleaned {
        /// What was removed where.
        cleaned: Cleaned,
    },
    /// The run's comment stands on a pull request.
    Commented {
        /// Which.
        pull_request: u64,
        /// Where.
        url: String,
    },
    /// The code host has a deployment of this run.
    DeploymentCreated {
        /// Its number.
        id: u64,
        /// Whether its statuses are this run's to write: those of the job's own deployment are not.
        ours: bool,
    },
    /// Always last, whatever happened.
    RunFinished(RunFinished),
}

/// Where a version of a secret came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretOrigin {
    /// The run was given no value: the one that the environment has is used.
    Stored,
    /// The run was given the value that the environment has.
    Unchanged,
    /// The run was given another value than the environment had.
    Changed,
    /// The environment had none of that name.
    New,
    /// A plan foresees it: the environment has none of that name yet.
    Foreseen,
}

/// What the run is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStarted {
    /// `ship`, `plan` or `ps`; `remove` where a preview is removed, by whichever command.
    pub command: String,
    /// The version of skipper.
    pub version: String,
    /// Whose things are handled.
    pub scope: Scope,
    /// The region.
    pub region: String,
    /// Whether the same is done in other regions, too, each by a run of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_one_of_several: bool,
    /// The commit; absent for commands that ship nothing.
    pub revision: Option<Revision>,
    /// When, RFC 3339 in UTC.
    pub started_at: String,
    /// Where the run can be looked at, from the workflow's environment.
    pub run_url: Option<String>,
    /// Where the commit can be looked at.
    pub commit_url: Option<String>,
    /// The workflow run and attempt, which order two runs' comments: `(run_id, attempt)`.
    pub run: Option<(u64, u32)>,
}

impl RunStarted {
    /// Which of a pull request's comments is this run's: one for each project and environment, and for each of several regions.
    pub fn key(&self) -> String {
        match self.is_one_of_several {
            true => format!("{}/{}", self.scope, self.region),
            false => self.scope.to_string(),
        }
    }

    /// The environment as the code host knows it: each of several regions is one by itself.
    pub fn deployed_to(&self) -> String {
        match self.is_one_of_several {
            true => format!("{}/{}", self.scope.environment, self.region),
            false => self.scope.environment.to_string(),
        }
    }
}

/// Where an image came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageOrigin {
    /// It was built and pushed.
    Built,
    /// The registry had it for this commit.
    TaggedAlready,
    /// Its inputs have not changed, so an earlier image was given the commit's tag.
    InputsUnchanged,
    /// It is not ours to build: its tag was resolved.
    Resolved,
}

/// Before or after the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Before anything was changed.
    Before,
    /// After the plan was carried out, or broken off.
    After,
}

/// What runs where, for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StateTable {
    /// The hosts.
    pub hosts: Vec<HostRow>,
    /// One row a replica: those found, and those that should run and do not.
    pub replicas: Vec<ReplicaRow>,
    /// What could not be observed.
    pub gaps: Vec<String>,
    /// Where the world reaches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl StateTable {
    /// The replicas that should run and serve.
    pub fn serving(&self) -> impl Iterator<Item = &ReplicaRow> {
        self.replicas.iter().filter(|row| row.wanted && row.serves())
    }
}

/// One host of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostRow {
    /// Its symbolic name.
    pub host: HostName,
    /// Its instance.
    pub instance: String,
    /// EC2's state of it.
    pub state: String,
    /// The address people reach it at.
    pub address: Option<String>,
    /// Its instance type.
    pub size: String,
    /// Its SSM agent.
    pub agent: Agent,
}

/// One replica of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicaRow {
    /// Its host.
    pub host: HostName,
    /// Its instance, when the host exists.
    pub instance: Option<String>,
    /// The address people reach its host at.
    pub address: Option<String>,
    /// What was found; absent when it should run and does not exist.
    pub found: Option<ObservedReplica>,
    /// Its symbolic name, wanted or found.
    pub replica: String,
    /// Its service.
    pub service: ServiceName,
    /// The revision whose image it runs, where that is known.
    pub revision: Option<Revision>,
    /// Whether it should run.
    pub wanted: bool,
}

impl ReplicaRow {
    /// Whether it runs and its check, if it has one, passes.
    pub fn serves(&self) -> bool {
        self.found.as_ref().is_some_and(|found| {
            found.state == crate::observed::ReplicaState::Running && !matches!(found.health, Health::Unhealthy(_))
        })
    }
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did what it was to do.
    Done,
    /// It failed.
    Failed {
        /// Why.
        failure: Failure,
        /// What it may have left.
        leftovers: Leftovers,
        /// Whether what served before the step serves again; absent where nothing served before.
        restored: Option<bool>,
    },
    /// The run was cancelled while it was under way.
    Cancelled {
        /// What it may have left.
        leftovers: Leftovers,
    },
}

/// What a broken-off step may have left in the world.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leftovers {
    /// Nothing.
    #[default]
    None,
    /// These, which a plain re-run takes up.
    Known(Vec<String>),
    /// Perhaps these.
    Unknown(Vec<String>),
}

/// How the run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFinished {
    /// The exit code.
    pub exit: Exit,
    /// One sentence.
    pub summary: String,
    /// What stopped it, when it did not succeed.
    pub failure: Option<Failure>,
    /// Leftovers of all steps.
    pub leftovers: Vec<String>,
    /// Milliseconds in all.
    pub took_ms: u64,
    /// Calls made, by port and call, so that a run's cost can be compared.
    pub calls: BTreeMap<String, u64>,
}

/// Why a stream breaks the guarantees.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {seq}: {what}")]
pub struct BrokenGuarantee {
    /// Where.
    pub seq: u64,
    /// Which guarantee.
    pub what: String,
}

/// Asserts guarantees 1 to 4 over a whole stream.
///
/// # Errors
/// With the first event that breaks one.
pub fn check(events: &[Event]) -> Result<(), BrokenGuarantee> {
    let broken = |event: &Event, what: &str| Err(BrokenGuarantee { seq: event.seq, what: what.to_owned() });
    let mut planned: BTreeSet<StepId> = BTreeSet::new();
    let mut running: BTreeSet<StepId> = BTreeSet::new();
    let mut ended: BTreeSet<StepId> = BTreeSet::new();
    let mut last_at = 0;
    for (index, event) in events.iter().enumerate() {
        if event.seq != index as u64 {
            return broken(event, "the sequence has a gap");
        }
        if event.at_ms < last_at {
            return broken(event, "time goes back");
        }
        last_at = event.at_ms;
        let first = index == 0;
        let last = index + 1 == events.len();
        if first != matches!(event.kind, EventKind::RunStarted(_)) {
            return broken(event, "`run_started` is the first event and no other");
        }
        if last != matches!(event.kind, EventKind::RunFinished(_)) {
            return broken(event, "`run_finished` is the last event and no other");
        }
        match &event.kind {
            EventKind::Planned { .. } if !running.is_empty() => {
                return broken(event, "something is planned while a step is under way");
            }
            EventKind::Planned { plan, moment: Moment::Before } => {
                ended.clear();
                planned = plan.steps.iter().map(|step| step.id).collect();
            }
            EventKind::StepStarted { step }
                if !planned.contains(step) || ended.contains(step) || !running.insert(*step) =>
            {
                return broken(event, "a step starts that was not planned, or twice");
            }
            EventKind::StepOutput { step, .. }
            | EventKind::StepRetrying { step, .. }
            | EventKind::ReplicaStarted { step, .. }
                if !running.contains(step) =>
            {
                return broken(event, "a step speaks that is not under way");
            }
            EventKind::StepFinished { step, .. } => {
                if !running.remove(step) {
                    return broken(event, "a step ends that is not under way");
                }
                ended.insert(*step);
            }
            EventKind::RunFinished(_) if !running.is_empty() => return broken(event, "a step has not ended"),
            _ => {}
        }
    }
    if events.is_empty() {
        return Err(BrokenGuarantee { seq: 0, what: "the stream is empty".to_owned() });
    }
    Ok(())
}
