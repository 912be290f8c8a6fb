//! The library from outside: tables and functions of a program, its errors, its restarts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::array::{BinaryArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Int64Type};
use millstream::sink::{Prepared, Sink, SinkContext, SinkWriter, Staged};
use millstream::source::{Read, ReadLimit, Source, Split, SplitReader};
use millstream::{
    AggregateFunction, Epoch, Error, ErrorKind, GroupState, JobState, MemorySink, Offset, Pipeline,
    Result, Rows, ScalarFunction, ShardIndex, SplitId,
};

/// Rows of numbers 0 to `count` with a key of 0 to 2 and a second each. Each split is a reader.
struct Numbers {
    splits: u64,
    count: u64,
}

impl Source for Numbers {
    fn splits(&self) -> Result<Vec<Split>> {
        let split = |index: u64| Split {
            id: SplitId::new(index.to_string()),
            metadata: [].into(),
        };
        Ok((0..self.splits).map(split).collect())
    }

    fn open(&self, split: &SplitId, from: Option<Offset>) -> Result<Box<dyn SplitReader>> {
        Ok(Box::new(NumbersReader {
            split: split.as_str().parse().expect("one of its own"),
            splits: self.splits,
            count: self.count,
            next: from.unwrap_or_default().0,
        }))
    }

    fn is_bounded(&self) -> bool {
        true
    }
}

struct NumbersReader {
    split: u64,
    splits: u64,
    count: u64,
    next: u64,
}

impl SplitReader for NumbersReader {
    fn read(&mut self, limit: ReadLimit) -> Result<Read> {
        let number = |offset: u64| (offset * self.splits + self.split) as i64;
        let offsets = self.next..self.next + limit.rows as u64;
        let numbers = offsets.map(number).filter(|n| *n < self.count as i64);
        let numbers: Vec<i64> = numbers.collect();
        if numbers.is_empty() {
            return Ok(Read::End);
        }
        self.next += numbers.len() as u64;
        Ok(Read::Rows(batch(&numbers)))
    }

    fn offset(&self) -> Offset {
        Offset(self.next)
    }
}

/// Columns in another order than the table declares, and one more.
fn batch(numbers: &[i64]) -> RecordBatch {
    let longs = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let times = numbers.iter().map(|n| n * 1_000);
    let columns = [
        ("unread", longs(vec![7; numbers.len()])),
        (
            "at",
            Arc::new(TimestampMillisecondArray::from_iter_values(times)) as _,
        ),
        ("n", longs(numbers.to_vec())),
        ("k", longs(numbers.iter().map(|n| n % 3).collect())),
    ];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

const NUMBERS: &str = "CREATE TABLE numbers (k BIGINT, n BIGINT, at TIMESTAMP(3), \
                       WATERMARK FOR at AS at) WITH ('connector' = 'rust');";

/// `PRODUCT(n)` modulo a prime.
struct Product;

const PRIME: i64 = 1_000_003;

impl AggregateFunction for Product {
    fn return_type(&self, argument: &DataType) -> Result<DataType> {
        match argument {
            DataType::Int64 => Ok(DataType::Int64),
            _ => Err(Error::invalid("expected BIGINT")),
        }
    }

    fn group(&self, _: &DataType) -> Box<dyn GroupState> {
        Box::new(Factors(1))
    }
}

struct Factors(i64);

impl GroupState for Factors {
    fn update(&mut self, values: &ArrayRef, rows: &[usize]) -> Result<()> {
        for row in rows {
            self.0 = self.0 * values.as_primitive::<Int64Type>().value(*row) % PRIME;
        }
        Ok(())
    }

    fn save(&self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }

    fn merge(&mut self, saved: &[u8]) -> Result<()> {
        let saved = saved.try_into().map_err(|_| Error::bug("8 bytes"))?;
        self.0 = self.0 * i64::from_le_bytes(saved) % PRIME;
        Ok(())
    }

    fn result(&self) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(vec![self.0])))
    }
}

/// `PLUS(n, m)`; fails for 13.
struct Plus;

impl ScalarFunction for Plus {
    fn parameters(&self) -> Option<Vec<DataType>> {
        Some(vec![DataType::Int64; 2])
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        assert_eq!(arguments, [DataType::Int64, DataType::Int64]);
        Ok(DataType::Int64)
    }

    fn call(&self, arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let [left, right] = [0, 1].map(|index| arguments[index].as_primitive::<Int64Type>());
        assert_eq!((left.len(), right.len()), (rows, rows));
        if left.values().contains(&13) {
            return Err(Error::invalid("13 brings bad luck"));
        }
        let sums = left.iter().zip(right).map(|(l, r)| Some(l? + r?));
        Ok(Arc::new(sums.collect::<Int64Array>()))
    }
}

