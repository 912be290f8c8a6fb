//! Formats: how records are bytes. A [`Decoder`] turns raw records into the columns that a plan
//! needs; a [`RowEncoder`] turns rows into records. Both are chosen by a table's `'format'`.

pub mod base64;
pub mod json;
pub mod temporal;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_core::connector::FormatInfo;
use millstream_core::plan::ConnectorConfig;
use millstream_core::source::Decoder;
use millstream_core::{Error, Result};

/// Every format that a table can name.
pub const FORMATS: &[FormatInfo] = &[json::INFO];

/// Turns rows into records.
pub trait RowEncoder: Send {
    /// Appends one record per row to `out`, without separators between; `ends` gets the position
    /// in `out` at which each of them ends.
    fn encode(
        &mut self,
        rows: &RecordBatch,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<()>;
}

/// A decoder of the table's format into `schema`. `InvalidInput` for a format, an option or a type
/// that is not known.
pub fn decoder(config: &ConnectorConfig, schema: &SchemaRef) -> Result<Box<dyn Decoder>> {
    match format_of(config)? {
        json::NAME => Ok(Box::new(json::JsonDecoder::new(config, schema)?)),
        other => Err(unknown(other)),
    }
}

/// An encoder of rows of `schema` into the table's format. `InvalidInput` for a format, an option
/// or a type that is not known.
pub fn encoder(config: &ConnectorConfig, schema: &SchemaRef) -> Result<Box<dyn RowEncoder>> {
    match format_of(config)? {
        json::NAME => Ok(Box::new(json::JsonEncoder::new(schema)?)),
        other => Err(unknown(other)),
    }
}

fn format_of(config: &ConnectorConfig) -> Result<&str> {
    let format = config.get("format").or_else(|| config.get("value.format"));
    format.ok_or_else(|| Error::invalid("no `format`; expected one of: json"))
}

fn unknown(format: &str) -> Error {
    let known: Vec<&str> = FORMATS.iter().map(|info| info.name).collect();
    Error::invalid(format!(
        "unknown format `{format}`; expected one of: {}",
        known.join(", ")
    ))
}
