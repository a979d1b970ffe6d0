//! A host that several previews share: each has its own units and leases, and does not wait for the others.

use std::{
    collections::BTreeSet,
    sync::mpsc,
    time::{Duration, Instant},
};

use skipper_core::{
    desired::{Binding, ReplicaSpec, Scope},
    observed::HostReport,
    orchestrator::{HostErrorKind, Orchestrator as _, Start, StartOutcome, Started, fleet::Fleet},
};

use crate::host::*;

fn preview(number: u64) -> Scope {
    format!("demo/pr-{number}").parse().unwrap()
}

/// The same replica of the same service, at its preview's own port.
fn of(scope: &Scope, port: u16) -> Start {
    let spec = ReplicaSpec { bindings: vec![Binding { host: port, container: 5000 }], ..spec("web_1", "0a") };
    Start { handle: Fleet.handle(scope, &spec), spec: Some(spec.clone()), ..start(&spec) }
}

fn start_on(host: &Host, scope: &Scope, start: &Start, lease: u64) -> Result<Vec<Started>, HostErrorKind> {
    let script = Fleet.start(scope, &on_this_host(vec![start.clone()])).fenced(lease);
    let output = host.run(&script);
    Fleet.read_started(&output).map_err(|_| said(Fleet.read_done(&output)).0)
}

fn observe(host: &Host, scope: &Scope) -> HostReport {
    Fleet.read_observation(&host.run(&Fleet.observe(scope))).unwrap()
}

#[test]
fn each_preview_sees_what_is_its_own_and_the_ports_of_the_others() {
    let host = Host::configured();
    for (number, port) in [(7, 20_007), (8, 20_008)] {
        let started = start_on(&host, &preview(number), &of(&preview(number), port), number).unwrap();
        assert_eq!(started[0].outcome, StartOutcome::Healthy);
    }
    let report = observe(&host, &preview(7));
    assert_eq!(report.replicas.iter().map(|found| found.bindings[0].host).collect::<Vec<_>>(), [20_007]);
    assert_eq!((report.held_ports, report.fence), (BTreeSet::from([20_008]), 7));
    let report = observe(&host, &preview(9));
    assert_eq!((report.replicas.len(), report.held_ports), (0, BTreeSet::from([20_007, 20_008])));
    assert_eq!(report.fence, 0);

    // One that goes takes nothing of the others along, and gives its port back.
    let gone = of(&preview(7), 20_007).handle;
    let removed = host.run(&Fleet.remove(&preview(7), &on_this_host(vec![gone]), false).fenced(7));
    assert_eq!(Fleet.read_done(&removed), Ok(()));
    let report = observe(&host, &preview(8));
    assert_eq!((report.replicas.len(), report.held_ports), (1, BTreeSet::new()));
    // A preview by its name may come back: the host knows which leases it has had.
    assert_eq!(observe(&host, &preview(7)).fence, 7);
}

#[test]
fn with_a_preview_its_volumes_end_and_no_others() {
    let host = Host::configured();
    host.write("world/volumes", "demo.pr-7.data\ndemo.pr-77.data\ndemo.pr-7x\n");
    let ended = host.run(&Fleet.remove(&preview(7), &on_this_host(Vec::new()), true).fenced(7));
    assert_eq!(Fleet.read_done(&ended), Ok(()));
    assert_eq!(host.read("world/volumes"), "demo.pr-77.data\ndemo.pr-7x\n");
}

#[test]
fn volumes_that_stay_when_a_preview_ends_are_told() {
    let host = Host::configured();
    let end = || said(Fleet.read_done(&host.run(&Fleet.remove(&preview(7), &on_this_host(Vec::new()), true)))).1;
    host.write("world/volumes", "demo.pr-7.cache\ndemo.pr-7.data\n");
    host.write("world/held", "demo.pr-7.data\n");
    assert_eq!(
        end(),
        "volumes of the environment stay: Error response from daemon: remove demo.pr-7.data: volume is in use"
    );
    assert_eq!(host.read("world/volumes"), "demo.pr-7.data\n");
    host.write("world/volumes-say", "Error response from daemon: no such folder\n");
    assert_eq!(
        end(),
        "volumes of the environment may stay, as they cannot be listed: Error response from daemon: no such folder"
    );
}

/// No report has room for all of them.
#[test]
fn a_preview_is_told_of_its_own_volumes_however_many_the_others_have() {
    let host = Host::configured();
    let others: String = (0..40).map(|number| format!("demo.pr-{}.data\n", 10 + number)).collect();
    host.write("world/volumes", &format!("{others}demo.pr-7.data\n"));
    let report = observe(&host, &preview(7));
    assert_eq!(report.volumes.as_ref().map(BTreeSet::len), Some(20));
    assert!(report.has_volumes(&preview(7)) && !report.has_volumes(&preview(99)), "{:?}", report.volumes);
}

#[test]
fn the_lease_of_one_preview_is_nothing_to_another() {
    let host = Host::configured();
    start_on(&host, &preview(7), &of(&preview(7), 20_007), 9).unwrap();
    let started = start_on(&host, &preview(8), &of(&preview(8), 20_008), 1).unwrap();
    assert_eq!(started[0].outcome, StartOutcome::Healthy);
    assert_eq!(start_on(&host, &preview(7), &of(&preview(7), 20_007), 8), Err(HostErrorKind::Fenced));
    assert_eq!(host.read("var/lib/skipper/fences/demo/pr-7"), "9\n");
    assert_eq!(host.read("var/lib/skipper/fences/demo/pr-8"), "1\n");
}

/// Holds a lock of the host as a script of another run does, and lets go of it when this is dropped.
fn held(host: &Host, lock: &str) -> std::fs::File {
    std::fs::create_dir_all(host.path("run")).unwrap();
    let file = std::fs::File::create(host.path(lock)).unwrap();
    file.lock().unwrap();
    file
}

#[test]
fn a_preview_s_script_waits_for_its_own_and_for_what_changes_the_host_and_for_nothing_else() {
    let host = &Host::configured();
    let ends_within = |lock: Option<&str>, patience: Duration| {
        std::thread::scope(|threads| {
            let kept = lock.map(|lock| held(host, lock));
            let (sender, receiver) = mpsc::channel();
            threads.spawn(move || {
                start_on(host, &preview(8), &of(&preview(8), 20_008), 1).unwrap();
                let _ = sender.send(());
            });
            let ended = receiver.recv_timeout(patience).is_ok();
            drop(kept);
            ended
        })
    };
    let long = Duration::from_secs(60);
    let began = Instant::now();
    assert!(ends_within(None, long));
    assert!(ends_within(Some("run/skipper.demo.pr-7.lock"), long));
    // Longer than both of these took together.
    let too_long = began.elapsed();
    assert!(!ends_within(Some("run/skipper.demo.pr-8.lock"), too_long));
    assert!(!ends_within(Some("run/skipper.lock"), too_long));
}
