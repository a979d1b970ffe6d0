//! What a step leaves for GitHub's runner: its outputs and its summary, in files.
//!
//! The formats are the runner's own (actions/runner 2.336.0: `FileCommandManager`).

use std::{
    collections::hash_map::RandomState,
    fs::OpenOptions,
    hash::{BuildHasher, Hasher},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The largest summary of a step that the runner takes, in bytes.
const LONGEST_SUMMARY: u64 = 1024 * 1024;
/// What stands where a summary was cut.
const CUT: &str = "\n\n_(cut here: a step's summary may hold 1 MiB)_\n";

/// An output of the step. `action.yml` is written from this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Output {
    /// How the run ended, in one word.
    Status,
    /// The exit code.
    ExitCode,
    /// The commit that was shipped.
    Release,
    /// The images of the release by service, as JSON.
    Images,
    /// Where the release can be reached.
    Url,
    /// The plan, as JSON.
    Plan,
    /// The hash of the plan.
    PlanHash,
    /// What runs where, as JSON.
    Ps,
    /// The number of the GitHub deployment.
    DeploymentId,
    /// The address of the comment.
    CommentUrl,
    /// The file that holds the run's events.
    Events,
}

impl Output {
    /// All of them, in the order of `action.yml`.
    pub const ALL: [Self; 11] = [
        Self::Status,
        Self::ExitCode,
        Self::Release,
        Self::Images,
        Self::Url,
        Self::Plan,
        Self::PlanHash,
        Self::Ps,
        Self::DeploymentId,
        Self::CommentUrl,
        Self::Events,
    ];

    /// Its name in the workflow's `steps.<id>.outputs`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::ExitCode => "exit-code",
            Self::Release => "release",
            Self::Images => "images",
            Self::Url => "url",
            Self::Plan => "plan",
            Self::PlanHash => "plan-hash",
            Self::Ps => "ps",
            Self::DeploymentId => "deployment-id",
            Self::CommentUrl => "comment-url",
            Self::Events => "events",
        }
    }

    /// What it holds, as `action.yml` tells it.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Status => "How the run ended, in one word; `succeeded` when the release serves on every host",
            Self::ExitCode => "The exit code; its meanings are in the README",
            Self::Release => "The commit that was shipped",
            Self::Images => "The images of the release by service, as a JSON object of `registry/name@sha256:…`",
            Self::Url => {
                "Where the release can be reached: the first public port of the first host that serves; with `regions` one a line, as `comment-url` and `events` are, too"
            }
            Self::Plan => {
                "The plan that was made, as a JSON object of steps, what is kept and what is blocked; with `regions` an object of those by region, as `plan-hash` and `ps` are, too"
            }
            Self::PlanHash => {
                "The hash of what the plan changes; the same before and after a merge while nothing else moves"
            }
            Self::Ps => "What runs where, as a JSON array with one object a replica",
            Self::DeploymentId => "The number of the GitHub deployment; empty when there is none",
            Self::CommentUrl => "The address of the comment on the pull request; empty when there is none",
            Self::Events => "The file that holds the run's events, as the container sees it",
        }
    }
}

/// A file of the runner's could not be written.
#[derive(Debug, thiserror::Error)]
#[error("write `{}`", path.display())]
pub struct RunnerFileError {
    path: PathBuf,
    source: io::Error,
}

/// Sets outputs of the step, in the file that `GITHUB_OUTPUT` names. The runner reads it even when the step fails.
///
/// # Errors
/// When the file cannot be written.
pub fn set_outputs<'a>(
    file: &Path,
    outputs: impl IntoIterator<Item = (Output, &'a str)>,
) -> Result<(), RunnerFileError> {
    let text: String = outputs.into_iter().map(|(output, value)| assignment(output.as_str(), value, random)).collect();
    append(file, &text)
}

