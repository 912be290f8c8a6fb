//! Values of ARRAY and MAP columns.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, MapArray, StringArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, FieldRef, Fields};
use hashbrown::HashMap;
use millstream_core::types::sql_name;
use millstream_core::{Error, Result};

use super::column::{Column, Texts};
use super::cursor::{Cursor, Fault, Mismatch};
use super::{JsonOptions, escape};

/// Lists of one element type.
#[derive(Debug)]
pub(super) struct ListValues {
    item: FieldRef,
    /// Where each list begins in `elements`; one more at the end.
    offsets: Vec<i32>,
    elements: Column,
}

impl ListValues {
    pub fn new(item: &FieldRef) -> Result<Self> {
        Ok(Self {
            item: Arc::clone(item),
            offsets: vec![0],
            elements: Column::new(item.data_type(), item.is_nullable())?,
        })
    }

    /// Decodes the array whose bracket stands here.
    pub fn decode(&mut self, cursor: &mut Cursor, options: JsonOptions) -> Result<(), Fault> {
        let mut failed: Option<Box<Mismatch>> = None;
        let mut index = 0;
        cursor.enter()?;
        if !cursor.is_empty_container(b']') {
            loop {
                let element = match failed {
                    None => self.elements.decode_value(cursor, options),
                    Some(_) => cursor.skip_value(),
                };
                if let Err(fault) = element {
                    failed = Some(within(fault, cursor, &format!("[{index}]"))?);
                }
                index += 1;
                if !cursor.more(b']', "`,` or `]`")? {
                    break;
                }
            }
        }
        cursor.leave();
        if let Some(mismatch) = failed {
            return Err(cursor.mismatch(*mismatch));
        }
        self.end();
        Ok(())
    }

    /// Ends a list: the elements since the last one.
    pub fn end(&mut self) {
        // A batch is below 2 GiB, and so has fewer elements.
        self.offsets.push(self.elements.len() as i32);
    }

    pub fn truncate(&mut self, rows: usize) {
        if let Some(end) = cut(&mut self.offsets, rows) {
            self.elements.truncate(end);
        }
    }

    pub fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let offsets = take_offsets(&mut self.offsets);
        let elements = self.elements.finish()?;
        let list = ListArray::try_new(Arc::clone(&self.item), offsets, elements, nulls)?;
        Ok(Arc::new(list))
    }
}

/// Maps from STRING to one type.
#[derive(Debug)]
pub(super) struct MapValues {
    entries: FieldRef,
    fields: Fields,
    /// Where each map begins in `keys` and `values`; one more at the end.
    offsets: Vec<i32>,
    keys: Texts,
    values: Column,
    /// Of the map being decoded: the bytes of its keys, and each entry's key and value's place.
    key_bytes: Vec<u8>,
    places: Vec<(Range<usize>, usize)>,
}

impl MapValues {
    pub fn new(entries: &FieldRef) -> Result<Self> {
        let fields = match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => fields.clone(),
            other => return Err(Error::bug(format!("a map of entries {other}"))),
        };
        if fields[0].data_type() != &DataType::Utf8 {
            let key = sql_name(fields[0].data_type());
            let message = format!("keys of a JSON map are STRING, found {key}");
            return Err(Error::invalid(message));
        }
        Ok(Self {
            entries: Arc::clone(entries),
            offsets: vec![0],
            keys: Texts::new(),
            values: Column::new(fields[1].data_type(), fields[1].is_nullable())?,
            fields,
            key_bytes: vec![],
            places: vec![],
        })
    }

    /// Decodes the object whose brace stands here: first where its values are, so that of a key
    /// that comes twice only the last value is decoded, at the place of the first.
    pub fn decode(&mut self, cursor: &mut Cursor, options: JsonOptions) -> Result<(), Fault> {
        self.find_entries(cursor)?;
        let end = cursor.position();
        let mut failed = None;
        cursor.enter()?;
        for (key, place) in &self.places {
            let key = &self.key_bytes[key.clone()];
            cursor.go_to(*place);
            if let Err(fault) = self.values.decode_value(cursor, options) {
                failed = Some(within(fault, cursor, &String::from_utf8_lossy(key))?);
                break;
            }
            self.keys.push(key);
        }
        cursor.leave();
        cursor.go_to(end);
        if let Some(mismatch) = failed {
            return Err(cursor.mismatch(*mismatch));
        }
        self.end();
        Ok(())
    }

    fn find_entries(&mut self, cursor: &mut Cursor) -> Result<(), Fault> {
        self.key_bytes.clear();
        self.places.clear();
        cursor.enter()?;
        if !cursor.is_empty_container(b'}') {
            loop {
                let key = cursor.key()?;
                let start = self.key_bytes.len();
                escape::unescape(key.raw, &mut self.key_bytes);
                cursor.skip_whitespace();
                let key = start..self.key_bytes.len();
                self.places.push((key, cursor.position()));
                cursor.skip_value()?;
                if !cursor.more(b'}', "`,` or `}`")? {
                    break;
                }
            }
        }
        cursor.leave();
        self.keep_last_of_each_key();
        Ok(())
    }

    fn keep_last_of_each_key(&mut self) {
        let bytes = &self.key_bytes;
        let mut first: HashMap<&[u8], usize> = HashMap::with_capacity(self.places.len());
        let mut kept = 0;
        for index in 0..self.places.len() {
            let (key, place) = self.places[index].clone();
            if let Some(first) = first.get(&bytes[key.clone()]) {
                self.places[*first].1 = place;
                continue;
            }
            first.insert(&bytes[key.clone()], kept);
            self.places[kept] = (key, place);
            kept += 1;
        }
        self.places.truncate(kept);
    }

    /// Ends a map: the entries since the last one.
    pub fn end(&mut self) {
        // A batch is below 2 GiB, and so has fewer entries.
        self.offsets.push(self.values.len() as i32);
    }

    pub fn truncate(&mut self, rows: usize) {
        if let Some(end) = cut(&mut self.offsets, rows) {
            self.keys.truncate(end);
            self.values.truncate(end);
        }
    }

    pub fn finish(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let offsets = take_offsets(&mut self.offsets);
        let (key_offsets, key_bytes) = self.keys.finish();
        let keys: ArrayRef = Arc::new(StringArray::try_new(key_offsets, key_bytes, None)?);
        let values = self.values.finish()?;
        let entries = StructArray::try_new(self.fields.clone(), vec![keys, values], None)?;
        let field = Arc::clone(&self.entries);
        let map = MapArray::try_new(field, offsets, entries, nulls, false)?;
        Ok(Arc::new(map))
    }
}

/// The details of a value fault, one level up in `outer`; a syntax fault passes through.
fn within(fault: Fault, cursor: &mut Cursor, outer: &str) -> Result<Box<Mismatch>, Fault> {
    if fault == Fault::Syntax {
        return Err(fault);
    }
    let mut mismatch = cursor.take_mismatch();
    mismatch.within(outer);
    Ok(mismatch)
}

/// Cuts to `rows`: how many elements are left, or `None` if there are no more rows than that and
/// no element of a row that failed half-way.
fn cut(offsets: &mut Vec<i32>, rows: usize) -> Option<usize> {
    offsets.truncate(rows + 1);
    offsets.last().map(|end| *end as usize)
}

fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let capacity = offsets.len();
    let taken = std::mem::replace(offsets, Vec::with_capacity(capacity));
    offsets.push(0);
    OffsetBuffer::new(ScalarBuffer::from(taken))
}
