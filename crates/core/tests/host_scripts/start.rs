//! Replicas are started, and judged.

use std::{fs, time::Duration};

use skipper_core::{
    image::hex_digest,
    observed::{Handle, ReplicaState},
    orchestrator::{Start, StartOutcome, fleet::Unit},
};

use crate::host::*;

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
