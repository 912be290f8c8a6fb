//! `millstream lake`: how the lake's tables do, and their maintenance: through the server that runs on
//! the data directory, else here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::DateTime;
use clap::{Args, Subcommand};
use millstream_connectors::storage::DataDirectory;
use millstream_core::quantity::duration_ms;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CommonArguments, Failure, Flags, Outcome, configure, print};
use crate::client::Client;
use crate::config::Config;
use crate::env::RealEnv;
use crate::instance::Instance;
use crate::lake::{ExpireRequest, LakeKeeper, LakeTableView, LakeWork};

const EXAMPLES: &str = "\
Tables of 'connector' = 'iceberg' in the catalog of `millstream.toml`, by default that of the data
directory. The process that writes them compacts and expires them by itself; these commands do it now.

Examples:
  millstream lake status
  millstream lake status clicks_raw --json
  millstream lake compact clicks_raw
  millstream lake expire --older-than 1h";

/// Arguments of `lake`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct LakeArguments {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Show how the tables do
    #[command(after_help = EXAMPLES)]
    Status {
        /// Of which tables.
        #[command(flatten)]
        of: OfTable,
    },
    /// Make small files into bigger ones
    #[command(after_help = EXAMPLES)]
    Compact {
        /// Of which tables.
        #[command(flatten)]
        of: OfTable,
    },
    /// Forget old snapshots, and delete what only they name
    #[command(after_help = EXAMPLES)]
    Expire {
        /// Of which tables.
        #[command(flatten)]
        of: OfTable,
        /// All but the current one that are older [default: what the table says, else a day]
        #[arg(long, value_name = "DURATION")]
        older_than: Option<String>,
    },
}

/// Which tables, and where.
#[derive(Debug, Args)]
pub struct OfTable {
    /// The table's name, with or without namespace [default: all]
    #[arg(value_name = "TABLE")]
    pub table: Option<String>,
    /// The data directory [default: millstream-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Print an array of objects
    #[arg(long)]
    pub json: bool,
}

/// Does it.
pub fn run(arguments: &LakeArguments, common: &CommonArguments) -> Outcome {
    let (Action::Status { of } | Action::Compact { of } | Action::Expire { of, .. }) =
        &arguments.action;
    let mut flags: Flags = vec![];
    let data_dir = of.data_dir.iter();
    flags.extend(data_dir.map(|path| ("data-dir", path.display().to_string())));
    let config = configure(common, flags)?;
    let data_dir = config.data_dir.clone();
    let data_dir = data_dir.unwrap_or_else(|| PathBuf::from("millstream-data"));
    let request = match &arguments.action {
        Action::Expire {
            older_than: Some(text),
            ..
        } => {
            let age = duration_ms(text).map_err(|error| error.context("--older-than"))?;
            ExpireRequest {
                older_than_ms: Some(i64::try_from(age).unwrap_or(i64::MAX)),
            }
        }
        _ => ExpireRequest::default(),
    };
    let place = Place::find(&data_dir, config)?;
    let table = of.table.as_deref();
    match arguments.action {
        Action::Status { .. } => shown(&place.status(table)?, of.json, status_table),
        Action::Compact { .. } => shown(&place.compact(table)?, of.json, work_table),
        Action::Expire { .. } => shown(&place.expire(table, request)?, of.json, work_table),
    }
}

/// Where the lake is: behind a server, or opened here.
enum Place {
    Server {
        url: String,
        client: Client,
    },
    Here {
        keeper: LakeKeeper,
        _instance: Box<Instance>,
    },
}

impl Place {
    fn find(data_dir: &Path, config: Config) -> Outcome<Self> {
        if let Some(server) = DataDirectory::server_of(data_dir) {
            let url = format!("{server}/api/v1/lake");
            return Ok(Self::Server {
                url,
                client: Client::new(),
            });
        }
        // Nothing is made where nothing is.
        drop(DataDirectory::open_read_only(data_dir)?);
        let env = Arc::new(RealEnv::new());
        let instance = Box::new(Instance::open(data_dir, config, env.clone())?);
        let keeper = LakeKeeper::new(instance.lake.clone(), env, false);
        Ok(Self::Here {
            keeper,
            _instance: instance,
        })
    }

