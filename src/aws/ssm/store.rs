//! Records and secrets in Parameter Store.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_ssm::{
    operation::put_parameter::builders::PutParameterFluentBuilder,
    types::{ParameterTier, ParameterType},
};
use skipper_core::secret::Secret;
use skipper_deploy::ports::{PortResult, Store, StoredSecret};

use crate::aws::error::Asked;

/// Parameters a page; the most that Parameter Store takes.
const PAGE: i32 = 10;
/// Parameters that one call removes at most.
const MOST_REMOVED: usize = 10;

/// The `Store` port: Parameter Store, one parameter a value, under absolute paths such as `/skipper/demo/production/launches`.
pub struct ParameterStore {
    pub(in crate::aws) ssm: aws_sdk_ssm::Client,
    pub(in crate::aws) region: String,
}

#[async_trait(?Send)]
impl Store for ParameterStore {
    async fn read(&self, path: &str) -> PortResult<BTreeMap<String, String>> {
        let asked = Asked::reads(&self.region, "ssm:GetParametersByPath", format!("`{path}`"));
        let mut pages =
            self.ssm.get_parameters_by_path().path(path).recursive(true).into_paginator().page_size(PAGE).send();
        let mut values = BTreeMap::new();
        while let Some(page) = pages.next().await {
            for parameter in page.map_err(|error| asked.failed(&error))?.parameters() {
                if let (Some(name), Some(value)) = (parameter.name(), parameter.value()) {
                    let key = name.strip_prefix(path).unwrap_or(name).trim_start_matches('/');
                    values.insert(key.to_owned(), value.to_owned());
                }
            }
        }
        Ok(values)
    }

    async fn write(&self, path: &str, value: &str) -> PortResult<()> {
        let asked = Asked::changes(&self.region, "ssm:PutParameter", format!("`{path}`"));
        self.put(path, value).overwrite(true).send().await.map(drop).map_err(|error| asked.failed(&error))
    }

    async fn create(&self, path: &str, value: &str) -> PortResult<bool> {
        let asked = Asked::changes(&self.region, "ssm:PutParameter", format!("`{path}`"));
        match self.put(path, value).overwrite(false).send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_parameter_already_exists()) => {
                Ok(false)
            }
            Err(error) => Err(asked.failed(&error)),
        }
    }

    async fn secrets(&self, path: &str, reveal: bool) -> PortResult<BTreeMap<String, StoredSecret>> {
        let asked = Asked::reads(&self.region, "ssm:GetParametersByPath", format!("`{path}`"));
        let request = self.ssm.get_parameters_by_path().path(path).with_decryption(reveal);
        let mut pages = request.into_paginator().page_size(PAGE).send();
        let mut secrets = BTreeMap::new();
        while let Some(page) = pages.next().await {
            for parameter in page.map_err(|error| asked.failed(&error))?.parameters() {
                let Some(name) = parameter.name() else { continue };
                let key = name.rsplit('/').next().unwrap_or(name).to_owned();
                let value = parameter.value().filter(|_| reveal).map(Secret::new);
                let version = u64::try_from(parameter.version()).unwrap_or_default();
                secrets.insert(key, StoredSecret { version, value });
            }
        }
        Ok(secrets)
    }

    async fn write_secret(&self, path: &str, value: &Secret) -> PortResult<u64> {
        let asked = Asked::changes(&self.region, "ssm:PutParameter", format!("`{path}`"));
        let put = self.put(path, value.expose()).r#type(ParameterType::SecureString).overwrite(true).send().await;
        let version = put.map_err(|error| asked.failed(&error))?.version();
        Ok(u64::try_from(version).unwrap_or_default())
    }

    async fn remove(&self, paths: &[String]) -> PortResult<()> {
        for some in paths.chunks(MOST_REMOVED) {
            let asked = Asked::changes(&self.region, "ssm:DeleteParameters", format!("`{}`", some.join("`, `")));
            let names = Some(some.to_vec());
            self.ssm.delete_parameters().set_names(names).send().await.map_err(|error| asked.failed(&error))?;
        }
        Ok(())
    }
}

impl ParameterStore {
    fn put(&self, path: &str, value: &str) -> PutParameterFluentBuilder {
        // Intelligent tiering pays for the advanced tier only when a value is over its 4 KB limit.
        let tier = ParameterTier::IntelligentTiering;
        self.ssm.put_parameter().name(path).value(value).r#type(ParameterType::String).tier(tier)
    }
}
