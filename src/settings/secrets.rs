//! The values of secrets that the run is given: variables by the names that `skipper.yml` says.

use std::{env, ffi::OsString};

use skipper_core::{config::Config, secret::Secret};
use skipper_deploy::secrets::GivenSecrets;

use super::SettingsError;

/// The values of the file's secrets, as far as the process's environment has them.
///
/// # Errors
/// When one is no text: exit 2.
pub fn given(config: &Config) -> Result<GivenSecrets, SettingsError> {
    given_by(config, |name| env::var_os(name))
}

/// [`given`] with the variables that `lookup` knows. Byte for byte, unlike other settings: blanks may belong to a value. An empty
/// one is none, as a workflow passes a secret that does not exist.
fn given_by(config: &Config, lookup: impl Fn(&str) -> Option<OsString>) -> Result<GivenSecrets, SettingsError> {
    let mut given = GivenSecrets::new();
    for secret in config.services.values().flat_map(|service| &service.secrets) {
        let Some(value) = lookup(secret.name.as_ref()).filter(|value| !value.is_empty()) else { continue };
        let value = value.into_string().map_err(|_| SettingsError::NotText(secret.name.to_string()))?;
        given.insert(secret.name.clone(), Secret::new(value));
    }
    Ok(given)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    fn config() -> Config {
        let text = "
            name: demo
            services: {web: {repo: {name: a, tag: b}, secrets: [TOKEN, KEY, {name: OTHER, file: /run/x}]}}
            groups: {web: {size: t3.small, services: [web]}}";
        skipper_core::config::load(text, "skipper.yml").unwrap()
    }

    #[test]
    fn a_value_is_taken_as_it_is_and_an_empty_one_is_none() {
        let lookup = |name: &str| match name {
            "TOKEN" => Some(" two\nlines \n".into()),
            "KEY" => Some(OsString::new()),
            _ => None,
        };
        let given = given_by(&config(), lookup).unwrap();
        let shown: Vec<(String, &str)> = given.iter().map(|(name, value)| (name.to_string(), value.expose())).collect();
        assert_eq!(shown, [("TOKEN".to_owned(), " two\nlines \n")]);
    }

    #[test]
    fn what_is_no_text_is_refused_by_its_name() {
        let lookup = |name: &str| (name == "OTHER").then(|| OsString::from_vec(vec![0xff]));
        assert!(given_by(&config(), lookup).unwrap_err().to_string().contains("OTHER"));
    }
}
