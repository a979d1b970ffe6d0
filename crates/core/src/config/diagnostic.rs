//! A problem in `skipper.yml`: its place, what is wrong and what to write instead; for people and for GitHub.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

use crate::{
    name::{self, is_unprintable},
    render::text::without_commands,
};

/// A place in the file: part of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Span {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// Characters from there, within the line.
    pub length: usize,
}

/// How grave a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is done before it is mended.
    Error,
    /// It is allowed, and probably not meant.
    Warning,
}

/// A problem in `skipper.yml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How grave it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// The file, as the user named it.
    pub file: String,
    /// Where.
    pub span: Span,
    /// What stands there; may be empty.
    pub label: String,
    /// Other places that belong to the problem, such as the first of two equal ports.
    pub related: Vec<Related>,
    /// What to write instead.
    pub hint: Option<String>,
}

/// Another place that belongs to a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Related {
    /// Where.
    pub span: Span,
    /// What stands there.
    pub label: String,
}

impl Diagnostic {
    pub(super) fn error(span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            file: String::new(),
            span,
            label: String::new(),
            related: Vec::new(),
            hint: None,
        }
    }

    pub(super) fn warning(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    pub(super) fn label(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(super) fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push(Related { span, label: label.into() });
        self
    }

    /// As a compiler shows it, with the line of `source` (the file's text) underlined; several lines, without a
    /// line break at the end. Colour is for terminals and logs that take ANSI sequences.
    pub fn render(&self, source: &str, colour: bool) -> String {
        let lines = Lines::new(source);
        let shown = lines.around(self.related.iter().map(|related| related.span).chain([self.span]));
        let text = lines.printable(&shown);
        let primary = AnnotationKind::Primary.span(lines.bytes(&shown, self.span));
        let primary = if self.label.is_empty() { primary } else { primary.label(&self.label) };
        let related = self
            .related
            .iter()
            .map(|related| AnnotationKind::Context.span(lines.bytes(&shown, related.span)).label(&related.label));
        let file = name::shown(&self.file);
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let snippet =
            Snippet::source(&text).line_start(shown.start).path(&file).annotation(primary).annotations(related);
        let mut group = level.primary_title(&self.message).element(snippet);
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.with_name("hint").message(hint));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        without_commands(&renderer.render(&[group]))
    }

    /// As a [workflow command](https://docs.github.com/actions/reference/workflow-commands-for-github-actions) that
    /// marks the line in the pull request; one line, without a line break at the end.
    pub fn annotation(&self) -> String {
        let command = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut details: Vec<&str> = [self.label.as_str()].into_iter().filter(|label| !label.is_empty()).collect();
        details.extend(self.hint.as_deref());
        let body = if details.is_empty() { self.message.clone() } else { details.join("\n") };
        mark(command, &self.file, self.span, &self.message, &body)
    }
}

/// A command for the runner that marks a place of a file; `command` is `error`, `warning` or `notice`. One line.
pub(crate) fn mark(command: &str, file: &str, span: Span, title: &str, body: &str) -> String {
    let (file, title) = (escape_property(file), escape_property(title));
    let Span { line, column, .. } = span;
    format!("::{command} file={file},line={line},col={column},title={title}::{}", escape_data(body))
}

/// As the runner decodes a command's message.
pub(crate) fn escape_data(text: &str) -> String {
    without_commands(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// As the runner decodes a command's properties, which end at `,` and `:`.
fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Every character as itself or, where a terminal would act on it, as one that shows its place. Tabs are left to the
/// renderer, which draws them as spaces.
fn printable(text: &str) -> String {
    text.chars().map(|char| if is_unprintable(char) && char != '\t' { '\u{fffd}' } else { char }).collect()
}

/// The lines of a file as YAML breaks them, at `\n`, `\r\n` and `\r`, each with its characters counted: a file may have
/// all of its many nodes in one line.
pub(super) struct Lines<'a>(Vec<(&'a str, usize)>);

