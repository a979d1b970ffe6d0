//! The `aws` command line, from PyPI, in a virtual environment that stays for the next time.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::binaries::target_folder;
use crate::docker::last_lines;
use crate::lab::{Lab, REGION};

/// An installed `aws`.
pub(super) struct AwsCli {
    folder: PathBuf,
}

impl AwsCli {
    pub(super) fn install() -> Result<Self> {
        let folder = target_folder().join("lab-aws");
        let cli = Self { folder };
        if !cli.folder.join("bin/aws").exists() {
            let folder = cli.folder.display().to_string();
            run(Command::new("python3").args(["-m", "venv", "--clear", &folder]))?;
            run(Command::new(cli.folder.join("bin/pip")).args(["install", "--quiet", "--no-input", "awscli"]))?;
        }
        Ok(cli)
    }

    /// The folder to put on the search path.
    pub(super) fn bin(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// `aws-cli/… Python/…`
    pub(super) fn version(&self) -> Result<String> {
        let said = run(Command::new(self.bin().join("aws")).arg("--version"))?;
        Ok(said.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
    }

    /// What `aws` needs in its environment to meet the lab: it does not read `AWS_REGION`, as newer SDKs do.
    pub(super) fn environment(lab: &Lab) -> Vec<(String, String)> {
        let mut environment = lab.environment();
        environment.push(("AWS_DEFAULT_REGION".to_owned(), REGION.to_owned()));
        environment
    }

    /// Terminates instances of the lab.
    pub(super) fn terminate(&self, lab: &Lab, instances: &[String]) -> Result<()> {
        let mut command = Command::new(self.bin().join("aws"));
        command.envs(Self::environment(lab)).args(["ec2", "terminate-instances", "--instance-ids"]).args(instances);
        run(&mut command).map(drop)
    }
}

fn run(command: &mut Command) -> Result<String> {
    let program = Path::new(command.get_program()).display().to_string();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting `{program}`, which the benchmark of the whole job needs"))?;
    if !output.status.success() {
        bail!("`{program}` failed: {}", last_lines(&String::from_utf8_lossy(&output.stderr), 20));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
