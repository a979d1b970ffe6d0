//! The adapter against the lab's GitHub, which refuses, limits and pages as the real one.

use std::time::{Duration, Instant};

use axum::{
    Json, Router,
    routing::{get, post},
};
use serde_json::json;
use skipper_lab::github::{Access as Permission, Failure, Fault, GitHub as Server, Pull, Scope, Seed};

use super::*;

const REPOSITORY: &str = "acme/hello";
const TOKEN: &str = "ghs_workflow";
const KEY: &str = "hello/production";
/// The commit that pull request 7 brought.
const SHA: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";
/// Quick between tries, and patient with a busy machine.
const PACE: Pace = Pace {
    silence: Duration::from_secs(10),
    request: Duration::from_secs(10),
    pause: Duration::from_millis(10),
    patience: Duration::from_secs(5),
};

fn revision() -> Revision {
    SHA.parse().unwrap()
}

/// A repository with the merged pull request 7, and a workflow's token for it.
fn server() -> Server {
    let server = Server::start("127.0.0.1:0").unwrap();
    server.seed([
        Seed::workflow_token(TOKEN, REPOSITORY),
        Seed::repository(REPOSITORY),
        Seed::merged_pull(REPOSITORY, 7, "Say hello", SHA),
    ]);
    server
}

fn access(url: &str, token: &str) -> Access {
    Access {
        api_url: url.to_owned(),
        graphql_url: format!("{url}/graphql"),
        repository: REPOSITORY.to_owned(),
        token: Secret::new(token),
    }
}

fn github_as(server: &Server, token: &str) -> GitHub {
    GitHub::with_pace(&access(&server.url(), token), Some(&revision()), PACE).unwrap()
}

fn github(server: &Server) -> GitHub {
    github_as(server, TOKEN)
}

fn by(login: Option<&str>, body: &str) -> Seed {
    Seed::Comment {
        repository: REPOSITORY.to_owned(),
        number: 7,
        login: login.map(str::to_owned),
        body: body.to_owned(),
    }
}

/// The bodies of the comments on pull request 7.
fn bodies(server: &Server) -> Vec<String> {
    server.comments(REPOSITORY, 7).into_iter().map(|comment| comment.body).collect()
}

fn requests(server: &Server, method: &str) -> usize {
    server
        .dump()
        .requests
        .iter()
        .filter(|request| request.method == method && !request.path.ends_with("/graphql"))
        .count()
}

fn marked(run: &str, words: &str) -> String {
    format!("<!-- skipper:v1 key={KEY} run={run} sha={SHA} -->\n{words}")
}

#[tokio::test]
async fn a_run_creates_its_comment_once_and_edits_it_afterwards() {
    let server = server();
    let github = github(&server);
    let created = github.comment(7, KEY, Some((5, 1)), "deploying").await.unwrap();
    assert_eq!(bodies(&server), [marked("5.1", "deploying")]);
    let edited = github.comment(7, KEY, Some((5, 1)), "deployed").await.unwrap();
    assert_eq!(bodies(&server), [marked("5.1", "deployed")]);
    assert!(created.as_deref().is_some_and(|url| url.contains("/pull/7#issuecomment-")), "{created:?}");
    assert_eq!(created, edited);
}

#[tokio::test]
async fn the_next_run_takes_the_comment_over_and_says_nothing_twice() {
    let server = server();
    github(&server).comment(7, KEY, Some((5, 1)), "deployed").await.unwrap();
    let next = github(&server);
    let first = next.comment(7, KEY, Some((6, 1)), "deployed again").await.unwrap();
    let again = next.comment(7, KEY, Some((6, 1)), "deployed again").await.unwrap();
    assert_eq!(first, again);
    assert_eq!(bodies(&server), [marked("6.1", "deployed again")]);
    assert_eq!(requests(&server, "PATCH"), 1);
}

#[tokio::test]
async fn an_older_run_leaves_a_newer_ones_comment_alone() {
    let server = server();
    github(&server).comment(7, KEY, Some((10, 1)), "newer").await.unwrap();
    let older = github(&server);
    assert_eq!(older.comment(7, KEY, Some((9, 4)), "older").await, Ok(None));
    assert_eq!(bodies(&server), [marked("10.1", "newer")]);
}

