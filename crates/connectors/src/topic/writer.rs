//! [`Writer`]: the file side of a partition. Whoever holds it writes a round of appends and syncs
//! once.
//!
//! INVARIANT: `durable` bytes of the active segment, and `next`, are what is acknowledged. A round
//! that fails leaves the writer suspect: before it writes again, the file is cut back to `durable`
//! bytes, synced, and every batch in it checked.
//! INVARIANT: what is acknowledged was noted as such (`acknowledged.rs`), and what is noted is on the
//! disk: an entry in doubt is settled before the file is cut back.
//! INVARIANT: a new segment begins only at the start of a round, when all before it is synced.

use std::sync::Arc;

#[cfg(feature = "mutants")]
use millstream_core::mutant::Mutant;
use millstream_core::storage::{AppendFile, Storage};
use millstream_core::{Error, Result};

use super::acknowledged::{Acknowledged, AcknowledgedFile};
use super::format::segment_header;
use super::producer::{ProducerEpoch, Producers};
use super::record_set::EncodedBatch;
use super::recovery::{Recovered, producers_path, scan};
use super::segment::{Place, Segment};

/// One append: written as a whole or not at all.
#[derive(Debug)]
pub(super) struct Request {
    /// At least one.
    pub batches: Vec<EncodedBatch>,
    /// Whose epoch it is.
    pub producer: Option<Arc<ProducerEpoch>>,
}

impl Request {
    /// Bytes to write.
    pub fn bytes(&self) -> usize {
        self.batches.iter().map(EncodedBatch::len).sum()
    }
}

/// Where an append went: the first record's offset; `None`: the log held that epoch already.
pub(super) type Outcome = Result<Option<u64>>;

/// What a round made visible.
#[derive(Debug)]
pub(super) struct Round {
    /// For each request.
    pub outcomes: Vec<Outcome>,
    /// The next record's offset.
    pub end: u64,
    /// The active segment, if records were written.
    pub segment: Option<Arc<Segment>>,
}

/// Appends to the active segment.
pub(super) struct Writer {
    storage: Arc<dyn Storage>,
    folder: String,
    segment_bytes: u64,
    /// `None` until the first write, and after a failure.
    file: Option<Box<dyn AppendFile>>,
    is_suspect: bool,
    segment: Arc<Segment>,
    durable: u64,
    next: u64,
    producers: Producers,
    saved_producers: Producers,
    acknowledged: AcknowledgedFile,
}

impl Writer {
    /// Goes on where `recovered` ends.
    pub fn new(
        storage: Arc<dyn Storage>,
        folder: &str,
        segment_bytes: u64,
        recovered: &Recovered,
    ) -> Self {
        let (base, durable) = recovered.active;
        let last = recovered
            .segments
            .last()
            .filter(|segment| segment.base == base);
        let segment = last.cloned();
        Self {
            storage: storage.clone(),
            folder: folder.to_owned(),
            segment_bytes,
            file: None,
            is_suspect: false,
            segment: segment.unwrap_or_else(|| Arc::new(Segment::new(folder, base, 0))),
            durable,
            next: recovered.next,
            producers: recovered.producers.clone(),
            // What the file holds is not known here; writing it once too often does no harm.
            saved_producers: Producers::default(),
            acknowledged: AcknowledgedFile::new(storage, folder, recovered.acknowledged),
        }
    }

    /// The next record's offset.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Who appended.
    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    /// Writes `requests` in order and syncs once. `Err`: none of them is in the log.
    pub fn write(&mut self, requests: &mut [Request], time_ms: i64) -> Result<Round> {
        let round = self
            .prepare()
            .and_then(|()| self.try_write(requests, time_ms));
        if round.is_err() {
            self.file = None;
            self.is_suspect = true;
            // Best effort now, so that bytes which nobody was promised do not stay; if it fails
            // too, the next round tries again.
            if let Err(error) = self.open() {
                tracing::warn!(path = self.segment.path, %error, "cannot repair after a failed write");
            }
        }
        round
    }

