//! From a plan's expression to physical expressions, bottom up.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatchOptions};
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, Column, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NegativeExpr,
    NotExpr, in_list,
};
use millstream_core::expr::{BinaryOp, Expr, ExprKind};
use millstream_core::function::{Named, ScalarFunction};
use millstream_core::surroundings::{Looks, looks};
use millstream_core::types::sql_name;
use millstream_core::{Error, Result};

use super::node::KernelExpr;
use super::{cast, chance, comparison, literal, surroundings};
use crate::function::arithmetic::{self, Operation};
use crate::function::{self, Kernel, from_datafusion};

type Physical = Arc<dyn PhysicalExpr>;

/// Compiles `expr` for rows of the schema `input`.
pub(super) fn compile(expr: &Expr, input: &SchemaRef) -> Result<Physical> {
    let physical = compile_kind(expr, input)?;
    Ok(fold(physical))
}

/// The value, if it is the same for each row.
pub(super) fn as_constant(physical: &Physical) -> Option<&ScalarValue> {
    physical
        .as_any()
        .downcast_ref::<Literal>()
        .map(Literal::value)
}

fn compile_kind(expr: &Expr, input: &SchemaRef) -> Result<Physical> {
    let wanted = &expr.data_type;
    match &expr.kind {
        ExprKind::Column { index, name } => column(*index, name, wanted, input),
        ExprKind::Literal(value) => Ok(constant(literal::scalar(value, wanted)?)),
        ExprKind::Binary { op, left, right } => {
            let sides = (compile(left, input)?, compile(right, input)?);
            match op {
                BinaryOp::And | BinaryOp::Or if may_fail(right) => lazy_logic(*op, sides),
                _ => Ok(binary(*op, sides, &left.data_type, wanted)),
            }
        }
        ExprKind::Not(inner) => Ok(Arc::new(NotExpr::new(compile(inner, input)?))),
        ExprKind::Negate(inner) => Ok(Arc::new(NegativeExpr::new(compile(inner, input)?))),
        ExprKind::IsNull {
            input: inner,
            negated,
        } => {
            let inner = compile(inner, input)?;
            Ok(match negated {
                true => Arc::new(IsNotNullExpr::new(inner)),
                false => Arc::new(IsNullExpr::new(inner)),
            })
        }
        ExprKind::Case {
            branches,
            otherwise,
        } => case(branches, otherwise.as_deref(), input),
        ExprKind::Cast { input: inner, safe } => {
            let kernel = cast::kernel(&inner.data_type, wanted, *safe)?;
            let word = if *safe { "try_cast" } else { "cast" };
            Ok(kernel_expr(
                word,
                vec![compile(inner, input)?],
                wanted,
                kernel,
            ))
        }
        ExprKind::Field { input: inner, name } => field(inner, name, wanted, input),
        ExprKind::Like {
            input: inner,
            pattern,
            negated,
        } => {
            let (inner, pattern) = (compile(inner, input)?, compile(pattern, input)?);
            Ok(Arc::new(LikeExpr::new(*negated, false, inner, pattern)))
        }
        ExprKind::InList {
            input: inner,
            list,
            negated,
        } => {
            let list = list.iter().map(|item| compile(item, input));
            let list = list.collect::<Result<Vec<_>>>()?;
            in_list(compile(inner, input)?, list, negated, input).map_err(from_datafusion)
        }
        ExprKind::Call { function, args } => call(function, args, wanted, input),
        ExprKind::Native { function, args } => native(function, args, wanted, input),
    }
}

fn column(index: usize, name: &str, wanted: &DataType, input: &Schema) -> Result<Physical> {
    let found = input.fields().get(index).map(|field| field.data_type());
    if found != Some(wanted) {
        let found = found.map_or("no such column".into(), ToString::to_string);
        return Err(Error::bug(format!(
            "column {index} `{name}`: found {found}, expected {wanted}"
        )));
    }
    Ok(Arc::new(Column::new(name, index)))
}

fn constant(value: ScalarValue) -> Physical {
    Arc::new(Literal::new(value))
}

fn kernel_expr(name: &str, args: Vec<Physical>, wanted: &DataType, kernel: Kernel) -> Physical {
    Arc::new(KernelExpr {
        name: name.into(),
        args,
        return_type: wanted.clone(),
        kernel,
    })
}

/// `left op right`; `operand` is the type of the left side.
fn binary(
    op: BinaryOp,
    (left, right): (Physical, Physical),
    operand: &DataType,
    wanted: &DataType,
) -> Physical {
    if operand.is_floating()
        && let Some(kernel) = comparison::kernel(op)
    {
        return kernel_expr(op.symbol(), vec![left, right], wanted, kernel);
    }
    if let Some(operation) = own_arithmetic(op, operand) {
        let kernel: Kernel = Arc::new(move |args| arithmetic::compute(operation, args));
        return kernel_expr(op.symbol(), vec![left, right], wanted, kernel);
    }
    Arc::new(BinaryExpr::new(left, operator(op), right))
}

