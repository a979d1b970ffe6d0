//! What one machine does about the registry: brings its units to the states asked for, and says what systemd says of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::log::Log;
use crate::registry::{Job, JobState, Registry};
use crate::unit::UnitFile;
use crate::wire::{Machine, UnitState};

use super::systemd::{Systemd, SystemdError, UnitsDirectory};

/// Between two looks at the registry when nothing is heard from it.
const RECONCILE_EVERY: Duration = Duration::from_secs(5);

/// From hearing of a change to looking at it, so that several changes are looked at together.
const AFTER_A_CHANGE: Duration = Duration::from_millis(500);

/// Between two looks at systemd; why a row of `list-units` lags behind.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// The units of one machine.
pub struct Agent {
    registry: Registry,
    machine: Machine,
    ttl: Duration,
    units: UnitsDirectory,
    systemd: Box<dyn Systemd>,
    log: Log,
    /// What this fleetd has made of units; nothing of what an earlier one did. A unit of an earlier fleetd is
    /// therefore loaded and started once more, which leaves its process alone.
    made: RefCell<BTreeMap<String, JobState>>,
    published: RefCell<BTreeMap<String, (UnitState, Instant)>>,
}

/// One thing to do about a unit; carried out in this order, whatever the unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Unload,
    Load,
    Reload,
    Stop,
    Start,
}

impl Agent {
    /// The agent of `machine`.
    #[must_use]
    pub fn new(
        registry: Registry,
        machine: Machine,
        ttl: Duration,
        units: UnitsDirectory,
        systemd: Box<dyn Systemd>,
        log: Log,
    ) -> Self {
        Self { registry, machine, ttl, units, systemd, log, made: RefCell::default(), published: RefCell::default() }
    }

    /// Reconciles for ever: on every change of a unit in the registry, and every five seconds.
    pub async fn keep_reconciling(&self) {
        loop {
            let index = self.reconcile().await;
            let change = async {
                let heard = match index {
                    Some(index) => self.registry.jobs_changed(index).await,
                    None => return std::future::pending().await,
                };
                if let Err(error) = heard {
                    self.log.error("event.go:106", &format!("etcd watcher returned error: {error}"));
                    std::future::pending::<()>().await;
                }
            };
            if tokio::time::timeout(RECONCILE_EVERY, change).await.is_ok() {
                tokio::time::sleep(AFTER_A_CHANGE).await;
            }
        }
    }

    /// Publishes for ever what systemd says.
    pub async fn keep_publishing(&self) {
        loop {
            tokio::time::sleep(PUBLISH_EVERY).await;
            self.publish().await;
        }
    }

    /// Brings this machine's units to what the registry asks for, once, and gives the registry's index.
    /// A registry that cannot be read changes nothing; one that is empty stops everything.
    pub async fn reconcile(&self) -> Option<u64> {
        let (jobs, index) = match self.registry.jobs().await {
            Ok(found) => found,
            Err(error) => {
                self.log.error("reconcile.go:73", &format!("Unable to determine agent's desired state: {error}"));
                return None;
            }
        };
        let here = match self.units.hashes() {
            Ok(hashes) => hashes,
            Err(error) => {
                self.log.error("reconcile.go:79", &format!("Unable to determine agent's current state: {error}"));
                return Some(index);
            }
        };
        let wanted: BTreeMap<&str, &Job> =
            jobs.iter().filter(|job| self.is_ours(job)).map(|job| (&*job.name, job)).collect();
        let tasks = tasks(&wanted, &here, &self.made.borrow());
        self.carry_out(tasks, &wanted).await;
        Some(index)
    }

