//! What a partition's files hold, found on start (and again after a failed write).
//!
//! Only the last segment is scanned, every batch of it checked. What follows its last sound append
//! is what a crash has left of writes that were never acknowledged, unless a sound batch behind it
//! says that it was acknowledged: then acknowledged data is damaged, and opening fails.
//!
//! The operating system may write a file's pages in any order, so a sound batch may well follow a
//! torn one; that alone proves nothing. Its `durable` field does.

use std::sync::Arc;

use memchr::memmem;
use millstream_core::storage::Storage;
use millstream_core::{Error, Result};

use super::format::{
    BATCH_HEADER_BYTES, BATCH_MAGIC, BatchHeader, Parsed, SegmentHeaderError, check_segment_header,
};
use super::producer::Producers;
use super::segment::{ENDS_EARLY, Place, Segment, Window, wrong_offset};

/// The last segment is read in pieces of this size.
const SCAN_BYTES: usize = 1 << 20;

/// A partition as its files say.
pub(super) struct Recovered {
    /// Segments that hold records, oldest first.
    pub segments: Vec<Arc<Segment>>,
    /// The segment to append to: its base offset, and how many bytes it has.
    pub active: (u64, u64),
    /// The next record's offset.
    pub next: u64,
    /// Who appended.
    pub producers: Producers,
}

/// Recovers the partition in `folder` (which ends in `/`) with these `files`. Cuts a torn tail.
pub(super) fn recover(storage: &dyn Storage, folder: &str, files: &[&str]) -> Result<Recovered> {
    let name = |path: &&str| Segment::base_of(path.strip_prefix(folder)?);
    let mut bases: Vec<u64> = files.iter().filter_map(name).collect();
    bases.sort_unstable();
    let mut producers = Producers::load(storage, &producers_path(folder))?;
    let Some(last_base) = bases.pop() else {
        return Ok(Recovered {
            segments: vec![],
            active: (0, 0),
            next: 0,
            producers,
        });
    };
    let mut segments = Vec::with_capacity(bases.len() + 1);
    for base in bases {
        let segment = Segment::new(folder, base, 0);
        segment.grow(storage.length(&segment.path)?.unwrap_or_default());
        segments.push(Arc::new(segment));
    }
    let last = Segment::new(folder, last_base, 0);
    let length = storage.length(&last.path)?.unwrap_or_default();
    let scan = scan(storage, &last, length, &mut producers)?;
    if scan.sound.position < length {
        let bytes = length - scan.sound.position;
        let (path, why) = (
            &last.path,
            scan.damage.as_deref().unwrap_or("an append is incomplete"),
        );
        tracing::warn!(
            path,
            bytes,
            why,
            "cut off a torn tail that was never acknowledged"
        );
        let mut file = storage.append(path)?;
        file.truncate(scan.sound.position)?;
        file.sync()?;
    }
    let Place {
        offset: next,
        position,
    } = scan.sound;
    // A segment without records counts for nothing but its name.
    let active = if next == last_base {
        (last_base, 0)
    } else {
        (last_base, position)
    };
    if active.1 > 0 {
        last.grow(position);
        segments.push(Arc::new(last));
    }
    Ok(Recovered {
        segments,
        active,
        next,
        producers,
    })
}

/// The file that keeps the producers of the partition in `folder`.
pub(super) fn producers_path(folder: &str) -> String {
    format!("{folder}producers.json")
}

/// What a segment holds.
pub(super) struct Scan {
    /// The end of the last append that is whole: the next offset, and the bytes up to there.
    pub sound: Place,
    /// What is wrong with what follows.
    pub damage: Option<String>,
}

