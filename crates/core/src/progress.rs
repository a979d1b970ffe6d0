//! What a run has come to so far: the fold of its events, from which everything that people read is rendered.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    clean::Cleaned,
    cost::Estimate,
    event::{Event, EventKind, ImageOrigin, Moment, Outcome, RunFinished, RunStarted, StateTable},
    failure::Failure,
    image::PinnedImage,
    lease::Holder,
    name::{HostName, ServiceName},
    orchestrator::Started,
    plan::{Plan, StepId},
};

/// A run so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Progress {
    /// What it is about.
    pub run: Option<RunStarted>,
    /// The images, as far as they are.
    pub images: BTreeMap<ServiceName, ImageProgress>,
    /// What a plan foresees of images: those that the registry has, and nothing for those that are to be built.
    pub foreseen: BTreeMap<ServiceName, Option<PinnedImage>>,
    /// What the hosts cost before and after.
    pub estimate: Option<Estimate>,
    /// The plan that is carried out.
    pub plan: Option<Plan>,
    /// The plan that was made afterwards.
    pub proof: Option<Plan>,
    /// Who holds the lease that is waited for.
    pub awaited: Option<Holder>,
    /// How far each step is.
    pub steps: BTreeMap<StepId, StepProgress>,
    /// What ran before.
    pub before: Option<StateTable>,
    /// What runs now, as last observed.
    pub after: Option<StateTable>,
    /// What the user should know.
    pub warnings: Vec<Failure>,
    /// Starts of replicas, in order.
    pub started: Vec<(HostName, Started)>,
    /// The older images that were removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleaned: Option<Cleaned>,
    /// Comments, by pull request.
    pub comments: BTreeMap<u64, String>,
    /// The code host's deployment of this run.
    pub deployment: Option<Deployment>,
    /// How it ended.
    pub finished: Option<RunFinished>,
}

/// The code host's deployment of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Deployment {
    /// Its number.
    pub id: u64,
    /// Whether its statuses are the run's to write.
    pub ours: bool,
}

/// How far an image is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageProgress {
    /// It is being made ready.
    Started,
    /// It is ready.
    Ready {
        /// The image.
        image: PinnedImage,
        /// Where it came from.
        origin: ImageOrigin,
        /// How long it took.
        took_ms: u64,
    },
    /// It could not be made ready.
    Failed(Failure),
}

/// How far a step is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepProgress {
    /// It is under way.
    Started,
    /// It has ended.
    Finished {
        /// How.
        outcome: Outcome,
        /// How long it took.
        took_ms: u64,
    },
}

impl Progress {
    /// Takes in one event.
    pub fn apply(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RunStarted(run) => self.run = Some(run.clone()),
            EventKind::Warning { failure } => self.warnings.push(failure.clone()),
            EventKind::ImageStarted { service } => drop(self.images.insert(service.clone(), ImageProgress::Started)),
            EventKind::ImageReady { service, image, origin, took_ms } => {
                let ready = ImageProgress::Ready { image: image.clone(), origin: *origin, took_ms: *took_ms };
                self.images.insert(service.clone(), ready);
            }
            EventKind::ImageForeseen { service, image } => drop(self.foreseen.insert(service.clone(), image.clone())),
            EventKind::Estimated { estimate } => self.estimate = Some(estimate.clone()),
            EventKind::DeploymentCreated { id, ours } => self.deployment = Some(Deployment { id: *id, ours: *ours }),
            EventKind::ImageFailed { service, failure } => {
                self.images.insert(service.clone(), ImageProgress::Failed(failure.clone()));
            }
            EventKind::Observed { state, moment: Moment::Before } => self.before = Some(state.clone()),
            EventKind::Observed { state, moment: Moment::After } => self.after = Some(state.clone()),
            EventKind::Planned { plan, moment: Moment::Before } => {
                self.plan = Some(plan.clone());
                // Those of an earlier part are done, and count from 1 again.
                self.steps.clear();
            }
            EventKind::Planned { plan, moment: Moment::After } => self.proof = Some(plan.clone()),
            EventKind::LeaseAwaited { holder, .. } => self.awaited = Some(holder.clone()),
            EventKind::LeaseAcquired { .. } => self.awaited = None,
            EventKind::StepStarted { step } => drop(self.steps.insert(*step, StepProgress::Started)),
            EventKind::StepFinished { step, outcome, took_ms } => {
                self.steps.insert(*step, StepProgress::Finished { outcome: outcome.clone(), took_ms: *took_ms });
            }
            EventKind::ReplicaStarted { host, started, .. } => self.started.push((host.clone(), started.clone())),
            EventKind::Cleaned { cleaned } => self.cleaned = Some(cleaned.clone()),
            EventKind::Commented { pull_request, url } => drop(self.comments.insert(*pull_request, url.clone())),
            EventKind::RunFinished(finished) => self.finished = Some(finished.clone()),
            EventKind::ImageOutput { .. }
            | EventKind::SecretReady { .. }
            | EventKind::StepOutput { .. }
            | EventKind::StepRetrying { .. } => {}
        }
    }

    /// A run from its first event to its last.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        events.into_iter().fold(Self::default(), |mut progress, event| {
            progress.apply(event);
            progress
        })
    }

    /// What runs, as last observed.
    pub fn state(&self) -> Option<&StateTable> {
        self.after.as_ref().or(self.before.as_ref())
    }
}
