//! What fleet's API and registry say in JSON; fields in the order in which fleet writes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A unit as the API shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Unit {
    /// What the scheduler made of it: always `inactive` in a list of global units, and absent when one is asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub current_state: String,
    /// The state that was asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub desired_state: String,
    /// Its full name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its text, option by option.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<UnitOption>,
}

/// One `Name=Value` line of a unit. What is empty is left out, as in everything that fleet writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnitOption {
    /// The part before the equals sign.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The section that it stands in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub section: String,
    /// The rest.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
}

/// What systemd on one machine says of one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UnitState {
    /// Hash of the text that the machine has.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hash: String,
    /// The machine.
    #[serde(rename = "machineID", skip_serializing_if = "String::is_empty")]
    pub machine_id: String,
    /// The unit.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `ActiveState`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub systemd_active_state: String,
    /// `LoadState`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub systemd_load_state: String,
    /// `SubState`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub systemd_sub_state: String,
}

/// A machine as the API shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// The machine id.
    pub id: String,
    /// What its configuration says that it is.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// The address that it publishes.
    #[serde(rename = "primaryIP", skip_serializing_if = "String::is_empty")]
    pub primary_ip: String,
}

/// A page of a list; which of the three lists is filled says what was asked for.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Page {
    /// Of `/machines`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<Machine>,
    /// Where to go on, when there may be more.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next_page_token: String,
    /// Of `/state`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<UnitState>,
    /// Of `/units`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<Unit>,
}

/// The body of a refusal.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// What went wrong.
    pub error: RefusalReason,
}

/// Code and text of a refusal.
#[derive(Debug, Serialize, Deserialize)]
pub struct RefusalReason {
    /// The HTTP status.
    pub code: u16,
    /// Empty when fleet has nothing to say.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Real fleetctl sends `Description=` so.
    #[test]
    fn an_option_without_a_value_is_read_and_written_without_one() {
        let text = r#"{"name":"Description","section":"Unit"}"#;
        let option: UnitOption = serde_json::from_str(text).unwrap();
        assert_eq!(option.value, "");
        assert_eq!(serde_json::to_string(&option).unwrap(), text);
    }
}
