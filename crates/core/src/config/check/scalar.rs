//! Texts, numbers, durations, ports and environments: the small forms that values have.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use super::*;
use crate::{config::InstanceType, cost::Price, name::EnvName};

/// The longest value of a variable, and the longest command, in bytes: fleet refuses units with lines of 2,048 bytes.
const LONGEST_VALUE: usize = 1_500;

impl Reader {
    /// A text that is not empty. Numbers and booleans are told how to become one.
    pub(super) fn text<'a>(&mut self, entry: &Entry<'a>) -> Option<&'a str> {
        match &entry.value.value {
            Value::Text(text) if text.is_empty() => {
                self.report(Diagnostic::error(entry.place(), format!("`{}` is empty", shown(&entry.path))));
                None
            }
            Value::Text(text) if text.contains('\0') => {
                self.report(Diagnostic::error(
                    entry.place(),
                    format!("`{}` holds a NUL character", shown(&entry.path)),
                ));
                None
            }
            Value::Text(text) => Some(text),
            Value::Bool(text) | Value::Integer(_, text) | Value::Number(text) => {
                let problem = Diagnostic::error(entry.place(), format!("`{}` must be a text", shown(&entry.path)));
                let problem = problem.label(format!("found {}", entry.value.found()));
                self.report(problem.hint(format!("write it in quotes: `\"{}\"`", shown(text))));
                None
            }
            Value::Null | Value::List(_) | Value::Map(_) => {
                self.expected(entry, "a text");
                None
            }
        }
    }

    /// A text of a form that its type knows.
    pub(super) fn parse<T: FromStr<Err = NameError>>(&mut self, entry: &Entry<'_>, kind: &str) -> Option<T> {
        let text = self.text(entry)?;
        self.parse_text(text, entry.place(), kind)
    }

    /// As [`Self::parse`], for a text that stands at `span`: a key, perhaps.
    pub(super) fn parse_text<T: FromStr<Err = NameError>>(&mut self, text: &str, span: Span, kind: &str) -> Option<T> {
        let refused = |NameError(why)| Diagnostic::error(span, format!("`{}` is not {kind}", shown(text))).label(why);
        text.parse().map_err(|error| self.report(refused(error))).ok()
    }

    pub(super) fn integer(&mut self, entry: &Entry<'_>, range: RangeInclusive<u32>) -> Option<u32> {
        let number = match &entry.value.value {
            Value::Integer(number, _) => u32::try_from(*number).ok().filter(|number| range.contains(number)),
            _ => None,
        };
        if number.is_none() {
            self.expected(entry, &format!("a whole number from {} to {}", range.start(), range.end()));
        }
        number
    }

    /// Items of a list, each read by `read`; nothing is left of the list when one could not be.
    pub(super) fn list<'a, T>(
        &mut self,
        entry: &Entry<'a>,
        mut read: impl FnMut(&mut Self, &Entry<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Value::List(items) = &entry.value.value else {
            self.expected(entry, "a list");
            return None;
        };
        let read: Vec<Option<T>> = entry.items(items).iter().map(|item| read(self, item)).collect();
        read.into_iter().collect()
    }

    /// A duration such as `500ms` or `1m30s`, in `range`.
    pub(super) fn duration(&mut self, entry: &Entry<'_>, range: RangeInclusive<Duration>) -> Option<Duration> {
        if let Value::Integer(number, _) = &entry.value.value {
            let problem = Diagnostic::error(entry.place(), format!("`{}` has no unit", shown(&entry.path)));
            self.report(
                problem.label(format!("found {}", entry.value.found())).hint(format!("write `{number}s` for seconds")),
            );
            return None;
        }
        let duration = match &entry.value.value {
            Value::Text(text) => parse_duration(text),
            _ => None,
        };
        match duration {
            Some(duration) if range.contains(&duration) => return Some(duration),
            Some(_) => {
                let kind = format!("from {} to {}", show_duration(*range.start()), show_duration(*range.end()));
                self.expected(entry, &kind);
            }
            None => self.expected(entry, "a duration such as `500ms`, `5s`, `2m`, `1h30m` or `7d`"),
        }
        None
    }

    /// A port from 1 to 65535: a number, or one in quotes.
    pub(super) fn port(&mut self, entry: &Entry<'_>) -> Option<u16> {
        let port = match &entry.value.value {
            Value::Integer(_, text) | Value::Text(text) => parse_port(text),
            _ => None,
        };
        if port.is_none() {
            self.expected(entry, "a port from 1 to 65535");
        }
        port
    }

    /// Variables and their values. Scalars keep their spelling, nothing is an empty text; what cannot be read is
    /// reported and left out.
    pub(super) fn env(&mut self, entry: &Entry<'_>) -> BTreeMap<EnvName, String> {
        if matches!(entry.value.value, Value::List(_)) {
            let problem = Diagnostic::error(entry.place(), format!("`{}` must be a map", shown(&entry.path)));
            self.report(problem.label("found a list").hint("write `KEY: value` instead of `- KEY=value`"));
            return BTreeMap::new();
        }
        let mut env = BTreeMap::new();
        for (key, value) in self.entries(entry).unwrap_or_default() {
            let name = self.parse_text(key, value.key, "the name of a variable");
            let text = self.value(&value);
            env.extend(name.zip(text));
        }
        env
    }

    /// US dollars an hour by size.
    pub(super) fn prices(&mut self, entry: &Entry<'_>) -> BTreeMap<InstanceType, Price> {
        let mut prices = BTreeMap::new();
        for (key, value) in self.entries(entry).unwrap_or_default() {
            let size = self.parse_text(key, value.key, "a size");
            let price = match value.value.spelling() {
                Some(text) => self.parse_text(text, value.place(), "a price"),
                None => {
                    self.expected(&value, "a price in US dollars an hour, such as `0.0208`");
                    None
                }
            };
            prices.extend(size.zip(price));
        }
        prices
    }

    pub(super) fn value(&mut self, entry: &Entry<'_>) -> Option<String> {
        let Some(text) = entry.value.spelling() else {
            self.expected(entry, "a text, a number or a boolean");
            return None;
        };
        let fits = self.fits(entry, text.len());
        let whole = !text.contains('\0');
        if !whole {
            self.report(Diagnostic::error(entry.place(), format!("`{}` holds a NUL character", shown(&entry.path))));
        }
        (fits && whole).then(|| text.to_owned())
    }

    /// The words of a command: a list, or one text that is split as a shell would.
    pub(super) fn command(&mut self, entry: &Entry<'_>) -> Option<Vec<String>> {
        let words = match &entry.value.value {
            Value::List(_) => self.list(entry, |reader, item| match &item.value.value {
                // An empty argument is one, as it is in a text that is split.
                Value::Text(text) if text.is_empty() => Some(String::new()),
                _ => reader.text(item).map(str::to_owned),
            })?,
            Value::Text(_) => {
                let text = self.text(entry)?;
                let Some(words) = shlex::split(text) else {
                    let problem = Diagnostic::error(
                        entry.place(),
                        format!("`{}` has a quote or a backslash without its end", shown(&entry.path)),
                    );
                    self.report(problem.hint("write a list of words: `command: [\"serve\", \"--port\", \"80\"]`"));
                    return None;
                };
                words
            }
            _ => {
                self.expected(entry, "a text or a list of texts");
                return None;
            }
        };
        let length: usize = words.iter().map(|word| word.len() + 1).sum();
        self.fits(entry, length).then_some(words)
    }

    fn fits(&mut self, entry: &Entry<'_>, length: usize) -> bool {
        if length > LONGEST_VALUE {
            let message = format!("`{}` is longer than {LONGEST_VALUE} bytes", shown(&entry.path));
            let problem = Diagnostic::error(entry.place(), message).label(format!("{length} bytes"));
            self.report(
                problem.hint("fleet refuses longer lines; put it into the image, or where the service can fetch it"),
            );
        }
        length <= LONGEST_VALUE
    }
}