#[tokio::test]
async fn each_environment_has_its_own_comment() {
    let server = server();
    let github = github(&server);
    github.comment(7, "hello/production", Some((5, 1)), "p").await.unwrap();
    github.comment(7, "hello/staging", Some((5, 1)), "s").await.unwrap();
    assert_eq!(bodies(&server).len(), 2);
}

#[tokio::test]
async fn the_own_comment_is_found_behind_hundreds_of_others_and_impostors() {
    let server = server();
    server.seed([by(Some("mallory"), &marked("999.1", "mine, says mallory")), by(None, "by somebody who is gone")]);
    server.seed((0..230).map(|number| by(Some("octocat"), &format!("comment {number}"))));
    server.seed([by(Some("github-actions[bot]"), &marked("4.1", "old"))]);
    github(&server).comment(7, KEY, Some((5, 1)), "new").await.unwrap();
    let bodies = bodies(&server);
    assert_eq!(bodies.len(), 233);
    assert_eq!(bodies[0], marked("999.1", "mine, says mallory"));
    assert_eq!(bodies[232], marked("5.1", "new"));
}

#[tokio::test]
async fn a_persons_token_edits_that_persons_comment() {
    let server = server();
    server.seed([Seed::Token {
        token: "ghp_person".to_owned(),
        login: "octocat".to_owned(),
        permissions: [(Scope::Contents, Permission::Read), (Scope::PullRequests, Permission::Write)].into(),
        repositories: vec![REPOSITORY.to_owned()],
    }]);
    server.seed([by(Some("github-actions[bot]"), &marked("4.1", "the workflow's"))]);
    github_as(&server, "ghp_person").comment(7, KEY, None, "one").await.unwrap();
    github_as(&server, "ghp_person").comment(7, KEY, None, "two").await.unwrap();
    let own = format!("<!-- skipper:v1 key={KEY} sha={SHA} -->\ntwo");
    assert_eq!(bodies(&server), [marked("4.1", "the workflow's"), own]);
}

#[tokio::test]
async fn an_apps_token_is_known_by_what_graphql_tells() {
    let text = marked("5.1", "hello");
    let comments = json!([{
        "id": 1, "html_url": "https://github.test/acme/hello/pull/7#issuecomment-1", "body": text,
        "user": {"login": "deployer[bot]", "type": "Bot"},
    }]);
    let routes = Router::new()
        .route("/repos/acme/hello/issues/7/comments", get(|| async { Json(comments) }))
        .route("/graphql", post(|| async { Json(json!({"data": {"viewer": {"login": "deployer"}}})) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async { axum::serve(listener, routes).await });
    let github = GitHub::with_pace(&access(&url, TOKEN), Some(&revision()), PACE).unwrap();
    // It stands there already, so nothing needs to be written: this server could not.
    assert!(github.comment(7, KEY, Some((5, 1)), "hello").await.unwrap().is_some());
    serving.abort();
}

#[tokio::test]
async fn a_comment_whose_reply_was_lost_is_found_and_not_made_twice() {
    let server = server();
    server.fault(Fault::times(Failure::BadGateway, 1).on("POST", "/comments").after_applying());
    let url = github(&server).comment(7, KEY, Some((5, 1)), "deployed").await.unwrap();
    assert!(url.is_some());
    assert_eq!(bodies(&server), [marked("5.1", "deployed")]);
}

#[tokio::test]
async fn a_comment_that_was_not_made_is_made_after_looking() {
    let server = server();
    server.fault(Fault::times(Failure::BadGateway, 1).on("POST", "/comments"));
    github(&server).comment(7, KEY, Some((5, 1)), "deployed").await.unwrap();
    assert_eq!(bodies(&server), [marked("5.1", "deployed")]);
    assert_eq!(requests(&server, "POST"), 2);
}

#[tokio::test]
async fn creating_is_given_up_when_every_reply_is_lost() {
    let server = server();
    server.fault(Fault::always(Failure::Hang).on("POST", "/comments"));
    let pace = Pace { silence: Duration::from_millis(500), ..PACE };
    let github = GitHub::with_pace(&access(&server.url(), TOKEN), Some(&revision()), pace).unwrap();
    let error = github.comment(7, KEY, Some((5, 1)), "deployed").await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Unclear);
    assert_eq!(error.failure.message, "create a comment on pull request 7");
    assert!(error.failure.causes[0].ends_with("did not answer in time"), "{:?}", error.failure.causes);
    assert_eq!(requests(&server, "POST"), CREATIONS);
}

#[tokio::test]
async fn trouble_that_passes_is_waited_out() {
    let server = server();
    server.fault(Fault::times(Failure::BadGateway, 2).on("GET", "/comments"));
    github(&server).comment(7, KEY, Some((5, 1)), "deployed").await.unwrap();
    assert_eq!(bodies(&server).len(), 1);

    server.fault(Fault::times(Failure::BadGateway, 1).on("PATCH", "/comments").after_applying());
    github(&server).comment(7, KEY, Some((6, 1)), "deployed").await.unwrap();
    assert_eq!(bodies(&server), [marked("6.1", "deployed")]);
}

#[tokio::test]
async fn trouble_that_lasts_is_told_after_three_tries() {
    let server = server();
    server.fault(Fault::always(Failure::BadGateway));
    let error = github(&server).comment(7, KEY, Some((5, 1)), "deployed").await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Transient);
    assert_eq!(error.failure.message, "list the comments of pull request 7");
    assert_eq!(error.failure.causes, ["GitHub answered 502 Bad Gateway"]);
    assert_eq!(requests(&server, "GET"), 3);
}

