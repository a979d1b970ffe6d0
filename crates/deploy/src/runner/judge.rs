//! What a rollout has come to: it is observed again, whatever the steps said, and that decides.

use std::time::Duration;

use skipper_core::{
    desired::Desired,
    event::{Moment, ReplicaRow, StateTable},
    exit::Exit,
    failure::Failure,
    observed::Observed,
    plan::plan,
    release::Release,
    verdict,
};

use super::{
    Runner,
    ending::{Ending, cancelled, not_converged, serving, taken_over},
    known,
};
use crate::{cancel, execute::Execution, records::Past};

/// Before looking again at a world that should be as it was asked for, and is not.
pub(super) const PROOF_PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(4)];

impl Runner<'_> {
    /// Observes again whatever happened, and lets that decide. `taken` says whose the lease is where this run has lost it.
    pub(super) async fn judge(
        &self,
        desired: &Desired,
        release: &Release,
        past: &Past,
        before: StateTable,
        execution: Execution,
        taken: Option<Failure>,
    ) -> Ending {
        let known = known(release, past);
        let Execution { failure, cancelled: was_cancelled, touched_replicas, leftovers } = execution;
        let look = self.look_again(desired, failure.is_none() && !was_cancelled);
        let after = self.cancel.within(cancel::LOOK, look).await;
        // Nobody knows what serves: that the run was cancelled is all there is to say.
        let Some(after) = after else { return cancelled(leftovers, failure) };
        let state = after.as_ref().ok().map(|after| self.tell_state(after, &known, Moment::After));
        let proof = after.as_ref().ok().map(|after| self.tell_plan(desired, after, Moment::After));
        let failure = match (failure, &proof, after) {
            (failure, Some(proof), _) if proof.is_empty() => {
                // What counts is what was observed: a step whose answer was lost may have done its work.
                if let Some(failure) = failure {
                    self.events.warn(failure.during("carry out a step, and nothing is left to do all the same"));
                }
                return self.serving(state.as_ref());
            }
            (Some(failure), ..) => failure,
            (None, ..) if was_cancelled => return cancelled(leftovers, None),
            (None, Some(proof), _) => not_converged(proof),
            (None, None, Err(failure)) => failure.during("observe what runs after the rollout"),
            (None, None, Ok(_)) => Failure::new(Exit::Defect, "the proof was not made"),
        };
        if let Some(taken) = taken {
            return taken_over(taken, failure, leftovers);
        }
        // It frees itself, and nobody has taken it so far.
        let failure = if failure.exit == Exit::Held { Failure { exit: Exit::Blocked, ..failure } } else { failure };
        if !self.bounds.hosts_only && proof.as_ref().is_some_and(verdict::only_tidying_is_left) {
            let exit = if failure.exit == Exit::Refused { Exit::Refused } else { Exit::Blocked };
            let summary =
                "the release serves on every host, and what it does not need could not be taken away".to_owned();
            let serves = state.as_ref().map(serving);
            return Ending { exit, summary, failure: Some(Failure { exit, ..failure }), leftovers, serves };
        }
        if !touched_replicas {
            return Ending { leftovers, ..Ending::from(failure) };
        }
        let exit = verdict::after_failure(past.records.last_served(), &before, state.as_ref());
        let (summary, failure) = match (exit, &state) {
            (Exit::Restored, _) => ("the release failed; the previous one serves everywhere again".to_owned(), failure),
            (_, Some(state)) => {
                let lines = verdict::what_runs(state);
                let summary = match state.gaps.is_empty() {
                    true => "the release failed, and no release serves everywhere",
                    false => "the release could not be seen to serve everywhere",
                };
                (summary.to_owned(), lines.into_iter().fold(failure, Failure::because))
            }
            (_, None) => ("the release failed, and what serves could not be observed".to_owned(), failure),
        };
        let failure = Failure { exit, ..failure };
        Ending { exit, summary, failure: Some(failure), leftovers, serves: None }
    }

    /// The good end of a rollout. What was left alone is part of the release, and may not serve.
    fn serving(&self, state: Option<&StateTable>) -> Ending {
        if self.bounds.hosts_only {
            return Ending::good("every host is up");
        }
        if self.bounds.services.is_empty() {
            let serves = state.map(serving);
            return Ending { serves, ..Ending::good("deployed: the release serves on every host") };
        }
        let services: Vec<String> = self.bounds.services.iter().map(|service| format!("`{service}`")).collect();
        let verb = if services.len() == 1 { "serves" } else { "serve" };
        let all_serve = |state: &&StateTable| state.replicas.iter().filter(|row| row.wanted).all(ReplicaRow::serves);
        let serves = state.filter(all_serve).map(serving);
        Ending { serves, ..Ending::good(format!("deployed: {} {verb} on every host", services.join(", "))) }
    }

    /// Observes what there is now. Where every step succeeded and yet something seems to be left to do, it is looked at again:
    /// AWS's lists may lag behind what was changed, and one answer that was lost is no reason to call a release failed.
    async fn look_again(&self, desired: &Desired, all_done: bool) -> Result<Observed, Failure> {
        let mut pauses = PROOF_PAUSES.into_iter();
        loop {
            let seen = self.eyes().observe(self.config, self.scope()).await;
            let proven = seen.as_ref().is_ok_and(|seen| plan(desired, seen, self.world.orchestrator).is_empty());
            match pauses.next().filter(|_| all_done && seen.is_ok() && !proven) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return seen,
            }
        }
    }
}
