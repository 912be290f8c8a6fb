//! Storage that fails once, at an operation that the test chooses, in a way that it chooses.
//!
//! Every operation that changes something counts one, in the order in which they come; the same
//! run counts the same. When the count reaches the fuse, the fault strikes: an error without
//! effect, an effect without an answer, or the end of the machine, before, after or in the middle of
//! the operation. After that end every operation fails until a test goes on with
//! [`FaultyStorage::survivor`]: what a disk holds after power failure.

use std::sync::{Arc, Mutex, MutexGuard};

use millstream_core::memory::MemoryStorage;
use millstream_core::storage::{AppendFile, Storage};
use millstream_core::{Error, Result};

/// What happens at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails and has done nothing.
    Error,
    /// It is done, and fails all the same.
    ReplyLost,
    /// The machine ends before it.
    PowerBefore,
    /// The machine ends after it.
    PowerAfter,
    /// The machine ends in the middle: of appended bytes half are on disk. As [`Self::PowerBefore`]
    /// for operations that are atomic.
    Torn,
}

impl Fault {
    /// Each of them.
    pub const ALL: [Self; 5] = [
        Self::Error,
        Self::ReplyLost,
        Self::PowerBefore,
        Self::PowerAfter,
        Self::Torn,
    ];
}

/// A [`Storage`] with a fuse. Clones share it.
#[derive(Debug, Clone)]
pub struct FaultyStorage {
    inner: MemoryStorage,
    fuse: Arc<Mutex<Fuse>>,
}

#[derive(Debug, Default)]
struct Fuse {
    /// Operations so far.
    count: u64,
    /// Where the fault strikes, and which.
    at: Option<(u64, Fault)>,
    has_struck: bool,
    is_off: bool,
}

/// How an operation goes on.
enum Verdict {
    Pass,
    Strike(Fault),
}

impl FaultyStorage {
    /// Over `inner`, without a fault so far.
    pub fn new(inner: MemoryStorage) -> Self {
        let fuse = Arc::default();
        Self { inner, fuse }
    }

    /// From now on: `fault` at the operation number `after` from here (0 is the next).
    pub fn set_fuse(&self, after: u64, fault: Fault) {
        let mut fuse = self.fuse();
        fuse.at = Some((fuse.count + after, fault));
        fuse.has_struck = false;
    }

    /// Operations so far that change something.
    pub fn operations(&self) -> u64 {
        self.fuse().count
    }

    /// Whether the fault has struck.
    pub fn has_struck(&self) -> bool {
        self.fuse().has_struck
    }

    /// Whether the machine has ended.
    pub fn is_off(&self) -> bool {
        self.fuse().is_off
    }

    /// A new machine with what the disk of this one holds: only what was made durable.
    #[must_use]
    pub fn survivor(&self) -> Self {
        let inner = self.inner.snapshot();
        inner.crash();
        Self::new(inner)
    }

    fn fuse(&self) -> MutexGuard<'_, Fuse> {
        self.fuse.lock().expect("no panic while locked")
    }

    fn check_power(&self) -> Result<()> {
        match self.fuse().is_off {
            true => Err(Error::unavailable("the machine is off")),
            false => Ok(()),
        }
    }

    /// Counts an operation and says what becomes of it.
    fn verdict(&self) -> Result<Verdict> {
        self.check_power()?;
        let mut fuse = self.fuse();
        let number = fuse.count;
        fuse.count += 1;
        match fuse.at {
            Some((at, fault)) if at == number => {
                fuse.has_struck = true;
                fuse.is_off = !matches!(fault, Fault::Error | Fault::ReplyLost);
                Ok(Verdict::Strike(fault))
            }
            _ => Ok(Verdict::Pass),
        }
    }

    /// An operation that is either done or not.
    fn atomic<T>(&self, operation: impl FnOnce() -> Result<T>) -> Result<T> {
        match self.verdict()? {
            Verdict::Pass => operation(),
            Verdict::Strike(fault) => {
                if matches!(fault, Fault::ReplyLost | Fault::PowerAfter) {
                    operation()?;
                }
                Err(struck(fault))
            }
        }
    }
}

fn struck(fault: Fault) -> Error {
    Error::unavailable(format!("simulated fault: {fault:?}"))
}

