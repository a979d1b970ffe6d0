//! Hosts, their scripts and the records, on AWS: the ports of `skipper-deploy` over the official SDK.
//!
//! No type of the SDK leaves this folder. Endpoints come from where every AWS tool looks (`AWS_ENDPOINT_URL`,
//! `AWS_ENDPOINT_URL_EC2`), and so do credentials (`AWS_ACCESS_KEY_ID` and so on) where no role was asked for.

mod calls;
mod ec2;
mod ecr;
mod error;
mod role;
mod ssm;
#[cfg(test)]
mod wire;

use std::{collections::BTreeMap, time::Duration};

use aws_config::{
    AppName, BehaviorVersion, ConfigLoader, Region, SdkConfig, default_provider::credentials::DefaultCredentialsChain,
    meta::credentials::CredentialsProviderChain, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_credential_types::Credentials;
use skipper_core::secret::Secret;
use skipper_deploy::ports::PortResult;

use self::{calls::Calls, ec2::NoCapacity};
pub use self::{
    ec2::Ec2,
    role::{Conceal, TokenRequest, WebIdentity},
    ssm::{Kept, ParameterStore, RunCommand, Session},
};

/// For opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For one request and its answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);
/// For one operation with all its tries.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(60);
/// Tries of one operation, the first included.
const ATTEMPTS: u32 = 5;

/// One region of one account: where the adapters of the ports come from.
#[derive(Clone)]
pub struct Aws {
    config: SdkConfig,
    region: String,
    calls: Calls,
}

impl Aws {
    /// Reads the environment and the shared files once. Makes no call: wrong credentials show with the first one.
    ///
    /// With an `identity` the credentials are those of its role, renewed for as long as the run takes, and each secret that is
    /// obtained for that is told to `conceal`. Without, they come from where every AWS tool looks, and then from `keys`, an id with
    /// its secret.
    ///
    /// # Errors
    /// When this machine's certificates cannot be used.
    pub async fn connect(
        region: &str,
        identity: Option<WebIdentity>,
        keys: Option<(String, Secret)>,
        conceal: Conceal,
    ) -> PortResult<Self> {
        let config = match identity {
            None => match keys {
                None => loader(region).load().await,
                Some(keys) => loader(region).credentials_provider(with_last(keys, region).await).load().await,
            },
            Some(identity) => role::with_role(loader(region).no_credentials().load().await, identity, region, conceal)?,
        };
        Ok(Self::new(config, region))
    }

    fn new(config: SdkConfig, region: &str) -> Self {
        Self { config, region: region.to_owned(), calls: Calls::default() }
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.region
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
            endpoint: self.config.endpoint_url().map(ToOwned::to_owned),
            kept: Default::default(),
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

/// The credentials that the environment has, else these.
async fn with_last((id, secret): (String, Secret), region: &str) -> CredentialsProviderChain {
    let environment = DefaultCredentialsChain::builder().region(Region::new(region.to_owned())).build().await;
    let keys = Credentials::new(id, secret.expose(), None, None, "Skippercfg");
    CredentialsProviderChain::first_try("Environment", environment).or_else("Skippercfg", keys)
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
