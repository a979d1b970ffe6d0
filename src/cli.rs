//! The command line. Nothing ever prompts; a missing answer is an error that names the flag or variable.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::NonEmptyStringValueParser};
use skipper_core::config::parse_duration;

/// Turns a commit into a deployed release on EC2 hosts.
#[derive(Debug, Parser)]
#[command(
    name = "skipper",
    version,
    about,
    after_help = "Exit codes: 0 the release serves, 1 a defect, 2 bad input, 3 refused, 4 build or push failed, \
5 blocked, 6 failed and the previous release serves, 7 degraded, 8 cancelled, 9 another run holds the lease, 10 a newer commit serves."
)]
pub struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What is to be done; `ship` where nothing is said.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build, push and deploy the commit
    Ship(Ship),
    /// Build images and tag them, on this machine
    Tag(Named),
    /// Push images that are built
    Push(Named),
    /// Deploy what the registry has, building nothing
    Deploy(Deploy),
    /// Remove one replica, until the next deployment brings it back
    Remove(Remove),
    /// Remove older images of the services, on this machine and with `--hosts` on the hosts, too
    Clean(Clean),
    /// Show what replicas have printed, of all hosts in the order of time
    Logs(Logs),
    /// Bring up the hosts, show them, reboot them, or take one away
    Instances(Instances),
    /// Show what `ship` would do, and change nothing
    Plan(About),
    /// Show what runs
    Ps,
    /// Check skipper.yml
    Check,
    /// Show who holds the lease of the environment, or break it
    Lease(Lease),
    /// Show what was rolled out, when, from which commit, and how it ended
    Releases,
    /// Print the least permissions in AWS that this skipper.yml needs: roles, policies, a document
    Iam(Iam),
    /// Check what a deployment needs: credentials, permissions, registries, agents, hosts; and name the remedies
    Doctor,
    /// Show which previews of pull requests there are, or remove those that have outlived theirs
    Previews(Previews),
    /// Render the log and the comment of a past run from its events
    Replay {
        /// The file of events, one JSON object a line
        events: PathBuf,
    },
}

/// Flags of every command.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The configuration [default: skipper.yml]
    #[arg(long, short, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The environment to act on [default: production]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) environment: Option<String>,
    /// The AWS region, in place of the one in skipper.yml; where that has `regions`, the one of them that is meant
    #[arg(long, global = true, value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// What is written to standard output
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// Print nothing but errors and what was asked for
    #[arg(long, short, visible_alias = "silent", global = true)]
    pub(crate) quiet: bool,
    /// How long a host may take to come online [default: 6m]
    #[arg(long, global = true, value_name = "DURATION")]
    pub(crate) host_timeout: Option<String>,
    /// Keep the run's events in this file, one JSON object a line
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,
}

/// Flags of commands that are about one commit.
#[derive(Debug, Default, Args)]
pub(crate) struct About {
    /// The commit, in full [default: that of the workflow, else git's HEAD]
    #[arg(long, value_name = "SHA")]
    pub(crate) revision: Option<String>,
    /// Only these services, separated by commas; the others stay as they are
    #[arg(long, value_name = "SERVICES")]
    pub(crate) services: Option<String>,
    /// Terminate the hosts of groups that skipper.yml does not name any more
    #[arg(long)]
    pub(crate) allow_terminate: bool,
    /// Let hosts go away with the named volumes that they hold
    #[arg(long)]
    pub(crate) allow_data_loss: bool,
    /// Remove inbound rules that somebody else wrote into the project's security groups
    #[arg(long)]
    pub(crate) prune_rules: bool,
    /// The pull request to comment on
    #[arg(long, value_name = "NUMBER")]
    pub(crate) pull_request: Option<String>,
}

/// What a run does where another one is at work.
#[derive(Debug, Default, Args)]
pub(crate) struct Wait {
    /// Wait while another run holds the lease [default with no value: 1h]
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "1h")]
    pub(crate) wait: Option<String>,
}

