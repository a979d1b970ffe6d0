//! The end of a preview: nothing is left that carries its tags, and nothing that is recorded of it.

use std::collections::BTreeMap;

use skipper_core::{
    desired::{Desired, longest_grace_seconds},
    event::{EventKind, Moment, StateTable},
    exit::Exit,
    failure::Failure,
    lease::Chain,
    plan::{self, Plan},
    preview::{self, Cause, LEASES, Remains, Thing, shared_instances},
    render::words,
};
use tokio::time::sleep;

use super::{
    Runner, World,
    ending::{Ending, blocked, cancelled, taken_over},
    judge::PROOF_PAUSES,
};
use crate::{
    cancel,
    execute::{Execution, execute},
    lease::{Guarded, Lease},
    observe::{Eyes, project_path},
};

/// What there is of an environment, and the leases: its own, and those of the hosts that it shares.
struct Looked {
    chain: Chain,
    hosts: Chain,
    remains: Remains,
}

impl Looked {
    /// Whether another run is at work, in the environment or on the hosts.
    fn is_busy(&self) -> bool {
        self.chain.held().or(self.hosts.held()).is_some()
    }
}

impl Runner<'_> {
    /// Removes the preview that this run is about, and nothing of any other environment.
    pub async fn remove(&self, cause: &Cause) -> Exit {
        self.start();
        let work = self.reporter.alongside(self.events, self.cancel, self.try_remove(cause));
        let ending = work.await.unwrap_or_else(Ending::from);
        self.finish(ending).await
    }

    /// Shows what [`Runner::remove`] would do, and changes nothing.
    pub async fn plan_removal(&self, cause: &Cause) -> Exit {
        self.start();
        let ending = self.unless_cancelled(self.try_plan_removal(cause)).await.unwrap_or_else(Ending::from);
        self.finish(ending).await
    }

    async fn try_plan_removal(&self, cause: &Cause) -> Result<Ending, Failure> {
        self.check_account().await?;
        let Looked { remains, .. } = self.remains(self.eyes()).await?;
        let plan = self.tell_removal(&remains, cause, Moment::Before);
        if !plan.blocked.is_empty() {
            return Err(blocked(&plan));
        }
        Ok(Ending::good(format!("planned: {}", words::count(plan.steps.len(), "step"))))
    }

    async fn try_remove(&self, cause: &Cause) -> Result<Ending, Failure> {
        let look = async {
            self.check_account().await?;
            self.remains(self.eyes()).await
        };
        let looked = self.unless_cancelled(look).await?;
        let plan = self.tell_removal(&looked.remains, cause, Moment::Before);
        // Where another run is at work, what blocks this one may be its doing: it is planned anew under the lease.
        if !plan.blocked.is_empty() && !looked.is_busy() {
            return Err(blocked(&plan));
        }
        if looked.remains.is_empty(self.scope()) {
            self.tell_removal(&looked.remains, cause, Moment::After);
            return Ok(Ending::good(format!("there is no {}: nothing was left of it", self.what_ends())));
        }
        let lease = self.acquire(&looked.chain).await?;
        let work = async {
            if *cause == Cause::Unused && self.unless_cancelled(self.is_in_use()).await? {
                return Ok(None);
            }
            self.take_away(&lease, looked, plan, cause).await.map(Some)
        };
        let ending = lease.hold(self.events, self.cancel, Box::pin(work)).await;
        match &ending {
            Ok(Some(Ending { exit: Exit::Serves, .. })) => lease.forget(self.events, self.cancel).await,
            _ => lease.release(self.events, self.cancel).await,
        }
        let kept = || Ending::good("the hosts that previews share are kept: a preview has begun on them");
        ending.map(|ending| ending.unwrap_or_else(kept))
    }

    /// What is removed, in words.
    fn what_ends(&self) -> &'static str {
        if *self.scope() == self.scope().of_previews() { "host that previews share" } else { "preview" }
    }

    /// What there is of the environment, with what it has on hosts that previews share, whatever the file says now. The chain of
    /// leases is read before the world is: whoever takes the lease in between is seen to have taken it.
    async fn remains(&self, eyes: Eyes<'_>) -> Result<Looked, Failure> {
        let World { compute, store, .. } = self.world;
        let path = self.scope().path();
        let records = eyes.ask("read what is recorded of the environment", async || store.read(&path).await).await?;
        let project = &self.scope().project;
        let mut owned = eyes.ask("find out what the project owns", async || compute.owned(project).await).await?;
        let hosts_of = self.scope().of_previews();
        // What is recorded goes last: a preview of which nothing is has nothing on any host.
        let shares = hosts_of != *self.scope() && shared_instances(&owned) > 0 && !records.is_empty();
        let (hosts, mut shared) = match shares {
            true => {
                let hosts = self.chain_of_hosts().await?;
                (hosts, eyes.observe_shared(&hosts_of, self.scope()).await?)
            }
            false => Default::default(),
        };
        owned.retain(|owned| owned.environment == self.scope().environment);
        if owned.iter().any(|owned| matches!(owned.thing, Thing::SecurityGroup { .. })) {
            let what = "describe the security groups of the environment";
            shared.security_groups = eyes.ask(what, async || compute.security_groups(self.scope()).await).await?;
        }
        let leases: BTreeMap<String, String> = records
            .iter()
            .filter_map(|(name, text)| Some((name.strip_prefix(LEASES)?.to_owned(), text.clone())))
            .collect();
        let chain = Chain::read(&leases).above(shared.fence());
        let remains = Remains { owned, records: records.into_keys().collect(), shared };
        Ok(Looked { chain, hosts, remains })
    }

    /// Whether a preview needs the hosts still.
    async fn is_in_use(&self) -> Result<bool, Failure> {
        let (store, path) = (self.world.store, project_path(&self.scope().project));
        let what = "find out whether a preview is left";
        let records = self.eyes().ask(what, async || store.read(&path).await).await?;
        Ok(preview::in_use(&records, &self.bounds.ending))
    }

    fn tell_removal(&self, remains: &Remains, cause: &Cause, moment: Moment) -> Plan {
        let plan = plan::removal(self.scope(), remains, cause);
        self.events.emit(EventKind::Planned { plan: plan.clone(), moment });
        plan
    }

    /// Carries the plan out under the lease, and looks whether anything is left.
    async fn take_away(&self, lease: &Lease<'_>, looked: Looked, plan: Plan, cause: &Cause) -> Result<Ending, Failure> {
        let guarded = Guarded { hosts: Some(lease), ..self.guarded(lease, None) };
        let look_anew = async || {
            let eyes = Eyes { remote: &guarded, after_another: true, ..self.eyes() };
            let looked = self.unless_cancelled(self.remains(eyes)).await?;
            let plan = self.tell_removal(&looked.remains, cause, Moment::Before);
            Ok::<_, Failure>((looked, plan))
        };
        let (mut looked, mut plan) = (looked, plan);
        if !lease.follows(&looked.chain) {
            // Another run was at work after it was looked for what there is.
            (looked, plan) = look_anew().await?;
        }
        if !plan.blocked.is_empty() && looked.hosts.held().is_some() {
            // Hosts that another preview's run is changing do not answer meanwhile.
            self.acquire_hosts(looked.hosts).await?.release(self.events, self.cancel).await;
            (looked, plan) = look_anew().await?;
        }
        let remains = looked.remains;
        if !plan.blocked.is_empty() {
            return Err(blocked(&plan));
        }
        let desired = Desired::nothing(self.scope().clone(), longest_grace_seconds(self.config));
        let Execution { failure, cancelled: was_cancelled, leftovers, .. } =
            execute(&plan, &desired, &remains.shared, self.hands(&guarded)).await;
        let taken = match &failure {
            Some(_) => self.cancel.within(cancel::LOOK, guarded.taken()).await.flatten(),
            None => None,
        };
        let look = self.look_for_the_rest(cause, failure.is_none() && !was_cancelled);
        let Some(left) = self.cancel.within(cancel::LOOK, look).await else {
            return Ok(cancelled(leftovers, failure));
        };
        let failure = match (left, failure) {
            (Ok(remains), failure) => {
                let proof = self.tell_removal(&remains, cause, Moment::After);
                if proof.is_empty() {
                    // Where nothing is left, nothing runs: no host needs to be asked.
                    self.events.emit(EventKind::Observed { state: StateTable::default(), moment: Moment::After });
                    if let Some(failure) = failure {
                        self.events.warn(failure.during("carry out a step, and nothing is left to do all the same"));
                    }
                    return Ok(Ending::good(match cause {
                        Cause::Unused => format!("the hosts that previews shared are removed: {cause}"),
                        _ => format!("the preview is removed: {cause}"),
                    }));
                }
                failure.unwrap_or_else(|| not_gone(&proof))
            }
            (Err(failed), failure) => failure.unwrap_or_else(|| failed.during("look whether anything is left")),
        };
        if was_cancelled {
            return Ok(cancelled(leftovers, Some(failure)));
        }
        if let Some(taken) = taken {
            return Ok(taken_over(taken, failure, leftovers));
        }
        let exit = if failure.exit == Exit::Refused { Exit::Refused } else { Exit::Blocked };
        let failure =
            Failure { exit, ..failure }.hint("run it again, or `skipper previews sweep`: it goes on from what is left");
        let summary = "the preview could not be removed as a whole".to_owned();
        Ok(Ending { exit, summary, failure: Some(failure), leftovers, serves: None })
    }

    /// What is left. Where every step succeeded and something seems to be, it is looked for again: AWS's lists lag.
    async fn look_for_the_rest(&self, cause: &Cause, all_done: bool) -> Result<Remains, Failure> {
        let mut pauses = PROOF_PAUSES.into_iter();
        loop {
            let left = self.remains(self.eyes()).await.map(|looked| looked.remains);
            let gone = left.as_ref().is_ok_and(|left| plan::removal(self.scope(), left, cause).is_empty());
            match pauses.next().filter(|_| all_done && left.is_ok() && !gone) {
                Some(pause) => sleep(pause).await,
                None => return left,
            }
        }
    }
}

/// Every step succeeded, and yet something is left.
fn not_gone(proof: &Plan) -> Failure {
    let steps = proof.steps.iter().map(words::step);
    let blocked = proof.blocked.iter().map(|blocked| format!("{}: {}", blocked.what, blocked.why));
    let failure =
        Failure::new(Exit::Blocked, "every step succeeded, and something of the preview is there all the same");
    steps.chain(blocked).fold(failure, Failure::because)
}
