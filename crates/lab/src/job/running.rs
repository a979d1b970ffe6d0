//! A step while it runs, and what is left when it has ended.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use anstream::adapter::strip_str;
use anyhow::{Context, Result, bail};

use super::files::RunnerFiles;
use crate::clock::say;
use crate::docker;

/// The pause between two looks at whether the step has ended.
const PAUSE: Duration = Duration::from_millis(20);

/// A step that was started; killed when dropped.
#[derive(Debug)]
pub struct Running {
    process: Child,
    /// The name of the container that it is, where it is one.
    container: Option<String>,
    files: RunnerFiles,
    readers: Vec<JoinHandle<()>>,
    log: Log,
}

/// How a step ended.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed on standard output.
    pub stdout: String,
    /// What it printed on standard error.
    pub stderr: String,
    /// Both, in the order in which the lines arrived, without colours.
    pub log: String,
    /// The outputs it has set.
    pub outputs: BTreeMap<String, String>,
    /// The job summary it has written.
    pub summary: String,
    /// What it has saved for its post step.
    pub state: BTreeMap<String, String>,
    files: RunnerFiles,
}

impl Outcome {
    /// The runner's temporary folder of the step, as it left it; gone with this outcome.
    #[must_use]
    pub fn temporary(&self) -> PathBuf {
        self.files.temporary()
    }

    pub(super) fn files(&self) -> &RunnerFiles {
        &self.files
    }
}

/// The two streams of a step, by their places in [`Printed`].
const STDOUT: usize = 0;
const STDERR: usize = 1;

/// What a step has printed so far.
#[derive(Debug, Clone, Default)]
struct Printed {
    /// The lines of both streams as they arrived.
    log: String,
    streams: [String; 2],
}

/// Reads what a step prints, on threads of its own.
#[derive(Debug, Clone)]
struct Log {
    printed: Arc<Mutex<Printed>>,
    echo: bool,
}

impl Log {
    fn printed(&self) -> MutexGuard<'_, Printed> {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, stream: usize, pipe: impl Read + Send + 'static) -> JoinHandle<()> {
        let log = self.clone();
        std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line);
                if log.echo {
                    say(&format!("  | {}", text.trim_end_matches('\n')));
                }
                let mut printed = log.printed();
                printed.log.push_str(&text);
                printed.streams[stream].push_str(&text);
                drop(printed);
                line.clear();
            }
        })
    }
}

impl Running {
    /// Starts `command`, which becomes `container` where that has a name; every line is shown at once when `echo` says so.
    pub(super) fn start(
        mut command: Command,
        files: RunnerFiles,
        container: Option<String>,
        echo: bool,
    ) -> Result<Self> {
        let log = Log { printed: Arc::default(), echo };
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting `{}`", command.get_program().display()))?;
        let stdout = process.stdout.take().map(|pipe| log.follow(STDOUT, pipe));
        let stderr = process.stderr.take().map(|pipe| log.follow(STDERR, pipe));
        Ok(Self { process, container, files, readers: stdout.into_iter().chain(stderr).collect(), log })
    }

