//! From a key to the column that it fills.
//!
//! Records of one stream usually have the same keys in the same order, so the order seen last is
//! remembered, with keys that nothing reads: in the usual case a key costs one comparison of bytes
//! with the key that is expected next. Fields that are left out now and then are found by looking
//! a few keys ahead; anything else is looked up by name.

use hashbrown::HashMap;

use super::cursor::{Cursor, Fault};
use super::escape;

/// Keys that are remembered at most.
const ORDER_MAX: usize = 1024;

/// How far ahead an expected key is searched.
const AHEAD_MAX: usize = 4;

/// After so many keys out of order, the order is learnt anew.
const STRAYS_MAX: u32 = 64;

/// The keys of one object.
#[derive(Debug)]
pub(super) struct Keys {
    columns: HashMap<Box<[u8]>, usize>,
    order: Vec<ExpectedKey>,
    strays: u32,
}

#[derive(Debug)]
struct ExpectedKey {
    /// `"key":` as it stands in the record.
    text: Box<[u8]>,
    column: Option<usize>,
}

impl Keys {
    /// Keys of columns by their names, in order.
    pub fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let columns = names.enumerate();
        Self {
            columns: columns
                .map(|(index, name)| (name.as_bytes().into(), index))
                .collect(),
            order: vec![],
            strays: 0,
        }
    }

    /// Reads a key and its colon: the column, if it has one. `place` counts through the expected
    /// keys and is zero at the object's beginning.
    #[inline]
    pub fn next(&mut self, cursor: &mut Cursor, place: &mut usize) -> Result<Option<usize>, Fault> {
        if let Some(expected) = self.order.get(*place)
            && cursor.eat_exactly(&expected.text)
        {
            *place += 1;
            return Ok(expected.column);
        }
        self.search(cursor, place)
    }

    #[inline(never)]
    fn search(&mut self, cursor: &mut Cursor, place: &mut usize) -> Result<Option<usize>, Fault> {
        let ahead = self.order.get(*place + 1..).unwrap_or_default();
        for (skipped, expected) in ahead.iter().take(AHEAD_MAX).enumerate() {
            if cursor.eat_exactly(&expected.text) {
                *place += skipped + 2;
                return Ok(expected.column);
            }
        }
        let key = cursor.key()?;
        if key.escaped {
            let mut name = vec![];
            escape::unescape(key.raw, &mut name);
            return Ok(self.columns.get(name.as_slice()).copied());
        }
        let column = self.columns.get(key.raw).copied();
        if *place == self.order.len() && *place < ORDER_MAX {
            let text = [b"\"", key.raw, b"\":"].concat().into();
            self.order.push(ExpectedKey { text, column });
            *place += 1;
            return Ok(column);
        }
        self.strays += 1;
        if self.strays >= STRAYS_MAX {
            self.strays = 0;
            self.order.clear();
        }
        Ok(column)
    }
}
