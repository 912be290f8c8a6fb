//! Looks at all topics of a data directory, every batch of every segment: see
//! [`millstream_core::audit`].
//!
//! What a start would cut off or write anew is a note; what it would refuse, and what readers would
//! stop at, is a problem.

use std::collections::BTreeMap;
use std::ops::Range;

use millstream_core::audit::Audit;
use millstream_core::sink::EpochMark;
use millstream_core::{Error, Result};

use super::acknowledged::{Acknowledged, ENTRY_BYTES, acknowledged_path};
use super::definition::TopicOptions;
use super::format::{
    BATCH_HEADER_BYTES, BatchHeader, SegmentHeaderError, check_segment_header, u32_at,
};
use super::log::{DEFINITION, FOLDER};
use super::producer::{Mark, Producers};
use super::recovery::{Scan, is_acknowledged_after, producers_path, sound_batch};
use super::segment::{Place, Segment, Window};

/// A segment is read in pieces of this size.
const READ_BYTES: usize = 1 << 20;

/// What is known of a topic once its files were looked at.
#[derive(Debug)]
pub struct TopicFacts {
    /// Its name.
    pub name: String,
    /// Offsets of each partition: the first that is there, and the one after the last. `None` if the
    /// partition is damaged.
    pub partitions: Vec<Option<Range<u64>>>,
    /// What each producer (`pipeline/sink`) has appended.
    pub producers: BTreeMap<String, ProducerFacts>,
    /// Number of segments.
    pub segments: usize,
    /// Number of records.
    pub records: u64,
}

/// What a producer has appended.
#[derive(Debug, Default, Clone, Copy)]
pub struct ProducerFacts {
    /// The last epoch.
    pub last: Option<EpochMark>,
    /// Records that are there.
    pub records: u64,
}

/// Looks at the files of every topic.
///
/// # Errors
/// What the storage says if it cannot be listed.
pub fn audit(audit: &mut Audit<'_>) -> Result<Vec<TopicFacts>> {
    let mut topics: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in audit.storage().list(FOLDER)? {
        if let Some((topic, _)) = path[FOLDER.len()..].split_once('/') {
            topics.entry(topic.to_owned()).or_default().push(path);
        }
    }
    let topics = topics.into_iter();
    Ok(topics
        .map(|(name, files)| topic(audit, name, &files))
        .collect())
}

fn topic(audit: &mut Audit<'_>, name: String, files: &[String]) -> TopicFacts {
    let path = format!("{FOLDER}{name}/{DEFINITION}");
    let mut facts = TopicFacts {
        name,
        partitions: vec![],
        producers: BTreeMap::new(),
        segments: 0,
        records: 0,
    };
    let options = match files.contains(&path) {
        true => audit.read(&path).and_then(|bytes| {
            let options = TopicOptions::from_json(&path, &bytes);
            options.map_err(|error| audit.failed(&path, &error)).ok()
        }),
        false => {
            audit.problem(&path, "is missing, its partitions are not");
            None
        }
    };
    let partitions = files.iter().filter_map(|file| number_of(&facts.name, file));
    let found = partitions.max().map_or(0, |last| last + 1);
    if let Some(options) = options.filter(|options| found > options.partitions) {
        let expected = options.partitions;
        audit.problem(
            &path,
            format!("found partition {}, expected {expected} in all", found - 1),
        );
    }
    for number in 0..options.map_or(0, |options| options.partitions).max(found) {
        let folder = format!("{FOLDER}{}/{number}/", facts.name);
        let own = files.iter().filter(|file| file.starts_with(&folder));
        let own: Vec<&str> = own.map(String::as_str).collect();
        let mut partition = PartitionAudit::new(folder);
        let is_sound = partition.run(audit, &own);
        facts.segments += partition.segments;
        facts.records = facts
            .records
            .saturating_add(partition.end - partition.start);
        facts
            .partitions
            .push(is_sound.then_some(partition.start..partition.end));
        for (id, found) in partition.producers {
            let known = facts.producers.entry(id).or_default();
            known.last = known.last.max(found.last);
            known.records += found.records;
        }
    }
    facts
}

fn number_of(topic: &str, file: &str) -> Option<u32> {
    let rest = file[FOLDER.len() + topic.len() + 1..].split_once('/')?;
    rest.0.parse().ok()
}

/// One partition under inspection.
struct PartitionAudit {
    /// Ends in `/`.
    folder: String,
    start: u64,
    end: u64,
    segments: usize,
    producers: BTreeMap<String, ProducerFacts>,
    is_sound: bool,
}

impl PartitionAudit {
    fn new(folder: String) -> Self {
        Self {
            folder,
            start: 0,
            end: 0,
            segments: 0,
            producers: BTreeMap::new(),
            is_sound: true,
        }
    }

