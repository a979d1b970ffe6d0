//! What the configuration and the release ask for, as plain data.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::{
    config::{
        Architecture, Config, FleetArchive, Group, Healthcheck, Logging, Port, PreviewHosts, SecretTarget, SecretUse,
        Service, Volume,
    },
    image::PinnedImage,
    name::{EnvName, EnvironmentName, GroupName, HostName, NameError, ProjectName, ReplicaName, ServiceName},
    release::{Release, SecretVersions},
};

/// Whose things these are: every name, tag and unit of a project's environment carries both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Scope {
    /// The `name` of `skipper.yml`.
    pub project: ProjectName,
    /// Where it is deployed to.
    pub environment: EnvironmentName,
}

/// The folder below an environment's path that holds its secrets.
pub const SECRETS: &str = "secrets";
/// The folder below it that holds the logins to registries, while hosts pull.
pub const LOGINS: &str = "logins";

impl Scope {
    /// Where the store keeps what it remembers of the environment: a path without a slash at its end.
    pub fn path(&self) -> String {
        format!("/skipper/{}/{}", self.project, self.environment)
    }

    /// What a volume of the environment is called on its hosts. No name has a dot, so no two have one name.
    pub fn volume(&self, name: &str) -> String {
        format!("{}.{}.{name}", self.project, self.environment)
    }

    /// Whether a volume on a host is one of the environment.
    pub fn owns_volume(&self, name: &str) -> bool {
        name.starts_with(&self.volume(""))
    }

    /// `<project>-<environment>`, the stem of names in AWS and of units.
    pub fn stem(&self) -> String {
        format!("{}-{}", self.project, self.environment)
    }

    /// Whose hosts its replicas run on: its own, unless the file has previews share theirs.
    #[must_use]
    pub fn hosts_of(&self, config: &Config) -> Self {
        let shares = self.environment.pull_request().is_some() && config.previews.hosts == PreviewHosts::Shared;
        if shares { self.of_previews() } else { self.clone() }
    }

    /// That of the hosts which previews of the project share.
    #[must_use]
    pub fn of_previews(&self) -> Self {
        Self { project: self.project.clone(), environment: EnvironmentName::of_previews() }
    }
}

/// `project/environment`: a spelling that has one reading, other than the stem of names.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.environment)
    }
}

impl FromStr for Scope {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError("it is a project and its environment, with a `/` between them".to_owned());
        let (project, environment) = text.split_once('/').ok_or_else(wrong)?;
        Ok(Self { project: project.parse()?, environment: environment.parse()? })
    }
}

/// The tag that says whose project something is.
pub const TAG_PROJECT: &str = "skipper:project";
/// The tag that says which environment of the project.
pub const TAG_ENVIRONMENT: &str = "skipper:environment";

/// The tag that says whose preview something belongs to, on everything of a pull request's environment.
pub const TAG_PULL_REQUEST: &str = "skipper:pull-request";

/// The tags that everything in a scope is given.
pub fn tags(scope: &Scope) -> Vec<(&'static str, String)> {
    let pull_request = scope.environment.pull_request().map(|number| (TAG_PULL_REQUEST, number.to_string()));
    ownership(scope).into_iter().chain(pull_request).collect()
}

