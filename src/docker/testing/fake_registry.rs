//! A registry in this process that speaks enough of the distribution API to be pushed to by an engine, and misbehaves on demand.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    response::Response,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, Method, StatusCode, Uri};
use skipper_core::image::{Repository, hex_digest};

pub(in crate::docker) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(in crate::docker) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// How it wants to be spoken to. The only user is `me`, with the password `secret`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::docker) enum Auth {
    None,
    Basic,
    /// Tokens for `me` alone, or for anybody.
    Token {
        anonymous: bool,
    },
}

/// What it does once instead of answering.
#[derive(Clone, Debug)]
pub(in crate::docker) enum Fault {
    /// It answers after all: what comes behind it strikes the next request.
    None,
    Status(u16, &'static str),
    /// Refuses for now; with the `Retry-After` header.
    Busy(u16, &'static str),
    /// Breaks off in the middle of the body.
    Truncated,
    /// Takes the request and says nothing.
    Silent,
    /// Sends a byte now and then, without end.
    Dripping,
}

#[derive(Debug, Default)]
pub(in crate::docker) struct Contents {
    /// Content type and bytes by `<repository>/<tag or digest>`.
    pub manifests: BTreeMap<String, (String, Vec<u8>)>,
    pub blobs: BTreeMap<String, Vec<u8>>,
    pub faults: VecDeque<Fault>,
    /// Said instead of the digest; nothing is said when it is empty.
    pub claimed_digest: Option<String>,
    /// Refuses whatever would change it, as to a token that may only read.
    pub read_only: bool,
    /// Every request that came, as `GET /v2/web/manifests/1`.
    pub requests: Vec<String>,
    /// Raised to make tokens that were given out worthless.
    pub token: u32,
    pub(in crate::docker) uploads: BTreeMap<String, Vec<u8>>,
}

pub(in crate::docker) struct FakeRegistry {
    /// `127.0.0.1:<port>`.
    pub host: String,
    contents: Arc<Mutex<Contents>>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Clone)]
struct Shared {
    auth: Auth,
    host: String,
    contents: Arc<Mutex<Contents>>,
}

impl FakeRegistry {
    pub(in crate::docker) async fn start(auth: Auth) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let contents = Arc::new(Mutex::new(Contents::default()));
        let shared = Shared { auth, host: host.clone(), contents: Arc::clone(&contents) };
        let router = Router::new().fallback(answer).layer(DefaultBodyLimit::disable()).with_state(shared);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { host, contents, server }
    }

    pub(in crate::docker) fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap()
    }

    pub(in crate::docker) fn repository(&self, name: &str) -> Repository {
        Repository::new(&self.host, name).unwrap()
    }

    /// Puts an image there whose configuration is `config`, and returns its manifest's digest.
    pub(in crate::docker) fn put_image(&self, reference: &str, config: &str) -> String {
        let mut contents = self.contents();
        let config_digest = format!("sha256:{}", hex_digest(config.as_bytes()));
        contents.blobs.insert(config_digest.clone(), config.as_bytes().to_vec());
        let manifest = format!(
            r#"{{"schemaVersion": 2, "mediaType": "{MANIFEST}", "config": {{"digest": "{config_digest}"}}, "layers": []}}"#
        );
        contents.put_manifest(reference, MANIFEST, manifest.into_bytes())
    }
}

impl Contents {
    /// Puts a manifest under its name and its digest.
    pub(in crate::docker) fn put_manifest(&mut self, reference: &str, content_type: &str, bytes: Vec<u8>) -> String {
        let digest = format!("sha256:{}", hex_digest(&bytes));
        let (repository, _) = reference.rsplit_once('/').unwrap();
        self.manifests.insert(format!("{repository}/{digest}"), (content_type.to_owned(), bytes.clone()));
        self.manifests.insert(reference.to_owned(), (content_type.to_owned(), bytes));
        digest
    }
}

async fn answer(State(shared): State<Shared>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    match reply(&shared, &method, &uri, &headers, body) {
        Some(reply) => reply,
        None => std::future::pending().await,
    }
}

