//! The action's image, built as CI builds it: from the Dockerfile at the root, and what a script puts beside it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::binaries::workspace;
use crate::docker::{self, docker};

/// An image of the action, gone when dropped.
#[derive(Debug)]
pub struct ActionImage {
    name: String,
}

impl ActionImage {
    /// The image of `program`, a static skipper.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn build(program: &Path) -> Result<Self> {
        let folder = tempfile::tempdir().context("making a folder to build in")?;
        lay_out(program, folder.path())?;
        let name = format!("skipper-lab/action:{}", std::process::id());
        docker(&["build", "--quiet", "--tag", &name, &folder.path().display().to_string()])?;
        Ok(Self { name })
    }

    /// Its name and tag.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What `docker save` writes of it.
    pub(crate) fn archive(&self) -> Result<Vec<u8>> {
        let output = docker::attempt(&["save", &self.name], None)?;
        if !output.status.success() {
            bail!("saving the action's image failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(output.stdout)
    }
}

impl Drop for ActionImage {
    fn drop(&mut self) {
        // A container that still has it is some other trouble.
        let _ = docker::succeeds(&["rmi", &self.name]);
    }
}

/// Puts into `folder` what the action's image is built from, with `program` as its skipper.
///
/// # Errors
/// When something cannot be copied.
pub fn lay_out(program: &Path, folder: &Path) -> Result<()> {
    for file in ["Dockerfile", ".dockerignore"] {
        fs::copy(workspace().join(file), folder.join(file)).with_context(|| format!("copying `{file}`"))?;
    }
    let script = workspace().join(".github/scripts/dist.sh");
    let mut command = Command::new(&script);
    command.arg(program).args(std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()));
    let output = command.current_dir(folder).output().with_context(|| format!("starting `{}`", script.display()))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", script.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
