//! The plan node that reads a lake table.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::{Statistics, internal_err};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    SendableRecordBatchStream,
};
use futures::StreamExt;
use iceberg::expr::Predicate;
use iceberg::scan::FileScanTask;
use millstream_connectors::iceberg::{LakePlan, LakeTable};

use crate::query::scan::external;

/// Reads a table, one share of its files per partition.
#[derive(Debug)]
pub struct LakeExec {
    name: String,
    table: LakeTable,
    shares: Vec<Vec<FileScanTask>>,
    /// What files are read as: the columns that are given, and one more if none is.
    read: SchemaRef,
    /// What is given.
    schema: SchemaRef,
    narrowing: Narrowing,
    files_before: u64,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// What keeps a scan from reading everything.
#[derive(Debug)]
pub struct Narrowing {
    /// The filters, as far as files can be left out by them.
    pub predicate: Option<Predicate>,
    /// Rows that are enough.
    pub limit: Option<usize>,
    /// Most partitions.
    pub partitions: usize,
}

impl LakeExec {
    /// A plan that reads the files of `plan`, the columns at `read`, and gives the first `wanted` of them.
    pub fn new(
        (name, table): (String, LakeTable),
        (read, wanted): (&[usize], usize),
        plan: LakePlan,
        narrowing: Narrowing,
    ) -> Result<Self> {
        let read = Arc::new(table.schema().project(read)?);
        let given: Vec<usize> = (0..wanted).collect();
        let schema = Arc::new(read.project(&given)?);
        let files_before = plan.files_before;
        let shares = shares(plan.files, narrowing.partitions);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(shares.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            name,
            table,
            shares,
            read,
            schema,
            narrowing,
            files_before,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    fn files(&self) -> usize {
        self.shares.iter().map(Vec::len).sum()
    }
}

/// `files`, largest first, each to the share that has least so far. At least one share.
fn shares(files: Vec<FileScanTask>, most: usize) -> Vec<Vec<FileScanTask>> {
    let count = most.min(files.len()).max(1);
    let mut shares: Vec<(u64, Vec<FileScanTask>)> = vec![(0, vec![]); count];
    for file in files {
        let least = shares.iter_mut().min_by_key(|(bytes, _)| *bytes);
        let (bytes, share) = least.expect("there is at least one");
        *bytes += file.length;
        share.push(file);
    }
    shares.into_iter().map(|(_, share)| share).collect()
}

impl DisplayAs for LakeExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (files, before) = (self.files(), self.files_before);
        let fields = self.schema.fields().iter();
        let columns: Vec<&str> = fields.map(|field| field.name().as_str()).collect();
        write!(f, "LakeExec: table={}", self.name)?;
        if let Some(snapshot) = self.table.snapshot_id() {
            write!(f, ", snapshot={snapshot}")?;
        }
        write!(
            f,
            ", files={files} of {before}, columns=[{}]",
            columns.join(", ")
        )?;
        if let Some(predicate) = &self.narrowing.predicate {
            write!(f, ", prune={predicate}")?;
        }
        if let Some(limit) = self.narrowing.limit {
            write!(f, ", limit={limit}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for LakeExec {
    fn name(&self) -> &'static str {
        "LakeExec"
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.is_empty() {
            true => Ok(self),
            false => internal_err!("a scan has no children"),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let batch_rows = context.session_config().batch_size();
        let files = self.shares[partition].clone();
        let rows = self.table.read(files, self.read.clone(), batch_rows);
        let rows = rows.map_err(external)?;
        let given: Vec<usize> = (0..self.schema.fields().len()).collect();
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let mut left = self.narrowing.limit.unwrap_or(usize::MAX);
        let rows = rows.map(move |batch| -> Result<RecordBatch> {
            let batch = batch.map_err(external)?.project(&given)?;
            metrics.record_output(batch.num_rows());
            Ok(batch)
        });
        let enough = rows.take_while(move |batch| {
            let more = left > 0;
            if let Ok(batch) = batch {
                left = left.saturating_sub(batch.num_rows());
            }
            futures::future::ready(more)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema.clone(),
            enough,
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Statistics> {
        let whole = partition.is_none() && self.narrowing.limit.is_none();
        let all = self.table.rows().filter(|_| {
            whole && self.narrowing.predicate.is_none() && self.files() as u64 == self.files_before
        });
        let known = all.and_then(|rows| usize::try_from(rows).ok());
        Ok(Statistics {
            num_rows: known.map_or(Precision::Absent, Precision::Exact),
            ..Statistics::new_unknown(&self.schema)
        })
    }
}
