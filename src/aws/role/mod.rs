//! Credentials of a role, in exchange for the token by which GitHub vouches for a workflow's job.
//!
//! ```text
//! GitHub: who this job is (a JWT, five minutes) -> STS AssumeRoleWithWebIdentity -> keys (an hour) -> again before they expire
//! ```
//!
//! The contract of the token: <https://docs.github.com/en/actions/reference/security/oidc>.

mod claims;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use aws_config::{SdkConfig, identity::IdentityCache};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::{
    RequestId,
    assume_role_with_web_identity::{AssumeRoleWithWebIdentityError, AssumeRoleWithWebIdentityOutput},
};
use backon::{ExponentialBuilder, Retryable};
use reqwest::StatusCode;
use serde::Deserialize;
use skipper_core::secret::Secret;
use skipper_deploy::ports::{PortError, PortErrorKind, PortResult};

use self::claims::Claims;
use super::error::{Asked, shown};

/// Whom GitHub's token is for. STS compares it with the audiences of the account's identity provider.
const AUDIENCE: &str = "sts.amazonaws.com";
/// How long the keys last, in seconds: what a role allows when nobody has set another limit.
const SESSION_SECONDS: i32 = 3_600;
/// Keys are renewed this long before they expire, so that no request is signed with keys that end on its way.
const RENEW_BEFORE: Duration = Duration::from_secs(120);
/// For the whole exchange, tries included.
const EXCHANGE_WITHIN: Duration = Duration::from_secs(20);
/// For GitHub's answer to one request.
const TOKEN_WITHIN: Duration = Duration::from_secs(5);
/// Tries of GitHub after the first: it answers 5xx now and then.
const TOKEN_RETRIES: ExponentialBuilder =
    ExponentialBuilder::new().with_min_delay(Duration::from_millis(300)).with_factor(2.0).with_max_times(2);

const ALLOW_TOKEN: &str = "give the job the permission to ask for its token: `permissions: {id-token: write}`; a pull request from a fork never has it";

/// A role, and what the job shows to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebIdentity {
    /// The role's ARN.
    pub role: String,
    /// What the session is called in AWS's records of who did what.
    pub session: String,
    /// Where GitHub gives the job its token; absent where it gives none.
    pub request: Option<TokenRequest>,
}

/// Where a job gets its token: `ACTIONS_ID_TOKEN_REQUEST_URL` and `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// The address, with its query so far.
    pub url: String,
    /// What entitles the job to ask.
    pub bearer: Secret,
}

/// Told every secret that is obtained, before anything is done with it, so that a workflow's runner can blot it out.
pub type Conceal = Arc<dyn Fn(&str) + Send + Sync>;

/// Exchanges tokens for keys whenever the SDK asks, which is before the keys it has expire.
pub(super) struct RoleProvider {
    identity: WebIdentity,
    http: reqwest::Client,
    sts: aws_sdk_sts::Client,
    region: String,
    conceal: Conceal,
}

impl fmt::Debug for RoleProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoleProvider").field("role", &self.identity.role).finish_non_exhaustive()
    }
}

/// What GitHub answers.
#[derive(Deserialize)]
struct TokenAnswer {
    value: String,
}

/// Gives `anonymous`, which has no credentials, those of a role.
pub(super) fn with_role(
    anonymous: SdkConfig,
    identity: WebIdentity,
    region: &str,
    conceal: Conceal,
) -> PortResult<SdkConfig> {
    let http = reqwest::Client::builder()
        .user_agent(concat!("skipper/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(TOKEN_WITHIN)
        .timeout(TOKEN_WITHIN)
        .build()
        .map_err(|error| {
            let mut failed = PortError::new(PortErrorKind::Other, "prepare to ask GitHub for the job's token");
            failed.failure = failed.failure.because_of(&error);
            failed.hint("`SSL_CERT_FILE` may name the certificates to trust")
        })?;
    let sts = aws_sdk_sts::Client::new(&anonymous);
    let provider = RoleProvider { identity, http, sts, region: region.to_owned(), conceal };
    let cache = IdentityCache::lazy().load_timeout(EXCHANGE_WITHIN).buffer_time(RENEW_BEFORE).build();
    let mut named = anonymous.into_builder().credentials_provider(SharedCredentialsProvider::new(provider));
    named.set_identity_cache(Some(cache));
    Ok(named.build())
}

impl ProvideCredentials for RoleProvider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        // The SDK's error carries this one whole, to where it is shown.
        future::ProvideCredentials::new(async { self.exchange().await.map_err(CredentialsError::provider_error) })
    }
}

impl RoleProvider {
    async fn exchange(&self) -> PortResult<Credentials> {
        let token = self.token().await?;
        (self.conceal)(token.expose());
        let answer = self
            .sts
            .assume_role_with_web_identity()
            .role_arn(&self.identity.role)
            .role_session_name(&self.identity.session)
            .web_identity_token(token.expose())
            .duration_seconds(SESSION_SECONDS)
            .send()
            .await
            .map_err(|error| self.refused(&error, &Claims::of(token.expose())))?;
        self.keys(answer)
    }

