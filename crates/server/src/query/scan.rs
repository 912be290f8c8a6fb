//! A hot table as DataFusion reads it: only the columns that the query needs, from the parts and
//! row groups whose ranges its filters leave over, spread over as many partitions as there are
//! threads. `EXPLAIN ANALYZE` shows what was skipped.

mod exec;
mod prune;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use millstream_connectors::hot_table::{HotTable, TableSnapshot};

use exec::HotTableExec;
pub use exec::external;
use prune::PredicatePrune;

/// A table as of one moment.
pub struct HotTableProvider {
    name: String,
    snapshot: TableSnapshot,
}

impl HotTableProvider {
    /// The table as it is now.
    pub fn new(table: &HotTable) -> Self {
        Self {
            name: table.name().to_string(),
            snapshot: table.snapshot(),
        }
    }
}

impl fmt::Debug for HotTableProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "HotTableProvider({} version={})",
            self.name,
            self.snapshot.number()
        )
    }
}

#[async_trait]
impl TableProvider for HotTableProvider {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> SchemaRef {
        self.snapshot.schema().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let prune = PredicatePrune::new(state, self.snapshot.schema(), filters)?.map(Arc::new);
        let snapshot = match &prune {
            Some(prune) => self.snapshot.pruned(prune.as_ref()).map_err(external)?,
            None => self.snapshot.clone(),
        };
        let partitions = snapshot.split(state.config().target_partitions());
        let exec = HotTableExec::new(
            self.name.clone(),
            partitions,
            projection.map(Vec::as_slice),
            exec::Narrowing {
                prune,
                limit,
                parts_before: self.snapshot.parts().len(),
            },
        )?;
        Ok(Arc::new(exec))
    }

    /// Filters skip what cannot match; rows that do not match are left to DataFusion.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}
