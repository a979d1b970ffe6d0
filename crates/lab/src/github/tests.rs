//! GitHub as a client of its REST API meets it.

use std::io::{Read, Write};
use std::net::TcpStream;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::*;

const REPOSITORY: &str = "acme/hello";
const TOKEN: &str = "ghs_workflow";

/// A GitHub with one repository, a merged pull request 7 and a token of a workflow.
fn github() -> GitHub {
    let github = GitHub::start("127.0.0.1:0").unwrap();
    github.seed([
        Seed::workflow_token(TOKEN, REPOSITORY),
        Seed::repository(REPOSITORY),
        Seed::merged_pull(REPOSITORY, 7, "Say hello", "c0ffee"),
    ]);
    github
}

async fn ask(github: &GitHub, token: &str, method: Method, path: &str, body: Value) -> Response {
    let request = reqwest::Client::builder()
        .user_agent("test")
        .build()
        .unwrap()
        .request(method, format!("{}{path}", github.url()))
        .bearer_auth(token);
    let request = if body.is_null() { request } else { request.json(&body) };
    request.send().await.unwrap()
}

async fn get(github: &GitHub, path: &str) -> Response {
    ask(github, TOKEN, Method::GET, path, Value::Null).await
}

async fn post(github: &GitHub, path: &str, body: Value) -> Response {
    ask(github, TOKEN, Method::POST, path, body).await
}

