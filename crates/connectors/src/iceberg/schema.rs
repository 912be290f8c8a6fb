//! SQL columns as columns of a lake table, and what may change once the table is there.
//!
//! | SQL | Iceberg |
//! |---|---|
//! | `BOOLEAN` | `boolean` |
//! | `TINYINT` `SMALLINT` `INT` | `int` |
//! | `BIGINT` | `long` |
//! | `FLOAT` `DOUBLE` | `float` `double` |
//! | `DECIMAL(p, s)` | `decimal(p, s)` |
//! | `CHAR` `VARCHAR` `STRING` | `string` |
//! | `BINARY` `VARBINARY` `BYTES` | `binary` |
//! | `DATE` `TIME` | `date` `time` |
//! | `TIMESTAMP(p)` `TIMESTAMP_LTZ(p)`, p at most 6 | `timestamp` `timestamptz` |
//! | `ARRAY` `MAP` `ROW` | `list` `map` `struct` |
//!
//! All columns are optional: rows of before a column was added have none.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, TimeUnit};
use iceberg::spec::{
    ListType, MapType, NestedField, NestedFieldRef, NullOrder, PrimitiveType, Schema,
    SortDirection, SortField, SortOrder, StructType, Transform, Type, UnboundPartitionSpec,
};
use millstream_core::types::sql_name;
use millstream_core::{Error, Result, Subject};

use super::error::from_iceberg;
use super::options::{Partitioning, Sorting};

/// The schema of a new table. `InvalidInput` about the column that no lake table can have.
pub(super) fn schema(columns: &ArrowSchema) -> Result<Schema> {
    let mut ids = Ids(0);
    let fields = columns
        .fields()
        .iter()
        .map(|field| column(field, &mut ids))
        .collect::<Result<Vec<_>>>()?;
    built(fields)
}

fn built(fields: Vec<NestedFieldRef>) -> Result<Schema> {
    let schema = Schema::builder().with_fields(fields).build();
    schema.map_err(|error| Error::invalid(error.message().to_owned()))
}

/// Numbers of columns that were not there before.
struct Ids(i32);

impl Ids {
    fn next(&mut self) -> i32 {
        self.0 += 1;
        self.0
    }
}

fn column(field: &Field, ids: &mut Ids) -> Result<NestedFieldRef> {
    let id = ids.next();
    let data_type = iceberg_type(field.data_type(), ids)
        .map_err(|error| error.about(Subject::Column(field.name().clone())))?;
    Ok(NestedField::optional(id, field.name(), data_type).into())
}

fn iceberg_type(data_type: &DataType, ids: &mut Ids) -> Result<Type> {
    use PrimitiveType as P;
    let primitive = match data_type {
        DataType::Boolean => P::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 => P::Int,
        DataType::Int64 => P::Long,
        DataType::Float32 => P::Float,
        DataType::Float64 => P::Double,
        DataType::Decimal128(precision, scale) => P::Decimal {
            precision: (*precision).into(),
            scale: u32::try_from(*scale).map_err(|_| refused(data_type, "a negative scale"))?,
        },
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => P::String,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => P::Binary,
        DataType::Date32 => P::Date,
        DataType::Time32(_) | DataType::Time64(_) => P::Time,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            let why = "more than 6 digits of a second; expected for example TIMESTAMP(6)";
            return Err(refused(data_type, why));
        }
        DataType::Timestamp(_, None) => P::Timestamp,
        DataType::Timestamp(_, Some(_)) => P::Timestamptz,
        DataType::List(item) => {
            let id = ids.next();
            let element = iceberg_type(item.data_type(), ids)?;
            let element = NestedField::list_element(id, element, false).into();
            return Ok(Type::List(ListType::new(element)));
        }
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| column(field, ids));
            let fields = fields.collect::<Result<Vec<_>>>()?;
            return Ok(Type::Struct(StructType::new(fields)));
        }
        DataType::Map(entries, _) => return map_type(entries, ids),
        other => return Err(refused(other, "no such type")),
    };
    Ok(Type::Primitive(primitive))
}

fn map_type(entries: &Field, ids: &mut Ids) -> Result<Type> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(Error::bug("a map has entries of two fields"));
    };
    let (key_id, value_id) = (ids.next(), ids.next());
    let key = iceberg_type(fields[0].data_type(), ids)?;
    let value = iceberg_type(fields[1].data_type(), ids)?;
    Ok(Type::Map(MapType::new(
        NestedField::map_key_element(key_id, key).into(),
        NestedField::map_value_element(value_id, value, false).into(),
    )))
}

fn refused(data_type: &DataType, why: &str) -> Error {
    let name = sql_name(data_type);
    Error::invalid(format!("a lake table cannot hold {name}: {why}"))
}

