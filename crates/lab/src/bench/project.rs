//! Projects whose images are built and pushed and go nowhere: services without hosts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};

use crate::fleet::hex;
use crate::job::Job;
use crate::lab::Lab;

/// The repository whose workflow runs the jobs.
pub(super) const REPOSITORY: &str = "acme/bench";

/// A folder with a context for each of its services.
pub(super) struct Project {
    pub(super) folder: PathBuf,
    pub(super) services: Vec<String>,
}

impl Project {
    /// A fresh one called `name`, with a `skipper.yml` that puts its services on no host.
    pub(super) fn make(lab: &Lab, name: &str, services: usize) -> Result<Self> {
        let folder = lab.folder()?.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).context("removing an earlier project")?;
        }
        let project = Self { folder, services: (1..=services).map(|number| format!("service{number}")).collect() };
        let registry = lab.topology().registry();
        let mut file = format!("name: {name}\nservices:\n");
        for service in &project.services {
            fs::create_dir_all(project.context(service)).context("making a build context")?;
            file.push_str(&format!(
                "  {service}: {{repo: {{name: {name}/{service}, registry: \"{registry}\"}}, build: {service}}}\n"
            ));
        }
        fs::write(project.folder.join("skipper.yml"), file).context("writing `skipper.yml`")?;
        Ok(project)
    }

    /// The build context of a service.
    pub(super) fn context(&self, service: &str) -> PathBuf {
        self.folder.join(service)
    }

    /// Writes one file into every service's context.
    pub(super) fn write(&self, file: &str, contents: &str) -> Result<()> {
        for service in &self.services {
            fs::write(self.context(service).join(file), contents).with_context(|| format!("writing `{file}`"))?;
        }
        Ok(())
    }

    /// The job that ships the commit called `name`.
    pub(super) fn job(&self, lab: &Lab, name: &str) -> Job {
        job(lab, &self.folder, &commit(name))
    }
}

/// A job for a push of a commit.
pub(super) fn job(lab: &Lab, folder: &Path, sha: &str) -> Job {
    Job::push(lab, folder, REPOSITORY, sha)
}

/// A commit's SHA, always the same for one name.
pub(super) fn commit(name: &str) -> String {
    hex(&Sha256::digest(name.as_bytes()))[..40].to_owned()
}
