//! The lake, written by the real binary, killed and started again: every row once, as the current
//! snapshot has it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use millstream_connectors::iceberg::lake::{Lake, LakeConfig};
use millstream_connectors::iceberg::{AsOf, LakeTable};
use millstream_connectors::storage::LocalStorage;
use millstream_core::env::Env;
use millstream_server::env::RealEnv;

use super::support::{PATIENCE, Running, folder, run, write};

const ROWS: i64 = 30_000;

/// Small commits, so that there are many of them to be killed in.
const JOB: &str = "\
CREATE TABLE made (id BIGINT, at TIMESTAMP(3)) WITH (
  'connector' = 'datagen', 'number-of-rows' = '30000', 'rows-per-second' = '15000',
  'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '30000');
CREATE TABLE raw (id BIGINT, part BIGINT, name STRING) WITH (
  'connector' = 'iceberg', 'catalog-table' = 'lake.raw', 'partitioning' = 'part',
  'commit.max-age' = '50 ms', 'commit.target-size' = '64KiB');
INSERT INTO raw SELECT id, MOD(id, 3), CONCAT('n', CAST(id AS STRING)) FROM made;
";

/// What the current snapshot has, sorted. Nothing runs on the directory.
fn ids(data_dir: &Path) -> Vec<i64> {
    let config = LakeConfig {
        data_dir: Some(data_dir.canonicalize().expect("it is there")),
        ..LakeConfig::default()
    };
    let storage = Arc::new(LocalStorage::new(data_dir));
    let lake = Lake::open(config, storage, Arc::new(RealEnv::new()));
    let catalog = lake.catalog().expect("it opens");
    let catalog = catalog.commits.catalog();
    let names = catalog.list().expect("it answers");
    let table = catalog.load(&names[0]).expect("it is sound");
    let table = LakeTable::new(table.expect("it is there"), AsOf::Now).expect("it can be read");
    let plan = table.plan_blocking(&[0], None).expect("files are there");
    let schema = Arc::new(table.schema().project(&[0]).expect("it has an id"));
    let rows = table
        .read(plan.files, schema, 8192)
        .expect("files are there");
    let runtime = tokio::runtime::Runtime::new().expect("threads for the test");
    let rows: Vec<_> = runtime
        .block_on(rows.try_collect())
        .expect("files are sound");
    let mut ids: Vec<i64> = vec![];
    for batch in rows {
        ids.extend(batch.column(0).as_primitive::<Int64Type>().values());
    }
    ids.sort_unstable();
    ids
}

/// Looks each millisecond.
fn wait_until(condition: impl Fn() -> bool) {
    let env = RealEnv::new();
    let deadline = env.monotonic() + PATIENCE;
    while !condition() {
        assert!(env.monotonic() < deadline, "it never came to that");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

#[test]
fn every_row_is_in_the_lake_once_after_kills() {
    let folder = folder();
    let folder = folder.path();
    write(folder, "job.sql", JOB);
    let arguments = [
        "run",
        "job.sql",
        "--data-dir",
        "data",
        "--set",
        "execution.checkpointing.interval=20ms",
    ];
    let metadata = folder.join("data/lake/warehouse/lake/raw/metadata");
    let snapshots = || {
        let files = std::fs::read_dir(&metadata).into_iter().flatten().flatten();
        let is_list = |name: &str| name.starts_with("snap-");
        files
            .filter(|file| is_list(&file.file_name().to_string_lossy()))
            .count()
    };
    for _ in 0..3 {
        let before = snapshots();
        let running = Running::start(folder, &arguments);
        wait_until(|| snapshots() > before + 1);
        running.signal("KILL");
        running.end();
    }
    run(folder, &arguments).check_ok();
    assert!(snapshots() > 3);
    assert_eq!(ids(&folder.join("data")), (1..=ROWS).collect::<Vec<_>>());
    run(folder, &["verify", "--data-dir", "data"]).check_ok();
}
