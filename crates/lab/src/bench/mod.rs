//! `cargo lab bench`: figures of the release binary, each held to its limit or to what people use in its place.
//!
//! What is compared is measured in turns within one run, on one machine: ours, theirs, ours, theirs. So the ratios mean
//! something where the seconds do not.

mod aws;
mod binary;
mod client;
mod doc;
mod images;
mod job;
mod machine;
mod memory;
mod paired;
mod plan;
mod project;
mod table;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::binaries;
use crate::clock::{Clock, say};
use crate::lab::{Lab, Options};
use table::Section;

/// One part of the benchmarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Part {
    /// The size of the binary, and how fast it starts
    Binary,
    /// The memory that building with a large context takes
    Memory,
    /// Building and pushing images, beside the `docker` client
    Images,
    /// The whole job, beside a shell script with `docker` and `aws`
    Job,
    /// Planning for many hosts and replicas
    Plan,
}

/// What to measure.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// The parts; all of them when empty.
    pub parts: Vec<Part>,
    /// How often each thing is measured.
    pub runs: usize,
    /// Whether `docs/benchmarks.md` is written anew.
    pub write: bool,
}

/// What every part needs.
struct Bench<'lab> {
    skipper: PathBuf,
    runs: usize,
    /// There for the parts that need one.
    lab: Option<&'lab Lab>,
    clock: &'lab Clock,
}

impl Bench<'_> {
    fn lab(&self) -> Result<&Lab> {
        self.lab.context("this part needs a lab")
    }
}

/// Measures in a lab of its own called `name`, which is gone afterwards. Whether every figure is within its limit.
///
/// # Errors
/// When something cannot be measured.
pub fn run(name: &str, wishes: &Wishes) -> Result<bool> {
    let parts = if wishes.parts.is_empty() { Part::value_variants() } else { &wishes.parts };
    if wishes.runs == 0 {
        bail!("nothing is measured in 0 runs");
    }
    let clock = Clock::start();
    let skipper =
        clock.measure("compiling skipper for release", || binaries::release(&["--bin", "skipper"], "skipper"))?;
    let needs_lab = parts.iter().any(|part| matches!(part, Part::Memory | Part::Images | Part::Job));
    let lab = needs_lab.then(|| Lab::up(&Options::ephemeral(name)?, &clock)).transpose()?;
    let bench = Bench { skipper, runs: wishes.runs, lab: lab.as_ref(), clock: &clock };
    let mut sections: Vec<Section> = Vec::new();
    for part in parts {
        let section = match part {
            Part::Binary => binary::measure(&bench),
            Part::Memory => memory::measure(&bench),
            Part::Images => images::measure(&bench),
            Part::Job => job::measure(&bench),
            Part::Plan => plan::measure(&bench),
        };
        let section = section?;
        say(&format!("\n{}", section.markdown()));
        sections.push(section);
    }
    if wishes.write {
        doc::write(&sections, wishes.runs)?;
    }
    say(&clock.report());
    let missed: Vec<&str> = sections.iter().flat_map(Section::missed).collect();
    for what in &missed {
        say(&format!("missed: {what}"));
    }
    Ok(missed.is_empty())
}