    /// Whether all of it is sound.
    fn run(&mut self, audit: &mut Audit<'_>, files: &[&str]) -> bool {
        let base = |path: &&str| Segment::base_of(path.strip_prefix(&*self.folder)?);
        let mut bases: Vec<u64> = files.iter().filter_map(base).collect();
        bases.sort_unstable();
        let noted = self.noted(audit, !bases.is_empty());
        self.start = bases.first().copied().unwrap_or(0);
        self.end = self.start;
        self.segments = bases.len();
        for (index, base) in bases.iter().enumerate() {
            let is_last = index + 1 == bases.len();
            if *base != self.end {
                let (path, found) = (Segment::new(&self.folder, self.end, 0).path, *base);
                self.problem(
                    audit,
                    &path,
                    format!("is missing: the next segment begins at {found}"),
                );
                self.end = *base;
            }
            if is_last {
                self.check_producers(audit);
            }
            self.segment(audit, *base, is_last.then_some(noted));
        }
        if let Some(end) = noted.filter(|end| {
            end.next > 0 && end.base > bases.last().copied().unwrap_or(0) || bases.is_empty()
        }) {
            let path = Segment::new(&self.folder, end.base, 0).path;
            let next = end.next;
            self.problem(
                audit,
                &path,
                format!("is missing: records before offset {next} were acknowledged"),
            );
        }
        for path in files.iter().filter(|path| path.contains(".log.cut-")) {
            audit.checked(path, 0);
            audit.note(
                path,
                "was cut off the segment on a start, as nothing said that it was acknowledged",
            );
        }
        self.is_sound
    }

    fn problem(&mut self, audit: &mut Audit<'_>, path: &str, what: impl Into<String>) {
        self.is_sound = false;
        audit.problem(path, what);
    }

    /// What the file `acknowledged` says.
    fn noted(&mut self, audit: &mut Audit<'_>, has_segments: bool) -> Option<Acknowledged> {
        let path = acknowledged_path(&self.folder);
        let storage = audit.storage();
        match storage.length(&path) {
            Ok(Some(_)) => {}
            Ok(None) if has_segments => {
                let what = "is missing: an older version wrote none, and the next start makes it; \
                            if there was one, a damaged end of the log cannot be told from a torn one";
                audit.note(&path, what);
                return None;
            }
            Ok(None) => return None,
            Err(error) => {
                audit.failed(&path, &error);
                return None;
            }
        }
        let bytes = audit.read(&path)?;
        let (newest, damaged) = Acknowledged::newest(&bytes);
        let left = bytes.len() % ENTRY_BYTES;
        if newest.is_none() {
            let found = bytes.len();
            self.problem(
                audit,
                &path,
                format!("found {found} bytes without a sound entry"),
            );
        } else if let Some(number) = damaged {
            let entries = bytes.len() / ENTRY_BYTES;
            let what = format!("entry {number} of {entries} is damaged, expected its checksum");
            self.problem(audit, &path, what);
        } else if left > 0 {
            audit.note(
                &path,
                format!("ends in {left} bytes of an entry that a crash has torn"),
            );
        }
        newest
    }

    /// What `producers.json` says must be at least what the segments before the last say.
    fn check_producers(&mut self, audit: &mut Audit<'_>) {
        let path = producers_path(&self.folder);
        if let Ok(Some(_)) = audit.storage().length(&path) {
            audit.read(&path);
        }
        let saved = match Producers::load(audit.storage(), &path) {
            Ok(saved) => saved,
            Err(error) => {
                self.is_sound = false;
                return audit.failed(&path, &error);
            }
        };
        for (id, found) in self.producers.clone() {
            let known = saved.last(&id).map(mark_of);
            if known < found.last {
                let text =
                    |mark: Option<EpochMark>| mark.map_or("nothing".into(), |m| m.to_string());
                let (found, expected) = (text(known), text(found.last));
                self.problem(
                    audit,
                    &path,
                    format!("found {found} of `{id}`, expected {expected} or later"),
                );
            }
        }
        for (id, mark) in saved.all() {
            let known = self.producers.entry(id.clone()).or_default();
            known.last = known.last.max(Some(mark_of(mark)));
        }
    }

