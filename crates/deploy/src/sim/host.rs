//! One host: what is on it, what changes that, and what it says of itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use skipper_core::{
    command::{CommandState, Look, Part, Seen},
    desired::Scope,
    etcd::{EtcdMember, Membership},
    image::PinnedImage,
    log::{LogLine, LogOf, LogPart, write_lines},
    name::HostName,
    observed::{Handle, Health, HostReport, ObservedReplica, OrchestratorState, ReplicaState, Stray},
    orchestrator::{
        HostErrorKind, Orchestrator as _, Place,
        fleet::{Fleet, Unit, encode_error, encode_seen},
    },
    script::pack,
    secret::Secret,
};
use tokio::{
    sync::{Mutex, RwLock},
    time::Instant,
};

use super::etcd::Members;

/// Characters of a collected log that get through in one answer.
const PART: usize = 100;

/// An instance with what is on it.
#[derive(Clone, Debug)]
pub struct SimHost {
    /// Whose it is.
    pub scope: Scope,
    /// The host it is.
    pub host: HostName,
    /// Its instance type.
    pub size: String,
    /// Whether its root device is the machine's own store.
    pub instance_store: bool,
    /// Its address.
    pub address: String,
    /// When it was launched.
    pub launched: Instant,
    /// Whether its instance is stopped.
    pub stopped: bool,
    /// Times that it has booted.
    pub boots: u32,
    /// Until when it is down, as it reboots.
    pub(super) down_until: Option<Instant>,
    /// Whether it would not come back from a reboot.
    pub stays_down: bool,
    /// Whether its instance is gone, or about to be.
    pub terminated: bool,
    /// When its instance was told to terminate.
    pub(super) ended: Option<Instant>,
    /// Whether its orchestrator, or what that needs, has ended.
    pub ended_parts: bool,
    /// Whether its container engine has ended, and with it all that it ran.
    pub engine_ended: bool,
    /// Whether the engine would not start again.
    pub engine_stays: bool,
    /// Whether its member of etcd has lost its data.
    pub lost_data: bool,
    /// The members of an etcd that was founded anew without its knowledge: its own one is left over, and tells of those.
    pub(super) left_over: Option<Members>,
    /// Whether its orchestrator is held, and looks at nothing.
    pub held: bool,
    /// Whether the registry knows nothing of its units, which it has on record.
    pub forgotten: bool,
    /// Whether its agent has stopped answering.
    pub silent: bool,
    /// Times that its agent is missing from the list of agents, though it answers.
    pub unlisted: u32,
    /// The configuration that was applied.
    pub configured: Option<String>,
    /// Its part in etcd.
    pub membership: Membership,
    /// The highest lease of each scope whose scripts it has seen.
    pub fences: BTreeMap<Scope, u64>,
    /// The values of secrets that it has fetched, by version.
    pub secrets: BTreeMap<String, Secret>,
    /// The images it has, in the order in which they came.
    pub images: Vec<PinnedImage>,
    /// The units registered for it.
    pub units: BTreeMap<Handle, SimUnit>,
    /// What containers of each scope know of the services that they link to.
    pub links: BTreeMap<Scope, Vec<Place>>,
    /// The named volumes that it holds.
    pub volumes: BTreeSet<String>,
    /// Whether its engine removes none of them.
    pub keeps_volumes: bool,
    /// What its replicas have printed.
    pub printed: Vec<LogLine>,
    /// What comes of commands, by their text; any other is not found.
    pub answers: BTreeMap<String, SimAnswer>,
    /// The commands that it has begun, by name, with their texts.
    pub commands: BTreeMap<String, String>,
    /// Held by the script that changes what a scope has on it, one at a time, and for writing by one that changes the host itself.
    pub(super) busy: Arc<RwLock<()>>,
    pub(super) busy_for: BTreeMap<Scope, Arc<Mutex<()>>>,
}

/// What comes of a command.
#[derive(Clone, Debug, Default)]
pub struct SimAnswer {
    /// What it prints.
    pub out: Vec<u8>,
    /// What it prints as errors.
    pub err: Vec<u8>,
    /// How it ends; never, when absent.
    pub code: Option<u8>,
}

