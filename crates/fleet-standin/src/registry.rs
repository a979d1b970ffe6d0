//! fleet's registry: which keys of etcd hold units, the states asked for, the states found, and machines.
//!
//! ```text
//! machines/<id>/object          who the machine is; expires unless it says so again
//! unit/<hash>                   a unit's text
//! job/<unit>/object             which text the unit has
//! job/<unit>/target-state       inactive, loaded or launched
//! state/<unit>, states/<unit>/<machine>    what systemd says; expire too
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::VERSION;
use crate::etcd::{Condition, Error, Etcd, Node};
use crate::unit::UnitFile;
use crate::wire::{Machine, UnitState};

/// Where everything lies unless configured otherwise.
pub const DEFAULT_PREFIX: &str = "/_coreos.com/fleet/";

/// What is asked for of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobState {
    /// Known, on no machine.
    Inactive,
    /// Known to systemd, not running.
    Loaded,
    /// Running.
    Launched,
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inactive => "inactive",
            Self::Loaded => "loaded",
            Self::Launched => "launched",
        })
    }
}

/// Something that is no state.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid value {0:?} for JobState")]
pub struct NoJobState(String);

impl FromStr for JobState {
    type Err = NoJobState;

    fn from_str(text: &str) -> Result<Self, NoJobState> {
        [Self::Inactive, Self::Loaded, Self::Launched]
            .into_iter()
            .find(|state| state.to_string() == text)
            .ok_or_else(|| NoJobState(text.to_owned()))
    }
}

/// A unit of the registry.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its full name.
    pub name: String,
    /// Its text.
    pub file: UnitFile,
    /// What is asked for, once something is.
    pub target: Option<JobState>,
}

