//! Tells the code host how a run is doing, while it goes on and at its end: the comment on its pull requests and its deployment.
//!
//! What goes wrong here is a warning and never fails a deployment; nor does a deployment wait for it, but for a moment at its end.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
    time::Duration,
};

use futures::future::{Either, join, select};
use skipper_core::{
    event::{Event, EventKind, RunStarted},
    exit::Exit,
    failure::Failure,
    image::Revision,
    preview::REMOVE,
    progress::{Deployment, Progress},
    render::{deployment, markdown},
};
use tokio::time::{sleep, timeout};

use crate::{
    cancel::{self, Cancel},
    events::{Events, Listener},
    ports::{CodeHost, DeploymentRequest, PortError, PortErrorKind, PortResult, PullRequestOfCommit},
};

/// The commands that deploy something.
const ROLLOUTS: [&str; 2] = ["ship", "deploy"];
/// Before anything is told: a run that ends sooner tells everything at once.
const FIRST: Duration = Duration::from_secs(2);
/// Between two edits of what a run tells: writing is what GitHub limits most.
const PAUSE: Duration = Duration::from_secs(10);
/// What is being told when the work ends may take so much longer; what is told then says more.
const IN_HAND: Duration = Duration::from_secs(10);
/// For telling how the run ended.
const LAST: Duration = Duration::from_secs(30);

/// Which pull requests of a commit are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Comments {
    /// The one that brought the commit, and open ones that it heads.
    #[default]
    Merged,
    /// Open ones that it heads.
    Open,
    /// None, whatever the event.
    Off,
}

/// Whether the code host gets a deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deployments {
    /// Unless the workflow's job has made one.
    #[default]
    Auto,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

/// Who is told what.
#[derive(Clone, Debug, Default)]
pub struct Publicity {
    /// The pull request that the event or the user names, if one does.
    pub pull_request: Option<u64>,
    /// Which pull requests of the commit are told.
    pub comments: Comments,
    /// Whether there is a deployment.
    pub deployments: Deployments,
}

/// Who tells people on the code host.
pub struct Reporter<'a> {
    code_host: Option<&'a dyn CodeHost>,
    publicity: Publicity,
    progress: Rc<RefCell<Progress>>,
    comments: RefCell<Told>,
    /// The pull requests of the commit, once they are known.
    pull_requests: RefCell<Option<Vec<u64>>>,
    deployment: RefCell<Told>,
    /// Pull requests on which it was refused for good.
    refused: RefCell<BTreeSet<u64>>,
    /// Whether the code host knows how the run ended, or will not hear of it.
    concluded: Cell<bool>,
    /// Whether something is on its way to the code host.
    in_hand: Cell<bool>,
    ending: Cell<bool>,
    warned: RefCell<BTreeSet<String>>,
}

/// What was told last.
#[derive(Default)]
struct Told {
    last: Option<String>,
    /// Whether it was refused for good.
    given_up: bool,
}

impl<'a> Reporter<'a> {
    /// A reporter, and what has to listen to the run's events for it.
    pub fn new(code_host: Option<&'a dyn CodeHost>, publicity: Publicity) -> (Self, Listener) {
        let progress = Rc::new(RefCell::new(Progress::default()));
        let fold = Rc::clone(&progress);
        let listener: Listener = Box::new(move |event| fold.borrow_mut().apply(event));
        let reporter = Self {
            code_host,
            publicity,
            progress,
            comments: RefCell::default(),
            pull_requests: RefCell::default(),
            refused: RefCell::default(),
            concluded: Cell::new(false),
            deployment: RefCell::default(),
            in_hand: Cell::new(false),
            ending: Cell::new(false),
            warned: RefCell::default(),
        };
        (reporter, listener)
    }

    /// The run so far.
    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// The pull request that the event or the user names.
    pub fn named_pull_request(&self) -> Option<u64> {
        self.publicity.pull_request
    }

