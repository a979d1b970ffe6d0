//! `skipper-post`: what the action does after all other steps, when its own step was ended before it could say how.
//!
//! GitHub's runner kills a step ten seconds after it has asked it to stop. Everything up to then is in the run's events, from
//! which the comment, the deployment and the summary are told what there is to tell.

use std::{fs, path::Path};

use skipper_core::{
    event::{Event, EventKind, RunFinished},
    exit::Exit,
    failure::Failure,
    progress::{Progress, StepProgress},
    render::{
        log::{Places, failure_lines},
        markdown, words,
    },
};
use skipper_deploy::{events::Events, ports::CodeHost, report::Reporter};

use super::{output::Printer, run};
use crate::{
    github::runner,
    settings::{Flags, Left, Settings},
};

/// Tells what the step could not; nothing where it has told everything itself.
pub(crate) fn post(printer: Printer) -> Exit {
    let Some(left) = Left::read() else { return Exit::Serves };
    for events in &left.events {
        if let Err(failure) = tell_of(events, &left, printer) {
            let failure = failure.during("tell the pull request that this run was ended");
            printer.log(&failure_lines("warning", &failure, printer.is_workflow()));
        }
    }
    Exit::Serves
}

/// Tells of the run that has left these events.
fn tell_of(events: &Path, left: &Left, printer: Printer) -> Result<(), Failure> {
    let events = read(events, left)?;
    let settings = Settings::read(Flags::default())
        .map_err(|error| Failure::failed_to(Exit::BadInput, "read the settings of this run").because_of(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed_to(Exit::Defect, "start the runtime").because_of(&error))?;
    runtime.block_on(tell(events, &settings, printer));
    Ok(())
}

fn read(events: &Path, left: &Left) -> Result<Vec<Event>, Failure> {
    let failed = || Failure::failed_to(Exit::Serves, format!("read the run's events in `{}`", events.display()));
    let text = fs::read_to_string(events).map_err(|error| failed().because_of(&error))?;
    // The last line may have been cut off with the process.
    let events: Vec<Event> = text.lines().map_while(|line| serde_json::from_str(line).ok()).collect();
    match events.first().map(|event| &event.kind) {
        Some(EventKind::RunStarted(run)) if run.started_at == left.started_at => Ok(events),
        _ => Err(failed().because("they are those of another run")),
    }
}

async fn tell(past: Vec<Event>, settings: &Settings, printer: Printer) {
    run::install_tls();
    let progress = Progress::of(&past);
    let code_host = run::connect_code_host(settings, printer);
    let code_host = code_host.as_ref().map(|code_host| code_host as &dyn CodeHost).filter(|_| run::is_told(settings));
    let (reporter, mut fold) = Reporter::new(code_host, run::publicity(settings));
    past.iter().for_each(&mut fold);
    // One that ended by itself had no time left to tell the code host.
    let ended_by_itself = progress.finished.is_some();
    let ended = EventKind::RunFinished(progress.finished.clone().unwrap_or_else(|| ending(&progress, &past)));
    let events = Events::new(vec![run::log_to(printer, false, Places::default())]);
    reporter.conclude(&events, &ended).await;
    if ended_by_itself {
        return;
    }
    let mut progress = reporter.progress();
    progress.apply(&Event { seq: 0, at_ms: 0, kind: ended.clone() });
    events.emit(ended);
    if let Some(summary) = settings.workflow.as_ref().and_then(|workflow| workflow.step_summary.as_ref()) {
        super::output::warn(
            "write the job summary",
            runner::append_summary(summary, &markdown::comment(&progress)),
            printer,
        );
    }
}

/// How a run ended that could not say so itself.
fn ending(progress: &Progress, past: &[Event]) -> RunFinished {
    let steps = progress.plan.iter().flat_map(|plan| &plan.steps);
    let under_way = steps.filter(|step| progress.steps.get(&step.id) == Some(&StepProgress::Started));
    let leftovers: Vec<String> = under_way.map(|step| words::action(&step.action)).collect();
    let failure = Failure::new(Exit::Cancelled, "the run was ended before it could say what it has reached")
        .hint("`skipper ps` shows what runs; running again goes on from there")
        .hint("its lease frees itself within a minute");
    let summary = match leftovers.is_empty() {
        true => "ended from outside between two steps",
        false => "ended from outside while a step was under way, which may be half done",
    };
    RunFinished {
        exit: Exit::Cancelled,
        summary: summary.to_owned(),
        failure: Some(failure),
        leftovers,
        took_ms: past.last().map_or(0, |event| event.at_ms),
        calls: Default::default(),
    }
}