    /// What it has printed so far, both streams.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.printed().log.clone()
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal by name, such as `INT`, as a runner does to cancel a step.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn signal(&self, name: &str) -> Result<()> {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.process.id().to_string()])
            .status()
            .context("starting `kill`")?;
        if !sent.success() {
            bail!("the step has ended already");
        }
        Ok(())
    }

    /// Ends it at once, without a chance to say anything, as when a runner's patience is over.
    pub fn end(&mut self) {
        self.kill();
    }

    /// Waits until it prints a line with `text` in it.
    ///
    /// # Errors
    /// When it ends, or `timeout` passes, before that.
    pub fn wait_for(&mut self, text: &str, timeout: Duration) -> Result<()> {
        let began = Instant::now();
        loop {
            // In this order: what it said before it ended counts.
            let ended = self.process.try_wait().context("looking at the step")?;
            if ended.is_some() {
                self.finish_reading();
            }
            if self.log().contains(text) {
                return Ok(());
            }
            if ended.is_some() || began.elapsed() > timeout {
                bail!("the step never said `{text}`; it said:\n{}", self.log());
            }
            sleep(PAUSE);
        }
    }

    /// Waits until it ends.
    ///
    /// # Errors
    /// When that takes longer than `timeout`; it is killed then. A failing step is none.
    pub fn wait(mut self, timeout: Duration) -> Result<Outcome> {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.process.try_wait().context("waiting for the step")? {
                break status;
            }
            if began.elapsed() > timeout {
                self.kill();
                bail!("the step had not ended after {} s; it said:\n{}", timeout.as_secs(), self.log());
            }
            sleep(PAUSE);
        };
        self.finish_reading();
        let Printed { log, streams: [stdout, stderr] } = self.log.printed().clone();
        Ok(Outcome {
            code: status.code(),
            stdout,
            stderr,
            log: strip_str(&log).to_string(),
            outputs: self.files.outputs()?,
            summary: self.files.summary()?,
            state: self.files.state()?,
            files: self.files.clone(),
        })
    }

    /// Waits until everything is read that it has printed.
    fn finish_reading(&mut self) {
        for reader in self.readers.drain(..) {
            // A reader that panicked has read what it has.
            let _ = reader.join();
        }
    }

    /// Ends it, and a container that it may have become.
    fn kill(&mut self) {
        // Either may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(container) = &self.container {
            let _ = docker::attempt(&["rm", "--force", container], None);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A step that is a shell script.
    fn step(script: &str) -> Running {
        let files = RunnerFiles::make(&json!({"ref": "refs/heads/main"})).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]).envs(files.variables());
        Running::start(command, files, None, false).unwrap()
    }

    #[test]
    fn everything_a_step_leaves_is_found() {
        let outcome = step(
            "echo out; echo err >&2; echo 'status=shipped' >> $GITHUB_OUTPUT
             echo 'comment=7' >> $GITHUB_STATE
             echo '# done' >> $GITHUB_STEP_SUMMARY; cat $GITHUB_EVENT_PATH; touch $RUNNER_TEMP/kept; exit 6",
        )
        .wait(PATIENCE)
        .unwrap();
        assert_eq!(outcome.code, Some(6));
        assert_eq!(outcome.stdout, "out\n{\"ref\":\"refs/heads/main\"}");
        assert_eq!(outcome.stderr, "err\n");
        assert_eq!(outcome.log.len(), outcome.stdout.len() + outcome.stderr.len());
        assert_eq!(outcome.outputs["status"], "shipped");
        assert_eq!(outcome.summary, "# done\n");
        assert_eq!(outcome.state["comment"], "7");
        assert!(outcome.temporary().join("kept").exists());
    }

    #[test]
    fn a_step_can_be_cancelled_at_a_line_of_its_log() {
        let mut step = step("trap 'echo cancelled; exit 8' INT; echo ready; while :; do sleep 0.05; done");
        step.wait_for("ready", PATIENCE).unwrap();
        step.signal("INT").unwrap();
        let outcome = step.wait(PATIENCE).unwrap();
        assert_eq!(outcome.code, Some(8));
        assert_eq!(outcome.stdout, "ready\ncancelled\n");
    }

    #[test]
    fn waiting_for_a_line_ends_with_the_step() {
        let mut step = step("echo something else");
        let error = step.wait_for("ready", PATIENCE).unwrap_err();
        assert!(error.to_string().contains("something else"), "{error}");
    }

    #[test]
    fn a_step_that_takes_too_long_is_killed() {
        let step = step("echo begun; exec sleep 60");
        let id = step.process.id();
        let error = step.wait(Duration::from_millis(300)).unwrap_err();
        assert!(error.to_string().contains("begun"), "{error}");
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }
}
