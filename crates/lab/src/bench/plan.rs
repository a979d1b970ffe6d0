//! Planning for many hosts and replicas, by an example program of `skipper-core` in a process of its own each time.

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::Bench;
use super::paired::Sample;
use super::table::Section;
use crate::binaries;

const EXAMPLE: &str = "plan_many";
const TIME_MS: f64 = 50.0;
const MEMORY: f64 = 100.0;

/// The line that the example prints.
#[derive(Deserialize)]
struct Told {
    took_us: u64,
    steps: usize,
    kept: usize,
    blocked: usize,
    peak_kib: u64,
}

pub(super) fn measure(bench: &Bench<'_>) -> Result<Section> {
    let program = bench.clock.measure("compiling the planning of many hosts", || {
        binaries::release(&["--package", "skipper-core", "--example", EXAMPLE], EXAMPLE)
    })?;
    let mut section = Section::new("Planning", &["what", "time", "steps", "peak memory"]);
    section.say(
        "500 hosts in 5 groups, 10 services on each: 5,000 replicas with a fixed and a chosen port. \
         Memory is that of the whole process, which holds both states and the plan.",
    );
    for (scenario, what) in [
        ("first", "a first deploy"),
        ("update", "a release in which every image is new"),
        ("nothing", "nothing to change"),
    ] {
        let (mut time, mut memory, mut steps) = (Sample::default(), Sample::default(), 0);
        for _ in 0..bench.runs {
            let output = Command::new(&program).arg(scenario).output().context("starting the example")?;
            let told: Told = serde_json::from_slice(&output.stdout).with_context(|| {
                format!("reading what the example said: {}", String::from_utf8_lossy(&output.stderr))
            })?;
            let is_sound = told.blocked == 0
                && match scenario {
                    "nothing" => told.steps == 0 && told.kept == 5_000,
                    _ => told.steps > 500,
                };
            if !is_sound {
                bail!("the plan of `{scenario}` is not what it should be: {}", String::from_utf8_lossy(&output.stdout));
            }
            steps = told.steps;
            time.push(told.took_us as f64 / 1e3);
            memory.push(told.peak_kib as f64 * 1024.0 / 1e6);
        }
        let (time, memory) = (time.median(), memory.median());
        section.held_row(
            [what.to_owned(), format!("{time:.1} ms"), steps.to_string(), format!("{memory:.0} MB")],
            &format!("at most {TIME_MS} ms and {MEMORY} MB"),
            time <= TIME_MS && memory <= MEMORY,
        );
    }
    Ok(section)
}
