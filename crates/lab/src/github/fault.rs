//! How GitHub can be made to fail, for the tests of those who depend on it.

use serde::{Deserialize, Serialize};

/// A failure that meets the requests it matches.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fault {
    /// What they get.
    pub failure: Failure,
    /// Only requests with this method; all when `None`.
    #[serde(default)]
    pub method: Option<String>,
    /// Only requests whose path contains this; all when `None`.
    #[serde(default)]
    pub path: Option<String>,
    /// For how many requests; for good when `None`.
    #[serde(default)]
    pub times: Option<u32>,
    /// Carry the request out first, and lose its answer only.
    #[serde(default)]
    pub applied: bool,
}

/// What a request meets in place of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum Failure {
    /// 401 `Bad credentials`.
    BadCredentials,
    /// 403 `Resource not accessible by integration`: the token lacks a permission, or comes from a fork.
    NotAccessible,
    /// 404 `Not Found`: also what a token that may not see a repository gets.
    NotFound,
    /// 502 with a page of HTML, as GitHub's front end sends it.
    BadGateway,
    /// No answer at all, for as long as the caller waits.
    Hang,
    /// 403 for a comment on a conversation that is locked.
    Locked,
    /// 429 for too many requests.
    TooManyRequests {
        /// Seconds the caller is told to wait.
        retry_after: u64,
    },
    /// 403 for too many requests at once.
    SecondaryRateLimit {
        /// Seconds the caller is told to wait.
        retry_after: u64,
    },
}

impl Fault {
    /// `failure` for every request until it is cleared.
    #[must_use]
    pub fn always(failure: Failure) -> Self {
        Self { failure, method: None, path: None, times: None, applied: false }
    }

    /// `failure` for the next `times` requests.
    #[must_use]
    pub fn times(failure: Failure, times: u32) -> Self {
        Self { times: Some(times), ..Self::always(failure) }
    }

    /// The same, for requests with `method` whose path contains `path`.
    #[must_use]
    pub fn on(self, method: &str, path: &str) -> Self {
        Self { method: Some(method.to_owned()), path: Some(path.to_owned()), ..self }
    }

    /// The same, but the request is carried out before its answer is lost.
    #[must_use]
    pub fn after_applying(self) -> Self {
        Self { applied: true, ..self }
    }

    /// Whether the fault meets this request, counting it when it does.
    pub(super) fn meets(&mut self, method: &str, path: &str) -> bool {
        let matches = self.method.as_deref().is_none_or(|wanted| wanted == method)
            && self.path.as_deref().is_none_or(|wanted| path.contains(wanted));
        match &mut self.times {
            _ if !matches => false,
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}
