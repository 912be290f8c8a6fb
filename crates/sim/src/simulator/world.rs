//! [`World`]: everything outside the processes, and who of them may go on.
//!
//! A process is a thread. Every call that it makes to storage, to a remote table or to a source comes
//! through [`World::call`], which may let it fail, end it, or stop it there and let another one go on.
//!
//! INVARIANT: of all threads of a history exactly one runs, the one that holds the baton; it gives it
//! away only inside a call, or at its end. So all that happens follows from the seed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use millstream_core::{Error, ErrorKind, Result};

use super::config::Config;
use super::disk::Disk;
use super::fault::{FaultCounts, FaultKind, Rates};
use super::input::Input;
use super::intake::Intake;
use super::remote::RemoteTable;
use super::trace::Trace;
use crate::chance::Chance;
use crate::env::SimEnv;

/// Longest delay of a call, in ms.
const DELAY_MS_MAX: usize = 20_000;
/// For how many calls a full disk stays full, at most.
const FULL_CALLS_MAX: usize = 60;

/// Who may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Baton {
    /// The thread that decides who goes on.
    History,
    /// A process.
    Process(usize),
}

/// How a process ended.
#[derive(Debug, Clone)]
pub enum End {
    /// It has read everything and every window has fired.
    Finished,
    /// It was killed, or its machine has ended.
    Killed,
    /// A shard panicked, as it was told to.
    Panicked,
    /// It gave up.
    GaveUp(Error),
}

/// A process, as the world knows it.
#[derive(Debug, Default)]
pub struct Process {
    /// All its calls fail from now on.
    pub is_dead: bool,
    /// Calls until it stops in one; `None`: it goes on for as long as it likes.
    pub quantum: Option<u64>,
    /// How it ended.
    pub end: Option<End>,
    /// Whether another was started while it was alive.
    pub is_contested: bool,
    /// Whether somebody has looked at how it ended.
    pub is_judged: bool,
}

/// What kind of call it is: which faults it can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// Reads files.
    Read,
    /// Changes a file, at once or not at all.
    Change,
    /// Makes a file shorter or goes away: a full disk does not mind.
    Free,
    /// Makes appended bytes durable.
    Sync,
    /// Appends.
    Append,
    /// Asks or changes a remote table.
    Remote,
    /// A shard reads from a source.
    Source,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pass,
    Fail(FaultKind),
    /// Done, and fails.
    Lost(FaultKind),
    /// The process, or its machine, ends: before the effect or after it.
    End {
        is_power: bool,
        is_done: bool,
    },
    Full,
    Lie,
    Panic,
}

/// Everything outside the processes.
#[derive(Debug)]
pub struct State {
    /// All files.
    pub disk: Disk,
    /// Tables of the service far away.
    pub remote: BTreeMap<String, RemoteTable>,
    /// What has been read into topics, or can be read from the service.
    pub intake: Intake,
    /// The processes so far.
    pub processes: Vec<Process>,
    /// What happened.
    pub trace: Trace,
    /// Faults so far.
    pub faults: FaultCounts,
    /// Whether faults strike.
    pub is_armed: bool,
    /// What is wrong.
    pub violation: Option<String>,
    /// Files whose promise the disk has broken.
    pub damaged: Vec<String>,
    /// Calls so far.
    pub calls: u64,
    /// Epochs so far, and starts of jobs after an error.
    pub epochs: u64,
    /// See [`State::epochs`].
    pub restarts: u64,
    full_until: u64,
    rates: Rates,
    is_shared: bool,
    fault_chance: Chance,
    baton: Baton,
}

/// See the module. Shared by all threads of a history.
#[derive(Debug)]
pub struct World {
    /// What the seed has picked.
    pub config: Config,
    /// What is read.
    pub input: Input,
    /// Clock and chance of all processes.
    pub env: Arc<SimEnv>,
    state: Mutex<State>,
    changed: Condvar,
}

/// A panic that a fault asks for.
pub struct AskedFor;

impl World {
    /// A world in which nothing has happened.
    pub fn new(config: Config, input: Input, is_traced: bool) -> Self {
        let state = State {
            disk: Disk::default(),
            remote: BTreeMap::new(),
            intake: Intake::new(&input, &config.pipeline),
            processes: vec![],
            trace: Trace::new(is_traced),
            faults: FaultCounts::default(),
            is_armed: true,
            violation: None,
            damaged: vec![],
            calls: 0,
            epochs: 0,
            restarts: 0,
            full_until: 0,
            rates: config.rates.clone(),
            is_shared: config.pipeline.is_remote,
            fault_chance: Chance::new(config.seed ^ 0xfa17),
            baton: Baton::History,
        };
        Self {
            env: Arc::new(SimEnv::new(config.seed)),
            state: Mutex::new(state),
            changed: Condvar::new(),
            config,
            input,
        }
    }