#[tokio::test]
async fn refusals_are_told_at_once_with_what_to_do() {
    for (failure, kind, cause, hint) in [
        (
            Failure::BadCredentials,
            PortErrorKind::Denied,
            "GitHub answered 401 Unauthorized: Bad credentials",
            "`github-token`",
        ),
        (
            Failure::NotAccessible,
            PortErrorKind::Denied,
            "GitHub answered 403 Forbidden: Resource not accessible by integration",
            "pull-requests: write",
        ),
        (Failure::NotFound, PortErrorKind::Missing, "GitHub answered 404 Not Found: Not Found", "`GITHUB_REPOSITORY`"),
    ] {
        let server = server();
        server.fault(Fault::always(failure));
        let error = github(&server).comment(7, KEY, Some((5, 1)), "deployed").await.unwrap_err();
        assert_eq!((error.kind, error.failure.causes[0].as_str()), (kind, cause));
        assert!(error.failure.hints.iter().any(|it| it.contains(hint)), "{:?}", error.failure.hints);
        assert_eq!(requests(&server, "GET"), 1);
    }
}

#[tokio::test]
async fn a_token_that_may_only_read_is_told_what_it_lacks() {
    let server = server();
    server.seed([Seed::workflow_token_with("ghs_reader", REPOSITORY, [(Scope::PullRequests, Permission::Read)])]);
    let error = github_as(&server, "ghs_reader").comment(7, KEY, Some((5, 1)), "deployed").await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Denied);
    assert!(error.failure.causes[1].contains("pull_requests=write"), "{:?}", error.failure.causes);
    assert!(error.failure.hints.iter().any(|hint| hint.contains("fork")));
}

#[tokio::test]
async fn a_limit_is_waited_out_when_it_is_short() {
    let server = server();
    server.fault(Fault::times(Failure::SecondaryRateLimit { retry_after: 1 }, 1).on("POST", "/comments"));
    let started = Instant::now();
    github(&server).comment(7, KEY, Some((5, 1)), "deployed").await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(bodies(&server).len(), 1);
}

#[tokio::test]
async fn a_limit_that_takes_longer_than_anybody_would_wait_is_told() {
    let server = server();
    server.fault(Fault::always(Failure::SecondaryRateLimit { retry_after: 60 }));
    let started = Instant::now();
    let error = github(&server).comment(7, KEY, Some((5, 1)), "deployed").await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_eq!(error.kind, PortErrorKind::Transient);
    assert!(error.failure.hints[0].contains("run again later"), "{:?}", error.failure);
}

