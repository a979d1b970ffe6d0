//! Keeps a comment below the length that GitHub takes.

/// The most a comment may hold; GitHub refuses more than 65,536 characters.
const COMMENT_LIMIT: usize = 60_000;

/// Keeps a comment below the limit; what was opened is closed again.
pub(super) fn cut(comment: String) -> String {
    if comment.chars().count() <= COMMENT_LIMIT {
        return comment;
    }
    let mut kept: String = comment.chars().take(COMMENT_LIMIT - 200).collect();
    kept.truncate(kept.rfind('\n').unwrap_or(kept.len()));
    let mut fence: Option<String> = None;
    let mut in_details = false;
    for line in kept.lines() {
        let marks: String = line.chars().take_while(|char| *char == '`').collect();
        match &fence {
            Some(open) if line == open => fence = None,
            // What stands within a fence may look like skipper's own.
            Some(_) => {}
            None if marks.len() >= 3 => fence = Some(marks),
            None if line.starts_with("<details>") => in_details = true,
            None if line == "</details>" => in_details = false,
            None => {}
        }
    }
    if let Some(marks) = fence {
        kept = format!("{kept}\n{marks}");
    }
    if in_details {
        kept.push_str("\n\n</details>");
    }
    format!("{kept}\n\nThe rest is in the run's log.\n")
}

#[cfg(test)]
mod tests {
    use super::{super::text, *};

    #[test]
    fn a_comment_that_is_cut_within_a_fence_closes_that_fence() {
        let lines = vec!["``` not the </details> end".to_owned(); 4_000];
        let comment =
            cut(format!("<details><summary>The last lines</summary>\n\n{}\n\n</details>\n", text::fenced(&lines)));
        assert!(comment.len() < COMMENT_LIMIT && comment.contains("\n````text\n"));
        assert!(
            comment.ends_with("not the </details> end\n````\n\n</details>\n\nThe rest is in the run's log.\n"),
            "{}",
            &comment[comment.len() - 200..]
        );
    }
}
