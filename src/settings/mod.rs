//! Everything that the run is told by its surroundings, read once and checked: inputs, variables, the event.
//!
//! ```text
//! flags, inputs, variables -> Raw (empty counts as absent) -> Settings (checked, never raw again)
//! ```
//!
//! A flag stands above the input of the same name, an input above its default. The variables and their meanings:
//! <https://docs.github.com/en/actions/reference/workflows-and-actions/variables>.

mod error;
mod git;
mod identity;
mod inputs;
mod keys;
mod left;
mod secrets;
mod trigger;
mod workflow;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use skipper_core::{
    config,
    iam::Repository,
    image::{Revision, Tag},
    lease::Timing,
    name::{EnvironmentName, ServiceName},
    preview::PREVIEW,
    secret::Secret,
};

pub use self::{
    error::SettingsError,
    inputs::{Command, INPUTS, Input, Verdict},
    keys::Keys,
    left::Left,
    secrets::given as given_secrets,
    trigger::{EventKind, PullRequest, Trigger},
    workflow::Workflow,
};
use skipper_deploy::{
    events::SHORTEST_SECRET,
    report::{Comments, Deployments},
    runner::ExpectedPlan,
};

use self::{inputs::Inputs, trigger::Asked};
use crate::{aws::WebIdentity, github::Access};

/// What the command line says; each stands above the input of the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The command; the input `command` (so `ship`) when the command line names none.
    pub command: Option<Command>,
    /// Where `skipper.yml` is.
    pub config: Option<PathBuf>,
    /// The environment to act on.
    pub environment: Option<String>,
    /// The region, in place of the file's.
    pub region: Option<String>,
    /// The commit, in full.
    pub revision: Option<String>,
    /// The services to act on, each with its tag where one is named.
    pub services: Option<String>,
    /// The replica or host to remove, or what logs are shown of.
    pub uuid: Option<String>,
    /// Terminates the hosts of groups that are gone.
    pub allow_terminate: bool,
    /// Lets hosts go away with their volumes.
    pub allow_data_loss: bool,
    /// Removes inbound rules of somebody else's.
    pub prune_rules: bool,
    /// How many images of a service `clean` leaves.
    pub cutoff: Option<u32>,
    /// Whether it cleans the hosts, too.
    pub clean_hosts: bool,
    /// Takes away the last one of something, too.
    pub force: bool,
    /// The plan that may be carried out.
    pub expect_plan: Option<String>,
    /// The pull request to comment on.
    pub pull_request: Option<String>,
    /// Where the run's events are written.
    pub events: Option<PathBuf>,
    /// Builds even what the registry has.
    pub rebuild: bool,
    /// How long to wait for another run's lease.
    pub wait: Option<String>,
    /// Takes the lease from whoever holds it.
    pub break_lease: bool,
    /// How long a host may take to come online.
    pub host_timeout: Option<String>,
    /// The repository whose workflows take roles.
    pub repository: Option<String>,
    /// The ids of its owner and of itself, with a `/` between them.
    pub repository_ids: Option<String>,
}

/// The file that keeps the run's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether somebody asked for it, by flag or input: then a run does not begin without it.
    pub asked_for: bool,
}

impl EventsFile {
    /// The one of a part of the run: `events.pr-7.jsonl` beside `events.jsonl`.
    #[must_use]
    pub fn of_part(&self, part: &str) -> Self {
        let extension = self.path.extension().map(|extension| extension.to_string_lossy().into_owned());
        let path = self.path.with_extension(match extension {
            Some(extension) => format!("{part}.{extension}"),
            None => part.to_owned(),
        });
        Self { path, ..self.clone() }
    }
}

/// The file that takes the outputs of the step that this process is, for a run that ends before its settings are known.
pub fn output_file() -> Option<PathBuf> {
    let lookup = |name: &str| env::var_os(name);
    Workflow::output_file(&Raw(&lookup))
}

