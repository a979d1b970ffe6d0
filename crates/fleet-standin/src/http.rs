//! HTTP/1.1 over TCP and unix sockets: plain, so that a start costs no TLS.

use std::fmt;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::client::legacy::{self, Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
}

/// An endpoint that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadEndpoint {
    /// As fleetctl says it.
    #[error("URL scheme undefined")]
    NoScheme,
    /// Such as `unix://var/run/fleet.sock`, with two slashes instead of three.
    #[error("unable to connect to host {host:?} with scheme {scheme:?}")]
    UnixHost {
        /// What stands where no host may stand.
        host: String,
        /// `unix` or `file`.
        scheme: String,
    },
    /// TLS and the like.
    #[error("the lab's fleet stand-in speaks plain http and unix only, not `{0}`")]
    Unsupported(String),
}

/// A request that got no answer, in the words of Go's dialer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// Nobody there.
    #[error("dial {network} {address}: connect: {}", go_words(.error))]
    Dial {
        /// `tcp` or `unix`.
        network: &'static str,
        /// The endpoint.
        address: String,
        /// What the system says.
        error: io::Error,
    },
    /// The connection broke.
    #[error("{0}")]
    Broken(#[from] hyper::Error),
    /// A connection that was kept open broke.
    #[error("{0}")]
    Ended(legacy::Error),
}

/// Connections that stay open between requests, as those of fleet's client do.
#[derive(Clone, Debug)]
pub struct Connections(Client<HttpConnector, Full<Bytes>>);

impl Default for Connections {
    fn default() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }
}

impl Connections {
    async fn send(
        &self,
        address: &str,
        method: Method,
        path: &str,
        body: Option<(&str, String)>,
    ) -> Result<Response<Bytes>, NoAnswer> {
        let request = request(&format!("http://{address}{path}"), method, body);
        let answer = self.0.request(request).await.map_err(|error| match refused(&error) {
            Some(error) => NoAnswer::Dial { network: "tcp", address: address.to_owned(), error },
            None => NoAnswer::Ended(error),
        })?;
        let (head, body) = answer.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }
}

/// What the system says of a connection that it does not make.
fn refused(error: &legacy::Error) -> Option<io::Error> {
    if !error.is_connect() {
        return None;
    }
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(io::Error::new(error.kind(), error.to_string()));
        }
        source = error.source();
    }
    None
}

impl Endpoint {
    /// Reads `http://host:port` or `unix:///path`.
    ///
    /// # Errors
    /// No scheme, or one that is not supported.
    pub fn parse(url: &str) -> Result<Self, BadEndpoint> {
        let (scheme, rest) = url.split_once("://").ok_or(BadEndpoint::NoScheme)?;
        match scheme {
            "unix" | "file" if rest.starts_with('/') => Ok(Self::Unix(rest.into())),
            "unix" | "file" => Err(BadEndpoint::UnixHost {
                host: rest.split('/').next().unwrap_or_default().to_owned(),
                scheme: scheme.to_owned(),
            }),
            "http" => {
                let authority = rest.split('/').next().unwrap_or_default();
                let port = if authority.contains(':') { "" } else { ":80" };
                Ok(Self::Tcp(format!("{authority}{port}")))
            }
            _ => Err(BadEndpoint::Unsupported(url.to_owned())),
        }
    }

    /// Sends one request on a connection of its own and reads the whole answer. `body` comes with its content type.
    ///
    /// # Errors
    /// Only when there is no answer at all; every status is an answer.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, String)>,
    ) -> Result<Response<Bytes>, NoAnswer> {
        let dial = |network, address: &dyn fmt::Display| {
            let address = address.to_string();
            move |error| NoAnswer::Dial { network, address, error }
        };
        match self {
            Self::Unix(path_to) => {
                let stream = UnixStream::connect(path_to).await.map_err(dial("unix", &path_to.display()))?;
                send(stream, "domain-sock", method, path, body).await
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(dial("tcp", address))?;
                send(stream, address, method, path, body).await
            }
        }
    }
}

impl Endpoint {
    /// The same on one of `connections`, where the endpoint is no unix socket.
    ///
    /// # Errors
    /// Only when there is no answer at all; every status is an answer.
    pub async fn request_on(
        &self,
        connections: &Connections,
        method: Method,
        path: &str,
        body: Option<(&str, String)>,
    ) -> Result<Response<Bytes>, NoAnswer> {
        match self {
            Self::Unix(_) => self.request(method, path, body).await,
            Self::Tcp(address) => connections.send(address, method, path, body).await,
        }
    }
}

impl fmt::Display for Endpoint {
    /// As fleetctl prints it in its errors: it never says which socket it dials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(_) => f.write_str("http://domain-sock"),
            Self::Tcp(address) => write!(f, "http://{address}"),
        }
    }
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    method: Method,
    path: &str,
    body: Option<(&str, String)>,
) -> Result<Response<Bytes>, NoAnswer> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut request = request(path, method, body);
    if let Ok(host) = host.parse() {
        request.headers_mut().insert(http::header::HOST, host);
    }
    let exchange = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    };
    // The connection does the work; it may well end before the answer has been read out of it.
    tokio::pin!(connection, exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        ended = &mut connection => {
            ended?;
            exchange.await
        }
    }
}

fn request(uri: &str, method: Method, body: Option<(&str, String)>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.method_mut() = method;
    if let Ok(uri) = uri.parse() {
        *request.uri_mut() = uri;
    }
    if let Some((kind, text)) = body {
        if let Ok(kind) = kind.parse() {
            request.headers_mut().insert(http::header::CONTENT_TYPE, kind);
        }
        *request.body_mut() = Full::new(text.into());
    }
    request
}

/// Go's name for what the system says, where it matters to those who read fleetctl's errors.
fn go_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// `text` for a path segment or a form field.
#[must_use]
pub fn encode(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
