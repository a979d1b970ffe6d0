//! Reads recorded calls: blocks of a command, its exit code, its standard output and standard error.

/// A recorded call.
#[derive(Debug)]
pub(crate) struct Block {
    /// Lines before the command that say what is about to happen, those of blocks without a command included.
    pub(crate) notes: Vec<String>,
    /// Without the host that it was run on.
    pub(crate) command: String,
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The blocks of a recording. Streams are read by their recorded length, since a text may hold anything.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let mut rest = text;
    let mut notes = Vec::new();
    let mut blocks = Vec::new();
    while let Some(line) = next_line(&mut rest) {
        if let Some(note) = line.strip_prefix("# ") {
            notes.push(note.to_owned());
        } else if let Some(command) = line.strip_prefix("$ ") {
            let command = command.split("    [on ").next().unwrap().to_owned();
            let exit = next_line(&mut rest).unwrap();
            let exit = exit.strip_prefix("-- exit code: ").unwrap().split(' ').next().unwrap().parse().unwrap();
            let stdout = stream(&mut rest, "-- stdout (");
            let stderr = stream(&mut rest, "-- stderr (");
            blocks.push(Block { notes: std::mem::take(&mut notes), command, exit, stdout, stderr });
        }
    }
    blocks
}

fn next_line<'a>(rest: &mut &'a str) -> Option<&'a str> {
    if rest.is_empty() {
        return None;
    }
    let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
    *rest = after;
    Some(line)
}

fn stream(rest: &mut &str, head: &str) -> String {
    let length = next_line(rest).unwrap().strip_prefix(head).unwrap();
    let length: usize = length.strip_suffix(" bytes):").unwrap().parse().unwrap();
    if length == 0 {
        assert_eq!(next_line(rest), Some("(empty)"));
        return String::new();
    }
    let (stream, after) = rest.split_at(length);
    *rest = after;
    stream.to_owned()
}

#[test]
fn a_stream_without_a_last_newline_ends_where_its_length_says() {
    let text = "====\n# why\n====\n$ curl x    [on m1]\n-- exit code: 3   (0.1 s)\n-- stdout (4 bytes):\na\nb]-- stderr (0 bytes):\n(empty)\n";
    let [block] = &blocks(text)[..] else { panic!("one block expected") };
    assert_eq!((&*block.command, block.exit), ("curl x", 3));
    assert_eq!((&*block.stdout, &*block.stderr), ("a\nb]", ""));
    assert_eq!(block.notes, ["why"]);
}
