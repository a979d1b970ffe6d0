//! YAML as a tree in which every node knows its place, so that all problems of a file can be told at once.

use std::fmt;

use serde::{Deserialize, Deserializer, de};
use serde_saphyr::{
    Location, Spanned,
    options::{DuplicateKeyPolicy, NonFiniteFloatPolicy},
};

use super::diagnostic::{Diagnostic, Lines, Span};
use crate::name::shown;

/// A value of the file.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where it begins; of what it spans, the first line. A block of its own has no length.
    pub(super) span: Span,
    pub(super) value: Value,
}

/// A YAML value. Scalars other than text keep their spelling: `012` and `1.50` would be lost as numbers.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(String),
    Integer(i64, String),
    /// A number that is no integer of 64 bits.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file; the same key may be there twice.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The spelling of a scalar: what a person reads in the file, without quotes.
    pub(super) fn spelling(&self) -> Option<&str> {
        match &self.value {
            Value::Bool(text) | Value::Integer(_, text) | Value::Number(text) | Value::Text(text) => Some(text),
            Value::Null => Some(""),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// What stands here, for "found …".
    pub(super) fn found(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(text) => format!("`{}`", shown(text)),
            Value::Integer(_, text) | Value::Number(text) => format!("the number `{}`", shown(text)),
            Value::Text(text) => format!("the text `{}`", shown(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }
}

/// Reads one YAML document. An empty one is a [`Value::Null`].
pub(super) fn parse(source: &str) -> Result<Node, Box<Diagnostic>> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        // YAML 1.2: `yes` and `off` are texts.
        strict_booleans: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        // More than a file of the size that is read can say by itself: what aliases repeat is counted each time.
        budget: serde_saphyr::budget! { max_nodes: 50_000 },
    };
    let lines = Lines::new(source);
    serde_saphyr::from_str_with_options::<Spanned<Parsed>>(source, options)
        .map(|root| place(root, source, &lines))
        .map_err(|error| Box::new(not_yaml(error.without_snippet(), &lines)))
}

/// A [`Node`] before it has its place and spelling, which only [`Spanned`] around it knows.
enum Parsed {
    Null,
    Bool,
    Integer(i64),
    Number,
    Text(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<Self>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Parsed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any YAML value")
            }

            fn visit_unit<E>(self) -> Result<Parsed, E> {
                Ok(Parsed::Null)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Parsed, E> {
                Ok(Parsed::Bool)
            }

            fn visit_i64<E>(self, number: i64) -> Result<Parsed, E> {
                Ok(Parsed::Integer(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Parsed, E> {
                Ok(i64::try_from(number).map_or(Parsed::Number, Parsed::Integer))
            }

            fn visit_i128<E>(self, _: i128) -> Result<Parsed, E> {
                Ok(Parsed::Number)
            }

            fn visit_u128<E>(self, _: u128) -> Result<Parsed, E> {
                Ok(Parsed::Number)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Parsed, E> {
                Ok(Parsed::Number)
            }

            fn visit_str<E>(self, text: &str) -> Result<Parsed, E> {
                Ok(Parsed::Text(text.to_owned()))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Parsed, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Parsed::List(list))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Parsed, A::Error> {
                let mut map = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    map.push(entry);
                }
                Ok(Parsed::Map(map))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

fn place(parsed: Spanned<Parsed>, source: &str, lines: &Lines<'_>) -> Node {
    let written = source_text(parsed.defined, source);
    let spelling = || written.trim().to_owned();
    let value = match parsed.value {
        Parsed::Null => Value::Null,
        Parsed::Bool => Value::Bool(spelling()),
        Parsed::Integer(number) => Value::Integer(number, spelling()),
        Parsed::Number => Value::Number(spelling()),
        Parsed::Text(text) => Value::Text(text),
        Parsed::List(items) => Value::List(items.into_iter().map(|item| place(item, source, lines)).collect()),
        Parsed::Map(entries) => {
            let entries =
                entries.into_iter().map(|(key, value)| (place(key, source, lines), place(value, source, lines)));
            Value::Map(entries.collect())
        }
    };
    let length = written.split(['\n', '\r']).next().unwrap_or_default().trim_end().chars().count();
    Node { span: lines.clamp(span(parsed.defined, length)), value }
}

/// What the file says between the ends of a scalar, quotes included; nothing for most other nodes.
fn source_text(at: Location, source: &str) -> &str {
    let bytes = at.span().byte_offset().zip(at.span().byte_len());
    let range = bytes.and_then(|(start, length)| {
        let start = usize::try_from(start).ok()?;
        Some(start..start.checked_add(usize::try_from(length).ok()?)?)
    });
    range.and_then(|range| source.get(range)).unwrap_or_default()
}

fn span(at: Location, length: usize) -> Span {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Span { line: number(at.line()), column: number(at.column()), length }
}

fn not_yaml(error: &serde_saphyr::Error, lines: &Lines<'_>) -> Diagnostic {
    let at = error.location().unwrap_or(Location::UNKNOWN);
    let at = lines.clamp(span(at, 1));
    if matches!(error, serde_saphyr::Error::MultipleDocuments { .. }) {
        return Diagnostic::error(at, "the file holds more than one YAML document")
            .hint("remove the second `---` and what follows it");
    }
    let message = error.to_string();
    // The library ends its messages with the place, which is shown already.
    let message = message.split(" at line ").next().unwrap_or_default();
    if message.starts_with("budget breached") {
        return Diagnostic::error(at, "the file is larger than a configuration can be, with what its aliases repeat")
            .hint("repeat less by `*` aliases of lists in lists");
    }
    let problem = Diagnostic::error(at, "the file is not YAML").label(shown(message));
    match message.starts_with("tabs ") {
        true => problem.hint("indent with blanks: YAML takes no tabs there"),
        false => problem,
    }
}
