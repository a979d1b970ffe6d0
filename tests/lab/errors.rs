//! The table in `docs/errors.md`: what bad input was answered with in these trials, held against what is written there.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::PathBuf,
    sync::Mutex,
};

use regex::Regex;
use skipper_lab::{Change, Outcome};

use crate::{
    World,
    shop::{Shop, Told},
};

const PREFACE: &str = "\
# Errors

What skipper says when it cannot do what it is asked for, with its exit code (they are explained in the README) and with what
had been touched by then. Ids and addresses are left out. A run always asks its hosts what they run, and writes its comment and
its outputs; what is listed as touched is what is there afterwards and was not before.

This file is written by the trials of the binary in the lab and checked by them: `SKIPPER_BLESS=1 cargo test --test lab`.
";

const HEAD: &str = "| what is wrong | what is said | exit | what was touched |\n| --- | --- | --- | --- |\n";

/// What the rows are grouped by, in the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Section {
    File,
    Run,
    Images,
    Credentials,
    Launches,
    Trouble,
    Hosts,
    Lease,
    Names,
    GitHub,
}

impl Section {
    const ALL: [Self; 10] = [
        Self::File,
        Self::Run,
        Self::Images,
        Self::Credentials,
        Self::Launches,
        Self::Trouble,
        Self::Hosts,
        Self::Lease,
        Self::Names,
        Self::GitHub,
    ];

    const fn title(self) -> &'static str {
        match self {
            Self::File => "skipper.yml",
            Self::Run => "Inputs, the event and the runner's files",
            Self::Images => "Builds and registries",
            Self::Credentials => "Credentials and permissions",
            Self::Launches => "Launches",
            Self::Trouble => "AWS in trouble",
            Self::Hosts => "Hosts and their scripts",
            Self::Lease => "The lease",
            Self::Names => "Hostile names",
            Self::GitHub => "GitHub",
        }
    }
}

/// Rows by section and input; a row is its line in the file.
type Rows = BTreeMap<(Section, String), String>;

/// The rows that the trials have seen so far.
#[derive(Default)]
pub(crate) struct Table(Mutex<Rows>);

impl World {
    /// Runs what cannot go well, and keeps what was told, with which exit code and after touching what, as a row.
    ///
    /// What was touched is not what the run says of itself but what the cloud carried out and the registry has since.
    #[track_caller]
    pub(crate) fn refusal(&self, shop: &Shop, section: Section, input: &str, run: impl FnOnce() -> Told) -> Told {
        let before = self.tags(shop);
        self.lab.cloud().clear_calls().unwrap();
        let told = run();
        let touched = touched(&before, &self.tags(shop), &self.lab.cloud().changes().unwrap());
        let said = said(&told.outcome, &shop.name);
        let code = told.outcome.code.expect("it ends by itself");
        let line = format!("| {input} | {} | {code} | {touched} |\n", cell(&said));
        let former = self.table.0.lock().unwrap().insert((section, input.to_owned()), line.clone());
        assert!(former.is_none_or(|former| former == line), "two rows for `{input}` in {section:?}");
        told
    }

    /// The tags that the registry has for a project's services.
    fn tags(&self, shop: &Shop) -> BTreeSet<String> {
        let registry = self.lab.topology().registry();
        let list = |service| {
            let url = format!("http://{registry}/v2/{}/{service}/tags/list", shop.name);
            let answer = self.lab.http_get(&url).unwrap();
            let tags = answer.json().unwrap_or(serde_json::Value::Null)["tags"].clone();
            serde_json::from_value::<Vec<String>>(tags).unwrap_or_default()
        };
        ["web", "clock"].into_iter().flat_map(list).collect()
    }
}

