//! `millstream sql`: asks a question of the tables: of a running server, or of a data directory
//! that nobody runs on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use millstream_connectors::hot_table::HotTables;
use millstream_connectors::storage::DataDirectory;
use millstream_core::env::Env;
use millstream_core::storage::Storage;

use super::{CommonArguments, Failure, Flags, Outcome, configure, print};
use crate::client::Client;
use crate::config::Config;
use crate::env::RealEnv;
use crate::instance::{open_lake, runtime};
use crate::query::{QueryEngine, QueryResult, to_csv, to_json, to_table_text};

const EXAMPLES: &str = "\
Without --server, the data directory is opened read-only; if a process runs on it, that is asked.

Examples:
  millstream sql \"SHOW TABLES\"
  millstream sql \"SELECT page, SUM(views) AS views FROM page_minute_agg GROUP BY page\" --format csv
  millstream sql \"SELECT error, DECODE(raw, 'UTF-8') AS raw FROM dead_clicks\" --data-dir millstream-demo
  millstream sql \"SELECT COUNT(*) FROM late_clicks\" --server http://127.0.0.1:8080";

/// Arguments of `sql`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SqlArguments {
    /// One SELECT, WITH, SHOW TABLES, DESCRIBE or EXPLAIN statement
    #[arg(value_name = "SQL")]
    pub query: String,
    /// The data directory to ask [default: millstream-data]
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    pub data_dir: Option<PathBuf>,
    /// The running server to ask
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// How the answer is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// How the answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns with borders, for people.
    Table,
    /// An array of objects.
    Json,
    /// A header line, then a line a row.
    Csv,
}

/// Asks, and prints the answer on stdout.
pub fn run(arguments: &SqlArguments, common: &CommonArguments) -> Outcome {
    let mut flags: Flags = vec![];
    let data_dir = arguments
        .data_dir
        .iter()
        .map(|path| ("data-dir", path.display().to_string()));
    flags.extend(data_dir);
    let config = configure(common, flags)?;
    let data_dir = config
        .data_dir
        .clone()
        .unwrap_or_else(|| PathBuf::from("millstream-data"));
    let server = arguments.server.as_deref().map(server_url).transpose()?;
    let server = server.or_else(|| DataDirectory::server_of(&data_dir));
    let text = match server {
        Some(url) => ask_server(&url, arguments)?,
        None => ask_directory(&data_dir, &config, arguments)?,
    };
    print(&text)
}

/// `HOST:PORT` with or without `http://` as a URL.
fn server_url(text: &str) -> Outcome<String> {
    match text.split_once("://") {
        None if !text.is_empty() => Ok(format!("http://{text}")),
        Some(("http", rest)) if !rest.is_empty() => Ok(text.to_owned()),
        _ => Err(Failure::usage(format!(
            "--server: found `{text}`, expected HOST:PORT or http://HOST:PORT"
        ))),
    }
}

fn ask_server(url: &str, arguments: &SqlArguments) -> Outcome<String> {
    let format = match arguments.format {
        Format::Table => "table",
        Format::Json => "objects",
        Format::Csv => "csv",
    };
    Ok(Client::new().query(url, &arguments.query, format)?)
}

fn ask_directory(path: &Path, config: &Config, arguments: &SqlArguments) -> Outcome<String> {
    let directory = DataDirectory::open_read_only(path)?;
    let storage: Arc<dyn Storage> = Arc::new(directory.storage());
    let env: Arc<dyn Env> = Arc::new(RealEnv::new());
    let lake = open_lake(path, config, (&storage, &env))?;
    let tables = HotTables::open(storage)?;
    let engine = QueryEngine::new(tables, Some(lake), config.query.limits())?;
    let result = runtime()?.block_on(engine.query(&arguments.query))?;
    Ok(formatted(&result, arguments.format)?)
}

fn formatted(result: &QueryResult, format: Format) -> millstream_core::Result<String> {
    match format {
        Format::Table => to_table_text(result),
        Format::Json => to_json(result),
        Format::Csv => to_csv(result),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_and_a_port_or_a_url() {
        for text in ["127.0.0.1:8080", "http://127.0.0.1:8080"] {
            assert_eq!(server_url(text), Ok("http://127.0.0.1:8080".to_owned()));
        }
        let error = server_url("https://a:1").expect_err("it is no such URL");
        let expected =
            "error: --server: found `https://a:1`, expected HOST:PORT or http://HOST:PORT";
        assert_eq!((error.to_string().as_str(), error.code()), (expected, 2));
        assert!(server_url("").is_err() && server_url("http://").is_err());
    }
}
