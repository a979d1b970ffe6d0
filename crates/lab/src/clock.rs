//! Says what is being done and when, and adds up where the time went.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A stopwatch that talks on standard output, shared by all threads of a command or a test run.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    spent: Mutex<Vec<(String, Duration)>>,
}

impl Clock {
    /// Starts at zero.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now(), spent: Mutex::new(Vec::new()) }
    }

    /// Says `what` happens now, after the seconds since the start.
    pub fn say(&self, what: &str) {
        say(&format!("{:>6.1}s  {what}", self.started.elapsed().as_secs_f64()));
    }

    /// Says `what` happens now, does it, and remembers how long it took.
    pub fn measure<T>(&self, what: &str, work: impl FnOnce() -> T) -> T {
        self.say(what);
        self.time(what, work)
    }

    /// Does `work` without a word, and remembers under `what` how long it took.
    pub fn time<T>(&self, what: &str, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = work();
        self.record(what, began.elapsed());
        result
    }

    /// Remembers that `what` took `duration`.
    pub fn record(&self, what: &str, duration: Duration) {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).push((what.to_owned(), duration));
    }

    /// The seconds since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Where the time went, longest first, one line each. Work that ran side by side is counted on every line it has.
    #[must_use]
    pub fn report(&self) -> String {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        spent.sort_by_key(|(_, duration)| std::cmp::Reverse(*duration));
        let mut report = format!("where the time went ({:.1}s in all):\n", self.elapsed().as_secs_f64());
        for (what, duration) in spent {
            report.push_str(&format!("{:>7.1}s  {what}\n", duration.as_secs_f64()));
        }
        report
    }
}

/// Writes a line for the person who waits. Nobody listening is no reason to fail.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_comes_first() {
        let clock = Clock::start();
        clock.record("short", Duration::from_millis(100));
        clock.record("long", Duration::from_secs(3));
        let report = clock.report();
        let lines: Vec<&str> = report.lines().skip(1).collect();
        assert_eq!(lines, ["    3.0s  long", "    0.1s  short"]);
    }
}
