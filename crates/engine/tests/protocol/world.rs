//! What is durable and what each run holds in memory, and what each step of the protocol does to both.

use millstream_core::sink::EpochMark;
use millstream_core::{Epoch, Incarnation, SinkId};
use millstream_engine::protocol::{EpochProtocol, Event, Loaded, Step};

/// Processes that may hold the pipeline at the same time.
pub const OWNERS: usize = 2;
const SINKS: usize = 2;
const ROWS: usize = 3;
/// Manifests that are kept.
const KEPT: u64 = 2;

/// What a search may do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Crashes and unclear answers.
    pub faults: u8,
    /// Runs that are started.
    pub starts: u8,
}

/// A rule that is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Runs start without claiming.
    NoClaim,
    /// A manifest replaces another of its number.
    Overwrite,
    /// A start does not commit again what is staged.
    NoCommitOnStart,
    /// A sink repeats an epoch that it holds.
    SinkForgets,
    /// A sink notes an epoch before it takes the rows, and may die in between.
    SinkNotesFirst,
    /// Sinks commit before the manifest is there.
    CommitFirst,
    /// The manifest is written before outputs are staged.
    DecideFirst,
    /// A start removes what any run has staged.
    DiscardAll,
    /// What is staged is removed before the claim.
    DiscardFirst,
    /// The manifest's offset is that of the epoch before.
    OldOffset,
    /// A run goes on after it finds its epoch taken.
    Undaunted,
    /// A manifest may take the place of one that was collected.
    OldNumber,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::NoClaim,
        Self::Overwrite,
        Self::NoCommitOnStart,
        Self::SinkForgets,
        Self::SinkNotesFirst,
        Self::CommitFirst,
        Self::DecideFirst,
        Self::DiscardAll,
        Self::DiscardFirst,
        Self::OldOffset,
        Self::Undaunted,
        Self::OldNumber,
    ];
}

/// Rows that a run has staged for a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Staged {
    /// The run: the epoch that it has claimed.
    run: u64,
    sink: usize,
    /// From this row to before that.
    rows: (usize, usize),
}

/// A decided epoch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Manifest {
    epoch: u64,
    /// Rows read until its end.
    offset: usize,
    outputs: Vec<Staged>,
}

/// What people see of a sink.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Table {
    /// The last epoch that it holds.
    held: u64,
    /// How often it shows each row.
    shown: [u8; ROWS],
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Run {
    protocol: EpochProtocol,
    /// The epoch that it has claimed.
    name: u64,
    /// The manifest that it goes by.
    manifest: Manifest,
    /// The one that it will write next.
    next: Manifest,
    /// Rows read.
    read: usize,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// By epoch.
    manifests: Vec<Manifest>,
    tables: [Table; SINKS],
    /// What lies staged, sorted.
    staged: Vec<Staged>,
    /// By owner.
    pub runs: [Option<Run>; OWNERS],
    /// Faults that are left.
    pub faults: u8,
    /// Starts that are left.
    pub starts: u8,
}

/// What can happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// A process starts.
    Start(usize),
    /// It reads a row.
    Row(usize),
    /// It carries the step out.
    Step(usize),
    /// It carries the step out, and dies before it knows.
    Unclear(usize),
    /// It carries half of the step out, and dies.
    Half(usize),
    /// It dies.
    Crash(usize),
}

fn takes(sink: usize, row: usize) -> bool {
    sink == 0 || row % 2 == 1
}

const NOTHING: Manifest = Manifest {
    epoch: 0,
    offset: 0,
    outputs: vec![],
};

impl World {
    /// Nothing has happened.
    pub fn new(limits: Limits) -> Self {
        Self {
            manifests: vec![],
            tables: [Table::default(), Table::default()],
            staged: vec![],
            runs: [const { None }; OWNERS],
            faults: limits.faults,
            starts: limits.starts,
        }
    }

    /// All processes are gone, and no more faults come.
    pub fn without_runs(&self) -> Self {
        Self {
            runs: [const { None }; OWNERS],
            faults: 0,
            starts: 0,
            ..self.clone()
        }
    }