/// What the run is told, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What to do.
    pub command: Command,
    /// Where `skipper.yml` is.
    pub config: PathBuf,
    /// The environment to act on.
    pub environment: EnvironmentName,
    /// The AWS region, in place of the file's.
    pub region: Option<String>,
    /// The services to act on, each with the tag that is asked for; all when empty.
    pub services: BTreeMap<ServiceName, Option<Tag>>,
    /// The replica or host to remove, there where that is the command; else the replica or service that logs are shown of.
    pub uuid: Option<String>,
    /// Builds even what the registry has.
    pub rebuild: bool,
    /// Terminates the hosts of groups that the file does not name any more.
    pub allow_terminate: bool,
    /// Lets hosts go away with the named volumes that they hold.
    pub allow_data_loss: bool,
    /// Removes inbound rules that somebody else wrote into the project's security groups.
    pub prune_rules: bool,
    /// How many images of a service `clean` leaves, the newest.
    pub cutoff: u32,
    /// Whether it cleans the hosts, too.
    pub clean_hosts: bool,
    /// Takes a host away though it is the last one of something, or does not answer.
    pub force: bool,
    /// The plan that may be carried out, and no other; any when absent.
    pub expect_plan: Option<ExpectedPlan>,
    /// What a run comes to whose commit is older than the one that serves.
    pub on_superseded: Verdict,
    /// What a run on a fork's pull request comes to.
    pub fork: Verdict,
    /// Which pull requests a commit that was pushed is told on.
    pub comments: Comments,
    /// Whether a GitHub deployment is created.
    pub deployments: Deployments,
    /// How long to wait for another run that holds the lease; not at all when absent.
    pub wait: Option<Duration>,
    /// Takes the lease from whoever holds it.
    pub break_lease: bool,
    /// The pace of leases, which all runs of an environment must agree on. Tests hurry it.
    pub lease: Timing,
    /// Who runs this, for others who find the lease held.
    pub who: String,
    /// How long a host may take to come online, and to answer, at most.
    pub host_timeout: Duration,
    /// Where the run's events are written; nowhere when absent.
    pub events: Option<EventsFile>,
    /// The role whose credentials the run takes, and what the job shows for it; the environment's credentials when absent.
    pub aws_role: Option<WebIdentity>,
    /// The keys of 2014's file, where the environment names no others; used where it has none in another way.
    pub keys: Option<Keys>,
    /// The user name and password (or token) for the registries of `skipper.yml`.
    pub registry_login: Option<(String, Secret)>,
    /// What caused the run; absent for commands that are about no commit.
    pub trigger: Option<Trigger>,
    /// The repository whose workflows take roles, where it is known.
    pub repository: Option<Repository>,
    /// The code host's API, where repository and token are known.
    pub code_host: Option<Access>,
    /// The workflow that this run is a step of; absent outside GitHub Actions, and then neither workflow commands nor runner files are written.
    pub workflow: Option<Workflow>,
    /// The Docker engine's address.
    pub docker_host: Option<String>,
    /// The folder of Docker's configuration: `DOCKER_CONFIG`, else `.docker` at home.
    pub docker_config: Option<PathBuf>,
    /// The address by which this process reaches a registry, by the registry's name, where its name leads elsewhere from here.
    pub registry_endpoints: BTreeMap<String, String>,
    /// Whether diagnosis was asked for, as by re-running a job with debug logging.
    pub debug: bool,
}

impl Settings {
    /// The pull request that the event is about, where the environment is its preview.
    pub fn preview(&self) -> Option<&PullRequest> {
        let pull_request = self.trigger.as_ref()?.pull_request.as_ref()?;
        (self.environment.pull_request() == Some(pull_request.number)).then_some(pull_request)
    }

    /// Whether somebody named a tag to deploy, and so means that one whatever serves.
    pub fn names_tags(&self) -> bool {
        self.services.values().any(Option::is_some)
    }

    /// The environment whose word in the file counts: whoever lists or sweeps previews means that of all of them.
    pub fn environment_of_the_file(&self) -> EnvironmentName {
        match self.command {
            Command::Previews | Command::Sweep => EnvironmentName::of_previews(),
            _ => self.environment.clone(),
        }
    }