/// Keeps the rows as text, an epoch at a time.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<BTreeMap<u64, Vec<String>>>>);

struct LinesWriter {
    lines: Vec<String>,
}

impl Sink for Lines {
    fn writer(&self, _: &SinkContext, _: ShardIndex) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(LinesWriter { lines: vec![] }))
    }

    fn commit(&self, _: &SinkContext, epoch: Epoch, staged: &[Staged]) -> Result<()> {
        let lines = staged.iter().map(|staged| staged.payload.as_array());
        let lines = lines.flat_map(|lines| lines.expect("written below"));
        let lines = lines.map(|line| line.as_str().expect("text").to_owned());
        // The epoch is remembered with its lines, so a second commit changes nothing.
        let mut all = self.0.lock().expect("no panic while locked");
        all.insert(epoch.0, lines.collect());
        Ok(())
    }

    fn committed(&self, _: &SinkContext) -> Result<Option<Epoch>> {
        let all = self.0.lock().expect("no panic while locked");
        Ok(all.keys().next_back().copied().map(Epoch))
    }

    fn discard_before(&self, _: &SinkContext) -> Result<()> {
        Ok(())
    }
}

impl SinkWriter for LinesWriter {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        for row in 0..rows.num_rows() {
            let cell = |column: &ArrayRef| match column.as_primitive_opt::<Int64Type>() {
                Some(longs) => longs.value(row).to_string(),
                None => column.as_string::<i32>().value(row).to_owned(),
            };
            let cells: Vec<String> = rows.columns().iter().map(cell).collect();
            self.lines.push(cells.join(" "));
        }
        Ok(())
    }

    fn prepare(&mut self, _: Epoch) -> Result<Option<Prepared>> {
        if self.lines.is_empty() {
            return Ok(None);
        }
        let lines = std::mem::take(&mut self.lines);
        let staged = Staged {
            rows: lines.len() as u64,
            bytes: 0,
            payload: lines.into(),
        };
        Ok(Some(Prepared {
            staged,
            files: vec![],
        }))
    }
}

impl Lines {
    fn sorted(&self) -> Vec<String> {
        let all = self.0.lock().expect("no panic while locked");
        let mut lines: Vec<String> = all.values().flatten().cloned().collect();
        lines.sort();
        lines
    }
}

const PRODUCTS: &str = "
CREATE TABLE products (k BIGINT, product BIGINT, large BIGINT) WITH ('connector' = 'rust');
INSERT INTO products
SELECT k, Product(n + 1), PRODUCT(n + 1) FILTER (WHERE n >= 500)
FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(at), INTERVAL '1' HOUR))
GROUP BY k, window_start, window_end;";

#[test]
fn an_aggregate_is_the_same_however_the_work_is_shared() {
    let product = |k: i64, from: i64| {
        let factors = (from..3_600).filter(|n| n % 3 == k).map(|n| n + 1);
        factors.fold(1, |product, n| product * n % PRIME)
    };
    let expected: Vec<String> = (0..3)
        .map(|k| format!("{k} {} {}", product(k, 0), product(k, 500)))
        .collect();
    for (splits, shards, rows) in [(1, "1", "8192"), (3, "3", "7"), (5, "2", "100")] {
        let lines = Lines::default();
        let count = 3_600;
        let status = Pipeline::from_sql(format!("{NUMBERS}{PRODUCTS}"))
            .setting("parallelism.default", shards)
            .setting("millstream.batch-rows", rows)
            .setting("execution.checkpointing.interval", "10 ms")
            .source("numbers", Numbers { splits, count })
            .sink("products", lines.clone())
            .aggregate_function("product", Product)
            .run()
            .unwrap();
        assert_eq!(status.state, JobState::Finished);
        assert_eq!(status.sources[0].rows_read, 3_600);
        assert_eq!(lines.sorted(), expected, "splits {splits}, shards {shards}");
    }
}

const DISTINCT_PRODUCTS: &str = "
CREATE TABLE products (k BIGINT, product BIGINT, few BIGINT) WITH ('connector' = 'rust');
INSERT INTO products
SELECT k, PRODUCT(DISTINCT MOD(n, CAST(7 AS BIGINT)) + 2), PRODUCT(DISTINCT MOD(n, CAST(7 AS BIGINT)) + 2) FILTER (WHERE n < 9)
FROM TABLE(HOP(TABLE numbers, DESCRIPTOR(at), INTERVAL '10' SECOND, INTERVAL '1' MINUTE))
GROUP BY k, window_start, window_end;";

