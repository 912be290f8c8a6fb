//! One pipeline, and storage that fails at every operation in turn: whatever fails, and however, the
//! job starts again and the tables and topics hold what they hold when nothing fails.
//!
//! Each run is decided by (setup, operation, fault), which a failure names. `MILLSTREAM_SIM=all`
//! tries every fault at every operation; without it each operation gets one of them in turn.

use std::sync::Arc;

use millstream_core::plan::Plan;
use millstream_sim::faults::Fault;
use millstream_sim::slt::runner::plan as plan_of;
use millstream_sim::slt::script::{Action, Expected};
use millstream_sim::slt::world::{Setup, World};

const PIPELINE: &str = "
CREATE TABLE clicks (
  id STRING, page STRING, ts BIGINT,
  event_time AS TO_TIMESTAMP_LTZ(ts, 3),
  WATERMARK FOR event_time AS event_time - INTERVAL '5' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'clicks', 'format' = 'json', 'topic.partitions' = '2');

CREATE TABLE counts (window_start TIMESTAMP(3), page STRING, n BIGINT, ids BIGINT,
  PRIMARY KEY (window_start, page) NOT ENFORCED) WITH ('connector' = 'clickhouse');
CREATE TABLE copies (id STRING) WITH ('connector' = 'clickhouse');
CREATE TABLE totals (window_start TIMESTAMP(3), n BIGINT)
WITH ('connector' = 'kafka', 'topic' = 'totals', 'format' = 'json', 'topic.partitions' = '1');

INSERT INTO counts
SELECT window_start, page, COUNT(*), COUNT(DISTINCT id)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, page;

INSERT INTO copies SELECT id FROM clicks WHERE page <> '/b';

INSERT INTO totals
SELECT window_start, COUNT(*)
FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end;
";

const QUERIES: [&str; 4] = [
    "SELECT * FROM counts",
    "SELECT * FROM copies",
    "SELECT id, late_for, window_start, watermark FROM clicks_late",
    "SELECT raw FROM clicks_dead",
];

const SETUP: Setup = Setup {
    parallelism: 2,
    batch_rows: 3,
    is_crashing: false,
};

/// How often a run may start again: once for the fault, once more if it strikes while it recovers.
const RESTARTS_MAX: u32 = 3;

#[test]
fn whatever_fails_the_results_are_the_same() {
    let plan = plan();
    let clean = Run::new(&plan, None).finish();
    assert!(
        clean.operations > 50,
        "the scenario does little: {}",
        clean.operations
    );
    assert!(
        clean.answers.iter().all(|answer| !answer.is_empty()),
        "{:?}",
        clean.answers
    );
    let is_thorough = std::env::var("MILLSTREAM_SIM").as_deref() == Ok("all");
    for operation in 0..clean.operations {
        let turn = usize::try_from(operation).expect("few operations") % Fault::ALL.len();
        let faults = if is_thorough {
            &Fault::ALL[..]
        } else {
            &Fault::ALL[turn..=turn]
        };
        for fault in faults {
            let found = Run::new(&plan, Some((operation, *fault))).finish();
            assert_eq!(
                found.answers, clean.answers,
                "{fault:?} at operation {operation} of {}",
                clean.operations
            );
        }
    }
}

#[test]
fn the_same_run_does_the_same() {
    let plan = plan();
    let trace = |fault| Run::new(&plan, fault).finish();
    assert_eq!(trace(None), trace(None));
    let fault = Some((20, Fault::Torn));
    assert_eq!(trace(fault), trace(fault));
}

fn plan() -> Arc<Plan> {
    plan_of("simulation.sql", PIPELINE).expect("a right pipeline")
}

/// What a run came to.
#[derive(Debug, PartialEq)]
struct Outcome {
    answers: Vec<Vec<String>>,
    /// Operations of storage after the input was there, on the last machine.
    operations: u64,
}

struct Run {
    world: World,
    fault: Option<(u64, Fault)>,
    restarts: u32,
}

impl Run {
    /// All input is in the topic; from now on the fault can strike.
    fn new(plan: &Arc<Plan>, fault: Option<(u64, Fault)>) -> Self {
        let mut world = World::open(plan.clone(), SETUP).expect("it starts without faults");
        for partition in 0..2 {
            let records = (0..12).map(|index| record(partition, index));
            let action = Action::Input {
                topic: "clicks".into(),
                partition,
                records: records.map(String::into_bytes).collect(),
            };
            world.step(&action).expect("input without faults");
        }
        if let Some((operation, fault)) = fault {
            world.storage().set_fuse(operation, fault);
        }
        Self {
            world,
            fault,
            restarts: 0,
        }
    }

    fn finish(mut self) -> Outcome {
        let start = self.world.storage().operations();
        while let Err(error) = self.process() {
            self.recover(error);
        }
        // A fault that is swallowed leaves the job running; one with effect makes it start again.
        let has_struck = self.restarts > 0 || self.world.storage().has_struck();
        assert_eq!(has_struck, self.fault.is_some(), "{:?}", self.fault);
        let operations = self.world.storage().operations().saturating_sub(start);
        let mut answers: Vec<Vec<String>> = vec![];
        for sql in QUERIES {
            answers.push(self.ask(&query(sql)));
        }
        let expected = Expected {
            rows: vec![],
            lines: 0..0,
        };
        let table = "clicks".to_owned();
        answers.push(self.ask(&Action::Counters { table, expected }));
        let mut totals = self
            .world
            .records("totals")
            .expect("a topic that can be read");
        totals.sort();
        answers.push(totals);
        Outcome {
            answers,
            operations,
        }
    }

    /// An answer. The fault may strike only now: asking reads and commits what is left.
    fn ask(&mut self, action: &Action) -> Vec<String> {
        loop {
            match self.world.step(action) {
                Ok(answer) => return answer.expect("it asks for something"),
                Err(error) => self.recover(error),
            }
        }
    }

    fn process(&mut self) -> anyhow::Result<()> {
        while self.world.round()? {}
        self.world.step(&Action::End)?;
        Ok(())
    }

    fn recover(&mut self, error: anyhow::Error) {
        let mut error = error;
        loop {
            self.restarts += 1;
            let has_struck = self.world.storage().has_struck();
            assert!(
                has_struck && self.restarts <= RESTARTS_MAX,
                "{:?}: restart {}: {error:#}",
                self.fault,
                self.restarts
            );
            match self.world.restart() {
                Ok(()) => return,
                Err(again) => error = again,
            }
        }
    }
}

fn query(sql: &str) -> Action {
    Action::Query {
        sql: sql.into(),
        is_sorted: true,
        expected: Expected {
            rows: vec![],
            lines: 0..0,
        },
    }
}

/// Every fourth record is late, every seventh broken; the others move on by 4 s.
fn record(partition: u32, index: u64) -> String {
    let late_ms = if index % 4 == 3 { 20_000 } else { 0 };
    let ts = index * 4_000 + u64::from(partition) * 1_000;
    let page = ["/a", "/b", "/c"][usize::try_from(index % 3).expect("small")];
    let id = format!("{partition}-{}", index / 2);
    if index % 7 == 5 {
        return format!("{{\"id\":\"{id}\",\"page\":{page}");
    }
    format!(
        "{{\"id\":\"{id}\",\"page\":\"{page}\",\"ts\":{}}}",
        ts.saturating_sub(late_ms)
    )
}
