//! A release, as its workflow makes one, with a folder in GitHub's place.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::root;

const IMAGE: &str = "ghcr.io/acme/skipper";

/// A repository with what the script reads, and the place that it is pushed to.
struct Repository {
    folder: TempDir,
}

impl Repository {
    fn at_version(version: &str) -> Self {
        let repository = Self { folder: tempfile::tempdir().unwrap() };
        repository.git(Path::new("."), &["init", "--quiet", "--bare", "--initial-branch", "main", "origin"]);
        repository.git(Path::new("."), &["clone", "--quiet", "origin", "checkout"]);
        repository.git(Path::new("checkout"), &["checkout", "--quiet", "-B", "main"]);
        let checkout = repository.path("checkout");
        fs::copy(root().join("action.yml"), checkout.join("action.yml")).unwrap();
        fs::write(checkout.join("CHANGELOG.md"), "# Changelog\n\n## Unreleased\n\n- Not yet.\n").unwrap();
        repository.log(version);
        repository.set_version(version);
        repository
    }

    /// Writes into the changelog what is new in a version.
    fn log(&self, version: &str) {
        let path = self.path("checkout/CHANGELOG.md");
        let changelog = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{changelog}\n## {version} - 2026-12-01\n\n- This is {version}.\n")).unwrap();
    }

    /// Merges the change of the version into main.
    fn set_version(&self, version: &str) {
        let manifest =
            format!("[workspace.package]\nversion = \"{version}\"\n\n[dependencies]\nserde = {{ version = \"1\" }}\n");
        fs::write(self.path("checkout/Cargo.toml"), manifest).unwrap();
        self.git(Path::new("checkout"), &["add", "--all"]);
        self.git(Path::new("checkout"), &["commit", "--quiet", "--message", version]);
        self.git(Path::new("checkout"), &["push", "--quiet", "origin", "main"]);
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside)
    }

    /// Runs the script in a fresh checkout of main, as each job of the workflow does.
    fn script(&self, arguments: &[&str]) -> Output {
        let fresh = tempfile::tempdir_in(self.folder.path()).unwrap();
        let origin = self.path("origin");
        self.git(fresh.path(), &["clone", "--quiet", "--no-tags", "--branch", "main", origin.to_str().unwrap(), "."]);
        Command::new(root().join(".github/scripts/release.sh"))
            .args(arguments)
            .current_dir(fresh.path())
            .output()
            .unwrap()
    }

    #[track_caller]
    fn runs(&self, arguments: &[&str]) -> String {
        let output = self.script(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn refuses(&self, arguments: &[&str], why: &str) {
        let output = self.script(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(why), "{arguments:?}: {said}");
    }

    /// Releases a version, whose image has a digest of `digit` alone.
    fn release(&self, version: &str, digit: char) {
        self.runs(&["check", version]);
        self.runs(&["tag", version, &image(version, digit)]);
        self.runs(&["major", version]);
    }

    /// What `action.yml` names as its image where `reference` points.
    fn image_at(&self, reference: &str) -> String {
        let action = self.git(Path::new("origin"), &["show", &format!("{reference}:action.yml")]);
        let line = action.lines().find_map(|line| line.strip_prefix("  image: "));
        line.unwrap().to_owned()
    }

    fn git(&self, folder: &Path, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=trial", "-c", "user.email=trial@example.invalid"])
            .args(arguments)
            .current_dir(self.folder.path().join(folder))
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

fn image(version: &str, digit: char) -> String {
    format!("{IMAGE}:{version}@sha256:{}", digit.to_string().repeat(64))
}

#[test]
fn a_release_is_a_commit_whose_action_names_its_own_image() {
    let repository = Repository::at_version("1.2.3");
    let main = repository.git(Path::new("origin"), &["rev-parse", "main"]);
    repository.release("1.2.3", 'a');
    let expected = format!("docker://{}", image("1.2.3", 'a'));
    assert_eq!(repository.image_at("v1.2.3"), expected);
    assert_eq!(repository.image_at("v1"), expected);
    // Nothing but that line, on top of main, which stays where it is.
    assert_eq!(repository.git(Path::new("origin"), &["rev-parse", "v1.2.3^"]), main);
    let changed = repository.git(Path::new("origin"), &["diff", "--numstat", "main", "v1.2.3"]);
    assert_eq!(changed, "1\t1\taction.yml\n");
    assert_eq!(repository.git(Path::new("origin"), &["rev-parse", "main"]), main);
    assert_eq!(repository.runs(&["notes", "1.2.3"]).trim(), "- This is 1.2.3.");
}

fn next(repository: &Repository, version: &str, digit: char) {
    repository.log(version);
    repository.set_version(version);
    repository.release(version, digit);
}

#[test]
fn the_major_tag_goes_forward_only() {
    let repository = Repository::at_version("1.9.0");
    repository.release("1.9.0", 'a');
    next(&repository, "1.10.0", 'b');
    assert_eq!(repository.image_at("v1"), format!("docker://{}", image("1.10.0", 'b')));
    // A mend of an older line, and a new line, are tags of their own.
    next(&repository, "1.9.1", 'c');
    next(&repository, "2.0.0", 'd');
    assert_eq!(repository.image_at("v1"), format!("docker://{}", image("1.10.0", 'b')));
    assert_eq!(repository.image_at("v1.9.1"), format!("docker://{}", image("1.9.1", 'c')));
    assert_eq!(repository.image_at("v2"), format!("docker://{}", image("2.0.0", 'd')));
}

#[test]
fn what_cannot_be_released_is_refused() {
    let repository = Repository::at_version("1.2.3");
    repository.refuses(&["check", "v1.2.3"], "no version such as 1.2.3");
    repository.refuses(&["check", "1.2.4"], "Cargo.toml says version `1.2.3`");
    repository.refuses(&["tag", "1.2.3", "ghcr.io/acme/skipper:1.2.3"], "by its digest");
    repository.refuses(&["tag", "1.2.3", &image("1.2.4", 'a')], "of version 1.2.3");
    repository.release("1.2.3", 'a');
    repository.refuses(&["check", "1.2.3"], "there is a tag v1.2.3 already");
    repository.set_version("1.2.4");
    repository.refuses(&["check", "1.2.4"], "no section `## 1.2.4`");
}
