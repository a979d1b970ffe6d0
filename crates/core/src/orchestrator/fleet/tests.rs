//! The unit as text, and both directions of every text that travels between the runner and a host.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proptest::{collection::vec, prelude::*};

use super::{report::*, *};
use crate::{
    clean::Cleaning,
    config::{Architecture, Check, FleetArchive, Healthcheck, Logging, SecretTarget, Volume},
    desired::{Binding, DesiredService, PinnedSecret, SecretVersion},
    etcd::{EtcdMember, MemberState, Membership},
    image::PinnedImage,
    log::{LogLine, read_lines, write_lines},
    name::{HostName, ReplicaName},
    observed::{Health, ObservedReplica, OrchestratorState, ReplicaState, Stray},
    orchestrator::{ClusterHost, HostErrorKind, KeptLogin, Probe, RegistryLogin, StartOutcome, Supplies},
    script::{RESULT_LIMIT, encode_result, pack},
};

fn scope() -> Scope {
    Scope { project: "demo".parse().unwrap(), environment: "production".parse().unwrap() }
}

fn image(byte: &str) -> PinnedImage {
    format!("127.213.7.1:5000/hello/web@sha256:{}", byte.repeat(32)).parse().unwrap()
}

fn spec() -> ReplicaSpec {
    ReplicaSpec {
        replica: "web_3".parse().unwrap(),
        host: "web_2".parse().unwrap(),
        bindings: vec![Binding { host: 80, container: 5000 }, Binding { host: 20_417, container: 9000 }],
        service: DesiredService {
            image: image("0a"),
            scale: 1,
            ports: Vec::new(),
            env: [("GREETING".parse().unwrap(), "say \"hi\" for $5\n100%".to_owned())].into(),
            secrets: Vec::new(),
            command: vec!["serve".to_owned(), "--all day".to_owned()],
            logging: None,
            healthcheck: Healthcheck {
                check: Check::Http { port: 5000, path: "/up?a=1%20b".to_owned() },
                interval: Duration::from_secs(2),
                timeout: Duration::from_millis(1500),
                retries: 15,
                start_period: Duration::from_secs(5),
            },
            stop_grace_seconds: 10,
            has_links: false,
            volumes: Vec::new(),
        },
    }
}

fn place(service: &str, address: [u8; 4]) -> Place {
    Place { service: service.parse().unwrap(), address: address.into() }
}

#[test]
fn a_replica_with_links_has_the_hosts_file_of_its_host_and_a_name_that_is_its_own() {
    let spec = ReplicaSpec { service: DesiredService { has_links: true, ..spec().service }, ..spec() };
    let unit = Unit::new(&scope(), &spec);
    let file = "type=bind,source=/var/lib/skipper/hosts/demo/production,target=/etc/hosts,readonly";
    assert!(unit.text.contains(&format!("  --hostname web_3 \\\n  --mount {file} \\\n")), "{}", unit.text);
    assert_eq!(Unit::read(unit.handle.clone(), &unit.text), Some(unit));
}

#[test]
fn a_volume_is_that_of_its_environment_at_the_path_of_the_file() {
    let volume = |name: &str, path: &str, read_only: bool| Volume {
        name: name.parse().unwrap(),
        path: path.to_owned(),
        read_only,
    };
    let volumes = vec![volume("data", "/var/lib/data", false), volume("seed", "/seed", true)];
    let spec = ReplicaSpec { service: DesiredService { volumes, ..spec().service }, ..spec() };
    let unit = Unit::new(&scope(), &spec);
    let mounts = "  --mount type=volume,source=demo.production.data,target=/var/lib/data \\\n  \
                  --mount type=volume,source=demo.production.seed,target=/seed,readonly \\\n";
    assert!(unit.text.contains(mounts), "{}", unit.text);
    assert_eq!(Unit::read(unit.handle.clone(), &unit.text), Some(unit));
}

#[test]
fn what_hosts_are_told_of_links_is_known_again_by_every_part_of_it() {
    let places = [place("redis", [10, 0, 0, 7]), place("redis", [10, 0, 0, 8])];
    let [first, second] = places.clone();
    let others = [vec![second, first.clone()], vec![first], vec![], vec![place("redis", [10, 0, 0, 78])]];
    for other in others {
        assert_ne!(Fleet.linked(&other), Fleet.linked(&places), "{other:?}");
    }
    assert_eq!(Fleet.linked(&places), Fleet.linked(&places));
}

