//! Random input through random steps, against the rules of event time in a few lines of Rust.
//!
//! A seed decides everything: clicks (out of order, late, null, broken) over three partitions, number
//! of shards, rows in a batch, and when the job reads, commits, crashes and stops. A failure names
//! the seed; `MILLSTREAM_SEED=n` runs that one, `MILLSTREAM_SEEDS=n` that many.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_core::plan::Plan;
use millstream_sim::env::SplitMix;
use millstream_sim::slt::runner::plan as plan_of;
use millstream_sim::slt::script::{Action, Expected};
use millstream_sim::slt::world::{Setup, World};

const PIPELINE: &str = "
CREATE TABLE clicks (
  id STRING, page STRING, user_id STRING, amount INT, ts BIGINT,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '5' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'clicks', 'format' = 'json', 'topic.partitions' = '3');

CREATE TABLE by_page (window_start TIMESTAMP(3), page STRING, n BIGINT, users BIGINT,
  total INT, low INT, high INT, PRIMARY KEY (window_start, page) NOT ENFORCED)
WITH ('connector' = 'clickhouse');
CREATE TABLE totals (window_start TIMESTAMP(3), n BIGINT) WITH ('connector' = 'clickhouse');

INSERT INTO by_page
SELECT window_start, page, COUNT(*), COUNT(DISTINCT user_id), SUM(amount), MIN(amount), MAX(amount)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, page;

INSERT INTO totals
SELECT window_start, COUNT(*)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE, INTERVAL '7' SECOND))
WHERE amount > 0
GROUP BY window_start, window_end;
";

const SEEDS: u64 = 25;
const PARTITIONS: usize = 3;
const DELAY_MS: i64 = 5_000;

#[test]
fn random_input_gives_what_the_rules_say() {
    let plan = plan();
    let number = |name: &str| {
        let text = std::env::var(name).ok();
        text.map(|text| text.parse::<u64>().expect("a number"))
    };
    let seeds = match number("MILLSTREAM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("MILLSTREAM_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let mut random = SplitMix::new(seed);
        let clicks = clicks(&mut random);
        let expected = Model::of(&clicks).answers();
        let found = run(&plan, clicks, &mut random);
        let found = found.unwrap_or_else(|error| panic!("MILLSTREAM_SEED={seed}: {error:#}"));
        assert_eq!(
            found, expected,
            "MILLSTREAM_SEED={seed}: tables, then the rules"
        );
    }
}

fn plan() -> Arc<Plan> {
    plan_of("random.sql", PIPELINE).expect("a right pipeline")
}

/// A record.
#[derive(Debug, Clone)]
struct Click {
    id: String,
    page: Option<u64>,
    user: Option<u64>,
    amount: Option<i32>,
    ts: i64,
    is_broken: bool,
}

impl Click {
    fn text(&self) -> String {
        let text = |prefix: &str, value: Option<u64>| match value {
            Some(value) => format!("\"{prefix}{value}\""),
            None => "null".into(),
        };
        let amount = self
            .amount
            .map_or("null".into(), |amount| amount.to_string());
        let ts = if self.is_broken {
            "\"soon\"".into()
        } else {
            self.ts.to_string()
        };
        format!(
            "{{\"id\":\"{}\",\"page\":{},\"user_id\":{},\"amount\":{amount},\"ts\":{ts}}}",
            self.id,
            text("/", self.page),
            text("u", self.user)
        )
    }
}

/// Up to 120 records for each partition, in their order.
fn clicks(random: &mut SplitMix) -> Vec<Vec<Click>> {
    let mut partitions = vec![];
    for partition in 0..PARTITIONS {
        // Around 1970, so that windows before it are met too.
        let mut now: i64 = -30_000;
        let count = random.below(120);
        let records = (0..count).map(|index| {
            now += i64::try_from(random.below(3_000)).expect("small");
            let back = match random.below(8) {
                0 => random.below(80_000),
                _ => random.below(7_000),
            };
            let mut maybe = |bound: u64| {
                let value = random.below(bound + 1);
                (value < bound).then_some(value)
            };
            let (page, user, amount) = (maybe(4), maybe(9), maybe(50));
            Click {
                id: format!("{partition}-{index}"),
                page,
                user,
                amount: amount.map(|amount| i32::try_from(amount).expect("small") - 10),
                ts: now - i64::try_from(back).expect("small"),
                is_broken: maybe(20).is_none(),
            }
        });
        partitions.push(records.collect());
    }
    partitions
}

