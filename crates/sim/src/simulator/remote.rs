//! A service far away, with tables that can be read and written: what a sink or source of one has to
//! live with. Each call can fail, or be done and time out.
//!
//! A table takes staged rows under a name of the writer's choice, and makes those of an epoch visible
//! in one transaction, in which it also notes the epoch. Several processes may use it at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use millstream_core::connector::{ConnectorInfo, Whole};
use millstream_core::sink::{EpochMark, Held, Prepared, Sink, SinkContext, SinkWriter, Staged};
use millstream_core::source::{RawBatch, Read, ReadLimit, Source, Split, SplitReader};
use millstream_core::{Epoch, Error, ErrorKind, Offset, Result, ShardIndex, SplitId};

use super::world::{CallKind, State, World};
use crate::slt::answer::lines;

/// The connector, as SQL knows it.
pub const INFO: ConnectorInfo = ConnectorInfo {
    name: "remote",
    is_source: true,
    is_sink: true,
    is_upsert: false,
    whole: Whole::Never,
    needs_format: true,
    options: &[],
    metadata: &[],
};

/// A table of the service.
#[derive(Debug, Clone, Default)]
pub struct RemoteTable {
    /// Rows that can be seen.
    pub rows: Vec<String>,
    /// What must be in it at the end and is not there yet, and how often; `None`: it is not looked at
    /// before the end.
    pub missing: Option<BTreeMap<String, usize>>,
    staged: BTreeMap<String, StagedRows>,
    held: Option<EpochMark>,
    applied: BTreeSet<EpochMark>,
}

#[derive(Debug, Clone)]
struct StagedRows {
    run: EpochMark,
    rows: Vec<String>,
}

impl RemoteTable {
    /// A table in which `rows` must be at the end.
    pub fn expecting(rows: &[String]) -> Self {
        let mut missing = BTreeMap::new();
        for row in rows {
            *missing.entry(row.clone()).or_default() += 1;
        }
        Self {
            missing: Some(missing),
            ..Self::default()
        }
    }

    /// The transaction. An error that says what is wrong with it, if the engine is to blame.
    fn commit(&mut self, mark: EpochMark, names: &[String]) -> Result<(), String> {
        if self.held >= Some(mark) {
            return Ok(());
        }
        let mut rows = vec![];
        for name in names {
            match self.staged.remove(name) {
                Some(staged) => rows.extend(staged.rows),
                None => return Err(format!("{mark} names staged rows `{name}`, which are gone")),
            }
        }
        if !self.applied.insert(mark) {
            return Err(format!("{mark} is applied again"));
        }
        self.held = Some(mark);
        if let Some(missing) = &mut self.missing {
            for row in &rows {
                match missing.get_mut(row) {
                    Some(count) if *count > 0 => *count -= 1,
                    _ => {
                        return Err(format!(
                            "{mark} shows a row that is wrong or too many: {row}"
                        ));
                    }
                }
            }
        }
        self.rows.extend(rows);
        Ok(())
    }
}

fn run_of(context: &SinkContext) -> EpochMark {
    EpochMark {
        incarnation: context.incarnation,
        epoch: context.run,
    }
}

/// A table as a sink of one process.
pub struct RemoteSink {
    /// Where the service is.
    pub world: Arc<World>,
    /// Who calls.
    pub process: usize,
    /// Which table.
    pub table: String,
}

impl RemoteSink {
    fn call<T>(&self, name: &str, work: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let call = (CallKind::Remote, name, &*self.table);
        self.world.call(self.process, call, |state, _| work(state))
    }
}

fn table<'a>(state: &'a mut State, name: &str) -> &'a mut RemoteTable {
    state.remote.entry(name.to_owned()).or_default()
}

impl Sink for RemoteSink {
    fn writer(&self, context: &SinkContext, shard: ShardIndex) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(RemoteWriter {
            world: self.world.clone(),
            process: self.process,
            table: self.table.clone(),
            run: run_of(context),
            shard,
            rows: vec![],
        }))
    }

    fn commit(&self, context: &SinkContext, epoch: Epoch, staged: &[Staged]) -> Result<()> {
        let names: Result<Vec<String>> = staged
            .iter()
            .map(|staged| match staged.payload.as_str() {
                Some(name) => Ok(name.to_owned()),
                None => Err(Error::corrupt("a staged output without a name")),
            })
            .collect();
        let names = names?;
        let mark = EpochMark {
            incarnation: context.incarnation,
            epoch,
        };
        self.call("commit", |state| {
            let newest = table(state, &self.table).held;
            if newest.is_some_and(|newest| newest.incarnation > mark.incarnation) {
                let message = format!("`{}` holds a newer incarnation", self.table);
                return Err(Error::new(ErrorKind::Fenced, message));
            }
            let done = table(state, &self.table).commit(mark, &names);
            done.map_err(|what| state.violated(format!("`{}`: {what}", self.table)))
        })
    }

    fn committed(&self, context: &SinkContext) -> Result<Option<Epoch>> {
        let held = self.call("committed", |state| Ok(table(state, &self.table).held))?;
        let own = held.filter(|held| held.incarnation == context.incarnation);
        Ok(own.map(|held| held.epoch))
    }

    fn held(&self, _: &SinkContext) -> Result<Option<Held>> {
        let last = self.call("held", |state| Ok(table(state, &self.table).held))?;
        let place = format!("remote table `{}`", self.table);
        Ok(Some(Held { place, last }))
    }

    fn discard_before(&self, context: &SinkContext) -> Result<()> {
        let run = run_of(context);
        self.call("discard", |state| {
            let table = table(state, &self.table);
            table.staged.retain(|_, staged| staged.run >= run);
            Ok(())
        })
    }
}

