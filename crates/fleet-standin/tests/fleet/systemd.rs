//! A systemd whose units go through the states of a script.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::rc::Rc;

use async_trait::async_trait;
use fleet_standin::fleetd::{Systemd, SystemdError, SystemdState};

type ActiveAndSub = (&'static str, &'static str);

const DEAD: ActiveAndSub = ("inactive", "dead");
const STARTING: ActiveAndSub = ("activating", "start-pre");
const RUNNING: ActiveAndSub = ("active", "running");
const FAILED: ActiveAndSub = ("failed", "failed");

/// One machine's systemd; clones are the same one. It outlives every fleetd.
#[derive(Clone, Default)]
pub(crate) struct FakeSystemd(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    linked: BTreeSet<String>,
    units: BTreeMap<String, Unit>,
    processes: u32,
}

struct Unit {
    is: ActiveAndSub,
    /// What it will be, one look after the other.
    next: VecDeque<ActiveAndSub>,
    process: Option<u32>,
}

impl FakeSystemd {
    /// Lets every unit go on to its next state.
    pub(crate) fn advance(&self) {
        for unit in self.0.borrow_mut().units.values_mut() {
            if let Some(next) = unit.next.pop_front() {
                unit.is = next;
            }
        }
    }

    /// The process of a unit that runs.
    pub(crate) fn process(&self, unit: &str) -> Option<u32> {
        self.0.borrow().units.get(unit)?.process
    }
}

/// What becomes of a unit: `dies` dies, `demo-…` pulls its image the first time, everything else runs at once.
fn script(unit: &str, first_time: bool) -> VecDeque<ActiveAndSub> {
    if unit.starts_with("dies") {
        VecDeque::from([FAILED])
    } else if unit.starts_with("demo-") && first_time {
        VecDeque::from([STARTING, RUNNING])
    } else {
        VecDeque::from([RUNNING])
    }
}

#[async_trait(?Send)]
impl Systemd for FakeSystemd {
    async fn link(&self, path: &Path) -> Result<(), SystemdError> {
        assert!(path.exists(), "linked before it was written");
        self.0.borrow_mut().linked.insert(path.file_name().unwrap().to_string_lossy().into_owned());
        Ok(())
    }

    async fn forget(&self, unit: &str) -> Result<(), SystemdError> {
        self.0.borrow_mut().linked.remove(unit);
        Ok(())
    }

    async fn reload(&self) -> Result<(), SystemdError> {
        Ok(())
    }

    async fn start(&self, name: &str) -> Result<(), SystemdError> {
        let mut state = self.0.borrow_mut();
        assert!(state.linked.contains(name), "started before it was linked");
        let known = state.units.get(name);
        if known.is_some_and(|unit| unit.process.is_some()) {
            return Ok(());
        }
        let mut next = script(name, known.is_none());
        let is = next.pop_front().unwrap();
        state.processes += 1;
        let process = (is != FAILED).then_some(state.processes);
        state.units.insert(name.to_owned(), Unit { is, next, process });
        Ok(())
    }

    async fn stop(&self, name: &str) -> Result<(), SystemdError> {
        if let Some(unit) = self.0.borrow_mut().units.get_mut(name) {
            *unit = Unit { is: DEAD, next: VecDeque::new(), process: None };
        }
        Ok(())
    }

    async fn states(&self, units: &[String]) -> Result<BTreeMap<String, SystemdState>, SystemdError> {
        let state = self.0.borrow();
        let of = |name: &String| {
            let (active, sub) = state.units.get(name).map_or(DEAD, |unit| unit.is);
            let load = if state.linked.contains(name) { "loaded" } else { "not-found" };
            SystemdState { load: load.to_owned(), active: active.to_owned(), sub: sub.to_owned() }
        };
        Ok(units.iter().map(|name| (name.clone(), of(name))).collect())
    }
}
