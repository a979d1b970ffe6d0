//! Every call of a run is struck in every way, once and for longer than retries last; a plain re-run converges.

use std::collections::{BTreeMap, BTreeSet};

use skipper_core::{event::EventKind, exit::Exit};
use skipper_deploy::sim::{Fault, FaultKind};

use super::{
    FIRST, GROWING, NOTHING, REPLACING, SHRINKING, Scenario, UPDATE, calls, sample,
    truth::{Shape, judge, what_serves},
    whole,
};
use crate::shop::Told;

/// Points that `cargo test` tries of each scenario.
const SAMPLE: usize = 20;

/// Calls that take something away. None of these scenarios asks for it.
const DESTRUCTIVE: [&str; 2] = ["compute.terminate", "compute.revoke"];

struct Point {
    call: String,
    index: u32,
    kind: FaultKind,
    lasts: bool,
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let from = if self.lasts { " and all after it" } else { "" };
        write!(f, "{:?} at call {} of {}{from}", self.kind, self.index, self.call)
    }
}

fn sweep(scenario: &Scenario) {
    let goal = scenario.goal();
    let points = calls(scenario).into_iter().flat_map(|(call, index)| {
        let kinds = FaultKind::TROUBLES.into_iter().filter(|kind| kind.can_strike(&call)).collect::<Vec<_>>();
        kinds.into_iter().flat_map(move |kind| {
            let call = call.clone();
            [false, true].map(|lasts| Point { call: call.clone(), index, kind, lasts })
        })
    });
    let mut matrix = Matrix::default();
    let points = sample(scenario.name, points.collect(), SAMPLE);
    let tried = points.len();
    let failed: Vec<String> = points
        .iter()
        .filter_map(|point| {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| strike(scenario, &goal, point)));
            matrix.add(point, outcome.is_ok());
            let panic = outcome.err()?;
            Some(format!("{point}: {}", panic.downcast_ref::<String>().cloned().unwrap_or_default()))
        })
        .collect();
    matrix.print(scenario.name);
    assert!(failed.is_empty(), "{}: {} of {tried} points failed\n{}", scenario.name, failed.len(), failed.join("\n"));
}

/// One run that is struck, and the plain one after it.
fn strike(scenario: &Scenario, goal: &Shape, point: &Point) {
    let world = scenario.world();
    let before = what_serves(&world);
    let Point { call, index, kind, lasts } = point;
    world.change().faults =
        vec![Fault { call: call.clone(), kind: *kind, after: *index, times: (!lasts).then_some(1) }];
    let told = scenario.ship(&world);
    judge(&told, scenario, &before, &world, *lasts && *kind == FaultKind::Stale).unwrap();
    is_noticed(&told, point);
    scenario.converges(&world, goal, point);
    let calls = world.take_calls();
    let takes_away = scenario.hosts < scenario.from || scenario.replaces();
    assert!(
        takes_away || !DESTRUCTIVE.iter().any(|call| calls.contains_key(*call)),
        "something was taken away: {calls:?}"
    );
}

/// A call that is never allowed is told, if only as a warning.
fn is_noticed(told: &Told, point: &Point) {
    let warned = told.events.iter().any(|event| matches!(event.kind, EventKind::Warning { .. }));
    let noticed = warned || told.exit != Exit::Serves;
    assert!(noticed || point.kind != FaultKind::Denied, "it went unnoticed: {:?}", told.finished());
}

/// Points by call and kind: how many were tried, how many converged.
#[derive(Default)]
struct Matrix(BTreeMap<String, BTreeMap<FaultKind, (usize, usize)>>);

impl Matrix {
    fn add(&mut self, point: &Point, converged: bool) {
        let cell = self.0.entry(point.call.clone()).or_default().entry(point.kind).or_default();
        cell.0 += 1;
        cell.1 += usize::from(converged);
    }

    #[expect(clippy::print_stdout, reason = "the matrix is what a whole sweep is run for")]
    fn print(&self, scenario: &str) {
        let kinds: BTreeSet<FaultKind> = self.0.values().flat_map(|cells| cells.keys().copied()).collect();
        let (struck, converged) =
            self.0.values().flat_map(|cells| cells.values()).fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
        println!("{scenario}: struck at {struck} points, converged after {converged}");
        if !whole() {
            return;
        }
        let heads: String = kinds.iter().map(|kind| format!("{:>14}", format!("{kind:?}"))).collect();
        println!("{:<32}{heads}", "struck/converged");
        for (call, cells) in &self.0 {
            let cell =
                |kind| cells.get(kind).map_or_else(|| "-".to_owned(), |(struck, well)| format!("{struck}/{well}"));
            let row: String = kinds.iter().map(|kind| format!("{:>14}", cell(kind))).collect();
            println!("{call:<32}{row}");
        }
    }
}

#[test]
fn a_first_deploy_that_is_struck_anywhere_converges_when_it_is_run_again() {
    sweep(&FIRST);
}

#[test]
fn an_update_that_is_struck_anywhere_converges_when_it_is_run_again() {
    sweep(&UPDATE);
}

#[test]
fn a_run_with_nothing_to_do_that_is_struck_anywhere_changes_nothing() {
    sweep(&NOTHING);
}

#[test]
fn a_run_that_grows_etcd_and_is_struck_anywhere_converges_when_it_is_run_again() {
    sweep(&GROWING);
}

#[test]
fn a_run_that_shrinks_etcd_and_is_struck_anywhere_converges_when_it_is_run_again() {
    sweep(&SHRINKING);
}

#[test]
fn a_run_that_replaces_hosts_and_is_struck_anywhere_converges_when_it_is_run_again() {
    sweep(&REPLACING);
}
