//! What `skipper.yml` says, checked: plain data that is never raw again.

mod check;
mod diagnostic;
mod instance_type;
mod overlay;
mod raw;
mod schema;
mod tree;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Serialize;

pub(crate) use self::diagnostic::{escape_data as escape, mark};
pub use self::{
    check::{load, load_for, parse_duration, problems_of_all, show_duration},
    diagnostic::{Diagnostic, Related, Severity, Span},
    instance_type::{Architecture, InstanceType},
    schema::json_schema,
};
use crate::{
    cost::Price,
    image::{Repository, Tag},
    name::{EnvName, GroupName, ProjectName, ServiceName, VolumeName},
};

/// A checked `skipper.yml`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// Tags everything the project owns.
    pub project: ProjectName,
    /// The AWS region that is meant: the first of `regions`, unless somebody asks for another.
    pub region: String,
    /// Every region that has the groups, each as a cluster of its own.
    pub regions: Vec<String>,
    /// The AWS account that the credentials must belong to, when the file says.
    pub account: Option<String>,
    /// The services.
    pub services: BTreeMap<ServiceName, Service>,
    /// The groups of hosts.
    pub groups: BTreeMap<GroupName, Group>,
    /// Where hosts get fleet from, for each kind of processor that the groups have.
    pub fleet: BTreeMap<Architecture, FleetArchive>,
    /// What instances cost an hour, where the file says.
    pub prices: BTreeMap<InstanceType, Price>,
    /// Which pull requests get an environment of their own, and for how long.
    pub previews: Previews,
    /// What is allowed and probably not meant.
    pub warnings: Vec<Diagnostic>,
    /// Where each key stands in the file, by its path: `groups.web.scale`.
    pub spans: BTreeMap<String, Span>,
}

impl Config {
    /// The same for one of the regions.
    #[must_use]
    pub fn in_region(&self, region: &str) -> Self {
        Self { region: region.to_owned(), ..self.clone() }
    }

    /// The place of the key at `path` (`services.web`), or of the nearest one around it.
    pub fn span(&self, path: &str) -> Option<Span> {
        nearest(&self.spans, path)
    }

    /// The processors that a service's image has to run on, each with a group whose hosts have it.
    pub fn architectures(&self, service: &ServiceName) -> BTreeMap<Architecture, &GroupName> {
        let carrying = self.groups.iter().filter(|(_, group)| group.services.contains(service));
        carrying.map(|(name, group)| (group.size.architecture(), name)).collect()
    }
}

/// The place of the key at `path`, or of the nearest one around it.
pub(crate) fn nearest(spans: &BTreeMap<String, Span>, path: &str) -> Option<Span> {
    let mut around = std::iter::successors(Some(path), |path| path.rsplit_once('.').map(|(around, _)| around));
    around.find_map(|path| spans.get(path).copied())
}

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Service {
    /// Where its images live.
    pub repository: Repository,
    /// Where its image comes from.
    pub source: ImageSource,
    /// Replicas on each host of a group that lists the service.
    pub scale: u32,
    /// Its container ports.
    pub ports: Vec<Port>,
    /// Its environment variables; those for all services are merged in, the more special wins.
    pub env: BTreeMap<EnvName, String>,
    /// The secrets that it is given.
    pub secrets: Vec<SecretUse>,
    /// Arguments in place of the image's own.
    pub command: Vec<String>,
    /// Where the engine sends what a replica prints; its own default when absent.
    pub logging: Option<Logging>,
    /// How a replica shows that it serves.
    pub healthcheck: Healthcheck,
    /// Between SIGTERM and SIGKILL when a replica is stopped.
    pub stop_grace_period: Duration,
    /// The services that it finds by their names.
    pub links: Vec<ServiceName>,
    /// What it keeps on its hosts.
    pub volumes: Vec<Volume>,
}

/// Data that outlives containers, on one host: all replicas of an environment there that name it have the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// Its name in the environment.
    pub name: VolumeName,
    /// Where it is in the container.
    pub path: String,
    /// Whether the container may only read it.
    pub read_only: bool,
}

