//! The comment on the pull request and the job summary, as Markdown.

mod cut;
mod plan;
mod rollout;

use super::{redact::redacted_lines, redacted, table, text, words};
use crate::{
    config::{Diagnostic, Severity},
    event::RunFinished,
    exit::Exit,
    failure::Failure,
    orchestrator::StartOutcome,
    preview::REMOVE,
    progress::{ImageProgress, Progress},
};

/// The comment, without its marker.
pub fn comment(progress: &Progress) -> String {
    let mut page = Page::default();
    page.shown_plan(progress);
    page.heading(progress);
    page.release(progress);
    if let Some(finished) = &progress.finished {
        page.ending(progress, finished);
    } else if let Some(holder) = &progress.awaited {
        page.line("");
        page.line(format!("Waiting for the lease, which is held by {}.", text::prose(&holder.to_string())));
    }
    page.images(progress);
    page.rollout(progress);
    page.plan(progress);
    page.forecast(progress);
    if let Some(state) = progress.state() {
        let title =
            if progress.after.is_some() || progress.finished.is_some() { "What runs now" } else { "What runs before" };
        if !state.replicas.is_empty() {
            page.section(&format!("#### {title}"), table::markdown(state));
        }
        for gap in &state.gaps {
            page.line(format!("- not observed: {}", text::prose(gap)));
        }
    }
    page.warnings(&progress.warnings);
    page.footer(progress);
    cut::cut(page.0)
}