    /// Whether there is nothing left to tell: the code host knows how the run ended, will not hear of it, or there is none.
    pub fn has_concluded(&self) -> bool {
        self.code_host.is_none() || self.concluded.get()
    }

    /// The pull requests that are told of a commit.
    async fn pull_requests(&self, code_host: &dyn CodeHost, revision: &Revision) -> PortResult<Vec<u64>> {
        let Publicity { pull_request, comments, .. } = &self.publicity;
        if let Some(known) = &*self.pull_requests.borrow() {
            return Ok(known.clone());
        }
        let found = match (comments, pull_request) {
            (Comments::Off, _) => Vec::new(),
            (_, Some(number)) => vec![*number],
            (comments, None) => {
                let found = code_host.pull_requests(revision).await?;
                let wanted = |found: &PullRequestOfCommit| !found.merged || *comments == Comments::Merged;
                found.into_iter().filter(wanted).map(|found| found.number).collect()
            }
        };
        *self.pull_requests.borrow_mut() = Some(found.clone());
        Ok(found)
    }

    /// Does the work, and tells how it is getting on from time to time.
    pub async fn alongside<T>(&self, events: &Events, cancel: &Cancel, work: impl Future<Output = T>) -> T {
        // On the heap: a rollout's future is large, and would be copied on the stack again and again.
        match select(Box::pin(work), Box::pin(self.keep_telling(events))).await {
            Either::Left((done, telling)) => {
                self.ending.set(true);
                // Broken off, it might still have its effect, and what is told next would meet it.
                if self.in_hand.get() {
                    let _ = cancel.within(cancel::TELL, timeout(IN_HAND, telling)).await;
                }
                done
            }
            Either::Right(((), work)) => work.await,
        }
    }

    /// Tells from time to time, until the work has ended.
    async fn keep_telling(&self, events: &Events) {
        sleep(FIRST).await;
        loop {
            self.in_hand.set(true);
            self.publish(events, None).await;
            self.in_hand.set(false);
            if self.ending.get() {
                return;
            }
            sleep(PAUSE).await;
        }
    }

    /// Tells how the run ended. `ending` is its last event, which is about to be told: anything that goes wrong here is told before.
    pub async fn conclude(&self, events: &Events, ending: &EventKind) {
        let told = timeout(LAST, self.publish(events, Some(ending))).await;
        self.concluded.set(told == Ok(true));
        if told.is_err() {
            let late =
                Failure::new(Exit::Serves, "the code host was not told how the run ended: it did not answer in time");
            events.warn(late.hint(UNTOUCHED));
        }
    }

    /// Whether everything was told that the code host will hear of.
    async fn publish(&self, events: &Events, ending: Option<&EventKind>) -> bool {
        let Some(code_host) = self.code_host else { return true };
        let mut progress = self.progress();
        if let Some(kind) = ending {
            progress.apply(&Event { seq: 0, at_ms: events.elapsed_ms(), kind: kind.clone() });
        }
        let Some(run) = progress.run.clone() else { return true };
        let is_gone = progress.finished.as_ref().is_some_and(|finished| finished.exit == Exit::Serves);
        if run.command == REMOVE && is_gone && self.publicity.deployments != Deployments::Never {
            self.retire(code_host, &run, events).await;
        }
        let Some(revision) = run.revision.clone() else { return true };
        let (comments, deployment) = join(
            Box::pin(self.tell_pull_requests(code_host, &run, &revision, &progress, events)),
            Box::pin(self.tell_deployment(code_host, &run, &revision, &progress, events)),
        )
        .await;
        comments && deployment
    }

    /// Of an environment that is gone nothing is deployed any more.
    async fn retire(&self, code_host: &dyn CodeHost, run: &RunStarted, events: &Events) {
        if let Err(error) = code_host.retire_deployments(&run.deployed_to()).await {
            let what = format!("mark the deployments to `{}` as inactive", run.deployed_to());
            self.warn(events, error.failure.during(what));
        }
    }

