//! Sums of neighbouring slices, so that a sliding window is put together from three panes, however
//! many slices it has.
//!
//! ```text
//!   slices   1 2 3 | 4 5 6 | 7 8 9 | 10 11 12       blocks of about the root of the window's slices
//!   window       [3  4 5 6   7 8 9   10 11]
//!                 |  `- middle -´   `-´ `- prefix: the newest block so far
//!                 `- suffix: the rest of the oldest block, for each of its slices
//! ```
//!
//! Each slice is added to the prefix once. When the window reaches another block, suffixes and middle
//! are made anew: as many merges as there are slices in a block, twice. So a window costs a few merges,
//! and nothing has to be subtracted, which minima and distinct counts could not.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use millstream_core::Result;

use super::{Pane, Slicing, WindowState};

/// Panes by grouping set.
type Panes = Vec<Pane>;

/// See the module. Slices are numbered: the one that ends at `k * length + offset` is k.
pub struct Blocks {
    slicing: Slicing,
    /// Slices in a window.
    window: i64,
    /// Slices in a block.
    length: i64,
    /// The newest slice of the window.
    newest: i64,
    /// The newest block so far.
    prefix: Panes,
    /// Sums of the blocks before, those that are not empty.
    sums: BTreeMap<i64, Panes>,
    /// The sum of the blocks between the oldest and the newest.
    middle: Panes,
    /// For each slice of the oldest block the sum from there on.
    suffixes: Vec<Panes>,
    /// The oldest and the newest block that `middle` and `suffixes` are for.
    made_for: Option<(i64, i64)>,
}

impl Blocks {
    /// The sums of all slices in `kept`.
    pub fn new(slicing: Slicing, kept: &WindowState) -> Result<Self> {
        let window = slicing.slices_max();
        let mut blocks = Self {
            slicing,
            window,
            length: root(window),
            newest: i64::MIN,
            prefix: kept.empty_panes()?,
            sums: BTreeMap::new(),
            middle: kept.empty_panes()?,
            suffixes: vec![],
            made_for: None,
        };
        let mut slices: Vec<_> = kept.slices().collect();
        // Rows that were late for some windows are needed longer, so they come behind newer slices.
        slices.sort_by_key(|(place, _)| place.slice);
        for (place, panes) in slices {
            let number = blocks.number(place.slice);
            blocks.advance_block(number, kept)?;
            merge(&mut blocks.prefix, panes)?;
            blocks.newest = number;
        }
        Ok(blocks)
    }

    /// Memory in bytes.
    pub fn size(&self) -> usize {
        let sums = self.sums.values().chain(&self.suffixes);
        let panes = sums.flatten().chain(&self.prefix).chain(&self.middle);
        panes.map(Pane::size).sum()
    }

    /// Moves on to the window that ends at `end`. `kept` has the slices that were added.
    pub fn advance(&mut self, end: i64, kept: &WindowState) -> Result<()> {
        let number = self.number(end);
        self.advance_block(number, kept)?;
        self.newest = number;
        let places = (self.block(self.oldest()), self.block(number));
        if self.made_for == Some(places) {
            return Ok(());
        }
        self.made_for = Some(places);
        let (oldest, newest) = places;
        self.sums = self.sums.split_off(&oldest);
        self.middle = kept.empty_panes()?;
        for (_, sum) in self.sums.range(oldest + 1..newest) {
            merge(&mut self.middle, sum)?;
        }
        self.make_suffixes(oldest, kept)
    }

    /// Adds a slice of the window, or rows of one that came late.
    pub fn add(&mut self, slice: i64, panes: &[Pane], kept: &WindowState) -> Result<()> {
        let number = self.number(slice);
        let block = self.block(number);
        let (oldest, newest) = self.made_for.unwrap_or((block, block));
        if block == newest {
            return merge(&mut self.prefix, panes);
        }
        let sum = match self.sums.entry(block) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(kept.empty_panes()?),
        };
        merge(sum, panes)?;
        if block > oldest {
            return merge(&mut self.middle, panes);
        }
        let position = number - block * self.length;
        let upto = usize::try_from(position).expect("a position in a block") + 1;
        let suffixes = self.suffixes.iter_mut().take(upto);
        suffixes.into_iter().try_for_each(|sum| merge(sum, panes))
    }

    /// The window.
    pub fn window(&self, kept: &WindowState) -> Result<Panes> {
        let mut window = kept.empty_panes()?;
        let position = self.oldest().rem_euclid(self.length);
        let position = usize::try_from(position).expect("a position in a block");
        if let Some(suffix) = self.suffixes.get(position) {
            merge(&mut window, suffix)?;
        }
        merge(&mut window, &self.middle)?;
        merge(&mut window, &self.prefix)?;
        Ok(window)
    }

    /// The number of the oldest slice of the window.
    fn oldest(&self) -> i64 {
        self.newest.saturating_sub(self.window - 1)
    }

    fn number(&self, end: i64) -> i64 {
        let slices = self.slicing.slices();
        end.saturating_sub(slices.offset_ms)
            .div_euclid(slices.size_ms)
    }

    fn block(&self, number: i64) -> i64 {
        number.div_euclid(self.length)
    }

    /// Closes the newest block if `number` is in a later one.
    fn advance_block(&mut self, number: i64, kept: &WindowState) -> Result<()> {
        let block = self.block(self.newest);
        if self.newest != i64::MIN && self.block(number) != block {
            let full = std::mem::replace(&mut self.prefix, kept.empty_panes()?);
            if full.iter().any(|pane| pane.groups() > 0) {
                self.sums.insert(block, full);
            }
        }
        Ok(())
    }

    fn make_suffixes(&mut self, block: i64, kept: &WindowState) -> Result<()> {
        let first = block * self.length;
        let mut slices: BTreeMap<i64, Vec<&[Pane]>> = BTreeMap::new();
        for (place, panes) in kept.slices() {
            let number = self.number(place.slice);
            if (first..first + self.length).contains(&number) {
                slices.entry(number).or_default().push(panes);
            }
        }
        let mut suffixes: Vec<Panes> = vec![];
        for number in (first..first + self.length).rev() {
            let mut suffix = kept.empty_panes()?;
            if let Some(next) = suffixes.last() {
                merge(&mut suffix, next)?;
            }
            for panes in slices.get(&number).into_iter().flatten() {
                merge(&mut suffix, panes)?;
            }
            suffixes.push(suffix);
        }
        suffixes.reverse();
        self.suffixes = suffixes;
        Ok(())
    }
}

/// Adds the panes of `from`, by grouping set.
pub fn merge(into: &mut [Pane], from: &[Pane]) -> Result<()> {
    let mut panes = into.iter_mut().zip(from);
    panes.try_for_each(|(into, from)| match from.groups() {
        0 => Ok(()),
        _ => into.merge(from),
    })
}

/// Slices in a block: the root of those in a window, and few enough that a window never lies in one
/// block.
fn root(window: i64) -> i64 {
    let mut root = 1;
    while (root + 1) * (root + 1) <= window {
        root += 1;
    }
    root
}
