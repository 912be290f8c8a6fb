//! Storage in memory whose operations fail, or wait, when a test says so.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use millstream_core::memory::MemoryStorage;
use millstream_core::storage::{AppendFile, Storage};
use millstream_core::{Error, ErrorKind, Result};

/// An operation that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Half of the bytes are written before it fails.
    Append,
    Sync,
    /// The bytes are durable, but the answer is an error.
    SyncThenFail,
    Truncate,
    Put,
    /// The file is written, but the answer is an error.
    PutThenFail,
    /// An entry of `acknowledged`: as `Append`.
    Note,
}

/// Wraps [`MemoryStorage`]. Clones share it and the faults.
#[derive(Clone, Default)]
pub struct FaultyStorage {
    pub inner: MemoryStorage,
    pub control: Arc<Control>,
}

/// What goes wrong.
#[derive(Default)]
pub struct Control {
    faults: Mutex<Vec<(Operation, ErrorKind)>>,
    syncs: AtomicUsize,
    is_gate_closed: Mutex<bool>,
    gate: Condvar,
}

impl Control {
    /// The next such operation fails.
    pub fn fail_next(&self, operation: Operation, kind: ErrorKind) {
        self.faults.lock().unwrap().push((operation, kind));
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// Number of syncs so far, failed ones included.
    pub fn syncs(&self) -> usize {
        self.syncs.load(Ordering::SeqCst)
    }

    /// Syncs wait until the gate is opened.
    pub fn close_gate(&self) {
        *self.is_gate_closed.lock().unwrap() = true;
    }

    /// Lets syncs through.
    pub fn open_gate(&self) {
        *self.is_gate_closed.lock().unwrap() = false;
        self.gate.notify_all();
    }

    fn check(&self, operation: Operation) -> Result<()> {
        let mut faults = self.faults.lock().unwrap();
        match faults.iter().position(|(fault, _)| *fault == operation) {
            Some(index) => {
                let (_, kind) = faults.remove(index);
                Err(Error::new(kind, format!("{operation:?} failed on purpose")))
            }
            None => Ok(()),
        }
    }
}

impl Storage for FaultyStorage {
    fn read(&self, path: &str) -> Result<Vec<u8>> {
        self.inner.read(path)
    }

    fn read_range(&self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.inner.read_range(path, offset, length)
    }

    fn length(&self, path: &str) -> Result<Option<u64>> {
        self.inner.length(path)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.list(prefix)
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.control.check(Operation::Put)?;
        self.inner.put_if_absent(path, bytes)?;
        self.control.check(Operation::PutThenFail)
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.control.check(Operation::Put)?;
        self.inner.put(path, bytes)?;
        self.control.check(Operation::PutThenFail)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.inner.rename(from, to)
    }

    fn delete(&self, path: &str) -> Result<()> {
        self.inner.delete(path)
    }

    fn append(&self, path: &str) -> Result<Box<dyn AppendFile>> {
        let file = self.inner.append(path)?;
        let append = match path.ends_with("/acknowledged") {
            true => Operation::Note,
            false => Operation::Append,
        };
        Ok(Box::new(FaultyFile {
            file,
            append,
            control: self.control.clone(),
        }))
    }
}

struct FaultyFile {
    file: Box<dyn AppendFile>,
    append: Operation,
    control: Arc<Control>,
}

impl AppendFile for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if let Err(error) = self.control.check(self.append) {
            self.file.append(&bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        self.file.append(bytes)
    }

    fn sync(&mut self) -> Result<()> {
        self.control.syncs.fetch_add(1, Ordering::SeqCst);
        let closed = self.control.is_gate_closed.lock().unwrap();
        drop(
            self.control
                .gate
                .wait_while(closed, |closed| *closed)
                .unwrap(),
        );
        self.control.check(Operation::Sync)?;
        self.file.sync()?;
        self.control.check(Operation::SyncThenFail)
    }

    fn truncate(&mut self, length: u64) -> Result<()> {
        self.control.check(Operation::Truncate)?;
        self.file.truncate(length)
    }

    fn length(&self) -> u64 {
        self.file.length()
    }
}
