//! The comment on the pull request and the job summary, as Markdown.

use super::{ShownPlan, redact::redacted_lines, redacted, table, text, words};
use crate::{
    config::{Diagnostic, Severity},
    event::{Outcome, RunFinished},
    exit::Exit,
    failure::Failure,
    image::Digest,
    matrix::{Cell, CellState, Matrix},
    observed::Source,
    orchestrator::StartOutcome,
    plan::{Action, Outline, Plan},
    preview::REMOVE,
    progress::{ImageProgress, Progress, StepProgress},
};

/// The most a comment may hold; GitHub refuses more than 65,536 characters.
const COMMENT_LIMIT: usize = 60_000;

/// The most of a reason that a cell of a table shows, in characters.
const LONGEST_WHY: usize = 120;

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
    cut(page.0)
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
            None => ("\u{23f3}", "deploying"),
            Some(RunFinished { exit: Exit::Serves, .. }) if run.command == "plan" => ("\u{1f4cb}", "plan"),
            Some(RunFinished { exit: Exit::Serves, .. }) if run.command == REMOVE => ("\u{1f5d1}\u{fe0f}", "removed"),
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
        self.line(format!(
            "### {mark} {} in {}: {words}",
            text::code(run.scope.project.as_ref()),
            text::code(run.scope.environment.as_ref())
        ));
    }

    /// The plan for whoever compares it after the merge. Only a run that plans and does not ship is about what a merge would do.
    fn shown_plan(&mut self, progress: &Progress) {
        if !is_plan(progress) {
            return;
        }
        let finished_well = progress.finished.as_ref().is_some_and(|finished| finished.exit == Exit::Serves);
        let shown = match &progress.plan {
            Some(plan) if finished_well => ShownPlan::of(Outline::of(plan)),
            _ => ShownPlan::Blocked,
        };
        self.line(shown.line());
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
            let url = progress.after.as_ref().and_then(|after| after.url.as_ref());
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

    /// Instances by services: what each replica had and is to have, how far it is, and how long it took.
    fn rollout(&mut self, progress: &Progress) {
        if is_plan(progress) || progress.plan.as_ref().is_none_or(|plan| plan.steps.is_empty()) {
            return;
        }
        let Some(matrix) = Matrix::of(progress).filter(|matrix| !matrix.services.is_empty()) else { return };
        let columns: String =
            matrix.services.iter().map(|service| format!(" {} |", text::code(service.as_ref()))).collect();
        let mut lines =
            vec![format!("| instance |{columns}"), format!("| --- |{}", " --- |".repeat(matrix.services.len()))];
        for (host, services) in &matrix.hosts {
            let instance = progress.state().and_then(|state| state.hosts.iter().find(|row| row.host == *host));
            let instance = instance.map(|row| format!(" {}", text::code(&row.instance))).unwrap_or_default();
            let cells: String = matrix
                .services
                .iter()
                .map(|service| {
                    let cells: Vec<String> = services.get(service).into_iter().flatten().map(cell).collect();
                    format!(" {} |", cells.join("<br>"))
                })
                .collect();
            lines.push(format!("| {}{instance} |{cells}", text::code(&host.to_string())));
        }
        self.section("#### Rollout", lines.join("\n"));
        self.what_failed(progress);
    }

    /// Of each replica that does not serve: why, with its exit code, and the end of its log.
    fn what_failed(&mut self, progress: &Progress) {
        for (host, started) in &progress.started {
            let StartOutcome::Failed { why, journal } = &started.outcome else { continue };
            let replica = text::code(&started.replica.to_string());
            self.line("");
            self.line(format!("{replica} on {}: {}", text::code(&host.to_string()), text::prose(&redacted(why))));
            if !journal.is_empty() {
                self.details(&format!("The last lines of {}", started.replica), &fenced(journal));
            }
        }
    }

    fn forecast(&mut self, progress: &Progress) {
        let Some(plan) = &progress.plan else { return };
        let opened = opened_to_the_world(plan);
        if !opened.is_empty() {
            self.line("");
            self.line(format!("\u{1f310} **Opens to the world:** {}", opened.join(", ")));
        }
        if !is_plan(progress) {
            return;
        }
        if let Some(estimate) = &progress.estimate {
            self.line("");
            self.line(text::prose(&words::estimate(estimate)));
        }
        if plan.blocked.is_empty() {
            self.line("");
            self.line(format!("Plan {}", text::code(&Outline::of(plan).hash().to_string())));
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

    fn plan(&mut self, progress: &Progress) {
        let Some(plan) = &progress.plan else { return };
        if plan.is_empty() {
            self.line("");
            let removes = progress.run.as_ref().is_some_and(|run| run.command == REMOVE);
            self.line(match removes {
                true => "Nothing to do: nothing is left of the preview.",
                false => "Nothing to do: everything is as `skipper.yml` and the release ask for.",
            });
            return;
        }
        let body = plan_lines(plan, progress);
        let title = format!("Plan: {}", words::count(plan.steps.len(), "step"));
        if is_plan(progress) || !plan.blocked.is_empty() {
            self.section(&format!("#### {title}"), body);
        } else {
            self.details(&title, &body);
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
            let environment = run.scope.environment.as_ref();
            text::link("deployment", &format!("{repository}/deployments/{environment}"))
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

fn is_plan(progress: &Progress) -> bool {
    progress.run.as_ref().is_some_and(|run| run.command == "plan")
}

/// What a replica had and is to have, how far it is, and how long its start took.
fn cell(cell: &Cell) -> String {
    let short = |digest: &Digest| text::code(digest.short());
    let images = match (&cell.old, &cell.new) {
        (Some(old), Some(new)) if old != new => format!("{} \u{2192} {}", short(old), short(new)),
        (_, Some(new)) => short(new),
        (Some(old), None) => format!("{} \u{2192} none", short(old)),
        (None, None) => String::new(),
    };
    let took = cell.took_ms.map(|took| format!(" {}", words::duration(took))).unwrap_or_default();
    let (mark, why) = match &cell.state {
        CellState::Kept | CellState::Serves => ("\u{2705}", String::new()),
        CellState::Removed => ("\u{2611}\u{fe0f}", String::new()),
        CellState::Waiting => ("\u{23f8}\u{fe0f}", String::new()),
        CellState::UnderWay => ("\u{23f3}", String::new()),
        CellState::Restored => ("\u{21a9}\u{fe0f}", " the former one serves".to_owned()),
        CellState::Failed(why) => {
            let why: String = redacted(why).chars().take(LONGEST_WHY).collect();
            ("\u{274c}", format!(" {}", text::code(&why)))
        }
    };
    format!("{mark} {} {images}{took}{why}", text::code(&cell.replica)).trim_end().to_owned()
}

/// Ports that everybody may reach, with where.
fn opened_to_the_world(plan: &Plan) -> Vec<String> {
    let mut opened = Vec::new();
    for step in &plan.steps {
        let Action::AuthorizeIngress { security_group, rules } = &step.action else { continue };
        let public = rules.iter().filter(|rule| matches!(rule.source, Source::AnyIpv4 | Source::AnyIpv6));
        opened.extend(public.map(|rule| {
            format!("{} into {}", text::code(&rule.to_string()), text::prose(&security_group.to_string()))
        }));
    }
    opened
}

/// Lines from elsewhere without what looks like a secret.
fn fenced(lines: &[String]) -> String {
    text::fenced(&redacted_lines(lines))
}

fn plan_lines(plan: &Plan, progress: &Progress) -> String {
    let mut lines = Vec::new();
    for step in &plan.steps {
        let state = match progress.steps.get(&step.id) {
            None => "",
            Some(StepProgress::Started) => " \u{23f3}",
            Some(StepProgress::Finished { outcome: Outcome::Done, .. }) => " \u{2705}",
            Some(StepProgress::Finished { .. }) => " \u{274c}",
        };
        lines.push(format!("{}. {}{state}", step.id, text::prose(&words::step(step))));
    }
    for blocked in &plan.blocked {
        lines.push(format!("- \u{1f6ab} {}: {}", text::prose(&blocked.what), text::prose(&blocked.why)));
        lines.extend(blocked.hint.iter().map(|hint| format!("  **hint:** {}", text::prose(hint))));
    }
    if !plan.kept.is_empty() {
        lines.push(format!("- {} kept as they are", words::count(plan.kept.len(), "replica")));
    }
    lines.extend(plan.notes.iter().map(|note| format!("- {}", text::prose(note))));
    lines.join("\n")
}

/// Keeps a comment below the limit; what was opened is closed again.
fn cut(comment: String) -> String {
    if comment.chars().count() <= COMMENT_LIMIT {
        return comment;
    }
    let mut kept: String = comment.chars().take(COMMENT_LIMIT - 200).collect();
    kept.truncate(kept.rfind('\n').unwrap_or(kept.len()));
    let mut fence: Option<String> = None;
    let mut in_details = false;
    for line in kept.lines() {
        let marks: String = line.chars().take_while(|char| *char == '`').collect();
        match &fence {
            Some(open) if line == open => fence = None,
            // What stands within a fence may look like skipper's own.
            Some(_) => {}
            None if marks.len() >= 3 => fence = Some(marks),
            None if line.starts_with("<details>") => in_details = true,
            None if line == "</details>" => in_details = false,
            None => {}
        }
    }
    if let Some(marks) = fence {
        kept = format!("{kept}\n{marks}");
    }
    if in_details {
        kept.push_str("\n\n</details>");
    }
    format!("{kept}\n\nThe rest is in the run's log.\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_that_is_cut_within_a_fence_closes_that_fence() {
        let lines = vec!["``` not the </details> end".to_owned(); 4_000];
        let comment =
            cut(format!("<details><summary>The last lines</summary>\n\n{}\n\n</details>\n", text::fenced(&lines)));
        assert!(comment.len() < COMMENT_LIMIT && comment.contains("\n````text\n"));
        assert!(
            comment.ends_with("not the </details> end\n````\n\n</details>\n\nThe rest is in the run's log.\n"),
            "{}",
            &comment[comment.len() - 200..]
        );
    }
}
