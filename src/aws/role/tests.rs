//! The exchange, against the lab's GitHub and an STS that answers as prepared.

#![expect(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

use std::sync::{Arc, Mutex};

use aws_smithy_http_client::test_util::{ReplayEvent, StaticReplayClient};
use aws_smithy_types::body::SdkBody;
use skipper_core::exit::Exit;
use skipper_deploy::ports::Compute as _;
use skipper_lab::github::{GitHub, JobIdentity};

use super::*;
use crate::aws::{
    Aws,
    wire::{REQUEST_ID, query_error},
};

const ROLE: &str = "arn:aws:iam::123456789012:role/deploy";

/// A job of `acme/shop` on `main` with the environment `production`.
fn job(github: &GitHub) -> WebIdentity {
    let job = JobIdentity {
        repository: "acme/shop".to_owned(),
        reference: "refs/heads/main".to_owned(),
        event_name: "push".to_owned(),
        environment: Some("production".to_owned()),
        immutable: false,
    };
    let request = TokenRequest { url: github.id_token_url(), bearer: Secret::new(job.request_token()) };
    WebIdentity { role: ROLE.to_owned(), session: "skipper-77-1".to_owned(), request: Some(request) }
}

/// What STS answers to one exchange: keys that expire in so many minutes.
fn keys(key: &str, minutes: u64) -> (u16, String) {
    let expires = std::time::SystemTime::now() + Duration::from_secs(60 * minutes);
    let expires = aws_smithy_types::DateTime::from(expires).fmt(aws_smithy_types::date_time::Format::DateTime).unwrap();
    (
        200,
        format!(
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{key}</AccessKeyId>\
             <SecretAccessKey>secret-of-{key}</SecretAccessKey><SessionToken>session-of-{key}</SessionToken>\
             <Expiration>{expires}</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        ),
    )
}

fn account() -> (u16, String) {
    let identity = "<GetCallerIdentityResult><Account>123456789012</Account></GetCallerIdentityResult>";
    (200, format!("<GetCallerIdentityResponse>{identity}</GetCallerIdentityResponse>"))
}

/// An account whose STS gives these answers, and everything that was concealed.
struct World {
    aws: Aws,
    wire: StaticReplayClient,
    concealed: Arc<Mutex<Vec<String>>>,
}

async fn world(identity: WebIdentity, answers: Vec<(u16, String)>) -> World {
    let events = answers.into_iter().map(|(status, body)| {
        let request = http::Request::builder().uri("https://aws.example/").body(SdkBody::empty()).unwrap();
        let response = http::Response::builder().status(status).header("x-amzn-requestid", REQUEST_ID);
        ReplayEvent::new(request, response.body(SdkBody::from(body)).unwrap())
    });
    let wire = StaticReplayClient::new(events.collect());
    let anonymous = crate::aws::loader("us-east-1").empty_test_environment().no_credentials().http_client(wire.clone());
    let concealed: Arc<Mutex<Vec<String>>> = Arc::default();
    let conceal = {
        let concealed = Arc::clone(&concealed);
        Arc::new(move |secret: &str| concealed.lock().unwrap().push(secret.to_owned()))
    };
    let config = with_role(anonymous.load().await, identity, "us-east-1", conceal).unwrap();
    World { aws: Aws::new(config, "us-east-1"), wire, concealed }
}

impl World {
    /// The forms of the requests to AWS, decoded, and who signed them.
    fn requests(&self) -> Vec<(String, String)> {
        let form = |body: &[u8]| {
            let url = reqwest::Url::parse(&format!("http://form/?{}", std::str::from_utf8(body).unwrap())).unwrap();
            url.query_pairs().map(|(name, value)| format!("{name}={value}\n")).collect()
        };
        self.wire
            .actual_requests()
            .map(|request| {
                let signed = request.headers().get("authorization").unwrap_or_default().to_owned();
                (form(request.body().bytes().unwrap()), signed)
            })
            .collect()
    }
}

#[tokio::test]
async fn a_job_gets_the_keys_of_its_role_for_its_token_and_keeps_them_while_they_last() {
    let github = GitHub::start("127.0.0.1:0").unwrap();
    let world = world(job(&github), vec![keys("ASIAONE", 60), account(), account()]).await;
    assert_eq!(world.aws.compute().account().await.unwrap(), "123456789012");
    // Another service's client has the same keys.
    assert_eq!(world.aws.compute().account().await.unwrap(), "123456789012");
    let requests = world.requests();
    let [(exchange, unsigned), (_, signed), (_, again)] = &requests[..] else { panic!("{requests:?}") };
    for field in ["Action=AssumeRoleWithWebIdentity", "RoleSessionName=skipper-77-1", "DurationSeconds=3600"] {
        assert!(exchange.contains(field), "{exchange}");
    }
    assert!(exchange.contains(&format!("RoleArn={ROLE}")), "{exchange}");
    assert_eq!(unsigned, "");
    assert!(signed.contains("Credential=ASIAONE/") && again.contains("Credential=ASIAONE/"), "{signed}");
    let concealed = world.concealed.lock().unwrap();
    let [token, key, secret, session] = &concealed[..] else { panic!("{concealed:?}") };
    assert!(exchange.contains(token.as_str()));
    assert_eq!([key, secret, session], ["ASIAONE", "secret-of-ASIAONE", "session-of-ASIAONE"]);
}

