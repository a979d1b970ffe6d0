//! How far a rollout is, on each instance and for each service, and what failed of it.

use super::{Page, fenced, is_plan};
use crate::{
    image::Digest,
    matrix::{Cell, CellState, Matrix},
    orchestrator::StartOutcome,
    progress::Progress,
    render::{redacted, text, words},
};

/// The most of a reason that a cell of a table shows, in characters.
const LONGEST_WHY: usize = 120;

impl Page {
    /// Instances by services: what each replica had and is to have, how far it is, and how long it took.
    pub(super) fn rollout(&mut self, progress: &Progress) {
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
    pub(super) fn what_failed(&mut self, progress: &Progress) {
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
