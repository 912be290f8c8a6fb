//! Join with a table that is held in memory: each row meets the table as it is now.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_core::plan::{Join, JoinOn};
use millstream_core::{Error, Result, TableId};

use super::super::batch::Batch;
use super::{Indexed, Joiner};

/// See the module.
pub struct TableJoinOperator {
    table: TableId,
    joiner: Joiner,
    rows: Option<Arc<Indexed>>,
}

impl TableJoinOperator {
    /// The operator for `plan` over rows of the left and of the table, giving rows of `schema`.
    pub fn new(plan: &Join, sides: [SchemaRef; 2], schema: SchemaRef) -> Result<Self> {
        let JoinOn::Table(table) = plan.on else {
            return Err(Error::bug("a join with a table needs one"));
        };
        Ok(Self {
            table,
            joiner: Joiner::new(plan, sides, schema)?,
            rows: None,
        })
    }

    /// The table that it joins with.
    pub fn table(&self) -> TableId {
        self.table
    }

    /// The table's rows as [`set_rows`](Self::set_rows) takes them. All shards share them.
    pub fn indexed(&self, batches: &[RecordBatch]) -> Result<Arc<Indexed>> {
        Ok(Arc::new(Indexed::new(&self.joiner, batches)?))
    }

    /// From now on rows meet these.
    pub fn set_rows(&mut self, rows: Arc<Indexed>) {
        self.rows = Some(rows);
    }

    /// Gives the rows of `batch` beside those of the table, some at a time. They keep their place in
    /// their split.
    pub fn join(&self, batch: &Batch, emit: &mut dyn FnMut(Batch) -> Result<()>) -> Result<()> {
        let table = self.rows.as_ref();
        let table = table.ok_or_else(|| Error::bug("a table was not read before its join"))?;
        self.joiner
            .pairs(&batch.rows, table, None, &mut |rows, of_left| {
                let origin = batch.origin.as_ref().map(|origin| origin.chosen(&of_left));
                emit(Batch { rows, origin })
            })
    }
}
