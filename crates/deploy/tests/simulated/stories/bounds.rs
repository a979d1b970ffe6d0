//! Runs that may not do everything: the plan that people saw, a newer commit, some services only, hosts that nobody names.

use skipper_core::{exit::Exit, image::Revision, plan::Outline};
use skipper_deploy::{
    runner::{Bounds, ExpectedPlan},
    sim::{Fault, FaultKind, SimWorld},
};

use crate::shop::{Told, commit, edit, plan, ship, ship_within, shop};

fn expecting_the_plan_shown() -> Bounds {
    Bounds { expected_plan: Some(ExpectedPlan::OnPullRequest), ..Bounds::default() }
}

fn is_running(world: &SimWorld, host: &str) -> bool {
    world.look().hosts.values().any(|found| found.host.to_string() == host && found.alive())
}

fn ship_what_was_shown(world: &SimWorld, hosts: u32, n: u8) -> Told {
    ship_within(world, &shop(hosts), &commit(n), expecting_the_plan_shown())
}

#[test]
fn what_a_pull_request_has_shown_is_carried_out_after_the_merge() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    edit(&world, "web", "new");
    assert_eq!(plan(&world, &shop(1), &commit(2)).exit, Exit::Serves);
    // The merge is another commit, with the same inputs.
    let told = ship_what_was_shown(&world, 1, 3);
    assert_eq!(told.exit, Exit::Serves, "{}", told.failure());
}

#[test]
fn a_world_that_moved_between_plan_and_merge_is_refused_with_what_moved() {
    let world = SimWorld::default();
    ship(&world, &shop(2), &commit(1));
    edit(&world, "web", "new");
    plan(&world, &shop(2), &commit(2));
    world.change().hosts.values_mut().filter(|host| host.host.number == 2).for_each(|host| host.terminated = true);
    let told = ship_what_was_shown(&world, 2, 3);
    assert_eq!(told.exit, Exit::Blocked, "{:?}", told.finished());
    let failure = told.failure();
    assert!(
        failure.contains("the world has moved") && failure.contains("it was not there: launch host `app_2`"),
        "{failure}"
    );
    assert!(failure.contains("it is not needed any more: replace `web_2` on `app_2`"), "{failure}");
    assert_eq!(world.serving_on("app_1").len(), 2, "nothing was changed");
}

#[test]
fn a_run_that_was_cut_off_goes_on_with_what_is_left_of_the_plan_that_was_shown() {
    let world = SimWorld::default();
    ship(&world, &shop(2), &commit(1));
    edit(&world, "web", "new");
    plan(&world, &shop(2), &commit(2));
    world.change().broken_hosts.insert("app_2".parse().unwrap());
    assert_eq!(ship_what_was_shown(&world, 2, 3).exit, Exit::Degraded);
    world.change().broken_hosts.clear();
    let told = ship_what_was_shown(&world, 2, 3);
    assert_eq!(told.exit, Exit::Serves, "{}", told.failure());
}

#[test]
fn without_a_plan_on_the_pull_request_nothing_is_deployed() {
    let world = SimWorld::default();
    let told = ship_what_was_shown(&world, 1, 1);
    assert_eq!(told.exit, Exit::Blocked);
    assert!(told.failure().contains("no pull request of the commit shows one"), "{}", told.failure());
    assert!(world.look().hosts.is_empty());
}

#[test]
fn a_plan_that_was_blocked_is_none_to_agree_to() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    edit(&world, "web", "new");
    plan(&world, &shop(1), &commit(2));
    // A size that the host is not given, because of its data, takes the plan's place.
    world.change().hosts.values_mut().for_each(|host| host.volumes.extend(["shop.production.data".to_owned()]));
    let mut bigger = shop(1);
    bigger.groups.values_mut().for_each(|group| group.size = "t4g.medium".parse().unwrap());
    assert_eq!(plan(&world, &bigger, &commit(3)).exit, Exit::Blocked);
    let told = ship_what_was_shown(&world, 1, 3);
    assert!(told.failure().contains("could not be carried out"), "{}", told.failure());
}

