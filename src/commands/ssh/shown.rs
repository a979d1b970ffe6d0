//! What a command on a host prints, as it is shown here.
//!
//! Into a file or a pipe it goes byte for byte: that is what was asked for, and it need not be text. A terminal or a workflow's runner
//! would obey what stands in it, and whoever wrote a log line or a file name on the host is not whoever looks at it: there it comes line
//! by line, made harmless. A command has no terminal of its own over there, so nothing that it means for one is lost by that.

use std::io::{self, IsTerminal as _, Write as _};

use skipper_core::render::text;
use skipper_deploy::command::Stream;

use super::super::output::Printer;

/// Bytes of a line that has no end yet; it is broken there.
const LONGEST_LINE: usize = 64 * 1024;

/// Where a command's streams go.
pub(super) struct Shown<'a> {
    out: Sink,
    err: Sink,
    conceal: &'a dyn Fn(String) -> String,
}

/// One of them.
struct Sink {
    is_harmless: bool,
    /// A line that has no end yet.
    rest: Vec<u8>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(printer: Printer, conceal: &'a dyn Fn(String) -> String) -> Self {
        let sink = |is_terminal| Sink { is_harmless: is_terminal || printer.is_workflow(), rest: Vec::new() };
        Self { out: sink(io::stdout().is_terminal()), err: sink(io::stderr().is_terminal()), conceal }
    }

    /// Shows what has come.
    pub(super) fn take(&mut self, stream: Stream, bytes: &[u8]) {
        let shown = match stream {
            Stream::Out => self.out.take(bytes, self.conceal),
            Stream::Err => self.err.take(bytes, self.conceal),
        };
        write(stream, &shown);
    }

    /// Shows lines that have got no end.
    pub(super) fn finish(&mut self) {
        write(Stream::Out, &self.out.finish(self.conceal));
        write(Stream::Err, &self.err.finish(self.conceal));
    }
}

impl Sink {
    fn take(&mut self, bytes: &[u8], conceal: &dyn Fn(String) -> String) -> Vec<u8> {
        if !self.is_harmless {
            return bytes.to_vec();
        }
        self.rest.extend_from_slice(bytes);
        let mut shown = Vec::new();
        while let Some(end) = self
            .rest
            .iter()
            .position(|byte| *byte == b'\n')
            .or_else(|| (self.rest.len() > LONGEST_LINE).then_some(LONGEST_LINE))
        {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            shown.extend(harmless(&line, conceal));
        }
        shown
    }

    fn finish(&mut self, conceal: &dyn Fn(String) -> String) -> Vec<u8> {
        match std::mem::take(&mut self.rest) {
            rest if rest.is_empty() => rest,
            rest => harmless(&rest, conceal),
        }
    }
}

fn harmless(line: &[u8], conceal: &dyn Fn(String) -> String) -> Vec<u8> {
    let line = String::from_utf8_lossy(line);
    format!("{}\n", text::line(&conceal(line.trim_end_matches(['\n', '\r']).to_owned()))).into_bytes()
}

/// Where a stream cannot be written nobody can be told.
fn write(stream: Stream, bytes: &[u8]) {
    let _ = match stream {
        Stream::Out => io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()),
        Stream::Err => io::stderr().write_all(bytes).and_then(|()| io::stderr().flush()),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(is_harmless: bool, parts: &[&[u8]]) -> Vec<u8> {
        let mut sink = Sink { is_harmless, rest: Vec::new() };
        let conceal = |text: String| text.replace("canary", "***");
        let mut shown: Vec<u8> = parts.iter().flat_map(|part| sink.take(part, &conceal)).collect();
        shown.extend(sink.finish(&conceal));
        shown
    }

    #[test]
    fn into_a_file_everything_goes_byte_for_byte() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        assert_eq!(taken(false, &[&all, b"\x1b[31mred", b"::error::x"]), [&all[..], b"\x1b[31mred::error::x"].concat());
    }

    #[test]
    fn where_it_would_be_obeyed_each_line_is_made_harmless_wherever_its_parts_meet() {
        let shown = taken(true, &[b"\x1b]0;ti", b"tle\x07plain\r\n::err", b"or::x\n the cana", b"ry\nno end"]);
        assert_eq!(String::from_utf8(shown).unwrap(), "plain\n:\u{200b}:error::x\n the ***\nno end\n");
        let long = vec![b'x'; 3 * LONGEST_LINE];
        assert_eq!(taken(true, &[&long]).iter().filter(|byte| **byte == b'\n').count(), 3);
    }
}
