//! What a table with `'connector' = 'iceberg'` says, read into [`TableOptions`] with nothing left to
//! decide. Names are those of Flink's Iceberg connector where it has them.

use std::collections::BTreeMap;

use ::iceberg::spec::{Schema, Transform};
use ::iceberg::{NamespaceIdent, TableIdent};
use millstream_core::connector::{ConnectorInfo, OptionInfo, OptionKind, Whole};
use millstream_core::plan::{ConnectorConfig, SinkPlan};
use millstream_core::quantity::{duration_ms, size_bytes};
use millstream_core::{Error, Result, Subject};

use super::schema::{partition_spec, schema, sort_order};
use super::source::{AS_OF, END_SNAPSHOT, FILE_PATH, SNAPSHOT, START_SNAPSHOT};

const CATALOG_TYPE: &str = "catalog-type";
const URI: &str = "uri";
const WAREHOUSE: &str = "warehouse";
const CATALOG_NAME: &str = "catalog-name";
const DATABASE: &str = "catalog-database";
const TABLE: &str = "catalog-table";
const PARTITIONING: &str = "partitioning";
const SORT_ORDER: &str = "sort-order";
const TARGET_SIZE: &str = "commit.target-size";
const MAX_AGE: &str = "commit.max-age";
const PENDING_MAX: &str = "commit.pending-max";

/// What SQL needs to know of the connector.
pub const INFO: ConnectorInfo = ConnectorInfo {
    name: "iceberg",
    is_source: true,
    is_sink: true,
    is_upsert: false,
    whole: Whole::Always,
    needs_format: false,
    options: &[
        option(
            CATALOG_TYPE,
            OptionKind::OneOf(&["sqlite", "postgres", "rest"]),
            "kind of the catalog; by default that of `millstream.toml`, else the one in the data \
             directory",
        ),
        option(URI, OptionKind::Text, "address of the catalog"),
        option(
            WAREHOUSE,
            OptionKind::Text,
            "where new tables are: `file:///folder` or `s3://bucket/folder`",
        ),
        option(
            CATALOG_NAME,
            OptionKind::Text,
            "name of the catalog in its database; by default `default`",
        ),
        option(
            DATABASE,
            OptionKind::Text,
            "namespace of the table; by default `default`",
        ),
        option(
            TABLE,
            OptionKind::Text,
            "name in the namespace; by default the table's own",
        ),
        option(
            PARTITIONING,
            OptionKind::Text,
            "partitions of a new table: columns, or `year`, `month`, `day`, `hour`, `bucket(16, c)`, \
             `truncate(4, c)` of them",
        ),
        option(
            SORT_ORDER,
            OptionKind::Text,
            "order of rows in files of a new table: `user_id, event_time DESC`",
        ),
        option(
            TARGET_SIZE,
            OptionKind::Size,
            "commit once this much is written; by default 128MiB",
        ),
        option(
            MAX_AGE,
            OptionKind::Duration,
            "commit at least this often; by default 1 min",
        ),
        option(
            PENDING_MAX,
            OptionKind::Size,
            "stop reading once this much waits for a commit; by default 4GiB",
        ),
        option(
            "s3.endpoint",
            OptionKind::Text,
            "address of an S3-compatible store that is not Amazon's",
        ),
        option("s3.region", OptionKind::Text, "region of the store"),
        option(
            "s3.path-style-access",
            OptionKind::Boolean,
            "`endpoint/bucket/key` instead of `bucket.endpoint/key`",
        ),
        option(
            SNAPSHOT,
            OptionKind::Integer,
            "reads this snapshot; by default the current one",
        ),
        option(
            AS_OF,
            OptionKind::Integer,
            "reads the snapshot that was current then, in ms since 1970",
        ),
        option(
            START_SNAPSHOT,
            OptionKind::Integer,
            "reads only what was appended after this snapshot",
        ),
        option(
            END_SNAPSHOT,
            OptionKind::Integer,
            "with `start-snapshot-id`: the last snapshot to read; by default the current one",
        ),
        option("write.*", OptionKind::Text, "properties of a new table"),
        option("history.*", OptionKind::Text, "properties of a new table"),
        option(
            "commit.manifest.*",
            OptionKind::Text,
            "properties of a new table",
        ),
    ],
    metadata: &[FILE_PATH, "offset"],
};

const fn option(key: &'static str, kind: OptionKind, help: &'static str) -> OptionInfo {
    OptionInfo {
        key,
        required: false,
        kind,
        help,
    }
}

/// A column or a function of one by which a table is split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Partitioning {
    pub column: String,
    pub transform: Transform,
}

/// A column by which rows are sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sorting {
    pub column: String,
    pub is_descending: bool,
}

/// When rows are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CommitSettings {
    /// Bytes that are enough for a commit; also the size that files should have.
    pub target_bytes: u64,
    pub max_age_ms: u64,
    /// Bytes that may wait while commits fail.
    pub pending_bytes_max: u64,
}

impl Default for CommitSettings {
    fn default() -> Self {
        Self {
            target_bytes: 128 << 20,
            max_age_ms: 60_000,
            pending_bytes_max: 4 << 30,
        }
    }
}