    async fn tell_pull_requests(
        &self,
        code_host: &dyn CodeHost,
        run: &RunStarted,
        revision: &Revision,
        progress: &Progress,
        events: &Events,
    ) -> bool {
        let body = markdown::comment(progress);
        let nothing_new = self.comments.borrow().last.as_ref() == Some(&body);
        if self.comments.borrow().given_up || nothing_new {
            return true;
        }
        let numbers = match self.pull_requests(code_host, revision).await {
            Ok(numbers) => numbers,
            Err(error) => {
                let given_up = is_final(&error);
                self.comments.borrow_mut().given_up |= given_up;
                self.warn(events, error.failure.during("find the pull request of the commit, so there is no comment"));
                return given_up;
            }
        };
        let key = run.key();
        let mut all_told = true;
        for number in numbers {
            if self.refused.borrow().contains(&number) {
                continue;
            }
            match code_host.comment(number, &key, run.run, &body).await {
                Ok(url) => {
                    let told = self.progress.borrow().comments.contains_key(&number);
                    if let (Some(url), false) = (url, told) {
                        events.emit(EventKind::Commented { pull_request: number, url });
                    }
                }
                Err(error) => {
                    if is_final(&error) {
                        self.refused.borrow_mut().insert(number);
                    } else {
                        all_told = false;
                    }
                    self.warn(events, error.failure.during(format!("comment on pull request {number}")));
                }
            }
        }
        if all_told {
            self.comments.borrow_mut().last = Some(body);
        }
        all_told
    }

    async fn tell_deployment(
        &self,
        code_host: &dyn CodeHost,
        run: &RunStarted,
        revision: &Revision,
        progress: &Progress,
        events: &Events,
    ) -> bool {
        if !ROLLOUTS.contains(&run.command.as_str())
            || self.publicity.deployments == Deployments::Never
            || self.deployment.borrow().given_up
        {
            return true;
        }
        let refused = |error: PortError| {
            let given_up = is_final(&error);
            self.deployment.borrow_mut().given_up |= given_up;
            let hint = "`deployments: never` (an input) is for those who want none";
            self.warn(events, error.failure.during("keep the deployment of this run on the code host").hint(hint));
            given_up
        };
        let status = deployment(progress);
        let known = progress.deployment.or_else(|| self.progress.borrow().deployment);
        let made = match known {
            Some(made) => made,
            None => {
                let request = DeploymentRequest {
                    revision: revision.clone(),
                    scope: run.scope.clone(),
                    shown_as: run.deployed_to(),
                    run: run.run,
                    run_url: run.run_url.clone(),
                    unless_the_job_has_one: self.publicity.deployments == Deployments::Auto,
                };
                match code_host.create_deployment(&request).await {
                    Ok((id, ours)) => {
                        events.emit(EventKind::DeploymentCreated { id, ours });
                        Deployment { id, ours }
                    }
                    Err(error) => return refused(error),
                }
            }
        };
        let text = format!("{status:?}");
        let nothing_new = self.deployment.borrow().last.as_ref() == Some(&text);
        if !made.ours || nothing_new {
            return true;
        }
        match code_host.set_deployment_status(made.id, &status).await {
            Ok(()) => {
                self.deployment.borrow_mut().last = Some(text);
                true
            }
            Err(error) => refused(error),
        }
    }

    /// Once each: a run that cannot tell something would say so every ten seconds.
    fn warn(&self, events: &Events, mut failure: Failure) {
        failure.exit = Exit::Serves;
        if self.warned.borrow_mut().insert(failure.message.clone()) {
            events.warn(failure.hint(UNTOUCHED));
        }
    }
}

const UNTOUCHED: &str = "the deployment itself is not touched by this";

/// Whether trying again in a moment would come to the same.
const fn is_final(error: &PortError) -> bool {
    !matches!(error.kind, PortErrorKind::Transient | PortErrorKind::Unclear)
}
