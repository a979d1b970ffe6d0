//! What the tests of this folder share: contexts on disk, and a registry in this process.

pub(super) mod fake_registry;

use std::{collections::BTreeMap, fs};

use skipper_deploy::ports::BuildRequest;
use tempfile::TempDir;

/// A folder that is gone with the value, with these files and contents.
pub(super) fn folder_of(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, contents) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
    folder
}

/// The plainest build of a folder.
pub(super) fn build_of(folder: &TempDir) -> BuildRequest {
    BuildRequest {
        context: folder.path().to_owned(),
        dockerfile: "Dockerfile".to_owned(),
        target: None,
        args: BTreeMap::new(),
        revision: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
    }
}
