//! Asks the hot tables, as a user would: SQL over what is committed.
//!
//! Each table is there under its own name and under its database's. Names keep their case.

use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use datafusion::catalog::MemorySchemaProvider;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::TableReference;
use millstream_connectors::hot_table::{HotTable, HotTables};

/// The rows of a SELECT.
pub fn select(tables: &HotTables, sql: &str) -> Result<Vec<RecordBatch>> {
    let config = SessionConfig::new()
        .with_target_partitions(1)
        .set_bool("datafusion.sql_parser.enable_ident_normalization", false);
    let context = SessionContext::new_with_config(config);
    for table in tables.all() {
        // Only what the query can mean: reading every table for every query would be slow.
        if sql.contains(table.name().table.as_str()) {
            register(&context, &table)?;
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let frame = context.sql(sql).await?;
        frame.collect().await.context("query")
    })
}

fn register(context: &SessionContext, table: &HotTable) -> Result<()> {
    let snapshot = table.snapshot();
    let rows = snapshot.scan(None, None)?;
    let rows = rows.collect::<millstream_core::Result<Vec<RecordBatch>>>()?;
    let rows = Arc::new(MemTable::try_new(snapshot.schema().clone(), vec![rows])?);
    let name = table.name();
    context.register_table(TableReference::bare(name.table.as_str()), rows.clone())?;
    let catalog = context.catalog("datafusion").context("the catalog")?;
    if catalog.schema(&name.database).is_none() {
        let schema = Arc::new(MemorySchemaProvider::new());
        catalog.register_schema(&name.database, schema)?;
    }
    let schema = catalog.schema(&name.database).context("just registered")?;
    schema.register_table(name.table.clone(), rows)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};
    use millstream_connectors::hot_table::{TableDefinition, TableName};
    use millstream_core::memory::MemoryStorage;

    use super::super::answer::lines;
    use super::*;

    #[test]
    fn a_table_has_its_own_name_and_its_databases() {
        let tables = HotTables::open(Arc::new(MemoryStorage::default())).unwrap();
        let definition = TableDefinition {
            name: TableName::new("rt", "Clicks").unwrap(),
            schema: Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)])),
            primary_key: vec![],
            retention_ms: None,
        };
        tables.create(&definition).unwrap();
        for name in ["Clicks", "rt.Clicks"] {
            let rows = select(&tables, &format!("SELECT COUNT(n) FROM {name}")).unwrap();
            assert_eq!(lines(&rows, false).unwrap(), ["0"]);
        }
        assert!(
            select(&tables, "SELECT * FROM clicks").is_err(),
            "names keep their case"
        );
    }
}