    /// What can happen.
    pub fn moves(&self) -> Vec<Move> {
        let mut moves = vec![];
        for (owner, run) in self.runs.iter().enumerate() {
            let Some(run) = run else {
                if self.starts > 0 {
                    moves.push(Move::Start(owner));
                }
                continue;
            };
            let step = run.protocol.step();
            if step == Step::Read && run.read < ROWS {
                moves.push(Move::Row(owner));
            }
            if step != Step::Read || run.read > run.manifest.offset {
                moves.push(Move::Step(owner));
            }
            if self.faults > 0 {
                moves.push(Move::Crash(owner));
                match step {
                    Step::Commit(_) => moves.push(Move::Unclear(owner)),
                    Step::Claim(_) | Step::Decide(_) => {
                        moves.push(Move::Unclear(owner));
                        moves.push(Move::Half(owner));
                    }
                    Step::Stage(_) | Step::Discard | Step::Collect => {
                        moves.push(Move::Half(owner));
                    }
                    _ => {}
                }
            }
        }
        moves
    }

    /// Whether nothing is left to do for a run.
    pub fn is_done(&self, owner: usize) -> bool {
        self.runs[owner]
            .as_ref()
            .is_none_or(|run| run.protocol.step() == Step::Read && run.manifest.offset == ROWS)
    }

    /// Makes a move. What went wrong, if something did.
    pub fn make(&mut self, what: Move, mutant: Option<Mutant>) -> Result<(), String> {
        match what {
            Move::Start(owner) => {
                self.starts = self.starts.saturating_sub(1);
                self.runs[owner] = Some(Run {
                    protocol: EpochProtocol::new(),
                    name: 0,
                    manifest: NOTHING,
                    next: NOTHING,
                    read: 0,
                });
            }
            Move::Row(owner) => self.runs[owner].as_mut().expect("it runs").read += 1,
            Move::Step(owner) => {
                let run = self.runs[owner].take().expect("it runs");
                self.runs[owner] = self.step(run, mutant)?;
            }
            Move::Unclear(owner) => {
                self.faults -= 1;
                let run = self.runs[owner].take().expect("it runs");
                let _dead = self.step(run, mutant)?;
            }
            Move::Half(owner) => {
                self.faults -= 1;
                let run = self.runs[owner].take().expect("it runs");
                self.half(&run, mutant);
            }
            Move::Crash(owner) => {
                self.faults -= 1;
                let run = self.runs[owner].take().expect("it runs");
                if let (Step::Commit(sink), Some(Mutant::SinkNotesFirst)) =
                    (run.protocol.step(), mutant)
                {
                    let table = &mut self.tables[sink.index()];
                    table.held = table.held.max(run.manifest.epoch);
                }
            }
        }
        self.check()
    }

    fn step(&mut self, mut run: Run, mutant: Option<Mutant>) -> Result<Option<Run>, String> {
        let event = match run.protocol.step() {
            Step::Load => self.load(&mut run, mutant),
            Step::Commit(sink) => {
                self.commit(&run.manifest, sink.index(), mutant)?;
                Event::Done
            }
            Step::Restore => {
                if mutant == Some(Mutant::DiscardFirst) {
                    self.staged.clear();
                }
                run.read = run.manifest.offset;
                Event::Done
            }
            Step::Claim(epoch) => self.claim(&mut run, epoch, mutant),
            Step::Discard => {
                if mutant != Some(Mutant::DiscardFirst) {
                    self.discard(&run, mutant);
                }
                Event::Done
            }
            Step::Read | Step::Align(_) => Event::Done,
            Step::Stage(epoch) => self.stage(&mut run, epoch, mutant)?,
            Step::Decide(_) => self.decide(&mut run, mutant),
            Step::Collect => {
                let oldest = run.manifest.epoch.saturating_sub(KEPT - 1);
                self.manifests.retain(|manifest| manifest.epoch >= oldest);
                Event::Done
            }
            Step::Stop => return Ok(None),
        };
        run.protocol.on(event).map_err(|error| error.to_string())?;
        if run.protocol.step() == Step::Stop && mutant == Some(Mutant::Undaunted) {
            // It takes the epoch that is there for its own.
            let epoch = run.next.epoch;
            run.manifest = run.next.clone();
            run.protocol = restarted(epoch);
        }
        Ok(Some(run))
    }

