//! What people read when AWS says no.

#![expect(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError, future};
use skipper_core::{exit::Exit, observed::InstanceId};
use skipper_deploy::ports::{Compute as _, PortError, PortErrorKind, Store as _};

use super::{meaning, refused_action};
use crate::aws::{
    Aws, loader,
    wire::{SECRETS, aws, ec2_error, query_error, scope, ssm_error, xml},
};

/// Everything of an error that is ever shown.
fn all_text(error: &PortError) -> String {
    format!("{error} {error:?} {:?}", error.failure)
}

#[tokio::test]
async fn a_denied_call_names_the_action_to_allow_and_keeps_the_request_id() {
    let text = "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/ci is not authorized to perform: \
                ec2:DescribeInstances because no identity-based policy allows it. Encoded authorization failure message: 4OOTGx3CdYBr";
    let (aws, _) = aws([ec2_error(403, "UnauthorizedOperation", text)]).await;
    let error = aws.compute().instances(&scope()).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Denied);
    assert_eq!(error.failure.exit, Exit::Refused);
    assert_eq!(
        error.failure.message,
        "AWS denied `ec2:DescribeInstances` for the hosts of `demo-production` in `us-east-1`"
    );
    assert_eq!(
        error.failure.causes,
        [
            "UnauthorizedOperation: You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/ci is not \
             authorized to perform: ec2:DescribeInstances because no identity-based policy allows it",
            "request `ea966190-f9aa-478e-9ede-aa5fae8ff13c`",
        ]
    );
    assert_eq!(
        error.failure.hints,
        [
            "allow `ec2:DescribeInstances` for the role or user whose credentials the run has",
            "AWS's whole reason is encoded: run with debug logging (`RUNNER_DEBUG=1`) to see it, and read it with `aws sts \
             decode-authorization-message`",
        ]
    );
    assert!(!all_text(&error).contains("4OOTGx3CdYBr"), "{error:?}");
}

#[tokio::test]
async fn what_a_policy_forbids_is_told_from_what_none_allows() {
    let text = "User: arn:aws:sts::123456789012:assumed-role/deploy/ci is not authorized to perform: ssm:PutParameter on resource: \
                arn:aws:ssm:us-east-1:123456789012:parameter/skipper/x with an explicit deny in a service control policy";
    let (aws, _) = aws([ssm_error(400, "AccessDeniedException", text)]).await;
    let error = aws.store().write("/skipper/x", "{}").await.unwrap_err();
    assert_eq!(
        error.failure.hints,
        [
            "a policy forbids `ssm:PutParameter` on `arn:aws:ssm:us-east-1:123456789012:parameter/skipper/x` explicitly, and nothing \
             else can allow it: change that policy"
        ]
    );
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_from_credentials_that_are_wrong() {
    let expired =
        "Signature expired: 20261124T000000Z is now earlier than 20261124T001500Z (20261124T002000Z - 5 min.)";
    let answers = [
        (query_error(403, "SignatureDoesNotMatch", expired), expired),
        (query_error(403, "RequestExpired", "Request has expired."), "Request has expired"),
    ];
    for (answer, cause) in answers {
        let (aws, _) = aws([answer]).await;
        let error = aws.compute().account().await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Denied);
        assert!(error.failure.message.starts_with("AWS does not accept the time of the request"), "{error}");
        assert!(error.failure.causes[0].ends_with(cause.trim_end_matches('.')), "{error:?}");
        assert!(error.failure.hints[0].contains("clock"), "{error:?}");
    }
}

