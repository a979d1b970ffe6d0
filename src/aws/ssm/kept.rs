//! Scripts that are kept as documents: a role may be allowed to have one carried out, and to send no text of its own.

use aws_sdk_ssm::types::DocumentFormat;
use serde_json::Value;
use skipper_core::{iam::kept_document, script::Script};
use skipper_deploy::ports::{PortError, PortErrorKind, PortResult};

use super::RunCommand;
use crate::aws::error::Asked;

/// What is kept under a script's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// This very script.
    Ready,
    /// Nothing that this run may have carried out.
    Absent,
    /// Another text: that of another version of skipper.
    Other,
}

impl RunCommand {
    /// What is kept under the name that a script may have; looked at once a run.
    ///
    /// It is used only where it is this very script, so that no other's answer is misread.
    ///
    /// # Errors
    /// When Systems Manager does not answer; not being allowed to read counts as nothing being there.
    pub async fn kept(&self, script: &Script) -> PortResult<Kept> {
        let Some(name) = &script.kept_as else { return Ok(Kept::Absent) };
        if let Some(known) = self.kept.borrow().get(name) {
            return Ok(*known);
        }
        let asked = Asked::reads(&self.region, "ssm:GetDocument", format!("document `{name}`"));
        let found = self.ssm.get_document().name(name).document_format(DocumentFormat::Json).send().await;
        let kept = match found.map_err(|error| asked.failed(&error)) {
            Ok(found) => {
                let content: Option<Value> = found.content().and_then(|content| serde_json::from_str(content).ok());
                if content.is_some_and(|content| content == kept_document(script)) { Kept::Ready } else { Kept::Other }
            }
            // A role that may send any text needs no document, and may be allowed to read none.
            Err(error) if matches!(error.kind, PortErrorKind::Missing | PortErrorKind::Denied) => {
                tracing::debug!("{error}");
                Kept::Absent
            }
            Err(error) => return Err(error),
        };
        self.note_kept(name, kept);
        Ok(kept)
    }

    pub(super) fn note_kept(&self, name: &str, kept: Kept) {
        self.kept.borrow_mut().insert(name.to_owned(), kept);
    }
}

/// A script that might have been kept was sent as a text, and that was refused: what would have to be there.
pub(super) fn explained(refused: PortError, script: &Script, kept: Kept) -> PortError {
    let Some(name) = script.kept_as.as_ref().filter(|_| refused.kind == PortErrorKind::Denied) else { return refused };
    refused.hint(match kept {
        Kept::Other => format!(
            "document `{name}` is of another version of skipper: update its stack by the template that \
             `skipper iam --format cloudformation` of this version prints"
        ),
        Kept::Ready | Kept::Absent => format!(
            "a role that only looks needs the document `{name}` in its place: deploy the template that \
             `skipper iam --format cloudformation` prints"
        ),
    })
}