/// A registered unit.
#[derive(Clone, Debug)]
pub struct SimUnit {
    /// What it runs.
    pub unit: Unit,
    /// Whether it is asked to run.
    pub wanted: bool,
    /// Whether it runs and answers.
    pub serves: bool,
    /// Whose it is.
    pub scope: Scope,
}

impl SimHost {
    pub(super) fn new(scope: Scope, host: HostName, size: String, address: String, launched: Instant) -> Self {
        Self {
            scope,
            host,
            size,
            instance_store: false,
            address,
            launched,
            stopped: false,
            boots: 1,
            down_until: None,
            stays_down: false,
            terminated: false,
            ended: None,
            ended_parts: false,
            engine_ended: false,
            engine_stays: false,
            lost_data: false,
            left_over: None,
            held: false,
            forgotten: false,
            silent: false,
            unlisted: 0,
            configured: None,
            membership: Membership::None,
            fences: BTreeMap::new(),
            secrets: BTreeMap::new(),
            images: Vec::new(),
            units: BTreeMap::new(),
            links: BTreeMap::new(),
            volumes: BTreeSet::new(),
            keeps_volumes: false,
            printed: Vec::new(),
            answers: BTreeMap::new(),
            commands: BTreeMap::new(),
            busy: Arc::default(),
            busy_for: BTreeMap::new(),
        }
    }

    /// Whether it is described at all.
    pub fn alive(&self) -> bool {
        !self.terminated
    }

    /// Whether it runs: it was not stopped, and is not between two boots.
    pub(super) fn runs(&self) -> bool {
        self.alive() && !self.stopped && self.down_until.is_none_or(|until| until <= Instant::now())
    }

    /// Ends the container engine, by another hand.
    pub fn end_engine(&mut self) {
        self.engine_ended = true;
        self.units.values_mut().for_each(|unit| unit.serves = false);
    }

    /// What had been started before runs again: its units were tried over and over.
    pub(super) fn start_engine(&mut self) {
        if std::mem::take(&mut self.engine_ended) {
            self.units.values_mut().for_each(|unit| unit.serves = unit.wanted);
        }
    }

    /// A part of the newest of what replicas have printed.
    pub(super) fn log(&self, most: u32, of_host: &LogOf) -> LogPart {
        let mut lines: Vec<LogLine> = Vec::new();
        for (replica, _) in &of_host.replicas {
            let is_asked_for =
                |line: &&LogLine| line.replica == *replica && of_host.since.is_none_or(|since| line.at >= since);
            let own: Vec<&LogLine> = self.printed.iter().filter(is_asked_for).collect();
            let newest = own.len().saturating_sub(most as usize);
            lines.extend(own[newest..].iter().map(|line| (*line).clone()));
        }
        lines.sort_by_key(|line| line.at);
        let whole = pack(&write_lines(&lines));
        let offset = usize::try_from(of_host.offset).unwrap_or(usize::MAX).min(whole.len());
        let end = (offset + PART).min(whole.len());
        LogPart { offset: of_host.offset, total: whole.len() as u64, text: whole[offset..end].to_owned() }
    }

    /// Whether a unit names secrets that nobody has fetched.
    pub(super) fn lacks_secrets(&self, handle: &Handle, unit: &Unit) -> bool {
        let scope = self.units.get(handle).map(|found| found.scope.to_string()).unwrap_or_default();
        !unit.secrets.iter().all(|secret| self.secrets.contains_key(&format!("{scope}/{secret}")))
    }

    /// Whether the unit mounts what nobody has written.
    pub(super) fn lacks_hosts_file(&self, unit: &Unit) -> bool {
        let mounts = |scope: &Scope| unit.text.contains(&format!("source=/var/lib/skipper/hosts/{scope},"));
        unit.text.contains(",target=/etc/hosts,") && !self.links.keys().any(mounts)
    }