    /// Publishes what changed and what is about to expire; withdraws what is no longer loaded.
    pub async fn publish(&self) {
        let loaded: Vec<String> = self.made.borrow().keys().cloned().collect();
        let (states, hashes) = match (self.systemd.states(&loaded).await, self.units.hashes()) {
            (Ok(states), Ok(hashes)) => (states, hashes),
            (Err(error), _) | (_, Err(error)) => {
                self.log.error("generator.go:77", &format!("Failed fetching current unit states: {error}"));
                return;
            }
        };
        for (name, state) in states {
            let Some(hash) = hashes.get(&name) else {
                continue;
            };
            let state = UnitState {
                hash: hash.clone(),
                machine_id: self.machine.id.clone(),
                name: name.clone(),
                systemd_active_state: state.active,
                systemd_load_state: state.load,
                systemd_sub_state: state.sub,
            };
            let current = self
                .published
                .borrow()
                .get(&name)
                .is_some_and(|(last, at)| *last == state && at.elapsed() < self.renewal());
            if !current {
                // fleetd does not look whether etcd took it: what is lost comes with the next renewal.
                self.registry.save_state(&state, self.ttl).await.ok();
                self.published.borrow_mut().insert(name, (state, Instant::now()));
            }
        }
        let gone: Vec<String> = self.published.borrow().keys().filter(|name| !loaded.contains(name)).cloned().collect();
        for name in gone {
            self.withdraw(&name).await;
        }
    }

    /// Stops and unloads every unit of this machine, as a fleetd does that is told to end.
    pub async fn purge(&self) {
        loop {
            match self.units.hashes() {
                Ok(here) if !here.is_empty() => {
                    let tasks = here.into_keys().map(|name| (Task::Unload, name, "purging agent")).collect();
                    self.carry_out(tasks, &BTreeMap::new()).await;
                    tokio::time::sleep(PUBLISH_EVERY).await;
                }
                _ => break,
            }
        }
        let names: Vec<String> = self.published.borrow().keys().cloned().collect();
        for name in names {
            self.withdraw(&name).await;
        }
    }

    fn is_ours(&self, job: &Job) -> bool {
        if let Err(unsupported) = job.file.check_supported(&job.name) {
            self.log.error("fleet-standin", &unsupported.to_string());
            return false;
        }
        job.file.fits(&self.machine.metadata)
    }

    /// A state is renewed before it expires.
    fn renewal(&self) -> Duration {
        if self.ttl > Duration::from_secs(10) { self.ttl * 4 / 5 } else { self.ttl / 2 }
    }

    async fn withdraw(&self, name: &str) {
        if let Err(error) = self.registry.remove_states(name).await {
            self.log.error("unit_state.go:211", &format!("Failed to destroy UnitState({name}) in Registry: {error}"));
        }
        self.published.borrow_mut().remove(name);
    }

