//! Workflows, actions, Dockerfiles, scripts and documents, held to what the tools for them say.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed, and says why")]

mod blocks;
mod documents;
mod release;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use skipper_lab::{Clock, Tools};

/// The checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs `tool` in `folder`, and fails with what it finds.
#[track_caller]
pub(crate) fn hold(folder: &Path, tool: &str, arguments: &[&str], files: &[PathBuf]) {
    static TOOLS: OnceLock<Result<Tools, String>> = OnceLock::new();
    let tools = TOOLS.get_or_init(|| Tools::get(&Clock::start()).map_err(|error| format!("{error:#}")));
    let mut command = tools.as_ref().unwrap_or_else(|error| panic!("{error}")).command(folder, tool);
    let output = command.args(arguments).args(files).output().unwrap();
    assert!(
        output.status.success(),
        "`{tool}` finds:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The checkout's own files whose path matches one of git's `patterns`, of which there is at least one.
#[track_caller]
fn files(patterns: &[&str]) -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "--"])
        .args(patterns)
        .current_dir(root())
        .output()
        .unwrap();
    let paths = String::from_utf8(output.stdout).unwrap();
    // One that was removed is listed until the next commit.
    let files: Vec<PathBuf> = paths.lines().map(PathBuf::from).filter(|path| root().join(path).exists()).collect();
    assert!(!files.is_empty(), "no file matches {patterns:?}");
    files
}

#[test]
fn actions_have_the_form_that_github_reads() {
    let actions = files(&["action.yml", ":(glob)**/action.yml"]);
    hold(root(), "check-jsonschema", &["--builtin-schema", "vendor.github-actions"], &actions);
}

#[test]
fn workflows_have_the_form_that_github_reads() {
    let workflows = files(&[".github/workflows/*.yml"]);
    hold(root(), "check-jsonschema", &["--builtin-schema", "vendor.github-workflows"], &workflows);
    hold(root(), "check-jsonschema", &["--builtin-schema", "custom.github-workflows-require-timeout"], &workflows);
}

#[test]
fn dependabot_s_file_has_the_form_that_github_reads() {
    hold(
        root(),
        "check-jsonschema",
        &["--builtin-schema", "vendor.dependabot"],
        &[PathBuf::from(".github/dependabot.yml")],
    );
}

#[test]
fn workflows_and_actions_give_nothing_away() {
    hold(root(), "zizmor", &["--offline", "--quiet", "--persona", "auditor", "."], &[]);
}

#[test]
fn workflows_say_what_they_mean() {
    hold(root(), "actionlint", &["-no-color"], &files(&[".github/workflows/*.yml"]));
}

#[test]
fn scripts_are_fine_shell() {
    let scripts = files(&[
        ":(glob)**/*.sh",
        ".ci/run",
        "crates/core/tests/fakes/*",
        "crates/lab/images/host/files/usr/lib/lab/*",
    ]);
    hold(root(), "shellcheck", &["--external-sources"], &scripts);
}

#[test]
fn dockerfiles_are_fine() {
    hold(root(), "hadolint", &["--no-color"], &files(&["Dockerfile", ":(glob)**/Dockerfile"]));
}

#[test]
fn every_skipper_yml_has_the_form_of_the_schema() {
    let examples = files(&[":(glob)**/skipper.yml"]);
    hold(root(), "check-jsonschema", &["--schemafile", "schema/skipper.schema.json"], &examples);
}

/// The action as this repository tries it: a released `action.yml` names an image that is there already.
const DEVELOPMENT_ACTION: &str = ".github/actions/dev/action.yml";

#[test]
fn the_action_of_a_checkout_differs_in_its_image_alone() {
    let action = fs::read_to_string(root().join("action.yml")).unwrap();
    let (before, image) = action.split_once("\n  image: ").unwrap();
    let after = image.split_once('\n').map_or("", |(_, after)| after);
    // zizmor takes the path for the name of an image.
    let expected = format!("{before}\n  image: ../../../Dockerfile # zizmor: ignore[unpinned-images]\n{after}");
    let path = root().join(DEVELOPMENT_ACTION);
    if env::var_os("SKIPPER_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &expected).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == expected,
        "{DEVELOPMENT_ACTION} says something else than action.yml; write it anew with SKIPPER_BLESS=1"
    );
}
