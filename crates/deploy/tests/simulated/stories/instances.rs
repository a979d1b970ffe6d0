//! What somebody asks for about one host.

use skipper_core::{event::RunStarted, exit::Exit};
use skipper_deploy::{
    runner::Runner,
    sim::{Fault, FaultKind, SimHost, SimWorld},
};

use crate::shop::{Told, commit, run, ship, shop};

fn remove(world: &SimWorld, uuid: &str, force: bool) -> Told {
    let remove = async |runner: Runner<'_>| {
        let about = RunStarted { command: "instances remove".to_owned(), revision: None, ..runner.about.clone() };
        Runner { about, ..runner }.remove_host(uuid, force).await
    };
    run(world, &shop(3), &commit(1), |_| false, remove)
}

fn serving_world(hosts: u32) -> SimWorld {
    let world = SimWorld::default();
    assert_eq!(ship(&world, &shop(hosts), &commit(1)).exit, Exit::Serves);
    world
}

fn alive(world: &SimWorld) -> Vec<String> {
    let mut alive: Vec<String> =
        world.look().hosts.values().filter(|host| host.alive()).map(|host| host.host.to_string()).collect();
    alive.sort();
    alive
}

/// The addresses of etcd's members, each with whether it has begun.
fn members(world: &SimWorld) -> Vec<bool> {
    world.look().etcd.values().flat_map(|members| members.values().copied()).collect()
}

fn each(world: &SimWorld, number: u32, change: impl Fn(&mut SimHost)) {
    world.change().hosts.values_mut().filter(|host| host.host.number == number).for_each(change);
}

#[test]
fn a_host_goes_after_its_member_and_its_replicas_and_comes_back_with_the_next_deployment() {
    let world = serving_world(3);
    let told = remove(&world, "app_2", false);
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    let summary = "host `app_2` is removed; the next deployment brings it back unless `scale` is lowered";
    assert_eq!(told.finished().summary, summary);
    let steps = told.steps();
    let place =
        |words: &str| steps.iter().position(|step| step.starts_with(words)).unwrap_or_else(|| panic!("{steps:?}"));
    let order =
        ["take the member of etcd from host `app_2`", "remove `shop-production-", "terminate host `app_2`"].map(place);
    assert!(order.is_sorted(), "{steps:?}");
    assert_eq!((alive(&world), members(&world)), (vec!["app_1".to_owned(), "app_3".to_owned()], vec![true]));
    // What runs elsewhere was not touched.
    assert_eq!((world.serving_on("app_1").len(), world.serving_on("app_3").len()), (2, 2));
    let told = ship(&world, &shop(3), &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_eq!((alive(&world).len(), members(&world)), (3, vec![true; 3]));
}

#[test]
fn the_only_member_of_etcd_moves_to_another_host_first() {
    let world = serving_world(2);
    let told = remove(&world, "app_1", false);
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    let steps = told.steps();
    assert!(steps.iter().any(|step| step.starts_with("give host `app_2` a member of etcd")), "{steps:?}");
    assert_eq!(
        (alive(&world), members(&world), world.serving_on("app_2").len()),
        (vec!["app_2".to_owned()], vec![true], 2)
    );
}

#[test]
fn a_name_that_no_host_has_is_refused_with_those_that_there_are() {
    let world = serving_world(2);
    for unknown in ["app_3", "app", "web_1", ""] {
        let told = remove(&world, unknown, true);
        assert_eq!(told.exit, Exit::BadInput, "{unknown}");
        let failure = told.finished().failure.clone().unwrap();
        assert_eq!(failure.message, format!("there is no host `{unknown}`"));
        assert_eq!(failure.hints, ["name one of `app_1`, `app_2`"]);
    }
    assert_eq!(alive(&world).len(), 2);
}

#[test]
fn a_host_whose_engine_does_not_say_what_it_runs_is_taken_for_one_that_does_not_answer() {
    let world = serving_world(2);
    each(&world, 2, SimHost::end_engine);
    let told = remove(&world, "app_2", false);
    assert_eq!((told.exit, alive(&world).len()), (Exit::Blocked, 2), "{:?}", told.finished());
    assert!(told.failure().contains("its Docker engine does not answer"), "{}", told.failure());
    assert_eq!((remove(&world, "app_2", true).exit, alive(&world).len()), (Exit::Serves, 1));
}

#[test]
fn the_last_of_something_stays_unless_it_is_forced() {
    let world = serving_world(1);
    let told = remove(&world, "app_1", false);
    assert_eq!(told.exit, Exit::Blocked);
    for why in ["it has the last member of etcd", "no other host serves `clock`", "no other host serves `web`"] {
        assert!(told.failure().contains(why), "{}", told.failure());
    }
    assert!(told.finished().failure.as_ref().unwrap().hints[0].contains("--force"));
    assert_eq!(world.serving_on("app_1").len(), 2);
    assert_eq!(remove(&world, "app_1", true).exit, Exit::Serves);
    assert_eq!(alive(&world), Vec::<String>::new());
    assert_eq!(ship(&world, &shop(1), &commit(1)).exit, Exit::Serves);

    // Where the other one does not serve it, either.
    let world = serving_world(2);
    each(&world, 2, |host| {
        host.units.values_mut().for_each(|unit| unit.serves = unit.unit.replica.service.as_ref() == "web")
    });
    let told = remove(&world, "app_1", false);
    assert_eq!(told.exit, Exit::Blocked);
    assert!(
        told.failure().contains("no other host serves `clock`") && !told.failure().contains("`web`"),
        "{}",
        told.failure()
    );
}

#[test]
fn a_host_that_does_not_answer_goes_only_when_it_is_forced() {
    let world = serving_world(3);
    each(&world, 3, |host| host.silent = true);
    let told = remove(&world, "app_3", false);
    assert_eq!(told.exit, Exit::Blocked);
    assert!(told.failure().contains("what it runs is not known"), "{}", told.failure());
    // While another one is silent, nobody knows what would be left.
    assert_eq!(remove(&world, "app_2", true).exit, Exit::Blocked);
    assert_eq!(alive(&world).len(), 3);
    each(&world, 3, |host| host.stopped = true);
    let told = remove(&world, "app_3", true);
    assert_eq!(told.exit, Exit::Serves, "{:?}\n{:?}", told.finished(), told.steps());
    assert!(told.steps().iter().any(|step| step.starts_with("have etcd forget the member at ")), "{:?}", told.steps());
    assert_eq!((alive(&world).len(), members(&world)), (2, vec![true]));
}

#[test]
fn a_removal_that_is_broken_off_is_gone_on_with() {
    for call in ["remote.run/leave", "remote.run/configure", "remote.run/remove", "compute.terminate"] {
        let world = serving_world(3);
        world.change().faults = vec![Fault::always(call, FaultKind::Denied)];
        let told = remove(&world, "app_3", false);
        assert_eq!(told.exit, Exit::Refused, "{call}: {:?}", told.finished());
        assert_eq!(told.finished().summary, "host `app_3` could not be removed");
        world.change().faults.clear();
        let told = remove(&world, "app_3", false);
        assert_eq!(told.exit, Exit::Serves, "{call}: {:?}", told.finished());
        assert_eq!((alive(&world).len(), members(&world)), (2, vec![true]), "{call}");
    }
}

fn reboot(world: &SimWorld, uuid: Option<&str>) -> Told {
    let reboot = async |runner: Runner<'_>| {
        let about = RunStarted { command: "instances reboot".to_owned(), revision: None, ..runner.about.clone() };
        Runner { about, ..runner }.reboot_hosts(uuid).await
    };
    run(world, &shop(3), &commit(1), |_| false, reboot)
}