/// Feeds the records in random pieces, with random steps between.
fn run(
    plan: &Arc<Plan>,
    clicks: Vec<Vec<Click>>,
    random: &mut SplitMix,
) -> anyhow::Result<Vec<Vec<String>>> {
    let setup = Setup {
        parallelism: [1, 2, 3, 5][usize::try_from(random.below(4))?],
        batch_rows: [1, 2, 7, 64, 1024][usize::try_from(random.below(5))?],
        is_crashing: false,
    };
    let mut world = World::open(plan.clone(), setup)?;
    let mut rest: Vec<Vec<Click>> = clicks;
    while rest.iter().any(|clicks| !clicks.is_empty()) {
        let partition = usize::try_from(random.below(PARTITIONS as u64))?;
        let count = usize::try_from(1 + random.below(30))?.min(rest[partition].len());
        if count > 0 {
            let records = rest[partition]
                .drain(..count)
                .map(|click| click.text().into_bytes());
            world.step(&Action::Input {
                topic: "clicks".into(),
                partition: u32::try_from(partition)?,
                records: records.collect(),
            })?;
        }
        match random.below(6) {
            0 => world.step(&Action::Poll)?,
            1 => world.step(&Action::Checkpoint)?,
            2 => world.step(&Action::Crash)?,
            3 => world.step(&Action::Stop)?,
            4 => world.round().map(|_| None)?,
            _ => None,
        };
    }
    world.step(&Action::End)?;
    let ask = |sql: &str| Action::Query {
        sql: sql.into(),
        is_sorted: true,
        expected: nothing(),
    };
    let counters = Action::Counters {
        table: "clicks".into(),
        expected: nothing(),
    };
    let actions = [
        ask("SELECT * FROM by_page"),
        ask("SELECT * FROM totals"),
        ask("SELECT id, late_for FROM clicks_late"),
        ask("SELECT CAST(raw AS VARCHAR) FROM clicks_dead"),
        counters,
    ];
    let answers = actions
        .iter()
        .map(|action| Ok(world.step(action)?.unwrap_or_default()));
    answers.collect()
}

fn nothing() -> Expected {
    Expected {
        rows: vec![],
        lines: 0..0,
    }
}

/// What the rules say.
#[derive(Default)]
struct Model {
    pages: BTreeMap<(i64, Option<u64>), Vec<Click>>,
    totals: BTreeMap<i64, u64>,
    late: Vec<String>,
    dead: Vec<String>,
    read: usize,
    late_rows: usize,
}

impl Model {
    fn of(partitions: &[Vec<Click>]) -> Self {
        let mut model = Self::default();
        for clicks in partitions {
            let mut watermark = i64::MIN;
            for click in clicks {
                model.read += 1;
                if click.is_broken {
                    model.dead.push(click.text());
                    continue;
                }
                model.take(click, watermark);
                watermark = watermark.max(click.ts - DELAY_MS);
            }
        }
        model
    }

    /// A record, given the watermark of its partition before it.
    fn take(&mut self, click: &Click, watermark: i64) {
        let mut missed = BTreeSet::new();
        let start = click.ts - click.ts.rem_euclid(10_000);
        if watermark >= start + 10_000 - 1 {
            missed.insert("by_page");
        } else {
            self.pages
                .entry((start, click.page))
                .or_default()
                .push(click.clone());
        }
        let start = click.ts - (click.ts - 7_000).rem_euclid(60_000);
        if click.amount.is_some_and(|amount| amount > 0) {
            if watermark >= start + 60_000 - 1 {
                missed.insert("totals");
            } else {
                *self.totals.entry(start).or_default() += 1;
            }
        }
        self.late_rows += usize::from(!missed.is_empty());
        self.late
            .extend(missed.iter().map(|query| format!("{}  {query}", click.id)));
    }

    fn answers(mut self) -> Vec<Vec<String>> {
        let pages = self.pages.iter().map(|((start, page), clicks)| {
            let users: BTreeSet<u64> = clicks.iter().filter_map(|click| click.user).collect();
            let amounts: Vec<i32> = clicks.iter().filter_map(|click| click.amount).collect();
            let text = |value: Option<i32>| value.map_or("NULL".into(), |v| v.to_string());
            format!(
                "{}  {}  {}  {}  {}  {}  {}",
                time_text(*start),
                page.map_or("NULL".into(), |page| format!("/{page}")),
                clicks.len(),
                users.len(),
                text((!amounts.is_empty()).then(|| amounts.iter().sum())),
                text(amounts.iter().min().copied()),
                text(amounts.iter().max().copied()),
            )
        });
        let mut pages: Vec<String> = pages.collect();
        let totals = self
            .totals
            .iter()
            .map(|(start, n)| format!("{}  {n}", time_text(*start)));
        let mut totals: Vec<String> = totals.collect();
        let on_time = self.read - self.late_rows - self.dead.len();
        let counters = format!(
            "read {}  on_time {on_time}  late {}  undecodable {}",
            self.read,
            self.late_rows,
            self.dead.len()
        );
        for rows in [&mut pages, &mut totals, &mut self.late, &mut self.dead] {
            rows.sort();
        }
        vec![pages, totals, self.late, self.dead, vec![counters]]
    }
}

/// A time within a day of 1970-01-01, to the second.
fn time_text(ms: i64) -> String {
    assert_eq!(ms.rem_euclid(1_000), 0);
    let seconds = ms.div_euclid(1_000);
    let day = if seconds < 0 {
        "1969-12-31"
    } else {
        "1970-01-01"
    };
    let second = seconds.rem_euclid(86_400);
    format!(
        "{day} {:02}:{:02}:{:02}",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}
