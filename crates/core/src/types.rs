//! Flink SQL types on Arrow types.
//!
//! | SQL | Arrow |
//! |---|---|
//! | `BOOLEAN` | `Boolean` |
//! | `TINYINT` `SMALLINT` `INT` `BIGINT` | `Int8` `Int16` `Int32` `Int64` |
//! | `FLOAT` `DOUBLE` | `Float32` `Float64` |
//! | `DECIMAL(p, s)` | `Decimal128(p, s)` |
//! | `CHAR(n)` `VARCHAR(n)` `STRING` | `Utf8` |
//! | `BINARY(n)` `VARBINARY(n)` `BYTES` | `Binary` |
//! | `DATE` | `Date32` |
//! | `TIME(p)` | `Time32(Millisecond)` |
//! | `TIMESTAMP(p)` | `Timestamp(unit, None)`; p 0-3 ms, 4-6 us, 7-9 ns |
//! | `TIMESTAMP_LTZ(p)` | `Timestamp(unit, "UTC")` |
//! | `INTERVAL … DAY TO SECOND` | `Duration(Millisecond)` |
//! | `ROW<…>` `ARRAY<T>` `MAP<K, V>` | `Struct` `List` `Map` |

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

/// The session's time zone. Only UTC so far; the SQL front refuses another.
pub const TIME_ZONE: &str = "UTC";

/// `TIMESTAMP(precision)`.
pub fn timestamp(precision: u8) -> DataType {
    DataType::Timestamp(time_unit(precision), None)
}

/// `TIMESTAMP_LTZ(precision)`.
pub fn timestamp_ltz(precision: u8) -> DataType {
    DataType::Timestamp(time_unit(precision), Some(Arc::from(TIME_ZONE)))
}

fn time_unit(precision: u8) -> TimeUnit {
    match precision {
        0..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    }
}

/// `ARRAY<element>`.
pub fn array(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", element, true)))
}

/// `MAP<key, value>`.
pub fn map(key: DataType, value: DataType) -> DataType {
    let entries = Fields::from(vec![
        Field::new("key", key, false),
        Field::new("value", value, true),
    ]);
    DataType::Map(
        Arc::new(Field::new("entries", DataType::Struct(entries), false)),
        false,
    )
}

/// The type's name in Flink SQL, for messages and plans.
///
/// ```
/// use millstream_core::types::{sql_name, timestamp_ltz};
/// assert_eq!(sql_name(&timestamp_ltz(3)), "TIMESTAMP_LTZ(3)");
/// ```
pub fn sql_name(data_type: &DataType) -> String {
    let digits = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    match data_type {
        DataType::Null => "NULL".into(),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 => "STRING".into(),
        DataType::Binary => "BYTES".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Time32(unit) => format!("TIME({})", digits(unit)),
        DataType::Timestamp(unit, None) => format!("TIMESTAMP({})", digits(unit)),
        DataType::Timestamp(unit, Some(_)) => format!("TIMESTAMP_LTZ({})", digits(unit)),
        DataType::Duration(_) => "INTERVAL DAY TO SECOND".into(),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("{} {}", field.name(), sql_name(field.data_type())))
                .collect();
            format!("ROW<{}>", fields.join(", "))
        }
        DataType::List(item) => format!("ARRAY<{}>", sql_name(item.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => format!(
                "MAP<{}, {}>",
                sql_name(fields[0].data_type()),
                sql_name(fields[1].data_type())
            ),
            _ => "MAP".into(),
        },
        other => format!("{other}"),
    }
}
