//! What differs from one environment to another: what `environments` says of the one that is meant stands above the rest.

use super::{
    check::Reader,
    diagnostic::Diagnostic,
    raw::Entry,
    tree::{Node, Value},
};
use crate::{
    name::{EnvironmentName, shown},
    preview::PREVIEW,
};

/// The key that holds them.
const KEY: &str = "environments";
/// A key whose map is replaced as a whole.
const WHOLE: &str = "logging";

/// Two keys that say the same in different ways: one above takes the place of the other below.
const REGIONS: [&str; 2] = ["region", "regions"];

/// The most of them: the whole file is read for each.
const MOST: usize = 50;

/// Keys that are the whole project's, each with why.
const OF_THE_PROJECT: [(&str, &str); 3] = [
    ("name", "an environment is one of the project's, which has one name"),
    ("previews", "previews are the project's, whatever the environment"),
    (KEY, "an environment has none of its own"),
];

impl Reader {
    /// The file as it is for one environment.
    pub(super) fn for_environment(&mut self, root: Node, environment: &EnvironmentName) -> Node {
        // Previews have what the file says of `preview`, each of them.
        let wanted = if environment.pull_request().is_some() { PREVIEW } else { environment.as_ref() };
        self.for_previews = wanted == PREVIEW;
        let Node { span, value: Value::Map(mut entries) } = root else { return root };
        let Some(index) = entries.iter().position(|(key, _)| key.spelling() == Some(KEY)) else {
            return Node { span, value: Value::Map(entries) };
        };
        let (key, value) = entries.remove(index);
        let root = Node { span, value: Value::Map(entries) };
        let whole = Entry { path: KEY.to_owned(), key: key.span, value: &value };
        let Some(environments) = self.entries(&whole) else { return root };
        if environments.len() > MOST {
            let message = format!("`{KEY}` names {} of them, and {MOST} are the most", environments.len());
            self.report(Diagnostic::error(key.span, message));
            return root;
        }
        let mut names = Vec::new();
        let mut overlay = None;
        for (name, entry) in environments {
            let Some(known) = self.environment(name, &entry) else { continue };
            if known == *wanted {
                overlay = Some(entry.value);
            }
            names.push(known);
        }
        match overlay {
            Some(overlay) => merged(without_regions(root, overlay), overlay),
            None => {
                if ![EnvironmentName::PRODUCTION, PREVIEW].contains(&wanted) {
                    names.push(EnvironmentName::PRODUCTION.to_owned());
                    let message = format!("`{KEY}` does not name `{}`", shown(wanted));
                    let hint =
                        format!("write it there, if only as `{wanted}: {{}}`, or deploy to `{}`", names.join("`, `"));
                    self.report(Diagnostic::error(key.span, message).hint(hint));
                }
                root
            }
        }
    }

    /// The name of an environment that the file tells of, if both can be.
    fn environment(&mut self, name: &str, entry: &Entry<'_>) -> Option<String> {
        if let Err(error) = name.parse::<EnvironmentName>() {
            let message = format!("`{}` cannot be an environment: {error}", shown(name));
            self.report(Diagnostic::error(entry.key, message));
            return None;
        }
        if matches!(entry.value.value, Value::Null) {
            return Some(name.to_owned());
        }
        for (key, inner) in self.entries(entry)? {
            if let Some((_, why)) = OF_THE_PROJECT.iter().find(|(known, _)| *known == key) {
                let message = format!("`{}` cannot differ by environment", shown(&inner.path));
                self.report(Diagnostic::error(inner.key, message).hint(format!("leave it out: {why}")));
                return None;
            }
        }
        Some(name.to_owned())
    }
}

/// The environments that a file names.
pub(super) fn environments_of(root: &Node) -> Vec<EnvironmentName> {
    let entries = |node: &Node| match &node.value {
        Value::Map(entries) => entries.clone(),
        _ => Vec::new(),
    };
    let whole = entries(root).into_iter().find(|(key, _)| key.spelling() == Some(KEY));
    let named = whole.map(|(_, value)| entries(&value)).unwrap_or_default();
    named.iter().take(MOST).filter_map(|(key, _)| key.spelling()?.parse().ok()).collect()
}

/// The file without its regions, where an environment has others.
fn without_regions(root: Node, above: &Node) -> Node {
    let is_one = |(key, _): &(Node, Node)| key.spelling().is_some_and(|key| REGIONS.contains(&key));
    match (root, &above.value) {
        (Node { span, value: Value::Map(mut entries) }, Value::Map(above)) if above.iter().any(is_one) => {
            entries.retain(|entry| !is_one(entry));
            Node { span, value: Value::Map(entries) }
        }
        (root, _) => root,
    }
}

/// `base` with what stands above it: maps key by key, everything else as a whole.
fn merged(base: Node, above: &Node) -> Node {
    let Node { span, value } = base;
    match (value, &above.value) {
        // An environment of which nothing is said differs in nothing.
        (Value::Map(base), Value::Null) => Node { span, value: Value::Map(base) },
        (Value::Map(mut base), Value::Map(above)) => {
            for (key, value) in above {
                let known = base.iter().position(|(other, _)| other.spelling() == key.spelling());
                match known {
                    Some(index) => {
                        let (_, below) = base.remove(index);
                        let value = match (&below.value, &value.value) {
                            // Options of one log driver are none of another.
                            (Value::Map(_), Value::Map(_)) if key.spelling() != Some(WHOLE) => merged(below, value),
                            _ => value.clone(),
                        };
                        base.insert(index, (key.clone(), value));
                    }
                    None => base.push((key.clone(), value.clone())),
                }
            }
            Node { span, value: Value::Map(base) }
        }
        (value, _) => Node { span, value },
    }
}
