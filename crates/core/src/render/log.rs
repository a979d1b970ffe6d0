//! The run's log, line by line as events come in.

use std::collections::BTreeMap;

use super::{cleaned, table, text, words};
use crate::{
    config::{self, Config, Span, escape, mark},
    event::{Event, EventKind, Leftovers, Moment, Outcome, RunStarted},
    exit::Exit,
    failure::Failure,
    orchestrator::StartOutcome,
    plan::{Plan, StepId},
    preview::REMOVE,
    progress::Progress,
};

/// Marks on lines of the file; the runner keeps ten annotations of a step, and the failure itself is one.
const MOST_MARKS: usize = 9;

/// For whom the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Folds the phases as a workflow's log viewer does, and marks errors and warnings for it.
    pub workflow: bool,
    /// Nothing but warnings and errors.
    pub quiet: bool,
    /// Another log is written between its lines, so that nothing can be folded.
    pub side_by_side: bool,
}

/// Writes the log of one run. Only complete lines come out, each safe to print.
#[derive(Debug, Default)]
pub struct Log {
    style: Style,
    progress: Progress,
    /// The phase whose lines are being written.
    group: Option<&'static str>,
    /// Where the keys of `skipper.yml` stand.
    places: Option<Places>,
    /// Marks on lines of the file so far.
    marks: usize,
}

/// Where the keys of a configuration stand in its file.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The file, as the user named it.
    pub file: String,
    /// The place of each key, by its path.
    pub spans: BTreeMap<String, Span>,
}

impl Places {
    /// The places of a configuration.
    pub fn of(config: &Config, file: impl Into<String>) -> Self {
        Self { file: file.into(), spans: config.spans.clone() }
    }
}

impl Log {
    /// A log in a style.
    pub fn new(style: Style) -> Self {
        Self { style, ..Self::default() }
    }

    /// The same, which in a workflow marks the lines of the file that something is about: at most as many as the runner keeps.
    #[must_use]
    pub fn with_places(self, places: Places) -> Self {
        Self { places: Some(places), ..self }
    }

    /// A command that marks the line of a key, or of the nearest one around it.
    fn mark(&mut self, key: &str, title: &str, message: &str) -> Option<String> {
        let places = self.places.as_ref().filter(|_| self.style.workflow && self.marks < MOST_MARKS)?;
        let span = config::nearest(&places.spans, key)?;
        self.marks += 1;
        Some(mark("error", &places.file, span, title, message))
    }

