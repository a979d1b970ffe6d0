//! A script for a host: a static text with one header of quoted assignments in front; the only place where shell words are quoted.

use std::{fmt::Write as _, io::Read as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};

use crate::desired::Scope;

/// A script that is sent to hosts. The text is a file of this repository; only the header differs from run to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What it does, for log lines and the command's comment, such as `observe`.
    pub name: &'static str,
    /// The assignments in front of the text.
    pub header: Vec<(&'static str, String)>,
    /// The static text.
    pub body: &'static str,
    /// The name under which this very text may be kept where scripts are run, so that a run that may not send texts can have
    /// it carried out; absent for one that differs from run to run.
    pub kept_as: Option<String>,
}

/// The assignment that says whose hosts or replicas the script is about.
pub const SCOPE: &str = "SCOPE";
/// The assignment that carries the number of the lease.
const FENCE: &str = "FENCE";

impl Script {
    /// The text that is sent: the assignments, each value quoted for a POSIX shell, then the body.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.body.len() + 256);
        for (name, value) in &self.header {
            let _ = writeln!(text, "{name}={}", quote(value));
        }
        match self.kept_as {
            // What is kept is a part of a template, whose size is bounded.
            Some(_) => text.extend(self.body.lines().filter(|line| !is_comment(line)).flat_map(|line| [line, "\n"])),
            None => text.push_str(self.body),
        }
        text
    }

    /// The script as a run under this lease sends it: a host that has seen a later lease refuses it.
    #[must_use]
    pub fn fenced(&self, lease: u64) -> Self {
        let mut fenced = self.clone();
        fenced.header.push((FENCE, lease.to_string()));
        fenced.kept_as = None;
        fenced
    }

    /// Whose hosts or replicas it is about.
    pub fn scope(&self) -> Option<Scope> {
        self.value(SCOPE)?.parse().ok()
    }

    /// The lease under which it was sent.
    pub fn fence(&self) -> Option<u64> {
        self.value(FENCE)?.parse().ok()
    }

    /// The value of one assignment of the header.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.header.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

/// Whether a line of a script is for its readers alone. What is kept has no text of several lines in it.
fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// Quotes one word for a POSIX shell. A NUL cannot be passed in a shell word and is dropped.
pub fn quote(word: &str) -> String {
    let word: String = word.chars().filter(|char| *char != '\0').collect();
    shlex::try_quote(&word).map_or_else(|_| "''".to_owned(), std::borrow::Cow::into_owned)
}

/// The mark that opens a script's result: the first thing it prints.
pub const RESULT_OPENS: &str = "skipper-result:";
/// The mark that closes a result; without it the result was cut off.
pub const RESULT_CLOSES: &str = ":end";

/// Bytes of a script's output that one listing of invocations carries
/// (the `Output` of `ListCommandInvocations` holds 2,500 characters; the marks and a margin are taken off).
pub const RESULT_LIMIT: usize = 2_400;

/// Why a script's output could not be read as a result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResultError {
    /// The script printed something else first, or nothing.
    #[error("its output does not begin with a result")]
    Missing,
    /// The end mark is not there: the output was cut.
    #[error("its result was cut off before the end mark")]
    Truncated,
    /// The payload is not what the marks promise.
    #[error("its result cannot be decoded")]
    Garbled,
}

/// The most a decoded result may hold; a host that says more is not believed.
const DECODED_LIMIT: u64 = 1024 * 1024;

/// Takes the compressed result out of a script's output: `skipper-result:<base64 of gzip>:end`.
///
/// # Errors
/// When there is no result, it was cut off, or it cannot be decoded.
pub fn decode_result(output: &str) -> Result<String, ResultError> {
    let rest = output.trim_start().strip_prefix(RESULT_OPENS).ok_or(ResultError::Missing)?;
    let (payload, _) = rest.split_once(RESULT_CLOSES).ok_or(ResultError::Truncated)?;
    unpack(payload).ok_or(ResultError::Garbled)
}

/// The opposite of [`decode_result`], as the host scripts do it in shell; for the simulated world and tests.
pub fn encode_result(text: &str) -> String {
    format!("{RESULT_OPENS}{}{RESULT_CLOSES}\n", pack(text))
}

/// Compresses a text into one shell-safe word: gzip, then base64.
pub fn pack(text: &str) -> String {
    pack_bytes(text.as_bytes())
}

/// The same of what need not be text.
pub fn pack_bytes(bytes: &[u8]) -> String {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing into a vector cannot fail.
    let _ = std::io::Write::write_all(&mut encoder, bytes);
    STANDARD.encode(encoder.finish().unwrap_or_default())
}

/// The opposite of [`pack`]; white space within the word (as `base64` folds lines) is ignored.
pub fn unpack(word: &str) -> Option<String> {
    unpack_within(word, DECODED_LIMIT)
}

