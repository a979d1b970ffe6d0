//! Requests to registries: where they are, who asks, and what is tried again.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::IpAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use backon::{ExponentialBuilder, Retryable};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, StatusCode, header};
use reqwest::{Client, RequestBuilder, Response, Url};
use skipper_core::{image::Repository, secret::Secret};
use skipper_deploy::ports::{Login, PortError, PortErrorKind, PortResult};

use super::{
    authorization::{Challenge, TokenReply},
    documents::{detail, pause_of},
    refusal::{Detail, TransportError},
};
use crate::docker::{
    credentials::Credentials,
    trouble::{described, failed},
};

/// Tries after the first, of what is worth another try.
const MORE_TRIES: usize = 4;
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// The distribution specification's limit for manifests; image configurations are smaller.
const LARGEST: usize = 4 * 1024 * 1024;

/// How patient a client is: what a call may take, whatever a registry does, is the sum of `tries` and `answer`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// For the next byte to arrive.
    pub silence: Duration,
    /// For one answer, from the request to its last byte.
    pub answer: Duration,
    /// No other try begins when this has passed since the first began.
    pub tries: Duration,
    /// The pause before the second try; it doubles.
    pub first_pause: Duration,
    /// The longest pause that a registry is granted when it asks for one.
    pub longest_pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(20),
            answer: Duration::from_secs(60),
            tries: Duration::from_secs(60),
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(20),
        }
    }
}

/// What a call may do; asked for when a registry gives out tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    Pull,
    Push,
}

/// One request.
pub(super) struct Call<'a> {
    pub method: Method,
    pub repository: &'a Repository,
    /// Below the repository: `manifests/7`.
    pub path: String,
    pub access: Access,
    pub accept: &'a str,
    /// What is sent, and its content type.
    pub body: Option<(String, Bytes)>,
}

/// One answer, wholly read. Never one that says who may do what, or that another try may help.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: StatusCode,
    pub content_type: Option<String>,
    /// The digest that the registry names.
    pub digest: Option<String>,
    /// Where to go on.
    pub location: Option<String>,
    pub bytes: Bytes,
}

/// Reaches registries, logs in where asked to and remembers it for the run.
#[derive(Debug)]
pub(super) struct Transport {
    client: Client,
    /// For registries that no proxy stands in front of: this machine's, and those with an address of their own.
    direct: Client,
    endpoints: BTreeMap<String, Url>,
    credentials: Rc<Credentials>,
    pace: Pace,
    authorizations: RefCell<BTreeMap<(Repository, Access), Secret>>,
}

