//! `replay`: the log and the comment of a past run, from its events and nothing else.

use std::{fs, path::Path};

use skipper_core::{
    event::{Event, check},
    exit::Exit,
    failure::Failure,
    progress::Progress,
    render::{
        log::{Log, Style, failure_lines},
        markdown,
    },
};

use super::output::Printer;

/// Renders the events of a file.
pub(crate) fn replay(path: &Path, printer: &Printer) -> Exit {
    match read(path) {
        Ok(events) => {
            let mut log = Log::new(Style { workflow: printer.is_workflow(), ..Style::default() });
            for event in &events {
                printer.log(&log.lines(event));
            }
            let progress = Progress::of(&events);
            if let Err(broken) = check(&events) {
                let failure = Failure::new(Exit::Serves, "the stream is not that of a whole run").because_of(&broken);
                printer.log(&failure_lines("warning", &failure, printer.is_workflow()));
            }
            printer.text(&format!("\ncomment:\n\n{}", markdown::comment(&progress)));
            printer.json(&progress);
            Exit::Serves
        }
        Err(failure) => {
            printer.log(&failure_lines("error", &failure, printer.is_workflow()));
            failure.exit
        }
    }
}

fn read(path: &Path) -> Result<Vec<Event>, Failure> {
    let what = || format!("read the events in `{}`", path.display());
    let text =
        fs::read_to_string(path).map_err(|error| Failure::failed_to(Exit::BadInput, what()).because_of(&error))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let events = lines.map(|(index, line)| {
        serde_json::from_str(line).map_err(|error| {
            Failure::failed_to(Exit::BadInput, what())
                .because(format!("line {} is not an event: {error}", index + 1))
                .hint("give the file that `--events` or the input `events` named in that run")
        })
    });
    events.collect()
}