/// AND and OR whose right side is computed only for rows that the left side leaves open, because it
/// may fail for the others: `n <> 0 AND 6 / n > 2`.
fn lazy_logic(op: BinaryOp, (left, right): (Physical, Physical)) -> Result<Physical> {
    let decided = match op {
        BinaryOp::And => Arc::new(NotExpr::new(Arc::clone(&left))) as Physical,
        _ => Arc::clone(&left),
    };
    let outcome = constant(ScalarValue::Boolean(Some(op == BinaryOp::Or)));
    let open: Physical = Arc::new(BinaryExpr::new(left, operator(op), right));
    let case = CaseExpr::try_new(None, vec![(decided, outcome)], Some(open));
    Ok(Arc::new(case.map_err(from_datafusion)?))
}

/// The operation, where Arrow's differs from Flink's for this type.
fn own_arithmetic(op: BinaryOp, operand: &DataType) -> Option<Operation> {
    let operation = match op {
        BinaryOp::Add => Operation::Add,
        BinaryOp::Subtract => Operation::Subtract,
        BinaryOp::Multiply => Operation::Multiply,
        BinaryOp::Divide => Operation::Divide,
        BinaryOp::Modulo => Operation::Modulo,
        _ => return None,
    };
    let divides = matches!(operation, Operation::Divide | Operation::Modulo);
    let arrow_is_right = operand.is_floating() || (operand.is_integer() && !divides);
    (!arrow_is_right).then_some(operation)
}

fn operator(op: BinaryOp) -> Operator {
    match op {
        BinaryOp::Add => Operator::Plus,
        BinaryOp::Subtract => Operator::Minus,
        BinaryOp::Multiply => Operator::Multiply,
        BinaryOp::Divide => Operator::Divide,
        BinaryOp::Modulo => Operator::Modulo,
        BinaryOp::Equal => Operator::Eq,
        BinaryOp::NotEqual => Operator::NotEq,
        BinaryOp::Less => Operator::Lt,
        BinaryOp::LessOrEqual => Operator::LtEq,
        BinaryOp::Greater => Operator::Gt,
        BinaryOp::GreaterOrEqual => Operator::GtEq,
        BinaryOp::And => Operator::And,
        BinaryOp::Or => Operator::Or,
        BinaryOp::IsNotDistinctFrom => Operator::IsNotDistinctFrom,
        BinaryOp::IsDistinctFrom => Operator::IsDistinctFrom,
    }
}

fn case(
    branches: &[(Expr, Expr)],
    otherwise: Option<&Expr>,
    input: &SchemaRef,
) -> Result<Physical> {
    let branches = branches
        .iter()
        .map(|(condition, value)| Ok((compile(condition, input)?, compile(value, input)?)))
        .collect::<Result<Vec<_>>>()?;
    let otherwise = otherwise.map(|value| compile(value, input)).transpose()?;
    let case = CaseExpr::try_new(None, branches, otherwise).map_err(from_datafusion)?;
    Ok(Arc::new(case))
}

fn field(inner: &Expr, name: &str, wanted: &DataType, input: &SchemaRef) -> Result<Physical> {
    let DataType::Struct(fields) = &inner.data_type else {
        let found = &inner.data_type;
        return Err(Error::bug(format!(
            "`{inner}`: found {found}, expected a row"
        )));
    };
    let (index, _) = fields
        .find(name)
        .ok_or_else(|| Error::bug(format!("`{inner}` has no field `{name}`")))?;
    let kernel: Kernel = Arc::new(move |args| {
        let rows = args.array(0)?;
        let rows = rows.as_struct();
        field_of(rows.column(index), rows.nulls())
    });
    Ok(kernel_expr(
        "field",
        vec![compile(inner, input)?],
        wanted,
        kernel,
    ))
}

/// A field's values, null where the row itself is.
fn field_of(values: &ArrayRef, rows: Option<&arrow::buffer::NullBuffer>) -> Result<ArrayRef> {
    match rows {
        // PERF: a source that made both with the same nulls has done it already.
        Some(rows)
            if values
                .nulls()
                .is_some_and(|it| it.inner().ptr_eq(rows.inner())) =>
        {
            Ok(Arc::clone(values))
        }
        Some(rows) if rows.null_count() > 0 => {
            let absent = BooleanArray::new(!rows.inner(), None);
            Ok(nullif(values, &absent)?)
        }
        _ => Ok(Arc::clone(values)),
    }
}

