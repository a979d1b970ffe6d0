//! Releases that do not serve, and what comes back.

use skipper_core::{exit::Exit, observed::LaunchFacts};
use skipper_deploy::sim::{Fault, FaultKind, SimWorld};

use crate::shop::{break_images_of, commit, edit, ship, shop};

#[test]
fn a_release_that_does_not_answer_stops_at_its_first_host_and_the_old_one_comes_back() {
    let world = SimWorld::default();
    ship(&world, &shop(3), &commit(1));
    let before: Vec<_> = ["app_1", "app_2", "app_3"].map(|host| world.serving_on(host)).into();
    edit(&world, "web", "crashes");
    let told = ship_broken(&world, 3);
    assert_eq!(told.exit, Exit::Restored, "{}", told.failure());
    assert!(told.failure().contains("start replica `web_1` on host `app_1`"), "{}", told.failure());
    let after: Vec<_> = ["app_1", "app_2", "app_3"].map(|host| world.serving_on(host)).into();
    assert_eq!(before, after);
    let body = world.look().comments[0].2.clone();
    assert!(body.contains("failed, the previous release serves") && body.contains("a line of its journal"), "{body}");
}

/// Ships commit 2 whose images all fail to answer.
fn ship_broken(world: &SimWorld, hosts: u32) -> crate::shop::Told {
    break_images_of(world, &commit(2));
    ship(world, &shop(hosts), &commit(2))
}

#[test]
fn a_first_release_that_does_not_answer_is_degraded_and_says_what_runs() {
    let world = SimWorld::default();
    world.change().broken_hosts.insert("app_1".parse().unwrap());
    let told = ship(&world, &shop(1), &commit(1));
    assert_eq!(told.exit, Exit::Degraded);
    assert!(
        told.failure().contains("no route to host") && told.failure().contains("`web_1` on `app_1`"),
        "{}",
        told.failure()
    );
}

#[test]
fn a_host_that_fails_after_others_were_updated_leaves_a_mix_and_says_so() {
    let world = SimWorld::default();
    ship(&world, &shop(2), &commit(1));
    edit(&world, "web", "new");
    world.change().broken_hosts.insert("app_2".parse().unwrap());
    let told = ship(&world, &shop(2), &commit(2));
    assert_eq!(told.exit, Exit::Degraded);
    let runs = told.failure();
    assert!(runs.contains("(2222222), serves") && runs.contains("serves"), "{runs}");
    // The old one serves on the host that failed.
    assert_eq!(world.serving_on("app_2").len(), 2);
    // Bringing back that mix once more is still no release that serves everywhere.
    assert_eq!(ship(&world, &shop(2), &commit(2)).exit, Exit::Degraded);
    edit(&world, "web", "newer");
    assert_eq!(ship_broken_on(&world, "app_1", 3).exit, Exit::Degraded);
    edit(&world, "web", "new");
    // And a plain re-run goes on once the host is well.
    world.change().broken_hosts.clear();
    assert_eq!(ship(&world, &shop(2), &commit(2)).exit, Exit::Serves);
}

/// Ships commit `n` to a world in which only this host is broken.
fn ship_broken_on(world: &SimWorld, host: &str, n: u8) -> crate::shop::Told {
    let was = std::mem::replace(&mut world.change().broken_hosts, [host.parse().unwrap()].into());
    let told = ship(world, &shop(2), &commit(n));
    world.change().broken_hosts = was;
    told
}

#[test]
fn a_first_release_that_fails_again_restores_nothing() {
    let world = SimWorld::default();
    world.change().broken_hosts.insert("app_2".parse().unwrap());
    assert_eq!(ship(&world, &shop(2), &commit(1)).exit, Exit::Degraded);
    assert_eq!(world.serving_on("app_1").len(), 2);
    assert_eq!(ship(&world, &shop(2), &commit(1)).exit, Exit::Degraded);
}

#[test]
fn a_release_that_serves_is_not_called_failed_because_tidying_up_was_refused() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    edit(&world, "web", "new");
    let mut config = shop(1);
    config.groups.values_mut().for_each(|group| group.public_ports.clear());
    world.change().faults = vec![Fault::always("compute.revoke", FaultKind::Denied)];
    let told = ship(&world, &config, &commit(2));
    assert_eq!(told.exit, Exit::Refused, "{:?}", told.finished());
    assert!(told.finished().summary.contains("the release serves on every host"), "{}", told.finished().summary);
    assert!(told.failure().contains("revoke ingress"), "{}", told.failure());
}

/// A world in which a stop-first rollout of commit 2 was broken off: the old `web_1` is stopped, the new one registered or not.
fn broken_off(registered: bool) -> SimWorld {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    let old = world.look().hosts.values().next().unwrap().units.clone();
    edit(&world, "web", "new");
    if registered {
        ship(&world, &shop(1), &commit(2));
    }
    let mut state = world.change();
    let host = state.hosts.values_mut().next().unwrap();
    host.units.extend(old);
    for unit in host.units.values_mut().filter(|unit| unit.unit.replica.to_string() == "web_1") {
        (unit.wanted, unit.serves) = (false, false);
    }
    drop(state);
    world
}

#[test]
fn what_a_broken_off_run_has_stopped_is_started_again_when_the_release_fails() {
    for registered in [false, true] {
        let world = broken_off(registered);
        assert_eq!(world.serving_on("app_1").len(), 1);
        world.change().broken_hosts.insert("app_1".parse().unwrap());
        let told = ship(&world, &shop(1), &commit(2));
        assert_eq!(told.exit, Exit::Degraded, "{:?}", told.finished());
        assert_eq!(world.serving_on("app_1").len(), 2, "{:?}", told.steps());
        world.change().broken_hosts.clear();
        assert_eq!(ship(&world, &shop(1), &commit(2)).exit, Exit::Serves);
    }
}

#[test]
fn a_build_that_fails_deploys_nothing() {
    let world = SimWorld::default();
    world.change().registry.failing.push("web".to_owned());
    let told = ship(&world, &shop(1), &commit(1));
    assert_eq!(told.exit, Exit::BuildFailed);
    assert!(
        told.failure().contains("make the image of service `web` ready") && told.failure().contains("RUN false"),
        "{}",
        told.failure()
    );
    assert!(world.look().hosts.is_empty());
}

#[test]
fn what_a_launch_lacks_blocks_the_plan_before_anything_changes() {
    let world = SimWorld::default();
    let impossible = LaunchFacts::Impossible {
        why: "there is no instance profile `skipper-host`".to_owned(),
        hint: Some("create it with the policy `AmazonSSMManagedInstanceCore`".to_owned()),
        refused: false,
    };
    world.change().launch_facts.insert("t3.small".to_owned(), impossible);
    let told = ship(&world, &shop(2), &commit(1));
    assert_eq!(told.exit, Exit::Blocked);
    assert!(told.failure().contains("there is no instance profile"), "{}", told.failure());
    assert!(world.look().security_groups.is_empty() && world.look().hosts.is_empty());
}

#[test]
fn credentials_of_another_account_change_nothing() {
    let world = SimWorld::default();
    world.change().account = "210987654321".to_owned();
    let told = ship(&world, &shop(1), &commit(1));
    assert_eq!(told.exit, Exit::Refused);
    assert_eq!(
        world.take_calls().into_keys().filter(|call| !call.starts_with("code_host")).collect::<Vec<_>>(),
        ["compute.account", "store.read"],
        "the records are read beside the account"
    );
}
