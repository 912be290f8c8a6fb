//! Window functions in FROM, `TABLE(TUMBLE(TABLE t, DESCRIPTOR(time), size[, offset]))`, and in GROUP
//! BY, `TUMBLE(time, size)`.

use millstream_core::TimeDomain;
use millstream_core::plan::{WindowKind, WindowSpec};
use millstream_core::types::{sql_name, timestamp};
use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Spanned};

use crate::diagnostic::{Fault, Place, Result};
use crate::dialect::{PARTITIONED_TABLE, TABLE};
use crate::expr::ExprBinder;
use crate::expr::literal::interval_ms;
use crate::query::{Bound, QueryBinder};
use crate::scope::{Role, Scope, ScopeColumn};
use crate::types::is_comparable;

/// A window function.
struct WindowFunction {
    name: &'static str,
    /// Names of its arguments, in their order; OFFSET may be left out. Empty ones are none.
    parameters: [&'static str; 5],
    usage: &'static str,
}

const FUNCTIONS: [WindowFunction; 4] = [
    WindowFunction {
        name: "TUMBLE",
        parameters: ["DATA", "TIMECOL", "SIZE", "OFFSET", ""],
        usage: "TUMBLE(TABLE t, DESCRIPTOR(time), INTERVAL '1' MINUTE)",
    },
    WindowFunction {
        name: "HOP",
        parameters: ["DATA", "TIMECOL", "SLIDE", "SIZE", "OFFSET"],
        usage: "HOP(TABLE t, DESCRIPTOR(time), INTERVAL '1' MINUTE, INTERVAL '5' MINUTE)",
    },
    WindowFunction {
        name: "CUMULATE",
        parameters: ["DATA", "TIMECOL", "STEP", "SIZE", "OFFSET"],
        usage: "CUMULATE(TABLE t, DESCRIPTOR(time), INTERVAL '1' HOUR, INTERVAL '1' DAY)",
    },
    WindowFunction {
        name: SESSION,
        parameters: ["DATA", "TIMECOL", "GAP", "", ""],
        usage: "SESSION(TABLE t PARTITION BY key, DESCRIPTOR(time), INTERVAL '30' MINUTE)",
    },
];

const SESSION: &str = "SESSION";

/// Most slices of a window.
const SLICES_MAX: i64 = 1_000_000;

impl WindowFunction {
    fn named(name: &Ident) -> Result<&'static Self> {
        let place = name.span.start;
        let upper = name.value.to_uppercase();
        let found = FUNCTIONS.iter().find(|function| function.name == upper);
        found.ok_or_else(|| {
            let message = format!("unknown table function `{}`", name.value);
            Fault::at(place, message).near(&name.value, FUNCTIONS.map(|function| function.name))
        })
    }

    /// Number of arguments without OFFSET.
    fn needed(&self) -> usize {
        let parameters = self.parameters.iter();
        let needed = parameters.take_while(|name| !["OFFSET", ""].contains(*name));
        needed.count()
    }

    /// Names of all arguments.
    fn all(&self) -> &[&'static str] {
        let count = self.parameters.iter().filter(|name| !name.is_empty());
        &self.parameters[..count.count()]
    }

    fn missing(&self, what: &str, place: Place) -> Fault {
        let fault = Fault::at(place, format!("`{}` without {what}", self.name));
        fault.help(format!("expected {}", self.usage))
    }

    /// The windows, given all arguments after the time column.
    fn kind(&self, lengths: &[(i64, Place)], offset_ms: i64) -> Result<WindowKind> {
        for ((length, place), parameter) in lengths.iter().zip(&self.parameters[2..]) {
            if *length <= 0 {
                let parameter = parameter.to_lowercase();
                let message = format!("{parameter} is {length} ms, expected more than 0");
                return Err(Fault::at(*place, message));
            }
        }
        let [(slice_ms, _), ..] = *lengths else {
            unreachable!("every window function has a length");
        };
        if self.name == SESSION {
            return Ok(WindowKind::Session {
                gap_ms: slice_ms,
                partition: vec![],
                touching: true,
            });
        }
        let Some((size_ms, place)) = lengths.get(1).copied() else {
            let size_ms = slice_ms;
            return Ok(WindowKind::Tumble { size_ms, offset_ms });
        };
        let slice = self.parameters[2].to_lowercase();
        if size_ms % slice_ms != 0 {
            let message =
                format!("size is {size_ms} ms, expected a multiple of the {slice} ({slice_ms} ms)");
            return Err(Fault::at(place, message));
        }
        if size_ms / slice_ms > SLICES_MAX {
            let message = format!(
                "size is {size_ms} ms, expected at most {SLICES_MAX} times the {slice} \
                 ({slice_ms} ms)"
            );
            return Err(Fault::at(place, message));
        }
        Ok(match self.name {
            "HOP" => WindowKind::Hop {
                size_ms,
                slide_ms: slice_ms,
                offset_ms,
            },
            _ => WindowKind::Cumulate {
                size_ms,
                step_ms: slice_ms,
                offset_ms,
            },
        })
    }
}

