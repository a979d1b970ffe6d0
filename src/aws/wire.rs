//! AWS as tests see it: answers prepared in order, and the requests that were really made.

#![expect(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

use std::collections::BTreeMap;

use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider, http::HttpRequest};
use aws_smithy_http_client::test_util::{ReplayEvent, StaticReplayClient};
use aws_smithy_types::body::SdkBody;
use serde_json::Value;
use skipper_core::desired::Scope;

use super::Aws;

/// What must not show up in any message.
pub(super) const SECRETS: [&str; 3] = ["AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG", "FwoGZXIvYXdzEXAMPLETOKEN"];

/// What AWS calls every request here.
pub(super) const REQUEST_ID: &str = "ea966190-f9aa-478e-9ede-aa5fae8ff13c";

/// The requests that were made.
pub(super) struct Wire(StaticReplayClient);

/// An account that gives these answers in their order, and loses the connection after them.
pub(super) async fn aws<T: Into<String>>(answers: impl IntoIterator<Item = (u16, T)>) -> (Aws, Wire) {
    let events = answers.into_iter().map(|(status, body)| {
        let request = http::Request::builder().uri("https://aws.example/").body(SdkBody::empty()).unwrap();
        let response = http::Response::builder().status(status).header("x-amzn-requestid", REQUEST_ID);
        ReplayEvent::new(request, response.body(SdkBody::from(body.into())).unwrap())
    });
    let client = StaticReplayClient::new(events.collect());
    let [key, secret, token] = SECRETS;
    let credentials = Credentials::new(key, secret, Some(token.to_owned()), None, "test");
    let config = super::loader("us-east-1")
        .empty_test_environment()
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(client.clone())
        .load()
        .await;
    (Aws::new(config, "us-east-1"), Wire(client))
}

impl Wire {
    /// The action of every request, in order.
    pub(super) fn actions(&self) -> Vec<String> {
        self.0.actual_requests().map(action).collect()
    }

    /// The fields of one request of EC2's form, one `name=value` a line, in order of name.
    pub(super) fn form(&self, index: usize) -> Vec<String> {
        form(self.0.actual_requests().nth(index).unwrap())
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    /// The host that one request went to.
    pub(super) fn host(&self, index: usize) -> String {
        let request = self.0.actual_requests().nth(index).unwrap();
        request.uri().parse::<http::Uri>().unwrap().host().unwrap().to_owned()
    }

    /// The body of one request in JSON.
    pub(super) fn json(&self, index: usize) -> Value {
        serde_json::from_slice(self.0.actual_requests().nth(index).unwrap().body().bytes().unwrap()).unwrap()
    }
}

fn action(request: &HttpRequest) -> String {
    match request.headers().get("x-amz-target") {
        Some(target) => target.rsplit('.').next().unwrap().to_owned(),
        None => form(request).remove("Action").unwrap(),
    }
}

fn form(request: &HttpRequest) -> BTreeMap<String, String> {
    let body = std::str::from_utf8(request.body().bytes().unwrap()).unwrap();
    let url = reqwest::Url::parse(&format!("http://form/?{body}")).unwrap();
    url.query_pairs().into_owned().collect()
}

/// The project that the tests deploy.
pub(super) fn scope() -> Scope {
    Scope { project: "demo".parse().unwrap(), environment: "production".parse().unwrap() }
}

/// An answer of EC2.
pub(super) fn xml(action: &str, content: &str) -> (u16, String) {
    (
        200,
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?><{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>{REQUEST_ID}</requestId>{content}</{action}Response>"#
        ),
    )
}

/// A refusal of EC2.
pub(super) fn ec2_error(status: u16, code: &str, message: &str) -> (u16, String) {
    (
        status,
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>{REQUEST_ID}</RequestID></Response>"#
        ),
    )
}

/// A refusal of IAM or STS.
pub(super) fn query_error(status: u16, code: &str, message: &str) -> (u16, String) {
    (
        status,
        format!(
            r#"<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>{REQUEST_ID}</RequestId></ErrorResponse>"#
        ),
    )
}

/// A refusal of Systems Manager.
pub(super) fn ssm_error(status: u16, code: &str, message: &str) -> (u16, String) {
    (status, serde_json::json!({ "__type": code, "message": message }).to_string())
}
