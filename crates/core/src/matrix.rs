//! How far a rollout is on each host and for each service: a table of instances by services, from what a run has told.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    event::{Outcome, ReplicaRow, StateTable},
    image::Digest,
    name::{HostName, ServiceName},
    observed::{Handle, Health},
    orchestrator::{StartOutcome, Started},
    plan::{Action, Placement, Step},
    progress::{Progress, StepProgress},
};

/// The replicas of a rollout, by host and service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matrix {
    /// The services, which are the columns.
    pub services: BTreeSet<ServiceName>,
    /// The hosts, which are the rows, with the cells of each service.
    pub hosts: BTreeMap<HostName, BTreeMap<ServiceName, Vec<Cell>>>,
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Its symbolic name.
    pub replica: String,
    /// The image it had before.
    pub old: Option<Digest>,
    /// The image it is to have; absent for one that goes away.
    pub new: Option<Digest>,
    /// How far it is.
    pub state: CellState,
    /// Milliseconds its start took, where it was started.
    pub took_ms: Option<u64>,
}

/// How far a replica is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CellState {
    /// It stays as it is.
    Kept,
    /// Its turn has not come.
    Waiting,
    /// It is being started, replaced or removed.
    UnderWay,
    /// It serves with the image it is to have.
    Serves,
    /// The former one serves again, or still.
    Restored,
    /// It is gone, as it should.
    Removed,
    /// It does not serve; why, as far as is known.
    Failed(String),
}

impl Matrix {
    /// The matrix of a run; nothing before it has a plan.
    pub fn of(progress: &Progress) -> Option<Self> {
        let plan = progress.plan.as_ref()?;
        let mut matrix = Self::default();
        for kept in &plan.kept {
            let image = Some(kept.placement.image.digest.clone());
            let cell = cell(&kept.placement, image, CellState::Kept);
            matrix.add(&kept.placement.host, &kept.placement.replica.service, cell);
        }
        for step in &plan.steps {
            matrix.add_step(step, progress);
        }
        Some(matrix)
    }

    fn add(&mut self, host: &HostName, service: &ServiceName, cell: Cell) {
        self.services.insert(service.clone());
        self.hosts.entry(host.clone()).or_default().entry(service.clone()).or_default().push(cell);
    }

    fn add_step(&mut self, step: &Step, progress: &Progress) {
        let how_far = progress.steps.get(&step.id);
        let mut arriving = |placement: &Placement, old: Option<&Digest>| {
            let started = progress
                .started
                .iter()
                .rev()
                .find(|(host, started)| *host == placement.host && started.handle == placement.handle);
            let started = started.map(|(_, started)| started);
            let seen = progress.after.as_ref().and_then(|after| row(after, placement));
            let state = state(how_far, started, seen, placement);
            let took_ms = started.map(|started| started.took_ms);
            let cell = Cell { took_ms, ..cell(placement, old.cloned(), state) };
            self.add(&placement.host, &placement.replica.service, cell);
        };
        match &step.action {
            Action::StartReplicas { replicas } => {
                replicas.iter().for_each(|fresh| arriving(&fresh.placement, None));
            }
            Action::ReplaceReplicas { replacements, .. } => replacements.iter().for_each(|replacement| {
                arriving(&replacement.new, replacement.old_image.as_ref().map(|image| &image.digest));
            }),
            Action::RemoveReplicas { removals, .. } => {
                for (host, removals) in removals {
                    for removal in removals {
                        // A leftover of a replica that has a cell already, or one whose name is not known, is no cell of its own.
                        let Some(replica) = &removal.replica else { continue };
                        let known = self.hosts.get(host).and_then(|services| services.get(&replica.service));
                        if known.is_some_and(|cells| cells.iter().any(|cell| cell.replica == replica.to_string())) {
                            continue;
                        }
                        let old = progress.before.as_ref().and_then(|before| image_of(before, host, &removal.handle));
                        let state = match how_far {
                            None => CellState::Waiting,
                            Some(StepProgress::Started) => CellState::UnderWay,
                            Some(StepProgress::Finished { outcome: Outcome::Done, .. }) => CellState::Removed,
                            Some(StepProgress::Finished { .. }) => CellState::Failed("not removed".to_owned()),
                        };
                        let cell = Cell { replica: replica.to_string(), old, new: None, state, took_ms: None };
                        self.add(host, &replica.service, cell);
                    }
                }
            }
            _ => {}
        }
    }
}

fn cell(placement: &Placement, old: Option<Digest>, state: CellState) -> Cell {
    let new = Some(placement.image.digest.clone());
    Cell { replica: placement.replica.to_string(), old, new, state, took_ms: None }
}

/// What was observed afterwards stands above what a start said, and that above how far the step is.
fn state(
    how_far: Option<&StepProgress>,
    started: Option<&Started>,
    seen: Option<&ReplicaRow>,
    placement: &Placement,
) -> CellState {
    let said = match started.map(|started| &started.outcome) {
        Some(StartOutcome::Failed { why, .. }) => Some(why.clone()),
        Some(StartOutcome::Healthy) | None => None,
    };
    if let Some(found) = seen.filter(|_| how_far.is_some()) {
        let handle = found.found.as_ref().map(|found| &found.handle);
        return match handle {
            Some(handle) if found.serves() && *handle == placement.handle => CellState::Serves,
            Some(_) if found.serves() => CellState::Restored,
            _ => CellState::Failed(said.or_else(|| unhealthy(found)).unwrap_or_else(|| "does not run".to_owned())),
        };
    }
    match (how_far, started.is_some(), said) {
        (_, _, Some(why)) => CellState::Failed(why),
        (_, true, None) | (Some(StepProgress::Finished { outcome: Outcome::Done, .. }), ..) => CellState::Serves,
        (None, ..) => CellState::Waiting,
        (Some(StepProgress::Started), ..) => CellState::UnderWay,
        (Some(StepProgress::Finished { .. }), ..) => CellState::Failed("broken off".to_owned()),
    }
}

fn unhealthy(row: &ReplicaRow) -> Option<String> {
    match &row.found.as_ref()?.health {
        Health::Unhealthy(answer) => Some(answer.clone()),
        Health::Healthy | Health::Unknown => None,
    }
}

/// What was observed of a replica: of several under its name, the one that serves.
fn row<'a>(table: &'a StateTable, placement: &Placement) -> Option<&'a ReplicaRow> {
    let name = placement.replica.to_string();
    let rows = table.replicas.iter().filter(|row| row.host == placement.host && row.replica == name);
    rows.max_by_key(|row| row.serves())
}

fn image_of(table: &StateTable, host: &HostName, handle: &Handle) -> Option<Digest> {
    let found = table.replicas.iter().filter(|row| row.host == *host).filter_map(|row| row.found.as_ref());
    found.filter(|found| found.handle == *handle).find_map(|found| Some(found.image.as_ref()?.digest.clone()))
}
