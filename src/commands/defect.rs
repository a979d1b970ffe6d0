//! A panic: a defect in skipper, told as one with what its report needs.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{self, PanicHookInfo},
    sync::{Mutex, PoisonError},
};

use skipper_core::{exit::Exit, failure::Failure};

/// The last panic: who catches one is not told where it was.
static LAST: Mutex<Option<Failure>> = Mutex::new(None);

/// From now on panics are kept for [`failure`] and print nothing by themselves.
pub(crate) fn watch() {
    panic::set_hook(Box::new(|panicked| {
        let failure = described(panicked);
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }));
}

/// The last panic, as a failure.
pub(crate) fn failure() -> Failure {
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).take();
    last.unwrap_or_else(|| told(Failure::new(Exit::Defect, "a defect in skipper")))
}

fn described(panicked: &PanicHookInfo<'_>) -> Failure {
    let place = panicked.location().map(|place| format!(" (at {}:{})", place.file(), place.line())).unwrap_or_default();
    let failure = Failure::new(Exit::Defect, format!("a defect in skipper{place}"));
    let failure = panicked.payload_as_str().into_iter().fold(failure, |failure, said| failure.because(said));
    // Only where `RUST_BACKTRACE` asks for it.
    let backtrace = Backtrace::capture();
    let lines = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    told(failure.with_lines(lines.iter().flat_map(|text| text.lines()).map(str::to_owned)))
}

fn told(failure: Failure) -> Failure {
    failure
        .hint(format!(
            "report it at {}/issues with this message and the run's events; run again, or with another version, meanwhile",
            env!("CARGO_PKG_REPOSITORY")
        ))
        .hint("`skipper ps` shows what runs; running again goes on from there")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_its_place_its_words_and_where_to_report_it() {
        let former = panic::take_hook();
        watch();
        let caught = panic::catch_unwind(|| panic!("the plan has {} steps", 3));
        panic::set_hook(former);
        assert!(caught.is_err());
        let failure = failure();
        assert_eq!(failure.exit, Exit::Defect);
        assert!(failure.message.starts_with("a defect in skipper (at src/commands/defect.rs:"), "{}", failure.message);
        assert_eq!(failure.causes, ["the plan has 3 steps"]);
        assert!(failure.hints[0].contains("/issues"));
    }
}
