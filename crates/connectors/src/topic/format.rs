//! Headers of segments and batches as bytes; the contract is in the [parent](super) module.

use std::sync::Arc;

use millstream_core::{Epoch, Incarnation};

use super::producer::ProducerEpoch;

/// Bytes of a segment's header.
pub(super) const SEGMENT_HEADER_BYTES: usize = 24;
/// Bytes of a batch's header, without the producer.
pub(super) const BATCH_HEADER_BYTES: usize = 48;
/// What a batch begins with.
pub(super) const BATCH_MAGIC: [u8; 4] = *b"MSB1";

const SEGMENT_MAGIC: [u8; 6] = *b"MSTLOG";
const VERSION: u16 = 1;
const CONTINUES: u16 = 1;
const PRODUCER_BYTES_MIN: usize = 17;

/// The header of a segment that begins at `base`.
pub(super) fn segment_header(base: u64) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    bytes[..6].copy_from_slice(&SEGMENT_MAGIC);
    bytes[6..8].copy_from_slice(&VERSION.to_le_bytes());
    bytes[8..16].copy_from_slice(&base.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..20]);
    bytes[20..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// What is wrong with a segment's header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SegmentHeaderError {
    /// It was not written to its end.
    Torn(String),
    /// It was, but it is not one of ours.
    Refused(String),
}

/// Checks a segment's header.
pub(super) fn check_segment_header(bytes: &[u8], base: u64) -> Result<(), SegmentHeaderError> {
    use SegmentHeaderError::{Refused, Torn};
    let Some(header) = bytes.get(..SEGMENT_HEADER_BYTES) else {
        let found = bytes.len();
        let expected = SEGMENT_HEADER_BYTES;
        return Err(Torn(format!(
            "found {found} bytes, expected a segment header of {expected}"
        )));
    };
    if header == segment_header(base) {
        return Ok(());
    }
    let sum = crc32fast::hash(&header[..20]);
    if header[..6] != SEGMENT_MAGIC || u32_at(header, 20) != sum {
        return Err(Torn("the segment's header is damaged".into()));
    }
    let version = u16_at(header, 6);
    if version != VERSION {
        return Err(Refused(format!(
            "found a segment of version {version}, expected {VERSION}"
        )));
    }
    Err(Refused(format!(
        "found base offset {}, expected {base}",
        u64_at(header, 8)
    )))
}

/// What stands before the records of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BatchHeader {
    /// Bytes of the records, their lengths included.
    pub body_bytes: u32,
    /// Checksum of the records.
    pub body_crc: u32,
    /// Offset of the first record.
    pub base: u64,
    /// Bytes of the segment that were acknowledged before.
    pub durable: u64,
    /// When it was appended, in ms.
    pub time_ms: i64,
    /// Number of records.
    pub records: u32,
    /// Whether the next batch belongs to the same append.
    pub continues: bool,
    /// Whose epoch it is.
    pub producer: Option<Arc<ProducerEpoch>>,
}

/// What [`BatchHeader::parse`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// A header whose checksum is right, and its length.
    Header(BatchHeader, usize),
    /// So many bytes are needed.
    Short(usize),
    /// Not a header, and why.
    Damaged(&'static str),
}

/// Bytes of a header with that producer.
pub(super) fn header_bytes(producer: Option<&ProducerEpoch>) -> usize {
    BATCH_HEADER_BYTES + producer.map_or(0, |producer| 16 + producer.id.len())
}

impl BatchHeader {
    /// Offset of the record after the batch.
    pub fn end(&self) -> u64 {
        self.base + u64::from(self.records)
    }

