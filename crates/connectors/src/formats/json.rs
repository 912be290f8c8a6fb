//! JSON records.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_core::connector::{FormatInfo, OptionInfo, OptionKind};
use millstream_core::plan::ConnectorConfig;
use millstream_core::source::{Decoded, Decoder, RawBatch};
use millstream_core::{Error, Result};

use crate::formats::RowEncoder;

/// The value of `'format'`.
pub const NAME: &str = "json";

/// What SQL needs to know of the format.
pub const INFO: FormatInfo = FormatInfo {
    name: NAME,
    options: &[
        OptionInfo {
            key: "json.ignore-parse-errors",
            required: false,
            kind: OptionKind::Boolean,
            help: "accepted for Flink's sake: undecodable records never stop a pipeline, they \
                   become dead letters",
        },
        OptionInfo {
            key: "json.fail-on-missing-field",
            required: false,
            kind: OptionKind::Boolean,
            help: "whether a record without one of the fields is undecodable; default false: null",
        },
        OptionInfo {
            key: "json.timestamp-format.standard",
            required: false,
            kind: OptionKind::OneOf(&["SQL", "ISO-8601"]),
            help: "timestamps as `2025-06-15 15:06:00` (SQL, the default) or \
                   `2025-06-15T15:06:00`",
        },
    ],
};

/// Decodes JSON objects.
pub struct JsonDecoder {
    schema: SchemaRef,
}

impl JsonDecoder {
    /// A decoder into `schema`.
    pub fn new(_config: &ConnectorConfig, schema: &SchemaRef) -> Result<Self> {
        Ok(Self { schema: schema.clone() })
    }
}

impl Decoder for JsonDecoder {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn decode(&mut self, _raw: &RawBatch) -> Result<Decoded> {
        Err(Error::bug("being written"))
    }
}

/// Encodes rows as JSON objects.
pub struct JsonEncoder {}

impl JsonEncoder {
    /// An encoder of rows of `schema`.
    pub fn new(_schema: &SchemaRef) -> Result<Self> {
        Ok(Self {})
    }
}

impl RowEncoder for JsonEncoder {
    fn encode(&mut self, _: &RecordBatch, _: &mut Vec<u8>, _: &mut Vec<usize>) -> Result<()> {
        Err(Error::bug("being written"))
    }
}
