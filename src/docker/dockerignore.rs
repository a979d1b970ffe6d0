//! Which files of a build context `.dockerignore` leaves out.
//!
//! The rules are Docker's, which are not git's: a pattern is anchored at the context's root, the last
//! pattern that matches a path or one of its folders decides, and a `!` pattern brings back files of a
//! folder that is left out. They are those of <https://github.com/moby/patternmatcher>, described in
//! <https://docs.docker.com/build/concepts/context/#dockerignore-files>; each pattern is turned into the
//! regular expression that Docker makes of it.

use regex::Regex;

/// A pattern that Docker would refuse as well.
#[derive(Debug, thiserror::Error)]
#[error("`{pattern}` is no pattern of a .dockerignore file")]
pub(super) struct BadPattern {
    pattern: String,
    #[source]
    source: Option<regex::Error>,
}

/// The patterns of one `.dockerignore` file.
#[derive(Debug, Default)]
pub(super) struct Dockerignore {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    /// Matches a path, and whatever is below it.
    matcher: Regex,
    /// A `!` pattern: what matches is sent after all.
    is_exception: bool,
    /// The folders that every match begins with, as far as the pattern spells them out.
    stem: String,
}

impl Dockerignore {
    /// Reads the text of a `.dockerignore` file.
    pub(super) fn parse(text: &str) -> Result<Self, BadPattern> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim);
        let rules = lines
            .filter(|line| !line.is_empty())
            .filter_map(|line| Rule::parse(line).transpose())
            .collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }

    /// Whether a path, relative to the context and with `/` between its parts, is left out.
    pub(super) fn excludes(&self, path: &str) -> bool {
        let last = self.rules.iter().rev().find(|rule| rule.matcher.is_match(path));
        last.is_some_and(|rule| !rule.is_exception)
    }

    /// Whether something below a folder that is left out may be sent after all.
    ///
    /// Saves walking through the likes of `node_modules`; a needless yes costs time only.
    pub(super) fn may_include_below(&self, folder: &str) -> bool {
        let exceptions = self.rules.iter().filter(|rule| rule.is_exception);
        exceptions
            .map(|rule| rule.stem.as_str())
            .any(|stem| is_at_or_below(stem, folder) || is_at_or_below(folder, stem))
    }
}

impl Rule {
    /// Nothing for a pattern that stands for the context itself, which cannot be left out.
    fn parse(line: &str) -> Result<Option<Self>, BadPattern> {
        let (is_exception, pattern) = match line.strip_prefix('!') {
            Some(pattern) => (true, pattern.trim()),
            None => (false, line),
        };
        let bad = |source| BadPattern { pattern: line.to_owned(), source };
        if pattern.is_empty() {
            return Err(bad(None));
        }
        let pattern = clean(pattern);
        if pattern.is_empty() {
            return Ok(None);
        }
        let matcher = Regex::new(&expression(&pattern)).map_err(|error| bad(Some(error)))?;
        let spelled_out = |part: &&str| !part.contains(['*', '?', '[', '\\']);
        let stem = pattern.split('/').take_while(spelled_out).collect::<Vec<_>>().join("/");
        Ok(Some(Self { matcher, is_exception, stem }))
    }
}

/// Whether `path` is `folder` or lies in it; everything lies in the folder without a name.
pub(super) fn is_at_or_below(path: &str, folder: &str) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The shortest spelling of a path, relative to the context: what Go's `path.Clean` makes of it,
/// without the slash in front.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if path.starts_with('/') => {}
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// The regular expression of a cleaned pattern, for a path and for everything below it.
fn expression(pattern: &str) -> String {
    let mut expression = String::from("(?s)^(?:");
    let mut rest = pattern.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '*' if rest.next_if_eq(&'*').is_some() => {
                // `**/` stands for any number of folders, none included; at the end, for anything.
                rest.next_if_eq(&'/');
                expression.push_str(if rest.peek().is_none() { ".*" } else { "(?:.*/)?" });
            }
            '*' => expression.push_str("[^/]*"),
            '?' => expression.push_str("[^/]"),
            '[' => class(&mut rest, &mut expression),
            '\\' => push_literal(rest.next().unwrap_or('\\'), &mut expression),
            literal => push_literal(literal, &mut expression),
        }
    }
    expression.push_str(")(?:/.*)?$");
    expression
}

/// Copies the inside of `[...]`, where only `^`, `-` and `\` have a meaning in a pattern but more have one in a regular expression.
fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, expression: &mut String) {
    expression.push('[');
    if rest.next_if_eq(&'^').is_some() {
        expression.push('^');
    }
    while let Some(character) = rest.next() {
        match character {
            ']' => return expression.push(']'),
            '-' => expression.push('-'),
            '\\' => push_literal(rest.next().unwrap_or('\\'), expression),
            literal => push_literal(literal, expression),
        }
    }
    // Never closed: the regular expression is invalid, as is the pattern.
}

