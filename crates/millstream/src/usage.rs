//! What the process has used so far: CPU time and memory, from the operating system.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// CPU time and memory of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// User and system time of all threads.
    pub cpu: Duration,
    /// The most physical memory it ever held, in bytes.
    pub peak_rss_bytes: u64,
}

impl Usage {
    /// Usage up to now; zero where the system does not tell.
    pub fn of_process() -> Self {
        let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
            return Self::default();
        };
        let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        // Linux counts in KiB; macOS counts in bytes.
        let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
        Self {
            cpu: Duration::from_micros(u64::try_from(micros).unwrap_or(0)),
            peak_rss_bytes: u64::try_from(usage.max_rss()).unwrap_or(0) * unit,
        }
    }
}

/// Physical memory that the process holds now, in bytes; `None` where the system does not tell.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib = line.trim().strip_suffix("kB")?.trim();
    Some(kib.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_has_used_something() {
        let usage = Usage::of_process();
        assert!(
            usage.peak_rss_bytes > 1 << 20,
            "found {} bytes",
            usage.peak_rss_bytes
        );
        if let Some(now) = resident_bytes() {
            assert!(now > 1 << 20, "found {now} bytes");
        }
    }
}
