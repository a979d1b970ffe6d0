//! A registry that is lost is brought back from what a host has on record, under what runs there.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use skipper_core::{
    etcd::Membership,
    observed::OrchestratorState,
    orchestrator::{Cluster, fleet::Unit},
};

use crate::host::*;

/// The host with the only member of etcd, which runs a replica.
fn with_the_only_member() -> (Host, Cluster, String) {
    let host = Host::fresh();
    let cluster = cluster(Some(host.publish_archive()));
    host.write("world/etcd/10.0.0.1", "added\n");
    host.configure(&cluster).unwrap();
    let start = start(&spec("web_1", "0a"));
    let unit = start.handle.0.clone();
    host.start(vec![start]);
    (host, cluster, unit)
}

/// etcd is dead, its data are gone, and the registry with them.
fn lose(host: &Host) {
    fs::remove_file(host.path("world/active/etcd-member.service")).unwrap();
    fs::remove_dir_all(host.path("var/lib/etcd/member")).unwrap();
    host.write("world/etcd/10.0.0.1", "added\n");
    fs::remove_dir_all(host.path("world/registry")).unwrap();
}

/// Puts an earlier unit of the same replica on record.
fn an_earlier_one(host: &Host) -> String {
    let unit = Unit::new(&scope(), &spec("web_1", "0b"));
    let path = format!("var/lib/skipper/units/{}", unit.handle);
    host.write(&path, &unit.text);
    let hour = SystemTime::now() - Duration::from_secs(3600);
    fs::File::options().write(true).open(host.path(&path)).unwrap().set_modified(hour).unwrap();
    unit.handle.0
}

#[test]
fn etcd_is_founded_anew_and_knows_what_runs_before_fleet_looks() {
    let (host, cluster, unit) = with_the_only_member();
    let earlier = an_earlier_one(&host);
    lose(&host);
    assert_eq!(host.observe().unwrap().membership, Membership::Lost);
    host.write("world/calls", "");
    assert_eq!(host.hold(&cluster), Ok(()));
    assert_eq!(host.hold(&cluster), Ok(()));
    assert_eq!(host.restore(&cluster), Ok(()));
    let calls = host.read("world/calls");
    let first = |words: &str| calls.find(words).unwrap_or_else(|| panic!("no `{words}` in {calls}"));
    let order = [
        "systemctl kill --signal=KILL --kill-whom=main fleet.service",
        "systemctl stop fleet.socket",
        "systemctl start --no-block etcd-member.service",
        "fleetctl --driver=etcd --endpoint=http://127.0.0.1:2379 submit",
        "systemctl start fleet.service",
    ];
    assert!(order.is_sorted_by_key(|words| first(words)), "{calls}");
    assert!(!calls.contains("docker rm") && !calls.contains("systemctl stop demo"), "{calls}");
    let report = host.observe().unwrap();
    assert_eq!((report.membership, report.orchestrator), (Membership::Member, OrchestratorState::Ready));
    assert_eq!(report.replicas.iter().map(|found| found.handle.0.as_str()).collect::<Vec<_>>(), [unit]);
    assert!(!host.path(&format!("var/lib/skipper/units/{earlier}")).exists());
    assert!(!host.path("etc/systemd/system/fleet.service.d/10-skipper-held.conf").exists());
    // Delivered twice it changes nothing.
    assert_eq!(host.restore(&cluster), Ok(()));
    assert!(host.path("var/lib/etcd/member").exists() && !host.path("var/lib/etcd/member.lost").exists());
}

#[test]
fn of_what_does_not_run_the_one_that_was_recorded_last_is_started_again() {
    let (host, cluster, unit) = with_the_only_member();
    let earlier = an_earlier_one(&host);
    // The registry is empty, and fleet has stopped what it does not know.
    fs::remove_dir_all(host.path("world/registry")).unwrap();
    for gone in [format!("world/active/{unit}"), format!("world/containers/{}", unit.trim_end_matches(".service"))] {
        fs::remove_file(host.path(&gone)).unwrap();
    }
    let filling = Cluster { founding: false, ..cluster };
    host.hold(&filling).unwrap();
    // Whoever configures it next fills the registry, where a run broke off in between.
    assert_eq!(host.configure(&filling), Ok(()));
    assert_eq!(host.read(&format!("world/registry/{unit}.dstate")), "launched\n");
    assert!(!host.path(&format!("world/registry/{earlier}")).exists());
}