#[test]
fn a_replica_becomes_a_global_unit_for_its_host() {
    let unit = Unit::new(&scope(), &spec());
    assert_eq!(Fleet.handle(&scope(), &spec()), unit.handle);
    insta::assert_snapshot!(format!("{}\n\n{}", unit.handle, unit.text));
}

#[test]
fn a_unit_names_secrets_and_holds_none() {
    let mut spec = spec();
    let secret = |name: &str, version| SecretVersion { name: name.parse().unwrap(), version };
    spec.service.secrets = vec![
        PinnedSecret { secret: secret("DATABASE_URL", 3), target: SecretTarget::Env("DB".parse().unwrap()) },
        PinnedSecret { secret: secret("TLS_KEY", 1), target: SecretTarget::File("/run/secrets/key".to_owned()) },
    ];
    let unit = Unit::new(&scope(), &spec);
    let lines: Vec<&str> = unit.text.lines().map(str::trim).collect();
    for line in [
        "ExecStart=/opt/skipper/with-secrets /skipper/demo/production/secrets \\",
        "--secret DB=DATABASE_URL:3 \\",
        "--secret TLS_KEY:1 \\",
        "--env DB \\",
        "--mount type=bind,source=/run/skipper/secrets/skipper/demo/production/secrets/TLS_KEY.1,target=/run/secrets/key,readonly \\",
    ] {
        assert!(lines.contains(&line), "{line}\n{}", unit.text);
    }
    assert_eq!(Unit::read(unit.handle.clone(), &unit.text), Some(unit));
    // Another version is another unit.
    let before = Fleet.handle(&scope(), &spec);
    spec.service.secrets[0].secret.version = 4;
    assert_ne!(Fleet.handle(&scope(), &spec), before);
}

#[test]
fn the_name_changes_with_anything_the_replica_runs_and_with_nothing_else() {
    let handle = |change: &dyn Fn(&mut ReplicaSpec)| {
        let mut spec = spec();
        change(&mut spec);
        Fleet.handle(&scope(), &spec)
    };
    let same = handle(&|_| {});
    let changes: [&dyn Fn(&mut ReplicaSpec); 8] = [
        &|spec| spec.service.image = image("0b"),
        &|spec| spec.bindings[1].host = 20_418,
        &|spec| spec.service.env.clear(),
        &|spec| spec.service.command.push("-v".to_owned()),
        &|spec| spec.service.logging = Some(Logging { driver: "syslog".to_owned(), options: BTreeMap::new() }),
        &|spec| spec.service.healthcheck.retries = 3,
        &|spec| spec.service.stop_grace_seconds = 30,
        &|spec| spec.host = "web_1".parse().unwrap(),
    ];
    for change in changes {
        assert_ne!(handle(change), same);
    }
    // How many there are is no business of one of them.
    assert_eq!(handle(&|spec| spec.service.scale = 4), same);
}

#[test]
fn a_value_that_fleet_would_refuse_is_told_before_it_is_tried() {
    let mut spec = spec();
    assert_eq!(Fleet.obstacle(&scope(), &spec), None);
    spec.service.env.insert("CERT".parse().unwrap(), "x".repeat(2_100));
    let why = Fleet.obstacle(&scope(), &spec).unwrap();
    assert!(why.contains("--env \"CERT=xxx"), "{why}");
    // Many short ones are no trouble: each has its own line.
    spec.service.env = (0..200).map(|n| (format!("V{n}").parse().unwrap(), "x".repeat(50))).collect();
    assert_eq!(Fleet.obstacle(&scope(), &spec), None);
}

fn archives(url: &str, sha256: Option<String>) -> BTreeMap<Architecture, FleetArchive> {
    [(Architecture::Arm64, FleetArchive { url: url.to_owned(), sha256 })].into()
}

