//! The three lists.

use std::collections::BTreeMap;

use crate::client::{Error, Fleet};
use crate::console::Console;
use crate::tabs;
use crate::unit::UnitFile;
use crate::wire::{Machine, Unit, UnitState};

use super::FAILED;
use super::flags::Parsed;

/// Characters of a machine id or a hash that are shown unless `--full`.
const SHORT_ID: usize = 8;
const SHORT_HASH: usize = 7;

/// `list-machines`.
pub(super) async fn machines(line: &Parsed, fleet: &impl Fleet, console: &mut Console) -> u8 {
    let Some(columns) = columns(line, &["machine", "ip", "metadata"], console) else {
        return FAILED;
    };
    let machines = match fleet.machines().await {
        Ok(machines) => machines,
        Err(error) => {
            console.err(&format!("Error retrieving list of active machines from fleet API ({error})"));
            console.err("Possible issues:");
            console.err("  etcd is unhealthy and/or lost quorum");
            console.err("  connection cannot be established to any etcd servers");
            return FAILED;
        }
    };
    let full = is_full(line);
    print(line, &columns, &machines, console, |machine, column| match column {
        "machine" => short_id(&machine.id, full),
        "ip" => or_dash(&machine.primary_ip),
        _ => {
            let pairs: Vec<String> = machine.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
            or_dash(&pairs.join(","))
        }
    })
}

/// `list-units`: a row for each unit and machine of which a state is known, so none for a unit that is nowhere.
pub(super) async fn units(line: &Parsed, fleet: &impl Fleet, console: &mut Console) -> u8 {
    let known = ["unit", "load", "active", "sub", "machine", "hash"];
    let Some(columns) = columns(line, &known, console) else {
        return FAILED;
    };
    let states = match fleet.unit_states().await {
        Ok(states) => states,
        Err(error) => return not_retrieved(&error, console),
    };
    let addresses =
        if columns.iter().any(|column| column == "machine") { addresses(fleet).await } else { BTreeMap::new() };
    let full = is_full(line);
    print(line, &columns, &states, console, |state: &UnitState, column| match column {
        "unit" => state.name.clone(),
        // These three have no dash for nothing.
        "load" => state.systemd_load_state.clone(),
        "active" => state.systemd_active_state.clone(),
        "sub" => state.systemd_sub_state.clone(),
        "machine" => machine_column(&state.machine_id, &addresses, full),
        _ => or_dash(&short_hash(&state.hash, full)),
    })
}

/// `list-unit-files`.
pub(super) async fn unit_files(line: &Parsed, fleet: &impl Fleet, console: &mut Console) -> u8 {
    let known = ["unit", "global", "dstate", "target", "tmachine", "state", "hash", "desc"];
    let Some(columns) = columns(line, &known, console) else {
        return FAILED;
    };
    for _ in columns.iter().filter(|column| *column == "tmachine") {
        console.err("WARNING: The \"tmachine\" field is deprecated. Use \"target\" instead");
    }
    let units = match fleet.units().await {
        Ok(units) => units,
        Err(error) => return not_retrieved(&error, console),
    };
    let full = is_full(line);
    let rows: Vec<(Unit, UnitFile)> = units
        .into_iter()
        .map(|mut unit| (UnitFile::from_options(std::mem::take(&mut unit.options)), unit))
        .map(|(file, unit)| (unit, file))
        .collect();
    print(line, &columns, &rows, console, |(unit, file), column| match column {
        "unit" => unit.name.clone(),
        "global" => file.is_global().to_string(),
        "dstate" => or_dash(&unit.desired_state),
        "state" if file.is_global() => or_dash(""),
        "state" => or_dash(&unit.current_state),
        "hash" => short_hash(&file.hash_text(), full),
        "desc" => or_dash(file.description()),
        _ if file.is_global() => "global".to_owned(),
        // Nothing here ever places a unit on a machine.
        _ => or_dash(""),
    })
}

fn not_retrieved(error: &Error, console: &mut Console) -> u8 {
    console.err(&format!("Error retrieving list of units from repository: {error}"));
    FAILED
}

/// The columns asked for, or nothing after saying what is wrong with them.
fn columns(line: &Parsed, known: &[&str], console: &mut Console) -> Option<Vec<String>> {
    let fields = line.value("fields");
    if fields.is_empty() {
        console.err("Must define output format");
        return None;
    }
    let columns: Vec<String> = fields.split(',').map(ToOwned::to_owned).collect();
    if let Some(unknown) = columns.iter().find(|column| !known.contains(&&***column)) {
        console.err(&format!("Invalid key in output format: {unknown:?}"));
        return None;
    }
    Some(columns)
}

fn print<T>(
    line: &Parsed,
    columns: &[String],
    items: &[T],
    console: &mut Console,
    cell: impl Fn(&T, &str) -> String,
) -> u8 {
    let mut rows = Vec::new();
    if !line.is("no-legend") {
        rows.push(columns.iter().map(|column| column.to_uppercase()).collect());
    }
    rows.extend(items.iter().map(|item| columns.iter().map(|column| cell(item, column)).collect::<Vec<_>>()));
    console.out_raw(&tabs::columns(&rows));
    0
}

/// `--l` is a flag of its own; `-l` is none.
fn is_full(line: &Parsed) -> bool {
    line.is("full") || line.is("l")
}

/// Addresses by machine id; a list of units is printed without them rather than not at all.
async fn addresses(fleet: &impl Fleet) -> BTreeMap<String, String> {
    let machines: Vec<Machine> = fleet.machines().await.unwrap_or_default();
    machines.into_iter().map(|machine| (machine.id, machine.primary_ip)).collect()
}

fn machine_column(id: &str, addresses: &BTreeMap<String, String>, full: bool) -> String {
    match addresses.get(id).filter(|address| !address.is_empty()) {
        _ if id.is_empty() => or_dash(""),
        Some(address) => format!("{}/{address}", short_id(id, full)),
        None => short_id(id, full),
    }
}

fn short_id(id: &str, full: bool) -> String {
    if full { id.to_owned() } else { format!("{}...", id.get(..SHORT_ID).unwrap_or(id)) }
}

fn short_hash(hash: &str, full: bool) -> String {
    if full { hash.to_owned() } else { hash.get(..SHORT_HASH).unwrap_or(hash).to_owned() }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}
