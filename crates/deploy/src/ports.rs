//! What a deployment needs from the world, named for the need and never for a vendor.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use async_trait::async_trait;
use skipper_core::{
    clean::Stocked,
    desired::Scope,
    exit::Exit,
    failure::Failure,
    image::{Digest, PinnedImage, Repository, Revision, Tag},
    name::{GroupName, HostName, ProjectName},
    observed::{
        Address, Agent, IngressRule, InstanceId, InstanceState, LaunchFacts, ObservedSecurityGroup, SecurityGroup,
    },
    plan::LaunchSpec,
    preview::{Owned, PullRequest},
    render::DeploymentStatus,
    script::Script,
    secret::Secret,
};

/// Why a call to the world failed, in the few kinds that something depends on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", failure.message)]
pub struct PortError {
    /// What is done about it.
    pub kind: PortErrorKind,
    /// What is shown: the message, the causes, the remedy, the exit code.
    pub failure: Failure,
}

/// The kinds of failure that the caller treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortErrorKind {
    /// Credentials are missing, wrong or not allowed to do this: exit 3.
    Denied,
    /// Asked too often, or the other side has trouble: worth another try later.
    Transient,
    /// The effect may have happened: the reply was lost.
    Unclear,
    /// There is no capacity for it where it was asked for; there may be elsewhere.
    Capacity,
    /// A quota is used up.
    Quota,
    /// What the call was about does not exist.
    Missing,
    /// Something else uses it still.
    InUse,
    /// The request was refused as it stands.
    Invalid,
    /// Anything else.
    Other,
}

impl PortError {
    /// An error whose exit code follows from its kind: 3 when denied, else 5.
    pub fn new(kind: PortErrorKind, message: impl Into<String>) -> Self {
        let exit = if kind == PortErrorKind::Denied { Exit::Refused } else { Exit::Blocked };
        Self { kind, failure: Failure::new(exit, message) }
    }

    /// Adds a cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.failure = self.failure.because(cause);
        self
    }

    /// Adds a remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.failure = self.failure.hint(hint);
        self
    }

    /// Whether trying the same call again may help and cannot harm an idempotent call.
    pub fn is_worth_retrying(&self) -> bool {
        matches!(self.kind, PortErrorKind::Transient | PortErrorKind::Unclear)
    }
}

/// The result of a call to the world.
pub type PortResult<T> = Result<T, PortError>;

/// The ids of a project's security groups.
pub type GroupIds = BTreeMap<SecurityGroup, String>;

/// One instance that carries the ownership tag, as the provider describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundInstance {
    /// Its id.
    pub instance: InstanceId,
    /// The host it says it is; absent when its tag is missing or cannot be read.
    pub host: Option<HostName>,
    /// Its state.
    pub state: InstanceState,
    /// Its instance type.
    pub size: String,
    /// Whether its root device is the machine's own store, so that it cannot be stopped.
    pub instance_store: bool,
    /// Its address inside the network.
    pub private_address: Option<String>,
    /// Its address from outside.
    pub public_address: Option<String>,
}

/// What to find out before launching in one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchQuery {
    /// The instance type.
    pub size: String,
    /// The image the file pins; the newest Flatcar of the size's architecture when absent.
    pub image: Option<String>,
    /// The instance profile's name.
    pub instance_profile: String,
    /// The subnets the file names.
    pub subnets: Vec<String>,
}

/// A launch with its ownership: everything one call needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Whose host it is.
    pub scope: Scope,
    /// Which host.
    pub host: HostName,
    /// The launch as planned.
    pub spec: LaunchSpec,
    /// Which of the planned subnets; one of the region's default ones when absent.
    pub subnet: Option<String>,
    /// The ids of its security groups.
    pub security_groups: Vec<String>,
    /// The user-data, not encoded.
    pub user_data: String,
    /// Makes a repeated call launch once.
    pub client_token: String,
}