/// Flags of `ship`.
#[derive(Debug, Default, Args)]
pub(crate) struct Ship {
    #[command(flatten)]
    pub(crate) about: About,
    /// Build even what the registry has for this commit or these inputs
    #[arg(long)]
    pub(crate) rebuild: bool,
    /// Carry out only what this plan shows: `pr` for the one on the merged pull request, or a plan's hash
    #[arg(long, value_name = "PLAN")]
    pub(crate) expect_plan: Option<String>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

/// Arguments of `tag` and `push`.
#[derive(Debug, Default, Args)]
pub(crate) struct Named {
    /// The services, each with the tag that it gets [default: all of them, by the commit]
    #[arg(value_name = "SERVICE[:TAG]", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) services: Vec<String>,
    /// The commit, in full [default: that of the workflow, else git's HEAD]
    #[arg(long, value_name = "SHA")]
    pub(crate) revision: Option<String>,
}

/// Arguments of `deploy`.
#[derive(Debug, Default, Args)]
pub(crate) struct Deploy {
    /// The services, each with the tag that the registry has it by [default: all of them, by the commit]
    #[arg(value_name = "SERVICE[:TAG]", conflicts_with = "services", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) named: Vec<String>,
    #[command(flatten)]
    pub(crate) about: About,
    /// Carry out only what this plan shows: `pr` for the one on the merged pull request, or a plan's hash
    #[arg(long, value_name = "PLAN")]
    pub(crate) expect_plan: Option<String>,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

/// Arguments of `remove`.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The replica, by its uuid in the table of `ps`, such as `web_1`
    pub(crate) uuid: String,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

/// Arguments of `clean`.
#[derive(Debug, Args)]
pub(crate) struct Clean {
    /// The services [default: all of them]
    #[arg(value_name = "SERVICE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) services: Vec<String>,
    /// How many images of each service stay, the newest [default: 10]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) cutoff: Option<u32>,
    /// Remove them on the hosts, too
    #[arg(long)]
    pub(crate) hosts: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

/// Arguments of `logs`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Logs {
    /// The service or the replica [default: all of them]
    #[arg(value_name = "SERVICE|UUID", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: Option<String>,
    /// No older than this, such as `10m` [default: any]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) since: Option<Duration>,
    /// The most lines of each replica, the newest
    #[arg(long, value_name = "LINES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) tail: u32,
    /// Go on with what comes, until it is interrupted
    #[arg(long, short)]
    pub(crate) follow: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "it is written as `90s`, `10m` or `2h`".to_owned())
}

/// What is done about hosts.
#[derive(Debug, Args)]
pub(crate) struct Instances {
    #[command(subcommand)]
    pub(crate) action: InstancesAction,
}

/// What may be done about hosts.
#[derive(Debug, Subcommand)]
pub(crate) enum InstancesAction {
    /// Bring up every host, and deploy nothing to them
    Deploy {
        /// Terminate the hosts of groups that skipper.yml does not name any more
        #[arg(long)]
        allow_terminate: bool,
        /// Let hosts go away with the named volumes that they hold
        #[arg(long)]
        allow_data_loss: bool,
        /// Remove inbound rules that somebody else wrote into the project's security groups
        #[arg(long)]
        prune_rules: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Show the hosts: their instances, agents, fleet, etcd, updates and disks
    Ps,
    /// Open a shell on a host, or run a command there and end with its exit code
    Ssh {
        /// The host, by its uuid in the table of `instances ps`, such as `web_1`
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        uuid: String,
        /// The command: one word is a line for the host's shell, several are a program and its arguments [default: a shell, through
        /// `session-manager-plugin`]
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Reboot a host, or all of them one after another: what serves on it stops, and serves again once the host has joined its cluster.
    /// A pending update is applied by it
    Reboot {
        /// The host, by its uuid in the table of `instances ps`, such as `web_1` [default: all of them]
        uuid: Option<String>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Move a host's member of etcd, stop what runs on it, and terminate it; the next deployment brings it back unless `scale` is lowered
    Remove {
        /// The host, by its uuid in the table of `instances ps`, such as `web_1`
        uuid: String,
        /// Remove the last member of etcd, the last replica of a service, and a host that does not answer, too
        #[arg(long)]
        force: bool,
        /// Let the named volumes that it holds go with it
        #[arg(long)]
        allow_data_loss: bool,
        #[command(flatten)]
        wait: Wait,
    },
}

/// Flags of `lease`.
#[derive(Debug, Default, Args)]
pub(crate) struct Lease {
    /// Take the lease from a run that is known to be gone; one that still works notices it within a minute
    #[arg(long = "break")]
    pub(crate) break_it: bool,
}

/// Flags of `iam`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Iam {
    /// How it is written
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: IamFormat,
    /// The account's number [default: `account` of skipper.yml]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) account: Option<String>,
    /// The repository whose workflows take the roles [default: that of the workflow]
    #[arg(long, value_name = "OWNER/NAME")]
    pub(crate) repository: Option<String>,
    /// The ids of its owner and of itself, so that nobody who gets their names later can take the roles
    #[arg(long, value_name = "OWNER_ID/REPOSITORY_ID")]
    pub(crate) repository_ids: Option<String>,
}

/// How `iam` writes what it prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum IamFormat {
    /// One document with every role and policy
    #[default]
    Json,
    /// A template that makes all of it
    Cloudformation,
}

/// What is done about previews; they are shown where nothing is said.
#[derive(Debug, Default, Args)]
pub(crate) struct Previews {
    #[command(subcommand)]
    pub(crate) action: Option<PreviewsAction>,
}

/// What may be done about previews.
#[derive(Debug, Subcommand)]
pub(crate) enum PreviewsAction {
    /// Remove the previews whose pull requests are closed, or that nothing was shipped to for longer than `previews.ttl`
    Sweep {
        #[command(flatten)]
        wait: Wait,
    },
}

/// What is written to standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people; in a workflow with its groups and annotations
    #[default]
    Text,
    /// One JSON document; the log goes to standard error
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_sound() {
        super::Cli::command().debug_assert();
    }
}
