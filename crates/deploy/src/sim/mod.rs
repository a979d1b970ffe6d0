//! The world in memory: hosts, registry, parameters and pull requests behind the same ports, with faults, on a paused clock.
//!
//! Hosts understand the real scripts of the fleet orchestrator: what is sent is decoded, carried out, and answered in the
//! scripts' own format, so that a simulated run goes through everything but the shell. A script that was sent runs to its end
//! whether or not anybody still waits for it, so runs need a [`tokio::task::LocalSet`] around them.

mod cloud;
mod code_host;
mod etcd;
mod faults;
mod host;
mod images;
mod remote;
mod scripts;

use std::{
    cell::{Ref, RefCell, RefMut},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use skipper_core::{
    desired::Scope,
    image::{Digest, PinnedImage, Repository, Revision, Tag},
    name::{HostName, ServiceName},
    observed::{Address, InstanceId, LaunchFacts, ObservedSecurityGroup, SecurityGroup},
    preview::PullRequest,
    render::DeploymentStatus,
    secret::Secret,
};
use tokio::sync::Notify;

use crate::ports::Login;

pub use self::{
    faults::{Fault, FaultKind},
    host::{SimAnswer, SimHost, SimUnit},
    images::SimRegistry,
};

/// The simulated world. Clones are the same world.
#[derive(Clone)]
pub struct SimWorld(Rc<RefCell<State>>);

/// Everything there is.
pub struct State {
    /// The account the credentials belong to.
    pub account: String,
    /// Every instance that ever was, by id.
    pub hosts: BTreeMap<InstanceId, SimHost>,
    /// The security groups, by whose they are.
    pub security_groups: BTreeMap<(Scope, SecurityGroup), ObservedSecurityGroup>,
    /// The addresses that outlive instances, with whose they are.
    pub addresses: Vec<(Scope, Address)>,
    /// Launch facts by instance type; an image for any type that is not here.
    pub launch_facts: BTreeMap<String, LaunchFacts>,
    /// The parameters, by path.
    pub parameters: BTreeMap<String, String>,
    /// The versions of every secret that is kept, by path, the oldest first.
    pub secrets: BTreeMap<String, Vec<Secret>>,
    /// The login that registries of private images ask for.
    pub login: Option<Login>,
    /// Whether the hosts' own role gets them into registries that give logins to roles.
    pub role_gets_in: bool,
    /// The registry.
    pub registry: SimRegistry,
    /// Images whose replicas never answer.
    pub broken_images: BTreeSet<PinnedImage>,
    /// Sizes that there is no capacity for when an instance is started.
    pub full_sizes: BTreeSet<String>,
    /// Whether the agents of new instances never register.
    pub never_online: bool,
    /// Hosts on which images that replicas are started from never answer.
    pub broken_hosts: BTreeSet<HostName>,
    /// The members of etcd, by whose hosts they are on: whether each has begun, by its address.
    pub etcd: BTreeMap<Scope, etcd::Members>,
    /// Hosts that go down once, right after they have told etcd of their member, or etcd has forgotten it.
    pub breaks_off: BTreeSet<HostName>,
    /// Scripts by name that do not reach a host, once.
    pub undelivered: BTreeSet<(&'static str, HostName)>,
    /// How long a replica takes to stop.
    pub stop_takes: Duration,
    /// Comments: pull request, key, body, number of edits.
    pub comments: Vec<(u64, String, String, u32)>,
    /// The code host's deployments, with their statuses.
    pub deployments: Vec<(Revision, Vec<DeploymentStatus>)>,
    /// The pull requests of any commit.
    pub pull_requests: Vec<u64>,
    /// What pull requests are like; the code host shows no others.
    pub pulls: BTreeMap<u64, PullRequest>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Calls made, by name.
    pub calls: BTreeMap<String, u64>,
    /// After every change to a replica: how many of each service serve.
    pub serving: Vec<BTreeMap<ServiceName, usize>>,
    /// Instances launched by client token.
    tokens: BTreeMap<String, InstanceId>,
    next: u32,
    /// What a late reader sees.
    earlier: Earlier,
    /// Told when a fault ends a run.
    death: Rc<Notify>,
}

/// What there was before the last change, of each kind of thing by itself.
#[derive(Default)]
struct Earlier {
    hosts: BTreeMap<InstanceId, SimHost>,
    security_groups: BTreeMap<(Scope, SecurityGroup), ObservedSecurityGroup>,
    parameters: BTreeMap<String, String>,
    secrets: BTreeMap<String, Vec<Secret>>,
    tags: BTreeMap<(Repository, Tag), Digest>,
}

impl Default for SimWorld {
    fn default() -> Self {
        Self(Rc::new(RefCell::new(State {
            account: "123456789012".to_owned(),
            hosts: BTreeMap::new(),
            security_groups: BTreeMap::new(),
            addresses: Vec::new(),
            launch_facts: BTreeMap::new(),
            parameters: BTreeMap::new(),
            secrets: BTreeMap::new(),
            login: None,
            role_gets_in: true,
            registry: SimRegistry::default(),
            broken_images: BTreeSet::new(),
            full_sizes: BTreeSet::new(),
            never_online: false,
            broken_hosts: BTreeSet::new(),
            etcd: BTreeMap::new(),
            breaks_off: BTreeSet::new(),
            undelivered: BTreeSet::new(),
            stop_takes: Duration::ZERO,
            comments: Vec::new(),
            deployments: Vec::new(),
            pull_requests: vec![7],
            pulls: BTreeMap::new(),
            faults: Vec::new(),
            calls: BTreeMap::new(),
            serving: Vec::new(),
            tokens: BTreeMap::new(),
            next: 0,
            earlier: Earlier::default(),
            death: Rc::default(),
        })))
    }
}

impl SimWorld {
    /// Looks at the world.
    pub fn look(&self) -> Ref<'_, State> {
        self.0.borrow()
    }

    /// Changes the world by another hand than skipper's.
    pub fn change(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }

    /// The calls made since this was asked last, by name.
    pub fn take_calls(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.change().calls)
    }

    /// What runs on a host: handles of the units that serve.
    pub fn serving_on(&self, host: &str) -> Vec<String> {
        let state = self.look();
        let found = state.hosts.values().find(|found| found.alive() && found.host.to_string() == host);
        found
            .into_iter()
            .flat_map(|found| &found.units)
            .filter(|(_, unit)| unit.serves)
            .map(|(handle, _)| handle.0.clone())
            .collect()
    }
}

impl State {
    fn fresh_id(&mut self, prefix: &str) -> String {
        self.next += 1;
        format!("{prefix}-{:017x}", self.next)
    }

    /// Notes how many replicas of each service serve now.
    fn note_serving(&mut self) {
        let mut serving: BTreeMap<ServiceName, usize> = BTreeMap::new();
        for unit in self.hosts.values().filter(|host| host.alive()).flat_map(|host| host.units.values()) {
            *serving.entry(unit.unit.replica.service.clone()).or_default() += usize::from(unit.serves);
        }
        self.serving.push(serving);
    }
}
