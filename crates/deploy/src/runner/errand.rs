//! What somebody asks for about what is there, whatever the file says: a plan of its own, carried out under the lease and judged by
//! looking again.

use std::collections::BTreeSet;

use skipper_core::{
    desired::Desired,
    event::{EventKind, Moment},
    exit::Exit,
    failure::Failure,
    observed::{Handle, Health, Observed, ObservedReplica, ReplicaState},
    plan::Plan,
    release::Release,
};

use super::{
    Runner,
    ending::{Ending, blocked, cancelled, not_converged, taken_over},
    judge::PROOF_PAUSES,
};
use crate::{
    cancel,
    execute::{Execution, execute},
    lease::{Guarded, Lease},
    observe::Eyes,
    records::Past,
};

/// What is asked for.
pub(super) struct Errand<'a> {
    /// What steps may need of the file.
    pub(super) desired: Desired,
    /// What is left to do. It is empty when all is done.
    pub(super) plan: &'a dyn Fn(&Observed, Moment) -> Plan,
    /// The summary of a run that did it.
    pub(super) done: String,
    /// The summary of a run that could not.
    pub(super) failed: String,
    /// Whether what serves before it is to serve after it.
    pub(super) keeps_serving: bool,
}

/// Parts that a plan comes in, at most: each finishes what the one before has brought to light.
const MOST_PARTS: u32 = 4;

