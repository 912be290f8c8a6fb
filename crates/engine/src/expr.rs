//! Expressions of a plan, compiled to run over record batches.
//!
//! Flow: [`CompiledExpr::compile`] turns a typed [`Expr`] into DataFusion's physical expressions;
//! where Flink computes differently from Arrow (casts, decimals, integer division, comparing
//! floating-point numbers, functions) it puts in a [`KernelExpr`](node::KernelExpr) with a kernel
//! of our own. Whatever is constant is computed once, then. [`CompiledExpr::evaluate`] computes one
//! batch, column by column.
//!
//! Invariant: the result has exactly the expression's type and one value for each row.

mod cast;
mod chance;
mod comparison;
mod compile;
mod literal;
mod node;
mod surroundings;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use millstream_core::expr::Expr;
use millstream_core::{Error, Result};

pub(crate) use cast::text_writer;
pub use chance::SplitMix;
pub use surroundings::{Surroundings, Watermarks};

use surroundings::Extended;

use crate::function::from_datafusion;

/// An expression, ready to compute.
#[derive(Debug, Clone)]
pub struct CompiledExpr {
    body: Body,
    data_type: DataType,
    /// What it sees, if that is more than its row.
    extended: Option<Extended>,
    /// The expression as in the plan, for messages.
    text: String,
}

#[derive(Debug, Clone)]
enum Body {
    /// The column itself: nothing to compute.
    Column(usize),
    /// The same for each row.
    Constant(ScalarValue),
    /// Everything else.
    Computed(Arc<dyn PhysicalExpr>),
}

impl CompiledExpr {
    /// Compiles `expr` for batches of the schema `input`.
    ///
    /// # Errors
    /// `InvalidInput` for a constant that cannot work, such as a regular expression that does not
    /// compile; `Bug` for a type that does not fit, which the planner should have excluded.
    pub fn compile(expr: &Expr, input: &SchemaRef) -> Result<Self> {
        let text = expr.to_string();
        let extended = Extended::of(expr, input);
        let physical = match &extended {
            None => compile::compile(expr, input),
            Some(extended) => {
                let mut expr = expr.clone();
                surroundings::number_calls(&mut expr, &mut 0);
                compile::compile(&expr, &extended.schema)
            }
        };
        let physical = physical.map_err(|error| error.context(format!("compiling `{text}`")))?;
        let body = match expr.as_column() {
            Some(index) => Body::Column(index),
            None => match compile::as_constant(&physical) {
                Some(value) => Body::Constant(value.clone()),
                None => Body::Computed(physical),
            },
        };
        Ok(Self {
            body,
            data_type: expr.data_type.clone(),
            extended,
            text,
        })
    }

    /// Type of the result.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Index of the column, if this is nothing but one.
    pub fn as_column(&self) -> Option<usize> {
        match self.body {
            Body::Column(index) => Some(index),
            _ => None,
        }
    }

    /// One value for each row of `rows`. A bare column is shared, not copied.
    ///
    /// # Errors
    /// `InvalidInput` if some row cannot be computed: division by zero, a text that is not of the
    /// type that it is cast to.
    pub fn evaluate(&self, rows: &RecordBatch) -> Result<ArrayRef> {
        match &self.extended {
            None => self.compute(rows),
            Some(_) => Err(self.failed(Error::bug("it looks at more than its row"))),
        }
    }

    /// The same for expressions that may look at their surroundings.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn evaluate_in(
        &self,
        rows: &RecordBatch,
        surroundings: &Surroundings<'_>,
    ) -> Result<ArrayRef> {
        match &self.extended {
            None => self.compute(rows),
            Some(extended) => self.compute(&surroundings.beside(rows, extended)?),
        }
    }

    fn compute(&self, rows: &RecordBatch) -> Result<ArrayRef> {
        let result = match &self.body {
            Body::Column(index) => Arc::clone(rows.column(*index)),
            Body::Constant(value) => expand(value, rows.num_rows())?,
            Body::Computed(expr) => match expr.evaluate(rows) {
                Ok(ColumnarValue::Array(array)) => array,
                Ok(ColumnarValue::Scalar(value)) => expand(&value, rows.num_rows())?,
                Err(error) => return Err(self.failed(from_datafusion(error))),
            },
        };
        if result.data_type() != &self.data_type || result.len() != rows.num_rows() {
            return Err(self.failed(Error::bug(format!(
                "found {} values of {}, expected {} of {}",
                result.len(),
                result.data_type(),
                rows.num_rows(),
                self.data_type
            ))));
        }
        Ok(result)
    }

    /// Evaluates a condition: true, false or null for each row.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate); `Bug` if the type is not `BOOLEAN`.
    pub fn evaluate_predicate(&self, rows: &RecordBatch) -> Result<BooleanArray> {
        self.as_predicate(&self.evaluate(rows)?)
    }

    fn as_predicate(&self, result: &ArrayRef) -> Result<BooleanArray> {
        let found = result.as_boolean_opt().cloned();
        found.ok_or_else(|| self.failed(Error::bug("a condition is not a boolean")))
    }

    /// Which rows a condition keeps: those where it is true. Without nulls.
    ///
    /// # Errors
    /// As [`evaluate_predicate`](Self::evaluate_predicate).
    pub fn filter_mask(&self, rows: &RecordBatch) -> Result<BooleanArray> {
        Ok(is_true(self.evaluate_predicate(rows)?))
    }

    /// The same for conditions that may look at their surroundings.
    ///
    /// # Errors
    /// As [`evaluate_predicate`](Self::evaluate_predicate).
    pub fn filter_mask_in(
        &self,
        rows: &RecordBatch,
        surroundings: &Surroundings<'_>,
    ) -> Result<BooleanArray> {
        let result = self.evaluate_in(rows, surroundings)?;
        Ok(is_true(self.as_predicate(&result)?))
    }

    fn failed(&self, error: Error) -> Error {
        error.context(format!("evaluating `{}`", self.text))
    }
}

impl std::fmt::Display for CompiledExpr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_true(condition: BooleanArray) -> BooleanArray {
    match condition.nulls() {
        None => condition,
        Some(nulls) => BooleanArray::new(condition.values() & nulls.inner(), None),
    }
}

fn expand(value: &ScalarValue, rows: usize) -> Result<ArrayRef> {
    value.to_array_of_size(rows).map_err(from_datafusion)
}

/// `array` as text or from text, for tests that write values as text.
#[cfg(test)]
pub(crate) fn cast_for_tests(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    cast::cast_array(array, to, false)
}

#[cfg(test)]
mod tests;
