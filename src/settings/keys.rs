//! `.skippercfg`, where the Skipper of 2014 kept its keys: the last source of credentials, read and never written.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path};

use serde::Deserialize;
use skipper_core::secret::Secret;

use super::SettingsError;

/// Its name, in the folder where skipper runs.
const FILE: &str = ".skippercfg";
/// Far more than any has, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// Keys to AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The access key's id.
    pub id: String,
    /// The secret access key.
    pub secret: Secret,
    /// The region, where the file names one.
    pub region: Option<String>,
}

/// The file as it was written then. What it has of SSH and etcd's discovery is not needed any more.
#[derive(Deserialize)]
struct File {
    #[serde(rename = "AWS", default)]
    aws: Aws,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
struct Aws {
    access_key: Option<String>,
    secret_key: Option<String>,
    region: Option<String>,
}

impl Keys {
    /// Reads the file in the folder `here`; nothing where there is none, or it has no keys.
    ///
    /// # Errors
    /// When others may read it, and when it cannot be read.
    pub(super) fn read(here: &Path) -> Result<Option<Self>, SettingsError> {
        let path = here.join(FILE);
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SettingsError::KeysUnread(source)),
        };
        // Whoever opens a pipe waits for its other end.
        if !metadata.is_file() {
            return Err(SettingsError::KeysUnread(io::Error::other("it is no file")));
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(SettingsError::KeysShown);
        }
        if metadata.len() > LARGEST {
            return Err(SettingsError::KeysUnread(io::Error::from(io::ErrorKind::FileTooLarge)));
        }
        let text = fs::read_to_string(&path).map_err(SettingsError::KeysUnread)?;
        // The words of serde would show what stands there.
        let File { aws } = serde_json::from_str(&text).map_err(|error| SettingsError::KeysShape(error.line()))?;
        match (aws.access_key, aws.secret_key) {
            (Some(id), Some(secret)) => Ok(Some(Self { id, secret: Secret::new(secret), region: aws.region })),
            (None, None) => Ok(None),
            _ => Err(SettingsError::HalfTheKeys),
        }
    }
}