impl Runner<'_> {
    /// What runs, and who has changed it. The chain of leases is read before the world is.
    pub(super) async fn look_at_hosts(&self, eyes: Eyes<'_>) -> Result<(Observed, Past), Failure> {
        let past = self.past().await?;
        let observed = eyes.observe_shared(&self.hosts_of(), self.scope()).await?;
        self.tell_found(&observed, &past, Moment::Before);
        let past = past.above(observed.fence());
        Ok((observed, past))
    }

    fn tell_found(&self, observed: &Observed, past: &Past, moment: Moment) {
        let releases: Vec<Release> = past.records.served().cloned().collect();
        self.tell_state(observed, &releases, moment);
    }

    /// Plans it for what was found, and does it.
    pub(super) async fn run_errand(
        &self,
        observed: Observed,
        past: &Past,
        errand: &Errand<'_>,
    ) -> Result<Ending, Failure> {
        let plan = self.tell_errand(errand, &observed, Moment::Before);
        // Where another run is at work, what blocks this one may be its doing: it is planned anew under the lease.
        if !plan.blocked.is_empty() && !past.may_pass(&observed) {
            return Err(blocked(&plan));
        }
        let lease = self.acquire(&past.chain).await?;
        let work = self.carry_out_errand(&lease, errand, observed, plan, past);
        let ending = lease.hold(self.events, self.cancel, Box::pin(work)).await;
        lease.release(self.events, self.cancel).await;
        ending
    }

    fn tell_errand(&self, errand: &Errand<'_>, observed: &Observed, moment: Moment) -> Plan {
        let plan = (errand.plan)(observed, moment);
        self.events.emit(EventKind::Planned { plan: plan.clone(), moment });
        plan
    }

    async fn carry_out_errand(
        &self,
        lease: &Lease<'_>,
        errand: &Errand<'_>,
        observed: Observed,
        plan: Plan,
        past: &Past,
    ) -> Result<Ending, Failure> {
        let guarded = self.guarded(lease, None);
        let (mut observed, mut plan) = (observed, plan);
        if !lease.follows(&past.chain) {
            // Another run was at work after it was looked at what there is.
            (observed, plan) = self.look_on(&guarded, errand).await?;
        }
        let served = serving_in(&observed);
        let mut execution = Execution::default();
        for _ in 0..MOST_PARTS {
            if !plan.blocked.is_empty() {
                return Err(blocked(&plan));
            }
            execution = execute(&plan, &errand.desired, &observed, self.hands(&guarded)).await;
            if !plan.partial || execution.failure.is_some() || execution.cancelled {
                break;
            }
            (observed, plan) = self.look_on(&guarded, errand).await?;
        }
        let Execution { failure, cancelled: was_cancelled, leftovers, .. } = execution;
        let taken = match &failure {
            Some(_) => self.cancel.within(cancel::LOOK, guarded.taken()).await.flatten(),
            None => None,
        };
        let look = self.look_for_what_is_left(errand, failure.is_none() && !was_cancelled);
        let Some(after) = self.cancel.within(cancel::LOOK, look).await else {
            return Ok(cancelled(leftovers, failure));
        };
        let serving = after.as_ref().map(serving_in).unwrap_or_default();
        let failure = match after {
            Ok(after) => {
                self.tell_found(&after, past, Moment::After);
                let proof = self.tell_errand(errand, &after, Moment::After);
                if proof.is_empty() {
                    return Ok(Ending::good(errand.done.clone()));
                }
                failure.unwrap_or_else(|| not_converged(&proof))
            }
            Err(failed) => failure.unwrap_or_else(|| failed.during("look what has come of it")),
        };
        if was_cancelled {
            return Ok(cancelled(leftovers, Some(failure)));
        }
        if let Some(taken) = taken {
            return Ok(taken_over(taken, failure, leftovers));
        }
        let exit = match failure.exit {
            _ if errand.keeps_serving && !served.is_subset(&serving) => Exit::Degraded,
            Exit::Refused => Exit::Refused,
            _ => Exit::Blocked,
        };
        let (summary, failure) = (errand.failed.clone(), Some(Failure { exit, ..failure }));
        Ok(Ending { exit, summary, failure, leftovers, serves: None })
    }

    /// What there is. Where every step succeeded and something seems to be left, it is looked for again: AWS's lists lag.
    async fn look_for_what_is_left(&self, errand: &Errand<'_>, all_done: bool) -> Result<Observed, Failure> {
        let mut pauses = PROOF_PAUSES.into_iter();
        loop {
            let seen = self.eyes().observe_shared(&self.hosts_of(), self.scope()).await;
            let is_done = seen.as_ref().is_ok_and(|seen| (errand.plan)(seen, Moment::After).is_empty());
            match pauses.next().filter(|_| all_done && seen.is_ok() && !is_done) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return seen,
            }
        }
    }

    /// Looks and plans anew under the lease, and raises the fence on the way.
    async fn look_on(&self, guarded: &Guarded<'_>, errand: &Errand<'_>) -> Result<(Observed, Plan), Failure> {
        let eyes = Eyes { remote: guarded, after_another: true, ..self.eyes() };
        let (observed, _) = self.unless_cancelled(self.look_at_hosts(eyes)).await?;
        let plan = self.tell_errand(errand, &observed, Moment::Before);
        Ok((observed, plan))
    }
}

/// What serves, by its handles.
fn serving_in(observed: &Observed) -> BTreeSet<Handle> {
    let serves = |found: &&ObservedReplica| {
        found.state == ReplicaState::Running && !matches!(found.health, Health::Unhealthy(_))
    };
    observed.replicas().map(|(_, found)| found).filter(serves).map(|found| found.handle.clone()).collect()
}

/// The one that is meant by its name; where something did not tell what it has, it `may_be_there`.
pub(super) fn named<T: std::str::FromStr + std::fmt::Display>(
    uuid: &str,
    what: &str,
    known: impl Iterator<Item = T>,
    may_be_there: bool,
) -> Result<T, Failure> {
    let mut known: Vec<String> = known.map(|name| name.to_string()).collect();
    known.sort();
    known.dedup();
    let name = uuid.parse::<T>().ok();
    match name.filter(|name| may_be_there || known.contains(&name.to_string())) {
        Some(name) => Ok(name),
        None => {
            let failure = Failure::new(Exit::BadInput, format!("there is no {what} `{uuid}`"));
            Err(failure.hint(match known.is_empty() {
                true if what == "host" => "there are no hosts".to_owned(),
                true => "nothing runs".to_owned(),
                false => format!("name one of `{}`", known.join("`, `")),
            }))
        }
    }
}
