//! Tables that joins hold in memory: read whole before the job reads anything, and again, between two
//! epochs, when one that is looked up has changed.
//!
//! Rows are in order of splits and of records, so they are the same wherever they are read. A record
//! that cannot be decoded is an error: a table that lacks rows would give wrong results, and no later
//! record would mend that. If that, or anything else, goes wrong when a table is read *again*, the job
//! goes on with the rows that it has and tries again after the next epoch.

use std::sync::Arc;

use arrow::array::RecordBatch;
use millstream_core::connector::Connectors;
use millstream_core::plan::{Operator, TablePlan};
use millstream_core::source::{Read, ReadLimit, Source, Split};
use millstream_core::{Error, ErrorKind, Result, SourceId, TableId, Watermark};

use super::config::JobConfig;
use crate::expr::{CompiledExpr, Surroundings, Watermarks};
use crate::operator::chain::rows_of;
use crate::operator::join::Indexed;
use crate::operator::shape::ShapeDecoder;
use crate::operator::{Chain, SplitContext};

const LIMIT: ReadLimit = ReadLimit {
    rows: 8_192,
    bytes: 1 << 20,
};

/// The rows of tables, for all shards.
pub type Loaded = Vec<(TableId, Arc<Indexed>)>;

/// See the module.
pub struct Tables {
    tables: Vec<Table>,
    /// Knows the joins, to index rows for them.
    chain: Chain,
}

struct Table {
    plan: TablePlan,
    source: Box<dyn Source>,
    version: Option<String>,
    bytes: usize,
    /// When it was looked at last, in ms.
    looked_at_ms: i64,
}

impl Table {
    /// Whether its rows may no longer be current.
    fn is_due(&self, now_ms: i64) -> bool {
        let age_ms = now_ms.saturating_sub(self.looked_at_ms);
        let is_fresh = u64::try_from(age_ms).is_ok_and(|age_ms| age_ms < self.plan.cache_ms);
        self.plan.is_refreshed && !is_fresh
    }
}

impl Tables {
    /// Reads all tables of a job's plan.
    pub fn open(config: &JobConfig) -> Result<(Self, Loaded)> {
        let mut chain = Chain::new(&config.plan)?;
        let (mut tables, mut loaded): (Vec<Table>, _) = (vec![], vec![]);
        for plan in &config.plan.tables {
            let of_table = |error: Error| error.context(format!("table `{}`", plan.source.table));
            let source = config.connectors.source(&plan.source).map_err(of_table)?;
            // What changes while it is read is seen as changed afterwards.
            let looked_at_ms = config.env.now_ms();
            let version = source.version().map_err(of_table)?;
            let held: usize = tables.iter().map(|table| table.bytes).sum();
            let rows = read(plan, (&*source, held), config).map_err(of_table)?;
            let rows = chain.table_join(plan.id)?.indexed(&rows)?;
            tables.push(Table {
                plan: plan.clone(),
                source,
                version,
                bytes: rows.size(),
                looked_at_ms,
            });
            loaded.push((plan.id, rows));
        }
        Ok((Self { tables, chain }, loaded))
    }

    /// Bytes that all tables hold.
    pub fn bytes(&self) -> usize {
        self.tables.iter().map(|table| table.bytes).sum()
    }

    /// The rows of tables that have changed.
    pub fn refresh(&mut self, config: &JobConfig) -> Result<Loaded> {
        let mut loaded = vec![];
        let all = self.bytes();
        let now_ms = config.env.now_ms();
        for table in self.tables.iter_mut().filter(|it| it.is_due(now_ms)) {
            table.looked_at_ms = now_ms;
            let again = || -> Result<Option<(Option<String>, Vec<RecordBatch>)>> {
                let version = table.source.version()?;
                if version == table.version {
                    return Ok(None);
                }
                let others = all - table.bytes;
                let rows = read(&table.plan, (&*table.source, others), config)?;
                Ok(Some((version, rows)))
            };
            let (version, rows) = match again() {
                Ok(None) => continue,
                Ok(Some(found)) => found,
                Err(error) if error.kind() == ErrorKind::Bug => return Err(error),
                Err(error) => {
                    let table = &table.plan.source.table;
                    tracing::warn!(%error, table, "goes on with the rows read before");
                    continue;
                }
            };
            let rows = self.chain.table_join(table.plan.id)?.indexed(&rows)?;
            table.version = version;
            table.bytes = rows.size();
            loaded.push((table.plan.id, rows));
        }
        Ok(loaded)
    }
}