#[test]
fn an_aggregate_takes_distinct_values() {
    let product = |k: i64, of: std::ops::Range<i64>| {
        let values: std::collections::BTreeSet<i64> =
            of.filter(|n| n % 3 == k).map(|n| n % 7 + 2).collect();
        values.into_iter().product::<i64>()
    };
    // Windows begin each 10 s, the first 50 s before the first number.
    let mut expected = vec![];
    for (start, k) in (-50..90)
        .step_by(10)
        .flat_map(|start| (0..3).map(move |k| (start, k)))
    {
        let (all, few) = (
            start.max(0)..(start + 60).min(90),
            start.max(0)..(start + 60).min(9),
        );
        expected.push(format!("{k} {} {}", product(k, all), product(k, few)));
    }
    expected.sort();
    for (splits, shards) in [(1, "1"), (4, "3")] {
        let lines = Lines::default();
        Pipeline::from_sql(format!("{NUMBERS}{DISTINCT_PRODUCTS}"))
            .setting("parallelism.default", shards)
            .setting("millstream.batch-rows", "5")
            .setting("execution.checkpointing.interval", "10 ms")
            .source("numbers", Numbers { splits, count: 90 })
            .sink("products", lines.clone())
            .aggregate_function("product", Product)
            .run()
            .unwrap();
        assert_eq!(lines.sorted(), expected, "splits {splits}, shards {shards}");
    }
}

const PRODUCTS_SO_FAR: &str = "
CREATE TABLE products (n BIGINT, product BIGINT, two BIGINT) WITH ('connector' = 'rust');
INSERT INTO products
SELECT n, PRODUCT(n + 1) OVER (PARTITION BY k ORDER BY at),
  PRODUCT(n) FILTER (WHERE n <> 4) OVER (PARTITION BY k ORDER BY at ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
FROM numbers;";

#[test]
fn an_aggregate_goes_over_the_rows_before() {
    let mut expected = vec![];
    for n in 0..30i64 {
        let so_far = (0..=n).filter(|m| m % 3 == n % 3);
        let product = so_far.fold(1, |product, m| product * (m + 1) % PRIME);
        let two = [n - 3, n].into_iter().filter(|m| *m >= 0 && *m != 4);
        expected.push(format!("{n} {product} {}", two.product::<i64>()));
    }
    expected.sort();
    for (splits, shards) in [(1, "1"), (4, "3")] {
        let lines = Lines::default();
        Pipeline::from_sql(format!("{NUMBERS}{PRODUCTS_SO_FAR}"))
            .setting("parallelism.default", shards)
            .setting("millstream.batch-rows", "3")
            .setting("execution.checkpointing.interval", "10 ms")
            .source("numbers", Numbers { splits, count: 30 })
            .sink("products", lines.clone())
            .aggregate_function("product", Product)
            .run()
            .unwrap();
        assert_eq!(lines.sorted(), expected, "splits {splits}, shards {shards}");
    }
}

const SUMS: &str = "
CREATE TABLE sums (n BIGINT, sum BIGINT) WITH ('connector' = 'rust');
INSERT INTO sums SELECT n, PLUS(n, 100) FROM numbers WHERE n <> ${LEFT_OUT} AND PLUS(n, n) < 100;";

fn sums(numbers: &[i64], left_out: &str) -> Result<Vec<String>> {
    let lines = Lines::default();
    let (first, second) = numbers.split_at(numbers.len() / 2);
    Pipeline::from_sql(format!("{NUMBERS}{SUMS}"))
        .variable("LEFT_OUT", left_out)
        .source("numbers", Rows::new(vec![batch(first), batch(second)]))
        .sink("sums", lines.clone())
        .scalar_function("PLUS", Plus)
        .run()?;
    Ok(lines.sorted())
}

#[test]
fn a_scalar_function_computes_rows() {
    assert_eq!(
        sums(&[1, 2, 49, 50, 7], "2").unwrap(),
        ["1 101", "49 149", "7 107"]
    );
    // What a filter leaves out is not computed.
    assert_eq!(sums(&[13, 2], "13").unwrap(), ["2 102"]);
    let error = sums(&[13, 2], "2").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(
        error.to_string().contains("`PLUS`: 13 brings bad luck"),
        "{error}"
    );
}

#[test]
fn a_pipeline_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let lines = Lines::default();
    let run = |count: u64| {
        let pipeline = Pipeline::from_sql(format!("{NUMBERS}{SUMS}"))
            .variable("LEFT_OUT", "13")
            .data_dir(folder.path())
            .source("numbers", Numbers { splits: 2, count })
            .sink("sums", lines.clone())
            .scalar_function("PLUS", Plus);
        let running = pipeline.start().unwrap();
        let in_use = Pipeline::from_sql(format!("{NUMBERS}{SUMS}"))
            .variable("LEFT_OUT", "13")
            .scalar_function("PLUS", Plus)
            .data_dir(folder.path());
        assert!(in_use.start().is_err(), "somebody has the directory");
        running.wait().unwrap()
    };
    assert_eq!(run(5).sources[0].rows_read, 5);
    // All of it has been read.
    run(5);
    assert_eq!(
        lines.sorted(),
        ["0 100", "1 101", "2 102", "3 103", "4 104"]
    );
}