impl Transport {
    pub(super) fn new(
        credentials: Rc<Credentials>,
        endpoints: BTreeMap<String, String>,
        pace: Pace,
    ) -> PortResult<Self> {
        let builder = || {
            Client::builder()
                .user_agent(concat!("skipper/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_WITHIN)
                .read_timeout(pace.silence)
                .timeout(pace.answer)
        };
        let unusable = |error: reqwest::Error| {
            let mut error = described(PortErrorKind::Other, &error.without_url());
            error.failure = error.failure.during("set up the registry client");
            error
        };
        let parse = |(registry, address): (String, String)| match address.parse::<Url>() {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok((registry, url)),
            _ => Err(failed(PortErrorKind::Invalid, format!("read the address `{address}` of registry `{registry}`"))
                .hint("write it as `http://host:port` or `https://host:port`")),
        };
        Ok(Self {
            client: builder().build().map_err(unusable)?,
            direct: builder().no_proxy().build().map_err(unusable)?,
            endpoints: endpoints.into_iter().map(parse).collect::<PortResult<_>>()?,
            credentials,
            pace,
            authorizations: RefCell::default(),
        })
    }

    /// Makes a call, again where that may help.
    pub(super) async fn call(&self, call: &Call<'_>, operation: &str) -> PortResult<Reply> {
        let began = Instant::now();
        let pauses = ExponentialBuilder::default()
            .with_min_delay(self.pace.first_pause)
            .with_max_times(MORE_TRIES)
            .with_jitter();
        let tried = || self.attempt(call);
        let result = tried.retry(pauses).when(TransportError::is_passing).adjust(|error, pause| {
            // No pause means that the tries are used up.
            let asked = pause.and(error.pause());
            let pause = asked.or(pause).filter(|pause| *pause <= self.pace.longest_pause)?;
            (began.elapsed() + pause < self.pace.tries).then_some(pause)
        });
        result.await.map_err(|error| self.port_error(&error, call.repository, operation))
    }

    fn port_error(&self, error: &TransportError, repository: &Repository, operation: &str) -> PortError {
        let mut described = described(error.kind(), error);
        described.failure = described.failure.during(operation);
        let hint = match described.kind {
            PortErrorKind::Denied => self.credentials.hint_for(repository),
            _ => error.hint(repository),
        };
        hint.into_iter().fold(described, PortError::hint)
    }

    async fn attempt(&self, call: &Call<'_>) -> Result<Reply, TransportError> {
        let key = (call.repository.clone(), call.access);
        let known = self.authorizations.borrow().get(&key).cloned();
        let response = self.send(call, known.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return self.read(response).await;
        }
        // Not asked yet, or the token has expired.
        let challenge = Challenge::of(response.headers().get_all(header::WWW_AUTHENTICATE).iter())
            .ok_or(TransportError::Challenge)?;
        let authorization = self.authorize(call, challenge).await?;
        let response = self.send(call, Some(&authorization)).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            return Err(self.refused_login(call.repository));
        }
        self.authorizations.borrow_mut().insert(key, authorization);
        self.read(response).await
    }

    async fn send(&self, call: &Call<'_>, authorization: Option<&Secret>) -> Result<Response, TransportError> {
        let (client, base) = self.endpoint(call.repository)?;
        let url =
            base.join(&format!("/v2/{}/{}", call.repository.path(), call.path)).map_err(|_| TransportError::Address)?;
        let mut request = client.request(call.method.clone(), url).header(header::ACCEPT, call.accept);
        if let Some(authorization) = authorization {
            request = with_authorization(request, authorization);
        }
        if let Some((content_type, bytes)) = &call.body {
            request = request.header(header::CONTENT_TYPE, content_type).body(bytes.clone());
        }
        request.send().await.map_err(|error| self.unanswered(error))
    }

    /// Answers a challenge.
    async fn authorize(&self, call: &Call<'_>, challenge: Challenge) -> Result<Secret, TransportError> {
        let login = self.credentials.of(call.repository);
        let (realm, service) = match challenge {
            Challenge::Basic => return login.map(basic).ok_or(TransportError::LoginMissing),
            Challenge::Bearer { realm, service } => (realm, service),
        };
        let (client, base) = self.endpoint(call.repository)?;
        if login.is_some() && realm.scheme() != "https" && base.scheme() == "https" {
            return Err(TransportError::Realm(realm));
        }
        let actions = match call.access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        let scope = format!("repository:{}:{actions}", call.repository.path());
        let mut request = client.get(realm).query(&[("scope", &scope)]);
        if let Some(service) = &service {
            request = request.query(&[("service", service)]);
        }
        if let Some(login) = login {
            request = with_authorization(request, &basic(login));
        }
        let response = request.send().await.map_err(|error| self.unanswered(error))?;
        if response.status() == StatusCode::UNAUTHORIZED {
            return Err(self.refused_login(call.repository));
        }
        let reply = self.read(response).await?;
        let token = serde_json::from_slice(&reply.bytes).ok().and_then(TokenReply::into_authorization);
        token.ok_or(TransportError::NoToken)
    }

    fn refused_login(&self, repository: &Repository) -> TransportError {
        match self.credentials.of(repository) {
            Some(login) => TransportError::LoginRefused(login.username.clone()),
            None => TransportError::LoginMissing,
        }
    }

    /// Reads an answer to its end and tells refusals and passing trouble from what the caller asked for.
    async fn read(&self, mut response: Response) -> Result<Reply, TransportError> {
        let status = response.status();
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let content_type =
            text("content-type").map(|text| text.split(';').next().unwrap_or_default().trim().to_owned());
        let (digest, location) = (text("docker-content-digest"), text("location"));
        let pause = text("retry-after");
        let pause = pause.and_then(|header| pause_of(&header, jiff::Timestamp::now()));
        let mut bytes = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unanswered(error))? {
            if bytes.len() + chunk.len() > LARGEST {
                return Err(TransportError::TooLarge(LARGEST));
            }
            bytes.extend_from_slice(&chunk);
        }
        let reply = Reply { status, content_type, digest, location, bytes: bytes.freeze() };
        match status {
            StatusCode::FORBIDDEN => Err(TransportError::Forbidden(status, Detail(detail(&reply.bytes)))),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Err(TransportError::Busy { status, pause, detail: Detail(detail(&reply.bytes)) })
            }
            status if status.is_server_error() => {
                Err(TransportError::Busy { status, pause, detail: Detail(detail(&reply.bytes)) })
            }
            _ => Ok(reply),
        }
    }

    fn unanswered(&self, error: reqwest::Error) -> TransportError {
        // The connection has its own time, which is the shortest.
        match error.is_timeout() && !error.is_connect() {
            true => TransportError::Silent(self.pace.silence.min(self.pace.answer)),
            false => TransportError::unreachable(&error),
        }
    }

    /// Where a registry is, and whether a proxy may stand in between.
    fn endpoint(&self, repository: &Repository) -> Result<(&Client, Url), TransportError> {
        let registry = repository.registry();
        if let Some(url) = self.endpoints.get(registry) {
            return Ok((&self.direct, url.clone()));
        }
        let (client, address) = match registry {
            // The name in configuration files; the API is elsewhere.
            _ if repository.is_docker_hub() => (&self.client, "https://registry-1.docker.io".to_owned()),
            // As the engine does, which takes these without TLS.
            loopback if is_loopback(loopback) => (&self.direct, format!("http://{loopback}")),
            other => (&self.client, format!("https://{other}")),
        };
        Ok((client, address.parse().map_err(|_| TransportError::Address)?))
    }
}

