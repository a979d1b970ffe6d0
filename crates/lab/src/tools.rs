//! Tools that look at what is no Rust: workflows, actions, Dockerfiles, schemas; and `act`, which runs a workflow.
//!
//! They are pinned with their hashes and run in a container, so that whoever has Rust and Docker has all of them.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::clock::Clock;
use crate::docker;
use crate::images;

/// The image with the tools (`images/tools`).
#[derive(Debug, Clone)]
pub struct Tools {
    image: String,
}

impl Tools {
    /// The image, built when it is missing.
    ///
    /// # Errors
    /// When Docker is missing or the image cannot be built.
    pub fn get(clock: &Clock) -> Result<Self> {
        docker::check()?;
        Ok(Self { image: images::one(clock, "tools")? })
    }

    /// A command that runs `tool` in `folder`, which it can only read, without a network.
    #[must_use]
    pub fn command(&self, folder: &Path, tool: &str) -> Command {
        let mount = format!("{}:/checkout:ro", folder.display());
        docker::command(&[
            "run",
            "--rm",
            "--network",
            "none",
            "--volume",
            &mount,
            "--workdir",
            "/checkout",
            "--env",
            "NO_COLOR=1",
            &self.image,
            tool,
        ])
    }

    /// A command that runs a workflow of `checkout`, which it can only read, on this machine's engine and network. Jobs run
    /// in the lab's base image, whatever runner of GitHub's they ask for.
    ///
    /// It is not the runner: HOME is `/root`, a post step gets no state, and a cancelled one is killed at once.
    #[must_use]
    pub fn act(&self, checkout: &Path) -> Command {
        let checkout = format!("{}:/checkout:ro", checkout.display());
        let socket = format!("{}:/var/run/docker.sock", docker::socket());
        let mut command = docker::command(&["run", "--rm", "--network", "host", "--workdir", "/checkout"]);
        command.args(["--volume", &socket, "--volume", &checkout, &self.image, "act"]);
        for runner in ["ubuntu-24.04", "ubuntu-latest"] {
            command.args(["--platform", &format!("{runner}={}", images::BASE)]);
        }
        command.args(["--pull=false", "--rm"]);
        command
    }
}
