//! Members of etcd come and go, and whatever breaks off is gone on with.

use std::fs;

use skipper_core::{
    etcd::{EtcdMember, MemberState, Membership},
    orchestrator::Cluster,
};

use crate::host::*;

/// A configured host, web_1 at 10.0.0.1, beside members of etcd at these addresses.
fn beside(members: &[&str]) -> (Host, Cluster) {
    let host = Host::configured();
    let founded = Cluster { founding: false, members: vec!["web_2".parse().unwrap()], ..cluster(None) };
    for member in members {
        host.write(&format!("world/etcd/{member}"), "started\n");
    }
    host.write("etc/skipper/members", "10.0.0.2\n");
    (host, founded)
}

fn both(cluster: &Cluster) -> Cluster {
    Cluster { members: vec!["web_1".parse().unwrap(), "web_2".parse().unwrap()], ..cluster.clone() }
}

fn member(address: &str, state: MemberState) -> EtcdMember {
    EtcdMember { address: address.to_owned(), state }
}

fn is_well(host: &Host) {
    let report = host.observe().unwrap();
    assert_eq!(report.membership, Membership::Member);
    assert_eq!(report.etcd, [member("10.0.0.1", MemberState::Healthy), member("10.0.0.2", MemberState::Healthy)]);
    assert!(host.path("etc/skipper/etcd-bootstrapped").exists());
}

#[test]
fn a_host_joins_etcd_and_the_second_delivery_changes_nothing() {
    let (host, cluster) = beside(&["10.0.0.2"]);
    assert_eq!(host.observe().unwrap().etcd, [member("10.0.0.2", MemberState::Healthy)]);
    assert_eq!(host.join(&both(&cluster)), Ok(()));
    is_well(&host);
    let settings = host.read("etc/systemd/system/etcd-member.service.d/20-skipper.conf");
    assert!(settings.contains("ETCD_INITIAL_CLUSTER_STATE=existing\n"), "{settings}");
    assert!(
        settings.contains("ETCD_INITIAL_CLUSTER=10002=http://10.0.0.2:2380,web_1=http://10.0.0.1:2380\n"),
        "{settings}"
    );
    // The way to the others made room for it.
    assert_eq!(host.calls("systemctl disable --now skipper-etcd.service"), 1);
    let added = host.calls("curl http://10.0.0.2:2379/v2/members");
    assert_eq!(host.join(&both(&cluster)), Ok(()));
    assert!(host.calls("curl http://10.0.0.2:2379/v2/members") - added <= 2);
    is_well(&host);
}

#[test]
fn a_member_that_etcd_refuses_at_first_is_added_once_it_takes_it() {
    let (host, cluster) = beside(&["10.0.0.2"]);
    host.write("world/etcd-refuses", "3");
    assert_eq!(host.join(&both(&cluster)), Ok(()));
    is_well(&host);
}

#[test]
fn a_member_that_was_added_and_not_started_is_started_though_there_is_no_quorum() {
    let (host, cluster) = beside(&["10.0.0.2"]);
    // Its run died right after the call: two members of which one has begun.
    host.write("world/etcd/10.0.0.1", "added\n");
    host.write("etc/skipper/member", "joining\n");
    let report = host.observe().unwrap();
    assert_eq!((report.membership, report.etcd.len()), (Membership::Joining, 0));
    assert_eq!(host.join(&both(&cluster)), Ok(()));
    is_well(&host);
}