    /// Checks every batch. `noted` is given for the last segment: what the file `acknowledged` says.
    fn segment(&mut self, audit: &mut Audit<'_>, base: u64, noted: Option<Option<Acknowledged>>) {
        let segment = Segment::new(&self.folder, base, 0);
        let (scan, length) = match self.scan(audit, &segment) {
            Ok(scanned) => scanned,
            Err(error) => {
                self.is_sound = false;
                return audit.failed(&segment.path, &error);
            }
        };
        audit.checked(&segment.path, length);
        self.end = scan.sound.offset;
        let Place { offset, position } = scan.sound;
        let what = match &scan.damage {
            Some((place, why)) => {
                format!("{why}; position={} offset={}", place.position, place.offset)
            }
            None => format!("an append is incomplete; position={position} offset={offset}"),
        };
        let Some(noted) = noted else {
            if position < length {
                self.problem(audit, &segment.path, what);
            }
            return;
        };
        if let Some(end) =
            noted.filter(|end| end.base == base && position < end.position || offset < end.next)
        {
            let (next, expected) = (end.next, end.position);
            let what = match position < length {
                true => what,
                false => format!("found {length} bytes, expected {expected}"),
            };
            return self.problem(
                audit,
                &segment.path,
                format!("{what}; records before offset {next} were acknowledged"),
            );
        }
        if position == length {
            return;
        }
        let damage = scan.damage.as_ref().map_or(scan.sound, |(place, _)| *place);
        match is_acknowledged_after(audit.storage(), &segment, (scan.sound, damage), length) {
            Ok(true) => self.problem(audit, &segment.path, format!("{what}; a later batch says that it was acknowledged")),
            Ok(false) => audit.note(
                &segment.path,
                format!("{what}; nothing says that it was acknowledged: the next start cuts off {} bytes", length - position),
            ),
            Err(error) => audit.failed(&segment.path, &error),
        }
    }

    /// What the segment holds, and its length.
    fn scan(&mut self, audit: &mut Audit<'_>, segment: &Segment) -> Result<(Scan, u64)> {
        let length = audit.storage().length(&segment.path)?.unwrap_or_default();
        let mut window = Window::new(audit.storage(), &segment.path, length, READ_BYTES);
        let start = Place {
            offset: segment.base,
            position: 0,
        };
        match check_segment_header(window.at(0, 64)?, segment.base) {
            Ok(()) => {}
            Err(SegmentHeaderError::Torn(why)) => {
                let damage = (length > 0).then_some((start, why));
                return Ok((
                    Scan {
                        sound: start,
                        damage,
                    },
                    length,
                ));
            }
            Err(SegmentHeaderError::Refused(why)) => return Err(Error::corrupt(why)),
        }
        let mut place = segment.first();
        let mut sound = place;
        let mut open = 0;
        while place.position < length {
            let header = match sound_batch(&mut window, place)? {
                Ok((header, bytes)) => match self.records(&mut window, place, (&header, bytes))? {
                    None => {
                        place = Place {
                            offset: header.end(),
                            position: place.position + bytes,
                        };
                        header
                    }
                    Some(why) => {
                        return Ok((
                            Scan {
                                sound,
                                damage: Some((place, why.into())),
                            },
                            length,
                        ));
                    }
                },
                Err(why) => {
                    return Ok((
                        Scan {
                            sound,
                            damage: Some((place, why)),
                        },
                        length,
                    ));
                }
            };
            open += u64::from(header.records);
            if !header.continues {
                sound = place;
                self.appended(&header, std::mem::take(&mut open));
            }
        }
        Ok((
            Scan {
                sound,
                damage: None,
            },
            length,
        ))
    }

    /// What is wrong with the lengths of a batch's records, if anything is.
    fn records(
        &self,
        window: &mut Window<'_>,
        place: Place,
        (header, bytes): (&BatchHeader, u64),
    ) -> Result<Option<&'static str>> {
        const WRONG: Option<&str> = Some("the records' lengths do not add up");
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let batch = &window.at(place.position, bytes)?[..bytes];
        let body = &batch[bytes - header.body_bytes as usize..];
        debug_assert!(bytes >= BATCH_HEADER_BYTES);
        let mut at = 0;
        for _ in 0..header.records {
            if body.len() - at < 4 {
                return Ok(WRONG);
            }
            let length = u32_at(body, at) as usize;
            if length > body.len() - at - 4 {
                return Ok(WRONG);
            }
            at += 4 + length;
        }
        Ok(if at == body.len() { None } else { WRONG })
    }

    fn appended(&mut self, header: &BatchHeader, records: u64) {
        if let Some(producer) = &header.producer {
            let known = self.producers.entry(producer.id.clone()).or_default();
            let mark = EpochMark {
                incarnation: producer.incarnation,
                epoch: producer.epoch,
            };
            known.last = known.last.max(Some(mark));
            known.records += records;
        }
    }
}

fn mark_of(mark: Mark) -> EpochMark {
    EpochMark {
        incarnation: mark.incarnation,
        epoch: mark.epoch,
    }
}
