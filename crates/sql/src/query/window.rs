//! Window functions in FROM: `TABLE(TUMBLE(TABLE t, DESCRIPTOR(time), size[, offset]))`.

use millstream_core::plan::{WindowKind, WindowSpec};
use millstream_core::types::timestamp;
use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Spanned};

use crate::diagnostic::{Fault, Place, Result};
use crate::dialect::{PARTITIONED_TABLE, TABLE};
use crate::expr::ExprBinder;
use crate::expr::literal::interval_ms;
use crate::query::{Bound, QueryBinder};
use crate::scope::{Role, Scope, ScopeColumn};

const PARAMETERS: [&str; 4] = ["DATA", "TIMECOL", "SIZE", "OFFSET"];
const USAGE: &str = "TUMBLE(TABLE t, DESCRIPTOR(time), INTERVAL '1' MINUTE)";

impl QueryBinder<'_> {
    /// Binds what stands in `TABLE(…)`.
    pub(super) fn bind_table_function(&self, expr: &ast::Expr, place: Place) -> Result<Bound> {
        let ast::Expr::Function(function) = expr else {
            let message = format!("found `{expr}` in TABLE(…), expected a window function");
            return Err(Fault::at(place, message).help(format!("for example {USAGE}")));
        };
        let name = super::bare_name(&function.name)?;
        match &function.args {
            FunctionArguments::List(list) => self.bind_window_function(name, &list.args),
            _ => self.bind_window_function(name, &[]),
        }
    }

    /// Binds a window function.
    pub(super) fn bind_window_function(&self, name: &Ident, args: &[FunctionArg]) -> Result<Bound> {
        let place = name.span.start;
        match name.value.to_uppercase().as_str() {
            "TUMBLE" => {}
            window @ ("HOP" | "CUMULATE" | "SESSION") => {
                let fault = Fault::unsupported(place, format!("`{window}` windows are"));
                return Err(fault.help("use TUMBLE"));
            }
            _ => {
                let message = format!("unknown table function `{}`", name.value);
                return Err(Fault::at(place, message).near(&name.value, ["TUMBLE"]));
            }
        }
        let [data, time, size, offset] = by_parameter(args, place)?;
        let missing = |parameter: &str| {
            let fault = Fault::at(place, format!("`TUMBLE` without {parameter}"));
            fault.help(format!("expected {USAGE}"))
        };
        let input = self.bind_data(data.ok_or_else(|| missing("a table"))?)?;
        let time = time.ok_or_else(|| missing("DESCRIPTOR(time)"))?;
        let time_column = time_column(&input.scope, time)?;
        let size_ms = self.interval(size.ok_or_else(|| missing("a size"))?, "size")?;
        if size_ms <= 0 {
            let place = start(size.expect("checked above"), place);
            return Err(Fault::at(
                place,
                format!("size is {size_ms} ms, expected more than 0"),
            ));
        }
        let offset_ms = match offset {
            Some(offset) => self.interval(offset, "offset")?,
            None => 0,
        };
        append_window(
            input,
            time_column,
            WindowKind::Tumble { size_ms, offset_ms },
            place,
        )
    }

    fn bind_data(&self, data: &ast::Expr) -> Result<Bound> {
        let place = data.span().start;
        match data {
            ast::Expr::Prefixed { prefix, value } if prefix.value == TABLE => {
                match value.as_ref() {
                    ast::Expr::Identifier(name) => self.bind_table(name),
                    other => {
                        let what = "a name with a catalog or database is";
                        Err(Fault::unsupported(other.span(), what))
                    }
                }
            }
            ast::Expr::Prefixed { prefix, .. } if prefix.value == PARTITIONED_TABLE => Err(
                Fault::unsupported(prefix.span, "`PARTITION BY` in a window function is"),
            ),
            ast::Expr::Subquery(query) => self.bind(query),
            ast::Expr::Nested(inner) => self.bind_data(inner),
            other => {
                let message = format!("found `{other}`, expected `TABLE name`");
                Err(Fault::at(place, message).help(format!("expected {USAGE}")))
            }
        }
    }

    fn interval(&self, expr: &ast::Expr, what: &str) -> Result<i64> {
        let scope = Scope::default();
        let mut binder = ExprBinder::scalar(&scope, self.dialect, "a window function");
        let place = expr.span().start;
        let interval = match expr {
            ast::Expr::Interval(_) | ast::Expr::UnaryOp { .. } | ast::Expr::Nested(_) => {
                interval_ms(&binder.bind(expr)?)
            }
            _ => None,
        };
        interval.ok_or_else(|| {
            let message = format!("found `{expr}`, expected the {what} as a constant INTERVAL");
            Fault::at(place, message)
        })
    }
}

