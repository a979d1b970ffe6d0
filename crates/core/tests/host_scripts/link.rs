//! Containers are told where the services are that they link to.

use std::{fs, io::Read as _, os::unix::fs::MetadataExt as _};

use skipper_core::{
    desired::{DesiredService, ReplicaSpec},
    orchestrator::{Orchestrator as _, Place, StartOutcome, fleet::Fleet},
};

use crate::host::*;

const FILE: &str = "var/lib/skipper/hosts/demo/production";

fn place(service: &str, last: u8) -> Place {
    Place { service: service.parse().unwrap(), address: [10, 0, 0, last].into() }
}

fn link(host: &Host, places: &[Place]) {
    assert_eq!(Fleet.read_done(&host.run(&Fleet.link(&scope(), &on_this_host(places.to_vec())))), Ok(()));
}

fn linking(replica: &str) -> ReplicaSpec {
    let spec = spec(replica, "0a");
    ReplicaSpec { service: DesiredService { has_links: true, ..spec.service }, ..spec }
}

#[test]
fn a_host_keeps_what_it_was_told_and_says_what_that_was() {
    let host = Host::configured();
    assert_eq!(host.observe().unwrap().links, None);
    let places = [place("redis", 2), place("redis", 1), place("api", 3)];
    link(&host, &places);
    assert_eq!(host.read(FILE), "127.0.0.1 localhost\n10.0.0.2 redis\n10.0.0.1 redis\n10.0.0.3 api\n");
    assert_eq!(host.observe().unwrap().links, Some(Fleet.linked(&places)));
    // Somebody's hand is seen.
    host.write(FILE, "127.0.0.1 localhost\n10.0.0.9 redis\n");
    assert_ne!(host.observe().unwrap().links, Some(Fleet.linked(&places)));
}

#[test]
fn containers_that_run_see_what_their_host_is_told_and_never_a_half_of_it() {
    let host = Host::configured();
    link(&host, &[place("redis", 1), place("redis", 2), place("redis", 3)]);
    let file = fs::metadata(host.path(FILE)).unwrap();
    let mut mounted = fs::File::open(host.path(FILE)).unwrap();
    for places in [vec![place("redis", 4)], vec![place("redis", 4), place("api", 5)], vec![]] {
        link(&host, &places);
        assert_eq!(host.observe().unwrap().links, Some(Fleet.linked(&places)));
        assert!(!host.read(FILE).contains("\n\n"), "{:?}", host.read(FILE));
    }
    assert_eq!(fs::metadata(host.path(FILE)).unwrap().ino(), file.ino());
    let mut text = String::new();
    mounted.read_to_string(&mut text).unwrap();
    assert_eq!(text, "127.0.0.1 localhost\n");
}

#[test]
fn a_container_finds_itself_by_its_name_whatever_its_host_is_told_later() {
    let host = Host::configured();
    link(&host, &[place("redis", 1)]);
    let starts = ["web_1", "web_12", "web_1"].map(|replica| start(&linking(replica)));
    for start in starts {
        assert_eq!(host.start(vec![start])[0].outcome, StartOutcome::Healthy);
    }
    let own = "127.0.1.1 web_1\n127.0.1.1 web_12\n";
    assert_eq!(host.read(FILE), format!("127.0.0.1 localhost\n10.0.0.1 redis\n{own}"));
    // That is the host's own affair.
    assert_eq!(host.observe().unwrap().links, Some(Fleet.linked(&[place("redis", 1)])));
    link(&host, &[place("redis", 2)]);
    assert_eq!(host.read(FILE), format!("127.0.0.1 localhost\n10.0.0.2 redis\n{own}"));
}

#[test]
fn a_start_makes_no_hosts_file_of_its_own() {
    let host = Host::configured();
    host.start(vec![start(&linking("web_1"))]);
    assert!(!host.path(FILE).exists());
    host.start(vec![start(&spec("clock_1", "0b"))]);
    assert_eq!(host.observe().unwrap().links, None);
}
