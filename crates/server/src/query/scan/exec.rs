//! The plan node that reads a hot table.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::{Statistics, internal_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    SendableRecordBatchStream,
};
use millstream_connectors::hot_table::{Prune, Scan, TableSnapshot};

use super::prune::PredicatePrune;

/// Reads a table, one share of its parts per partition.
#[derive(Debug)]
pub struct HotTableExec {
    table: String,
    shares: Vec<Share>,
    schema: SchemaRef,
    projection: Option<Vec<usize>>,
    narrowing: Narrowing,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// What keeps a scan from reading everything.
pub struct Narrowing {
    /// The filters, if ranges can say something about them.
    pub prune: Option<Arc<PredicatePrune>>,
    /// Rows that are enough.
    pub limit: Option<usize>,
    /// Number of parts before pruning.
    pub parts_before: usize,
}

impl fmt::Debug for Narrowing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prune = self.prune.as_ref().map(ToString::to_string);
        write!(f, "{prune:?} limit={:?}", self.limit)
    }
}

/// The parts of one partition.
struct Share(TableSnapshot);

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} parts", self.0.parts().len())
    }
}

impl HotTableExec {
    /// A plan that reads `partitions` of one snapshot.
    pub fn new(
        table: String,
        partitions: Vec<TableSnapshot>,
        projection: Option<&[usize]>,
        narrowing: Narrowing,
    ) -> Result<Self> {
        let all = partitions
            .first()
            .expect("a snapshot splits into at least one")
            .schema();
        let schema = match projection {
            Some(projection) => Arc::new(all.project(projection)?),
            None => all.clone(),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            table,
            shares: partitions.into_iter().map(Share).collect(),
            schema,
            projection: projection.map(<[usize]>::to_vec),
            narrowing,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for HotTableExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: usize = self.shares.iter().map(|share| share.0.parts().len()).sum();
        let before = self.narrowing.parts_before;
        let columns: Vec<&str> = self
            .schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        write!(
            f,
            "HotTableExec: table={}, parts={parts} of {before}",
            self.table
        )?;
        write!(f, ", columns=[{}]", columns.join(", "))?;
        if let Some(prune) = &self.narrowing.prune {
            write!(f, ", prune={prune}")?;
        }
        if let Some(limit) = self.narrowing.limit {
            write!(f, ", limit={limit}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for HotTableExec {
    fn name(&self) -> &'static str {
        "HotTableExec"
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
        if children.is_empty() {
            Ok(self)
        } else {
            internal_err!("a scan has no children")
        }
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let prune = self
            .narrowing
            .prune
            .clone()
            .map(|prune| prune as Arc<dyn Prune>);
        let snapshot = &self.shares[partition].0;
        let scan = snapshot
            .scan(self.projection.as_deref(), prune)
            .map_err(external)?;
        let rows = Rows {
            scan,
            left: self.narrowing.limit.unwrap_or(usize::MAX),
            baseline: BaselineMetrics::new(&self.metrics, partition),
            groups_read: self.counter("row_groups_read", partition),
            groups_pruned: self.counter("row_groups_pruned", partition),
        };
        let stream = futures::stream::iter(rows);
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema.clone(),
            stream,
        )))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Statistics> {
        let shares = match partition {
            Some(partition) => &self.shares[partition..=partition],
            None => &self.shares,
        };
        let rows: u64 = shares.iter().map(|share| share.0.rows()).sum();
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        let exact = self.narrowing.prune.is_none() && self.narrowing.limit.is_none();
        let num_rows = if exact {
            Precision::Exact(rows)
        } else {
            Precision::Inexact(rows)
        };
        Ok(Statistics {
            num_rows,
            ..Statistics::new_unknown(&self.schema)
        })
    }
}

impl HotTableExec {
    fn counter(&self, name: &'static str, partition: usize) -> Count {
        MetricBuilder::new(&self.metrics).counter(name, partition)
    }
}

/// The rows of one partition, counted.
struct Rows {
    scan: Scan,
    left: usize,
    baseline: BaselineMetrics,
    groups_read: Count,
    groups_pruned: Count,
}

impl Iterator for Rows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let time = self.baseline.elapsed_compute().clone();
        let _timer = time.timer();
        let (read, pruned) = (self.scan.groups_read(), self.scan.groups_pruned());
        let next = self.scan.next();
        let count = |before: u64, now: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
        self.groups_read.add(count(read, self.scan.groups_read()));
        self.groups_pruned
            .add(count(pruned, self.scan.groups_pruned()));
        let next = next?.map_err(external);
        if let Ok(batch) = &next {
            self.left = self.left.saturating_sub(batch.num_rows());
            self.baseline.record_output(batch.num_rows());
        }
        Some(next)
    }
}

/// Carries an error of ours through DataFusion.
pub fn external(error: millstream_core::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
