//! `'connector' = 'print'`: rows on the standard output, as Flink prints them: `+I[a, b]`, with
//! `identifier> ` before if `'print-identifier'` is given.
//!
//! Rows appear when their epoch is committed; then its staged files are deleted, which is all that
//! the sink remembers. A crash between the two prints that epoch again: what is on paper cannot be
//! taken back.
//!
//! Timestamps are printed as `2025-06-15 15:06:00[.fraction]`, bytes in hexadecimal, NULL as
//! `null`.

use std::io::{ErrorKind, Write};
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use millstream_core::connector::{ConnectorInfo, OptionInfo, OptionKind, Whole};
use millstream_core::env::Env;
use millstream_core::plan::SinkPlan;
use millstream_core::sink::{Prepared, Sink, SinkContext, SinkWriter, Staged};
use millstream_core::storage::Storage;
use millstream_core::{Epoch, Error, Result, ShardIndex};

use crate::storage::{Staging, StagingWriter, staged_records};

const IDENTIFIER: &str = "print-identifier";

/// What SQL needs to know of the connector.
pub const INFO: ConnectorInfo = ConnectorInfo {
    name: "print",
    is_source: false,
    is_sink: true,
    is_upsert: true,
    whole: Whole::Never,
    needs_format: false,
    options: &[OptionInfo {
        key: IDENTIFIER,
        required: false,
        kind: OptionKind::Text,
        help: "printed before each row: `identifier> +I[…]`",
    }],
    metadata: &[],
};

/// Where rows are printed.
type Output = Arc<Mutex<dyn Write + Send>>;

/// The sink of a table with connector `print`, on the standard output. Rows are staged in
/// `storage`.
pub fn sink(storage: &Arc<dyn Storage>, env: &Arc<dyn Env>, plan: &SinkPlan) -> Box<dyn Sink> {
    let output = Arc::new(Mutex::new(std::io::stdout()));
    Box::new(PrintSink::new(storage, env, plan, output))
}

struct PrintSink {
    storage: Arc<dyn Storage>,
    env: Arc<dyn Env>,
    prefix: String,
    output: Output,
    printed: Mutex<Option<Epoch>>,
}

impl PrintSink {
    fn new(
        storage: &Arc<dyn Storage>,
        env: &Arc<dyn Env>,
        plan: &SinkPlan,
        output: Output,
    ) -> Self {
        let identifier = plan
            .connector
            .get(IDENTIFIER)
            .filter(|text| !text.is_empty());
        Self {
            storage: storage.clone(),
            env: env.clone(),
            prefix: identifier.map_or(String::new(), |text| format!("{text}> ")),
            output,
            printed: Mutex::new(None),
        }
    }

    fn staging(&self, context: &SinkContext) -> Staging {
        Staging::new(self.storage.clone(), context)
    }

    fn print(&self, staged: &[u8]) -> Result<()> {
        let mut output = self.output.lock().expect("no panic while locked");
        for range in staged_records(staged) {
            output.write_all(&staged[range]).map_err(|e| failed(&e))?;
        }
        output.flush().map_err(|e| failed(&e))
    }
}

/// A pipe that nobody reads any more, as of `| head`, does not come back: no reason to try again.
fn failed(error: &std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::BrokenPipe => Error::invalid("standard output was closed"),
        _ => Error::io("standard output", error),
    }
}

impl Sink for PrintSink {
    fn writer(&self, context: &SinkContext, shard: ShardIndex) -> Result<Box<dyn SinkWriter>> {
        let staging = self
            .staging(context)
            .writer((context, self.env.random()), shard);
        Ok(Box::new(PrintWriter {
            staging,
            prefix: self.prefix.clone(),
        }))
    }

    fn commit(&self, context: &SinkContext, epoch: Epoch, staged: &[Staged]) -> Result<()> {
        let staging = self.staging(context);
        let mut printed = self.printed.lock().expect("no panic while locked");
        if *printed < Some(epoch) {
            // All is read before any is printed, so damage does not print half an epoch.
            let mut files = Vec::new();
            for staged in staged {
                if !staging.is_gone(staged)? {
                    files.push(staging.read(staged)?);
                }
            }
            files.iter().try_for_each(|file| self.print(file))?;
            *printed = Some(epoch);
        }
        staging.remove(staged)
    }

    fn committed(&self, _: &SinkContext) -> Result<Option<Epoch>> {
        Ok(*self.printed.lock().expect("no panic while locked"))
    }

    fn discard_before(&self, context: &SinkContext) -> Result<()> {
        self.staging(context).discard_before(context)
    }
}

struct PrintWriter {
    staging: StagingWriter,
    prefix: String,
}

/// An interval can take a time out of the years that can be written: the input's doing.
fn unprintable(rows: &RecordBatch, column: usize, error: &ArrowError) -> Error {
    let schema = rows.schema();
    let name = schema.field(column).name();
    Error::invalid(format!("column `{name}` cannot be printed: {error}"))
}

impl SinkWriter for PrintWriter {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let options = FormatOptions::default()
            .with_null("null")
            .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
            .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f"));
        let columns = rows.columns().iter();
        let columns = columns.map(|column| ArrayFormatter::try_new(column, &options));
        let columns: Vec<ArrayFormatter<'_>> = columns.collect::<Result<_, _>>()?;
        let mut line = String::new();
        for row in 0..rows.num_rows() {
            line.clear();
            line.push_str(&self.prefix);
            line.push_str("+I[");
            for (index, column) in columns.iter().enumerate() {
                if index > 0 {
                    line.push_str(", ");
                }
                let written = column.value(row).write(&mut line);
                written.map_err(|error| unprintable(rows, index, &error))?;
            }
            line.push_str("]\n");
            self.staging.push(line.as_bytes())?;
        }
        Ok(())
    }

    fn prepare(&mut self, _: Epoch) -> Result<Option<Prepared>> {
        self.staging.finish()
    }

    fn buffered_bytes(&self) -> usize {
        self.staging.buffered_bytes()
    }
}

#[cfg(test)]
mod tests;
