//! CREATE TABLE: types, computed columns, watermark and options resolved.

use arrow::datatypes::{DataType, TimeUnit};
use millstream_core::connector::ConnectorCatalog;
use millstream_core::types::{sql_name, timestamp_ltz};
use sqlparser::ast::{self, BinaryOperator, Spanned};

use crate::ast::{ColumnKind, CreateTable, WatermarkClause};
use crate::catalog::{Table, TableColumn, TableColumnKind, TableWatermark};
use crate::diagnostic::{Fault, Place, Result};
use crate::dialect::FlinkDialect;
use crate::expr::ExprBinder;
use crate::expr::literal::interval_ms;
use crate::options;
use crate::scope::{Role, Scope, ScopeColumn};
use crate::types::is_timestamp;

/// Binds a table's declaration.
pub(crate) fn bind(
    table: &CreateTable,
    dialect: &FlinkDialect,
    catalog: &ConnectorCatalog,
) -> Result<Table> {
    let options = options::check(&table.name, &table.options, catalog)?;
    let columns = bind_columns(table, dialect)?;
    for column in &columns {
        let TableColumnKind::Metadata { key, .. } = &column.kind else {
            continue;
        };
        if !options.info.metadata.contains(&key.as_str()) {
            let message = format!("connector `{}` has no metadata `{key}`", options.info.name);
            let known = options.info.metadata.iter().copied();
            return Err(Fault::at(column.place, message).near(key, known));
        }
    }
    let watermark = match &table.watermark {
        Some(clause) => Some(bind_watermark(clause, &columns, dialect)?),
        None => None,
    };
    let mut primary_key = vec![];
    for name in &table.primary_key {
        let index = columns.iter().position(|column| column.name == name.value);
        let index = index.ok_or_else(|| unknown_column(name, &columns))?;
        if columns[index].kind != TableColumnKind::Physical {
            let message = format!("column `{}` of the primary key is not physical", name.value);
            return Err(Fault::at(name.span, message));
        }
        if primary_key.contains(&index) {
            let message = format!("column `{}` is in the primary key twice", name.value);
            return Err(Fault::at(name.span, message));
        }
        primary_key.push(index);
    }
    let key_place = table
        .primary_key
        .first()
        .map_or(table.name.span, |name| name.span);
    let option_places = table.options.iter();
    let option_places = option_places.map(|(key, value)| (key.value.clone(), value.place));
    Ok(Table {
        name: table.name.value.clone(),
        place: table.name.span.start,
        option_places: option_places.collect(),
        columns,
        watermark,
        primary_key,
        primary_key_place: key_place.start,
        connector: options.config,
        info: options.info,
        idle_timeout_ms: options.idle_timeout_ms,
    })
}

fn unknown_column(name: &ast::Ident, columns: &[TableColumn]) -> Fault {
    let known = columns.iter().map(|column| column.name.as_str());
    Fault::at(name.span, format!("unknown column `{}`", name.value)).near(&name.value, known)
}

fn bind_columns(table: &CreateTable, dialect: &FlinkDialect) -> Result<Vec<TableColumn>> {
    // Computed columns see the others but not each other, as in Flink: their type is not known yet.
    let mut scope = Scope::default();
    let mut positions = vec![];
    for (position, column) in table.columns.iter().enumerate() {
        let data_type = match &column.kind {
            ColumnKind::Physical(data_type) | ColumnKind::Metadata { data_type, .. } => data_type,
            ColumnKind::Computed(_) => continue,
        };
        positions.push(position);
        scope.columns.push(ScopeColumn {
            table: Some(table.name.value.clone()),
            name: column.name.value.clone(),
            data_type: data_type.clone(),
            role: Role::Plain,
            place: column.name.span.start,
        });
    }
    let mut columns = vec![];
    for column in &table.columns {
        let name = &column.name;
        let (data_type, kind) = match &column.kind {
            ColumnKind::Physical(data_type) => (data_type.clone(), TableColumnKind::Physical),
            ColumnKind::Metadata {
                data_type,
                key,
                is_virtual,
            } => {
                check_metadata_type(data_type, name.span.start)?;
                let key = key.as_ref().map_or(&name.value, |key| &key.value).clone();
                let kind = TableColumnKind::Metadata {
                    key,
                    is_virtual: *is_virtual,
                };
                (data_type.clone(), kind)
            }
            ColumnKind::Computed(expr) => {
                let mut binder = ExprBinder::scalar(&scope, dialect, "a computed column");
                binder.start = name.span.start;
                let bound = binder.bind(expr);
                let mut bound = bound.map_err(|fault| computed_of_computed(fault, expr, table))?;
                if bound.data_type == DataType::Null {
                    let message = format!("computed column `{}` has no type", name.value);
                    return Err(Fault::at(name.span, message).help("write CAST(NULL AS …)"));
                }
                bound.map_columns(&|index| positions[index]);
                (bound.data_type.clone(), TableColumnKind::Computed(bound))
            }
        };
        columns.push(TableColumn {
            name: name.value.clone(),
            data_type,
            kind,
            place: name.span.start,
        });
    }
    Ok(columns)
}

