//! A host whose root is a folder, and what scripts are about.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use skipper_core::{
    config::{Architecture, Check, FleetArchive, Healthcheck},
    desired::{Binding, DesiredService, ReplicaSpec, Scope},
    image::{PinnedImage, hex_digest},
    observed::{Handle, HostReport, InstanceId},
    orchestrator::{
        Cluster, ClusterHost, HostError, HostErrorKind, Orchestrator as _, RegistryLogin, Start, StartOutcome, Started,
        Supplies,
        fleet::{Fleet, Unit},
    },
    script::{RESULT_LIMIT, Script},
};
use tempfile::TempDir;

/// A host whose root is a folder, and whose fleet, Docker, systemd and network are fakes that keep their state in `world/`.
pub(crate) struct Host {
    pub(crate) root: TempDir,
}

impl Host {
    /// As it is after its first boot.
    pub(crate) fn fresh() -> Self {
        let host = Self { root: TempDir::new().unwrap() };
        let commands = host.path("opt/bin");
        for folder in ["opt/bin", "run/skipper", "world", "etc"] {
            fs::create_dir_all(host.path(folder)).unwrap();
        }
        for command in ["docker", "systemctl", "systemd-run", "curl", "journalctl"] {
            std::os::unix::fs::symlink(fakes().join(command), commands.join(command)).unwrap();
        }
        host.write("run/skipper/instance", "i-1");
        host.write("etc/machine-id", "ffff0000ffff0000ffff0000ffff0000\n");
        host
    }

