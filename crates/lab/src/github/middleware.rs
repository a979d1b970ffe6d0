//! What every API request goes through: the record of it, the faults, and the headers of its answer.

use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;

use super::fault::Fault;
use super::refusal::failed;
use super::server::Shared;
use super::world::Request;

/// Requests an hour that a workflow's token has in a repository of GitHub Enterprise Cloud; elsewhere they are 1,000, which all
/// trials together, with the one token that they share, come to.
const RATE_LIMIT: u64 = 15_000;

/// Lets a fault meet the request, or answers it, and writes down which.
pub(super) async fn record(State(shared): State<Shared>, request: HttpRequest, next: Next) -> Response {
    let method = request.method().clone();
    let path = request.uri().path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    let (fault, entry) = shared.meet(&method, &path);
    let mut response = match fault {
        None => next.run(request).await,
        Some(fault) => {
            if fault.applied {
                next.run(request).await;
            }
            match failed(fault.failure) {
                Some(response) => response,
                None => std::future::pending().await,
            }
        }
    };
    shared.world().requests[entry].status = response.status().as_u16();
    let used = u64::try_from(entry).unwrap_or(u64::MAX).saturating_add(1);
    let headers = response.headers_mut();
    for (name, value) in [
        ("x-ratelimit-limit", RATE_LIMIT),
        ("x-ratelimit-remaining", RATE_LIMIT.saturating_sub(used)),
        ("x-ratelimit-used", used),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
    headers.insert(HeaderName::from_static("x-github-media-type"), HeaderValue::from_static("github.v3; format=json"));
    response
}

impl Shared {
    /// The fault that this request meets, and the place of its record.
    fn meet(&self, method: &Method, path: &str) -> (Option<Fault>, usize) {
        let mut world = self.world();
        let fault = world.faults.iter_mut().find_map(|fault| fault.meets(method.as_str(), path).then(|| fault.clone()));
        world.requests.push(Request { method: method.to_string(), path: path.to_owned(), status: 0 });
        (fault, world.requests.len() - 1)
    }
}
