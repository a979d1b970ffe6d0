//! Taking a lab down, also one whose starter was killed.

use anyhow::{Context, Result};

use super::folder;
use super::found::find;
use crate::docker::{self, docker, lines, succeeds};
use crate::topology::Name;

/// Removes everything of the lab called `name`, also what a killed one has left: hosts, parts, volumes, the images
/// that were pushed to its registry, and its network. Nothing there is no error.
///
/// # Errors
/// When Docker refuses.
pub fn down(name: &Name) -> Result<()> {
    docker::check()?;
    let filter = name.filter();
    let topology = find(name)?;
    // The cloud first, or it could start another host meanwhile.
    let cloud = format!("skipper-lab-{name}-cloud");
    if succeeds(&["inspect", "--type", "container", &cloud])? {
        docker(&["rm", "--force", "--volumes", &cloud])?;
    }
    remove(&["ps", "--all", "--quiet", "--filter", &filter], &["rm", "--force", "--volumes"])?;
    remove(&["volume", "ls", "--quiet", "--filter", &filter], &["volume", "rm", "--force"])?;
    if let Some(topology) = topology {
        let registry = format!("{}/", topology.registry());
        let format = "{{.Repository}} {{.Tag}} {{.Digest}}";
        let images = lines(&["images", "--all", "--digests", "--format", format])?;
        for image in images.iter().filter(|image| image.starts_with(&registry)) {
            let mut words = image.split(' ');
            let mut next = || words.next().unwrap_or("<none>");
            let (repository, tag, digest) = (next(), next(), next());
            let reference = match (tag, digest) {
                ("<none>", "<none>") => continue,
                ("<none>", digest) => format!("{repository}@{digest}"),
                (tag, _) => format!("{repository}:{tag}"),
            };
            // One image with several names goes with the last of them.
            succeeds(&["rmi", "--force", &reference])?;
        }
    }
    let folder = folder(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("removing the folder `{}`", folder.display()))?;
    }
    // Last: what is left of the lab is found by it when this is interrupted.
    remove(&["network", "ls", "--quiet", "--filter", &filter], &["network", "rm"])
}

/// Runs `remove` with everything that `list` prints as its further arguments, if it prints anything.
fn remove(list: &[&str], remove: &[&str]) -> Result<()> {
    let found = lines(list)?;
    if !found.is_empty() {
        let arguments: Vec<&str> = remove.iter().copied().chain(found.iter().map(String::as_str)).collect();
        docker(&arguments)?;
    }
    Ok(())
}

/// Whether anything carries the lab's label.
pub(super) fn remnants(name: &Name) -> Result<bool> {
    let filter = name.filter();
    for list in [
        ["ps", "--all", "--quiet", "--filter", &filter].as_slice(),
        &["network", "ls", "--quiet", "--filter", &filter],
        &["volume", "ls", "--quiet", "--filter", &filter],
    ] {
        if !lines(list)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