    /// As it is after `configure`.
    pub(crate) fn configured() -> Self {
        let host = Self::fresh();
        std::os::unix::fs::symlink(fakes().join("fleetctl"), host.path("opt/bin/fleetctl")).unwrap();
        host.write("etc/skipper/configuration", "0123456789ab\n");
        host
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    pub(crate) fn run(&self, script: &Script) -> String {
        let output =
            Command::new("sh").arg("-c").arg(script.text()).env("SKIPPER_ROOT", self.root.path()).output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(stdout.starts_with("skipper-result:"), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
        assert!(
            fs::read_dir(self.path("run/skipper")).unwrap().all(|entry| !entry
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with("work"))
        );
        stdout
    }

    pub(crate) fn observe(&self) -> Result<HostReport, HostError> {
        Fleet.read_observation(&self.run(&Fleet.observe(&scope())))
    }

    pub(crate) fn start(&self, starts: Vec<Start>) -> Vec<Started> {
        let output = self.run(&Fleet.start(&scope(), &on_this_host(starts)));
        assert!(output.split(":end").next().unwrap().len() + 5 <= RESULT_LIMIT);
        Fleet.read_started(&output).unwrap()
    }

    pub(crate) fn remove(&self, handles: &[&Handle]) -> Result<(), HostError> {
        self.remove_and(handles, false)
    }

    pub(crate) fn remove_and(&self, handles: &[&Handle], ends: bool) -> Result<(), HostError> {
        Fleet.read_done(&self.run(&Fleet.remove(
            &scope(),
            &on_this_host(handles.iter().map(|handle| (*handle).clone()).collect()),
            ends,
        )))
    }

    pub(crate) fn pull(&self, images: &[PinnedImage]) -> Result<(), HostError> {
        self.supply(Supplies { images: images.to_vec(), ..Supplies::default() }, &[])
    }

    pub(crate) fn supply(&self, supplies: Supplies, logins: &[RegistryLogin]) -> Result<(), HostError> {
        let supplies = [(InstanceId("i-1".to_owned()), supplies)].into();
        Fleet.read_done(&self.run(&Fleet.pull(&scope(), &supplies, logins)))
    }

    /// Keeps a value in Parameter Store, as a version of a parameter below the environment's path.
    pub(crate) fn keep(&self, parameter: &str, version: u64, value: &str) {
        self.write("world/role", "skipper-host");
        self.write(&format!("world/parameters/skipper/demo/production/{parameter}:{version}"), value);
    }

    pub(crate) fn configure(&self, cluster: &Cluster) -> Result<(), HostError> {
        Fleet.read_done(&self.run(&Fleet.configure(cluster)))
    }

    pub(crate) fn hold(&self, cluster: &Cluster) -> Result<(), HostError> {
        Fleet.read_done(&self.run(&Fleet.hold(cluster)))
    }

    pub(crate) fn restore(&self, cluster: &Cluster) -> Result<(), HostError> {
        Fleet.read_done(&self.run(&Fleet.restore(cluster)))
    }

    pub(crate) fn join(&self, cluster: &Cluster) -> Result<(), HostError> {
        Fleet.read_done(&self.run(&Fleet.join(cluster)))
    }

    pub(crate) fn leave(&self, cluster: &Cluster, address: &str) -> Result<(), HostError> {
        Fleet.read_done(&self.run(&Fleet.leave(cluster, address)))
    }

    /// Puts an archive with a working fleetctl where the host fetches it, and returns its SHA-256.
    pub(crate) fn publish_archive(&self) -> String {
        let folder = self.path("world/fleet-v1.0.0-linux-amd64");
        fs::create_dir_all(&folder).unwrap();
        fs::copy(fakes().join("fleetctl"), folder.join("fleetctl")).unwrap();
        fs::write(folder.join("fleetd"), "#!/bin/sh\n").unwrap();
        let archive = self.path("world/archive");
        let tar = Command::new("tar")
            .arg("-czf")
            .arg(&archive)
            .arg("-C")
            .arg(self.path("world"))
            .arg("fleet-v1.0.0-linux-amd64")
            .status();
        assert!(tar.unwrap().success());
        hex_digest(&fs::read(archive).unwrap())
    }

    /// How often a command was called with these first words.
    pub(crate) fn calls(&self, words: &str) -> usize {
        self.read("world/calls").lines().filter(|line| line.starts_with(words)).count()
    }
}

pub(crate) fn fakes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fakes")
}

pub(crate) fn on_this_host<T>(items: Vec<T>) -> BTreeMap<InstanceId, Vec<T>> {
    [(InstanceId("i-1".to_owned()), items)].into()
}

pub(crate) fn supplies(images: Vec<PinnedImage>) -> BTreeMap<InstanceId, Supplies> {
    [(InstanceId("i-1".to_owned()), Supplies { images, ..Supplies::default() })].into()
}

pub(crate) fn scope() -> Scope {
    Scope { project: "demo".parse().unwrap(), environment: "production".parse().unwrap() }
}

pub(crate) fn image(byte: &str) -> PinnedImage {
    format!("ghcr.io/acme/web@sha256:{}", byte.repeat(32)).parse().unwrap()
}

pub(crate) fn spec(replica: &str, byte: &str) -> ReplicaSpec {
    ReplicaSpec {
        replica: replica.parse().unwrap(),
        host: "web_1".parse().unwrap(),
        bindings: vec![Binding { host: 80, container: 5000 }],
        service: DesiredService {
            image: image(byte),
            scale: 1,
            ports: Vec::new(),
            env: BTreeMap::new(),
            secrets: Vec::new(),
            command: Vec::new(),
            logging: None,
            healthcheck: Healthcheck {
                check: Check::Http { port: 5000, path: "/up".to_owned() },
                interval: Duration::from_millis(20),
                timeout: Duration::from_secs(1),
                retries: 2,
                start_period: Duration::ZERO,
            },
            stop_grace_seconds: 1,
            has_links: false,
            volumes: Vec::new(),
        },
    }
}

pub(crate) fn start(spec: &ReplicaSpec) -> Start {
    let Unit { handle, probe, .. } = Unit::new(&scope(), spec);
    Start { replica: spec.replica.clone(), handle, spec: Some(spec.clone()), probe, stop_before: None }
}

pub(crate) fn cluster(sha256: Option<String>) -> Cluster {
    let host = |n: u8| ClusterHost {
        host: format!("web_{n}").parse().unwrap(),
        instance: InstanceId(format!("i-{n}")),
        private_address: format!("10.0.0.{n}"),
        architecture: Architecture::Amd64,
    };
    Cluster {
        scope: scope(),
        hosts: vec![host(1), host(2)],
        members: vec!["web_1".parse().unwrap()],
        founding: true,
        archives: archives(sha256),
    }
}

/// The archive that hosts publish, for their own kind of processor.
pub(crate) fn archives(sha256: Option<String>) -> BTreeMap<Architecture, FleetArchive> {
    [(Architecture::Amd64, FleetArchive { url: "https://example.com/archive".to_owned(), sha256 })].into()
}

pub(crate) fn why(started: &Started) -> &str {
    match &started.outcome {
        StartOutcome::Failed { why, .. } => why,
        StartOutcome::Healthy => panic!("it is healthy"),
    }
}

pub(crate) fn said(result: Result<(), HostError>) -> (HostErrorKind, String) {
    match result {
        Err(HostError::Said { kind, what }) => (kind, what),
        other => panic!("{other:?}"),
    }
}
