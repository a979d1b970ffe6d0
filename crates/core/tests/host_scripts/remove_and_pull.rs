//! Units are removed, and images fetched.

use std::{fs, sync::mpsc, time::Duration};

use skipper_core::{
    observed::{Handle, ReplicaState},
    orchestrator::{HostErrorKind, Orchestrator as _, Start, StartOutcome, fleet::Fleet},
};

use crate::host::*;

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
fn a_unit_that_is_stopped_stays_registered_and_starts_again() {
    let host = Host::configured();
    let start = start(&spec("web_1", "0a"));
    host.start(vec![start.clone()]);
    let stop = Fleet.stop(&scope(), &on_this_host(vec![start.handle.clone()]));
    assert_eq!(Fleet.read_done(&host.run(&stop)), Ok(()));
    let stopped = host.observe().unwrap().replicas.remove(0);
    assert_eq!(
        (stopped.handle.clone(), stopped.wanted, stopped.state),
        (start.handle.clone(), false, ReplicaState::Stopped)
    );
    // Delivered once more it finds its work done.
    assert_eq!(Fleet.read_done(&host.run(&stop)), Ok(()));
    let again = Start { spec: None, ..start };
    assert_eq!(host.start(vec![again])[0].outcome, StartOutcome::Healthy);
}
