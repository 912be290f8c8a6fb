//! Stands before the operators of a plan that give, or keep, more memory than DataFusion counts,
//! and ends the query when what comes to them would be too much.
//!
//! | before | what is bounded |
//! |---|---|
//! | joins | a batch of their output with the widest row in each place |
//! | UNNEST | each row once for each element of its list |
//! | projections | each text copied once for each expression that gives text |
//! | windows | all rows, which they keep: reserved |

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, internal_err, resources_err};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec,
};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PlanProperties,
    SendableRecordBatchStream, Statistics,
};
use futures::StreamExt;

/// Puts the guards in.
#[derive(Debug)]
pub struct Guards {
    /// Most bytes that an operator may give at once.
    pub bytes_max: usize,
}

impl PhysicalOptimizerRule for Guards {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = config.execution.batch_size;
        let guarded = plan.transform_up(|node| {
            let Some(what) = what(&node, rows) else {
                return Ok(Transformed::no(node));
            };
            let guard = |input: &Arc<dyn ExecutionPlan>| -> Arc<dyn ExecutionPlan> {
                Arc::new(GuardExec {
                    input: input.clone(),
                    what,
                    bytes_max: self.bytes_max,
                })
            };
            let inputs = node.children().into_iter().map(guard).collect();
            Ok(Transformed::yes(node.with_new_children(inputs)?))
        });
        guarded.data()
    }

    fn name(&self) -> &'static str {
        "guards"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What the operator after a guard does with rows.
#[derive(Debug, Clone, Copy)]
enum What {
    /// Gives a row up to so many times in a batch.
    Repeats(usize),
    /// Gives a row for each element of its lists.
    Unnests,
    /// Gives each text so many times, and texts of the statement of so many bytes for each row.
    Copies { texts: usize, literals: usize },
    /// Keeps rows, with so many more texts.
    Keeps(usize),
}

fn what(node: &Arc<dyn ExecutionPlan>, batch_rows: usize) -> Option<What> {
    let node = node.as_any();
    if node.is::<CrossJoinExec>()
        || node.is::<NestedLoopJoinExec>()
        || node.is::<HashJoinExec>()
        || node.is::<SortMergeJoinExec>()
    {
        return Some(What::Repeats(batch_rows));
    }
    if node.is::<UnnestExec>() {
        return Some(What::Unnests);
    }
    if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
        let schema = projection.input().schema();
        let texts = projection.expr().iter().filter(|item| {
            let is_text = item
                .expr
                .data_type(&schema)
                .is_ok_and(|kind| is_text(&kind));
            is_text && !item.expr.as_any().is::<Column>()
        });
        let texts = texts.count();
        let literals = projection
            .expr()
            .iter()
            .map(|item| literal_bytes(&item.expr))
            .sum();
        return (texts > 0).then_some(What::Copies { texts, literals });
    }
    let windows = if let Some(window) = node.downcast_ref::<WindowAggExec>() {
        window.window_expr()
    } else {
        let window = node.downcast_ref::<BoundedWindowAggExec>()?;
        if window.input_order_mode == InputOrderMode::Sorted {
            return None;
        }
        window.window_expr()
    };
    let texts = windows.iter().filter(|window| {
        let field = window.field();
        field.is_ok_and(|field| is_text(field.data_type()))
    });
    Some(What::Keeps(texts.count()))
}

/// Bytes of the constants in an expression.
fn literal_bytes(expr: &Arc<dyn PhysicalExpr>) -> usize {
    let own = expr.as_any().downcast_ref::<Literal>();
    let own = own.map_or(0, |literal| literal.value().size());
    own + expr
        .children()
        .into_iter()
        .map(literal_bytes)
        .sum::<usize>()
}

/// Whether values of this type are of any length.
fn is_text(kind: &DataType) -> bool {
    kind.is_nested() || kind.is_string() || kind.is_binary()
}

/// Checks what comes to the operator after it.
#[derive(Debug)]
struct GuardExec {
    input: Arc<dyn ExecutionPlan>,
    what: What,
    bytes_max: usize,
}

impl DisplayAs for GuardExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuardExec")
    }
}

impl ExecutionPlan for GuardExec {
    fn name(&self) -> &'static str {
        "GuardExec"
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self {
                input,
                what: self.what,
                bytes_max: self.bytes_max,
            })),
            _ => internal_err!("a guard has one child"),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let reservation = MemoryConsumer::new("window").register(context.memory_pool());
        let (what, bytes_max) = (self.what, self.bytes_max);
        let input = self.input.execute(partition, context)?;
        let schema: SchemaRef = input.schema();
        let guarded = input.map(move |batch| {
            let batch = batch?;
            check(what, &batch, bytes_max, &reservation)?;
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, guarded)))
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Statistics> {
        self.input.partition_statistics(partition)
    }
}

fn check(
    what: What,
    batch: &RecordBatch,
    bytes_max: usize,
    reservation: &MemoryReservation,
) -> Result<()> {
    let texts = batch
        .columns()
        .iter()
        .filter(|column| is_text(column.data_type()));
    let texts: Vec<&ArrayRef> = texts.collect();
    let bytes = || texts.iter().map(|text| bytes(text)).sum::<usize>();
    let widest = || texts.iter().map(|text| longest(text)).sum::<usize>();
    let given = match what {
        What::Copies { texts, literals } => bytes()
            .saturating_mul(texts)
            .saturating_add(literals.saturating_mul(batch.num_rows())),
        What::Repeats(rows) => widest().saturating_mul(rows),
        What::Unnests => texts
            .iter()
            .filter_map(|text| text.as_list_opt::<i32>())
            .map(|lists| lists.values().len())
            .sum::<usize>()
            .saturating_mul(widest()),
        What::Keeps(copies) => {
            let given = widest()
                .saturating_mul(copies)
                .saturating_mul(batch.num_rows());
            return reservation.try_grow(batch.get_array_memory_size().saturating_add(given));
        }
    };
    if given > bytes_max {
        return resources_err!("an operator would give {given} bytes at once");
    }
    Ok(())
}

fn bytes(array: &ArrayRef) -> usize {
    let size = array.to_data().get_slice_memory_size();
    size.unwrap_or_else(|_| array.get_array_memory_size())
}

/// Bytes of the longest value, or more.
fn longest(array: &ArrayRef) -> usize {
    match array.data_type() {
        DataType::Utf8 => widest(array.as_string::<i32>().value_offsets()),
        DataType::Binary => widest(array.as_binary::<i32>().value_offsets()),
        _ => bytes(array),
    }
}

fn widest(offsets: &[i32]) -> usize {
    let lengths = offsets.windows(2).map(|ends| ends[1] - ends[0]);
    usize::try_from(lengths.max().unwrap_or(0)).unwrap_or(0)
}
