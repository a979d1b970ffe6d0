//! The action's inputs, which are also the defaults of the command line. `action.yml` is written from this list.

use std::{path::PathBuf, str::FromStr};

use skipper_core::secret::Secret;
use skipper_deploy::report::{Comments, Deployments};

use super::{Raw, SettingsError};

/// What a run is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Tag, push and deploy the commit.
    Ship,
    /// Build images and tag them.
    Tag,
    /// Push images that are built.
    Push,
    /// Deploy what the registry has.
    Deploy,
    /// Remove one replica.
    Remove,
    /// Remove older images.
    Clean,
    /// Show what replicas have printed.
    Logs,
    /// Bring up the hosts, and deploy nothing.
    InstancesDeploy,
    /// Show the hosts.
    InstancesPs,
    /// Open a shell on a host, or run a command there.
    InstancesSsh,
    /// Take one host away.
    InstancesRemove,
    /// Reboot hosts, one after another.
    InstancesReboot,
    /// Show what `ship` would do.
    Plan,
    /// Show what runs.
    Ps,
    /// Check `skipper.yml`.
    Check,
    /// Show who holds the lease, or break it.
    Lease,
    /// Show what was rolled out.
    Releases,
    /// Print the roles and policies that this takes.
    Iam,
    /// Look at what a deployment needs.
    Doctor,
    /// Show which previews there are.
    Previews,
    /// Remove the previews that have outlived their pull requests.
    Sweep,
}

impl Command {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Ship,
        Self::Tag,
        Self::Push,
        Self::Deploy,
        Self::Remove,
        Self::Clean,
        Self::Logs,
        Self::InstancesDeploy,
        Self::InstancesPs,
        Self::InstancesSsh,
        Self::InstancesRemove,
        Self::InstancesReboot,
        Self::Plan,
        Self::Ps,
        Self::Check,
        Self::Lease,
        Self::Releases,
        Self::Previews,
        Self::Sweep,
        Self::Iam,
        Self::Doctor,
    ];

    /// Its name on the command line and in the input.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ship => "ship",
            Self::Tag => "tag",
            Self::Push => "push",
            Self::Deploy => "deploy",
            Self::Remove => "remove",
            Self::Clean => "clean",
            Self::Logs => "logs",
            Self::InstancesDeploy => "instances deploy",
            Self::InstancesPs => "instances ps",
            Self::InstancesSsh => "instances ssh",
            Self::InstancesRemove => "instances remove",
            Self::InstancesReboot => "instances reboot",
            Self::Plan => "plan",
            Self::Ps => "ps",
            Self::Check => "check",
            Self::Lease => "lease",
            Self::Releases => "releases",
            Self::Iam => "iam",
            Self::Doctor => "doctor",
            Self::Previews => "previews",
            Self::Sweep => "previews sweep",
        }
    }

    /// Whether it is about one commit.
    pub const fn is_about_a_commit(self) -> bool {
        matches!(self, Self::Ship | Self::Tag | Self::Push | Self::Deploy | Self::Plan)
    }

    /// Whether it may name a tag for a service.
    pub const fn takes_tags(self) -> bool {
        matches!(self, Self::Tag | Self::Push | Self::Deploy)
    }

    /// Whether it needs credentials to AWS.
    pub const fn asks_aws(self) -> bool {
        !matches!(self, Self::Tag | Self::Push | Self::Check | Self::Iam)
    }

    /// Whether it asks registries for images.
    pub const fn asks_registries(self) -> bool {
        matches!(self, Self::Ship | Self::Push | Self::Deploy | Self::Plan | Self::Doctor)
    }

    /// Whether it is about something of one region: a host, a replica, lines in the order of time, or what may be rolled back to.
    pub const fn is_about_one_region(self) -> bool {
        matches!(
            self,
            Self::Remove
                | Self::Clean
                | Self::Logs
                | Self::InstancesSsh
                | Self::InstancesRemove
                | Self::InstancesReboot
        )
    }

    /// Whether it rolls a release out.
    pub const fn rolls_out(self) -> bool {
        matches!(self, Self::Ship | Self::Deploy)
    }

    /// Whether it is about one environment.
    pub const fn is_about_an_environment(self) -> bool {
        matches!(
            self,
            Self::Ship
                | Self::Deploy
                | Self::Remove
                | Self::Clean
                | Self::Logs
                | Self::InstancesDeploy
                | Self::InstancesPs
                | Self::InstancesSsh
                | Self::InstancesRemove
                | Self::InstancesReboot
                | Self::Plan
                | Self::Ps
                | Self::Lease
                | Self::Releases
        )
    }
}