    fn load(&self, run: &mut Run, mutant: Option<Mutant>) -> Event {
        run.manifest = self.manifests.last().cloned().unwrap_or(NOTHING);
        let mut outputs = sinks(&run.manifest);
        if mutant == Some(Mutant::NoCommitOnStart) {
            outputs.clear();
        }
        Event::Loaded(Loaded {
            mark: EpochMark {
                incarnation: Incarnation(0),
                epoch: Epoch(run.manifest.epoch),
            },
            outputs,
            rewind: None,
        })
    }

    /// A sink takes rows and notes the epoch in one step.
    fn commit(
        &mut self,
        manifest: &Manifest,
        sink: usize,
        mutant: Option<Mutant>,
    ) -> Result<(), String> {
        let table = &mut self.tables[sink];
        if table.held >= manifest.epoch && mutant != Some(Mutant::SinkForgets) {
            return Ok(());
        }
        let output = manifest.outputs.iter().find(|staged| staged.sink == sink);
        let output = output.expect("it has output");
        if mutant != Some(Mutant::SinkForgets) {
            let at = self.staged.iter().position(|staged| staged == output);
            let Some(at) = at else {
                return Err(format!("{output:?} of epoch {} is gone", manifest.epoch));
            };
            self.staged.remove(at);
        }
        for row in (output.rows.0..output.rows.1).filter(|row| takes(sink, *row)) {
            table.shown[row] += 1;
        }
        table.held = manifest.epoch;
        Ok(())
    }

    fn claim(&mut self, run: &mut Run, epoch: Epoch, mutant: Option<Mutant>) -> Event {
        run.name = epoch.0;
        let claim = claim(&run.manifest, epoch.0);
        if mutant != Some(Mutant::NoClaim) && !self.put(&claim, mutant) {
            return Event::Taken;
        }
        run.manifest = claim;
        Event::Done
    }

    fn discard(&mut self, run: &Run, mutant: Option<Mutant>) {
        let is_all = mutant == Some(Mutant::DiscardAll);
        self.staged
            .retain(|staged| staged.run >= run.name && !is_all);
    }

    fn stage(
        &mut self,
        run: &mut Run,
        epoch: Epoch,
        mutant: Option<Mutant>,
    ) -> Result<Event, String> {
        let outputs = outputs(run);
        run.next = Manifest {
            epoch: epoch.0,
            offset: match mutant {
                Some(Mutant::OldOffset) => run.manifest.offset,
                _ => run.read,
            },
            outputs: outputs.clone(),
        };
        if mutant == Some(Mutant::DecideFirst) {
            let _taken = self.put(&run.next, mutant);
            return Ok(Event::Staged(sinks(&run.next)));
        }
        outputs.into_iter().for_each(|output| self.add(output));
        if mutant == Some(Mutant::CommitFirst) {
            for sink in sinks(&run.next) {
                self.commit(&run.next, sink.index(), mutant)?;
            }
        }
        Ok(Event::Staged(sinks(&run.next)))
    }

    fn decide(&mut self, run: &mut Run, mutant: Option<Mutant>) -> Event {
        if mutant == Some(Mutant::DecideFirst) {
            for output in run.next.outputs.clone() {
                self.add(output);
            }
        } else if !self.put(&run.next, mutant) {
            return Event::Taken;
        }
        run.manifest = run.next.clone();
        Event::Done
    }

    /// Puts a manifest if there is none of its number, or a newer one in its place.
    fn put(&mut self, manifest: &Manifest, mutant: Option<Mutant>) -> bool {
        let known = self
            .manifests
            .iter()
            .position(|m| m.epoch == manifest.epoch);
        match known {
            Some(at) if mutant == Some(Mutant::Overwrite) => {
                self.manifests[at] = manifest.clone();
                true
            }
            Some(_) => false,
            // It is put, and taken away again when a newer one is found beside it.
            None if self.newest() > manifest.epoch && mutant != Some(Mutant::OldNumber) => false,
            None => {
                self.manifests.push(manifest.clone());
                self.manifests.sort_by_key(|manifest| manifest.epoch);
                true
            }
        }
    }