#[test]
fn what_is_wrong_is_told() {
    let told = |sql: &str| {
        let pipeline = Pipeline::from_sql(format!("{NUMBERS}\n{sql}"))
            .scalar_function("plus", Plus)
            .aggregate_function("product", Product);
        pipeline.plan().unwrap_err().to_string()
    };
    let select = |what: &str| {
        told(&format!(
            "CREATE TABLE o (x BIGINT) WITH ('connector' = 'rust');\n\
             INSERT INTO o SELECT {what} FROM numbers;"
        ))
    };
    assert_eq!(
        select("plus(n, 'a')"),
        "pipeline:3:30: argument 2 of `PLUS`: found STRING, expected BIGINT\n  \
         write CAST(… AS BIGINT)"
    );
    assert!(select("plus(n)").contains("`PLUS`"));
    let over = "product(n) OVER (PARTITION BY k)";
    assert!(select(over).contains("OVER without ORDER BY an event time"));
    assert_eq!(
        select("product(n)"),
        "pipeline:3:22: aggregate function `PRODUCT` in SELECT"
    );
    assert!(select("plos(n, n)").contains("did you mean `PLUS`?"));
    assert!(select("plus(n, n) FILTER (WHERE TRUE)").contains("FILTER after `PLUS`"));
    assert_eq!(
        told("CREATE FUNCTION plus(a BIGINT) RETURNS BIGINT AS a;"),
        "pipeline:2:17: function `plus` is there already: the program brings it"
    );
    let text = PRODUCTS.replace("Product(n + 1)", "PRODUCT('a')");
    assert!(told(&text).contains("`PRODUCT`: expected BIGINT"));

    let sql = format!("{NUMBERS}{PRODUCTS}");
    let built_in = Pipeline::from_sql(&sql).scalar_function("upper", Plus);
    assert_eq!(
        built_in.plan().unwrap_err().to_string(),
        "pipeline:1:1: function `UPPER` is there already: it is built in"
    );
    let pipeline = || Pipeline::from_sql(&sql).aggregate_function("PRODUCT", Product);
    let unread = pipeline().source("products", Rows::new(vec![]));
    assert_eq!(
        unread.run().unwrap_err().to_string(),
        "no table `products` with 'connector' = 'rust' is read"
    );
    let unwritten = pipeline().sink("product", MemorySink::default());
    assert_eq!(
        unwritten.run().unwrap_err().to_string(),
        "no table `product` with 'connector' = 'rust' is written"
    );
    let nowhere = pipeline().source("numbers", Rows::new(vec![]));
    assert_eq!(
        nowhere.run().unwrap_err().to_string(),
        "table `products`: the program gives no sink of this name"
    );
    let nothing = pipeline().sink("products", MemorySink::default());
    assert_eq!(
        nothing.run().unwrap_err().to_string(),
        "table `numbers`: the program gives no source of this name"
    );
}

/// Gives what it did not promise.
struct Liar;

impl ScalarFunction for Liar {
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn call(&self, arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let texts = || StringArray::from(vec!["a"; rows - 1]);
        Ok(match arguments[0].null_count() {
            0 => Arc::new(texts()),
            _ => Arc::new(BinaryArray::from(texts())),
        })
    }
}

#[test]
fn a_function_that_breaks_its_promise_stops_the_pipeline() {
    let stopped = |argument: &str| {
        let sql = format!(
            "{NUMBERS} CREATE TABLE o (x STRING) WITH ('connector' = 'blackhole');
             INSERT INTO o SELECT LIAR({argument}) FROM numbers;"
        );
        let pipeline = Pipeline::from_sql(sql)
            .source("numbers", Rows::new(vec![batch(&[1, 2, 3])]))
            .scalar_function("LIAR", Liar);
        pipeline.run().unwrap_err().to_string()
    };
    assert!(
        stopped("n").contains("`LIAR` gave 2 values of STRING, expected 3 of STRING"),
        "{}",
        stopped("n")
    );
    let null = "CASE WHEN n > 5 THEN n END";
    assert!(
        stopped(null).contains("`LIAR` gave 2 values of BYTES"),
        "{}",
        stopped(null)
    );
}
