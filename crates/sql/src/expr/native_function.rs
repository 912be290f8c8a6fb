//! Calls of functions that the embedding program brings (see [`millstream_core::function`]). A function
//! says which types it takes, or looks at those that it gets.

use arrow::datatypes::DataType;
use millstream_core::expr::{Expr, ExprKind};
use millstream_core::function::Functions;
use millstream_core::plan::AggregateFunction;
use millstream_core::types::sql_name;
use sqlparser::ast;

use crate::diagnostic::{Fault, Place, Result};
use crate::expr::ExprBinder;
use crate::expr::aggregate::BoundAggregate;
use crate::functions::{self, Argument, check_count};
use crate::types::{convert, converts_implicitly};

/// Refuses names that are taken.
pub(crate) fn check_names(native: &Functions) -> Result<()> {
    match native.names().find(|name| functions::is_known(name)) {
        None => Ok(()),
        Some(name) => {
            let message = format!("function `{name}` is there already: it is built in");
            Err(Fault::at(Place::new(1, 1), message))
        }
    }
}

/// The argument as a function wants it.
fn converted(argument: &Argument, wanted: &DataType, what: &str) -> Result<Expr> {
    let found = &argument.expr.data_type;
    if converts_implicitly(found, wanted) {
        return Ok(convert(argument.expr.clone(), wanted));
    }
    let (found, wanted) = (sql_name(found), sql_name(wanted));
    let message = format!("{what}: found {found}, expected {wanted}");
    let fault = Fault::at(argument.place, message);
    Err(fault.help(format!("write CAST(… AS {wanted})")))
}

impl ExprBinder<'_> {
    /// Binds a call of a native scalar function, if `name` is one.
    pub(super) fn bind_native(
        &mut self,
        name: &str,
        args: &[&ast::Expr],
        place: Place,
    ) -> Result<Option<Expr>> {
        let Some(function) = self.dialect.native.scalar(name) else {
            return Ok(None);
        };
        let mut args = self.bind_arguments(args)?;
        if let Some(wanted) = function.function.parameters() {
            check_count(name, place, args.len(), (wanted.len(), wanted.len()))?;
            for (index, (arg, wanted)) in args.iter_mut().zip(&wanted).enumerate() {
                arg.expr = converted(arg, wanted, &format!("argument {} of `{name}`", index + 1))?;
            }
        }
        let args: Vec<Expr> = args.into_iter().map(|arg| arg.expr).collect();
        let types: Vec<DataType> = args.iter().map(|arg| arg.data_type.clone()).collect();
        let data_type = function.function.return_type(&types);
        let data_type =
            data_type.map_err(|error| Fault::at(place, format!("`{name}`: {error}")))?;
        let function = function.clone();
        Ok(Some(Expr {
            kind: ExprKind::Native { function, args },
            data_type,
        }))
    }

    /// Binds a call of a native aggregate function, if `name` is one.
    pub(super) fn bind_native_aggregate(
        &mut self,
        name: &str,
        call: &ast::Function,
        place: Place,
    ) -> Result<Option<Expr>> {
        let Some(function) = self.dialect.native.aggregate(name) else {
            return Ok(None);
        };
        let (argument, filter, distinct) = self.one_argument(name, call, place)?;
        let argument = match function.function.parameter() {
            Some(wanted) => converted(&argument, &wanted, &format!("`{name}`"))?,
            None => argument.expr,
        };
        let data_type = function.function.return_type(&argument.data_type);
        let data_type =
            data_type.map_err(|error| Fault::at(place, format!("`{name}`: {error}")))?;
        let bound = BoundAggregate {
            function: AggregateFunction::Native,
            native: Some(function.clone()),
            argument: Some(argument),
            parameters: vec![],
            filter,
            distinct,
            data_type,
        };
        Ok(Some(self.put_aside(bound)))
    }
}