impl Table {
    /// Compares with the file, or writes it where `SKIPPER_BLESS` is set. Rows that are not in `self` are left over only after a
    /// `whole` run.
    pub(crate) fn settle(&self, whole: bool) -> Result<(), String> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let written = parse(&text);
        let seen = self.0.lock().unwrap().clone();
        let mut expected = if whole { Rows::new() } else { written.clone() };
        expected.extend(seen);
        let unwritten = expected.iter().filter(|(key, row)| written.get(*key) != Some(*row)).map(|(_, row)| ('+', row));
        let unseen = written.iter().filter(|(key, row)| expected.get(*key) != Some(*row)).map(|(_, row)| ('-', row));
        let drift: String = unseen.chain(unwritten).map(|(sign, row)| format!("{sign}{row}")).collect();
        if drift.is_empty() && (!whole || text == render(&expected)) {
            return Ok(());
        }
        if env::var_os("SKIPPER_BLESS").is_some() {
            return fs::write(&path, render(&expected)).map_err(|error| format!("writing docs/errors.md: {error}"));
        }
        Err(format!(
            "docs/errors.md says something else; write it anew with SKIPPER_BLESS=1, and look at the difference\n{drift}"
        ))
    }
}

fn render(rows: &Rows) -> String {
    Section::ALL.iter().fold(PREFACE.to_owned(), |text, section| {
        let rows: String = rows.iter().filter(|((of, _), _)| of == section).map(|(_, row)| row.as_str()).collect();
        if rows.is_empty() { text } else { format!("{text}\n## {}\n\n{HEAD}{rows}", section.title()) }
    })
}

fn parse(text: &str) -> Rows {
    let mut section = None;
    let mut rows = Rows::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = Section::ALL.into_iter().find(|section| section.title() == title);
        }
        let row = line.strip_prefix("| ").filter(|_| !HEAD.contains(line)).and_then(|row| row.split_once(" | "));
        if let (Some(section), Some((input, _))) = (section, row) {
            rows.insert((section, input.to_owned()), format!("{line}\n"));
        }
    }
    rows
}

/// What went wrong as a workflow's log has it, on one line each, and what to do about it.
fn said(outcome: &Outcome, project: &str) -> String {
    let lines: Vec<&str> = outcome.log.lines().collect();
    let find = |mark: &str| lines.iter().position(|line| line.starts_with(mark));
    // Where a run says how it failed, the lines of the file that it marks on the way say nothing more.
    let Some(first) = ["::error::", "::error", "error: ", "::warning"].into_iter().find_map(find) else {
        return "nothing".to_owned();
    };
    let mark = lines[first].split([' ', ':']).find(|word| !word.is_empty()).unwrap_or_default();
    let has_no_place = lines[first].starts_with(&format!("::{mark}::"));
    let mut said: Vec<&str> = Vec::new();
    for line in &lines[first..] {
        let command = line.strip_prefix("::").and_then(|command| command.split_once("::"));
        let counts = |command: &str| if has_no_place { command == mark } else { command.starts_with(mark) };
        match command.filter(|(command, _)| counts(command)) {
            // What stands in a file is marked there, its message as the mark's title.
            Some((command, message)) => said.push(command.split_once(",title=").map_or(message, |(_, title)| title)),
            None if said.is_empty() => said.push(line.trim_start_matches("error: ")),
            None => said.extend(
                line.trim_start_matches([' ', '=']).strip_prefix("hint: ").map(|_| line.trim_start_matches([' ', '='])),
            ),
        }
    }
    settled(&said.join("\n"), project)
}

