//! The binary against the lab: one lab for all trials, made when the first one needs it and always taken down.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a trial that cannot go on has failed, and says why"
)]

#[path = "lab/action.rs"]
mod action;
#[path = "workflows/blocks.rs"]
mod blocks;
#[path = "lab/commands.rs"]
mod commands;
#[path = "lab/errors.rs"]
mod errors;
#[path = "lab/hosts.rs"]
mod hosts;
#[path = "lab/leases.rs"]
mod leases;
#[path = "lab/links.rs"]
mod links;
#[path = "lab/previews.rs"]
mod previews;
#[path = "lab/pull_requests.rs"]
mod pull_requests;
#[path = "lab/refusals/mod.rs"]
mod refusals;
#[path = "lab/regions.rs"]
mod regions;
#[path = "lab/secrets.rs"]
mod secrets;
#[path = "lab/shop.rs"]
mod shop;
#[path = "lab/stories.rs"]
mod stories;
#[path = "lab/sweep.rs"]
mod sweep;
#[path = "lab/traps.rs"]
mod traps;
#[path = "lab/trust.rs"]
mod trust;
#[path = "lab/values.rs"]
mod values;
#[path = "lab/volumes.rs"]
mod volumes;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{Arc, OnceLock},
};

use libtest_mimic::{Arguments, Failed, Trial};
use skipper_lab::{Clock, Lab, Options, action::ActionImage};

/// The lab, and the time that passes in it.
pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) clock: Clock,
    pub(crate) shop: OnceLock<shop::Shop>,
    /// A project on one host that trials of refusals share.
    pub(crate) small: OnceLock<shop::Shop>,
    /// A project whose pull requests are read.
    pub(crate) told: OnceLock<shop::Shop>,
    /// The action's image.
    pub(crate) action: OnceLock<ActionImage>,
    /// What was refused so far.
    pub(crate) table: errors::Table,
}

impl World {
    /// The projects that trials share, as far as they were made.
    fn shared(&self) -> Vec<&str> {
        [&self.shop, &self.small, &self.told]
            .into_iter()
            .filter_map(OnceLock::get)
            .map(|shop| shop.name.as_str())
            .collect()
    }
}

/// Trials by their names, in the order in which they run.
pub(crate) type Trials = &'static [(&'static str, fn(&World))];

/// Made by whichever trial comes first; the failure to make it is the failure of every trial.
type Shared = Arc<OnceLock<Result<World, String>>>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // The trials share two processors with every host of the lab: side by side they would only wait for each other.
    arguments.test_threads = Some(1);
    let shared: Shared = Arc::default();
    let groups = [
        &[stories::TRIALS, action::TRIALS, pull_requests::TRIALS],
        refusals::TRIALS,
        &[
            commands::TRIALS,
            hosts::TRIALS,
            regions::TRIALS,
            values::TRIALS,
            volumes::TRIALS,
            secrets::TRIALS,
            links::TRIALS,
            leases::TRIALS,
            previews::TRIALS,
            trust::TRIALS,
            traps::TRIALS,
            sweep::TRIALS,
        ],
    ];
    let trials = groups.into_iter().flatten().copied().flatten().map(|(name, trial)| {
        let shared = Arc::clone(&shared);
        Trial::test(*name, move || run(name, *trial, &shared))
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    let Some(Ok(world)) = Arc::into_inner(shared).and_then(OnceLock::into_inner) else { return conclusion.exit_code() };
    eprintln!("{}", world.clock.report());
    // Taking the lab down is waited for.
    drop(world.lab);
    let whole = conclusion.num_filtered_out == 0 && !conclusion.has_failed();
    if let Err(drift) = world.table.settle(whole) {
        eprintln!("{drift}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

fn run(name: &str, trial: fn(&World), shared: &Shared) -> Result<(), Failed> {
    let world = shared.get_or_init(|| {
        let clock = Clock::start();
        // Two test runs on one machine do not take each other's lab.
        let options =
            Options::ephemeral(&format!("trials-{}", std::process::id())).map_err(|error| format!("{error:#}"))?;
        // An archive of the real fleet, where somebody has one.
        let options = options.fleet(std::env::var("SKIPPER_LAB_FLEET").ok());
        // Without Docker this fails at once, and names the packages that can be tested without.
        let lab = Lab::up(&options, &clock).map_err(|error| format!("{error:#}"))?;
        Ok(World {
            lab,
            clock,
            shop: OnceLock::new(),
            small: OnceLock::new(),
            told: OnceLock::new(),
            action: OnceLock::new(),
            table: errors::Table::default(),
        })
    });
    let world = world.as_ref().map_err(Failed::from)?;
    // What a trial that failed left set is not the next one's trouble.
    world.lab.cloud().clear_faults().map_err(|error| format!("{error:#}"))?;
    world.lab.github().clear_faults().map_err(|error| format!("{error:#}"))?;
    // The hosts of a trial that has ended would only take the processors from those that follow.
    world.lab.cloud().terminate_all_but(&world.shared()).map_err(|error| format!("{error:#}"))?;
    // The clock's report names the trials, so that a slow one is found.
    let outcome = world.clock.time(name, || catch_unwind(AssertUnwindSafe(|| trial(world))));
    outcome.map_err(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Failed::from(said.unwrap_or_else(|| "the trial panicked".to_owned()))
    })
}
