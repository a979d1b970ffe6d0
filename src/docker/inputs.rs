//! The hash over everything a build reads: where it is unchanged, the image of an earlier commit still is the right one.

use std::{io, os::unix::ffi::OsStrExt};

use sha2::{Digest as _, Sha256};
use skipper_deploy::ports::BuildRequest;

use super::context::{Context, ContextError, Kind};

/// Part of the hash; raised when what is hashed changes, so that old tags are not taken for new ones.
const SCHEME: &[u8] = b"skipper inputs 1";

/// The hash of a build's inputs, 16 hexadecimal digits.
///
/// The Dockerfile's contents are in it as it is always part of the context. Of modes only the executable bit counts:
/// it is all that git keeps, while the others follow the machine's umask.
pub(super) fn hash(build: &BuildRequest) -> Result<String, ContextError> {
    let context = Context::open(build)?;
    let mut fields = Fields(Sha256::new());
    fields.add(SCHEME);
    fields.add(context.dockerfile().as_bytes());
    fields.add(build.target.as_deref().unwrap_or_default().as_bytes());
    fields.count(build.args.len() as u64);
    for (name, value) in &build.args {
        fields.add(name.as_bytes());
        fields.add(value.as_bytes());
    }
    context.walk(&mut |entry| {
        fields.add(entry.path.as_os_str().as_bytes());
        match &entry.kind {
            Kind::Folder => fields.add(b"folder"),
            Kind::Link(target) => {
                fields.add(b"link");
                fields.add(target.as_os_str().as_bytes());
            }
            Kind::File(size) => {
                fields.add(if entry.mode & 0o111 == 0 { b"file" } else { b"program" });
                fields.count(*size);
                let copied =
                    context.open_file(&entry.path, *size).and_then(|mut file| io::copy(&mut file, &mut fields.0));
                copied.map_err(|source| ContextError::Read { path: entry.path.clone(), source })?;
            }
        }
        Ok(())
    })?;
    let digest = fields.0.finalize();
    Ok(digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// Keeps fields apart by their lengths, so that no two lists of them give the same bytes.
struct Fields(Sha256);

impl Fields {
    fn add(&mut self, field: &[u8]) {
        self.count(field.len() as u64);
        self.0.update(field);
    }

    fn count(&mut self, number: u64) {
        self.0.update(number.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt};

    use tempfile::TempDir;

    use super::*;
    use crate::docker::testing::{build_of, folder_of};

    fn service() -> TempDir {
        folder_of(&[
            ("Dockerfile", "FROM scratch\nCOPY . /"),
            (".dockerignore", "*.log\ntarget"),
            ("src/main", "one"),
            ("debug.log", "a"),
            ("target/out", "b"),
        ])
    }

    fn of(folder: &TempDir) -> String {
        hash(&build_of(folder)).unwrap()
    }

    #[test]
    fn a_copy_of_the_same_files_elsewhere_has_the_same_inputs() {
        let hashed = of(&service());
        assert_eq!(hashed, of(&service()));
        assert!(hashed.len() == 16 && hashed.bytes().all(|digit| digit.is_ascii_hexdigit()));
    }

    #[test]
    fn what_the_build_does_not_read_changes_nothing() {
        let folder = service();
        let before = of(&folder);
        fs::write(folder.path().join("debug.log"), "other").unwrap();
        fs::remove_dir_all(folder.path().join("target")).unwrap();
        fs::set_permissions(folder.path().join("src/main"), fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(of(&folder), before);
        let later = BuildRequest {
            revision: "f".repeat(40).parse().unwrap(),
            dockerfile: "./Dockerfile".into(),
            ..build_of(&folder)
        };
        assert_eq!(hash(&later).unwrap(), before, "neither another commit nor another spelling is a change");
    }

    #[test]
    fn each_thing_the_build_reads_changes_it() {
        type Change = fn(&TempDir, &mut BuildRequest);
        let changes: &[(&str, Change)] = &[
            ("nothing", |_, _| {}),
            ("contents", |folder, _| fs::write(folder.path().join("src/main"), "two").unwrap()),
            ("the executable bit", |folder, _| {
                fs::set_permissions(folder.path().join("src/main"), fs::Permissions::from_mode(0o755)).unwrap()
            }),
            ("a file's name", |folder, _| {
                fs::rename(folder.path().join("src/main"), folder.path().join("src/other")).unwrap()
            }),
            ("an empty folder", |folder, _| fs::create_dir(folder.path().join("empty")).unwrap()),
            ("a link", |folder, _| std::os::unix::fs::symlink("a", folder.path().join("link")).unwrap()),
            ("a link's target", |folder, _| std::os::unix::fs::symlink("b", folder.path().join("link")).unwrap()),
            ("the Dockerfile", |folder, _| fs::write(folder.path().join("Dockerfile"), "FROM scratch").unwrap()),
            ("what is ignored", |folder, _| fs::write(folder.path().join(".dockerignore"), "target").unwrap()),
            ("an argument", |_, build| drop(build.args.insert("A".into(), "1".into()))),
            ("an argument's value", |_, build| drop(build.args.insert("A".into(), "2".into()))),
            ("an argument split elsewhere", |_, build| drop(build.args.insert("A1".into(), String::new()))),
            ("the target", |_, build| build.target = Some("prod".into())),
        ];
        let mut seen = BTreeSet::new();
        for (what, change) in changes {
            let folder = service();
            let mut build = build_of(&folder);
            change(&folder, &mut build);
            assert!(seen.insert(hash(&build).unwrap()), "{what} does not change the hash");
        }
    }

    #[test]
    fn a_dockerfile_that_is_ignored_still_counts() {
        let folder = folder_of(&[("Dockerfile", "FROM scratch"), (".dockerignore", "*")]);
        let before = of(&folder);
        fs::write(folder.path().join("Dockerfile"), "FROM scratch\nLABEL a=b").unwrap();
        assert_ne!(of(&folder), before);
    }
}
