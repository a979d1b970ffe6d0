//! Carries a plan out, step by step, as many at a time as need nothing from each other; the only place that changes the world.

mod addresses;
mod etcd;
mod hosts;
mod known;
mod left;
mod logins;
mod network;
mod reboot;
mod records;
mod replicas;
mod scripts;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use skipper_core::{
    desired::Desired,
    event::{EventKind, Leftovers, Outcome},
    exit::Exit,
    failure::Failure,
    observed::Observed,
    orchestrator::Orchestrator,
    plan::{Action, Plan, Step, StepId},
};

pub(crate) use self::scripts::host_failure;
use self::{known::Known, left::left_by};
use crate::{
    cancel::{self, Cancel},
    events::Events,
    ports::{Compute, Images, PortResult, Remote, Store},
    retry::retry,
};

/// What executing needs from the world.
#[derive(Clone, Copy)]
pub struct Hands<'a> {
    /// Hosts and ingress rules.
    pub compute: &'a dyn Compute,
    /// Scripts on hosts.
    pub remote: &'a dyn Remote,
    /// The number of the lease that it is done under.
    pub lease: u64,
    /// The logins to registries.
    pub images: &'a dyn Images,
    /// Records.
    pub store: &'a dyn Store,
    /// What runs replicas.
    pub orchestrator: &'a dyn Orchestrator,
    /// Where everything is told.
    pub events: &'a Events,
    /// The wish to stop.
    pub cancel: &'a Cancel,
    /// From launch to an SSM agent that is online, at most.
    pub host_timeout: Duration,
}

/// How far a plan was carried out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Execution {
    /// The failure of the first step that failed, when one did.
    pub failure: Option<Failure>,
    /// Whether it was broken off by a wish to stop.
    pub cancelled: bool,
    /// Whether a step that touches replicas was begun.
    pub touched_replicas: bool,
    /// What steps may have left.
    pub leftovers: Vec<String>,
}

/// Why a step failed, and what it leaves. With [`Exit::Cancelled`] it was broken off by a wish to stop.
pub(crate) struct StepFailure {
    failure: Failure,
    leftovers: Leftovers,
    restored: Option<bool>,
}

impl From<Failure> for StepFailure {
    fn from(failure: Failure) -> Self {
        Self { failure, leftovers: Leftovers::None, restored: None }
    }
}

type StepResult = Result<(), StepFailure>;

/// Carries the plan out until it is done, a step fails, or a stop is asked for.
///
/// After a failure no new step begins; those under way are finished. After a wish to stop they are waited for as long as
/// [`cancel::HAND`] says, and told as left over where they have not ended by then.
pub async fn execute(plan: &Plan, desired: &Desired, observed: &Observed, hands: Hands<'_>) -> Execution {
    let known = Known::new(desired, observed);
    let mut execution = Execution::default();
    let mut waiting: Vec<&Step> = plan.steps.iter().collect();
    let mut done: BTreeSet<StepId> = BTreeSet::new();
    let mut running = FuturesUnordered::new();
    let mut in_hand: BTreeMap<StepId, (&Step, u64)> = BTreeMap::new();
    // Where steps fail side by side, the one that stands first is told, whichever answer came first.
    let mut first: Option<StepId> = None;
    loop {
        if hands.cancel.is_cancelled() && !waiting.is_empty() {
            execution.cancelled = true;
        }
        if execution.failure.is_none() && !execution.cancelled {
            let (ready, rest): (Vec<&Step>, Vec<&Step>) =
                waiting.into_iter().partition(|step| step.needs.iter().all(|need| done.contains(need)));
            waiting = rest;
            for step in ready {
                execution.touched_replicas |= touches_replicas(&step.action);
                in_hand.insert(step.id, (step, hands.events.elapsed_ms()));
                let run = Run { step, known: &known, hands };
                running.push(async move { (step.id, run.carry_out().await) });
            }
        }
        let Some(next) = hands.cancel.within(cancel::HAND, running.next()).await else {
            drop(running);
            execution.let_go(&in_hand, hands.events);
            break;
        };
        let Some((id, result)) = next else { break };
        in_hand.remove(&id);
        match result {
            Ok(()) => {
                done.insert(id);
            }
            Err(failed) => {
                execution.leave(failed.leftovers);
                if failed.failure.exit == Exit::Cancelled {
                    execution.cancelled = true;
                } else {
                    if first.is_none_or(|first| id < first) {
                        first = Some(id);
                        execution.failure = Some(failed.failure);
                    }
                }
            }
        }
    }
    if execution.failure.is_some() {
        let launched = plan.steps.iter().filter(|step| done.contains(&step.id)).filter_map(|step| match &step.action {
            Action::LaunchHost { host, .. } => Some(host),
            _ => None,
        });
        execution.leftovers.extend(launched.filter_map(|host| {
            let instance = known.instance(host).ok()?;
            Some(format!("host `{host}` (`{instance}`), launched by this run; the next one goes on from it"))
        }));
    }
    execution
}

