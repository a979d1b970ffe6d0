//! The blocks of YAML in the documents.

use std::{fs, ops::Range, path::Path};

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};
use serde_json::Value;

/// A block of YAML in a document.
#[derive(Debug)]
pub(crate) struct Block {
    /// The document, by its path in the checkout.
    pub(crate) document: String,
    /// The line of the document on which it begins, from 1.
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) kind: Kind,
}

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Workflow,
    SkipperYml,
}

impl Block {
    /// Where it is, for people.
    pub(crate) fn place(&self) -> String {
        format!("{}, line {}", self.document, self.line)
    }
}

/// The blocks of YAML of one kind in all `documents`, of which there is at least one. A block that is of no kind fails:
/// nobody could tell whether it is right.
#[track_caller]
pub(crate) fn of(root: &Path, documents: &[String], kind: Kind) -> Vec<Block> {
    let blocks: Vec<Block> = documents
        .iter()
        .flat_map(|document| {
            let text = fs::read_to_string(root.join(document)).unwrap();
            yaml(&text)
                .into_iter()
                .map(|(line, text)| {
                    let kind = kind_of(&text).unwrap_or_else(|why| panic!("{document}, line {line}: {why}"));
                    Block { document: document.clone(), line, text, kind }
                })
                .collect::<Vec<_>>()
        })
        .filter(|block| block.kind == kind)
        .collect();
    assert!(!blocks.is_empty(), "the documents show no {kind:?}");
    blocks
}

/// The blocks of YAML in a text of Markdown, each with its first line.
fn yaml(markdown: &str) -> Vec<(usize, String)> {
    let mut blocks: Vec<(usize, String)> = Vec::new();
    let mut inside = false;
    for (event, Range { start, .. }) in Parser::new(markdown).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) if &*info == "yaml" => {
                inside = true;
                // The first line after that of the fence.
                blocks.push((markdown[..start].matches('\n').count() + 2, String::new()));
            }
            Event::End(TagEnd::CodeBlock) => inside = false,
            Event::Text(text) if inside => blocks.last_mut().unwrap().1.push_str(&text),
            _ => {}
        }
    }
    blocks
}

fn kind_of(text: &str) -> Result<Kind, String> {
    let value: Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    match value {
        _ if value.get("jobs").is_some() => Ok(Kind::Workflow),
        _ if value.get("services").is_some() => Ok(Kind::SkipperYml),
        _ => Err("a block of YAML is a whole workflow or a whole `skipper.yml`, so that it can be tried".to_owned()),
    }
}

#[test]
fn a_block_knows_its_line_and_what_it_is() {
    let text = "# Title\n\n```yaml\nname: x\nservices: {}\n```\n\n- in a list\n\n  ```yaml\n  on: push\n  jobs: {}\n  ```\n\n```sh\nls\n```\n";
    let blocks = yaml(text);
    assert_eq!(blocks, [(4, "name: x\nservices: {}\n".to_owned()), (11, "on: push\njobs: {}\n".to_owned())],);
    assert_eq!(kind_of(&blocks[0].1), Ok(Kind::SkipperYml));
    assert_eq!(kind_of(&blocks[1].1), Ok(Kind::Workflow));
    assert!(kind_of("steps: []").unwrap_err().contains("whole workflow"));
}
