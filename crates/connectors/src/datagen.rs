//! Made-up rows, with the options of Flink's `datagen`.
//!
//! Row n is a function of the seed, the column's name and n (timestamps also of the clock), so
//! which columns a query reads changes nothing, and a reader that is opened at an offset goes on
//! with the same rows. The table is one split; it ends with `number-of-rows`, or with the first
//! sequence that is used up. BIGINT and the like have numbers over their whole range unless `min`
//! and `max` say otherwise, STRING and BYTES 100 hexadecimal digits or bytes, DATE, TIME and
//! timestamps the row's time: when the reader was opened (or `fields.<column>.start`) plus the
//! rows since at `rows-per-second`, less a random part of `max-past`.

mod column;
mod reader;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_core::connector::{ConnectorInfo, OptionInfo, OptionKind, Whole};
use millstream_core::env::Env;
use millstream_core::plan::{ConnectorConfig, SourcePlan};
use millstream_core::source::{Source, Split, SplitReader};
use millstream_core::{Error, Offset, Result, SplitId, Subject};

use self::column::{ColumnSpec, FIELD_OPTIONS, FieldOptions};
use self::reader::DatagenReader;

const ROWS_PER_SECOND: &str = "rows-per-second";
const NUMBER_OF_ROWS: &str = "number-of-rows";
const SEED: &str = "datagen.seed";

/// What SQL needs to know of the connector.
pub const INFO: ConnectorInfo = ConnectorInfo {
    name: "datagen",
    is_source: true,
    is_sink: false,
    is_upsert: false,
    whole: Whole::If(NUMBER_OF_ROWS),
    needs_format: false,
    options: &[
        OptionInfo {
            key: ROWS_PER_SECOND,
            required: false,
            kind: OptionKind::Integer,
            help: "how fast rows come; default 10000",
        },
        OptionInfo {
            key: NUMBER_OF_ROWS,
            required: false,
            kind: OptionKind::Integer,
            help: "how many rows there are in all; without it the table has no end",
        },
        OptionInfo {
            key: SEED,
            required: false,
            kind: OptionKind::Integer,
            help: "the same seed gives the same rows; default 0",
        },
        OptionInfo {
            key: "fields.*",
            required: false,
            kind: OptionKind::Text,
            help: "`fields.<column>.` and `kind` (`random` or `sequence`), `min`, `max`, `length`, \
                   `start`, `end`, `max-past`, `null-rate`; of an array's elements: \
                   `fields.<column>.element.…`",
        },
    ],
    metadata: &[],
};

/// Makes a table's rows, as fast as the clock of `env` says. `InvalidInput` for an option that
/// does not fit its column.
pub fn source(plan: &SourcePlan, env: Arc<dyn Env>) -> Result<Box<dyn Source>> {
    Ok(Box::new(DatagenSource {
        table: Table::new(&plan.connector, &plan.generated())?,
        env,
    }))
}

/// `InvalidInput` for what [`source()`] would refuse.
pub(crate) fn check(plan: &SourcePlan) -> Result<()> {
    Table::new(&plan.connector, &plan.generated()).map(|_| ())
}

/// A table as its options describe it.
#[derive(Debug, Clone)]
struct Table {
    schema: SchemaRef,
    columns: Arc<[ColumnSpec]>,
    rows_per_second: u64,
    /// `None`: without end.
    rows: Option<u64>,
}

impl Table {
    fn new(config: &ConnectorConfig, schema: &SchemaRef) -> Result<Self> {
        check_field_keys(config)?;
        let seed = whole_number(config, SEED)?.unwrap_or(0);
        let rows_per_second = whole_number(config, ROWS_PER_SECOND)?.unwrap_or(10_000);
        if rows_per_second == 0 {
            let message = format!("`{ROWS_PER_SECOND}`: found `0`, expected at least 1");
            return Err(Error::of_option(ROWS_PER_SECOND, message));
        }
        let columns = schema.fields().iter().map(|field| {
            let options = FieldOptions::new(config, format!("fields.{}", field.name()));
            let spec = ColumnSpec::new(field.data_type(), &options, seed);
            spec.map_err(|error| match error.subject() {
                Some(_) => error,
                None => error.about(Subject::Column(field.name().clone())),
            })
        });
        Ok(Self {
            schema: SchemaRef::clone(schema),
            columns: columns.collect::<Result<_>>()?,
            rows_per_second,
            rows: shortest_sequence(config)?
                .into_iter()
                .chain(whole_number(config, NUMBER_OF_ROWS)?)
                .min(),
        })
    }
}

/// How many rows the sequences of all columns allow, those included that no query reads.
fn shortest_sequence(config: &ConnectorConfig) -> Result<Option<u64>> {
    let fields = config.options.keys().filter_map(|key| {
        let field = key.strip_suffix(".kind")?;
        field.starts_with("fields.").then_some(field)
    });
    let mut shortest = None;
    for field in fields {
        let options = FieldOptions::new(config, field.to_owned());
        if let Some((start, end)) = options.sequence()? {
            let rows = end.abs_diff(start).saturating_add(1);
            shortest = Some(shortest.map_or(rows, |shortest: u64| shortest.min(rows)));
        }
    }
    Ok(shortest)
}

fn check_field_keys(config: &ConnectorConfig) -> Result<()> {
    let mut keys = config.options.keys();
    let is_unknown = |key: &&String| {
        let option = key
            .strip_prefix("fields.")
            .map(|field| field.rsplit_once('.'));
        let known = |(_, option)| FIELD_OPTIONS.contains(&option);
        option.is_some_and(|option| !option.is_some_and(known))
    };
    match keys.find(is_unknown) {
        None => Ok(()),
        Some(key) => {
            let known = FIELD_OPTIONS.join(", ");
            let message =
                format!("unknown option `{key}`; expected `fields.<column>.` and one of: {known}");
            Err(Error::of_option(key, message))
        }
    }
}

fn whole_number(config: &ConnectorConfig, key: &str) -> Result<Option<u64>> {
    let parse = |text: &str| {
        text.trim().parse().map_err(|_| {
            let message = format!("`{key}`: found `{text}`, expected a whole number");
            Error::of_option(key, message)
        })
    };
    config.get(key).map(parse).transpose()
}

struct DatagenSource {
    table: Table,
    env: Arc<dyn Env>,
}

impl Source for DatagenSource {
    fn splits(&self) -> Result<Vec<Split>> {
        Ok(vec![Split {
            id: SplitId::new("0"),
            metadata: [].into(),
        }])
    }

    fn open(&self, _: &SplitId, from: Option<Offset>) -> Result<Box<dyn SplitReader>> {
        let (table, env) = (self.table.clone(), Arc::clone(&self.env));
        let from = from.unwrap_or_default();
        Ok(Box::new(DatagenReader::new(table, env, from)))
    }

    fn is_bounded(&self) -> bool {
        self.table.rows.is_some()
    }
}
