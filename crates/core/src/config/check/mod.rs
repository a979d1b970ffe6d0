//! From the tree of a file to a [`Config`]: every problem is collected, and none stops the reading of the rest.

mod fleet;
mod group;
mod links;
mod previews;
mod regions;
mod scalar;
mod secrets;
mod service;
mod volumes;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    str::FromStr,
    time::Duration,
};

use self::fleet::Archives;
pub use self::scalar::{parse_duration, show_duration};
pub(super) use self::secrets::LONGEST_SECRET_NAME;
use super::{
    Config, Previews,
    diagnostic::{Diagnostic, Severity, Span, without_mark},
    overlay::environments_of,
    raw::{self, Entry, Section},
    tree::{self, Node, Value},
};
use crate::name::{EnvironmentName, NameError, shown};

/// The most replicas of a service on a host, and the most hosts of a group: what is beyond is a typing error.
pub(super) const MOST_REPLICAS: u32 = 100;
/// The most tries of a health check.
pub(super) const MOST_RETRIES: u32 = 1_000;
/// The most previews at a time: each has hosts, which cost money.
pub(super) const MOST_PREVIEWS: u32 = 100;
/// What a root volume may have, in GiB: Flatcar's image needs the least, EBS has no larger gp3 volume.
pub(super) const DISK: RangeInclusive<u32> = 8..=16_384;

/// In bytes; a file may be hostile, and its reading should end.
const LARGEST_FILE: usize = 256 * 1024;

/// The most problems that are told of one file: nobody reads more, and each is shown with its line.
const MOST_PROBLEMS: usize = 100;

/// Said of a value with `${VAR}` in it.
const UNFILLED: &str = "`${…}` is not filled in by skipper";

const START: Span = Span { line: 1, column: 1, length: 0 };

/// Reads and checks the text of a `skipper.yml` as it is for the environment that needs no word in it, `production`; `path` is the
/// file as the user named it, for messages.
///
/// # Errors
/// As [`load_for`].
pub fn load(source: &str, path: &str) -> Result<Config, Vec<Diagnostic>> {
    load_for(source, path, &EnvironmentName::production())
}

/// Every problem that a file has for any of its environments, each once, in the order of their places.
pub fn problems_of_all(source: &str, path: &str) -> Vec<Diagnostic> {
    let named = document(source).map(|root| environments_of(&root)).unwrap_or_default();
    let environments = [EnvironmentName::production(), EnvironmentName::of_previews()].into_iter().chain(named);
    let problems = |environment| load_for(source, path, &environment).map_or_else(|all| all, |config| config.warnings);
    let mut all: Vec<Diagnostic> = environments.flat_map(problems).collect();
    all.sort_by(|a, b| a.span.cmp(&b.span).then_with(|| a.message.cmp(&b.message)));
    all.dedup();
    all
}

/// Reads and checks the text of a `skipper.yml` for one environment: what `environments` says of it stands above the rest.
///
/// # Errors
/// All problems of the file in the order of their places, warnings among them; at least one is an error.
pub fn load_for(source: &str, path: &str, environment: &EnvironmentName) -> Result<Config, Vec<Diagnostic>> {
    let mut reader = Reader::default();
    let config = match document(source) {
        Ok(root) => {
            let root = reader.for_environment(root, environment);
            reader.file(&root)
        }
        Err(problem) => {
            reader.report(*problem);
            None
        }
    };
    let mut problems = reader.problems;
    for problem in &mut problems {
        path.clone_into(&mut problem.file);
    }
    problems.sort_by(|a, b| a.span.cmp(&b.span).then_with(|| a.message.cmp(&b.message)));
    // A value that is used twice, by an alias, has its problem once.
    problems.dedup();
    // What else is wrong with a text that was to be filled in, is not known.
    problems.retain(|problem| !reader.unfilled.contains(&problem.span) || problem.message == UNFILLED);
    shorten(&mut problems);
    match config {
        Some(config) if problems.iter().all(|problem| problem.severity == Severity::Warning) => {
            Ok(Config { warnings: problems, spans: reader.spans, ..config })
        }
        _ => Err(problems),
    }
}

