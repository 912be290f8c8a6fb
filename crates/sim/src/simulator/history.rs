//! [`History`]: starts processes, says who goes on for how long, and judges how they end.
//!
//! ```text
//! faults strike: start, go on, stop in a call, take over, die ──> calm: all that are alive, or a new
//! one, come to their end within bounded steps ──> everything is compared
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use millstream_core::plan::Plan;
use millstream_core::{Error, ErrorKind};

use super::check;
use super::config::Config;
use super::connectors::SIM_CATALOG;
use super::fault::{FaultCounts, FaultKind};
use super::input::Input;
use super::process::Body;
use super::trace::Trace;
use super::world::{End, Process, World};
use crate::chance::Chance;

/// Processes that are alive at once, at most.
const ALIVE_MAX: usize = 3;
/// Processes that may be started once no more faults strike.
const CALM_STARTS_MAX: usize = 6;
/// Turns within which a history must be over.
const TURNS_MAX: usize = 20_000;

/// What a history came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What happened.
    pub trace: Trace,
    /// What is wrong, if anything is.
    pub violation: Option<String>,
    /// Faults by kind.
    pub faults: FaultCounts,
    /// Whether damage to the disk was found, and said, so that nothing came of it.
    pub has_said_damage: bool,
    /// Processes that were started.
    pub processes: u64,
    /// Those of them that were started beside one that was alive.
    pub takeovers: u64,
    /// How often a job was started again after an error.
    pub restarts: u64,
    /// Epochs that were committed.
    pub epochs: u64,
    /// Calls to the outside.
    pub calls: u64,
    /// Rows of results.
    pub rows: u64,
}

/// See the module.
struct History {
    world: Arc<World>,
    plan: Arc<Plan>,
    chance: Chance,
    threads: Vec<JoinHandle<()>>,
    is_finished: bool,
    told: Told,
}

/// What only the history knows of its outcome.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    takeovers: u64,
    has_said_damage: bool,
    rows: u64,
}

/// What the history of `config` comes to.
pub fn run(config: &Config, is_traced: bool) -> Outcome {
    let input = Input::random(&config.shape);
    let remote = check::remote_tables(config, &input);
    let world = World::new(config.clone(), input, is_traced);
    world.state().remote = remote.into_iter().collect::<BTreeMap<_, _>>();
    let world = Arc::new(world);
    let plan = match plan(config) {
        Ok(plan) => plan,
        Err(error) => {
            world.violate(format_args!("{error:#}"));
            return outcome(&world, Told::default());
        }
    };
    let mut history = History::new(world.clone(), plan);
    history.play();
    history.end_all();
    let mut told = history.told;
    if world.state().violation.is_none() && !told.has_said_damage {
        match check::check(&world) {
            Ok(found) => told.rows = found,
            Err(error) => {
                told.has_said_damage = is_said(&world.state().damaged, &error);
                if !told.has_said_damage {
                    world.violate(format_args!("{error:#}"));
                }
            }
        }
    }
    outcome(&world, told)
}

fn plan(config: &Config) -> Result<Arc<Plan>> {
    let none = BTreeMap::new();
    let text = config.pipeline.text();
    let script = millstream_sql::Script {
        file: "simulated.sql",
        text: &text,
        variables: &none,
        settings: &none,
    };
    let plan = millstream_sql::plan(&script, &SIM_CATALOG);
    let plan = plan.map_err(|error| anyhow::anyhow!("{error}"));
    plan.map(Arc::new).context("the pipeline is refused")
}

impl History {
    fn new(world: Arc<World>, plan: Arc<Plan>) -> Self {
        Self {
            chance: Chance::new(world.config.seed ^ 0x57e9),
            world,
            plan,
            threads: vec![],
            is_finished: false,
            told: Told::default(),
        }
    }

    fn is_over(&self) -> bool {
        self.told.has_said_damage || self.world.state().violation.is_some()
    }

    fn play(&mut self) {
        for _ in 0..TURNS_MAX {
            if self.is_over() {
                return;
            }
            if self.world.state().calls >= self.world.config.armed_calls {
                return self.calm_down();
            }
            self.surroundings();
            let alive = self.alive();
            let is_takeover = !alive.is_empty()
                && alive.len() < ALIVE_MAX
                && self.world.state().strikes(FaultKind::Takeover);
            let process = match alive.is_empty() || is_takeover {
                true => self.start(),
                false => *self.chance.pick(&alive),
            };
            let quantum = self.quantum();
            self.world.run(process, Some(quantum));
            self.judge();
        }
        self.world.violate("too many turns while faults strike");
    }

    /// Calls until a process has to stop in one.
    fn quantum(&mut self) -> u64 {
        let is_pausing = self.world.state().strikes(FaultKind::Pause);
        let most = if is_pausing { 6 } else { 80 };
        1 + self.chance.below(most) as u64
    }

