//! Who holds the lease, and what was rolled out, for people at a terminal.

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::text;
use crate::{
    lease::{Chain, Holder},
    record::{Fate, Record, Records},
};

/// The columns of the releases.
const COLUMNS: [&str; 6] = ["number", "commit", "status", "started", "ended", "by"];

/// Who holds the lease; `broken` is who held it until now.
pub fn lease(chain: &Chain, broken: Option<&Holder>) -> String {
    let mut lines = Vec::new();
    if let Some(holder) = broken {
        lines.push(format!("the lease was held by {holder}, and is taken from it; should that run still work, it notices within a minute"));
    }
    lines.push(match (chain.held(), chain.highest()) {
        (Some((number, entry)), _) => format!(
            "lease {number} is held by {}; should that run have died, the next one takes it over within a minute or so",
            entry.holder
        ),
        (None, Some((number, entry))) => {
            format!("nobody holds the lease; the last one, {number}, was that of {}", entry.holder)
        }
        (None, None) => "nobody holds the lease, and nobody ever did".to_owned(),
    });
    lines.iter().map(|line| text::line(line)).collect::<Vec<_>>().join("\n")
}

/// What was rolled out, the newest first.
pub fn releases(records: &Records, chain: &Chain) -> String {
    let mut drawn = Table::new();
    drawn.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    drawn.set_header(COLUMNS.map(str::to_uppercase));
    let mut none = true;
    for (number, record) in records.newest_first() {
        none = false;
        let ended = record.ended.as_ref().map_or("-", |ended| ended.at.as_str());
        let by = match &record.holder.run_url {
            Some(url) => format!("{} ({url})", record.holder.who),
            None => record.holder.who.clone(),
        };
        let cells = [
            number.to_string(),
            record.release.revision.short().to_owned(),
            status(Records::fate(number, record, chain), record),
            record.holder.since.clone(),
            ended.to_owned(),
            by,
        ];
        drawn.add_row(cells.map(|cell| text::line(&cell)));
    }
    if none {
        return "nothing was rolled out yet".to_owned();
    }
    for column in drawn.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = drawn.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// A release that serves although its run did not succeed is worth telling.
fn status(fate: Fate, record: &Record) -> String {
    let serves = record.served();
    match fate {
        Fate::Ended(crate::exit::Exit::Serves) => fate.word().to_owned(),
        // Nobody can tell a run that works from one that died a moment ago.
        Fate::Running => "running, or died".to_owned(),
        _ if serves => format!("{}, serves", fate.word()),
        _ => fate.word().to_owned(),
    }
}

/// One rollout, as `--output json` tells it.
#[derive(Clone, Debug, Serialize)]
pub struct ReleaseRow<'a> {
    number: u64,
    status: &'static str,
    #[serde(flatten)]
    record: &'a Record,
}

/// The same as [`releases`], as data.
pub fn releases_json<'a>(records: &'a Records, chain: &Chain) -> Vec<ReleaseRow<'a>> {
    let row = |(number, record)| ReleaseRow { number, status: Records::fate(number, record, chain).word(), record };
    records.newest_first().map(row).collect()
}
