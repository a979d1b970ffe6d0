//! A script as a document of Systems Manager, which a role can be allowed to have carried out without being allowed any other.

use serde_json::{Value, json};

use crate::script::Script;

/// Seconds that the script of a kept document may take; the agent ends it then. As long as a run waits for it.
const EXECUTION_SECONDS: u32 = 60;

/// The document's content: schema 2.2, one step, no parameters
/// (<https://docs.aws.amazon.com/systems-manager/latest/userguide/documents-schemas-features.html>).
///
/// Two runs of one version of skipper make the same, so that a run can tell whether the document that it finds is its own.
pub fn kept_document(script: &Script) -> Value {
    let text = script.text();
    json!({
        "schemaVersion": "2.2",
        "description": "Says what runs on a host of skipper's, and changes nothing",
        "mainSteps": [{
            "action": "aws:runShellScript",
            "name": script.name,
            "inputs": {
                "timeoutSeconds": EXECUTION_SECONDS.to_string(),
                "runCommand": text.lines().collect::<Vec<_>>(),
            },
        }],
    })
}