/// The tags by which everything in a scope is found.
pub fn ownership(scope: &Scope) -> [(&'static str, String); 2] {
    [(TAG_PROJECT, scope.project.to_string()), (TAG_ENVIRONMENT, scope.environment.to_string())]
}

/// What should be: the groups with their hosts, and for each service what one replica of it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Whose replicas these are.
    pub scope: Scope,
    /// Whose hosts they run on; another's where previews share theirs.
    pub hosts_of: Scope,
    /// The groups of hosts.
    pub groups: BTreeMap<GroupName, Group>,
    /// The services, with pinned images.
    pub services: BTreeMap<ServiceName, DesiredService>,
    /// Services whose replicas are neither planned for nor taken away.
    pub left_alone: BTreeSet<ServiceName>,
    /// What each service links to, for every service of the file that has links.
    pub links: BTreeMap<ServiceName, Vec<ServiceName>>,
    /// The ports by which services are found that others link to, for every such service of the file.
    pub linked_ports: BTreeMap<ServiceName, BTreeSet<u16>>,
    /// Whether hosts are only brought up: nothing of what runs is changed, and no host goes away.
    pub hosts_only: bool,
    /// Whether the hosts of groups that are not among `groups` may be terminated.
    pub allow_terminate: bool,
    /// Whether a service of the file keeps data on its hosts.
    pub keeps_data: bool,
    /// Whether hosts may go away with the named volumes that they hold.
    pub allow_data_loss: bool,
    /// Whether inbound rules go that somebody else wrote into the project's security groups.
    pub prune_rules: bool,
    /// Where hosts get fleet from, for each kind of processor that the groups have.
    pub fleet: BTreeMap<Architecture, FleetArchive>,
    /// The longest that a replica of any service may take to stop, in seconds.
    pub longest_grace_seconds: u32,
    /// How many previews the project may have; absent where this is none of them.
    pub most_previews: Option<u32>,
}

/// A service of a release: all that its replicas have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredService {
    /// What it runs.
    pub image: PinnedImage,
    /// Replicas on each host of a group that lists the service.
    pub scale: u32,
    /// Container ports, with their host ports where the file fixes them.
    pub ports: Vec<Port>,
    /// Environment variables of the container.
    pub env: BTreeMap<EnvName, String>,
    /// The secrets that its replicas are given.
    pub secrets: Vec<PinnedSecret>,
    /// Arguments in place of the image's own.
    pub command: Vec<String>,
    /// Where the engine sends what it prints; its own default when absent.
    pub logging: Option<Logging>,
    /// How a replica shows that it serves.
    pub healthcheck: Healthcheck,
    /// Seconds between SIGTERM and SIGKILL when a replica is stopped.
    pub stop_grace_seconds: u32,
    /// Whether a replica finds other services by their names.
    pub has_links: bool,
    /// What its replicas keep on their hosts.
    pub volumes: Vec<Volume>,
}

impl DesiredService {
    /// Whether a replica writes data that outlive it.
    pub fn writes_volumes(&self) -> bool {
        self.volumes.iter().any(|volume| !volume.read_only)
    }
}

/// One version of a secret, and how it arrives in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedSecret {
    /// Which.
    pub secret: SecretVersion,
    /// How it arrives.
    pub target: SecretTarget,
}

/// One version of a secret: `DATABASE_URL:3`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretVersion {
    /// Its name.
    pub name: EnvName,
    /// Which version of it, as the store counts them from 1.
    pub version: u64,
}

impl fmt::Display for SecretVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.version)
    }
}

impl FromStr for SecretVersion {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError("a secret's version is its name, a colon and a number".to_owned());
        let (name, version) = text.split_once(':').ok_or_else(wrong)?;
        Ok(Self { name: name.parse()?, version: version.parse().map_err(|_| wrong())? })
    }
}

impl Desired {
    /// Joins the checked configuration with the images of a release. Services that the release has no image for, or not every secret,
    /// are left alone.
    pub fn new(config: &Config, environment: EnvironmentName, release: &Release) -> Self {
        let services: BTreeMap<_, _> = config
            .services
            .iter()
            .filter_map(|(name, service)| {
                let image = release.images.get(name)?.clone();
                let secrets = pinned_secrets(&service.secrets, release.secrets.get(name))?;
                let service = DesiredService {
                    image,
                    scale: service.scale,
                    ports: service.ports.clone(),
                    env: service.env.clone(),
                    secrets,
                    command: service.command.clone(),
                    logging: service.logging.clone(),
                    healthcheck: service.healthcheck.clone(),
                    stop_grace_seconds: grace_seconds(service),
                    has_links: !service.links.is_empty(),
                    volumes: service.volumes.clone(),
                };
                Some((name.clone(), service))
            })
            .collect();
        let left_alone = config.services.keys().filter(|name| !services.contains_key(*name)).cloned().collect();
        let linking = config.services.iter().filter(|(_, service)| !service.links.is_empty());
        let links: BTreeMap<_, _> = linking.map(|(name, service)| (name.clone(), service.links.clone())).collect();
        let linked = links.values().flatten().filter_map(|name| Some((name, config.services.get(name)?)));
        let linked_ports = linked
            .map(|(name, service)| (name.clone(), service.ports.iter().copied().filter_map(Port::linked).collect()))
            .collect();
        let most_previews = environment.pull_request().map(|_| config.previews.max);
        let scope = Scope { project: config.project.clone(), environment };
        Self {
            hosts_of: scope.hosts_of(config),
            scope,
            keeps_data: config.services.values().any(|service| !service.volumes.is_empty()),
            groups: config.groups.clone(),
            services,
            left_alone,
            links,
            linked_ports,
            hosts_only: false,
            allow_terminate: false,
            allow_data_loss: false,
            prune_rules: false,
            fleet: config.fleet.clone(),
            longest_grace_seconds: longest_grace_seconds(config),
            most_previews,
        }
    }

