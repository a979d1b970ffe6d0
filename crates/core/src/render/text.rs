//! Makes text from elsewhere harmless where it is shown: in a terminal, a workflow's log, and Markdown.

use crate::name::is_unprintable;

/// A line that is safe to print: no control characters, nothing that turns or hides text, and nothing a workflow runner takes
/// for a command.
///
/// The runner reads `::command::` at the start of a line and the older `##[command]` anywhere in it, from stdout and stderr alike.
pub fn line(text: &str) -> String {
    let plain: String = strip_ansi(text)
        .chars()
        .map(|char| if char == '\t' { ' ' } else { char })
        .filter(|char| !is_unprintable(*char))
        .collect();
    let plain = without_commands(&plain);
    if plain.trim_start().starts_with("::") { plain.replacen("::", ":\u{200b}:", 1) } else { plain }
}

/// A workflow's runner obeys `##[command]` anywhere in a line. What parts it has no width: what stands below a character stays there.
pub(crate) fn without_commands(text: &str) -> String {
    text.replace("##[", "##\u{200b}[")
}

/// A text in a cell of a Markdown table or in a sentence: one line, as code, with nothing that ends the code or the cell.
pub fn code(text: &str) -> String {
    // A table reads `\\` as one backslash before it looks for the cell's end, even within code: a backslash in front of a bar
    // would take away the one that keeps the bar inside.
    let text: String = line(text).replace('`', "'").replace("\\|", "\\\u{200b}|").replace('|', "\\|");
    if text.trim().is_empty() { String::new() } else { format!("`{text}`") }
}

/// A text as Markdown prose that mentions nobody, hides no link behind words and opens no HTML.
///
/// What stands between two backticks stays code. Several in a row would be a mark of their own that pairs otherwise, so they become one.
pub fn prose(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut in_code = false;
    let mut last = None;
    for char in line(text).chars() {
        match char {
            '`' if last == Some('`') => {}
            '`' => {
                in_code = !in_code;
                safe.push('`');
            }
            _ if in_code => safe.push(char),
            '<' => safe.push_str("&lt;"),
            '&' => safe.push_str("&amp;"),
            // A zero-width space behind these keeps GitHub from making a mention or a reference.
            '@' | '#' => safe.extend([char, '\u{200b}']),
            '\\' | '*' | '_' | '[' | ']' | '|' | '~' | '!' => safe.extend(['\\', char]),
            _ => safe.push(char),
        }
        last = Some(char);
    }
    if in_code {
        safe.push('`');
    }
    safe
}

/// A link of Markdown, to an address that is one; the words alone otherwise. `words` is Markdown already.
pub fn link(words: &str, address: &str) -> String {
    let is_web = address.starts_with("https://") || address.starts_with("http://");
    // A bracket would end the link, a `##[` is a command for a workflow's runner.
    let is_plain = address.chars().all(|char| char.is_ascii_graphic() && !"()[]<>\\`\"".contains(char));
    if is_web && is_plain { format!("[{words}]({address})") } else { words.to_owned() }
}

/// The most that a line in a fence shows: a build may print thousands of characters in one, and a comment holds them all.
const FENCED_LINE: usize = 400;

/// Lines in a fence that none of them can close, each cut where it gets too long.
pub fn fenced(lines: &[String]) -> String {
    let cut = |text: String| match text.char_indices().nth(FENCED_LINE) {
        Some((end, _)) => format!("{}\u{2026}", &text[..end]),
        None => text,
    };
    let lines: Vec<String> = lines.iter().map(|text| cut(line(text))).collect();
    let longest = lines.iter().map(|line| longest_run(line, '`')).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}", lines.join("\n"))
}

fn longest_run(text: &str, of: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for char in text.chars() {
        run = if char == of { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// Removes escape sequences as terminals know them: `ESC [ … letter` and `ESC ] … BEL`.
fn strip_ansi(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        if char != '\u{1b}' {
            plain.push(char);
            continue;
        }
        match chars.next() {
            Some('[') => while chars.next().is_some_and(|char| !('\u{40}'..='\u{7e}').contains(&char)) {},
            Some(']') => while chars.next().is_some_and(|char| char != '\u{7}') {},
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn output_from_elsewhere_gives_the_runner_no_commands() {
        assert_eq!(line("  ::set-output name=x::y"), "  :\u{200b}:set-output name=x::y");
        assert_eq!(line("web | ##[add-mask]e"), "web | ##\u{200b}[add-mask]e");
        assert_eq!(line("a\rb\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7}!"), "abred!");
    }

    #[test]
    fn what_turns_or_hides_text_is_left_out() {
        assert_eq!(
            line("ma\u{200b}in\u{200d} \u{202e}gnp.exe\u{2066} \u{200f}x\u{61c}\u{e0041}\u{ad}"),
            "main gnp.exe x"
        );
        assert_eq!(line(":\u{200d}:stop-commands::x"), ":\u{200b}:stop-commands::x", "what is left is looked at");
        assert_eq!(line("#\u{200b}#[error]"), "##\u{200b}[error]");
    }

    #[test]
    fn prose_mentions_nobody_and_opens_no_html() {
        assert_eq!(prose("ask @team about #1 <img> `@code`"), "ask @\u{200b}team about #\u{200b}1 &lt;img> `@code`");
        assert_eq!(prose("an open ` quote"), "an open ` quote`");
    }

    #[test]
    fn backticks_that_markdown_would_pair_otherwise_do_not_set_a_mention_free() {
        assert_eq!(prose("``` @team"), "` @team`");
        assert_eq!(prose(r"\` @team"), r"\\` @team`");
        assert_eq!(prose("`a``b` @team"), "`a`b` @team`");
    }

    #[test]
    fn no_text_ends_its_cell_of_a_table() {
        assert_eq!(code("a|b"), r"`a\|b`");
        assert_eq!(code(r"a\|@team"), "`a\\\u{200b}\\|@team`");
    }

    #[test]
    fn a_link_leads_to_an_address_and_nowhere_else() {
        assert_eq!(link("run", "https://ghe.example:8443/a/b?c=d#e"), "[run](https://ghe.example:8443/a/b?c=d#e)");
        for odd in
            ["javascript:alert(1)", "https://a)b", "https://a b", "https://a\n::error::b", "https://##[error]b", ""]
        {
            assert_eq!(link("run", odd), "run");
        }
    }

    #[test]
    fn a_fence_is_longer_than_any_within() {
        assert_eq!(fenced(&["```` hi".to_owned()]), "`````text\n```` hi\n`````");
        assert_eq!(fenced(&["\u{e9}".repeat(1_000)]), format!("```text\n{}\u{2026}\n```", "\u{e9}".repeat(400)));
    }

    proptest! {
        #[test]
        fn no_line_ever_starts_a_command(text in ".{0,60}") {
            let safe = line(&text);
            prop_assert!(!safe.trim_start().starts_with("::") && !safe.contains("##["));
            prop_assert!(!safe.chars().any(char::is_control));
            prop_assert_eq!(line(&safe), safe, "a text that went through once stays as it is");
        }
    }
}
