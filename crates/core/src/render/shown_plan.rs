//! A plan's outline within the comment that shows it, out of people's sight, and how it is read back after the merge.

use serde::{Deserialize, Serialize};

use crate::plan::{Outline, PlanHash};

const OPEN: &str = "<!-- skipper:plan ";
const CLOSE: &str = " -->";
/// A longer line, in characters, holds the hash alone: a comment has 65,536, and 60,000 are for people.
const LONGEST: usize = 4_000;

/// What a comment says of the plan that people saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShownPlan {
    /// All of its changes.
    Outline(Outline),
    /// Its hash; it has more changes than a comment could hold twice.
    Hash(PlanHash),
    /// It could not be carried out, so there is nothing to agree to.
    Blocked,
}

impl ShownPlan {
    /// A plan that can be carried out.
    pub fn of(outline: Outline) -> Self {
        let hash = outline.hash();
        let whole = Self::Outline(outline);
        if whole.line().chars().count() > LONGEST { Self::Hash(hash) } else { whole }
    }

    /// As a line of the comment, which GitHub does not show.
    pub fn line(&self) -> String {
        // Within a text of JSON it means the same, and without it nothing can end the HTML comment.
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{OPEN}{}{CLOSE}", json.replace('>', "\\u003e"))
    }

    /// The line of a comment's text that holds a plan.
    pub fn find(text: &str) -> Option<&str> {
        // Only skipper's own lines come first: what is remote stands below the heading.
        let first = text.lines().take_while(|line| line.starts_with("<!-- "));
        first.map(str::trim_end).find(|line| line.starts_with(OPEN) && line.ends_with(CLOSE))
    }

    /// Reads such a line.
    pub fn read(line: &str) -> Option<Self> {
        serde_json::from_str(line.strip_prefix(OPEN)?.strip_suffix(CLOSE)?).ok()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_plan_is_read_back_from_its_comment_whatever_it_holds(lines in prop::collection::vec(".{0,40}", 0..5)) {
            let shown = ShownPlan::of(Outline(lines));
            let comment = format!("<!-- skipper:v1 key=a/b -->\n{}\n### a plan\n", shown.line());
            prop_assert_eq!(shown.line().matches("-->").count(), 1);
            prop_assert_eq!(ShownPlan::read(ShownPlan::find(&comment).unwrap()), Some(shown));
        }
    }

    #[test]
    fn what_others_wrote_into_the_comment_is_no_plan() {
        let forged = ShownPlan::of(Outline::default()).line();
        assert_eq!(ShownPlan::find(&format!("<!-- skipper:v1 key=a/b -->\n### deployed\n{forged}\n")), None);
    }

    #[test]
    fn a_very_long_plan_is_known_by_its_hash() {
        let outline = Outline(vec!["x".repeat(100); 300]);
        assert_eq!(ShownPlan::of(outline.clone()), ShownPlan::Hash(outline.hash()));
        assert!(ShownPlan::of(outline).line().len() < 100);
    }
}
