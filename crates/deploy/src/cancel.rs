//! A wish to stop: what changes nothing ends at once, a plan that is carried out stops between two steps.

use std::{cell::Cell, rc::Rc};

use tokio::sync::Notify;

/// Shared by who hears the signal and who carries out the plan.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Rc<Wish>);

#[derive(Debug, Default)]
struct Wish {
    asked: Cell<bool>,
    waiting: Notify,
}

impl Cancel {
    /// Asks for the run to stop.
    pub fn cancel(&self) {
        self.0.asked.set(true);
        self.0.waiting.notify_waiters();
    }

    /// Whether that was asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.asked.get()
    }

    /// Waits until it is asked.
    pub async fn cancelled(&self) {
        // All of it is on one thread: nobody asks between the look and the waiting.
        while !self.is_cancelled() {
            self.0.waiting.notified().await;
        }
    }
}
