//! The host scripts as a host runs them: real text, a real shell, and small fakes of the commands they call, each with the
//! traps of the real one.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
#![expect(clippy::disallowed_methods, reason = "a host is a folder here, and its shell a process")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    time::Duration,
};

use proptest::{prelude::*, sample::Index};
use skipper_core::{
    config::{Check, Healthcheck},
    desired::{Binding, DesiredService, ReplicaSpec, Scope},
    image::{PinnedImage, hex_digest},
    observed::{Handle, Health, HostReport, InstanceId, OrchestratorState, ReplicaState},
    orchestrator::{
        Cluster, ClusterHost, HostError, HostErrorKind, Orchestrator as _, Start, StartOutcome, Started,
        fleet::{Fleet, Unit},
    },
    script::{RESULT_LIMIT, Script},
};
use tempfile::TempDir;

/// A host whose root is a folder, and whose fleet, Docker, systemd and network are fakes that keep their state in `world/`.
struct Host {
    root: TempDir,
}

impl Host {
    /// As it is after its first boot.
    fn fresh() -> Self {
        let host = Self { root: TempDir::new().unwrap() };
        let commands = host.path("opt/bin");
        for folder in ["opt/bin", "run/skipper", "world", "etc"] {
            fs::create_dir_all(host.path(folder)).unwrap();
        }
        for command in ["docker", "systemctl", "curl", "journalctl"] {
            std::os::unix::fs::symlink(fakes().join(command), commands.join(command)).unwrap();
        }
        host.write("run/skipper/instance", "i-1");
        host.write("etc/machine-id", "ffff0000ffff0000ffff0000ffff0000\n");
        host
    }

