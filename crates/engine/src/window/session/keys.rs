//! Keys of sessions: from encoded bytes to a number, which another key gets once nothing hangs on it.
//!
//! PERF: short keys lie in the entry itself, so a look-up follows one pointer and allocates nothing. The
//! index holds half of each hash, so it grows without a look at the keys. Many keys are looked up in
//! steps ([`KeyTable::intern_all`]): each step is short, so the processor waits for the memory of many at
//! once.

use std::collections::BTreeMap;
use std::hint::black_box;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Found;
use xxhash_rust::xxh3::xxh3_64;

use super::{NONE, index};
use crate::state::row_codec::owner;
pub use crate::state::row_codec::owner_of;

/// See the module.
#[derive(Debug, Default)]
pub struct KeyTable {
    index: HashTable<Slot>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// Keys on which stragglers wait, and how many.
    waiting: BTreeMap<u32, u32>,
    boxed_bytes: usize,
}

/// A place in the index.
#[derive(Debug, Clone, Copy)]
struct Slot {
    /// The lower half of the key's hash; who owns the key follows from the upper one.
    tag: u32,
    /// Its number.
    at: u32,
}

impl Slot {
    fn tag_of(hash: u64) -> u32 {
        u32::try_from(hash & u64::from(u32::MAX)).expect("masked to 32 bits")
    }

    /// What the index goes by, spread over all bits: it looks at the lowest and at the highest.
    fn place(tag: u32) -> u64 {
        u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// What hangs on a key: the first of each chain, or none.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Of its sessions.
    pub sessions: u32,
    /// Of its lanes.
    pub lanes: u32,
}

const EMPTY: Heads = Heads {
    sessions: NONE,
    lanes: NONE,
};

#[derive(Debug)]
struct Entry {
    key: KeyBytes,
    heads: Heads,
}

const INLINE: usize = 22;

#[derive(Debug)]
enum KeyBytes {
    Inline(u8, [u8; INLINE]),
    Boxed(Box<[u8]>),
}

impl KeyBytes {
    fn new(key: &[u8]) -> Self {
        let mut bytes = [0; INLINE];
        match (bytes.get_mut(..key.len()), u8::try_from(key.len())) {
            (Some(inline), Ok(length)) => {
                inline.copy_from_slice(key);
                Self::Inline(length, bytes)
            }
            _ => Self::Boxed(key.into()),
        }
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Inline(length, bytes) => &bytes[..usize::from(*length)],
            Self::Boxed(bytes) => bytes,
        }
    }

    fn boxed_bytes(&self) -> usize {
        match self {
            Self::Inline(..) => 0,
            Self::Boxed(bytes) => bytes.len(),
        }
    }
}

impl KeyTable {
    /// The number of `key`, a new one if it has none. `hash` is [`hash_of`] it.
    pub fn intern(&mut self, hash: u64, key: &[u8]) -> u32 {
        let entries = &mut self.entries;
        let tag = Slot::tag_of(hash);
        let found = self.index.entry(
            Slot::place(tag),
            |slot| slot.tag == tag && entries[slot.at as usize].key.as_slice() == key,
            |slot| Slot::place(slot.tag),
        );
        let vacant = match found {
            Found::Occupied(found) => return found.get().at,
            Found::Vacant(vacant) => vacant,
        };
        let entry = Entry {
            key: KeyBytes::new(key),
            heads: EMPTY,
        };
        self.boxed_bytes += entry.key.boxed_bytes();
        let at = match self.free.pop() {
            Some(at) => {
                entries[at as usize] = entry;
                at
            }
            None => {
                entries.push(entry);
                index(entries.len() - 1)
            }
        };
        vacant.insert(Slot { tag, at });
        at
    }

    /// The numbers of many keys, each given with its hash, instead of what `numbers` held.
    pub fn intern_all<'a>(
        &mut self,
        keys: impl Iterator<Item = (u64, &'a [u8])> + Clone,
        numbers: &mut Vec<u32>,
    ) {
        numbers.clear();
        let (index, entries) = (&self.index, &self.entries);
        numbers.extend(keys.clone().map(|(hash, _)| {
            let tag = Slot::tag_of(hash);
            let found = index.find(Slot::place(tag), |slot| slot.tag == tag);
            found.map_or(NONE, |slot| slot.at)
        }));
        let found = numbers.iter().filter_map(|at| entries.get(*at as usize));
        black_box(found.fold(0, |all, entry| all ^ entry.heads.sessions));
        for (at, (hash, key)) in numbers.iter_mut().zip(keys) {
            let entry = self.entries.get(*at as usize);
            // Another key may have the same half of a hash.
            if entry.is_none_or(|entry| entry.key.as_slice() != key) {
                *at = self.intern(hash, key);
            }
        }
    }

