//! Checks that an operator's surroundings keep the rules that its results rest on. A broken rule is
//! a bug of ours: the job stops rather than write wrong results.

use arrow::datatypes::SchemaRef;
use millstream_core::{Epoch, Error, Result, Watermark};

use super::batch::Batch;

/// Stands in front of one operator.
#[derive(Debug)]
pub struct Checker {
    name: String,
    input: SchemaRef,
    watermark: Watermark,
    epoch: Epoch,
}

impl Checker {
    /// A checker for the operator described by `name`.
    pub fn new(name: String, input: SchemaRef) -> Self {
        Self {
            name,
            input,
            watermark: Watermark::MIN,
            epoch: Epoch(0),
        }
    }

    /// Columns are of the types that were planned, and nothing comes after the end of input.
    pub fn on_batch(&self, batch: &Batch) -> Result<()> {
        if self.watermark == Watermark::MAX && batch.origin.is_some() && batch.rows.num_rows() > 0 {
            return Err(self.broken("rows after the end of input"));
        }
        let schema = batch.rows.schema_ref();
        if std::sync::Arc::ptr_eq(schema, &self.input) {
            return Ok(());
        }
        let expected = self.input.fields().iter().map(|field| field.data_type());
        if !expected.eq(schema.fields().iter().map(|field| field.data_type())) {
            return Err(self.broken(&format!("columns {schema}, expected {}", self.input)));
        }
        Ok(())
    }

    /// Watermarks never go back.
    pub fn on_watermark(&mut self, watermark: Watermark) -> Result<()> {
        if watermark < self.watermark {
            let text = format!("watermark {watermark} after {}", self.watermark);
            return Err(self.broken(&text));
        }
        self.watermark = watermark;
        Ok(())
    }

    /// Barriers come in the order of epochs.
    pub fn on_barrier(&mut self, epoch: Epoch) -> Result<()> {
        if epoch <= self.epoch {
            let text = format!("barrier {epoch} after {}", self.epoch);
            return Err(self.broken(&text));
        }
        self.epoch = epoch;
        Ok(())
    }

    fn broken(&self, what: &str) -> Error {
        Error::bug(format!("operator `{}`: {what}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::Schema;

    use super::*;

    #[test]
    fn refuses_what_must_not_happen() {
        let mut checker = Checker::new("filter".into(), Arc::new(Schema::empty()));
        checker.on_watermark(Watermark(5)).unwrap();
        checker.on_watermark(Watermark(5)).unwrap();
        assert!(checker.on_watermark(Watermark(4)).is_err());
        checker.on_barrier(Epoch(1)).unwrap();
        assert!(checker.on_barrier(Epoch(1)).is_err());
    }
}