/// Leaves the first problems, and says how many there are beside them.
fn shorten(problems: &mut Vec<Diagnostic>) {
    let all = problems.len();
    if all <= MOST_PROBLEMS {
        return;
    }
    let has_errors = problems.iter().any(|problem| problem.severity == Severity::Error);
    if has_errors {
        problems.retain(|problem| problem.severity == Severity::Error);
    }
    problems.truncate(MOST_PROBLEMS);
    let Some(last) = problems.last() else { return };
    let message = format!("{} more problems are not shown", all - problems.len());
    let rest = if has_errors { Diagnostic::error(last.span, message) } else { Diagnostic::warning(last.span, message) };
    let rest = Diagnostic { file: last.file.clone(), ..rest };
    problems.push(rest.hint("mend the ones above first"));
}

fn document(source: &str) -> Result<Node, Box<Diagnostic>> {
    if source.len() > LARGEST_FILE {
        let problem = Diagnostic::error(START, format!("the file is larger than {} KiB", LARGEST_FILE / 1024));
        return Err(Box::new(problem.hint("is it the right file?")));
    }
    tree::parse(without_mark(source))
}

/// Collects what is read of a file, and what is wrong with it. Its methods return nothing for what they have reported.
#[derive(Default)]
pub(super) struct Reader {
    problems: Vec<Diagnostic>,
    spans: BTreeMap<String, Span>,
    /// The host ports that each service fixes, with their places.
    host_ports: BTreeMap<String, Vec<(u16, Span)>>,
    /// Places of texts that were refused because they hold `${VAR}`.
    unfilled: BTreeSet<Span>,
    /// Services some of whose ports could not be read.
    ports_in_doubt: BTreeSet<String>,
    /// What each service links to, with the places of the links.
    links: BTreeMap<String, Vec<(String, Span)>>,
    /// Whether the file is read for previews.
    pub(super) for_previews: bool,
}