impl QueryBinder<'_> {
    /// Binds what stands in `TABLE(…)`.
    pub(super) fn bind_table_function(&self, expr: &ast::Expr, place: Place) -> Result<Bound> {
        let ast::Expr::Function(function) = expr else {
            let message = format!("found `{expr}` in TABLE(…), expected a window function");
            return Err(
                Fault::at(place, message).help(format!("for example {}", FUNCTIONS[0].usage))
            );
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
        let function = WindowFunction::named(name)?;
        let args = by_parameter(function, args, place)?;
        let data = args[0].ok_or_else(|| function.missing("a table", place))?;
        let (input, partition_by) = self.bind_data(data, function)?;
        let time = args[1].ok_or_else(|| function.missing("DESCRIPTOR(time)", place))?;
        let (time_column, domain) = time_column(&input.scope, time, function)?;
        let mut kind = self.bind_lengths(function, (&args, 2), place)?;
        if let WindowKind::Session { partition, .. } = &mut kind {
            for column in partition_by {
                partition.push(partition_column(&input.scope, column)?);
            }
        }
        let window = WindowSpec {
            time_column,
            domain,
            kind,
        };
        append_window(input, window, (NAMES, place))
    }

    /// Binds the lengths, which begin at argument `first` of `args`.
    fn bind_lengths(
        &self,
        function: &WindowFunction,
        (args, first): (&[Option<&ast::Expr>], usize),
        place: Place,
    ) -> Result<WindowKind> {
        let mut lengths = vec![];
        let needed = function.needed();
        for (arg, parameter) in args
            .iter()
            .zip(&function.parameters)
            .take(needed)
            .skip(first)
        {
            let parameter = parameter.to_lowercase();
            let arg = arg.ok_or_else(|| function.missing(&format!("a {parameter}"), place))?;
            lengths.push((self.interval(arg, &parameter)?, start(arg, place)));
        }
        let offset_ms = match args.get(needed).copied().flatten() {
            Some(offset) => self.interval(offset, "offset")?,
            None => 0,
        };
        function.kind(&lengths, offset_ms)
    }

    /// Binds the older syntax: a window in GROUP BY, `TUMBLE(time, size)`. Its columns get names that
    /// nobody can write: `TUMBLE_START(time, size)` and its like find them by their role.
    pub(super) fn bind_group_window(&self, input: Bound, grouped: &[ast::Expr]) -> Result<Bound> {
        let calls = grouped.iter().filter_map(group_window);
        let mut calls = calls.filter(|call| {
            let function = call.name.to_string().to_uppercase();
            ["TUMBLE", "HOP", "SESSION"].contains(&function.as_str())
        });
        let Some(call) = calls.next() else {
            return Ok(input);
        };
        let place = call.name.span().start;
        if let Some(second) = calls.next() {
            return Err(Fault::unsupported(
                second.name.span(),
                "a second window in GROUP BY is",
            ));
        }
        let function = WindowFunction::named(super::bare_name(&call.name)?)?;
        let arguments = window_arguments(call);
        let needed = function.needed() - 1;
        if arguments.len() != needed {
            let message = format!(
                "`{}`: found {} arguments, expected {needed}: the time, then {}",
                function.name,
                arguments.len(),
                function.parameters[2..=needed].join(", ").to_lowercase()
            );
            return Err(Fault::at(place, message));
        }
        let ast::Expr::Identifier(time) = arguments[0] else {
            let message = format!("found `{}`, expected a time column", arguments[0]);
            return Err(Fault::at(place, message));
        };
        let (time_column, domain) = time_named(&input.scope, time)?;
        let mut args: Vec<Option<&ast::Expr>> = vec![None];
        args.extend(arguments.iter().copied().map(Some));
        let kind = self.bind_lengths(function, (&args, 2), place)?;
        let window = WindowSpec {
            time_column,
            domain,
            kind,
        };
        let mut bound = append_window(input, window, (HIDDEN_NAMES, place))?;
        bound.scope.group_window = Some(group_window_text(call));
        Ok(bound)
    }

    /// The rows, and the columns of PARTITION BY.
    fn bind_data<'e>(
        &self,
        data: &'e ast::Expr,
        function: &WindowFunction,
    ) -> Result<(Bound, &'e [ast::Expr])> {
        let place = data.span().start;
        let bound = match data {
            ast::Expr::Prefixed { prefix, value } if prefix.value == TABLE => {
                self.bind_table_named(value)
            }
            ast::Expr::Prefixed { prefix, value } if prefix.value == PARTITIONED_TABLE => {
                if function.name != SESSION {
                    let what = format!("`PARTITION BY` in `{}` is", function.name);
                    return Err(Fault::unsupported(prefix.span, what));
                }
                let ast::Expr::Tuple(parts) = value.as_ref() else {
                    unreachable!("the parser makes it a tuple");
                };
                let (table, columns) = parts.split_first().expect("the table comes first");
                return Ok((self.bind_table_named(table)?, columns));
            }
            ast::Expr::Subquery(query) => self.bind(query),
            ast::Expr::Nested(inner) => return self.bind_data(inner, function),
            other => {
                let message = format!("found `{other}`, expected `TABLE name`");
                Err(Fault::at(place, message).help(format!("expected {}", function.usage)))
            }
        };
        Ok((bound?, &[]))
    }

    fn bind_table_named(&self, table: &ast::Expr) -> Result<Bound> {
        match table {
            ast::Expr::Identifier(name) => self.bind_table(name),
            other => {
                let what = "a name with a catalog or database is";
                Err(Fault::unsupported(other.span(), what))
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

/// The window call in an element of GROUP BY.
fn group_window(element: &ast::Expr) -> Option<&ast::Function> {
    match element {
        ast::Expr::Function(function) => Some(function),
        ast::Expr::Nested(inner) => group_window(inner),
        _ => None,
    }
}

/// Whether an element of GROUP BY is the window of the query.
pub(super) fn is_group_window(element: &ast::Expr, scope: &Scope) -> bool {
    let text = group_window(element).map(group_window_text);
    text.is_some() && text == scope.group_window
}

/// A window call as text: what `TUMBLE_START(…)` must repeat.
fn group_window_text(call: &ast::Function) -> String {
    let arguments: Vec<String> = window_arguments(call)
        .iter()
        .map(|a| a.to_string())
        .collect();
    format!(
        "{}({})",
        call.name.to_string().to_uppercase(),
        arguments.join(", ")
    )
}

fn window_arguments(call: &ast::Function) -> Vec<&ast::Expr> {
    let FunctionArguments::List(list) = &call.args else {
        return vec![];
    };
    let exprs = list.args.iter().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    });
    exprs.collect()
}

/// The column that `TUMBLE_START(…)`, `HOP_END(…)` and their like name; none if it is another
/// function.
pub(crate) fn auxiliary(call: &ast::Function, scope: &Scope) -> Result<Option<usize>> {
    let name = call.name.to_string().to_uppercase();
    let Some((window, part)) = name.split_once('_') else {
        return Ok(None);
    };
    let role = match part {
        _ if !["TUMBLE", "HOP", "SESSION"].contains(&window) => return Ok(None),
        "START" => Role::WindowStart,
        "END" => Role::WindowEnd,
        "ROWTIME" => Role::WindowTime(TimeDomain::Event),
        "PROCTIME" => Role::WindowTime(TimeDomain::Processing),
        _ => return Ok(None),
    };
    let place = call.name.span().start;
    let arguments: Vec<String> = window_arguments(call)
        .iter()
        .map(|a| a.to_string())
        .collect();
    let wanted = format!("{window}({})", arguments.join(", "));
    match &scope.group_window {
        Some(text) if *text == wanted => {
            let position = scope.columns.iter().position(|column| column.role == role);
            let of_other_time = || {
                let (is, other) = match part {
                    "ROWTIME" => ("processing time", "PROCTIME"),
                    _ => ("event time", "ROWTIME"),
                };
                let message = format!("`{name}` of a window over {is}");
                Fault::at(place, message).help(format!("use {window}_{other}"))
            };
            position.map(Some).ok_or_else(of_other_time)
        }
        Some(text) => {
            let message = format!("`{name}` of `{wanted}`, but the query groups by `{text}`");
            Err(Fault::at(place, message))
        }
        None => Err(Fault::at(
            place,
            format!("`{name}` without `{wanted}` in GROUP BY"),
        )),
    }
}

/// The arguments in the order of the function's parameters, given by position or by name.
fn by_parameter<'a>(
    function: &WindowFunction,
    args: &'a [FunctionArg],
    place: Place,
) -> Result<[Option<&'a ast::Expr>; 5]> {
    let mut found = [None; 5];
    let parameters = function.all();
    for (position, arg) in args.iter().enumerate() {
        let (index, expr) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => (Some(position), expr),
            FunctionArg::Named {
                name,
                arg: FunctionArgExpr::Expr(expr),
                ..
            } => {
                let upper = name.value.to_uppercase();
                let index = parameters.iter().position(|parameter| *parameter == upper);
                if index.is_none() {
                    let message = format!("`{}` has no argument `{}`", function.name, name.value);
                    let known = parameters.iter().copied();
                    return Err(Fault::at(name.span, message).near(&name.value, known));
                }
                (index, expr)
            }
            _ => {
                return Err(Fault::at(
                    place,
                    format!("found `*` in `{}`", function.name),
                ));
            }
        };
        let index = index.filter(|index| *index < parameters.len());
        let index = index.ok_or_else(|| {
            let (found, needed) = (args.len(), function.needed());
            let expected = match parameters.len() {
                most if most == needed => needed.to_string(),
                most => format!("{needed} or {most}"),
            };
            let message = format!(
                "`{}`: found {found} arguments, expected {expected}",
                function.name
            );
            Fault::at(place, message)
        })?;
        if found[index].replace(expr).is_some() {
            let message = format!("`{}` is given twice", parameters[index]);
            return Err(Fault::at(start(expr, place), message));
        }
    }
    Ok(found)
}