#[tokio::test]
async fn a_long_deployment_renews_its_keys_before_they_expire() {
    let github = GitHub::start("127.0.0.1:0").unwrap();
    let answers = vec![keys("ASIAONE", 1), account(), keys("ASIATWO", 60), account()];
    let world = world(job(&github), answers).await;
    world.aws.compute().account().await.unwrap();
    world.aws.compute().account().await.unwrap();
    let signed: Vec<String> = world.requests().into_iter().map(|(_, signed)| signed).collect();
    assert!(signed[1].contains("Credential=ASIAONE/") && signed[3].contains("Credential=ASIATWO/"), "{signed:?}");
}

#[tokio::test]
async fn a_refusal_tells_what_the_token_says_and_never_the_token() {
    let github = GitHub::start("127.0.0.1:0").unwrap();
    let text = "Not authorized to perform sts:AssumeRoleWithWebIdentity";
    let world = world(job(&github), vec![query_error(403, "AccessDenied", text)]).await;
    let error = world.aws.compute().account().await.unwrap_err();
    assert_eq!((error.kind, error.failure.exit), (PortErrorKind::Denied, Exit::Refused));
    assert_eq!(error.failure.message, format!("AWS does not give this job the role `{ROLE}`"));
    assert_eq!(error.failure.causes, [format!("AccessDenied: {text}"), format!("request `{REQUEST_ID}`")]);
    for line in [
        "the token's sub: repo:acme/shop:environment:production",
        "the token's aud: sts.amazonaws.com",
        "the token's environment: production",
        "the token's job_workflow_ref: acme/shop/.github/workflows/deploy.yml@refs/heads/main",
    ] {
        assert!(error.failure.lines.iter().any(|told| told == line), "{:?}", error.failure.lines);
    }
    let hint = error.failure.hints.last().unwrap();
    assert!(hint.contains("`repo:acme/shop:environment:production`") && hint.contains("`skipper iam`"), "{hint}");
    let token = world.concealed.lock().unwrap()[0].clone();
    for part in token.split('.') {
        assert!(!format!("{error:?}").contains(part), "{error:?}");
    }
}

#[tokio::test]
async fn an_account_without_the_provider_is_told_how_to_make_it() {
    let github = GitHub::start("127.0.0.1:0").unwrap();
    let text = "No OpenIDConnect provider found in your account for https://token.actions.githubusercontent.com";
    let world = world(job(&github), vec![query_error(400, "InvalidIdentityToken", text)]).await;
    let error = world.aws.compute().account().await.unwrap_err();
    assert_eq!(error.failure.exit, Exit::Refused);
    assert!(error.failure.hints[0].contains("skipper iam --format cloudformation"), "{error:?}");
}

#[tokio::test]
async fn a_job_that_may_not_ask_for_its_token_is_told_the_permission() {
    let nothing = WebIdentity { role: ROLE.to_owned(), session: "skipper".to_owned(), request: None };
    let github = GitHub::start("127.0.0.1:0").unwrap();
    let refused = TokenRequest { url: github.id_token_url(), bearer: Secret::new("canary") };
    for identity in [nothing.clone(), WebIdentity { request: Some(refused), ..nothing }] {
        let world = world(identity, Vec::new()).await;
        let error = world.aws.compute().account().await.unwrap_err();
        assert_eq!((error.kind, error.failure.exit), (PortErrorKind::Denied, Exit::Refused), "{error:?}");
        assert!(error.failure.hints[0].contains("permissions: {id-token: write}"), "{error:?}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn a_github_that_does_not_answer_is_asked_again_and_then_told() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let request = TokenRequest { url: format!("http://127.0.0.1:{port}/idtoken?x=1"), bearer: Secret::new("canary") };
    let identity = WebIdentity { role: ROLE.to_owned(), session: "skipper".to_owned(), request: Some(request) };
    let world = world(identity, Vec::new()).await;
    let error = world.aws.compute().account().await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Transient, "{error:?}");
    assert!(error.failure.message.contains("GitHub was asked"), "{error:?}");
}