impl FromStr for Command {
    type Err = SettingsError;

    fn from_str(name: &str) -> Result<Self, SettingsError> {
        Self::ALL
            .into_iter()
            .find(|command| command.as_str() == name)
            .ok_or_else(|| SettingsError::Command(name.to_owned()))
    }
}

/// One input of the action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its name in a workflow's `with:`.
    pub name: &'static str,
    /// What it is when it is not given.
    pub default: Option<&'static str>,
    /// What `action.yml` fills it with from the workflow's context when it is not given.
    pub context: Option<&'static str>,
    /// What it is for, as `action.yml` tells it.
    pub description: &'static str,
}

impl Input {
    const fn optional(name: &'static str, description: &'static str) -> Self {
        Self { name, default: None, context: None, description }
    }

    const fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    const fn or_context(self, context: &'static str) -> Self {
        Self { context: Some(context), ..self }
    }

    /// The variable in which the runner passes it: blanks become `_`, dashes stay (actions/runner, `ContainerActionHandler`).
    pub fn variable(self) -> String {
        format!("INPUT_{}", self.name.replace(' ', "_").to_uppercase())
    }
}

const COMMAND: Input = Input::optional(
    "command",
    "What to do: `ship`, `tag` (build and tag the images), `push` (push them), `deploy` (deploy what the registry has), `remove` (remove the replica `uuid`), `clean` (remove older images), `logs` (show what replicas have printed), `instances deploy` (bring up the hosts), `instances ps` (show them), `instances remove` (take the host `uuid` away), `instances reboot` (reboot the host `uuid`, or all of them one after another), `plan` (show what `ship` would do), `ps` (show what runs), `check` (read skipper.yml only), `lease` (show who holds the lease), `releases` (show what was rolled out), `previews` (show which previews there are), `previews sweep` (remove those that have outlived their pull requests), `iam` (print the roles and policies that this takes) or `doctor` (check everything that a deployment needs)",
)
.or("ship");
const CONFIG: Input = Input::optional("config", "Where skipper.yml is, relative to the workspace").or("skipper.yml");
const ENVIRONMENT: Input =
    Input::optional("environment", "The environment to deploy to; `preview` is that of the event's pull request")
        .or("production");
const REGION: Input = Input::optional(
    "region",
    "The AWS region, in place of the one in skipper.yml; where that has `regions`, the one of them that is meant",
);
const REVISION: Input = Input::optional(
    "revision",
    "The commit to act on, in full; when not given that of the event, on a pull request its head. One that is named here is deployed even where a newer one serves",
);
const SERVICES: Input = Input::optional(
    "services",
    "The services to act on, separated by blanks or commas; all when not given. The others stay as they are. `tag`, `push` and `deploy` take a tag with each, as in `web:1.2`; without one it is the commit",
);
const UUID: Input = Input::optional(
    "uuid",
    "The replica that `remove` removes, by its name in the table of `ps`, such as `web_1`; for `instances remove` and `instances reboot` a host, by its name in that of `instances ps`, for the latter all when not given; for `logs` a replica or a service, all when not given",
);
const REBUILD: Input =
    Input::optional("rebuild", "Builds every image anew, even where the registry has it").or("false");
