//! What a run is held to before it changes anything: the plan that people saw, and the commit that serves already.

use std::time::Duration;

use skipper_core::{
    exit::Exit,
    failure::Failure,
    image::Revision,
    plan::{Outline, Plan, PlanHash},
    render::ShownPlan,
};
use tokio::time::timeout;

use super::{ExpectedPlan, Runner};
use crate::records::Past;

/// For the code host to say which of two commits is the later one.
const ORDER_WITHIN: Duration = Duration::from_secs(15);
/// Lines that are shown of what has moved.
const MOST_LINES: usize = 20;

/// A plan that people saw, and where.
pub(super) struct Expected {
    shown: ShownPlan,
    place: String,
}

impl Expected {
    /// The one with this hash, which somebody gave.
    fn by(hash: &PlanHash) -> Self {
        Self { shown: ShownPlan::Hash(hash.clone()), place: "expected".to_owned() }
    }
}

impl Runner<'_> {
    /// The plan that this run may carry out; absent where it may carry out any.
    pub(super) async fn expected(&self, revision: &Revision) -> Result<Option<Expected>, Failure> {
        let failed = |why: &str| Failure::new(Exit::Blocked, format!("there is no plan to hold this run to: {why}"));
        match &self.bounds.expected_plan {
            None => Ok(None),
            Some(ExpectedPlan::Hash(hash)) => Ok(Some(Expected::by(hash))),
            Some(ExpectedPlan::ByRegion(plans)) => match plans.get(&self.about.region) {
                Some(hash) => Ok(Some(Expected::by(hash))),
                None => Err(failed(&format!("none is given for region `{}`", self.about.region))
                    .hint("give the output `plan-hash` of a step that planned for the same regions")),
            },
            Some(ExpectedPlan::OnPullRequest) => {
                let Some(code_host) = self.world.code_host else {
                    return Err(failed("the code host cannot be asked").hint("give the run a `github-token`"));
                };
                let during = |failure: Failure| failure.during("read the plan on the pull request");
                let numbers = match self.reporter.named_pull_request() {
                    Some(number) => vec![number],
                    None => {
                        let mut found =
                            code_host.pull_requests(revision).await.map_err(|error| during(error.failure))?;
                        found.sort_by_key(|found| !found.merged);
                        found.into_iter().map(|found| found.number).collect()
                    }
                };
                for number in numbers {
                    let line = code_host.shown_plan(number, &self.about.key()).await;
                    let line = line.map_err(|error| during(error.failure))?;
                    if let Some(shown) = line.as_deref().and_then(ShownPlan::read) {
                        return Ok(Some(Expected { shown, place: format!("shown on pull request {number}") }));
                    }
                }
                let hint = "run skipper with `command: plan` on `pull_request`, or ship without `expect-plan`";
                Err(failed("no pull request of the commit shows one").hint(hint))
            }
        }
    }

    /// Refuses a plan that would do what people have not seen. Less than they saw is what is left of it.
    pub(super) fn refuse_if_moved(&self, plan: &Plan, expected: Option<&Expected>) -> Result<(), Failure> {
        let Some(Expected { shown, place }) = expected else { return Ok(()) };
        let now = Outline::of(plan);
        let moved = match shown {
            _ if plan.steps.is_empty() => return Ok(()),
            ShownPlan::Hash(hash) if *hash == now.hash() => return Ok(()),
            ShownPlan::Outline(shown) if now.beyond(shown).is_empty() => return Ok(()),
            ShownPlan::Hash(hash) => vec![format!("its hash is `{}`, not `{hash}`", now.hash())],
            ShownPlan::Blocked => vec!["the plan there could not be carried out, or was not finished".to_owned()],
            ShownPlan::Outline(shown) => {
                let new = now.beyond(shown).into_iter().map(|line| format!("it was not there: {line}"));
                let gone = now.gone_since(shown).into_iter().map(|line| format!("it is not needed any more: {line}"));
                new.chain(gone).collect()
            }
        };
        let more = moved.len().saturating_sub(MOST_LINES);
        let failure =
            Failure::new(Exit::Blocked, format!("the world has moved: the plan is not the one that was {place}"));
        let failure = moved.into_iter().take(MOST_LINES).fold(failure, Failure::because);
        let failure = if more > 0 { failure.because(format!("and {more} more changes")) } else { failure };
        Err(failure.hint("look at the plan above; to carry it out run again without `expect-plan`"))
    }

    /// Gives way to a commit that serves and contains this run's: an older one is not put over a newer one.
    pub(super) async fn refuse_if_superseded(&self, revision: &Revision, past: &Past) -> Result<(), Failure> {
        let Some(code_host) = self.world.code_host.filter(|_| self.bounds.gives_way) else { return Ok(()) };
        let Some(serving) = past.records.served_for(&self.bounds.services).map(|release| &release.revision) else {
            return Ok(());
        };
        if serving == revision {
            return Ok(());
        }
        let unknown = |failure: Failure| {
            let what = "find out whether a newer commit serves already, so it is taken that none does";
            self.events.warn(Failure { exit: Exit::Serves, ..failure.during(what) });
        };
        match timeout(ORDER_WITHIN, code_host.is_behind(revision, serving)).await {
            Ok(Ok(true)) => {
                let (ours, theirs) = (revision.short(), serving.short());
                let failure =
                    Failure::new(Exit::Superseded, format!("commit `{theirs}` serves, which is newer than `{ours}`"));
                Err(failure
                    .hint("to deploy the older one all the same, name it in full: `--revision` (input `revision`)"))
            }
            Ok(Ok(false)) => Ok(()),
            Ok(Err(error)) => {
                unknown(error.failure);
                Ok(())
            }
            Err(_) => {
                unknown(Failure::new(Exit::Serves, "the code host did not answer in time"));
                Ok(())
            }
        }
    }
}
