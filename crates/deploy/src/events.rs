//! Numbers events, puts the time on them and hands them to whoever listens, in one order for all.

use std::{
    cell::{Cell, RefCell},
    cmp::Reverse,
};

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
    /// Values that no event may carry, as they stand in JSON, the longest first: one may be a part of another.
    secrets: RefCell<Vec<String>>,
}

/// Characters of the shortest secret that is looked for in texts: shorter ones would be found in ordinary words.
pub const SHORTEST_SECRET: usize = 6;

impl Events {
    /// A stream that begins now.
    pub fn new(listeners: Vec<Listener>) -> Self {
        Self {
            started: Instant::now(),
            next: Cell::new(0),
            listeners: RefCell::new(listeners),
            secrets: RefCell::default(),
        }
    }

    /// The same, which tells nobody these values, whoever printed them.
    #[must_use]
    pub fn concealing(self, secrets: &[Secret]) -> Self {
        self.conceal(secrets);
        self
    }

    /// From here on nobody is told these values either, nor one of their lines.
    pub fn conceal(&self, secrets: &[Secret]) {
        let whole = secrets.iter().map(Secret::expose);
        let lines = secrets.iter().flat_map(|secret| secret.expose().lines().map(str::trim));
        let long = whole.chain(lines).filter(|text| text.len() >= SHORTEST_SECRET);
        let in_json = |text: &str| {
            let quoted = Value::from(text).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        };
        let mut known = self.secrets.borrow_mut();
        known.extend(long.map(in_json));
        known.sort_by(|a, b| (Reverse(a.len()), a).cmp(&(Reverse(b.len()), b)));
        known.dedup();
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
        let secrets = self.secrets.borrow();
        if secrets.is_empty() {
            return event;
        }
        let Ok(text) = serde_json::to_string(&event) else { return event };
        if !secrets.iter().any(|secret| text.contains(secret)) {
            return event;
        }
        let without = |text: &str| secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"));
        if let Ok(concealed) = serde_json::from_str(&without(&text)) {
            return concealed;
        }
        // What holds it are names by which things are found, too: a value may be an ordinary word. They are no secret's doing.
        let in_words = serde_json::to_value(&event).ok().and_then(|mut value| {
            conceal_words(&mut value, &without);
            serde_json::from_value(value).ok()
        });
        in_words.unwrap_or_else(|| {
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

/// Fields of events that hold words of somebody's, and no name.
const WORDS: [&str; 10] =
    ["line", "message", "causes", "hints", "lines", "why", "journal", "because", "summary", "leftovers"];

/// The same in the fields that hold words alone.
fn conceal_words(value: &mut Value, without: &impl Fn(&str) -> String) {
    fn within(value: &mut Value, without: &impl Fn(&str) -> String) {
        match value {
            Value::String(text) => *text = without(text),
            Value::Array(items) => items.iter_mut().for_each(|item| within(item, without)),
            _ => conceal_words(value, without),
        }
    }
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                if WORDS.contains(&key.as_str()) { within(value, without) } else { conceal_words(value, without) }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| conceal_words(item, without)),
        _ => {}
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

    fn lines(secrets: &[&str], told: &[&str]) -> Vec<(String, String)> {
        let heard: Rc<RefCell<Vec<(String, String)>>> = Rc::default();
        let hear = Rc::clone(&heard);
        let listener: Listener = Box::new(move |event| {
            let EventKind::ImageOutput { service, line } = event.kind.clone() else { panic!("another event") };
            hear.borrow_mut().push((service.to_string(), line));
        });
        let events = Events::new(vec![listener]);
        events.conceal(&secrets.iter().map(|secret| Secret::new(*secret)).collect::<Vec<_>>());
        for line in told {
            events.emit(EventKind::ImageOutput { service: "postgres".parse().unwrap(), line: (*line).to_owned() });
        }
        heard.take()
    }

    #[tokio::test]
    async fn a_secret_that_is_an_ordinary_word_hides_no_name() {
        let heard = lines(&["postgres"], &["role postgres does not exist"]);
        assert_eq!(heard, [("postgres".to_owned(), "role *** does not exist".to_owned())]);
    }

    #[tokio::test]
    async fn each_line_of_a_secret_is_one_and_so_is_what_holds_another() {
        let heard = lines(
            &["abcdef", "db://u:abcdef@h/x", "first line\n  second line\n"],
            &["to db://u:abcdef@h/x", "second line"],
        );
        let told: Vec<&str> = heard.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(told, ["to ***", "***"]);
    }
}