const ALLOW_TERMINATE: Input = Input::optional(
    "allow-terminate",
    "Terminates the hosts of groups that skipper.yml does not name any more; otherwise they are kept and shown",
)
.or("false");
const ALLOW_DATA_LOSS: Input = Input::optional(
    "allow-data-loss",
    "Lets hosts go away with the named volumes that they hold; otherwise nothing is changed where one would",
)
.or("false");
const PRUNE_RULES: Input = Input::optional(
    "prune-rules",
    "Removes inbound rules that somebody else wrote into the project's security groups; otherwise they are kept and shown as drift",
)
.or("false");
const CUTOFF: Input = Input::optional("cutoff", "How many images of a service `clean` leaves, the newest").or("10");
const CLEAN_HOSTS: Input = Input::optional(
    "clean-hosts",
    "Whether `clean` removes older images on the hosts, too, and not only on the machine that runs it",
)
.or("false");
const FORCE: Input = Input::optional(
    "force",
    "`instances remove` takes away the last member of etcd, the last replica of a service, and a host that does not answer, too",
)
.or("false");
const EXPECT_PLAN: Input = Input::optional(
    "expect-plan",
    "`pr` to ship only what skipper's plan on the merged pull request shows, or the `plan-hash` of an earlier step; a plan that would do anything else is refused (exit 5)",
);
const WAIT: Input = Input::optional(
    "wait",
    "How long to wait while another run holds the lease, such as `30m`; when not given the run ends at once (exit 9)",
);
const ON_SUPERSEDED: Input = Input::optional(
    "on-superseded",
    "What a run comes to whose commit is older than the one that serves: `warn` (the step succeeds) or `fail` (exit 10); nothing is deployed either way",
)
.or("warn");
const HOST_TIMEOUT: Input =
    Input::optional("host-timeout", "How long a host may take to come online after its launch, such as `90s` or `10m`")
        .or("6m");
const AWS_ROLE: Input = Input::optional(
    "aws-role",
    "The ARN of the role to take in exchange for the job's own token, which needs the permission `id-token: write`; the credentials of the environment are used when this is not given",
);
const REGISTRY_USERNAME: Input = Input::optional(
    "registry-username",
    "The user name for the registries that skipper.yml pushes to, and hosts pull from; Docker's own configuration is used when this is not given",
);
const REGISTRY_PASSWORD: Input =
    Input::optional("registry-password", "The password or token that belongs to it, from a secret");
const GITHUB_TOKEN: Input = Input::optional(
    "github-token",
    "The token that reads pull requests and writes the comment and the deployment; the job needs `pull-requests: write` and `deployments: write`",
)
.or_context("${{ github.token }}");
const COMMENT: Input = Input::optional(
    "comment",
    "Which pull requests a push is told on: `merged` (the one that brought the commit; open ones that it heads), `open` (only open ones) or `off` (no comment at all)",
)
.or("merged");
const PULL_REQUEST: Input = Input::optional(
    "pull-request",
    "The number of the pull request to comment on, for events that are about none, such as `workflow_dispatch`",
);
const DEPLOYMENTS: Input = Input::optional(
    "deployments",
    "Whether a GitHub deployment is created: `auto` (unless the job's own `environment:` makes one), `always` or `never`",
)
.or("auto");
const FORK: Input = Input::optional(
    "fork",
    "What a run on a fork's pull request comes to, which gets no secrets: `skip` (the step succeeds and does nothing) or `fail`",
)
.or("skip");
const EVENTS: Input = Input::optional(
    "events",
    "The file for the run's events, one JSON object a line; `events.jsonl` in the runner's temporary folder when not given",
);

/// Every input there is, in the order of `action.yml`.
pub const INPUTS: [Input; 27] = [
    COMMAND,
    CONFIG,
    ENVIRONMENT,
    REGION,
    REVISION,
    SERVICES,
    UUID,
    REBUILD,
    ALLOW_TERMINATE,
    ALLOW_DATA_LOSS,
    PRUNE_RULES,
    CUTOFF,
    CLEAN_HOSTS,
    FORCE,
    EXPECT_PLAN,
    WAIT,
    ON_SUPERSEDED,
    HOST_TIMEOUT,
    AWS_ROLE,
    REGISTRY_USERNAME,
    REGISTRY_PASSWORD,
    GITHUB_TOKEN,
    COMMENT,
    PULL_REQUEST,
    DEPLOYMENTS,
    FORK,
    EVENTS,
];

/// What becomes of a step that has nothing to do for a reason that some want to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It succeeds, and says why it did nothing.
    Pass,
    /// It fails.
    Fail,
}

/// The inputs, with their defaults in place.
pub(super) struct Inputs {
    pub command: Command,
    pub config: PathBuf,
    pub environment: String,
    pub region: Option<String>,
    pub revision: Option<String>,
    pub services: Option<String>,
    pub uuid: Option<String>,
    pub rebuild: bool,
    pub allow_terminate: bool,
    pub allow_data_loss: bool,
    pub prune_rules: bool,
    pub cutoff: u32,
    pub clean_hosts: bool,
    pub force: bool,
    pub expect_plan: Option<String>,
    pub wait: Option<String>,
    pub on_superseded: Verdict,
    pub host_timeout: String,
    pub aws_role: Option<String>,
    pub events: Option<PathBuf>,
    pub registry_login: Option<(String, Secret)>,
    pub github_token: Option<Secret>,
    pub comments: Comments,
    pub pull_request: Option<String>,
    pub deployments: Deployments,
    pub fork: Verdict,
}