/// What a table says.
#[derive(Debug, Clone)]
pub(super) struct TableOptions {
    /// What it says of its catalog and storage, in place of `millstream.toml`.
    pub catalog: BTreeMap<String, String>,
    pub database: String,
    pub table: String,
    pub partitioning: Vec<Partitioning>,
    pub sorting: Vec<Sorting>,
    pub commit: CommitSettings,
    /// Properties of a new table.
    pub properties: BTreeMap<String, String>,
}

impl TableOptions {
    /// `InvalidInput` about the option that is wrong.
    pub fn new(table: &str, config: &ConnectorConfig) -> Result<Self> {
        let full = config.get(TABLE).unwrap_or(table);
        let (qualifier, name) = match full.rsplit_once('.') {
            Some((database, name)) => (Some(database), name),
            None => (None, full),
        };
        let database = config.get(DATABASE).or(qualifier).unwrap_or("default");
        for (key, part) in [(DATABASE, database), (TABLE, name)] {
            if part.is_empty() || part.split('.').any(str::is_empty) || part.contains('/') {
                let message = format!("`{part}` is no name in a catalog");
                return Err(Error::of_option(key, message));
            }
        }
        let about =
            |key: &'static str| move |error: Error| error.about(Subject::Option(key.to_owned()));
        let list = |key: &'static str| split_list(config.get(key).unwrap_or_default());
        let partitioning = list(PARTITIONING).into_iter().map(parse_partitioning);
        let sorting = list(SORT_ORDER).into_iter().map(parse_sorting);
        Ok(Self {
            catalog: catalog_options(config),
            database: database.to_owned(),
            table: name.to_owned(),
            partitioning: partitioning
                .collect::<Result<_>>()
                .map_err(about(PARTITIONING))?,
            sorting: sorting.collect::<Result<_>>().map_err(about(SORT_ORDER))?,
            commit: commit_settings(config)?,
            properties: properties(config),
        })
    }
}

impl TableOptions {
    /// The table in its catalog.
    pub fn ident(&self) -> Result<TableIdent> {
        let parts = self.database.split('.').map(str::to_owned).collect();
        let namespace = NamespaceIdent::from_vec(parts)
            .map_err(|error| Error::invalid(error.message().to_owned()))?;
        Ok(TableIdent::new(namespace, self.table.clone()))
    }
}