fn call(function: &str, args: &[Expr], wanted: &DataType, input: &SchemaRef) -> Result<Physical> {
    if function == "COALESCE"
        && let Some(lazy) = lazy_coalesce(args, input)?
    {
        return Ok(lazy);
    }
    let count = args.len();
    let args = args.iter().map(|arg| compile(arg, input));
    let mut args = args.collect::<Result<Vec<_>>>()?;
    if let Some(looks) = looks(function, count) {
        args.push(surroundings::column(looks, input));
        let constants = constants_of(&args);
        let (args, kernel): (_, Kernel) = match looks {
            Looks::AtChance => (args, chance::kernel(function, &constants)?),
            // Its argument only says which watermark.
            _ => (args.split_off(args.len() - 1), Arc::new(surroundings::time)),
        };
        let name = function.to_lowercase();
        return Ok(kernel_expr(&name, args, wanted, kernel));
    }
    let constants = constants_of(&args);
    let kernel = function::prepare(function, &constants)?;
    Ok(kernel_expr(&function.to_lowercase(), args, wanted, kernel))
}

fn constants_of(args: &[Physical]) -> Vec<Option<ScalarValue>> {
    args.iter().map(|arg| as_constant(arg).cloned()).collect()
}

/// A function of the embedding program, which sees all arguments as columns.
fn native(
    function: &Named<dyn ScalarFunction>,
    args: &[Expr],
    wanted: &DataType,
    input: &SchemaRef,
) -> Result<Physical> {
    let args = args.iter().map(|arg| compile(arg, input));
    let (name, function) = (function.name.clone(), function.function.clone());
    let result_type = wanted.clone();
    let kernel: Kernel = Arc::new(move |args| {
        let arrays = (0..args.len()).map(|index| args.full_array(index));
        let result = function.call(&arrays.collect::<Result<Vec<_>>>()?, args.rows);
        let result = result.map_err(|error| error.context(format!("`{name}`")))?;
        if result.len() == args.rows && *result.data_type() == result_type {
            return Ok(result);
        }
        let (found, expected) = (sql_name(result.data_type()), sql_name(&result_type));
        Err(Error::invalid(format!(
            "`{name}` gave {} values of {found}, expected {} of {expected}",
            result.len(),
            args.rows
        )))
    });
    let args = args.collect::<Result<_>>()?;
    Ok(kernel_expr("native", args, wanted, kernel))
}

/// As `CASE WHEN a IS NOT NULL THEN a ELSE …` where a later argument may fail, because Flink then
/// does not compute it for rows that have an earlier one.
fn lazy_coalesce(args: &[Expr], input: &SchemaRef) -> Result<Option<Physical>> {
    let Some((last, earlier)) = args.split_last() else {
        return Ok(None);
    };
    if !args.iter().skip(1).any(may_fail) || earlier.is_empty() {
        return Ok(None);
    }
    let mut branches: Vec<(Physical, Physical)> = vec![];
    for arg in earlier {
        let value = compile(arg, input)?;
        branches.push((Arc::new(IsNotNullExpr::new(Arc::clone(&value))), value));
    }
    let otherwise = Some(compile(last, input)?);
    let case = CaseExpr::try_new(None, branches, otherwise).map_err(from_datafusion)?;
    Ok(Some(Arc::new(case)))
}

/// Whether some value could make it fail: an unsafe cast or a division.
fn may_fail(expr: &Expr) -> bool {
    let own = match &expr.kind {
        ExprKind::Cast { safe, .. } => !safe,
        ExprKind::Binary { op, .. } => matches!(op, BinaryOp::Divide | BinaryOp::Modulo),
        ExprKind::Native { .. } => true,
        _ => false,
    };
    own || expr.children().into_iter().any(may_fail)
}

/// Computes `physical` now if nothing in it depends on the row. If that fails it is left as it is:
/// it may be in a branch that no row takes.
fn fold(physical: Physical) -> Physical {
    let children = physical.children();
    let foldable = !children.is_empty() && children.iter().all(|it| as_constant(it).is_some());
    if !foldable {
        return physical;
    }
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let schema = Arc::new(Schema::empty());
    let one_row = RecordBatch::try_new_with_options(schema, vec![], &options);
    let Ok(value) = one_row.map(|rows| physical.evaluate(&rows)) else {
        return physical;
    };
    let value = match value {
        Ok(ColumnarValue::Scalar(value)) => Some(value),
        Ok(ColumnarValue::Array(array)) if array.len() == 1 => {
            ScalarValue::try_from_array(&array, 0).ok()
        }
        _ => None,
    };
    value.map_or(physical, constant)
}
