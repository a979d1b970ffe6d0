//! Requests to GitHub's API: sent, repeated where that does no harm, and read page by page.

use std::{cell::RefCell, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::{
    Method, Url,
    header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LINK},
    redirect,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use skipper_core::{failure::Failure, secret::Secret};
use skipper_deploy::ports::{PortError, PortErrorKind, PortResult};

use tokio::time::Instant;

use super::{
    parse_url,
    refusal::{self, Again, Refused},
};

/// Pages of a list that are read: 100 entries each, so more than GitHub lets anybody write on one pull request.
const MOST_PAGES: usize = 100;
/// Tries of one request after the first.
const RETRIES: usize = 2;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// For opening a connection, and for every pause within an answer.
    pub silence: Duration,
    /// For one request and its whole answer.
    pub request: Duration,
    /// The first pause before another try; the next is twice as long.
    pub pause: Duration,
    /// All pauses before one answer together: people wait for a deployment, not for its comment.
    pub patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(10),
            request: Duration::from_secs(30),
            pause: Duration::from_secs(1),
            patience: Duration::from_secs(20),
        }
    }
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Request<'a> {
    method: Method,
    url: &'a str,
    body: Option<Value>,
    /// Whether sending it twice comes to the same as sending it once.
    repeatable: bool,
}

impl<'a> Request<'a> {
    pub(super) fn get(url: &'a str) -> Self {
        Self { method: Method::GET, url, body: None, repeatable: true }
    }

    /// Replaces what is there.
    pub(super) fn patch(url: &'a str, body: Value) -> Self {
        Self { method: Method::PATCH, url, body: Some(body), repeatable: true }
    }

    /// Makes something new each time.
    pub(super) fn post(url: &'a str, body: Value) -> Self {
        Self { method: Method::POST, url, body: Some(body), repeatable: false }
    }

    /// Reads, though by POST.
    pub(super) fn query(url: &'a str, body: Value) -> Self {
        Self { repeatable: true, ..Self::post(url, body) }
    }
}

/// A good answer.
struct Answer {
    headers: HeaderMap,
    body: Vec<u8>,
}

/// The way to GitHub's API.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    /// The API's address; the token goes nowhere else.
    base: Url,
    pace: Pace,
    /// Before then GitHub wants to be left alone, and why.
    not_before: RefCell<Option<(Instant, PortError)>>,
}

