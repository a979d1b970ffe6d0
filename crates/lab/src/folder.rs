//! Folders of files, read and copied whole.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// All files below `folder`, by their path in it, sorted.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inside) = folders.pop() {
        let path = folder.join(&inside);
        let entries = fs::read_dir(&path).with_context(|| format!("reading the folder `{}`", path.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("reading the folder `{}`", path.display()))?;
            let file = inside.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(file);
            } else {
                files.push(file);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Copies a folder with everything below it.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    for file in files_below(from)? {
        let target = to.join(&file);
        let copied =
            target.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::copy(from.join(&file), &target));
        copied.with_context(|| format!("copying `{}`", file.display()))?;
    }
    Ok(())
}
