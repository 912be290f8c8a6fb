//! Logs on stderr, as text for people or as JSON lines for machines.

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Starts logging. A filter that does not parse is answered with the default and a warning. Called
/// once, by `main`; a second call changes nothing.
pub fn start(config: &LogConfig) {
    let (filter, problem) = match EnvFilter::try_new(&config.filter) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(LogConfig::DEFAULT_FILTER), Some(error)),
    };
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
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