/// The `Authorization` header that a user name and password make.
fn basic(login: &Login) -> Secret {
    Secret::new(format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", login.username, login.password.expose()))))
}

fn with_authorization(request: RequestBuilder, authorization: &Secret) -> RequestBuilder {
    match HeaderValue::try_from(authorization.expose()) {
        Ok(mut value) => {
            value.set_sensitive(true);
            request.header(header::AUTHORIZATION, value)
        }
        // A token with line ends in it is nothing a registry gives out: without it, it refuses.
        Err(_) => request,
    }
}

/// Whether a registry's name is this machine's: `localhost` or an address of its own.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => registry,
    };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_of_this_machine_are_known() {
        for loopback in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.213.7.1:5000", "127.0.0.1", "[::1]:5000"]
        {
            assert!(is_loopback(loopback), "{loopback}");
        }
        for other in ["ghcr.io", "10.0.0.1:5000", "localhost.example:5000", "[2001:db8::1]:5000", "index.docker.io"] {
            assert!(!is_loopback(other), "{other}");
        }
    }

    #[test]
    fn each_registry_is_asked_where_it_is() {
        let endpoints = BTreeMap::from([("127.213.7.1:5000".to_owned(), "http://10.213.7.3:5000".to_owned())]);
        let transport = Transport::new(Rc::default(), endpoints, Pace::default()).unwrap();
        let endpoint =
            |registry: &str| transport.endpoint(&Repository::new(registry, "web").unwrap()).unwrap().1.to_string();
        assert_eq!(endpoint("index.docker.io"), "https://registry-1.docker.io/");
        assert_eq!(endpoint("ghcr.io"), "https://ghcr.io/");
        assert_eq!(endpoint("127.213.7.2:5000"), "http://127.213.7.2:5000/");
        assert_eq!(endpoint("127.213.7.1:5000"), "http://10.213.7.3:5000/");
    }

    #[test]
    fn a_wrong_address_is_refused_before_anything_is_asked() {
        let error = Transport::new(
            Rc::default(),
            BTreeMap::from([("a.example".to_owned(), "10.0.0.1:5000".to_owned())]),
            Pace::default(),
        )
        .unwrap_err();
        assert_eq!(error.failure.message, "read the address `10.0.0.1:5000` of registry `a.example`");
    }
}
