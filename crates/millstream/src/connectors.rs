//! Connector `rust`: tables that the program gives by name, beside the embedded connectors.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::SchemaRef;
use millstream_connectors::{CATALOG, Embedded};
use millstream_core::connector::{ConnectorCatalog, ConnectorInfo, Connectors, TableError, Whole};
use millstream_core::plan::{Plan, SinkPlan, SourcePlan};
use millstream_core::sink::{Held, Sink, SinkContext, SinkWriter, Staged};
use millstream_core::source::{Decoder, Source, Split, SplitReader};
use millstream_core::{Epoch, Error, Offset, Result, ShardIndex, SplitId};

const RUST: ConnectorInfo = ConnectorInfo {
    name: "rust",
    is_source: true,
    is_sink: true,
    is_upsert: false,
    // Whether a source ends is known only when it is there.
    whole: Whole::Never,
    needs_format: false,
    options: &[],
    metadata: &[],
};

static CONNECTORS: LazyLock<Vec<ConnectorInfo>> = LazyLock::new(|| {
    let embedded = CATALOG.connectors.iter();
    embedded.chain(&[RUST]).copied().collect()
});

/// Everything that a script of a program can name.
pub(crate) fn catalog() -> ConnectorCatalog {
    ConnectorCatalog {
        connectors: &CONNECTORS,
        formats: CATALOG.formats,
        check,
    }
}

fn check(plan: &Plan) -> Result<(), TableError> {
    let mut embedded = plan.clone();
    let is_embedded = |connector: &str| connector != RUST.name;
    embedded
        .sources
        .retain(|source| is_embedded(&source.connector.connector));
    embedded
        .sinks
        .retain(|sink| is_embedded(&sink.connector.connector));
    (CATALOG.check)(&embedded)
}

/// The tables that a program gives.
#[derive(Default)]
pub(crate) struct Given {
    pub sources: BTreeMap<String, Arc<dyn Source>>,
    pub sinks: BTreeMap<String, Arc<dyn Sink>>,
}

impl Given {
    /// Refuses a name that no table of `plan` has.
    pub fn check(&self, plan: &Plan) -> Result<()> {
        let sources = plan.sources.iter();
        let sources = sources.map(|source| (&source.table, &source.connector.connector));
        let sinks = plan.sinks.iter();
        let sinks = sinks.map(|sink| (&sink.table, &sink.connector.connector));
        let is_declared = |name: &String, mut tables: Vec<(&String, &String)>| {
            tables.retain(|(table, connector)| *table == name && *connector == RUST.name);
            !tables.is_empty()
        };
        let (sources, sinks): (Vec<_>, Vec<_>) = (sources.collect(), sinks.collect());
        let source = self.sources.keys();
        let mut source = source.filter(|name| !is_declared(name, sources.clone()));
        let sink = self.sinks.keys();
        let mut sink = sink.filter(|name| !is_declared(name, sinks.clone()));
        let (what, verb) = match (source.next(), sink.next()) {
            (Some(name), _) => (name, "read"),
            (None, Some(name)) => (name, "written"),
            (None, None) => return Ok(()),
        };
        Err(Error::invalid(format!(
            "no table `{what}` with 'connector' = 'rust' is {verb}"
        )))
    }
}

/// The connectors of a program.
pub(crate) struct ProgramConnectors {
    pub given: Given,
    pub embedded: Embedded,
}

impl Connectors for ProgramConnectors {
    fn source(&self, plan: &SourcePlan) -> Result<Box<dyn Source>> {
        if plan.connector.connector != RUST.name {
            return self.embedded.source(plan);
        }
        let source = self.given.sources.get(&plan.table);
        let source = source.ok_or_else(|| missing(&plan.table, "source"))?;
        Ok(Box::new(SharedSource(source.clone())))
    }

    fn decoder(&self, plan: &SourcePlan, schema: &SchemaRef) -> Result<Box<dyn Decoder>> {
        self.embedded.decoder(plan, schema)
    }

    fn sink(&self, plan: &SinkPlan) -> Result<Box<dyn Sink>> {
        if plan.connector.connector != RUST.name {
            return self.embedded.sink(plan);
        }
        let sink = self.given.sinks.get(&plan.table);
        let sink = sink.ok_or_else(|| missing(&plan.table, "sink"))?;
        Ok(Box::new(SharedSink(sink.clone())))
    }
}

fn missing(table: &str, what: &str) -> Error {
    Error::invalid(format!(
        "table `{table}`: the program gives no {what} of this name"
    ))
}

/// A job that starts again after a failure asks for its sources again.
struct SharedSource(Arc<dyn Source>);

impl Source for SharedSource {
    fn splits(&self) -> Result<Vec<Split>> {
        self.0.splits()
    }

    fn resume(&self, read: &[SplitId]) -> Result<()> {
        self.0.resume(read)
    }

    fn open(&self, split: &SplitId, from: Option<Offset>) -> Result<Box<dyn SplitReader>> {
        self.0.open(split, from)
    }

    fn is_bounded(&self) -> bool {
        self.0.is_bounded()
    }
}

struct SharedSink(Arc<dyn Sink>);

impl Sink for SharedSink {
    fn writer(&self, context: &SinkContext, shard: ShardIndex) -> Result<Box<dyn SinkWriter>> {
        self.0.writer(context, shard)
    }

    fn commit(&self, context: &SinkContext, epoch: Epoch, staged: &[Staged]) -> Result<()> {
        self.0.commit(context, epoch, staged)
    }

    fn committed(&self, context: &SinkContext) -> Result<Option<Epoch>> {
        self.0.committed(context)
    }

    fn held(&self, context: &SinkContext) -> Result<Option<Held>> {
        self.0.held(context)
    }

    fn discard_before(&self, context: &SinkContext) -> Result<()> {
        self.0.discard_before(context)
    }

    fn finish(&self, context: &SinkContext) -> Result<()> {
        self.0.finish(context)
    }
}