#[test]
fn hosts_without_a_member_leave_the_configuration_of_the_others_as_it_is() {
    let host = |name: &str, n: u8| ClusterHost {
        host: name.parse().unwrap(),
        instance: InstanceId(format!("i-{n}")),
        private_address: format!("10.0.0.{n}"),
        architecture: Architecture::Amd64,
    };
    let mut cluster = Cluster {
        scope: scope(),
        hosts: vec![host("web_1", 1), host("web_2", 2)],
        members: vec!["web_1".parse().unwrap()],
        founding: false,
        archives: archives("https://example.com/fleet.tar.gz", None),
    };
    let before = Fleet.configuration(&cluster);
    cluster.hosts.push(host("web_3", 3));
    assert_eq!(Fleet.configuration(&cluster), before);
    cluster.hosts[0].private_address = "10.0.0.9".to_owned();
    assert_ne!(Fleet.configuration(&cluster), before);
    let moved = Fleet.configuration(&cluster);
    cluster.archives = archives("https://example.com/fleet.tar.gz", Some("00".repeat(32)));
    assert_ne!(Fleet.configuration(&cluster), moved);
}

#[test]
fn what_a_row_and_a_container_say_together_is_one_state() {
    let state = |unit: &str, container: &str| {
        let text = format!("configured\t-\nmember\tno\nfleet\tready\nunit\ta.service\tweb_1\t{unit}\n{container}");
        read_observation(&encode_result(&text)).unwrap().replicas[0].state
    };
    let runs = "container\ta.service\tbusybox\trunning\t-\n";
    assert_eq!(state("launched\tactive", runs), ReplicaState::Running);
    // A lagging row: systemd has started it, fleet has not noticed.
    assert_eq!(state("launched\tactivating", runs), ReplicaState::Running);
    assert_eq!(state("launched\tactivating", ""), ReplicaState::Starting);
    // `docker run` is up and its container is not yet.
    assert_eq!(state("launched\tactive", ""), ReplicaState::Starting);
    assert_eq!(state("launched\tfailed", ""), ReplicaState::Failed);
    assert_eq!(state("launched\tinactive", ""), ReplicaState::Failed);
    assert_eq!(state("launched\t-", ""), ReplicaState::Waiting);
    assert_eq!(state("loaded\tinactive", ""), ReplicaState::Stopped);
    assert_eq!(state("loaded\tfailed", ""), ReplicaState::Stopped);
    assert_eq!(state("inactive\t-", ""), ReplicaState::Stopped);
}

#[test]
fn an_answer_that_makes_no_sense_is_no_report() {
    for text in
        ["", "configured\t-\n", "hello\n", "configured\t-\nmember\tno\nfleet\tready\nhealth\tb.service\thealthy\n"]
    {
        assert!(matches!(read_observation(&encode_result(text)), Err(HostError::NotUnderstood(_))), "{text}");
    }
    let ready = "configured\t-\nmember\tno\nfleet\tready\n";
    assert!(read_observation(&encode_result(&format!("{ready}unit\ta.service\tweb_1\tlaunched\t-\n"))).is_ok());
    for line in [
        "member\tperhaps",
        // A state that is not known, which might pass for a replica nobody wants.
        "unit\ta.service\tweb_1\tlaunch\tactive",
        "unit\ta.service\tweb_1\tlaunched\tactive\nunit\ta.service\tweb_1\tlaunched\t-",
        // Names that would be another file, or an option, on the host that is to remove it.
        "unit\t../../../etc/passwd\tweb_1\tlaunched\tactive",
        "stray\t../a.service\tweb_1",
        "stray\t--all.service\tweb_1",
        "stray\t.service\tweb_1",
        "stray\ta b.service\tweb_1",
        "stray\ta.service\t../web_1",
        "host\tnobody",
    ] {
        let answer = read_observation(&encode_result(&format!("{ready}{line}\n")));
        assert!(matches!(answer, Err(HostError::NotUnderstood(_))), "{line}: {answer:?}");
    }
    assert!(matches!(read_observation("sh: 1: fleetctl: not found"), Err(HostError::Unreadable(_))));
    let error = read_observation(&encode_error(HostErrorKind::DiskFull, "no space left on device")).unwrap_err();
    assert_eq!(error, HostError::Said { what: "no space left on device".to_owned(), kind: HostErrorKind::DiskFull });
}