    /// Reads the process's environment and the event file.
    ///
    /// # Errors
    /// When something that the run needs is missing or makes no sense: exit 2.
    pub fn read(flags: Flags) -> Result<Self, SettingsError> {
        let here = env::current_dir().map_err(SettingsError::NoWorkingFolder)?;
        Self::from_lookup(flags, &here, |name| env::var_os(name))
    }

    /// Everything of these settings that nobody may be shown.
    pub fn secrets(&self) -> Vec<Secret> {
        let token = self.code_host.iter().map(|access| access.token.clone());
        let token = token.chain(self.keys.iter().map(|keys| keys.secret.clone()));
        token.chain(self.registry_login.iter().map(|(_, password)| password.clone())).collect()
    }

    /// A text from elsewhere without anything that nobody may be shown.
    pub fn concealed(&self, text: String) -> String {
        let secrets = self.secrets();
        // Shorter ones would be found in ordinary words.
        let long = secrets.iter().map(Secret::expose).filter(|secret| secret.len() >= SHORTEST_SECRET);
        long.fold(text, |text, secret| text.replace(secret, "***"))
    }

    /// The file that takes the step's outputs.
    pub fn output_file(&self) -> Option<&Path> {
        self.workflow.as_ref()?.output.as_deref()
    }

    /// [`Settings::read`] with the variables that `lookup` knows, for a process that runs in the folder `here`.
    ///
    /// # Errors
    /// As [`Settings::read`].
    pub fn from_lookup(
        flags: Flags,
        here: &Path,
        lookup: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, SettingsError> {
        let raw = Raw(&lookup);
        let workflow = Workflow::read(&raw)?;
        let inputs = Inputs::read(&raw)?;
        let command = flags.command.unwrap_or(inputs.command);
        let environment = flags.environment.unwrap_or(inputs.environment);
        let services = services(command, flags.services.or(inputs.services))?;
        let named = flags.pull_request.or(inputs.pull_request);
        let is_named = named.is_some();
        // Which environment a preview is, only the event says, or whoever names the pull request.
        let is_preview = environment == PREVIEW && command.is_about_an_environment();
        // Without one it is the hosts that previews share, which have a lease, too.
        let is_of_hosts =
            matches!(command, Command::Lease | Command::InstancesPs | Command::InstancesSsh | Command::Clean)
                && workflow.is_none()
                && named.is_none();
        let trigger = if command.is_about_a_commit() || is_preview && workflow.is_some() {
            let revision = flags.revision.or(inputs.revision);
            let revision = revision.map(|revision| revision.parse::<Revision>()).transpose();
            let revision = revision.map(|revision| revision.or_else(|| commit_of(&services)));
            let pull_request = named.map(pull_request).transpose()?;
            let asked = Asked { revision: revision.map_err(SettingsError::Revision)?, pull_request };
            Some(Trigger::read(&raw, workflow.as_ref(), asked, here)?)
        } else {
            None
        };
        let environment = if is_preview && !is_of_hosts {
            // The commit of a comment's event is the default branch's, which is nobody's preview.
            let its_own = |pull: &&PullRequest| is_named || pull.happened.is_some();
            let pull_request = trigger.as_ref().and_then(|trigger| trigger.pull_request.as_ref()).filter(its_own);
            EnvironmentName::of_pull_request(pull_request.ok_or(SettingsError::NoPullRequest)?.number)
        } else {
            environment.parse().map_err(|source| SettingsError::Environment { name: environment, source })?
        };
        let token = inputs.github_token.or(raw.secret("GITHUB_TOKEN")?);
        let code_host = match (raw.text("GITHUB_REPOSITORY")?, token) {
            (Some(repository), Some(token)) => Some(workflow::code_host(&raw, repository, token)?),
            _ => None,
        };
        Ok(Self {
            command,
            config: flags.config.unwrap_or(inputs.config),
            environment,
            region: flags.region.or(inputs.region),
            services,
            uuid: match (command, flags.uuid.or(inputs.uuid)) {
                (Command::Remove | Command::InstancesRemove, None) => return Err(SettingsError::NoUuid(command)),
                (_, uuid) => uuid,
            },
            rebuild: flags.rebuild || inputs.rebuild,
            allow_terminate: flags.allow_terminate || inputs.allow_terminate,
            allow_data_loss: flags.allow_data_loss || inputs.allow_data_loss,
            prune_rules: flags.prune_rules || inputs.prune_rules,
            cutoff: flags.cutoff.unwrap_or(inputs.cutoff),
            clean_hosts: flags.clean_hosts || inputs.clean_hosts,
            force: flags.force || inputs.force,
            expect_plan: flags.expect_plan.or(inputs.expect_plan).map(expected_plan).transpose()?,
            on_superseded: inputs.on_superseded,
            fork: inputs.fork,
            comments: inputs.comments,
            deployments: inputs.deployments,
            wait: flags.wait.or(inputs.wait).map(wait).transpose()?,
            break_lease: flags.break_lease,
            lease: pace(raw.text("SKIPPER_LEASE_BEAT")?)?,
            who: who(&raw)?,
            events: match flags.events.or(inputs.events) {
                Some(path) => Some(EventsFile { path, asked_for: true }),
                None => workflow
                    .as_ref()
                    .and_then(Workflow::default_events)
                    .map(|path| EventsFile { path, asked_for: false }),
            },
            host_timeout: host_timeout(flags.host_timeout.unwrap_or(inputs.host_timeout))?,
            keys: match command.asks_aws() && inputs.aws_role.is_none() && raw.os("AWS_ACCESS_KEY_ID").is_none() {
                true => Keys::read(here)?,
                false => None,
            },
            aws_role: inputs.aws_role.map(|role| identity::web_identity(&raw, role, workflow.as_ref())).transpose()?,
            registry_login: inputs.registry_login,
            trigger: trigger.filter(|_| command.is_about_a_commit()),
            repository: identity::repository(&raw, flags.repository, flags.repository_ids)?,
            code_host,
            docker_host: raw.text("DOCKER_HOST")?,
            docker_config: match raw.path("DOCKER_CONFIG") {
                Some(folder) => Some(folder),
                None => raw.path("HOME").map(|home| home.join(".docker")),
            },
            registry_endpoints: endpoints(raw.text("SKIPPER_REGISTRY_ENDPOINT")?)?,
            debug: raw.text("RUNNER_DEBUG")?.is_some_and(|value| value == "1"),
            workflow,
        })
    }
}

/// Separated by blanks or commas, as they come out of YAML's lists and block texts.
fn services(command: Command, text: Option<String>) -> Result<BTreeMap<ServiceName, Option<Tag>>, SettingsError> {
    let text = text.unwrap_or_default();
    let mut services = BTreeMap::new();
    for word in text.split([',', ' ', '\n', '\t', '\r']).filter(|word| !word.is_empty()) {
        let (name, tag) = word.split_once(':').map_or((word, None), |(name, tag)| (name, Some(tag)));
        let name: ServiceName =
            name.parse().map_err(|source| SettingsError::Service { name: name.to_owned(), source })?;
        let tag = match tag {
            None => None,
            Some(_) if !command.takes_tags() => {
                return Err(SettingsError::NoTags { word: word.to_owned(), command });
            }
            Some(tag) => Some(tag.parse().map_err(|source| SettingsError::Tag { word: word.to_owned(), source })?),
        };
        if services.insert(name, tag).is_some() {
            return Err(SettingsError::ServiceTwice(word.to_owned()));
        }
    }
    Ok(services)
}

/// The commit whose images are asked for, where the tags name one.
fn commit_of(services: &BTreeMap<ServiceName, Option<Tag>>) -> Option<Revision> {
    let mut tags = services.values().map(|tag| tag.as_ref()?.as_ref().parse::<Revision>().ok());
    let first = tags.next()??;
    tags.all(|other| other.as_ref() == Some(&first)).then_some(first)
}

fn expected_plan(text: String) -> Result<ExpectedPlan, SettingsError> {
    match text.as_str() {
        "pr" => Ok(ExpectedPlan::OnPullRequest),
        // As a step gives them out that has planned for several regions.
        map if map.starts_with('{') => {
            let by_region: BTreeMap<String, String> = serde_json::from_str(map).unwrap_or_default();
            let parsed = by_region.into_iter().map(|(region, hash)| Some((region, hash.parse().ok()?)));
            let plans = parsed.collect::<Option<BTreeMap<_, _>>>().filter(|plans| !plans.is_empty());
            plans.map(ExpectedPlan::ByRegion).ok_or(SettingsError::ExpectedPlan(text))
        }
        hash => hash.parse().map(ExpectedPlan::Hash).map_err(|_| SettingsError::ExpectedPlan(text)),
    }
}

fn pull_request(text: String) -> Result<u64, SettingsError> {
    let number = text.trim_start_matches('#').parse().ok().filter(|number| *number > 0);
    number.ok_or(SettingsError::PullRequest(text))
}

/// At most a day: a run that waits holds a runner.
fn wait(text: String) -> Result<Duration, SettingsError> {
    let range = Duration::ZERO..=Duration::from_secs(24 * 60 * 60);
    config::parse_duration(&text).filter(|wait| range.contains(wait)).ok_or(SettingsError::Wait(text))
}

fn pace(text: Option<String>) -> Result<Timing, SettingsError> {
    let Some(text) = text else { return Ok(Timing::STANDARD) };
    let range = Duration::from_secs(1)..=Duration::from_secs(60);
    let beat = config::parse_duration(&text).filter(|beat| range.contains(beat));
    beat.map(Timing::of_beat).ok_or(SettingsError::LeaseBeat(text))
}

/// The one who triggered the workflow; else the user of this machine.
fn who(raw: &Raw<'_>) -> Result<String, SettingsError> {
    let name = |name| raw.text(name);
    Ok(match (name("GITHUB_ACTOR")?, name("USER")?, name("HOSTNAME")?) {
        (Some(actor), ..) => actor,
        (None, Some(user), Some(machine)) => format!("{user} on {machine}"),
        (None, user, machine) => user.or(machine).unwrap_or_else(|| "an unknown user".to_owned()),
    })
}

/// Within a second and an hour: a host that takes longer does not come.
fn host_timeout(text: String) -> Result<Duration, SettingsError> {
    let range = Duration::from_secs(1)..=Duration::from_secs(60 * 60);
    config::parse_duration(&text).filter(|timeout| range.contains(timeout)).ok_or(SettingsError::HostTimeout(text))
}

/// `REGISTRY=http://HOST:PORT`, several with a comma between them.
fn endpoints(text: Option<String>) -> Result<BTreeMap<String, String>, SettingsError> {
    let Some(text) = text else { return Ok(BTreeMap::new()) };
    text.split(',')
        .map(|part| match part.trim().split_once('=') {
            Some((registry, url))
                if !registry.is_empty() && (url.starts_with("http://") || url.starts_with("https://")) =>
            {
                Ok((registry.to_owned(), url.to_owned()))
            }
            _ => Err(SettingsError::Endpoint(part.trim().to_owned())),
        })
        .collect()
}

/// The variables as they are. An empty one counts as absent: that is how the runner passes an input that was not given.
struct Raw<'a>(&'a dyn Fn(&str) -> Option<OsString>);

impl Raw<'_> {
    fn os(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.os(name).map(PathBuf::from)
    }

    /// A text without the blanks around it, which YAML's block scalars leave.
    fn text(&self, name: &str) -> Result<Option<String>, SettingsError> {
        let Some(value) = self.os(name) else { return Ok(None) };
        let text = value.into_string().map_err(|_| SettingsError::NotText(name.to_owned()))?;
        Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
    }

    fn secret(&self, name: &str) -> Result<Option<Secret>, SettingsError> {
        Ok(self.text(name)?.map(Secret::new))
    }

    fn required(&self, name: &'static str) -> Result<String, SettingsError> {
        self.text(name)?.ok_or(SettingsError::Missing(name))
    }

    fn number<T: std::str::FromStr>(&self, name: &'static str) -> Result<Option<T>, SettingsError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| SettingsError::NotANumber { name, text })
    }
}