fn push_literal(literal: char, expression: &mut String) {
    expression.push_str(&regex::escape(literal.encode_utf8(&mut [0; 4])));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent<'a>(ignore: &str, paths: &[&'a str]) -> Vec<&'a str> {
        let ignore = Dockerignore::parse(ignore).unwrap();
        paths.iter().copied().filter(|path| !ignore.excludes(path)).collect()
    }

    /// Pattern, a path, whether the path is left out: the examples of Docker's documentation, and the cases in which git differs.
    const TABLE: &[(&str, &str, bool)] = &[
        // Anchored at the root, unlike git.
        ("foo", "foo", true),
        ("foo", "sub/foo", false),
        ("foo", "foo/bar/baz", true),
        ("foo", "foobar", false),
        ("/foo/bar", "foo/bar", true),
        ("foo/bar", "foo/bar", true),
        ("/foo/bar", "sub/foo/bar", false),
        ("foo/", "foo", true),
        ("./foo/../bar", "bar", true),
        // One part of the path.
        ("*/temp*", "somedir/temporary.txt", true),
        ("*/temp*", "somedir/temp", true),
        ("*/temp*", "somedir/sub/temporary.txt", false),
        ("*/*/temp*", "somedir/subdir/temporary.txt", true),
        ("temp?", "tempa", true),
        ("temp?", "temp", false),
        ("temp?", "tempab", false),
        ("*.md", "README.md", true),
        ("*.md", "docs/README.md", false),
        ("*", "anything/at/all", true),
        // Any number of parts, none included.
        ("**/*.go", "main.go", true),
        ("**/*.go", "a/b/c/main.go", true),
        ("**/foo", "foo", true),
        ("**/foo", "a/foo", true),
        ("**/foo", "a/xfoo", false),
        ("a/**", "a/b/c", true),
        ("a/**", "b/a/c", false),
        ("a/**/z", "a/z", true),
        ("a/**/z", "a/b/c/z", true),
        ("a**z", "a/b/z", true),
        ("foo**", "foobar/baz", true),
        ("**", "anything", true),
        // Classes and escapes; what means something elsewhere only.
        ("a[b-d]e", "ace", true),
        ("a[b-d]e", "aee", false),
        ("a[^b-d]e", "aee", true),
        ("a[&&b]", "a&", true),
        (r"a\*", "a*", true),
        (r"a\*", "ab", false),
        ("a.c", "abc", false),
        ("{a,b}", "a", false),
        ("{a,b}", "{a,b}", true),
        ("(a|b)+$", "(a|b)+$", true),
        // The context itself.
        (".", "a", false),
        ("/", "a", false),
    ];

    #[test]
    fn patterns_mean_what_they_mean_to_docker() {
        for (pattern, path, left_out) in TABLE {
            let ignore = Dockerignore::parse(pattern).unwrap();
            assert_eq!(ignore.excludes(path), *left_out, "`{pattern}` and `{path}`");
        }
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let paths = ["README.md", "README-secret.md", "CHANGES.md"];
        assert_eq!(sent("*.md\n!README*.md\nREADME-secret.md", &paths), ["README.md"]);
        assert_eq!(sent("*.md\nREADME-secret.md\n!README*.md", &paths), ["README.md", "README-secret.md"]);
        assert_eq!(sent("!README.md\n*.md", &paths), [""; 0]);
    }

    #[test]
    fn an_exception_brings_back_files_of_a_folder_that_is_left_out() {
        let ignore = "node_modules\n!node_modules/keep/**\n!**/*.lock";
        assert_eq!(
            sent(ignore, &["node_modules/a/b.js", "node_modules/keep/c.js", "node_modules/a/yarn.lock"]),
            ["node_modules/keep/c.js", "node_modules/a/yarn.lock"]
        );
        assert_eq!(
            sent("*\n!src\n!Cargo.toml", &["src/main.rs", "Cargo.toml", "target/x"]),
            ["src/main.rs", "Cargo.toml"]
        );
    }

    #[test]
    fn only_folders_that_an_exception_can_reach_are_walked() {
        let ignore = Dockerignore::parse("a\nb\n!a/keep/*.js").unwrap();
        assert!(
            ignore.may_include_below("a") && ignore.may_include_below("a/keep") && ignore.may_include_below("a/keep/x")
        );
        assert!(
            !ignore.may_include_below("b")
                && !ignore.may_include_below("a/other")
                && !ignore.may_include_below("a/keeper")
        );
        assert!(Dockerignore::parse("b\n!**/x").unwrap().may_include_below("b/c"));
        assert!(!Dockerignore::parse("b").unwrap().may_include_below("b"));
    }

    #[test]
    fn comments_blank_lines_and_a_byte_order_mark_are_no_patterns() {
        let ignore = Dockerignore::parse("\u{feff}# all notes\r\n\r\n  *.txt \r\n ! keep.txt\n").unwrap();
        assert_eq!(ignore.rules.len(), 2);
        assert!(ignore.excludes("a.txt") && !ignore.excludes("keep.txt"));
    }

    #[test]
    fn a_pattern_that_docker_refuses_is_refused_by_name() {
        assert_eq!(Dockerignore::parse("a\n!").unwrap_err().to_string(), "`!` is no pattern of a .dockerignore file");
        assert_eq!(Dockerignore::parse("a[b").unwrap_err().to_string(), "`a[b` is no pattern of a .dockerignore file");
    }
}
