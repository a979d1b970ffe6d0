//! A panic in the middle of a run: it is told, and the stream of events has its end.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use skipper_core::{
    event::{EventKind, Leftovers, Outcome},
    exit::Exit,
    failure::Failure,
};
use skipper_deploy::sim::SimWorld;

use crate::shop::{Told, commit, run, ship, shop};

/// Ships the first commit, and panics when something is told.
fn ship_and_panic(world: &SimWorld, when: fn(&EventKind) -> bool) -> Told {
    let revision = &commit(1);
    run(
        world,
        &shop(1),
        revision,
        move |event| when(&event.kind),
        async |runner| match AssertUnwindSafe(runner.ship(revision)).catch_unwind().await {
            Ok(exit) => exit,
            Err(_) => runner.break_off(Failure::new(Exit::Defect, "a defect in skipper")).await,
        },
    )
}

#[test]
fn a_panic_during_a_step_ends_the_step_and_the_run_and_says_what_may_be_half_done() {
    let world = SimWorld::default();
    let told = ship_and_panic(&world, |kind| {
        assert!(!matches!(kind, EventKind::StepOutput { .. } | EventKind::StepFinished { outcome: Outcome::Done, .. }));
        false
    });
    assert_eq!((told.exit, told.finished().exit), (Exit::Defect, Exit::Defect));
    let left = told.events.iter().find_map(|event| match &event.kind {
        EventKind::StepFinished { outcome: Outcome::Failed { leftovers: Leftovers::Unknown(left), .. }, .. } => {
            Some(left)
        }
        _ => None,
    });
    assert_eq!(left.map(Vec::len), Some(1), "{:?}", told.events.last());
    let comments = world.look().comments.clone();
    assert!(comments[0].2.contains("a defect in skipper"), "{comments:?}");
    // It is the way to continue, as always.
    assert_eq!(ship(&world, &shop(1), &commit(1)).exit, Exit::Serves);
}

#[test]
fn a_panic_before_there_is_a_plan_ends_the_run() {
    let told = ship_and_panic(&SimWorld::default(), |kind| {
        assert!(!matches!(kind, EventKind::ImageOutput { .. }));
        false
    });
    assert_eq!(told.finished().exit, Exit::Defect);
}