    /// The lines that an event adds.
    pub fn lines(&mut self, event: &Event) -> Vec<String> {
        self.progress.apply(event);
        let mut out = Lines { at_ms: event.at_ms, lines: Vec::new() };
        match &event.kind {
            EventKind::RunFinished(finished) if self.style.quiet => {
                out.lines.extend(
                    finished
                        .failure
                        .iter()
                        .flat_map(|failure| failure_lines(gravity(finished.exit), failure, self.style.workflow)),
                );
            }
            EventKind::Warning { failure } => out.lines.extend(failure_lines("warning", failure, self.style.workflow)),
            _ if self.style.quiet => {}
            EventKind::RunStarted(run) => out.lines.push(headline(run)),
            EventKind::ImageStarted { service } => {
                self.group("images", &mut out);
                out.say(format!("making the image of `{service}` ready"));
            }
            EventKind::ImageOutput { service, line } => out.say(format!("{service} | {line}")),
            EventKind::ImageReady { service, image, origin, took_ms } => {
                out.say(format!(
                    "image of `{service}` is {image}, {} ({})",
                    words::origin(*origin),
                    words::duration(*took_ms)
                ));
            }
            EventKind::ImageForeseen { service, image } => {
                self.group("images", &mut out);
                out.say(match image {
                    Some(image) => format!("image of `{service}` is {image}"),
                    None => format!("image of `{service}` is to be built"),
                });
            }
            EventKind::ImageFailed { service, failure } => {
                let title = format!("image of `{service}` failed");
                out.say(&title);
                out.lines.extend(self.mark(&format!("services.{service}.build"), &title, &chain(failure)));
            }
            EventKind::SecretReady { name, version, origin } => {
                self.group("images", &mut out);
                out.say(format!("secret `{name}`: version {version}, {}", words::secret_origin(*origin)));
            }
            EventKind::Observed { state, moment } => {
                if *moment == Moment::After || !state.replicas.is_empty() {
                    self.group(if *moment == Moment::After { "what runs now" } else { "what runs before" }, &mut out);
                    out.lines.extend(table::hosts(state).into_iter().map(|host| format!("host {host}")));
                    out.lines.extend(table::plain(state).lines().map(str::to_owned));
                    out.lines.extend(state.gaps.iter().map(|gap| text::line(&format!("not observed: {gap}"))));
                }
            }
            EventKind::Planned { plan, moment: Moment::Before } => {
                self.group("plan", &mut out);
                let removes = self.progress.run.as_ref().is_some_and(|run| run.command == REMOVE);
                if removes && plan.is_empty() {
                    out.lines.push("nothing to do: nothing is left of the preview".to_owned());
                } else {
                    out.lines.extend(plan_lines(plan));
                }
                for blocked in &plan.blocked {
                    let mark = blocked.key().and_then(|key| self.mark(&key, &blocked.what, &blocked.why));
                    out.lines.extend(mark);
                }
            }
            EventKind::Planned { plan, moment: Moment::After } => {
                self.end_group(&mut out);
                if plan.is_empty() {
                    out.say("observed again: nothing is left to do");
                } else {
                    out.say("observed again, and this is left:");
                    out.lines.extend(plan_lines(plan));
                }
            }
            EventKind::Estimated { estimate } => out.say(words::estimate(estimate)),
            EventKind::DeploymentCreated { id, .. } => {
                out.say(format!("deployment {id} of the code host is about this run"))
            }
            EventKind::LeaseAwaited { number, holder, of_hosts } => {
                self.end_group(&mut out);
                out.say(format!("{} is held by {holder}; waiting for it", lease(*number, *of_hosts)));
            }
            EventKind::LeaseAcquired { number, over, of_hosts } => {
                self.end_group(&mut out);
                let lease = lease(*number, *of_hosts);
                match over {
                    None => out.say(format!("{lease} is this run's")),
                    Some(holder) => {
                        out.say(format!("{lease} is this run's, taken over from {holder}, which shows no sign of life"))
                    }
                }
            }
            EventKind::StepStarted { step } => {
                self.group("execute", &mut out);
                out.say(format!("[{step}] {}", self.action(*step)));
            }
            EventKind::StepOutput { step, line } => out.say(format!("[{step}]   {line}")),
            EventKind::StepRetrying { step, attempt, after_ms, because } => {
                out.say(format!("[{step}]   try {attempt} failed: {because}; again in {}", words::duration(*after_ms)));
            }
            EventKind::ReplicaStarted { step, host, started } => {
                let took = words::duration(started.took_ms);
                match &started.outcome {
                    StartOutcome::Healthy => {
                        out.say(format!("[{step}]   `{}` on `{host}` serves after {took}", started.replica))
                    }
                    StartOutcome::Failed { why, journal } => {
                        out.say(format!(
                            "[{step}]   `{}` on `{host}` does not serve after {took}: {why}",
                            started.replica
                        ));
                        for line in journal {
                            out.say(format!("[{step}]     {line}"));
                        }
                        let key = format!("services.{}", started.replica.service);
                        let title = format!("`{}` on `{host}` does not serve", started.replica);
                        out.lines.extend(self.mark(&key, &title, why));
                    }
                }
            }
            EventKind::StepFinished { step, outcome, took_ms } => {
                let took = words::duration(*took_ms);
                match outcome {
                    Outcome::Done => out.say(format!("[{step}] done in {took}")),
                    Outcome::Failed { failure, leftovers, restored } => {
                        out.say(format!("[{step}] failed after {took}: {failure}"));
                        if *restored == Some(true) {
                            out.say(format!("[{step}]   what served before serves again"));
                        }
                        if let Leftovers::Known(left) | Leftovers::Unknown(left) = leftovers {
                            out.say(format!("[{step}]   left over: {}", left.join(", ")));
                        }
                    }
                    Outcome::Cancelled { .. } => out.say(format!("[{step}] cancelled after {took}")),
                }
            }
            EventKind::Cleaned { cleaned } => {
                self.end_group(&mut out);
                out.lines.extend(cleaned::table(cleaned).lines().map(str::to_owned));
            }
            EventKind::Commented { pull_request, url } => {
                out.say(format!("comment on pull request {pull_request}: {url}"));
            }
            EventKind::RunFinished(finished) => {
                self.end_group(&mut out);
                if let Some(failure) = &finished.failure {
                    out.lines.extend(failure_lines(gravity(finished.exit), failure, self.style.workflow));
                }
                for left in &finished.leftovers {
                    out.lines.push(text::line(&format!("left over: {left}")));
                }
                out.lines.push(text::line(&format!(
                    "{} ({}, exit {})",
                    finished.summary,
                    words::duration(finished.took_ms),
                    finished.exit.code()
                )));
            }
        }
        out.lines
    }