#[tokio::test]
async fn wrong_credentials_in_a_region_that_may_be_off_say_so() {
    let refused = query_error(403, "InvalidClientTokenId", "The security token included in the request is invalid.");
    for (region, hints) in [("us-east-1", 1), ("af-south-1", 2)] {
        let (mut aws, _) = aws([refused.clone()]).await;
        aws.region = region.to_owned();
        let error = aws.compute().account().await.unwrap_err();
        assert_eq!(error.failure.hints.len(), hints, "{error:?}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_may_have_been_a_yes() {
    let broken = || xml("RunInstances", "<instancesSet><item><instanceId>i-0a");
    let (aws, _) = aws([broken(), broken()]).await;
    let changed = aws.compute().terminate(&InstanceId("i-0a".to_owned())).await.unwrap_err();
    assert_eq!(changed.kind, PortErrorKind::Unclear, "{changed:?}");
    let read = aws.compute().instances(&scope()).await.unwrap_err();
    assert_eq!(read.kind, PortErrorKind::Transient, "{read:?}");
    assert!(read.failure.message.ends_with("got an answer that cannot be read"), "{read}");
}

#[test]
fn the_action_that_aws_names_is_the_one_to_allow() {
    let text = "User: arn:x is not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/skipper-host";
    assert_eq!(refused_action(text), Some("iam:PassRole"));
    assert_eq!(refused_action("is not authorized to perform: `rm -rf`:x on"), None);
    assert_eq!(refused_action("no"), None);
}

#[tokio::test]
async fn refused_credentials_are_told_from_missing_permissions_in_every_protocol() {
    let codes = [
        (ec2_error(401, "AuthFailure", "AWS was not able to validate the provided access credentials"), "ec2"),
        (query_error(403, "InvalidClientTokenId", "The security token included in the request is invalid."), "sts"),
        (query_error(403, "ExpiredToken", "The security token included in the request is expired"), "sts"),
        (
            ssm_error(400, "UnrecognizedClientException", "The security token included in the request is invalid."),
            "ssm",
        ),
        (
            ssm_error(
                400,
                "com.amazon.coral.service#ExpiredTokenException",
                "The security token included in the request is expired",
            ),
            "ssm",
        ),
    ];
    for (answer, service) in codes {
        let (aws, wire) = aws([answer.clone()]).await;
        let error = match service {
            "ec2" => aws.compute().instances(&scope()).await.unwrap_err(),
            "sts" => aws.compute().account().await.unwrap_err(),
            _ => aws.store().read("/skipper/demo/production/launches").await.unwrap_err(),
        };
        assert_eq!(error.kind, PortErrorKind::Denied, "{answer:?}");
        assert!(error.failure.message.starts_with("AWS does not accept the credentials"), "{answer:?}: {error}");
        assert_eq!(error.failure.hints.len(), 1);
        assert_eq!(wire.actions().len(), 1, "a refusal is not asked for twice");
    }
}

#[tokio::test]
async fn a_signature_that_does_not_match_shows_nothing_of_the_request() {
    let [key, _, token] = SECRETS;
    let text = format!(
        "The request signature we calculated does not match. The Canonical String for this request should have been 'POST / \
         x-amz-security-token:{token} Credential={key}/20261124'"
    );
    let (aws, _) = aws([query_error(403, "SignatureDoesNotMatch", &text)]).await;
    let error = aws.compute().account().await.unwrap_err();
    assert_eq!(error.failure.causes, ["SignatureDoesNotMatch", "request `ea966190-f9aa-478e-9ede-aa5fae8ff13c`"]);
    for secret in SECRETS {
        assert!(!all_text(&error).contains(secret), "{error:?}");
    }
}

/// What the SDK's chain of providers says when none of them finds anything.
#[derive(Debug)]
struct Nobody;

impl ProvideCredentials for Nobody {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded(
            "no providers in chain provided credentials",
        )))
    }
}

#[tokio::test]
async fn without_credentials_the_message_says_what_to_set() {
    let config = loader("us-east-1").empty_test_environment().credentials_provider(Nobody).load().await;
    let anonymous = Aws::new(config, "us-east-1");
    let denied = anonymous.compute().account().await.unwrap_err();
    assert_eq!(denied.kind, PortErrorKind::Denied, "{denied:?}");
    assert_eq!(denied.failure.message, "no usable AWS credentials were found");
    assert!(denied.failure.hints[0].contains("AWS_ACCESS_KEY_ID"), "{denied:?}");
    assert!(denied.failure.hints[0].contains("`aws-role`"), "{denied:?}");
}

