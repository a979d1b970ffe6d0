//! fleetd's configuration: a file of `key = value` lines, each of which `FLEET_<KEY>` overrides.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::registry::DEFAULT_PREFIX;

/// What a fleetd is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// etcd's endpoints.
    pub etcd_servers: Vec<String>,
    /// Where the registry lies.
    pub etcd_key_prefix: String,
    /// How long one request to etcd may take.
    pub etcd_request_timeout: Duration,
    /// The address to publish.
    pub public_ip: String,
    /// What this machine is.
    pub metadata: BTreeMap<String, String>,
    /// How long the machine's entry and its units' states live without renewal.
    pub agent_ttl: Duration,
    /// Where unit files go.
    pub units_directory: PathBuf,
    /// Entries a page of the API.
    pub token_limit: u16,
}

/// A configuration that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value of the wrong kind.
    #[error("invalid value {value:?} for {key}")]
    Value {
        /// Of the file, in lower case.
        key: &'static str,
        /// As it was given.
        value: String,
    },
    /// Something that fleet could do.
    #[error("`{0}` is set: the lab's fleet stand-in does not do that (`--fleet` takes the real one)")]
    Unsupported(&'static str),
}

/// Keys whose values would make fleetd another one: refused when they are set to anything but their default.
const UNSUPPORTED: [(&str, &str); 7] = [
    ("etcd_username", ""),
    ("etcd_password", ""),
    ("etcd_keyfile", ""),
    ("etcd_certfile", ""),
    ("etcd_cafile", ""),
    ("enable_grpc", "false"),
    ("systemd_user", "false"),
];

impl Config {
    /// Reads the text of a configuration file; `env` gives the value of a variable.
    ///
    /// # Errors
    /// A value of the wrong kind, or a key that is not supported. Unknown keys are passed over, as fleetd does.
    pub fn read(text: &str, env: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let file: BTreeMap<String, String> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with(['#', ';']))
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.trim().to_lowercase(), unquoted(value.trim()).to_owned()))
            .collect();
        let given = |key: &str| env(&format!("FLEET_{}", key.to_uppercase())).or_else(|| file.get(key).cloned());
        for (key, default) in UNSUPPORTED {
            if given(key).is_some_and(|value| !value.is_empty() && value != default) {
                return Err(ConfigError::Unsupported(key));
            }
        }
        let text = |key, default: &str| given(key).unwrap_or_else(|| default.to_owned());
        Ok(Self {
            etcd_servers: list(&text("etcd_servers", "http://127.0.0.1:2379,http://127.0.0.1:4001")),
            etcd_key_prefix: text("etcd_key_prefix", DEFAULT_PREFIX),
            etcd_request_timeout: read_value("etcd_request_timeout", text("etcd_request_timeout", "1"), |value| {
                Duration::try_from_secs_f64(value.parse().ok()?).ok()
            })?,
            public_ip: text("public_ip", ""),
            metadata: pairs(&text("metadata", "")),
            agent_ttl: read_value("agent_ttl", text("agent_ttl", "30s"), |value| {
                Duration::try_from(value.parse::<jiff::SignedDuration>().ok()?).ok()
            })?,
            units_directory: text("units_directory", "/run/fleet/units/").into(),
            token_limit: read_value("token_limit", text("token_limit", "100"), |value| {
                value.parse().ok().filter(|limit| *limit > 0)
            })?,
        })
    }
}

fn read_value<T>(key: &'static str, value: String, read: impl Fn(&str) -> Option<T>) -> Result<T, ConfigError> {
    read(&value).ok_or(ConfigError::Value { key, value })
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

/// `["a","b"]` or `a,b`.
fn list(text: &str) -> Vec<String> {
    text.trim_matches(['[', ']'])
        .split(',')
        .map(|item| unquoted(item.trim()).to_owned())
        .filter(|item| !item.is_empty())
        .collect()
}

/// `k=v,k2=v2`; anything else in between is passed over.
fn pairs(text: &str) -> BTreeMap<String, String> {
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_and_the_environment_wins() {
        let text = "# ours\netcd_servers = [\"http://127.0.0.1:2379\", \"http://a:1\"]\npublic_ip=\"10.0.0.1\"\n\
                    metadata=\"group=web,host=web_1\"\nagent_ttl=\"1m30s\"\nverbosity=1\n";
        let config = Config::read(text, |key| (key == "FLEET_PUBLIC_IP").then(|| "10.0.0.2".to_owned())).unwrap();
        assert_eq!(config.etcd_servers, ["http://127.0.0.1:2379", "http://a:1"]);
        assert_eq!(config.public_ip, "10.0.0.2");
        assert_eq!(config.metadata["host"], "web_1");
        assert_eq!(config.agent_ttl, Duration::from_secs(90));
        assert_eq!(config.units_directory, PathBuf::from("/run/fleet/units/"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_name() {
        let read = |text| Config::read(text, |_| None).unwrap_err();
        assert_eq!(read("enable_grpc = true"), ConfigError::Unsupported("enable_grpc"));
        assert_eq!(read("agent_ttl=soon"), ConfigError::Value { key: "agent_ttl", value: "soon".to_owned() });
    }
}
