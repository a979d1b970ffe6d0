//! Hosts, their scripts and the records, on AWS: the ports of `skipper-deploy` over the official SDK.
//!
//! No type of the SDK leaves this folder. Endpoints and credentials come from where every AWS tool looks:
//! `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_EC2`, `AWS_ACCESS_KEY_ID` and so on.

mod calls;
mod ec2;
mod error;
mod ssm;
#[cfg(test)]
mod wire;

use std::{collections::BTreeMap, time::Duration};

use aws_config::{
    AppName, BehaviorVersion, ConfigLoader, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig,
};
use skipper_core::desired::Scope;

use self::{calls::Calls, ec2::NoCapacity};
pub use self::{
    ec2::Ec2,
    ssm::{ParameterStore, RunCommand},
};

/// For opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For one request and its answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);
/// For one operation with all its tries.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(60);
/// Tries of one operation, the first included.
const ATTEMPTS: u32 = 5;

/// The tag that says whose project something is.
const TAG_PROJECT: &str = "skipper:project";
/// The tag that says which environment of the project.
const TAG_ENVIRONMENT: &str = "skipper:environment";

/// The ownership of everything in a scope, as tags.
fn ownership(scope: &Scope) -> [(&'static str, String); 2] {
    [(TAG_PROJECT, scope.project.to_string()), (TAG_ENVIRONMENT, scope.environment.to_string())]
}

/// One region of one account: where the adapters of the ports come from.
#[derive(Clone)]
pub struct Aws {
    config: SdkConfig,
    region: String,
    calls: Calls,
}

impl Aws {
    /// Reads the environment and the shared files once. Makes no call: wrong credentials show with the first one.
    pub async fn connect(region: &str) -> Self {
        Self::new(loader(region).load().await, region)
    }

    fn new(config: SdkConfig, region: &str) -> Self {
        Self { config, region: region.to_owned(), calls: Calls::default() }
    }

    /// Requests made so far through the clients made here, by operation, retries included.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.calls.so_far()
    }

    /// Hosts and ingress rules.
    pub fn compute(&self) -> Ec2 {
        Ec2 {
            ec2: aws_sdk_ec2::Client::from_conf(
                aws_sdk_ec2::config::Builder::from(&self.config)
                    .interceptor(self.calls.clone())
                    .retry_classifier(NoCapacity)
                    .build(),
            ),
            iam: aws_sdk_iam::Client::from_conf(
                aws_sdk_iam::config::Builder::from(&self.config).interceptor(self.calls.clone()).build(),
            ),
            sts: aws_sdk_sts::Client::from_conf(
                aws_sdk_sts::config::Builder::from(&self.config).interceptor(self.calls.clone()).build(),
            ),
            region: self.region.clone(),
        }
    }

    /// Scripts on hosts.
    pub fn remote(&self) -> RunCommand {
        RunCommand {
            ssm: aws_sdk_ssm::Client::from_conf(
                aws_sdk_ssm::config::Builder::from(&self.config).interceptor(self.calls.clone()).build(),
            ),
            region: self.region.clone(),
        }
    }

    /// Records.
    pub fn store(&self) -> ParameterStore {
        ParameterStore {
            ssm: aws_sdk_ssm::Client::from_conf(
                aws_sdk_ssm::config::Builder::from(&self.config).interceptor(self.calls.clone()).build(),
            ),
            region: self.region.clone(),
        }
    }
}

fn loader(region: &str) -> ConfigLoader {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    let loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(Region::new(region.to_owned()))
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
    // For AWS's own records of who called.
    match AppName::new("skipper") {
        Ok(name) => loader.app_name(name),
        Err(_) => loader,
    }
}