#[tokio::test]
async fn nobody_at_the_address_is_told_with_the_address() {
    let server = server();
    let github = github(&server);
    let url = server.url();
    drop(server);
    let error = github.comment(7, KEY, Some((5, 1)), "deployed").await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Transient);
    assert_eq!(error.failure.causes[0], format!("GitHub at `{url}` did not answer"));
}

#[tokio::test]
async fn what_github_would_not_take_is_not_sent() {
    let server = server();
    let error = github(&server).comment(7, KEY, Some((5, 1)), &"\u{e9}".repeat(LONGEST_BODY)).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Invalid);
    assert!(server.dump().requests.is_empty());
}

#[tokio::test]
async fn a_commit_belongs_to_the_pull_request_that_brought_it_and_to_open_ones_it_heads() {
    let server = server();
    let pull = |number, merged, head_sha: &str, commits: &[&str]| Seed::Pull {
        repository: REPOSITORY.to_owned(),
        pull: Pull {
            merged,
            commits: commits.iter().map(|sha| (*sha).to_owned()).collect(),
            ..Pull::open(REPOSITORY, number, &format!("pull request {number}"), head_sha)
        },
    };
    let (head, other) = ("a".repeat(40), "b".repeat(40));
    server.seed([pull(8, false, &head, &[&head]), pull(9, false, &other, &[&head, &other])]);
    let github = github(&server);
    assert_eq!(github.pull_requests(&revision()).await, Ok(vec![PullRequestOfCommit { number: 7, merged: true }]));
    assert_eq!(
        github.pull_requests(&head.parse().unwrap()).await,
        Ok(vec![PullRequestOfCommit { number: 8, merged: false }])
    );
    let error = github.pull_requests(&"d".repeat(40).parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Invalid);
    assert_eq!(error.failure.hints, ["push the commit to `acme/hello` first"]);
}

#[tokio::test]
async fn a_pull_request_is_open_until_it_is_closed_or_merged() {
    let server = server();
    let labeled = Pull { labels: vec!["preview".to_owned()], ..Pull::open(REPOSITORY, 8, "Say more", SHA) };
    server.seed([
        Seed::Pull { repository: REPOSITORY.to_owned(), pull: labeled },
        Seed::closed_pull(REPOSITORY, 9, "Say less", SHA),
    ]);
    let github = github(&server);
    let open = PullRequest { open: true, labels: vec!["preview".to_owned()] };
    assert_eq!(github.pull_request(8).await, Ok(open));
    for gone in [7, 9] {
        assert_eq!(github.pull_request(gone).await, Ok(PullRequest { open: false, labels: Vec::new() }));
    }
}

#[tokio::test]
async fn a_pull_request_that_github_does_not_show_is_not_taken_for_a_closed_one() {
    let server = server();
    assert_eq!(github(&server).pull_request(1_000).await.unwrap_err().kind, PortErrorKind::Missing);
    server.fault(Fault::always(Failure::BadGateway));
    assert_eq!(github(&server).pull_request(7).await.unwrap_err().kind, PortErrorKind::Transient);
    let stranger = github_as(&server, "ghs_unknown");
    server.clear_faults();
    assert_eq!(stranger.pull_request(7).await.unwrap_err().kind, PortErrorKind::Denied);
}

#[tokio::test]
async fn the_token_is_never_shown() {
    let server = server();
    let shown = format!("{:?}", github(&server));
    assert!(!shown.contains(TOKEN), "{shown}");
}

#[tokio::test]
async fn a_list_of_hundreds_is_read_once_and_the_comment_by_itself_afterwards() {
    let server = server();
    server.seed((0..150).map(|number| by(Some("octocat"), &format!("comment {number}"))));
    let github = github(&server);
    for words in ["one", "two", "three"] {
        github.comment(7, KEY, Some((5, 1)), words).await.unwrap();
    }
    assert_eq!(bodies(&server)[150], marked("5.1", "three"));
    let lists = server.dump().requests.into_iter().filter(|request| request.path.contains("/issues/7/comments?"));
    assert_eq!(lists.count(), 2, "both pages, once");
}

