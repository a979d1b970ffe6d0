//! A lab: started, looked at, used and taken down.

mod down;
mod found;
mod up;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

pub use self::down::down;
use self::found::{find, label};
use crate::binaries::target_folder;
use crate::cloud::Cloud;
use crate::docker;
use crate::fleet;
use crate::github;
use crate::guard::Guard;
use crate::host::{self, Host};
use crate::http::{Answer, Http};
use crate::topology::{Name, Part, RECIPE_LABEL, Topology};

/// The region that the lab speaks of as its own.
pub const REGION: &str = "us-east-1";
/// The account whose credentials the lab accepts; it accepts any.
pub const ACCOUNT: &str = "123456789012";

/// What lab to start.
#[derive(Debug, Clone)]
pub struct Options {
    name: Name,
    fleet: Option<String>,
    ephemeral: bool,
    with_skipper: bool,
}

impl Options {
    /// A lab that stays until it is taken down; one that runs is used again.
    ///
    /// # Errors
    /// When `name` would not do in the names of containers.
    pub fn lasting(name: &str) -> Result<Self> {
        Ok(Self { name: Name::new(name)?, fleet: None, ephemeral: false, with_skipper: false })
    }

    /// A lab that starts empty and is gone with the process that started it, even when that is killed. Drop the
    /// [`Lab`] before ending the process, to have waited for it.
    ///
    /// # Errors
    /// When `name` would not do in the names of containers.
    pub fn ephemeral(name: &str) -> Result<Self> {
        Ok(Self { ephemeral: true, ..Self::lasting(name)? })
    }

    /// With a freshly compiled skipper, which takes minutes the first time.
    #[must_use]
    pub fn with_skipper(self) -> Self {
        Self { with_skipper: true, ..self }
    }

    /// The fleet archive at a path or an http(s) address, in place of the stand-in.
    #[must_use]
    pub fn fleet(self, source: Option<String>) -> Self {
        Self { fleet: source, ..self }
    }
}

/// A running lab.
#[derive(Debug)]
pub struct Lab {
    topology: Topology,
    http: Arc<Http>,
    skipper: Option<PathBuf>,
    fleet_sha256: String,
    /// Last, so that everything else is gone when it is told.
    _guard: Option<Guard>,
}

impl Lab {
    /// The lab called `name` that is up.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(name: &str) -> Result<Self> {
        docker::check()?;
        let name = Name::new(name)?;
        let Some(topology) = find(&name)? else {
            bail!("there is no lab `{name}`\nhint: `cargo lab up --name {name}` starts it");
        };
        let recipe = label(&topology, RECIPE_LABEL)?;
        Ok(Self {
            topology,
            http: Arc::new(Http::new()?),
            skipper: None,
            fleet_sha256: recipe.rsplit(' ').next().unwrap_or_default().to_owned(),
            _guard: None,
        })
    }

    /// The names and addresses of its parts.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The fresh skipper, where [`Options::with_skipper`] asked for it.
    ///
    /// # Errors
    /// Where it did not.
    pub fn skipper(&self) -> Result<&Path> {
        self.skipper.as_deref().context("skipper was not compiled for this lab")
    }

    /// The fleet archive, as `skipper.yml` names it: its address, and its SHA-256 in hexadecimal.
    #[must_use]
    pub fn fleet(&self) -> (String, &str) {
        let url = format!("{}/fleet/{}", self.topology.github_url(), fleet::FILE);
        (url, &self.fleet_sha256)
    }

    /// The image that its hosts are started from.
    ///
    /// # Errors
    /// When Docker does not answer.
    pub(crate) fn host_image(&self) -> Result<String> {
        let recipe = label(&self.topology, RECIPE_LABEL)?;
        Ok(recipe.split(' ').next().unwrap_or_default().to_owned())
    }

    /// What a run of skipper needs in its environment to meet this lab in place of AWS and GitHub.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", self.topology.cloud_url()),
            ("AWS_ACCESS_KEY_ID", "lab".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "lab".to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("GITHUB_API_URL", self.topology.github_url()),
            ("GITHUB_SERVER_URL", self.topology.github_url()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Its cloud.
    #[must_use]
    pub fn cloud(&self) -> Cloud {
        Cloud::new(self.http.clone(), self.topology.cloud_url())
    }

    /// Its GitHub.
    #[must_use]
    pub fn github(&self) -> github::Client {
        github::Client::new(self.http.clone(), self.topology.github_url())
    }

    /// Its hosts, by address.
    ///
    /// # Errors
    /// When Docker or the cloud does not answer.
    pub fn hosts(&self) -> Result<Vec<Host>> {
        let names = self.cloud().host_names()?;
        host::list(&self.topology, &names)
    }

    /// The host that `word` means: by its name, its instance id or its address.
    ///
    /// # Errors
    /// When there is none.
    pub fn host(&self, word: &str) -> Result<Host> {
        let hosts = self.hosts()?;
        let known: Vec<String> =
            hosts.iter().map(|host| host.name.as_ref().unwrap_or(&host.instance).clone()).collect();
        hosts.into_iter().find(|host| host.is(word)).with_context(|| {
            if known.is_empty() {
                format!("there is no host `{word}`: the lab has no hosts yet")
            } else {
                format!("there is no host `{word}`: the hosts are {}", known.join(", "))
            }
        })
    }

    /// GET of an address in the lab.
    ///
    /// # Errors
    /// When there is no answer; any status is one.
    pub fn http_get(&self, url: &str) -> Result<Answer> {
        self.http.get(url)
    }

    /// A command that shows the log of one of its parts.
    #[must_use]
    pub fn logs(&self, part: Part) -> Command {
        docker::command(&["logs", &self.topology.container(part)])
    }

    /// A folder for files that go with this lab; `down` removes it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(&self) -> Result<PathBuf> {
        let folder = folder(&self.topology.name);
        std::fs::create_dir_all(&folder).with_context(|| format!("making the folder `{}`", folder.display()))?;
        Ok(folder)
    }
}

fn folder(name: &Name) -> PathBuf {
    target_folder().join("lab").join(name.to_string())
}