#[test]
fn twenty_replicas_fit_into_one_listing() {
    let replicas = (1..=20u8).map(|n| {
        let mut spec = spec();
        spec.replica.number = u32::from(n);
        spec.bindings[0].host = 20_000 + u16::from(n) * 37;
        let unit = Unit::new(&scope(), &spec);
        ObservedReplica {
            replica: spec.replica,
            handle: unit.handle,
            wanted: true,
            state: ReplicaState::Running,
            image: Some(image(if n % 2 == 0 { "3f" } else { "c4" })),
            bindings: spec.bindings,
            probe: Some(unit.probe.to_string()),
            health: Health::Healthy,
            since: Some(format!("2026-08-21T10:{n:02}:44.1234{n:02}789Z")),
        }
    });
    let report = HostReport {
        configured: Some("0123456789ab".to_owned()),
        boot: Some("4f3e2d1c-0000-4000-8000-0123456789ab-12".to_owned()),
        membership: Membership::Member,
        etcd: ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
            .map(|address| EtcdMember { address: address.to_owned(), state: MemberState::Healthy })
            .to_vec(),
        orchestrator: OrchestratorState::Ready,
        replicas: replicas.collect(),
        host: Some("web_2".parse().unwrap()),
        stray: Vec::new(),
        fence: 12,
        links: Some("0123456789ab".to_owned()),
        engine: None,
        held_ports: (25_000..25_040).collect(),
        volumes: Some(BTreeSet::from(["demo.production.data".to_owned()])),
    };
    assert!(encode_report(&report).len() <= RESULT_LIMIT, "{}", encode_report(&report).len());
}

fn words() -> impl Strategy<Value = String> {
    "[ -~äß€]{0,24}"
}

fn probes() -> impl Strategy<Value = Probe> {
    let check = prop_oneof![
        Just("running".to_owned()),
        any::<u16>().prop_map(|port| format!("tcp {port}")),
        (any::<u16>(), "/[ -~]{0,12}").prop_map(|(port, path)| format!("http {port} {path}")),
    ];
    (0..9_000u64, 0..9_000u64, 0..99u32, check).prop_map(|(interval, timeout, retries, check)| {
        format!("{interval} {timeout} {retries} 0 {check}").parse().unwrap()
    })
}

fn names() -> impl Strategy<Value = ReplicaName> {
    ("[a-z]{1,8}", 1..99u32).prop_map(|(service, number)| ReplicaName { service: service.parse().unwrap(), number })
}

fn specs() -> impl Strategy<Value = ReplicaSpec> {
    let env = proptest::collection::btree_map("[A-Z]{1,6}".prop_map(|name| name.parse().unwrap()), "[^\0]{0,24}", 0..4);
    let bindings = vec((any::<u16>(), any::<u16>()).prop_map(|(host, container)| Binding { host, container }), 0..3);
    (names(), env, bindings, vec("[^\0]{0,24}", 0..4), any::<u16>(), "/[ -~]{0,9}").prop_map(
        |(replica, env, bindings, command, port, path)| {
            let mut spec = spec();
            spec.replica = replica;
            spec.bindings = bindings;
            spec.service.env = env;
            spec.service.command = command;
            spec.service.healthcheck.check = Check::Http { port, path };
            spec
        },
    )
}

fn replicas() -> impl Strategy<Value = ObservedReplica> {
    // Only what fleet can mean: what is not wanted is stopped or still runs, what is wanted is anything else.
    let states = prop_oneof![
        Just((true, ReplicaState::Running)),
        Just((false, ReplicaState::Running)),
        Just((true, ReplicaState::Starting)),
        Just((true, ReplicaState::Failed)),
        Just((true, ReplicaState::Waiting)),
        Just((false, ReplicaState::Stopped)),
    ];
    let health = prop_oneof![Just(Health::Healthy), Just(Health::Unknown), words().prop_map(Health::Unhealthy)];
    let bindings = vec((any::<u16>(), any::<u16>()).prop_map(|(host, container)| Binding { host, container }), 0..3);
    (names(), states, health, bindings, proptest::option::of(probes()), any::<bool>()).prop_map(
        |(replica, (wanted, state), health, bindings, probe, known)| ObservedReplica {
            handle: Handle(format!("demo-production-{replica}-00000000.service")),
            replica,
            wanted,
            state,
            image: known.then(|| image("5e")),
            bindings,
            probe: probe.map(|probe| probe.to_string()),
            health,
            since: known.then(|| "2026-08-21T10:11:12Z".to_owned()),
        },
    )
}

#[test]
fn the_engine_is_told_where_to_send_what_a_replica_prints() {
    let mut logged = spec();
    let options = BTreeMap::from([("tag".to_owned(), "100% {{.Name}} $x".to_owned())]);
    logged.service.logging = Some(Logging { driver: "awslogs".to_owned(), options });
    let unit = Unit::new(&scope(), &logged);
    let words = "  --log-driver \"awslogs\" \\\n  --log-opt \"tag=100%% {{.Name}} $$x\" \\\n";
    assert!(unit.text.contains(words), "{}", unit.text);
    assert_eq!(Unit::read(unit.handle.clone(), &unit.text), Some(unit));
}

