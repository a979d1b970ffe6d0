//! Looking through a document: for a role that may have it carried out, and may send no text.

use skipper_core::{
    iam::kept_document,
    orchestrator::{Orchestrator as _, fleet::Fleet},
};

use super::*;

const NAME: &str = "skipper-observe-demo-production";
const REFUSED: &str =
    "User: arn:aws:sts::123456789012:assumed-role/plan/ci is not authorized to perform: ssm:SendCommand";

fn observe() -> Script {
    Fleet.observe(&scope())
}

fn document(content: &Value) -> (u16, String) {
    ok(&json!({ "Name": NAME, "Content": content.to_string(), "DocumentFormat": "JSON" }))
}

fn denied() -> (u16, String) {
    ssm_error(400, "AccessDeniedException", REFUSED)
}

fn done() -> (u16, String) {
    listed(&[invocation("i-1", "Success", 0, &encode_result("x"))])
}

#[tokio::test(start_paused = true)]
async fn a_document_that_holds_this_very_script_is_carried_out_by_name() {
    let answers = [document(&kept_document(&observe())), sent(), done(), sent(), done()];
    let (aws, wire) = aws(answers).await;
    let remote = aws.remote();
    for _ in 0..2 {
        remote.run(&instances(&["i-1"]), &observe(), DEADLINE).await.unwrap();
    }
    let listing = "ListCommandInvocations";
    assert_eq!(wire.actions(), ["GetDocument", "SendCommand", listing, "SendCommand", listing]);
    let sent = wire.json(1);
    assert_eq!(sent["DocumentName"], NAME);
    assert_eq!(sent["Parameters"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn without_the_document_or_with_another_version_s_the_text_is_sent_as_ever() {
    let missing = || ssm_error(400, "InvalidDocument", "Document with name does not exist.");
    let other = || document(&json!({ "schemaVersion": "2.2", "mainSteps": [] }));
    for found in [missing(), denied(), other()] {
        let (aws, wire) = aws([found, sent(), done()]).await;
        aws.remote().run(&instances(&["i-1"]), &observe(), DEADLINE).await.unwrap();
        assert_eq!(wire.json(1)["DocumentName"], "AWS-RunShellScript");
        assert_eq!(wire.json(1)["Parameters"]["commands"], json!([observe().text()]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_that_may_be_read_and_not_sent_is_given_up_for_the_text() {
    let (aws, wire) = aws([document(&kept_document(&observe())), denied(), sent(), done()]).await;
    aws.remote().run(&instances(&["i-1"]), &observe(), DEADLINE).await.unwrap();
    assert_eq!([&wire.json(1)["DocumentName"], &wire.json(2)["DocumentName"]], [NAME, "AWS-RunShellScript"]);
}

#[tokio::test(start_paused = true)]
async fn who_may_send_no_text_is_told_which_document_is_missing_or_too_old() {
    let missing = ssm_error(400, "InvalidDocument", "Document with name does not exist.");
    let other = document(&json!({ "schemaVersion": "2.2", "mainSteps": [] }));
    for (found, words) in [(missing, "needs the document"), (other, "is of another version of skipper")] {
        let (aws, _) = aws([found, denied()]).await;
        let error = aws.remote().run(&instances(&["i-1"]), &observe(), DEADLINE).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Denied);
        let hint = error.failure.hints.last().unwrap();
        assert!(hint.contains(words) && hint.contains(NAME) && hint.contains("--format cloudformation"), "{hint}");
    }
}

#[tokio::test(start_paused = true)]
async fn behind_a_fence_the_text_goes_as_it_is_made_for_this_run() {
    let (aws, wire) = aws([sent(), done()]).await;
    aws.remote().run(&instances(&["i-1"]), &observe().fenced(7), DEADLINE).await.unwrap();
    assert_eq!(wire.json(0)["DocumentName"], "AWS-RunShellScript");
}
