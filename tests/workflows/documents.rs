//! What the documents show can be copied: every block of YAML in them is right.

use std::{fs, path::PathBuf, process::Command};

use tempfile::TempDir;

use crate::{
    blocks::{self, Block, Kind},
    hold, root,
};

/// How the documents name the action; nothing is released yet.
const ACTION: &str = "OWNER/skipper-action@v1";

/// A name for a file of a block that leads back to the document.
fn file_name(block: &Block) -> String {
    format!("{}-{}.yml", block.document.trim_end_matches(".md").replace('/', "-"), block.line)
}

/// The block with as many lines before it as in the document, so that what is found in it has its line there.
fn in_place(block: &Block) -> String {
    "\n".repeat(block.line - 1) + &block.text
}

/// Every document in Markdown that shows YAML.
fn documents() -> Vec<String> {
    crate::files(&["README.md", "docs/*.md"]).into_iter().map(|path| path.display().to_string()).collect()
}

/// A checkout that has the documents' workflows as its own.
struct Checkout {
    folder: TempDir,
    workflows: Vec<PathBuf>,
}

impl Checkout {
    /// With what `written` makes of each workflow.
    fn with(written: impl Fn(&Block) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir_all(path.join(".github/workflows")).unwrap();
        fs::create_dir(path.join(".git")).unwrap();
        for file in ["action.yml", "Dockerfile", ".github/zizmor.yml"] {
            fs::copy(root().join(file), path.join(file)).unwrap();
        }
        let workflows = blocks::of(root(), &documents(), Kind::Workflow)
            .iter()
            .map(|block| {
                let file = PathBuf::from(".github/workflows").join(file_name(block));
                fs::write(path.join(&file), written(block)).unwrap();
                file
            })
            .collect();
        Self { folder, workflows }
    }

    fn hold(&self, tool: &str, arguments: &[&str]) {
        hold(self.folder.path(), tool, arguments, &self.workflows);
    }
}

#[test]
fn workflows_in_documents_have_the_form_that_github_reads() {
    let checkout = Checkout::with(in_place);
    checkout.hold("check-jsonschema", &["--builtin-schema", "vendor.github-workflows"]);
    checkout.hold("check-jsonschema", &["--builtin-schema", "custom.github-workflows-require-timeout"]);
}

#[test]
fn workflows_in_documents_give_nothing_away() {
    Checkout::with(in_place).hold("zizmor", &["--offline", "--quiet", "--persona", "auditor"]);
}

#[test]
fn workflows_in_documents_name_inputs_and_outputs_that_there_are() {
    // Of an action in the same repository, actionlint knows inputs and outputs.
    Checkout::with(|block| in_place(block).replace(ACTION, "./")).hold("actionlint", &["-no-color"]);
}

#[test]
fn a_skipper_yml_in_a_document_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(root().join("schema/skipper.schema.json"), folder.path().join("schema.json")).unwrap();
    let mut files = Vec::new();
    for block in blocks::of(root(), &documents(), Kind::SkipperYml) {
        let file = PathBuf::from(file_name(&block));
        fs::write(folder.path().join(&file), in_place(&block)).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_skipper"))
            .args(["check", "--config"])
            .arg(&file)
            .current_dir(folder.path())
            .env_clear()
            .output()
            .unwrap();
        assert!(output.status.success(), "{}: {}", block.place(), String::from_utf8_lossy(&output.stderr));
        files.push(file);
    }
    hold(folder.path(), "check-jsonschema", &["--schemafile", "schema.json"], &files);
}
