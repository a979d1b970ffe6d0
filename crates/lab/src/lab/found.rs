//! What Docker knows of a lab.

use anyhow::{Context, Result};

use crate::docker::{docker, lines};
use crate::topology::{INDEX_LABEL, Name, Part, Topology};

/// The lab called `name`, if its network is there.
pub(super) fn find(name: &Name) -> Result<Option<Topology>> {
    let format = format!("{{{{.Label \"{INDEX_LABEL}\"}}}}");
    let networks = lines(&["network", "ls", "--filter", &name.filter(), "--format", &format])?;
    let Some(index) = networks.first() else {
        return Ok(None);
    };
    Ok(Some(Topology {
        name: name.clone(),
        index: index.parse().with_context(|| format!("reading the index `{index}` of the lab `{name}`"))?,
    }))
}

/// A label of the lab's network.
pub(super) fn label(topology: &Topology, name: &str) -> Result<String> {
    let format = format!("{{{{index .Labels \"{name}\"}}}}");
    docker(&["network", "inspect", "--format", &format, &topology.network()])
}

/// Whether every part of the lab runs.
pub(super) fn runs(topology: &Topology) -> Result<bool> {
    let format = "{{.Names}}";
    let running = lines(&["ps", "--filter", &topology.name.filter(), "--format", format])?;
    Ok(Part::ALL.iter().all(|part| running.contains(&topology.container(*part))))
}
