//! A host refuses the scripts of a run that has lost its lease.

use skipper_core::orchestrator::{HostErrorKind, Orchestrator as _, StartOutcome, fleet::Fleet};

use crate::host::*;

#[test]
fn a_host_that_has_seen_a_later_lease_refuses_the_scripts_of_an_earlier_one() {
    let host = Host::configured();
    let replica = start(&spec("web_1", "0a"));
    let starts = |lease: u64| host.run(&Fleet.start(&scope(), &on_this_host(vec![replica.clone()])).fenced(lease));
    assert_eq!(Fleet.read_started(&starts(7)).unwrap()[0].outcome, StartOutcome::Healthy);
    assert_eq!(host.read("var/lib/skipper/fences/demo/production"), "7\n");

    // Looking raises the fence, so that nothing of an earlier run changes what was seen.
    Fleet.read_observation(&host.run(&Fleet.observe(&scope()).fenced(9))).unwrap();
    assert_eq!(host.read("var/lib/skipper/fences/demo/production"), "9\n");

    let refused = "this host has seen lease 9, and lease 8 may not change it any more".to_owned();
    let handles = on_this_host(vec![replica.handle.clone()]);
    let images = supplies(vec![image("0c")]);
    let before = (host.calls("fleetctl"), host.calls("docker"));
    for script in [
        Fleet.remove(&scope(), &handles, false),
        Fleet.pull(&scope(), &images, &[]),
        Fleet.configure(&cluster(None)),
        Fleet.start(&scope(), &on_this_host(vec![replica.clone()])),
    ] {
        let output = host.run(&script.fenced(8));
        assert_eq!(said(Fleet.read_done(&output)), (HostErrorKind::Fenced, refused.clone()), "{}", script.name);
    }
    assert_eq!((host.calls("fleetctl"), host.calls("docker")), before);
    assert_eq!(host.read("var/lib/skipper/fences/demo/production"), "9\n");
    // The run that has the lease goes on.
    assert_eq!(Fleet.read_done(&host.run(&Fleet.remove(&scope(), &handles, false).fenced(9))), Ok(()));
}