/// All rows, after the table's steps; other tables hold so many bytes.
fn read(
    plan: &TablePlan,
    (source, held): (&dyn Source, usize),
    config: &JobConfig,
) -> Result<Vec<RecordBatch>> {
    let env = &config.env;
    let watermarks = Watermarks::All(Watermark::MIN);
    let surroundings = Surroundings::new(env.now_ms(), env.random(), watermarks);
    let mut decoder = decoder(plan, &*config.connectors)?;
    let mut batches = vec![];
    let mut bytes = held;
    for split in source.splits()? {
        let mut reader = source.open(&split.id, None)?;
        let context = SplitContext {
            source: SourceId(u32::MAX),
            split,
            watermark: Watermark::MIN,
        };
        loop {
            let rows = match reader.read(LIMIT)? {
                Read::End => break,
                // What ends has all its records there already, as far as it can be told.
                Read::Pending => break,
                Read::Rows(rows) => decoder.project(&rows, &surroundings)?,
                Read::Records(raw) => {
                    let shaped = decoder.decode(&raw, &context, &surroundings)?;
                    if let Some(first) = shaped.rejected.first() {
                        let offset = raw.offsets[first.record as usize];
                        return Err(undecodable(&context.split, offset, &first.error));
                    }
                    shaped.rows
                }
            };
            let rows = stepped(plan, rows, &surroundings)?;
            bytes += rows.get_array_memory_size();
            if bytes > config.memory_bytes_max {
                let limit = config.memory_bytes_max >> 20;
                return Err(Error::invalid(format!(
                    "its rows do not fit into memory: the tables that are joined with have more \
                     than the {limit} MiB that the pipeline may use"
                )));
            }
            batches.push(rows);
        }
    }
    Ok(batches)
}

fn undecodable(split: &Split, offset: u64, error: &str) -> Error {
    let split = &split.id;
    Error::invalid(format!(
        "split `{split}`, offset {offset}: {error}; a table that is joined with must be whole"
    ))
}

fn decoder(plan: &TablePlan, connectors: &dyn Connectors) -> Result<ShapeDecoder> {
    let shape = &plan.source.shape;
    let decoder = match plan.source.connector.get("format") {
        Some(_) => Some(connectors.decoder(&plan.source, &shape.decoded)?),
        None => None,
    };
    ShapeDecoder::new(shape, decoder)
}

/// What the table's steps leave of its rows.
fn stepped(
    plan: &TablePlan,
    mut rows: RecordBatch,
    surroundings: &Surroundings<'_>,
) -> Result<RecordBatch> {
    for step in &plan.steps {
        rows = match &step.operator {
            Operator::Filter(predicate) => {
                let predicate = CompiledExpr::compile(predicate, &rows.schema())?;
                let mask = predicate.filter_mask_in(&rows, surroundings)?;
                arrow::compute::filter_record_batch(&rows, &mask)?
            }
            Operator::Project(exprs) => {
                let input = rows.schema();
                let columns = exprs.iter().map(|expr| {
                    let expr = CompiledExpr::compile(expr, &input)?;
                    expr.evaluate_in(&rows, surroundings)
                });
                let columns: Result<Vec<_>> = columns.collect();
                rows_of(&step.schema, columns?, rows.num_rows())?
            }
            _ => return Err(Error::bug("a table's steps are filters and projections")),
        };
    }
    Ok(rows)
}
