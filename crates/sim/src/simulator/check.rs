//! What must be there at the end: every table and topic holds what the loops of [`super::oracle`] give
//! over all of the input.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use iceberg::TableIdent;
use millstream_connectors::hot_table::HotTables;
use millstream_connectors::iceberg::lake::{Lake, LakeConfig};
use millstream_connectors::iceberg::{AsOf, LakeTable};
use millstream_connectors::topic::{TopicLog, TopicLogConfig};
use millstream_core::Offset;
use millstream_core::env::Env;
use millstream_core::source::{Read, ReadLimit, SplitReader};
use millstream_core::storage::Storage;

use super::config::Config;
use super::input::Input;
use super::query::{Query, SinkKind};
use super::remote::RemoteTable;
use super::world::World;
use crate::slt::answer::{difference, lines};

/// How the records of a table must be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// All of them.
    pub read: u64,
    /// Rows that at least one query drops as late.
    pub late: u64,
    /// Records that cannot be decoded.
    pub undecodable: u64,
}

impl Expected {
    /// Of the table called `name`.
    pub fn of(config: &Config, input: &Input, name: &str) -> Self {
        let table = input.table(name);
        let late: BTreeSet<i64> = late(config, input, name)
            .into_iter()
            .map(|(seq, _)| seq)
            .collect();
        let records = table.partitions.iter().map(Vec::len).sum::<usize>();
        Self {
            read: records as u64,
            late: late.len() as u64,
            undecodable: table.dead().len() as u64,
        }
    }
}

/// Late rows of a table, each with the query that drops it.
fn late(config: &Config, input: &Input, name: &str) -> BTreeSet<(i64, String)> {
    let mut late = BTreeSet::new();
    for (query, _) in config.pipeline.queries() {
        if query.sources.contains(&name) {
            let answer = (query.answer)(input, config.pipeline.lateness_ms);
            late.extend(answer.late.iter().map(|seq| (*seq, query.name.to_owned())));
        }
    }
    late
}

/// The tables of the service far away: those that queries fill may never show anything wrong.
pub fn remote_tables(config: &Config, input: &Input) -> Vec<(String, RemoteTable)> {
    let queries = config.pipeline.queries();
    let queries = queries.filter(|(_, sink)| *sink == SinkKind::Remote);
    let tables = queries.map(|(query, _)| {
        let answer = (query.answer)(input, config.pipeline.lateness_ms);
        (query.name.to_owned(), RemoteTable::expecting(&answer.rows))
    });
    tables.collect()
}

/// What there is to read.
struct Found<'a> {
    world: &'a World,
    topics: Arc<TopicLog>,
    tables: Arc<HotTables>,
    lake: Lake,
}

/// Compares everything. How many rows there are.
///
/// # Errors
/// The first difference, or what cannot be read.
pub fn check(world: &World) -> Result<u64> {
    let storage: Arc<dyn Storage> = Arc::new(world.state().disk.copy());
    let env: Arc<dyn Env> = world.env.clone();
    let found = Found {
        world,
        topics: TopicLog::open(storage.clone(), env.clone(), TopicLogConfig::default())?,
        tables: HotTables::open(storage.clone())?,
        lake: Lake::open(LakeConfig::default(), storage, env),
    };
    let mut rows = 0;
    for (query, sink) in world.config.pipeline.queries() {
        rows += found.check_query(query, sink)?;
    }
    for source in world.config.pipeline.sources() {
        found.check_late(source)?;
        found.check_dead(source)?;
    }
    Ok(rows)
}

fn same(what: &str, mut expected: Vec<String>, mut found: Vec<String>) -> Result<()> {
    expected.sort();
    found.sort();
    match difference(&expected, &found) {
        None => Ok(()),
        Some(text) => {
            let lines = text.lines().filter(|line| !line.starts_with("      "));
            let lines: Vec<&str> = lines.take(20).collect();
            anyhow::bail!("`{what}`: expected -, found +\n{}", lines.join("\n"))
        }
    }
}

