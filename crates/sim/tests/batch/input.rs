//! What is read: two streams of the same columns and a small table, as records for the pipeline and
//! as rows for the batch.
//!
//! The batch sees of each row besides its columns `ts` (its time), `wm` (the watermark of its own
//! split before it, null before the first row) and `arrival` (where it stands among all rows). What
//! is late follows from `wm`: that is the rule of ARCHITECTURE.md, "Late rows", as a loop.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int32Array, Int64Array, ListBuilder, RecordBatch,
    StringArray, StringBuilder,
};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use serde_json::json;

use millstream_sim::chance::Chance;

/// Times are around 1970, so that windows before it are met too.
const FIRST_MS: i64 = -20_000;

const TEXTS: &[&str] = &["", "a", "b", "B", "ab", "Zoë", "日本", "x y", " pad "];

/// A record.
#[derive(Debug, Clone)]
pub enum Record {
    /// One that can be read.
    Row(Row),
    /// One that is a dead letter.
    Dead(&'static str),
}

/// The columns of both streams.
#[derive(Debug, Clone)]
pub struct Row {
    a: Option<String>,
    k: Option<i32>,
    n: Option<i64>,
    x: Option<f64>,
    /// Hundredths.
    p: Option<i128>,
    tags: Option<Vec<Option<String>>>,
    ts: i64,
}

/// A stream.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Name of its table and topic.
    pub name: &'static str,
    /// How far its watermark stays behind.
    pub delay_ms: i64,
    /// Records of each partition, in order.
    pub partitions: Vec<Vec<Record>>,
}

/// A row of the small table.
#[derive(Debug, Clone)]
pub struct Label {
    id: Option<i32>,
    label: Option<String>,
    w: i64,
}

/// Everything that is read.
#[derive(Debug, Clone)]
pub struct Input {
    /// `events` and `others`.
    pub streams: [Stream; 2],
    /// `labels`.
    pub labels: Vec<Label>,
}

impl Input {
    /// Some rows; if `is_orderly`, none is at or behind the watermark of its split.
    pub fn random(chance: &mut Chance, is_orderly: bool) -> Self {
        let streams = ["events", "others"].map(|name| Stream::random(chance, name, is_orderly));
        let labels = (0..chance.below(6)).map(|_| Label {
            id: maybe(chance, 6, |chance| small(chance, 4)),
            label: maybe(chance, 6, |chance| chance.text(TEXTS).into()),
            w: chance.between(-3, 3),
        });
        let labels = labels.collect();
        Self { streams, labels }
    }

    /// The tables for the batch.
    pub fn register(&self, context: &SessionContext) -> anyhow::Result<()> {
        for (index, stream) in self.streams.iter().enumerate() {
            let batch = stream.batch(index)?;
            let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
            context.register_table(stream.name, Arc::new(table))?;
        }
        let labels = &self.labels;
        let batch = RecordBatch::try_from_iter([
            ("id", int(labels.iter().map(|label| label.id))),
            ("label", text(labels.iter().map(|row| row.label.as_deref()))),
            ("w", long(labels.iter().map(|label| Some(label.w)))),
        ])?;
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
        context.register_table("labels", Arc::new(table))?;
        Ok(())
    }
}

impl Label {
    /// As JSON.
    pub fn text(&self) -> String {
        json!({"id": self.id, "label": self.label, "w": self.w}).to_string()
    }
}

impl Stream {
    fn random(chance: &mut Chance, name: &'static str, is_orderly: bool) -> Self {
        let delay_ms = *chance.pick(&[0, 1_000, 5_000]);
        let partitions = chance.between(1, 3);
        let rows = match chance.one_in(12) {
            true => 0,
            false => *chance.pick(&[6, 12, 24, 24]),
        };
        let partitions = (0..partitions).map(|_| {
            let count = if chance.one_in(8) { 0 } else { rows };
            let mut now = FIRST_MS + chance.between(0, 5_000);
            let mut records: Vec<Record> = vec![];
            for _ in 0..count - chance.below(count / 2 + 1) {
                now += *chance.pick(&[0, 1, 200, 300, 600, 1_000, 1_000, 2_000, 2_000, 9_000]);
                let back = match chance.below(4) {
                    0 if !is_orderly => chance.between(0, 30_000),
                    _ => chance.between(0, (delay_ms - 1).max(0)),
                };
                let dead = ["", "[]", "{\"a\":1", "{\"ts\":null}", "{\"ts\":\"soon\"}"];
                records.push(match chance.one_in(15) {
                    true => Record::Dead(chance.text(&dead)),
                    false => Record::Row(Row::random(chance, now - back)),
                });
            }
            records
        });
        let partitions = partitions.collect();
        let stream = Self {
            name,
            delay_ms,
            partitions,
        };
        match is_orderly {
            true => stream.orderly(),
            false => stream,
        }
    }

