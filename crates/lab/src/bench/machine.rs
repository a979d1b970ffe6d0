//! The machine that figures are of: what bears on them, and nothing that tells whose it is.

use std::fs;

use anyhow::{Context, Result};

use crate::docker::docker;

/// One sentence: cores, memory, kernel, engine.
pub(super) fn describe() -> Result<String> {
    let cores = std::thread::available_parallelism().context("counting the cores")?;
    let memory = fs::read_to_string("/proc/meminfo").context("reading `/proc/meminfo`")?;
    let kibibytes = field(&memory, "MemTotal").context("reading `/proc/meminfo`")?;
    let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("reading the kernel's release")?;
    let kernel: String = kernel.trim().chars().take_while(|char| char.is_ascii_digit() || *char == '.').collect();
    let engine = docker(&["version", "--format", "{{.Server.Version}}"])?;
    let storage = docker(&["info", "--format", "{{.Driver}}"])?;
    Ok(format!(
        "{cores} cores{}, {:.0} GiB of memory, Linux {kernel}, Docker Engine {engine} on {storage}",
        model.map(|name| format!(" ({name})")).unwrap_or_default(),
        kibibytes as f64 / f64::from(1 << 20),
    ))
}

/// A field of one of the kernel's lists of `Name:  NUMBER kB`.
pub(super) fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "VmHWMx:\t 1 kB\nVmHWM:\t   40960 kB\nVmRSS:\t 2 kB\n";
        assert_eq!(field(status, "VmHWM"), Some(40_960));
        assert_eq!(field(status, "Vm"), None);
    }
}