/// Whether it is a path in a container that an option of the engine can hold, whose fields have commas between them.
pub(super) fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && !text.ends_with('/')
        && text.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-' | '/'))
        && text.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."))
}

/// A port's one spelling: digits, without sign or leading zeros.
pub(super) fn parse_port(text: &str) -> Option<u16> {
    let digits = !text.starts_with('0') && text.chars().all(|char| char.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// A duration such as `500ms` or `1m30s`; nothing where it is none.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|char: char| char.is_ascii_digit()).len();
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        let behind = rest.get(digits..)?;
        let unit_length = behind.find(|char: char| char.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, after) = behind.split_at(unit_length);
        let (_, unit_millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
        millis = millis.checked_add(number.checked_mul(*unit_millis)?)?;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::from_millis(millis))
}

/// In the largest unit that tells it wholly.
pub fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let fitting =
        UNITS.iter().rev().find(|(_, unit)| millis.is_multiple_of(u128::from(*unit)) && millis >= u128::from(*unit));
    fitting.map_or_else(|| "0s".to_owned(), |(name, unit)| format!("{}{name}", millis / u128::from(*unit)))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use super::*;

    #[test]
    fn durations_are_sums_of_numbers_with_units() {
        let millis = |text: &str| parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(millis("500ms"), Some(500));
        assert_eq!(millis("1m30s"), Some(90_000));
        assert_eq!(millis("7d"), Some(604_800_000));
        for wrong in ["", "5", "s", "5 s", "-5s", "1.5s", "5w", "5s5", "99999999999999999999s", "9999999999999999d"] {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_duration_is_shown_in_its_largest_whole_unit() {
        let shown = |text: &str| show_duration(parse_duration(text).unwrap());
        assert_eq!(["90s", "60s", "24h", "0ms", "1500ms"].map(shown), ["90s", "1m", "1d", "0s", "1500ms"]);
    }
}
