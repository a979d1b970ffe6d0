//! What a refusal by GitHub, or its silence, means to a run: whether to try again, and what the user can do.
//!
//! The shapes: <https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api>; the limits:
//! <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::{
    StatusCode, Url,
    header::{HeaderMap, RETRY_AFTER},
};
use serde::Deserialize;
use skipper_deploy::ports::{PortError, PortErrorKind};

/// How much of GitHub's words is shown, in characters.
const LONGEST_MESSAGE: usize = 300;
/// What GitHub asks for where a limit of a short time was hit and nothing is said about when it ends.
const UNSAID_PAUSE: Duration = Duration::from_secs(60);

/// A request without a good answer.
pub(super) struct Refused {
    pub error: PortError,
    pub again: Again,
}

/// When the same request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It would be refused again, or come to more than sending it once.
    Never,
    /// After a short pause.
    Soon,
    /// When a limit lets it: it had no effect.
    After(Duration),
}

/// A refusal's body.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    message: String,
    errors: Vec<serde_json::Value>,
}

impl Body {
    /// GitHub's words in one line. A front end that fails answers with a page of HTML, which says nothing.
    fn words(&self) -> String {
        let details = self.errors.iter().filter_map(|error| error.get("message").unwrap_or(error).as_str());
        let words: Vec<&str> =
            std::iter::once(self.message.as_str()).chain(details).filter(|words| !words.is_empty()).collect();
        words.join(": ").split_whitespace().collect::<Vec<_>>().join(" ").chars().take(LONGEST_MESSAGE).collect()
    }
}

/// An answer with a status that is no success.
pub(super) fn refused(
    operation: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    repeatable: bool,
) -> Refused {
    let words = serde_json::from_slice::<Body>(body).unwrap_or_default().words();
    let error = |kind| {
        let answer = format!("GitHub answered {} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
        let answer = answer.trim_end();
        PortError::new(kind, operation).because(if words.is_empty() {
            answer.to_owned()
        } else {
            format!("{answer}: {words}")
        })
    };
    if let Some(pause) = limited(status, headers, &words) {
        let error = error(PortErrorKind::Transient).hint("GitHub limits how often a token may ask: run again later");
        return Refused { error, again: Again::After(pause) };
    }
    let never = |error| Refused { error, again: Again::Never };
    match status.as_u16() {
        401 => never(error(PortErrorKind::Denied).hint(
            "the token in `github-token` is wrong or has expired: leave the input out to use the workflow's own",
        )),
        403 if words.contains("is locked") => never(
            error(PortErrorKind::Denied)
                .hint("the conversation is locked: unlock it, or let somebody comment who may do so all the same"),
        ),
        403 => {
            let mut error = error(PortErrorKind::Denied);
            if let Some(needed) = headers.get("x-accepted-github-permissions").and_then(|needed| needed.to_str().ok()) {
                error = error.because(format!("the token lacks `{needed}`"));
            }
            never(
                error
                    .hint("give the job `permissions:` with `pull-requests: write` and `contents: read`")
                    .hint("a pull request from a fork gets a token that may only read, whatever the workflow says"),
            )
        }
        404 => {
            never(error(PortErrorKind::Missing).hint(
                "see that `GITHUB_REPOSITORY` is right and that the token may see it: GitHub hides what it may not",
            ))
        }
        400 | 410 | 422 => never(error(PortErrorKind::Invalid)),
        500.. => lost(error, repeatable),
        _ => never(error(PortErrorKind::Other)),
    }
}

/// No answer at all, or one that broke off.
pub(super) fn unanswered(operation: &str, base: &Url, repeatable: bool, source: reqwest::Error) -> Refused {
    // What was never sent had no effect.
    let repeatable = repeatable || source.is_connect();
    let timed_out = source.is_timeout();
    // The address is told once, here, and not again by each cause.
    let source = source.without_url();
    let error = |kind| {
        let at = base.origin().ascii_serialization();
        let mut error = PortError::new(kind, operation)
            .because(format!("GitHub at `{at}` did not answer{}", if timed_out { " in time" } else { "" }));
        error.failure = error.failure.because_of(&source);
        error
    };
    lost(error, repeatable)
}

fn lost(error: impl Fn(PortErrorKind) -> PortError, repeatable: bool) -> Refused {
    if repeatable {
        Refused { error: error(PortErrorKind::Transient), again: Again::Soon }
    } else {
        Refused { error: error(PortErrorKind::Unclear), again: Again::Never }
    }
}

/// How long GitHub wants to be left alone, if that is what the refusal is about: 403 says that and many other things.
fn limited(status: StatusCode, headers: &HeaderMap, words: &str) -> Option<Duration> {
    if !matches!(status, StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS) {
        return None;
    }
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    if let Some(seconds) = number(RETRY_AFTER.as_str()) {
        return Some(Duration::from_secs(seconds));
    }
    if number("x-ratelimit-remaining") == Some(0) {
        let reset = number("x-ratelimit-reset").map(|at| UNIX_EPOCH + Duration::from_secs(at));
        return Some(reset.and_then(|at| at.duration_since(SystemTime::now()).ok()).unwrap_or(UNSAID_PAUSE));
    }
    let said = status == StatusCode::TOO_MANY_REQUESTS || words.to_lowercase().contains("rate limit");
    said.then_some(UNSAID_PAUSE)
}
