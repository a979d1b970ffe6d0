//! Hosts that come, go, and keep silent.

use skipper_core::exit::Exit;
use skipper_deploy::sim::{Fault, FaultKind, SimWorld};

use crate::shop::{commit, edit, ship, shop};

#[test]
fn one_more_host_gets_its_replicas_and_others_are_left_alone() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    let before = world.serving_on("app_1");
    let told = ship(&world, &shop(2), &commit(1));
    assert_eq!(told.exit, Exit::Serves);
    assert_eq!(world.serving_on("app_1"), before);
    assert_eq!(world.serving_on("app_2").len(), 2);
}

#[test]
fn a_number_of_hosts_that_needs_other_etcd_members_is_blocked() {
    let world = SimWorld::default();
    ship(&world, &shop(2), &commit(1));
    let told = ship(&world, &shop(3), &commit(1));
    assert_eq!(told.exit, Exit::Blocked);
    assert!(
        told.failure().contains("3 hosts need 3 etcd member(s) and the cluster has 1 (`app_1`)"),
        "{}",
        told.failure()
    );
    assert_eq!(world.look().hosts.len(), 2);
}

#[test]
fn lowering_the_scale_ends_the_highest_hosts_after_their_replicas() {
    let world = SimWorld::default();
    ship(&world, &shop(5), &commit(1));
    let told = ship(&world, &shop(4), &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    let steps = told.steps();
    assert!(steps[0].starts_with("remove") && steps[1].starts_with("terminate host `app_5`"), "{steps:?}");
    assert_eq!(world.look().hosts.values().filter(|host| host.alive()).count(), 4);
}

#[test]
fn a_host_of_a_group_that_the_file_no_longer_names_is_kept_and_shown() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    let mut config = shop(1);
    let group = config.groups.remove(&"app".parse().unwrap()).unwrap();
    config.groups.insert("front".parse().unwrap(), group);
    let told = ship(&world, &config, &commit(1));
    assert!(
        told.plan().notes.iter().any(|note| note.contains("`app_1`") && note.contains("is kept")),
        "{:?}",
        told.plan().notes
    );
    assert_eq!(world.serving_on("app_1").len(), 2);
}

#[test]
fn a_port_that_is_public_no_longer_is_closed_last() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    let mut config = shop(1);
    config.groups.values_mut().for_each(|group| group.public_ports.clear());
    let told = ship(&world, &config, &commit(1));
    assert_eq!(
        told.steps(),
        ["revoke tcp 80 from 0.0.0.0/0, tcp 80 from ::/0 into group `app`: skipper.yml does not ask for it"]
    );
    assert_eq!(told.exit, Exit::Serves);
}

#[test]
fn a_host_that_somebody_terminated_is_launched_anew_with_the_next_token() {
    let world = SimWorld::default();
    ship(&world, &shop(2), &commit(1));
    world.change().hosts.values_mut().filter(|host| host.host.number == 2).for_each(|host| host.terminated = true);
    let told = ship(&world, &shop(2), &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_eq!(world.serving_on("app_2").len(), 2);
}

#[test]
fn a_host_whose_agent_is_not_listed_for_a_moment_is_not_taken_for_an_empty_one() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    let before = world.serving_on("app_1");
    edit(&world, "clock", "ticks louder");
    world.change().hosts.values_mut().for_each(|host| host.unlisted = 1);
    let told = ship(&world, &shop(1), &commit(2));
    assert_eq!(told.exit, Exit::Blocked, "{:?}", told.finished());
    assert!(told.failure().contains("host `app_1` has been in use"), "{}", told.failure());
    assert_eq!(world.serving_on("app_1"), before);
    assert_eq!(ship(&world, &shop(1), &commit(2)).exit, Exit::Serves);
}

#[test]
fn a_host_that_does_not_answer_blocks_and_is_not_harmed() {
    let world = SimWorld::default();
    ship(&world, &shop(3), &commit(1));
    world.change().hosts.values_mut().next().unwrap().silent = true;
    edit(&world, "web", "new");
    let told = ship(&world, &shop(3), &commit(2));
    assert_eq!(told.exit, Exit::Blocked, "{:?}", told.finished());
    assert!(told.failure().contains("host `app_1`: its SSM agent has stopped answering"), "{}", told.failure());
    assert_eq!(world.serving_on("app_1").len(), 2);
}

#[test]
fn hosts_whose_agents_never_register_are_waited_for_in_vain_and_kept() {
    let world = SimWorld::default();
    world.change().never_online = true;
    let told = ship(&world, &shop(1), &commit(1));
    assert_eq!(told.exit, Exit::Blocked, "{:?}", told.finished());
    assert!(told.failure().contains("hosts did not come online within 360 s"), "{}", told.failure());
    assert!(told.failure().contains("is running and its SSM agent is not registered"), "{}", told.failure());
    let hints = &told.finished().failure.as_ref().unwrap().hints;
    assert!(hints[0].contains("AmazonSSMManagedInstanceCore"), "{hints:?}");
    world.change().never_online = false;
    assert_eq!(ship(&world, &shop(1), &commit(1)).exit, Exit::Serves);
    assert_eq!(world.look().hosts.len(), 1);
}

#[test]
fn a_host_that_ec2_does_not_list_for_a_moment_is_not_launched_a_second_time() {
    let world = SimWorld::default();
    ship(&world, &shop(2), &commit(1));
    world.change().faults = vec![Fault::once("compute.instances", FaultKind::Stale)];
    world.take_calls();
    let told = ship(&world, &shop(2), &commit(1));
    // Its token gives the instance back, which then turns out to run everything already.
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    let calls = world.take_calls();
    assert!(calls.contains_key("compute.launch") && !calls.contains_key("remote.run/configure"), "{calls:?}");
    assert_eq!(world.look().hosts.len(), 2);
}
