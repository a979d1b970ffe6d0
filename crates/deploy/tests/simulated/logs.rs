//! What replicas have printed, of all hosts, however much it is.

use std::collections::BTreeMap;

use skipper_core::{
    log::{LogLine, LogOf},
    observed::InstanceId,
    orchestrator::fleet::Fleet,
};
use skipper_deploy::{
    logs::{Logs, Read},
    sim::{Fault, FaultKind, SimWorld},
};

use crate::shop::{commit, in_time, scope, ship, shop};

/// Two hosts, each of whose replicas of `web` has printed so many lines, in turns.
fn world(lines: u64) -> SimWorld {
    let world = SimWorld::default();
    ship(&world, &shop(2), &commit(1));
    for host in world.change().hosts.values_mut() {
        let number = host.host.number;
        let line = |index| LogLine {
            at: index * 10 + u64::from(number),
            replica: format!("web_{number}").parse().unwrap(),
            text: format!("line {index} of {number}"),
        };
        host.printed = (1..=lines).map(line).collect();
    }
    world.take_calls();
    world
}

fn read(world: &SimWorld, lines: u32) -> Read {
    let of = |host: &skipper_deploy::sim::SimHost| {
        let replicas = host.units.iter().map(|(handle, unit)| (unit.unit.replica.clone(), handle.clone())).collect();
        LogOf { offset: 0, since: None, replicas }
    };
    let hosts: BTreeMap<InstanceId, LogOf> =
        world.look().hosts.iter().map(|(instance, host)| (instance.clone(), of(host))).collect();
    let scope = scope(&shop(2));
    let logs = Logs { remote: world, orchestrator: &Fleet, scope: &scope };
    in_time(logs.read(lines, "a1", &hosts))
}

fn texts(read: &Read) -> Vec<&str> {
    read.lines.iter().map(|(_, line)| line.text.as_str()).collect()
}

#[test]
fn everything_comes_in_the_order_of_time_in_as_many_answers_as_it_takes() {
    let world = world(40);
    let all = read(&world, 100);
    let expected: Vec<String> =
        (1..=40).flat_map(|index| [1, 2].map(|number| format!("line {index} of {number}"))).collect();
    assert_eq!((texts(&all), all.failures.len()), (expected.iter().map(String::as_str).collect(), 0));
    // One question to both hosts each time.
    assert!((2..10).contains(&world.take_calls()["remote.run/logs"]));
    let few = read(&world, 2);
    assert_eq!(texts(&few), ["line 39 of 1", "line 39 of 2", "line 40 of 1", "line 40 of 2"]);
}

#[test]
fn lines_of_one_moment_keep_their_order_and_none_is_lost() {
    let world = world(60);
    world.change().hosts.values_mut().flat_map(|host| &mut host.printed).for_each(|line| line.at = 7);
    let all = read(&world, 100);
    let of_one = texts(&all).into_iter().filter(|text| text.ends_with(" of 1")).collect::<Vec<_>>();
    assert_eq!(of_one, (1..=60).map(|index| format!("line {index} of 1")).collect::<Vec<_>>());
}

#[test]
fn a_chatty_replica_takes_no_lines_from_another() {
    let world = world(30);
    for host in world.change().hosts.values_mut() {
        let quiet = LogLine { at: 1, replica: "clock_1".parse().unwrap(), text: "once".to_owned() };
        if host.units.values().any(|unit| unit.unit.replica == quiet.replica) {
            host.printed.push(quiet);
        }
    }
    let read = read(&world, 5);
    assert_eq!((read.lines.len(), texts(&read)[0]), (11, "once"));
}

#[test]
fn a_host_that_is_silent_keeps_no_other_from_being_read() {
    let world = world(2);
    world.change().hosts.values_mut().filter(|host| host.host.number == 1).for_each(|host| host.silent = true);
    let read_it = read(&world, 100);
    assert_eq!((read_it.lines.len(), read_it.failures.len()), (2, 1));
    world.change().faults = vec![Fault::always("remote.run/logs", FaultKind::Denied)];
    let denied = read(&world, 100);
    assert!(denied.lines.is_empty() && denied.failures[0].message.contains("read the logs"), "{:?}", denied.failures);
}

#[test]
fn a_host_does_not_speak_for_replicas_of_another() {
    let world = world(1);
    world.change().hosts.values_mut().filter(|host| host.host.number == 1).for_each(|host| {
        host.printed[0].replica = "web_2".parse().unwrap();
    });
    assert_eq!(texts(&read(&world, 100)), ["line 1 of 2"]);
}
