//! A copy of `examples/hello` that lives in the lab, under git.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::binaries::workspace;
use crate::folder::copy;
use crate::lab::Lab;

/// What the example's skipper.yml says in place of a registry.
const REGISTRY: &str = "registry.example.com";
/// The file and the words that the second commit changes.
pub(crate) const PAGE: &str = "web/site/index.html";
pub(crate) const GREETING: &str = "Hello from the first commit";
const NEXT_GREETING: &str = "Hello from the second commit";

/// A git repository with the example in it.
pub(crate) struct Project {
    folder: PathBuf,
}

impl Project {
    /// A fresh copy called `name`, with the lab's registry and fleet archive in its `skipper.yml`, nothing committed yet.
    pub(crate) fn make(lab: &Lab, name: &str) -> Result<Self> {
        let project = Self { folder: lab.folder()?.join(name) };
        if project.folder.exists() {
            fs::remove_dir_all(&project.folder).with_context(|| format!("removing `{}`", project.folder.display()))?;
        }
        copy(&workspace().join("examples/hello"), &project.folder)?;
        let (url, sha256) = lab.fleet();
        project.replace("skipper.yml", REGISTRY, &lab.topology().registry())?;
        project.replace("skipper.yml", "name: hello\n", &format!("name: {name}\n"))?;
        let config = project.folder.join("skipper.yml");
        let mut text = fs::read_to_string(&config).context("reading the project's `skipper.yml`")?;
        text.push_str(&format!("\nfleet:\n  url: {url}\n  sha256: {sha256}\n"));
        fs::write(&config, text).context("writing the project's `skipper.yml`")?;
        project.git(&["init", "--quiet"])?;
        Ok(project)
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Commits everything; the full SHA of the commit.
    pub(crate) fn commit(&self, subject: &str) -> Result<String> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", subject])?;
        self.head()
    }

    /// The full SHA of the last commit.
    pub(crate) fn head(&self) -> Result<String> {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Changes the text that the web service shows, and nothing else.
    pub(crate) fn change_greeting(&self) -> Result<()> {
        self.replace(PAGE, GREETING, NEXT_GREETING)
    }

    /// Replaces words of a file, which must be there.
    pub(crate) fn replace(&self, file: &str, from: &str, to: &str) -> Result<()> {
        let path = self.folder.join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))?;
        if !text.contains(from) {
            bail!("`{}` does not say `{from}`, which is to be replaced", path.display());
        }
        fs::write(&path, text.replace(from, to)).with_context(|| format!("writing `{}`", path.display()))
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("git")
            .args(["-c", "user.name=Octo Cat", "-c", "user.email=octocat@example.com"])
            // What this machine's user has configured does not matter here.
            .args(["-c", "commit.gpgsign=false", "-c", "init.defaultBranch=main"])
            .args(["-c", "core.hooksPath=/dev/null"])
            .args(arguments)
            .current_dir(&self.folder)
            .output()
            .context("starting `git`, which this needs")?;
        if !output.status.success() {
            bail!("`git {}` failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}