/// What it answers, if it does.
fn reply(shared: &Shared, method: &Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Option<Response> {
    let mut contents = shared.contents.lock().unwrap();
    let path = uri.path().to_owned();
    contents.requests.push(format!("{method} {uri}"));
    if path == "/token" {
        return Some(token(shared, &contents, uri, headers));
    }
    if let Some(refusal) = challenge(shared, &contents, headers) {
        return Some(refusal);
    }
    if contents.read_only && !matches!(*method, Method::GET | Method::HEAD) {
        // In words of its own: the engine tries for a minute when they are the specification's.
        let body = r#"{"errors": [{"code": "DENIED", "message": "permission_denied: write_package"}]}"#;
        return Some(respond(403, &[], body));
    }
    Some(match contents.faults.pop_front() {
        None | Some(Fault::None) => store(&mut contents, method, &path, uri.query().unwrap_or_default(), headers, body),
        Some(Fault::Status(status, body)) => respond(status, &[], body),
        Some(Fault::Busy(status, pause)) => {
            let body = r#"{"errors": [{"code": "TOOMANYREQUESTS", "message": "slow down"}]}"#;
            respond(status, &[("retry-after", pause)], body)
        }
        Some(Fault::Truncated) => {
            let parts = [Ok(Bytes::from_static(b"{\"schema")), Err(std::io::Error::other("broken off"))];
            let response = Response::builder().header("content-length", "1000").header("content-type", MANIFEST);
            response.body(Body::from_stream(futures::stream::iter(parts))).unwrap()
        }
        Some(Fault::Silent) => return None,
        Some(Fault::Dripping) => {
            let drop = |()| async {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                Some((Ok::<_, std::io::Error>(Bytes::from_static(b" ")), ()))
            };
            let response = Response::builder().header("content-type", MANIFEST);
            response.body(Body::from_stream(futures::stream::unfold((), drop))).unwrap()
        }
    })
}

fn token(shared: &Shared, contents: &Contents, uri: &Uri, headers: &HeaderMap) -> Response {
    assert!(
        uri.query().unwrap().contains("service=fake") && uri.query().unwrap().contains("scope=repository%3A"),
        "{uri}"
    );
    let is_me = headers.get("authorization").is_some_and(is_login);
    let is_allowed =
        is_me || (shared.auth == Auth::Token { anonymous: true } && !headers.contains_key("authorization"));
    if is_allowed {
        respond(200, &[], format!(r#"{{"token": "t{}"}}"#, contents.token))
    } else {
        respond(401, &[], "{}")
    }
}

fn is_login(header: &http::HeaderValue) -> bool {
    header.to_str().unwrap() == format!("Basic {}", BASE64_STANDARD.encode("me:secret"))
}

fn challenge(shared: &Shared, contents: &Contents, headers: &HeaderMap) -> Option<Response> {
    let given = headers.get("authorization");
    let (is_allowed, challenge) = match shared.auth {
        Auth::None => (true, String::new()),
        Auth::Basic => (given.is_some_and(is_login), "Basic realm=\"fake\"".to_owned()),
        Auth::Token { .. } => {
            let wanted = format!("Bearer t{}", contents.token);
            (
                given.is_some_and(|given| given.to_str().unwrap() == wanted),
                format!("Bearer realm=\"http://{}/token\",service=\"fake\"", shared.host),
            )
        }
    };
    (!is_allowed).then(|| {
        respond(
            401,
            &[("www-authenticate", &challenge)],
            r#"{"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}"#,
        )
    })
}

fn store(
    contents: &mut Contents,
    method: &Method,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    let not_found =
        || respond(404, &[], r#"{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}"#);
    let Some(path) = path.strip_prefix("/v2/").filter(|path| !path.is_empty()) else { return respond(200, &[], "{}") };
    if let Some((repository, reference)) = path.split_once("/manifests/") {
        let reference = format!("{repository}/{reference}");
        if method == Method::PUT {
            let digest = contents.put_manifest(&reference, headers["content-type"].to_str().unwrap(), body.to_vec());
            return respond(201, &[("docker-content-digest", &digest)], "");
        }
        let Some((content_type, bytes)) = contents.manifests.get(&reference) else { return not_found() };
        let digest = contents.claimed_digest.clone().unwrap_or_else(|| format!("sha256:{}", hex_digest(bytes)));
        let mut headers = vec![("content-type", content_type.as_str())];
        if !digest.is_empty() {
            headers.push(("docker-content-digest", &digest));
        }
        return respond(200, &headers, bytes.clone());
    }
    if let Some((repository, upload)) = path.split_once("/blobs/uploads/") {
        let id = if upload.is_empty() { contents.uploads.len().to_string() } else { upload.to_owned() };
        if method == Method::DELETE {
            return respond(if contents.uploads.remove(&id).is_some() { 204 } else { 404 }, &[], "");
        }
        contents.uploads.entry(id.clone()).or_default().extend_from_slice(&body);
        if let Some(digest) =
            query.split('&').find_map(|pair| pair.strip_prefix("digest=")).filter(|_| method == Method::PUT)
        {
            let bytes = contents.uploads.remove(&id).unwrap();
            contents.blobs.insert(digest.replace("%3A", ":"), bytes);
            return respond(201, &[], "");
        }
        let size = contents.uploads[&id].len();
        return respond(
            202,
            &[
                ("location", &format!("/v2/{repository}/blobs/uploads/{id}")),
                ("range", &format!("0-{}", size.saturating_sub(1))),
                ("docker-upload-uuid", &id),
            ],
            "",
        );
    }
    let blob = path.split_once("/blobs/").and_then(|(_, digest)| contents.blobs.get(digest));
    blob.map_or_else(not_found, |bytes| respond(200, &[("content-length", &bytes.len().to_string())], bytes.clone()))
}

fn respond(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Response {
    let response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    headers
        .iter()
        .fold(response, |response, (name, value)| response.header(*name, *value))
        .body(Body::from(body.into()))
        .unwrap()
}
