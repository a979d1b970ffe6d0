//! The machine's systemd, and the directory of unit files that fleet links into it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Output;

use async_trait::async_trait;
use tokio::process::Command;

use crate::unit::UnitFile;

/// What systemd says of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemdState {
    /// `LoadState`.
    pub load: String,
    /// `ActiveState`.
    pub active: String,
    /// `SubState`.
    pub sub: String,
}

/// Why systemd did not do something.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// systemctl could not be started.
    #[error("running `systemctl {0}`")]
    Run(String, #[source] io::Error),
    /// systemctl exited with another code than 0.
    #[error("`systemctl {command}` exited with {code:?}: {message}")]
    Failed {
        /// Its arguments.
        command: String,
        /// Nothing after a signal.
        code: Option<i32>,
        /// What it printed.
        message: String,
    },
    /// A unit file could not be written or removed.
    #[error("file `{0}`")]
    File(PathBuf, #[source] io::Error),
}

/// What an agent needs of systemd. Starting and stopping only triggers: nobody waits for the outcome.
#[async_trait(?Send)]
pub trait Systemd {
    /// Makes the unit file at `path` known until the next boot.
    async fn link(&self, path: &Path) -> Result<(), SystemdError>;
    /// Takes the unit's link away and forgets that it failed.
    async fn forget(&self, unit: &str) -> Result<(), SystemdError>;
    /// Reads unit files anew.
    async fn reload(&self) -> Result<(), SystemdError>;
    /// Triggers a start.
    async fn start(&self, unit: &str) -> Result<(), SystemdError>;
    /// Triggers a stop.
    async fn stop(&self, unit: &str) -> Result<(), SystemdError>;
    /// What systemd says of each of `units`.
    async fn states(&self, units: &[String]) -> Result<BTreeMap<String, SystemdState>, SystemdError>;
}

/// systemd through `systemctl`.
pub struct Systemctl;

/// What systemctl exits with for a unit that is not loaded.
const NOT_LOADED: i32 = 5;

impl Systemctl {
    async fn call(&self, args: &[&str]) -> Result<Output, SystemdError> {
        let command = args.join(" ");
        let output = match Command::new("systemctl").args(args).output().await {
            Ok(output) => output,
            Err(error) => return Err(SystemdError::Run(command, error)),
        };
        if output.status.success() {
            return Ok(output);
        }
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(SystemdError::Failed { command, code: output.status.code(), message })
    }
}

#[async_trait(?Send)]
impl Systemd for Systemctl {
    async fn link(&self, path: &Path) -> Result<(), SystemdError> {
        let path = path.to_string_lossy();
        self.call(&["link", "--runtime", "--force", "--no-reload", &path]).await.map(drop)
    }

    async fn forget(&self, unit: &str) -> Result<(), SystemdError> {
        self.call(&["disable", "--runtime", "--no-reload", unit]).await?;
        // Refused for a unit that systemd has unloaded by itself meanwhile, which is as good.
        self.call(&["reset-failed", unit]).await.ok();
        Ok(())
    }

    async fn reload(&self) -> Result<(), SystemdError> {
        self.call(&["daemon-reload"]).await.map(drop)
    }

    async fn start(&self, unit: &str) -> Result<(), SystemdError> {
        self.call(&["start", "--no-block", unit]).await.map(drop)
    }

    async fn stop(&self, unit: &str) -> Result<(), SystemdError> {
        match self.call(&["stop", "--no-block", unit]).await {
            // What systemd does not know does not run.
            Err(SystemdError::Failed { code: Some(NOT_LOADED), .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    async fn states(&self, units: &[String]) -> Result<BTreeMap<String, SystemdState>, SystemdError> {
        if units.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut args = vec!["show", "--property=Id,LoadState,ActiveState,SubState", "--"];
        args.extend(units.iter().map(String::as_str));
        let output = self.call(&args).await?;
        Ok(read_states(&String::from_utf8_lossy(&output.stdout)))
    }
}

/// Reads blocks of `Property=value` lines, one a unit.
fn read_states(text: &str) -> BTreeMap<String, SystemdState> {
    text.split("\n\n")
        .filter_map(|block| {
            let properties: BTreeMap<&str, &str> = block.lines().filter_map(|line| line.split_once('=')).collect();
            let property = |name: &str| properties.get(name).map(ToString::to_string);
            let state = SystemdState {
                load: property("LoadState")?,
                active: property("ActiveState")?,
                sub: property("SubState")?,
            };
            Some((property("Id")?, state))
        })
        .collect()
}

/// The unit files that fleet has written on this machine; on tmpfs, so none after a boot.
pub struct UnitsDirectory(PathBuf);

impl UnitsDirectory {
    /// The directory at `path`, made where it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(path: &Path) -> Result<Self, SystemdError> {
        std::fs::create_dir_all(path).map_err(|error| SystemdError::File(path.to_owned(), error))?;
        Ok(Self(path.to_owned()))
    }

    /// Writes a unit's text and says where.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, unit: &str, file: &UnitFile) -> Result<PathBuf, SystemdError> {
        let path = self.0.join(unit);
        match std::fs::write(&path, file.text()) {
            Ok(()) => Ok(path),
            Err(error) => Err(SystemdError::File(path, error)),
        }
    }

    /// Removes a unit's file, if it is there.
    pub fn remove(&self, unit: &str) {
        std::fs::remove_file(self.0.join(unit)).ok();
    }

    /// Every unit that has a file here, with the hash of its text.
    ///
    /// # Errors
    /// The directory or a file in it cannot be read.
    pub fn hashes(&self) -> Result<BTreeMap<String, String>, SystemdError> {
        let failed = |error| SystemdError::File(self.0.clone(), error);
        let mut hashes = BTreeMap::new();
        for entry in std::fs::read_dir(&self.0).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let text = std::fs::read_to_string(entry.path()).map_err(failed)?;
            if let Ok(file) = UnitFile::parse(&text) {
                hashes.insert(entry.file_name().to_string_lossy().into_owned(), file.hash_text());
            }
        }
        Ok(hashes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_states_of_several_units_are_read_from_one_answer() {
        let text = "Id=a.service\nLoadState=loaded\nActiveState=active\nSubState=running\n\n\
                    Id=b.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead\n";
        let states = read_states(text);
        assert_eq!(states["a.service"].sub, "running");
        assert_eq!(states["b.service"].load, "not-found");
        assert_eq!(states.len(), 2);
    }
}
