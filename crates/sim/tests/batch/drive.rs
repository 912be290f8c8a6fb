//! Runs both sides and compares what comes out.
//!
//! The pipeline's side is a random world: shards, rows in a batch, pieces of input in random order
//! over the partitions, epochs, crashes and stops between them.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anyhow::{Result, ensure};
use datafusion::error::DataFusionError;
use datafusion::prelude::{SessionConfig, SessionContext};
use millstream_connectors::CATALOG;
use millstream_core::plan::Plan;
use millstream_sim::slt::answer::{difference, lines};
use millstream_sim::slt::connectors::Files;
use millstream_sim::slt::script::Action;
use millstream_sim::slt::world::{Setup, World};

use super::input::{Input, Record};
use super::query::Query;
use super::{batch, flink};
use millstream_sim::chance::Chance;

/// Some queries over one input, in one world.
#[derive(Debug, Clone)]
pub struct Case {
    /// Decides the world's steps.
    pub seed: u64,
    /// What is read.
    pub input: Input,
    /// Whether, when all is read, so much time passes that every split is idle.
    pub is_idle: bool,
    /// What is asked.
    pub queries: Vec<Query>,
}

/// A query whose answers differ, or that failed.
pub struct Disagreement {
    /// Which of the case; `None` if the pipeline failed as a whole.
    pub query: Option<usize>,
    /// What is wrong.
    pub text: String,
}

impl Case {
    /// The pipeline's file.
    pub fn script(&self) -> String {
        let mut text = flink::sources(&self.input.streams, self.is_idle);
        for (number, query) in self.queries.iter().enumerate() {
            text.push_str(&flink::statements(query, number));
        }
        text
    }

    /// Asks both sides, and takes a panic for an answer. How many rows each query has, if they agree;
    /// `None` for those that DataFusion cannot answer.
    pub fn run(&self) -> Result<Vec<Option<usize>>, Disagreement> {
        let asked = AssertUnwindSafe(|| self.ask());
        catch_unwind(asked).unwrap_or_else(|_| {
            Err(Disagreement {
                query: None,
                text: "panicked".into(),
            })
        })
    }

    fn ask(&self) -> Result<Vec<Option<usize>>, Disagreement> {
        let found = match self.stream() {
            Ok(found) => found,
            Err(error) => {
                return Err(Disagreement {
                    query: None,
                    text: format!("{error:#}"),
                });
            }
        };
        let expected = self.batch();
        let mut rows = vec![];
        let pairs = found.iter().zip(expected).enumerate();
        for (number, (found, expected)) in pairs {
            let text = match expected {
                Ok(expected) => match same(&expected, found) {
                    true => {
                        rows.push(Some(found.len()));
                        continue;
                    }
                    false => difference(&expected, found).unwrap_or_default(),
                },
                Err(error) if is_not_there(&error) => {
                    rows.push(None);
                    continue;
                }
                Err(error) => format!("the batch: {error:#}"),
            };
            let query = Some(number);
            return Err(Disagreement { query, text });
        }
        Ok(rows)
    }

    /// The rows of each result table.
    fn stream(&self) -> Result<Vec<Vec<String>>> {
        let plan = self.plan()?;
        let mut chance = Chance::new(self.seed);
        let setup = setup(&mut chance);
        let files = Files::default();
        let labels: Vec<String> = self.input.labels.iter().map(|label| label.text()).collect();
        files.put("labels", &labels);
        let read: Vec<String> = plan
            .sources
            .iter()
            .map(|source| source.table.clone())
            .collect();
        let mut world = World::open_with(plan, setup, files)?;
        self.feed(&mut world, &mut chance, &read)?;
        if self.is_idle {
            world.step(&Action::Advance(6_000))?;
        }
        world.step(&Action::End)?;
        (0..self.queries.len())
            .map(|number| {
                let rows = world.rows(&format!("result{number}"))?;
                lines(&rows, true)
            })
            .collect()
    }