#[test]
fn a_member_that_does_not_come_up_leaves_its_host_a_way_to_the_others() {
    let (host, cluster) = beside(&["10.0.0.2", "10.0.0.3", "10.0.0.4"]);
    host.write("world/etcd-breaks", "");
    host.write("opt/bin/sleep", "#!/bin/sh\n");
    host.write("opt/bin/date", "#!/bin/sh\nn=$(cat \"$SKIPPER_ROOT/world/now\" 2>/dev/null || echo 1000000000000)\necho $((n + 20000)) >\"$SKIPPER_ROOT/world/now\"\necho $n\n");
    for command in ["sleep", "date"] {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(host.path(&format!("opt/bin/{command}")), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let (_, what) = said(host.join(&both(&cluster)));
    assert!(what.contains("the member of etcd on this host does not come up"), "{what}");
    assert_eq!(host.calls("systemctl restart skipper-etcd.service"), 1);
    assert_eq!(host.observe().unwrap().membership, Membership::Joining);
    // Running again goes on from here.
    fs::remove_file(host.path("world/etcd-breaks")).unwrap();
    assert_eq!(host.join(&both(&cluster)), Ok(()));
    assert_eq!(host.observe().unwrap().membership, Membership::Member);
}

#[test]
fn a_host_without_data_does_not_take_the_place_of_a_member_that_had_some() {
    let (host, cluster) = beside(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    let (_, what) = said(host.join(&both(&cluster)));
    assert!(what.contains("has begun, and this host has no data of it"), "{what}");
    assert_eq!(host.observe().unwrap().membership, Membership::None);
}

#[test]
fn a_host_leaves_etcd_before_its_member_ends_and_keeps_nothing_of_it() {
    let (host, cluster) = beside(&["10.0.0.2"]);
    host.join(&both(&cluster)).unwrap();
    assert_eq!(host.leave(&cluster, "10.0.0.1"), Ok(()));
    let report = host.observe().unwrap();
    assert_eq!((report.membership, report.etcd), (Membership::None, vec![member("10.0.0.2", MemberState::Healthy)]));
    assert_eq!(host.read("etc/skipper/members"), "10.0.0.2\n");
    assert!(!host.path("var/lib/etcd/member").exists() && !host.path("etc/skipper/etcd-bootstrapped").exists());
    let calls = host.read("world/calls");
    let forgotten = calls.find("/v2/members/10001").unwrap();
    let ended = calls.rfind("systemctl disable --now etcd-member.service").unwrap();
    assert!(forgotten < ended, "{calls}");
    assert_eq!(host.leave(&cluster, "10.0.0.1"), Ok(()));
    // It may come back.
    assert_eq!(host.join(&both(&cluster)), Ok(()));
    is_well(&host);
}

#[test]
fn a_member_that_etcd_has_forgotten_and_that_still_runs_is_ended() {
    let (host, cluster) = beside(&["10.0.0.2"]);
    host.join(&both(&cluster)).unwrap();
    fs::remove_file(host.path("world/etcd/10.0.0.1")).unwrap();
    host.write("etc/skipper/member", "leaving\n");
    assert_eq!(host.observe().unwrap().membership, Membership::Leaving);
    assert_eq!(host.leave(&cluster, "10.0.0.1"), Ok(()));
    assert_eq!(host.observe().unwrap().membership, Membership::None);
    assert_eq!(host.calls("systemctl restart skipper-etcd.service"), 1);
}

#[test]
fn etcd_forgets_a_member_whose_host_is_gone_and_this_host_keeps_its_own() {
    let (host, cluster) = beside(&["10.0.0.2"]);
    host.join(&both(&cluster)).unwrap();
    host.write("world/etcd/10.0.0.9", "started\n");
    host.write("world/etcd-down/10.0.0.9", "");
    assert_eq!(host.leave(&both(&cluster), "10.0.0.9"), Ok(()));
    is_well(&host);
}

#[test]
fn a_member_that_has_lost_its_data_gives_way_to_the_others_and_joins_anew() {
    let (host, cluster) = beside(&["10.0.0.2", "10.0.0.3"]);
    let cluster = Cluster { archives: archives(Some(host.publish_archive())), ..cluster };
    host.configure(&cluster).unwrap();
    host.join(&both(&cluster)).unwrap();
    fs::remove_dir_all(host.path("var/lib/etcd/member")).unwrap();
    fs::remove_file(host.path("world/active/etcd-member.service")).unwrap();
    host.write("world/etcd-down/10.0.0.1", "");
    assert_eq!(host.configure(&both(&cluster)), Ok(()));
    let report = host.observe().unwrap();
    assert_eq!(report.membership, Membership::None);
    assert_eq!(report.etcd[0], member("10.0.0.1", MemberState::Silent));
    // The others forget it, and then it is one that comes anew.
    fs::remove_file(host.path("world/etcd/10.0.0.1")).unwrap();
    fs::remove_file(host.path("world/etcd-down/10.0.0.1")).unwrap();
    assert_eq!(host.join(&both(&cluster)), Ok(()));
    assert_eq!(host.observe().unwrap().membership, Membership::Member);
}
