//! Where files of lake tables are: [`Files`], by the beginning of their URI.
//!
//! ```text
//! file://<data directory>/lake/warehouse/…   the data directory's own storage: gated, synced
//! file:///elsewhere/…                        the machine's disk
//! s3://bucket/…                              an object store (objects.rs)
//! memory:///…                                tests and simulations, on any storage
//! ```
//!
//! The `iceberg` crate reads and writes through [`Files::file_io`]; what our own code writes for the
//! engine to sync comes from [`Files::create`].
//!
//! INVARIANT: a file that was written by the crate is durable when its call returns, and errors keep
//! their kind on the way through the crate (`error.rs` finds it again).

mod adapter;
mod objects;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use ::iceberg::io::{FileIO, FileIOBuilder, OutputFile};
use millstream_core::storage::{AppendFile, Storage};
use millstream_core::{Error, Result};
use object_store::ObjectStore;
use object_store::path::Path as ObjectPath;

use self::adapter::LakeStorage;
pub use self::objects::ObjectSettings;
use crate::storage::LocalStorage;

/// The places of files. Clones are the same places.
#[derive(Clone)]
pub struct Files {
    inner: Arc<Inner>,
}

struct Inner {
    /// Beginnings of URIs, each with the storage and the folder in it that it stands for.
    stored: Vec<(String, Arc<dyn Storage>, String)>,
    objects: ObjectSettings,
    /// Opened when they are first used.
    buckets: Mutex<BTreeMap<String, Arc<dyn ObjectStore>>>,
}

/// A file that was written and not synced; the writer leaves it here when it is closed.
#[derive(Clone, Default)]
pub(super) struct Unsynced(Arc<Mutex<Option<Box<dyn AppendFile>>>>);

/// Where a URI leads.
enum Place<'a> {
    Stored(&'a Arc<dyn Storage>, String),
    Object(Arc<dyn ObjectStore>, ObjectPath),
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefixes = self.inner.stored.iter().map(|(prefix, ..)| prefix);
        f.debug_list().entries(prefixes).finish()
    }
}

impl fmt::Debug for Unsynced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unsynced")
    }
}

impl Files {
    /// The machine's disk and object stores.
    pub fn new(objects: ObjectSettings) -> Self {
        let root: Arc<dyn Storage> = Arc::new(LocalStorage::new("/"));
        Self {
            inner: Arc::new(Inner {
                stored: vec![("file:///".to_owned(), root, String::new())],
                objects,
                buckets: Mutex::default(),
            }),
        }
    }

    /// The same, with URIs that begin with `prefix` below `folder` of `storage`. Both end in `/`.
    #[must_use]
    pub fn with_place(&self, prefix: &str, storage: &Arc<dyn Storage>, folder: &str) -> Self {
        let place = (prefix.to_owned(), storage.clone(), folder.to_owned());
        let mut stored = self.inner.stored.clone();
        stored.insert(0, place);
        Self {
            inner: Arc::new(Inner {
                stored,
                objects: self.inner.objects.clone(),
                buckets: Mutex::default(),
            }),
        }
    }

    /// What the crate reads and writes with.
    pub fn file_io(&self) -> FileIO {
        FileIOBuilder::new(Arc::new(LakeStorage::new(self.clone()))).build()
    }

    /// A new file that is the caller's to sync. One that was there is emptied.
    pub fn create(&self, uri: &str) -> Result<Box<dyn AppendFile>> {
        match self.place(uri)? {
            Place::Stored(storage, path) => {
                let mut file = storage.append(&path)?;
                if file.length() > 0 {
                    file.truncate(0)?;
                }
                Ok(file)
            }
            Place::Object(store, path) => Ok(Box::new(objects::create(store, path, uri))),
        }
    }

    /// The whole file. One that is not there is `InvalidInput`.
    pub fn read(&self, uri: &str) -> Result<Vec<u8>> {
        match self.place(uri)? {
            Place::Stored(storage, path) => storage.read(&path),
            Place::Object(store, path) => objects::read(&store, &path, uri),
        }
    }

    /// A file's length, or `None` if it is not there.
    pub fn length(&self, uri: &str) -> Result<Option<u64>> {
        match self.place(uri)? {
            Place::Stored(storage, path) => storage.length(&path),
            Place::Object(store, path) => objects::length(&store, &path, uri),
        }
    }

    /// Deletes a file; one that is not there is fine.
    pub fn delete(&self, uri: &str) -> Result<()> {
        match self.place(uri)? {
            Place::Stored(storage, path) => storage.delete(&path),
            Place::Object(store, path) => objects::delete(&store, &path, uri),
        }
    }

    /// The URIs of all files below the folder `uri`, which ends in `/`, sorted.
    pub fn list(&self, uri: &str) -> Result<Vec<String>> {
        let uri = normalized(uri);
        let of = |paths: Vec<String>, path: &str| {
            let full = |found: String| format!("{uri}{}", &found[path.len()..]);
            paths.into_iter().map(full).collect()
        };
        match self.place(&uri)? {
            Place::Stored(storage, path) => Ok(of(storage.list(&path)?, &path)),
            Place::Object(store, path) => {
                let found = objects::list(&store, &path, &uri)?;
                Ok(of(found, &format!("{path}/")))
            }
        }
    }

