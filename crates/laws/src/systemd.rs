//! How systemd reads a service's command line, written from `systemd.syntax(7)` and `systemd.service(5)` and not from skipper's quoting.

/// The words of `ExecStart=`, as the program gets them.
pub(crate) fn exec_start(unit: &str) -> Vec<String> {
    let lines = logical_lines(unit);
    let commands: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("ExecStart=")).collect();
    assert_eq!(commands.len(), 1, "one command in {unit:?}");
    words(commands[0])
}

/// Lines as systemd joins them: a backslash at the end goes on with the next line, comments in between are left out.
pub(crate) fn logical_lines(unit: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut begun = String::new();
    for line in unit.split('\n') {
        let line = line.trim_start_matches([' ', '\t', '\r']);
        if line.starts_with(['#', ';']) {
            continue;
        }
        begun.push_str(line);
        // An even number of backslashes is so many escaped ones.
        let slashes = begun.len() - begun.trim_end_matches('\\').len();
        if slashes % 2 == 1 {
            begun.pop();
            begun.push(' ');
        } else {
            lines.push(std::mem::take(&mut begun));
        }
    }
    assert_eq!(begun, "", "the last line goes on");
    lines
}

fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = command.chars().peekable();
    loop {
        while chars.next_if(|char| char.is_ascii_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return words;
        }
        let mut word: Vec<u8> = Vec::new();
        let mut quote = None;
        while let Some(char) = chars.next_if(|char| quote.is_some() || !char.is_ascii_whitespace()) {
            match char {
                _ if quote == Some(char) => quote = None,
                '"' | '\'' if quote.is_none() => quote = Some(char),
                '\\' => escape(&mut chars, &mut word),
                other => word.extend(other.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
        assert_eq!(quote, None, "a quote stays open in {command:?}");
        words.push(expand(&String::from_utf8(word).unwrap()));
    }
}

/// One escape sequence, behind its backslash.
fn escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, word: &mut Vec<u8>) {
    let kind = chars.next().unwrap();
    word.push(match kind {
        'a' => 0x07,
        'b' => 0x08,
        't' => b'\t',
        'n' => b'\n',
        'v' => 0x0b,
        'f' => 0x0c,
        'r' => b'\r',
        's' => b' ',
        'x' => u8::from_str_radix(&chars.by_ref().take(2).collect::<String>(), 16).unwrap(),
        '"' | '\'' | '\\' => u8::try_from(kind).unwrap(),
        other => panic!("systemd knows no escape `\\{other}`"),
    });
}

/// Specifiers and variables: none is meant, so each `%` and `$` must be one of two.
fn expand(word: &str) -> String {
    let mut expanded = String::new();
    let mut chars = word.chars();
    while let Some(char) = chars.next() {
        if matches!(char, '%' | '$') {
            assert_eq!(chars.next(), Some(char), "systemd would expand a part of {word:?}");
        }
        expanded.push(char);
    }
    expanded
}
