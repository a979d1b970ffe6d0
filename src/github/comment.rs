//! Which comment is a run's own, and what is to be done to it: decided on values.

use std::fmt;

use serde::Deserialize;
use skipper_core::{image::Revision, render::ShownPlan};

/// The marker's beginning; `v1` is the version of what follows.
const OPEN: &str = "<!-- skipper:v1 ";
const CLOSE: &str = " -->";

/// The first line of a comment, which says whose it is. It is first so that cutting the text cannot lose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marker<'a> {
    /// Which comment of the pull request: `<project>/<environment>`.
    pub key: &'a str,
    /// The run that wrote it, and its attempt; absent outside a workflow.
    pub run: Option<(u64, u32)>,
    /// The commit it is about, for people and their tools; never read back.
    pub revision: Option<&'a Revision>,
}

impl fmt::Display for Marker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{OPEN}key={}", self.key)?;
        if let Some((run, attempt)) = self.run {
            write!(f, " run={run}.{attempt}")?;
        }
        if let Some(revision) = self.revision {
            write!(f, " sha={revision}")?;
        }
        f.write_str(CLOSE)
    }
}

impl<'a> Marker<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let fields = line.trim_end().strip_prefix(OPEN)?.strip_suffix(CLOSE)?;
        let field = |name| {
            fields
                .split(' ')
                .filter_map(|field| field.split_once('='))
                .find_map(|(key, value)| (key == name).then_some(value))
        };
        let run = field("run").and_then(|run| {
            let (run, attempt) = run.split_once('.')?;
            Some((run.parse().ok()?, attempt.parse().ok()?))
        });
        Some(Self { key: field("key")?, run, revision: None })
    }
}

/// The whole text of a comment. A plan that is in the comment now stays in it, unless the text brings its own.
pub(super) fn text(marker: Marker<'_>, body: &str, found: Option<&Comment>) -> String {
    let brings_its_own = ShownPlan::find(body).is_some();
    let kept = found.filter(|_| !brings_its_own).and_then(|found| ShownPlan::find(&found.body));
    let kept = kept.map(|line| format!("{line}\n")).unwrap_or_default();
    format!("{marker}\n{kept}{body}")
}

/// The part that matters of a comment. Only what GitHub's schema promises is required.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Comment {
    pub id: u64,
    pub html_url: String,
    #[serde(default)]
    pub body: String,
    /// Null when the account was deleted.
    pub user: Option<Account>,
}

/// An account, as it stands in other objects.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Account {
    pub login: String,
    #[serde(default, rename = "type")]
    pub kind: String,
}

impl Account {
    /// Whether it is the account `login`. The two APIs differ in whether an app's name ends in `[bot]`; a person's cannot.
    pub(super) fn is(&self, login: &str) -> bool {
        self.login == login || (self.kind == "Bot" && self.login.strip_suffix("[bot]") == Some(login))
    }
}

impl Comment {
    pub(super) fn marker(&self) -> Option<Marker<'_>> {
        Marker::parse(self.body.lines().next()?)
    }

    /// The run that wrote it.
    pub(super) fn run(&self) -> Option<(u64, u32)> {
        self.marker()?.run
    }

    /// Whether it says `text`; GitHub may have changed the ends of lines.
    fn says(&self, text: &str) -> bool {
        self.body.trim_end().lines().eq(text.trim_end().lines())
    }
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Next<'a> {
    /// There is no comment yet.
    Create,
    /// It is an earlier run's, or an earlier state of this run's.
    Edit(&'a Comment),
    /// It says that already.
    Keep(&'a Comment),
    /// A later run wrote it.
    LeaveAlone,
}

/// Decides it for the comment that was found.
pub(super) fn next<'a>(found: Option<&'a Comment>, run: Option<(u64, u32)>, text: &str) -> Next<'a> {
    match found {
        None => Next::Create,
        // A run outside a workflow has no place in the order: it never holds up another, nor is held up.
        Some(found) if run.is_some() && found.run() > run => Next::LeaveAlone,
        Some(found) if found.says(text) => Next::Keep(found),
        Some(found) => Next::Edit(found),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn comment(body: &str) -> Comment {
        Comment { id: 1, html_url: String::new(), body: body.to_owned(), user: None }
    }

    #[test]
    fn a_marker_is_read_back_from_the_first_line_alone() {
        let revision: Revision = "0a".repeat(20).parse().unwrap();
        let marker = Marker { key: "demo/production", run: Some((7, 2)), revision: Some(&revision) };
        let text = marker.to_string();
        assert_eq!(text, format!("<!-- skipper:v1 key=demo/production run=7.2 sha={revision} -->"));
        assert_eq!(Marker::parse(&text), Some(Marker { revision: None, ..marker }));
        assert_eq!(comment(&format!("{text}\r\nhello")).run(), Some((7, 2)));
        assert!(comment(&format!("hello\n{text}")).marker().is_none());
    }

    #[test]
    fn a_marker_of_another_version_is_none() {
        assert_eq!(Marker::parse("<!-- skipper:v2 key=demo/production -->"), None);
        assert_eq!(Marker::parse("<!-- skipper:v1 run=7.2 -->"), None);
    }

    #[test]
    fn a_run_gives_way_to_later_ones_only() {
        let text = |run, words: &str| format!("{}\n{words}", Marker { key: "demo/production", run, revision: None });
        let found = comment(&text(Some((7, 2)), "old"));
        let decided = |run| next(Some(&found), run, &text(run, "new"));
        assert!(matches!(decided(Some((7, 1))), Next::LeaveAlone));
        assert!(matches!(decided(Some((7, 2))), Next::Edit(_)));
        assert!(matches!(decided(Some((7, 3))), Next::Edit(_)));
        assert!(matches!(decided(Some((10, 1))), Next::Edit(_)));
        assert!(matches!(decided(None), Next::Edit(_)));
        assert!(matches!(next(None, None, ""), Next::Create));
        assert!(matches!(next(Some(&found), Some((7, 2)), &text(Some((7, 2)), "old\n")), Next::Keep(_)));
    }

    #[test]
    fn an_app_is_known_by_either_of_its_names_and_a_person_by_one() {
        let account = |login: &str, kind: &str| Account { login: login.to_owned(), kind: kind.to_owned() };
        assert!(account("deployer[bot]", "Bot").is("deployer"));
        assert!(account("deployer[bot]", "Bot").is("deployer[bot]"));
        assert!(!account("deployer", "User").is("deployer[bot]"));
    }
}
