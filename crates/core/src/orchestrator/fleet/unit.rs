//! A replica as a fleet unit: immutable, global, and named by its contents.

use std::collections::BTreeSet;

use super::quote::{systemd_unword, systemd_word};
use crate::{
    config::{Logging, SecretTarget, Volume},
    desired::{Binding, PinnedSecret, ReplicaSpec, SECRETS, Scope, SecretVersion},
    image::{PinnedImage, hex_digest},
    name::{HostName, ReplicaName},
    observed::Handle,
    orchestrator::Probe,
};

/// fleet refuses unit files with a line of this many bytes or more ("line too long (max 2048 bytes)", go-systemd's `SYSTEMD_LINE_MAX`).
const LINE_LIMIT: usize = 2048;

/// Seconds that systemd waits beyond a replica's own grace before it kills what is left of it.
const STOP_MARGIN_SECONDS: u32 = 20;

/// The label that carries how a replica is probed, so that whoever finds the container can ask it the same.
const PROBE_LABEL: &str = "skipper.probe";

/// Where hosts keep the hosts file of each scope.
const HOSTS_FILES: &str = "/var/lib/skipper/hosts";

/// A unit file, and what can be read back from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its name, `<project>-<environment>-<replica>-<8 hex digits of its contents>.service`.
    pub handle: Handle,
    /// The replica it runs.
    pub replica: ReplicaName,
    /// The only host that will run it.
    pub host: HostName,
    /// What it runs.
    pub image: PinnedImage,
    /// Its published ports, in the order of the file.
    pub bindings: Vec<Binding>,
    /// The secrets that it is given.
    pub secrets: BTreeSet<SecretVersion>,
    /// How it is probed.
    pub probe: Probe,
    /// The unit file.
    pub text: String,
}

impl Unit {
    /// Writes the unit of a replica. Equal specs give equal units; the revision is no part of it, so that an image that did
    /// not change runs on through any number of commits.
    pub fn new(scope: &Scope, spec: &ReplicaSpec) -> Self {
        let probe = Probe::from(&spec.service.healthcheck);
        let words = words(scope, spec, &probe);
        let name = name(scope, spec, &words);
        Self {
            text: render(scope, spec, &words, &name),
            handle: Handle(format!("{name}.service")),
            replica: spec.replica.clone(),
            host: spec.host.clone(),
            image: spec.service.image.clone(),
            bindings: spec.bindings.clone(),
            secrets: spec.service.secrets.iter().map(|pinned| pinned.secret.clone()).collect(),
            probe,
        }
    }

    /// The name of the unit that [`Unit::new`] writes, for those who need no more of it.
    pub fn handle_of(scope: &Scope, spec: &ReplicaSpec) -> Handle {
        let words = words(scope, spec, &Probe::from(&spec.service.healthcheck));
        Handle(format!("{}.service", name(scope, spec, &words)))
    }

    /// Reads a unit that [`Unit::new`] wrote; nothing for any other text.
    pub fn read(handle: Handle, text: &str) -> Option<Self> {
        let description = text.lines().find_map(|line| line.strip_prefix("Description="))?;
        let (replica, rest) = description.split_once(" on ")?;
        let (host, _) = rest.split_once(" of ")?;
        let words = || text.lines().filter_map(|line| line.strip_prefix("  ")).map(|line| line.trim_end_matches(" \\"));
        let bindings =
            words().filter_map(|word| word.strip_prefix("--publish ")).map(read_binding).collect::<Option<_>>()?;
        let probe = words().filter_map(|word| word.strip_prefix("--label ")).find_map(read_probe)?;
        let secrets = words()
            .filter_map(|word| word.strip_prefix("--secret "))
            .map(|word| word.rsplit('=').next().unwrap_or(word).parse().ok())
            .collect::<Option<_>>()?;
        let image = words().find(|word| !word.starts_with(['-', '"', '/']))?;
        Some(Self {
            handle,
            replica: replica.parse().ok()?,
            host: host.parse().ok()?,
            image: image.parse().ok()?,
            bindings,
            secrets,
            probe: probe.parse().ok()?,
            text: text.to_owned(),
        })
    }

    /// The first line that fleet would refuse, by its beginning.
    pub fn too_long(&self) -> Option<&str> {
        let line = self.text.lines().find(|line| line.len() >= LINE_LIMIT)?;
        let end = (0..=60).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
        Some(line[..end].trim_start())
    }
}

/// A published port, `HOST:CONTAINER`.
pub(super) fn read_binding(word: &str) -> Option<Binding> {
    let (host, container) = word.split_once(':')?;
    Some(Binding { host: host.parse().ok()?, container: container.parse().ok()? })
}

/// The text of a probe from a quoted label, when it is that label.
pub(super) fn read_probe(label: &str) -> Option<String> {
    let label = systemd_unword(label)?;
    Some(label.strip_prefix(PROBE_LABEL)?.strip_prefix('=')?.to_owned())
}

