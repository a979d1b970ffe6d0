//! The comment on the pull request and the job summary, as Markdown.

use super::{table, text, words};
use crate::{
    event::{Outcome, RunFinished},
    exit::Exit,
    failure::Failure,
    plan::Plan,
    progress::{ImageProgress, Progress, StepProgress},
};

/// The most a comment may hold; GitHub refuses more than 65,536 characters.
const COMMENT_LIMIT: usize = 60_000;

/// The comment, without its marker.
pub fn comment(progress: &Progress) -> String {
    let mut page = Page::default();
    page.heading(progress);
    page.release(progress);
    if let Some(finished) = &progress.finished {
        page.ending(finished);
    } else if let Some(holder) = &progress.awaited {
        page.line("");
        page.line(format!("Waiting for the lease, which is held by {}.", text::prose(&holder.to_string())));
    }
    page.plan(progress);
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
            None => ("\u{23f3}", "deploying"),
            Some(RunFinished { exit: Exit::Serves, .. }) if run.command == "plan" => ("\u{1f4cb}", "plan"),
            Some(RunFinished { exit: Exit::Serves, .. }) => ("\u{2705}", "deployed"),
            Some(RunFinished { exit: Exit::Restored, .. }) => {
                ("\u{21a9}\u{fe0f}", "failed, the previous release serves")
            }
            Some(RunFinished { exit: Exit::Cancelled, .. }) => ("\u{1f6d1}", "cancelled"),
            Some(RunFinished { exit: Exit::Degraded, .. }) => ("\u{274c}", "failed, no release serves everywhere"),
            Some(RunFinished { exit: Exit::BuildFailed, .. }) => ("\u{274c}", "build failed, nothing was deployed"),
            Some(RunFinished { exit: Exit::Blocked, .. }) => ("\u{274c}", "blocked"),
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

    fn release(&mut self, progress: &Progress) {
        let Some(run) = &progress.run else { return };
        if let Some(revision) = &run.revision {
            let short = text::code(revision.short());
            self.line("");
            self.line(match &run.commit_url {
                Some(url) => format!("Release {}", text::link(&short, url)),
                None => format!("Release {short}"),
            });
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

    fn ending(&mut self, finished: &RunFinished) {
        self.line("");
        self.line(format!("**{}** ({})", text::prose(&finished.summary), words::duration(finished.took_ms)));
        if let Some(failure) = &finished.failure {
            self.failure(failure);
        }
        for left in &finished.leftovers {
            self.line(format!("- left over: {}", text::prose(left)));
        }
    }

    fn failure(&mut self, failure: &Failure) {
        self.line("");
        self.line(format!("> {}", text::prose(&failure.message)));
        for cause in &failure.causes {
            self.line(format!("> - {}", text::prose(cause)));
        }
        for hint in &failure.hints {
            self.line(format!(">\n> **hint:** {}", text::prose(hint)));
        }
        if !failure.lines.is_empty() {
            self.details("The last lines", &text::fenced(&failure.lines));
        }
    }

    fn plan(&mut self, progress: &Progress) {
        let Some(plan) = &progress.plan else { return };
        if plan.is_empty() {
            self.line("");
            self.line("Nothing to do: everything is as `skipper.yml` and the release ask for.");
            return;
        }
        let body = plan_lines(plan, progress);
        let title = format!("Plan: {}", words::count(plan.steps.len(), "step"));
        if progress.run.as_ref().is_some_and(|run| run.command == "plan") || !plan.blocked.is_empty() {
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
            let why = warning.causes.first().map(|cause| format!(": {}", text::prose(cause))).unwrap_or_default();
            self.line(format!("- \u{26a0}\u{fe0f} {}{why}", text::prose(&warning.message)));
        }
    }

    fn footer(&mut self, progress: &Progress) {
        let Some(run) = &progress.run else { return };
        let link = run.run_url.as_ref().map(|url| format!("{}, ", text::link("run", url))).unwrap_or_default();
        self.line("");
        self.line(format!(
            "<sub>{link}started {}, skipper {}</sub>",
            text::prose(&run.started_at),
            text::prose(&run.version)
        ));
    }
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
