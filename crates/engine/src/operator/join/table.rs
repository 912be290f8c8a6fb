//! Join with a table that is held in memory: each row meets the table as it is now.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_core::plan::{Join, JoinOn};
use millstream_core::{Error, Result, TableId};

use super::super::batch::{Batch, Origin};
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
    pub fn indexed(&self, rows: RecordBatch) -> Result<Arc<Indexed>> {
        Ok(Arc::new(self.joiner.index(rows)?))
    }

    /// From now on rows meet these.
    pub fn set_rows(&mut self, rows: Arc<Indexed>) {
        self.rows = Some(rows);
    }

    /// The rows of `batch` beside those of the table. They keep their place in their split.
    pub fn join(&self, batch: &Batch) -> Result<Batch> {
        let table = self.rows.as_ref();
        let table = table.ok_or_else(|| Error::bug("a table was not read before its join"))?;
        let matches = self.joiner.matches(&batch.rows, table)?;
        let sides = (&batch.rows, &table.rows);
        let counts = (batch.rows.num_rows(), table.rows.num_rows());
        let chosen = self.joiner.choose(&matches, counts.0, counts.1);
        let rows = self.joiner.rows(sides, &chosen)?;
        let origin = batch.origin.as_ref().map(|origin| Origin {
            source: origin.source.clone(),
            selection: Some(
                chosen
                    .left
                    .values()
                    .iter()
                    .map(|row| origin.source_row(*row as usize))
                    .collect(),
            ),
        });
        Ok(Batch { rows, origin })
    }
}