    /// Without the rows that are at or behind the watermark.
    fn orderly(mut self) -> Self {
        for records in &mut self.partitions {
            let mut newest = None;
            records.retain(|record| match record {
                Record::Dead(_) => true,
                Record::Row(row) => {
                    let kept = newest.is_none_or(|newest| row.ts > newest - self.delay_ms);
                    newest = newest.max(Some(row.ts));
                    kept
                }
            });
        }
        self
    }

    fn batch(&self, index: usize) -> anyhow::Result<RecordBatch> {
        let rows = self.arrived(index);
        let all = || rows.iter().map(|arrived| arrived.row);
        let mut tags = ListBuilder::new(StringBuilder::new());
        for row in all() {
            match &row.tags {
                None => tags.append_null(),
                Some(texts) => tags.append_value(texts.clone()),
            }
        }
        let p: Decimal128Array = all().map(|row| row.p).collect();
        Ok(RecordBatch::try_from_iter([
            ("a", text(all().map(|row| row.a.as_deref()))),
            ("k", int(all().map(|row| row.k))),
            ("n", long(all().map(|row| row.n))),
            (
                "x",
                Arc::new(all().map(|row| row.x).collect::<Float64Array>()),
            ),
            ("p", Arc::new(p.with_precision_and_scale(10, 2)?)),
            ("tags", Arc::new(tags.finish())),
            ("ts", long(all().map(|row| Some(row.ts)))),
            ("wm", long(rows.iter().map(|row| row.watermark))),
            ("arrival", long(rows.iter().map(|row| Some(row.arrival)))),
        ])?)
    }

    /// Watermark before and place of each row.
    fn arrived(&self, stream: usize) -> Vec<Arrived<'_>> {
        let mut arrived = vec![];
        for (partition, records) in self.partitions.iter().enumerate() {
            let mut watermark = None;
            for (offset, record) in records.iter().enumerate() {
                let Record::Row(row) = record else { continue };
                let place = (stream * 10 + partition) * 1_000_000 + offset;
                arrived.push(Arrived {
                    row,
                    watermark,
                    arrival: i64::try_from(place).expect("few rows"),
                });
                watermark = watermark.max(Some(row.ts - self.delay_ms));
            }
        }
        arrived
    }
}

struct Arrived<'a> {
    row: &'a Row,
    watermark: Option<i64>,
    arrival: i64,
}

impl Row {
    fn random(chance: &mut Chance, ts: i64) -> Self {
        let tag = |chance: &mut Chance| maybe(chance, 6, |chance| chance.text(TEXTS).into());
        Self {
            a: tag(chance),
            k: maybe(chance, 8, |chance| small(chance, 4)),
            n: maybe(chance, 8, |chance| chance.between(-20, 20)),
            // Quarters: sums and products of a few are exact.
            x: maybe(chance, 8, |chance| small(chance, 200))
                .map(|quarters| f64::from(quarters) / 4.),
            p: maybe(chance, 8, |chance| small(chance, 5_000).into()),
            tags: maybe(chance, 4, |chance| {
                (0..chance.below(4)).map(|_| tag(chance)).collect()
            }),
            ts,
        }
    }
}

impl Record {
    /// Its bytes.
    pub fn text(&self) -> String {
        let row = match self {
            Self::Dead(text) => return (*text).into(),
            Self::Row(row) => row,
        };
        let p = row.p.map_or("null".into(), |p| {
            let sign = if p < 0 { "-" } else { "" };
            let p = p.unsigned_abs();
            format!("{sign}{}.{:02}", p / 100, p % 100)
        });
        let text =
            json!({"a": row.a, "k": row.k, "n": row.n, "x": row.x, "tags": row.tags, "ts": row.ts});
        text.to_string().replacen('{', &format!("{{\"p\":{p},"), 1)
    }
}

fn maybe<T>(chance: &mut Chance, n: usize, value: impl FnOnce(&mut Chance) -> T) -> Option<T> {
    (!chance.one_in(n)).then(|| value(chance))
}

fn small(chance: &mut Chance, most: i64) -> i32 {
    i32::try_from(chance.between(-most, most)).expect("small")
}

fn int(values: impl Iterator<Item = Option<i32>>) -> ArrayRef {
    Arc::new(values.collect::<Int32Array>())
}

fn long(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn text<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}