/// The unit's name without its suffix; the hash is of its contents under a name without one.
fn name(scope: &Scope, spec: &ReplicaSpec, words: &str) -> String {
    let stem = format!("{}-{}", scope.stem(), spec.replica);
    let hash = hex_digest(render(scope, spec, words, &stem).as_bytes());
    format!("{stem}-{}", &hash[..8])
}

/// What the command line says after the container's name. One word a line: no line gets long by the number of words, and a
/// shell can pick one out with `sed`.
fn words(scope: &Scope, spec: &ReplicaSpec, probe: &Probe) -> String {
    let ReplicaSpec { replica, bindings, service, .. } = spec;
    let mut words = String::with_capacity(1024);
    let mut word = |option: &str, word: &str| {
        for part in [" \\\n  ", option, word] {
            words.push_str(part);
        }
    };
    let labels = [
        ("skipper.project", scope.project.to_string()),
        ("skipper.environment", scope.environment.to_string()),
        ("skipper.service", replica.service.to_string()),
        ("skipper.replica", replica.to_string()),
        (PROBE_LABEL, probe.to_string()),
    ];
    for (label, value) in &labels {
        word("--label ", &systemd_word(&format!("{label}={value}")));
    }
    if service.has_links {
        // One file for all containers of the scope on a host, so it cannot hold the name that Docker would make up. Without the
        // file Docker refuses, where for a volume it would make a folder.
        word("--hostname ", &replica.to_string());
        word("--mount ", &format!("type=bind,source={HOSTS_FILES}/{scope},target=/etc/hosts,readonly"));
    }
    for binding in bindings {
        word("--publish ", &format!("{}:{}", binding.host, binding.container));
    }
    for (variable, value) in &service.env {
        word("--env ", &systemd_word(&format!("{variable}={value}")));
    }
    for PinnedSecret { secret, target } in &service.secrets {
        match target {
            // Without a value: the engine's client takes it from its own environment, where no list of processes shows it.
            SecretTarget::Env(variable) => word("--env ", variable.as_ref()),
            SecretTarget::File(path) => {
                let source =
                    format!("/run/skipper/secrets{}/{}.{}", secrets_folder(scope), secret.name, secret.version);
                word("--mount ", &format!("type=bind,source={source},target={path},readonly"));
            }
        }
    }
    for Volume { name, path, read_only } in &service.volumes {
        let source = scope.volume(name.as_ref());
        let access = if *read_only { ",readonly" } else { "" };
        word("--mount ", &format!("type=volume,source={source},target={path}{access}"));
    }
    if let Some(Logging { driver, options }) = &service.logging {
        word("--log-driver ", &systemd_word(driver));
        for (option, value) in options {
            word("--log-opt ", &systemd_word(&format!("{option}={value}")));
        }
    }
    word("", &service.image.to_string());
    for argument in &service.command {
        word("", &systemd_word(argument));
    }
    words
}

/// Where the parameters of an environment's secrets are, which is where a host keeps them below a folder of its own.
fn secrets_folder(scope: &Scope) -> String {
    format!("{}/{SECRETS}", scope.path())
}

/// What stands before the engine's client where a replica has secrets: the names and versions, never a value.
fn with_secrets(scope: &Scope, secrets: &[PinnedSecret]) -> String {
    if secrets.is_empty() {
        return String::new();
    }
    let mut words = format!("/opt/skipper/with-secrets {}", secrets_folder(scope));
    for PinnedSecret { secret, target } in secrets {
        words.push_str(" \\\n  --secret ");
        if let SecretTarget::Env(variable) = target {
            words.push_str(&format!("{variable}="));
        }
        words.push_str(&secret.to_string());
    }
    words.push_str(" \\\n  ");
    words
}

fn render(scope: &Scope, spec: &ReplicaSpec, words: &str, name: &str) -> String {
    let ReplicaSpec { replica, host, service, .. } = spec;
    let with_secrets = with_secrets(scope, &service.secrets);
    let grace = service.stop_grace_seconds;
    let stop_seconds = grace.saturating_add(STOP_MARGIN_SECONDS);
    // A restarted Docker must not take the unit with it for good, so docker.service is wanted, never required.
    // Starting is tried for ever: systemd's own limit would leave a replica dead that fleet believes to be launched.
    // 143 is how a container that obeys SIGTERM ends.
    format!(
        "\
[Unit]
Description={replica} on {host} of {project}/{environment}
Wants=docker.service
After=docker.service
StartLimitIntervalSec=0

[Service]
Restart=always
RestartSec=2
SuccessExitStatus=143
TimeoutStartSec=60
TimeoutStopSec={stop_seconds}
ExecStartPre=-/usr/bin/docker rm -f {name}
ExecStart={with_secrets}/usr/bin/docker run --rm --name {name}{words}
ExecStop=-/usr/bin/docker stop -t {grace} {name}

[X-Fleet]
Global=true
MachineMetadata=host={host}
",
        project = scope.project,
        environment = scope.environment,
    )
}
