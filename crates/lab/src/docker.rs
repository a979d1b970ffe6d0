//! The Docker engine, by its command line: there with every engine, and its messages are the ones people know.

use std::io::{ErrorKind, Write};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, anyhow, bail};

/// What works for those who have no Docker.
const WITHOUT: &str = "`cargo test -p skipper-core -p skipper-deploy` works without Docker";

/// Fails early, and helpfully, where the engine cannot be used.
pub(crate) fn check() -> Result<()> {
    let platform = attempt(&["version", "--format", "{{.Server.Os}}/{{.Server.Arch}}"], None)?;
    if !platform.status.success() {
        bail!(
            "the lab cannot reach the Docker engine: {}\nhint: start it, or see that this user may use it (group `docker`); {WITHOUT}",
            String::from_utf8_lossy(&platform.stderr).trim()
        );
    }
    let platform = String::from_utf8_lossy(&platform.stdout).trim().to_owned();
    if platform != "linux/amd64" {
        bail!(
            "the lab needs a Docker engine on linux/amd64, and this one is on {platform} (fleet was built for amd64 alone)\nhint: {WITHOUT}"
        );
    }
    Ok(())
}

/// Runs `docker` with `arguments` and returns what it printed, without the white space at its ends.
pub(crate) fn docker(arguments: &[&str]) -> Result<String> {
    finished(arguments, attempt(arguments, None)?)
}

/// The same, with `input` on its standard input.
pub(crate) fn docker_with_input(arguments: &[&str], input: &[u8]) -> Result<String> {
    finished(arguments, attempt(arguments, Some(input))?)
}

/// Whether `docker` with `arguments` ends well; for questions such as `image inspect`.
pub(crate) fn succeeds(arguments: &[&str]) -> Result<bool> {
    Ok(attempt(arguments, None)?.status.success())
}

/// The engine's socket on its machine.
pub(crate) fn socket() -> String {
    std::env::var("DOCKER_HOST")
        .ok()
        .and_then(|host| host.strip_prefix("unix://").map(str::to_owned))
        .unwrap_or_else(|| "/var/run/docker.sock".to_owned())
}

/// The lines that `docker` with `arguments` prints.
pub(crate) fn lines(arguments: &[&str]) -> Result<Vec<String>> {
    Ok(docker(arguments)?.lines().map(str::to_owned).collect())
}

/// A `docker` command to be started by the caller.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(arguments);
    command
}

/// Runs `docker` to its end, whatever that is.
pub(crate) fn attempt(arguments: &[&str], input: Option<&[u8]>) -> Result<Output> {
    let mut child = command(arguments)
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow!(
                "the lab needs Docker, and there is no `docker` on the PATH\nhint: install Docker Engine (package `docker.io` on Debian and Ubuntu, or https://docs.docker.com/engine/install/); {WITHOUT}"
            ),
            _ => anyhow!(error).context("starting `docker`"),
        })?;
    std::thread::scope(|scope| {
        if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
            // A child that ends before it has read everything says why itself.
            scope.spawn(move || pipe.write_all(input));
        }
        child.wait_with_output().context("waiting for `docker`")
    })
}

fn finished(arguments: &[&str], output: Output) -> Result<String> {
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`docker {}` failed: {}", arguments.join(" "), last_lines(&said, 20));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The end of a long text, which is where builds and logs say what went wrong.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