proptest! {
    #[test]
    fn a_unit_tells_what_it_runs(spec in specs()) {
        let unit = Unit::new(&scope(), &spec);
        prop_assert_eq!(Unit::read(unit.handle.clone(), &unit.text), Some(unit));
    }

    #[test]
    fn a_host_is_told_what_was_meant(
        starts in proptest::collection::btree_map("i-[0-9a-f]{4}".prop_map(InstanceId), vec((specs(), any::<bool>(), proptest::option::of("[a-z]{1,9}")), 1..3), 1..4),
    ) {
        let starts = starts.into_iter().map(|(instance, starts)| {
            let starts = starts.into_iter().enumerate().map(|(number, (mut spec, fresh, stop_before))| {
                spec.replica.number = u32::try_from(number).unwrap() + 1;
                let unit = Unit::new(&scope(), &spec);
                UnitStart { replica: spec.replica, handle: unit.handle.clone(), probe: unit.probe.clone(), unit: fresh.then_some(unit), stop_before: stop_before.map(Handle) }
            });
            (instance, starts.collect())
        });
        let task = Task::Start { scope: scope(), starts: starts.collect() };
        prop_assert_eq!(Task::decode(&task.script()), Some(task));
    }

    #[test]
    fn the_other_tasks_read_back_too(hosts in proptest::collection::btree_map("i-[0-9a-f]{4}".prop_map(InstanceId), "[a-z]{1,4}_[1-9]", 1..5), sha256 in proptest::option::of("[0-9a-f]{64}"), founding in any::<bool>()) {
        let hosts: BTreeMap<InstanceId, HostName> = hosts.into_iter().map(|(instance, host)| (instance, host.parse().unwrap())).collect();
        let cluster_hosts: Vec<ClusterHost> = hosts.iter().map(|(instance, host)| ClusterHost { host: host.clone(), instance: instance.clone(), private_address: "10.0.0.1".to_owned(), architecture: Architecture::Arm64 }).collect();
        let mut members: Vec<HostName> = hosts.values().take(1).cloned().collect();
        members.dedup();
        let only = |instance: &&InstanceId| cluster_hosts.iter().filter(|host| host.host == hosts[*instance]).count() == 1;
        prop_assume!(hosts.keys().all(|instance| only(&instance)));
        let cluster = Cluster { scope: scope(), hosts: cluster_hosts.clone(), members, founding, archives: archives("https://x/y z'", sha256) };
        let tasks = [
            Task::Observe { scope: scope() },
            Task::Configure { cluster: cluster.clone() },
            Task::Hold { cluster: cluster.clone() },
            Task::Restore { cluster: cluster.clone() },
            Task::Join { cluster: cluster.clone() },
            Task::Leave { cluster, address: "10.0.0.1".to_owned() },
            Task::Link { scope: scope(), places: hosts.keys().map(|instance| (instance.clone(), vec![place("redis", [10, 0, 0, 7]), place("api", [10, 0, 0, 8])])).collect() },
            Task::Pull {
                scope: scope(),
                supplies: hosts.keys().map(|instance| (instance.clone(), Supplies { images: vec![image("0a"), image("ff")], secrets: ["TOKEN:3".parse().unwrap()].into() })).collect(),
                logins: vec![
                    RegistryLogin::Kept(KeptLogin { registry: "https://index.docker.io/v1/".to_owned(), parameter: "REGISTRY_1:2".parse().unwrap() }),
                    RegistryLogin::by_role("123456789012.dkr.ecr.eu-west-1.amazonaws.com").unwrap(),
                ],
            },
            Task::Logs { scope: scope(), lines: 7, asked: "a1b2".to_owned(), hosts: hosts.keys().enumerate().map(|(index, instance)| (instance.clone(), LogOf { offset: 7, since: (index > 0).then_some(1_764_000_000_000_001), replicas: vec![("web_1".parse().unwrap(), Handle("a.service".to_owned()))] })).collect() },
            Task::Stop { scope: scope(), handles: hosts.keys().map(|instance| (instance.clone(), vec![Handle("a.service".to_owned())])).collect() },
            Task::Remove { scope: scope(), handles: hosts.keys().map(|instance| (instance.clone(), vec![Handle("a.service".to_owned())])).collect(), ends: hosts.len().is_multiple_of(2) },
            Task::Command { scope: scope(), look: Look { asked: "a1b2".to_owned(), text: "docker ps --format '{{.Names}}' | wc -l".to_owned(), out: 7, err: 8 } },
            Task::EndCommand { scope: scope(), asked: "a1b2".to_owned() },
            Task::Clean { scope: scope(), cleaning: Cleaning { repositories: ["redis", "acme/web", "ghcr.io/acme/web", "127.213.7.1:5000/web"].map(|name| name.parse().unwrap()).into(), cutoff: 3, needed: [image("0a").digest].into() } },
        ];
        for task in tasks {
            prop_assert_eq!(Task::decode(&task.script()), Some(task));
        }
    }

    #[test]
    fn a_report_reads_back(
        configured in proptest::option::of("[0-9a-f]{12}"),
        boot in proptest::option::of("[0-9a-f-]{1,40}"),
        membership in proptest::sample::select(Membership::ALL.to_vec()),
        etcd in proptest::collection::btree_set(("10\\.0\\.[0-9]\\.[1-9]", proptest::sample::select(MemberState::ALL.to_vec())), 0..4),
        silent in proptest::option::of((words(), any::<bool>())),
        engine in proptest::option::of(words()),
        replicas in vec(replicas(), 0..6),
        host in proptest::option::of("[a-z]{1,4}_[1-9]".prop_map(|host| host.parse().unwrap())),
        stray in vec(("[a-z]{1,6}\\.service".prop_map(Handle), "[a-z]{1,4}_[1-9]").prop_map(|(handle, host)| Stray { handle, host: host.parse().unwrap() }), 0..3),
        fence in any::<u64>(),
        links in proptest::option::of("[0-9a-f]{12}"),
        held_ports in proptest::collection::btree_set(any::<u16>(), 0..4),
        volumes in proptest::option::of(proptest::collection::btree_set("[a-z.]{1,9}", 0..4)),
    ) {
        let mut replicas = replicas;
        replicas.sort_by(|a, b| a.handle.cmp(&b.handle));
        replicas.dedup_by(|a, b| a.handle == b.handle);
        let etcd = etcd.into_iter().map(|(address, state)| EtcdMember { address, state }).collect();
        let orchestrator = match silent {
            None => OrchestratorState::Ready,
            Some((words, true)) => OrchestratorState::Silent(words),
            Some((words, false)) => OrchestratorState::Emptied(words),
        };
        let report = HostReport { configured, boot, membership, etcd, fence, orchestrator, engine, replicas, host, stray, links, held_ports, volumes };
        prop_assert_eq!(read_observation(&encode_report(&report)), Ok(report));
    }

    #[test]
    fn a_part_of_a_log_reads_back(offset in any::<u64>(), total in any::<u64>(), text in "[A-Za-z0-9+/=]{0,40}") {
        let part = LogPart { offset, total, text };
        prop_assert_eq!(read_logs(&encode_log_part(&part)), Ok(part));
    }

    #[test]
    fn lines_of_a_log_read_back(lines in vec((any::<u64>(), names(), words()), 0..5)) {
        let lines: Vec<LogLine> = lines.into_iter().map(|(at, replica, text)| LogLine { at, replica, text }).collect();
        let replicas = lines.iter().map(|line| (line.replica.clone(), Handle(String::new()))).collect();
        let of_host = LogOf { offset: 0, since: None, replicas };
        prop_assert_eq!(read_lines(&pack(&write_lines(&lines)), &of_host), Some((lines, false)));
    }

    #[test]
    fn outcomes_read_back(outcomes in vec((names(), any::<u32>(), proptest::option::of((words(), vec(words(), 0..4)))), 0..4)) {
        let started: Vec<Started> = outcomes.into_iter().enumerate().map(|(n, (replica, took, failed))| Started {
            handle: Handle(format!("{n}-{replica}.service")),
            replica,
            outcome: failed.map_or(StartOutcome::Healthy, |(why, journal)| StartOutcome::Failed { why, journal }),
            took_ms: u64::from(took),
        }).collect();
        prop_assert_eq!(read_started(&encode_started(&started)), Ok(started));
    }
}