#[test]
fn a_plan_is_expected_by_its_hash_too() {
    let world = SimWorld::default();
    let planned = plan(&world, &shop(1), &commit(1));
    let hash = Outline::of(planned.plan()).hash();
    let expecting = |hash| Bounds { expected_plan: Some(ExpectedPlan::Hash(hash)), ..Bounds::default() };
    let other = Outline::default().hash();
    assert_eq!(ship_within(&world, &shop(1), &commit(1), expecting(other)).exit, Exit::Blocked);
    assert_eq!(ship_within(&world, &shop(1), &commit(1), expecting(hash)).exit, Exit::Serves);
}

#[test]
fn an_older_commit_gives_way_to_a_newer_one_that_serves() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(2));
    world.take_calls();
    let gives_way = Bounds { gives_way: true, ..Bounds::default() };
    let told = ship_within(&world, &shop(1), &commit(1), gives_way.clone());
    assert_eq!(told.exit, Exit::Superseded);
    assert!(!world.take_calls().contains_key("engine.build_and_push"), "nothing was built");
    let comment = world.look().comments[0].2.clone();
    assert!(comment.contains("superseded"), "{comment}");
    // The one who names the commit gets it, and a newer one goes over it.
    assert_eq!(ship(&world, &shop(1), &commit(1)).exit, Exit::Serves);
    assert_eq!(ship_within(&world, &shop(1), &commit(3), gives_way).exit, Exit::Serves);
}

#[test]
fn where_nobody_knows_the_order_the_commit_is_deployed_and_that_is_said() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(2));
    world.change().faults = vec![Fault::always("code_host.is_behind", FaultKind::ServerError)];
    let told = ship_within(&world, &shop(1), &commit(1), Bounds { gives_way: true, ..Bounds::default() });
    assert_eq!(told.exit, Exit::Serves);
    assert!(told.warnings().iter().any(|warning| warning.contains("newer commit")), "{:?}", told.warnings());
}

#[test]
fn only_the_named_services_are_touched_and_the_others_belong_to_the_release() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    edit(&world, "web", "new");
    edit(&world, "clock", "new");
    let before = world.serving_on("app_1");
    let bounds = Bounds { services: ["web".parse().unwrap()].into(), ..Bounds::default() };
    let told = ship_within(&world, &shop(1), &commit(2), bounds);
    assert_eq!(told.exit, Exit::Serves, "{}", told.failure());
    let after = world.serving_on("app_1");
    let kept: Vec<_> = before.iter().filter(|unit| after.contains(unit)).collect();
    assert_eq!((before.len(), after.len(), kept.len()), (2, 2, 1), "{before:?} {after:?}");
    // A plain run afterwards deploys what was left alone.
    let rest = ship(&world, &shop(1), &commit(2));
    assert!(rest.steps().iter().any(|step| step.contains("clock_1")), "{:?}", rest.steps());
}

#[test]
fn hosts_of_a_group_that_is_gone_are_kept_until_somebody_allows_their_end() {
    let world = SimWorld::default();
    let mut two = shop(1);
    let mut spare = two.groups.values().next().unwrap().clone();
    spare.public_ports.clear();
    two.groups.insert("zone".parse().unwrap(), spare);
    ship(&world, &two, &commit(1));
    let kept = ship(&world, &shop(1), &commit(1));
    assert_eq!(kept.exit, Exit::Serves);
    assert!(is_running(&world, "zone_1"));
    let allowed = Bounds { allow_terminate: true, ..Bounds::default() };
    let told = ship_within(&world, &shop(1), &commit(1), allowed);
    assert_eq!(told.exit, Exit::Serves, "{}", told.failure());
    assert!(!is_running(&world, "zone_1") && is_running(&world, "app_1"));
}

#[test]
fn a_deployment_is_told_on_its_way_and_ends_with_the_run() {
    let world = SimWorld::default();
    ship(&world, &shop(1), &commit(1));
    let told: Vec<(&str, String)> = world.look().deployments[0]
        .1
        .iter()
        .map(|status| (status.state.as_str(), status.description.clone()))
        .collect();
    assert_eq!(told.first().unwrap().0, "pending");
    assert!(told.iter().any(|(state, what)| *state == "in_progress" && what.starts_with("step ")), "{told:?}");
    assert_eq!(*told.last().unwrap(), ("success", "deployed: the release serves on every host".to_owned()));
    // A minute of rollout is told at most every ten seconds.
    let edits = world.look().comments[0].3;
    assert!((2..=8).contains(&edits), "{edits}");
    let last: Revision = world.look().deployments[0].0.clone();
    assert_eq!(last, commit(1));
}
