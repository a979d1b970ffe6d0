//! Takes a lab down when the process that started it ends, however it ends.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::topology::Name;

/// A process that waits for its standard input to close, which happens even when this process is killed.
#[derive(Debug)]
pub(crate) struct Guard {
    process: Child,
}

impl Guard {
    pub(crate) fn start(program: &Path, name: &Name) -> Result<Self> {
        let process = Command::new(program)
            .args(["guard", "--name", &name.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // A group of its own: Ctrl-C on a test run must not end the one that cleans up.
            .process_group(0)
            .spawn()
            .context("starting the process that takes the lab down")?;
        Ok(Self { process })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It reports its own failure on standard error.
        let _ = self.process.wait();
    }
}

/// Waits until whoever holds the other end of standard input has gone.
///
/// # Errors
/// When standard input cannot be read.
pub fn wait() -> Result<()> {
    std::io::stdin().read_to_end(&mut Vec::new()).context("waiting for the lab's user to end")?;
    Ok(())
}