impl Storage for FaultyStorage {
    fn read(&self, path: &str) -> Result<Vec<u8>> {
        self.check_power()?;
        self.inner.read(path)
    }

    fn read_range(&self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.check_power()?;
        self.inner.read_range(path, offset, length)
    }

    fn length(&self, path: &str) -> Result<Option<u64>> {
        self.check_power()?;
        self.inner.length(path)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.check_power()?;
        self.inner.list(prefix)
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.atomic(|| self.inner.put_if_absent(path, bytes))
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.atomic(|| self.inner.put(path, bytes))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.atomic(|| self.inner.rename(from, to))
    }

    fn delete(&self, path: &str) -> Result<()> {
        self.atomic(|| self.inner.delete(path))
    }

    fn append(&self, path: &str) -> Result<Box<dyn AppendFile>> {
        let file = self.atomic(|| self.inner.append(path))?;
        let storage = self.clone();
        Ok(Box::new(FaultyFile { storage, file }))
    }
}

struct FaultyFile {
    storage: FaultyStorage,
    file: Box<dyn AppendFile>,
}

impl AppendFile for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        match self.storage.verdict()? {
            Verdict::Pass => self.file.append(bytes),
            Verdict::Strike(fault) => {
                match fault {
                    Fault::ReplyLost | Fault::PowerAfter => self.file.append(bytes)?,
                    Fault::Torn => {
                        self.file.append(&bytes[..bytes.len() / 2])?;
                        self.file.sync()?;
                    }
                    Fault::Error | Fault::PowerBefore => {}
                }
                Err(struck(fault))
            }
        }
    }

    fn sync(&mut self) -> Result<()> {
        let file = &mut self.file;
        self.storage.atomic(|| file.sync())
    }

    fn truncate(&mut self, length: u64) -> Result<()> {
        let file = &mut self.file;
        self.storage.atomic(|| file.truncate(length))
    }

    fn length(&self) -> u64 {
        self.file.length()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appends `ab` and `cdef` with a sync each, then puts `done`; the fault strikes at operation
    /// `at`. What a new machine finds of the file, whether `done` is there, and whether the run
    /// went through.
    fn run(at: u64, fault: Fault) -> (String, bool, bool) {
        let storage = FaultyStorage::new(MemoryStorage::default());
        storage.set_fuse(at, fault);
        let work = || -> Result<()> {
            let mut file = storage.append("log")?;
            for text in ["ab", "cdef"] {
                file.append(text.as_bytes())?;
                file.sync()?;
            }
            storage.put("done", b"")
        };
        let outcome = work();
        assert!(storage.has_struck());
        assert_eq!(
            storage.is_off(),
            storage
                .read("log")
                .is_err_and(|e| e.to_string().contains("off"))
        );
        let survivor = storage.survivor();
        let log = survivor.read("log").unwrap_or_default();
        let is_done = survivor.length("done").unwrap().is_some();
        (String::from_utf8(log).unwrap(), is_done, outcome.is_ok())
    }

    #[test]
    fn a_fault_strikes_where_it_is_told_to() {
        // Operations: 0 open, 1 append, 2 sync, 3 append, 4 sync, 5 put.
        assert_eq!(run(1, Fault::PowerBefore), (String::new(), false, false));
        assert_eq!(run(3, Fault::PowerAfter), ("ab".into(), false, false));
        assert_eq!(run(3, Fault::Torn), ("abcd".into(), false, false));
        assert_eq!(run(4, Fault::PowerBefore), ("ab".into(), false, false));
        assert_eq!(run(4, Fault::PowerAfter), ("abcdef".into(), false, false));
        assert_eq!(run(4, Fault::Error), ("ab".into(), false, false));
        assert_eq!(run(4, Fault::ReplyLost), ("abcdef".into(), false, false));
    }

    #[test]
    fn the_fault_strikes_once() {
        let storage = FaultyStorage::new(MemoryStorage::default());
        storage.set_fuse(0, Fault::Error);
        assert!(storage.put("a", b"1").is_err());
        storage.put("a", b"2").unwrap();
        assert_eq!(storage.operations(), 2);
        assert_eq!(storage.read("a").unwrap(), b"2");
    }
}
