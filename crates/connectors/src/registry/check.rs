//! What of a plan the connectors would refuse, found without opening anything, with the code that
//! opens it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use millstream_core::connector::{PlanTable, TableError, lookup_cache_ms};
use millstream_core::plan::{ConnectorConfig, Plan, SinkPlan, SourcePlan};
use millstream_core::{Error, Result, Subject};

use super::refused;
use crate::filesystem::FileTable;
use crate::hot_table::{self, TableDefinition, TableName};
use crate::topic::TopicTable;
use crate::{datagen, formats, iceberg, nexmark};

/// Names of pipelines and tables become names of files, which hold 255 bytes on common file
/// systems, with numbers behind them.
const FILE_NAME_BYTES_MAX: usize = 200;

/// Refuses a plan whose tables cannot be opened, whatever the state of the world.
pub(super) fn check(plan: &Plan) -> Result<(), TableError> {
    let mut shared = Shared::default();
    for source in &plan.sources {
        let checked = check_source(source).and_then(|()| shared.add_source(source));
        checked.map_err(|error| TableError {
            table: PlanTable::Source(source.id),
            error,
        })?;
    }
    for sink in &plan.sinks {
        let checked = check_sink(sink, &plan.options.name).and_then(|()| shared.add_sink(sink));
        checked.map_err(|error| TableError {
            table: PlanTable::Sink(sink.id),
            error,
        })?;
    }
    for table in &plan.tables {
        let plan = &table.source;
        let checked = check_table(plan).and_then(|()| lookup_cache_ms(&plan.connector).map(drop));
        checked.map_err(|error| TableError {
            table: PlanTable::Table(table.id),
            error,
        })?;
    }
    Ok(())
}

/// A table that is read whole.
fn check_table(plan: &SourcePlan) -> Result<()> {
    match plan.connector.connector.as_str() {
        "clickhouse" => hot_table::check_source(plan),
        _ => check_source(plan),
    }
}

fn check_source(plan: &SourcePlan) -> Result<()> {
    let config = &plan.connector;
    match config.connector.as_str() {
        "kafka" | "http" => {
            TopicTable::new(config)?;
            check_decoder(config, &plan.generated())
        }
        "filesystem" => {
            FileTable::new(config)?;
            check_decoder(config, &plan.generated())
        }
        "iceberg" => iceberg::check_source(plan),
        "datagen" => datagen::check(plan),
        "nexmark" => each_column(&plan.generated(), |schema| nexmark::check(config, schema)),
        other => Err(refused(&plan.table, other, "read", |info| info.is_source)),
    }
}

fn check_sink(plan: &SinkPlan, pipeline: &str) -> Result<()> {
    let config = &plan.connector;
    match config.connector.as_str() {
        "kafka" => {
            TopicTable::new(config)?;
            check_encoder(config, &plan.schema)?;
        }
        "filesystem" => {
            FileTable::new(config)?;
            check_encoder(config, &plan.schema)?;
        }
        "clickhouse" => {
            hot_table::checked_definition(plan)?;
        }
        "iceberg" => iceberg::check_sink(plan)?,
        "print" => {}
        "blackhole" => return Ok(()),
        other => return Err(refused(&plan.table, other, "written", |info| info.is_sink)),
    }
    // As each sink writes them: bytes other than letters, digits and `_` become three.
    let bytes = |name: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let of_byte = |byte| if plain(byte) { 1 } else { 3 };
        name.bytes().map(of_byte).sum::<usize>()
    };
    let found = bytes(pipeline) + 1 + bytes(&plan.table);
    if found <= FILE_NAME_BYTES_MAX {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the names of the pipeline and of table `{}` take {found} bytes in a file name, expected at \
         most {FILE_NAME_BYTES_MAX}",
        plan.table
    )))
}

/// Column by column, so that an error can tell which.
fn check_decoder(config: &ConnectorConfig, schema: &SchemaRef) -> Result<()> {
    each_column(schema, |schema| {
        formats::decoder(config, schema).map(|_| ())
    })
}

fn check_encoder(config: &ConnectorConfig, schema: &SchemaRef) -> Result<()> {
    each_column(schema, |schema| {
        formats::encoder(config, schema).map(|_| ())
    })
}

fn each_column(schema: &SchemaRef, check: impl Fn(&SchemaRef) -> Result<()>) -> Result<()> {
    check(&Arc::new(Schema::empty()))?;
    for field in schema.fields() {
        check(&Arc::new(Schema::new(vec![field.clone()])))
            .map_err(|error| error.about(Subject::Column(field.name().clone())))?;
    }
    Ok(())
}

/// What several tables of a plan say about the same topic or hot table.
#[derive(Default)]
struct Shared {
    topics: BTreeMap<String, (u32, String)>,
    tables: BTreeMap<TableName, (TableDefinition, String)>,
}

impl Shared {
    fn add_source(&mut self, plan: &SourcePlan) -> Result<()> {
        match plan.connector.connector.as_str() {
            "kafka" | "http" => self.add_topic(&plan.table, &plan.connector),
            _ => Ok(()),
        }
    }

    fn add_sink(&mut self, plan: &SinkPlan) -> Result<()> {
        match plan.connector.connector.as_str() {
            "kafka" => self.add_topic(&plan.table, &plan.connector),
            "clickhouse" => self.add_table(plan),
            _ => Ok(()),
        }
    }

    fn add_topic(&mut self, table: &str, config: &ConnectorConfig) -> Result<()> {
        let options = TopicTable::new(config)?;
        let Some(count) = options.partitions else {
            return Ok(());
        };
        let first = self.topics.entry(options.topic.to_owned());
        let (expected, of) = first.or_insert_with(|| (count, table.to_owned()));
        if *expected == count {
            return Ok(());
        }
        let message = format!(
            "topic `{}` has {expected} partitions in table `{of}`, found {count}",
            options.topic
        );
        Err(Error::of_option("topic.partitions", message))
    }

    /// The order of definitions is the order in which they are opened.
    fn add_table(&mut self, plan: &SinkPlan) -> Result<()> {
        let definition = hot_table::checked_definition(plan)?;
        let name = definition.name.clone();
        if let Some((first, of)) = self.tables.get(&name) {
            hot_table::check_same(&first.schema, &first.primary_key, &definition)
                .map_err(|error| error.context(format!("table `{of}` of this file is the same")))?;
        }
        self.tables.insert(name, (definition, plan.table.clone()));
        Ok(())
    }
}
