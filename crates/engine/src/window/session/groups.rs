//! What sessions hold: accumulators, by the number of a group.
//!
//! Mostly a session is one group ([`Contents::Single`]). Where GROUP BY has more columns than the session
//! is of, or several grouping sets, it holds a bag of them ([`Contents::Bags`]).
//!
//! A number is given once. Sessions that become one are noted, and their groups merged all together at
//! the next barrier: rows of the batch at hand may still go to either. When more numbers are dead than
//! alive, the live ones are packed ([`Groups::pack`]): each accumulator does that by giving its state to
//! an empty one, so none has to know how to forget.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Found;
use millstream_core::Result;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::shape::SessionShape;
use super::{NONE, index};
use crate::state::{Accumulator, Input};

/// See the module.
pub struct Groups {
    shape: Arc<SessionShape>,
    accumulators: Vec<Box<dyn Accumulator>>,
    given: usize,
    live: usize,
    merges: Vec<(u32, u32)>,
    contents: Contents,
}

enum Contents {
    /// What a session holds is the number of its group.
    Single,
    /// What a session holds is the number of a bag.
    Bags(Bags),
}

/// A group of a session.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// The session.
    pub session: u32,
    /// Its grouping set.
    pub set: usize,
    /// Its number.
    pub group: u32,
    /// Where its key is in the bags.
    node: u32,
}

/// Dead numbers that are not worth packing; few in tests, so that they pack.
const DEAD_MIN: usize = if cfg!(test) { 16 } else { 4_096 };

impl Groups {
    /// None yet.
    pub fn new(shape: Arc<SessionShape>) -> Result<Self> {
        Ok(Self {
            accumulators: shape.accumulators()?,
            contents: match shape.is_single() {
                true => Contents::Single,
                false => Contents::Bags(Bags::default()),
            },
            shape,
            given: 0,
            live: 0,
            merges: vec![],
        })
    }

    fn give(&mut self) -> u32 {
        self.given += 1;
        self.live += 1;
        index(self.given - 1)
    }

    /// What a new session holds.
    pub fn make(&mut self) -> u32 {
        match &mut self.contents {
            Contents::Single => self.give(),
            Contents::Bags(bags) => bags.make(),
        }
    }

    /// The number of the group that a row is in, made if it is new.
    pub fn group(&mut self, content: u32, (set, key): (usize, &[u8])) -> u32 {
        let Contents::Bags(bags) = &mut self.contents else {
            return content;
        };
        let next = index(self.given);
        let group = bags.group((content, index(set)), key, next);
        if group == next {
            self.give();
        }
        group
    }

    /// Two sessions have become one; what it holds.
    pub fn merge(&mut self, a: u32, b: u32) -> u32 {
        match &mut self.contents {
            Contents::Single => {
                self.merges.push((b, a));
                self.live -= 1;
                a
            }
            Contents::Bags(bags) => {
                let before = self.merges.len();
                let kept = bags.merge(a, b, &mut self.merges);
                self.live -= self.merges.len() - before;
                kept
            }
        }
    }

    /// A session is gone.
    pub fn release(&mut self, content: u32) {
        self.live -= match &mut self.contents {
            Contents::Single => 1,
            Contents::Bags(bags) => bags.release(content),
        };
    }

    /// The groups of a session.
    pub fn members(&self, (session, content): (u32, u32), members: &mut Vec<Member>) {
        match &self.contents {
            Contents::Single => members.push(Member {
                session,
                set: 0,
                group: content,
                node: NONE,
            }),
            Contents::Bags(bags) => members.extend(bags.nodes_of(content).map(|at| {
                let node = &bags.nodes[at as usize];
                Member {
                    session,
                    set: node.set as usize,
                    group: node.group,
                    node: at,
                }
            })),
        }
    }

    /// The encoded columns of GROUP BY of a member; none if they are those of the session's key.
    pub fn key(&self, member: &Member) -> Option<&[u8]> {
        match &self.contents {
            Contents::Single => None,
            Contents::Bags(bags) => Some(&bags.nodes[member.node as usize].key),
        }
    }

