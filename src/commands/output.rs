//! The doors through which text leaves: standard output, standard error, and the runner's files.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::{Map, Value, json};
use skipper_core::{
    config::Diagnostic,
    exit::Exit,
    failure::Failure,
    plan::Outline,
    progress::{ImageProgress, Progress},
    render::{colour, log::failure_lines, markdown, text},
};

use crate::{
    cli::Output as Format,
    github::runner::{self, Output},
    settings::{Left, Settings},
};

/// The status of a run that did nothing on purpose.
const SKIPPED: &str = "skipped";
/// What stands below everything that could not be told.
const NOT_TOUCHED: &str = "the run itself is not touched by this";

/// Where the log and the asked-for document go.
///
/// In a workflow everything goes to one stream, since the runner keeps no order between two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    format: Format,
    workflow: bool,
    colour: bool,
    /// The region that the lines of the log are about, where several are told side by side.
    region: Option<&'static str>,
}

impl Printer {
    pub(crate) const fn new(format: Format, workflow: bool) -> Self {
        Self { format, workflow, colour: false, region: None }
    }

    /// The same in colour where the log is read by people: in a workflow, and at a terminal unless `NO_COLOR` says otherwise
    /// (<https://no-color.org>).
    pub(crate) fn in_colour(self) -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_terminal = if self.is_json() { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
        Self { colour: !unwanted && (self.is_workflow() || is_terminal), ..self }
    }

    /// The same for what is said of one of several regions: its lines say of which.
    pub(crate) fn of_region(self, region: &str) -> Self {
        // A printer is copied everywhere, and there are a handful of regions until the process ends.
        Self { region: Some(Box::leak(Box::from(region))), ..self }
    }

    /// Whether others are told beside this one.
    pub(crate) const fn is_one_of_several(self) -> bool {
        self.region.is_some()
    }

    /// Whether the log is in colour.
    pub(crate) const fn has_colour(self) -> bool {
        self.colour
    }

    /// Whether the log is one of a workflow, with groups and marks.
    pub(crate) const fn is_workflow(self) -> bool {
        self.workflow && !self.is_json()
    }

    /// Whether a document is asked for, and no text.
    pub(crate) const fn is_json(self) -> bool {
        matches!(self.format, Format::Json)
    }

    /// Writes lines of the log, which are safe to print already.
    pub(crate) fn log(self, lines: &[String]) {
        let lines: Vec<String> = lines.iter().map(|line| self.dressed(line)).collect();
        let _ = if self.is_json() { write(io::stderr().lock(), &lines) } else { write(io::stdout().lock(), &lines) };
    }

    /// A line of the log as it is printed.
    fn dressed(self, line: &str) -> String {
        let line = if self.colour { colour(line) } else { line.to_owned() };
        // A command for the runner must begin its line.
        match self.region.filter(|_| !line.starts_with("::")) {
            Some(region) => format!("{region} | {line}"),
            None => line,
        }
    }

    /// Has the workflow's runner blot out a secret in everything that it logs from here on. Where the log of this run goes to
    /// standard error, so does this: the runner reads both.
    pub(crate) fn conceal(self, secret: &str) {
        if self.workflow {
            // The runner's own escapes (actions/runner, `ActionCommand`).
            let value = secret.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
            self.log(&[format!("::add-mask::{value}")]);
        }
    }

    /// Writes what was asked for, as text. Whether somebody reads it still is for those who would go on without end.
    pub(crate) fn text(self, text: &str) -> bool {
        self.is_json() || write(io::stdout().lock(), &[text.to_owned()])
    }

    /// Writes what was asked for, as JSON, when that is what was asked for.
    pub(crate) fn json(self, document: &impl Serialize) {
        if self.is_json() {
            self.document(document);
        }
    }

    /// Writes a document that is JSON whatever else was asked for.
    pub(crate) fn document(self, document: &impl Serialize) {
        let text = serde_json::to_string_pretty(document).unwrap_or_default();
        // Only within a text can these stand side by side; a runner takes them for a command, and JSON reads the same in both.
        write(io::stdout().lock(), &[text.replace("##[", "#\\u0023[")]);
    }
}

/// Standard error for diagnosis: each line of it is made harmless, whoever wrote the text in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Diagnosis;

