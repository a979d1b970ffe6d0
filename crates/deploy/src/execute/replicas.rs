//! Steps that fetch images and start, replace and remove replicas.
//!
//! A release that does not serve goes no further than the host it failed on: what was stopped for it is started again there,
//! and no later step begins.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use skipper_core::{
    desired::ReplicaSpec,
    event::{EventKind, Leftovers},
    exit::Exit,
    failure::Failure,
    image::PinnedImage,
    name::HostName,
    observed::{Handle, InstanceId},
    orchestrator::{Place, Probe, RegistryLogin, Start, StartOutcome, Started, Supplies},
    plan::{Fresh, Order, Placement, Places, Removal, Replacement, seen_from},
};

use super::{
    Run, StepFailure, StepResult,
    scripts::{first, host_failure},
};

/// For fetching all images of a host over a slow line.
const PULL_DEADLINE: Duration = Duration::from_secs(30 * 60);
/// For writing one small file.
const LINK_DEADLINE: Duration = Duration::from_secs(120);
/// What removing takes beyond the grace period: the orchestrator's own pace.
pub(super) const REMOVE_MARGIN: Duration = Duration::from_secs(120);
/// What starting takes beyond the probes' own deadlines and a predecessor's grace period: registering, the orchestrator's own pace.
const START_MARGIN: Duration = Duration::from_secs(120);