    fn newest(&self) -> u64 {
        self.manifests.last().map_or(0, |manifest| manifest.epoch)
    }

    fn add(&mut self, staged: Staged) {
        if !self.staged.contains(&staged) {
            self.staged.push(staged);
            self.staged.sort_unstable();
        }
    }

    /// The first half of a step.
    fn half(&mut self, run: &Run, mutant: Option<Mutant>) {
        match run.protocol.step() {
            Step::Stage(_) => {
                if let Some(first) = outputs(run).first() {
                    self.add(*first);
                }
            }
            Step::Discard if mutant != Some(Mutant::DiscardFirst) => {
                let garbage = self.staged.iter().position(|staged| staged.run < run.name);
                if let Some(at) = garbage {
                    self.staged.remove(at);
                }
            }
            // The manifest is put, and nobody looks whether there is a newer one.
            Step::Decide(_) => _ = self.put(&run.next, Some(Mutant::OldNumber)),
            Step::Claim(epoch) => {
                let claim = claim(&run.manifest, epoch.0);
                let _taken = self.put(&claim, Some(Mutant::OldNumber));
            }
            // One manifest is one deletion.
            _ => {}
        }
    }

    /// What must hold in every state.
    fn check(&self) -> Result<(), String> {
        let newest = self.manifests.last().map_or(0, |manifest| manifest.offset);
        for (sink, table) in self.tables.iter().enumerate() {
            for (row, times) in table.shown.iter().enumerate() {
                if *times > u8::from(takes(sink, row)) {
                    return Err(format!("sink {sink} shows row {row} {times} times"));
                }
                if *times > 0 && row >= newest {
                    return Err(format!("sink {sink} shows row {row}, which nothing covers"));
                }
            }
            // Whole epochs: what it shows is what was read until the one that it holds.
            let shown = table.shown.iter().rposition(|times| *times > 0);
            let missing =
                (0..shown.unwrap_or(0)).find(|row| takes(sink, *row) && table.shown[*row] == 0);
            if let Some(row) = missing {
                return Err(format!(
                    "sink {sink} misses row {row}, and shows later ones"
                ));
            }
        }
        Ok(())
    }

    /// What must hold once everything was read.
    pub fn check_end(&self) -> Result<(), String> {
        for (sink, table) in self.tables.iter().enumerate() {
            for (row, times) in table.shown.iter().enumerate() {
                if *times != u8::from(takes(sink, row)) {
                    return Err(format!(
                        "in the end sink {sink} shows row {row} {times} times"
                    ));
                }
            }
        }
        match self.manifests.last() {
            Some(manifest) if manifest.offset == ROWS => Ok(()),
            _ => Err("the input is not read to its end".to_owned()),
        }
    }
}

/// An epoch without rows after `manifest`.
fn claim(manifest: &Manifest, epoch: u64) -> Manifest {
    Manifest {
        epoch,
        offset: manifest.offset,
        outputs: vec![],
    }
}

/// The sinks of its outputs.
fn sinks(manifest: &Manifest) -> Vec<SinkId> {
    let sinks = manifest.outputs.iter().map(|staged| staged.sink);
    sinks
        .map(|sink| SinkId(u32::try_from(sink).expect("few")))
        .collect()
}

/// What the rows that a run has read come to.
fn outputs(run: &Run) -> Vec<Staged> {
    let rows = (run.manifest.offset, run.read);
    let sinks = (0..SINKS).filter(|sink| (rows.0..rows.1).any(|row| takes(*sink, row)));
    let run = run.name;
    sinks.map(|sink| Staged { run, sink, rows }).collect()
}

/// A run that reads on after `epoch`.
fn restarted(epoch: u64) -> EpochProtocol {
    let mut protocol = EpochProtocol::new();
    let loaded = Loaded {
        mark: EpochMark {
            incarnation: Incarnation(0),
            epoch: Epoch(epoch - 1),
        },
        outputs: vec![],
        rewind: None,
    };
    for event in [Event::Loaded(loaded), Event::Done, Event::Done, Event::Done] {
        protocol.on(event).expect("a start");
    }
    protocol
}
