//! Which groups changed since the last checkpoint: a bitmap, so that marking costs one cached write.

use std::ops::Range;

/// A set of group indices.
#[derive(Debug, Default)]
pub struct DirtySet {
    words: Vec<u64>,
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
        for (index, word) in self.words.iter().enumerate() {
            let mut word = *word;
            let first = u32::try_from(index * 64).expect("group indices are u32");
            while word != 0 {
                groups.push(first + word.trailing_zeros());
                word &= word - 1;
            }
        }
        self.words.clear();
        groups
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
}
