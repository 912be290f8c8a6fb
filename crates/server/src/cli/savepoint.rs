//! `millstream savepoint`: keeps checkpoints by name: of a running pipeline through its server, of a
//! stopped one in its data directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::DateTime;
use clap::{Args, Subcommand, ValueEnum};
use millstream_connectors::storage::DataDirectory;
use millstream_core::env::Env;
use millstream_core::storage::Storage;
use millstream_engine::checkpoint::Savepoints;
use serde::Deserialize;

use super::{
    CommonArguments, Failure, Flags, Outcome, PipelineArguments, PipelineFile, configure, print,
    say,
};
use crate::client::Client;
use crate::env::RealEnv;
use crate::savepoints::{NewSavepoint, SavepointView};

const EXAMPLES: &str = "\
A savepoint keeps the last epoch of a pipeline until it is dropped. `run FILE --from-savepoint NAME`
goes back to it, `plan FILE --against NAME` says what a changed file would keep of it. If a process runs
on the data directory, that is asked.

Examples:
  millstream savepoint create before-upgrade
  millstream savepoint list --format json
  millstream savepoint drop before-upgrade --pipeline web_clicks";

const CREATE_EXAMPLES: &str = "\
Examples:
  millstream savepoint create before-upgrade
  millstream savepoint create before-upgrade --file pipelines/web_clicks.sql --data-dir data";

const LIST_EXAMPLES: &str = "\
Examples:
  millstream savepoint list
  millstream savepoint list --pipeline web_clicks --format json";

const DROP_EXAMPLES: &str = "\
Examples:
  millstream savepoint drop before-upgrade
  millstream savepoint drop before-upgrade --pipeline web_clicks";

/// Arguments of `savepoint`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SavepointArguments {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Keep the last epoch under a name
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        /// Letters, digits, `_`, `-` and `.`
        #[arg(value_name = "NAME")]
        name: String,
        /// Of which pipeline.
        #[command(flatten)]
        of: OfPipeline,
    },
    /// Show what is kept
    #[command(after_help = LIST_EXAMPLES)]
    List {
        /// Of which pipeline.
        #[command(flatten)]
        of: OfPipeline,
        /// How the list is printed
        #[arg(long, value_enum, default_value_t = Format::Table)]
        format: Format,
    },
    /// Let go of one, and of the state that only it keeps
    #[command(after_help = DROP_EXAMPLES)]
    Drop {
        /// Which
        #[arg(value_name = "NAME")]
        name: String,
        /// Of which pipeline.
        #[command(flatten)]
        of: OfPipeline,
    },
}

/// Which pipeline, and where.
#[derive(Debug, Args)]
pub struct OfPipeline {
    /// The pipeline's name [default: the only one that there is]
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    pub pipeline: Option<String>,
    /// The pipeline of this file
    #[arg(long, value_name = "FILE.sql")]
    pub file: Option<PathBuf>,
    /// Its data directory [default: millstream-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// How the list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns, for people.
    Table,
    /// An array of objects.
    Json,
}

/// Does it.
pub fn run(arguments: &SavepointArguments, common: &CommonArguments) -> Outcome {
    let (Action::Create { of, .. } | Action::List { of, .. } | Action::Drop { of, .. }) =
        &arguments.action;
    let mut flags: Flags = vec![];
    let data_dir = of.data_dir.iter();
    flags.extend(data_dir.map(|path| ("data-dir", path.display().to_string())));
    let config = configure(common, flags)?;
    let data_dir = config.data_dir.clone();
    let data_dir = data_dir.unwrap_or_else(|| PathBuf::from("millstream-data"));
    let wanted = of.wanted()?;
    match &arguments.action {
        Action::Create { name, .. } => {
            let place = Place::find(&data_dir, wanted, Access::Change)?;
            say(&line(&place.create(name)?));
            Ok(())
        }
        Action::Drop { name, .. } => {
            let place = Place::find(&data_dir, wanted, Access::Change)?;
            place.drop(name)?;
            say(&format!("dropped savepoint `{name}`"));
            Ok(())
        }
        Action::List { format, .. } => {
            let views = Place::find(&data_dir, wanted, Access::Look)?.list()?;
            match format {
                Format::Table => print(&table(&views)),
                Format::Json => {
                    print(&serde_json::to_string(&views).expect("plain numbers and names"))
                }
            }
        }
    }
}

impl OfPipeline {
    /// The name that is asked for.
    fn wanted(&self) -> Outcome<Option<String>> {
        let Some(file) = &self.file else {
            return Ok(self.pipeline.clone());
        };
        let arguments = PipelineArguments {
            file: file.clone(),
            variables: vec![],
            settings: vec![],
        };
        Ok(Some(PipelineFile::read(&arguments)?.plan()?.options.name))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Look,
    Change,
}

/// Where savepoints are: behind a server, or in a directory.
enum Place {
    Server {
        /// Of the pipeline's savepoints.
        url: String,
        client: Client,
    },
    Directory {
        pipeline: String,
        storage: Arc<dyn Storage>,
        _lock: DataDirectory,
    },
}

#[derive(Deserialize)]
struct Running {
    pipeline: String,
}

impl Place {
    fn find(data_dir: &Path, wanted: Option<String>, access: Access) -> Outcome<Self> {
        if let Some(server) = DataDirectory::server_of(data_dir) {
            let client = Client::new();
            let pipelines = format!("{server}/api/v1/pipelines");
            let running: Vec<Running> = parsed(&client.get(&pipelines)?)?;
            let names = running.into_iter().map(|it| it.pipeline).collect();
            let url = format!("{pipelines}/{}/savepoints", chosen(wanted, names)?);
            return Ok(Self::Server { url, client });
        }
        // Nothing is made where nothing is.
        let mut directory = DataDirectory::open_read_only(data_dir)?;
        if access == Access::Change {
            drop(directory);
            directory = DataDirectory::open(data_dir)?;
        }
        let storage: Arc<dyn Storage> = Arc::new(directory.storage());
        Ok(Self::Directory {
            pipeline: chosen(wanted, Savepoints::pipelines(&*storage)?)?,
            storage,
            _lock: directory,
        })
    }

