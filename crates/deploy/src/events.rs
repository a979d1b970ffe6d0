//! Numbers events, puts the time on them and hands them to whoever listens, in one order for all.

use std::cell::{Cell, RefCell};

use skipper_core::{
    event::{Event, EventKind},
    failure::Failure,
};
use tokio::time::Instant;

/// Someone who is told of every event, in order.
pub type Listener = Box<dyn FnMut(&Event)>;

/// The one source of a run's events.
pub struct Events {
    started: Instant,
    next: Cell<u64>,
    listeners: RefCell<Vec<Listener>>,
}

impl Events {
    /// A stream that begins now.
    pub fn new(listeners: Vec<Listener>) -> Self {
        Self { started: Instant::now(), next: Cell::new(0), listeners: RefCell::new(listeners) }
    }

    /// Tells everybody.
    pub fn emit(&self, kind: EventKind) {
        let seq = self.next.replace(self.next.get() + 1);
        let event = Event { seq, at_ms: self.elapsed_ms(), kind };
        for listener in self.listeners.borrow_mut().iter_mut() {
            listener(&event);
        }
    }

    /// Something the user should know that does not stop the run.
    pub fn warn(&self, failure: Failure) {
        self.emit(EventKind::Warning { failure });
    }

    /// Milliseconds since the stream began.
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