#[tokio::test(start_paused = true)]
async fn throttling_is_waited_out_and_only_then_told() {
    let throttled = ec2_error(503, "RequestLimitExceeded", "Request limit exceeded.");
    let (patient, wire) =
        aws([throttled.clone(), throttled.clone(), xml("DescribeInstances", "<reservationSet/>")]).await;
    assert_eq!(patient.compute().instances(&scope()).await, Ok(vec![]));
    assert_eq!(wire.actions().len(), 3);

    let (throttling, wire) = aws(std::iter::repeat_n(throttled, 5)).await;
    let error = throttling.compute().instances(&scope()).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Transient);
    assert!(error.failure.message.ends_with("was throttled 5 times"), "{error}");
    assert_eq!(wire.actions().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_transient_for_a_question_and_unclear_for_a_change() {
    let (silent, _) = aws::<String>([]).await;
    let asked = silent.compute().instances(&scope()).await.unwrap_err();
    assert_eq!((asked.kind, asked.is_worth_retrying()), (PortErrorKind::Transient, true));
    let changed = silent.store().write("/skipper/demo/production/launches/web_1", "{}").await.unwrap_err();
    assert_eq!(changed.kind, PortErrorKind::Unclear);
    assert!(changed.failure.message.ends_with("may have been carried out"), "{changed}");

    // A page of a proxy, or of a server that broke, is no answer either.
    let (broken, _) = aws(std::iter::repeat_n((500, "<!doctype html><title>Internal Server Error</title>"), 5)).await;
    let error = broken.compute().instances(&scope()).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Transient);
    assert_eq!(error.failure.causes[0], "HTTP status 500");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_never_made_has_changed_nothing() {
    // Nothing listens on a port that was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = loader("us-east-1")
        .empty_test_environment()
        .credentials_provider(aws_sdk_ec2::config::Credentials::new("key", "secret", None, None, "test"))
        .endpoint_url(format!("http://127.0.0.1:{port}"))
        .load()
        .await;
    let error = Aws::new(config, "us-east-1").store().write("/skipper/x", "{}").await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Transient, "{error:?}");
}

#[test]
fn codes_have_the_kind_that_the_caller_acts_on() {
    use super::Meaning::{Kind, NoCapacity, NotOffered, Quota, Throttled, Trouble};
    use PortErrorKind::{Invalid, Missing, Other};
    for code in ["InsufficientInstanceCapacity", "InsufficientFreeAddressesInSubnet"] {
        assert!(matches!(meaning(code, 500), NoCapacity), "{code}");
    }
    assert!(matches!(meaning("Unsupported", 400), NotOffered));
    for code in ["InstanceLimitExceeded", "VcpuLimitExceeded", "RulesPerSecurityGroupLimitExceeded"] {
        assert!(matches!(meaning(code, 400), Quota), "{code}");
    }
    for code in [
        "InvalidInstanceID.NotFound",
        "InvalidGroup.NotFound",
        "NoSuchEntity",
        "InvalidInstanceId",
        "ParameterNotFound",
    ] {
        assert!(matches!(meaning(code, 400), Kind(Missing)), "{code}");
    }
    for code in [
        "InvalidParameterValue",
        "InvalidParameterCombination",
        "MissingParameter",
        "ValidationException",
        "InvalidAMIID.Malformed",
    ] {
        assert!(matches!(meaning(code, 400), Kind(Invalid)), "{code}");
    }
    assert!(matches!(meaning("TooManyUpdates", 400), Throttled));
    assert!(matches!(meaning("InternalError", 500), Trouble));
    assert!(matches!(meaning("SomethingNew", 400), Kind(Other)));
}
