//! [`RecordSet`]: the records of one append, over a shared buffer; and the batches made of them.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use millstream_core::{Error, Result};

use super::format::{BatchHeader, header_bytes};
use super::producer::ProducerEpoch;

/// An append is split into batches of about this many bytes.
pub(super) const BATCH_BYTES: usize = 1 << 20;
/// The largest record.
pub(super) const RECORD_BYTES_MAX: usize = 64 << 20;

/// Records to append: ranges of one buffer, such as the lines of a request's body. Cloning shares
/// the buffer.
#[derive(Debug, Clone, Default)]
pub struct RecordSet {
    data: Bytes,
    records: Vec<Range<u32>>,
}

impl RecordSet {
    /// The records at `records` of `data`. `InvalidInput` if a record is larger than 64 MiB, `Bug`
    /// if one is not in `data`.
    pub fn new(data: impl Into<Bytes>, records: Vec<Range<u32>>) -> Result<Self> {
        let data = data.into();
        for record in &records {
            if record.start > record.end || record.end as usize > data.len() {
                let length = data.len();
                return Err(Error::bug(format!(
                    "record {record:?} of {length} bytes of data"
                )));
            }
            if record.len() > RECORD_BYTES_MAX {
                return Err(Error::invalid(format!(
                    "a record of {} bytes, expected at most {RECORD_BYTES_MAX}",
                    record.len()
                )));
            }
        }
        Ok(Self { data, records })
    }

    /// The lines of `data` that are not blank, without their ends (`\n` or `\r\n`).
    /// `InvalidInput` as in [`RecordSet::new`], or if `data` is 4 GiB or more.
    pub fn from_lines(data: impl Into<Bytes>) -> Result<Self> {
        let data = data.into();
        let length = u32::try_from(data.len())
            .map_err(|_| Error::invalid(format!("{} bytes, expected below 4 GiB", data.len())))?;
        let mut records = Vec::new();
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &data).chain([length as usize]) {
            let line = &data[start..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.trim_ascii().is_empty() {
                let from = u32::try_from(start).expect("below the length");
                let to = u32::try_from(start + line.len()).expect("below the length");
                records.push(from..to);
            }
            start = end + 1;
        }
        Self::new(data, records)
    }

    /// Copies `records` into one buffer. `InvalidInput` as in [`RecordSet::new`], or if there are
    /// 4 GiB or more.
    pub fn from_records<R: AsRef<[u8]>>(records: impl IntoIterator<Item = R>) -> Result<Self> {
        let mut data = Vec::new();
        let mut ranges = Vec::new();
        let too_many = |_| Error::invalid("records of 4 GiB or more in one append");
        for record in records {
            let start = u32::try_from(data.len()).map_err(too_many)?;
            data.extend_from_slice(record.as_ref());
            ranges.push(start..u32::try_from(data.len()).map_err(too_many)?);
        }
        Self::new(data, ranges)
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.records
            .iter()
            .map(|range| &self.data[range.start as usize..range.end as usize])
    }
}

/// A batch as bytes, but for the header's fields that only the writer knows.
#[derive(Debug)]
pub(super) struct EncodedBatch {
    bytes: Vec<u8>,
    header_bytes: usize,
    body_crc: u32,
    records: u32,
}

impl EncodedBatch {
    /// Splits `sets` into batches.
    pub fn encode(sets: &[RecordSet], producer: Option<&ProducerEpoch>) -> Vec<Self> {
        let header_bytes = header_bytes(producer);
        let mut batches = Vec::new();
        let mut records = sets.iter().flat_map(RecordSet::iter).peekable();
        let mut body_left: usize = sets
            .iter()
            .flat_map(RecordSet::iter)
            .map(|r| 4 + r.len())
            .sum();
        while records.peek().is_some() {
            let mut bytes = Vec::with_capacity(header_bytes + body_left.min(BATCH_BYTES));
            bytes.resize(header_bytes, 0);
            let mut count = 0;
            let fits = |bytes: &[u8], record: &[u8]| {
                bytes.len() == header_bytes || bytes.len() + 4 + record.len() <= BATCH_BYTES
            };
            while let Some(record) = records.next_if(|record| fits(&bytes, record)) {
                let length = u32::try_from(record.len()).expect("at most 64 MiB");
                bytes.extend_from_slice(&length.to_le_bytes());
                bytes.extend_from_slice(record);
                count += 1;
            }
            let body = &bytes[header_bytes..];
            body_left -= body.len();
            let body_crc = crc32fast::hash(body);
            batches.push(Self {
                bytes,
                header_bytes,
                body_crc,
                records: count,
            });
        }
        batches
    }

    /// Number of records.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Bytes, header included.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Fills in what the writer knows, and gives the bytes to write.
    pub fn seal(
        &mut self,
        (base, durable): (u64, u64),
        time_ms: i64,
        continues: bool,
        producer: Option<&Arc<ProducerEpoch>>,
    ) -> &[u8] {
        let body = self.bytes.len() - self.header_bytes;
        let header = BatchHeader {
            body_bytes: u32::try_from(body).expect("a batch holds 1 MiB or one record"),
            body_crc: self.body_crc,
            base,
            durable,
            time_ms,
            records: self.records,
            continues,
            producer: producer.cloned(),
        };
        header.write(&mut self.bytes[..self.header_bytes]);
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use millstream_core::ErrorKind;

    use super::*;

    fn lines(text: &'static str) -> Vec<&'static [u8]> {
        let set = RecordSet::from_lines(text).unwrap();
        let data = text.as_bytes();
        let place = |range: &Range<u32>| &data[range.start as usize..range.end as usize];
        set.records.iter().map(place).collect()
    }

    #[test]
    fn lines_are_records_and_blank_ones_are_not() {
        assert_eq!(lines("a\nbc\n"), [&b"a"[..], b"bc"]);
        assert_eq!(lines("a\r\n\n \t\r\n\nb"), [&b"a"[..], b"b"]);
        assert_eq!(lines(" x \n"), [&b" x "[..]]);
        assert!(lines("").is_empty() && lines("\n\n").is_empty());
    }

    #[test]
    fn ranges_outside_the_data_and_huge_records_are_refused() {
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
        for range in [0..4, 3..2] {
            let error = RecordSet::new(&b"abc"[..], vec![range]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Bug);
        }
        let error = RecordSet::from_records([vec![0; RECORD_BYTES_MAX + 1]]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn appends_are_split_into_batches_of_a_mebibyte() {
        let sizes = |records: &[usize]| -> Vec<u32> {
            let set = RecordSet::from_records(records.iter().map(|n| vec![1; *n])).unwrap();
            let batches = EncodedBatch::encode(&[set.clone(), set], None);
            batches.iter().map(EncodedBatch::records).collect()
        };
        assert_eq!(sizes(&[1, 2, 3]), [6]);
        assert_eq!(sizes(&[0]), [2]);
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&[BATCH_BYTES / 2, BATCH_BYTES / 4]), [2, 2]);
        assert_eq!(sizes(&[5, 2 * BATCH_BYTES]), [1, 1, 1, 1]);
    }
}
