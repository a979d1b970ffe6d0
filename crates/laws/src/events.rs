//! A run's events, read again: whatever they say, log and comment are whole and give nobody orders.

use skipper_core::{
    event::{Event, check},
    progress::Progress,
    render::{
        log::{Log, Style},
        markdown,
    },
};

use crate::harmless;

/// What GitHub takes is 65,536 characters; the marker of the comment stands in front.
const COMMENT_LIMIT: usize = 60_000;

/// `data` as lines of `events.jsonl`; those that are no events are left out.
pub fn events(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let events: Vec<Event> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for event in &events {
        let written = serde_json::to_string(event).unwrap();
        assert_eq!(&serde_json::from_str::<Event>(&written).unwrap(), event);
    }
    for (style, hold) in [
        (Style::default(), harmless::line as fn(&str)),
        (Style { workflow: true, ..Style::default() }, harmless::workflow_line),
        (Style { workflow: true, quiet: true, ..Style::default() }, harmless::workflow_line),
    ] {
        let mut log = Log::new(style);
        events.iter().flat_map(|event| log.lines(event)).for_each(|line| hold(&line));
    }
    // A comment is written as the run goes on, and at its end.
    for seen in [&events[..events.len() / 2], &events] {
        let progress = Progress::of(seen);
        serde_json::to_string(&progress).unwrap();
        let comment = markdown::comment(&progress);
        assert!(comment.chars().count() <= COMMENT_LIMIT);
        crate::markdown::page(&comment);
    }
    let _ = check(&events);
}
