//! Why the surroundings of a run make no sense, each with its remedy.

use std::{io, path::PathBuf};

use skipper_core::{exit::Exit, failure::Failure, image::ImageError, name::NameError};

use super::{Command, git::GitError};

/// Why a run cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The working folder is gone.
    #[error("find the working folder")]
    NoWorkingFolder(#[source] io::Error),
    /// A variable holds bytes that are no text.
    #[error("`{0}` is not text")]
    NotText(String),
    /// A variable that GitHub Actions always sets is not there.
    #[error("`{0}` is not set, though this runs in GitHub Actions")]
    Missing(&'static str),
    /// A variable should hold a number.
    #[error("`{name}` is `{text}`, which is not a number")]
    NotANumber {
        /// Which.
        name: &'static str,
        /// What it holds.
        text: String,
    },
    /// An input should be true or false.
    #[error("the input `{input}` is `{text}`, not `true` or `false`")]
    NotABoolean {
        /// Which.
        input: &'static str,
        /// What it holds.
        text: String,
    },
    /// An input should be one of a few words.
    #[error("the input `{input}` is `{text}`, not {}", words(choices))]
    Choice {
        /// Which.
        input: &'static str,
        /// What it holds.
        text: String,
        /// What it may hold.
        choices: Vec<&'static str>,
    },
    /// A service to deploy has a name that is none.
    #[error("`{name}` is not a service's name")]
    Service {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// A service has a tag where the command names none.
    #[error("`{word}` has a tag, and `{}` takes none{}", command.as_str(), if command.is_about_a_commit() { ": what it deploys is the commit" } else { "" })]
    NoTags {
        /// The service as it was named.
        word: String,
        /// The command.
        command: Command,
    },
    /// The tag of a service is none.
    #[error("`{word}` names no tag")]
    Tag {
        /// The service as it was named.
        word: String,
        /// What is wrong with it.
        source: ImageError,
    },
    /// A service is named twice.
    #[error("`{0}`: its service is named twice")]
    ServiceTwice(String),
    /// Nobody said which replica, or which host.
    #[error("`{}` removes one {}, and none is named", .0.as_str(), if *.0 == Command::Remove { "replica" } else { "host" })]
    NoUuid(Command),
    /// Others may read the keys.
    #[error("`.skippercfg` can be read by others, and it holds keys")]
    KeysShown,
    /// The file with keys cannot be read.
    #[error("read `.skippercfg`")]
    KeysUnread(#[source] io::Error),
    /// The file with keys is not what it was in 2014.
    #[error("`.skippercfg` is not the JSON that Skipper wrote in 2014: line {0}")]
    KeysShape(usize),
    /// One key is there, and the other is not.
    #[error("`.skippercfg` has one of `ACCESS_KEY` and `SECRET_KEY`, and not the other")]
    HalfTheKeys,
    /// The plan to carry out is neither the pull request's nor a hash.
    #[error("`{0}` is not a plan to expect")]
    ExpectedPlan(String),
    /// The number of the pull request is none.
    #[error("`{0}` is not the number of a pull request")]
    PullRequest(String),
    /// How many images stay is no number.
    #[error("`{0}` is not a number of images")]
    Cutoff(String),
    /// The time to wait for the lease is none, or too long.
    #[error("`{0}` is not a time to wait")]
    Wait(String),
    /// The pace of leases is none.
    #[error("`SKIPPER_LEASE_BEAT` is `{0}`, which is not a time between two beats")]
    LeaseBeat(String),
    /// The time for hosts is none, or out of bounds.
    #[error("`{0}` is not a time that a host may take")]
    HostTimeout(String),
    /// The role is no ARN of one.
    #[error("`{0}` is not the ARN of a role")]
    Role(String),
    /// The repository that was named is not `owner/name`.
    #[error("`{0}` is not a repository's name")]
    NamedRepository(String),
    /// The ids of a repository are none.
    #[error("`{0}` is not the ids of an owner and a repository")]
    RepositoryIds(String),
    /// There is no such command.
    #[error("there is no command `{0}`")]
    Command(String),
    /// The environment's name is none.
    #[error("`{name}` is not an environment's name")]
    Environment {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// `--revision` is no commit.
    #[error("the revision makes no sense")]
    Revision(#[source] ImageError),
    /// `GITHUB_SHA` is no commit.
    #[error("`GITHUB_SHA` makes no sense")]
    Sha(#[source] ImageError),
    /// A user name without a password, or the other way round.
    #[error("the input `{given}` is given without `{missing}`")]
    HalfALogin {
        /// The input that is there.
        given: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// The repository is not `owner/name`.
    #[error("`GITHUB_REPOSITORY` is `{0}`, which is not `owner/name`")]
    Repository(String),
    /// An address that is none.
    #[error("`{name}` is `{url}`, which is not an address beginning with `http://` or `https://`")]
    Url {
        /// Which variable.
        name: &'static str,
        /// What it holds.
        url: String,
    },
    /// An endpoint of a registry is written otherwise.
    #[error("`SKIPPER_REGISTRY_ENDPOINT` has `{0}`, which is not `REGISTRY=http://HOST:PORT`")]
    Endpoint(String),
    /// The event file cannot be read.
    #[error("read the event file `{}`", path.display())]
    EventFile {
        /// Where it should be.
        path: PathBuf,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// The event file is larger than any event.
    #[error("the event file `{}` holds {length} bytes, which no event of GitHub's does", path.display())]
    EventSize {
        /// Where it is.
        path: PathBuf,
        /// How large it is.
        length: u64,
    },
    /// The event file is not JSON of the right shape.
    #[error("understand the event file `{}`", path.display())]
    EventShape {
        /// Where it is.
        path: PathBuf,
        /// Why it is not understood.
        source: serde_json::Error,
    },
    /// The event file names a head commit that is none.
    #[error("understand the head commit in the event file `{}`", path.display())]
    EventHead {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with the commit.
        source: ImageError,
    },
    /// The event would run a stranger's file with this repository's secrets.
    #[error(
        "`pull_request_target` from a fork would deploy what a stranger wrote with this repository's secrets (pull request {0})"
    )]
    ForkWithSecrets(u64),
    /// The environment is that of a pull request, and the run is about none.
    #[error("`environment: preview` is that of a pull request, and this run is about none")]
    NoPullRequest,
    /// Outside Actions the commit could not be found.
    #[error("find the commit to act on")]
    NoRevision(#[source] GitError),
}

impl SettingsError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NoWorkingFolder(_) => "run skipper in a folder that exists".to_owned(),
            Self::NotText(name) => format!("set `{name}` to UTF-8 text"),
            Self::Missing(name) => format!("GitHub's runner sets `{name}`: pass it on, or unset `GITHUB_ACTIONS` where this is not a workflow"),
            Self::NotANumber { name, .. } | Self::Url { name, .. } => format!("leave `{name}` as GitHub's runner sets it"),
            Self::NotABoolean { input, .. } => format!("write `{input}: true` or `{input}: false` below `with:`"),
            Self::Choice { input, choices, .. } => format!("write `{input}:` with {} below `with:`", words(choices)),
            Self::Service { .. } => "correct `services`: names of services of skipper.yml, separated by blanks or commas".to_owned(),
            Self::NoUuid(command) => {
                let list = if *command == Command::Remove { "ps" } else { "instances ps" };
                format!("name it as `{list}` does: `skipper {} web_1` (input `uuid`)", command.as_str())
            }
            Self::Cutoff(_) => "write `cutoff` (or `--cutoff`) as a number, such as `10`; `0` leaves only what is used or may be rolled back to".to_owned(),
            Self::KeysShown => "make it yours alone: `chmod 600 .skippercfg`; and keep it out of the repository".to_owned(),
            Self::KeysUnread(_) | Self::KeysShape(_) | Self::HalfTheKeys => "write `{\"AWS\": {\"ACCESS_KEY\": \"…\", \"SECRET_KEY\": \"…\"}}`, or remove it and set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`".to_owned(),
            Self::NoTags { command: Command::Clean, .. } => "leave the tag out: which images are older is told by when they were made".to_owned(),
            Self::NoTags { .. } => "leave the tag out, or use `skipper deploy`, which deploys what the registry has by a tag".to_owned(),
            Self::Tag { .. } => "write it as `web:1.2`, or leave the tag out, which is then the commit".to_owned(),
            Self::ServiceTwice(_) => "name each service once".to_owned(),
            Self::ExpectedPlan(_) => "write `expect-plan: pr`, or the output `plan-hash` of a step with `command: plan`".to_owned(),
            Self::PullRequest(_) => "write `pull-request` as a number, such as `7`, or leave it out".to_owned(),
            Self::Wait(_) => "write `wait` (or `--wait=`) as `90s`, `30m` or `1h`, at most `24h`".to_owned(),
            Self::LeaseBeat(_) => "unset it: it is for tests, and all runs of an environment must agree on it".to_owned(),
            Self::HostTimeout(_) => "write `host-timeout` (or `--host-timeout`) as `90s` or `10m`, from `1s` to `1h`".to_owned(),
            Self::Role(_) => "write `aws-role` as IAM shows the role: `arn:aws:iam::123456789012:role/NAME`".to_owned(),
            Self::NamedRepository(_) => "write `--repository` as `OWNER/NAME`".to_owned(),
            Self::RepositoryIds(_) => "write `--repository-ids` as `OWNER_ID/REPOSITORY_ID`; `gh api repos/OWNER/NAME --jq '[.owner.id, .id]'` tells both".to_owned(),
            Self::Command(_) => format!("it is one of {}", Command::ALL.map(|command| format!("`{}`", command.as_str())).join(", ")),
            Self::Environment { .. } => "correct `environment` in the workflow's `with:`, or the flag `--environment`".to_owned(),
            Self::Revision(_) => "give the full SHA with `--revision`, as `git rev-parse HEAD` prints it".to_owned(),
            Self::Sha(_) | Self::Repository(_) => "leave the variables that begin with `GITHUB_` as GitHub's runner sets them".to_owned(),
            Self::HalfALogin { missing, .. } => format!("give `{missing}` too, from a secret, or neither"),
            Self::Endpoint(_) => "write `registry.example:5000=http://10.0.0.2:5000`, several with commas between them".to_owned(),
            Self::EventFile { .. } | Self::EventSize { .. } | Self::EventShape { .. } | Self::EventHead { .. } => {
                "`GITHUB_EVENT_PATH` has to name the event's payload as GitHub's runner writes it; outside a workflow unset `GITHUB_ACTIONS` and give `--revision`".to_owned()
            }
            Self::ForkWithSecrets(_) => "run it on `pull_request`, where forks get no secrets, or after the merge on `push`".to_owned(),
            Self::NoPullRequest => "run it on `pull_request`; elsewhere name the pull request (input `pull-request`), or its environment, such as `pr-7`".to_owned(),
            Self::NoRevision(_) => "give the full SHA with `--revision`".to_owned(),
        }
    }

    /// As it is shown: exit 2, since nothing was touched.
    pub fn failure(&self) -> Failure {
        let failure = Failure::new(Exit::BadInput, self.to_string()).hint(self.hint());
        match std::error::Error::source(self) {
            Some(source) => failure.because_of(source),
            None => failure,
        }
    }
}

/// `a`, `b` or `c`, each in backticks.
fn words(choices: &[&str]) -> String {
    let quoted: Vec<String> = choices.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}
