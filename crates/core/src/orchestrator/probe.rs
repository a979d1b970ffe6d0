//! How a host finds out whether a replica serves: a checked value, and the one line it is told to hosts and labels in.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::config::{Check, Healthcheck};

/// How a host finds out whether a replica serves, with its own deadline.
///
/// Its text is `INTERVAL TIMEOUT RETRIES START_PERIOD` in milliseconds and tries, then `http PORT PATH`, `tcp PORT` or `running`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What is asked; ports are the container's.
    pub check: ProbeCheck,
    /// Milliseconds between two tries.
    pub interval_ms: u64,
    /// Milliseconds one try may take.
    pub timeout_ms: u64,
    /// Tries after the start period.
    pub retries: u32,
    /// Milliseconds in which a failing try does not count.
    pub start_period_ms: u64,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeCheck {
    /// An HTTP GET that must answer with 2xx or 3xx.
    Http {
        /// The container's port.
        port: u16,
        /// The path, beginning with `/`.
        path: String,
    },
    /// A TCP connection.
    Tcp {
        /// The container's port.
        port: u16,
    },
    /// The container has been running without a restart for one interval.
    Running,
}

impl Probe {
    /// The longest that a host waits for this probe to pass, counted from the container's start.
    pub fn deadline(&self) -> Duration {
        let tries = u64::from(self.retries.max(1));
        let one = self.interval_ms.saturating_add(self.timeout_ms);
        // The first try that counts may begin one try after the start period.
        Duration::from_millis(self.start_period_ms.saturating_add(one.saturating_mul(tries + 1)))
    }
}

impl From<&Healthcheck> for Probe {
    fn from(healthcheck: &Healthcheck) -> Self {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            check: match &healthcheck.check {
                Check::Http { port, path } => ProbeCheck::Http { port: *port, path: path.clone() },
                Check::Tcp { port } => ProbeCheck::Tcp { port: *port },
                Check::Running => ProbeCheck::Running,
            },
            interval_ms: millis(healthcheck.interval),
            timeout_ms: millis(healthcheck.timeout),
            retries: healthcheck.retries,
            start_period_ms: millis(healthcheck.start_period),
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {} ", self.interval_ms, self.timeout_ms, self.retries, self.start_period_ms)?;
        match &self.check {
            ProbeCheck::Http { port, path } => write!(f, "http {port} {path}"),
            ProbeCheck::Tcp { port } => write!(f, "tcp {port}"),
            ProbeCheck::Running => f.write_str("running"),
        }
    }
}

/// A text that is no probe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` does not say how a replica is probed")]
pub struct ProbeError(pub String);

impl FromStr for Probe {
    type Err = ProbeError;

    fn from_str(text: &str) -> Result<Self, ProbeError> {
        let wrong = || ProbeError(text.to_owned());
        let mut words = text.splitn(5, ' ');
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).ok_or_else(wrong);
        let (interval_ms, timeout_ms, retries, start_period_ms) = (number()?, number()?, number()?, number()?);
        let check = words.next().ok_or_else(wrong)?;
        let port = |word: &str| word.parse::<u16>().map_err(|_| wrong());
        let check = match check.split_once(' ') {
            None if check == "running" => ProbeCheck::Running,
            Some(("tcp", rest)) => ProbeCheck::Tcp { port: port(rest)? },
            Some(("http", rest)) => {
                let (number, path) = rest.split_once(' ').ok_or_else(wrong)?;
                ProbeCheck::Http { port: port(number)?, path: path.to_owned() }
            }
            _ => return Err(wrong()),
        };
        Ok(Self {
            check,
            interval_ms,
            timeout_ms,
            retries: u32::try_from(retries).map_err(|_| wrong())?,
            start_period_ms,
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_that_is_no_probe_is_refused() {
        for wrong in [
            "",
            "1 2 3 4",
            "1 2 3 4 http 80",
            "1 2 3 4 tcp",
            "1 2 3 4 tcp 70000",
            "1 2 x 4 running",
            "1 2 3 4 running now",
        ] {
            assert!(wrong.parse::<Probe>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_probe_gives_up_after_its_start_period_and_its_tries() {
        let probe: Probe = "2000 1000 15 5000 http 5000 /up".parse().unwrap();
        assert_eq!(probe.deadline(), Duration::from_secs(5 + 16 * 3));
    }

    proptest! {
        #[test]
        fn a_probe_reads_back_from_its_text(
            (interval_ms, timeout_ms, retries, start_period_ms) in any::<(u64, u64, u32, u64)>(),
            port in any::<u16>(),
            path in "/[ -~]{0,20}",
            kind in 0..3,
        ) {
            let check = match kind {
                0 => ProbeCheck::Http { port, path },
                1 => ProbeCheck::Tcp { port },
                _ => ProbeCheck::Running,
            };
            let probe = Probe { check, interval_ms, timeout_ms, retries, start_period_ms };
            prop_assert_eq!(probe.to_string().parse(), Ok(probe));
        }
    }
}