struct RemoteWriter {
    world: Arc<World>,
    process: usize,
    table: String,
    run: EpochMark,
    shard: ShardIndex,
    rows: Vec<String>,
}

impl SinkWriter for RemoteWriter {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let rows = lines(std::slice::from_ref(rows), false);
        self.rows
            .extend(rows.map_err(|error| Error::bug(error.to_string()))?);
        Ok(())
    }

    fn prepare(&mut self, epoch: Epoch) -> Result<Option<Prepared>> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        let rows = std::mem::take(&mut self.rows);
        let (run, shard) = (self.run, self.shard);
        let name = format!("{}.{}-{epoch}-{shard}", run.incarnation, run.epoch);
        let staged = Staged {
            rows: rows.len() as u64,
            bytes: rows.iter().map(|row| row.len() as u64).sum(),
            payload: name.clone().into(),
        };
        let call = (CallKind::Remote, "stage", &*self.table);
        self.world.call(self.process, call, |state, _| {
            let table = table(state, &self.table);
            table.staged.insert(name, StagedRows { run, rows });
            Ok(())
        })?;
        let files = vec![];
        Ok(Some(Prepared { staged, files }))
    }

    fn buffered_bytes(&self) -> usize {
        self.rows.iter().map(String::capacity).sum()
    }
}

/// A table as a source of one process.
pub struct RemoteSource {
    /// Where the service is.
    pub world: Arc<World>,
    /// Who calls.
    pub process: usize,
    /// Which table, of those of the input.
    pub table: &'static str,
}

impl Source for RemoteSource {
    fn splits(&self) -> Result<Vec<Split>> {
        let call = (CallKind::Remote, "splits", self.table);
        self.world.call(self.process, call, |_, _| Ok(()))?;
        let partitions = 0..self.world.input.table(self.table).partitions.len();
        let split = |partition| Split {
            id: SplitId::new(format!("{}-{partition}", self.table)),
            metadata: BTreeMap::new(),
        };
        Ok(partitions.map(split).collect())
    }

    fn open(&self, split: &SplitId, from: Option<Offset>) -> Result<Box<dyn SplitReader>> {
        let number = split.as_str().rsplit('-').next();
        let partition = number.and_then(|number| number.parse().ok());
        let partition = partition.ok_or_else(|| Error::invalid(format!("no split `{split}`")))?;
        Ok(Box::new(RemoteReader {
            world: self.world.clone(),
            process: self.process,
            partition: (self.table, partition),
            next: usize::try_from(from.unwrap_or_default().0).expect("offsets fit in memory"),
        }))
    }

    fn is_bounded(&self) -> bool {
        true
    }
}

struct RemoteReader {
    world: Arc<World>,
    process: usize,
    partition: (&'static str, usize),
    next: usize,
}

impl SplitReader for RemoteReader {
    fn read(&mut self, limit: ReadLimit) -> Result<Read> {
        let (name, partition) = self.partition;
        let call = (CallKind::Source, "read", name);
        let (seen, is_ended) = self.world.call(self.process, call, |state, _| {
            let seen = state.intake.of(self.partition).count;
            Ok((seen, state.intake.is_ended))
        })?;
        let end = seen.min(self.next + limit.rows.max(1));
        if self.next >= end {
            return Ok(if is_ended { Read::End } else { Read::Pending });
        }
        let mut data = Vec::new();
        let mut batch = RawBatch::default();
        let records = &self.world.input.table(name).partitions[partition];
        for (index, record) in records.iter().enumerate().take(end).skip(self.next) {
            let place = |bytes: &Vec<u8>| u32::try_from(bytes.len()).expect("batches are small");
            let start = place(&data);
            data.extend_from_slice(record.text().as_bytes());
            batch.records.push(start..place(&data));
            batch.offsets.push(index as u64);
        }
        batch.data = Buffer::from_vec(data);
        self.next = end;
        Ok(Read::Records(batch))
    }

    fn offset(&self) -> Offset {
        Offset(self.next as u64)
    }
}
