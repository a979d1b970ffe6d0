//! Scripts on hosts: each is taken for the task that it carries out, and does what the real one does.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use skipper_core::{
    clean::{Cleaning, Needed, Stocked, outdated},
    desired::{LOGINS, SECRETS, Scope, SecretVersion},
    image::PinnedImage,
    observed::{InstanceId, Stray},
    orchestrator::{
        Cluster, HostCleaned, HostErrorKind, Orchestrator as _, RegistryLogin, StartOutcome, Started, Supplies,
        fleet::{
            Fleet, Task, Unit, UnitStart, encode_cleaned, encode_done, encode_error, encode_log_part, encode_report,
            encode_started,
        },
    },
    script::Script,
    secret::Secret,
};
use tokio::sync::{OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard};

use super::{
    SimWorld,
    host::{SimHost, SimUnit},
};
use crate::ports::Invocation;

/// What configuring a host takes.
const CONFIGURE: Duration = Duration::from_secs(5);

/// A replica from its start to its first answer.
const SETTLE: Duration = Duration::from_secs(2);

/// Bytes of any image.
const IMAGE: u64 = 1_000_000;

/// Kept while a script runs that no other may run beside.
#[expect(dead_code, reason = "it is held, and let go of")]
enum Turn {
    Part(OwnedRwLockReadGuard<()>, OwnedMutexGuard<()>),
    Whole(OwnedRwLockWriteGuard<()>),
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
        let host = self.look().hosts.get(instance).map(|host| host.host.clone());
        if host.is_some_and(|host| self.change().undelivered.remove(&(script.name, host))) {
            return Invocation::Lost("DeliveryTimedOut".to_owned());
        }
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
            Task::Remove { .. } if self.look().hosts.get(instance).is_none_or(|host| host.configured.is_none()) => {
                encode_error(HostErrorKind::Other, "fleet does not answer")
            }
            Task::Remove { scope, handles, ends } => {
                self.pass_stop_time().await;
                for handle in handles.get(instance).into_iter().flatten() {
                    // Registered is a unit with the cluster, wherever it runs: any host can make the registry forget it.
                    let mut state = self.change();
                    let hosts_of = state.hosts.get(instance).map(|host| host.scope.clone());
                    let theirs = state.hosts.values_mut().filter(|host| Some(&host.scope) == hosts_of.as_ref());
                    theirs.for_each(|host| drop(host.units.remove(handle)));
                    state.note_serving();
                }
                if ends { self.ended_on(instance, &scope) } else { encode_done() }
            }
        };
        Invocation::Finished { code: 0, stdout, stderr: String::new() }
    }

    /// What goes with an environment when its units are gone.
    fn ended_on(&self, instance: &InstanceId, scope: &Scope) -> String {
        let folder = format!("{scope}/");
        let mut stay = false;
        self.on(instance, |host| {
            host.secrets.retain(|secret, _| !secret.starts_with(&folder));
            let is_ours = |volume: &String| scope.owns_volume(volume);
            stay = host.keeps_volumes && host.volumes.iter().any(is_ours);
            if !stay {
                host.volumes.retain(|volume| !is_ours(volume));
            }
        });
        if stay {
            return encode_error(HostErrorKind::Other, "volumes of the environment stay: volume is in use");
        }
        encode_done()
    }

    fn configured_with(&self, instance: &InstanceId, cluster: &Cluster) -> String {
        let (has_quorum, broken_images) = {
            let state = self.look();
            (state.has_quorum(&cluster.scope), state.broken_images.clone())
        };
        let mut silent = false;
        self.on(instance, |host| {
            // A member that is left over, or has lost its data, gives way to those of other hosts alone.
            let gives_way = host.lost_data || (host.left_over.is_some() && host.held);
            silent = (gives_way && !has_quorum) || (host.left_over.is_some() && !gives_way);
            if silent {
                return;
            }
            if gives_way {
                host.give_way();
            }
            host.configured = Some(Fleet.configuration(cluster));
            host.ended_parts = false;
            host.start_engine();
            host.register_again(&broken_images);
        });
        if silent {
            return encode_error(HostErrorKind::Other, "etcd does not answer");
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
        let asks = state.hosts.get(instance).is_some_and(|host| host.configured.is_some());
        let unseen = state.hosts.values().filter(|host| asks && host.terminated && Some(&host.scope) == hosts_of);
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
