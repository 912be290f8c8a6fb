//! Functions of the script: `CREATE FUNCTION f(a INT) RETURNS INT AS a + 1`. A call is replaced by the
//! function's expression with the arguments in the place of its parameters.

use arrow::datatypes::DataType;
use millstream_core::expr::{Expr, ExprKind};
use millstream_core::types::sql_name;
use sqlparser::ast;

use crate::ast::CreateFunction;
use crate::diagnostic::{Fault, Place, Result};
use crate::dialect::FlinkDialect;
use crate::expr::ExprBinder;
use crate::functions::{self, check_count};
use crate::scope::{Role, Scope, ScopeColumn};
use crate::types::{convert, converts_implicitly};

/// A function that the script made.
#[derive(Debug, Clone)]
pub(crate) struct UserFunction {
    /// In upper case: names of functions know no case.
    name: String,
    params: Vec<(String, DataType)>,
    /// Over the parameters as columns.
    body: Expr,
}

/// Most nodes of an expression that calls have been replaced in: functions that call functions
/// several times grow fast.
const NODES_MAX: usize = 10_000;
/// Most levels of such an expression: expressions are walked by recursion.
const LEVELS_MAX: usize = 96;

/// Declares `create` for the rest of the script.
pub(crate) fn declare(create: &CreateFunction, dialect: &FlinkDialect) -> Result<()> {
    let name = create.name.value.to_uppercase();
    let span = create.name.span;
    if functions::is_known(&name) {
        let message = format!(
            "function `{}` is there already: it is built in",
            create.name.value
        );
        return Err(Fault::at(span, message));
    }
    if dialect.native.names().any(|native| native == name) {
        let message = format!(
            "function `{}` is there already: the program brings it",
            create.name.value
        );
        return Err(Fault::at(span, message));
    }
    if dialect.user_function(&name).is_some() {
        if create.if_not_exists {
            return Ok(());
        }
        let message = format!("function `{}` is there already", create.name.value);
        return Err(Fault::at(span, message));
    }
    let mut scope = Scope::default();
    for (param, data_type) in &create.params {
        if scope.columns.iter().any(|known| known.name == param.value) {
            let message = format!("parameter `{}` is there twice", param.value);
            return Err(Fault::at(param.span, message));
        }
        scope.columns.push(ScopeColumn {
            table: None,
            name: param.value.clone(),
            data_type: data_type.clone(),
            role: Role::Plain,
            place: param.span.start,
        });
    }
    let mut binder = ExprBinder::scalar(&scope, dialect, "CREATE FUNCTION");
    binder.start = span.start;
    binder.declaring = Some(&name);
    let body = binder.bind(&create.body)?;
    if !converts_implicitly(&body.data_type, &create.returns) {
        let (found, expected) = (sql_name(&body.data_type), sql_name(&create.returns));
        let message = format!(
            "function `{}` gives {found}, but RETURNS says {expected}",
            create.name.value
        );
        let fault = Fault::at(binder.place(&create.body), message);
        return Err(fault.help(format!("write CAST(… AS {expected})")));
    }
    dialect.add_user_function(UserFunction {
        params: create
            .params
            .iter()
            .map(|(param, data_type)| (param.value.clone(), data_type.clone()))
            .collect(),
        body: convert(body, &create.returns),
        name,
    });
    Ok(())
}

impl UserFunction {
    /// Whether it is called so, in upper case.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name
    }

    /// Its name, in upper case.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl ExprBinder<'_> {
    /// Binds a call of a function that the script made, if `name` is one.
    pub(super) fn bind_user_function(
        &mut self,
        name: &str,
        args: &[&ast::Expr],
        place: Place,
    ) -> Result<Option<Expr>> {
        if self.declaring == Some(name) {
            let message = format!("function `{name}` calls itself, which is not possible");
            return Err(Fault::at(place, message));
        }
        let Some(function) = self.dialect.user_function(name) else {
            return Ok(None);
        };
        check_count(
            name,
            place,
            args.len(),
            (function.params.len(), function.params.len()),
        )?;
        let mut values = vec![];
        for (arg, (param, data_type)) in
            self.bind_arguments(args)?.into_iter().zip(&function.params)
        {
            let found = &arg.expr.data_type;
            if !converts_implicitly(found, data_type) {
                let (found, expected) = (sql_name(found), sql_name(data_type));
                let message = format!("`{param}` of `{name}`: found {found}, expected {expected}");
                let fault = Fault::at(arg.place, message);
                return Err(fault.help(format!("write CAST(… AS {expected})")));
            }
            values.push(convert(arg.expr, data_type));
        }
        let mut body = function.body;
        substitute(&mut body, &values);
        if size(&body, 0) > NODES_MAX {
            let message = format!("`{name}` grows to an expression of more than {NODES_MAX} parts");
            return Err(Fault::at(place, message));
        }
        if levels(&body) > LEVELS_MAX {
            let message =
                format!("`{name}` grows to an expression of more than {LEVELS_MAX} levels");
            return Err(Fault::at(place, message));
        }
        Ok(Some(body))
    }
}

fn substitute(expr: &mut Expr, values: &[Expr]) {
    if let ExprKind::Column { index, .. } = &expr.kind {
        *expr = values[*index].clone();
        return;
    }
    for child in expr.children_mut() {
        substitute(child, values);
    }
}

fn levels(expr: &Expr) -> usize {
    let children = expr.children().into_iter().map(levels);
    1 + children.max().unwrap_or(0)
}

/// The number of parts, counted on from `so_far` up to a little more than [`NODES_MAX`].
fn size(expr: &Expr, so_far: usize) -> usize {
    let mut count = so_far + 1;
    for child in expr.children() {
        if count > NODES_MAX {
            return count;
        }
        count = size(child, count);
    }
    count
}
