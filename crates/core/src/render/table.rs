//! The `ps` table: the columns of 2014, then release and health.

use comfy_table::{ContentArrangement, Table, presets};

use super::{redacted, text};
use crate::{
    event::{HostRow, ReplicaRow, StateTable},
    observed::{Agent, Health},
};

/// The columns, in order.
const COLUMNS: [&str; 8] = ["uuid", "state", "instance", "ip", "service", "scale", "release", "health"];

/// The table as plain text, for a terminal.
pub fn plain(table: &StateTable) -> String {
    let mut drawn = Table::new();
    drawn.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    drawn.set_header(COLUMNS.map(str::to_uppercase));
    for row in &table.replicas {
        drawn.add_row(cells(row).map(|cell| text::line(&cell)));
    }
    for column in drawn.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = drawn.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// The table as Markdown.
pub fn markdown(table: &StateTable) -> String {
    let mut lines = vec![format!("| {} |", COLUMNS.join(" | ")), format!("|{}", " --- |".repeat(COLUMNS.len()))];
    for row in &table.replicas {
        let cells: Vec<String> = cells(row).iter().map(|cell| text::code(&redacted(cell))).collect();
        lines.push(format!("| {} |", cells.join(" | ")));
    }
    lines.join("\n")
}

/// The hosts as plain text, one line each.
pub fn hosts(table: &StateTable) -> Vec<String> {
    table.hosts.iter().map(host_line).collect()
}

fn host_line(host: &HostRow) -> String {
    let agent = match host.agent {
        Agent::Online => "online",
        Agent::Lost => "lost",
        Agent::Absent => "not registered",
    };
    let address = host.address.as_deref().unwrap_or("-");
    text::line(&format!("{} {} {} {address} {} ssm {agent}", host.host, host.instance, host.state, host.size))
}

fn cells(row: &ReplicaRow) -> [String; 8] {
    let dash = || "-".to_owned();
    let state = match &row.found {
        None => "missing".to_owned(),
        Some(found) if !row.wanted => format!("{} (not wanted)", found.state.word()),
        Some(found) => found.state.word().to_owned(),
    };
    let number = row.replica.rsplit_once('_').map_or_else(dash, |(_, number)| number.to_owned());
    [
        row.replica.clone(),
        state,
        row.instance.clone().unwrap_or_else(|| row.host.to_string()),
        row.address.clone().unwrap_or_else(dash),
        row.service.to_string(),
        number,
        release(row).unwrap_or_else(dash),
        health(row).unwrap_or_else(dash),
    ]
}

/// The commit where it is known, and always the image.
fn release(row: &ReplicaRow) -> Option<String> {
    let image = row.found.as_ref()?.image.as_ref()?;
    Some(match &row.revision {
        Some(revision) => format!("{} ({})", revision.short(), image.digest.short()),
        None => image.digest.short().to_owned(),
    })
}

fn health(row: &ReplicaRow) -> Option<String> {
    match &row.found.as_ref()?.health {
        Health::Healthy => Some("healthy".to_owned()),
        Health::Unhealthy(answer) => Some(format!("unhealthy: {answer}")),
        Health::Unknown => None,
    }
}