impl Found<'_> {
    fn check_query(&self, query: &Query, sink: SinkKind) -> Result<u64> {
        let lateness_ms = self.world.config.pipeline.lateness_ms;
        let expected = (query.answer)(&self.world.input, lateness_ms).rows;
        let found = match sink {
            SinkKind::Table | SinkKind::KeyedTable => self.table(query.name)?,
            SinkKind::Remote => self.remote(query.name),
            SinkKind::Topic => self.topic(query)?,
            SinkKind::Lake => self.lake(query)?,
        };
        let rows = found.len() as u64;
        same(query.name, expected, found)?;
        Ok(rows)
    }

    fn check_late(&self, source: &str) -> Result<()> {
        let name = format!("{source}_late");
        let rows = self.rows(&name, &["seq", "late_for"])?;
        let mut found = vec![];
        for row in rows {
            let (seq, tables) = row.split_once("  ").context("two columns")?;
            found.extend(
                tables
                    .split(',')
                    .map(|table| format!("{seq}  {}", table.trim())),
            );
        }
        let expected = late(&self.world.config, &self.world.input, source);
        let expected = expected
            .iter()
            .map(|(seq, table)| format!("{seq}  {table}"));
        same(&name, expected.collect(), found)
    }

    fn check_dead(&self, source: &str) -> Result<()> {
        let name = format!("{source}_dead");
        let found = self.rows(&name, &["split", "offset"])?;
        let expected = self.world.input.table(source).dead();
        let expected = expected
            .iter()
            .map(|(partition, offset)| format!("{source}-{partition}  {offset}"));
        same(&name, expected.collect(), found)
    }

    /// Some columns of the rows of a table that is not a query's.
    fn rows(&self, name: &str, columns: &[&str]) -> Result<Vec<String>> {
        if self.world.config.is_shared() {
            return Ok(self.remote(name));
        }
        let tables = self.tables.all();
        // Where no query can drop a row there is no table for those.
        let Some(table) = tables.iter().find(|table| table.name().table == name) else {
            return Ok(vec![]);
        };
        let snapshot = table.snapshot();
        let schema = snapshot.schema().clone();
        let columns: Result<Vec<usize>> = columns
            .iter()
            .map(|column| Ok(schema.index_of(column)?))
            .collect();
        let rows = snapshot.scan(Some(&columns?), None)?;
        let rows: Vec<_> = rows.collect::<millstream_core::Result<_>>()?;
        lines(&rows, false)
    }

    fn table(&self, name: &str) -> Result<Vec<String>> {
        let tables = self.tables.all();
        let table = tables.iter().find(|table| table.name().table == name);
        let table = table.with_context(|| format!("no table `{name}`"))?;
        let rows = table.snapshot();
        let rows = rows.scan(None, None)?;
        let rows: Vec<_> = rows.collect::<millstream_core::Result<_>>()?;
        lines(&rows, false)
    }

    fn remote(&self, name: &str) -> Vec<String> {
        let state = self.world.state();
        let table = state.remote.get(name);
        table.map_or(vec![], |table| table.rows.clone())
    }

    /// The rows of a lake table, of whose files none may be named twice.
    fn lake(&self, query: &Query) -> Result<Vec<String>> {
        let catalog = self.lake.catalog()?;
        let ident = TableIdent::from_strs(["default", query.name])?;
        let table = catalog.commits.catalog().load(&ident)?;
        let table = table.with_context(|| format!("no lake table `{}`", query.name))?;
        let table = LakeTable::new(table, AsOf::Now)?;
        let projection: Vec<usize> = (0..table.schema().fields().len()).collect();
        let files = table.plan_blocking(&projection, None)?.files;
        let mut paths: Vec<&str> = files.iter().map(|f| f.data_file_path()).collect();
        paths.sort_unstable();
        let twice = paths.windows(2).find(|pair| pair[0] == pair[1]);
        ensure!(
            twice.is_none(),
            "`{}`: a file is named twice: {twice:?}",
            query.name
        );
        // Times are shown as those of the other sinks, which have milliseconds.
        let fields = table
            .schema()
            .fields()
            .iter()
            .map(|field| match field.data_type() {
                DataType::Timestamp(_, None) => Field::new(
                    field.name(),
                    DataType::Timestamp(TimeUnit::Millisecond, None),
                    true,
                ),
                _ => field.as_ref().clone(),
            });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        lines(&table.read_blocking(files, schema)?, false)
    }

    fn topic(&self, query: &Query) -> Result<Vec<String>> {
        let columns: Vec<&str> = query
            .columns
            .split(", ")
            .filter_map(|column| column.split(' ').next())
            .collect();
        let limit = ReadLimit {
            rows: 1_000,
            bytes: 1 << 20,
        };
        let mut found = vec![];
        let partitions = self.topics.end_offsets(query.name)?.len();
        for partition in 0..partitions {
            let partition = u32::try_from(partition)?;
            let mut reader = self.topics.reader(query.name, partition, Offset(0))?;
            while let Read::Records(batch) = reader.read(limit)? {
                for record in 0..batch.len() {
                    found.push(line(batch.record(record), &columns)?);
                }
            }
        }
        Ok(found)
    }
}

/// A row of JSON as tables show it.
fn line(record: &[u8], columns: &[&str]) -> Result<String> {
    let row: serde_json::Value = serde_json::from_slice(record)?;
    let cells = columns.iter().map(|column| {
        let cell = row.get(*column).with_context(|| format!("no `{column}`"))?;
        Ok(match cell.as_str() {
            Some(time) if time.starts_with("2025-06-15 ") && time.contains('.') => {
                time.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            Some(text) => text.to_owned(),
            None => cell.to_string(),
        })
    });
    let cells: Vec<String> = cells.collect::<Result<_>>()?;
    ensure!(!cells.is_empty(), "a row without columns");
    Ok(cells.join("  "))
}
