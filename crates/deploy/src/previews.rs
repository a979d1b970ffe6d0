//! Looks at all previews of a project: which there are, how old they are, and which have outlived their pull requests.

use std::{collections::BTreeMap, time::Duration};

use skipper_core::{
    config::Previews,
    failure::Failure,
    name::ProjectName,
    preview::{self, Preview, PullRequest, Surveyed},
};

use crate::{
    observe::project_path,
    ports::{CodeHost, Compute, PortResult, Store},
    retry::retry,
};

/// What there is.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The previews, by their pull requests.
    pub previews: BTreeMap<u64, Surveyed>,
    /// The instances that previews share, whether or not one is left.
    pub shared_instances: usize,
    /// Whether there is anything of the hosts that previews share, if only a record.
    pub shared: bool,
}

/// Who is asked about previews.
#[derive(Clone, Copy)]
pub struct Survey<'a> {
    /// Hosts and security groups.
    pub compute: &'a dyn Compute,
    /// Records.
    pub store: &'a dyn Store,
    /// Pull requests; nobody knows of them when absent.
    pub code_host: Option<&'a dyn CodeHost>,
    /// How long ago a moment was, given as RFC 3339; nothing for what is no moment.
    pub age: &'a dyn Fn(&str) -> Option<Duration>,
}

impl Survey<'_> {
    /// Every preview of the project, and the hosts that they share. What is not known of one, its age or its pull request, never ends it.
    ///
    /// # Errors
    /// When it cannot be found out which previews there are.
    pub async fn look(&self, project: &ProjectName, previews: &Previews) -> Result<Found, Failure> {
        let owned = ask("find out which previews there are", async || self.compute.owned(project).await).await?;
        let path = project_path(project);
        let records = ask("read what is recorded of previews", async || self.store.read(&path).await).await?;
        let mut found = BTreeMap::new();
        for (number, preview) in preview::list(&owned, &records) {
            found.insert(number, self.judge(number, preview, previews).await);
        }
        Ok(Found {
            previews: found,
            shared_instances: preview::shared_instances(&owned),
            shared: preview::is_shared(&owned, &records),
        })
    }

    async fn judge(&self, number: u64, preview: Preview, previews: &Previews) -> Surveyed {
        let age = preview.shipped_at.as_deref().and_then(self.age);
        let (pull_request, unknown) = match self.pull_request(number).await {
            Ok(pull_request) => (pull_request, None),
            Err(failure) => (None, Some(failure)),
        };
        let ends = preview::outlived(previews, age, pull_request.as_ref());
        Surveyed {
            age_seconds: age.map(|age| age.as_secs()),
            open: pull_request.as_ref().map(|pull| pull.open),
            preview,
            // What is too old ends whatever its pull request is like.
            unknown: unknown.filter(|_| ends.is_none()),
            ends,
        }
    }

    async fn pull_request(&self, number: u64) -> Result<Option<PullRequest>, Failure> {
        let Some(code_host) = self.code_host else { return Ok(None) };
        // The code host's adapter tries again by itself, within what people wait for it.
        let what = format!("find out whether pull request {number} is open, so its preview is kept");
        code_host.pull_request(number).await.map(Some).map_err(|error| error.failure.during(what))
    }
}

/// Asks AWS, again where it has trouble.
async fn ask<T>(what: &str, call: impl AsyncFnMut() -> PortResult<T>) -> Result<T, Failure> {
    retry(call, |_, _, _| {}).await.map_err(|error| error.failure.during(what))
}