    /// An output for the crate's writers, and where they leave the file unsynced.
    pub(super) fn unsynced_output(&self, uri: &str) -> (OutputFile, Unsynced) {
        let unsynced = Unsynced::default();
        let storage = LakeStorage::new(self.clone()).leaving(unsynced.clone());
        (OutputFile::new(Arc::new(storage), uri.to_owned()), unsynced)
    }

    /// `InvalidInput` if the URI leads nowhere.
    fn place(&self, uri: &str) -> Result<Place<'_>> {
        let uri = normalized(uri);
        if uri.split('/').any(|part| part == "..") {
            return Err(Error::invalid(format!("`{uri}`: a path cannot hold `..`")));
        }
        for (prefix, storage, folder) in &self.inner.stored {
            if let Some(rest) = uri.strip_prefix(prefix.as_str()) {
                return Ok(Place::Stored(storage, format!("{folder}{rest}")));
            }
        }
        let Some((bucket, key)) = objects::split(&uri) else {
            let message = format!("`{uri}`: expected `file:///…` or `s3://bucket/…`");
            return Err(Error::invalid(message));
        };
        let mut buckets = self.inner.buckets.lock().expect("no holder panics");
        let store = match buckets.get(bucket) {
            Some(store) => store.clone(),
            None => {
                let store = self.inner.objects.open(bucket)?;
                buckets.insert(bucket.to_owned(), store.clone());
                store
            }
        };
        let path = ObjectPath::parse(key.trim_end_matches('/'))
            .map_err(|error| Error::invalid(format!("`{uri}`: {error}")))?;
        Ok(Place::Object(store, path))
    }
}

impl Unsynced {
    /// The file, once its writer is closed.
    pub fn take(&self) -> Option<Box<dyn AppendFile>> {
        self.0.lock().expect("no holder panics").take()
    }

    fn put(&self, file: Box<dyn AppendFile>) {
        *self.0.lock().expect("no holder panics") = Some(file);
    }
}

/// `file:///path` for all the ways in which a local path is written.
fn normalized(uri: &str) -> String {
    let path = match uri.strip_prefix("file:") {
        Some(path) => path,
        None if uri.starts_with('/') => uri,
        None => return uri.to_owned(),
    };
    format!("file:///{}", path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use millstream_core::ErrorKind;
    use millstream_core::memory::MemoryStorage;

    use super::*;
    use crate::iceberg::blocking::block_on;
    use crate::iceberg::error::from_iceberg;

    fn files() -> (Arc<dyn Storage>, Files) {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
        let files = Files::new(ObjectSettings::default());
        let files = files.with_place("memory:///", &storage, "lake/warehouse/");
        (storage, files)
    }

    #[test]
    fn a_place_is_a_folder_of_a_storage() {
        let (storage, files) = files();
        let io = files.file_io();
        let output = io.new_output("memory:///t/metadata/a.avro").unwrap();
        block_on(output.write("bytes".into())).unwrap();
        assert_eq!(
            storage.read("lake/warehouse/t/metadata/a.avro").unwrap(),
            b"bytes"
        );
        let listed = files.list("memory:///t/").unwrap();
        assert_eq!(listed, ["memory:///t/metadata/a.avro"]);
        assert_eq!(files.length(&listed[0]).unwrap(), Some(5));
        let input = io.new_input(&listed[0]).unwrap();
        let reader = block_on(input.reader()).unwrap();
        assert_eq!(&block_on(reader.read(1..4)).unwrap()[..], b"yte");
        files.delete(&listed[0]).unwrap();
        assert_eq!(files.length(&listed[0]).unwrap(), None);
        assert!(!block_on(io.exists(&listed[0])).unwrap());
    }

    #[test]
    fn a_local_path_may_be_written_in_three_ways() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(ObjectSettings::default());
        let path = format!("{}/a/b", folder.path().display());
        let mut file = files.create(&path).unwrap();
        file.append(b"x").unwrap();
        file.sync().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
        for uri in [
            path.clone(),
            format!("file:{path}"),
            format!("file://{path}"),
        ] {
            assert_eq!(files.read(&uri).unwrap(), b"x");
        }
        let folder = format!("{}/a/", folder.path().display());
        assert_eq!(files.list(&folder).unwrap(), [format!("file://{path}")]);
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        let (_, files) = files();
        for uri in ["ftp://host/x", "relative", "file:///a/../b"] {
            let error = files.read(uri).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{uri}");
        }
    }

    #[test]
    fn an_error_keeps_its_kind_through_the_crate() {
        let (_, files) = files();
        let input = files.file_io().new_input("memory:///none").unwrap();
        let error = from_iceberg(block_on(input.read()).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("none"), "{error}");
    }

    #[test]
    fn an_unsynced_file_is_left_to_the_caller() {
        let (storage, files) = files();
        let (output, unsynced) = files.unsynced_output("memory:///x");
        let mut writer = block_on(output.writer()).unwrap();
        block_on(writer.write("abc".into())).unwrap();
        assert!(unsynced.take().is_none(), "it is still being written");
        block_on(writer.close()).unwrap();
        let mut file = unsynced.take().unwrap();
        assert_eq!(file.length(), 3);
        file.sync().unwrap();
        assert_eq!(storage.read("lake/warehouse/x").unwrap(), b"abc");
    }
}
