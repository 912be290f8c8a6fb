//! A hot table as a table that joins hold in memory: all rows of the version that is current when it
//! is read.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_core::plan::{SinkPlan, SinkRole, SourcePlan};
use millstream_core::source::{Read, ReadLimit, Source, Split, SplitReader};
use millstream_core::types::sql_name;
use millstream_core::{Error, Offset, Result, SinkId, SplitId};

use super::{HotTable, HotTables, Scan, TableName, definition};

/// See the module.
struct HotTableSource {
    table: Arc<HotTable>,
    /// The columns that are read.
    columns: SchemaRef,
}

/// Reads the table of `plan`. `InvalidInput` if it is not there, or lacks a column.
pub(super) fn source(tables: &HotTables, plan: &SourcePlan) -> Result<Box<dyn Source>> {
    let columns = plan.shape.decoded.clone();
    let name = name(plan)?;
    let table = tables.table(&name.database, &name.table).ok_or_else(|| {
        Error::invalid(format!(
            "no table `{name}` in the data directory: nothing has written it"
        ))
    })?;
    let source = HotTableSource { table, columns };
    source.projection()?;
    Ok(Box::new(source))
}

/// The table that `plan` means. `InvalidInput` about the option that is wrong.
pub(super) fn name(plan: &SourcePlan) -> Result<TableName> {
    let as_sink = SinkPlan {
        id: SinkId(0),
        table: plan.table.clone(),
        connector: plan.connector.clone(),
        schema: plan.shape.decoded.clone(),
        primary_key: vec![],
        role: SinkRole::Results,
    };
    Ok(definition(&as_sink)?.name)
}

impl HotTableSource {
    /// Which columns of the table are read.
    fn projection(&self) -> Result<Vec<usize>> {
        let schema = self.table.schema();
        let fields = self.columns.fields().iter();
        let projection = fields.map(|field| {
            let name = self.table.name();
            let Ok(index) = schema.index_of(field.name()) else {
                let message = format!("table `{name}` has no column `{}`", field.name());
                return Err(Error::invalid(message));
            };
            let (found, expected) = (schema.field(index).data_type(), field.data_type());
            match found == expected {
                true => Ok(index),
                false => Err(Error::invalid(format!(
                    "column `{}` of table `{name}`: found {}, expected {}",
                    field.name(),
                    sql_name(found),
                    sql_name(expected)
                ))),
            }
        });
        projection.collect()
    }
}

impl Source for HotTableSource {
    fn splits(&self) -> Result<Vec<Split>> {
        Ok(vec![Split {
            id: SplitId::new("rows"),
            metadata: [].into(),
        }])
    }

    fn open(&self, _: &SplitId, _: Option<Offset>) -> Result<Box<dyn SplitReader>> {
        let scan = self
            .table
            .snapshot()
            .scan(Some(&self.projection()?), None)?;
        Ok(Box::new(HotTableReader { scan, rows: 0 }))
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn version(&self) -> Result<Option<String>> {
        Ok(Some(self.table.snapshot().number().to_string()))
    }
}

struct HotTableReader {
    scan: Scan,
    rows: u64,
}

impl SplitReader for HotTableReader {
    /// A batch as it is stored, whatever the limit.
    fn read(&mut self, _: ReadLimit) -> Result<Read> {
        match self.scan.next().transpose()? {
            Some(rows) => {
                self.rows += rows.num_rows() as u64;
                Ok(Read::Rows(rows))
            }
            None => Ok(Read::End),
        }
    }

    fn offset(&self) -> Offset {
        Offset(self.rows)
    }
}
