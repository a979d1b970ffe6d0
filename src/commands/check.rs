//! `check`, and the reading of `skipper.yml` that every command begins with.

use std::{
    fs,
    io::{self, ErrorKind, Read as _},
    path::{Path, PathBuf},
};

use skipper_core::{
    config::{self, Config, Diagnostic, Severity},
    exit::Exit,
    failure::Failure,
    render::{text, words},
};

use super::output::{self, Printer};
use crate::settings::Settings;

/// More than a configuration ever needs, in bytes: a file that is larger is another one.
const LARGEST: u64 = 1024 * 1024;
/// Problems that are shown of one file: whoever has more does not read them all.
const MOST_SHOWN: usize = 50;
/// Lines of the file that are marked; the runner keeps ten marks of a step, and the job summary has all problems.
const MOST_MARKS: usize = 10;
const NAME_THE_FILE: &str = "name the configuration with `--config` (input `config`)";

/// `skipper.yml` as it stands.
pub(crate) struct File {
    path: PathBuf,
    source: String,
}

/// Reads the file, unless it cannot be a configuration.
pub(crate) fn read(path: &Path) -> Result<File, Failure> {
    let failed = || Failure::failed_to(Exit::BadInput, format!("read `{}`", path.display()));
    let unreadable = |error: io::Error| {
        let failure = failed().because_of(&error);
        match error.kind() {
            ErrorKind::NotFound => failure
                .hint("run skipper where skipper.yml is, or name the file with `--config` (input `config`)")
                .hint("in a workflow, `actions/checkout` must come before"),
            ErrorKind::PermissionDenied => failure.hint("let the user that skipper runs as read it"),
            _ => failure.hint(NAME_THE_FILE),
        }
    };
    // Looked at before it is opened: whoever opens a pipe waits for its other end.
    let found = fs::metadata(path).map_err(unreadable)?;
    if !found.is_file() {
        let what = if found.is_dir() { "it is a folder" } else { "it is no file" };
        return Err(failed().because(what).hint(NAME_THE_FILE));
    }
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    if read.map_err(unreadable)? as u64 > LARGEST {
        let failure = failed().because(format!("it is larger than {LARGEST} bytes, which no configuration needs"));
        return Err(failure.hint(NAME_THE_FILE));
    }
    let source = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        failed().because(format!("line {line} is not UTF-8")).hint("save the file as UTF-8")
    })?;
    Ok(File { path: path.to_owned(), source })
}

/// Checks the file and shows every problem at once; `asked` is whether that is all that was asked for.
pub(crate) fn check(file: &File, settings: &Settings, printer: &Printer, asked: bool) -> Result<Config, Exit> {
    let path = file.path.display().to_string();
    let loaded = config::load_for(&file.source, &path, &settings.environment_of_the_file());
    let of_all = if asked { config::problems_of_all(&file.source, &path) } else { Vec::new() };
    let problems: &[Diagnostic] = match &loaded {
        _ if asked => &of_all,
        Ok(config) => &config.warnings,
        Err(problems) => problems,
    };
    let mut lines = Vec::new();
    for (index, problem) in problems.iter().take(MOST_SHOWN).enumerate() {
        if printer.is_workflow() && index < MOST_MARKS {
            lines.push(problem.annotation());
        }
        // The file's own lines are in it, and are safe: it shows no control characters of theirs, and no commands.
        let rendered = problem.render(&file.source, printer.has_colour());
        if printer.has_colour() {
            lines.extend(rendered.lines().map(str::to_owned));
        } else {
            lines.extend(rendered.lines().map(text::line));
        }
        lines.push(String::new());
    }
    if !problems.is_empty() {
        output::summarize_problems(settings, problems, *printer);
    }
    if let Some(more) = problems.len().checked_sub(MOST_SHOWN).filter(|more| *more > 0) {
        lines.push(format!("and {} more", words::count(more, "problem")));
    }
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    if errors > 0 {
        let errors = words::count(errors, "error");
        lines.push(text::line(&format!("{}: {errors}; nothing was touched", file.path.display())));
    } else if asked {
        lines.push(text::line(&format!("{} is fine", file.path.display())));
    }
    if asked {
        printer
            .json(&serde_json::json!({ "valid": errors == 0, "problems": problems, "config": loaded.as_ref().ok() }));
    }
    printer.log(&lines);
    loaded.ok().filter(|_| errors == 0).ok_or(Exit::BadInput)
}
