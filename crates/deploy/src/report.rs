//! Puts the run's comment on its pull request; what goes wrong there is a warning and never fails a deployment.

use std::{cell::RefCell, rc::Rc};

use skipper_core::{
    event::{EventKind, RunStarted},
    exit::Exit,
    failure::Failure,
    image::Revision,
    progress::Progress,
    render::markdown,
};

use crate::{
    events::{Events, Listener},
    ports::CodeHost,
};

/// Who tells people on the code host.
pub struct Reporter<'a> {
    code_host: Option<&'a dyn CodeHost>,
    /// The pull request that the trigger names, if it does.
    pull_request: Option<u64>,
    progress: Rc<RefCell<Progress>>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    pull_requests: Option<Vec<u64>>,
    last_body: Option<String>,
    given_up: bool,
}

impl<'a> Reporter<'a> {
    /// A reporter, and what has to listen to the run's events for it.
    pub fn new(code_host: Option<&'a dyn CodeHost>, pull_request: Option<u64>) -> (Self, Listener) {
        let progress = Rc::new(RefCell::new(Progress::default()));
        let fold = Rc::clone(&progress);
        let listener: Listener = Box::new(move |event| fold.borrow_mut().apply(event));
        (Self { code_host, pull_request, progress, state: RefCell::default() }, listener)
    }

    /// The run so far.
    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Creates or edits the comment with what the run has come to.
    ///
    /// `ending` is the last event of the run when it is about to be told: the comment shows it, and anything that
    /// goes wrong here is still told before it.
    pub async fn publish(&self, events: &Events, ending: Option<&EventKind>) {
        let Some(code_host) = self.code_host else { return };
        if self.state.borrow().given_up {
            return;
        }
        let mut progress = self.progress();
        if let Some(kind) = ending {
            progress.apply(&skipper_core::event::Event { seq: 0, at_ms: events.elapsed_ms(), kind: kind.clone() });
        }
        let Some(run) = progress.run.clone() else { return };
        let Some(revision) = run.revision.clone() else { return };
        if let Err(failure) = self.try_publish(code_host, &run, &revision, &markdown::comment(&progress), events).await
        {
            self.state.borrow_mut().given_up = true;
            events.warn(failure);
        }
    }

    async fn try_publish(
        &self,
        code_host: &dyn CodeHost,
        run: &RunStarted,
        revision: &Revision,
        body: &str,
        events: &Events,
    ) -> Result<(), Failure> {
        if self.state.borrow().last_body.as_deref() == Some(body) {
            return Ok(());
        }
        let known = self.state.borrow().pull_requests.clone();
        let pull_requests = match (known, self.pull_request) {
            (Some(known), _) => known,
            (None, Some(number)) => vec![number],
            (None, None) => code_host.pull_requests(revision).await.map_err(|error| {
                as_warning(error.failure).during("find the pull request of the commit, so there is no comment")
            })?,
        };
        self.state.borrow_mut().pull_requests = Some(pull_requests.clone());
        let key = format!("{}/{}", run.scope.project, run.scope.environment);
        for number in pull_requests {
            let url = code_host
                .comment(number, &key, run.run, body)
                .await
                .map_err(|error| as_warning(error.failure).during(format!("comment on pull request {number}")))?;
            let told = self.progress.borrow().comments.contains_key(&number);
            if let (Some(url), false) = (url, told) {
                events.emit(EventKind::Commented { pull_request: number, url });
            }
        }
        self.state.borrow_mut().last_body = Some(body.to_owned());
        Ok(())
    }
}

fn as_warning(mut failure: Failure) -> Failure {
    failure.exit = Exit::Serves;
    failure.hint("the deployment itself is not touched by this")
}