/// Checks the first `length` bytes of `segment`, batch by batch; tells `producers` of those that
/// are sound. `Corrupt` if acknowledged data is damaged.
pub(super) fn scan(
    storage: &dyn Storage,
    segment: &Segment,
    length: u64,
    producers: &mut Producers,
) -> Result<Scan> {
    let mut window = Window::new(storage, &segment.path, length, SCAN_BYTES);
    let start = Place {
        offset: segment.base,
        position: 0,
    };
    let (sound, damage) = match check_segment_header(window.at(0, 64)?, segment.base) {
        Ok(()) => scan_batches(&mut window, segment, length, producers)?,
        Err(SegmentHeaderError::Torn(why)) => (start, Some((start, why))),
        Err(SegmentHeaderError::Refused(why)) => {
            return Err(Error::corrupt(format!("`{}`: {why}", segment.path)));
        }
    };
    let Some((place, why)) = damage else {
        return Ok(Scan {
            sound,
            damage: None,
        });
    };
    if is_acknowledged_after(storage, segment, (sound, place), length)? {
        return Err(segment.damaged(place, why));
    }
    Ok(Scan {
        sound,
        damage: Some(why),
    })
}

/// The end of the last whole append, and where and why the scan ended before the file does.
type Batches = (Place, Option<(Place, String)>);

fn scan_batches(
    window: &mut Window<'_>,
    segment: &Segment,
    length: u64,
    producers: &mut Producers,
) -> Result<Batches> {
    let mut place = segment.first();
    let mut sound = place;
    while place.position < length {
        let header = match sound_batch(window, place)? {
            Ok((header, bytes)) => {
                segment.add_index(place);
                place = Place {
                    offset: header.end(),
                    position: place.position + bytes,
                };
                header
            }
            Err(why) => return Ok((sound, Some((place, why)))),
        };
        if !header.continues {
            sound = place;
            if let Some(producer) = &header.producer {
                producers.advance(producer);
            }
        }
    }
    Ok((sound, None))
}

/// The header of the batch at `place` and the batch's length, or what is wrong with it.
fn sound_batch(
    window: &mut Window<'_>,
    place: Place,
) -> Result<std::result::Result<(BatchHeader, u64), String>> {
    let mut needed = BATCH_HEADER_BYTES;
    loop {
        let bytes = window.at(place.position, needed)?;
        let (header, header_bytes) = match BatchHeader::parse(bytes) {
            Parsed::Header(header, bytes) => (header, bytes),
            Parsed::Short(more) if more > needed => {
                needed = more;
                continue;
            }
            Parsed::Short(_) => return Ok(Err(ENDS_EARLY.into())),
            Parsed::Damaged(why) => return Ok(Err(why.into())),
        };
        if header.base != place.offset {
            return Ok(Err(wrong_offset(&header)));
        }
        let total = header_bytes + header.body_bytes as usize;
        let Some(body) = bytes.get(header_bytes..total) else {
            if needed >= total {
                return Ok(Err(ENDS_EARLY.into()));
            }
            needed = total;
            continue;
        };
        if crc32fast::hash(body) != header.body_crc {
            return Ok(Err("the records' checksum is wrong".into()));
        }
        return Ok(Ok((header, total as u64)));
    }
}

/// Whether a sound batch behind the damage says that more than `sound` was acknowledged.
fn is_acknowledged_after(
    storage: &dyn Storage,
    segment: &Segment,
    (sound, damage): (Place, Place),
    length: u64,
) -> Result<bool> {
    let left = usize::try_from(length - damage.position)
        .map_err(|_| Error::corrupt(format!("`{}`: {length} bytes", segment.path)))?;
    let bytes = storage.read_range(&segment.path, damage.position, left)?;
    let mut window = Window::new(storage, &segment.path, length, SCAN_BYTES);
    for at in memmem::find_iter(bytes.get(1..).unwrap_or_default(), &BATCH_MAGIC) {
        let at = at + 1;
        let position = damage.position + at as u64;
        let Parsed::Header(header, _) = BatchHeader::parse(&bytes[at..]) else {
            continue;
        };
        let says_so = header.durable > sound.position && header.durable <= position;
        let place = Place {
            offset: header.base,
            position,
        };
        if says_so && header.base > sound.offset && sound_batch(&mut window, place)?.is_ok() {
            return Ok(true);
        }
    }
    Ok(false)
}
