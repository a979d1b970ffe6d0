//! A step while it runs, and what is left when it has ended.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

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
    files: RunnerFiles,
    readers: [Option<JoinHandle<String>>; 2],
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
    /// Both, in the order in which the lines arrived.
    pub log: String,
    /// The outputs it has set.
    pub outputs: BTreeMap<String, String>,
    /// The job summary it has written.
    pub summary: String,
    files: RunnerFiles,
}

impl Outcome {
    /// The runner's temporary folder of the step, as it left it; gone with this outcome.
    #[must_use]
    pub fn temporary(&self) -> PathBuf {
        self.files.temporary()
    }
}

/// The lines of both streams as they arrive.
#[derive(Debug, Clone, Default)]
struct Log {
    text: Arc<Mutex<String>>,
    echo: bool,
}

impl Log {
    fn line(&self, line: &str) {
        if self.echo {
            say(&format!("  | {}", line.trim_end_matches('\n')));
        }
        self.text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_str(line);
    }

    fn read(&self) -> String {
        self.text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn follow(&self, stream: Option<impl Read + Send + 'static>) -> Option<JoinHandle<String>> {
        let log = self.clone();
        let mut stream = BufReader::new(stream?);
        Some(std::thread::spawn(move || {
            let mut all = String::new();
            let mut line = Vec::new();
            while stream
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                let text = String::from_utf8_lossy(&line);
                log.line(&text);
                all.push_str(&text);
                line.clear();
            }
            all
        }))
    }
}

impl Running {
    /// Starts `command`; every line is shown at once when `echo` says so.
    pub(super) fn start(mut command: Command, files: RunnerFiles, echo: bool) -> Result<Self> {
        let log = Log {
            echo,
            ..Log::default()
        };
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting `{}`", command.get_program().display()))?;
        let readers = [
            log.follow(process.stdout.take()),
            log.follow(process.stderr.take()),
        ];
        Ok(Self {
            process,
            files,
            readers,
            log,
        })
    }

    /// What it has printed so far, both streams.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.read()
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

    /// Waits until it prints a line with `text` in it.
    ///
    /// # Errors
    /// When it ends, or `timeout` passes, before that.
    pub fn wait_for(&mut self, text: &str, timeout: Duration) -> Result<()> {
        let began = Instant::now();
        while !self.log().contains(text) {
            let ended = self.process.try_wait().context("looking at the step")?;
            if ended.is_some() || began.elapsed() > timeout {
                bail!("the step never said `{text}`; it said:\n{}", self.log());
            }
            sleep(PAUSE);
        }
        Ok(())
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
                bail!(
                    "the step had not ended after {} s; it said:\n{}",
                    timeout.as_secs(),
                    self.log()
                );
            }
            sleep(PAUSE);
        };
        let [stdout, stderr] = std::mem::take(&mut self.readers).map(|reader| {
            reader
                .and_then(|reader| reader.join().ok())
                .unwrap_or_default()
        });
        Ok(Outcome {
            code: status.code(),
            stdout,
            stderr,
            log: self.log(),
            outputs: self.files.outputs()?,
            summary: self.files.summary()?,
            files: self.files.clone(),
        })
    }

    /// Ends it, and a container that it may have become.
    fn kill(&mut self) {
        // Either may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = docker::attempt(&["rm", "--force", &self.files.container()], None);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}
