//! [`Target`]: a lake table as those see it who write files for it: its columns, partitions and folder
//! at one moment. Files that were written for an older schema or partitioning stay valid.

use std::collections::HashMap;
use std::sync::Arc;

use ::iceberg::TableIdent;
use ::iceberg::arrow::{PartitionValueCalculator, arrow_struct_to_literal};
use ::iceberg::spec::{
    FormatVersion, Literal, PartitionKey, PartitionSpecRef, SchemaRef, SortOrderRef, StructType,
};
use ::iceberg::table::Table;
use ::iceberg::writer::file_writer::location_generator::{
    DefaultLocationGenerator, LocationGenerator,
};
use arrow::array::{Array, ArrayRef, RecordBatch, StructArray, UInt32Array, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, take, take_record_batch};
use arrow::datatypes::{Field, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef};
use arrow::row::{RowConverter, SortField};
use millstream_core::{Error, Result};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;

use super::error::from_iceberg;
use super::files::Files;
use super::schema::arrow_schema;

/// A table as its writers see it.
pub(super) struct Target {
    pub ident: TableIdent,
    pub files: Files,
    pub schema: SchemaRef,
    /// The same, with the ids that Parquet files carry.
    pub arrow: ArrowSchemaRef,
    pub spec: PartitionSpecRef,
    pub partition_type: StructType,
    pub sort_order: SortOrderRef,
    pub format: FormatVersion,
    /// Bytes at which a file is full.
    pub file_bytes: u64,
    /// `None`: the table has no partitions.
    calculator: Option<PartitionValueCalculator>,
    locations: DefaultLocationGenerator,
}

/// How columns of rows and of a table belong together.
#[derive(Clone, Copy)]
pub(super) enum By {
    /// Rows of a pipeline.
    Name,
    /// Rows of a file that was written for the table, whatever its columns were called then.
    Id,
}

impl Target {
    pub fn new(table: &Table, files: &Files, file_bytes: u64) -> Result<Self> {
        let metadata = table.metadata();
        let schema = metadata.current_schema().clone();
        let spec = metadata.default_partition_spec().clone();
        let calculator = match spec.is_unpartitioned() {
            true => None,
            false => Some(PartitionValueCalculator::try_new(&spec, &schema).map_err(from_iceberg)?),
        };
        Ok(Self {
            ident: table.identifier().clone(),
            files: files.clone(),
            arrow: arrow_schema(&schema)?,
            partition_type: spec.partition_type(&schema).map_err(from_iceberg)?,
            sort_order: metadata.default_sort_order().clone(),
            format: metadata.format_version(),
            file_bytes,
            calculator,
            locations: DefaultLocationGenerator::new(metadata).map_err(from_iceberg)?,
            schema,
            spec,
        })
    }

