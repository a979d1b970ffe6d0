//! A wish to stop at every event of a run: it ends within seven seconds, says what is true, and a plain re-run goes on. The same
//! where from the wish on nothing answers any more.

use std::panic::{AssertUnwindSafe, catch_unwind};

use skipper_core::{
    event::{EventKind, Outcome},
    exit::Exit,
};

use skipper_deploy::sim::{Fault, FaultKind, SimWorld};

use super::{
    FAILING, FEWER, FIRST, GROWING, MORE, REPLACING, Scenario, UPDATE, calls, sample,
    truth::{Shape, judge, what_serves},
};
use crate::shop::{Told, ship_and_cancel};

/// Points that `cargo test` tries of each scenario.
const SAMPLE: usize = 10;
/// From the wish to the last event; the runner sends its second signal 7.5 s after the first.
const WITHIN_MS: u64 = 7_000;

#[expect(clippy::print_stdout, reason = "the number of points is what a whole sweep is run for")]
fn sweep(scenario: &Scenario) {
    let goal = scenario.goal();
    let events = scenario.ship(&scenario.world()).events.len();
    let points = (0..events as u64).flat_map(|event| [(event, false), (event, true)]).collect();
    let points = sample(&format!("{}, cancelled", scenario.name), points, SAMPLE);
    let failed: Vec<String> = points
        .iter()
        .filter_map(|(point, hangs)| {
            let panic = catch_unwind(AssertUnwindSafe(|| cancel(scenario, &goal, *point, *hangs))).err()?;
            Some(format!("event {point} ({hangs}): {}", panic.downcast_ref::<String>().cloned().unwrap_or_default()))
        })
        .collect();
    println!(
        "{}: cancelled at {} points, converged after {}",
        scenario.name,
        points.len(),
        points.len() - failed.len()
    );
    assert!(failed.is_empty(), "{}:\n{}", scenario.name, failed.join("\n"));
}

/// One run that is cancelled at an event, from which on all calls may hang, and the plain one after it.
fn cancel(scenario: &Scenario, goal: &Shape, point: u64, hangs: bool) {
    let world = scenario.world();
    let before = what_serves(&world);
    let calls = if hangs { calls(scenario) } else { Vec::new() };
    let hang: Vec<Fault> = calls.iter().map(|(call, _)| Fault::always(call, FaultKind::TimeoutUndone)).collect();
    let hanging = world.clone();
    let told = ship_and_cancel(&world, &scenario.config(), &scenario.commit(), move |event| {
        if event.seq == point {
            hanging.change().faults.clone_from(&hang);
        }
        event.seq == point
    });
    let wish = &told.events[usize::try_from(point).unwrap()];
    let took = told.events.last().unwrap().at_ms - wish.at_ms;
    assert!(took <= WITHIN_MS, "it took {took} ms from {wish:?}");
    let after = &told.events[usize::try_from(point).unwrap() + 1..];
    let begins = after.iter().find(|event| matches!(event.kind, EventKind::StepStarted { .. }));
    assert!(begins.is_none(), "a step begins after {wish:?}: {begins:?}");
    if told.exit != Exit::Cancelled {
        // Everything that the run would have done was done: then what it says is true.
        judge(&told, scenario, &before, &world, false).unwrap();
        let finished = |event: &skipper_core::event::Event| matches!(&event.kind, EventKind::StepFinished { outcome, .. } if !matches!(outcome, Outcome::Cancelled { .. }));
        let ended = told.events.iter().filter(|event| finished(event)).count();
        let failed = matches!(told.exit, Exit::Restored | Exit::Degraded);
        assert!(failed || ended == told.plan().steps.len(), "{:?} with steps left: {:?}", told.exit, told.finished());
    }
    // What was let go is named.
    for event in &told.events {
        if let EventKind::StepFinished { outcome: Outcome::Cancelled { .. }, .. } = &event.kind {
            assert!(!told.finished().leftovers.is_empty(), "nothing is said of {event:?}");
        }
    }
    if !hangs {
        is_commented(&world, &told);
    }
    scenario.converges(&world, goal, &format!("cancelled at {wish:?}"));
}

/// The comment says how the run ended.
fn is_commented(world: &SimWorld, told: &Told) {
    let said = world.look().comments.first().map(|(_, _, body, _)| body.clone()).unwrap_or_default();
    let summary = &told.finished().summary;
    assert!(said.contains(summary.as_str()), "the comment does not say `{summary}`: {said}");
}

#[test]
fn a_first_deploy_is_cancelled_at_every_event() {
    sweep(&FIRST);
}

#[test]
fn an_update_is_cancelled_at_every_event() {
    sweep(&UPDATE);
}

#[test]
fn an_update_that_fails_is_cancelled_at_every_event() {
    sweep(&FAILING);
}

#[test]
fn an_update_with_one_more_host_is_cancelled_at_every_event() {
    sweep(&MORE);
}

#[test]
fn an_update_with_one_host_fewer_is_cancelled_at_every_event() {
    sweep(&FEWER);
}

#[test]
fn a_run_that_grows_etcd_is_cancelled_at_every_event() {
    sweep(&GROWING);
}

#[test]
fn a_run_that_replaces_hosts_is_cancelled_at_every_event() {
    sweep(&REPLACING);
}
