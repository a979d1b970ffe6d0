//! The payloads of the events that start a workflow: the fields of them that GitHub sends and that anybody here reads.
//!
//! <https://docs.github.com/en/webhooks/webhook-events-and-payloads>; `schedule` has none there, and is as the runner
//! writes it.

use serde_json::{Value, json};

use crate::github::Pull;

/// The branch that everything is merged into.
pub(super) const MAIN: &str = "refs/heads/main";
/// When everything happens.
const NOW: &str = "2026-01-01T00:00:00Z";
/// What a push says of the commit before the first.
const NOTHING: &str = "0000000000000000000000000000000000000000";

/// Commits were pushed to the default branch, up to `sha`.
pub(super) fn push(repository: &str, sha: &str) -> Value {
    let commit = json!({
        "id": sha,
        "tree_id": sha,
        "message": "",
        "timestamp": NOW,
        "author": {"name": "The Octocat", "email": "octocat@example.com", "username": "octocat"},
        "committer": {"name": "GitHub", "email": "noreply@github.com", "username": "web-flow"},
        "added": [],
        "removed": [],
        "modified": [],
    });
    json!({
        "ref": MAIN,
        "base_ref": null,
        "before": NOTHING,
        "after": sha,
        "created": false,
        "deleted": false,
        "forced": false,
        "commits": [commit],
        "head_commit": commit,
        "pusher": {"name": "octocat", "email": "octocat@example.com"},
        "repository": of(repository),
        "sender": sender(),
    })
}

/// Something happened to a pull request: `action` is `opened`, `synchronize`, `closed`, …; `merge` is the commit that it was
/// merged as, or would be.
pub(super) fn pull_request(repository: &str, action: &str, pull: &Pull, merge: &str) -> Value {
    let mut event = json!({
        "action": action,
        "number": pull.number,
        "pull_request": {
            "number": pull.number,
            "title": pull.title,
            "body": null,
            "state": if pull.merged || action == "closed" { "closed" } else { "open" },
            "draft": false,
            "merged": pull.merged,
            "merged_at": pull.merged.then_some(NOW),
            "merge_commit_sha": merge,
            "labels": [],
            "html_url": format!("https://github.com/{repository}/pull/{}", pull.number),
            "user": sender(),
            "head": {
                "ref": branch(pull),
                "sha": pull.head_sha,
                "repo": pull.head_repository.as_deref().map(of),
            },
            "base": {"ref": "main", "sha": NOTHING, "repo": of(repository)},
        },
        "repository": of(repository),
        "sender": sender(),
    });
    if action == "synchronize" {
        event["before"] = json!(NOTHING);
        event["after"] = json!(pull.head_sha);
    }
    event
}

/// Somebody started the workflow by hand, with `inputs`.
pub(super) fn workflow_dispatch(repository: &str, inputs: &Value) -> Value {
    json!({
        "inputs": inputs,
        "ref": MAIN,
        "workflow": ".github/workflows/deploy.yml",
        "repository": of(repository),
        "sender": sender(),
    })
}

/// Somebody wrote `body` below a pull request.
pub(super) fn issue_comment(repository: &str, pull: &Pull, body: &str) -> Value {
    let number = pull.number;
    json!({
        "action": "created",
        "issue": {
            "number": number,
            "title": pull.title,
            "state": if pull.merged { "closed" } else { "open" },
            "user": sender(),
            "labels": [],
            // Only a pull request has it: to GitHub each of them is an issue, too.
            "pull_request": {
                "url": format!("https://api.github.com/repos/{repository}/pulls/{number}"),
                "html_url": format!("https://github.com/{repository}/pull/{number}"),
            },
        },
        "comment": {
            "id": 1,
            "body": body,
            "user": sender(),
            "author_association": "MEMBER",
            "html_url": format!("https://github.com/{repository}/pull/{number}#issuecomment-1"),
        },
        "repository": of(repository),
        "sender": sender(),
    })
}

/// The time of `cron` has come.
pub(super) fn schedule(repository: &str, cron: &str) -> Value {
    json!({"schedule": cron, "workflow": ".github/workflows/deploy.yml", "repository": of(repository)})
}

/// The name of a pull request's branch.
pub(super) fn branch(pull: &Pull) -> String {
    format!("change-{}", pull.number)
}

fn of(repository: &str) -> Value {
    let (owner, name) = repository.split_once('/').unwrap_or(("", repository));
    json!({
        "id": 1,
        "full_name": repository,
        "name": name,
        "owner": {"login": owner, "id": 2, "type": "Organization"},
        "private": true,
        "fork": false,
        "default_branch": "main",
        "html_url": format!("https://github.com/{repository}"),
    })
}

fn sender() -> Value {
    json!({"login": "octocat", "id": 3, "type": "User"})
}