    /// No more faults: whoever is alive comes to an end, and one of them or a new one finishes.
    fn calm_down(&mut self) {
        let mut state = self.world.state();
        state.is_armed = false;
        state.trace.line(format_args!("no more faults"));
        drop(state);
        let mut starts = 0;
        for _ in 0..TURNS_MAX {
            if self.is_over() {
                return;
            }
            let alive = self.alive();
            let process = match alive.is_empty() {
                true if self.is_finished => return,
                true if starts == CALM_STARTS_MAX => break,
                true => {
                    starts += 1;
                    self.start()
                }
                false => *self.chance.pick(&alive),
            };
            let quantum = 1 + self.chance.below(400) as u64;
            self.world.run(process, Some(quantum));
            self.judge();
        }
        self.world
            .violate("no process has finished, though no more faults strike");
    }

    /// The clock jumps, a bit changes.
    fn surroundings(&mut self) {
        let mut state = self.world.state();
        if state.strikes(FaultKind::ClockJump) {
            let ms = self.chance.between(-600_000, 600_000);
            self.world.env.jump(ms);
            state.trace.line(format_args!("the clock jumps by {ms} ms"));
        }
        if state.strikes(FaultKind::BitFlip) {
            state.flip_bit();
        }
    }

    fn alive(&self) -> Vec<usize> {
        let state = self.world.state();
        let processes = state.processes.iter().enumerate();
        let alive = processes.filter(|(_, process)| process.end.is_none());
        alive.map(|(number, _)| number).collect()
    }

    fn start(&mut self) -> usize {
        let mut state = self.world.state();
        let number = state.processes.len();
        let mut is_contested = false;
        for process in &mut state.processes {
            if process.end.is_none() {
                process.is_contested = true;
                is_contested = true;
            }
        }
        self.told.takeovers += u64::from(is_contested);
        state.processes.push(Process {
            is_contested,
            ..Process::default()
        });
        state.trace.line(format_args!("p{number} is started"));
        drop(state);
        let body = Body {
            world: self.world.clone(),
            number,
            plan: self.plan.clone(),
            chance: Chance::new(self.chance.seed()),
        };
        let thread = std::thread::Builder::new().name(format!("process-{number}"));
        let thread = thread.spawn(move || body.run());
        self.threads.push(thread.expect("a few threads can be had"));
        number
    }

    /// Looks at processes that have ended.
    fn judge(&mut self) {
        let mut state = self.world.state();
        let ended: Vec<(usize, End, bool)> = state
            .processes
            .iter_mut()
            .enumerate()
            .filter(|(_, process)| !process.is_judged)
            .filter_map(|(number, process)| {
                let end = process.end.clone()?;
                process.is_judged = true;
                Some((number, end, process.is_contested))
            })
            .collect();
        let damaged = state.damaged.clone();
        drop(state);
        for (number, end, is_contested) in ended {
            match end {
                End::Finished => self.is_finished = true,
                End::Killed | End::Panicked => {}
                End::GaveUp(error) => match error.kind() {
                    ErrorKind::Unavailable | ErrorKind::StorageFull => {}
                    ErrorKind::Fenced if is_contested => {}
                    _ if damaged
                        .iter()
                        .any(|path| is_named(path, &error.to_string())) =>
                    {
                        self.told.has_said_damage = true;
                    }
                    kind => self.world.violate(format_args!(
                        "p{number} gave up: {kind}: {error}; damaged are {damaged:?}"
                    )),
                },
            }
        }
    }

    /// Lets every thread come to its end.
    fn end_all(&mut self) {
        let count = self.world.state().processes.len();
        for process in 0..count {
            self.world.state().processes[process].is_dead = true;
            if self.world.state().processes[process].end.is_none() {
                self.world.run(process, None);
            }
        }
        for thread in self.threads.drain(..) {
            thread
                .join()
                .expect("a process takes its panics for an end");
        }
    }
}

fn outcome(world: &World, told: Told) -> Outcome {
    let state = world.state();
    Outcome {
        trace: state.trace.clone(),
        violation: state.violation.clone(),
        faults: state.faults.clone(),
        has_said_damage: told.has_said_damage,
        processes: state.processes.len() as u64,
        takeovers: told.takeovers,
        restarts: state.restarts,
        epochs: state.epochs,
        calls: state.calls,
        rows: told.rows,
    }
}

/// Whether an error says that one of the `damaged` files is.
fn is_said(damaged: &[String], error: &anyhow::Error) -> bool {
    // A difference between rows is no way to say so.
    let error = error.downcast_ref::<Error>().map(Error::to_string);
    error.is_some_and(|error| damaged.iter().any(|path| is_named(path, &error)))
}

/// Whether an error is about what is at `path`, or in its folder.
fn is_named(path: &str, error: &str) -> bool {
    // Tables of the lake name their files from the warehouse on.
    let mut part = path.strip_prefix("lake/").unwrap_or(path);
    loop {
        if error.contains(part) {
            return true;
        }
        match part.rsplit_once('/') {
            // The first folder alone says too little.
            Some((folder, _)) if folder.contains('/') => part = folder,
            _ => return false,
        }
    }
}
