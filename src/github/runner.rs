//! How a step speaks to GitHub's runner: its outputs and summary in files, its marks in the log as commands.
//!
//! The formats are the runner's own (actions/runner 2.336.0: `FileCommandManager`, `ActionCommand`). Text from elsewhere
//! that is printed goes through [`skipper_core::render::text::line`] first, since the runner reads commands from every line.

use std::{
    collections::hash_map::RandomState,
    fmt,
    fs::OpenOptions,
    hash::{BuildHasher, Hasher},
    io::{self, Write},
    path::{Path, PathBuf},
};

use skipper_core::secret::Secret;

/// The largest summary of a step that the runner takes, in bytes.
const LONGEST_SUMMARY: u64 = 1024 * 1024;
/// What stands where a summary was cut.
const CUT: &str = "\n\n_(cut here: a step's summary may hold 1 MiB)_\n";
/// Shorter values are not masked: the runner would hide every `1` and `true` of the log.
const SHORTEST_MASK: usize = 5;
/// The longest message of an annotation, in characters; the runner cuts what is longer.
const LONGEST_MESSAGE: usize = 4096;

/// An output of the step. `action.yml` is checked against this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// How the run ended, in one word.
    Status,
    /// The exit code.
    ExitCode,
    /// The commit that was shipped.
    Release,
    /// The images of the release by service, as JSON.
    Images,
    /// What runs where, as text.
    Ps,
    /// The address of the comment.
    CommentUrl,
    /// The file that holds the run's events.
    Events,
}

impl Output {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Status, Self::ExitCode, Self::Release, Self::Images, Self::Ps, Self::CommentUrl, Self::Events];

    /// Its name in the workflow's `steps.<id>.outputs`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::ExitCode => "exit-code",
            Self::Release => "release",
            Self::Images => "images",
            Self::Ps => "ps",
            Self::CommentUrl => "comment-url",
            Self::Events => "events",
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
pub fn set_outputs<'a>(file: &Path, outputs: impl IntoIterator<Item = (Output, &'a str)>) -> Result<(), RunnerFileError> {
    let text: String = outputs.into_iter().map(|(output, value)| assignment(output.as_str(), value, random)).collect();
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

/// The command that keeps a value out of the log from here on; none for values so short that the log would suffer.
///
/// It covers the log alone, never what is sent elsewhere.
pub fn mask(secret: &Secret) -> Option<String> {
    let value = secret.expose().trim();
    (value.len() >= SHORTEST_MASK).then(|| format!("::add-mask::{}", escape_data(value)))
}

/// How an annotation is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What stopped the run.
    Error,
    /// What did not.
    Warning,
    /// What is good to know.
    Notice,
}

/// A mark on a line of a file, shown in the run and in the pull request's diff. Its `Display` is the command.
///
/// The runner keeps ten of each level a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// How it is shown.
    pub level: Level,
    /// Its heading.
    pub title: String,
    /// What it says.
    pub message: String,
    /// The file, and the line and column in it, both from 1.
    pub at: Option<(PathBuf, usize, usize)>,
}

impl fmt::Display for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Notice => "notice",
        };
        write!(f, "::{level} title={}", escape_property(&self.title))?;
        if let Some((file, line, column)) = &self.at {
            write!(f, ",file={},line={line},col={column}", escape_property(&file.to_string_lossy()))?;
        }
        let message: String = self.message.chars().take(LONGEST_MESSAGE).collect();
        write!(f, "::{}", escape_data(&message))
    }
}

/// The percent sign first: it begins the other escapes.
fn escape_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
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
    let written = OpenOptions::new().append(true).create(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
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

    #[test]
    fn an_annotation_is_one_line_that_holds_one_command() {
        let annotation = Annotation {
            level: Level::Error,
            title: "unknown key: `scael`, 100%".to_owned(),
            message: "write `scale`\n::set-output name=x::y".to_owned(),
            at: Some(("skipper.yml".into(), 3, 5)),
        };
        assert_eq!(
            annotation.to_string(),
            "::error title=unknown key%3A `scael`%2C 100%25,file=skipper.yml,line=3,col=5::write `scale`%0A::set-output name=x::y"
        );
    }

    #[test]
    fn a_secret_is_masked_unless_the_log_would_suffer() {
        assert_eq!(mask(&Secret::new("hunter2\nline")), Some("::add-mask::hunter2%0Aline".to_owned()));
        assert_eq!(mask(&Secret::new("true")), None);
    }
}