/// The problems of a `skipper.yml`, for the job summary.
pub fn problems(problems: &[Diagnostic]) -> String {
    let mut lines = vec!["### skipper.yml".to_owned(), String::new()];
    for problem in problems {
        let mark = match problem.severity {
            Severity::Error => "\u{274c}",
            Severity::Warning => "\u{26a0}\u{fe0f}",
        };
        let place = text::code(&format!("{}:{}:{}", problem.file, problem.span.line, problem.span.column));
        let label = [problem.label.as_str()].into_iter().filter(|label| !label.is_empty());
        let details: String =
            label.chain(problem.hint.as_deref()).map(|detail| format!("<br>{}", text::prose(detail))).collect();
        lines.push(format!("- {mark} {place} {}{details}", text::prose(&problem.message)));
    }
    lines.push(String::new());
    lines.join("\n")
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, line: impl AsRef<str>) {
        self.0.push_str(line.as_ref());
        self.0.push('\n');
    }

    fn section(&mut self, title: &str, body: impl AsRef<str>) {
        self.line("");
        self.line(title);
        self.line("");
        self.line(body);
    }

    fn heading(&mut self, progress: &Progress) {
        let Some(run) = &progress.run else { return };
        let (mark, words) = match &progress.finished {
            None if run.command == "plan" => ("\u{1f4cb}", "plan"),
            None if run.command == REMOVE => ("\u{23f3}", "removing the preview"),
            None if run.command == "remove" => ("\u{23f3}", "removing a replica"),
            None if run.command == "instances deploy" => ("\u{23f3}", "bringing up the hosts"),
            None => ("\u{23f3}", "deploying"),
            Some(RunFinished { exit: Exit::Serves, .. }) if run.command == "plan" => ("\u{1f4cb}", "plan"),
            Some(RunFinished { exit: Exit::Serves, .. }) if run.command == REMOVE => ("\u{1f5d1}\u{fe0f}", "removed"),
            Some(RunFinished { exit: Exit::Serves, .. }) if run.command == "ps" => ("\u{1f4cb}", "what runs"),
            Some(RunFinished { exit: Exit::Serves, .. }) if run.command == "remove" => {
                ("\u{2705}", "a replica is removed")
            }
            Some(RunFinished { exit: Exit::Serves, .. }) if run.command == "instances deploy" => {
                ("\u{2705}", "every host is up")
            }
            Some(RunFinished { exit: Exit::Serves, .. }) => ("\u{2705}", "deployed"),
            Some(RunFinished { exit: Exit::Restored, .. }) => {
                ("\u{21a9}\u{fe0f}", "failed, the previous release serves")
            }
            Some(RunFinished { exit: Exit::Cancelled, .. }) => ("\u{1f6d1}", "cancelled"),
            Some(RunFinished { exit: Exit::Degraded, .. }) => ("\u{274c}", "failed, no release serves everywhere"),
            Some(RunFinished { exit: Exit::BuildFailed, .. }) => ("\u{274c}", "build failed, nothing was deployed"),
            Some(RunFinished { exit: Exit::Blocked, .. }) => ("\u{274c}", "blocked"),
            Some(RunFinished { exit: Exit::Superseded, .. }) => {
                ("\u{23ed}\u{fe0f}", "superseded, a newer commit serves")
            }
            Some(RunFinished { exit: Exit::Held, .. }) => ("\u{23f8}\u{fe0f}", "another run holds the lease"),
            Some(RunFinished { exit: Exit::Refused, .. }) => ("\u{274c}", "refused"),
            Some(RunFinished { exit: Exit::Defect | Exit::BadInput, .. }) => ("\u{274c}", "failed"),
        };
        let region = if run.is_one_of_several { format!(", {}", text::code(&run.region)) } else { String::new() };
        self.line(format!(
            "### {mark} {} in {}{region}: {words}",
            text::code(run.scope.project.as_ref()),
            text::code(run.scope.environment.as_ref())
        ));
    }

    fn release(&mut self, progress: &Progress) {
        let Some(run) = &progress.run else { return };
        if let Some(revision) = &run.revision {
            let short = text::code(revision.short());
            let short = match &run.commit_url {
                Some(url) => text::link(&short, url),
                None => short,
            };
            self.line("");
            // Where a release failed, what is reached there is another.
            let serves = progress.finished.as_ref().is_some_and(|finished| finished.exit == Exit::Serves);
            let url = progress.state().filter(|_| serves).and_then(|state| state.url.as_ref());
            self.line(match url {
                Some(url) => format!("Release {short} at {}", text::link(&text::code(url), url)),
                None => format!("Release {short}"),
            });
        }
    }

    fn images(&mut self, progress: &Progress) {
        if !progress.foreseen.is_empty() {
            self.line("");
            self.line("| service | image |");
            self.line("| --- | --- |");
            for (service, image) in &progress.foreseen {
                let image =
                    image.as_ref().map_or_else(|| "to be built".to_owned(), |image| text::code(image.digest.short()));
                self.line(format!("| {} | {image} |", text::code(service.as_ref())));
            }
        }
        if progress.images.is_empty() {
            return;
        }
        self.line("");
        self.line("| service | image | | |");
        self.line("| --- | --- | --- | --- |");
        for (service, image) in &progress.images {
            let service = text::code(service.as_ref());
            self.line(match image {
                ImageProgress::Started => format!("| {service} | | being made | |"),
                ImageProgress::Ready { image, origin, took_ms } => {
                    format!(
                        "| {service} | {} | {} | {} |",
                        text::code(image.digest.short()),
                        words::origin(*origin),
                        words::duration(*took_ms)
                    )
                }
                ImageProgress::Failed(_) => format!("| {service} | | failed | |"),
            });
        }
    }

    fn ending(&mut self, progress: &Progress, finished: &RunFinished) {
        self.line("");
        self.line(format!("**{}** ({})", text::prose(&finished.summary), words::duration(finished.took_ms)));
        if let Some(failure) = &finished.failure {
            // What a replica printed stands below, with the replica.
            let is_told = progress.started.iter().any(|(_, started)| matches!(&started.outcome, StartOutcome::Failed { journal, .. } if *journal == failure.lines));
            self.failure(failure, !is_told);
        }
        for left in &finished.leftovers {
            self.line(format!("- left over: {}", text::prose(left)));
        }
    }

    fn failure(&mut self, failure: &Failure, with_lines: bool) {
        self.line("");
        self.line(format!("> {}", text::prose(&redacted(&failure.message))));
        for cause in &failure.causes {
            self.line(format!("> - {}", text::prose(&redacted(cause))));
        }
        for hint in &failure.hints {
            self.line(format!(">\n> **hint:** {}", text::prose(hint)));
        }
        if with_lines && !failure.lines.is_empty() {
            self.details("The last lines", &fenced(&failure.lines));
        }
    }

    fn details(&mut self, title: &str, body: &str) {
        self.line("");
        self.line(format!("<details><summary>{title}</summary>\n"));
        self.line(body);
        self.line("\n</details>");
    }

    fn warnings(&mut self, warnings: &[Failure]) {
        if warnings.is_empty() {
            return;
        }
        self.line("");
        for warning in warnings {
            let why =
                warning.causes.first().map(|cause| format!(": {}", text::prose(&redacted(cause)))).unwrap_or_default();
            self.line(format!("- \u{26a0}\u{fe0f} {}{why}", text::prose(&warning.message)));
        }
    }

    fn footer(&mut self, progress: &Progress) {
        let Some(run) = &progress.run else { return };
        let run_link = run.run_url.as_ref().map(|url| text::link("run", url));
        let deployments = run.commit_url.as_ref().filter(|_| progress.deployment.is_some());
        let deployment = deployments.and_then(|url| url.split_once("/commit/")).map(|(repository, _)| {
            text::link("deployment", &format!("{repository}/deployments/{}", run.deployed_to()))
        });
        let link: String = run_link.into_iter().chain(deployment).map(|link| format!("{link}, ")).collect();
        self.line("");
        self.line(format!(
            "<sub>{link}started {}, skipper {}</sub>",
            text::prose(&run.started_at),
            text::prose(&run.version)
        ));
    }
}

/// Lines from elsewhere without what looks like a secret.
fn fenced(lines: &[String]) -> String {
    text::fenced(&redacted_lines(lines))
}

fn is_plan(progress: &Progress) -> bool {
    progress.run.as_ref().is_some_and(|run| run.command == "plan")
}
