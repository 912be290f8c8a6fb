//! A lake table as DataFusion reads it: only the columns that the query needs, from the files that its
//! filters leave over, spread over as many partitions as there are threads. EXPLAIN shows how many.

mod exec;
mod predicate;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use millstream_connectors::iceberg::LakeTable;

use super::scan::external;
use exec::LakeExec;

/// A table as of one snapshot.
pub struct LakeProvider {
    name: String,
    table: LakeTable,
}

impl LakeProvider {
    /// The table `name`.
    pub fn new(name: String, table: LakeTable) -> Self {
        Self { name, table }
    }
}

impl fmt::Debug for LakeProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.table.snapshot_id();
        write!(f, "LakeProvider({} snapshot={snapshot:?})", self.name)
    }
}

#[async_trait]
impl TableProvider for LakeProvider {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self) -> SchemaRef {
        self.table.schema().clone()
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
        let all = || (0..self.table.schema().fields().len()).collect();
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(all);
        let predicate = predicate::of_filters(filters, self.table.columns());
        // A scan without columns would have no rows.
        let read = if wanted.is_empty() {
            vec![0]
        } else {
            wanted.clone()
        };
        let plan = self.table.plan(&read, predicate.clone()).await;
        let plan = plan.map_err(external)?;
        let exec = LakeExec::new(
            (self.name.clone(), self.table.clone()),
            (&read, wanted.len()),
            plan,
            exec::Narrowing {
                predicate,
                limit,
                partitions: state.config().target_partitions(),
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
