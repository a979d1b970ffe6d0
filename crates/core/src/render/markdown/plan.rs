//! A plan: its steps, what it opens to the world and what it costs, and what of it is compared after a merge.

use super::{Page, is_plan};
use crate::{
    event::Outcome,
    exit::Exit,
    observed::Source,
    plan::{Action, Outline, Plan},
    preview::REMOVE,
    progress::{Progress, StepProgress},
    render::{ShownPlan, text, words},
};

impl Page {
    /// The plan for whoever compares it after the merge. Only a run that plans and does not ship is about what a merge would do.
    pub(super) fn shown_plan(&mut self, progress: &Progress) {
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

    pub(super) fn forecast(&mut self, progress: &Progress) {
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

    pub(super) fn plan(&mut self, progress: &Progress) {
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