    fn try_write(&mut self, requests: &mut [Request], time_ms: i64) -> Result<Round> {
        let file = self.file.as_mut().expect("prepare opens it");
        let mut length = self.durable;
        let mut place = Place {
            offset: self.next,
            position: length,
        };
        let mut producers = self.producers.clone();
        let mut outcomes = Vec::with_capacity(requests.len());
        let mut places = Vec::new();
        for request in requests {
            if let Some(producer) = &request.producer {
                match producers.holds(producer) {
                    Ok(false) => producers.advance(producer),
                    Ok(true) => {
                        outcomes.push(Ok(None));
                        continue;
                    }
                    Err(fenced) => {
                        outcomes.push(Err(fenced));
                        continue;
                    }
                }
            }
            if length == 0 {
                let header = segment_header(self.segment.base);
                file.append(&header)?;
                length = header.len() as u64;
            }
            outcomes.push(Ok(Some(place.offset)));
            let last = request.batches.len() - 1;
            for (index, batch) in request.batches.iter_mut().enumerate() {
                place.position = length;
                places.push(place);
                let start = (place.offset, self.durable);
                let (continues, producer) = (index < last, request.producer.as_ref());
                file.append(batch.seal(start, time_ms, continues, producer))?;
                length += batch.len() as u64;
                place.offset += u64::from(batch.records());
            }
        }
        let is_written = place.offset > self.next;
        if is_written {
            #[cfg(not(feature = "mutants"))]
            file.sync()?;
            #[cfg(feature = "mutants")]
            if !Mutant::AckBeforeSync.is_out() {
                file.sync()?;
            }
            // CRASH: records that nobody was promised stay, as after a lost answer.
            self.acknowledged.note(Acknowledged {
                base: self.segment.base,
                position: length,
                next: place.offset,
            })?;
            places
                .iter()
                .for_each(|place| self.segment.add_index(*place));
            self.segment.grow(length);
            (self.durable, self.next, self.producers) = (length, place.offset, producers);
        }
        let segment = is_written.then(|| self.segment.clone());
        Ok(Round {
            outcomes,
            end: self.next,
            segment,
        })
    }

    /// Sees to it that a file is open, sound, and not yet full.
    fn prepare(&mut self) -> Result<()> {
        if self.file.is_none() {
            self.open()?;
        }
        if self.durable >= self.segment_bytes {
            self.rotate()?;
        }
        Ok(())
    }

    fn open(&mut self) -> Result<()> {
        let mut file = self.storage.append(&self.segment.path)?;
        if file.length() < self.durable {
            return Err(Error::corrupt(format!(
                "`{}`: found {} bytes, expected the {} that were acknowledged",
                self.segment.path,
                file.length(),
                self.durable
            )));
        }
        if file.length() > self.durable {
            self.acknowledged.settle()?;
            file.truncate(self.durable)?;
        }
        if self.is_suspect {
            file.sync()?;
            self.check()?;
            self.is_suspect = false;
        }
        self.file = Some(file);
        Ok(())
    }

    /// Reads what was acknowledged back from the disk.
    fn check(&self) -> Result<()> {
        if self.durable == 0 {
            return Ok(());
        }
        let mut producers = Producers::default();
        let scan = scan(&*self.storage, &self.segment, self.durable, &mut producers)?;
        let expected = Place {
            offset: self.next,
            position: self.durable,
        };
        if scan.sound != expected {
            let (place, why) = scan
                .damage
                .unwrap_or_else(|| (scan.sound, format!("expected the end at {}", self.next)));
            return Err(self.segment.damaged(place, why));
        }
        Ok(())
    }

    fn rotate(&mut self) -> Result<()> {
        if self.producers != self.saved_producers {
            // CRASH: the old segment is the last one still, so its producers are found in it.
            self.producers
                .save(&*self.storage, &producers_path(&self.folder))?;
            self.saved_producers = self.producers.clone();
        }
        self.file = None;
        self.segment = Arc::new(Segment::new(&self.folder, self.next, 0));
        self.durable = 0;
        self.open()
    }
}
