//! Numbers events, puts the time on them and hands them to whoever listens, in one order for all.

use std::cell::{Cell, RefCell};

use serde_json::Value;
use skipper_core::{
    event::{Event, EventKind},
    exit::Exit,
    failure::Failure,
    secret::Secret,
};
use tokio::time::Instant;

/// Someone who is told of every event, in order.
pub type Listener = Box<dyn FnMut(&Event)>;

/// The one source of a run's events.
pub struct Events {
    started: Instant,
    next: Cell<u64>,
    listeners: RefCell<Vec<Listener>>,
    /// Values that no event may carry, as they stand in JSON.
    secrets: Vec<String>,
}

/// Characters of the shortest secret that is looked for in texts: shorter ones would be found in ordinary words.
pub const SHORTEST_SECRET: usize = 6;

impl Events {
    /// A stream that begins now.
    pub fn new(listeners: Vec<Listener>) -> Self {
        Self { started: Instant::now(), next: Cell::new(0), listeners: RefCell::new(listeners), secrets: Vec::new() }
    }

    /// The same, which tells nobody these values, whoever printed them.
    #[must_use]
    pub fn concealing(self, secrets: &[Secret]) -> Self {
        let long = secrets.iter().filter(|secret| secret.expose().len() >= SHORTEST_SECRET);
        let in_json = |secret: &Secret| {
            let quoted = Value::from(secret.expose()).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        };
        Self { secrets: long.map(in_json).collect(), ..self }
    }

    /// Tells everybody.
    pub fn emit(&self, kind: EventKind) {
        let seq = self.next.replace(self.next.get() + 1);
        let event = self.concealed(Event { seq, at_ms: self.elapsed_ms(), kind });
        for listener in self.listeners.borrow_mut().iter_mut() {
            listener(&event);
        }
    }

    /// The event without secrets: in its JSON every text of it is found, whatever it is made of.
    fn concealed(&self, event: Event) -> Event {
        if self.secrets.is_empty() {
            return event;
        }
        let Ok(text) = serde_json::to_string(&event) else { return event };
        if !self.secrets.iter().any(|secret| text.contains(secret)) {
            return event;
        }
        let text = self.secrets.iter().fold(text, |text, secret| text.replace(secret, "***"));
        serde_json::from_str(&text).unwrap_or_else(|_| {
            // What held it were names by which things are found: nothing of it is told.
            let told = Failure::new(Exit::Serves, "something is not told, since it holds a secret");
            Event { kind: EventKind::Warning { failure: told }, ..event }
        })
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[tokio::test]
    async fn nobody_is_told_a_secret_whoever_printed_it() {
        let heard: Rc<RefCell<Vec<Event>>> = Rc::default();
        let listener: Listener = Box::new({
            let heard = Rc::clone(&heard);
            move |event| heard.borrow_mut().push(event.clone())
        });
        let secret = "dckr_pat_\"quoted\"";
        let events = Events::new(vec![listener]).concealing(&[Secret::new(secret), Secret::new("1")]);
        events.emit(EventKind::ImageOutput {
            service: "web".parse().unwrap(),
            line: format!("logged in 1 time with {secret}"),
        });
        let EventKind::ImageOutput { line, .. } = heard.borrow()[0].kind.clone() else { panic!("another event") };
        assert_eq!(line, "logged in 1 time with ***");
    }
}
