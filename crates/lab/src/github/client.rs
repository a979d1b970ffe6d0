//! The lab's GitHub from outside its container: seeding, faults and what was left behind.

use std::sync::Arc;

use anyhow::{Context, Result};

use super::fault::Fault;
use super::seed::Seed;
use super::world::{Comment, Dump};
use crate::http::Http;

/// Speaks to the `/lab/` paths of a GitHub that runs as a process.
#[derive(Debug, Clone)]
pub struct Client {
    http: Arc<Http>,
    url: String,
}

impl Client {
    /// A client for the GitHub at `url`.
    pub(crate) fn new(http: Arc<Http>, url: String) -> Self {
        Self { http, url }
    }

    /// What to give as `GITHUB_API_URL`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Puts things in.
    ///
    /// # Errors
    /// When GitHub does not answer.
    pub fn seed(&self, seeds: &[Seed]) -> Result<()> {
        self.http.post(&format!("{}/lab/seed", self.url), &seeds)?.success().context("seeding GitHub")?;
        Ok(())
    }

    /// Lets `fault` meet the requests it matches, after those set before it.
    ///
    /// # Errors
    /// When GitHub does not answer.
    pub fn fault(&self, fault: &Fault) -> Result<()> {
        self.http.post(&format!("{}/lab/faults", self.url), fault)?.success().context("setting a fault of GitHub")?;
        Ok(())
    }

    /// Ends all faults.
    ///
    /// # Errors
    /// When GitHub does not answer.
    pub fn clear_faults(&self) -> Result<()> {
        self.http.delete(&format!("{}/lab/faults", self.url))?.success().context("clearing the faults of GitHub")?;
        Ok(())
    }

    /// Everything that requests have left behind so far.
    ///
    /// # Errors
    /// When GitHub does not answer.
    pub fn dump(&self) -> Result<Dump> {
        self.http.get(&format!("{}/lab/dump", self.url))?.success().context("reading what GitHub holds")?.json()
    }

    /// The comments on one issue or pull request, oldest first.
    ///
    /// # Errors
    /// When GitHub does not answer.
    pub fn comments(&self, repository: &str, number: u64) -> Result<Vec<Comment>> {
        Ok(self.dump()?.comments_on(repository, number))
    }
}