/// Hosts and their ingress rules.
#[async_trait(?Send)]
pub trait Compute {
    /// The account the credentials belong to; the first call of a run, so that wrong credentials show before anything else.
    async fn account(&self) -> PortResult<String>;
    /// Every instance with the scope's ownership tag that is not terminated or about to be, all pages.
    async fn instances(&self, scope: &Scope) -> PortResult<Vec<FoundInstance>>;
    /// The security groups with the scope's ownership tag and their inbound rules, all pages.
    async fn security_groups(&self, scope: &Scope) -> PortResult<BTreeMap<SecurityGroup, ObservedSecurityGroup>>;
    /// Every instance that is not terminated or about to be, and every security group, with the project's ownership tag, all
    /// pages: of whichever environment.
    async fn owned(&self, project: &ProjectName) -> PortResult<Vec<Owned>>;
    /// What a launch in each group would use, in a number of calls that does not depend on how many hosts are missing.
    async fn launch_facts(
        &self,
        queries: &BTreeMap<GroupName, LaunchQuery>,
    ) -> PortResult<BTreeMap<GroupName, LaunchFacts>>;
    /// Creates a security group with its ownership tags in the default VPC or the subnet's; an existing one of the same name is taken up. Returns its id.
    async fn create_security_group(
        &self,
        scope: &Scope,
        security_group: &SecurityGroup,
        subnet: Option<&str>,
    ) -> PortResult<String>;
    /// Lets traffic in; a rule that is there already is no error. `groups` are the ids of the project's groups that a rule may name as
    /// its source.
    async fn authorize(&self, id: &str, rules: &[IngressRule], groups: &GroupIds) -> PortResult<()>;
    /// Stops letting traffic in; a rule that is gone already is no error.
    async fn revoke(&self, id: &str, rules: &[IngressRule], groups: &GroupIds) -> PortResult<()>;
    /// Launches one instance with its tags. Returns its id and the state it is in: a token that was used before returns the instance of then, even a dead one (`None`).
    async fn launch(&self, launch: &Launch) -> PortResult<(InstanceId, Option<InstanceState>)>;
    /// Reboots an instance, in order where it can.
    async fn reboot(&self, instance: &InstanceId) -> PortResult<()>;
    /// Stops an instance; its disk and its private address stay. One that is stopped already is no error.
    async fn stop(&self, instance: &InstanceId) -> PortResult<()>;
    /// Gives a stopped instance another size.
    async fn set_size(&self, instance: &InstanceId, size: &str) -> PortResult<()>;
    /// Starts a stopped instance; one that runs already is no error. [`PortErrorKind::Capacity`] where there is none for its size.
    async fn start(&self, instance: &InstanceId) -> PortResult<()>;
    /// Terminates an instance.
    async fn terminate(&self, instance: &InstanceId) -> PortResult<()>;
    /// The addresses with the scope's ownership tag that outlive instances and say which host they are for.
    async fn addresses(&self, scope: &Scope) -> PortResult<Vec<Address>>;
    /// Allocates an address for a host, with its tags; one that is there for it and leads nowhere is taken up.
    async fn allocate_address(&self, scope: &Scope, host: &HostName) -> PortResult<Address>;
    /// Has an address lead to an instance that runs, wherever it has led before.
    async fn associate_address(&self, address: &Address, instance: &InstanceId) -> PortResult<()>;
    /// Gives an address back; one that is gone already is no error, [`PortErrorKind::InUse`] while it leads to an instance.
    async fn release_address(&self, address: &Address) -> PortResult<()>;
    /// Deletes a security group; one that is gone already is no error, [`PortErrorKind::InUse`] while an instance is in it.
    async fn delete_security_group(&self, id: &str) -> PortResult<()>;
}

/// One host's answer to a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// The script ended: its exit code, and its output from the start, as far as it was kept.
    Finished {
        /// The exit code.
        code: i32,
        /// Standard output, at least the first 2,400 bytes.
        stdout: String,
        /// Standard error, as much as was kept.
        stderr: String,
    },
    /// It did not run, or nobody knows how it ended; the status in the provider's words.
    Lost(String),
}

/// Runs scripts on hosts and reads their results.
#[async_trait(?Send)]
pub trait Remote {
    /// The agents of the scope's instances, all pages.
    async fn agents(&self, scope: &Scope) -> PortResult<BTreeMap<InstanceId, Agent>>;
    /// Runs one script on every instance given and waits for every result, at most `deadline`. Every instance given has an entry in the answer.
    /// The number of calls does not depend on the number of instances, up to pages of 50.
    async fn run(
        &self,
        on: &BTreeSet<InstanceId>,
        script: &Script,
        deadline: Duration,
    ) -> PortResult<BTreeMap<InstanceId, Invocation>>;
}

/// What to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildRequest {
    /// The folder that is sent.
    pub context: PathBuf,
    /// The Dockerfile, relative to the context.
    pub dockerfile: String,
    /// The stage to stop at.
    pub target: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// The commit, for the image's `org.opencontainers.image.revision` label.
    pub revision: Revision,
}

/// A digest that a tag points to, and when that image was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The digest.
    pub digest: Digest,
    /// How old the image is by its own configuration; absent when it does not say.
    pub age: Option<Duration>,
    /// What it runs on, such as `linux/amd64`; empty when it does not say.
    pub platforms: BTreeSet<String>,
    /// The commit that it was built from; absent when it does not say.
    pub revision: Option<Revision>,
}

/// A user name and password for a registry, or a token in the password's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub username: String,
    /// The password or token.
    pub password: Secret,
}

