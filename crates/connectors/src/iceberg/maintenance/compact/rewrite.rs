//! Reading rows as the table has them, deletes applied, and writing them into one file.

use std::collections::HashSet;

use arrow::array::RecordBatch;
use arrow::compute::{
    SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch,
};
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::scan::FileScanTask;
use iceberg::spec::{DataFileBuilder, NullOrder, Schema, SchemaRef, SortDirection, SortOrder};
use iceberg::table::Table;
use iceberg::transform::create_transform_function;
use iceberg::writer::file_writer::{FileWriter, FileWriterBuilder, ParquetWriterBuilder};
use millstream_core::{Error, Result};

use super::super::live::Live;
use crate::iceberg::blocking::block_on;
use crate::iceberg::data_file::parquet_properties;
use crate::iceberg::error::from_iceberg;

/// Rows that are written at once.
const BATCH: usize = 8192;

/// Writes all rows of `files` that are not deleted to `path`; `None` if there are none.
pub(super) fn rewritten(
    table: &Table,
    files: &[Live],
    path: &str,
) -> Result<Option<DataFileBuilder>> {
    block_on(async {
        let Some((tasks, schema)) = tasks(table, files).await.map_err(from_iceberg)? else {
            return Err(Error::bug("a table without a snapshot has files"));
        };
        if tasks.len() != files.len() {
            let message = format!(
                "files of a scan: found {}, expected {}",
                tasks.len(),
                files.len()
            );
            return Err(Error::bug(message));
        }
        let reader = table.reader_builder().with_batch_size(BATCH);
        let reader = reader.with_data_file_concurrency_limit(1).build();
        let tasks = stream::iter(tasks.into_iter().map(Ok)).boxed();
        let rows = reader.read(tasks).map_err(from_iceberg)?.stream();
        let output = table.file_io().new_output(path).map_err(from_iceberg)?;
        let builder = ParquetWriterBuilder::new(parquet_properties(), schema.clone());
        let mut writer = builder.build(output).await.map_err(from_iceberg)?;
        let order = table.metadata().default_sort_order();
        let mut rows = rows.map_err(from_iceberg);
        if order.is_unsorted() {
            while let Some(batch) = rows.try_next().await? {
                writer.write(&batch).await.map_err(from_iceberg)?;
            }
        } else {
            let rows: Vec<RecordBatch> = rows.try_collect().await?;
            if let Some(sorted) = sorted(&rows, &schema, order)? {
                for begin in (0..sorted.num_rows()).step_by(BATCH) {
                    let batch = sorted.slice(begin, BATCH.min(sorted.num_rows() - begin));
                    writer.write(&batch).await.map_err(from_iceberg)?;
                }
            }
        }
        let built = writer.close().await.map_err(from_iceberg)?;
        Ok(built.into_iter().next())
    })
}

/// How to read each of `files`, in that order, and the columns.
async fn tasks(
    table: &Table,
    files: &[Live],
) -> iceberg::Result<Option<(Vec<FileScanTask>, SchemaRef)>> {
    let Some(snapshot) = table.metadata().current_snapshot() else {
        return Ok(None);
    };
    let schema = snapshot.schema(table.metadata())?;
    let scan = table
        .scan()
        .snapshot_id(snapshot.snapshot_id())
        .select_all()
        .build()?;
    let paths: HashSet<&str> = files.iter().map(Live::path).collect();
    let mut tasks: Vec<FileScanTask> = scan.plan_files().await?.try_collect().await?;
    tasks.retain(|task| paths.contains(task.data_file_path()));
    let place = |task: &FileScanTask| {
        files
            .iter()
            .position(|file| file.path() == task.data_file_path())
    };
    tasks.sort_by_key(place);
    Ok(Some((tasks, schema)))
}

fn sorted(rows: &[RecordBatch], schema: &Schema, order: &SortOrder) -> Result<Option<RecordBatch>> {
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let all = concat_batches(&first.schema(), rows)?;
    let mut columns = Vec::new();
    for field in &order.fields {
        // A column of the order that is not there any more, or within another, does not sort.
        let name = schema.name_by_field_id(field.source_id);
        let Some(column) = name.and_then(|name| all.column_by_name(name)) else {
            continue;
        };
        let transform = create_transform_function(&field.transform).map_err(from_iceberg)?;
        columns.push(SortColumn {
            values: transform.transform(column.clone()).map_err(from_iceberg)?,
            options: Some(SortOptions {
                descending: field.direction == SortDirection::Descending,
                nulls_first: field.null_order == NullOrder::First,
            }),
        });
    }
    if columns.is_empty() {
        return Ok(Some(all));
    }
    let order = lexsort_to_indices(&columns, None)?;
    Ok(Some(take_record_batch(&all, &order)?))
}