/// The time column in `DESCRIPTOR(column)`.
fn time_column(
    scope: &Scope,
    expr: &ast::Expr,
    function: &WindowFunction,
) -> Result<(usize, TimeDomain)> {
    let place = expr.span().start;
    let wrong = || {
        let fault = Fault::at(place, format!("found `{expr}`, expected DESCRIPTOR(time)"));
        fault.help(format!("expected {}", function.usage))
    };
    let ast::Expr::Function(descriptor) = expr else {
        return Err(wrong());
    };
    let named = descriptor.name.to_string();
    match (
        named.eq_ignore_ascii_case("DESCRIPTOR"),
        &window_arguments(descriptor)[..],
    ) {
        (true, [ast::Expr::Identifier(name)]) => time_named(scope, name),
        _ => Err(wrong()),
    }
}

/// A column of PARTITION BY.
fn partition_column(scope: &Scope, column: &ast::Expr) -> Result<usize> {
    let ast::Expr::Identifier(name) = column else {
        unreachable!("the parser reads names");
    };
    let found = scope.resolve(std::slice::from_ref(name))?;
    let index = found.as_column().expect("a single name is a column");
    match is_comparable(&found.data_type) {
        true => Ok(index),
        false => {
            let found = sql_name(&found.data_type);
            let message = format!("cannot partition by `{}`, which is {found}", name.value);
            Err(Fault::at(name.span, message))
        }
    }
}

