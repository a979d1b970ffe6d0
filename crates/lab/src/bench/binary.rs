//! The release binary: its size, that of the action's image, and the time until it has said its version.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::action::ActionImage;

use super::Bench;
use super::paired::Sample;
use super::table::Section;

const SIZE: f64 = 22.0;
const COMPRESSED: f64 = 9.0;
const START_MS: f64 = 10.0;
/// Starts for each run asked for: one takes milliseconds.
const STARTS: usize = 10;

pub(super) fn measure(bench: &Bench<'_>) -> Result<Section> {
    let bytes = fs::read(&bench.skipper).context("reading the binary")?;
    let compressed = bench.clock.measure("compressing the binary as `gzip -9` does", || compressed_size(&bytes))?;
    let image = bench.clock.measure("building the action's image and compressing it", || {
        compressed_size(&ActionImage::build(&bench.skipper)?.archive()?)
    })?;
    let (mut ours, mut nothing) = (Sample::default(), Sample::default());
    bench.clock.measure("starting the binary many times", || {
        for _ in 0..bench.runs * STARTS {
            ours.push(start(&bench.skipper, &["--version"])?.as_secs_f64() * 1e3);
            nothing.push(start(Path::new("true"), &[])?.as_secs_f64() * 1e3);
        }
        anyhow::Ok(())
    })?;

    let mut section = Section::new("The binary", &["what", "is"]);
    section.say("One static binary with everything in it. Megabytes are of 1,000,000 bytes; compressed is `gzip -9`, as in a layer of an image. The image is the action's, with the certificates that the binary trusts.");
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    for (what, bytes, limit) in
        [("size", bytes.len(), SIZE), ("compressed", compressed, COMPRESSED), ("image, compressed", image, COMPRESSED)]
    {
        let value = megabytes(bytes);
        section.held_row([what.to_owned(), format!("{value:.1} MB")], &format!("at most {limit} MB"), value <= limit);
    }
    let median = ours.median();
    section.held_row(
        [
            format!("`skipper --version`, median of {}", bench.runs * STARTS),
            format!("{median:.1} ms (`true`, started in turns with it: {:.1} ms)", nothing.median()),
        ],
        &format!("at most {START_MS} ms"),
        median <= START_MS,
    );
    Ok(section)
}

fn compressed_size(bytes: &[u8]) -> Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).context("compressing the binary")?;
    Ok(encoder.finish().context("compressing the binary")?.len())
}

/// From starting a program to its end.
fn start(program: &Path, arguments: &[&str]) -> Result<Duration> {
    let began = Instant::now();
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("starting `{}`", program.display()))?;
    let took = began.elapsed();
    if !status.success() {
        bail!("`{}` ended with {status}", program.display());
    }
    Ok(took)
}
