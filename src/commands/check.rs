//! `check`, and the reading of `skipper.yml` that every command begins with.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use skipper_core::{
    config::{self, Config, Diagnostic, Severity},
    exit::Exit,
    failure::Failure,
    render::words,
};

use super::output::Printer;

/// `skipper.yml` as it stands.
pub(crate) struct File {
    path: PathBuf,
    source: String,
}

/// Reads the file.
pub(crate) fn read(path: &Path) -> Result<File, Failure> {
    match fs::read_to_string(path) {
        Ok(source) => Ok(File { path: path.to_owned(), source }),
        Err(error) => {
            let failure = Failure::failed_to(Exit::BadInput, format!("read `{}`", path.display())).because_of(&error);
            Err(match error.kind() {
                ErrorKind::NotFound => failure
                    .hint("run skipper where skipper.yml is, or name the file with `--config` (input `config`)")
                    .hint("in a workflow, `actions/checkout` must come before"),
                ErrorKind::InvalidData => failure.hint("the file must be UTF-8"),
                _ => failure,
            })
        }
    }
}

/// Checks the file and shows every problem at once; `asked` is whether that is all that was asked for.
pub(crate) fn check(file: &File, printer: &Printer, asked: bool) -> Result<Config, Exit> {
    let loaded = config::load(&file.source, &file.path.display().to_string());
    let problems: &[Diagnostic] = match &loaded {
        Ok(config) => &config.warnings,
        Err(problems) => problems,
    };
    let mut lines = Vec::new();
    for problem in problems {
        if printer.is_workflow() {
            lines.push(problem.annotation());
        }
        lines.extend(problem.render(&file.source, false).lines().map(str::to_owned));
        lines.push(String::new());
    }
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    if errors > 0 {
        lines.push(format!("{}: {}; nothing was touched", file.path.display(), words::count(errors, "error")));
    } else if asked {
        lines.push(format!("{} is fine", file.path.display()));
    }
    if asked {
        printer.json(
            &serde_json::json!({ "valid": loaded.is_ok(), "problems": problems, "config": loaded.as_ref().ok() }),
        );
    }
    printer.log(&lines);
    loaded.map_err(|_| Exit::BadInput)
}
