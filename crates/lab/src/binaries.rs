//! The workspace's own programs, fresh from the compiler.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Where the programs are.
#[derive(Debug)]
pub(crate) struct Binaries {
    /// The lab's fleet, one program with two names.
    pub(crate) fleet: PathBuf,
    /// The lab's own: GitHub, and the guard.
    pub(crate) lab: PathBuf,
    /// skipper itself, for those who asked for it.
    pub(crate) skipper: Option<PathBuf>,
}

/// The line of cargo's output that this module reads; `cargo build --message-format=json` documents it.
#[derive(Deserialize)]
struct Message {
    reason: String,
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

impl Binaries {
    /// Has cargo build what is not fresh, its progress shown. No package is named: with all default members selected,
    /// features are unified as in `cargo test`, and the large crates are compiled once for both.
    pub(crate) fn build(with_skipper: bool) -> Result<Self> {
        let mut built = build(
            &["--bin", "skipper-lab", "--bin", "fleet-standin"]
                .into_iter()
                .chain(with_skipper.then_some(["--bin", "skipper"]).into_iter().flatten())
                .collect::<Vec<_>>(),
        )?;
        let mut take =
            |name: &str| built.remove(name).with_context(|| format!("`cargo build` named no program `{name}`"));
        Ok(Self {
            fleet: take("fleet-standin")?,
            lab: take("skipper-lab")?,
            skipper: with_skipper.then(|| take("skipper")).transpose()?,
        })
    }
}

/// The program `name`, optimised as it is released; `what` selects it for `cargo build`.
pub(crate) fn release(what: &[&str], name: &str) -> Result<PathBuf> {
    let arguments: Vec<&str> = ["--release"].into_iter().chain(what.iter().copied()).collect();
    build(&arguments)?.remove(name).with_context(|| format!("`cargo build` named no program `{name}`"))
}

/// Has cargo build what is not fresh, its progress shown; the programs, by name.
fn build(arguments: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .arg("build")
        .args(arguments)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(workspace())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("starting `cargo build`")?;
    if !output.status.success() {
        bail!("`cargo build` failed");
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact")
        .filter_map(|message| Some((message.target?.name, message.executable?)))
        .collect())
}

/// The root of the workspace this was compiled from.
pub(crate) fn workspace() -> &'static Path {
    let lab = Path::new(env!("CARGO_MANIFEST_DIR"));
    lab.ancestors().nth(2).unwrap_or(lab)
}

/// Where cargo, and so the lab, puts what can be made again.
pub(crate) fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}
