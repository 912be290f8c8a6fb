//! What a partition's files hold, found on start (and again after a failed write).
//!
//! Only the last segment is scanned, every batch of it checked. What follows its last sound append
//! is what a crash has left of writes that were never acknowledged, unless the file `acknowledged`
//! or a sound batch behind it says otherwise: then acknowledged data is damaged, and opening fails
//! before anything is changed.
//!
//! The operating system may write a file's pages in any order, so a sound batch may well follow a
//! torn one; that alone proves nothing. Its `durable` field does.
//!
//! What is found sound beyond `acknowledged` was written by a process that died before it could
//! answer. It becomes visible now, so it is synced and noted first.

use std::sync::Arc;

use memchr::memmem;
use millstream_core::storage::Storage;
use millstream_core::{Error, ErrorKind, Result};

use super::acknowledged::{Acknowledged, acknowledged_path};
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
    /// What the file `acknowledged` says now.
    pub acknowledged: Acknowledged,
}

/// Recovers the partition in `folder` (which ends in `/`) with these `files`. Cuts a torn tail.
pub(super) fn recover(storage: &dyn Storage, folder: &str, files: &[&str]) -> Result<Recovered> {
    let name = |path: &&str| Segment::base_of(path.strip_prefix(folder)?);
    let mut bases: Vec<u64> = files.iter().filter_map(name).collect();
    bases.sort_unstable();
    let mut producers = Producers::load(storage, &producers_path(folder))?;
    let noted = Noted::load(storage, folder)?;
    let last_base = bases.pop();
    noted.check_is_there(last_base)?;
    let Some(last_base) = last_base else {
        return Ok(Recovered {
            segments: vec![],
            active: (0, 0),
            next: 0,
            producers,
            acknowledged: Acknowledged::default(),
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
    noted.check_is_sound(&last, &scan)?;
    check_batches(storage, &last, &scan, length)?;
    let Place {
        offset: next,
        position,
    } = scan.sound;
    if position < length {
        cut(storage, &last, &scan, length)?;
    }
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
    let newest = segments.last().map(Arc::as_ref);
    Ok(Recovered {
        acknowledged: noted.renew(storage, newest, next)?,
        segments,
        active,
        next,
        producers,
    })
}

/// What the file `acknowledged` said on start.
struct Noted {
    path: String,
    end: Option<Acknowledged>,
}

impl Noted {
    fn load(storage: &dyn Storage, folder: &str) -> Result<Self> {
        let path = acknowledged_path(folder);
        let end = Acknowledged::load(storage, &path)?;
        Ok(Self { path, end })
    }

    /// `Corrupt` if the segment that held the last record is missing.
    fn check_is_there(&self, last_base: Option<u64>) -> Result<()> {
        let path = &self.path;
        match self.end {
            Some(end) if end.next > 0 && last_base.is_none_or(|base| base < end.base) => {
                Err(Error::corrupt(format!(
                    "`{path}`: records before offset {} were acknowledged, but the segment of \
                     offset {} is missing; restore the partition's folder from a backup, or delete \
                     this file to go on without them",
                    end.next, end.base
                )))
            }
            _ => Ok(()),
        }
    }

    /// `Corrupt` if what is sound of the last segment ends before what was acknowledged.
    fn check_is_sound(&self, last: &Segment, scan: &Scan) -> Result<()> {
        let (Some(end), sound) = (self.end, scan.sound) else {
            return Ok(());
        };
        let is_shorter = end.base == last.base && sound.position < end.position;
        if !is_shorter && sound.offset >= end.next {
            return Ok(());
        }
        let why = scan.damage.as_ref().map_or_else(
            || (sound, "the file ends".to_owned()),
            |(place, why)| (*place, why.clone()),
        );
        let records = format!("{} to {}", sound.offset, end.next.saturating_sub(1));
        Err(lost(last, sound, why, &records))
    }

    /// Notes that records up to `newest` are on the disk, unless that is what it says; syncs them
    /// first.
    fn renew(
        &self,
        storage: &dyn Storage,
        newest: Option<&Segment>,
        next: u64,
    ) -> Result<Acknowledged> {
        let Some(newest) = newest else {
            return Ok(Acknowledged::default());
        };
        let end = Acknowledged {
            base: newest.base,
            position: newest.length(),
            next,
        };
        if self.end != Some(end) {
            storage.append(&newest.path)?.sync()?;
            end.save(storage, &self.path)?;
        }
        Ok(end)
    }
}

/// The error for acknowledged `records` that are damaged: why and where, and what to do.
fn lost(segment: &Segment, sound: Place, (place, why): (Place, String), records: &str) -> Error {
    let (path, position) = (&segment.path, sound.position);
    let why = segment.damaged(place, why);
    Error::corrupt(format!(
        "{why}; offsets {records} were acknowledged and are damaged; nothing was changed: restore \
         the partition's folder from a backup, or, to go on without them, cut `{path}` to \
         {position} bytes and delete the file `acknowledged` next to it"
    ))
}

/// Cuts off what follows the last whole append of `segment`, and keeps it in a file of its own.
fn cut(storage: &dyn Storage, segment: &Segment, scan: &Scan, length: u64) -> Result<()> {
    let (path, Place { offset, position }) = (&segment.path, scan.sound);
    let kept = keep_tail(storage, path, position..length)?;
    let why = match &scan.damage {
        Some((_, why)) => why,
        None => "an append is incomplete",
    };
    tracing::warn!(
        path,
        position,
        offset,
        bytes = length - position,
        why,
        kept,
        "cut off a torn write; nothing says that it was acknowledged"
    );
    let mut file = storage.append(path)?;
    file.truncate(position)?;
    file.sync()
}

/// Copies bytes of the file at `path`, so that cutting them off loses nothing. The copy's path.
fn keep_tail(storage: &dyn Storage, path: &str, tail: std::ops::Range<u64>) -> Result<String> {
    let length = usize::try_from(tail.end - tail.start)
        .map_err(|_| Error::corrupt(format!("`{path}`: {} bytes", tail.end)))?;
    let bytes = storage.read_range(path, tail.start, length)?;
    let first = format!("{path}.cut-{}", tail.start);
    let mut kept = first.clone();
    for number in 2.. {
        match storage.put_if_absent(&kept, &bytes) {
            // A start before this one has kept it, and died before it could cut.
            Err(error) if error.kind() == ErrorKind::Conflict && storage.read(&kept)? == bytes => {
                break;
            }
            Err(error) if error.kind() == ErrorKind::Conflict => kept = format!("{first}-{number}"),
            other => {
                other?;
                break;
            }
        }
    }
    Ok(kept)
}

/// The file that keeps the producers of the partition in `folder`.
pub(super) fn producers_path(folder: &str) -> String {
    format!("{folder}producers.json")
}

/// What a segment holds.
pub(super) struct Scan {
    /// The end of the last append that is whole: the next offset, and the bytes up to there.
    pub sound: Place,
    /// What is wrong with what follows, and where.
    pub damage: Option<(Place, String)>,
}

/// Checks the first `length` bytes of `segment`, batch by batch; tells `producers` of those that
/// are sound.
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
    Ok(Scan { sound, damage })
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
pub(super) fn sound_batch(
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

/// `Corrupt` if a sound batch behind the damage says that what is damaged was acknowledged.
fn check_batches(storage: &dyn Storage, segment: &Segment, scan: &Scan, length: u64) -> Result<()> {
    match &scan.damage {
        Some((place, why))
            if is_acknowledged_after(storage, segment, (scan.sound, *place), length)? =>
        {
            let records = format!("from {}", scan.sound.offset);
            let why = (*place, why.clone());
            Err(lost(segment, scan.sound, why, &records))
        }
        _ => Ok(()),
    }
}

/// Whether a sound batch behind the damage says that more than `sound` was acknowledged.
pub(super) fn is_acknowledged_after(
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