impl Reader {
    pub(super) fn report(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    /// Reports that a value is not of the kind its key asks for.
    fn expected(&mut self, entry: &Entry<'_>, kind: &str) {
        let message = format!("`{}` must be {kind}", shown(&entry.path));
        self.report(Diagnostic::error(entry.place(), message).label(format!("found {}", entry.value.found())));
    }

    fn file(&mut self, root: &Node) -> Option<Config> {
        const SMALLEST: &str = "write at least `name`, `services` and `groups`";
        match &root.value {
            Value::Map(_) => {}
            Value::Null => {
                self.report(Diagnostic::error(START, "the file is empty").hint(SMALLEST));
                return None;
            }
            _ => {
                let problem = Diagnostic::error(root.span, "the file must be a map of keys and values");
                self.report(problem.label(format!("found {}", root.found())).hint(SMALLEST));
                return None;
            }
        }
        self.interpolations(root, false);
        let root = Entry { path: String::new(), key: START, value: root };
        let file: raw::File<'_> = self.section(&root)?;

        let project = file.name.as_ref().and_then(|name| self.parse(name, "a name"));
        let regions = self.regions(&file);
        let account = file.account.as_ref().and_then(|account| self.account(account));
        if let Some(orchestrator) = &file.orchestrator {
            self.orchestrator(orchestrator);
        }
        let env = file.env.as_ref().map(|env| self.env(env)).unwrap_or_default();
        let fleet = file.fleet.as_ref().map_or_else(|| Some(Archives::default()), |fleet| self.fleet(fleet));
        let previews = file.previews.as_ref().map_or_else(|| Some(Previews::default()), |entry| self.previews(entry));
        let services = file.services.as_ref().and_then(|services| self.services(services, &env));
        if let Some(previews) = &previews {
            self.refuse_links_on_shared_hosts(previews);
        }
        let names: Vec<&str> = file.services.as_ref().map(|services| keys_of(services.value)).unwrap_or_default();
        let groups = match &file.groups {
            Some(groups) => self.groups(groups, &names, fleet.as_ref()),
            None => Some(BTreeMap::new()),
        };
        if groups.is_some() {
            self.unlisted(file.services.as_ref(), file.groups.as_ref());
        }
        if let (Some([_, _, ..]), Some(groups)) = (regions.as_deref(), &groups) {
            self.refuse_what_is_of_one_region(groups);
        }
        let prices = file.prices.as_ref().map(|prices| self.prices(prices)).unwrap_or_default();
        let (regions, groups) = (regions?, groups?);
        Some(Config {
            project: project?,
            region: regions.first()?.clone(),
            regions,
            account,
            services: services?,
            fleet: fleet?.of(&groups),
            groups,
            prices,
            previews: previews?,
            warnings: Vec::new(),
            spans: BTreeMap::new(),
        })
    }

    /// The entries of a map, each key once.
    pub(super) fn entries<'a>(&mut self, entry: &Entry<'a>) -> Option<Vec<(&'a str, Entry<'a>)>> {
        let Value::Map(map) = &entry.value.value else {
            self.expected(entry, "a map");
            return None;
        };
        let mut entries: Vec<(&str, Entry<'_>)> = Vec::new();
        let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
        for (key, value) in map {
            let Some(name) = key.spelling().filter(|_| !matches!(key.value, Value::Null)) else {
                self.report(
                    Diagnostic::error(key.span, "a key must be a word").label(format!("found {}", key.found())),
                );
                continue;
            };
            let path = if entry.path.is_empty() { name.to_owned() } else { format!("{}.{name}", entry.path) };
            if let Some(first) = seen.get(name) {
                let problem = Diagnostic::error(key.span, format!("`{}` is there twice", shown(&path)));
                self.report(problem.label("again").related(*first, "first").hint("keep one of them"));
                continue;
            }
            seen.insert(name, key.span);
            self.spans.insert(path.clone(), key.span);
            entries.push((name, Entry { path, key: key.span, value }));
        }
        Some(entries)
    }

    /// A map whose keys are known.
    fn section<'a, S: Section<'a>>(&mut self, entry: &Entry<'a>) -> Option<S> {
        let mut section = S::default();
        for (key, value) in self.entries(entry)? {
            if key.starts_with("x-") {
                continue;
            }
            match section.slot(key) {
                Some(slot) => *slot = Some(value),
                None => self.unknown::<S>(key, &value),
            }
        }
        for (key, example) in S::REQUIRED {
            if section.slot(key).is_some_and(|value| value.is_none()) {
                let path = if entry.path.is_empty() { (*key).to_owned() } else { format!("{}.{key}", entry.path) };
                self.report(Diagnostic::error(entry.key, format!("`{}` is missing", shown(&path))).hint(*example));
            }
        }
        Some(section)
    }

    fn unknown<'a, S: Section<'a>>(&mut self, key: &str, entry: &Entry<'_>) {
        let find = |table: &'static [(&'static str, &'static str)]| {
            table.iter().find(|(known, _)| *known == key).map(|(_, text)| *text)
        };
        let path = shown(&entry.path);
        if let Some(instead) = find(S::LATER) {
            self.report(Diagnostic::error(entry.key, format!("`{path}` is not built yet")).hint(instead));
            return;
        }
        let problem = Diagnostic::error(entry.key, format!("`{path}` is not a key of skipper"));
        let hint = match (find(S::FOREIGN), self.nearest(key, S::KEYS)) {
            (Some(ours), _) => ours.to_owned(),
            (None, Some(near)) => format!("did you mean `{near}`?"),
            (None, None) => format!("the keys here are {}; keys that begin with `x-` are left alone", listed(S::KEYS)),
        };
        self.report(problem.hint(hint));
    }

    /// `${VAR}`, which other tools would fill in. Left alone, it would reach the container as it stands.
    fn interpolations(&mut self, node: &Node, in_command: bool) {
        match &node.value {
            Value::Map(entries) => {
                for (key, value) in entries {
                    let key = key.spelling().unwrap_or_default();
                    if !key.starts_with("x-") {
                        self.interpolations(value, in_command || key == "command");
                    }
                }
            }
            Value::List(items) => items.iter().for_each(|item| self.interpolations(item, in_command)),
            Value::Text(text) if text.split("${").skip(1).any(|rest| rest.contains('}')) => {
                // A shell in the container may well be meant to see it.
                let problem = if in_command {
                    Diagnostic::warning(node.span, UNFILLED)
                        .hint("nothing to do if a shell in the container is to read it")
                } else {
                    self.unfilled.insert(node.span);
                    Diagnostic::error(node.span, UNFILLED).hint("write the value itself")
                };
                self.report(problem.label("this would reach the container as it stands"));
            }
            _ => {}
        }
    }