    /// Carries tasks out in order; the first that fails ends the round, and the next round tries again.
    async fn carry_out(&self, tasks: Vec<(Task, String, &'static str)>, wanted: &BTreeMap<&str, &Job>) {
        for (task, name, reason) in tasks {
            let done = match task {
                Task::Unload => self.unload(&name).await,
                Task::Load => match wanted.get(&*name) {
                    Some(job) => self.load(&name, &job.file).await,
                    None => Ok(()),
                },
                Task::Reload => self.systemd.reload().await,
                Task::Stop => {
                    self.made.borrow_mut().insert(name.clone(), JobState::Loaded);
                    self.systemd.stop(&name).await
                }
                Task::Start => {
                    self.made.borrow_mut().insert(name.clone(), JobState::Launched);
                    self.systemd.start(&name).await
                }
            };
            let name = if task == Task::Reload { "N/A" } else { &name };
            let what = format!("type={task:?}Unit job={name} reason={reason:?}");
            match done {
                Ok(()) => self.log.info("reconcile.go:345", &format!("AgentReconciler completed task: {what}")),
                Err(error) => {
                    self.log.info("reconcile.go:347", &format!("AgentReconciler task failed: {what} err={error}"));
                    return;
                }
            }
        }
    }

    async fn load(&self, name: &str, file: &UnitFile) -> Result<(), SystemdError> {
        self.made.borrow_mut().insert(name.to_owned(), JobState::Loaded);
        let path = self.units.write(name, file)?;
        self.systemd.link(&path).await
    }

    /// A unit that could not be stopped keeps its file, so that it is tried again.
    async fn unload(&self, name: &str) -> Result<(), SystemdError> {
        self.made.borrow_mut().remove(name);
        self.systemd.stop(name).await?;
        let forgotten = self.systemd.forget(name).await;
        self.units.remove(name);
        forgotten
    }
}

/// What has to be done to come from the files that are `here`, and what was `made` of them, to what is `wanted`.
fn tasks(
    wanted: &BTreeMap<&str, &Job>,
    here: &BTreeMap<String, String>,
    made: &BTreeMap<String, JobState>,
) -> Vec<(Task, String, &'static str)> {
    const LOAD: &str = "unit scheduled here but not loaded";
    const UNLOAD: &str = "unit loaded but not scheduled here";
    const DIFFERS: &str = "unit loaded but hash differs to expected";
    const START: &str = "unit currently loaded but desired state is launched";
    const STOP: &str = "unit currently launched but desired state is loaded";
    let mut tasks = Vec::new();
    let mut add = |task, name: &str, reason| tasks.push((task, name.to_owned(), reason));
    for name in here.keys().filter(|name| !wanted.contains_key(&***name)) {
        add(Task::Unload, name, UNLOAD);
    }
    for (name, job) in wanted {
        let target = job.target.unwrap_or(JobState::Inactive);
        let hash = here.get(*name);
        let differs = hash.is_some_and(|hash| *hash != job.file.hash_text());
        let is = hash.map(|_| made.get(*name).copied().unwrap_or(JobState::Inactive));
        if target == JobState::Inactive {
            if is.is_some() {
                add(Task::Unload, name, UNLOAD);
            }
            continue;
        }
        if differs {
            add(Task::Unload, name, DIFFERS);
        }
        let loaded = !differs && is.is_some_and(|is| is > JobState::Inactive);
        if !loaded {
            add(Task::Load, name, LOAD);
        }
        let launched = loaded && is == Some(JobState::Launched);
        match target {
            JobState::Launched if !launched => add(Task::Start, name, START),
            JobState::Loaded if launched => add(Task::Stop, name, STOP),
            _ => {}
        }
    }
    if tasks.iter().any(|(task, ..)| *task < Task::Reload) {
        tasks.push((Task::Reload, String::new(), "always reload unit files"));
    }
    tasks.sort_by(|a, b| a.0.cmp(&b.0));
    tasks
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "a.service";

    fn job(text: &str, target: JobState) -> Job {
        Job { name: NAME.to_owned(), file: UnitFile::parse(text).unwrap(), target: Some(target) }
    }

    /// The tasks for one unit, wanted or not, whose file here is of `here` and of which `made` was made.
    fn kinds(wanted: Option<&Job>, here: Option<&Job>, made: Option<JobState>) -> Vec<Task> {
        let wanted = wanted.map(|job| (NAME, job)).into_iter().collect();
        let here = here.map(|job| (NAME.to_owned(), job.file.hash_text())).into_iter().collect();
        let made = made.map(|state| (NAME.to_owned(), state)).into_iter().collect();
        tasks(&wanted, &here, &made).into_iter().map(|(task, ..)| task).collect()
    }

    #[test]
    fn a_unit_goes_through_its_life_with_the_fewest_tasks() {
        use JobState::{Inactive, Launched, Loaded};
        use Task::{Load, Reload, Start, Stop, Unload};
        let [launched, loaded, inactive] = [Launched, Loaded, Inactive].map(|state| job("[S]\nA=1\n", state));
        let other = job("[S]\nA=2\n", Launched);
        let here = Some(&launched);
        assert_eq!(kinds(Some(&launched), None, None), [Load, Reload, Start]);
        assert_eq!(kinds(Some(&launched), here, Some(Launched)), []);
        assert_eq!(kinds(Some(&loaded), here, Some(Launched)), [Stop]);
        assert_eq!(kinds(Some(&launched), here, Some(Loaded)), [Start]);
        assert_eq!(kinds(Some(&inactive), here, Some(Launched)), [Unload, Reload]);
        assert_eq!(kinds(Some(&inactive), None, None), []);
        assert_eq!(kinds(None, here, Some(Launched)), [Unload, Reload]);
        assert_eq!(kinds(Some(&other), here, Some(Launched)), [Unload, Load, Reload, Start]);
        // A fleetd that was killed and started again does not stop what runs.
        assert_eq!(kinds(Some(&launched), here, None), [Load, Reload, Start]);
    }
}