    /// A look at a command, which begins it where it is the first.
    pub(super) fn seen(&mut self, look: &Look) -> String {
        if look.out == 0 && look.err == 0 {
            self.commands.entry(look.asked.clone()).or_insert_with(|| look.text.clone());
        }
        let Some(text) = self.commands.get(&look.asked) else {
            return encode_error(HostErrorKind::Other, "what the command has printed is not kept any more");
        };
        let not_found = SimAnswer { err: b"not found\n".to_vec(), code: Some(127), ..SimAnswer::default() };
        let answer = self.answers.get(text).unwrap_or(&not_found);
        let part = |offset: u64, all: &[u8]| {
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(all.len());
            let to = (from + PART).min(all.len());
            Part { offset, total: all.len() as u64, bytes: all[from..to].to_vec() }
        };
        let state = answer.code.map_or(CommandState::Running, CommandState::Ended);
        encode_seen(&Seen { out: part(look.out, &answer.out), err: part(look.err, &answer.err), state })
    }

    /// Whether another unit that runs has one of these host ports.
    pub(super) fn port_taken(&self, unit: &Unit) -> bool {
        let taken = self.units.values().filter(|other| other.wanted && other.unit.handle != unit.handle);
        taken
            .flat_map(|other| &other.unit.bindings)
            .any(|theirs| unit.bindings.iter().any(|ours| ours.host == theirs.host))
    }

    /// Whether the registry should know of units of its, and does not.
    fn has_forgotten(&self) -> bool {
        self.forgotten && !self.units.is_empty()
    }

    /// What it has on record is registered again, and runs, if it can.
    pub(super) fn register_again(&mut self, broken_images: &BTreeSet<PinnedImage>) {
        if std::mem::take(&mut self.held) {
            self.forgotten = false;
            for unit in self.units.values_mut().filter(|unit| unit.wanted) {
                unit.serves |= !broken_images.contains(&unit.unit.image);
            }
        }
    }

    /// Has no member any more, nor what that knew.
    pub(super) fn give_way(&mut self) {
        self.membership = Membership::None;
        self.lost_data = false;
        self.left_over = None;
    }

    pub(super) fn report(
        &self,
        scope: &Scope,
        stray: Vec<Stray>,
        etcd: Vec<EtcdMember>,
        has_quorum: bool,
    ) -> HostReport {
        let (own, others): (Vec<_>, Vec<_>) = self.units.iter().partition(|(_, found)| found.scope == *scope);
        let held = others.into_iter().flat_map(|(_, found)| &found.unit.bindings).map(|binding| binding.host);
        HostReport {
            configured: self.configured.clone(),
            boot: Some(format!("boot-{}", self.boots)),
            membership: match self.membership {
                Membership::Member if self.lost_data => Membership::Lost,
                membership => membership,
            },
            etcd,
            orchestrator: match (&self.configured, has_quorum) {
                (None, _) => OrchestratorState::Absent,
                (Some(_), true) if self.has_forgotten() => {
                    OrchestratorState::Emptied("the registry is empty".to_owned())
                }
                (Some(_), true) => OrchestratorState::Ready,
                (Some(_), false) => OrchestratorState::Silent("Error 503: no etcd".to_owned()),
            },
            engine: self.engine_ended.then(|| "Cannot connect to the Docker daemon".to_owned()),
            fence: self.fences.get(scope).copied().unwrap_or(0),
            replicas: if !has_quorum || self.has_forgotten() {
                Vec::new()
            } else {
                own.into_iter().map(|(handle, found)| found.observed(handle)).collect()
            },
            links: self.links.get(scope).map(|places| Fleet.linked(places)),
            held_ports: held.collect(),
            volumes: Some(self.volumes.clone()),
            host: (has_quorum && self.configured.is_some()).then(|| self.host.clone()),
            stray,
        }
    }
}

impl SimUnit {
    fn observed(&self, handle: &Handle) -> ObservedReplica {
        ObservedReplica {
            replica: self.unit.replica.clone(),
            handle: handle.clone(),
            wanted: self.wanted,
            state: match (self.wanted, self.serves) {
                (_, true) => ReplicaState::Running,
                (true, false) => ReplicaState::Failed,
                (false, false) => ReplicaState::Stopped,
            },
            image: self.wanted.then(|| self.unit.image.clone()),
            bindings: self.unit.bindings.clone(),
            probe: Some(self.unit.probe.to_string()),
            health: if self.serves { Health::Healthy } else { Health::Unhealthy("no answer".to_owned()) },
            since: None,
        }
    }
}
