//! A wish to stop: what changes nothing ends at once, a plan that is carried out begins no further step, and the run ends in time.
//!
//! GitHub's runner follows SIGINT with SIGTERM after 7.5 s and kills 2.5 s later. Each part of a run may go on for its own
//! time after the wish, all of them counted from the wish, so that what a part does not use is the next one's.

use std::{cell::Cell, pin::pin, rc::Rc, time::Duration};

use futures::future::{Either, select};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// Until then a lease that was asked for may turn out to be this run's.
pub const CLAIM: Duration = Duration::from_millis(2_000);
/// Until then steps in hand may end by themselves; afterwards nobody waits for them any more.
pub const HAND: Duration = Duration::from_millis(3_000);
/// Until then it may be observed what runs.
pub const LOOK: Duration = Duration::from_millis(4_500);
/// Until then what was reached may be recorded.
pub const RECORD: Duration = Duration::from_millis(5_000);
/// Until then the lease may be given back.
pub const RELEASE: Duration = Duration::from_millis(5_500);
/// Until then the pull request may be told. What is left of seven seconds is for the outputs' files and the like.
pub const TELL: Duration = Duration::from_millis(6_000);

/// Shared by who hears the signal and who carries out the plan.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Rc<Wish>);

#[derive(Debug, Default)]
struct Wish {
    asked: Cell<Option<Instant>>,
    waiting: Notify,
}

impl Cancel {
    /// Asks for the run to stop. Asked again, the first time counts.
    pub fn cancel(&self) {
        self.0.asked.set(self.0.asked.get().or_else(|| Some(Instant::now())));
        self.0.waiting.notify_waiters();
    }

    /// Whether that was asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.asked.get().is_some()
    }

    /// Waits until it was asked, and so long ago.
    async fn past(&self, grace: Duration) {
        loop {
            // All of it is on one thread: nobody asks between the look and the waiting.
            match self.0.asked.get() {
                Some(asked) => return sleep_until(asked + grace).await,
                None => self.0.waiting.notified().await,
            }
        }
    }

    /// The work's result, unless a wish to stop is that old before there is one; the work is dropped then.
    pub async fn within<T>(&self, grace: Duration, work: impl Future<Output = T>) -> Option<T> {
        match select(pin!(work), pin!(self.past(grace))).await {
            Either::Left((result, _)) => Some(result),
            Either::Right(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures::join;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_goes_on_for_its_time_after_the_first_wish() {
        let cancel = Cancel::default();
        let began = Instant::now();
        let wishes = async {
            for _ in 0..2 {
                sleep(Duration::from_secs(2)).await;
                cancel.cancel();
            }
        };
        let (ended, late, ()) = join!(
            cancel.within(Duration::from_secs(3), sleep(Duration::from_millis(4_900))),
            cancel.within(Duration::from_secs(3), pending::<()>()),
            wishes
        );
        assert_eq!((ended, late), (Some(()), None));
        assert_eq!(began.elapsed().as_secs(), 5);
        assert_eq!(cancel.within(Duration::ZERO, pending::<()>()).await, None);
        assert_eq!(began.elapsed().as_secs(), 5);
    }
}