/// Says it plainly where a computed column reads another.
fn computed_of_computed(fault: Fault, expr: &ast::Expr, table: &CreateTable) -> Fault {
    let mut computed = table.columns.iter().filter(|column| {
        let name = format!("unknown column `{}`", column.name.value);
        matches!(column.kind, ColumnKind::Computed(_)) && fault.message == name
    });
    match computed.next_back() {
        Some(column) => {
            let message = format!("column `{}` is computed itself", column.name.value);
            let place = match fault.place {
                crate::diagnostic::Origin::Text(place) => place,
                crate::diagnostic::Origin::Setting(_) => expr.span().start,
            };
            Fault::at(place, message)
                .help("a computed column can read physical and metadata columns only")
        }
        None => fault,
    }
}

fn check_metadata_type(data_type: &DataType, place: Place) -> Result<()> {
    let known = matches!(
        data_type,
        DataType::Int64 | DataType::Int32 | DataType::Utf8
    ) || *data_type == timestamp_ltz(3);
    if known {
        return Ok(());
    }
    let message = format!("a METADATA column of type {}", sql_name(data_type));
    let fault = Fault::at(place, message);
    Err(fault.help("expected BIGINT, INT, STRING or TIMESTAMP_LTZ(3)"))
}

fn bind_watermark(
    clause: &WatermarkClause,
    columns: &[TableColumn],
    dialect: &FlinkDialect,
) -> Result<TableWatermark> {
    let name = &clause.column;
    let index = columns.iter().position(|column| column.name == name.value);
    let index = index.ok_or_else(|| unknown_column(name, columns))?;
    let found = &columns[index].data_type;
    let fine = matches!(found, DataType::Timestamp(TimeUnit::Millisecond, _));
    if !fine {
        let message = format!(
            "WATERMARK for column `{}` of type {}, expected TIMESTAMP(3) or TIMESTAMP_LTZ(3)",
            name.value,
            sql_name(found)
        );
        let fault = Fault::at(name.span, message);
        return Err(match is_timestamp(found) {
            true => fault.help("watermarks are in milliseconds: declare precision 3"),
            false => fault.help("compute one: event_time AS TO_TIMESTAMP_LTZ(ts, 3)"),
        });
    }
    if let TableColumnKind::Computed(expr) = &columns[index].kind
        && expr.is_processing_time()
    {
        let message = format!("WATERMARK for `{}`, which is processing time", name.value);
        let help = "processing time needs none: DESCRIPTOR(…) can name it as it is";
        return Err(Fault::at(name.span, message).help(help));
    }
    let delay_ms = watermark_delay(clause, dialect)?;
    Ok(TableWatermark {
        column: index,
        delay_ms,
    })
}

fn watermark_delay(clause: &WatermarkClause, dialect: &FlinkDialect) -> Result<i64> {
    let place = clause.expr.span().start;
    let is_column = |expr: &ast::Expr| match expr {
        ast::Expr::Identifier(name) => name.value == clause.column.value,
        _ => false,
    };
    let unsupported = || {
        let column = &clause.column.value;
        let what = format!("a WATERMARK `{}` is", clause.expr);
        Fault::unsupported(place, what).help(format!(
            "expected `{column}` or `{column} - INTERVAL '…' SECOND`"
        ))
    };
    match &clause.expr {
        expr if is_column(expr) => Ok(0),
        ast::Expr::BinaryOp {
            left,
            op: BinaryOperator::Minus,
            right,
        } if is_column(left) => {
            let scope = Scope::default();
            let mut binder = ExprBinder::scalar(&scope, dialect, "WATERMARK");
            binder.start = place;
            let ast::Expr::Interval(_) = right.as_ref() else {
                return Err(unsupported());
            };
            let delay = interval_ms(&binder.bind(right)?).ok_or_else(unsupported)?;
            match delay {
                0.. => Ok(delay),
                _ => Err(Fault::at(
                    place,
                    format!("a WATERMARK {} ms ahead of time", -delay),
                )),
            }
        }
        _ => Err(unsupported()),
    }
}
