//! The previews of a project, for people at a terminal.

use std::collections::BTreeMap;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::{text, words};
use crate::preview::Surveyed;

/// The columns, in order.
const COLUMNS: [&str; 6] = ["preview", "pull request", "hosts", "commit", "last shipped", "ends"];

/// The previews by their pull requests, one line each, and how many instances they share.
pub fn table(previews: &BTreeMap<u64, Surveyed>, shared_instances: usize) -> String {
    let shared = match shared_instances {
        0 => None,
        count => Some(format!("shared by previews: {}", words::count(count, "host"))),
    };
    if previews.is_empty() {
        return std::iter::once("there are no previews".to_owned()).chain(shared).collect::<Vec<_>>().join("\n");
    }
    let mut drawn = Table::new();
    drawn.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    drawn.set_header(COLUMNS.map(str::to_uppercase));
    for (number, found) in previews {
        let open = match found.open {
            Some(true) => "open",
            Some(false) => "closed",
            None => "not known",
        };
        let cells = [
            format!("pr-{number}"),
            open.to_owned(),
            found.preview.instances.to_string(),
            found.preview.revision.as_ref().map_or("-", |revision| revision.short()).to_owned(),
            found.preview.shipped_at.clone().unwrap_or_else(|| "-".to_owned()),
            found.ends.as_ref().map_or_else(|| "-".to_owned(), |cause| format!("now: {cause}")),
        ];
        drawn.add_row(cells.map(|cell| text::line(&cell)));
    }
    for column in drawn.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines = drawn.lines().map(|line| line.trim_end().to_owned());
    lines.chain(shared).collect::<Vec<_>>().join("\n")
}

/// A preview as `--output json` tells it.
#[derive(Clone, Debug, Serialize)]
pub struct Row<'a> {
    environment: String,
    pull_request: u64,
    #[serde(flatten)]
    found: &'a Surveyed,
}

/// The same as [`table`], as data.
pub fn rows(previews: &BTreeMap<u64, Surveyed>) -> Vec<Row<'_>> {
    let rows = previews.iter();
    rows.map(|(number, found)| Row { environment: format!("pr-{number}"), pull_request: *number, found }).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use super::*;
    use crate::preview::{Cause, Preview};

    #[test]
    fn previews_are_listed_with_what_is_known_of_them() {
        let found = Surveyed {
            preview: Preview {
                instances: 1,
                revision: Some("c0ffee00".repeat(5).parse().unwrap()),
                shipped_at: Some("2026-01-01T00:00:00Z".to_owned()),
            },
            age_seconds: Some(60),
            open: Some(false),
            ends: Some(Cause::Closed),
            unknown: None,
        };
        let bare = Surveyed { preview: Preview::default(), age_seconds: None, open: None, ends: None, unknown: None };
        let previews = BTreeMap::from([(7, found), (12, bare)]);
        let lines = [
            "PREVIEW  PULL REQUEST  HOSTS  COMMIT   LAST SHIPPED          ENDS",
            "pr-7     closed        1      c0ffee0  2026-01-01T00:00:00Z  now: its pull request is closed",
            "pr-12    not known     0      -        -                     -",
        ];
        assert_eq!(table(&previews, 0).lines().collect::<Vec<_>>(), lines);
        assert_eq!(table(&BTreeMap::new(), 0), "there are no previews");
        let json = serde_json::to_value(rows(&previews)).unwrap();
        assert_eq!(json[0]["environment"], "pr-7");
        assert_eq!(json[0]["ends"], "closed");
        assert!(json[1]["open"].is_null());
    }
}
