//! A check-up: whether everything that a deployment needs is there, and the remedy for what is not. Decides from what was found
//! without changing anything; nothing that could not be found out counts as fine.

mod hosts;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

pub use self::hosts::{HostFacts, checkup, judge_agents, judge_host, read_facts};
use crate::{exit::Exit, failure::Failure, observed::LaunchFacts, render::text};

/// How one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// It does, and could be better.
    Advice,
    /// A deployment would fail by it.
    Wrong,
    /// It is refused, for credentials or permissions.
    Refused,
    /// It could not be found out.
    Unknown,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Advice => "advice",
            Self::Wrong => "wrong",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is, such as `host web_1: disk`.
    pub what: String,
    /// How it is.
    pub verdict: Verdict,
    /// What was found, in one line.
    pub says: String,
    /// What to do about it.
    pub hints: Vec<String>,
}

impl Finding {
    /// Something that is as it should be.
    pub fn fine(what: impl Into<String>, says: impl Into<String>) -> Self {
        Self { what: what.into(), verdict: Verdict::Fine, says: says.into(), hints: Vec::new() }
    }

    /// Something that is not, with its remedy.
    pub fn of(verdict: Verdict, what: impl Into<String>, says: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), verdict, says: says.into(), hints: vec![hint.into()] }
    }

    /// Something that could not be done or asked.
    pub fn failed(what: impl Into<String>, failure: &Failure) -> Self {
        let verdict = if failure.exit == Exit::Refused { Verdict::Refused } else { Verdict::Unknown };
        let says = std::iter::once(&failure.message).chain(&failure.causes).cloned().collect::<Vec<_>>().join(": ");
        Self { what: what.into(), verdict, says, hints: failure.hints.clone() }
    }

    /// Whether launches in a group could be tried.
    pub fn launches(what: impl Into<String>, facts: &LaunchFacts) -> Self {
        match facts {
            LaunchFacts::Ready { image_name, .. } => {
                Self::fine(what, format!("size, instance profile and image (`{image_name}`) are there"))
            }
            LaunchFacts::Impossible { why, hint, refused } => Self {
                what: what.into(),
                verdict: if *refused { Verdict::Refused } else { Verdict::Wrong },
                says: why.clone(),
                hints: hint.iter().cloned().collect(),
            },
        }
    }
}

/// Everything that was looked at, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checkup {
    /// One entry a thing.
    pub findings: Vec<Finding>,
}

impl Checkup {
    /// How the check-up ends: 0 where a deployment has everything it needs, 3 where something is refused, else 5.
    pub fn exit(&self) -> Exit {
        let any = |verdict| self.findings.iter().any(|finding| finding.verdict == verdict);
        match () {
            () if any(Verdict::Refused) => Exit::Refused,
            () if any(Verdict::Wrong) || any(Verdict::Unknown) => Exit::Blocked,
            () => Exit::Serves,
        }
    }

    /// A table for people, with the remedies below it.
    pub fn table(&self) -> String {
        let mut drawn = Table::new();
        drawn.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        for finding in &self.findings {
            let cells = [finding.verdict.word(), &finding.what, &finding.says];
            drawn.add_row(cells.map(text::line));
        }
        for column in drawn.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let mut lines: Vec<String> = drawn.lines().map(|line| line.trim_end().to_owned()).collect();
        for finding in &self.findings {
            let hint = |hint: &String| text::line(&format!("hint: {}: {hint}", finding.what));
            lines.extend(finding.hints.iter().map(hint));
        }
        lines.join("\n")
    }
}
