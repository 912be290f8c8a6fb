//! What is read: records of up to three tables, decided by the seed before anything runs.
//!
//! `clicks` has late rows. `orders` and `pays` are only out of order as far as their watermark allows.
//! Each has damaged records. All event times of a table differ, so no result hangs on how the rows of
//! its partitions meet.

use std::collections::BTreeSet;

use crate::chance::Chance;

/// 2025-06-15 00:00 UTC, in ms. All event times are of that day.
pub const DAY_MS: i64 = 1_749_945_600_000;
const FIRST_MS: i64 = DAY_MS + 15 * 3_600_000;

/// Event times of partition p are p more than a multiple of this.
const STRIDE_MS: i64 = 8;

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Different for each row of a table.
    pub seq: i64,
    /// A key of few values.
    pub k: &'static str,
    /// A key of more values.
    pub u: i64,
    /// A number from 0 to 99.
    pub v: i64,
    /// Its event time, in ms.
    pub ts: i64,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// One that can be read.
    Row(Row),
    /// One that is a dead letter.
    Dead(&'static str),
}

impl Record {
    /// Its bytes.
    pub fn text(&self) -> String {
        match self {
            Self::Row(row) => format!(
                "{{\"seq\":{},\"k\":\"{}\",\"u\":\"u{}\",\"v\":{},\"ts\":{}}}",
                row.seq, row.k, row.u, row.v, row.ts
            ),
            Self::Dead(text) => (*text).to_owned(),
        }
    }
}

/// A table that is read.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name, and that of its topic.
    pub name: &'static str,
    /// How far its watermark stays behind.
    pub delay_ms: i64,
    /// Records of each partition, in order.
    pub partitions: Vec<Vec<Record>>,
}

/// What decides the input.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Decides the records.
    pub seed: u64,
    /// Most records of a partition.
    pub records_max: usize,
    /// Partitions of each table.
    pub partitions: usize,
    /// How far watermarks stay behind.
    pub delay_ms: i64,
}

/// A row as it arrives.
#[derive(Debug, Clone, Copy)]
pub struct Arrived<'a> {
    /// The row.
    pub row: &'a Row,
    /// The watermark of its partition before it.
    pub watermark: Option<i64>,
}

/// Everything that is read.
#[derive(Debug, Clone)]
pub struct Input {
    /// `clicks`, `orders` and `pays`.
    pub tables: Vec<Table>,
}

/// Names of the tables.
pub const TABLES: [&str; 3] = ["clicks", "orders", "pays"];

impl Input {
    /// The input of a shape: a smaller `records_max` gives the beginning of what a larger one gives.
    pub fn random(shape: &Shape) -> Self {
        let tables = TABLES.iter().zip(1..).map(|(name, number)| {
            let mut chance = Chance::new(shape.seed.wrapping_mul(31).wrapping_add(number));
            let is_orderly = *name != "clicks";
            let partitions = (0..shape.partitions).map(|partition| {
                let mut chance = Chance::new(chance.seed());
                partition_of(&mut chance, (shape, partition), is_orderly)
            });
            Table {
                name,
                delay_ms: shape.delay_ms,
                partitions: partitions.collect(),
            }
        });
        Self {
            tables: tables.collect(),
        }
    }

    /// The table called `name`.
    pub fn table(&self, name: &str) -> &Table {
        let found = self.tables.iter().find(|table| table.name == name);
        found.expect("a table of `TABLES`")
    }
}

impl Table {
    /// All rows that can be read.
    pub fn rows(&self) -> Vec<Arrived<'_>> {
        let mut arrived = vec![];
        for records in &self.partitions {
            let mut watermark: Option<i64> = None;
            for record in records {
                let Record::Row(row) = record else { continue };
                arrived.push(Arrived { row, watermark });
                watermark = watermark.max(Some(row.ts - self.delay_ms));
            }
        }
        arrived
    }

    /// Where the records are that cannot be read: partition and offset.
    pub fn dead(&self) -> Vec<(usize, usize)> {
        let partitions = self.partitions.iter().enumerate();
        let places = partitions.flat_map(|(partition, records)| {
            let records = records.iter().enumerate();
            let dead = records.filter(|(_, record)| matches!(record, Record::Dead(_)));
            dead.map(move |(offset, _)| (partition, offset))
        });
        places.collect()
    }
}

fn partition_of(
    chance: &mut Chance,
    (shape, partition): (&Shape, usize),
    is_orderly: bool,
) -> Vec<Record> {
    let least = shape.records_max / 2;
    let count = match chance.one_in(8) {
        true => 0,
        false => least + chance.below(shape.records_max - least + 1),
    };
    let partition = i64::try_from(partition).expect("few partitions");
    let mut now = FIRST_MS + chance.between(0, 5_000);
    let mut newest = i64::MIN;
    let mut used = BTreeSet::new();
    let mut records = vec![];
    for number in 0..count {
        now += *chance.pick(&[0, 100, 200, 300, 600, 1_000, 1_000, 2_000, 9_000]);
        let back = match chance.below(5) {
            0 if !is_orderly => chance.between(0, 30_000),
            _ => chance.between(0, (shape.delay_ms - 1).max(0)),
        };
        let mut ts = (now - back) / STRIDE_MS * STRIDE_MS + partition;
        // At or behind the watermark is late for some queries.
        while (is_orderly && newest != i64::MIN && ts <= newest - shape.delay_ms)
            || !used.insert(ts)
        {
            ts += STRIDE_MS;
        }
        newest = newest.max(ts);
        let row = Row {
            seq: partition * 10_000 + i64::try_from(number).expect("few records"),
            k: chance.text(&["a", "b", "c"]),
            u: chance.between(0, 9),
            v: chance.between(0, 99),
            ts,
        };
        records.push(match chance.one_in(15) {
            true => Record::Dead(chance.text(&["[]", "{\"seq\":1", "{\"ts\":null}", "x"])),
            false => Record::Row(row),
        });
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clicks_are_late() {
        let mut late = 0;
        for seed in 0..50 {
            let input = Input::random(&Shape {
                seed,
                records_max: 40,
                partitions: 3,
                delay_ms: 1_000,
            });
            for table in &input.tables {
                let rows = table.rows();
                let behind = rows
                    .iter()
                    .filter(|a| a.watermark.is_some_and(|watermark| a.row.ts <= watermark));
                match table.name {
                    "clicks" => late += behind.count(),
                    _ => assert_eq!(behind.count(), 0, "{}", table.name),
                }
                let times: BTreeSet<i64> = rows.iter().map(|arrived| arrived.row.ts).collect();
                assert_eq!(times.len(), rows.len(), "all times differ");
            }
        }
        assert!(late > 100, "{late}");
    }
}