impl io::Write for Diagnosis {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        write(io::stderr().lock(), &text.lines().map(text::line).collect::<Vec<_>>());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether all of it was taken: where a stream cannot be written nobody can be told.
fn write(mut stream: impl io::Write, lines: &[String]) -> bool {
    let written = lines.iter().all(|line| writeln!(stream, "{line}").is_ok());
    stream.flush().is_ok() && written
}

/// Writes the outputs and the job summary of a run; what goes wrong there is said and does not fail the run.
pub(crate) fn runner_files(settings: &Settings, progress: &Progress, printer: Printer) {
    if let Some(file) = settings.output_file() {
        set_outputs(file, &outputs(settings, progress), printer);
    }
    summarize(settings, progress, printer);
}

/// The same of runs side by side, by region.
pub(crate) fn runner_files_of_regions(
    settings: &Settings,
    runs: &BTreeMap<String, Progress>,
    exit: Exit,
    printer: Printer,
) {
    if let Some(file) = settings.output_file() {
        let of_region = |(region, progress): (&String, &Progress)| {
            let events = settings.events.as_ref().map(|events| events.of_part(region));
            (region.clone(), outputs(&Settings { events, ..settings.clone() }, progress))
        };
        let told: Vec<_> = runs.iter().map(of_region).collect();
        set_outputs(file, &together(&told, exit), printer);
    }
    runs.values().for_each(|progress| summarize(settings, progress, printer));
}

fn summarize(settings: &Settings, progress: &Progress, printer: Printer) {
    if let Some(path) = settings.workflow.as_ref().and_then(|workflow| workflow.step_summary.as_ref()) {
        warn("write the job summary", runner::append_summary(path, &markdown::comment(progress)), printer);
    }
}

/// Puts every problem of the file into the job summary: the runner marks ten lines at most.
pub(crate) fn summarize_problems(settings: &Settings, problems: &[Diagnostic], printer: Printer) {
    if let Some(path) = settings.workflow.as_ref().and_then(|workflow| workflow.step_summary.as_ref()) {
        warn("write the job summary", runner::append_summary(path, &markdown::problems(problems)), printer);
    }
}

/// Leaves for the post step where it finds what this run has told, until it has told everything.
pub(crate) fn begin_state(settings: &Settings, events: Vec<PathBuf>, started_at: &str, printer: Printer) {
    let Some(file) = settings.workflow.as_ref().and_then(|workflow| workflow.state.as_ref()) else { return };
    if events.is_empty() {
        return;
    }
    let left = Left { started_at: started_at.to_owned(), events };
    warn("leave a note for the post step", runner::save_state(file, &left.state()), printer);
}

/// Tells the post step that there is nothing left to tell.
pub(crate) fn end_state(settings: &Settings, printer: Printer) {
    let Some(file) = settings.workflow.as_ref().and_then(|workflow| workflow.state.as_ref()) else { return };
    warn("leave a note for the post step", runner::save_state(file, &Left::nothing()), printer);
}

/// The outputs of a run that ended before it began.
pub(crate) fn early_outputs(file: Option<&Path>, exit: Exit, printer: Printer) {
    if let Some(file) = file {
        set_outputs(file, &ending(exit), printer);
    }
}

/// The outputs of a run that had nothing to do with this event.
pub(crate) fn skipped_outputs(file: Option<&Path>, printer: Printer) {
    if let Some(file) = file {
        let code = Exit::Serves.code().to_string();
        set_outputs(file, &[(Output::Status, SKIPPED.to_owned()), (Output::ExitCode, code)], printer);
    }
}

fn set_outputs(file: &Path, outputs: &[(Output, String)], printer: Printer) {
    let written = runner::set_outputs(file, outputs.iter().map(|(output, value)| (*output, value.as_str())));
    warn("write the step's outputs", written, printer);
}

fn ending(exit: Exit) -> [(Output, String); 2] {
    [(Output::Status, exit.status().to_owned()), (Output::ExitCode, exit.code().to_string())]
}

/// The outputs that are known.
fn outputs(settings: &Settings, progress: &Progress) -> Vec<(Output, String)> {
    let images: BTreeMap<String, String> = progress
        .images
        .iter()
        .filter_map(|(service, image)| match image {
            ImageProgress::Ready { image, .. } => Some((service.to_string(), image.to_string())),
            ImageProgress::Started | ImageProgress::Failed(_) => None,
        })
        .collect();
    let known = [
        (Output::Release, progress.run.as_ref().and_then(|run| run.revision.as_ref()).map(ToString::to_string)),
        (Output::Images, (!images.is_empty()).then(|| json!(images).to_string())),
        (Output::Url, progress.state().and_then(|state| state.url.clone())),
        (Output::Plan, progress.plan.as_ref().map(|plan| json!(plan).to_string())),
        (Output::PlanHash, progress.plan.as_ref().map(|plan| Outline::of(plan).hash().to_string())),
        (Output::DeploymentId, progress.deployment.map(|deployment| deployment.id.to_string())),
        (Output::Ps, progress.state().map(|state| json!(state.replicas).to_string())),
        (Output::CommentUrl, progress.comments.values().next().cloned()),
        (Output::Events, settings.events.as_ref().map(|events| events.path.display().to_string())),
    ];
    let ending = progress.finished.iter().flat_map(|finished| ending(finished.exit));
    ending.chain(known.into_iter().filter_map(|(output, value)| Some((output, value?)))).collect()
}

/// The outputs of runs side by side: documents are objects by region, files, addresses and deployments a line each, all else is the same for all.
fn together(told: &[(String, Vec<(Output, String)>)], exit: Exit) -> Vec<(Output, String)> {
    let mut outputs: BTreeMap<Output, String> = BTreeMap::new();
    let mut by_region: BTreeMap<Output, Map<String, Value>> = BTreeMap::new();
    for (region, of_region) in told {
        for (output, value) in of_region {
            match output {
                Output::Plan | Output::PlanHash | Output::Ps => {
                    // A hash may have the digits of a number.
                    let document = serde_json::from_str(value).ok().filter(|_| *output != Output::PlanHash);
                    let value = document.unwrap_or_else(|| json!(value));
                    by_region.entry(*output).or_default().insert(region.clone(), value);
                }
                Output::Url | Output::CommentUrl | Output::DeploymentId | Output::Events => {
                    let lines = outputs.entry(*output).or_default();
                    lines.push_str(if lines.is_empty() { "" } else { "\n" });
                    lines.push_str(value);
                }
                _ => drop(outputs.entry(*output).or_insert_with(|| value.clone())),
            }
        }
    }
    outputs.extend(by_region.into_iter().map(|(output, values)| (output, json!(values).to_string())));
    outputs.extend(ending(exit));
    outputs.into_iter().collect()
}

pub(crate) fn warn<E: std::error::Error>(what: &str, result: Result<(), E>, printer: Printer) {
    if let Err(error) = result {
        let failure = Failure::failed_to(Exit::Serves, what).because_of(&error).hint(NOT_TOUCHED);
        printer.log(&failure_lines("warning", &failure, printer.is_workflow()));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn outputs_of_several_regions_stand_together_and_end_as_all_of_them_did() {
        let of = |url: &str, exit: &str, hash: &str| {
            let plan = json!({ "steps": [url] }).to_string();
            vec![
                (Output::ExitCode, exit.to_owned()),
                (Output::Release, "abc".to_owned()),
                (Output::Plan, plan),
                (Output::PlanHash, hash.to_owned()),
                (Output::Url, url.to_owned()),
            ]
        };
        let told = [
            ("eu-west-1".to_owned(), of("http://a", "0", "1234567890123456")),
            ("us-east-1".to_owned(), of("http://b", "5", "12345678901230e5")),
        ];
        let outputs: BTreeMap<Output, String> = together(&told, Exit::Degraded).into_iter().collect();
        assert_eq!((&*outputs[&Output::ExitCode], &*outputs[&Output::Status]), ("7", "degraded"));
        assert_eq!((&*outputs[&Output::Release], &*outputs[&Output::Url]), ("abc", "http://a\nhttp://b"));
        let plans: Value = serde_json::from_str(&outputs[&Output::Plan]).unwrap();
        assert_eq!(plans["us-east-1"]["steps"][0], "http://b");
        let hashes: Value = serde_json::from_str(&outputs[&Output::PlanHash]).unwrap();
        assert_eq!(hashes, json!({"eu-west-1": "1234567890123456", "us-east-1": "12345678901230e5"}));
    }

    #[test]
    fn a_line_says_of_which_region_it_is_and_a_command_for_the_runner_begins_its_line() {
        let printer = Printer::new(Format::Text, true).of_region("eu-west-1");
        assert_eq!(printer.dressed("plan:"), "eu-west-1 | plan:");
        assert_eq!(printer.dressed("::error::no"), "::error::no");
    }
}
