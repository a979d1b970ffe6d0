//! Reads a unit's text the way fleet reads it, odd corners included: its hash depends on them.

use crate::wire::UnitOption;

/// Longer lines are refused, because systemd would cut them (`LINE_MAX`).
const LINE_MAX: usize = 2048;

/// A text that fleet refuses, in its words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// A line of 2,048 bytes or more.
    #[error("line too long (max {LINE_MAX} bytes)")]
    LineTooLong,
    /// A `[` without its `]`.
    #[error("unable to find end of section")]
    SectionEnd,
    /// Something after the `]`.
    #[error("found garbage after section name : {0:?}")]
    Garbage(Vec<u8>),
    /// A line without an equals sign.
    #[error("unexpected newline encountered while parsing option name")]
    OptionName,
    /// A last line without an equals sign and without an end.
    #[error("EOF")]
    End,
}

/// The options of `text`, in order.
pub(super) fn options(text: &str) -> Result<Vec<UnitOption>, SyntaxError> {
    let mut rest = Text(text);
    let mut section: Option<String> = None;
    let mut options = Vec::new();
    loop {
        rest.check_line()?;
        let Some(first) = rest.0.chars().next() else {
            return Ok(options);
        };
        match (first, &section) {
            ('[', _) => {
                rest.0 = &rest.0[1..];
                section = Some(rest.section_name()?);
            }
            ('#' | ';', _) => rest.skip_comment()?,
            // Before the first section, anything at all is passed over, letter by letter.
            (first, None) => rest.0 = &rest.0[first.len_utf8()..],
            (first, Some(_)) if first.is_whitespace() => rest.0 = &rest.0[first.len_utf8()..],
            (_, Some(section)) => {
                let name = rest.option_name()?;
                let value = rest.value()?;
                options.push(UnitOption { name, section: section.clone(), value });
            }
        }
    }
}

/// What is still to be read.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn check_line(&self) -> Result<(), SyntaxError> {
        let head = &self.0.as_bytes()[..LINE_MAX.min(self.0.len())];
        if head.len() == LINE_MAX && !head.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            return Err(SyntaxError::LineTooLong);
        }
        Ok(())
    }

    /// The rest of the line, and whether the text ended instead.
    fn line(&mut self) -> (&'a str, bool) {
        if let Some((line, rest)) = self.0.split_once('\n') {
            self.0 = rest;
            (line, false)
        } else {
            let line = std::mem::take(&mut self.0);
            (line.strip_suffix('\r').unwrap_or(line), true)
        }
    }

    fn section_name(&mut self) -> Result<String, SyntaxError> {
        let (name, rest) = self.0.split_once(']').ok_or(SyntaxError::SectionEnd)?;
        self.0 = rest;
        let garbage = self.line().0.trim();
        if garbage.is_empty() { Ok(name.to_owned()) } else { Err(SyntaxError::Garbage(garbage.into())) }
    }

    /// A comment goes on over a backslash at the end of its line, as a value does.
    fn skip_comment(&mut self) -> Result<(), SyntaxError> {
        loop {
            self.check_line()?;
            let (line, end) = self.line();
            if end || !line.strip_suffix(' ').unwrap_or(line).ends_with('\\') {
                return Ok(());
            }
        }
    }

    fn option_name(&mut self) -> Result<String, SyntaxError> {
        let end = self.0.find(['=', '\n', '\r']).ok_or(SyntaxError::End)?;
        if !self.0[end..].starts_with('=') {
            return Err(SyntaxError::OptionName);
        }
        let name = self.0[..end].trim().to_owned();
        self.0 = &self.0[end + 1..];
        Ok(name)
    }

    /// A value with its continuation lines, backslashes and newlines kept.
    fn value(&mut self) -> Result<String, SyntaxError> {
        let mut value = String::new();
        loop {
            self.check_line()?;
            let (line, end) = self.line();
            if line.trim().is_empty() {
                break;
            }
            value.push_str(line);
            if !line.ends_with('\\') {
                break;
            }
            if !end {
                value.push('\n');
            }
        }
        // A continuation into nothing keeps its newline.
        let newline = if value.ends_with('\n') { "\n" } else { "" };
        Ok(format!("{}{newline}", value.trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<(String, String)> {
        options(text).unwrap().into_iter().map(|option| (option.name, option.value)).collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn a_continued_value_keeps_its_lines() {
        assert_eq!(
            values("[Service]\nExecStart=/bin/a \\\n  -b \\\n  -c\nX=1\n"),
            [pair("ExecStart", "/bin/a \\\n  -b \\\n  -c"), pair("X", "1")]
        );
        assert_eq!(values("[S]\nA=b \\\n\nX=1\n"), [pair("A", "b \\\n"), pair("X", "1")]);
    }

    #[test]
    fn a_comment_is_continued_too() {
        assert_eq!(values("[S]\n# a \\\nA=1\nB=2\n"), [pair("B", "2")]);
    }

    #[test]
    fn a_line_of_2047_bytes_passes_and_one_more_is_refused() {
        let line = |length: usize| format!("[S]\nA={}\n", "x".repeat(length - 2));
        assert!(options(&line(2047)).is_ok());
        assert_eq!(options(&line(2048)), Err(SyntaxError::LineTooLong));
        let long = format!("[S]\nA={} \\\n{}\n", "x".repeat(2000), "y".repeat(2000));
        assert!(options(&long).is_ok());
    }

    #[test]
    fn a_line_without_an_equals_sign_is_refused() {
        assert_eq!(options("[S]\nnothing\n"), Err(SyntaxError::OptionName));
        assert_eq!(options("[S]\nnothing"), Err(SyntaxError::End));
        assert_eq!(options("[S\nA=1\n"), Err(SyntaxError::SectionEnd));
        assert_eq!(options("[S] x\n"), Err(SyntaxError::Garbage(vec![b'x'])));
    }
}