/// Keeps values for the post step of this action, in the file that `GITHUB_STATE` names: it gets each as the variable `STATE_<name>`.
///
/// # Errors
/// When the file cannot be written.
pub fn save_state(file: &Path, state: &[(&str, String)]) -> Result<(), RunnerFileError> {
    let text: String = state.iter().map(|(name, value)| assignment(name, value, random)).collect();
    append(file, &text)
}

/// Adds Markdown to the job summary, in the file that `GITHUB_STEP_SUMMARY` names, up to the size that the runner takes.
///
/// # Errors
/// When the file cannot be written.
pub fn append_summary(file: &Path, markdown: &str) -> Result<(), RunnerFileError> {
    let held = file.metadata().map_or(0, |found| found.len());
    let room = usize::try_from(LONGEST_SUMMARY.saturating_sub(held)).unwrap_or(usize::MAX);
    if markdown.len() < room {
        return append(file, &format!("{markdown}\n"));
    }
    let cut = markdown.floor_char_boundary(room.saturating_sub(CUT.len()));
    let end = markdown[..cut].rfind('\n').unwrap_or(0);
    if end == 0 { Ok(()) } else { append(file, &format!("{}{CUT}", &markdown[..end])) }
}

/// `NAME<<DELIMITER`, the value, `DELIMITER`, where the delimiter is nothing that the value could hold.
fn assignment(name: &str, value: &str, mut random: impl FnMut() -> u64) -> String {
    let delimiter = loop {
        let delimiter = format!("skipper_{:016x}", random());
        if !value.contains(&delimiter) {
            break delimiter;
        }
    };
    format!("{name}<<{delimiter}\n{value}\n{delimiter}\n")
}

/// A number that the writer of a value cannot guess: the standard library seeds its hashers from the system's randomness.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn append(path: &Path, text: &str) -> Result<(), RunnerFileError> {
    let written =
        OpenOptions::new().append(true).create(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| RunnerFileError { path: path.to_owned(), source })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;

    use super::*;

    /// Reads outputs as the runner does: the first of `=` and `<<` in a line decides; a value ends at a line that is its delimiter.
    fn read_outputs(text: &str) -> Vec<(String, String)> {
        let mut outputs = Vec::new();
        let mut lines = text.split('\n');
        while let Some(line) = lines.next().filter(|line| !line.is_empty()) {
            let (name, delimiter) = line.split_once("<<").unwrap();
            assert!(!name.contains('='));
            let value: Vec<&str> = lines.by_ref().take_while(|line| *line != delimiter).collect();
            outputs.push((name.to_owned(), value.join("\n")));
        }
        outputs
    }

    #[test]
    fn outputs_reach_the_runner_whatever_they_hold() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("output");
        let table = "web_1 running\n\nEOF\nstatus<<x\nname=value\n";
        set_outputs(&file, [(Output::Status, "succeeded"), (Output::Ps, table)]).unwrap();
        set_outputs(&file, [(Output::ExitCode, "0")]).unwrap();
        let read = read_outputs(&fs::read_to_string(&file).unwrap());
        let expected = [("status", "succeeded"), ("ps", table), ("exit-code", "0")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_value_that_holds_the_delimiter_gets_another() {
        let mut numbers = 1_u64..;
        let text = assignment("ps", "skipper_0000000000000001", || numbers.next().unwrap());
        assert_eq!(text, "ps<<skipper_0000000000000002\nskipper_0000000000000001\nskipper_0000000000000002\n");
        assert_ne!(random(), random());
    }

    #[test]
    fn a_summary_is_added_to_and_cut_at_a_line_where_the_runner_would_drop_it_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("summary");
        append_summary(&file, "# one").unwrap();
        append_summary(&file, &"a line of ten characters or so: \u{e9}\n".repeat(40_000)).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("# one\na line"));
        assert!(text.ends_with(&format!("so: \u{e9}{CUT}")));
        assert!(text.len() as u64 <= LONGEST_SUMMARY && text.len() as u64 > LONGEST_SUMMARY - 100, "{}", text.len());
    }
}
