//! Logs on stderr, as text for people or as JSON lines for machines.

use std::io::{IsTerminal, Result, Write};

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Starts logging. A filter that does not parse is answered with the default and a warning. Called
/// once, by `main`; a second call changes nothing.
pub fn start(config: &LogConfig) {
    let (filter, problem) = match EnvFilter::try_new(&config.filter) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(LogConfig::DEFAULT_FILTER), Some(error)),
    };
    let is_terminal = std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Lines { is_terminal })
        .with_ansi(is_terminal);
    let started = match config.format {
        LogFormat::Text => logs.with_target(false).try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    };
    if started.is_ok()
        && let Some(error) = problem
    {
        tracing::warn!(filter = config.filter, %error, "log filter not understood; using the default");
    }
}

/// Stderr, line by line. On a terminal a line takes the place of one that tells progress and is
/// still open, instead of following it.
struct Lines {
    is_terminal: bool,
}

impl Write for Lines {
    /// `bytes` are whole lines: that is how they come from `tracing_subscriber`.
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut stderr = std::io::stderr().lock();
        if self.is_terminal {
            stderr.write_all(b"\r\x1b[2K")?;
        }
        stderr.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        std::io::stderr().flush()
    }
}