    fn plan(&self) -> Result<Arc<Plan>> {
        let none = BTreeMap::new();
        let text = self.script();
        let script = millstream_sql::Script {
            file: "random.sql",
            text: &text,
            variables: &none,
            settings: &none,
        };
        let plan = millstream_sql::plan(&script, &CATALOG);
        let plan = plan.map_err(|error| anyhow::anyhow!("refused: {error}"))?;
        Ok(Arc::new(plan))
    }

    /// Puts the records of the tables that are read in, in pieces, with steps between.
    fn feed(&self, world: &mut World, chance: &mut Chance, read: &[String]) -> Result<()> {
        let mut rest: Vec<(&str, usize, &[Record])> = vec![];
        for stream in &self.input.streams {
            let partitions = stream.partitions.iter().enumerate();
            rest.extend(partitions.map(|(number, records)| (stream.name, number, &records[..])));
        }
        rest.retain(|(name, _, records)| !records.is_empty() && read.iter().any(|r| r == name));
        while !rest.is_empty() {
            let at = chance.below(rest.len());
            let (topic, partition, records) = rest[at];
            let count = (1 + chance.below(20)).min(records.len());
            let (now, later) = records.split_at(count);
            world.step(&Action::Input {
                topic: topic.into(),
                partition: u32::try_from(partition)?,
                records: now
                    .iter()
                    .map(|record| record.text().into_bytes())
                    .collect(),
            })?;
            rest[at].2 = later;
            if later.is_empty() {
                rest.remove(at);
            }
            world.set_setup(setup(chance));
            match chance.below(12) {
                0 => world.step(&Action::Poll).map(|_| ())?,
                1 => world.step(&Action::Checkpoint).map(|_| ())?,
                2 => world.step(&Action::Crash).map(|_| ())?,
                3 => world.step(&Action::Stop).map(|_| ())?,
                4 | 5 => world.round().map(|_| ())?,
                _ => {}
            }
        }
        Ok(())
    }

    /// What DataFusion answers to each query.
    fn batch(&self) -> Vec<Result<Vec<String>>> {
        let context = context();
        let ready = self.input.register(&context);
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime without threads");
        self.queries
            .iter()
            .map(|query| {
                ensure!(ready.is_ok(), "{ready:?}");
                let sql = batch::select(query);
                let rows: Result<_, DataFusionError> = runtime.block_on(async {
                    let frame = context.sql(&sql).await?;
                    frame.collect().await
                });
                lines(&rows?, true)
            })
            .collect()
    }
}

/// Whether DataFusion says that it cannot do this.
fn is_not_there(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<DataFusionError>();
    error.is_some_and(|error| matches!(error.find_root(), DataFusionError::NotImplemented(_)))
}

fn setup(chance: &mut Chance) -> Setup {
    Setup {
        parallelism: u32::try_from(chance.between(1, 4)).expect("small"),
        batch_rows: *chance.pick(&[1, 2, 7, 64, 1024]),
        is_crashing: false,
    }
}

fn context() -> SessionContext {
    SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1))
}

/// Whether the rows are the same, numbers with a point to within a billionth.
fn same(expected: &[String], found: &[String]) -> bool {
    if expected == found {
        return true;
    }
    let cells = |rows: &[String]| -> Vec<Vec<String>> {
        let mut rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| row.split("  ").map(|cell| cell.trim().to_owned()).collect())
            .collect();
        rows.sort_by_key(|row: &Vec<String>| {
            row.iter().map(|cell| rounded(cell)).collect::<Vec<_>>()
        });
        rows
    };
    let (expected, found) = (cells(expected), cells(found));
    let is_close = |(left, right): (&String, &String)| {
        left == right
            || match (left.parse::<f64>(), right.parse::<f64>()) {
                (Ok(left), Ok(right)) => {
                    (left - right).abs() <= 1e-9 * left.abs().max(right.abs()).max(1.)
                }
                _ => false,
            }
    };
    expected.len() == found.len()
        && expected
            .iter()
            .zip(&found)
            .all(|(left, right)| left.len() == right.len() && left.iter().zip(right).all(is_close))
}

/// A cell as rows are sorted by it: numbers with a point have six digits.
fn rounded(cell: &str) -> String {
    match cell.parse::<f64>() {
        Ok(number) if cell.contains('.') => format!("{number:.6}"),
        _ => cell.into(),
    }
}
