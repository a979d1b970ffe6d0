//! Releases that serve.

use std::time::Duration;

use skipper_core::{config::Port, event::EventKind, exit::Exit};
use skipper_deploy::sim::{Fault, FaultKind, SimWorld};

use crate::shop::{commit, edit, plan, service, ship, shop};

#[test]
fn a_first_deploy_brings_up_hosts_and_serves() {
    let world = SimWorld::default();
    let told = ship(&world, &shop(2), &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_eq!(
        told.steps(),
        [
            "create the security group of the cluster: it does not exist",
            "authorize tcp 2379-2380 from the cluster into the cluster: no rule lets it in",
            "create the security group of group `app`: it does not exist",
            "authorize tcp 80 from 0.0.0.0/0, tcp 80 from ::/0 into group `app`: no rule lets it in",
            "launch host `app_1` (t3.small, Flatcar-stable-4593.2.5-hvm): the host does not exist",
            "launch host `app_2` (t3.small, Flatcar-stable-4593.2.5-hvm): the host does not exist",
            "wait until `app_1`, `app_2` are online: it is not ready yet",
            "configure `app_1`, `app_2` (etcd on `app_1`): not configured yet",
            "pull 2 images to `app_1`, `app_2`: every host has the image before any old replica stops",
            "start `clock_1` on `app_1`, `web_1` on `app_1`, `clock_2` on `app_2`, `web_2` on `app_2`: it does not exist",
        ]
    );
    assert_eq!(world.serving_on("app_1").len(), 2);
    assert_eq!(world.serving_on("app_2").len(), 2);
    let state = world.look();
    let [(7, key, body, _)] = &state.comments[..] else { panic!("one comment: {:?}", state.comments) };
    assert_eq!(key, "shop/production");
    assert!(body.contains("deployed: the release serves on every host"), "{body}");
}

#[test]
fn shipping_the_same_commit_again_changes_nothing() {
    let world = SimWorld::default();
    ship(&world, &shop(2), &commit(1));
    world.take_calls();
    let told = ship(&world, &shop(2), &commit(1));
    assert_eq!((told.exit, told.steps()), (Exit::Serves, Vec::new()));
    let calls = world.take_calls();
    let changing = [
        "compute.launch",
        "compute.authorize",
        "remote.run/start",
        "remote.run/remove",
        "engine.build_and_push",
        "store.write",
    ];
    assert!(changing.iter().all(|call| !calls.contains_key(*call)), "{calls:?}");
}

#[test]
fn a_commit_that_changes_one_service_rolls_only_that_one_host_by_host() {
    let world = SimWorld::default();
    ship(&world, &shop(2), &commit(1));
    edit(&world, "web", "a new greeting");
    let told = ship(&world, &shop(2), &commit(2));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert_eq!(
        told.steps(),
        [
            "pull 1 image to `app_1`, `app_2`: every host has the image before any old replica stops",
            "replace `web_1` (stop-first) on host `app_1`: its image changed",
            "replace `web_2` (stop-first) on host `app_2`: its image changed",
        ]
    );
    assert_eq!(told.plan().kept.len(), 2);
}

#[test]
fn where_ports_are_chosen_the_new_replica_serves_before_the_old_one_stops() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    world.change().serving.clear();
    edit(&world, "clock", "ticks louder");
    let told = ship(&world, &shop(1), &commit(2));
    assert_eq!(told.exit, Exit::Serves);
    assert!(told.steps()[1].contains("`clock_1` (start-first)"), "{:?}", told.steps());
    let clock = "clock".parse().unwrap();
    assert!(world.look().serving.iter().all(|serving| serving[&clock] >= 1));
}

#[test]
fn a_replica_gets_the_time_to_stop_that_the_file_gives_it() {
    let world = SimWorld::default();
    let mut config = shop(1);
    config.services.values_mut().for_each(|service| service.stop_grace_period = Duration::from_secs(600));
    ship(&world, &config, &commit(1));
    edit(&world, "web", "new");
    world.change().stop_takes = Duration::from_secs(590);
    let told = ship(&world, &config, &commit(2));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
}

