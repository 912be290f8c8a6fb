//! Questions in SQL over the hot tables and the lake, answered by DataFusion.
//!
//! ```text
//! text -> statement (only what reads) -> catalog (names to snapshots) -> plan -> scan -> result
//! ```
//!
//! Each table that a query names is read as of one snapshot, however often it is named. Filters on
//! columns with a known range skip parts and row groups ([`scan`]). Names keep their case, as in
//! Flink; both `` `a` `` and `"a"` quote. Flink's scalar functions take the place of DataFusion's
//! of the same name. What could take memory that DataFusion does not count is bounded ([`bounded`],
//! [`guard`]) or not there; what needs a deep stack is refused ([`shape`]).
//!
//! INVARIANTS: a query changes nothing; it holds no more memory than the limit, which all queries
//! share, and ends when its time is over or its caller goes away; results have Flink's types only.

mod bounded;
mod catalog;
mod error;
mod guard;
mod lake;
mod result;
mod scan;
mod session;
mod shape;
mod statement;
#[cfg(test)]
mod tests;
mod threads;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{CatalogProviderList, MemoryCatalogProviderList};
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SQLOptions;
use datafusion::sql::parser::Statement;
use futures::StreamExt;
use millstream_connectors::hot_table::HotTables;
use millstream_connectors::iceberg::lake::Lake;
use millstream_core::{Error, Result};
use tokio::time::{Instant, timeout};

pub use error::QueryError;
pub use result::{to_csv, to_json, to_table_text};

use catalog::Catalog;
use error::into_error;
use result::Plain;
use statement::Question;
use threads::QueryThreads;

/// What a query may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// Most rows that are returned; the rest is cut off.
    pub rows_max: usize,
    /// Longest time that a query may take.
    pub timeout: Duration,
    /// Most bytes of memory that all queries together may hold, and that one result may have.
    pub memory_bytes: usize,
}

/// The answer to a query.
#[derive(Debug, Clone)]
pub struct QueryResult {
    /// Its columns, of types that Flink SQL has.
    pub schema: SchemaRef,
    /// Its rows.
    pub batches: Vec<RecordBatch>,
    /// Whether there were more rows than the limit.
    pub truncated: bool,
    /// How long it took.
    pub elapsed: Duration,
}

impl QueryResult {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// Answers queries over hot tables.
pub struct QueryEngine {
    shared: Arc<Shared>,
    threads: QueryThreads,
}

struct Shared {
    tables: Arc<HotTables>,
    lake: Option<Arc<Lake>>,
    limits: QueryLimits,
    /// Options, functions and memory, to which each query adds its tables.
    template: SessionState,
}

impl QueryEngine {
    /// An engine over `tables` and those of `lake`, with threads of its own.
    ///
    /// # Errors
    /// `Unavailable` if there are no more threads to have.
    pub fn new(
        tables: Arc<HotTables>,
        lake: Option<Arc<Lake>>,
        limits: QueryLimits,
    ) -> Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let shared = Shared {
            tables,
            lake,
            limits,
            template: session::template(limits.memory_bytes, threads),
        };
        Ok(Self {
            shared: Arc::new(shared),
            threads: QueryThreads::start(threads)?,
        })
    }

    /// Answers one statement: SELECT, WITH, SHOW TABLES, DESCRIBE or EXPLAIN.
    ///
    /// # Errors
    /// [`QueryError::TimedOut`]; or `InvalidInput` if it cannot be parsed or bound, is of another
    /// kind, fails on the data that it finds, or goes beyond a limit; `Corrupt` if it meets a
    /// damaged file.
    pub async fn query(&self, sql: &str) -> Result<QueryResult, QueryError> {
        let start = Instant::now();
        let limit = self.shared.limits.timeout;
        let (shared, sql) = (self.shared.clone(), sql.to_owned());
        // A task of its own: the timeout holds even while the query computes. It is aborted, at
        // the end of a batch, when this future is dropped.
        let task = self.threads.spawn(async move { shared.answer(&sql).await });
        let (schema, batches, truncated) = match timeout(limit, task).await {
            Ok(Ok(answer)) => answer?,
            Ok(Err(panic)) => Err(Error::bug(format!("the query ended: {panic}")))?,
            Err(_) => return Err(QueryError::TimedOut(limit)),
        };
        Ok(QueryResult {
            schema,
            batches,
            truncated,
            elapsed: start.elapsed(),
        })
    }
}