    /// Writes the header into `out`, which has exactly [`header_bytes`].
    pub fn write(&self, out: &mut [u8]) {
        let producer = self.producer.as_deref();
        debug_assert_eq!(out.len(), header_bytes(producer));
        let producer_bytes = out.len() - BATCH_HEADER_BYTES;
        let producer_bytes = u16::try_from(producer_bytes).expect("names were checked");
        out[..4].copy_from_slice(&BATCH_MAGIC);
        out[8..12].copy_from_slice(&self.body_bytes.to_le_bytes());
        out[12..16].copy_from_slice(&self.body_crc.to_le_bytes());
        out[16..24].copy_from_slice(&self.base.to_le_bytes());
        out[24..32].copy_from_slice(&self.durable.to_le_bytes());
        out[32..40].copy_from_slice(&self.time_ms.to_le_bytes());
        out[40..44].copy_from_slice(&self.records.to_le_bytes());
        let attributes = if self.continues { CONTINUES } else { 0 };
        out[44..46].copy_from_slice(&attributes.to_le_bytes());
        out[46..48].copy_from_slice(&producer_bytes.to_le_bytes());
        if let Some(producer) = producer {
            out[48..56].copy_from_slice(&producer.incarnation.0.to_le_bytes());
            out[56..64].copy_from_slice(&producer.epoch.0.to_le_bytes());
            out[64..].copy_from_slice(producer.id.as_bytes());
        }
        let crc = crc32fast::hash(&out[8..]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads the header at the start of `bytes`.
    pub fn parse(bytes: &[u8]) -> Parsed {
        let magic = bytes.len().min(4);
        if bytes[..magic] != BATCH_MAGIC[..magic] {
            return Parsed::Damaged("no batch begins here");
        }
        if bytes.len() < BATCH_HEADER_BYTES {
            return Parsed::Short(BATCH_HEADER_BYTES);
        }
        let producer_bytes = usize::from(u16_at(bytes, 46));
        let length = BATCH_HEADER_BYTES + producer_bytes;
        let Some(header) = bytes.get(..length) else {
            return Parsed::Short(length);
        };
        if u32_at(header, 4) != crc32fast::hash(&header[8..]) {
            return Parsed::Damaged("the batch header's checksum is wrong");
        }
        let attributes = u16_at(header, 44);
        let (base, records) = (u64_at(header, 16), u32_at(header, 40));
        let is_known = attributes & !CONTINUES == 0
            && records > 0
            && base.checked_add(u64::from(records)).is_some();
        let Some(producer) = parse_producer(&header[BATCH_HEADER_BYTES..]) else {
            return Parsed::Damaged("the batch's producer is not valid");
        };
        if !is_known {
            return Parsed::Damaged("the batch header is of an unknown kind");
        }
        let header = Self {
            body_bytes: u32_at(header, 8),
            body_crc: u32_at(header, 12),
            base,
            durable: u64_at(header, 24),
            time_ms: u64_at(header, 32).cast_signed(),
            records,
            continues: attributes & CONTINUES != 0,
            producer,
        };
        Parsed::Header(header, length)
    }
}

/// `None`: not valid; `Some(None)`: there is none.
#[expect(
    clippy::option_option,
    reason = "a producer is optional, and parsing it can fail"
)]
fn parse_producer(bytes: &[u8]) -> Option<Option<Arc<ProducerEpoch>>> {
    if bytes.is_empty() {
        return Some(None);
    }
    if bytes.len() < PRODUCER_BYTES_MIN {
        return None;
    }
    let id = std::str::from_utf8(&bytes[16..]).ok()?;
    Some(Some(Arc::new(ProducerEpoch {
        id: id.to_owned(),
        incarnation: Incarnation(u64_at(bytes, 0)),
        epoch: Epoch(u64_at(bytes, 8)),
    })))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(producer: Option<&str>) -> (BatchHeader, Vec<u8>) {
        let producer = producer.map(|id| {
            let (incarnation, epoch) = (Incarnation(1), Epoch(2));
            Arc::new(ProducerEpoch {
                id: id.into(),
                incarnation,
                epoch,
            })
        });
        let header = BatchHeader {
            body_bytes: 7,
            body_crc: 0xdead_beef,
            base: 1 << 40,
            durable: 24,
            time_ms: -5,
            records: 3,
            continues: true,
            producer,
        };
        let mut bytes = vec![0; header_bytes(header.producer.as_deref())];
        header.write(&mut bytes);
        (header, bytes)
    }

    #[test]
    fn headers_come_back() {
        for producer in [None, Some("clicks/page_minute_agg")] {
            let (header, bytes) = header(producer);
            let length = bytes.len();
            assert_eq!(BatchHeader::parse(&bytes), Parsed::Header(header, length));
        }
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_found() {
        let (_, bytes) = header(Some("p/s"));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let parsed = BatchHeader::parse(&damaged);
            assert!(
                !matches!(parsed, Parsed::Header(..)),
                "bit {bit}: {parsed:?}"
            );
        }
        let segment = segment_header(77);
        assert_eq!(check_segment_header(&segment, 77), Ok(()));
        for bit in 0..segment.len() * 8 {
            let mut damaged = segment;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(check_segment_header(&damaged, 77).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_cut_header_says_how_much_it_needs() {
        let (_, bytes) = header(Some("p/s"));
        for length in 0..bytes.len() {
            let parsed = BatchHeader::parse(&bytes[..length]);
            let needed = if length < BATCH_HEADER_BYTES {
                BATCH_HEADER_BYTES
            } else {
                bytes.len()
            };
            assert_eq!(parsed, Parsed::Short(needed));
        }
    }

    #[test]
    fn segments_of_other_versions_and_offsets_are_refused() {
        let check = |change: &dyn Fn(&mut [u8]), expected: SegmentHeaderError| {
            let mut header = segment_header(5);
            change(&mut header);
            let crc = crc32fast::hash(&header[..20]);
            header[20..].copy_from_slice(&crc.to_le_bytes());
            assert_eq!(check_segment_header(&header, 5), Err(expected));
        };
        let refused = |text: &str| SegmentHeaderError::Refused(text.into());
        let torn = |text: &str| SegmentHeaderError::Torn(text.into());
        check(
            &|header| header[6] = 9,
            refused("found a segment of version 9, expected 1"),
        );
        check(
            &|header| header[8] = 6,
            refused("found base offset 6, expected 5"),
        );
        check(
            &|header| header[0] = b'X',
            torn("the segment's header is damaged"),
        );
        let short = check_segment_header(b"MSTLOG", 5);
        assert_eq!(
            short,
            Err(torn("found 6 bytes, expected a segment header of 24"))
        );
    }
}
