//! One host: it carries out the real scripts' tasks and answers as they do.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use skipper_core::{
    clean::{Cleaning, Needed, Stocked, outdated},
    command::{CommandState, Look, Part, Seen},
    desired::{LOGINS, SECRETS, Scope, SecretVersion},
    etcd::{EtcdMember, Membership},
    image::PinnedImage,
    log::{LogLine, LogOf, LogPart, write_lines},
    name::HostName,
    observed::{Handle, Health, HostReport, InstanceId, ObservedReplica, OrchestratorState, ReplicaState, Stray},
    orchestrator::{
        Cluster, HostCleaned, HostErrorKind, Orchestrator as _, Place, RegistryLogin, StartOutcome, Started, Supplies,
        fleet::{
            Fleet, Task, Unit, UnitStart, encode_cleaned, encode_done, encode_error, encode_log_part, encode_report,
            encode_seen, encode_started,
        },
    },
    script::{Script, pack},
    secret::Secret,
};
use tokio::{
    sync::{Mutex, OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock},
    time::Instant,
};

use super::SimWorld;
use crate::ports::Invocation;

/// What configuring a host takes.
const CONFIGURE: Duration = Duration::from_secs(5);

/// A replica from its start to its first answer.
const SETTLE: Duration = Duration::from_secs(2);

/// Bytes of any image.
const IMAGE: u64 = 1_000_000;

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
    /// What its replicas have printed.
    pub printed: Vec<LogLine>,
    /// What comes of commands, by their text; any other is not found.
    pub answers: BTreeMap<String, SimAnswer>,
    /// The commands that it has begun, by name, with their texts.
    pub commands: BTreeMap<String, String>,
    /// Held by the script that changes what a scope has on it, one at a time, and for writing by one that changes the host itself.
    busy: Arc<RwLock<()>>,
    busy_for: BTreeMap<Scope, Arc<Mutex<()>>>,
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

/// Kept while a script runs that no other may run beside.
#[expect(dead_code, reason = "it is held, and let go of")]
enum Turn {
    Part(OwnedRwLockReadGuard<()>, OwnedMutexGuard<()>),
    Whole(OwnedRwLockWriteGuard<()>),
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
    fn start_engine(&mut self) {
        if std::mem::take(&mut self.engine_ended) {
            self.units.values_mut().for_each(|unit| unit.serves = unit.wanted);
        }
    }

