//! Which groups changed since the last checkpoint: a bitmap, so that marking costs one cached write.

use std::ops::Range;

/// A set of group indices.
#[derive(Debug, Default)]
pub struct DirtySet {
    words: Vec<u64>,
    /// Where [`Self::take_some`] goes on.
    next: usize,
}

impl DirtySet {
    /// Adds the groups.
    pub fn mark(&mut self, groups: &[u32]) {
        for group in groups {
            let word = (*group / 64) as usize;
            if word >= self.words.len() {
                self.words.resize(word + 1, 0);
            }
            self.words[word] |= 1 << (group % 64);
        }
    }

    /// Adds the groups of a range.
    pub fn mark_range(&mut self, groups: Range<usize>) {
        let index = |group: usize| u32::try_from(group).expect("group indices are u32");
        groups.for_each(|group| self.mark(&[index(group)]));
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        let words = self.words.iter();
        words.map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Memory in bytes, without the set itself.
    pub fn size(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }

    /// Adds groups `0..count`.
    pub fn mark_all(&mut self, count: usize) {
        self.mark_range(0..count);
    }

    /// The groups in ascending order; the set is empty afterwards.
    pub fn take(&mut self) -> Vec<u32> {
        let mut groups = Vec::new();
        for (at, word) in self.words.iter().enumerate() {
            groups_of(at, *word, &mut groups);
        }
        self.words.clear();
        self.next = 0;
        groups
    }

    /// Takes about `max` groups out, up to 63 more. Those that come after the last that were taken, so that
    /// each has its turn although others are added again and again.
    pub fn take_some(&mut self, max: usize) -> Vec<u32> {
        let mut groups = Vec::new();
        for _ in 0..self.words.len() {
            if groups.len() >= max {
                break;
            }
            let at = self.next % self.words.len();
            let word = std::mem::take(&mut self.words[at]);
            groups_of(at, word, &mut groups);
            self.next = at + 1;
        }
        groups
    }
}

fn groups_of(at: usize, mut word: u64, groups: &mut Vec<u32>) {
    let first = u32::try_from(at * 64).expect("group indices are u32");
    while word != 0 {
        groups.push(first + word.trailing_zeros());
        word &= word - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_each_group_once_in_order() {
        let mut dirty = DirtySet::default();
        dirty.mark(&[130, 3, 63, 64, 3]);
        assert_eq!(dirty.take(), [3, 63, 64, 130]);
        assert!(dirty.take().is_empty());
        dirty.mark_all(3);
        assert_eq!(dirty.take(), [0, 1, 2]);
    }

    #[test]
    fn each_group_has_its_turn() {
        let mut dirty = DirtySet::default();
        dirty.mark(&[1, 2, 70, 200]);
        assert_eq!(dirty.take_some(1), [1, 2]);
        dirty.mark(&[1]);
        assert_eq!(dirty.len(), 3);
        assert_eq!(dirty.take_some(2), [70, 200]);
        assert_eq!(dirty.take_some(2), [1]);
        assert!(dirty.is_empty() && dirty.take_some(2).is_empty());
    }
}