#[tokio::test]
async fn a_comment_that_was_deleted_meanwhile_is_written_anew() {
    let server = server();
    let github = github(&server);
    github.comment(7, KEY, Some((5, 1)), "deploying").await.unwrap();
    let id = server.comments(REPOSITORY, 7)[0].id;
    server.seed([Seed::CommentDeleted { id }]);
    github.comment(7, KEY, Some((5, 1)), "deployed").await.unwrap();
    assert_eq!(bodies(&server), [marked("5.1", "deployed")]);
    // Between reading and editing it, too.
    server.fault(Fault::times(Failure::NotFound, 1).on("PATCH", "/comments"));
    github.comment(7, KEY, Some((5, 1)), "deployed again").await.unwrap();
    assert_eq!(bodies(&server), [marked("5.1", "deployed again")]);
}

#[tokio::test]
async fn a_newer_run_that_took_the_comment_meanwhile_keeps_it() {
    let server = server();
    let older = github(&server);
    older.comment(7, KEY, Some((5, 1)), "older").await.unwrap();
    github(&server).comment(7, KEY, Some((6, 1)), "newer").await.unwrap();
    assert_eq!(older.comment(7, KEY, Some((5, 1)), "older still").await, Ok(None));
    assert_eq!(bodies(&server), [marked("6.1", "newer")]);
}

#[tokio::test]
async fn a_locked_conversation_is_told_as_one() {
    let server = server();
    server.fault(Fault::always(Failure::Locked).on("POST", "/comments"));
    let error = github(&server).comment(7, KEY, Some((5, 1)), "deployed").await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Denied);
    assert!(error.failure.hints[0].contains("locked"), "{:?}", error.failure);
}

