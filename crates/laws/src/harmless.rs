//! Text that a terminal, a workflow's runner or a browser shows and does not obey.

/// Holds a text to being one line of characters that are shown.
pub(crate) fn text(text: &str) {
    assert!(!text.chars().any(acts), "a character acts in {text:?}");
}

/// Holds a line of output to being just that.
pub(crate) fn line(line: &str) {
    text(line);
    assert!(!line.contains("##["), "a command for the runner in {line:?}");
}

/// Holds a line of a workflow's log to no other commands than skipper's own.
pub(crate) fn workflow_line(text: &str) {
    line(text);
    let command =
        text.trim_start().strip_prefix("::").map(|rest| rest.split(['=', ':', ' ']).next().unwrap_or_default());
    assert!(
        command.is_none_or(|command| ["group", "endgroup", "error", "warning"].contains(&command)),
        "a command for the runner in {text:?}"
    );
}

/// Control characters, line ends of all kinds, and what turns the direction of text.
fn acts(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}
