//! Records to columns, see the module above for what is accepted.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use millstream_core::plan::ConnectorConfig;
use millstream_core::source::{Decoded, Decoder, RawBatch, Rejected};
use millstream_core::{Error, Result};

use super::JsonOptions;
use super::cursor::{Cursor, Fault};
use super::object::Object;

/// Decodes JSON objects into the columns of one schema.
#[derive(Debug)]
pub struct JsonDecoder {
    schema: SchemaRef,
    options: JsonOptions,
    row: Object,
}

impl JsonDecoder {
    /// A decoder into `schema`, with the table's `json.…` options.
    pub fn new(config: &ConnectorConfig, schema: &SchemaRef) -> Result<Self> {
        Ok(Self {
            schema: Arc::clone(schema),
            options: JsonOptions::from_config(config)?,
            row: Object::new(schema.fields())?,
        })
    }

    /// Decodes `record` as row `row`, or leaves the columns as they were and says why not.
    fn decode_record(&mut self, row: usize, record: &[u8]) -> Result<(), String> {
        if let Err(error) = std::str::from_utf8(record) {
            return Err(format!(
                "not JSON: invalid UTF-8 at byte {}",
                error.valid_up_to()
            ));
        }
        let mut cursor = Cursor::new(record);
        let Err(fault) = self.decode_document(row, &mut cursor) else {
            return Ok(());
        };
        self.row.truncate(row);
        Err(match fault {
            Fault::Syntax => cursor.syntax_error(),
            Fault::Value => cursor.take_mismatch().to_string(),
        })
    }

    #[inline]
    fn decode_document(&mut self, row: usize, cursor: &mut Cursor) -> Result<(), Fault> {
        cursor.skip_whitespace();
        let decoded = if cursor.peek() == Some(b'{') {
            self.row.decode(row, cursor, self.options)
        } else {
            let start = cursor.position();
            Err(cursor.wrong_value(start, "a JSON object".to_owned()))
        };
        if decoded == Err(Fault::Syntax) {
            return decoded;
        }
        cursor.skip_whitespace();
        match cursor.peek() {
            None => decoded,
            Some(_) => Err(cursor.syntax("the end of the record")),
        }
    }
}

impl Decoder for JsonDecoder {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn decode(&mut self, raw: &RawBatch) -> Result<Decoded> {
        if i32::try_from(raw.data.len()).is_err() {
            let message = format!(
                "a batch of {} bytes; expected less than 2 GiB",
                raw.data.len()
            );
            return Err(Error::bug(message));
        }
        self.row.reserve(raw.len());
        let mut rows = 0;
        let mut rejected = vec![];
        for (record, index) in (0..raw.len()).zip(0_u32..) {
            match self.decode_record(rows, raw.record(record)) {
                Ok(()) => rows += 1,
                Err(error) => rejected.push(Rejected {
                    record: index,
                    error,
                }),
            }
        }
        let columns = self.row.finish()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = Arc::clone(&self.schema);
        Ok(Decoded {
            rows: RecordBatch::try_new_with_options(schema, columns, &options)?,
            record_of_row: records_of_rows(raw.len(), &rejected),
            rejected,
        })
    }
}

fn records_of_rows(records: usize, rejected: &[Rejected]) -> Option<Arc<[u32]>> {
    if rejected.is_empty() {
        return None;
    }
    let mut rejected = rejected.iter().map(|rejected| rejected.record).peekable();
    let accepted = (0..records).zip(0_u32..).map(|(_, record)| record);
    let accepted = accepted.filter(|record| rejected.next_if_eq(record).is_none());
    Some(accepted.collect())
}
