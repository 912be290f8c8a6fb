//! Depth first through all worlds, each once.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::world::{Limits, Move, Mutant, OWNERS, World};

/// Moves within which a run without faults has to come to its end.
const MOVES_MAX: usize = 300;

/// What a search came to.
pub enum Found {
    /// Every world is as it should be.
    Nothing {
        /// How many there are while faults strike.
        faulty: usize,
        /// How many more there are on the way from those to the end.
        healing: usize,
    },
    /// One is not.
    Violation {
        /// The moves that lead to it.
        path: Vec<String>,
        /// What is wrong.
        what: String,
    },
}

/// Worlds that were looked at: as hashes, which take less room.
#[derive(Default)]
struct Seen(HashSet<u64>);

impl Seen {
    /// Whether it is new.
    fn insert(&mut self, world: &World) -> bool {
        let mut hasher = DefaultHasher::new();
        world.hash(&mut hasher);
        self.0.insert(hasher.finish())
    }
}

/// See the module.
pub fn search(limits: Limits, mutant: Option<Mutant>) -> Found {
    let mut seen = Seen::default();
    let mut healed = Seen::default();
    let mut path: Vec<Move> = vec![];
    let mut open = vec![(0, None, World::new(limits))];
    while let Some((depth, last, mut world)) = open.pop() {
        path.truncate(depth);
        let mut outcome = Ok(());
        if let Some(last) = last {
            path.push(last);
            outcome = world.make(last, mutant);
        }
        if outcome.is_ok() && !seen.insert(&world) {
            continue;
        }
        let outcome = outcome.and_then(|()| heal(world.without_runs(), &mut healed, mutant));
        if let Err(what) = outcome.and_then(|()| heal(world.clone(), &mut healed, mutant)) {
            let path = path.iter().map(|step| format!("{step:?}")).collect();
            return Found::Violation { path, what };
        }
        for next in world.moves() {
            open.push((path.len(), Some(next), world.clone()));
        }
    }
    Found::Nothing {
        faulty: seen.0.len(),
        healing: healed.0.len(),
    }
}

/// No more faults: the runs that there are take turns, or a new one starts. All of it must end well.
fn heal(mut world: World, healed: &mut Seen, mutant: Option<Mutant>) -> Result<(), String> {
    world.faults = 0;
    world.starts = 0;
    for turn in 0..MOVES_MAX {
        if !healed.insert(&world) {
            return Ok(());
        }
        if world.runs.iter().all(Option::is_none) {
            world.make(Move::Start(0), mutant)?;
        }
        if (0..OWNERS).all(|owner| world.is_done(owner)) {
            return world.check_end();
        }
        let owner = turn % OWNERS;
        if world.is_done(owner) {
            continue;
        }
        let moves = world.moves();
        let next = moves
            .iter()
            .find(|next| matches!(next, Move::Row(o) | Move::Step(o) if *o == owner));
        world.make(*next.expect("a run has something to do"), mutant)?;
    }
    Err("it does not come to an end".to_owned())
}
