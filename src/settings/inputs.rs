//! The action's inputs, which are also the defaults of the command line. `action.yml` is checked against this list.

use std::{path::PathBuf, str::FromStr};

use skipper_core::secret::Secret;

use super::{Raw, SettingsError};

/// What a run is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Tag, push and deploy the commit.
    Ship,
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
}

impl Command {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Ship, Self::Plan, Self::Ps, Self::Check, Self::Lease, Self::Releases];

    /// Its name on the command line and in the input.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ship => "ship",
            Self::Plan => "plan",
            Self::Ps => "ps",
            Self::Check => "check",
            Self::Lease => "lease",
            Self::Releases => "releases",
        }
    }

    /// Whether it is about one commit.
    pub const fn is_about_a_commit(self) -> bool {
        matches!(self, Self::Ship | Self::Plan)
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
    /// What it is when it is not given; `action.yml` may fill it from the workflow's context instead.
    pub default: Option<&'static str>,
}

impl Input {
    /// The variable in which the runner passes it: blanks become `_`, dashes stay (actions/runner, `ContainerActionHandler`).
    pub fn variable(self) -> String {
        format!("INPUT_{}", self.name.replace(' ', "_").to_uppercase())
    }
}

const COMMAND: Input = Input { name: "command", default: Some("ship") };
const CONFIG: Input = Input { name: "config", default: Some("skipper.yml") };
const ENVIRONMENT: Input = Input { name: "environment", default: Some("production") };
const HOST_TIMEOUT: Input = Input { name: "host-timeout", default: Some("6m") };
const REBUILD: Input = Input { name: "rebuild", default: Some("false") };
const REGISTRY_USERNAME: Input = Input { name: "registry-username", default: None };
const REGISTRY_PASSWORD: Input = Input { name: "registry-password", default: None };
const GITHUB_TOKEN: Input = Input { name: "github-token", default: None };
const WAIT: Input = Input { name: "wait", default: None };
const EVENTS: Input = Input { name: "events", default: None };

/// Every input there is.
pub const INPUTS: [Input; 10] = [
    COMMAND,
    CONFIG,
    ENVIRONMENT,
    REBUILD,
    WAIT,
    HOST_TIMEOUT,
    REGISTRY_USERNAME,
    REGISTRY_PASSWORD,
    GITHUB_TOKEN,
    EVENTS,
];

/// The inputs, with their defaults in place.
pub(super) struct Inputs {
    pub command: Command,
    pub config: PathBuf,
    pub environment: String,
    pub rebuild: bool,
    pub wait: Option<String>,
    pub host_timeout: String,
    pub events: Option<PathBuf>,
    pub registry_login: Option<(String, Secret)>,
    pub github_token: Option<Secret>,
}

impl Inputs {
    pub(super) fn read(raw: &Raw<'_>) -> Result<Self, SettingsError> {
        let text = |input: Input| -> Result<String, SettingsError> {
            Ok(raw.text(&input.variable())?.unwrap_or_else(|| input.default.unwrap_or_default().to_owned()))
        };
        let username = raw.text(&REGISTRY_USERNAME.variable())?;
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
            rebuild: boolean(REBUILD, &text(REBUILD)?)?,
            wait: raw.text(&WAIT.variable())?,
            host_timeout: text(HOST_TIMEOUT)?,
            events: raw.path(&EVENTS.variable()),
            registry_login,
            github_token: raw.secret(&GITHUB_TOKEN.variable())?,
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
