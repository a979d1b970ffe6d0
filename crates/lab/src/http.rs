//! Blocking HTTP to the lab's parts.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest wait for a connection: what is there accepts at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest wait for one answer. Everything is on this machine.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A client whose calls block, for tests and commands that are not asynchronous themselves.
#[derive(Debug)]
pub(crate) struct Http {
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

impl Http {
    /// A client that goes to the lab directly, whatever proxy the machine has.
    pub(crate) fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("starting an asynchronous runtime")?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .user_agent("skipper-lab")
            .build()
            .context("making an HTTP client")?;
        Ok(Self { runtime, client })
    }

    /// GET.
    pub(crate) fn get(&self, url: &str) -> Result<Answer> {
        self.send(url, self.client.get(url))
    }

    /// POST of `body` as JSON.
    pub(crate) fn post(&self, url: &str, body: &(impl Serialize + ?Sized)) -> Result<Answer> {
        self.send(url, self.client.post(url).json(body))
    }

    /// DELETE.
    pub(crate) fn delete(&self, url: &str) -> Result<Answer> {
        self.send(url, self.client.delete(url))
    }

    /// GET with one more header.
    pub(crate) fn get_with(&self, url: &str, name: &str, value: &str) -> Result<Answer> {
        self.send(url, self.client.get(url).header(name, value))
    }

    /// The bytes at an address anywhere, by way of the machine's proxy if it has one.
    pub(crate) fn download(&self, url: &str) -> Result<Vec<u8>> {
        self.runtime.block_on(async {
            let bytes = reqwest::get(url)
                .await
                .and_then(reqwest::Response::error_for_status)
                .with_context(|| format!("downloading `{url}`"))?
                .bytes()
                .await
                .with_context(|| format!("downloading `{url}`"))?;
            Ok(bytes.to_vec())
        })
    }

    fn send(&self, url: &str, request: reqwest::RequestBuilder) -> Result<Answer> {
        self.runtime.block_on(async {
            let response = request.send().await.with_context(|| format!("asking `{url}`"))?;
            let status = response.status().as_u16();
            let body = response.text().await.with_context(|| format!("reading the answer of `{url}`"))?;
            Ok(Answer { status, body })
        })
    }
}

impl Answer {
    /// The answer, when its status says success.
    ///
    /// # Errors
    /// When it does not.
    pub fn success(self) -> Result<Self> {
        if !(200..300).contains(&self.status) {
            bail!("it answered {}: {}", self.status, self.body.trim_end());
        }
        Ok(self)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none, or of another shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.body).with_context(|| format!("reading `{}` as JSON", self.body.trim_end()))
    }
}
