//! A wish to stop that is seen between steps: no new step starts, the one under way is finished.

use std::{cell::Cell, rc::Rc};

/// Shared by who hears the signal and who carries out the plan.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Rc<Cell<bool>>);

impl Cancel {
    /// Asks for the run to stop.
    pub fn cancel(&self) {
        self.0.set(true);
    }

    /// Whether that was asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.get()
    }
}
