//! `docs/benchmarks.md`, written anew from what was measured.

use std::fs;

use anyhow::{Context, Result};

use super::machine;
use super::table::Section;
use crate::binaries::workspace;

const FILE: &str = "docs/benchmarks.md";

pub(super) fn write(sections: &[Section], runs: usize) -> Result<()> {
    let command = if runs == 5 { String::new() } else { format!(" --runs {runs}") };
    let mut text = format!(
        "# Benchmarks\n\n\
         Written by `cargo lab bench --write{command}`, which builds the release binary, starts a lab of its own and measures everything in it; \
         `cargo lab bench PART` measures one part. Each figure is the median of {runs} runs. What is compared was measured in turns, and a ratio is \
         the median of the ratios of all pairs, with their range: below 1, skipper takes less. Seconds depend on the machine; ratios and limits should hold anywhere.\n\n\
         The machine: {}.\n",
        machine::describe()?
    );
    for section in sections {
        text.push('\n');
        text.push_str(&section.markdown());
    }
    fs::write(workspace().join(FILE), text).with_context(|| format!("writing `{FILE}`"))
}
