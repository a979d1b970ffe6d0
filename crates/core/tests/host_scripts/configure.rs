//! A host becomes a part of the cluster.

use std::fs;

use skipper_core::{
    config::Architecture,
    etcd::Membership,
    observed::{Health, HostReport, OrchestratorState, ReplicaState},
    orchestrator::{Cluster, ClusterHost, HostErrorKind, Orchestrator as _, fleet::Fleet},
};

use crate::host::*;

#[test]
fn a_fresh_host_has_no_fleet_and_says_so() {
    let report = Host::fresh().observe().unwrap();
    assert!(report.boot.is_some());
    let report = HostReport { boot: None, ..report };
    assert_eq!(report, HostReport::bare(OrchestratorState::Absent));
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
    assert_eq!((report.configured, report.membership), (Some(Fleet.configuration(&cluster)), Membership::Member));
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
fn an_engine_that_has_died_is_told_and_started_again() {
    let host = Host::fresh();
    let cluster = cluster(Some(host.publish_archive()));
    host.configure(&cluster).unwrap();
    assert_eq!((host.calls("systemctl start docker.service"), host.observe().unwrap().engine), (0, None));
    let start = start(&spec("web_1", "0a"));
    host.start(vec![start]);
    let inspected = host.calls("docker inspect");

    let words = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?";
    host.write("world/engine-says", &format!("{words}\n"));
    let report = host.observe().unwrap();
    assert_eq!((report.orchestrator, report.engine.as_deref()), (OrchestratorState::Ready, Some(words)));
    // It is registered, and what becomes of it is not known.
    let replica = &report.replicas[0];
    assert_eq!((replica.wanted, replica.state, &replica.health), (true, ReplicaState::Starting, &Health::Unknown));
    assert_eq!(host.calls("docker inspect"), inspected, "where Docker hangs, each of them would");

    assert_eq!(host.configure(&Cluster { founding: false, ..cluster }), Ok(()));
    // Where it has ended too often in a row, systemd is made to forget that first.
    let calls = host.read("world/calls");
    let forgotten = calls.find("systemctl reset-failed containerd.service docker.socket docker.service").unwrap();
    assert!(forgotten < calls.find("systemctl start docker.service").unwrap());
    assert_eq!(host.observe().unwrap().engine, None);
}

#[test]
fn an_engine_that_hangs_or_does_not_start_is_told_in_the_words_there_are() {
    let host = Host::configured();
    host.write("world/engine-says", "");
    assert_eq!(host.observe().unwrap().engine.as_deref(), Some("it gave no answer"));
    host.write("world/engine-says", "Cannot connect to the Docker daemon\n");
    host.write("world/engine-breaks", "");
    let (kind, what) = said(host.configure(&cluster(None)));
    assert_eq!(kind, HostErrorKind::Engine);
    assert!(
        what.starts_with("Docker does not answer (Cannot connect to the Docker daemon). Failed to start docker.service: Unit docker.service is masked. docker.service:"),
        "{what}"
    );
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
fn a_host_without_an_archive_for_its_processor_keeps_the_fleet_that_it_has() {
    let host = Host::fresh();
    let for_both = cluster(Some(host.publish_archive()));
    let for_arm64 = |cluster: &Cluster| {
        let archives = cluster.archives.values().map(|archive| (Architecture::Arm64, archive.clone())).collect();
        Cluster { archives, ..cluster.clone() }
    };
    let (kind, what) = said(host.configure(&for_arm64(&for_both)));
    assert_eq!(
        (kind, what.as_str()),
        (HostErrorKind::ArchiveMissing, "no archive of fleet is named for an amd64 processor")
    );
    host.configure(&for_both).unwrap();
    let installed = fs::read_link(host.path("opt/bin/fleetd")).unwrap();
    host.configure(&for_arm64(&for_both)).unwrap();
    assert_eq!(fs::read_link(host.path("opt/bin/fleetd")).unwrap(), installed);
}

#[test]
fn a_member_on_an_arm64_host_runs_etcd_s_image_for_it() {
    let host = Host::fresh();
    let cluster = cluster(Some(host.publish_archive()));
    let hosts =
        cluster.hosts.iter().map(|host| ClusterHost { architecture: Architecture::Arm64, ..host.clone() }).collect();
    let archives = cluster.archives.values().map(|archive| (Architecture::Arm64, archive.clone())).collect();
    host.configure(&Cluster { hosts, archives, ..cluster }).unwrap();
    let unit = host.read("etc/systemd/system/etcd-member.service.d/20-skipper.conf");
    assert!(unit.contains("ETCD_IMAGE_TAG=v3.5.16-arm64\n"), "{unit}");
}

#[test]
fn a_host_of_a_running_cluster_founds_no_other() {
    let host = Host::fresh();
    let mut cluster = cluster(Some(host.publish_archive()));
    host.configure(&cluster).unwrap();
    let before = host.read("etc/systemd/system/etcd-member.service.d/20-skipper.conf");
    cluster.hosts[0].private_address = "10.0.0.77".to_owned();
    let (_, what) = said(host.configure(&cluster));
    assert!(what.contains("is told to found another etcd"), "{what}");
    assert_eq!(host.read("etc/systemd/system/etcd-member.service.d/20-skipper.conf"), before);
}