    /// The job's token.
    async fn token(&self) -> PortResult<Secret> {
        let Some(request) = &self.identity.request else {
            let missing = format!("the job has no token that could be exchanged for role `{}`", self.identity.role);
            return Err(PortError::new(PortErrorKind::Denied, missing)
                .because("`ACTIONS_ID_TOKEN_REQUEST_URL` or `ACTIONS_ID_TOKEN_REQUEST_TOKEN` is not set")
                .hint(ALLOW_TOKEN)
                .hint("outside a workflow use other credentials and leave `aws-role` out"));
        };
        let separator = if request.url.contains('?') { '&' } else { '?' };
        let url = format!("{}{separator}audience={AUDIENCE}", request.url);
        let ask = async || self.ask(&url, &request.bearer).await;
        ask.retry(TOKEN_RETRIES).when(PortError::is_worth_retrying).await
    }

    async fn ask(&self, url: &str, bearer: &Secret) -> PortResult<Secret> {
        const ASK: &str = "GitHub was asked for the job's token";
        let unanswered = |error: reqwest::Error| {
            let mut failed = PortError::new(PortErrorKind::Transient, format!("{ASK} and did not answer"));
            // The address tells which run this is, and nothing that helps.
            failed.failure = failed.failure.because_of(&error.without_url());
            failed.hint(
                "run again; a proxy (`HTTPS_PROXY`) has to let through the address in `ACTIONS_ID_TOKEN_REQUEST_URL`",
            )
        };
        let answer = self.http.get(url).bearer_auth(bearer.expose()).send().await.map_err(unanswered)?;
        let status = answer.status();
        if !status.is_success() {
            let kind = match status {
                StatusCode::TOO_MANY_REQUESTS => PortErrorKind::Transient,
                status if status.is_server_error() => PortErrorKind::Transient,
                _ => PortErrorKind::Denied,
            };
            let refused = PortError::new(kind, format!("{ASK} and answered {status}"));
            return Err(match kind {
                PortErrorKind::Denied => refused.hint(ALLOW_TOKEN),
                _ => refused.hint("run again in a while; https://www.githubstatus.com tells of trouble at GitHub"),
            });
        }
        let answer: TokenAnswer = answer.json().await.map_err(unanswered)?;
        Ok(Secret::new(answer.value))
    }

    fn keys(&self, answer: AssumeRoleWithWebIdentityOutput) -> PortResult<Credentials> {
        let nothing = || self.asked().refused(PortErrorKind::Other, "the answer holds no keys");
        let keys = answer.credentials.ok_or_else(nothing)?;
        for secret in [&keys.access_key_id, &keys.secret_access_key, &keys.session_token] {
            (self.conceal)(secret);
        }
        let expires = keys.expiration.try_into().map_err(|_| nothing())?;
        Ok(Credentials::new(
            keys.access_key_id,
            keys.secret_access_key,
            Some(keys.session_token),
            Some(expires),
            "GitHub's token",
        ))
    }

    fn asked(&self) -> Asked<'_> {
        let role = format!("role `{}`", self.identity.role);
        Asked::reads(&self.region, "sts:AssumeRoleWithWebIdentity", role)
    }

    /// A refusal with what the token says of the job, since the trust policy compares just that.
    fn refused(&self, error: &SdkError<AssumeRoleWithWebIdentityError>, claims: &Claims) -> PortError {
        let failed = self.asked().failed(error);
        if failed.kind != PortErrorKind::Denied && error.code() != Some("ValidationError") {
            return failed;
        }
        let role = &self.identity.role;
        let text = error.message().unwrap_or_default();
        let mut refused =
            PortError::new(PortErrorKind::Denied, format!("AWS does not give this job the role `{role}`"))
                .because(format!("{}: {}", error.code().unwrap_or("no code"), shown(text)));
        if let Some(id) = error.request_id() {
            refused = refused.because(format!("request `{}`", shown(id)));
        }
        refused.failure = refused.failure.with_lines(claims.lines());
        let refused = match error.code() {
            Some("InvalidIdentityToken") => refused.hint(
                "the account needs the identity provider `token.actions.githubusercontent.com` with the audience \
                 `sts.amazonaws.com`: `skipper iam --format cloudformation` makes it",
            ),
            Some("ValidationError") => refused.hint("correct the input `aws-role`: the ARN of a role, as IAM shows it"),
            _ => refused,
        };
        refused.hint(format!(
            "the role has to exist, and its trust policy has to let in {}: `skipper iam` prints one that does",
            claims.subject().map_or_else(|| "this token".to_owned(), |subject| format!("the `sub` `{subject}`"))
        ))
    }
}