impl Inputs {
    pub(super) fn read(raw: &Raw<'_>) -> Result<Self, SettingsError> {
        let optional = |input: Input| raw.text(&input.variable());
        let text = |input: Input| -> Result<String, SettingsError> {
            Ok(optional(input)?.unwrap_or_else(|| input.default.unwrap_or_default().to_owned()))
        };
        let username = optional(REGISTRY_USERNAME)?;
        let password = raw.secret(&REGISTRY_PASSWORD.variable())?;
        let registry_login = match (username, password) {
            (Some(username), Some(password)) => Some((username, password)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(SettingsError::HalfALogin {
                    given: REGISTRY_USERNAME.name,
                    missing: REGISTRY_PASSWORD.name,
                });
            }
            (None, Some(_)) => {
                return Err(SettingsError::HalfALogin {
                    given: REGISTRY_PASSWORD.name,
                    missing: REGISTRY_USERNAME.name,
                });
            }
        };
        Ok(Self {
            command: text(COMMAND)?.parse()?,
            config: raw.path(&CONFIG.variable()).unwrap_or_else(|| CONFIG.default.unwrap_or_default().into()),
            environment: text(ENVIRONMENT)?,
            region: optional(REGION)?,
            revision: optional(REVISION)?,
            services: optional(SERVICES)?,
            uuid: optional(UUID)?,
            rebuild: boolean(REBUILD, &text(REBUILD)?)?,
            allow_terminate: boolean(ALLOW_TERMINATE, &text(ALLOW_TERMINATE)?)?,
            allow_data_loss: boolean(ALLOW_DATA_LOSS, &text(ALLOW_DATA_LOSS)?)?,
            prune_rules: boolean(PRUNE_RULES, &text(PRUNE_RULES)?)?,
            cutoff: number_of_images(text(CUTOFF)?)?,
            clean_hosts: boolean(CLEAN_HOSTS, &text(CLEAN_HOSTS)?)?,
            force: boolean(FORCE, &text(FORCE)?)?,
            expect_plan: optional(EXPECT_PLAN)?,
            wait: optional(WAIT)?,
            on_superseded: choice(
                ON_SUPERSEDED,
                text(ON_SUPERSEDED)?,
                &[("warn", Verdict::Pass), ("fail", Verdict::Fail)],
            )?,
            host_timeout: text(HOST_TIMEOUT)?,
            aws_role: optional(AWS_ROLE)?,
            events: raw.path(&EVENTS.variable()),
            registry_login,
            github_token: raw.secret(&GITHUB_TOKEN.variable())?,
            comments: choice(
                COMMENT,
                text(COMMENT)?,
                &[("merged", Comments::Merged), ("open", Comments::Open), ("off", Comments::Off)],
            )?,
            pull_request: optional(PULL_REQUEST)?,
            deployments: choice(
                DEPLOYMENTS,
                text(DEPLOYMENTS)?,
                &[("auto", Deployments::Auto), ("always", Deployments::Always), ("never", Deployments::Never)],
            )?,
            fork: choice(FORK, text(FORK)?, &[("skip", Verdict::Pass), ("fail", Verdict::Fail)])?,
        })
    }
}

/// YAML 1.2's core schema, as `@actions/core` reads booleans.
fn boolean(input: Input, text: &str) -> Result<bool, SettingsError> {
    match text {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        _ => Err(SettingsError::NotABoolean { input: input.name, text: text.to_owned() }),
    }
}

fn number_of_images(text: String) -> Result<u32, SettingsError> {
    text.parse().map_err(|_| SettingsError::Cutoff(text))
}

fn choice<T: Copy>(input: Input, text: String, choices: &[(&'static str, T)]) -> Result<T, SettingsError> {
    match choices.iter().find(|(word, _)| *word == text) {
        Some((_, choice)) => Ok(*choice),
        None => Err(SettingsError::Choice {
            input: input.name,
            text,
            choices: choices.iter().map(|(word, _)| *word).collect(),
        }),
    }
}
