//! The token by which GitHub vouches for a job: asked for with what the runner gives the job, and believed by the lab's cloud.
//!
//! The real one is signed by a key that AWS fetches; this one by a word that the lab's cloud knows.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use axum::routing::get;
use axum::{Json, Router};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::server::Shared;

/// What the tokens are signed with; `crates/lab/images/cloud/cloud/trust.py` has the same word.
const KEY: &str = "the lab's GitHub";
/// Who issues them.
const ISSUER: &str = "https://token.actions.githubusercontent.com";
/// Seconds that a token is good for.
const LIFE: i64 = 300;
/// The ids of every owner and every repository here.
const OWNER_ID: u64 = 1;
const REPOSITORY_ID: u64 = 2;

/// A job, as its token tells of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobIdentity {
    /// As `owner/name`.
    pub repository: String,
    /// The branch or pull request, such as `refs/heads/main`.
    pub reference: String,
    /// The event's name.
    pub event_name: String,
    /// The environment that the job names.
    pub environment: Option<String>,
    /// Whether the subject names owner and repository with their ids, as those that are younger than July 2026 do.
    pub immutable: bool,
}

impl JobIdentity {
    /// What the runner gives a job that has the permission `id-token: write`: `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
    #[must_use]
    pub fn request_token(&self) -> String {
        URL_SAFE_NO_PAD.encode(json!(self).to_string())
    }

    fn read(request_token: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(request_token).ok()?).ok()
    }

    /// Whom a trust policy names: the environment comes before the event, the event before the branch.
    fn subject(&self) -> String {
        let repository = match self.repository.split_once('/') {
            Some((owner, name)) if self.immutable => format!("{owner}@{OWNER_ID}/{name}@{REPOSITORY_ID}"),
            _ => self.repository.clone(),
        };
        match (&self.environment, self.event_name.as_str()) {
            (Some(environment), _) => format!("repo:{repository}:environment:{}", environment.replace(':', "%3A")),
            (None, "pull_request") => format!("repo:{repository}:pull_request"),
            (None, _) => format!("repo:{repository}:ref:{}", self.reference),
        }
    }

    fn token(&self, audience: &str, now: i64) -> String {
        let claims = json!({
            "iss": ISSUER,
            "aud": audience,
            "sub": self.subject(),
            "repository": self.repository,
            "repository_id": REPOSITORY_ID.to_string(),
            "repository_owner_id": OWNER_ID.to_string(),
            "ref": self.reference,
            "event_name": self.event_name,
            "environment": self.environment,
            "job_workflow_ref": format!("{}/.github/workflows/deploy.yml@{}", self.repository, self.reference),
            "runner_environment": "self-hosted",
            "iat": now,
            "nbf": now,
            "exp": now.saturating_add(LIFE),
        });
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&json!({"alg": "lab", "typ": "JWT"})), encode(&claims));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{KEY}{signed}"))))
    }
}

/// Where the jobs of the GitHub at `origin` ask for their tokens: `ACTIONS_ID_TOKEN_REQUEST_URL`.
pub(crate) fn id_token_url(origin: &str) -> String {
    format!("{origin}/idtoken?api-version=2.0")
}

/// Where jobs ask for their tokens.
pub(super) fn routes(shared: Shared) -> Router {
    Router::new().route("/idtoken", get(issue)).with_state(shared)
}

#[derive(Deserialize)]
struct Asked {
    audience: Option<String>,
}

async fn issue(
    State(_): State<Shared>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Json<Value>, StatusCode> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let job = bearer.and_then(JobIdentity::read).ok_or(StatusCode::UNAUTHORIZED)?;
    // Where nobody says whom it is for, it is for the repository's owner.
    let audience = asked
        .audience
        .unwrap_or_else(|| format!("https://github.com/{}", job.repository.split('/').next().unwrap_or_default()));
    Ok(Json(json!({ "count": 1, "value": job.token(&audience, Timestamp::now().as_second()) })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_the_environment_before_the_event_and_the_event_before_the_branch() {
        let job = JobIdentity {
            repository: "acme/shop".to_owned(),
            reference: "refs/pull/7/merge".to_owned(),
            event_name: "pull_request".to_owned(),
            environment: None,
            immutable: false,
        };
        assert_eq!(job.subject(), "repo:acme/shop:pull_request");
        let push =
            JobIdentity { event_name: "push".to_owned(), reference: "refs/heads/main".to_owned(), ..job.clone() };
        assert_eq!(push.subject(), "repo:acme/shop:ref:refs/heads/main");
        let deploy = JobIdentity { environment: Some("a:b".to_owned()), immutable: true, ..push };
        assert_eq!(deploy.subject(), "repo:acme@1/shop@2:environment:a%3Ab");
        let read = JobIdentity::read(&deploy.request_token()).unwrap();
        assert_eq!(read.subject(), deploy.subject());
        let token = deploy.token("sts.amazonaws.com", 1_000);
        let claims: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap();
        assert_eq!((&claims["aud"], &claims["exp"]), (&json!("sts.amazonaws.com"), &json!(1_300)));
    }
}
