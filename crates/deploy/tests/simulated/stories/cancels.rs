//! Runs that are cancelled.

use skipper_core::{
    event::{EventKind, Outcome},
    exit::Exit,
};
use skipper_deploy::sim::{Fault, FaultKind, SimWorld};

use crate::shop::{commit, edit, ship, ship_and_cancel, shop};

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
