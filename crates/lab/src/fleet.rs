//! The fleet archive that hosts download: the stand-in's, or a real one.

use std::path::Path;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::http::Http;

/// The folder in the archive, as in fleet's own release.
const FOLDER: &str = "fleet-v1.0.0-linux-amd64";
/// The archive's file name, as in fleet's own release.
pub(crate) const FILE: &str = "fleet-v1.0.0-linux-amd64.tar.gz";

/// A fleet archive.
pub(crate) struct Archive {
    pub(crate) bytes: Vec<u8>,
    pub(crate) sha256: String,
}

impl Archive {
    /// The stand-in at `program`, under fleet's two names.
    pub(crate) fn stand_in(program: &Path) -> Result<Self> {
        let program = std::fs::read(program).with_context(|| format!("reading `{}`", program.display()))?;
        // Stored, not compressed: the lab is compiled without optimisation, and the archive travels inside this machine.
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::none()));
        let readme = b"A stand-in for fleet 1.0.0, made by skipper's lab. See crates/fleet-standin.\n";
        for (name, mode, bytes) in [
            ("fleetd", 0o755, program.as_slice()),
            ("fleetctl", 0o755, program.as_slice()),
            ("README.md", 0o644, readme.as_slice()),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(u64::try_from(bytes.len()).context("measuring the stand-in")?);
            header.set_mode(mode);
            archive.append_data(&mut header, format!("{FOLDER}/{name}"), bytes).context("packing the fleet archive")?;
        }
        let bytes = archive.into_inner().and_then(GzEncoder::finish).context("packing the fleet archive")?;
        Ok(Self::of(bytes))
    }

    /// The archive at a path or an http(s) address.
    pub(crate) fn from(source: &str) -> Result<Self> {
        let bytes = if source.starts_with("http://") || source.starts_with("https://") {
            Http::new()?.download(source)?
        } else {
            std::fs::read(source).with_context(|| format!("reading the fleet archive `{source}`"))?
        };
        Ok(Self::of(bytes))
    }

    fn of(bytes: Vec<u8>) -> Self {
        let sha256 = hex(&Sha256::digest(&bytes));
        Self { bytes, sha256 }
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_stand_in_s_archive_looks_like_fleet_s_own_and_is_the_same_every_time() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("fleet-standin");
        std::fs::write(&program, b"program").unwrap();
        let archive = Archive::stand_in(&program).unwrap();
        assert_eq!(archive.sha256, Archive::stand_in(&program).unwrap().sha256);

        let mut files = Vec::new();
        let unpacked = flate2::read::GzDecoder::new(archive.bytes.as_slice());
        for entry in tar::Archive::new(unpacked).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let path = entry.path().unwrap().display().to_string();
            files.push((path, entry.header().mode().unwrap(), text));
        }
        let executable = |name: &str| (format!("{FOLDER}/{name}"), 0o755, "program".to_owned());
        assert_eq!(files[..2], [executable("fleetd"), executable("fleetctl")]);
        assert_eq!(files[2].0, format!("{FOLDER}/README.md"));
    }
}