/// Without what differs between two runs, and between two machines.
fn settled(text: &str, project: &str) -> String {
    let text = text.replace("%0A", " ").replace("%3A", ":").replace("%2C", ",").replace("%25", "%");
    let volatile = [
        (r": request `[^`]*`", ""),
        (r"(?-u:\b)(i|sg|ami|vpc|subnet|cmd)-[0-9a-f]{8,17}(?-u:\b)", "$1-…"),
        (r"(?-u:\b)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?-u:\b)", "…"),
        (r"sha256:[0-9a-f]{64}", "sha256:…"),
        (r"(commit|with) `[0-9a-f]{7}`", "$1 `…`"),
        (r"for commit [0-9a-f]{7}, since [-0-9T:.]+Z", "for commit …, since …"),
        (r"/actions/runs/[0-9]+", "/actions/runs/…"),
        (r"lease [0-9]+", "lease …"),
        // A session is called by its run.
        (r"/skipper-[0-9]+-[0-9]+", "/skipper-…"),
        (r"`pr-[0-9]+`", "`pr-…`"),
        (r"GetImageBlob[0-9]+", "GetImageBlob…"),
        // What the journal of an engine ends with that was killed again and again.
        (r"(Unit docker\.service is masked\. docker\.service:) [^\n]*", "$1 …"),
        // The resolver's own words, and how far a launch has come by then.
        (r"(failed to lookup address information): [^\n]*", "$1"),
        (r"is (pending|running) and its SSM agent", "is … and its SSM agent"),
        (r"(?-u:\b)[0-9a-f]{64}(?-u:\b)", "…"),
        (r"(?-u:\b)[0-9a-f]{40}(?-u:\b)", "…"),
        (r"(?-u:\b)(127|10)\.[0-9]+\.[0-9]+\.[0-9]+(:[0-9]+)?(?-u:\b)", "ADDRESS"),
        (r"/[^ `]*/(_temp|_runner|target/lab|tmp)/[^ `]*/", "…/"),
    ];
    let text = volatile
        .iter()
        .fold(text, |text, (pattern, to)| Regex::new(pattern).unwrap().replace_all(&text, *to).into_owned());
    [
        (format!("{project}-production"), "shop-production"),
        (format!("/skipper/{project}/"), "/skipper/shop/"),
        (format!("/{project}/"), "/shop/"),
    ]
    .iter()
    .fold(text, |text, (from, to)| text.replace(from, to))
}

/// As one cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "\\<").replace('\n', "<br>")
}

/// What is there now and was not before, in the order of a rollout: steps that go on side by side, and the record beside them,
/// come in no certain order of their own.
fn touched(before: &BTreeSet<String>, after: &BTreeSet<String>, changes: &[Change]) -> String {
    let mut touched = Vec::new();
    let mut new = after.difference(before).peekable();
    if new.peek().is_some() {
        // An image that is built gets a tag for its inputs, too; one that was there already only the commit's.
        let built = new.any(|tag| tag.starts_with("inputs-"));
        touched.push(if built { "images pushed" } else { "images tagged" }.to_owned());
    }
    for Change { action, about } in changes {
        let words = match action.as_str() {
            "CreateSecurityGroup" => "security groups created".to_owned(),
            "AuthorizeSecurityGroupIngress" => "rules added".to_owned(),
            "RevokeSecurityGroupIngress" => "rules removed".to_owned(),
            "RunInstances" => format!("host `{about}` launched"),
            "TerminateInstances" => "a host terminated".to_owned(),
            // Looking changes nothing, the lease is given back, and old leases and records are cleaned away in time.
            "SendCommand" if about == "skipper observe" => continue,
            "PutParameter" if about.contains("/lease/") => continue,
            "DeleteParameters" => continue,
            "SendCommand" => format!("`{}` sent to hosts", about.trim_start_matches("skipper ")),
            "PutParameter" if about.contains("/launches/") => "the launch noted".to_owned(),
            "PutParameter" if about.contains("/release") => "the release recorded".to_owned(),
            other => other.to_owned(),
        };
        if !touched.contains(&words) {
            touched.push(words);
        }
    }
    touched.sort_by_key(|words| (rank(words), words.clone()));
    if touched.is_empty() { "nothing".to_owned() } else { touched.join(", ") }
}

/// When it comes in a rollout.
fn rank(words: &str) -> usize {
    const ORDER: [&str; 10] = [
        "images",
        "security groups created",
        "rules added",
        "the launch noted",
        "launched",
        "`configure`",
        "`pull`",
        "`start`",
        "`remove`",
        "terminated",
    ];
    ORDER.iter().position(|known| words.contains(known)).unwrap_or(ORDER.len())
}
