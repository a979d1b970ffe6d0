//! The two streams that a program writes to.

use std::io::Write;

/// Standard output and standard error, or two buffers in a test.
pub struct Console {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
}

impl Console {
    /// The process's own streams.
    #[must_use]
    pub fn standard() -> Self {
        Self { out: Box::new(std::io::stdout()), err: Box::new(std::io::stderr()) }
    }

    /// Writes `text` and a newline to standard output.
    pub fn out(&mut self, text: &str) {
        line(&mut *self.out, text);
    }

    /// Writes `text` to standard output as it is.
    pub fn out_raw(&mut self, text: &str) {
        raw(&mut *self.out, text);
    }

    /// Writes `text` and a newline to standard error, also when it ends with one, as fleetctl does with etcd's errors.
    pub fn err(&mut self, text: &str) {
        line(&mut *self.err, text);
    }

    /// Writes `text` to standard error as it is.
    pub fn err_raw(&mut self, text: &str) {
        raw(&mut *self.err, text);
    }
}

fn line(to: &mut dyn Write, text: &str) {
    raw(to, text);
    raw(to, "\n");
}

/// A reader that went away (`fleetctl … | head -1`) is no failure of ours, and there is nobody left to tell.
fn raw(to: &mut dyn Write, text: &str) {
    to.write_all(text.as_bytes()).ok();
}