/// Images, from their sources to the registry.
#[async_trait(?Send)]
pub trait Images {
    /// A hash over everything a build reads: the context as `.dockerignore` leaves it, the Dockerfile, target and arguments. 16 hex digits.
    async fn inputs(&self, build: &BuildRequest) -> PortResult<String>;
    /// What a tag points to; absent when the registry does not have it, [`PortErrorKind::Missing`] when it lacks what that is made of.
    async fn resolve(&self, repository: &Repository, tag: &Tag) -> PortResult<Option<Resolved>>;
    /// The login that this run has for a repository's registry, if it has one.
    async fn login(&self, repository: &Repository) -> PortResult<Option<Login>>;
    /// Gives an image another tag in its registry, by copying its manifest; [`PortErrorKind::Missing`] when the registry lacks
    /// the image or what it is made of.
    async fn copy(&self, image: &PinnedImage, tag: &Tag) -> PortResult<()>;
    /// Builds and pushes under every tag given, and returns the digest the registry has now. Every line of output goes to `output`.
    async fn build_and_push(
        &self,
        build: &BuildRequest,
        repository: &Repository,
        tags: &[Tag],
        output: &mut dyn FnMut(String),
    ) -> PortResult<Digest>;
    /// The images of these repositories that the engine on this machine has.
    async fn stock(&self, repositories: &BTreeSet<Repository>) -> PortResult<Vec<Stocked>>;
    /// Takes an image by all names that it has in its repository from the engine on this machine; whether nothing is left of it.
    /// [`PortErrorKind::InUse`] where a container uses it.
    async fn clean(&self, image: &Stocked) -> PortResult<bool>;
}

/// A pull request that a commit belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PullRequestOfCommit {
    /// Its number.
    pub number: u64,
    /// Whether it brought the commit to where it is; else it is open and the commit is its head.
    pub merged: bool,
}

/// A deployment to be made on the code host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentRequest {
    /// What is deployed.
    pub revision: Revision,
    /// To where.
    pub scope: Scope,
    /// The environment as people are shown it, where that is not its name alone: `production/eu-west-1`.
    pub shown_as: String,
    /// The run, by which a deployment whose reply was lost is found.
    pub run: Option<(u64, u32)>,
    /// Where the run can be looked at; a deployment that the workflow's job has made says the same.
    pub run_url: Option<String>,
    /// Whether one that the workflow's job has made is enough.
    pub unless_the_job_has_one: bool,
}

/// Where people read: pull requests, their comments, and deployments.
#[async_trait(?Send)]
pub trait CodeHost {
    /// The pull requests a commit belongs to, as the code host sees it.
    async fn pull_requests(&self, revision: &Revision) -> PortResult<Vec<PullRequestOfCommit>>;
    /// What a pull request is like now; [`PortErrorKind::Missing`] where the code host shows none of that number.
    async fn pull_request(&self, number: u64) -> PortResult<PullRequest>;
    /// Creates the comment that carries `key`, or edits it when it exists; never touches one of a later run.
    /// `run` orders runs. A plan that the comment shows stays in it until another takes its place. Returns the comment's address,
    /// or nothing when a later run's comment was left alone.
    async fn comment(
        &self,
        pull_request: u64,
        key: &str,
        run: Option<(u64, u32)>,
        body: &str,
    ) -> PortResult<Option<String>>;
    /// The line that holds the plan ([`skipper_core::render::ShownPlan`]) in the comment that carries `key`. A comment that
    /// somebody else wrote counts for nothing.
    async fn shown_plan(&self, pull_request: u64, key: &str) -> PortResult<Option<String>>;
    /// Whether `later` contains `earlier`, and is another commit. One that the code host does not know contains nothing.
    async fn is_behind(&self, earlier: &Revision, later: &Revision) -> PortResult<bool>;
    /// Makes a deployment, or finds the one that the workflow's job has made. Returns its number and whether it was made here.
    async fn create_deployment(&self, request: &DeploymentRequest) -> PortResult<(u64, bool)>;
    /// Marks what was deployed to an environment that is gone as inactive.
    async fn retire_deployments(&self, environment: &str) -> PortResult<()>;
    /// Adds a status to a deployment.
    async fn set_deployment_status(&self, id: u64, status: &DeploymentStatus) -> PortResult<()>;
}

/// A value that is kept encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSecret {
    /// Which version it is, counted from 1.
    pub version: u64,
    /// The value, where it was asked for.
    pub value: Option<Secret>,
}

/// What must outlive a run and is not shown by the world itself.
#[async_trait(?Send)]
pub trait Store {
    /// Every value below a path, all pages; keys are relative to the path.
    async fn read(&self, path: &str) -> PortResult<BTreeMap<String, String>>;
    /// Writes one value, replacing what was there.
    async fn write(&self, path: &str, value: &str) -> PortResult<()>;
    /// Writes one value where nothing is, the only atomic write there is; false when something is there.
    async fn create(&self, path: &str, value: &str) -> PortResult<bool>;
    /// The newest version of every secret right below a path, all pages; with its value where they are to be revealed, which takes the
    /// permission to decrypt.
    async fn secrets(&self, path: &str, reveal: bool) -> PortResult<BTreeMap<String, StoredSecret>>;
    /// Keeps one secret, encrypted, as the next version of what was there. Returns the version.
    async fn write_secret(&self, path: &str, value: &Secret) -> PortResult<u64>;
    /// Removes values; those that are not there are no error.
    async fn remove(&self, paths: &[String]) -> PortResult<()>;
}
