//! The files through which a step and its runner speak.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

/// A step's outputs, summary and the like; empty files that the step appends to.
const COMMANDS: [(&str, &str); 5] = [
    ("GITHUB_OUTPUT", "set_output"),
    ("GITHUB_STEP_SUMMARY", "step_summary"),
    ("GITHUB_STATE", "save_state"),
    ("GITHUB_ENV", "set_env"),
    ("GITHUB_PATH", "add_path"),
];

/// The runner's folder for one job, with the files of one of its steps; gone with the last who holds it.
#[derive(Debug, Clone)]
pub(super) struct RunnerFiles {
    folder: Arc<TempDir>,
    /// The number of the step in the job: each has files of its own.
    step: u32,
}

impl RunnerFiles {
    pub(super) fn make(event: &Value) -> Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("skipper-lab-job-").tempdir().context("making the runner's folder")?;
        let files = Self { folder: Arc::new(folder), step: 1 };
        for folder in [files.home(), files.workflow(), files.file_commands()] {
            fs::create_dir_all(&folder).with_context(|| format!("making the folder `{}`", folder.display()))?;
        }
        write(&files.workflow().join("event.json"), &event.to_string())?;
        files.empty()
    }

    /// The files of a later step of the same job.
    pub(super) fn next_step(&self) -> Result<Self> {
        Self { folder: Arc::clone(&self.folder), step: self.step + 1 }.empty()
    }

    /// With the files that the step appends to.
    fn empty(self) -> Result<Self> {
        for (_, file) in COMMANDS {
            write(&self.command(file), "")?;
        }
        Ok(self)
    }

    pub(super) fn temporary(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(super) fn home(&self) -> PathBuf {
        self.folder.path().join("_github_home")
    }

    pub(super) fn workflow(&self) -> PathBuf {
        self.folder.path().join("_github_workflow")
    }

    pub(super) fn file_commands(&self) -> PathBuf {
        self.folder.path().join("_runner_file_commands")
    }

    /// A file that the step appends to.
    fn command(&self, file: &str) -> PathBuf {
        self.file_commands().join(format!("{file}_{}", self.step))
    }

    /// What no other step has in the name of its container.
    pub(super) fn unique(&self) -> String {
        let folder = self.folder.path().file_name().unwrap_or_default().to_string_lossy();
        format!("{}{}", folder.rsplit('-').next().unwrap_or_default(), self.step)
    }

    /// The variables that name the files.
    pub(super) fn variables(&self) -> BTreeMap<String, String> {
        let event = self.workflow().join("event.json");
        COMMANDS
            .iter()
            .map(|(variable, file)| (*variable, self.command(file)))
            .chain([("GITHUB_EVENT_PATH", event), ("RUNNER_TEMP", self.temporary())])
            .map(|(variable, path)| (variable.to_owned(), path.display().to_string()))
            .collect()
    }

    /// The outputs that the step has set.
    pub(super) fn outputs(&self) -> Result<BTreeMap<String, String>> {
        assignments(&read(&self.command("set_output"))?)
    }

    /// The state that the step has saved for its post step.
    pub(super) fn state(&self) -> Result<BTreeMap<String, String>> {
        assignments(&read(&self.command("save_state"))?)
    }

    /// The job summary that the step has written.
    pub(super) fn summary(&self) -> Result<String> {
        read(&self.command("step_summary"))
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing `{}`", path.display()))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading `{}`", path.display()))
}

/// The assignments in a file of the runner: `NAME=VALUE`, or `NAME<<DELIMITER`, lines, `DELIMITER`. Whichever of `=` and
/// `<<` comes first in a line decides.
fn assignments(text: &str) -> Result<BTreeMap<String, String>> {
    let mut assigned = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let equals = line.find('=').unwrap_or(usize::MAX);
        let (name, value) = match line.find("<<").filter(|heredoc| *heredoc < equals) {
            Some(heredoc) => {
                let (name, delimiter) = (&line[..heredoc], &line[heredoc + 2..]);
                let mut value = Vec::new();
                loop {
                    match lines.next() {
                        Some(line) if line == delimiter => break,
                        Some(line) => value.push(line),
                        None => bail!("the value of `{name}` does not end with `{delimiter}`"),
                    }
                }
                (name, value.join("\n"))
            }
            None => {
                let (name, value) = line.split_once('=').with_context(|| format!("`{line}` is no assignment"))?;
                (name, value.to_owned())
            }
        };
        assigned.insert(name.to_owned(), value);
    }
    Ok(assigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_step_has_files_of_its_own_in_the_job_s_folder() {
        let main = RunnerFiles::make(&serde_json::json!({"ref": "refs/heads/main"})).unwrap();
        fs::write(&main.variables()["GITHUB_OUTPUT"], "status=cancelled\n").unwrap();
        fs::write(&main.variables()["GITHUB_STATE"], "deployment=7\n").unwrap();
        let post = main.next_step().unwrap();
        assert!(post.outputs().unwrap().is_empty() && post.state().unwrap().is_empty());
        fs::write(&post.variables()["GITHUB_OUTPUT"], "status=told\n").unwrap();
        assert_eq!((&*main.outputs().unwrap()["status"], &*main.state().unwrap()["deployment"]), ("cancelled", "7"));
        for shared in ["GITHUB_EVENT_PATH", "RUNNER_TEMP"] {
            assert_eq!(main.variables()[shared], post.variables()[shared]);
        }
        assert_ne!(main.unique(), post.unique());
    }

    #[test]
    fn outputs_are_read_as_the_runner_reads_them() {
        let read = assignments("a=1\nb<<EOF_x\nfirst = 1\nEOF\nEOF_x\nc=x<<y\n").unwrap();
        assert_eq!(read["a"], "1");
        assert_eq!(read["b"], "first = 1\nEOF");
        assert_eq!(read["c"], "x<<y");
    }

    #[test]
    fn what_the_runner_refuses_is_refused() {
        assert!(assignments("a<<EOF\nx\n").is_err());
        assert!(assignments("nonsense\n").is_err());
    }
}
