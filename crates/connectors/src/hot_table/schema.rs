//! Columns as JSON in version files: `{"name": "page", "type": "STRING"}`, types under their
//! Flink names, nested ones as objects. Every column may be null.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use millstream_core::types::{array, map, sql_name, timestamp, timestamp_ltz};
use millstream_core::{Error, Result, Subject};
use serde::{Deserialize, Serialize};

/// A column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub column_type: ColumnType,
}

/// A type: a scalar's Flink name, or what a nested one is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum ColumnType {
    Scalar(String),
    Row { row: Vec<Column> },
    Array { array: Box<ColumnType> },
    Map { map: Box<(ColumnType, ColumnType)> },
}

/// The columns of `schema`. `InvalidInput` for a type that Flink SQL does not have.
pub(super) fn columns(schema: &Schema) -> Result<Vec<Column>> {
    let fields = schema.fields().iter();
    fields.map(|field| column(field)).collect()
}

fn column(field: &Field) -> Result<Column> {
    let column_type = encode(field.data_type())
        .map_err(|error| error.context(format!("column `{}`", field.name())))
        .map_err(|error| error.about(Subject::Column(field.name().clone())))?;
    Ok(Column {
        name: field.name().clone(),
        column_type,
    })
}

fn encode(data_type: &DataType) -> Result<ColumnType> {
    let encoded = match data_type {
        DataType::Struct(fields) => {
            let row = fields
                .iter()
                .map(|field| column(field))
                .collect::<Result<_>>()?;
            ColumnType::Row { row }
        }
        DataType::List(item) => ColumnType::Array {
            array: Box::new(encode(item.data_type())?),
        },
        DataType::Map(entries, false) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                let (key, value) = (encode(pair[0].data_type())?, encode(pair[1].data_type())?);
                ColumnType::Map {
                    map: Box::new((key, value)),
                }
            }
            other => return Err(not_storable(other)),
        },
        scalar => ColumnType::Scalar(sql_name(scalar)),
    };
    // What is read back must be what is written, down to the names of list items.
    match decode(&encoded) {
        Ok(back) if back == *data_type => Ok(encoded),
        _ => Err(not_storable(data_type)),
    }
}

fn not_storable(data_type: &DataType) -> Error {
    let name = sql_name(data_type);
    Error::invalid(format!(
        "a hot table cannot hold the type `{name}` (arrow: {data_type})"
    ))
}

/// The schema of `columns`. `Corrupt` for a type that is not known.
pub(super) fn schema(columns: &[Column]) -> Result<SchemaRef> {
    let fields = columns.iter().map(field).collect::<Result<Fields>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

fn field(column: &Column) -> Result<Field> {
    Ok(Field::new(&column.name, decode(&column.column_type)?, true))
}

fn decode(column_type: &ColumnType) -> Result<DataType> {
    match column_type {
        ColumnType::Scalar(name) => {
            scalar(name).ok_or_else(|| Error::corrupt(format!("unknown column type `{name}`")))
        }
        ColumnType::Row { row } => Ok(DataType::Struct(
            row.iter().map(field).collect::<Result<_>>()?,
        )),
        ColumnType::Array { array: element } => Ok(array(decode(element)?)),
        ColumnType::Map { map: pair } => Ok(map(decode(&pair.0)?, decode(&pair.1)?)),
    }
}

fn scalar(name: &str) -> Option<DataType> {
    let (base, arguments) = match name.split_once('(') {
        Some((base, rest)) => (base, rest.strip_suffix(')')?),
        None => (name, ""),
    };
    Some(match (base, arguments) {
        ("BOOLEAN", "") => DataType::Boolean,
        ("TINYINT", "") => DataType::Int8,
        ("SMALLINT", "") => DataType::Int16,
        ("INT", "") => DataType::Int32,
        ("BIGINT", "") => DataType::Int64,
        ("FLOAT", "") => DataType::Float32,
        ("DOUBLE", "") => DataType::Float64,
        ("STRING", "") => DataType::Utf8,
        ("BYTES", "") => DataType::Binary,
        ("DATE", "") => DataType::Date32,
        ("TIME", "3") => DataType::Time32(TimeUnit::Millisecond),
        ("INTERVAL DAY TO SECOND", "") => DataType::Duration(TimeUnit::Millisecond),
        ("TIMESTAMP", digits) => timestamp(digits.parse().ok()?),
        ("TIMESTAMP_LTZ", digits) => timestamp_ltz(digits.parse().ok()?),
        ("DECIMAL", arguments) => {
            let (precision, scale) = arguments.split_once(", ")?;
            DataType::Decimal128(precision.parse().ok()?, scale.parse().ok()?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the type as JSON and reads it back.
    fn check(data_type: DataType, expected: &str) {
        let schema_in = Schema::new(vec![Field::new("c", data_type, true)]);
        let columns = columns(&schema_in).unwrap();
        let json = serde_json::to_string(&columns[0].column_type).unwrap();
        assert_eq!(json, expected);
        let back: ColumnType = serde_json::from_str(&json).unwrap();
        let back = schema(&[Column {
            name: "c".into(),
            column_type: back,
        }])
        .unwrap();
        assert_eq!(*back, schema_in);
    }

    #[test]
    fn types_are_read_back() {
        check(DataType::Boolean, r#""BOOLEAN""#);
        check(DataType::Int8, r#""TINYINT""#);
        check(DataType::Int16, r#""SMALLINT""#);
        check(DataType::Int32, r#""INT""#);
        check(DataType::Int64, r#""BIGINT""#);
        check(DataType::Float32, r#""FLOAT""#);
        check(DataType::Float64, r#""DOUBLE""#);
        check(DataType::Decimal128(10, 2), r#""DECIMAL(10, 2)""#);
        check(DataType::Utf8, r#""STRING""#);
        check(DataType::Binary, r#""BYTES""#);
        check(DataType::Date32, r#""DATE""#);
        check(DataType::Time32(TimeUnit::Millisecond), r#""TIME(3)""#);
        check(
            DataType::Duration(TimeUnit::Millisecond),
            r#""INTERVAL DAY TO SECOND""#,
        );
        check(timestamp(3), r#""TIMESTAMP(3)""#);
        check(timestamp(9), r#""TIMESTAMP(9)""#);
        check(timestamp_ltz(6), r#""TIMESTAMP_LTZ(6)""#);
        let row = Fields::from(vec![
            Field::new("city", DataType::Utf8, true),
            Field::new("tags", array(DataType::Utf8), true),
        ]);
        let row_json = r#"{"row":[{"name":"city","type":"STRING"},{"name":"tags","type":{"array":"STRING"}}]}"#;
        check(DataType::Struct(row), row_json);
        check(
            map(DataType::Utf8, DataType::Int64),
            r#"{"map":["STRING","BIGINT"]}"#,
        );
    }

    #[test]
    fn other_types_are_refused_by_column() {
        let odd = Schema::new(vec![Field::new("c", DataType::UInt8, true)]);
        let message = columns(&odd).unwrap_err().to_string();
        let expected = "column `c`: a hot table cannot hold the type `UInt8` (arrow: UInt8)";
        assert_eq!(message, expected);
        let column = Column {
            name: "c".into(),
            column_type: ColumnType::Scalar("UUID".into()),
        };
        assert_eq!(
            schema(&[column]).unwrap_err().to_string(),
            "unknown column type `UUID`"
        );
    }
}
