//! One replica is removed, and stays away until the next deployment.

use skipper_core::{event::RunStarted, exit::Exit};
use skipper_deploy::{
    runner::{Bounds, Runner},
    sim::{Fault, FaultKind, SimWorld},
};

use crate::shop::{Told, commit, plan, run, ship, ship_within, shop};

fn remove(world: &SimWorld, uuid: &str) -> Told {
    let remove = async |runner: Runner<'_>| {
        let about = RunStarted { command: "remove".to_owned(), revision: None, ..runner.about.clone() };
        Runner { about, ..runner }.remove_replica(uuid).await
    };
    run(world, &shop(2), &commit(1), |_| false, remove)
}

/// Two services on two hosts.
fn serving_world() -> SimWorld {
    let world = SimWorld::default();
    assert_eq!(ship(&world, &shop(2), &commit(1)).exit, Exit::Serves);
    world
}

fn serving(world: &SimWorld) -> usize {
    ["app_1", "app_2"].iter().map(|host| world.serving_on(host).len()).sum()
}

#[test]
fn a_replica_that_is_removed_stays_away_until_the_next_deployment() {
    let world = serving_world();
    let told = remove(&world, "web_2");
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_eq!(told.finished().summary, "`web_2` is removed, until the next deployment");
    assert!(told.steps()[0].starts_with("remove `shop-production-web_2-"), "{:?}", told.steps());
    assert_eq!((serving(&world), world.serving_on("app_1").len()), (3, 2));
    assert!(!plan(&world, &shop(2), &commit(1)).plan().is_empty());
    assert_eq!(ship(&world, &shop(2), &commit(1)).exit, Exit::Serves);
    assert_eq!(serving(&world), 4);
}

#[test]
fn a_name_that_nothing_has_is_refused_with_those_that_there_are() {
    let world = serving_world();
    for unknown in ["web_3", "web", "Web_1", "redis_1"] {
        let told = remove(&world, unknown);
        assert_eq!(told.exit, Exit::BadInput, "{unknown}");
        let failure = told.finished().failure.clone().unwrap();
        assert_eq!(failure.message, format!("there is no replica `{unknown}`"));
        assert_eq!(failure.hints, ["name one of `clock_1`, `clock_2`, `web_1`, `web_2`"]);
    }
    assert_eq!(serving(&world), 4);
    assert_eq!(remove(&SimWorld::default(), "web_1").finished().failure.clone().unwrap().hints, ["nothing runs"]);
}

#[test]
fn a_replica_on_a_host_that_is_silent_is_not_said_to_be_unknown() {
    let world = serving_world();
    world.change().hosts.values_mut().for_each(|host| host.silent = true);
    let told = remove(&world, "web_2");
    assert_eq!(told.exit, Exit::Blocked);
    assert!(told.failure().contains("its SSM agent has stopped answering"), "{}", told.failure());
}

#[test]
fn a_host_in_trouble_keeps_no_replica_of_another_from_being_removed() {
    let world = serving_world();
    world.change().hosts.values_mut().filter(|host| host.host.number == 2).for_each(|host| host.stopped = true);
    let told = remove(&world, "web_1");
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_eq!(world.serving_on("app_1").len(), 1);
}

#[test]
fn a_removal_that_fails_says_so_and_is_gone_on_with() {
    let world = serving_world();
    world.change().faults = vec![Fault::always("remote.run/remove", FaultKind::Denied)];
    let told = remove(&world, "web_2");
    assert_eq!(told.exit, Exit::Refused, "{:?}", told.finished());
    assert_eq!(told.finished().summary, "`web_2` could not be removed");
    assert_eq!(serving(&world), 4);
    world.change().faults.clear();
    assert_eq!(remove(&world, "web_2").exit, Exit::Serves);
    assert_eq!(serving(&world), 3);
}

#[test]
fn hosts_are_brought_up_without_anything_on_them_and_left_alone_where_they_are() {
    let world = SimWorld::default();
    let hosts_only = || Bounds { hosts_only: true, ..Bounds::default() };
    let told = ship_within(&world, &shop(1), &commit(1), hosts_only());
    assert_eq!((told.exit, told.finished().summary.as_str()), (Exit::Serves, "every host is up"));
    assert_eq!((world.look().hosts.len(), serving(&world)), (1, 0));
    assert!(world.look().registry.tags.is_empty(), "nothing is built");
    assert!(!world.look().parameters.keys().any(|path| path.contains("/releases/")), "it is no release");
    assert_eq!(ship(&world, &shop(1), &commit(1)).exit, Exit::Serves);
    assert_eq!((world.look().hosts.len(), serving(&world)), (1, 2));
    // What runs there goes on, and one host more comes up beside it, empty.
    let told = ship_within(&world, &shop(2), &commit(2), hosts_only());
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_eq!((world.look().hosts.len(), serving(&world), world.serving_on("app_2").len()), (2, 2, 0));
    let told = ship_within(&world, &shop(2), &commit(2), hosts_only());
    assert_eq!(told.finished().summary, "nothing to do: every host is up");
    // A file that asks for less takes nothing away.
    assert_eq!(ship(&world, &shop(2), &commit(2)).exit, Exit::Serves);
    let mut less = shop(1);
    less.services.remove(&"clock".parse().unwrap());
    less.groups.values_mut().for_each(|group| group.services.retain(|service| service.as_ref() == "web"));
    let told = ship_within(&world, &less, &commit(2), hosts_only());
    assert_eq!((told.exit, serving(&world)), (Exit::Serves, 4), "{:?}", told.steps());
    assert!(told.plan().notes.iter().any(|note| note.contains("hosts are only brought up")), "{:?}", told.plan().notes);
}
