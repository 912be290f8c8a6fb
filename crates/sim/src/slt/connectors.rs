//! The embedded connectors, with an end of input that the test decides.
//!
//! A topic never ends, yet a case must be able to say `end`. So sources say that they are bounded,
//! and from then on a reader that has nothing to read has ended.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use arrow::datatypes::SchemaRef;
use millstream_core::connector::Connectors;
use millstream_core::memory::MemorySource;
use millstream_core::plan::{SinkPlan, SourcePlan};
use millstream_core::sink::Sink;
use millstream_core::source::{Decoder, Read, ReadLimit, Source, Split, SplitReader};
use millstream_core::{Offset, Result, SplitId};

/// Whether input has ended. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct EndOfInput(Arc<AtomicBool>);

impl EndOfInput {
    /// From now on there is no more input.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Files of lines by path, that a test puts in place. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Files(Arc<Mutex<BTreeMap<String, Vec<String>>>>);

impl Files {
    /// Puts a file in place.
    pub fn put(&self, path: &str, lines: &[String]) {
        self.lock().insert(path.to_owned(), lines.to_vec());
    }

    fn has(&self, path: &str) -> bool {
        self.lock().contains_key(path)
    }

    fn lines(&self, path: &str) -> Vec<String> {
        self.lock().get(path).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<String>>> {
        self.0.lock().expect("no panic while locked")
    }
}

/// One of [`Files`].
struct SimFile {
    files: Files,
    path: String,
}

impl SimFile {
    fn memory(&self) -> MemorySource {
        let lines = self.files.lines(&self.path);
        MemorySource::new([(&*self.path, lines.iter().map(String::as_str).collect())])
    }
}

impl Source for SimFile {
    fn splits(&self) -> Result<Vec<Split>> {
        self.memory().splits()
    }

    fn open(&self, split: &SplitId, from: Option<Offset>) -> Result<Box<dyn SplitReader>> {
        self.memory().open(split, from)
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn version(&self) -> Result<Option<String>> {
        Ok(Some(self.files.lines(&self.path).join("\n")))
    }
}

/// Connectors whose sources end when [`EndOfInput`] says so.
pub struct SimConnectors<C> {
    inner: C,
    end: EndOfInput,
    files: Files,
}

impl<C: Connectors> SimConnectors<C> {
    /// Over `inner`; tables whose path is one of `files` read that.
    pub fn new(inner: C, end: EndOfInput, files: Files) -> Self {
        Self { inner, end, files }
    }
}

impl<C: Connectors> Connectors for SimConnectors<C> {
    fn source(&self, plan: &SourcePlan) -> Result<Box<dyn Source>> {
        if let Some(path) = plan
            .connector
            .get("path")
            .filter(|path| self.files.has(path))
        {
            let files = self.files.clone();
            let path = path.to_owned();
            return Ok(Box::new(SimFile { files, path }));
        }
        let inner = self.inner.source(plan)?;
        let end = self.end.clone();
        Ok(Box::new(SimSource { inner, end }))
    }

    fn decoder(&self, plan: &SourcePlan, schema: &SchemaRef) -> Result<Box<dyn Decoder>> {
        self.inner.decoder(plan, schema)
    }

    fn sink(&self, plan: &SinkPlan) -> Result<Box<dyn Sink>> {
        self.inner.sink(plan)
    }
}

struct SimSource {
    inner: Box<dyn Source>,
    end: EndOfInput,
}

impl Source for SimSource {
    fn splits(&self) -> Result<Vec<Split>> {
        self.inner.splits()
    }

    fn open(&self, split: &SplitId, from: Option<Offset>) -> Result<Box<dyn SplitReader>> {
        let inner = self.inner.open(split, from)?;
        let end = self.end.clone();
        Ok(Box::new(SimReader { inner, end }))
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn version(&self) -> Result<Option<String>> {
        self.inner.version()
    }
}

struct SimReader {
    inner: Box<dyn SplitReader>,
    end: EndOfInput,
}

impl SplitReader for SimReader {
    fn read(&mut self, limit: ReadLimit) -> Result<Read> {
        match self.inner.read(limit)? {
            Read::Pending if self.end.is_set() => Ok(Read::End),
            read => Ok(read),
        }
    }

    fn offset(&self) -> Offset {
        self.inner.offset()
    }

    fn backlog(&self) -> Option<u64> {
        self.inner.backlog()
    }
}

#[cfg(test)]
mod tests {
    use arrow::buffer::Buffer;
    use millstream_core::source::RawBatch;

    use super::*;

    /// One record, then nothing for ever.
    struct Endless {
        is_read: bool,
    }

    impl SplitReader for Endless {
        fn read(&mut self, _: ReadLimit) -> Result<Read> {
            if std::mem::replace(&mut self.is_read, true) {
                return Ok(Read::Pending);
            }
            Ok(Read::Records(RawBatch {
                data: Buffer::from_vec(b"x".to_vec()),
                records: std::iter::once(0..1).collect(),
                offsets: vec![0],
                timestamps: None,
            }))
        }

        fn offset(&self) -> Offset {
            Offset(u64::from(self.is_read))
        }
    }

    #[test]
    fn a_reader_ends_once_input_has_ended_and_all_of_it_is_read() {
        let end = EndOfInput::default();
        let mut reader = SimReader {
            inner: Box::new(Endless { is_read: true }),
            end: end.clone(),
        };
        let limit = ReadLimit { rows: 9, bytes: 99 };
        assert!(matches!(reader.read(limit), Ok(Read::Pending)));
        end.set();
        assert!(matches!(reader.read(limit), Ok(Read::End)));

        reader.inner = Box::new(Endless { is_read: false });
        assert!(
            matches!(reader.read(limit), Ok(Read::Records(_))),
            "what is there comes first"
        );
        assert_eq!(reader.offset(), Offset(1));
        assert!(matches!(reader.read(limit), Ok(Read::End)));
    }
}
