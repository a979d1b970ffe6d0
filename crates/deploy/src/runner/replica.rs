//! `remove`: one replica stops and is forgotten, until the next deployment brings it back.

use skipper_core::{
    desired::{Desired, longest_grace_seconds},
    event::{EventKind, Moment},
    exit::Exit,
    failure::Failure,
    name::ReplicaName,
    observed::Observed,
    plan::{self, Plan},
    release::Release,
};

use super::{
    Runner,
    ending::{Ending, blocked, cancelled, not_converged, taken_over},
};
use crate::{
    cancel,
    execute::{Execution, execute},
    lease::Lease,
    observe::Eyes,
    records::Past,
};

impl Runner<'_> {
    /// Removes the replica of this name, on whichever host it is.
    pub async fn remove_replica(&self, uuid: &str) -> Exit {
        self.start();
        let work = self.reporter.alongside(self.events, self.cancel, self.try_remove_replica(uuid));
        let ending = work.await.unwrap_or_else(Ending::from);
        self.finish(ending).await
    }

    async fn try_remove_replica(&self, uuid: &str) -> Result<Ending, Failure> {
        let look = async {
            self.check_account().await?;
            self.look_at_replicas(self.eyes()).await
        };
        let (observed, past) = self.unless_cancelled(look).await?;
        let replica = named(uuid, &observed)?;
        let plan = self.tell_taking_down(&replica, &observed, Moment::Before);
        if !plan.blocked.is_empty() && !past.may_pass(&observed) {
            return Err(blocked(&plan));
        }
        let lease = self.acquire(&past.chain).await?;
        let work = self.take_down(&lease, &replica, observed, plan, &past);
        let ending = lease.hold(self.events, self.cancel, Box::pin(work)).await;
        lease.release(self.events, self.cancel).await;
        ending
    }

    /// What runs, and who has changed it. The chain of leases is read before the world is.
    async fn look_at_replicas(&self, eyes: Eyes<'_>) -> Result<(Observed, Past), Failure> {
        let past = self.past().await?;
        let observed = eyes.observe_shared(&self.hosts_of(), self.scope()).await?;
        let releases: Vec<Release> = past.records.served().cloned().collect();
        self.tell_state(&observed, &releases, Moment::Before);
        let past = past.above(observed.fence());
        Ok((observed, past))
    }

    fn tell_taking_down(&self, replica: &ReplicaName, observed: &Observed, moment: Moment) -> Plan {
        let plan = plan::taking_down(replica, observed, moment == Moment::After);
        self.events.emit(EventKind::Planned { plan: plan.clone(), moment });
        plan
    }

    async fn take_down(
        &self,
        lease: &Lease<'_>,
        replica: &ReplicaName,
        observed: Observed,
        plan: Plan,
        past: &Past,
    ) -> Result<Ending, Failure> {
        let guarded = self.guarded(lease, None);
        let (mut observed, mut plan) = (observed, plan);
        if !lease.follows(&past.chain) {
            // Another run was at work after it was looked at what there is.
            let eyes = Eyes { remote: &guarded, after_another: true, ..self.eyes() };
            (observed, _) = self.unless_cancelled(self.look_at_replicas(eyes)).await?;
            plan = self.tell_taking_down(replica, &observed, Moment::Before);
        }
        if !plan.blocked.is_empty() {
            return Err(blocked(&plan));
        }
        let desired = Desired::nothing(self.scope().clone(), longest_grace_seconds(self.config));
        let Execution { failure, cancelled: was_cancelled, leftovers, .. } =
            execute(&plan, &desired, &observed, self.hands(&guarded)).await;
        let taken = match &failure {
            Some(_) => self.cancel.within(cancel::LOOK, guarded.taken()).await.flatten(),
            None => None,
        };
        let eyes = self.eyes();
        let hosts_of = self.hosts_of();
        let look = eyes.observe_shared(&hosts_of, self.scope());
        let Some(after) = self.cancel.within(cancel::LOOK, look).await else {
            return Ok(cancelled(leftovers, failure));
        };
        let failure = match after {
            Ok(after) => {
                let releases: Vec<Release> = past.records.served().cloned().collect();
                self.tell_state(&after, &releases, Moment::After);
                let proof = self.tell_taking_down(replica, &after, Moment::After);
                if proof.is_empty() {
                    return Ok(Ending::good(format!("`{replica}` is removed, until the next deployment")));
                }
                failure.unwrap_or_else(|| not_converged(&proof))
            }
            Err(failed) => failure.unwrap_or_else(|| failed.during("look whether it is gone")),
        };
        if was_cancelled {
            return Ok(cancelled(leftovers, Some(failure)));
        }
        if let Some(taken) = taken {
            return Ok(taken_over(taken, failure, leftovers));
        }
        let exit = if failure.exit == Exit::Refused { Exit::Refused } else { Exit::Blocked };
        let summary = format!("`{replica}` could not be removed");
        Ok(Ending { exit, summary, failure: Some(Failure { exit, ..failure }), leftovers, serves: false })
    }
}

/// The replica that is meant. Where a host does not tell what it runs, it may be there.
fn named(uuid: &str, observed: &Observed) -> Result<ReplicaName, Failure> {
    let mut known: Vec<String> = observed.replicas().map(|(_, found)| found.replica.to_string()).collect();
    known.sort();
    known.dedup();
    let replica = uuid.parse::<ReplicaName>().ok();
    let may_be_there = !observed.gaps.is_empty();
    match replica.filter(|replica| may_be_there || known.contains(&replica.to_string())) {
        Some(replica) => Ok(replica),
        None => {
            let failure = Failure::new(Exit::BadInput, format!("there is no replica `{uuid}`"));
            Err(failure.hint(match known.is_empty() {
                true => "nothing runs".to_owned(),
                false => format!("name one of `{}`", known.join("`, `")),
            }))
        }
    }
}