impl Client {
    pub(super) fn new(api_url: &str, token: &Secret, pace: Pace) -> PortResult<Self> {
        let unusable = |cause: String| PortError::new(PortErrorKind::Invalid, "prepare to ask GitHub").because(cause);
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.expose())).map_err(|_| {
            unusable("the token has characters that no token has".to_owned()).hint("correct the input `github-token`")
        })?;
        bearer.set_sensitive(true);
        let headers = [
            (AUTHORIZATION, bearer),
            (ACCEPT, HeaderValue::from_static("application/vnd.github+json")),
            (HeaderName::from_static("x-github-api-version"), HeaderValue::from_static("2022-11-28")),
        ];
        let http = reqwest::Client::builder()
            .user_agent(concat!("skipper/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter(headers))
            .connect_timeout(pace.silence)
            .read_timeout(pace.silence)
            .timeout(pace.request)
            // A renamed repository answers with one; each lets go of the token when it leads to another host.
            .redirect(redirect::Policy::limited(3))
            .build()
            .map_err(|error| {
                let error = PortError {
                    failure: unusable(String::new()).failure.because_of(&error),
                    kind: PortErrorKind::Other,
                };
                error.hint("`SSL_CERT_FILE` may name the certificates to trust")
            })?;
        Ok(Self { http, base: parse_url(api_url)?, pace, not_before: RefCell::default() })
    }

    /// Sends a request and reads the answer.
    pub(super) async fn send<T: DeserializeOwned>(&self, operation: &str, request: Request<'_>) -> PortResult<T> {
        let repeatable = request.repeatable;
        let answer = self.ask(operation, request).await?;
        read(operation, &answer, repeatable)
    }

    /// Reads a list, all pages.
    pub(super) async fn get_all<T: DeserializeOwned>(&self, operation: &str, url: &str) -> PortResult<Vec<T>> {
        let mut all = Vec::new();
        let mut next = Some(parse_url(url)?);
        for _ in 0..MOST_PAGES {
            let Some(url) = next else { return Ok(all) };
            let answer = self.ask(operation, Request::get(url.as_str())).await?;
            all.extend(read::<Vec<T>>(operation, &answer, true)?);
            next = next_page(&answer.headers).map(parse_url).transpose()?;
            if let Some(next) = next.as_ref().filter(|next| next.origin() != self.base.origin()) {
                return Err(PortError::new(PortErrorKind::Other, operation).because(format!(
                    "the list goes on at `{}`, which is not where it began",
                    next.origin().ascii_serialization()
                )));
            }
        }
        Err(PortError::new(PortErrorKind::Other, operation)
            .because(format!("the list has more than {MOST_PAGES} pages")))
    }

    /// Waits a moment.
    pub(super) async fn pause(&self) {
        tokio::time::sleep(self.pace.pause).await;
    }

    async fn ask(&self, operation: &str, request: Request<'_>) -> PortResult<Answer> {
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(self.pace.pause)
            .with_factor(2.0)
            .with_max_times(RETRIES)
            .build();
        let mut patience = self.pace.patience;
        loop {
            if let Some((until, error)) = &*self.not_before.borrow()
                && Instant::now() < *until
            {
                return Err(PortError {
                    failure: Failure { message: operation.to_owned(), ..error.failure.clone() },
                    ..error.clone()
                });
            }
            let Refused { error, again } = match self.once(operation, &request).await {
                Ok(answer) => return Ok(answer),
                Err(refused) => refused,
            };
            let pause = match again {
                Again::Never => None,
                Again::Soon => pauses.next(),
                Again::After(pause) => Some(pause.max(self.pace.pause)),
            };
            let left = pause.and_then(|pause| patience.checked_sub(pause));
            match (pause, left) {
                (Some(pause), Some(left)) => {
                    patience = left;
                    tokio::time::sleep(pause).await;
                }
                _ => {
                    if let Again::After(pause) = again {
                        *self.not_before.borrow_mut() = Some((Instant::now() + pause, error.clone()));
                    }
                    return Err(error);
                }
            }
        }
    }

    async fn once(&self, operation: &str, request: &Request<'_>) -> Result<Answer, Refused> {
        let mut builder = self.http.request(request.method.clone(), request.url);
        if let Some(body) = &request.body {
            builder = builder.json(body);
        }
        let unanswered = |error| refusal::unanswered(operation, &self.base, request.repeatable, error);
        let response = builder.send().await.map_err(unanswered)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.map_err(unanswered)?;
        if status.is_success() {
            Ok(Answer { headers, body: body.into() })
        } else {
            Err(refusal::refused(operation, status, &headers, &body, request.repeatable))
        }
    }
}

fn read<T: DeserializeOwned>(operation: &str, answer: &Answer, repeatable: bool) -> PortResult<T> {
    serde_json::from_slice(&answer.body).map_err(|error| {
        let kind = if repeatable { PortErrorKind::Other } else { PortErrorKind::Unclear };
        PortError::new(kind, operation)
            .because(format!("the answer is not what GitHub documents: {error}"))
            .hint("`GITHUB_API_URL` has to name GitHub's REST API")
    })
}

/// The address behind `rel="next"`: <https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api>.
fn next_page(headers: &HeaderMap) -> Option<&str> {
    headers.get(LINK)?.to_str().ok()?.split(", <").find_map(|link| {
        let (url, parameters) = link.trim_start_matches('<').split_once('>')?;
        parameters.split(';').any(|parameter| parameter.trim() == "rel=\"next\"").then_some(url)
    })
}
