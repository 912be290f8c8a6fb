//! Connectors of one process: the real ones on simulated storage, and the service far away.
//!
//! What is real is wrapped twice: a shard can fail or panic while it reads, and before a sink commits an
//! epoch its manifest must be there.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_connectors::{CATALOG, Embedded, hot_table, iceberg, topic};
use millstream_core::connector::{ConnectorCatalog, ConnectorInfo, Connectors, TableError};
use millstream_core::plan::{Plan, SinkPlan, SourcePlan};
use millstream_core::sink::{Held, Sink, SinkContext, SinkWriter, Staged};
use millstream_core::source::{Decoder, Read, ReadLimit, Source, Split, SplitReader};
use millstream_core::{Epoch, Error, Offset, Result, ShardIndex, SplitId};

use super::input::TABLES;
use super::remote::{self, RemoteSink, RemoteSource};
use super::world::{CallKind, World};

const CONNECTORS: &[ConnectorInfo] = &[topic::KAFKA, hot_table::INFO, iceberg::INFO, remote::INFO];

/// What pipelines of the simulator can name.
pub const SIM_CATALOG: ConnectorCatalog = ConnectorCatalog {
    connectors: CONNECTORS,
    formats: CATALOG.formats,
    check,
};

/// The pipelines are ours: there is nothing to refuse.
fn check(_: &Plan) -> Result<(), TableError> {
    Ok(())
}

/// See the module.
pub struct ProcessConnectors {
    /// Everything outside.
    pub world: Arc<World>,
    /// Whose connectors these are.
    pub process: usize,
    /// The real ones.
    pub embedded: Embedded,
}

impl Connectors for ProcessConnectors {
    fn source(&self, plan: &SourcePlan) -> Result<Box<dyn Source>> {
        let (world, process) = (self.world.clone(), self.process);
        if plan.connector.connector == remote::INFO.name {
            let table = TABLES.into_iter().find(|table| *table == plan.table);
            let table = table.ok_or_else(|| Error::bug(format!("no table `{}`", plan.table)))?;
            return Ok(Box::new(RemoteSource {
                world,
                process,
                table,
            }));
        }
        let inner = self.embedded.source(plan)?;
        Ok(Box::new(TopicSource {
            world,
            process,
            inner,
        }))
    }

    fn decoder(&self, plan: &SourcePlan, schema: &SchemaRef) -> Result<Box<dyn Decoder>> {
        self.embedded.decoder(plan, schema)
    }

    fn sink(&self, plan: &SinkPlan) -> Result<Box<dyn Sink>> {
        let (world, process) = (self.world.clone(), self.process);
        let inner: Box<dyn Sink> = match plan.connector.connector == remote::INFO.name {
            true => Box::new(RemoteSink {
                world: world.clone(),
                process,
                table: plan.table.clone(),
            }),
            false => self.embedded.sink(plan)?,
        };
        Ok(Box::new(Witness { world, inner }))
    }
}

/// A topic that ends once the input has.
struct TopicSource {
    world: Arc<World>,
    process: usize,
    inner: Box<dyn Source>,
}

impl Source for TopicSource {
    fn splits(&self) -> Result<Vec<Split>> {
        self.inner.splits()
    }

    fn open(&self, split: &SplitId, from: Option<Offset>) -> Result<Box<dyn SplitReader>> {
        Ok(Box::new(TopicReader {
            world: self.world.clone(),
            process: self.process,
            split: split.as_str().to_owned(),
            inner: self.inner.open(split, from)?,
        }))
    }

    fn is_bounded(&self) -> bool {
        true
    }
}

struct TopicReader {
    world: Arc<World>,
    process: usize,
    split: String,
    inner: Box<dyn SplitReader>,
}

impl SplitReader for TopicReader {
    fn read(&mut self, limit: ReadLimit) -> Result<Read> {
        let call = (CallKind::Source, "read", &*self.split);
        let is_ended = self
            .world
            .call(self.process, call, |state, _| Ok(state.intake.is_ended))?;
        match self.inner.read(limit)? {
            Read::Pending if is_ended => Ok(Read::End),
            read => Ok(read),
        }
    }

    fn offset(&self) -> Offset {
        self.inner.offset()
    }

    fn backlog(&self) -> Option<u64> {
        self.inner.backlog()
    }
}

/// A sink that sees to it that nothing becomes visible before its manifest.
struct Witness {
    world: Arc<World>,
    inner: Box<dyn Sink>,
}

impl Witness {
    fn check(&self, context: &SinkContext, epoch: Epoch) {
        let folder = format!("pipelines/{}/manifests/", context.pipeline);
        let least = format!("{folder}{:010}-{:020}", context.incarnation.0, epoch.0);
        let mut state = self.world.state();
        // One that is newer has taken its place.
        let newest = state.disk.list(&folder).pop();
        if newest < Some(least) {
            let sink = &context.sink;
            state.violated(format!(
                "`{sink}` commits epoch {epoch} before its manifest is there"
            ));
        }
    }
}

impl Sink for Witness {
    fn writer(&self, context: &SinkContext, shard: ShardIndex) -> Result<Box<dyn SinkWriter>> {
        self.inner.writer(context, shard)
    }

    fn commit(&self, context: &SinkContext, epoch: Epoch, staged: &[Staged]) -> Result<()> {
        self.check(context, epoch);
        self.inner.commit(context, epoch, staged)
    }

    fn committed(&self, context: &SinkContext) -> Result<Option<Epoch>> {
        self.inner.committed(context)
    }

    fn held(&self, context: &SinkContext) -> Result<Option<Held>> {
        self.inner.held(context)
    }

    fn discard_before(&self, context: &SinkContext) -> Result<()> {
        self.inner.discard_before(context)
    }

    fn finish(&self, context: &SinkContext) -> Result<()> {
        self.inner.finish(context)
    }
}