    /// The state. Only for whoever holds the baton.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while locked")
    }

    /// Notes what is wrong. From now on every call of every process fails.
    pub fn violate(&self, what: impl fmt::Display) {
        self.state().violate(what);
    }

    /// Whether a process has to end.
    pub fn is_over(&self, process: usize) -> bool {
        let state = self.state();
        state.processes[process].is_dead || state.violation.is_some()
    }

    /// A call of `process` to the outside: `work` is its effect.
    pub fn call<T>(
        &self,
        process: usize,
        (kind, name, path): (CallKind, &str, &str),
        work: impl FnOnce(&mut State, Effect) -> Result<T>,
    ) -> Result<T> {
        let mut state = self.entered(process, (name, path))?;
        let fate = state.fate(kind, path, &self.env);
        let pass = Effect {
            is_lie: fate == Fate::Lie,
            part: None,
        };
        let outcome = match fate {
            Fate::Pass | Fate::Lie => work(&mut state, pass),
            Fate::Fail(FaultKind::Torn) => {
                let part = Some(state.fault_chance.below(1_000));
                work(&mut state, Effect { part, ..pass }).and_then(|_| Err(failed(fate)))
            }
            Fate::Full if kind == CallKind::Append => {
                let part = Some(state.fault_chance.below(1_000));
                work(&mut state, Effect { part, ..pass }).and_then(|_| Err(failed(fate)))
            }
            Fate::Fail(_) | Fate::Full => Err(failed(fate)),
            Fate::Lost(_) => work(&mut state, pass).and_then(|_| Err(failed(fate))),
            Fate::End { is_power, is_done } => {
                if is_done {
                    let _nobody_is_told = work(&mut state, pass);
                }
                state.end(process, is_power);
                Err(ended())
            }
            Fate::Panic => {
                state
                    .trace
                    .line(format_args!("p{process} {name} {path}: panics"));
                drop(state);
                std::panic::resume_unwind(Box::new(AskedFor));
            }
        };
        let is_quiet = fate == Fate::Pass && outcome.is_ok();
        let told: &dyn fmt::Display = match &outcome {
            Ok(_) => &"ok",
            Err(error) => error,
        };
        match is_quiet {
            true => state.trace.line(format_args!("p{process} {name} {path}")),
            false => state
                .trace
                .line(format_args!("p{process} {name} {path}: {fate:?}: {told}")),
        }
        outcome
    }

    /// Waits for the baton if the process has to stop here.
    fn entered(&self, process: usize, (name, path): (&str, &str)) -> Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        debug_assert_eq!(state.baton, Baton::Process(process));
        if state.processes[process].is_dead || state.violation.is_some() {
            return Err(ended());
        }
        state.calls += 1;
        if let Some(left) = &mut state.processes[process].quantum {
            if *left == 0 {
                state
                    .trace
                    .line(format_args!("p{process} stops in {name} {path}"));
                state = self.hand_over(state, process);
                if state.processes[process].is_dead || state.violation.is_some() {
                    return Err(ended());
                }
            } else {
                *left -= 1;
            }
        }
        Ok(state)
    }

    fn hand_over<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        process: usize,
    ) -> MutexGuard<'a, State> {
        state.baton = Baton::History;
        self.changed.notify_all();
        self.wait(state, Baton::Process(process))
    }

    fn wait<'a>(&'a self, state: MutexGuard<'a, State>, own: Baton) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_while(state, |state| state.baton != own);
        waited.expect("no panic while locked")
    }

    /// Lets `process` go on, for `quantum` calls or to its end, and waits until it stops.
    pub fn run(&self, process: usize, quantum: Option<u64>) {
        let mut state = self.state();
        state.processes[process].quantum = quantum;
        state.baton = Baton::Process(process);
        self.changed.notify_all();
        drop(self.wait(state, Baton::History));
    }

    /// A process's thread begins: waits until it may run.
    pub fn begin(&self, process: usize) {
        drop(self.wait(self.state(), Baton::Process(process)));
    }

    /// A process's thread has ended.
    pub fn finish(&self, process: usize, end: End) {
        let mut state = self.state();
        state
            .trace
            .line(format_args!("p{process} has ended: {end}"));
        state.processes[process].end = Some(end);
        state.baton = Baton::History;
        self.changed.notify_all();
    }
}

/// How a call takes effect.
#[derive(Debug, Clone, Copy)]
pub struct Effect {
    /// A sync that only says that it is done.
    pub is_lie: bool,
    /// So many thousandths of an append.
    pub part: Option<usize>,
}

