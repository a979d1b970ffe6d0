//! A command that somebody has a host carry out, as it is asked for and as its output comes back: in parts, byte for byte.

use crate::script::quote;

/// The most bytes that one part of a stream may have. A host that says more is not believed.
pub const LARGEST_PART: u64 = 1024 * 1024;

/// One look at a command, which begins it where it is the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Its name, which no other command may have.
    pub asked: String,
    /// What the host's shell is told.
    pub text: String,
    /// From where on in its output.
    pub out: u64,
    /// From where on in its errors.
    pub err: u64,
}

/// What one look brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Of its output.
    pub out: Part,
    /// Of its errors.
    pub err: Part,
    /// How far it is.
    pub state: CommandState,
}

/// A part of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Where it begins.
    pub offset: u64,
    /// How much there was in all.
    pub total: u64,
    /// The part.
    pub bytes: Vec<u8>,
}

/// How far a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandState {
    /// It goes on.
    Running,
    /// It has ended with this exit code, and prints nothing any more.
    Ended(u8),
    /// It is gone, and nobody knows how it ended: somebody stopped it, or the host was restarted.
    Lost,
}

/// What a host's shell is told. One word is a line for it, with whatever a shell makes of it; several are a program and its arguments,
/// which arrive as they are.
pub fn shell_text(words: &[String]) -> String {
    match words {
        [line] => line.clone(),
        words => words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_is_a_line_and_several_are_a_program_with_its_arguments() {
        let text = |words: &[&str]| shell_text(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(text(&["docker ps | wc -l"]), "docker ps | wc -l");
        assert_eq!(text(&["ls", "-l", "a file", "$HOME"]), "ls -l 'a file' '$HOME'");
    }
}
