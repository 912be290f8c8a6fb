//! Names of tables and writers, and how they become file names.

use std::fmt;
use std::fmt::Write as _;

use millstream_core::sink::SinkContext;
use millstream_core::{Epoch, Error, Incarnation, Result};
use serde::{Deserialize, Serialize};

/// The database of tables that name none.
pub const DEFAULT_DATABASE: &str = "default";

/// Names are encoded in file names, which hold 255 bytes on common file systems.
const FILE_NAME_BYTES_MAX: usize = 200;

/// `database.table`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The database.
    pub database: String,
    /// The table's name in it.
    pub table: String,
}

impl TableName {
    /// A table's name. `InvalidInput` if a part is empty or the whole does not fit into a file
    /// name.
    pub fn new(database: impl Into<String>, table: impl Into<String>) -> Result<Self> {
        let name = Self {
            database: database.into(),
            table: table.into(),
        };
        if name.database.is_empty() || name.table.is_empty() {
            let message = format!("`{name}` is no table name: expected `database.table`");
            return Err(Error::invalid(message));
        }
        let bytes = name.folder().len();
        if bytes > FILE_NAME_BYTES_MAX {
            return Err(too_long("table", &name, bytes));
        }
        Ok(name)
    }

    /// The table's folder, with a `/` at its end.
    pub(super) fn folder(&self) -> String {
        format!(
            "tables/{}.{}/",
            encoded(&self.database),
            encoded(&self.table)
        )
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.table)
    }
}

/// How far a writer has come. Ordered: a newer incarnation is later than any epoch of an older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Mark {
    pub incarnation: Incarnation,
    pub epoch: Epoch,
}

fn too_long(what: &str, name: &dyn fmt::Display, bytes: usize) -> Error {
    Error::invalid(format!(
        "the {what} name `{name}` takes {bytes} bytes in a file name, expected at most \
         {FILE_NAME_BYTES_MAX}"
    ))
}

/// The stable name of a writer: `pipeline/sink`. `InvalidInput` if it does not fit into a file
/// name.
pub(super) fn writer_name(context: &SinkContext) -> Result<String> {
    let name = format!("{}/{}", encoded(&context.pipeline), encoded(&context.sink));
    if name.len() > FILE_NAME_BYTES_MAX {
        return Err(too_long("writer", &name, name.len()));
    }
    Ok(name)
}

/// What the names of a writer's staged parts begin with.
pub(super) fn staged_prefix(writer: &str) -> String {
    format!("e-{}-", writer.replace('/', "."))
}

/// The name of the part that `shard` stages for `mark`.
pub(super) fn staged_name(writer: &str, mark: Mark, shard: u32) -> String {
    let Mark { incarnation, epoch } = mark;
    format!(
        "{}{incarnation}-{:020}-{shard}.parquet",
        staged_prefix(writer),
        epoch.0
    )
}

/// The name of a merge that began at `version`.
pub(super) fn merged_name(version: u64) -> String {
    format!("m-{version:020}.parquet")
}

/// What a part's file name says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PartName {
    Staged { writer: String, mark: Mark },
    Merged { version: u64 },
}

/// Reads a part's file name; `None` if it is not one of ours.
pub(super) fn parse_part_name(file: &str) -> Option<PartName> {
    let stem = file.strip_suffix(".parquet")?;
    let fields: Vec<&str> = stem.split('-').collect();
    match fields.as_slice() {
        ["m", version] => Some(PartName::Merged {
            version: version.parse().ok()?,
        }),
        ["e", writer, incarnation, epoch, shard] => {
            shard.parse::<u32>().ok()?;
            Some(PartName::Staged {
                writer: writer.replace('.', "/"),
                mark: Mark {
                    incarnation: Incarnation(incarnation.parse().ok()?),
                    epoch: Epoch(epoch.parse().ok()?),
                },
            })
        }
        _ => None,
    }
}

/// `text` with `%XX` for each byte outside `[A-Za-z0-9_]`.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a String takes everything");
        }
    }
    out
}

/// What [`encoded`] was made of; `None` if that is nothing.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let byte = piece
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())?;
        bytes.push(byte);
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(incarnation: u64, epoch: u64) -> Mark {
        Mark {
            incarnation: Incarnation(incarnation),
            epoch: Epoch(epoch),
        }
    }

    #[test]
    fn odd_names_stay_apart_in_file_names() {
        let folder = |database, table| TableName::new(database, table).unwrap().folder();
        assert_eq!(
            folder("rt", "page_minute_agg"),
            "tables/rt.page_minute_agg/"
        );
        assert_eq!(folder("a.b", "c"), "tables/a%2Eb.c/");
        assert_ne!(folder("a.b", "c"), folder("a", "b.c"));
        for name in ["", "rt", "a.b", "50%-ä"] {
            assert_eq!(decoded(&encoded(name)).as_deref(), Some(name));
        }
        assert_eq!(decoded("a%2"), None);
        assert_eq!(folder("..", "/"), "tables/%2E%2E.%2F/");
        assert!(TableName::new("", "t").is_err());
        assert!(TableName::new("d", "t".repeat(200)).is_err());
    }

    #[test]
    fn part_names_can_be_read_back() {
        let context = SinkContext {
            pipeline: "web-clicks".into(),
            incarnation: Incarnation(2),
            sink: "rt.agg".into(),
            run: Epoch(1),
        };
        let writer = writer_name(&context).unwrap();
        let name = staged_name(&writer, mark(2, 17), 3);
        assert_eq!(
            name,
            "e-web%2Dclicks.rt%2Eagg-2-00000000000000000017-3.parquet"
        );
        assert!(name.starts_with(&staged_prefix(&writer)));
        let parsed = parse_part_name(&name);
        assert_eq!(
            parsed,
            Some(PartName::Staged {
                writer,
                mark: mark(2, 17)
            })
        );
        assert_eq!(
            parse_part_name(&merged_name(9)),
            Some(PartName::Merged { version: 9 })
        );
        for other in ["x.parquet", "m-1", "m-x.parquet", "e-a.b-1-2.parquet"] {
            assert_eq!(parse_part_name(other), None, "{other}");
        }
    }

    #[test]
    fn a_newer_incarnation_is_later_than_any_epoch() {
        assert!(mark(1, 1) > mark(0, 900));
        assert!(mark(1, 2) > mark(1, 1));
    }
}