    /// The secrets that replicas of these images are given.
    pub fn secrets_beside(&self, images: &[PinnedImage]) -> BTreeSet<SecretVersion> {
        let services = self.services.values().filter(|service| images.contains(&service.image));
        services.flat_map(|service| &service.secrets).map(|pinned| pinned.secret.clone()).collect()
    }

    /// Nothing at all, as there is of a preview that has ended.
    pub fn nothing(scope: Scope, longest_grace_seconds: u32) -> Self {
        Self {
            hosts_of: scope.clone(),
            scope,
            keeps_data: false,
            groups: BTreeMap::new(),
            services: BTreeMap::new(),
            left_alone: BTreeSet::new(),
            links: BTreeMap::new(),
            linked_ports: BTreeMap::new(),
            hosts_only: false,
            allow_terminate: false,
            allow_data_loss: false,
            prune_rules: false,
            fleet: BTreeMap::new(),
            longest_grace_seconds,
            most_previews: None,
        }
    }

    /// Whether other previews run on the same hosts. To those this one only ever adds.
    pub fn shares_hosts(&self) -> bool {
        self.hosts_of != self.scope
    }

    /// Every wanted host, groups in order of name, hosts in order of number.
    pub fn hosts(&self) -> impl Iterator<Item = HostName> {
        self.groups
            .iter()
            .flat_map(|(name, group)| (1..=group.scale).map(|number| HostName { group: name.clone(), number }))
    }

    /// The wanted hosts that carry a service.
    pub fn hosts_with(&self, service: &ServiceName) -> impl Iterator<Item = HostName> {
        self.hosts().filter(|host| self.group_of(host).is_some_and(|group| group.services.contains(service)))
    }

    /// The group a host belongs to, when the file names it.
    pub fn group_of(&self, host: &HostName) -> Option<&Group> {
        self.groups.get(&host.group)
    }
}

/// The secrets of a service in the versions that a release has of them; nothing where it lacks one.
fn pinned_secrets(secrets: &[SecretUse], versions: Option<&SecretVersions>) -> Option<Vec<PinnedSecret>> {
    let pinned = |SecretUse { name, target }: &SecretUse| {
        let secret = SecretVersion { name: name.clone(), version: *versions?.get(name)? };
        Some(PinnedSecret { secret, target: target.clone() })
    };
    secrets.iter().map(pinned).collect()
}

/// The longest that a replica of any service may take to stop, in seconds.
pub fn longest_grace_seconds(config: &Config) -> u32 {
    config.services.values().map(grace_seconds).max().unwrap_or(0)
}

fn grace_seconds(service: &Service) -> u32 {
    u32::try_from(service.stop_grace_period.as_secs()).unwrap_or(u32::MAX)
}

/// A published port of one replica, host side decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Binding {
    /// The port on the host.
    pub host: u16,
    /// The port in the container.
    pub container: u16,
}

/// One replica with every choice made: enough to write its unit.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaSpec {
    /// Its symbolic name.
    pub replica: ReplicaName,
    /// The host that runs it.
    pub host: HostName,
    /// Its published ports, in the order of the file.
    pub bindings: Vec<Binding>,
    /// What it has in common with the other replicas of its service.
    pub service: DesiredService,
}
