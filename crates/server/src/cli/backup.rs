//! `millstream backup` and `millstream restore`: a copy of a data directory, also of one that is in use, and a
//! data directory of a copy.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use millstream::env::RealEnv;
use millstream_connectors::storage::DataDirectory;
use millstream_core::env::Env;
use millstream_core::storage::Storage;

use super::verify::size;
use super::{CommonArguments, Failure, Flags, Outcome, configure, print};
use crate::backup::{Index, OnCopied, back_up, restore};
use crate::client::Client;
use crate::http::SnapshotView;
use crate::progress::{Progress, grouped};

const BACKUP_EXAMPLES: &str = "\
If a process runs on the directory it is asked to hold still for a moment, and goes on. The backup is
what a crash in that moment would have left: nothing acknowledged is missing, nothing is counted twice.

Examples:
  millstream backup --to /backups/monday
  millstream backup --data-dir /srv/millstream --to /backups/monday
  millstream verify --data-dir /backups/monday
  tar --zstd -cf monday.tar.zst -C /backups monday";

const RESTORE_EXAMPLES: &str = "\
Examples:
  millstream restore --from /backups/monday --data-dir /srv/millstream
  millstream run pipeline.sql --data-dir /srv/millstream";

/// Arguments of `backup`.
#[derive(Debug, Args)]
#[command(after_help = BACKUP_EXAMPLES)]
pub struct BackupArguments {
    /// A new folder
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// The data directory [default: millstream-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
#[command(after_help = RESTORE_EXAMPLES)]
pub struct RestoreArguments {
    /// The backup
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,
    /// The new data directory [default: millstream-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Makes a backup.
pub fn run_backup(arguments: &BackupArguments, common: &CommonArguments) -> Outcome {
    let data_dir = data_dir(arguments.data_dir.as_ref(), common)?;
    let files = Files::of(&data_dir)?;
    let index = with_progress(|on_copied, now_ms| {
        let from = (files.folder.as_path(), &files.files[..]);
        back_up(from, (&arguments.to, now_ms), on_copied)
    });
    files.close();
    told("backed up", &index?, &arguments.to)
}

/// Makes a data directory of a backup.
pub fn run_restore(arguments: &RestoreArguments, common: &CommonArguments) -> Outcome {
    let data_dir = data_dir(arguments.data_dir.as_ref(), common)?;
    let restored = with_progress(|on_copied, _| restore(&arguments.from, &data_dir, on_copied));
    told("restored", &restored?, &data_dir)
}

fn data_dir(given: Option<&PathBuf>, common: &CommonArguments) -> Outcome<PathBuf> {
    let given = given.into_iter();
    let flags: Flags = given
        .map(|path| ("data-dir", path.display().to_string()))
        .collect();
    let config = configure(common, flags)?;
    let path = config.data_dir;
    Ok(path.unwrap_or_else(|| PathBuf::from("millstream-data")))
}

fn with_progress(
    work: impl FnOnce(OnCopied<'_>, i64) -> millstream_core::Result<Index>,
) -> millstream_core::Result<Index> {
    let env: Arc<dyn Env> = Arc::new(RealEnv::new());
    let mut progress = Progress::new(env.clone(), None);
    let mut copied = 0;
    let mut on_copied = |path: &str, bytes| {
        copied += bytes;
        progress.refresh(|| format!("{} copied, at {path}", size(copied)));
    };
    let done = work(&mut on_copied, env.now_ms());
    progress.finish();
    done
}

fn told(what: &str, index: &Index, to: &Path) -> Outcome {
    let (files, bytes) = (grouped(index.files.len() as u64), size(index.bytes()));
    print(&format!(
        "{what} {files} files, {bytes}, to `{}`",
        to.display()
    ))
}

/// The files of a data directory, which stay as they are until they are copied.
struct Files {
    folder: PathBuf,
    files: Vec<(String, u64)>,
    /// Keeps owners out of a directory that nobody runs on.
    lock: Option<DataDirectory>,
}

impl Files {
    fn of(data_dir: &Path) -> Outcome<Self> {
        match DataDirectory::server_of(data_dir) {
            Some(url) => Self::of_running(data_dir, &url),
            None => Self::of_stopped(data_dir),
        }
    }

    fn of_running(data_dir: &Path, url: &str) -> Outcome<Self> {
        let address = format!("{url}/api/v1/snapshots");
        let answer = Client::new().post(&address, &serde_json::json!({}))?;
        let snapshot: SnapshotView = serde_json::from_str(&answer).map_err(|error| {
            Failure::runtime(format!("what the server says is not clear: {error}"))
        })?;
        let files = snapshot.files.into_iter();
        Ok(Self {
            folder: data_dir.join(snapshot.folder),
            files: files.map(|file| (file.path, file.bytes)).collect(),
            lock: None,
        })
    }

    fn of_stopped(data_dir: &Path) -> Outcome<Self> {
        let directory = DataDirectory::open_read_only(data_dir).map_err(|error| {
            let is_in_use = error.to_string().contains("is in use by");
            let failure = Failure::from(error);
            match is_in_use {
                true => failure.hint("it serves no HTTP: stop it, or start it with --listen"),
                false => failure,
            }
        })?;
        let storage = directory.storage();
        let mut files = vec![];
        for path in storage.list("")? {
            let bytes = storage.length(&path)?.unwrap_or_default();
            if path != "LOCK" && path != crate::backup::INDEX {
                files.push((path, bytes));
            }
        }
        Ok(Self {
            folder: data_dir.to_owned(),
            files,
            lock: Some(directory),
        })
    }

    /// Removes what only pinned the files.
    fn close(self) {
        if self.lock.is_none() {
            // The next start removes it, too.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}