/// The same for a text of at most so many bytes.
pub fn unpack_within(word: &str, limit: u64) -> Option<String> {
    unpack_bytes(word, limit).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The same for what need not be text.
pub fn unpack_bytes(word: &str, limit: u64) -> Option<Vec<u8>> {
    let word: String = word.chars().filter(|char| !char.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(word).ok()?;
    let mut unpacked = Vec::new();
    // Reading one byte more tells a text that fits from the beginning of one that does not.
    let length = GzDecoder::new(&bytes[..]).take(limit + 1).read_to_end(&mut unpacked).ok()?;
    (length as u64 <= limit).then_some(unpacked)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_assigns_quoted_words_in_front_of_the_static_text() {
        let script = Script {
            name: "greet",
            header: vec![("WHO", "O'Neil; rm -rf /".to_owned())],
            body: "echo \"$WHO\"\n",
            kept_as: None,
        };
        assert_eq!(script.text(), "WHO=\"O'Neil; rm -rf /\"\necho \"$WHO\"\n");
    }

    #[test]
    fn what_is_kept_is_without_what_is_said_of_it() {
        let body = "# Greets.\nif true; then\n  # Loudly.\n  echo '# HELLO'\nfi\n";
        let script = Script { name: "greet", header: Vec::new(), body, kept_as: Some("greeting".to_owned()) };
        assert_eq!(script.text(), "if true; then\n  echo '# HELLO'\nfi\n");
        assert_eq!(script.fenced(7).text(), format!("FENCE=7\n{body}"));
    }

    #[test]
    fn a_result_that_was_cut_off_is_not_taken_for_a_short_one() {
        let output = encode_result("all is well");
        assert_eq!(decode_result(&output).as_deref(), Ok("all is well"));
        assert_eq!(decode_result(&output[..output.len() - 5]), Err(ResultError::Truncated));
        assert_eq!(decode_result("sh: 1: gzip: not found"), Err(ResultError::Missing));
        assert_eq!(decode_result("skipper-result:%%%:end"), Err(ResultError::Garbled));
    }

    #[test]
    fn a_result_that_grows_without_end_is_not_taken_for_its_beginning() {
        let line = "stray\ta.service\n";
        let most = usize::try_from(DECODED_LIMIT).unwrap() / line.len();
        assert!(decode_result(&encode_result(&line.repeat(most))).is_ok());
        assert_eq!(decode_result(&encode_result(&line.repeat(most + 1))), Err(ResultError::Garbled));
    }

    /// The words that a real shell makes of quoted ones: each as a script's assignment, then all as arguments of one command.
    /// One call takes them all, because starting a shell takes longer than anything it does here.
    #[expect(clippy::disallowed_methods, reason = "what a shell does with a word is for the shell to say")]
    fn through(shell: &str, locale: &str, words: &[String]) -> [Vec<String>; 2] {
        let assigned = |word: &String| Script {
            name: "word",
            header: vec![("WORD", word.clone())],
            body: "printf '%s\\0' \"$WORD\"\n",
            kept_as: None,
        };
        let mut text: String = words.iter().map(|word| assigned(word).text()).collect();
        let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
        let _ = writeln!(text, "set -- {}\nfor word do printf '%s\\0' \"$word\"; done", quoted.join(" "));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let output =
            std::process::Command::new(shell).arg(file.path()).env_clear().env("LC_ALL", locale).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let output = String::from_utf8(output.stdout).unwrap();
        let mut told = output.split_terminator('\0').map(str::to_owned);
        [told.by_ref().take(words.len()).collect(), told.collect()]
    }

    fn hold(words: &[String]) {
        for (shell, locale) in [("sh", "C"), ("bash", "C"), ("bash", "C.UTF-8")] {
            let [assigned, passed] = through(shell, locale, words);
            assert_eq!(assigned, words, "assigned by {shell}, {locale}");
            assert_eq!(passed, words, "passed by {shell}, {locale}");
        }
    }

    /// Each character of Latin-1 alone, in the middle, at either end and doubled: their UTF-8 has most bytes that there are.
    #[test]
    fn every_character_goes_through_a_real_shell_wherever_it_stands() {
        let around = |char: char| {
            [format!("{char}"), format!("a{char}b"), format!("{char}-a"), format!("a {char}"), format!("{char}{char}")]
        };
        hold(&('\u{1}'..='\u{ff}').flat_map(around).collect::<Vec<_>>());
    }

    #[test]
    fn words_that_a_shell_would_take_apart_go_through_it_whole() {
        let words = [
            "",
            "-",
            "--",
            "-n",
            "-e x",
            "--help",
            "~",
            "~root",
            "a=b",
            "#",
            "# x",
            "!",
            "!!",
            "!$",
            "^a^b",
            "*",
            "?",
            "[a-z]",
            "{a,b}",
            "{1..3}",
            "$HOME",
            "${HOME}",
            "$(id)",
            "`id`",
            "$((1+1))",
            "$'\\n'",
            "\\",
            "\\\\",
            "a\\",
            "\\\n",
            "'",
            "''",
            "'\"'\"'",
            "\"",
            "\\\"",
            ";",
            "&",
            "&&",
            "|",
            "||",
            "<",
            ">",
            ">>x",
            "<<EOF\nx\nEOF",
            "(",
            ")",
            "()",
            "\n",
            "\r\n",
            "a\nb",
            "\t",
            " ",
            "  a  ",
            "if",
            "done",
            "é",
            "€",
            "\u{1f511}",
            "\u{202e}",
            "\u{feff}",
            "e\u{301}",
            "\u{85}",
            "\u{2028}",
        ];
        hold(&words.map(str::to_owned));
        let long = ["x", "'", "\"$", "\\", "\n", "é€"].map(|piece| piece.repeat(100_000 / piece.len()));
        hold(&long);
    }

    #[test]
    fn what_no_shell_can_hold_is_left_out_of_a_word() {
        assert_eq!(through("sh", "C", &["a\0b\0".to_owned()])[0], ["ab"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_words_come_out_of_a_real_shell_as_they_went_in(
            words in proptest::collection::vec(prop_oneof!["[^\0]{0,40}", "[-'\"\\\\$`!~#&|;<>(){}*?\\[\\] \n\r\ta=]{0,12}"], 1..40),
        ) {
            hold(&words);
        }
    }

    proptest! {
        #[test]
        fn packing_loses_nothing(text in ".{0,200}") {
            prop_assert_eq!(unpack(&pack(&text)), Some(text));
        }
    }
}
