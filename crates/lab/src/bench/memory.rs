//! The memory that skipper takes while it hashes, packs and sends a build context, large and ten times larger.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Bench;
use super::machine::field;
use super::paired::Sample;
use super::project::Project;
use super::table::Section;
use crate::job::Job;

const PATIENCE: Duration = Duration::from_secs(300);
/// Between two looks at a running process. Its peak only grows, so the last look counts.
const PAUSE: Duration = Duration::from_millis(5);

const SMALL: u64 = 100_000_000;
const LARGE: u64 = 1 << 30;
const PEAK: f64 = 60.0;
/// What still counts as flat.
const FLAT: f64 = 1.1;

pub(super) fn measure(bench: &Bench<'_>) -> Result<Section> {
    let lab = bench.lab()?;
    let project = Project::make(lab, "bench-memory", 1)?;
    project.write("Dockerfile", "FROM scratch\nCOPY nonce /nonce\n")?;
    let (mut small, mut large) = (Sample::default(), Sample::default());
    for run in 0..bench.runs {
        for (bytes, sample) in [(SMALL, &mut small), (LARGE, &mut large)] {
            // Another file each time: unchanged inputs are not built again.
            project.write("nonce", &format!("{run} {bytes}"))?;
            let file = project.context("service1").join("large");
            let file = fs::File::create(&file).context("making the large file")?;
            file.set_len(bytes).context("making the large file")?;
            let job = project.job(lab, &format!("memory {run} {bytes}"));
            let what = format!("building with a context of {} MB", bytes / 1_000_000);
            sample.push(bench.clock.measure(&what, || peak(bench, &job))? / 1e6);
        }
    }

    let mut section = Section::new("Memory during a build", &["context", "peak memory"]);
    section.say("The most that `skipper ship` had resident (`VmHWM`) while it hashed the context, packed it and sent it to the engine, from a file of zeros that takes no room on the disk.");
    section.row(["100 MB".to_owned(), format!("{:.1} MB", small.median())]);
    let median = large.median();
    section.held_row(["1 GiB".to_owned(), format!("{median:.1} MB")], &format!("at most {PEAK} MB"), median <= PEAK);
    let ratio = median / small.median();
    section.held_row(
        ["1 GiB against 100 MB".to_owned(), format!("{ratio:.2}")],
        &format!("flat: at most {FLAT}"),
        ratio <= FLAT,
    );
    Ok(section)
}

/// The peak of a run's resident memory, in bytes.
fn peak(bench: &Bench<'_>, job: &Job) -> Result<f64> {
    let running = job.start(&bench.skipper, &["ship"])?;
    let status = format!("/proc/{}/status", running.id());
    let (outcome, peak) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut peak = None;
            // A process that has ended and is not yet waited for has no memory any more.
            while let Some(kibibytes) = fs::read_to_string(&status).ok().and_then(|text| field(&text, "VmHWM")) {
                peak = Some(kibibytes);
                sleep(PAUSE);
            }
            peak
        });
        let outcome = running.wait(PATIENCE);
        match watching.join() {
            Ok(peak) => (outcome, peak),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    let outcome = outcome?;
    if outcome.code != Some(0) || !outcome.log.contains("built") {
        bail!("`skipper ship` did not build and push:\n{}", outcome.log);
    }
    Ok(peak.context("the run ended before its memory was seen")? as f64 * 1024.0)
}