    fn action(&self, step: StepId) -> String {
        let found = self.progress.plan.iter().flat_map(|plan| &plan.steps).find(|planned| planned.id == step);
        found.map_or_else(|| "?".to_owned(), |step| words::action(&step.action))
    }

    /// Begins a phase, unless it is the one that is being written.
    fn group(&mut self, name: &'static str, out: &mut Lines) {
        if self.group == Some(name) {
            return;
        }
        self.end_group(out);
        if self.folds() {
            out.lines.push(format!("::group::{name}"));
        } else {
            out.lines.push(format!("{name}:"));
        }
        self.group = Some(name);
    }

    fn end_group(&mut self, out: &mut Lines) {
        if self.group.take().is_some() {
            out.lines.push(if self.folds() { "::endgroup::".to_owned() } else { String::new() });
        }
    }

    const fn folds(&self) -> bool {
        self.style.workflow && !self.style.side_by_side
    }
}

/// The lines of one event, with its time in front where that helps.
struct Lines {
    at_ms: u64,
    lines: Vec<String>,
}

impl Lines {
    fn say(&mut self, text: impl AsRef<str>) {
        let seconds = format!("{}.{}s", self.at_ms / 1000, self.at_ms % 1000 / 100);
        self.lines.push(format!("{seconds:>7}  {}", text::line(text.as_ref())));
    }
}

/// A run that gave way to a newer commit is none that failed.
const fn gravity(exit: Exit) -> &'static str {
    if matches!(exit, Exit::Superseded) { "warning" } else { "error" }
}

fn headline(run: &RunStarted) -> String {
    let revision = run.revision.as_ref().map(|revision| format!(" {}", revision.short())).unwrap_or_default();
    let scope = &run.scope;
    text::line(&format!(
        "skipper {} {}{revision}: {} in {}, {}",
        run.version, run.command, scope.project, scope.environment, run.region
    ))
}

/// A failure with its causes, lines and hints, after a word for its gravity; for a workflow a command that marks it comes first.
pub fn failure_lines(word: &str, failure: &Failure, workflow: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if workflow {
        lines.push(format!("::{word}::{}", escape(&chain(failure))));
    }
    lines.push(text::line(&format!("{word}: {}", failure.message)));
    lines.extend(failure.causes.iter().map(|cause| text::line(&format!("  caused by: {cause}"))));
    lines.extend(failure.lines.iter().map(|line| text::line(&format!("  | {line}"))));
    lines.extend(failure.hints.iter().map(|hint| text::line(&format!("hint: {hint}"))));
    lines
}

/// A failure with its causes in one line that is safe to print.
fn chain(failure: &Failure) -> String {
    let chain: Vec<&str> = std::iter::once(&failure.message).chain(&failure.causes).map(String::as_str).collect();
    text::line(&chain.join(": "))
}

/// The plan as it is shown before it is carried out.
pub fn plan_lines(plan: &Plan) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for step in &plan.steps {
        lines.push(text::line(&format!("{:>4}. {}", step.id, words::step(step))));
    }
    for blocked in &plan.blocked {
        lines.push(text::line(&format!("   !  {}: {}", blocked.what, blocked.why)));
        lines.extend(blocked.hint.iter().map(|hint| text::line(&format!("      hint: {hint}"))));
    }
    if !plan.kept.is_empty() {
        let names: Vec<String> =
            plan.kept.iter().map(|kept| format!("`{}` on `{}`", kept.placement.replica, kept.placement.host)).collect();
        lines.push(text::line(&format!("   =  kept as they are: {}", names.join(", "))));
    }
    lines.extend(plan.notes.iter().map(|note| text::line(&format!("   -  {note}"))));
    if plan.is_empty() {
        lines.push("nothing to do: everything is as skipper.yml and the release ask for".to_owned());
    }
    lines
}

/// `lease 3`, and whose it is where a run may have two.
fn lease(number: u64, of_hosts: bool) -> String {
    let whose = if of_hosts { " of the hosts that previews share" } else { "" };
    format!("lease {number}{whose}")
}