#[test]
fn a_service_that_takes_over_anothers_port_waits_for_it() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    let mut config = shop(1);
    config.services.insert("web".parse().unwrap(), service("web", Port { host: Some(81), container: 5000 }));
    config.services.insert("front".parse().unwrap(), service("front", Port { host: Some(80), container: 5000 }));
    config.groups.values_mut().for_each(|group| group.services.push("front".parse().unwrap()));
    let told = ship(&world, &config, &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?} {:?}", told.steps(), told.finished());
    assert_eq!(world.serving_on("app_1").len(), 3);
}

#[test]
fn two_services_that_swap_their_ports_both_stop_first() {
    let world = SimWorld::default();
    let mut config = shop(1);
    config.services.insert("clock".parse().unwrap(), service("clock", Port { host: Some(81), container: 9000 }));
    ship(&world, &config, &commit(1));
    config.services.insert("clock".parse().unwrap(), service("clock", Port { host: Some(80), container: 9000 }));
    config.services.insert("web".parse().unwrap(), service("web", Port { host: Some(81), container: 5000 }));
    let told = ship(&world, &config, &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?} {:?}", told.steps(), told.finished());
}

#[test]
fn a_replica_that_died_is_started_again() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    world.change().hosts.values_mut().next().unwrap().units.values_mut().for_each(|unit| unit.serves = false);
    let told = ship(&world, &shop(1), &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    assert!(told.steps()[1].ends_with("it does not run"), "{:?}", told.steps());
}

#[test]
fn an_image_that_is_too_old_is_built_anew_although_its_inputs_have_not_changed() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    world.change().registry.age = Duration::from_secs(8 * 24 * 3600);
    world.take_calls();
    ship(&world, &shop(1), &commit(2));
    assert_eq!(world.take_calls()["engine.build_and_push"], 2);
}

#[test]
fn a_plan_changes_nothing_and_shows_what_is_to_be_built_and_replaced() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    edit(&world, "web", "new");
    world.take_calls();
    let told = plan(&world, &shop(1), &commit(2));
    assert_eq!(told.exit, Exit::Serves);
    let foreseen: Vec<(String, bool)> = told
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::ImageForeseen { service, image } => Some((service.to_string(), image.is_some())),
            _ => None,
        })
        .collect();
    assert_eq!(foreseen, [("clock".to_owned(), true), ("web".to_owned(), false)]);
    assert!(told.steps().iter().any(|step| step.starts_with("replace `web_1`")), "{:?}", told.steps());
    assert!(!told.steps().iter().any(|step| step.contains("clock")), "{:?}", told.steps());
    let calls = world.take_calls();
    assert!(
        calls.keys().all(|call| !call.contains("launch") && !call.contains("run/start") && !call.contains("write")),
        "{calls:?}"
    );
}

#[test]
fn a_list_that_lags_behind_what_was_changed_does_not_fail_a_release() {
    let world = SimWorld::default();
    // The first answer is for the plan, the second for the proof.
    world.change().faults = vec![Fault { after: 1, ..Fault::once("compute.security_groups", FaultKind::Stale) }];
    let told = ship(&world, &shop(1), &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
}

#[test]
fn a_step_that_did_its_work_and_whose_answer_was_lost_fails_nothing() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    edit(&world, "web", "new");
    world.change().faults = vec![Fault { times: Some(4), ..Fault::once("remote.run/remove", FaultKind::TimeoutDone) }];
    let told = ship(&world, &shop(1), &commit(2));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
    let warned = told.events.iter().any(|event| matches!(&event.kind, EventKind::Warning { failure } if failure.message.contains("nothing is left to do all the same")));
    assert!(warned);
}