impl Run<'_> {
    pub(super) async fn pull(&self, images: &BTreeMap<HostName, Vec<PinnedImage>>) -> StepResult {
        let hosts: Vec<HostName> = images.keys().cloned().collect();
        let desired = self.known.desired;
        let supplies =
            |images: &Vec<PinnedImage>| Supplies { images: images.clone(), secrets: desired.secrets_beside(images) };
        let by_instance = self.by_instance(images.iter().map(|(host, images)| (host, supplies(images))))?;
        let fetch = async |logins: &[RegistryLogin]| {
            let script = self.hands.orchestrator.pull(&desired.scope, &by_instance, logins);
            self.failures(&hosts, &script, PULL_DEADLINE, "fetch images to").await
        };
        let failures = self.with_logins(images.values().flatten(), fetch).await?;
        first(failures.into_iter().map(|(_, failure)| failure).collect())
    }

    pub(super) async fn link(&self, hosts: &[HostName], places: &Places) -> StepResult {
        let known = self.known.hosts();
        let unknown = || Failure::new(Exit::Defect, "the address of a host that carries a linked service is not known");
        let seen = |host| Ok::<_, Failure>((host, seen_from(host, places, &known).ok_or_else(unknown)?));
        let seen: Vec<(&HostName, Vec<Place>)> = hosts.iter().map(seen).collect::<Result<_, _>>()?;
        let by_instance = self.by_instance(seen.into_iter())?;
        let script = self.hands.orchestrator.link(&self.known.desired.scope, &by_instance);
        self.run_done(hosts, &script, LINK_DEADLINE, "tell the places of linked services to").await
    }

    /// Whether the environment `ends` with what is removed.
    pub(super) async fn remove(&self, removals: &BTreeMap<HostName, Vec<Removal>>, ends: bool) -> StepResult {
        let handles = removals
            .iter()
            .map(|(host, removals)| (host.clone(), removals.iter().map(|removal| removal.handle.clone()).collect()))
            .collect();
        self.forget_handles(&handles, ends).await
    }

    async fn remove_handles(&self, handles: &BTreeMap<HostName, Vec<Handle>>) -> StepResult {
        self.forget_handles(handles, false).await
    }

    async fn forget_handles(&self, handles: &BTreeMap<HostName, Vec<Handle>>, ends: bool) -> StepResult {
        let hosts: Vec<HostName> = handles.keys().cloned().collect();
        let by_instance = self.by_instance(handles.iter().map(|(host, handles)| (host, handles.clone())))?;
        let script = self.hands.orchestrator.remove(&self.known.desired.scope, &by_instance, ends);
        self.run_done(&hosts, &script, REMOVE_MARGIN + self.grace(), "remove replicas from").await
    }

    /// The longest time that any replica may take to stop.
    pub(super) fn grace(&self) -> Duration {
        Duration::from_secs(self.known.desired.longest_grace_seconds.into())
    }

    /// Starts replicas that replace nothing, on all their hosts at once. Those that fail are removed again, unless they were there before.
    pub(super) async fn start(&self, replicas: &[Fresh]) -> StepResult {
        let mut starts: BTreeMap<HostName, Vec<Start>> = BTreeMap::new();
        for fresh in replicas {
            let start = Start {
                stop_before: fresh.restart.then(|| fresh.placement.handle.clone()),
                ..self.new_start(&fresh.placement)?
            };
            starts.entry(fresh.placement.host.clone()).or_default().push(start);
        }
        let Err(failure) = self.start_all(&starts).await else { return Ok(()) };
        if is_forbidden(&failure) {
            return Err(failure.failure.into());
        }
        let new: BTreeSet<&Handle> =
            replicas.iter().filter(|fresh| !fresh.restart).map(|fresh| &fresh.placement.handle).collect();
        let mut failed = failure.handles.clone();
        for handles in failed.values_mut() {
            handles.retain(|handle| new.contains(handle));
        }
        failed.retain(|_, handles| !handles.is_empty());
        let leftovers = if failed.is_empty() { Leftovers::None } else { self.undo(&failed).await };
        Err(StepFailure { failure: failure.failure, leftovers, restored: None })
    }

    /// Replaces replicas on one host: all new ones serve before any old one is forgotten.
    pub(super) async fn replace(&self, host: &HostName, replacements: &[Replacement]) -> StepResult {
        let starts: Vec<Start> = replacements
            .iter()
            .map(|replacement| {
                Ok(Start {
                    stop_before: (replacement.order == Order::StopFirst).then(|| replacement.old.clone()),
                    ..self.new_start(&replacement.new)?
                })
            })
            .collect::<Result<_, Failure>>()?;
        let on_host = |handles: Vec<Handle>| BTreeMap::from([(host.clone(), handles)]);
        match self.start_all(&BTreeMap::from([(host.clone(), starts)])).await {
            Ok(()) => {
                self.remove_handles(&on_host(replacements.iter().map(|replacement| replacement.old.clone()).collect()))
                    .await
            }
            Err(failed) if is_forbidden(&failed) => Err(failed.failure.into()),
            Err(failed) => {
                self.say(format!("the new release does not serve on host `{host}`; bringing back what served there"));
                let new = replacements.iter().map(|replacement| replacement.new.handle.clone()).collect();
                let leftovers = self.undo(&on_host(new)).await;
                let (restored, failure) = match self.bring_back(host, replacements).await {
                    Ok(restored) => (restored, failed.failure),
                    Err(back) => {
                        let failure = failed.failure.because(format!("bringing back what served failed too: {back}"));
                        (Some(false), back.causes.into_iter().fold(failure, Failure::because))
                    }
                };
                Err(StepFailure { failure, leftovers, restored })
            }
        }
    }

    /// Starts again what was stopped for its successor. Nothing served before: nothing is said about it.
    async fn bring_back(&self, host: &HostName, replacements: &[Replacement]) -> Result<Option<bool>, Failure> {
        if !replacements.iter().any(|replacement| replacement.old_served || replacement.old_stopped) {
            return Ok(None);
        }
        let starts: Vec<Start> = replacements
            .iter()
            .filter(|replacement| {
                replacement.old_stopped || (replacement.order == Order::StopFirst && replacement.old_served)
            })
            .map(|replacement| {
                let told = replacement.old_probe.as_deref().and_then(|probe| probe.parse().ok());
                let probe = match told {
                    Some(probe) => probe,
                    // What was told to its host is lost; its successor's check is the best guess there is.
                    None => self.new_start(&replacement.new)?.probe,
                };
                let replica = replacement.new.replica.clone();
                Ok(Start { replica, handle: replacement.old.clone(), spec: None, probe, stop_before: None })
            })
            .collect::<Result<_, Failure>>()?;
        if !starts.is_empty() {
            self.start_all(&BTreeMap::from([(host.clone(), starts)])).await.map_err(|failed| failed.failure)?;
        }
        Ok(Some(true))
    }

    /// Removes what a failed start has left; what that leaves in turn.
    async fn undo(&self, handles: &BTreeMap<HostName, Vec<Handle>>) -> Leftovers {
        match self.remove_handles(handles).await {
            Ok(()) => Leftovers::None,
            Err(failed) => {
                let why = failed.failure.causes.join(": ");
                self.say(format!("failed to remove what the failed start has left: {}: {why}", failed.failure));
                let left = handles.iter().flat_map(|(host, handles)| {
                    handles.iter().map(move |handle| format!("`{handle}` on host `{host}`"))
                });
                Leftovers::Unknown(left.collect())
            }
        }
    }

    pub(super) async fn start_all(&self, starts: &BTreeMap<HostName, Vec<Start>>) -> Result<(), StartFailure> {
        let hosts: Vec<HostName> = starts.keys().cloned().collect();
        let by_instance = self.by_instance(starts.iter().map(|(host, starts)| (host, starts.clone())))?;
        let script = self.hands.orchestrator.start(&self.known.desired.scope, &by_instance);
        let probing = starts.values().flatten().map(|start| start.probe.deadline()).max().unwrap_or_default();
        let deadline = START_MARGIN + self.grace() + probing;
        // Nothing is known of a start that nobody heard of: everything it was to start may be there.
        let unheard = |failure: Failure| StartFailure {
            failure,
            handles: starts
                .iter()
                .map(|(host, starts)| (host.clone(), starts.iter().map(|start| start.handle.clone()).collect()))
                .collect(),
        };
        let answers = self.run(&hosts, &script, deadline).await.map_err(unheard)?;
        let mut failures = Vec::new();
        let mut handles: BTreeMap<HostName, Vec<Handle>> = BTreeMap::new();
        for (host, answer) in answers {
            let asked = starts.get(&host).map(Vec::as_slice).unwrap_or_default();
            let started = answer
                .and_then(|output| self.hands.orchestrator.read_started(&output).map_err(|error| host_failure(&error)));
            let started = match started {
                Ok(started) => started,
                Err(failure) => {
                    failures.push(failure.during(format!("start replicas on host `{host}`")));
                    handles.entry(host).or_default().extend(asked.iter().map(|start| start.handle.clone()));
                    continue;
                }
            };
            for start in asked {
                let outcome = started.iter().find(|started| started.handle == start.handle);
                if let Some(failure) = self.judge_start(&host, start, outcome) {
                    failures.push(failure);
                    handles.entry(host.clone()).or_default().push(start.handle.clone());
                }
            }
        }
        let Err(failed) = first(failures) else { return Ok(()) };
        Err(StartFailure { failure: failed.failure, handles })
    }

    /// Tells how a start ended; the failure, when it did not end well.
    fn judge_start(&self, host: &HostName, start: &Start, started: Option<&Started>) -> Option<Failure> {
        let what = format!("start replica `{}` on host `{host}`", start.replica);
        let Some(started) = started else {
            return Some(Failure::failed_to(Exit::Degraded, what).because("the host's answer does not mention it"));
        };
        self.hands.events.emit(EventKind::ReplicaStarted {
            step: self.step.id,
            host: host.clone(),
            started: started.clone(),
        });
        match &started.outcome {
            StartOutcome::Healthy => None,
            StartOutcome::Failed { why, journal } => Some(
                Failure::failed_to(Exit::Degraded, what)
                    .because(why.clone())
                    .hint(format!(
                        "service `{}` must answer its healthcheck within {} s of its start",
                        start.replica.service,
                        start.probe.deadline().as_secs()
                    ))
                    .with_lines(journal.iter().cloned()),
            ),
        }
    }

    fn new_start(&self, placement: &Placement) -> Result<Start, Failure> {
        let service = self.known.desired.services.get(&placement.replica.service).ok_or_else(|| {
            Failure::new(Exit::Defect, format!("the plan starts `{}`, whose service is not desired", placement.replica))
        })?;
        Ok(Start {
            replica: placement.replica.clone(),
            handle: placement.handle.clone(),
            spec: Some(ReplicaSpec {
                replica: placement.replica.clone(),
                host: placement.host.clone(),
                bindings: placement.bindings.clone(),
                service: service.clone(),
            }),
            probe: Probe::from(&service.healthcheck),
            stop_before: None,
        })
    }

    fn by_instance<'b, T>(
        &self,
        items: impl Iterator<Item = (&'b HostName, T)>,
    ) -> Result<BTreeMap<InstanceId, T>, Failure> {
        items.map(|(host, item)| Ok((self.known.instance(host)?, item))).collect()
    }
}

/// Whether the start was never begun, as the lease is lost: whatever is undone would be refused in the same way.
fn is_forbidden(failed: &StartFailure) -> bool {
    failed.failure.exit == Exit::Held
}

/// A start that failed, and what may have been started.
pub(super) struct StartFailure {
    pub(super) failure: Failure,
    handles: BTreeMap<HostName, Vec<Handle>>,
}

impl From<Failure> for StartFailure {
    fn from(failure: Failure) -> Self {
        Self { failure, handles: BTreeMap::new() }
    }
}