impl Execution {
    fn leave(&mut self, leftovers: Leftovers) {
        self.leftovers.extend(match leftovers {
            Leftovers::None => Vec::new(),
            Leftovers::Known(left) => left,
            Leftovers::Unknown(left) => left.into_iter().map(|left| format!("perhaps {left}")).collect(),
        });
    }

    /// The steps in hand are waited for no longer.
    fn let_go(&mut self, in_hand: &BTreeMap<StepId, (&Step, u64)>, events: &Events) {
        self.cancelled = true;
        for (id, (step, started)) in in_hand {
            let leftovers = left_by(step);
            let outcome = Outcome::Cancelled { leftovers: leftovers.clone() };
            events.emit(EventKind::StepFinished { step: *id, outcome, took_ms: events.elapsed_ms() - started });
            self.leave(leftovers);
        }
    }
}

fn touches_replicas(action: &Action) -> bool {
    matches!(
        action,
        Action::StartReplicas { .. }
            | Action::ReplaceReplicas { .. }
            | Action::RemoveReplicas { .. }
            | Action::StopReplicas { .. }
            | Action::ResumeReplicas { .. }
    )
}

/// One step being carried out.
pub(crate) struct Run<'a> {
    step: &'a Step,
    known: &'a Known<'a>,
    hands: Hands<'a>,
}

impl Run<'_> {
    async fn carry_out(&self) -> StepResult {
        if self.hands.cancel.is_cancelled() {
            // It was ready at the moment of the wish, and has not been told to anybody.
            return Err(Failure::new(Exit::Cancelled, "cancelled before the step began").into());
        }
        let events = self.hands.events;
        let id = self.step.id;
        let started = events.elapsed_ms();
        events.emit(EventKind::StepStarted { step: id });
        let result = match &self.step.action {
            Action::CreateSecurityGroup { security_group } => self.create_security_group(security_group).await,
            Action::AuthorizeIngress { security_group, rules } => self.authorize(security_group, rules).await,
            Action::RevokeIngress { security_group, rules } => self.revoke(security_group, rules).await,
            Action::LaunchHost { host, spec } => self.launch(host, spec).await,
            Action::GiveAddresses { addresses } => self.give_addresses(addresses).await,
            Action::ReleaseAddress { address } => self.release_address(address).await,
            Action::AwaitHosts { hosts } => self.await_hosts(hosts).await,
            Action::ConfigureHosts { hosts, members, founding } => self.configure(hosts, members, *founding).await,
            Action::HoldHosts { hosts, members, founding } => self.hold(hosts, members, *founding).await,
            Action::RestoreRegistry { hosts, members, founding } => self.restore(hosts, members, *founding).await,
            Action::JoinEtcd { host, members } => self.join(host, members).await,
            Action::LeaveEtcd { host, members } => self.leave(host, members).await,
            Action::ForgetMember { address, by, members } => self.forget_member(address, by, members).await,
            Action::PullImages { images } => self.pull(images).await,
            Action::LinkServices { hosts, places } => self.link(hosts, places).await,
            Action::StartReplicas { replicas } => self.start(replicas).await,
            Action::ReplaceReplicas { host, replacements } => self.replace(host, replacements).await,
            Action::RemoveReplicas { removals, ends } => self.remove(removals, *ends).await,
            Action::StopReplicas { host, replicas } => self.stop(host, replicas).await,
            Action::ResizeHost { host, instance, from, size, boot } => {
                self.resize(host, instance, [from, size], boot).await
            }
            Action::RebootHost { host, instance, boot } => self.reboot(host, instance, boot).await,
            Action::ResumeReplicas { host, replicas } => self.resume(host, replicas).await,
            Action::TerminateHost { host, instance } => self.terminate(host, instance).await,
            Action::DeleteSecurityGroup { security_group, id } => self.delete_security_group(security_group, id).await,
            Action::ForgetRecords { records } => self.forget(records).await,
        };
        let outcome = match &result {
            Ok(()) => Outcome::Done,
            Err(failed) if failed.failure.exit == Exit::Cancelled => {
                Outcome::Cancelled { leftovers: failed.leftovers.clone() }
            }
            Err(failed) => Outcome::Failed {
                failure: failed.failure.clone(),
                leftovers: failed.leftovers.clone(),
                restored: failed.restored,
            },
        };
        let took_ms = events.elapsed_ms() - started;
        events.emit(EventKind::StepFinished { step: id, outcome, took_ms });
        result
    }

    /// Makes a call that may be repeated, and tells of every try that failed.
    async fn ask<T>(&self, call: impl AsyncFnMut() -> PortResult<T>) -> PortResult<T> {
        retry(call, |attempt, pause, error| {
            self.hands.events.emit(EventKind::StepRetrying {
                step: self.step.id,
                attempt,
                after_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                because: error.failure.message.clone(),
            });
        })
        .await
    }

    fn say(&self, line: impl Into<String>) {
        self.hands.events.emit(EventKind::StepOutput { step: self.step.id, line: line.into() });
    }
}