/// Status and message of a refusal.
async fn refusal(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status.to_string());
    (status, body["message"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_comment_is_created_once_and_edited_in_place() {
    let github = github();
    let created = post(&github, "/repos/acme/hello/issues/7/comments", json!({"body": "one"})).await;
    assert_eq!(created.status(), 201);
    let created: Value = created.json().await.unwrap();
    assert_eq!(created["user"]["login"], "github-actions[bot]");

    let path = format!("/repos/acme/hello/issues/comments/{}", created["id"]);
    let patched = ask(&github, TOKEN, Method::PATCH, &path, json!({"body": "two"})).await;
    assert_eq!(patched.status(), 200);
    let read: Value = get(&github, &path).await.json().await.unwrap();
    assert_eq!(read["body"], "two");

    let comments = github.comments(REPOSITORY, 7);
    assert_eq!(comments.len(), 1);
    assert_eq!((comments[0].body.as_str(), comments[0].edits), ("two", 1));
}

#[tokio::test]
async fn an_edit_by_post_is_not_found() {
    let github = github();
    github.seed([Seed::Comment {
        repository: REPOSITORY.to_owned(),
        number: 7,
        login: None,
        body: "before".to_owned(),
    }]);
    let id = github.comments(REPOSITORY, 7)[0].id;
    let path = format!("/repos/acme/hello/issues/comments/{id}");
    let answer = post(&github, &path, json!({"body": "after"})).await;
    assert_eq!(refusal(answer).await, (404, "Not Found".to_owned()));
    assert_eq!(github.comments(REPOSITORY, 7)[0].body, "before");
}

#[tokio::test]
async fn a_long_list_comes_in_pages_that_links_lead_through() {
    let github = github();
    github.seed((0..65).map(|number| Seed::Comment {
        repository: REPOSITORY.to_owned(),
        number: 7,
        login: (number != 3).then(|| "octocat".to_owned()),
        body: format!("comment {number}"),
    }));
    let mut next = Some("/repos/acme/hello/issues/7/comments".to_owned());
    let mut sizes = Vec::new();
    let mut all = Vec::new();
    while let Some(path) = next {
        let page = get(&github, &path).await;
        let link = page.headers().get("link").map(|link| link.to_str().unwrap().to_owned()).unwrap_or_default();
        next = link
            .split(", ")
            .find_map(|link| link.strip_suffix(">; rel=\"next\""))
            .map(|link| link.trim_start_matches('<').replace(&github.url(), ""));
        let page: Vec<Value> = page.json().await.unwrap();
        sizes.push(page.len());
        all.extend(page);
        assert!(sizes.len() <= 3, "the links lead in a circle");
    }
    assert_eq!(sizes, [30, 30, 5]);
    assert_eq!(all[3]["user"], Value::Null);
    assert_eq!(all[64]["body"], "comment 64");

    let page: Vec<Value> = get(&github, "/repos/acme/hello/issues/7/comments?per_page=500").await.json().await.unwrap();
    assert_eq!(page.len(), 65, "at most 100 fit on a page");
}

#[tokio::test]
async fn a_body_may_be_65536_characters_long_and_no_longer() {
    let github = github();
    let path = "/repos/acme/hello/issues/7/comments";
    let body = "é".repeat(65_536);
    assert_eq!(post(&github, path, json!({"body": body})).await.status(), 201);
    let body = "é".repeat(65_537);
    let refused = post(&github, path, json!({"body": body})).await;
    assert_eq!(refused.status(), 422);
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["errors"][0]["message"], "Body is too long (maximum is 65536 characters)");
}

#[tokio::test]
async fn each_token_gets_what_it_may_have() {
    let github = github();
    github.seed([
        Seed::workflow_token_with("ghs_fork", REPOSITORY, [(Scope::PullRequests, Access::Read)]),
        Seed::workflow_token("ghs_other", "acme/other"),
        Seed::Token {
            token: "ghp_person".to_owned(),
            login: "octocat".to_owned(),
            permissions: [(Scope::Issues, Access::Write)].into(),
            repositories: vec![REPOSITORY.to_owned()],
        },
    ]);
    let comments = "/repos/acme/hello/issues/7/comments";
    let write = |token| ask(&github, token, Method::POST, comments, json!({"body": "x"}));

    let unknown = refusal(write("ghs_wrong").await).await;
    assert_eq!(unknown, (401, "Bad credentials".to_owned()));
    let fork = write("ghs_fork").await;
    assert_eq!(fork.headers()["x-accepted-github-permissions"], "issues=write; pull_requests=write");
    let forbidden = (403, "Resource not accessible by integration".to_owned());
    assert_eq!(refusal(fork).await, forbidden);
    let fork_reads = ask(&github, "ghs_fork", Method::GET, comments, Value::Null).await;
    assert_eq!(fork_reads.status(), 200);
    let elsewhere = refusal(write("ghs_other").await).await;
    assert_eq!(elsewhere, (404, "Not Found".to_owned()));
    assert_eq!(write("ghp_person").await.status(), 201);
    assert_eq!(github.comments(REPOSITORY, 7)[0].login.as_deref(), Some("octocat"));

    assert_eq!(refusal(get(&github, "/user").await).await, forbidden);
    let person: Value = ask(&github, "ghp_person", Method::GET, "/user", Value::Null).await.json().await.unwrap();
    assert_eq!(person["login"], "octocat");
}

#[tokio::test]
async fn a_commit_leads_to_the_pull_request_that_brought_it() {
    let github = github();
    let open = |number, merged| Seed::Pull {
        repository: REPOSITORY.to_owned(),
        pull: Pull {
            merged,
            head_repository: None,
            commits: vec!["c0ffee".to_owned(), "beef".to_owned()],
            ..Pull::open(REPOSITORY, number, "More", "beef")
        },
    };
    github.seed([open(8, false)]);
    let pulls = async |sha: &str| -> Vec<u64> {
        let pulls: Vec<Value> =
            get(&github, &format!("/repos/acme/hello/commits/{sha}/pulls")).await.json().await.unwrap();
        pulls.iter().map(|pull| pull["number"].as_u64().unwrap()).collect()
    };
    assert_eq!(pulls("c0ffee").await, [7], "it is on the default branch");
    assert_eq!(pulls("beef").await, [8]);
    let unknown = get(&github, "/repos/acme/hello/commits/0bad/pulls").await;
    assert_eq!(unknown.status(), 422);
    let pull: Value = get(&github, "/repos/acme/hello/pulls/8").await.json().await.unwrap();
    assert_eq!((&pull["state"], &pull["head"]["repo"]), (&json!("open"), &Value::Null));
    let commit: Value = get(&github, "/repos/acme/hello/commits/beef").await.json().await.unwrap();
    assert_eq!(commit["sha"], "beef");
}

#[tokio::test]
async fn a_deployment_needs_its_traps_avoided() {
    let github = github();
    github.seed([Seed::Commit {
        repository: REPOSITORY.to_owned(),
        sha: "feed".to_owned(),
        on_default_branch: false,
        checks_pending: true,
    }]);
    let path = "/repos/acme/hello/deployments";
    let merged = post(&github, path, json!({"ref": "feed"})).await;
    assert_eq!(merged.status(), 202, "auto_merge is true by default");
    let pending = post(&github, path, json!({"ref": "feed", "auto_merge": false})).await;
    assert_eq!(refusal(pending).await.0, 409);
    assert!(github.dump().deployments.is_empty());

    let body = json!({
        "ref": "feed", "auto_merge": false, "required_contexts": [], "environment": "staging",
    });
    let created = post(&github, path, body).await;
    assert_eq!(created.status(), 201);
    let created: Value = created.json().await.unwrap();
    let statuses = format!("{path}/{}/statuses", created["id"]);
    let long = json!({"state": "success", "description": "x".repeat(141)});
    assert_eq!(post(&github, &statuses, long).await.status(), 422);
    let unknown = json!({"state": "done"});
    assert_eq!(post(&github, &statuses, unknown).await.status(), 422);
    let good = json!({"state": "success", "description": "x".repeat(140)});
    assert_eq!(post(&github, &statuses, good.clone()).await.status(), 201);

    let body = json!({"ref": "c0ffee", "environment": "staging"});
    let next: Value = post(&github, path, body).await.json().await.unwrap();
    let statuses = format!("{path}/{}/statuses", next["id"]);
    assert_eq!(post(&github, &statuses, good).await.status(), 201);
    let states: Vec<Vec<String>> = github
        .dump()
        .deployments
        .into_iter()
        .map(|one| one.statuses.into_iter().map(|status| status.state).collect())
        .collect();
    assert_eq!(states, [vec!["success", "inactive"], vec!["success"]]);
    let listed: Vec<Value> = get(&github, &format!("{path}?environment=staging&ref=feed")).await.json().await.unwrap();
    assert_eq!(listed.len(), 1);
}

#[tokio::test]
async fn a_lost_answer_leaves_what_was_done() {
    let github = github();
    let path = "/repos/acme/hello/issues/7/comments";
    github.fault(Fault::times(Failure::BadGateway, 1).on("POST", "/comments").after_applying());
    let lost = post(&github, path, json!({"body": "x"})).await;
    assert_eq!(lost.status(), 502);
    assert!(lost.text().await.unwrap().starts_with("<html>"));
    assert_eq!(github.comments(REPOSITORY, 7).len(), 1);
    assert_eq!(get(&github, path).await.status(), 200);

    let statuses: Vec<u16> = github.dump().requests.iter().map(|one| one.status).collect();
    assert_eq!(statuses, [502, 200]);
}

#[tokio::test]
async fn every_failure_can_be_had_and_ended() {
    let github = github();
    let path = "/repos/acme/hello/pulls/7";
    for (failure, status) in [
        (Failure::BadCredentials, 401),
        (Failure::NotAccessible, 403),
        (Failure::NotFound, 404),
        (Failure::BadGateway, 502),
        (Failure::SecondaryRateLimit { retry_after: 60 }, 403),
    ] {
        github.fault(Fault::always(failure));
        let answer = get(&github, path).await;
        assert_eq!(answer.status(), status);
        if status == 403 && matches!(failure, Failure::SecondaryRateLimit { .. }) {
            assert_eq!(answer.headers()["retry-after"], "60");
        }
        github.clear_faults();
    }
    assert_eq!(get(&github, path).await.status(), 200);
}

#[tokio::test]
async fn a_hanging_request_is_never_answered_and_does_not_keep_github_alive() {
    let github = github();
    github.fault(Fault::always(Failure::Hang));
    let request = reqwest::Client::new()
        .get(format!("{}/user", github.url()))
        .header("user-agent", "test")
        .timeout(std::time::Duration::from_millis(200));
    assert!(request.send().await.unwrap_err().is_timeout());
    drop(github);
}

#[tokio::test]
async fn a_body_that_is_no_json_and_an_unknown_path_are_refused_as_github_does() {
    let github = github();
    let broken = reqwest::Client::new()
        .post(format!("{}/repos/acme/hello/issues/7/comments", github.url()))
        .header("user-agent", "test")
        .bearer_auth(TOKEN)
        .body("{");
    let broken = refusal(broken.send().await.unwrap()).await;
    assert_eq!(broken, (400, "Problems parsing JSON".to_owned()));
    assert_eq!(get(&github, "/repos/acme/hello/nothing").await.status(), 404);
    assert_eq!(get(&github, "/nothing").await.status(), 404);
}

#[test]
fn a_request_without_user_agent_is_refused() {
    let github = github();
    let mut stream = TcpStream::connect(github.url().trim_start_matches("http://")).unwrap();
    stream.write_all(b"GET /user HTTP/1.1\r\nhost: github\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[test]
fn the_lab_s_paths_seed_break_and_tell() {
    let github = GitHub::start("127.0.0.1:0").unwrap();
    let http = std::sync::Arc::new(crate::http::Http::new().unwrap());
    let client = Client::new(http.clone(), github.url());
    client
        .seed(&[
            Seed::workflow_token(TOKEN, REPOSITORY),
            Seed::merged_pull(REPOSITORY, 7, "Say hello", "c0ffee"),
            Seed::Comment { repository: REPOSITORY.to_owned(), number: 7, login: None, body: "hi".to_owned() },
        ])
        .unwrap();
    assert_eq!(client.comments(REPOSITORY, 7).unwrap()[0].body, "hi");
    assert_eq!(client.dump().unwrap().pulls[REPOSITORY], 1);

    client.fault(&Fault::always(Failure::NotFound)).unwrap();
    let user = format!("{}/user", github.url());
    assert_eq!(http.get(&user).unwrap().status, 404);
    client.clear_faults().unwrap();
    assert_eq!(http.get(&user).unwrap().status, 401);
    assert_eq!(client.dump().unwrap().requests.len(), 2);
}