    fn status(&self, table: Option<&str>) -> Outcome<Vec<LakeTableView>> {
        match self {
            Self::Server { url, client } => {
                let mut found: Vec<LakeTableView> = parsed(&client.get(url)?)?;
                found.retain(|view| table.is_none_or(|wanted| is_called(&view.table, wanted)));
                match (found.is_empty(), table) {
                    (true, Some(wanted)) => {
                        Err(Failure::usage(format!("no lake table `{wanted}`")))
                    }
                    _ => Ok(found),
                }
            }
            Self::Here { keeper, .. } => Ok(keeper.status(table)?),
        }
    }

    fn compact(&self, table: Option<&str>) -> Outcome<Vec<LakeWork>> {
        match self {
            Self::Server { .. } => self.each(table, "compact", &serde_json::Value::Null),
            Self::Here { keeper, .. } => Ok(keeper.compact(table)?),
        }
    }

    fn expire(&self, table: Option<&str>, request: ExpireRequest) -> Outcome<Vec<LakeWork>> {
        match self {
            Self::Server { .. } => self.each(table, "expire", &request),
            Self::Here { keeper, .. } => Ok(keeper.expire(table, request)?),
        }
    }

    /// Has a server do it, table by table.
    fn each<T: Serialize>(
        &self,
        table: Option<&str>,
        work: &str,
        request: &T,
    ) -> Outcome<Vec<LakeWork>> {
        let Self::Server { url, client } = self else {
            return Ok(vec![]);
        };
        let mut done = Vec::new();
        for view in self.status(table)? {
            let answer = client.post(&format!("{url}/{}/{work}", view.table), request)?;
            done.extend(parsed::<Vec<LakeWork>>(&answer)?);
        }
        Ok(done)
    }
}

fn is_called(name: &str, wanted: &str) -> bool {
    name == wanted || name.rsplit('.').next() == Some(wanted)
}

fn parsed<T: DeserializeOwned>(text: &str) -> Outcome<T> {
    let parsed = serde_json::from_str(text);
    parsed.map_err(|error| Failure::runtime(format!("what the server says is not clear: {error}")))
}

fn shown<T: Serialize>(found: &[T], is_json: bool, table: fn(&[T]) -> Vec<Vec<String>>) -> Outcome {
    match is_json {
        true => print(&serde_json::to_string(found).expect("plain numbers and names")),
        false if found.is_empty() => print("no lake tables"),
        false => print(&aligned(&table(found))),
    }
}

fn status_table(views: &[LakeTableView]) -> Vec<Vec<String>> {
    let names = [
        "table",
        "rows",
        "files",
        "small",
        "bytes",
        "snapshots",
        "manifests",
        "last commit (UTC)",
    ];
    let mut lines = vec![names.map(str::to_owned).to_vec()];
    lines.extend(views.iter().map(|view| {
        let time = view
            .last_commit_ms
            .and_then(DateTime::from_timestamp_millis);
        vec![
            view.table.clone(),
            view.rows.to_string(),
            view.files.to_string(),
            view.small_files.to_string(),
            view.bytes.to_string(),
            view.snapshots.to_string(),
            view.manifests.to_string(),
            time.map_or("-".to_owned(), |it| it.format("%F %T").to_string()),
        ]
    }));
    lines
}

fn work_table(work: &[LakeWork]) -> Vec<Vec<String>> {
    let names = [
        "table",
        "files",
        "became",
        "bytes",
        "became",
        "snapshots forgotten",
        "files deleted",
    ];
    let mut lines = vec![names.map(str::to_owned).to_vec()];
    lines.extend(work.iter().map(|done| {
        let mut line = vec![done.table.clone()];
        let numbers = [
            done.files_in,
            done.files_out,
            done.bytes_in,
            done.bytes_out,
            done.snapshots,
            done.files_deleted,
        ];
        line.extend(numbers.iter().map(u64::to_string));
        line
    }));
    lines
}

/// Lines with their columns below each other.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].len())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let text = lines.iter().map(|line| {
        let cells = line.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    });
    text.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_by_either_name() {
        assert!(
            is_called("default.clicks", "clicks") && is_called("default.clicks", "default.clicks")
        );
        assert!(!is_called("default.clicks", "default") && !is_called("default.clicks", "licks"));
    }

    #[test]
    fn columns_stand_below_each_other() {
        let view = LakeTableView {
            table: "default.clicks".to_owned(),
            rows: 12,
            ..Default::default()
        };
        let text = aligned(&status_table(&[view]));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(
            lines[0].starts_with("table           rows  files"),
            "{text}"
        );
        assert!(lines[1].starts_with("default.clicks  12    0"), "{text}");
    }
}
