//! A run that dies at every event, and before and after every call: what hosts have in hand goes on, and a plain re-run converges.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use skipper_deploy::sim::{Fault, FaultKind};

use super::{
    FAILING, FEWER, FIRST, GROWING, MORE, REPLACING, SHRINKING, Scenario, UPDATE, calls, sample, truth::Shape,
};
use crate::shop::ship_and_die;

/// Points that `cargo test` tries of each scenario.
const SAMPLE: usize = 10;

enum Point {
    /// At the event of this number.
    Event(u64),
    /// At the call of this number.
    Call(String, u32, FaultKind),
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(seq) => write!(f, "dies at event {seq}"),
            Self::Call(call, index, kind) => write!(f, "{kind:?} at call {index} of {call}"),
        }
    }
}

#[expect(clippy::print_stdout, reason = "the number of points is what a whole sweep is run for")]
fn sweep(scenario: &Scenario) {
    let goal = scenario.goal();
    let events = scenario.ship(&scenario.world()).events.len() as u64 - 1;
    let at_calls = calls(scenario).into_iter().flat_map(|(call, index)| {
        [FaultKind::DiesBefore, FaultKind::DiesAfter].map(|kind| Point::Call(call.clone(), index, kind))
    });
    let points: Vec<Point> = (0..events).map(Point::Event).chain(at_calls).collect();
    let points = sample(&format!("{}, killed", scenario.name), points, SAMPLE);
    let failed: Vec<String> = points
        .iter()
        .filter_map(|point| {
            let panic = catch_unwind(AssertUnwindSafe(|| die(scenario, &goal, point))).err()?;
            Some(format!("{point}: {}", panic.downcast_ref::<String>().cloned().unwrap_or_default()))
        })
        .collect();
    println!("{}: killed at {} points, converged after {}", scenario.name, points.len(), points.len() - failed.len());
    assert!(failed.is_empty(), "{}:\n{}", scenario.name, failed.join("\n"));
}

/// One run that dies, and the plain one after it.
fn die(scenario: &Scenario, goal: &Shape, point: &Point) {
    let world = scenario.world();
    let at = match point {
        Point::Event(seq) => Some(*seq),
        Point::Call(call, index, kind) => {
            world.change().faults = vec![Fault { call: call.clone(), kind: *kind, after: *index, times: Some(1) }];
            None
        }
    };
    let dead = ship_and_die(&world, &scenario.config(), &scenario.commit(), move |event| Some(event.seq) == at);
    assert!(dead, "it lived through it");
    scenario.converges(&world, goal, point);
}

#[test]
fn a_first_deploy_dies_anywhere() {
    sweep(&FIRST);
}

#[test]
fn an_update_dies_anywhere() {
    sweep(&UPDATE);
}

#[test]
fn an_update_that_fails_dies_anywhere() {
    sweep(&FAILING);
}

#[test]
fn an_update_with_one_more_host_dies_anywhere() {
    sweep(&MORE);
}

#[test]
fn an_update_with_one_host_fewer_dies_anywhere() {
    sweep(&FEWER);
}

#[test]
fn a_run_that_grows_etcd_dies_anywhere() {
    sweep(&GROWING);
}

#[test]
fn a_run_that_shrinks_etcd_dies_anywhere() {
    sweep(&SHRINKING);
}

#[test]
fn a_run_that_replaces_hosts_dies_anywhere() {
    sweep(&REPLACING);
}