    fn create(&self, name: &str) -> Outcome<SavepointView> {
        match self {
            Self::Server { url, client } => {
                let name = name.to_owned();
                parsed(&client.post(url, &NewSavepoint { name })?)
            }
            Self::Directory {
                pipeline, storage, ..
            } => {
                let savepoints = Savepoints::new(storage.clone(), pipeline);
                let made = savepoints.create(name, RealEnv::new().now_ms())?;
                Ok(SavepointView::new(pipeline, name, &Ok(made)))
            }
        }
    }

    fn drop(&self, name: &str) -> Outcome {
        match self {
            Self::Server { url, client } => {
                if !name
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && !b"/?#%".contains(&byte))
                {
                    let shown = name.escape_debug();
                    return Err(Failure::usage(format!("no savepoint is called `{shown}`")));
                }
                Ok(client.delete(&format!("{url}/{name}"))?)
            }
            Self::Directory {
                pipeline, storage, ..
            } => Ok(Savepoints::new(storage.clone(), pipeline).drop(name)?),
        }
    }

    fn list(&self) -> Outcome<Vec<SavepointView>> {
        match self {
            Self::Server { url, client } => parsed(&client.get(url)?),
            Self::Directory {
                pipeline, storage, ..
            } => {
                let found = Savepoints::new(storage.clone(), pipeline).list()?;
                let views = found.iter();
                let views = views.map(|(name, it)| SavepointView::new(pipeline, name, it));
                Ok(views.collect())
            }
        }
    }
}

/// The pipeline that is wanted, or the only one.
fn chosen(wanted: Option<String>, mut names: Vec<String>) -> Outcome<String> {
    let there = match names.is_empty() {
        true => "there are none".to_owned(),
        false => format!("there are: {}", names.join(", ")),
    };
    match wanted {
        Some(wanted) if names.contains(&wanted) => Ok(wanted),
        Some(wanted) => Err(Failure::usage(format!("no pipeline `{wanted}`; {there}"))),
        None if names.len() == 1 => Ok(names.remove(0)),
        None => Err(Failure::usage(format!("which pipeline? {there}")).hint("--pipeline NAME")),
    }
}

fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> Outcome<T> {
    let parsed = serde_json::from_str(text);
    parsed.map_err(|error| Failure::runtime(format!("what the server says is not clear: {error}")))
}

fn line(view: &SavepointView) -> String {
    format!(
        "savepoint `{}` of `{}` keeps epoch {}: {} rows of state in {} bytes",
        view.name,
        view.pipeline,
        view.epoch.unwrap_or_default(),
        view.rows.unwrap_or_default(),
        view.bytes.unwrap_or_default()
    )
}

/// A line for each, in columns.
fn table(views: &[SavepointView]) -> String {
    if views.is_empty() {
        return "no savepoints".to_owned();
    }
    let names = [
        "pipeline",
        "name",
        "epoch",
        "time (UTC)",
        "bytes",
        "rows",
        "plan",
    ];
    let mut lines = vec![names.map(str::to_owned)];
    lines.extend(views.iter().map(|view| {
        let number = |value: Option<u64>| value.map_or("-".to_owned(), |n| n.to_string());
        let time = view.created_ms.and_then(DateTime::from_timestamp_millis);
        let time = time.map_or("-".to_owned(), |it| it.format("%F %T").to_string());
        [
            view.pipeline.clone(),
            view.name.clone(),
            number(view.epoch),
            time,
            number(view.bytes),
            number(view.rows),
            view.plan.clone().unwrap_or_else(|| "damaged".to_owned()),
        ]
    }));
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max();
    let widths: Vec<usize> = (0..names.len())
        .map(|column| width(column).unwrap_or(0))
        .collect();
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
    fn the_only_pipeline_need_not_be_named() {
        let names = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        assert_eq!(chosen(None, names("a")), Ok("a".to_owned()));
        assert_eq!(chosen(Some("b".into()), names("a b")), Ok("b".to_owned()));
        let check = |wanted: Option<&str>, there: &str, expected: &str| {
            let error = chosen(wanted.map(str::to_owned), names(there)).expect_err("unclear");
            assert_eq!((error.to_string().as_str(), error.code()), (expected, 2));
        };
        check(
            None,
            "a b",
            "error: which pipeline? there are: a, b\nhint: --pipeline NAME",
        );
        check(Some("c"), "a", "error: no pipeline `c`; there are: a");
        check(
            None,
            "",
            "error: which pipeline? there are none\nhint: --pipeline NAME",
        );
    }
}