impl<'a> Lines<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        let mut lines = Vec::new();
        let mut rest = without_mark(source);
        while let Some((line, after)) = rest.split_once(['\n', '\r']) {
            lines.push((line, line.chars().count()));
            let broken_by_return = rest.as_bytes().get(line.len()) == Some(&b'\r');
            rest = if broken_by_return { after.strip_prefix('\n').unwrap_or(after) } else { after };
        }
        lines.push((rest, rest.chars().count()));
        Self(lines)
    }

    /// The part of `span` that lies within the file.
    pub(super) fn clamp(&self, span: Span) -> Span {
        let line = span.line.clamp(1, self.0.len());
        let (_, width) = self.0[line - 1];
        let column = if span.line > line { width + 1 } else { span.column.clamp(1, width + 1) };
        Span { line, column, length: span.length.min(width + 1 - column) }
    }

    /// The lines from the first span's to the last one's: the rest of a large file would be drawn and left out again.
    fn around(&self, spans: impl Iterator<Item = Span>) -> Range<usize> {
        let lines = spans.map(|span| self.clamp(span).line);
        let (first, last) = lines.fold((usize::MAX, 1), |(first, last), line| (first.min(line), last.max(line)));
        first.min(last)..last + 1
    }

    /// These lines with nothing in them that a terminal would act on, and as many characters in each.
    fn printable(&self, lines: &Range<usize>) -> String {
        let lines: Vec<String> =
            self.0[lines.start - 1..lines.end - 1].iter().map(|(line, _)| printable(line)).collect();
        lines.join("\n")
    }

    /// The bytes of a span within [`Self::printable`] of these lines.
    fn bytes(&self, lines: &Range<usize>, span: Span) -> Range<usize> {
        let span = self.clamp(span);
        let before: usize =
            self.0[lines.start - 1..span.line - 1].iter().map(|(line, _)| printable(line).len() + 1).sum();
        let line = printable(self.0[span.line - 1].0);
        let byte = |column: usize| line.char_indices().nth(column).map_or(line.len(), |(byte, _)| byte);
        before + byte(span.column - 1)..before + byte(span.column - 1 + span.length)
    }
}

/// The text behind the byte order mark, which is no part of the first line.
pub(super) fn without_mark(source: &str) -> &str {
    source.strip_prefix('\u{feff}').unwrap_or(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem() -> Diagnostic {
        let at = Span { line: 2, column: 4, length: 3 };
        Diagnostic {
            file: "a,b: c.yml".to_owned(),
            ..Diagnostic::error(at, "100% wrong: no").label("this").hint("write `b`\nor not")
        }
    }

    #[test]
    fn a_workflow_command_is_escaped_so_that_it_stays_one_command() {
        assert_eq!(
            problem().annotation(),
            "::error file=a%2Cb%3A c.yml,line=2,col=4,title=100%25 wrong%3A no::this%0Awrite `b`%0Aor not"
        );
    }

    #[test]
    fn control_characters_of_the_file_never_reach_the_terminal() {
        let source = "a: \u{1b}]0;owned\u{7}\r\nb: \u{202e}x\u{9b}y\rc: 1";
        let rendered = problem().render(source, false);
        assert!(rendered.chars().all(|char| char == '\n' || !is_unprintable(char)), "{rendered:?}");
        assert!(rendered.contains("2 | b: \u{fffd}x\u{fffd}y"), "{rendered}");
    }

    #[test]
    fn the_runner_finds_no_command_in_a_line_of_the_file() {
        let problem = Diagnostic { label: "found `##[add-mask]x`".to_owned(), ..problem() };
        let rendered = problem.render("a: 1\nb: ##[error]x", false);
        assert!(rendered.contains("2 | b: ##\u{200b}[error]x"), "{rendered}");
        assert!(!rendered.contains("##[") && !problem.annotation().contains("##["));
    }

    #[test]
    fn colour_is_added_only_when_asked_for() {
        assert!(problem().render("a: 1\nb: xyz", true).contains("\u{1b}["));
        assert!(!problem().render("a: 1\nb: xyz", false).contains('\u{1b}'));
    }

    #[test]
    fn lines_break_where_yaml_breaks_them() {
        let texts = |source| Lines::new(source).0.into_iter().map(|(line, _)| line).collect::<Vec<_>>();
        assert_eq!(texts("\u{feff}a\r\nb\rc\n\nd"), ["a", "b", "c", "", "d"]);
        assert_eq!(texts(""), [""]);
    }

    #[test]
    fn a_span_beyond_the_file_is_drawn_to_its_end() {
        let lines = Lines::new("ab\ncé");
        let span = |line, column, length| Span { line, column, length };
        assert_eq!(lines.clamp(span(9, 4, 2)), span(2, 3, 0));
        assert_eq!(lines.clamp(span(2, 2, 7)), span(2, 2, 1));
        assert_eq!(lines.bytes(&(1..3), span(2, 2, 1)), 4..6);
    }
}