/// The partition spec of a new table. `InvalidInput` if a column is not there or has no such transform.
pub(super) fn partition_spec(
    schema: &Schema,
    partitioning: &[Partitioning],
) -> Result<UnboundPartitionSpec> {
    let mut builder = UnboundPartitionSpec::builder();
    for part in partitioning {
        let field = source(schema, &part.column)?;
        part.transform
            .result_type(&field.field_type)
            .map_err(|error| Error::invalid(error.message().to_owned()))?;
        builder = builder
            .add_partition_field(field.id, partition_name(part), part.transform)
            .map_err(|error| Error::invalid(error.message().to_owned()))?;
    }
    let spec = builder.build();
    spec.clone()
        .bind(schema.clone())
        .map_err(|error| Error::invalid(error.message().to_owned()))?;
    Ok(spec)
}

/// As Flink and Spark name them.
fn partition_name(part: &Partitioning) -> String {
    let column = &part.column;
    match part.transform {
        Transform::Identity => column.clone(),
        Transform::Bucket(_) => format!("{column}_bucket"),
        Transform::Truncate(_) => format!("{column}_trunc"),
        other => format!("{column}_{other}"),
    }
}

/// The sort order of a new table.
pub(super) fn sort_order(schema: &Schema, sorting: &[Sorting]) -> Result<SortOrder> {
    let mut builder = SortOrder::builder();
    for by in sorting {
        let field = source(schema, &by.column)?;
        builder.with_sort_field(
            SortField::builder()
                .source_id(field.id)
                .transform(Transform::Identity)
                .direction(match by.is_descending {
                    true => SortDirection::Descending,
                    false => SortDirection::Ascending,
                })
                .null_order(match by.is_descending {
                    true => NullOrder::Last,
                    false => NullOrder::First,
                })
                .build(),
        );
    }
    let order = builder.build(schema);
    order.map_err(|error| Error::invalid(error.message().to_owned()))
}

fn source<'a>(schema: &'a Schema, column: &str) -> Result<&'a NestedFieldRef> {
    schema.field_by_name(column).ok_or_else(|| {
        let fields = schema.as_struct().fields().iter();
        let names: Vec<&str> = fields.map(|field| field.name.as_str()).collect();
        let names = names.join(", ");
        Error::invalid(format!("no column `{column}`; expected one of: {names}"))
    })
}

/// The schema that a table needs so that `columns` can be written to it; `None` if it has it already.
/// Columns are matched by name: those that the table lacks are added, and numbers are widened where
/// Iceberg can. `last_id` is the last id that the table has ever given.
///
/// # Errors
/// `InvalidInput` with the column and the reason for a change that cannot be made.
pub(super) fn evolved(
    table: &Schema,
    columns: &ArrowSchema,
    last_id: i32,
) -> Result<Option<Schema>> {
    let mut ids = Ids(last_id);
    let mut fields = table.as_struct().fields().to_vec();
    let places: BTreeMap<String, usize> = fields
        .iter()
        .enumerate()
        .map(|(place, field)| (field.name.clone(), place))
        .collect();
    let mut is_changed = false;
    for wanted in columns.fields() {
        let Some(place) = places.get(wanted.name()) else {
            fields.push(column(wanted, &mut ids)?);
            is_changed = true;
            continue;
        };
        let found = &fields[*place];
        let of_wanted = iceberg_type(wanted.data_type(), &mut Ids(0))?;
        match change(&found.field_type, &of_wanted) {
            Change::None => {}
            Change::Widen => {
                let mut wider = found.as_ref().clone();
                wider.field_type = Box::new(of_wanted);
                fields[*place] = Arc::new(wider);
                is_changed = true;
            }
            Change::Impossible => {
                let (name, has, sql) = (
                    wanted.name(),
                    &found.field_type,
                    sql_name(wanted.data_type()),
                );
                let message = format!("the lake table has column `{name}` as {has}, found {sql}");
                return Err(Error::invalid(message).about(Subject::Column(name.clone())));
            }
        }
    }
    let is_written = |name: &str| columns.field_with_name(name).is_ok();
    if let Some(lacking) =
        table.as_struct().fields().iter().find(|field| {
            field.required && !is_written(&field.name) && field.write_default.is_none()
        })
    {
        let message = format!("the lake table requires column `{}`", lacking.name);
        return Err(Error::invalid(message));
    }
    if !is_changed {
        return Ok(None);
    }
    let keys = table.identifier_field_ids();
    let schema = Schema::builder()
        .with_fields(fields)
        .with_identifier_field_ids(keys);
    let schema = schema.build();
    let schema = schema.map_err(|error| Error::invalid(error.message().to_owned()))?;
    Ok(Some(schema))
}

enum Change {
    None,
    Widen,
    Impossible,
}

/// What it takes to write values of `wanted` to a column of `found`.
fn change(found: &Type, wanted: &Type) -> Change {
    use PrimitiveType as P;
    match (found, wanted) {
        (Type::Primitive(found), Type::Primitive(wanted)) => match (found, wanted) {
            (found, wanted) if found == wanted => Change::None,
            (P::Long, P::Int) | (P::Double, P::Float) => Change::None,
            (P::Int, P::Long) | (P::Float, P::Double) => Change::Widen,
            (
                P::Decimal { precision, scale },
                P::Decimal {
                    precision: wanted_precision,
                    scale: wanted_scale,
                },
            ) if scale == wanted_scale => match precision < wanted_precision {
                true => Change::Widen,
                false => Change::None,
            },
            _ => Change::Impossible,
        },
        // Ids and names of columns within are the table's; only what they hold is compared.
        (found, wanted) if shape(found) == shape(wanted) => Change::None,
        _ => Change::Impossible,
    }
}

