//! `.dockerignore`: what a last pattern says counts, and no folder is passed over that something of is sent from.

#[path = "../../../src/docker/dockerignore.rs"]
mod patterns;

use patterns::{Dockerignore, clean};

/// `data` as patterns and, behind a NUL, a path.
pub fn dockerignore(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (patterns, path) = text.split_once('\0').unwrap_or((&text, "src/main.rs"));
    let path = clean(path);
    // A context holds files with names, and a name that would end a pattern is written in none.
    if path.is_empty() || path.split('/').any(|part| part == ".." || part.is_empty()) {
        return;
    }
    let Ok(ignore) = Dockerignore::parse(patterns) else { return };
    let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
    for folder in folders {
        let passed_over = ignore.excludes(folder) && !ignore.may_include_below(folder);
        assert!(!passed_over || ignore.excludes(&path), "`{path}` is sent and `{folder}` passed over");
    }
    if path.contains(['\n', '\r']) || path.trim() != path {
        return;
    }
    let literal: String =
        path.chars().flat_map(|char| (char != '/').then_some('\\').into_iter().chain([char])).collect();
    let left_out = Dockerignore::parse(&format!("{patterns}\n{literal}")).unwrap();
    assert!(
        left_out.excludes(&path) && left_out.excludes(&format!("{path}/below")),
        "`{path}` was left out at the end"
    );
    let brought_back = Dockerignore::parse(&format!("{patterns}\n!{literal}")).unwrap();
    assert!(!brought_back.excludes(&path), "`{path}` was brought back at the end");
}
