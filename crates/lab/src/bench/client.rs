//! A `docker` client that builds by the engine's own BuildKit, as skipper does: the same engine, the same builder.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::docker::{docker, last_lines};
use crate::lab::Lab;

/// The client, and the folder it was put into where this machine's own could not be used.
pub(super) struct Client {
    program: PathBuf,
    folder: Option<TempDir>,
    version: String,
}

impl Client {
    /// This machine's `docker` where it has `buildx`, without which newer clients do not build by BuildKit; else that of
    /// the lab's hosts, which needs none.
    pub(super) fn find(lab: &Lab) -> Result<Self> {
        let buildx = Command::new("docker").args(["buildx", "version"]).output().context("starting `docker`")?;
        let (program, folder) = if buildx.status.success() {
            (PathBuf::from("docker"), None)
        } else {
            let folder = tempfile::tempdir().context("making a folder for the `docker` client")?;
            let program = folder.path().join("docker");
            copy_from_image(&lab.host_image()?, "/usr/bin/docker", &program)?;
            (program, Some(folder))
        };
        let mut client = Self { program, folder, version: String::new() };
        client.version = client.run(&["version", "--format", "{{.Client.Version}}"])?;
        Ok(client)
    }

    /// One sentence: which client, and which builder.
    pub(super) fn describe(&self) -> String {
        format!(
            "`docker` {} with `DOCKER_BUILDKIT=1`, the engine's own BuildKit, which skipper builds with, too",
            self.version
        )
    }

    /// The search path on which this client comes first.
    pub(super) fn search_path(&self) -> OsString {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = self.folder.iter().map(|folder| folder.path().to_owned()).chain(std::env::split_paths(&path));
        std::env::join_paths(folders).unwrap_or(path)
    }

    /// Builds what is in `context`, and pushes it.
    pub(super) fn build_and_push(&self, image: &str, context: &Path) -> Result<()> {
        self.run(&["build", "--quiet", "--tag", image, &context.display().to_string()])?;
        self.run(&["push", "--quiet", image])?;
        Ok(())
    }

    fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.program)
            .args(arguments)
            .env("DOCKER_BUILDKIT", "1")
            .stdin(Stdio::null())
            .output()
            .context("starting `docker`")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`docker {}` failed: {}", arguments.join(" "), last_lines(&said, 20));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

fn copy_from_image(image: &str, file: &str, to: &Path) -> Result<()> {
    let container = docker(&["create", image])?;
    let copied = docker(&["cp", &format!("{container}:{file}"), &to.display().to_string()]);
    docker(&["rm", &container])?;
    copied.map(drop)
}
