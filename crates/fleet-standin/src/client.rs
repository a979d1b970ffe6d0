//! A fleet as fleetctl sees it: through a fleetd's API, or straight through etcd.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;

use crate::etcd;
use crate::http::{Endpoint, NoAnswer, encode};
use crate::registry::{Job, JobState, Registry};
use crate::unit::UnitFile;
use crate::wire::{Machine, Page, Refusal, Unit, UnitState};

/// Why a call failed, in fleet's words.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The etcd driver.
    #[error("{0}")]
    Etcd(#[from] etcd::Error),
    /// Nobody answered the API driver.
    #[error("{verb} {url:?}: {error}")]
    NoAnswer {
        /// `Get`, `Put` or `Delete`.
        verb: &'static str,
        /// What was asked for.
        url: String,
        /// Why not.
        error: NoAnswer,
    },
    /// fleetd refused.
    #[error("googleapi: Error {status}: {message}")]
    Refused {
        /// Its status.
        status: u16,
        /// Its reason.
        message: String,
    },
    /// The unit to be destroyed is not there.
    #[error("job does not exist")]
    NoSuchUnit,
}

/// What fleetctl needs.
#[expect(async_fn_in_trait, reason = "one thread: no caller needs the futures to be Send")]
pub trait Fleet {
    /// Every machine.
    async fn machines(&self) -> Result<Vec<Machine>, Error>;
    /// Every unit.
    async fn units(&self) -> Result<Vec<Unit>, Error>;
    /// The unit `name`, if it exists.
    async fn unit(&self, name: &str) -> Result<Option<Unit>, Error>;
    /// What is known of every unit on every machine.
    async fn unit_states(&self) -> Result<Vec<UnitState>, Error>;
    /// Creates the unit `name`, or gives it another text.
    async fn create_unit(&self, name: &str, file: &UnitFile) -> Result<(), Error>;
    /// Asks for a state.
    async fn set_target(&self, name: &str, state: JobState) -> Result<(), Error>;
    /// Destroys the unit `name`.
    async fn destroy_unit(&self, name: &str) -> Result<(), Error>;
}

/// A unit of the registry as a list shows it: fleet calls every unit that its scheduler has not placed `inactive`, global ones too.
#[must_use]
pub fn listed(job: &Job) -> Unit {
    Unit { current_state: JobState::Inactive.to_string(), ..asked_for(job) }
}

/// A unit of the registry as it is shown when it is asked for by name: without a current state when it is global.
#[must_use]
pub fn asked_for(job: &Job) -> Unit {
    let state = if job.file.is_global() { String::new() } else { JobState::Inactive.to_string() };
    Unit {
        current_state: state,
        desired_state: job.target.map(|state| state.to_string()).unwrap_or_default(),
        name: job.name.clone(),
        options: job.file.options().to_vec(),
    }
}

impl Fleet for Registry {
    async fn machines(&self) -> Result<Vec<Machine>, Error> {
        Ok(self.machines().await?)
    }

    async fn units(&self) -> Result<Vec<Unit>, Error> {
        Ok(self.jobs().await?.0.iter().map(listed).collect())
    }

    async fn unit(&self, name: &str) -> Result<Option<Unit>, Error> {
        Ok(self.job(name).await?.as_ref().map(asked_for))
    }

    async fn unit_states(&self) -> Result<Vec<UnitState>, Error> {
        Ok(self.unit_states().await?)
    }

    async fn create_unit(&self, name: &str, file: &UnitFile) -> Result<(), Error> {
        Ok(self.create_job(name, file).await?)
    }

    async fn set_target(&self, name: &str, state: JobState) -> Result<(), Error> {
        Ok(self.set_target(name, state).await?)
    }

    async fn destroy_unit(&self, name: &str) -> Result<(), Error> {
        if self.destroy_job(name).await? { Ok(()) } else { Err(Error::NoSuchUnit) }
    }
}

/// A fleetd's API.
pub struct Api {
    endpoint: Endpoint,
}

impl Api {
    /// The API at `endpoint`.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Unit>) -> Result<Response<Bytes>, Error> {
        let verb = match method {
            Method::PUT => "Put",
            Method::DELETE => "Delete",
            _ => "Get",
        };
        let path = format!("/fleet/v1/{path}");
        let url = format!("{}{path}", self.endpoint);
        let body = body.map(|unit| ("application/json", serde_json::to_string(unit).unwrap_or_default()));
        let answer =
            self.endpoint.request(method, &path, body).await.map_err(|error| Error::NoAnswer { verb, url, error })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status().as_u16();
        let message = serde_json::from_slice::<Refusal>(answer.body()).map(|refusal| refusal.error.message);
        Err(Error::Refused { status, message: message.unwrap_or_default() })
    }

    async fn page(&self, list: &str, token: &str) -> Result<Page, Error> {
        let token = if token.is_empty() { String::new() } else { format!("&nextPageToken={}", encode(token)) };
        read(&self.call(Method::GET, &format!("{list}?alt=json{token}"), None).await?)
    }

    async fn all<T>(&self, list: &str, pick: impl Fn(Page) -> Vec<T>) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let page = self.page(list, &token).await?;
            token.clone_from(&page.next_page_token);
            all.extend(pick(page));
            if token.is_empty() {
                return Ok(all);
            }
        }
    }
}

fn read<T: DeserializeOwned>(answer: &Response<Bytes>) -> Result<T, Error> {
    serde_json::from_slice(answer.body())
        .map_err(|error| Error::Refused { status: answer.status().as_u16(), message: error.to_string() })
}

impl Fleet for Api {
    async fn machines(&self) -> Result<Vec<Machine>, Error> {
        self.all("machines", |page| page.machines).await
    }

    async fn units(&self) -> Result<Vec<Unit>, Error> {
        self.all("units", |page| page.units).await
    }

    async fn unit(&self, name: &str) -> Result<Option<Unit>, Error> {
        match self.call(Method::GET, &format!("units/{}?alt=json", encode(name)), None).await {
            Ok(answer) => read(&answer).map(Some),
            Err(Error::Refused { status, .. }) if status == StatusCode::NOT_FOUND.as_u16() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn unit_states(&self) -> Result<Vec<UnitState>, Error> {
        self.all("state", |page| page.states).await
    }

    async fn create_unit(&self, name: &str, file: &UnitFile) -> Result<(), Error> {
        let unit = Unit { name: name.to_owned(), options: file.options().to_vec(), ..Unit::default() };
        self.call(Method::PUT, &format!("units/{}?alt=json", encode(name)), Some(&unit)).await.map(drop)
    }

    async fn set_target(&self, name: &str, state: JobState) -> Result<(), Error> {
        let unit = Unit { name: name.to_owned(), desired_state: state.to_string(), ..Unit::default() };
        self.call(Method::PUT, &format!("units/{}?alt=json", encode(name)), Some(&unit)).await.map(drop)
    }

    async fn destroy_unit(&self, name: &str) -> Result<(), Error> {
        match self.call(Method::DELETE, &format!("units/{}?alt=json", encode(name)), None).await {
            Ok(_) => Ok(()),
            Err(Error::Refused { status, .. }) if status == StatusCode::NOT_FOUND.as_u16() => Err(Error::NoSuchUnit),
            Err(error) => Err(error),
        }
    }
}
