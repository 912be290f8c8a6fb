//! Files in S3-compatible object stores.
//!
//! A file that is written goes in parts of 8 MiB and is there once it is synced: before that nobody can
//! see it, and a process that dies leaves nothing but parts that the store throws away.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use millstream_core::storage::AppendFile;
use millstream_core::{Error, ErrorKind, Result};
use object_store::aws::AmazonS3Builder;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::io::AsyncWriteExt;

use crate::iceberg::blocking::block_on;

const PART_BYTES: usize = 8 << 20;

/// How buckets are reached. Credentials come from the environment (`AWS_ACCESS_KEY_ID`,
/// `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`).
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectSettings {
    /// Another address than Amazon's.
    pub endpoint: Option<String>,
    /// By default what the environment says, else `us-east-1`.
    pub region: Option<String>,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`.
    pub is_path_style: bool,
}

impl ObjectSettings {
    /// The store of `bucket`. Asks nobody yet.
    pub(super) fn open(&self, bucket: &str) -> Result<Arc<dyn ObjectStore>> {
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_virtual_hosted_style_request(!self.is_path_style);
        if let Some(endpoint) = &self.endpoint {
            builder = builder
                .with_endpoint(endpoint)
                .with_allow_http(endpoint.starts_with("http://"));
        }
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        let store = builder.build();
        let store = store.map_err(|error| Error::invalid(format!("bucket `{bucket}`: {error}")))?;
        Ok(Arc::new(store))
    }
}

/// Bucket and key of `s3://bucket/key`.
pub(super) fn split(uri: &str) -> Option<(&str, &str)> {
    let rest = ["s3://", "s3a://", "s3n://"]
        .iter()
        .find_map(|scheme| uri.strip_prefix(scheme))?;
    let (bucket, key) = rest.split_once('/')?;
    (!bucket.is_empty()).then_some((bucket, key))
}

/// An error about the file at `uri`, with the kind that says what to do.
pub(super) fn error(uri: &str, error: object_store::Error) -> Error {
    use object_store::Error as E;
    let text = error.to_string();
    let is_full = ["507 ", "StorageFull", "QuotaExceeded"]
        .iter()
        .any(|mark| text.contains(mark));
    let kind = match error {
        _ if is_full => ErrorKind::StorageFull,
        E::NotFound { .. }
        | E::InvalidPath { .. }
        | E::NotSupported { .. }
        | E::UnknownConfigurationKey { .. } => ErrorKind::InvalidInput,
        E::AlreadyExists { .. } | E::Precondition { .. } => ErrorKind::Conflict,
        // Refused credentials too: somebody may give the right ones or lift the ban, and meanwhile
        // nothing is lost.
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("`{uri}`: {text}"))
}

/// A new file.
pub(super) fn create(store: Arc<dyn ObjectStore>, path: Path, uri: &str) -> ObjectFile {
    ObjectFile {
        writer: BufWriter::with_capacity(store, path, PART_BYTES),
        uri: uri.to_owned(),
        length: 0,
        is_done: false,
    }
}

pub(super) fn read(store: &Arc<dyn ObjectStore>, path: &Path, uri: &str) -> Result<Vec<u8>> {
    block_on(get(store, path, uri)).map(Vec::from)
}

pub(super) async fn get(store: &Arc<dyn ObjectStore>, path: &Path, uri: &str) -> Result<Bytes> {
    let got = store.get(path).await.map_err(|e| error(uri, e))?;
    got.bytes().await.map_err(|e| error(uri, e))
}

pub(super) fn length(store: &Arc<dyn ObjectStore>, path: &Path, uri: &str) -> Result<Option<u64>> {
    block_on(head(store, path, uri))
}

pub(super) async fn head(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    uri: &str,
) -> Result<Option<u64>> {
    match store.head(path).await {
        Ok(meta) => Ok(Some(meta.size)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(e) => Err(error(uri, e)),
    }
}

pub(super) fn delete(store: &Arc<dyn ObjectStore>, path: &Path, uri: &str) -> Result<()> {
    block_on(remove(store, path, uri))
}

pub(super) async fn remove(store: &Arc<dyn ObjectStore>, path: &Path, uri: &str) -> Result<()> {
    match store.delete(path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(e) => Err(error(uri, e)),
    }
}

/// Keys below a folder, sorted.
pub(super) fn list(store: &Arc<dyn ObjectStore>, path: &Path, uri: &str) -> Result<Vec<String>> {
    let found = store.list(Some(path));
    let found = found.map_ok(|meta| meta.location.to_string());
    let mut found: Vec<String> = block_on(found.try_collect()).map_err(|e| error(uri, e))?;
    found.sort_unstable();
    Ok(found)
}

/// A file that is being written. It is there once it is synced, and then takes no more.
pub(super) struct ObjectFile {
    writer: BufWriter,
    uri: String,
    length: u64,
    is_done: bool,
}

impl ObjectFile {
    pub async fn put(&mut self, bytes: Bytes) -> Result<()> {
        if self.is_done {
            let message = format!("`{}`: an object cannot be appended to", self.uri);
            return Err(Error::bug(message));
        }
        let length = bytes.len() as u64;
        let put = self.writer.put(bytes).await;
        put.map_err(|e| error(&self.uri, e))?;
        self.length += length;
        Ok(())
    }

    pub async fn finish(&mut self) -> Result<()> {
        if self.is_done {
            return Ok(());
        }
        self.is_done = true;
        let shut = self.writer.shutdown().await;
        shut.map_err(|e| match e.downcast::<object_store::Error>() {
            Ok(e) => error(&self.uri, e),
            Err(e) => Error::unavailable(format!("`{}`: {e}", self.uri)),
        })
    }
}

impl AppendFile for ObjectFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        block_on(self.put(Bytes::copy_from_slice(bytes)))
    }

    fn sync(&mut self) -> Result<()> {
        block_on(self.finish())
    }

    fn truncate(&mut self, _: u64) -> Result<()> {
        let message = format!("`{}`: an object cannot be cut", self.uri);
        Err(Error::bug(message))
    }

    fn length(&self) -> u64 {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[test]
    fn an_object_is_there_once_it_is_synced() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let path = Path::from("t/data/x");
        let mut file = create(store.clone(), path.clone(), "s3://b/t/data/x");
        let part = vec![7; 5 << 20];
        for _ in 0..3 {
            file.append(&part).unwrap();
        }
        assert_eq!(length(&store, &path, "x").unwrap(), None);
        file.sync().unwrap();
        file.sync().unwrap();
        assert_eq!(length(&store, &path, "x").unwrap(), Some(15 << 20));
        assert_eq!(list(&store, &Path::from("t"), "x").unwrap(), ["t/data/x"]);
        assert_eq!(file.append(b"x").unwrap_err().kind(), ErrorKind::Bug);
        delete(&store, &path, "x").unwrap();
        delete(&store, &path, "x").unwrap();
        let gone = read(&store, &path, "s3://b/t").unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn addresses_of_objects() {
        assert_eq!(split("s3://bucket/a/b"), Some(("bucket", "a/b")));
        assert_eq!(split("s3a://bucket/"), Some(("bucket", "")));
        assert_eq!(split("s3:///a"), None);
        assert_eq!(split("gs://bucket/a"), None);
    }

    #[test]
    fn what_a_store_answers_says_what_to_do() {
        let generic = |text: &str| object_store::Error::Generic {
            store: "S3",
            source: text.into(),
        };
        let kind = |e| error("s3://b/x", e).kind();
        let down = "Server returned non-2xx status code: 503 Service Unavailable";
        assert_eq!(kind(generic(down)), ErrorKind::Unavailable);
        let full = "Server returned non-2xx status code: 507 : XMinioStorageFull";
        assert_eq!(kind(generic(full)), ErrorKind::StorageFull);
    }
}