/// Where a service's image comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageSource {
    /// It is built from the commit.
    Build(Build),
    /// It is not ours to build: a tag, resolved to a digest.
    Tag(Tag),
}

/// How an image is built.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Build {
    /// The folder that is sent, relative to that of `skipper.yml`.
    pub context: PathBuf,
    /// The Dockerfile, relative to the context.
    pub dockerfile: String,
    /// The stage to stop at.
    pub target: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// How long an image with unchanged inputs is used again.
    pub max_age: Duration,
}

/// A container's port and, where the file fixes it, the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Port {
    /// The port on the host; skipper chooses one when absent.
    pub host: Option<u16>,
    /// The port in the container.
    pub container: u16,
}

impl Port {
    /// The port by which the service is found through a link: a link is a name alone, so it is the same on the host.
    pub fn linked(self) -> Option<u16> {
        self.host.filter(|host| *host == self.container)
    }
}

/// A secret of a service: which one, and how it arrives. Its value is nowhere in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SecretUse {
    /// Its name, by which the run is given its value and the environment keeps it.
    pub name: EnvName,
    /// How it arrives in the container.
    pub target: SecretTarget,
}

/// How a secret arrives in a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretTarget {
    /// As the value of this variable.
    Env(EnvName),
    /// As the contents of a file at this path.
    File(String),
}

/// How a replica shows that it serves.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Healthcheck {
    /// What is asked.
    pub check: Check,
    /// Between two tries.
    pub interval: Duration,
    /// For one try.
    pub timeout: Duration,
    /// Tries after the start period.
    pub retries: u32,
    /// In which a failing try does not count.
    pub start_period: Duration,
}

/// What is asked of a replica. Ports are the container's.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// An HTTP GET that must answer with 2xx or 3xx.
    Http {
        /// The port.
        port: u16,
        /// The path, beginning with `/`.
        path: String,
    },
    /// A TCP connection.
    Tcp {
        /// The port.
        port: u16,
    },
    /// Its container runs.
    Running,
}

/// A group of like hosts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// The instance type.
    pub size: InstanceType,
    /// How many hosts.
    pub scale: u32,
    /// Host ports that the world may reach.
    pub public_ports: Vec<u16>,
    /// The services its hosts carry.
    pub services: Vec<ServiceName>,
    /// The instance profile's name.
    pub instance_profile: String,
    /// The subnets to spread over; the region's default when empty.
    pub subnets: Vec<String>,
    /// A pinned image; the newest Flatcar when absent.
    pub ami: Option<String>,
    /// Size of the root volume in GiB; the image's own when absent.
    pub disk: Option<u32>,
    /// Whether each of its hosts has an address that outlives its instance.
    pub elastic: bool,
}

/// Where the engine sends what a replica prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Logging {
    /// One of the engine's drivers.
    pub driver: String,
    /// What it is told.
    pub options: BTreeMap<String, String>,
}

/// Which pull requests get an environment of their own, where, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Previews {
    /// Where they run.
    pub hosts: PreviewHosts,
    /// How long a preview lasts after it was last shipped to.
    pub ttl: Duration,
    /// How many there may be at a time.
    pub max: u32,
    /// The label that a pull request must carry; every pull request gets a preview when absent.
    pub label: Option<String>,
}

impl Default for Previews {
    fn default() -> Self {
        Self { hosts: PreviewHosts::Own, ttl: Duration::from_secs(3 * 24 * 60 * 60), max: 5, label: None }
    }
}

/// The hosts that a preview runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PreviewHosts {
    /// Its own, which go with it.
    Own,
    /// Those of all previews, which stay while there is one.
    Shared,
}

/// An archive of fleet for one kind of processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FleetArchive {
    /// The address of the release archive.
    pub url: String,
    /// Its SHA-256 in hex; hosts warn when absent.
    pub sha256: Option<String>,
}

/// The release that hosts get when the file names none; there is none for arm64.
const FLEET_RELEASE: &str = "https://github.com/coreos/fleet/releases/download/v1.0.0/fleet-v1.0.0-linux-amd64.tar.gz";
