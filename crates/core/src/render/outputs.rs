//! What a workflow's later steps can read of a run, and what a program at a terminal can.

use std::collections::BTreeMap;

use serde_json::json;

use crate::progress::{ImageProgress, Progress};

/// The outputs of the action, by name. `action.yml` declares the same ones.
pub const NAMES: [&str; 6] = ["status", "exit-code", "release", "images", "comment-url", "ps"];

/// The values of [`NAMES`], those that are known.
pub fn outputs(progress: &Progress) -> Vec<(&'static str, String)> {
    let mut outputs = Vec::new();
    if let Some(finished) = &progress.finished {
        outputs.push(("status", finished.exit.status().to_owned()));
        outputs.push(("exit-code", finished.exit.code().to_string()));
    }
    if let Some(revision) = progress.run.as_ref().and_then(|run| run.revision.as_ref()) {
        outputs.push(("release", revision.to_string()));
    }
    let images: BTreeMap<String, String> = progress
        .images
        .iter()
        .filter_map(|(service, image)| match image {
            ImageProgress::Ready { image, .. } => Some((service.to_string(), image.to_string())),
            ImageProgress::Started | ImageProgress::Failed(_) => None,
        })
        .collect();
    if !images.is_empty() {
        outputs.push(("images", json!(images).to_string()));
    }
    if let Some(url) = progress.comments.values().next() {
        outputs.push(("comment-url", url.clone()));
    }
    if let Some(state) = progress.state() {
        outputs.push(("ps", json!(state).to_string()));
    }
    outputs
}