    /// Makes room for so many keys in all.
    pub fn reserve(&mut self, keys: usize) {
        let more = keys.saturating_sub(self.len());
        self.index.reserve(more, |slot| Slot::place(slot.tag));
        self.entries
            .reserve(keys.saturating_sub(self.entries.len()));
    }

    /// The encoded key.
    pub fn bytes(&self, key: u32) -> &[u8] {
        self.entries[key as usize].key.as_slice()
    }

    /// The shard, of `shards`, that owns the key: the same in every process.
    pub fn owner(&self, key: u32, shards: usize) -> usize {
        owner(self.bytes(key), shards)
    }

    /// What hangs on the key.
    pub fn heads(&self, key: u32) -> Heads {
        self.entries[key as usize].heads
    }

    /// The same, to change.
    pub fn heads_mut(&mut self, key: u32) -> &mut Heads {
        &mut self.entries[key as usize].heads
    }

    /// Notes that so many stragglers wait on the key.
    pub fn wait(&mut self, key: u32, stragglers: u32) {
        *self.waiting.entry(key).or_default() += stragglers;
    }

    /// Notes that so many of them do not wait any more.
    pub fn settle(&mut self, key: u32, stragglers: u32) {
        if let Some(waiting) = self.waiting.get_mut(&key) {
            *waiting -= stragglers;
            if *waiting == 0 {
                self.waiting.remove(&key);
            }
        }
    }

    /// Notes that nothing waits on any key.
    pub fn settle_all(&mut self) {
        self.waiting.clear();
    }

    /// Forgets the key if nothing hangs on it.
    pub fn release(&mut self, key: u32) {
        let entry = &self.entries[key as usize];
        let heads = entry.heads;
        if heads.sessions != NONE || heads.lanes != NONE || self.waiting.contains_key(&key) {
            return;
        }
        let place = Slot::place(Slot::tag_of(xxh3_64(entry.key.as_slice())));
        if let Ok(found) = self.index.find_entry(place, |slot| slot.at == key) {
            found.remove();
            self.boxed_bytes -= entry.key.boxed_bytes();
            self.entries[key as usize].key = KeyBytes::new(&[]);
            self.free.push(key);
        }
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Memory in bytes.
    pub fn size(&self) -> usize {
        self.index.allocation_size()
            + self.entries.capacity() * size_of::<Entry>()
            + self.free.capacity() * size_of::<u32>()
            + self.waiting.len() * size_of::<[u32; 4]>()
            + self.boxed_bytes
    }
}

/// What [`KeyTable::intern`] finds a key by.
pub fn hash_of(key: &[u8]) -> u64 {
    xxh3_64(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_used_again_once_nothing_hangs_on_it() {
        let mut keys = KeyTable::default();
        let intern = |keys: &mut KeyTable, key: &[u8]| keys.intern(hash_of(key), key);
        let long = [7; 40];
        let (a, b) = (intern(&mut keys, b"a"), intern(&mut keys, &long));
        assert_eq!((intern(&mut keys, b"a"), intern(&mut keys, &long)), (a, b));
        assert_eq!(keys.bytes(b), long);
        keys.heads_mut(a).sessions = 3;
        keys.release(a);
        keys.release(b);
        keys.release(b);
        assert_eq!(keys.len(), 1);
        assert_eq!(intern(&mut keys, b"c"), b);
        assert_eq!(intern(&mut keys, b"a"), a);
        assert_eq!(keys.heads(b).sessions, NONE);
        assert_eq!(intern(&mut keys, &long), 2);
    }

    #[test]
    fn keys_of_one_tag_have_numbers_of_their_own() {
        let mut keys = KeyTable::default();
        let (hash, other) = (7, 7 | 1 << 40);
        let all = [
            (hash, &b"a"[..]),
            (other, b"b"),
            (hash, b"a"),
            (other, b"b"),
            (9, b"c"),
        ];
        let mut numbers = vec![5];
        for _ in 0..2 {
            keys.intern_all(all.into_iter(), &mut numbers);
            assert_eq!(numbers, [0, 1, 0, 1, 2]);
        }
    }

    #[test]
    fn a_key_stays_while_stragglers_wait_on_it() {
        let mut keys = KeyTable::default();
        let key = keys.intern(hash_of(b"a"), b"a");
        keys.wait(key, 2);
        keys.settle(key, 1);
        keys.release(key);
        assert_eq!(keys.len(), 1);
        keys.settle(key, 1);
        keys.release(key);
        assert_eq!(keys.len(), 0);
    }
}