/// The registry in one etcd cluster.
#[derive(Clone, Debug)]
pub struct Registry {
    etcd: Etcd,
    prefix: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct JobObject {
    name: String,
    /// The twenty bytes of the hash as numbers, as Go writes a byte array.
    unit_hash: [u8; 20],
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UnitText {
    raw: String,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct MachineObject {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "PublicIP")]
    public_ip: String,
    #[serde(rename = "Metadata")]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(rename = "Capabilities")]
    capabilities: Option<BTreeMap<String, bool>>,
    #[serde(rename = "Version")]
    version: String,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct StateObject {
    load_state: String,
    active_state: String,
    sub_state: String,
    machine_state: MachineObject,
    unit_hash: String,
}

impl Registry {
    /// The registry below `prefix`.
    #[must_use]
    pub fn new(etcd: Etcd, prefix: &str) -> Self {
        Self { etcd, prefix: format!("/{}", prefix.trim_matches('/')) }
    }

    /// Every machine that is alive, by id.
    ///
    /// # Errors
    /// etcd's.
    pub async fn machines(&self) -> Result<Vec<Machine>, Error> {
        let nodes = self.children("machines", false).await?;
        Ok(nodes
            .iter()
            .filter_map(|node| serde_json::from_str::<MachineObject>(node.child("object")?).ok())
            .map(|machine| Machine {
                id: machine.id,
                metadata: machine.metadata.unwrap_or_default(),
                primary_ip: machine.public_ip,
            })
            .collect())
    }

    /// Enters `machine` for `ttl`.
    ///
    /// # Errors
    /// [`Error::is_exists`] while an earlier entry of the same machine lives.
    pub async fn register(&self, machine: &Machine, ttl: Duration) -> Result<(), Error> {
        self.set_machine(machine, Condition::New, ttl).await
    }

    /// Renews the entry of `machine`, or enters it again where it has expired.
    ///
    /// # Errors
    /// etcd's.
    pub async fn beat(&self, machine: &Machine, ttl: Duration) -> Result<(), Error> {
        match self.set_machine(machine, Condition::Known, ttl).await {
            Ok(()) => Ok(()),
            Err(_) => self.register(machine, ttl).await,
        }
    }

    /// Deletes the entry of the machine `id`.
    ///
    /// # Errors
    /// etcd's.
    pub async fn remove_machine(&self, id: &str) -> Result<(), Error> {
        self.etcd.delete(&self.key(&["machines", id, "object"])).await.map(drop)
    }

    /// Every unit, by name, and the index to wait from.
    ///
    /// # Errors
    /// etcd's. A registry without any unit is no error, and an agent that reads one stops everything.
    pub async fn jobs(&self) -> Result<(Vec<Job>, u64), Error> {
        let found = self.etcd.get(&self.key(&["job"]), false).await?;
        let nodes = found.node.map(|node| node.nodes).unwrap_or_default();
        let mut texts = BTreeMap::new();
        if !nodes.is_empty() {
            for node in self.children("unit", true).await? {
                texts.insert(node.name().to_owned(), node.value);
            }
        }
        let jobs = nodes.iter().filter_map(|node| job(node, |hash| texts.get(hash).cloned())).collect();
        Ok((jobs, found.index))
    }

    /// The unit `name`.
    ///
    /// # Errors
    /// etcd's.
    pub async fn job(&self, name: &str) -> Result<Option<Job>, Error> {
        let Some(node) = self.etcd.get(&self.key(&["job", name]), false).await?.node else {
            return Ok(None);
        };
        let mut text = None;
        if let Some(hash) = job_hash(&node) {
            text = self.etcd.get(&self.key(&["unit", &hash]), false).await?.node.map(|node| node.value);
        }
        Ok(job(&node, |_| text))
    }

    /// Stores a text and makes it the one of the unit `name`, which becomes `inactive` by that, even when it was running.
    ///
    /// # Errors
    /// etcd's.
    pub async fn create_job(&self, name: &str, file: &UnitFile) -> Result<(), Error> {
        let text = json(&UnitText { raw: file.text() });
        match self.etcd.set(&self.key(&["unit", &file.hash_text()]), &text, Condition::New, None).await {
            Err(error) if !error.is_exists() => return Err(error),
            _ => {}
        }
        let object = json(&JobObject { name: name.to_owned(), unit_hash: file.hash() });
        self.etcd.set(&self.key(&["job", name, "object"]), &object, Condition::Always, None).await?;
        self.set_target(name, JobState::Inactive).await
    }

    /// Asks for `state` of the unit `name`.
    ///
    /// # Errors
    /// etcd's.
    pub async fn set_target(&self, name: &str, state: JobState) -> Result<(), Error> {
        let key = self.key(&["job", name, "target-state"]);
        self.etcd.set(&key, &state.to_string(), Condition::Always, None).await
    }

    /// Forgets the unit `name`; its text stays. Says whether it was there.
    ///
    /// # Errors
    /// etcd's.
    pub async fn destroy_job(&self, name: &str) -> Result<bool, Error> {
        self.etcd.delete(&self.key(&["job", name])).await
    }

    /// Returns when something about a unit has changed after `index`.
    ///
    /// # Errors
    /// etcd's; then there may have been a change.
    pub async fn jobs_changed(&self, index: u64) -> Result<(), Error> {
        self.etcd.changed(&self.key(&["job"]), index).await
    }

    /// What every machine last said of its units, by unit and machine.
    ///
    /// # Errors
    /// etcd's.
    pub async fn unit_states(&self) -> Result<Vec<UnitState>, Error> {
        let units = self.children("states", false).await?;
        let mut states: Vec<UnitState> = units
            .iter()
            .flat_map(|unit| unit.nodes.iter().map(|node| (unit.name(), node)))
            .filter_map(|(unit, node)| {
                let state: StateObject = serde_json::from_str(&node.value).ok()?;
                Some(UnitState {
                    hash: state.unit_hash,
                    machine_id: state.machine_state.id,
                    name: unit.to_owned(),
                    systemd_active_state: state.active_state,
                    systemd_load_state: state.load_state,
                    systemd_sub_state: state.sub_state,
                })
            })
            .collect();
        states.sort_by(|a, b| (&a.name, &a.machine_id).cmp(&(&b.name, &b.machine_id)));
        Ok(states)
    }

    /// Says for `ttl` what a machine's systemd says of a unit.
    ///
    /// # Errors
    /// etcd's.
    pub async fn save_state(&self, state: &UnitState, ttl: Duration) -> Result<(), Error> {
        let object = json(&StateObject {
            load_state: state.systemd_load_state.clone(),
            active_state: state.systemd_active_state.clone(),
            sub_state: state.systemd_sub_state.clone(),
            machine_state: MachineObject { id: state.machine_id.clone(), ..MachineObject::default() },
            unit_hash: state.hash.clone(),
        });
        let old = self.key(&["state", &state.name]);
        self.etcd.set(&old, &object, Condition::Always, Some(ttl)).await?;
        let key = self.key(&["states", &state.name, &state.machine_id]);
        self.etcd.set(&key, &object, Condition::Always, Some(ttl)).await
    }

    /// Forgets what any machine said of the unit `name`: of all machines, as fleet does.
    ///
    /// # Errors
    /// etcd's.
    pub async fn remove_states(&self, name: &str) -> Result<(), Error> {
        self.etcd.delete(&self.key(&["state", name])).await?;
        self.etcd.delete(&self.key(&["states", name])).await.map(drop)
    }

    async fn set_machine(&self, machine: &Machine, condition: Condition, ttl: Duration) -> Result<(), Error> {
        let object = json(&MachineObject {
            id: machine.id.clone(),
            public_ip: machine.primary_ip.clone(),
            metadata: Some(machine.metadata.clone()),
            capabilities: Some(BTreeMap::from([("DISABLE_ENGINE".to_owned(), true), ("GRPC".to_owned(), false)])),
            version: VERSION.to_owned(),
        });
        self.etcd.set(&self.key(&["machines", &machine.id, "object"]), &object, condition, Some(ttl)).await
    }

    async fn children(&self, directory: &str, quorum: bool) -> Result<Vec<Node>, Error> {
        let found = self.etcd.get(&self.key(&[directory]), quorum).await?;
        Ok(found.node.map(|node| node.nodes).unwrap_or_default())
    }

    fn key(&self, parts: &[&str]) -> String {
        format!("{}/{}", self.prefix, parts.join("/"))
    }
}

fn job_hash(node: &Node) -> Option<String> {
    let object: JobObject = serde_json::from_str(node.child("object")?).ok()?;
    Some(object.unit_hash.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A unit from its directory. One that is half there (a directory that only holds a heartbeat, a text that is gone) is not a unit.
fn job(node: &Node, text: impl FnOnce(&str) -> Option<String>) -> Option<Job> {
    let text: UnitText = serde_json::from_str(&text(&job_hash(node)?)?).ok()?;
    Some(Job {
        name: node.name().to_owned(),
        file: UnitFile::parse(&text.raw).ok()?,
        target: node.child("target-state").and_then(|state| state.parse().ok()),
    })
}

/// The types above have string keys and plain values, which always serialise.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