#[tokio::test]
async fn a_429_is_waited_out_as_its_header_says() {
    let server = server();
    server.fault(Fault::times(Failure::TooManyRequests { retry_after: 1 }, 1).on("GET", "/comments"));
    let started = Instant::now();
    github(&server).comment(7, KEY, Some((5, 1)), "deployed").await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_plan_stays_in_the_comment_until_another_takes_its_place() {
    let server = server();
    let github = github(&server);
    let shown = |line: &str| ShownPlan::of(skipper_core::plan::Outline(vec![line.to_owned()])).line();
    github.comment(7, KEY, Some((5, 1)), &format!("{}\n### plan", shown("launch host"))).await.unwrap();
    github.comment(7, KEY, Some((6, 1)), "### deployed").await.unwrap();
    assert_eq!(bodies(&server), [marked("6.1", &format!("{}\n### deployed", shown("launch host")))]);
    assert_eq!(github.shown_plan(7, KEY).await, Ok(Some(shown("launch host"))));
    github.comment(7, KEY, Some((7, 1)), &format!("{}\n### plan", shown("open"))).await.unwrap();
    assert_eq!(github.shown_plan(7, KEY).await, Ok(Some(shown("open"))));
}

#[tokio::test]
async fn a_plan_that_somebody_else_wrote_counts_for_nothing() {
    let server = server();
    let forged = ShownPlan::of(skipper_core::plan::Outline(vec!["terminate host `web_1`".to_owned()])).line();
    server.seed([by(Some("mallory"), &marked("999.1", &format!("{forged}\n### plan")))]);
    assert_eq!(github(&server).shown_plan(7, KEY).await, Ok(None));
}

#[tokio::test]
async fn an_older_commit_is_behind_a_newer_one_and_an_unknown_one_behind_none() {
    let server = server();
    let newer = "d".repeat(40);
    server.seed([Seed::merged_pull(REPOSITORY, 8, "Say more", &newer)]);
    let (github, newer) = (github(&server), newer.parse().unwrap());
    assert_eq!(github.is_behind(&revision(), &newer).await, Ok(true));
    assert_eq!(github.is_behind(&newer, &revision()).await, Ok(false));
    assert_eq!(github.is_behind(&revision(), &revision()).await, Ok(false));
    assert_eq!(github.is_behind(&revision(), &"e".repeat(40).parse().unwrap()).await, Ok(false));
}

fn deployment_of(environment: &str) -> DeploymentRequest {
    DeploymentRequest {
        revision: revision(),
        scope: skipper_core::desired::Scope {
            project: "hello".parse().unwrap(),
            environment: environment.parse().unwrap(),
        },
        shown_as: environment.to_owned(),
        run: Some((5, 1)),
        run_url: Some(format!("https://github.test/{REPOSITORY}/actions/runs/5/attempts/1")),
        unless_the_job_has_one: true,
    }
}

#[tokio::test]
async fn a_deployment_goes_its_way_and_leads_to_the_run_and_the_release() {
    let server = server();
    let github = github(&server);
    let (id, ours) = github.create_deployment(&deployment_of("production")).await.unwrap();
    assert!(ours);
    for (state, description) in [(DeploymentState::InProgress, "step 1 of 3"), (DeploymentState::Success, "deployed")] {
        let status = DeploymentStatus {
            state,
            description: description.to_owned(),
            url: Some("http://10.0.0.1".to_owned()),
            log_url: deployment_of("production").run_url,
        };
        github.set_deployment_status(id, &status).await.unwrap();
    }
    let [deployment] = &server.dump().deployments[..] else { panic!("one deployment") };
    assert_eq!((deployment.r#ref.as_str(), deployment.environment.as_str()), (SHA, "production"));
    assert!(deployment.production_environment && !deployment.transient_environment);
    let told: Vec<_> =
        deployment.statuses.iter().map(|status| (status.state.as_str(), status.description.as_str())).collect();
    assert_eq!(told, [("in_progress", "step 1 of 3"), ("success", "deployed")]);
    assert_eq!(deployment.statuses[1].environment_url, "http://10.0.0.1");
    assert!(deployment.statuses[1].log_url.ends_with("/actions/runs/5/attempts/1"));
}

#[tokio::test]
async fn the_deployment_of_the_jobs_own_environment_is_enough() {
    let server = server();
    let job = format!("https://github.test/{REPOSITORY}/actions/runs/5/job/99");
    server.seed([Seed::Deployment {
        repository: REPOSITORY.to_owned(),
        sha: SHA.to_owned(),
        environment: "production".to_owned(),
        log_url: job,
    }]);
    let found = github(&server).create_deployment(&deployment_of("production")).await.unwrap();
    let made = server.dump().deployments;
    assert_eq!((found, made.len()), ((made[0].id, false), 1));
    // Who always wants one gets one.
    let request = DeploymentRequest { unless_the_job_has_one: false, ..deployment_of("production") };
    assert!(github(&server).create_deployment(&request).await.unwrap().1);
}

#[tokio::test]
async fn a_deployment_whose_reply_was_lost_is_found_and_not_made_twice() {
    let server = server();
    server.fault(Fault::times(Failure::BadGateway, 1).on("POST", "/deployments").after_applying());
    let (id, ours) = github(&server).create_deployment(&deployment_of("pr-7")).await.unwrap();
    let made = server.dump().deployments;
    assert_eq!((made.len(), made[0].id, ours), (1, id, true));
    assert!(made[0].transient_environment && !made[0].production_environment);
}

#[tokio::test]
async fn a_token_without_deployments_is_told_what_it_lacks() {
    let server = server();
    let scopes = [(Scope::Contents, Permission::Read), (Scope::PullRequests, Permission::Write)];
    server.seed([Seed::workflow_token_with("ghs_less", REPOSITORY, scopes)]);
    let error = github_as(&server, "ghs_less").create_deployment(&deployment_of("production")).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Denied);
    assert!(error.failure.hints.iter().any(|hint| hint.contains("deployments: write")), "{:?}", error.failure);
}

#[tokio::test]
async fn what_was_deployed_to_an_environment_that_is_gone_is_inactive() {
    let server = server();
    let github = github(&server);
    let (preview, _) = github.create_deployment(&deployment_of("pr-7")).await.unwrap();
    let (other, _) = github.create_deployment(&deployment_of("production")).await.unwrap();
    github.retire_deployments("pr-7").await.unwrap();
    let deployments = server.dump().deployments;
    let last = |id| {
        let deployment = deployments.iter().find(|deployment| deployment.id == id).unwrap();
        deployment.statuses.last().map(|status| status.state.clone())
    };
    assert_eq!((last(preview).as_deref(), last(other)), (Some("inactive"), None));
}