/// The column `name`, which must be a time, and which time it is.
fn time_named(scope: &Scope, name: &Ident) -> Result<(usize, TimeDomain)> {
    let column = scope.resolve(std::slice::from_ref(name))?;
    let index = column.as_column().expect("a single name is a column");
    if let Some(domain) = scope.columns[index].role.domain() {
        return Ok((index, domain));
    }
    let times: Vec<&str> = scope
        .columns
        .iter()
        .filter(|column| column.role.domain().is_some())
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

/// Names of a window's columns.
const NAMES: [&str; 3] = ["window_start", "window_end", "window_time"];
/// The same for a window in GROUP BY: nobody can write them.
const HIDDEN_NAMES: [&str; 3] = ["$window_start", "$window_end", "$window_time"];

fn append_window(
    input: Bound,
    window: WindowSpec,
    (names, place): ([&str; 3], Place),
) -> Result<Bound> {
    let Bound { rel, mut scope } = input;
    let time_type = scope.columns[window.time_column].data_type.clone();
    let columns = [
        (names[0], timestamp(3), Role::WindowStart),
        (names[1], timestamp(3), Role::WindowEnd),
        (names[2], time_type, Role::WindowTime(window.domain)),
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
    scope.columns[window.time_column].role = Role::WindowedTime;
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
    let rel = rel.window(window);
    Ok(Bound { rel, scope })
}