    /// A part of the newest of what replicas have printed.
    fn log(&self, most: u32, of_host: &LogOf) -> LogPart {
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
    fn lacks_secrets(&self, handle: &Handle, unit: &Unit) -> bool {
        let scope = self.units.get(handle).map(|found| found.scope.to_string()).unwrap_or_default();
        !unit.secrets.iter().all(|secret| self.secrets.contains_key(&format!("{scope}/{secret}")))
    }

    /// Whether the unit mounts what nobody has written.
    fn lacks_hosts_file(&self, unit: &Unit) -> bool {
        let mounts = |scope: &Scope| unit.text.contains(&format!("source=/var/lib/skipper/hosts/{scope},"));
        unit.text.contains(",target=/etc/hosts,") && !self.links.keys().any(mounts)
    }

    /// A look at a command, which begins it where it is the first.
    fn seen(&mut self, look: &Look) -> String {
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
    fn port_taken(&self, unit: &Unit) -> bool {
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

    fn report(&self, scope: &Scope, stray: Vec<Stray>, etcd: Vec<EtcdMember>, has_quorum: bool) -> HostReport {
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

impl SimWorld {
    /// Runs a script on one host, as its shell would.
    pub(super) async fn run_on(&self, instance: &InstanceId, script: &Script) -> Invocation {
        let reachable = self.look().hosts.get(instance).is_some_and(|host| host.runs() && !host.silent);
        if !reachable {
            return Invocation::Lost("DeliveryTimedOut".to_owned());
        }
        let Some(task) = Task::decode(script) else {
            return Invocation::Finished {
                code: 2,
                stdout: String::new(),
                stderr: format!("the script `{}` is not understood", script.name),
            };
        };
        let Some(scope) = script.scope() else {
            return Invocation::Finished {
                code: 2,
                stdout: String::new(),
                stderr: "SCOPE: parameter not set".to_owned(),
            };
        };
        let _turn = match &task {
            Task::Pull { .. } => None,
            Task::Logs { .. } | Task::Command { .. } | Task::EndCommand { .. } => None,
            Task::Observe { .. } if script.fence().is_none() => None,
            task => {
                let whole = matches!(
                    task,
                    Task::Configure { .. }
                        | Task::Hold { .. }
                        | Task::Restore { .. }
                        | Task::Join { .. }
                        | Task::Leave { .. }
                        | Task::Clean { .. }
                );
                self.turn(instance, &scope, whole).await
            }
        };
        if let Some(lease) = script.fence() {
            let fence = |host: &SimHost| host.fences.get(&scope).copied();
            let raised = self.look().hosts.get(instance).and_then(fence).unwrap_or(0);
            if raised > lease {
                let what = format!("this host has seen lease {raised}, and lease {lease} may not change it any more");
                let stdout = encode_error(HostErrorKind::Fenced, &what);
                return Invocation::Finished { code: 1, stdout, stderr: String::new() };
            }
            self.on(instance, |host| {
                host.fences.insert(scope.clone(), lease);
            });
        }
        let stdout = match task {
            Task::Observe { scope } => self.observed_by(instance, &scope),
            Task::Configure { cluster } => {
                tokio::time::sleep(CONFIGURE).await;
                let stays = |host: &SimHost| host.engine_ended && host.engine_stays;
                if self.look().hosts.get(instance).is_some_and(stays) {
                    let stdout = encode_error(HostErrorKind::Engine, "Docker does not answer");
                    return Invocation::Finished { code: 1, stdout, stderr: String::new() };
                }
                match self.found(instance, &cluster) {
                    Err(why) => encode_error(HostErrorKind::Other, &why),
                    Ok(()) => self.configured_with(instance, &cluster),
                }
            }
            Task::Hold { cluster } => match self.hold(instance, &cluster) {
                Err(why) => encode_error(HostErrorKind::Other, &why),
                Ok(()) => encode_done(),
            },
            Task::Restore { cluster } => match self.found_anew(instance, &cluster) {
                Err(why) => encode_error(HostErrorKind::Other, &why),
                Ok(()) => {
                    tokio::time::sleep(CONFIGURE).await;
                    self.configured_with(instance, &cluster)
                }
            },
            Task::Join { cluster } => self.join(instance, &cluster).await,
            Task::Leave { cluster, address } => self.leave(instance, &cluster, &address).await,
            Task::Link { scope, places } => {
                let places = places.get(instance).cloned().unwrap_or_default();
                self.on(instance, |host| drop(host.links.insert(scope, places)));
                encode_done()
            }
            Task::Pull { scope, supplies, logins } => {
                let supplies = supplies.get(instance).cloned().unwrap_or_default();
                self.pull_on(instance, &scope, &supplies, &logins).await
            }
            Task::Start { starts, scope } => {
                self.start_on(instance, &scope, starts.get(instance).map(Vec::as_slice).unwrap_or_default()).await
            }
            Task::Logs { lines, hosts, .. } => {
                let state = self.look();
                let asked = state.hosts.get(instance).zip(hosts.get(instance));
                asked.map_or_else(String::new, |(host, of_host)| encode_log_part(&host.log(lines, of_host)))
            }
            Task::Command { look, .. } => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let mut seen = String::new();
                self.on(instance, |host| seen = host.seen(&look));
                seen
            }
            Task::EndCommand { asked, .. } => {
                self.on(instance, |host| drop(host.commands.remove(&asked)));
                encode_done()
            }
            Task::Clean { cleaning, .. } => self.clean_on(instance, &cleaning),
            Task::Stop { handles, .. } => {
                self.pass_stop_time().await;
                for handle in handles.get(instance).into_iter().flatten() {
                    self.on(instance, |host| {
                        if let Some(unit) = host.units.get_mut(handle) {
                            unit.wanted = false;
                            unit.serves = false;
                        }
                    });
                }
                encode_done()
            }
            Task::Remove { scope, handles, ends } => {
                self.pass_stop_time().await;
                if ends {
                    let folder = format!("{scope}/");
                    let volumes = scope.volume("");
                    self.on(instance, |host| {
                        host.secrets.retain(|secret, _| !secret.starts_with(&folder));
                        host.volumes.retain(|volume| !volume.starts_with(&volumes));
                    });
                }
                for handle in handles.get(instance).into_iter().flatten() {
                    let mut state = self.change();
                    // What is stray is registered with a host that is gone; any host can make the registry forget it.
                    state
                        .hosts
                        .values_mut()
                        .filter(|host| host.terminated)
                        .for_each(|host| drop(host.units.remove(handle)));
                    drop(state);
                    self.on(instance, |host| drop(host.units.remove(handle)));
                }
                encode_done()
            }
        };
        Invocation::Finished { code: 0, stdout, stderr: String::new() }
    }

    fn configured_with(&self, instance: &InstanceId, cluster: &Cluster) -> String {
        let (has_quorum, broken_images) = {
            let state = self.look();
            (state.has_quorum(&cluster.scope), state.broken_images.clone())
        };
        let mut lost = false;
        self.on(instance, |host| {
            lost = host.lost_data && !has_quorum;
            if lost {
                return;
            }
            host.configured = Some(Fleet.configuration(cluster));
            host.ended_parts = false;
            host.start_engine();
            host.register_again(&broken_images);
            if std::mem::take(&mut host.lost_data) {
                host.membership = Membership::None;
            }
        });
        if lost {
            return encode_error(HostErrorKind::Other, "etcd does not answer: this member had data and has none now");
        }
        encode_done()
    }

    fn on(&self, instance: &InstanceId, change: impl FnOnce(&mut SimHost)) {
        let mut state = self.change();
        if let Some(host) = state.hosts.get_mut(instance) {
            change(host);
        }
        state.note_serving();
    }

    /// Waits until no other script changes what the scope has on the host, or anything of the host where this one does.
    async fn turn(&self, instance: &InstanceId, scope: &Scope, whole: bool) -> Option<Turn> {
        let (busy, busy_for) = {
            let mut state = self.change();
            let host = state.hosts.get_mut(instance)?;
            (Arc::clone(&host.busy), Arc::clone(host.busy_for.entry(scope.clone()).or_default()))
        };
        if whole {
            return Some(Turn::Whole(busy.write_owned().await));
        }
        let host = busy.read_owned().await;
        Some(Turn::Part(host, busy_for.lock_owned().await))
    }

    fn observed_by(&self, instance: &InstanceId, scope: &Scope) -> String {
        let state = self.look();
        let hosts_of = state.hosts.get(instance).map(|host| &host.scope);
        let unseen = state.hosts.values().filter(|host| host.terminated && Some(&host.scope) == hosts_of);
        let stray = unseen.flat_map(|host| {
            let units = host.units.iter().filter(|(_, unit)| unit.scope == *scope);
            units.map(|(handle, _)| Stray { handle: handle.clone(), host: host.host.clone() })
        });
        let report = |host: &SimHost| {
            let (etcd, has_quorum) = (state.told(&host.scope, &host.address), state.has_quorum(&host.scope));
            encode_report(&host.report(scope, stray.collect(), etcd, has_quorum && !host.ended_parts && !host.held))
        };
        state.hosts.get(instance).map_or_else(String::new, report)
    }

    async fn pull_on(
        &self,
        instance: &InstanceId,
        scope: &Scope,
        supplies: &Supplies,
        logins: &[RegistryLogin],
    ) -> String {
        tokio::time::sleep(Duration::from_secs(3)).await;
        for secret in &supplies.secrets {
            if let Err(why) = self.fetch(instance, scope, secret) {
                return encode_error(HostErrorKind::Secret, &why);
            }
        }
        if let Err((kind, why)) = self.log_in(scope, logins) {
            return encode_error(kind, &why);
        }
        for image in &supplies.images {
            if !self.look().registry.has(image) {
                return encode_error(HostErrorKind::Pull, &format!("pull {image}: manifest unknown"));
            }
            self.on(instance, |host| {
                if !host.images.contains(image) {
                    host.images.push(image.clone());
                }
            });
        }
        encode_done()
    }

    /// A version of a secret is what was kept as that.
    fn fetch(&self, instance: &InstanceId, scope: &Scope, secret: &SecretVersion) -> Result<(), String> {
        let value = self.kept(scope, SECRETS, secret)?;
        self.on(instance, |host| drop(host.secrets.insert(format!("{scope}/{secret}"), value)));
        Ok(())
    }

    /// A registry of private images lets in whoever has its login, and one that gives logins to roles those that have one which may.
    fn log_in(&self, scope: &Scope, logins: &[RegistryLogin]) -> Result<(), (HostErrorKind, String)> {
        let refused = |why: &str| Err((HostErrorKind::RegistryRole, why.to_owned()));
        let mut shown = Vec::new();
        for login in logins {
            match login {
                RegistryLogin::Kept(kept) => {
                    let value = self.kept(scope, LOGINS, &kept.parameter);
                    shown.push(value.map_err(|why| (HostErrorKind::Secret, why))?);
                }
                RegistryLogin::Role { .. } if self.look().role_gets_in => return Ok(()),
                RegistryLogin::Role { .. } => {
                    return refused("AccessDeniedException: role `skipper-host` may not ecr:GetAuthorizationToken");
                }
            }
        }
        let Some(login) = self.look().login.clone() else { return Ok(()) };
        let asked = STANDARD.encode(format!("{}:{}", login.username, login.password.expose()));
        if shown.iter().any(|shown| shown.expose() == asked) {
            Ok(())
        } else {
            Err((HostErrorKind::Pull, "no basic auth credentials".to_owned()))
        }
    }

    fn kept(&self, scope: &Scope, folder: &str, secret: &SecretVersion) -> Result<Secret, String> {
        let path = format!("{}/{folder}/{}", scope.path(), secret.name);
        let state = self.look();
        let versions = state.secrets.get(&path);
        let index = usize::try_from(secret.version).unwrap_or(0).checked_sub(1);
        let value = versions.zip(index).and_then(|(versions, index)| versions.get(index));
        value.cloned().ok_or_else(|| format!("Parameter Store has no {path}:{}", secret.version))
    }

    /// By the rule of the one who asks: on a host it is the script's, which says the same.
    fn clean_on(&self, instance: &InstanceId, cleaning: &Cleaning) -> String {
        let mut removed = Vec::new();
        self.on(instance, |host| {
            let used: BTreeSet<&PinnedImage> = host.units.values().map(|unit| &unit.unit.image).collect();
            let stocked = |(index, image): (usize, &PinnedImage)| Stocked {
                id: image.digest.to_string(),
                repository: image.repository.clone(),
                tags: BTreeSet::new(),
                digests: BTreeSet::from([image.digest.clone()]),
                created: i64::try_from(index).unwrap_or_default(),
                size: IMAGE,
                own: Some(IMAGE),
                used: used.contains(image),
            };
            let needed = Needed { digests: cleaning.needed.clone(), tags: BTreeSet::new() };
            for repository in &cleaning.repositories {
                let of_it = host.images.iter().enumerate().filter(|(_, image)| image.repository == *repository);
                removed.extend(outdated(of_it.map(stocked).collect(), cleaning.cutoff, &needed));
            }
            host.images.retain(|image| !removed.iter().any(|gone| gone.digests.contains(&image.digest)));
        });
        let freed = Some(removed.len() as u64 * IMAGE);
        let removed = removed.iter().map(|image| (image.name(), image.size)).collect();
        encode_cleaned(&HostCleaned { removed, freed, ..HostCleaned::default() })
    }

    async fn start_on(&self, instance: &InstanceId, scope: &Scope, starts: &[UnitStart]) -> String {
        for stop in starts.iter().filter_map(|start| start.stop_before.as_ref()) {
            self.on(instance, |host| {
                if let Some(unit) = host.units.get_mut(stop) {
                    unit.wanted = false;
                    unit.serves = false;
                }
            });
        }
        if starts.iter().any(|start| start.stop_before.is_some()) {
            self.pass_stop_time().await;
        }
        for start in starts {
            self.on(instance, |host| {
                if let Some(unit) = &start.unit {
                    // A unit that is registered keeps its contents, as with the real fleet.
                    host.units.entry(start.handle.clone()).or_insert_with(|| SimUnit {
                        unit: unit.clone(),
                        wanted: false,
                        serves: false,
                        scope: scope.clone(),
                    });
                }
                if let Some(unit) = host.units.get_mut(&start.handle) {
                    unit.wanted = true;
                }
            });
        }
        tokio::time::sleep(SETTLE).await;
        let started: Vec<Started> = starts.iter().map(|start| self.settle(instance, start)).collect();
        let waited = starts.iter().zip(&started).filter(|(_, started)| started.outcome != StartOutcome::Healthy);
        let waited = waited.map(|(start, _)| start.probe.deadline()).max().unwrap_or_default();
        tokio::time::sleep(waited).await;
        encode_started(&started)
    }

    async fn pass_stop_time(&self) {
        let stop_takes = self.look().stop_takes;
        tokio::time::sleep(stop_takes).await;
    }

    /// Whether a started replica comes to serve.
    fn settle(&self, instance: &InstanceId, start: &UnitStart) -> Started {
        let mut state = self.change();
        let broken_images = state.broken_images.clone();
        let broken_hosts = state.broken_hosts.clone();
        let why = match state.hosts.get_mut(instance) {
            None => Some("the host is gone".to_owned()),
            Some(host) => {
                let unit = host.units.get(&start.handle).map(|found| found.unit.clone());
                let why = match unit {
                    None => Some("it is not registered".to_owned()),
                    Some(unit) if !host.images.contains(&unit.image) => {
                        Some("its image was not pulled before".to_owned())
                    }
                    Some(unit) if host.lacks_secrets(&start.handle, &unit) => {
                        Some("its secrets were not fetched before".to_owned())
                    }
                    Some(unit) if host.lacks_hosts_file(&unit) => Some("bind source path does not exist".to_owned()),
                    Some(unit) if host.port_taken(&unit) => Some("port is already allocated".to_owned()),
                    Some(unit) if broken_images.contains(&unit.image) => Some("connection refused".to_owned()),
                    Some(_) if broken_hosts.contains(&host.host) && start.unit.is_some() => {
                        Some("no route to host".to_owned())
                    }
                    Some(_) => None,
                };
                if let Some(unit) = host.units.get_mut(&start.handle) {
                    unit.serves = why.is_none();
                    host.volumes.extend(volumes_of(&unit.unit));
                }
                why
            }
        };
        state.note_serving();
        let outcome = match why {
            None => StartOutcome::Healthy,
            Some(why) => StartOutcome::Failed { why, journal: vec!["a line of its journal".to_owned()] },
        };
        Started { replica: start.replica.clone(), handle: start.handle.clone(), outcome, took_ms: 2_000 }
    }
}

/// The named volumes that its container mounts; the engine makes those that are not there.
fn volumes_of(unit: &Unit) -> Vec<String> {
    let mounts = unit.text.lines().filter_map(|line| line.trim().strip_prefix("--mount type=volume,source="));
    mounts.filter_map(|mount| Some(mount.split_once(',')?.0.to_owned())).collect()
}
