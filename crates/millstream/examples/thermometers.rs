//! A pipeline in a Rust program: readings of thermometers from a source of its own, per minute, with
//! a scalar and an aggregate function of its own, into rows in memory.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, TimestampMillisecondArray,
};
use arrow::compute::unary;
use arrow::datatypes::{DataType, Float64Type};
use millstream::source::{Read, ReadLimit, Source, Split, SplitReader};
use millstream::{
    AggregateFunction, Error, GroupState, MemorySink, Offset, Pipeline, Result, ScalarFunction,
    SplitId,
};

const SQL: &str = "
CREATE TABLE readings (
  thermometer BIGINT, celsius DOUBLE, read_at TIMESTAMP(3),
  WATERMARK FOR read_at AS read_at
) WITH ('connector' = 'rust');

CREATE TABLE per_minute (minute TIMESTAMP(3), fahrenheit DOUBLE, spread DOUBLE)
WITH ('connector' = 'rust');

INSERT INTO per_minute
SELECT window_start, FAHRENHEIT(AVG(celsius)), SPREAD(celsius)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(read_at), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end;
";

/// Each thermometer is a split, read in order, once a second. Reading n is always the same, so that
/// a pipeline that goes on after a failure reads what it would have read.
struct Thermometers;

const THERMOMETERS: i64 = 2;
const READINGS: u64 = 180;

impl Source for Thermometers {
    fn splits(&self) -> Result<Vec<Split>> {
        let split = |thermometer: i64| Split {
            id: SplitId::new(thermometer.to_string()),
            metadata: [].into(),
        };
        Ok((0..THERMOMETERS).map(split).collect())
    }

    fn open(&self, split: &SplitId, from: Option<Offset>) -> Result<Box<dyn SplitReader>> {
        let thermometer = split.as_str().parse();
        Ok(Box::new(Thermometer {
            number: thermometer.map_err(|_| Error::invalid(format!("no thermometer `{split}`")))?,
            next: from.unwrap_or_default().0,
        }))
    }

    fn is_bounded(&self) -> bool {
        true
    }
}

struct Thermometer {
    number: i64,
    next: u64,
}

impl SplitReader for Thermometer {
    fn read(&mut self, limit: ReadLimit) -> Result<Read> {
        let readings = self.next..READINGS.min(self.next + limit.rows as u64);
        if readings.is_empty() {
            return Ok(Read::End);
        }
        self.next = readings.end;
        // It gets a degree warmer each minute; the second thermometer shows three degrees more.
        let seconds = || readings.clone().map(|n| n as i64);
        let celsius = seconds().map(|s| (20 + s / 60 + 3 * self.number) as f64);
        let numbers = seconds().map(|_| self.number);
        let times = seconds().map(|s| s * 1_000);
        let columns: [(&str, ArrayRef); 3] = [
            (
                "thermometer",
                Arc::new(Int64Array::from_iter_values(numbers)),
            ),
            ("celsius", Arc::new(Float64Array::from_iter_values(celsius))),
            (
                "read_at",
                Arc::new(TimestampMillisecondArray::from_iter_values(times)),
            ),
        ];
        Ok(Read::Rows(RecordBatch::try_from_iter(columns)?))
    }

    fn offset(&self) -> Offset {
        Offset(self.next)
    }
}

/// `FAHRENHEIT(celsius)`.
struct Fahrenheit;

impl ScalarFunction for Fahrenheit {
    fn parameters(&self) -> Option<Vec<DataType>> {
        Some(vec![DataType::Float64])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn call(&self, arguments: &[ArrayRef], _rows: usize) -> Result<ArrayRef> {
        let celsius = arguments[0].as_primitive::<Float64Type>();
        let fahrenheit: Float64Array = unary(celsius, |celsius| celsius * 1.8 + 32.0);
        Ok(Arc::new(fahrenheit))
    }
}

/// `SPREAD(x)`: how far the values are apart.
struct Spread;

impl AggregateFunction for Spread {
    fn parameter(&self) -> Option<DataType> {
        Some(DataType::Float64)
    }

    fn return_type(&self, _: &DataType) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn group(&self, _: &DataType) -> Box<dyn GroupState> {
        Box::new(LeastAndMost(f64::INFINITY, f64::NEG_INFINITY))
    }
}

struct LeastAndMost(f64, f64);

impl GroupState for LeastAndMost {
    fn update(&mut self, values: &ArrayRef, rows: &[usize]) -> Result<()> {
        let values = values.as_primitive::<Float64Type>();
        for row in rows {
            let value = values.value(*row);
            *self = Self(self.0.min(value), self.1.max(value));
        }
        Ok(())
    }

    fn save(&self) -> Vec<u8> {
        [self.0.to_le_bytes(), self.1.to_le_bytes()].concat()
    }

    fn merge(&mut self, saved: &[u8]) -> Result<()> {
        let number = |bytes: &[u8]| Some(f64::from_le_bytes(bytes.try_into().ok()?));
        let pair = saved.split_at_checked(8);
        let pair = pair.and_then(|(least, most)| Some((number(least)?, number(most)?)));
        let (least, most) = pair.ok_or_else(|| Error::corrupt("expected 16 bytes"))?;
        *self = Self(self.0.min(least), self.1.max(most));
        Ok(())
    }

    fn result(&self) -> Result<ArrayRef> {
        // Without values there is no spread.
        let spread = (self.0 <= self.1).then_some(self.1 - self.0);
        Ok(Arc::new(Float64Array::from(vec![spread])))
    }
}

/// Fahrenheit and spread of each minute.
pub fn per_minute() -> Result<Vec<(f64, f64)>> {
    let results = MemorySink::default();
    Pipeline::from_sql(SQL)
        .source("readings", Thermometers)
        .sink("per_minute", results.clone())
        .scalar_function("FAHRENHEIT", Fahrenheit)
        .aggregate_function("SPREAD", Spread)
        .run()?;
    let mut minutes = vec![];
    for rows in results.rows() {
        let fahrenheit = rows.column(1).as_primitive::<Float64Type>();
        let spread = rows.column(2).as_primitive::<Float64Type>();
        minutes.extend(
            fahrenheit
                .values()
                .iter()
                .copied()
                .zip(spread.values().iter().copied()),
        );
    }
    Ok(minutes)
}

fn main() -> Result<()> {
    for (fahrenheit, spread) in per_minute()? {
        println!("{fahrenheit:.1} °F on average, {spread:.1} °C apart");
    }
    Ok(())
}
