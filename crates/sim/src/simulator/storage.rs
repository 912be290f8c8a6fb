//! [`SimStorage`]: the simulated disk as one process sees it.

use std::sync::Arc;

use millstream_core::storage::{AppendFile, Storage};
use millstream_core::{Error, ErrorKind, Result};

use super::disk::Opened;
use super::world::{CallKind, State, World};

/// A [`Storage`] whose every call can fail, or be the process's last. Clones share it.
#[derive(Debug, Clone)]
pub struct SimStorage {
    /// The disk, and everything else.
    pub world: Arc<World>,
    /// Whose it is.
    pub process: usize,
}

impl SimStorage {
    fn call<T>(
        &self,
        call: (CallKind, &str, &str),
        work: impl FnOnce(&mut State) -> Result<T>,
    ) -> Result<T> {
        self.world.call(self.process, call, |state, _| work(state))
    }
}

fn missing(path: &str) -> Error {
    Error::invalid(format!("`{path}`: no such file"))
}

impl Storage for SimStorage {
    fn read(&self, path: &str) -> Result<Vec<u8>> {
        self.call((CallKind::Read, "read", path), |state| {
            let bytes = state.disk.get(path).ok_or_else(|| missing(path))?;
            Ok(bytes.to_vec())
        })
    }

    fn read_range(&self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.call((CallKind::Read, "read", path), |state| {
            let bytes = state.disk.get(path).ok_or_else(|| missing(path))?;
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let start = start.min(bytes.len());
            let end = start.saturating_add(length).min(bytes.len());
            Ok(bytes[start..end].to_vec())
        })
    }

    fn length(&self, path: &str) -> Result<Option<u64>> {
        self.call((CallKind::Read, "length", path), |state| {
            Ok(state.disk.get(path).map(|bytes| bytes.len() as u64))
        })
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.call((CallKind::Read, "list", prefix), |state| {
            Ok(state.disk.list(prefix))
        })
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.call((CallKind::Change, "put if absent", path), |state| {
            if state.disk.get(path).is_some() {
                let message = format!("`{path}` exists already");
                return Err(Error::new(ErrorKind::Conflict, message));
            }
            state.disk.put(path, bytes);
            Ok(())
        })
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.call((CallKind::Change, "put", path), |state| {
            state.disk.put(path, bytes);
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.call((CallKind::Change, "rename", from), |state| {
            let is_there = state.disk.rename(from, to);
            is_there.then_some(()).ok_or_else(|| missing(from))
        })
    }

    fn delete(&self, path: &str) -> Result<()> {
        self.call((CallKind::Free, "delete", path), |state| {
            state.disk.delete(path);
            Ok(())
        })
    }

    fn append(&self, path: &str) -> Result<Box<dyn AppendFile>> {
        let file = self.call((CallKind::Change, "open", path), |state| {
            Ok(state.disk.open(path))
        })?;
        let storage = self.clone();
        Ok(Box::new(SimFile { storage, file }))
    }
}

struct SimFile {
    storage: SimStorage,
    file: Opened,
}

impl AppendFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let (file, process) = (&self.file, self.storage.process);
        let call = (CallKind::Append, "append", &*file.path);
        self.storage.world.call(process, call, |state, effect| {
            let length = match effect.part {
                Some(thousandths) => bytes.len() * thousandths / 1_000,
                None => bytes.len(),
            };
            state.disk.append(file, &bytes[..length], process);
            Ok(())
        })
    }

    fn sync(&mut self) -> Result<()> {
        let (file, process) = (&self.file, self.storage.process);
        let call = (CallKind::Sync, "sync", &*file.path);
        self.storage.world.call(process, call, |state, effect| {
            state.disk.sync(file, effect.is_lie);
            Ok(())
        })
    }

    fn truncate(&mut self, length: u64) -> Result<()> {
        let (file, process) = (&self.file, self.storage.process);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.storage
            .call((CallKind::Free, "cut", &file.path), |state| {
                state.disk.truncate(file, length, process);
                Ok(())
            })
    }

    fn length(&self) -> u64 {
        self.storage.world.state().disk.length(&self.file) as u64
    }
}
