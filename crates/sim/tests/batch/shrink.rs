//! Makes a case that fails smaller as long as it fails, and tells of it.

use std::fmt::Write as _;

use super::batch;
use super::drive::{Case, Disagreement};
use super::query::{Query, Stage};

/// How many smaller cases are tried.
const TRIES_MAX: usize = 300;

/// The smallest case that still fails, as text.
pub fn report(seed: u64, case: Case, found: Disagreement) -> String {
    let (case, found) = smallest(case, found);
    let mut text = format!("MILLSTREAM_SEED={seed}\n-- the pipeline\n{}", case.script());
    for query in &case.queries {
        write!(text, "-- the batch\n{}\n", batch::select(query)).expect("text can always grow");
    }
    for stream in &case.input.streams {
        for (partition, records) in stream.partitions.iter().enumerate() {
            let name = stream.name;
            writeln!(text, "input {name} partition {partition}").expect("text can always grow");
            for record in records {
                writeln!(text, "{}", record.text()).expect("text can always grow");
            }
        }
    }
    for label in &case.input.labels {
        writeln!(text, "labels {}", label.text()).expect("text can always grow");
    }
    format!("{text}-- batch -, pipeline +\n{}", found.text)
}

fn smallest(case: Case, found: Disagreement) -> (Case, Disagreement) {
    let mut best = (case, found);
    if let Some(query) = best.1.query {
        let mut alone = best.0.clone();
        alone.queries = vec![alone.queries[query].clone()];
        if let Err(found) = alone.run() {
            best = (alone, found);
        }
    }
    let mut tries = 0;
    loop {
        let smaller = candidates(&best.0).into_iter().find_map(|case| {
            tries += 1;
            if tries > TRIES_MAX {
                return None;
            }
            let found = case.run().err()?;
            let is_same = nature(&found) == nature(&best.1);
            is_same.then_some((case, found))
        });
        match smaller {
            Some(smaller) => best = smaller,
            None => return best,
        }
    }
}

/// What kind of failure it is. A clause that is left out and used later is another.
fn nature(found: &Disagreement) -> (bool, [bool; 5]) {
    let kinds = [
        "panicked",
        "the batch:",
        "refused:",
        "unknown column",
        "No field named",
    ];
    (
        found.query.is_some(),
        kinds.map(|kind| found.text.contains(kind)),
    )
}

/// The same with something left out.
fn candidates(case: &Case) -> Vec<Case> {
    let mut made = vec![];
    if case.queries.len() > 1 {
        for number in 0..case.queries.len() {
            let mut smaller = case.clone();
            smaller.queries.remove(number);
            made.push(smaller);
        }
        return made;
    }
    for query in simpler(&case.queries[0]) {
        let mut smaller = case.clone();
        smaller.queries = vec![query];
        made.push(smaller);
    }
    for (stream, partition) in (0..2).flat_map(|stream| (0..3).map(move |part| (stream, part))) {
        let Some(records) = case.input.streams[stream].partitions.get(partition) else {
            continue;
        };
        let mut size = records.len();
        while size > 0 {
            for start in (0..records.len()).step_by(size) {
                let mut smaller = case.clone();
                let records = &mut smaller.input.streams[stream].partitions[partition];
                let end = (start + size).min(records.len());
                records.drain(start..end);
                made.push(smaller);
            }
            size /= 2;
        }
    }
    for label in 0..case.input.labels.len() {
        let mut smaller = case.clone();
        smaller.input.labels.remove(label);
        made.push(smaller);
    }
    made
}

/// The query with a clause left out.
fn simpler(query: &Query) -> Vec<Query> {
    let mut made = vec![];
    if query.stages.len() > 1 {
        let mut shorter = query.clone();
        shorter.stages.pop();
        made.push(shorter);
    }
    for index in 0..query.stages.len() {
        for change in 0..8 {
            let mut smaller = query.clone();
            if drop_clause(&mut smaller.stages[index], change) {
                made.push(smaller);
            }
        }
    }
    made
}

/// Leaves clause `number` out. Whether there was one.
fn drop_clause(stage: &mut Stage, number: usize) -> bool {
    match (stage, number) {
        (Stage::Input(stage), 0) => stage.filter.take().is_some(),
        (Stage::Input(stage), 1) => stage.computed.pop().is_some(),
        (Stage::Select(stage), 0) => stage.filter.take().is_some(),
        (Stage::Select(stage), 1) => stage.computed.pop().is_some(),
        (Stage::Aggregate(stage), 0) => stage.having.take().is_some(),
        (Stage::Aggregate(stage), 1) => stage.calls.pop().is_some(),
        (Stage::Aggregate(stage), 2) => {
            !stage.calls.is_empty() && {
                stage.calls.remove(0);
                true
            }
        }
        (Stage::Aggregate(stage), 3) => {
            stage.sets.is_empty() && {
                let was_there = stage.keys.pop().is_some();
                stage.session_keys = stage.session_keys.min(stage.keys.len());
                was_there
            }
        }
        (Stage::Aggregate(stage), 4) => !std::mem::take(&mut stage.sets).is_empty(),
        (Stage::Aggregate(stage), 5) => {
            let mut filters = stage
                .calls
                .iter_mut()
                .map(|call| call.filter.take().is_some());
            filters.any(|was_there| was_there)
        }
        (Stage::Rank(stage), 0) => stage.keys.pop().is_some(),
        (Stage::Rank(stage), 1) => stage.order.len() > 1 && stage.order.pop().is_some(),
        (Stage::Over(stage), 0) => stage.keys.pop().is_some(),
        (Stage::Over(stage), 1) => stage.calls.len() > 1 && stage.calls.pop().is_some(),
        (Stage::Over(stage), 2) => {
            stage.calls.len() > 1 && {
                stage.calls.remove(0);
                true
            }
        }
        (Stage::Join(stage), 0) => stage.residual.take().is_some(),
        (Stage::Join(stage), 1) => stage.keys.len() > 1 && stage.keys.pop().is_some(),
        _ => false,
    }
}