fn catalog_options(config: &ConnectorConfig) -> BTreeMap<String, String> {
    let keys = [CATALOG_TYPE, URI, WAREHOUSE, CATALOG_NAME];
    let is_one = |key: &str| keys.contains(&key) || key.starts_with("s3.");
    let options = config.options.iter().filter(|(key, _)| is_one(key));
    options
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn properties(config: &ConnectorConfig) -> BTreeMap<String, String> {
    let prefixes = ["write.", "history.", "commit.manifest."];
    let is_one = |key: &str| prefixes.iter().any(|prefix| key.starts_with(prefix));
    let options = config.options.iter().filter(|(key, _)| is_one(key));
    options
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn commit_settings(config: &ConnectorConfig) -> Result<CommitSettings> {
    let defaults = CommitSettings::default();
    let of = |key: &'static str, parse: fn(&str) -> Result<u64>, default: u64| {
        let parsed = config.get(key).map_or(Ok(default), parse);
        parsed.map_err(|error| error.about(Subject::Option(key.to_owned())))
    };
    Ok(CommitSettings {
        target_bytes: of(TARGET_SIZE, size_bytes, defaults.target_bytes)?,
        max_age_ms: of(MAX_AGE, duration_ms, defaults.max_age_ms)?,
        pending_bytes_max: of(PENDING_MAX, size_bytes, defaults.pending_bytes_max)?,
    })
}

/// Refuses a sink that no lake can have, whatever tables there are.
pub(crate) fn check_sink(plan: &SinkPlan) -> Result<()> {
    definition(plan).map(drop)
}

/// What a sink's table says, and its schema if it is new.
pub(super) fn definition(plan: &SinkPlan) -> Result<(TableOptions, Schema)> {
    let options = TableOptions::new(&plan.table, &plan.connector)?;
    let schema = schema(&plan.schema)?;
    let about =
        |key: &'static str| move |error: Error| error.about(Subject::Option(key.to_owned()));
    partition_spec(&schema, &options.partitioning).map_err(about(PARTITIONING))?;
    sort_order(&schema, &options.sorting).map_err(about(SORT_ORDER))?;
    Ok((options, schema))
}

/// The parts between commas that are not in parentheses.
fn split_list(text: &str) -> Vec<&str> {
    let mut parts = vec![];
    let (mut start, mut depth) = (0, 0_usize);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() || !parts.is_empty() {
        parts.push(text[start..].trim());
    }
    parts
}

/// `column`, `day(column)`, `bucket(16, column)`.
fn parse_partitioning(text: &str) -> Result<Partitioning> {
    let wrong = || {
        Error::invalid(format!(
            "found `{text}`, expected a column, `year(c)`, `month(c)`, `day(c)`, `hour(c)`, \
             `bucket(16, c)` or `truncate(4, c)`"
        ))
    };
    let Some((function, arguments)) = text.split_once('(') else {
        let column = name(text).ok_or_else(wrong)?;
        return Ok(Partitioning {
            column,
            transform: Transform::Identity,
        });
    };
    let arguments = arguments.trim().strip_suffix(')').ok_or_else(wrong)?;
    let (number, column) = match arguments.split_once(',') {
        Some((number, column)) => (number.trim().parse::<u32>().ok(), column),
        None => (None, arguments),
    };
    let function = function.trim().to_ascii_lowercase();
    let transform = match (function.trim_end_matches('s'), number) {
        ("year", None) => Transform::Year,
        ("month", None) => Transform::Month,
        ("day", None) => Transform::Day,
        ("hour", None) => Transform::Hour,
        ("bucket", Some(count)) if count > 0 => Transform::Bucket(count),
        ("truncate", Some(width)) if width > 0 => Transform::Truncate(width),
        _ => return Err(wrong()),
    };
    let column = name(column).ok_or_else(wrong)?;
    Ok(Partitioning { column, transform })
}

/// `column`, `column ASC`, `column DESC`.
fn parse_sorting(text: &str) -> Result<Sorting> {
    let upper = text.to_ascii_uppercase();
    let (column, is_descending) = if upper.ends_with(" DESC") {
        (&text[..text.len() - 5], true)
    } else if upper.ends_with(" ASC") {
        (&text[..text.len() - 4], false)
    } else {
        (text, false)
    };
    let wrong = || {
        Error::invalid(format!(
            "found `{text}`, expected `column` or `column DESC`"
        ))
    };
    let column = name(column).ok_or_else(wrong)?;
    Ok(Sorting {
        column,
        is_descending,
    })
}

/// A column's name, with or without backticks.
fn name(text: &str) -> Option<String> {
    let text = text.trim();
    if let Some(quoted) = text.strip_prefix('`') {
        return quoted.strip_suffix('`').map(str::to_owned);
    }
    let is_plain = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '.';
    (!text.is_empty() && text.chars().all(is_plain)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(list: &[(&str, &str)]) -> Result<TableOptions> {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let config = ConnectorConfig {
            connector: "iceberg".to_owned(),
            options: list.iter().map(pair).collect(),
        };
        TableOptions::new("clicks", &config)
    }

    fn wrong(key: &str, value: &str) -> String {
        let error = options(&[(key, value)]).unwrap_err();
        assert_eq!(error.subject(), Some(&Subject::Option(key.to_owned())));
        error.to_string()
    }

    #[test]
    fn a_table_has_a_name_in_a_namespace() {
        let names = |list: &[(&str, &str)]| {
            let options = options(list).unwrap();
            (options.database, options.table)
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(names(&[]), pair("default", "clicks"));
        assert_eq!(names(&[(TABLE, "lake.raw")]), pair("lake", "raw"));
        assert_eq!(names(&[(DATABASE, "a"), (TABLE, "b")]), pair("a", "b"));
        assert_eq!(wrong(DATABASE, "a..b"), "`a..b` is no name in a catalog");
    }

    #[test]
    fn partitions() {
        let found = options(&[(
            PARTITIONING,
            "day(t), Bucket(16, `user id`),truncate(4,c), d",
        )]);
        let found: Vec<(String, Transform)> = found
            .unwrap()
            .partitioning
            .into_iter()
            .map(|part| (part.column, part.transform))
            .collect();
        let expected = [
            ("t", Transform::Day),
            ("user id", Transform::Bucket(16)),
            ("c", Transform::Truncate(4)),
            ("d", Transform::Identity),
        ];
        assert_eq!(found, expected.map(|(name, by)| (name.to_owned(), by)));
        for text in [
            "week(t)",
            "bucket(t)",
            "bucket(0, t)",
            "day(t",
            "a b",
            "a,,b",
        ] {
            assert!(
                wrong(PARTITIONING, text).contains("expected a column"),
                "{text}"
            );
        }
    }

    #[test]
    fn orders() {
        let found = options(&[(SORT_ORDER, "a, b desc, c ASC")])
            .unwrap()
            .sorting;
        let found: Vec<(&str, bool)> = found
            .iter()
            .map(|by| (by.column.as_str(), by.is_descending))
            .collect();
        assert_eq!(found, [("a", false), ("b", true), ("c", false)]);
        assert!(wrong(SORT_ORDER, "a down").contains("expected `column`"));
    }

    #[test]
    fn commits_and_properties() {
        let found = options(&[
            (TARGET_SIZE, "1MiB"),
            (MAX_AGE, "5s"),
            ("write.x", "1"),
            ("s3.region", "eu"),
        ]);
        let found = found.unwrap();
        assert_eq!(found.commit.target_bytes, 1 << 20);
        assert_eq!(found.commit.max_age_ms, 5000);
        assert_eq!(found.properties.len(), 1);
        assert_eq!(found.catalog.len(), 1);
        assert!(wrong(MAX_AGE, "soon").contains("duration"));
    }
}