    /// Aggregates rows: `groups[i]` is the group of the i-th row of each input.
    pub fn update(&mut self, inputs: &[Input<'_>], groups: &[u32]) -> Result<()> {
        for (accumulator, input) in self.accumulators.iter_mut().zip(inputs) {
            accumulator.resize(self.given);
            accumulator.update(input, groups)?;
        }
        Ok(())
    }

    /// Takes states: added (`restore` false), or put back from a checkpoint.
    pub fn absorb(&mut self, columns: &[ArrayRef], groups: &[u32], restore: bool) -> Result<()> {
        let mut columns = columns.iter();
        for accumulator in &mut self.accumulators {
            accumulator.resize(self.given);
            let count = accumulator.state_types().len();
            let columns: Vec<ArrayRef> = columns.by_ref().take(count).cloned().collect();
            match restore {
                true => accumulator.restore(&columns, groups)?,
                false => accumulator.merge(&columns, groups)?,
            }
        }
        Ok(())
    }

    /// Merges the groups of sessions that have become one.
    pub fn settle(&mut self) -> Result<()> {
        let merges = std::mem::take(&mut self.merges);
        // Later merges first: what a group was merged into may itself have been merged.
        let mut roots: BTreeMap<u32, u32> = BTreeMap::new();
        for (from, into) in merges.iter().rev() {
            let root = roots.get(into).copied().unwrap_or(*into);
            roots.insert(*from, root);
        }
        if roots.is_empty() {
            return Ok(());
        }
        let (from, into): (Vec<u32>, Vec<u32>) = roots.into_iter().unzip();
        for accumulator in &mut self.accumulators {
            accumulator.resize(self.given);
            let states = accumulator.state(&from)?;
            accumulator.merge(&states, &into)?;
        }
        Ok(())
    }

    /// State columns of these groups.
    pub fn states(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut states = vec![];
        for accumulator in &mut self.accumulators {
            accumulator.resize(self.given);
            states.extend(accumulator.state(groups)?);
        }
        Ok(states)
    }

    /// Result columns of these groups.
    pub fn finish(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let given = self.given;
        let accumulators = self.accumulators.iter_mut();
        let results = accumulators.map(|accumulator| {
            accumulator.resize(given);
            accumulator.finish(groups)
        });
        results.collect()
    }

    /// Packs the live groups if most are dead. `contents` is what each session holds.
    pub fn pack<'a>(&mut self, contents: impl Iterator<Item = &'a mut u32>) -> Result<()> {
        let dead = self.given - self.live;
        if dead < DEAD_MIN.max(self.live) {
            return Ok(());
        }
        let mut live = Vec::with_capacity(self.live);
        let mut rename = |group: &mut u32| {
            live.push(*group);
            *group = index(live.len() - 1);
        };
        match &mut self.contents {
            Contents::Single => contents.for_each(rename),
            Contents::Bags(bags) => bags.groups_mut().for_each(&mut rename),
        }
        debug_assert_eq!(live.len(), self.live, "every live group is held once");
        let all: Vec<u32> = (0..index(live.len())).collect();
        let fresh = self.shape.accumulators()?;
        for (accumulator, mut packed) in self.accumulators.iter_mut().zip(fresh) {
            accumulator.resize(self.given);
            packed.resize(live.len());
            packed.merge(&accumulator.state(&live)?, &all)?;
            *accumulator = packed;
        }
        self.given = live.len();
        Ok(())
    }

    /// Forgets everything.
    pub fn clear(&mut self) -> Result<()> {
        *self = Self::new(self.shape.clone())?;
        Ok(())
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Memory in bytes.
    pub fn size(&self) -> usize {
        let accumulators: usize = self.accumulators.iter().map(|a| a.size()).sum();
        let bags = match &self.contents {
            Contents::Single => 0,
            Contents::Bags(bags) => bags.size(),
        };
        accumulators + bags + self.merges.capacity() * size_of::<(u32, u32)>()
    }
}

/// Groups by session, grouping set and key.
#[derive(Debug, Default)]
struct Bags {
    bags: Vec<Bag>,
    free_bags: Vec<u32>,
    nodes: Vec<Node>,
    free_nodes: Vec<u32>,
    index: HashTable<u32>,
    key_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Bag {
    first: u32,
    count: usize,
}

#[derive(Debug)]
struct Node {
    bag: u32,
    set: u32,
    next: u32,
    group: u32,
    key: Box<[u8]>,
}

impl Node {
    fn hash((bag, set): (u32, u32), key: &[u8]) -> u64 {
        xxh3_64_with_seed(key, u64::from(bag) << 32 | u64::from(set))
    }