impl State {
    fn violate(&mut self, what: impl fmt::Display) {
        self.trace.line(format_args!("VIOLATION: {what}"));
        self.violation.get_or_insert_with(|| what.to_string());
    }

    /// See [`World::violate`], for calls.
    pub fn violated(&mut self, what: String) -> Error {
        self.violate(&what);
        Error::bug(what)
    }

    /// A process dies; with it the machine, if `is_power`.
    pub fn end(&mut self, process: usize, is_power: bool) {
        self.processes[process].is_dead = true;
        if is_power {
            // On one machine what earlier processes have not synced is lost as well.
            let is_shared = self.is_shared;
            let is_own = |writer| !is_shared || writer == process;
            let broken = self.disk.lose_power(is_own, &mut self.fault_chance);
            for path in &broken {
                self.trace
                    .line(format_args!("{path} has lost what was synced"));
            }
            self.damaged.extend(broken);
        }
    }

    /// Whether a fault of `kind` strikes; it counts.
    pub fn strikes(&mut self, kind: FaultKind) -> bool {
        let rate = self.rates.of(kind) as usize;
        let is_struck = self.is_armed && rate > 0 && self.fault_chance.below(10_000) < rate;
        if is_struck {
            self.faults.add(kind);
        }
        is_struck
    }

    /// Changes a bit of some file.
    pub fn flip_bit(&mut self) {
        if let Some((path, byte)) = self.disk.flip_bit(&mut self.fault_chance) {
            self.trace
                .line(format_args!("a bit of {path} changes at {byte}"));
            self.damaged.push(path);
        }
    }

    fn fate(&mut self, kind: CallKind, path: &str, env: &SimEnv) -> Fate {
        if !self.is_armed {
            return Fate::Pass;
        }
        if self.strikes(FaultKind::Delay) {
            env.advance(1 + self.fault_chance.below(DELAY_MS_MAX) as u64);
        }
        for (fault, is_power) in [(FaultKind::Kill, false), (FaultKind::Power, true)] {
            if self.strikes(fault) {
                let is_done = self.fault_chance.one_in(2);
                return Fate::End { is_power, is_done };
            }
        }
        match kind {
            CallKind::Read => self.first(&[FaultKind::Error]),
            CallKind::Source if self.strikes(FaultKind::ShardPanic) => Fate::Panic,
            CallKind::Source => self.first(&[FaultKind::ShardError]),
            CallKind::Remote => self.first(&[FaultKind::RemoteError, FaultKind::RemoteTimeout]),
            CallKind::Free => self.first(&[FaultKind::Error, FaultKind::LostReply]),
            CallKind::Sync if can_be_lied_about(path) && self.strikes(FaultKind::LyingSync) => {
                Fate::Lie
            }
            CallKind::Sync => self.first(&[FaultKind::Error, FaultKind::LostReply]),
            CallKind::Change | CallKind::Append if self.is_full() => Fate::Full,
            CallKind::Change => self.first(&[FaultKind::Error, FaultKind::LostReply]),
            CallKind::Append => {
                self.first(&[FaultKind::Error, FaultKind::LostReply, FaultKind::Torn])
            }
        }
    }

    /// The first of `kinds` that strikes.
    fn first(&mut self, kinds: &[FaultKind]) -> Fate {
        match kinds.iter().find(|kind| self.strikes(**kind)) {
            Some(kind @ (FaultKind::LostReply | FaultKind::RemoteTimeout)) => Fate::Lost(*kind),
            Some(kind) => Fate::Fail(*kind),
            None => Fate::Pass,
        }
    }

    fn is_full(&mut self) -> bool {
        if self.calls >= self.full_until && self.strikes(FaultKind::DiskFull) {
            self.full_until = self.calls + 1 + self.fault_chance.below(FULL_CALLS_MAX) as u64;
        }
        self.calls < self.full_until
    }
}

/// What a manifest or a version names with its checksum. (Of a topic's last appends nobody but the disk
/// knows that they were there.)
fn can_be_lied_about(path: &str) -> bool {
    path.contains("/parts/") || path.starts_with("staging/")
}

fn ended() -> Error {
    Error::unavailable("the process has ended")
}

fn failed(fate: Fate) -> Error {
    match fate {
        Fate::Full => Error::new(ErrorKind::StorageFull, "simulated: no space left"),
        Fate::Fail(kind) | Fate::Lost(kind) => Error::unavailable(format!("simulated: {kind}")),
        other => Error::bug(format!("{other:?} is no failure")),
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("finished"),
            Self::Killed => f.write_str("killed"),
            Self::Panicked => f.write_str("a shard panicked"),
            Self::GaveUp(error) => write!(f, "{}: {error}", error.kind()),
        }
    }
}
