//! What a part has measured: words, and a table whose rows know whether they are within their limits.

use std::fmt::Write as _;

/// A part's figures.
pub(super) struct Section {
    title: &'static str,
    /// What was measured and how, one paragraph each.
    words: Vec<String>,
    head: Vec<&'static str>,
    rows: Vec<Row>,
}

struct Row {
    cells: Vec<String>,
    /// Absent where there is nothing to hold it to.
    held: Option<bool>,
}

impl Section {
    /// A table without rows; the column that tells what is wanted and whether it holds comes by itself.
    pub(super) fn new(title: &'static str, head: &[&'static str]) -> Self {
        Self { title, words: Vec::new(), head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a paragraph.
    pub(super) fn say(&mut self, words: impl Into<String>) {
        self.words.push(words.into());
    }

    /// Adds a row, its name in the first cell.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(Row { cells: cells.into_iter().chain([String::new()]).collect(), held: None });
    }

    /// Adds a row that should be `wanted`, and is where `held`.
    pub(super) fn held_row(&mut self, cells: impl IntoIterator<Item = String>, wanted: &str, held: bool) {
        let verdict = if held { wanted.to_owned() } else { format!("{wanted} (**missed**)") };
        self.rows.push(Row { cells: cells.into_iter().chain([verdict]).collect(), held: Some(held) });
    }

    /// The names of the rows that are not as wanted.
    pub(super) fn missed(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().filter(|row| row.held == Some(false)).filter_map(|row| row.cells.first()).map(String::as_str)
    }

    /// As Markdown.
    pub(super) fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n", self.title);
        for words in &self.words {
            let _ = writeln!(text, "{words}\n");
        }
        let line = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
        let head: Vec<&str> = self.head.iter().copied().chain(["wanted"]).collect();
        text.push_str(&line(&head));
        text.push_str(&line(&vec!["---"; head.len()]));
        for row in &self.rows {
            text.push_str(&line(&row.cells.iter().map(String::as_str).collect::<Vec<_>>()));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_misses_its_limit_is_named_and_marked() {
        let mut section = Section::new("Size", &["what", "bytes"]);
        section.held_row(["small".to_owned(), "1".to_owned()], "at most 2", true);
        section.held_row(["large".to_owned(), "3".to_owned()], "at most 2", false);
        section.row(["other".to_owned(), "9".to_owned()]);
        assert_eq!(section.missed().collect::<Vec<_>>(), ["large"]);
        let table = "| what | bytes | wanted |\n| --- | --- | --- |\n| small | 1 | at most 2 |\n\
                     | large | 3 | at most 2 (**missed**) |\n| other | 9 |  |\n";
        assert!(section.markdown().ends_with(table), "{}", section.markdown());
    }
}
