//! Stories of deployments, as their users would tell them.

use std::time::Duration;

use skipper_core::{
    config::Port,
    event::{EventKind, Outcome},
    exit::Exit,
    observed::LaunchFacts,
};
use skipper_deploy::sim::{Fault, FaultKind, SimWorld};

use crate::shop::{commit, edit, plan, service, ship, ship_and_cancel, shop};

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
    let probe = plan(world, &shop(hosts), &commit(2));
    drop(probe);
    // The digest of an image follows from its sources and its commit, so a run on a copy of the registry tells it.
    let copy = SimWorld::default();
    copy.change().registry = world.look().registry.clone();
    ship(&copy, &shop(1), &commit(2));
    let broken = copy.look().hosts.values().flat_map(|host| host.images.clone()).collect();
    world.change().broken_images = broken;
    let fine: Vec<_> = world.look().hosts.values().flat_map(|host| host.images.clone()).collect();
    world.change().broken_images.retain(|image| !fine.contains(image));
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

#[test]
fn a_run_that_is_cancelled_while_it_builds_ends_at_once_and_deploys_nothing() {
    let world = SimWorld::default();
    world.change().faults = vec![Fault::once("engine.build_and_push", FaultKind::TimeoutUndone)];
    let told =
        ship_and_cancel(&world, &shop(1), &commit(1), |event| matches!(&event.kind, EventKind::ImageStarted { .. }));
    assert_eq!(told.exit, Exit::Cancelled);
    assert!(told.finished().took_ms < 3_000 && world.look().hosts.is_empty(), "{:?}", told.finished());
}

#[test]
fn a_run_that_is_cancelled_while_hosts_come_up_says_what_it_leaves_and_goes_on_when_run_again() {
    let world = SimWorld::default();
    // The sixth step of a first deploy waits for its hosts.
    let told = ship_and_cancel(
        &world,
        &shop(1),
        &commit(1),
        |event| matches!(&event.kind, EventKind::StepStarted { step } if step.0 == 6),
    );
    assert_eq!(told.exit, Exit::Cancelled);
    assert!(told.finished().leftovers[0].contains("host `app_1`"), "{:?}", told.finished());
    assert!(
        told.events
            .iter()
            .any(|event| matches!(&event.kind, EventKind::StepFinished { outcome: Outcome::Cancelled { .. }, .. }))
    );
    assert_eq!(ship(&world, &shop(1), &commit(1)).exit, Exit::Serves);
    assert_eq!(world.look().hosts.len(), 1);
}

#[test]
fn a_run_that_is_cancelled_during_a_rollout_finishes_the_host_it_is_at() {
    let world = SimWorld::default();
    ship(&world, &shop(2), &commit(1));
    edit(&world, "web", "new");
    let told =
        ship_and_cancel(&world, &shop(2), &commit(2), |event| matches!(&event.kind, EventKind::ReplicaStarted { .. }));
    assert_eq!(told.exit, Exit::Cancelled, "{:?}", told.finished());
    assert_eq!(world.serving_on("app_1").len() + world.serving_on("app_2").len(), 4);
    let again = ship(&world, &shop(2), &commit(2));
    assert_eq!((again.exit, again.steps().len()), (Exit::Serves, 2), "{:?}", again.steps());
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
fn an_image_that_is_too_old_is_built_anew_although_its_inputs_have_not_changed() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    world.change().registry.age = Duration::from_secs(8 * 24 * 3600);
    world.take_calls();
    ship(&world, &shop(1), &commit(2));
    assert_eq!(world.take_calls()["engine.build_and_push"], 2);
}

#[test]
fn a_plan_changes_nothing_and_names_what_has_no_image_yet() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    edit(&world, "web", "new");
    world.take_calls();
    let told = plan(&world, &shop(1), &commit(2));
    assert_eq!(told.exit, Exit::Serves);
    let warned = told.events.iter().any(|event| {
        matches!(&event.kind, EventKind::Warning { failure } if failure.message.contains("service `web` has no image"))
    });
    assert!(warned && told.steps().is_empty(), "{:?}", told.steps());
    let calls = world.take_calls();
    assert!(
        calls.keys().all(|call| !call.contains("launch") && !call.contains("run/start") && !call.contains("write")),
        "{calls:?}"
    );
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

#[test]
fn a_list_that_lags_behind_what_was_changed_does_not_fail_a_release() {
    let world = SimWorld::default();
    // The first answer is for the plan, the second for the proof.
    world.change().faults = vec![Fault { after: 1, ..Fault::once("compute.security_groups", FaultKind::Stale) }];
    let told = ship(&world, &shop(1), &commit(1));
    assert_eq!(told.exit, Exit::Serves, "{:?}", told.finished());
}
