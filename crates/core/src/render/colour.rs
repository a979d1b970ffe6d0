//! Colours for lines that are safe already, for terminals and the log of a workflow, which takes ANSI sequences.

const RESET: &str = "\u{1b}[0m";
/// What begins a line, and the colour that the whole line gets.
const LINES: [(&str, &str); 4] =
    [("error: ", "\u{1b}[1;31m"), ("warning: ", "\u{1b}[1;33m"), ("hint: ", "\u{1b}[36m"), ("skipper ", "\u{1b}[1m")];
/// The time in front of a line stands back.
const DIM: &str = "\u{1b}[2m";

/// The line in colour. Everything that is said is said without it, too.
pub fn colour(line: &str) -> String {
    // A command for the runner must begin its line.
    if line.trim_start().starts_with("::") {
        return line.to_owned();
    }
    if let Some((_, colour)) = LINES.iter().find(|(start, _)| line.starts_with(start)) {
        return format!("{colour}{line}{RESET}");
    }
    match line.split_once("s  ") {
        Some((time, rest)) if !time.is_empty() && time.chars().all(|char| " .0123456789".contains(char)) => {
            format!("{DIM}{time}s{RESET}  {rest}")
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_stands_out_and_commands_stay_commands() {
        assert_eq!(colour("error: no"), "\u{1b}[1;31merror: no\u{1b}[0m");
        assert_eq!(colour("  12.3s  [1] done"), "\u{1b}[2m  12.3s\u{1b}[0m  [1] done");
        for same in ["::error::no", "::group::plan", "web_1  running", "seconds  3", ""] {
            assert_eq!(colour(same), same);
        }
    }
}
