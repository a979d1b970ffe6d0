//! The commands of `cargo lab`.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use skipper_lab::{Clock, Lab, Name, Options, Part, bench, demo, down, github, guard, remove_images};

/// The lab: EC2, SSM, a registry, hosts and GitHub on this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo lab", bin_name = "cargo lab")]
pub(crate) struct Arguments {
    /// Which lab: several can be up side by side [default: dev, or bench for `bench`]
    #[arg(long, global = true, env = "SKIPPER_LAB")]
    name: Option<String>,
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start the lab, building what is missing
    Up {
        /// A fleet archive, by path or address, in place of the stand-in
        #[arg(long, value_name = "PATH|URL")]
        fleet: Option<String>,
    },
    /// Remove everything that the lab has made
    Down {
        /// Remove the images that labs are started from, too
        #[arg(long)]
        images: bool,
    },
    /// Show the lab's parts and hosts
    Status,
    /// Show the log of a part, or the journal of a host
    Logs {
        /// `cloud`, `registry`, `github`, or a host by name, instance id or address
        #[arg(default_value = "cloud")]
        part: String,
    },
    /// Open a shell on a host
    Shell {
        /// By name, instance id or address
        host: String,
    },
    /// Ship two commits of `examples/hello` and show what happens
    Demo {
        /// A fleet archive, by path or address, in place of the stand-in
        #[arg(long, value_name = "PATH|URL")]
        fleet: Option<String>,
    },
    /// Strike, cancel and kill runs at every point there is, after checking the lease's rules in every way that runs can meet:
    /// first in the simulated world, then in a lab of its own
    Sweep {
        /// Leave out the lab
        #[arg(long)]
        simulated: bool,
    },
    /// Measure the release binary in a lab of its own, beside what people use in its place
    Bench {
        /// What to measure [default: everything]
        #[arg(value_enum)]
        parts: Vec<bench::Part>,
        /// How often each thing is measured
        #[arg(long, default_value_t = 5)]
        runs: usize,
        /// Write `docs/benchmarks.md` anew
        #[arg(long, conflicts_with = "parts")]
        write: bool,
    },
    /// Be GitHub
    #[command(hide = true)]
    ServeGithub {
        #[arg(long)]
        listen: String,
        #[arg(long)]
        files: Option<PathBuf>,
    },
    /// Take the lab down when standard input closes
    #[command(hide = true)]
    Guard,
}

/// Carries out a command; the code is the one of a program that it ran for the user.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let usual = if matches!(arguments.command, Action::Bench { .. }) { "bench" } else { "dev" };
    let name = arguments.name.as_deref().unwrap_or(usual);
    match arguments.command {
        Action::Up { fleet } => {
            let lab = Lab::up(&Options::lasting(name)?.fleet(fleet), &Clock::start())?;
            status(&lab)?;
        }
        Action::Down { images } => {
            let clock = Clock::start();
            clock.measure(&format!("removing the lab `{name}`"), || down(&Name::new(name)?))?;
            if images {
                clock.measure("removing the lab's images", remove_images)?;
            }
            clock.say("done");
        }
        Action::Status => status(&Lab::find(name)?)?,
        Action::Logs { part } => {
            let lab = Lab::find(name)?;
            return hand_over(match Part::ALL.into_iter().find(|known| known.name() == part) {
                Some(part) => lab.logs(part),
                None => lab.host(&part)?.journal(),
            });
        }
        Action::Shell { host } => return hand_over(Lab::find(name)?.host(&host)?.shell()),
        Action::Demo { fleet } => demo::run(&Options::lasting(name)?.fleet(fleet).with_skipper())?,
        Action::Sweep { simulated } => return sweep(simulated),
        Action::Bench { parts, runs, write } => {
            if !bench::run(name, &bench::Wishes { parts, runs, write })? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Action::ServeGithub { listen, files } => github::serve(&listen, files)?,
        Action::Guard => {
            let name = Name::new(name)?;
            guard::wait()?;
            down(&name)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows what the lab consists of.
fn status(lab: &Lab) -> Result<()> {
    let topology = lab.topology();
    let mut shown = format!("lab {}\n", topology.name);
    for (part, address) in [
        (Part::Cloud, topology.cloud_url()),
        (Part::Registry, format!("http://{}", topology.registry())),
        (Part::GitHub, topology.github_url()),
    ] {
        shown.push_str(&format!("  {:<10} {address}\n", part.name()));
    }
    for host in lab.hosts()? {
        shown.push_str(&format!(
            "  {:<10} {:<16} {} {}\n",
            host.name.as_deref().unwrap_or("host"),
            host.address,
            host.instance,
            host.state
        ));
    }
    shown.push_str("skipper meets it with\n");
    for (name, value) in lab.environment() {
        shown.push_str(&format!("  {name}={value}\n"));
    }
    std::io::stdout().write_all(shown.as_bytes()).context("writing to standard output")
}

/// Runs the sweeps of the tests whole; each prints its points and how many of them converged.
fn sweep(simulated: bool) -> Result<ExitCode> {
    let sweeps: [&[&str]; 3] = [
        &["test", "--package", "skipper-core", "--lib", "lease::model", "--", "--include-ignored", "--nocapture"],
        &["test", "--package", "skipper-deploy", "--test", "simulated", "sweep", "--", "--nocapture"],
        &["test", "--test", "lab", "sweep", "--", "--nocapture"],
    ];
    for arguments in sweeps.iter().take(if simulated { 2 } else { 3 }) {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(*arguments).env("SKIPPER_SWEEP", "all");
        let ended = hand_over(command)?;
        if ended != ExitCode::SUCCESS {
            return Ok(ended);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Lets `command` speak to the user, and ends as it does.
fn hand_over(mut command: Command) -> Result<ExitCode> {
    let program = command.get_program().display().to_string();
    let status = command.status().with_context(|| format!("starting `{program}`"))?;
    match status.code().map(u8::try_from) {
        Some(Ok(code)) => Ok(ExitCode::from(code)),
        _ => bail!("`{program}` ended with {status}"),
    }
}

/// Tells the user what went wrong, outermost first. Nobody listening is no reason to fail again.
pub(crate) fn explain(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
}