    /// The candidate that a misspelt word was probably meant to be.
    fn nearest<'a>(&self, word: &str, candidates: &[&'a str]) -> Option<&'a str> {
        // A file may be hostile: the distance takes the product of both lengths, and many words may have many candidates.
        if self.problems.len() >= MOST_PROBLEMS {
            return None;
        }
        let word: String = word.chars().take(64).collect();
        let allowed = (word.chars().count() / 3).max(1);
        candidates
            .iter()
            .filter(|candidate| candidate.len() <= 256)
            .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), *candidate))
            .filter(|(distance, _)| *distance <= allowed)
            .min()
            .map(|(_, candidate)| candidate)
    }

    fn account(&mut self, entry: &Entry<'_>) -> Option<String> {
        let spelling = entry.value.spelling().unwrap_or_default();
        let is_account = spelling.len() == 12 && spelling.chars().all(|char| char.is_ascii_digit());
        match &entry.value.value {
            Value::Text(text) if is_account => Some(text.clone()),
            Value::Integer(..) | Value::Number(_) if is_account => {
                let problem = Diagnostic::error(entry.place(), "`account` must be in quotes")
                    .label("as a number it would lose leading zeros");
                self.report(problem.hint(format!("write `account: \"{spelling}\"`")));
                None
            }
            _ => {
                self.expected(entry, "the 12 digits of an AWS account, in quotes");
                None
            }
        }
    }

    fn orchestrator(&mut self, entry: &Entry<'_>) {
        let Some(text) = self.text(entry) else { return };
        match text {
            "fleet" => {}
            "swarm" => {
                let problem = Diagnostic::error(entry.place(), "`orchestrator: swarm` is not built yet");
                self.report(problem.hint("write `orchestrator: fleet`, or leave it out"));
            }
            _ => self.expected(entry, "`fleet`"),
        }
    }

    /// Warns of services that run nowhere, and refuses those that others are to find.
    fn unlisted(&mut self, services: Option<&Entry<'_>>, groups: Option<&Entry<'_>>) {
        let Some(Value::Map(services)) = services.map(|services| &services.value.value) else { return };
        let listed: BTreeSet<&str> = groups.map(|groups| services_of(groups.value)).unwrap_or_default();
        for (key, _) in services {
            if let Some(name) = key.spelling().filter(|name| !listed.contains(name)) {
                let message = format!("service `{}` runs nowhere", shown(name));
                let problem = match self.link_to(name, &listed) {
                    Some((from, place)) => {
                        Diagnostic::error(key.span, message).related(place, format!("`{}` is to find it", shown(from)))
                    }
                    None => Diagnostic::warning(key.span, message),
                };
                let hint = format!("add it to the `services` of a group: `services: [{}]`", shown(name));
                self.report(problem.label("no group lists it").hint(hint));
            }
        }
    }
}

/// The keys of a map, as they are spelt.
fn keys_of(node: &Node) -> Vec<&str> {
    match &node.value {
        Value::Map(entries) => entries.iter().filter_map(|(key, _)| key.spelling()).collect(),
        _ => Vec::new(),
    }
}

/// The services that any group lists.
fn services_of(groups: &Node) -> BTreeSet<&str> {
    fn values<'a>(node: &'a Node, wanted: &'a str) -> impl Iterator<Item = &'a Node> {
        let entries = if let Value::Map(entries) = &node.value { entries.as_slice() } else { &[] };
        entries.iter().filter(move |(key, _)| key.spelling() == Some(wanted)).map(|(_, value)| value)
    }
    let groups = if let Value::Map(groups) = &groups.value { groups.as_slice() } else { &[] };
    let lists = groups.iter().flat_map(|(_, group)| values(group, "services"));
    let items = lists.flat_map(|list| if let Value::List(items) = &list.value { items.as_slice() } else { &[] });
    items.filter_map(Node::spelling).collect()
}

/// `a`, `b` and `c`, each in backticks; of many the first.
fn listed(words: &[&str]) -> String {
    const MOST: usize = 20;
    let mut quoted: Vec<String> = words.iter().take(MOST).map(|word| format!("`{}`", shown(word))).collect();
    if words.len() > MOST {
        quoted.push(format!("{} more", words.len() - MOST));
    }
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => "none".to_owned(),
    }
}