    fn own_hash(&self) -> u64 {
        Self::hash((self.bag, self.set), &self.key)
    }

    fn is(&self, (bag, set): (u32, u32), key: &[u8]) -> bool {
        self.bag == bag && self.set == set && *self.key == *key
    }
}

impl Bags {
    fn make(&mut self) -> u32 {
        let empty = Bag {
            first: NONE,
            count: 0,
        };
        match self.free_bags.pop() {
            Some(at) => {
                self.bags[at as usize] = empty;
                at
            }
            None => {
                self.bags.push(empty);
                index(self.bags.len() - 1)
            }
        }
    }

    /// The group, which is `next` if it is new.
    fn group(&mut self, (bag, set): (u32, u32), key: &[u8], next: u32) -> u32 {
        let nodes = &mut self.nodes;
        let found = self.index.entry(
            Node::hash((bag, set), key),
            |at| nodes[*at as usize].is((bag, set), key),
            |at| nodes[*at as usize].own_hash(),
        );
        let vacant = match found {
            Found::Occupied(found) => return nodes[*found.get() as usize].group,
            Found::Vacant(vacant) => vacant,
        };
        let of = &mut self.bags[bag as usize];
        let node = Node {
            bag,
            set,
            next: of.first,
            group: next,
            key: key.into(),
        };
        self.key_bytes += key.len();
        let at = match self.free_nodes.pop() {
            Some(at) => {
                nodes[at as usize] = node;
                at
            }
            None => {
                nodes.push(node);
                index(nodes.len() - 1)
            }
        };
        vacant.insert(at);
        of.first = at;
        of.count += 1;
        next
    }

    fn nodes_of(&self, bag: u32) -> impl Iterator<Item = u32> {
        let first = Some(self.bags[bag as usize].first).filter(|at| *at != NONE);
        std::iter::successors(first, |at| {
            Some(self.nodes[*at as usize].next).filter(|at| *at != NONE)
        })
    }

    /// Puts the smaller bag into the larger one, which stays. Groups that both have are to be merged.
    fn merge(&mut self, a: u32, b: u32, merges: &mut Vec<(u32, u32)>) -> u32 {
        let count = |bag: u32| self.bags[bag as usize].count;
        let (kept, gone) = if count(a) < count(b) { (b, a) } else { (a, b) };
        for at in self.nodes_of(gone).collect::<Vec<_>>() {
            self.remove(at);
            let Node {
                set, group, key, ..
            } = self.take(at);
            let into = self.group((kept, set), &key, group);
            if into != group {
                merges.push((group, into));
            }
        }
        self.free_bags.push(gone);
        kept
    }

    /// Takes a node out of the index.
    fn remove(&mut self, at: u32) {
        let hash = self.nodes[at as usize].own_hash();
        if let Ok(found) = self.index.find_entry(hash, |other| *other == at) {
            found.remove();
        }
    }

    fn take(&mut self, at: u32) -> Node {
        let empty = Node {
            bag: NONE,
            set: 0,
            next: NONE,
            group: NONE,
            key: Box::default(),
        };
        self.free_nodes.push(at);
        let node = std::mem::replace(&mut self.nodes[at as usize], empty);
        self.key_bytes -= node.key.len();
        node
    }

    /// Forgets a bag; the number of its groups.
    fn release(&mut self, bag: u32) -> usize {
        for at in self.nodes_of(bag).collect::<Vec<_>>() {
            self.remove(at);
            self.take(at);
        }
        self.free_bags.push(bag);
        self.bags[bag as usize].count
    }

    fn groups_mut(&mut self) -> impl Iterator<Item = &mut u32> {
        let live = self.nodes.iter_mut().filter(|node| node.bag != NONE);
        live.map(|node| &mut node.group)
    }

    fn size(&self) -> usize {
        let indices = self.free_bags.capacity() + self.free_nodes.capacity();
        self.bags.capacity() * size_of::<Bag>()
            + self.nodes.capacity() * size_of::<Node>()
            + indices * size_of::<u32>()
            + self.index.allocation_size()
            + self.key_bytes
    }
}
