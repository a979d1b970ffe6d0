//! A page of Markdown, read as GitHub reads it, in which foreign text opens nothing, mentions nobody and stays in its place.

use crate::harmless;

/// The HTML that skipper writes.
const TAGS: [&str; 6] = ["<details>", "</details>", "<summary>", "</summary>", "<sub>", "</sub>"];

/// The cells of a row of a table, when the line is one.
fn bars(line: &str) -> usize {
    let mut chars = line.chars();
    let mut bars = 0;
    while let Some(char) = chars.next() {
        match char {
            '\\' => drop(chars.next()),
            '|' => bars += 1,
            _ => {}
        }
    }
    bars
}

/// Holds a comment to what it must be wherever its texts come from.
pub(crate) fn page(page: &str) {
    let mut fence: Option<usize> = None;
    let mut open_details = 0_i32;
    let mut table: Option<usize> = None;
    for line in page.split('\n') {
        harmless::line(line);
        let text = line.trim_start_matches(' ');
        let marks = text.len() - text.trim_start_matches('`').len();
        if let Some(opened) = fence {
            if marks >= opened && text[marks..].trim().is_empty() {
                fence = None;
            }
            continue;
        }
        if marks >= 3 && !text[marks..].contains('`') {
            fence = Some(marks);
            continue;
        }
        table = line.starts_with("| ").then(|| table.unwrap_or_else(|| bars(line)));
        assert!(table.is_none_or(|columns| bars(line) == columns), "a row with other cells: {line:?}");
        let prose = outside_code(line);
        open_details += i32::try_from(prose.matches("<details>").count()).unwrap();
        open_details -= i32::try_from(prose.matches("</details>").count()).unwrap();
        assert!((0..=1).contains(&open_details), "details within details, or closed twice: {line:?}");
        inert(&prose);
    }
    assert_eq!(fence, None, "a fence stays open");
    assert_eq!(open_details, 0, "details stay open");
}

/// The line without what stands in code spans.
fn outside_code(line: &str) -> String {
    let mut prose = String::new();
    let mut rest = line;
    while let Some(char) = rest.chars().next() {
        let run = rest.len() - rest.trim_start_matches('`').len();
        if run > 0 {
            let (marks, behind) = rest.split_at(run);
            let end = code_end(behind, run);
            if end.is_none() {
                prose.push_str(marks);
            }
            rest = end.map_or(behind, |end| &behind[end..]);
            continue;
        }
        let length = match char {
            '\\' => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            other => other.len_utf8(),
        };
        prose.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    prose
}

/// The end of the code span that was opened by so many marks.
fn code_end(text: &str, marks: usize) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = text[at..].find('`') {
        let start = at + found;
        let run = text[start..].len() - text[start..].trim_start_matches('`').len();
        if run == marks {
            return Some(start + run);
        }
        at = start + run;
    }
    None
}

/// No mention, no reference, no HTML but skipper's own, and links only to where they say.
fn inert(prose: &str) {
    let html = TAGS.iter().fold(prose.to_owned(), |text, tag| text.replace(tag, ""));
    assert!(!html.contains('<'), "HTML in {prose:?}");
    let mut links = prose.split("](");
    let mut before = links.next().unwrap_or_default();
    let mut texts = vec![before.to_owned()];
    for part in links {
        if before.ends_with('\\') {
            texts.push(part.to_owned());
        } else {
            let (address, behind) = part.split_once(')').unwrap();
            assert!(address.starts_with("https://") || address.starts_with("http://"), "a link to {address:?}");
            assert!(address.chars().all(|char| char.is_ascii_graphic() && char != '('), "a link to {address:?}");
            texts.push(behind.to_owned());
        }
        before = part;
    }
    for text in texts {
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            let next = chars.peek().copied().unwrap_or(' ');
            assert!(!matches!(char, '@' | '#') || !next.is_alphanumeric(), "a mention or a reference in {prose:?}");
        }
    }
}
