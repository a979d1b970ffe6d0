//! Mutations that leave lines of JSON what they are: bytes changed blindly would hardly ever be an event again.

use libfuzzer_sys::fuzzer_mutate;
use serde_json::Value;

/// What foreign text may hold that some reader of it would obey.
const HOSTILE: [&str; 24] = [
    "",
    "@team",
    "#1",
    "<img src=x>",
    "</details>",
    "<details>",
    "`",
    "``",
    "```",
    "~~~",
    "|",
    "\\|",
    "\\",
    "\n",
    "\r\n::error::x",
    "::add-mask::x",
    "##[command]x",
    "\u{1b}[31m",
    "\u{1b}]0;t\u{7}",
    "\u{202e}",
    "\u{feff}",
    "\u{2028}",
    "](javascript:x)",
    "é€🔑",
];
const NUMBERS: [u64; 7] = [0, 1, 2, 59_999, 65_536, u32::MAX as u64, u64::MAX];

/// A small generator: libFuzzer gives a seed for each call.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or_default() % limit.max(1)
    }

    fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Changes one line of the input, or the order of its lines; now and then any byte.
pub fn mutate_lines(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut dice = Dice(u64::from(seed) << 8 | 0x9e37_79b9);
    let text = std::str::from_utf8(&data[..size]).unwrap_or_default();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() || dice.below(8) == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let at = dice.below(lines.len());
    let other = dice.below(lines.len());
    match dice.below(12) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(other, lines[at].clone()),
        2 => lines.swap(at, other),
        _ => {
            let Ok(mut value) = serde_json::from_str::<Value>(&lines[at]) else {
                return fuzzer_mutate(data, size, max_size);
            };
            for _ in 0..=dice.below(3) {
                let nodes = count(&value);
                change(&mut value, &mut dice.below(nodes).clone(), &mut dice);
            }
            lines[at] = value.to_string();
        }
    }
    let changed = lines.join("\n");
    if changed.len() > max_size {
        return fuzzer_mutate(data, size, max_size);
    }
    data[..changed.len()].copy_from_slice(changed.as_bytes());
    changed.len()
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(entries) => entries.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// Changes the node that is reached after `left` others.
fn change(value: &mut Value, left: &mut usize, dice: &mut Dice) -> bool {
    if *left == 0 {
        change_here(value, dice);
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| change(item, left, dice)),
        Value::Object(entries) => entries.values_mut().any(|entry| change(entry, left, dice)),
        _ => false,
    }
}

fn change_here(value: &mut Value, dice: &mut Dice) {
    match value {
        Value::String(text) => {
            let piece = dice.one_of(&HOSTILE);
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            match dice.below(4) {
                0 => *text = (*piece).to_owned(),
                1 => text.insert_str(*dice.one_of(&places), piece),
                2 => *text = text.repeat(1 + dice.below(200)),
                _ => text.push_str(piece),
            }
        }
        Value::Number(_) => *value = (*dice.one_of(&NUMBERS)).into(),
        Value::Bool(is) => *is = !*is,
        Value::Null => *value = if dice.below(2) == 0 { "text".into() } else { Value::Array(Vec::new()) },
        Value::Array(items) if !items.is_empty() => {
            let at = dice.below(items.len());
            match dice.below(3) {
                0 => drop(items.remove(at)),
                _ => (0..1 + dice.below(40)).for_each(|_| items.insert(at, items[at].clone())),
            }
        }
        Value::Array(items) => items.push("text".into()),
        Value::Object(entries) => {
            let keys: Vec<String> = entries.keys().cloned().collect();
            if !keys.is_empty() {
                let key = dice.one_of(&keys);
                match dice.below(3) {
                    0 => drop(entries.remove(key)),
                    1 => drop(entries.insert(key.clone(), Value::Null)),
                    _ => drop(entries.insert(format!("{key}{}", dice.one_of(&HOSTILE)), Value::Null)),
                }
            }
        }
    }
}