    /// As it is after `configure`.
    fn configured() -> Self {
        let host = Self::fresh();
        std::os::unix::fs::symlink(fakes().join("fleetctl"), host.path("opt/bin/fleetctl")).unwrap();
        host.write("etc/skipper/configuration", "0123456789ab\n");
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    fn run(&self, script: &Script) -> String {
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

    fn observe(&self) -> Result<HostReport, HostError> {
        self.observe_among(&[("i-1", "web_1"), ("i-2", "web_2")])
    }

    /// Asked when these are the hosts that EC2 describes.
    fn observe_among(&self, hosts: &[(&str, &str)]) -> Result<HostReport, HostError> {
        let hosts =
            hosts.iter().map(|(instance, host)| (InstanceId((*instance).to_owned()), host.parse().unwrap())).collect();
        Fleet.read_observation(&self.run(&Fleet.observe(&scope(), &hosts)))
    }

    fn start(&self, starts: Vec<Start>) -> Vec<Started> {
        let output = self.run(&Fleet.start(&scope(), &on_this_host(starts)));
        assert!(output.split(":end").next().unwrap().len() + 5 <= RESULT_LIMIT);
        Fleet.read_started(&output).unwrap()
    }

    fn remove(&self, handles: &[&Handle]) -> Result<(), HostError> {
        Fleet.read_done(
            &self.run(&Fleet.remove(&scope(), &on_this_host(handles.iter().map(|handle| (*handle).clone()).collect()))),
        )
    }

    fn pull(&self, images: &[PinnedImage]) -> Result<(), HostError> {
        Fleet.read_done(&self.run(&Fleet.pull(&on_this_host(images.to_vec()))))
    }

    fn configure(&self, cluster: &Cluster) -> Result<(), HostError> {
        Fleet.read_done(&self.run(&Fleet.configure(cluster)))
    }

    /// Puts an archive with a working fleetctl where the host fetches it, and returns its SHA-256.
    fn publish_archive(&self) -> String {
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
    fn calls(&self, words: &str) -> usize {
        self.read("world/calls").lines().filter(|line| line.starts_with(words)).count()
    }
}

fn fakes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fakes")
}

fn on_this_host<T>(items: Vec<T>) -> BTreeMap<InstanceId, Vec<T>> {
    [(InstanceId("i-1".to_owned()), items)].into()
}

fn scope() -> Scope {
    Scope { project: "demo".parse().unwrap(), environment: "production".parse().unwrap() }
}

fn image(byte: &str) -> PinnedImage {
    format!("ghcr.io/acme/web@sha256:{}", byte.repeat(32)).parse().unwrap()
}

fn spec(replica: &str, byte: &str) -> ReplicaSpec {
    ReplicaSpec {
        replica: replica.parse().unwrap(),
        host: "web_1".parse().unwrap(),
        bindings: vec![Binding { host: 80, container: 5000 }],
        service: DesiredService {
            image: image(byte),
            scale: 1,
            ports: Vec::new(),
            env: BTreeMap::new(),
            command: Vec::new(),
            healthcheck: Healthcheck {
                check: Check::Http { port: 5000, path: "/up".to_owned() },
                interval: Duration::from_millis(20),
                timeout: Duration::from_secs(1),
                retries: 2,
                start_period: Duration::ZERO,
            },
            stop_grace_seconds: 1,
        },
    }
}

fn start(spec: &ReplicaSpec) -> Start {
    let Unit { handle, probe, .. } = Unit::new(&scope(), spec);
    Start { replica: spec.replica.clone(), handle, spec: Some(spec.clone()), probe, stop_before: None }
}

fn cluster(sha256: Option<String>) -> Cluster {
    let host = |n: u8| ClusterHost {
        host: format!("web_{n}").parse().unwrap(),
        instance: InstanceId(format!("i-{n}")),
        private_address: format!("10.0.0.{n}"),
    };
    Cluster {
        scope: scope(),
        hosts: vec![host(1), host(2)],
        members: vec!["web_1".parse().unwrap()],
        archive: ("https://example.com/archive".to_owned(), sha256),
    }
}

fn why(started: &Started) -> &str {
    match &started.outcome {
        StartOutcome::Failed { why, .. } => why,
        StartOutcome::Healthy => panic!("it is healthy"),
    }
}

fn said(result: Result<(), HostError>) -> (HostErrorKind, String) {
    match result {
        Err(HostError::Said { kind, what }) => (kind, what),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_fresh_host_has_no_fleet_and_says_so() {
    let report = Host::fresh().observe().unwrap();
    assert_eq!(
        report,
        HostReport {
            configured: None,
            member: false,
            orchestrator: OrchestratorState::Absent,
            replicas: vec![],
            stray: vec![]
        }
    );
}

#[test]
fn a_host_is_configured_once_and_the_second_delivery_changes_nothing() {
    let host = Host::fresh();
    let cluster = cluster(Some(host.publish_archive()));
    assert_eq!(host.configure(&cluster), Ok(()));
    assert_eq!(host.read("etc/skipper/configuration").trim(), Fleet.configuration(&cluster));
    assert!(host.read("etc/fleet/fleet.conf").contains("metadata=\"group=web,host=web_1\""));
    let member = host.read("etc/systemd/system/etcd-member.service.d/20-skipper.conf");
    assert!(member.contains("ETCD_INITIAL_CLUSTER=web_1=http://10.0.0.1:2380\n"), "{member}");

    // What the fake noted down of the running fleetd is relative to the root.
    let noted = host.read("run/skipper/fleetd").replace("etc/", &format!("{}/etc/", host.root.path().display()));
    host.write("run/skipper/fleetd", &noted);
    assert_eq!(host.configure(&cluster), Ok(()));
    assert_eq!(host.calls("curl https://example.com/archive"), 1);
    assert_eq!(host.calls("systemctl kill"), 0);
    let report = host.observe().unwrap();
    assert_eq!((report.configured, report.member), (Some(Fleet.configuration(&cluster)), true));
}

#[test]
fn a_serving_fleetd_is_never_stopped_in_the_ordinary_way() {
    let host = Host::fresh();
    let cluster = cluster(Some(host.publish_archive()));
    host.configure(&cluster).unwrap();
    host.write("run/skipper/fleetd", "of another configuration\n");
    host.configure(&cluster).unwrap();
    assert_eq!(host.calls("systemctl kill --signal=KILL --kill-whom=main fleet.service"), 1);
    for purging in
        ["systemctl stop fleet", "systemctl restart fleet", "systemctl reload fleet", "systemctl try-restart fleet"]
    {
        assert_eq!(host.calls(purging), 0, "{purging}");
    }
}

#[test]
fn an_archive_with_another_hash_is_not_installed_and_both_hashes_are_told() {
    let host = Host::fresh();
    let found = host.publish_archive();
    let expected = "00".repeat(32);
    let (kind, what) = said(host.configure(&cluster(Some(expected.clone()))));
    assert_eq!(kind, HostErrorKind::ArchiveHash);
    assert!(what.contains(&found) && what.contains(&expected), "{what}");
    assert!(!host.path("opt/bin/fleetctl").exists());
}

#[test]
fn an_archive_that_is_not_there_is_told_by_its_address() {
    let (kind, what) = said(Host::fresh().configure(&cluster(None)));
    assert_eq!((kind, what.as_str()), (HostErrorKind::ArchiveMissing, "https://example.com/archive answered 404"));
}

#[test]
fn a_host_of_a_running_cluster_does_not_follow_other_members() {
    let host = Host::fresh();
    let mut cluster = cluster(Some(host.publish_archive()));
    host.configure(&cluster).unwrap();
    let before = host.read("etc/systemd/system/etcd-member.service.d/20-skipper.conf");
    cluster.hosts[0].private_address = "10.0.0.77".to_owned();
    let (_, what) = said(host.configure(&cluster));
    assert!(what.contains("members of a running cluster do not change"), "{what}");
    assert_eq!(host.read("etc/systemd/system/etcd-member.service.d/20-skipper.conf"), before);
}

#[test]
fn a_replica_is_registered_as_written_kept_on_record_and_healthy() {
    let host = Host::configured();
    let start = start(&spec("web_1", "0a"));
    let text = Unit::new(&scope(), start.spec.as_ref().unwrap()).text;
    let started = host.start(vec![start.clone()]);
    assert_eq!((&started[0].handle, &started[0].outcome), (&start.handle, &StartOutcome::Healthy));
    assert_eq!(host.read(&format!("world/registry/{}", start.handle)), text);
    assert_eq!(host.read(&format!("var/lib/skipper/units/{}", start.handle)), text);

    // Delivered twice, it is found as it should be.
    assert_eq!(host.start(vec![start])[0].outcome, StartOutcome::Healthy);
    assert_eq!((host.calls("fleetctl submit"), host.calls("fleetctl start")), (1, 1));
}

#[test]
fn replicas_of_one_host_start_side_by_side_and_one_that_fails_does_not_hide_the_others() {
    let host = Host::configured();
    let (good, mut bad) = (start(&spec("web_1", "0a")), start(&spec("web_2", "0b")));
    bad.spec = None;
    let started = host.start(vec![good, bad]);
    assert_eq!(started[0].outcome, StartOutcome::Healthy);
    assert_eq!(why(&started[1]), "fleet does not know it, and this host has no record of it");
}

#[test]
fn a_replica_that_does_not_answer_is_told_with_its_last_answer_and_its_journal() {
    let host = Host::configured();
    host.write("world/answers", "503");
    host.write("world/journal", "Error: No such container: demo\nlistening\ncannot reach the database\n");
    let started = host.start(vec![start(&spec("web_1", "0a"))]);
    assert_eq!(
        why(&started[0]),
        "GET /up on port 5000 answered 503; its unit is active (auto-restart), restarted 4 times"
    );
    let StartOutcome::Failed { journal, .. } = &started[0].outcome else { unreachable!() };
    assert_eq!(journal, &["listening", "cannot reach the database"]);
}

#[test]
fn a_long_journal_loses_lines_rather_than_the_result() {
    let host = Host::configured();
    host.write("world/answers", "503");
    let starts = [start(&spec("web_1", "0a")), start(&spec("web_2", "0b"))];
    for (seed, start) in starts.iter().enumerate() {
        // Lines that do not compress.
        let line = |n: usize| {
            (0..3).map(|part| hex_digest(&[seed, n, part].map(|byte| byte as u8))).collect::<String>() + "\n"
        };
        host.write(&format!("world/journal.{}", start.handle), &(0..40).map(line).collect::<String>());
    }
    let started = host.start(starts.into());
    assert_eq!(started.len(), 2);
    for started in &started {
        let StartOutcome::Failed { why, journal } = &started.outcome else { panic!("{started:?}") };
        assert!(why.contains("503") && (1..10).contains(&journal.len()), "{why} {}", journal.len());
    }
}

#[test]
fn a_text_that_fleet_silently_kept_is_noticed() {
    let host = Host::configured();
    let start = start(&spec("web_1", "0a"));
    host.write(&format!("world/registry/{}", start.handle), "[Service]\nExecStart=/bin/something-else\n");
    host.write(&format!("world/registry/{}.dstate", start.handle), "inactive");
    assert_eq!(why(&host.start(vec![start])[0]), "fleet keeps another text under this name");
}

#[test]
fn a_unit_that_fleet_refuses_with_exit_0_is_noticed() {
    let host = Host::configured();
    let mut spec = spec("web_1", "0a");
    spec.service.command.push("REFUSED".to_owned());
    let started = host.start(vec![start(&spec)]);
    assert_eq!(
        why(&started[0]),
        "fleet did not register it: Error: googleapi: Error 400: line too long (max 2048 bytes)"
    );
}

#[test]
fn a_unit_that_died_and_that_fleet_takes_for_launched_is_started_by_hand() {
    let host = Host::configured();
    let start = start(&spec("web_1", "0a"));
    host.start(vec![start.clone()]);
    fs::remove_file(host.path(&format!("world/containers/{}", start.handle.0.trim_end_matches(".service")))).unwrap();
    host.write(&format!("world/active/{}", start.handle), "failed");
    let again = Start { spec: None, ..start.clone() };
    assert_eq!(host.start(vec![again])[0].outcome, StartOutcome::Healthy);
    assert_eq!(host.calls(&format!("systemctl start --no-block {}", start.handle)), 1);
}

#[test]
fn with_stop_first_the_old_one_is_gone_before_the_new_one_starts() {
    let host = Host::configured();
    let old = start(&spec("web_1", "0a"));
    host.start(vec![old.clone()]);
    let new = Start { stop_before: Some(old.handle.clone()), ..start(&spec("web_1", "0b")) };
    assert_eq!(host.start(vec![new.clone()])[0].outcome, StartOutcome::Healthy);
    let calls = host.read("world/calls");
    let place = |words: &str| calls.find(words).unwrap();
    assert!(
        place(&format!("fleetctl load --no-block {}", new.handle)) < place(&format!("fleetctl stop {}", old.handle))
    );
    assert!(
        place(&format!("fleetctl stop {}", old.handle)) < place(&format!("fleetctl start --no-block {}", new.handle))
    );
    let states: Vec<(Handle, bool, ReplicaState)> =
        host.observe().unwrap().replicas.into_iter().map(|found| (found.handle, found.wanted, found.state)).collect();
    assert!(states.contains(&(old.handle, false, ReplicaState::Stopped)));
    assert!(states.contains(&(new.handle, true, ReplicaState::Running)));
}

#[test]
fn a_host_tells_of_its_own_replicas_and_of_units_whose_host_is_gone() {
    let host = Host::configured();
    let spec = spec("web_1", "0a");
    let start = start(&spec);
    host.start(vec![start.clone()]);
    let register = |unit: &str, description: &str, state: &str| {
        host.write(&format!("world/registry/{unit}"), &format!("[Unit]\nDescription={description}\n"));
        host.write(&format!("world/registry/{unit}.dstate"), state);
    };
    register("a-2.service", "web_2 on web_2 of demo/production", "launched");
    register("a-3.service", "web_3 on web_3 of demo/production", "launched");
    register("b-1.service", "web_1 on web_9 of other/production", "launched");
    register("c.service", "somebody else's", "launched");
    register("d-4.service", "web_4 on web_1 of demo/production", "launched");
    let report = host.observe().unwrap();
    assert_eq!(report.orchestrator, OrchestratorState::Ready);
    assert_eq!(report.stray, [Handle("a-3.service".to_owned())]);
    // EC2 may leave a host out of an answer; what fleet still lists is not gone.
    assert_eq!(host.observe_among(&[("i-1", "web_1")]).unwrap().stray, [Handle("a-3.service".to_owned())]);
    let [waiting, running] = &report.replicas[..] else { panic!("{:?}", report.replicas) };
    assert_eq!((waiting.handle.0.as_str(), waiting.state), ("d-4.service", ReplicaState::Waiting));
    assert_eq!((&running.handle, running.state, running.wanted), (&start.handle, ReplicaState::Running, true));
    assert_eq!((&running.image, &running.health), (&Some(image("0a")), &Health::Healthy));
    assert_eq!((&running.bindings, &running.probe), (&spec.bindings, &Some(start.probe.to_string())));
    assert_eq!(running.since.as_deref(), Some("2026-08-21T10:11:12Z"));

    host.write("world/answers", "500");
    let running = host.observe().unwrap().replicas.remove(1);
    assert_eq!(running.health, Health::Unhealthy("GET /up on port 5000 answered 500".to_owned()));
}

#[test]
fn a_registry_that_forgot_what_this_host_has_on_record_is_not_taken_for_an_empty_one() {
    let host = Host::configured();
    host.start(vec![start(&spec("web_1", "0a"))]);
    fs::remove_dir_all(host.path("world/registry")).unwrap();
    match host.observe().unwrap().orchestrator {
        OrchestratorState::Silent(words) => assert!(words.starts_with("the registry is empty"), "{words}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_fleet_that_does_not_answer_is_silent_in_its_own_words_whatever_it_exits_with() {
    for (says, exits, words) in [
        (
            "Error retrieving list of units from repository: googleapi: Error 503: no etcd\nPossible issues:\n",
            "1",
            "Error retrieving list of units from repository: googleapi: Error 503: no etcd",
        ),
        ("cannot execute cmdFleet: unknown flag: --full\n", "0", "cannot execute cmdFleet: unknown flag: --full"),
        ("", "124", "fleetctl got no answer"),
    ] {
        let host = Host::configured();
        host.write("world/fleet-says", says);
        host.write("world/fleet-exits", exits);
        let report = host.observe().unwrap();
        assert_eq!(report.orchestrator, OrchestratorState::Silent(words.to_owned()));
        assert_eq!(report.configured.as_deref(), Some("0123456789ab"));
        assert!(said(host.remove(&[])).1.contains("fleet does not answer"));
    }
}

#[test]
fn a_removed_unit_is_gone_and_removing_it_again_is_fine() {
    let host = Host::configured();
    let start = start(&spec("web_1", "0a"));
    host.start(vec![start.clone()]);
    assert_eq!(host.remove(&[&start.handle]), Ok(()));
    assert_eq!(host.observe().unwrap().replicas, []);
    assert!(!host.path(&format!("var/lib/skipper/units/{}", start.handle)).exists());
    assert_eq!(host.remove(&[&start.handle, &Handle("never-was.service".to_owned())]), Ok(()));
}

#[test]
fn a_unit_that_is_still_there_after_it_was_destroyed_is_told() {
    let host = Host::configured();
    let start = start(&spec("web_1", "0a"));
    host.start(vec![start.clone()]);
    host.write("world/destroys-nothing", "");
    let (_, what) = said(host.remove(&[&start.handle]));
    assert_eq!(what, format!("unit {} is still registered after it was destroyed", start.handle));
}

#[test]
fn an_image_that_is_there_is_not_pulled_again() {
    let host = Host::configured();
    host.write("world/images", &format!("{}\n", image("0a")));
    assert_eq!(host.pull(&[image("0a"), image("0b"), image("0b")]), Ok(()));
    assert_eq!(host.calls("docker pull"), 1);
}

#[test]
fn images_are_fetched_while_the_host_is_being_configured() {
    let host = Host::configured();
    let lock = fs::File::create(host.path("run/skipper.lock")).unwrap();
    lock.lock().unwrap();
    std::thread::scope(|scope| {
        let (sender, pulled) = mpsc::channel();
        let host = &host;
        scope.spawn(move || sender.send(host.pull(&[image("0a")])));
        let pulled = pulled.recv_timeout(Duration::from_secs(30));
        lock.unlock().unwrap();
        assert_eq!(pulled, Ok(Ok(())));
    });
}

#[test]
fn a_replica_that_is_ready_soon_does_not_wait_for_its_second_try() {
    let host = Host::configured();
    host.write("world/answers", "503");
    let mut slow = spec("web_1", "0a");
    slow.service.healthcheck.interval = Duration::from_secs(60);
    let started = std::thread::scope(|scope| {
        let started = scope.spawn(|| host.start(vec![start(&slow)]));
        while host.calls("curl http://10.1.2.3") == 0 {
            std::thread::yield_now();
        }
        host.write("world/answers", "200");
        started.join().unwrap()
    });
    assert_eq!(started[0].outcome, StartOutcome::Healthy);
    assert!(started[0].took_ms < 60_000, "{}", started[0].took_ms);
}

#[test]
fn a_pull_that_fails_is_told_by_kind() {
    let host = Host::configured();
    host.write("world/pull-says", "manifest unknown\n");
    let (kind, what) = said(host.pull(&[image("0a")]));
    assert_eq!((kind, what), (HostErrorKind::Pull, format!("{}: manifest unknown", image("0a"))));
    host.write("world/pull-says", "write /var/lib/docker/tmp/x: no space left on device\n");
    assert_eq!(said(host.pull(&[image("0a")])).0, HostErrorKind::DiskFull);
    host.write("world/pull-says", "no matching manifest for linux/amd64 in the manifest list entries\n");
    assert_eq!(said(host.pull(&[image("0a")])).0, HostErrorKind::Platform);
}

#[test]
fn a_script_that_breaks_off_still_answers() {
    let host = Host::configured();
    let mut script = Fleet.pull(&on_this_host(vec![image("0a")]));
    script.header = vec![("TABLE", "###".to_owned())];
    let (_, what) = said(Fleet.read_done(&host.run(&script)));
    assert_eq!(what, "the table of this run cannot be read");

    let mut script = Fleet.observe(&scope(), &[(InstanceId("i-1".to_owned()), "web_1".parse().unwrap())].into());
    script.header.retain(|(name, _)| *name != "SCOPE");
    let HostError::Said { what, .. } = Fleet.read_observation(&host.run(&script)).unwrap_err() else {
        panic!("it said nothing")
    };
    assert!(what.starts_with("the script ended early") && what.contains("SCOPE"), "{what}");
}

#[test]
fn a_replica_that_ends_at_once_is_told_with_its_exit_code_and_does_not_use_up_the_time_to_appear() {
    let host = Host::configured();
    host.write("world/dies", "");
    host.write("world/journal", "docker: Error response from daemon: port is already allocated.\n");
    let started = host.start(vec![start(&spec("web_1", "0a"))]);
    assert_eq!(
        why(&started[0]),
        "its container does not run; its unit is active (auto-restart), restarted 4 times, last exit code 3"
    );
    let StartOutcome::Failed { journal, .. } = &started[0].outcome else { unreachable!() };
    assert_eq!(journal, &["docker: Error response from daemon: port is already allocated."]);
    assert!(started[0].took_ms < 10_000, "{}", started[0].took_ms);
}

#[test]
fn a_name_that_would_be_another_file_is_not_looked_for() {
    let host = Host::configured();
    let row = |unit: &str| format!("{unit}\tlaunched\ttrue\tweb_1 on web_1 of demo/production\n");
    host.write("world/prints/list-unit-files", &format!("{}{}", row("a.service"), row("a/../../../../b.service")));
    match host.observe().unwrap().orchestrator {
        OrchestratorState::Silent(words) => assert!(words.contains("a/../../../../b.service"), "{words}"),
        other => panic!("{other:?}"),
    }
}

/// What becomes of an answer on its way: it is cut, a line is lost or told twice, a piece gets in, or it is another text.
#[derive(Clone, Debug)]
enum Damage {
    None,
    Cut(Index),
    Lost(Index),
    Twice(Index),
    Piece(Index, &'static str),
    Other(String),
}

impl Damage {
    fn any() -> impl Strategy<Value = Self> {
        let pieces = prop::sample::select(vec![
            "\t",
            "\n",
            "\t\t",
            " ",
            "-",
            "../",
            "/",
            "$(touch canary)",
            "`touch canary`",
            "; touch canary;",
            "'",
            "\"",
            "\\",
            "%s",
            "*",
            "launched",
            "Error: x",
            "web_3",
            " of demo/production",
            "\u{1b}[31m",
        ]);
        prop_oneof![
            Just(Self::None),
            any::<Index>().prop_map(Self::Cut),
            any::<Index>().prop_map(Self::Lost),
            any::<Index>().prop_map(Self::Twice),
            (any::<Index>(), pieces).prop_map(|(at, piece)| Self::Piece(at, piece)),
            "[ -~\\t\\n]{0,80}".prop_map(Self::Other),
        ]
    }

    fn to(&self, answer: &str) -> String {
        let mut lines: Vec<&str> = answer.split_inclusive('\n').collect();
        match self {
            Self::None => {}
            Self::Cut(at) => return answer[..at.index(answer.len())].to_owned(),
            Self::Lost(at) => drop(lines.remove(at.index(lines.len()))),
            Self::Twice(at) => lines.insert(0, lines[at.index(lines.len())]),
            Self::Piece(at, piece) => {
                let (before, behind) = answer.split_at(at.index(answer.len()));
                return format!("{before}{piece}{behind}");
            }
            Self::Other(text) => return text.clone(),
        }
        lines.concat()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

proptest! {
    // Each runs the whole script.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_fleetctl_prints_is_read_as_it_stands_or_refused(
        files in Damage::any(),
        units in Damage::any(),
        machines in Damage::any(),
    ) {
        let host = Host::configured();
        let handles = ["web_1", "web_2"].map(|replica| Unit::new(&scope(), &spec(replica, "0a")).handle);
        let rows = |row: &dyn Fn(usize, &Handle) -> String| handles.iter().enumerate().map(|(n, handle)| row(n + 1, handle)).collect::<String>();
        let answer = |command: &str, damage: &Damage, whole: &str| {
            let text = damage.to(whole);
            host.write(&format!("world/prints/{command}"), &text);
            text
        };
        let told = answer("list-unit-files", &files, &rows(&|n, handle| {
            format!("{handle}\tlaunched\ttrue\t\tweb_{n} on web_1 of demo/production\n")
        }));
        answer("list-units", &units, &rows(&|_, handle| {
            format!("{handle}\tffff0000ffff0000ffff0000ffff0000/10.0.0.1\tactive\trunning\n")
        }));
        answer("list-machines", &machines, "aaaa0000aaaa0000aaaa0000aaaa0000\tgroup=web,host=web_2\nffff0000ffff0000ffff0000ffff0000\tgroup=web,host=web_1\n");

        let report = host.observe();
        match &report {
            Ok(report) => {
                let found: Vec<&Handle> = report.replicas.iter().map(|replica| &replica.handle).collect();
                prop_assert!(found.iter().chain(&report.stray.iter().collect::<Vec<_>>()).all(|handle| told.contains(&handle.0)), "{:?}", report);
                if matches!(files, Damage::None) && report.orchestrator == OrchestratorState::Ready {
                    let mut whole: Vec<&Handle> = handles.iter().collect();
                    whole.sort();
                    prop_assert_eq!(found, whole);
                }
            }
            Err(HostError::Said { .. } | HostError::NotUnderstood(_)) => {}
            Err(error @ HostError::Unreadable(_)) => prop_assert!(false, "{error}"),
        }
        // Nothing was run, and nothing written beside the script's own folder.
        prop_assert_eq!(names(host.root.path()), ["etc", "opt", "run", "world"]);
        prop_assert_eq!(names(&host.path("run")), ["skipper"]);
        prop_assert!(!host.path("run/skipper/canary").exists() && !Path::new("canary").exists());
    }
}

#[test]
fn a_host_that_has_seen_a_later_lease_refuses_the_scripts_of_an_earlier_one() {
    let host = Host::configured();
    let replica = start(&spec("web_1", "0a"));
    let starts = |lease: u64| host.run(&Fleet.start(&scope(), &on_this_host(vec![replica.clone()])).fenced(lease));
    assert_eq!(Fleet.read_started(&starts(7)).unwrap()[0].outcome, StartOutcome::Healthy);
    assert_eq!(host.read("var/lib/skipper/fence"), "7\n");

    // Looking raises the fence, so that nothing of an earlier run changes what was seen.
    let hosts = [(InstanceId("i-1".to_owned()), "web_1".parse().unwrap())].into();
    Fleet.read_observation(&host.run(&Fleet.observe(&scope(), &hosts).fenced(9))).unwrap();
    assert_eq!(host.read("var/lib/skipper/fence"), "9\n");

    let refused = "this host has seen lease 9, and lease 8 may not change it any more".to_owned();
    let handles = on_this_host(vec![replica.handle.clone()]);
    let images = on_this_host(vec![image("0c")]);
    let before = (host.calls("fleetctl"), host.calls("docker"));
    for script in [
        Fleet.remove(&scope(), &handles),
        Fleet.pull(&images),
        Fleet.configure(&cluster(None)),
        Fleet.start(&scope(), &on_this_host(vec![replica.clone()])),
    ] {
        let output = host.run(&script.fenced(8));
        assert_eq!(said(Fleet.read_done(&output)), (HostErrorKind::Fenced, refused.clone()), "{}", script.name);
    }
    assert_eq!((host.calls("fleetctl"), host.calls("docker")), before);
    assert_eq!(host.read("var/lib/skipper/fence"), "9\n");
    // The run that has the lease goes on.
    assert_eq!(Fleet.read_done(&host.run(&Fleet.remove(&scope(), &handles).fenced(9))), Ok(()));
}
