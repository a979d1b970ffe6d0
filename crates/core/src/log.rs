//! What replicas print, as it is asked for and as it is told.

use serde::Serialize;

use crate::{name::ReplicaName, observed::Handle, script::unpack_within};

/// The most that one host's lines may be, in bytes: four megabytes and what is around them. A host that says more is not believed.
const LARGEST: u64 = 8 * 1024 * 1024;

/// What one host is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOf {
    /// From where on in what it has collected; from the beginning it is collected anew.
    pub offset: u64,
    /// From when on, in microseconds since 1970; from the beginning when absent.
    pub since: Option<u64>,
    /// The replicas, and what the orchestrator calls each.
    pub replicas: Vec<(ReplicaName, Handle)>,
}

/// A part of what a host has collected: its lines, compressed and in an alphabet that any channel takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPart {
    /// Where it begins.
    pub offset: u64,
    /// How much there is in all.
    pub total: u64,
    /// The part.
    pub text: String,
}

/// A line that a replica printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// When, in microseconds since 1970, by its host's clock.
    pub at: u64,
    /// Which replica.
    pub replica: ReplicaName,
    /// The line.
    pub text: String,
}

/// The lines of all parts together, the oldest first, and whether older ones were left out. Lines of replicas that were not asked
/// for are no lines: one host does not speak for another. Nothing where it cannot be read.
pub fn read_lines(collected: &str, of_host: &LogOf) -> Option<(Vec<LogLine>, bool)> {
    let text = unpack_within(collected, LARGEST)?;
    let mut cut = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        match line.split('\t').collect::<Vec<_>>()[..] {
            ["cut"] => cut = true,
            ["line", at, replica, ref words @ ..] => {
                let replica: ReplicaName = replica.parse().ok()?;
                if of_host.replicas.iter().any(|(asked, _)| *asked == replica) {
                    lines.push(LogLine { at: at.parse().ok()?, replica, text: words.join("\t") });
                }
            }
            _ => return None,
        }
    }
    Some((lines, cut))
}

/// The text that [`read_lines`] reads once it is compressed, as a host writes it.
pub fn write_lines(lines: &[LogLine]) -> String {
    let line = |line: &LogLine| format!("line\t{}\t{}\t{}\n", line.at, line.replica, line.text);
    lines.iter().map(line).collect()
}
