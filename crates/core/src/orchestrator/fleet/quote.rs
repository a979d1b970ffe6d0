//! The one place where words are quoted for a systemd command line (`systemd.service(5)`, section "Command lines"; `systemd.syntax(7)`).

use std::fmt::Write as _;

/// Quotes one word of an `ExecStart=` so that systemd passes it on unchanged: in double quotes, with C escapes, and with
/// specifiers (`%`) and variables (`$`) doubled. A NUL cannot be passed in a word and is dropped.
pub(super) fn systemd_word(word: &str) -> String {
    let mut quoted = String::with_capacity(word.len() + 2);
    quoted.push('"');
    // Most words hold nothing that is not taken as it is.
    let plain = word.bytes().position(|byte| byte.is_ascii_control() || matches!(byte, b'"' | b'\\' | b'%' | b'$'));
    let (plain, rest) = word.split_at(plain.unwrap_or(word.len()));
    quoted.push_str(plain);
    for char in rest.chars() {
        match char {
            '\0' => {}
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(char);
            }
            '%' | '$' => {
                quoted.push(char);
                quoted.push(char);
            }
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            control if control.is_ascii_control() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// The opposite of [`systemd_word`], for words that it wrote; nothing for any other text.
pub(super) fn systemd_unword(quoted: &str) -> Option<String> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut word = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next()? {
                'n' => word.push('\n'),
                't' => word.push('\t'),
                'r' => word.push('\r'),
                'x' => {
                    let digits: String = chars.by_ref().take(2).collect();
                    word.push(char::from(u8::from_str_radix(&digits, 16).ok()?));
                }
                escaped @ ('"' | '\\') => word.push(escaped),
                _ => return None,
            },
            '%' | '$' => {
                if chars.next()? != char {
                    return None;
                }
                word.push(char);
            }
            '"' => return None,
            other => word.push(other),
        }
    }
    // One word has one spelling: whatever else reads as it was written by somebody else.
    (systemd_word(&word) == quoted).then_some(word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_systemd_would_read_as_its_own_is_escaped() {
        assert_eq!(systemd_word("plain"), r#""plain""#);
        assert_eq!(systemd_word(r#"say "hi" \ 100% ${HOME} $X"#), r#""say \"hi\" \\ 100%% $${HOME} $$X""#);
        assert_eq!(systemd_word("two\nlines\tand\u{1b}[0m"), r#""two\nlines\tand\x1b[0m""#);
        assert_eq!(systemd_word(";"), r#"";""#);
    }

    #[test]
    fn every_character_is_quoted_wherever_it_stands() {
        for char in ('\u{1}'..='\u{ff}').chain("€\u{2028}\u{feff}\u{1f511}".chars()) {
            for word in [format!("{char}"), format!("a{char}"), format!("{char}a"), format!("{char}{char}")] {
                let quoted = systemd_word(&word);
                // A line end or a backslash at the end of one would make it another line of the unit.
                assert!(!quoted.contains(|char: char| char.is_ascii_control()), "{quoted:?}");
                assert_eq!(systemd_unword(&quoted), Some(word));
            }
        }
        assert_eq!(systemd_word("a\0b"), systemd_word("ab"));
        for other in ["plain", r#""open"#, r#""a\x41""#, r#""\q""#, r#""$A""#, r#""100%""#, "\"a\0b\"", "\"a\u{1b}b\""]
        {
            assert_eq!(systemd_unword(other), None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn a_quoted_word_is_one_line_and_reads_back(word in "[^\0]{0,60}") {
            let quoted = systemd_word(&word);
            prop_assert!(!quoted.contains(['\n', '\r', '\t']));
            prop_assert_eq!(systemd_unword(&quoted), Some(word));
        }
    }
}
