//! What the machine offers: cores, memory, executables. Linux only, as the trainer is.

use std::fs;
use std::path::{Path, PathBuf};

use super::ConfigError;

/// Cores that this process may use.
pub(crate) fn cores() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(cores).unwrap_or(u32::MAX)
}

/// Memory of the machine in bytes, or what the control group leaves of it.
pub(crate) fn memory_bytes() -> Result<u64, ConfigError> {
    let text = fs::read_to_string("/proc/meminfo").map_err(ConfigError::Memory)?;
    let total = memory_total(&text).ok_or_else(|| {
        ConfigError::Memory(std::io::Error::other("/proc/meminfo has no line 'MemTotal: N kB'"))
    })?;
    // "max" where there is no limit; other systems have no such file.
    let limit = fs::read_to_string("/sys/fs/cgroup/memory.max");
    let limit = limit.ok().and_then(|text| text.trim().parse::<u64>().ok());
    Ok(limit.map_or(total, |limit| limit.min(total)))
}

/// `MemTotal` of `/proc/meminfo` in bytes.
fn memory_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// `name` beside this executable or on PATH.
pub(crate) fn executable(name: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).map(|folder| folder.join(name));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(name));
    beside.into_iter().chain(on_path).find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(
            memory_total("MemTotal:       24633996 kB\nMemFree: 1 kB\n"),
            Some(24_633_996 << 10)
        );
        assert_eq!(memory_total("MemFree: 1 kB\n"), None);
        assert!(memory_bytes().expect("a Linux machine") > 1 << 20);
    }
}
