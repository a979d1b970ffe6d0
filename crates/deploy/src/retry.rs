//! Tries idempotent calls again while the world has trouble, within a bound, and says so.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::Instant;

use crate::ports::{PortError, PortResult};

/// Tries after the first one. Adapters retry single requests by themselves; this is for trouble that outlasts them.
const RETRIES: usize = 3;
/// After which no further try begins: what has not passed by then does not pass while a run waits.
const PATIENCE: Duration = Duration::from_secs(60);
/// The first pause; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Calls until it succeeds, fails for a reason that another try does not mend, or has failed too often.
///
/// `retrying` hears of every failed try that is followed by another, with its number from 1 and the pause.
/// Only for calls that may be repeated.
pub async fn retry<T>(
    mut call: impl AsyncFnMut() -> PortResult<T>,
    mut retrying: impl FnMut(u32, Duration, &PortError),
) -> PortResult<T> {
    let mut pauses =
        ExponentialBuilder::default().with_min_delay(FIRST_PAUSE).with_factor(2.0).with_max_times(RETRIES).build();
    let mut attempt = 0;
    let began = Instant::now();
    loop {
        attempt += 1;
        let error = match call().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if !error.is_worth_retrying() {
            return Err(error);
        }
        let Some(pause) = pauses.next().filter(|pause| began.elapsed() + *pause < PATIENCE) else {
            return Err(error.because(format!("tried {attempt} times within {} s", began.elapsed().as_secs())));
        };
        retrying(attempt, pause, &error);
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::ports::PortErrorKind;

    fn failing(kind: PortErrorKind) -> PortError {
        PortError::new(kind, "describe instances")
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_that_passes_is_waited_out() {
        let mut left = 2;
        let mut heard = Vec::new();
        let answer = retry(
            async || {
                if left == 0 {
                    return Ok("here");
                }
                left -= 1;
                Err(failing(PortErrorKind::Transient))
            },
            |attempt, pause, _| heard.push((attempt, pause.as_secs())),
        )
        .await;
        assert_eq!(answer, Ok("here"));
        assert_eq!(heard, [(1, 1), (2, 2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_not_tried_again() {
        let mut calls = 0;
        let answer: PortResult<()> = retry(
            async || {
                calls += 1;
                Err(failing(PortErrorKind::Denied))
            },
            |_, _, _| {},
        )
        .await;
        assert!(answer.is_err());
        assert_eq!(calls, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_that_does_not_pass_ends_after_the_last_try() {
        let mut calls = 0;
        let answer: PortResult<()> = retry(
            async || {
                calls += 1;
                Err(failing(PortErrorKind::Transient))
            },
            |_, _, _| {},
        )
        .await;
        assert_eq!(calls, 1 + RETRIES);
        assert_eq!(answer.unwrap_err().failure.causes, ["tried 4 times within 7 s"]);
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_that_takes_long_is_not_waited_out_for_ever() {
        let mut calls = 0;
        let answer: PortResult<()> = retry(
            async || {
                calls += 1;
                tokio::time::sleep(Duration::from_secs(50)).await;
                Err(failing(PortErrorKind::Transient))
            },
            |_, _, _| {},
        )
        .await;
        assert_eq!(calls, 2);
        assert_eq!(answer.unwrap_err().failure.causes, ["tried 2 times within 101 s"]);
    }
}
