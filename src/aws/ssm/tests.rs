//! Requests and answers of Systems Manager in their real shapes.

#![expect(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

mod kept;

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use skipper_core::{
    observed::{Agent, InstanceId},
    script::{Script, decode_result, encode_result},
    secret::Secret,
};
use skipper_deploy::ports::{Invocation, PortErrorKind, Remote as _, Store as _, StoredSecret};
use tokio::time::Instant;

use crate::aws::wire::{aws, scope, ssm_error};

const DEADLINE: Duration = Duration::from_secs(60);

fn script() -> Script {
    Script { name: "observe", header: vec![("PROJECT", "demo".to_owned())], body: "echo \"$PROJECT\"\n", kept_as: None }
}

fn instances(ids: &[&str]) -> BTreeSet<InstanceId> {
    ids.iter().map(|&id| InstanceId(id.to_owned())).collect()
}

fn id(id: &str) -> InstanceId {
    InstanceId(id.to_owned())
}

fn ok(answer: &Value) -> (u16, String) {
    (200, answer.to_string())
}

fn sent() -> (u16, String) {
    ok(&json!({ "Command": { "CommandId": "c-1", "Status": "Pending" } }))
}

fn listed(invocations: &[Value]) -> (u16, String) {
    ok(&json!({ "CommandInvocations": invocations }))
}

fn invocation(instance: &str, details: &str, code: i32, output: &str) -> Value {
    json!({
        "CommandId": "c-1", "InstanceId": instance, "Status": "InProgress", "StatusDetails": details,
        "CommandPlugins": [{ "Name": "aws:runShellScript", "ResponseCode": code, "Output": output, "Status": "InProgress" }],
    })
}