/// A nested type without its ids.
fn shape(data_type: &Type) -> String {
    match data_type {
        Type::Primitive(primitive) => primitive.to_string(),
        Type::List(list) => format!("list<{}>", shape(&list.element_field.field_type)),
        Type::Map(map) => format!(
            "map<{}, {}>",
            shape(&map.key_field.field_type),
            shape(&map.value_field.field_type)
        ),
        Type::Struct(fields) => {
            let fields = fields.fields().iter();
            let fields: Vec<String> = fields
                .map(|field| format!("{}: {}", field.name, shape(&field.field_type)))
                .collect();
            format!("struct<{}>", fields.join(", "))
        }
    }
}

/// The schema as Arrow has it, with the ids that Parquet files carry.
pub(super) fn arrow_schema(schema: &Schema) -> Result<Arc<ArrowSchema>> {
    let schema = iceberg::arrow::schema_to_arrow_schema(schema);
    schema.map(Arc::new).map_err(from_iceberg)
}

#[cfg(test)]
mod tests {
    use millstream_core::types::{array, map, timestamp, timestamp_ltz};

    use super::*;

    fn columns(list: &[(&str, DataType)]) -> ArrowSchema {
        let field =
            |(name, data_type): &(&str, DataType)| Field::new(*name, data_type.clone(), true);
        ArrowSchema::new(list.iter().map(field).collect::<Vec<_>>())
    }

    fn types(schema: &Schema) -> Vec<String> {
        let fields = schema.as_struct().fields().iter();
        fields
            .map(|field| format!("{} {} {}", field.id, field.name, shape(&field.field_type)))
            .collect()
    }

    #[test]
    fn each_sql_type_has_its_own() {
        let found = schema(&columns(&[
            ("a", DataType::Int16),
            ("b", DataType::Int64),
            ("c", DataType::Decimal128(10, 2)),
            ("d", timestamp(3)),
            ("e", timestamp_ltz(6)),
            ("f", array(DataType::Utf8)),
            ("g", map(DataType::Utf8, DataType::Float64)),
            ("h", DataType::Time32(TimeUnit::Millisecond)),
        ]));
        assert_eq!(
            types(&found.unwrap()),
            [
                "1 a int",
                "2 b long",
                "3 c decimal(10, 2)",
                "4 d timestamp",
                "5 e timestamptz",
                "6 f list<string>",
                "8 g map<string, double>",
                "11 h time",
            ]
        );
    }

    #[test]
    fn a_type_that_no_table_holds_is_refused_with_its_column() {
        let error = schema(&columns(&[("t", timestamp(9))])).unwrap_err();
        assert_eq!(error.subject(), Some(&Subject::Column("t".to_owned())));
        assert!(error.to_string().contains("TIMESTAMP(9)"), "{error}");
    }

    #[test]
    fn columns_are_added_and_widened() {
        let before = schema(&columns(&[("a", DataType::Int32), ("b", DataType::Utf8)])).unwrap();
        let same = columns(&[("b", DataType::Utf8), ("a", DataType::Int16)]);
        assert!(evolved(&before, &same, 2).unwrap().is_none());
        let more = columns(&[
            ("c", array(DataType::Int64)),
            ("a", DataType::Int64),
            ("b", DataType::Utf8),
        ]);
        let after = evolved(&before, &more, 7).unwrap().unwrap();
        assert_eq!(types(&after), ["1 a long", "2 b string", "8 c list<long>"]);
    }

    #[test]
    fn a_change_that_cannot_be_made_is_refused_with_the_reason() {
        let before = schema(&columns(&[("a", DataType::Int64)])).unwrap();
        let other = columns(&[("a", DataType::Utf8)]);
        let error = evolved(&before, &other, 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the lake table has column `a` as long, found STRING"
        );
        let field = NestedField::required(1, "r", Type::Primitive(PrimitiveType::Int));
        let required = built(vec![field.into()]).unwrap();
        let error = evolved(&required, &other, 1).unwrap_err();
        assert_eq!(error.to_string(), "the lake table requires column `r`");
    }

    #[test]
    fn partitions_and_order_name_columns() {
        let table = columns(&[("t", timestamp(3)), ("u", DataType::Utf8)]);
        let table = schema(&table).unwrap();
        let part = |column: &str, transform| Partitioning {
            column: column.to_owned(),
            transform,
        };
        let parts = [part("t", Transform::Day), part("u", Transform::Bucket(16))];
        let spec = partition_spec(&table, &parts).unwrap();
        let names: Vec<&str> = spec.fields().iter().map(|field| &*field.name).collect();
        assert_eq!(names, ["t_day", "u_bucket"]);
        let error = partition_spec(&table, &[part("x", Transform::Day)]).unwrap_err();
        assert_eq!(error.to_string(), "no column `x`; expected one of: t, u");
        let error = partition_spec(&table, &[part("u", Transform::Day)]).unwrap_err();
        assert!(error.to_string().contains("day"), "{error}");
    }
}
