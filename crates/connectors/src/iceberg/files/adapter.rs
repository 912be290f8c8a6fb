//! [`LakeStorage`]: the crate's `Storage` over [`Files`].

use std::ops::Range;
use std::sync::Arc;

use ::iceberg::io::{
    FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig,
    StorageFactory,
};
use ::iceberg::{Error, ErrorKind, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use millstream_core::storage::AppendFile;
use object_store::ObjectStoreExt;
use serde::{Deserialize, Serialize};

use super::objects::ObjectFile;
use super::{Files, Place, Unsynced, objects};
use crate::iceberg::error::into_iceberg;

/// The crate wants to be able to send its storage to other processes; ours stays in this one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LakeStorage {
    #[serde(skip)]
    files: Option<Files>,
    #[serde(skip)]
    unsynced: Option<Unsynced>,
}

impl LakeStorage {
    pub fn new(files: Files) -> Self {
        Self {
            files: Some(files),
            unsynced: None,
        }
    }

    /// Files that are closed are left in `unsynced` instead of being synced.
    pub fn leaving(self, unsynced: Unsynced) -> Self {
        Self {
            unsynced: Some(unsynced),
            ..self
        }
    }

    fn files(&self) -> Result<&Files> {
        let gone = || Error::new(ErrorKind::Unexpected, "files of another process");
        self.files.as_ref().ok_or_else(gone)
    }

    fn place(&self, path: &str) -> Result<Place<'_>> {
        self.files()?.place(path).map_err(into_iceberg)
    }
}

#[typetag::serde(name = "MillstreamLake")]
impl StorageFactory for LakeStorage {
    fn build(&self, _: &StorageConfig) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
#[typetag::serde(name = "MillstreamLake")]
impl Storage for LakeStorage {
    async fn exists(&self, path: &str) -> Result<bool> {
        Ok(self.found(path).await?.is_some())
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        let gone = || {
            into_iceberg(millstream_core::Error::invalid(format!(
                "`{path}`: not found"
            )))
        };
        let size = self.found(path).await?.ok_or_else(gone)?;
        Ok(FileMetadata { size })
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        match self.place(path)? {
            Place::Stored(storage, path) => {
                let bytes = storage.read(&path).map_err(into_iceberg)?;
                Ok(bytes.into())
            }
            Place::Object(store, object) => objects::get(&store, &object, path)
                .await
                .map_err(into_iceberg),
        }
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        Ok(Box::new(Reader {
            storage: self.clone(),
            uri: path.to_owned(),
        }))
    }

    async fn write(&self, path: &str, bytes: Bytes) -> Result<()> {
        match self.place(path)? {
            Place::Stored(storage, path) => storage.put(&path, &bytes).map_err(into_iceberg),
            Place::Object(store, object) => {
                let put = store.put(&object, bytes.into()).await;
                put.map(drop)
                    .map_err(|error| into_iceberg(objects::error(path, error)))
            }
        }
    }

    async fn writer(&self, path: &str) -> Result<Box<dyn FileWrite>> {
        let output = match self.place(path)? {
            Place::Object(store, object) => {
                Output::Object(Box::new(objects::create(store, object, path)))
            }
            Place::Stored(..) => {
                let file = self.files()?.create(path).map_err(into_iceberg)?;
                Output::Stored(file)
            }
        };
        Ok(Box::new(Writer {
            output: Some(output),
            unsynced: self.unsynced.clone(),
        }))
    }

    async fn delete(&self, path: &str) -> Result<()> {
        match self.place(path)? {
            Place::Stored(storage, path) => storage.delete(&path).map_err(into_iceberg),
            Place::Object(store, object) => objects::remove(&store, &object, path)
                .await
                .map_err(into_iceberg),
        }
    }

    async fn delete_prefix(&self, path: &str) -> Result<()> {
        // Nobody in this process asks for it, and a wrong prefix would be the end of a table.
        Err(Error::new(
            ErrorKind::FeatureUnsupported,
            format!("`{path}`: files are deleted one by one"),
        ))
    }

    async fn delete_stream(&self, mut paths: BoxStream<'static, String>) -> Result<()> {
        while let Some(path) = paths.next().await {
            self.delete(&path).await?;
        }
        Ok(())
    }

    fn new_input(&self, path: &str) -> Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

impl LakeStorage {
    async fn found(&self, path: &str) -> Result<Option<u64>> {
        match self.place(path)? {
            Place::Stored(storage, path) => storage.length(&path).map_err(into_iceberg),
            Place::Object(store, object) => objects::head(&store, &object, path)
                .await
                .map_err(into_iceberg),
        }
    }
}

struct Reader {
    storage: LakeStorage,
    uri: String,
}

#[async_trait]
impl FileRead for Reader {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let length = range.end.saturating_sub(range.start);
        match self.storage.place(&self.uri)? {
            Place::Stored(storage, path) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let bytes = storage.read_range(&path, range.start, length);
                let bytes = bytes.map_err(into_iceberg)?;
                if bytes.len() == length {
                    return Ok(bytes.into());
                }
                let found = bytes.len();
                let message = format!(
                    "`{}`: found {found} bytes at {}, expected {length}",
                    self.uri, range.start
                );
                Err(into_iceberg(millstream_core::Error::corrupt(message)))
            }
            Place::Object(store, object) => {
                let read = store.get_range(&object, range).await;
                read.map_err(|error| into_iceberg(objects::error(&self.uri, error)))
            }
        }
    }
}

struct Writer {
    /// Until it is closed.
    output: Option<Output>,
    unsynced: Option<Unsynced>,
}

enum Output {
    Stored(Box<dyn AppendFile>),
    /// Waits in futures of its own: its calls as an [`AppendFile`] may not be used from within one.
    Object(Box<ObjectFile>),
}

#[async_trait]
impl FileWrite for Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let written = match self.output.as_mut().ok_or_else(closed)? {
            Output::Stored(file) => file.append(&bytes),
            Output::Object(file) => file.put(bytes).await,
        };
        written.map_err(into_iceberg)
    }

    async fn close(&mut self) -> Result<()> {
        let output = self.output.take().ok_or_else(closed)?;
        let closed = match (output, &self.unsynced) {
            (Output::Stored(mut file), None) => file.sync(),
            (Output::Object(mut file), None) => file.finish().await,
            (Output::Stored(file), Some(unsynced)) => {
                unsynced.put(file);
                Ok(())
            }
            (Output::Object(file), Some(unsynced)) => {
                unsynced.put(file);
                Ok(())
            }
        };
        closed.map_err(into_iceberg)
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Unexpected, "the file is closed")
}