fn finished(code: i32, stdout: &str, stderr: &str) -> Invocation {
    Invocation::Finished { code, stdout: stdout.to_owned(), stderr: stderr.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn one_script_runs_on_all_and_one_listing_a_look_brings_every_result() {
    let result = encode_result("all is well");
    let (aws, wire) = aws([
        sent(),
        listed(&[]),
        listed(&[invocation("i-1", "Success", 0, &result), invocation("i-2", "In Progress", -1, "")]),
        listed(&[invocation("i-1", "Success", 0, &result), invocation("i-2", "Success", 0, &result)]),
    ])
    .await;
    let answers = aws.remote().run(&instances(&["i-1", "i-2"]), &script(), DEADLINE).await.unwrap();
    assert_eq!(answers, [(id("i-1"), finished(0, &result, "")), (id("i-2"), finished(0, &result, ""))].into());
    assert_eq!(
        wire.json(0),
        json!({
            "InstanceIds": ["i-1", "i-2"],
            "DocumentName": "AWS-RunShellScript",
            "TimeoutSeconds": 30,
            "Comment": "skipper observe",
            "Parameters": { "commands": ["PROJECT=demo\necho \"$PROJECT\"\n"], "executionTimeout": ["60"] },
            "MaxConcurrency": "100%",
            "MaxErrors": "100%",
        })
    );
    assert_eq!(wire.json(1), json!({ "CommandId": "c-1", "MaxResults": 50, "Details": true }));
    assert_eq!(
        wire.actions(),
        ["SendCommand", "ListCommandInvocations", "ListCommandInvocations", "ListCommandInvocations"]
    );
}

#[tokio::test(start_paused = true)]
async fn every_page_of_results_is_read() {
    let (aws, wire) = aws([
        sent(),
        ok(&json!({ "CommandInvocations": [invocation("i-1", "Success", 0, "one")], "NextToken": "page-2" })),
        listed(&[invocation("i-2", "Success", 0, "two")]),
    ])
    .await;
    let answers = aws.remote().run(&instances(&["i-1", "i-2"]), &script(), DEADLINE).await.unwrap();
    assert_eq!(answers[&id("i-2")], finished(0, "two", ""));
    assert_eq!(wire.json(2)["NextToken"], "page-2");
}

#[tokio::test(start_paused = true)]
async fn more_than_fifty_hosts_are_sent_to_in_as_many_commands_as_it_takes() {
    let ids: Vec<String> = (1..=51).map(|number| format!("i-{number:02}")).collect();
    let all = ids.iter().map(|id| InstanceId(id.clone())).collect();
    let ended: Vec<Value> = ids.iter().map(|id| invocation(id, "Success", 0, "done")).collect();
    let (aws, wire) = aws([sent(), sent(), listed(&ended), listed(&ended)]).await;
    let answers = aws.remote().run(&all, &script(), DEADLINE).await.unwrap();
    assert_eq!(answers.len(), 51);
    assert_eq!(wire.json(0)["InstanceIds"].as_array().unwrap().len(), 50);
    assert_eq!(wire.json(1)["InstanceIds"].as_array().unwrap().len(), 1);
    assert_eq!(wire.actions().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_the_list_cut_is_fetched_whole_and_only_that_one() {
    let noise: String =
        (0..4_000_u32).map(|number| char::from(b'a' + u8::try_from(number * number % 23).unwrap())).collect();
    let whole = encode_result(&format!("{noise}{}", Instant::now().elapsed().as_nanos()));
    let cut = format!("{}\n---Output truncated---\n----------ERROR-------\nwarning", &whole[..whole.len() / 2]);
    let small = encode_result("small");
    let (aws, wire) = aws([
        sent(),
        listed(&[invocation("i-1", "Success", 0, &cut), invocation("i-2", "Success", 0, &small)]),
        ssm_error(400, "InvocationDoesNotExist", "An error occurred"),
        ok(&json!({ "CommandId": "c-1", "InstanceId": "i-1", "ResponseCode": 0, "StandardOutputContent": whole, "StandardErrorContent": "warning" })),
    ])
    .await;
    let answers = aws.remote().run(&instances(&["i-1", "i-2"]), &script(), DEADLINE).await.unwrap();
    let Invocation::Finished { stdout, stderr, .. } = &answers[&id("i-1")] else { panic!("{answers:?}") };
    assert!(decode_result(stdout).unwrap().starts_with(&noise));
    assert_eq!(stderr, "warning");
    assert_eq!(answers[&id("i-2")], finished(0, &small, ""));
    assert_eq!(
        wire.actions(),
        ["SendCommand", "ListCommandInvocations", "GetCommandInvocation", "GetCommandInvocation"]
    );
    assert_eq!(wire.json(3), json!({ "CommandId": "c-1", "InstanceId": "i-1" }));
}

#[tokio::test(start_paused = true)]
async fn a_script_that_fails_says_why_from_the_list_when_it_is_there_and_else_by_itself() {
    let told = "partial\n----------ERROR-------\nsh: 3: etcdctl: not found\nfailed to run commands: exit status 127";
    let (aws, wire) = aws([
        sent(),
        listed(&[invocation("i-1", "Failed", 127, told), invocation("i-2", "Failed", 3, "")]),
        ok(&json!({ "ResponseCode": 3, "StandardOutputContent": "", "StandardErrorContent": "no space left on device" })),
    ])
    .await;
    let answers = aws.remote().run(&instances(&["i-1", "i-2"]), &script(), DEADLINE).await.unwrap();
    assert_eq!(
        answers[&id("i-1")],
        finished(127, "partial", "sh: 3: etcdctl: not found\nfailed to run commands: exit status 127")
    );
    assert_eq!(answers[&id("i-2")], finished(3, "", "no space left on device"));
    assert_eq!(wire.actions().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn each_invocation_is_judged_by_itself_in_either_spelling() {
    for (details, code, wanted) in [
        ("Delivery Timed Out", -1, "Delivery Timed Out"),
        ("DeliveryTimedOut", -1, "DeliveryTimedOut"),
        ("ExecutionTimedOut", -1, "ExecutionTimedOut"),
        ("Undeliverable", -1, "Undeliverable"),
        ("Terminated", -1, "Terminated"),
        ("Access Denied", -1, "Access Denied"),
        ("Invalid Platform", -1, "Invalid Platform"),
        ("Cancelled", -1, "Cancelled"),
        ("Failed", -1, "Failed"),
    ] {
        let (aws, _) =
            aws([sent(), listed(&[invocation("i-1", "Success", 0, "ok"), invocation("i-2", details, code, "")])]).await;
        let answers = aws.remote().run(&instances(&["i-1", "i-2"]), &script(), DEADLINE).await.unwrap();
        assert_eq!(answers[&id("i-1")], finished(0, "ok", ""));
        assert_eq!(answers[&id("i-2")], Invocation::Lost(wanted.to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_in_time_is_lost_by_name_and_cancelled() {
    // Looks go on from 0.5 s to every 2 s: 42 in a minute.
    let looks = std::iter::repeat_n(
        listed(&[invocation("i-1", "Success", 0, "ok"), invocation("i-2", "InProgress", -1, "")]),
        45,
    );
    let (aws, wire) = aws(std::iter::once(sent()).chain(looks)).await;
    let begun = Instant::now();
    let answers = aws.remote().run(&instances(&["i-1", "i-2", "i-3"]), &script(), DEADLINE).await.unwrap();
    assert_eq!(answers[&id("i-1")], finished(0, "ok", ""), "what did end is not lost");
    assert_eq!(answers[&id("i-2")], Invocation::Lost("InProgress after 60 s".to_owned()));
    assert_eq!(answers[&id("i-3")], Invocation::Lost("not started after 60 s".to_owned()));
    assert_eq!(begun.elapsed().as_secs(), 60);
    let actions = wire.actions();
    assert_eq!(actions.last().map(String::as_str), Some("CancelCommand"));
    assert!(actions.len() <= 45, "{}", actions.len());
}

#[tokio::test(start_paused = true)]
async fn a_look_that_fails_does_not_lose_the_script_that_runs() {
    let throttled = std::iter::repeat_n(ssm_error(400, "ThrottlingException", "Rate exceeded"), 5);
    let answers = std::iter::once(sent()).chain(throttled).chain([listed(&[invocation("i-1", "Success", 0, "ok")])]);
    let (patient, _) = aws(answers).await;
    let answers = patient.remote().run(&instances(&["i-1"]), &script(), DEADLINE).await.unwrap();
    assert_eq!(answers[&id("i-1")], finished(0, "ok", ""));

    let denied = ssm_error(
        400,
        "AccessDeniedException",
        "User: arn:x is not authorized to perform: ssm:ListCommandInvocations on resource: *",
    );
    let (refused, _) = aws([sent(), denied]).await;
    let error = refused.remote().run(&instances(&["i-1"]), &script(), DEADLINE).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Denied);
}

#[tokio::test]
async fn an_instance_without_an_agent_is_told_and_an_overlong_script_is_never_sent() {
    let (unregistered, _) =
        aws([ssm_error(400, "InvalidInstanceId", "Instances [[i-1]] not in a valid state for account 123456789012")])
            .await;
    let error = unregistered.remote().run(&instances(&["i-1"]), &script(), DEADLINE).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Missing);
    assert!(error.failure.hints[0].contains("not registered"), "{error:?}");

    let (long, wire) = aws::<String>([]).await;
    let script = Script { name: "configure", header: vec![("BLOB", "x".repeat(61 * 1024))], body: "", kept_as: None };
    assert_eq!(
        long.remote().run(&instances(&["i-1"]), &script, DEADLINE).await.unwrap_err().kind,
        PortErrorKind::Invalid
    );
    assert!(wire.actions().is_empty());
}

#[tokio::test]
async fn nothing_is_sent_to_nobody() {
    let (aws, wire) = aws::<String>([]).await;
    assert!(aws.remote().run(&BTreeSet::new(), &script(), DEADLINE).await.unwrap().is_empty());
    assert!(wire.actions().is_empty());
}

#[tokio::test]
async fn agents_are_read_from_all_pages_by_one_tag() {
    let agent = |id: &str, status: &str| json!({ "InstanceId": id, "PingStatus": status });
    let (aws, wire) = aws([
        ok(&json!({ "InstanceInformationList": [agent("i-1", "Online"), agent("i-2", "ConnectionLost")], "NextToken": "page-2" })),
        ok(&json!({ "InstanceInformationList": [agent("i-3", "Inactive")] })),
    ])
    .await;
    let agents = aws.remote().agents(&scope()).await.unwrap();
    assert_eq!(agents, [(id("i-1"), Agent::Online), (id("i-2"), Agent::Lost), (id("i-3"), Agent::Lost)].into());
    assert_eq!(
        wire.json(1),
        json!({
            "Filters": [{ "Key": "tag:skipper:project", "Values": ["demo"] }],
            "MaxResults": 50,
            "NextToken": "page-2",
        })
    );
}

#[tokio::test]
async fn records_are_read_from_all_pages_by_their_names_below_the_path() {
    let path = "/skipper/demo/production/launches";
    let parameter = |name: &str, value: &str| json!({ "Name": format!("{path}/{name}"), "Value": value, "Type": "String", "Version": 1 });
    let (aws, wire) = aws([
        ok(&json!({ "Parameters": [parameter("web_1", "1")], "NextToken": "page-2" })),
        ok(&json!({ "Parameters": [parameter("old/web_2", "2")] })),
    ])
    .await;
    let values = aws.store().read(path).await.unwrap();
    assert_eq!(
        values,
        [("web_1", "1"), ("old/web_2", "2")].map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    );
    assert_eq!(wire.json(0), json!({ "Path": path, "Recursive": true, "MaxResults": 10 }));
}

#[tokio::test]
async fn a_record_replaces_the_one_before() {
    let (aws, wire) = aws([ok(&json!({ "Version": 2, "Tier": "Standard" }))]).await;
    aws.store().write("/skipper/demo/production/launches/web_1", "{\"generation\":2}").await.unwrap();
    assert_eq!(
        wire.json(0),
        json!({
            "Name": "/skipper/demo/production/launches/web_1",
            "Value": "{\"generation\":2}",
            "Type": "String",
            "Overwrite": true,
            "Tier": "Intelligent-Tiering",
        })
    );
}

#[tokio::test]
async fn a_record_is_created_only_where_none_is() {
    let exists =
        "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.";
    let (aws, wire) = aws([
        ok(&json!({ "Version": 1, "Tier": "Standard" })),
        ssm_error(400, "ParameterAlreadyExists", exists),
        ssm_error(
            400,
            "AccessDeniedException",
            "User: arn:aws:iam::123456789012:user/ci is not authorized to perform: ssm:PutParameter",
        ),
    ])
    .await;
    let path = "/skipper/demo/production/lease/2";
    assert!(aws.store().create(path, "{}").await.unwrap());
    assert!(!aws.store().create(path, "{}").await.unwrap());
    assert_eq!(aws.store().create(path, "{}").await.unwrap_err().kind, PortErrorKind::Denied);
    assert_eq!(wire.json(0)["Overwrite"], false);
    assert_eq!(wire.json(0)["Name"], path);
}

#[tokio::test]
async fn a_secret_is_kept_encrypted_and_becomes_a_version() {
    let (aws, wire) = aws([ok(&json!({ "Version": 4, "Tier": "Standard" }))]).await;
    let path = "/skipper/demo/production/secrets/TOKEN";
    assert_eq!(aws.store().write_secret(path, &Secret::new("canary")).await.unwrap(), 4);
    assert_eq!(
        wire.json(0),
        json!({ "Name": path, "Value": "canary", "Type": "SecureString", "Overwrite": true, "Tier": "Intelligent-Tiering" })
    );
}

#[tokio::test]
async fn secrets_are_decrypted_only_where_they_are_to_be_revealed() {
    let path = "/skipper/demo/production/secrets";
    let parameter = |name: &str, version: u64| json!({ "Name": format!("{path}/{name}"), "Value": "canary", "Type": "SecureString", "Version": version });
    let page = || ok(&json!({ "Parameters": [parameter("TOKEN", 4)] }));
    let (aws, wire) = aws([page(), page()]).await;
    let revealed = aws.store().secrets(path, true).await.unwrap();
    assert_eq!(revealed["TOKEN"], StoredSecret { version: 4, value: Some(Secret::new("canary")) });
    assert_eq!(aws.store().secrets(path, false).await.unwrap()["TOKEN"], StoredSecret { version: 4, value: None });
    assert_eq!(wire.json(0), json!({ "Path": path, "WithDecryption": true, "MaxResults": 10 }));
    assert_eq!(wire.json(1)["WithDecryption"], false);
}

#[tokio::test]
async fn records_are_removed_ten_a_call_and_one_that_is_gone_is_no_error() {
    let paths: Vec<String> = (1..=12).map(|number| format!("/skipper/demo/production/lease/{number}")).collect();
    let (aws, wire) = aws([
        ok(&json!({ "DeletedParameters": paths[..9], "InvalidParameters": [paths[9]] })),
        ok(&json!({ "DeletedParameters": paths[10..], "InvalidParameters": [] })),
    ])
    .await;
    aws.store().remove(&paths).await.unwrap();
    assert_eq!(wire.json(0), json!({ "Names": paths[..10] }));
    assert_eq!(wire.json(1), json!({ "Names": paths[10..] }));
}

#[tokio::test(start_paused = true)]
async fn a_session_is_opened_on_one_instance_and_its_token_is_a_secret() {
    let answer = json!({ "SessionId": "s-1", "TokenValue": "canary", "StreamUrl": "wss://ssmmessages.example/s-1" });
    let (aws, wire) = aws([ok(&answer), ok(&json!({ "SessionId": "s-1" }))]).await;
    let session = aws.remote().start_session(&id("i-1")).await.unwrap();
    assert_eq!((session.id.as_str(), session.parameters.as_str()), ("s-1", r#"{"Target":"i-1"}"#));
    assert_eq!(session.endpoint, "https://ssm.us-east-1.amazonaws.com");
    let response: Value = serde_json::from_str(session.response.expose()).unwrap();
    assert_eq!(response, answer);
    assert!(!format!("{session:?}").contains("canary"));
    aws.remote().terminate_session(&session).await;
    assert_eq!(wire.actions(), ["StartSession", "TerminateSession"]);
    assert_eq!((wire.json(0), wire.json(1)), (json!({ "Target": "i-1" }), json!({ "SessionId": "s-1" })));
}

#[tokio::test(start_paused = true)]
async fn who_may_open_no_sessions_is_told_what_to_ask_for() {
    let denied = ssm_error(400, "AccessDeniedException", "User is not authorized to perform: ssm:StartSession");
    let (aws, _) = aws([denied, ssm_error(400, "TargetNotConnected", "i-1 is not connected.")]).await;
    let remote = aws.remote();
    let error = remote.start_session(&id("i-1")).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Denied);
    assert!(error.failure.hints.iter().any(|hint| hint.contains("SSM-SessionManagerRunShell")), "{:?}", error.failure);
    let error = remote.start_session(&id("i-1")).await.unwrap_err();
    assert!(error.failure.hints[0].contains("SSM agent"), "{:?}", error.failure);
}