    /// The URI of a new file of a partition.
    pub fn uri(&self, partition: Option<&PartitionKey>, name: &str) -> String {
        let folder = partition.map_or_else(String::new, PartitionKey::to_path);
        // Folders mean nothing: what the partition is stands in the manifest.
        let plain = |letter: char| match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' | '=' | '/' => letter,
            _ => '_',
        };
        let folder: String = folder.chars().map(plain).collect();
        let separator = if folder.is_empty() { "" } else { "/" };
        self.locations
            .generate_location(None, &format!("{folder}{separator}{name}"))
    }

    /// `rows` with the table's columns and types; columns that they lack are null.
    ///
    /// # Errors
    /// `InvalidInput` if a value does not fit, or is missing where the table requires one.
    pub fn conformed(&self, rows: &RecordBatch, by: By) -> Result<RecordBatch> {
        let schema = rows.schema();
        let column = |field: &Arc<Field>| -> Result<ArrayRef> {
            let Some(index) = find(&schema, field, by) else {
                return Ok(new_null_array(field.data_type(), rows.num_rows()));
            };
            let found = rows.column(index);
            if found.data_type() == field.data_type() {
                return Ok(found.clone());
            }
            let options = CastOptions {
                safe: false,
                ..CastOptions::default()
            };
            cast_with_options(found, field.data_type(), &options).map_err(|error| {
                let name = field.name();
                Error::invalid(format!(
                    "lake table `{}`, column `{name}`: {error}",
                    self.ident
                ))
            })
        };
        let columns = self.arrow.fields().iter().map(column);
        let columns = columns.collect::<Result<Vec<_>>>()?;
        RecordBatch::try_new(self.arrow.clone(), columns)
            .map_err(|error| Error::invalid(format!("lake table `{}`: {error}", self.ident)))
    }

    /// The rows of each partition, in the order in which partitions come up.
    pub fn split(&self, rows: RecordBatch) -> Result<Vec<(Option<PartitionKey>, RecordBatch)>> {
        let Some(calculator) = &self.calculator else {
            return Ok(vec![(None, rows)]);
        };
        if rows.num_rows() == 0 {
            return Ok(vec![]);
        }
        let values = calculator.calculate(&rows).map_err(from_iceberg)?;
        let groups = groups(&values)?;
        let firsts: UInt32Array = groups.iter().map(|group| group[0]).collect();
        let keys = self.keys(&take(&values, &firsts, None)?)?;
        if let [_] = groups.as_slice() {
            // PERF: most batches are of one partition; their rows are not copied.
            return Ok(keys
                .into_iter()
                .map(|key| (Some(key), rows.clone()))
                .collect());
        }
        let part = |(key, group): (PartitionKey, Vec<u32>)| {
            Ok((
                Some(key),
                take_record_batch(&rows, &UInt32Array::from(group))?,
            ))
        };
        keys.into_iter().zip(groups).map(part).collect()
    }

    fn keys(&self, values: &ArrayRef) -> Result<Vec<PartitionKey>> {
        let literals = arrow_struct_to_literal(values, &self.partition_type);
        let literals = literals.map_err(from_iceberg)?;
        let key = |literal: Option<Literal>| match literal {
            Some(Literal::Struct(data)) => Ok(PartitionKey::new(
                self.spec.as_ref().clone(),
                self.schema.clone(),
                data,
            )),
            other => Err(Error::bug(format!(
                "a partition is a struct, found {other:?}"
            ))),
        };
        literals.into_iter().map(key).collect()
    }
}

fn find(schema: &ArrowSchema, field: &Field, by: By) -> Option<usize> {
    match by {
        By::Name => schema.index_of(field.name()).ok(),
        By::Id => {
            let id = field.metadata().get(PARQUET_FIELD_ID_META_KEY)?;
            let has_id =
                |found: &Arc<Field>| found.metadata().get(PARQUET_FIELD_ID_META_KEY) == Some(id);
            schema.fields().iter().position(has_id)
        }
    }
}

/// Numbers of rows with equal values, each group in order.
fn groups(values: &ArrayRef) -> Result<Vec<Vec<u32>>> {
    let values = values.as_any().downcast_ref::<StructArray>();
    let values = values.ok_or_else(|| Error::bug("partition values are a struct"))?;
    let fields = values.columns().iter();
    let fields = fields.map(|column| SortField::new(column.data_type().clone()));
    let converter = RowConverter::new(fields.collect())?;
    let rows = converter.convert_columns(values.columns())?;
    let mut numbers = HashMap::new();
    let mut groups: Vec<Vec<u32>> = vec![];
    let mut last = None;
    for (row, place) in rows.iter().zip(0_u32..) {
        // PERF: events come roughly in order of time, so the group is mostly that of the row before.
        let number = match last {
            Some((before, number)) if before == row => number,
            _ => *numbers.entry(row).or_insert_with(|| {
                groups.push(vec![]);
                groups.len() - 1
            }),
        };
        groups[number].push(place);
        last = Some((row, number));
    }
    Ok(groups)
}
