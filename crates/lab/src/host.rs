//! The hosts that the cloud has started: containers that are machines to skipper.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::docker::{attempt, command, lines};
use crate::topology::Topology;

/// A host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The EC2 instance id.
    pub instance: String,
    /// The container.
    pub container: String,
    /// Its address, public and private in one; empty while it is stopped.
    pub address: String,
    /// The name that skipper has given it, such as `web_1`; `None` before it did.
    pub name: Option<String>,
    /// Docker's state of the container: `running`, `exited` and so on.
    pub state: String,
}

/// How a script on a host ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Ran {
    /// The standard output, when the script ended well.
    ///
    /// # Errors
    /// When it did not.
    pub fn success(self) -> Result<String> {
        if self.code != Some(0) {
            let code = self.code.map_or("a signal".to_owned(), |code| format!("code {code}"));
            bail!("the script ended with {code}: {}{}", self.stdout, self.stderr);
        }
        Ok(self.stdout)
    }
}

impl Host {
    /// Runs `script` as root by `sh` on the host.
    ///
    /// # Errors
    /// When Docker cannot run anything on it; a failing script is none.
    pub fn exec(&self, script: &str) -> Result<Ran> {
        let output = attempt(&["exec", "-i", &self.container, "sh", "-s"], Some(script.as_bytes()))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) })
    }

    /// A command that opens a shell on the host, or runs what standard input says where that is no terminal.
    #[must_use]
    pub fn shell(&self) -> Command {
        let mode = if std::io::stdin().is_terminal() { "-it" } else { "-i" };
        command(&["exec", mode, &self.container, "bash", "-l"])
    }

    /// A command that shows the host's journal.
    #[must_use]
    pub fn journal(&self) -> Command {
        command(&["exec", &self.container, "journalctl", "--no-pager"])
    }

    /// Whether `word` means this host: its name, its instance id or its address.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.name.as_deref() == Some(word) || self.instance == word || self.address == word
    }
}

/// The hosts of a lab, by address.
pub(crate) fn list(lab: &Topology, names: &BTreeMap<String, String>) -> Result<Vec<Host>> {
    let prefix = format!("{}-", lab.network());
    let format = "{{.Names}} {{.State}}";
    let mut hosts = Vec::new();
    for line in lines(&["ps", "--all", "--filter", &lab.name.filter(), "--format", format])? {
        let (container, state) = line.split_once(' ').with_context(|| format!("reading the container `{line}`"))?;
        let Some(instance) = container.strip_prefix(&prefix).filter(|name| name.starts_with("i-")) else {
            continue;
        };
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        // One that was terminated may go between the two questions.
        let Ok(mut addresses) = lines(&["inspect", "--format", format, container]) else { continue };
        let address = addresses.pop().unwrap_or_default();
        hosts.push(Host {
            instance: instance.to_owned(),
            container: container.to_owned(),
            address,
            name: names.get(instance).cloned(),
            state: state.to_owned(),
        });
    }
    hosts.sort_by_key(|host| {
        let last = host.address.rsplit('.').next().unwrap_or_default();
        (last.parse::<u8>().unwrap_or(u8::MAX), host.instance.clone())
    });
    Ok(hosts)
}
