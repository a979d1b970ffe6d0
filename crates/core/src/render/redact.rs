//! Takes what looks like a secret out of text from elsewhere, before it is shown where no runner masks anything.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What stands in a secret's place.
const HIDDEN: &str = "***";

/// Forms of secrets that their makers document, and words that come before others. The first group, if any, is kept.
static FORMS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // AWS's access keys.
        r"(?-u:\b)(?:AKIA|ASIA)[A-Z0-9]{16}(?-u:\b)",
        // GitHub's tokens.
        r"(?-u:\b)(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{20,})",
        // Signed tokens of any issuer.
        r"(?-u:\b)eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*",
        // A password in an address.
        r"([a-z][a-z0-9+.-]*://[^/ \t:@]*:)[^/ \t@]+@",
        // The credentials of a request.
        r"((?i-u:authorization[:=]?[ \t]+(?:bearer|basic)|bearer)[ \t]+)[A-Za-z0-9+/_.=-]{12,}",
        // What is assigned to a name that says so.
        r#"([A-Za-z0-9_.-]*(?i-u:passw(?:or)?d|secret|token|api[_-]?key|access[_-]?key|credential)[A-Za-z0-9_.-]*["']?[ \t]*[:=][ \t]*["']?)[^ \t"',;&]{3,}"#,
    ]
    .iter()
    .filter_map(|form| Regex::new(form).ok())
    .collect()
});

/// The text without what looks like a secret.
pub fn redacted(text: &str) -> String {
    FORMS.iter().fold(text.to_owned(), |text, form| {
        form.replace_all(&text, |found: &Captures<'_>| {
            let kept = found.get(1).map_or("", |kept| kept.as_str());
            let at = if kept.contains("://") { "@" } else { "" };
            format!("{kept}{HIDDEN}{at}")
        })
        .into_owned()
    })
}

/// Lines that belong together, without what looks like a secret: of a private key none of them is shown.
pub(super) fn redacted_lines(lines: &[String]) -> Vec<String> {
    let mut in_key = false;
    let shown = lines.iter().map(|line| {
        let begins = line.contains("-----BEGIN ") && line.contains("PRIVATE KEY-----");
        let hidden = in_key && !begins;
        in_key = (in_key || begins) && !line.contains("-----END ");
        if hidden { HIDDEN.to_owned() } else { redacted(line) }
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_hidden_and_the_words_around_it_stay() {
        for (text, shown) in [
            ("using AKIAIOSFODNN7EXAMPLE now", "using *** now"),
            ("git: ghs_16C7e42F292c6912E7710c838347Ae178B4a", "git: ***"),
            ("postgres://app:hunter2@db:5432/x", "postgres://app:***@db:5432/x"),
            ("DATABASE_PASSWORD=hunter2 PORT=80", "DATABASE_PASSWORD=*** PORT=80"),
            (r#"{"api_key": "abc123", "a": 1}"#, r#"{"api_key": "***", "a": 1}"#),
            ("Authorization: Bearer abcdefgh12345678", "Authorization: Bearer ***"),
            ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "jwt ***"),
            ("-----BEGIN RSA PRIVATE KEY-----MIIE", "***"),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }

    #[test]
    fn ordinary_words_stay_as_they_are() {
        for text in ["GET /up 200", "listening on http://0.0.0.0:80/", "tokens: 3", "exit code 3, out of memory"] {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn of_a_private_key_nothing_is_shown() {
        let lines =
            ["key:", "-----BEGIN EC PRIVATE KEY-----", "MHcCAQEE", "IObtR", "-----END EC PRIVATE KEY-----", "done"];
        let shown = redacted_lines(&lines.map(str::to_owned));
        assert_eq!(shown, ["key:", "***", "***", "***", "***", "done"]);
    }

    #[test]
    fn every_form_is_one_that_can_be_read() {
        assert_eq!(FORMS.len(), 7);
    }
}