#[test]
fn no_etcd_is_founded_beside_one_that_answers_and_none_where_fleet_is_not_held() {
    let (host, cluster, _) = with_the_only_member();
    let (_, what) = said(host.hold(&cluster));
    assert_eq!(what, "etcd answers at 127.0.0.1, and was to be founded anew");
    assert_eq!(host.calls("systemctl kill"), 0);
    // It answers to this host by another address alone.
    lose(&host);
    host.write("world/etcd/10.0.0.9", "started\n");
    fs::remove_file(host.path("world/etcd/10.0.0.1")).unwrap();
    host.write("world/no-forwarder", "");
    host.write("etc/skipper/members", "10.0.0.1\n10.0.0.9\n");
    let (_, what) = said(host.hold(&cluster));
    assert_eq!(what, "etcd answers at 10.0.0.9, and was to be founded anew");
    let (_, what) = said(host.restore(&cluster));
    assert!(what.ends_with("fleet is not held on this host"), "{what}");
    assert!(!host.path("var/lib/etcd/member").exists());
}

/// The last of three members, whose host is held; another host has founded etcd in their place, and this one reaches it.
fn left_over() -> (Host, Cluster) {
    let (host, cluster, _) = with_the_only_member();
    fs::remove_file(host.path("world/active/etcd-member.service")).unwrap();
    host.write("var/lib/etcd/member/wal", "what it knew");
    for member in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
        host.write(&format!("world/etcd/{member}"), "started\n");
        host.write(&format!("world/etcd-down/{member}"), "");
    }
    let elsewhere = Cluster { members: vec!["web_2".parse().unwrap()], ..cluster };
    host.hold(&elsewhere).unwrap();
    fs::remove_file(host.path("world/etcd-down/10.0.0.2")).unwrap();
    host.write("world/no-forwarder", "");
    for gone in ["10.0.0.1", "10.0.0.3"] {
        fs::remove_file(host.path(&format!("world/etcd/{gone}"))).unwrap();
    }
    (host, elsewhere)
}

fn has_given_way(host: &Host) {
    let report = host.observe().unwrap();
    assert_eq!((report.membership, report.orchestrator), (Membership::None, OrchestratorState::Ready));
    assert_eq!(host.read("var/lib/etcd/member.lost/wal"), "what it knew");
    assert!(!host.path("var/lib/etcd/member").exists());
}

#[test]
fn a_member_that_is_left_over_keeps_what_it_knew_for_people_and_gives_way() {
    let (host, elsewhere) = left_over();
    assert_eq!(host.restore(&elsewhere), Ok(()));
    has_given_way(&host);
}

#[test]
fn one_that_missed_the_founding_gives_way_to_whoever_configures_it_next() {
    let (host, elsewhere) = left_over();
    let next = Cluster { founding: false, ..elsewhere };
    assert_eq!(host.configure(&next), Ok(()));
    has_given_way(&host);
}

#[test]
fn a_member_keeps_its_data_where_the_others_list_it_and_where_fleet_is_not_held() {
    let (host, elsewhere) = left_over();
    let next = Cluster { founding: false, ..elsewhere };
    // It is down, and one of three that have a quorum.
    for member in ["10.0.0.1", "10.0.0.3"] {
        host.write(&format!("world/etcd/{member}"), "started\n");
    }
    fs::remove_file(host.path("world/etcd-down/10.0.0.3")).unwrap();
    host.write("world/etcd-breaks", "");
    fs::remove_file(host.path("world/no-forwarder")).unwrap();
    host.configure(&next).unwrap();
    assert_eq!(host.read("var/lib/etcd/member/wal"), "what it knew");
    // Nobody has held it since.
    for gone in ["10.0.0.1", "10.0.0.3"] {
        fs::remove_file(host.path(&format!("world/etcd/{gone}"))).unwrap();
    }
    host.configure(&next).unwrap();
    assert_eq!(host.read("var/lib/etcd/member/wal"), "what it knew");
}

#[test]
fn a_founder_that_has_never_answered_is_lost_and_founds_it_once_more() {
    let (host, cluster, _) = with_the_only_member();
    lose(&host);
    host.hold(&cluster).unwrap();
    // As it stands where the script ends before etcd answers.
    host.write("var/lib/etcd/member.lost/wal", "what it knew");
    host.write("var/lib/etcd/member/wal", "nothing");
    fs::remove_file(host.path("etc/skipper/etcd-bootstrapped")).unwrap();
    assert_eq!(host.observe().unwrap().membership, Membership::Lost);
    host.hold(&cluster).unwrap();
    assert_eq!(host.restore(&cluster), Ok(()));
    assert_eq!(host.observe().unwrap().membership, Membership::Member);
    assert_eq!(host.read("var/lib/etcd/member.lost/wal"), "what it knew");
    assert_eq!(host.read("var/lib/etcd/member/wal"), "");
}