impl Shared {
    async fn answer(&self, sql: &str) -> Result<Answer> {
        let question = statement::parse(&versions::named(sql)?)?;
        let (tables, lake) = (self.tables.all(), self.lake.clone());
        let opened = move || {
            let lake = lake.map(|lake| lake.existing()).transpose()?.flatten();
            let lake = lake.map(|opened| opened.commits.catalog().clone());
            Catalog::new(tables, lake)
        };
        let catalog = blocking(opened).await?;
        match question {
            Question::ShowTables => self.limited(blocking(move || catalog.show_tables()).await?),
            Question::Describe(name) => {
                self.limited(blocking(move || catalog.describe(&name)).await?)
            }
            Question::Query(statement) => {
                let stream = self.run(&catalog, statement).await?;
                self.collect(stream).await
            }
        }
    }

    /// Plans and starts a statement.
    async fn run(
        &self,
        catalog: &Catalog,
        statement: Statement,
    ) -> Result<SendableRecordBatchStream> {
        let names = self
            .template
            .resolve_table_references(&statement)
            .map_err(into_error)?;
        let functions = self.template.table_functions();
        let tables = names
            .iter()
            .filter(|name| !functions.contains_key(name.table()));
        let providers = catalog.providers(tables).await?;
        let list = MemoryCatalogProviderList::new();
        list.register_catalog(catalog::NAME.to_owned(), Arc::new(providers));
        let mut state = self.template.clone();
        state.register_catalog_list(Arc::new(list));
        // What NOW() says, throughout the query.
        let options = state.config_options().clone();
        state.execution_props_mut().mark_start_execution(options);
        let plan = state
            .statement_to_plan(statement)
            .await
            .map_err(into_error)?;
        let reads_only = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        reads_only.verify_plan(&plan).map_err(into_error)?;
        let plan = state
            .create_physical_plan(&plan)
            .await
            .map_err(into_error)?;
        execute_stream(plan, state.task_ctx()).map_err(into_error)
    }

    async fn collect(&self, mut stream: SendableRecordBatchStream) -> Result<Answer> {
        let plain = Plain::new(&stream.schema());
        let (mut batches, mut rows, mut bytes) = (vec![], 0, 0);
        while let Some(batch) = stream.next().await {
            let batch = plain.convert(&batch.map_err(into_error)?)?;
            let wanted = (self.limits.rows_max - rows).min(batch.num_rows());
            let truncated = wanted < batch.num_rows();
            if wanted > 0 {
                bytes += batch.get_array_memory_size();
                self.check_result_bytes(bytes)?;
                rows += wanted;
                batches.push(batch.slice(0, wanted));
            }
            if truncated {
                return Ok((plain.schema, batches, true));
            }
        }
        Ok((plain.schema, batches, false))
    }

    fn check_result_bytes(&self, bytes: usize) -> Result<()> {
        let limit = self.limits.memory_bytes;
        if bytes > limit {
            let message = format!("the result takes bytes={bytes}, more than the limit={limit}");
            return Err(Error::invalid(message));
        }
        Ok(())
    }

    fn limited(&self, rows: RecordBatch) -> Result<Answer> {
        let wanted = self.limits.rows_max.min(rows.num_rows());
        let truncated = wanted < rows.num_rows();
        Ok((rows.schema(), vec![rows.slice(0, wanted)], truncated))
    }
}

/// Runs what waits for files and services, on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|panic| Error::bug(format!("the lake's catalog: {panic}")))?
}

/// Columns, rows, and whether there were more.
type Answer = (SchemaRef, Vec<RecordBatch>, bool);