fn start(expr: &ast::Expr, otherwise: Place) -> Place {
    match expr.span().start {
        place if place.line == 0 => otherwise,
        place => place,
    }
}

/// The arguments in the order of [`PARAMETERS`], given by position or by name.
fn by_parameter(args: &[FunctionArg], place: Place) -> Result<[Option<&ast::Expr>; 4]> {
    let mut found = [None; 4];
    for (position, arg) in args.iter().enumerate() {
        let (index, expr) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => (Some(position), expr),
            FunctionArg::Named {
                name,
                arg: FunctionArgExpr::Expr(expr),
                ..
            } => {
                let upper = name.value.to_uppercase();
                let index = PARAMETERS.iter().position(|parameter| *parameter == upper);
                if index.is_none() {
                    let message = format!("`TUMBLE` has no argument `{}`", name.value);
                    return Err(Fault::at(name.span, message).near(&name.value, PARAMETERS));
                }
                (index, expr)
            }
            _ => return Err(Fault::at(place, "found `*` in `TUMBLE`")),
        };
        let index = index.filter(|index| *index < found.len()).ok_or_else(|| {
            let message = format!("`TUMBLE`: found {} arguments, expected 3 or 4", args.len());
            Fault::at(place, message)
        })?;
        if found[index].replace(expr).is_some() {
            let message = format!("`{}` is given twice", PARAMETERS[index]);
            return Err(Fault::at(start(expr, place), message));
        }
    }
    Ok(found)
}

/// The event-time column in `DESCRIPTOR(column)`.
fn time_column(scope: &Scope, expr: &ast::Expr) -> Result<usize> {
    let place = expr.span().start;
    let wrong = || {
        let fault = Fault::at(place, format!("found `{expr}`, expected DESCRIPTOR(time)"));
        fault.help(format!("expected {USAGE}"))
    };
    let ast::Expr::Function(function) = expr else {
        return Err(wrong());
    };
    if !function.name.to_string().eq_ignore_ascii_case("DESCRIPTOR") {
        return Err(wrong());
    }
    let FunctionArguments::List(list) = &function.args else {
        return Err(wrong());
    };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Identifier(name)))] =
        list.args.as_slice()
    else {
        return Err(wrong());
    };
    let column = scope.resolve(std::slice::from_ref(name))?;
    let index = column.as_column().expect("a single name is a column");
    if scope.columns[index].role.is_time() {
        return Ok(index);
    }
    let times: Vec<&str> = scope
        .columns
        .iter()
        .filter(|column| column.role.is_time())
        .map(|column| column.name.as_str())
        .collect();
    let message = format!("column `{}` is not an event time", name.value);
    let fault = Fault::at(name.span, message);
    Err(match times.is_empty() {
        true => {
            fault.help("declare it in the table: WATERMARK FOR column AS column - INTERVAL '…'")
        }
        false => fault.help(format!("expected {}", crate::diagnostic::listed(&times))),
    })
}

fn append_window(
    input: Bound,
    time_column: usize,
    kind: WindowKind,
    place: Place,
) -> Result<Bound> {
    let Bound { rel, mut scope } = input;
    let time_type = scope.columns[time_column].data_type.clone();
    let columns = [
        ("window_start", timestamp(3), Role::WindowStart),
        ("window_end", timestamp(3), Role::WindowEnd),
        ("window_time", time_type, Role::WindowTime),
    ];
    let clash = scope.columns.iter().find(|column| {
        column.role.is_window() && columns.iter().any(|(name, ..)| *name == column.name)
    });
    if let Some(clash) = clash {
        let message = format!("the rows have a column `{}` already", clash.name);
        let fault = Fault::at(place, message);
        return Err(fault.help("select the other window's columns under other names"));
    }
    // The window's columns come after all columns of the rows, also those that have no name.
    let width = rel.fields.len();
    if width > scope.columns.len() {
        return Err(Fault::unsupported(place, "a window over this query is"));
    }
    // The rows have one event time: from here on it is the window's.
    for column in &mut scope.columns {
        column.role = Role::Plain;
    }
    let columns = columns
        .into_iter()
        .map(|(name, data_type, role)| ScopeColumn {
            table: None,
            name: name.to_owned(),
            data_type,
            role,
            place,
        });
    scope.columns.extend(columns);
    let rel = rel.window(WindowSpec { time_column, kind });
    Ok(Bound { rel, scope })
}