fn boots(world: &SimWorld) -> Vec<(u32, u32)> {
    let mut boots: Vec<(u32, u32)> = world.look().hosts.values().map(|host| (host.host.number, host.boots)).collect();
    boots.sort_unstable();
    boots
}

#[test]
fn hosts_reboot_one_after_another_and_what_served_serves_again() {
    let world = serving_world(3);
    world.change().serving.clear();
    let told = reboot(&world, None);
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_eq!(told.finished().summary, "rebooted: `app_1`, `app_2`, `app_3`; what served there serves again");
    let steps = told.steps();
    assert_eq!((steps.len(), boots(&world)), (9, vec![(1, 2), (2, 2), (3, 2)]));
    assert!(steps[0].starts_with("stop `clock_1`, `web_1` on host `app_1`: its host reboots"), "{steps:?}");
    assert!(
        steps[1].starts_with("reboot host `app_1`") && steps[2].starts_with("start `clock_1`, `web_1` again"),
        "{steps:?}"
    );
    let served = world.look().serving.clone();
    assert!(served.iter().all(|serving| serving.values().all(|count| *count >= 2)), "{served:?}");
    // What is deployed is what was there.
    assert!(ship(&world, &shop(3), &commit(1)).plan().is_empty());
}

#[test]
fn one_host_reboots_by_its_name_and_the_others_run_on() {
    let world = serving_world(2);
    let told = reboot(&world, Some("app_2"));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_eq!(boots(&world), [(1, 1), (2, 2)]);
    let told = reboot(&world, Some("app_9"));
    assert_eq!(told.exit, Exit::BadInput);
    assert_eq!(told.finished().failure.as_ref().unwrap().hints, ["name one of `app_1`, `app_2`"]);
}

#[test]
fn the_first_host_that_does_not_come_back_is_the_last_that_was_touched() {
    let world = serving_world(3);
    each(&world, 2, |host| host.stays_down = true);
    let told = reboot(&world, None);
    assert_eq!(told.exit, Exit::Degraded, "{:?}", told.finished());
    assert!(told.failure().contains("was not back within 480 s: its SSM agent is not online"), "{}", told.failure());
    assert_eq!(
        (boots(&world), world.serving_on("app_1").len(), world.serving_on("app_3").len()),
        (vec![(1, 2), (2, 2), (3, 1)], 2, 2)
    );
}

#[test]
fn a_reboot_that_is_broken_off_leaves_nothing_that_the_next_deployment_does_not_start() {
    for call in ["remote.run/stop", "compute.reboot", "remote.run/start"] {
        let world = serving_world(2);
        world.change().faults = vec![Fault::always(call, FaultKind::Denied)];
        let told = reboot(&world, Some("app_1"));
        assert!(matches!(told.exit, Exit::Degraded | Exit::Refused), "{call}: {:?}", told.finished());
        assert_eq!(told.exit == Exit::Refused, call == "remote.run/stop", "{call}");
        world.change().faults.clear();
        assert_eq!(ship(&world, &shop(2), &commit(1)).exit, Exit::Serves, "{call}");
        assert_eq!(world.serving_on("app_1").len(), 2, "{call}");
    }
}

#[test]
fn no_host_reboots_while_a_member_of_etcd_is_missing() {
    let world = serving_world(4);
    each(&world, 2, |host| host.stopped = true);
    assert_eq!(reboot(&world, Some("app_1")).exit, Exit::Blocked);
    assert_eq!(boots(&world), [(1, 1), (2, 1), (3, 1), (4, 1)]);
}
