//! The few calls of etcd's v2 keys API that fleet makes.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use serde::Deserialize;

use crate::http::{BadEndpoint, Connections, Endpoint, NoAnswer, encode};

const KEY_NOT_FOUND: u32 = 100;
const KEY_EXISTS: u32 = 105;

/// A client of one cluster.
#[derive(Clone, Debug)]
pub struct Etcd {
    endpoints: Vec<Endpoint>,
    connections: Connections,
    timeout: Duration,
}

/// What went wrong, in the words of etcd's Go client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// etcd answered with a refusal.
    #[error("{code}: {message} ({cause}) [{index}]")]
    Refused {
        /// etcd's error code.
        code: u32,
        /// Its meaning.
        message: String,
        /// Mostly the key.
        cause: String,
        /// etcd's index at that time.
        index: u64,
    },
    /// No endpoint answered.
    #[error("client: etcd cluster is unavailable or misconfigured; {0}")]
    Unavailable(String),
    /// Something that is not etcd answered.
    #[error("client: response is invalid json. The endpoint is probably not valid etcd cluster endpoint.")]
    NotEtcd,
}

impl Error {
    /// Whether a key that was to be new is there already.
    #[must_use]
    pub fn is_exists(&self) -> bool {
        matches!(self, Self::Refused { code: KEY_EXISTS, .. })
    }

    fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { code: KEY_NOT_FOUND, .. })
    }
}

/// A key with its value, or a directory with its nodes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Node {
    /// The whole key.
    pub key: String,
    /// Empty for a directory.
    pub value: String,
    /// Empty for a key.
    pub nodes: Vec<Self>,
}

impl Node {
    /// The last part of the key.
    #[must_use]
    pub fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or_default()
    }

    /// The value of the key `name` in this directory.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&str> {
        self.nodes.iter().find(|node| node.name() == name).map(|node| &*node.value)
    }
}

/// What was found, and when.
#[derive(Debug)]
pub struct Found {
    /// Nothing when the key does not exist.
    pub node: Option<Node>,
    /// etcd's index at the time of reading.
    pub index: u64,
}

/// What has to hold for a key to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Always,
    /// It is not there yet.
    New,
    /// It is there.
    Known,
}

impl Etcd {
    /// A client that tries `urls` in order and gives each `timeout`.
    ///
    /// # Errors
    /// An URL that cannot be used.
    pub fn new<'a>(urls: impl IntoIterator<Item = &'a str>, timeout: Duration) -> Result<Self, BadEndpoint> {
        Ok(Self {
            endpoints: urls.into_iter().map(Endpoint::parse).collect::<Result<_, _>>()?,
            connections: Connections::default(),
            timeout,
        })
    }

    /// Reads `key` with everything below it; `quorum` asks the cluster and not only the member that answers.
    ///
    /// # Errors
    /// Anything but a missing key.
    pub async fn get(&self, key: &str, quorum: bool) -> Result<Found, Error> {
        let path = format!("{}?recursive=true&sorted=true&quorum={quorum}", path(key));
        match self.call(Method::GET, &path, None, Some(self.timeout)).await {
            Ok((node, index)) => Ok(Found { node: Some(node), index }),
            Err(Error::Refused { code: KEY_NOT_FOUND, index, .. }) => Ok(Found { node: None, index }),
            Err(error) => Err(error),
        }
    }

    /// Sets `key`, to be forgotten after `ttl` if given (etcd counts in seconds).
    ///
    /// # Errors
    /// [`Error::is_exists`] for [`Condition::New`], and anything else.
    pub async fn set(&self, key: &str, value: &str, condition: Condition, ttl: Option<Duration>) -> Result<(), Error> {
        let mut query = Vec::new();
        match condition {
            Condition::Always => {}
            Condition::New => query.push("prevExist=false".to_owned()),
            Condition::Known => query.push("prevExist=true".to_owned()),
        }
        if let Some(ttl) = ttl {
            query.push(format!("ttl={}", ttl.as_secs().max(1)));
        }
        let body = ("application/x-www-form-urlencoded", format!("value={}", encode(value)));
        let path = format!("{}?{}", path(key), query.join("&"));
        self.call(Method::PUT, &path, Some(body), Some(self.timeout)).await.map(drop)
    }

    /// Deletes `key` with everything below it; says whether it was there.
    ///
    /// # Errors
    /// Anything but a missing key.
    pub async fn delete(&self, key: &str) -> Result<bool, Error> {
        let path = format!("{}?recursive=true", path(key));
        match self.call(Method::DELETE, &path, None, Some(self.timeout)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns when `key` or something below it has changed after `index`.
    ///
    /// # Errors
    /// Also when etcd no longer knows what happened after `index`.
    pub async fn changed(&self, key: &str, index: u64) -> Result<(), Error> {
        let path = format!("{}?wait=true&recursive=true&waitIndex={}", path(key), index + 1);
        self.call(Method::GET, &path, None, None).await.map(drop)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, String)>,
        timeout: Option<Duration>,
    ) -> Result<(Node, u64), Error> {
        let mut failures = Vec::new();
        for (number, endpoint) in self.endpoints.iter().enumerate() {
            let request = endpoint.request_on(&self.connections, method.clone(), path, body.clone());
            let answer: Result<_, NoAnswer> = match timeout {
                None => request.await,
                Some(timeout) => match tokio::time::timeout(timeout, request).await {
                    Ok(answer) => answer,
                    Err(_) => {
                        failures
                            .push(format!("error #{number}: client: endpoint {endpoint} exceeded header timeout\n"));
                        continue;
                    }
                },
            };
            match answer {
                Ok(answer) => return read(&answer),
                Err(error) => failures.push(format!("error #{number}: {error}\n")),
            }
        }
        Err(Error::Unavailable(failures.join("; ")))
    }
}

fn path(key: &str) -> String {
    let key: Vec<String> = key.split('/').filter(|part| !part.is_empty()).map(encode).collect();
    format!("/v2/keys/{}", key.join("/"))
}

fn read(answer: &Response<Bytes>) -> Result<(Node, u64), Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Body {
        #[serde(rename_all = "camelCase")]
        Refused {
            error_code: u32,
            message: String,
            cause: String,
            index: u64,
        },
        Done {
            node: Node,
        },
    }
    let index = answer.headers().get("x-etcd-index").and_then(|index| index.to_str().ok()?.parse().ok());
    match serde_json::from_slice(answer.body()) {
        Ok(Body::Refused { error_code: code, message, cause, index }) => {
            Err(Error::Refused { code, message, cause, index })
        }
        Ok(Body::Done { node }) => Ok((node, index.unwrap_or_default())),
        Err(_) => Err(Error::NotEtcd),
    }
}
