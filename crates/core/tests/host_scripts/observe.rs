//! A host tells what runs on it.

use std::{collections::BTreeSet, fs};

use skipper_core::{
    observed::{Handle, Health, OrchestratorState, ReplicaState, Stray},
    orchestrator::{HostError, Orchestrator as _, fleet::Fleet},
};

use crate::host::*;

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
    assert_eq!(report.host, Some("web_1".parse().unwrap()));
    // EC2 may leave a host out of an answer; what fleet still lists is not gone.
    assert_eq!(report.stray, [Stray { handle: Handle("a-3.service".to_owned()), host: "web_3".parse().unwrap() }]);
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
fn a_host_tells_which_volumes_have_names_and_where_its_engine_is_down_nothing_of_them() {
    let host = Host::configured();
    assert_eq!(host.observe().unwrap().volumes, Some(BTreeSet::new()));
    host.write("world/volumes", &format!("demo.production.data\n{}\nby-hand\n", "0a".repeat(32)));
    let named = BTreeSet::from(["by-hand".to_owned(), "demo.production.data".to_owned()]);
    assert_eq!(host.observe().unwrap().volumes, Some(named));
    host.write("world/engine-says", "Cannot connect to the Docker daemon\n");
    assert_eq!(host.observe().unwrap().volumes, None);
}

#[test]
fn a_registry_that_forgot_what_this_host_has_on_record_is_not_taken_for_an_empty_one() {
    let host = Host::configured();
    host.start(vec![start(&spec("web_1", "0a"))]);
    fs::remove_dir_all(host.path("world/registry")).unwrap();
    match host.observe().unwrap().orchestrator {
        OrchestratorState::Emptied(words) => assert!(words.starts_with("the registry is empty"), "{words}"),
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
fn a_name_that_would_be_another_file_is_not_looked_for() {
    let host = Host::configured();
    let row = |unit: &str| format!("{unit}\tlaunched\ttrue\tweb_1 on web_1 of demo/production\n");
    host.write("world/prints/list-unit-files", &format!("{}{}", row("a.service"), row("a/../../../../b.service")));
    match host.observe().unwrap().orchestrator {
        OrchestratorState::Silent(words) => assert!(words.contains("a/../../../../b.service"), "{words}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_script_that_breaks_off_still_answers() {
    let host = Host::configured();
    let mut script = Fleet.pull(&scope(), &supplies(vec![image("0a")]), &[]);
    script.header.retain(|(name, _)| *name != "TABLE");
    script.header.push(("TABLE", "###".to_owned()));
    let (_, what) = said(Fleet.read_done(&host.run(&script)));
    assert_eq!(what, "the table of this run cannot be read");

    let mut script = Fleet.observe(&scope());
    script.header.retain(|(name, _)| *name != "SCOPE");
    let HostError::Said { what, .. } = Fleet.read_observation(&host.run(&script)).unwrap_err() else {
        panic!("it said nothing")
    };
    assert!(what.starts_with("the script ended early") && what.contains("SCOPE"), "{what}");
}
