//! The shapes of GitHub's refusals.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json};

use super::fault::Failure;
use super::seed::{Access, Scope};

/// Why a request is not answered as it wished.
#[derive(Debug)]
pub(super) enum Refusal {
    /// No token where one is needed.
    RequiresAuthentication,
    /// A token that GitHub does not know.
    BadCredentials,
    /// The token lacks a permission; the ones that would do.
    NotAccessible { installation: bool, scopes: &'static [Scope], access: Access },
    /// Not there, or not for this token to see.
    NotFound,
    /// A request without `user-agent`.
    NoUserAgent,
    /// A body that is not JSON.
    NotJson,
    /// A JSON body of the wrong shape; what is wrong with it.
    Invalid(String),
    /// A well-formed request that GitHub's validation refuses.
    Validation { resource: &'static str, field: &'static str, message: String },
    /// A deployment of a commit whose checks have not passed.
    ChecksPending { reference: String },
}

impl Refusal {
    fn parts(&self) -> (StatusCode, String) {
        let (status, message) = match self {
            Self::RequiresAuthentication => (StatusCode::UNAUTHORIZED, "Requires authentication"),
            Self::BadCredentials => (StatusCode::UNAUTHORIZED, "Bad credentials"),
            Self::NotAccessible { installation: true, .. } => {
                (StatusCode::FORBIDDEN, "Resource not accessible by integration")
            }
            Self::NotAccessible { .. } => (StatusCode::FORBIDDEN, "Resource not accessible by personal access token"),
            Self::NotFound => (StatusCode::NOT_FOUND, "Not Found"),
            Self::NoUserAgent => (
                StatusCode::FORBIDDEN,
                "Request forbidden by administrative rules. Please make sure your request has a User-Agent header",
            ),
            Self::NotJson => (StatusCode::BAD_REQUEST, "Problems parsing JSON"),
            Self::Invalid(what) => {
                return (StatusCode::UNPROCESSABLE_ENTITY, format!("Invalid request.\n\n{what}"));
            }
            Self::Validation { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "Validation Failed"),
            Self::ChecksPending { reference } => {
                return (StatusCode::CONFLICT, format!("Conflict: Commit status checks failed for {reference}."));
            }
        };
        (status, message.to_owned())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, message) = self.parts();
        let errors = match &self {
            Self::Validation { resource, field, message } => Some(json!([{
                "resource": resource, "code": "unprocessable", "field": field, "message": message,
            }])),
            _ => None,
        };
        let mut response = error(status, &message, errors);
        if let Self::NotAccessible { scopes, access, .. } = &self {
            let accepted = scopes
                .iter()
                .map(|scope| format!("{}={}", scope.as_str(), access.as_str()))
                .collect::<Vec<_>>()
                .join("; ");
            if let Ok(accepted) = HeaderValue::from_str(&accepted) {
                response.headers_mut().insert(HeaderName::from_static("x-accepted-github-permissions"), accepted);
            }
        }
        response
    }
}

/// The answer to a request that met `failure`; `None` where there is none to give.
pub(super) fn failed(failure: Failure) -> Option<Response> {
    Some(match failure {
        Failure::BadCredentials => Refusal::BadCredentials.into_response(),
        Failure::NotAccessible => error(
            StatusCode::FORBIDDEN,
            "Resource not accessible by integration",
            None,
        ),
        Failure::NotFound => Refusal::NotFound.into_response(),
        Failure::BadGateway => (
            StatusCode::BAD_GATEWAY,
            Html("<html>\n<head><title>502 Bad Gateway</title></head>\n<body>\n<center><h1>502 Bad Gateway</h1></center>\n</body>\n</html>\n"),
        )
            .into_response(),
        Failure::Hang => return None,
        Failure::Locked => {
            error(StatusCode::FORBIDDEN, "Unable to create comment because issue is locked.", None)
        }
        Failure::TooManyRequests { retry_after } => {
            limited(StatusCode::TOO_MANY_REQUESTS, "You have exceeded a rate limit.", retry_after)
        }
        Failure::SecondaryRateLimit { retry_after } => limited(
            StatusCode::FORBIDDEN,
            "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
            retry_after,
        ),
    })
}

fn limited(status: StatusCode, message: &str, retry_after: u64) -> Response {
    let mut response = error(status, message, None);
    response.headers_mut().insert(HeaderName::from_static("retry-after"), retry_after.into());
    response
}

fn error(status: StatusCode, message: &str, errors: Option<Value>) -> Response {
    let mut body = json!({
        "message": message,
        "documentation_url": "https://docs.github.com/rest",
        "status": status.as_u16().to_string(),
    });
    if let Some(errors) = errors {
        body["errors"] = errors;
    }
    (status, Json(body)).into_response()
}
