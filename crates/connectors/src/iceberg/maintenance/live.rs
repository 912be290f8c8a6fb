//! The live files of a table's current snapshot, with where they are named.

use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{
    DataContentType, DataFile, ManifestContentType, ManifestEntryRef, ManifestFile, Struct,
};
use iceberg::table::Table;
use millstream_core::Result;

use crate::iceberg::blocking::block_on;
use crate::iceberg::snapshot::{load_list, load_manifest};

/// Manifests that are read at a time.
const CONCURRENT: usize = 8;

/// A data file or a delete file.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub entry: ManifestEntryRef,
    /// The manifest that names it.
    pub manifest: String,
    pub spec_id: i32,
}

impl Live {
    pub(super) fn file(&self) -> &DataFile {
        self.entry.data_file()
    }

    pub(super) fn path(&self) -> &str {
        self.entry.file_path()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.entry.file_size_in_bytes()
    }

    pub(super) fn partition(&self) -> (i32, &Struct) {
        (self.spec_id, self.file().partition())
    }

    fn sequence(&self) -> i64 {
        self.entry.sequence_number().unwrap_or(0)
    }

    /// Whether it, a delete file, may delete rows of `data`. As the specification has it ("scan
    /// planning"), but for the bounds of paths: rather too often than not.
    pub(super) fn applies_to(&self, data: &Self) -> bool {
        let in_partition = self.partition() == data.partition();
        match self.entry.content_type() {
            DataContentType::Data => false,
            DataContentType::PositionDeletes => {
                let named = self.file().referenced_data_file();
                in_partition
                    && data.sequence() <= self.sequence()
                    && named.is_none_or(|path| path == data.path())
            }
            DataContentType::EqualityDeletes => {
                let everywhere = self.file().partition().fields().is_empty();
                (everywhere || in_partition) && data.sequence() < self.sequence()
            }
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct LiveFiles {
    pub data: Vec<Live>,
    pub deletes: Vec<Live>,
    pub manifests: Vec<ManifestFile>,
}

/// Reads all manifests of the current snapshot.
pub(super) fn live_files(table: &Table) -> Result<LiveFiles> {
    let Some(snapshot) = table.metadata().current_snapshot() else {
        return Ok(LiveFiles::default());
    };
    block_on(async {
        let manifests = load_list(table, snapshot).await?;
        let read = stream::iter(&manifests).map(|manifest| async move {
            let entries = load_manifest(table, manifest).await?;
            Ok::<_, millstream_core::Error>((manifest, entries))
        });
        let read: Vec<_> = read.buffered(CONCURRENT).try_collect().await?;
        let mut files = LiveFiles::default();
        for (manifest, entries) in read {
            let side = match manifest.content {
                ManifestContentType::Data => &mut files.data,
                ManifestContentType::Deletes => &mut files.deletes,
            };
            let live = entries.into_iter().filter(|entry| entry.is_alive());
            side.extend(live.map(|entry| Live {
                entry,
                manifest: manifest.manifest_path.clone(),
                spec_id: manifest.partition_spec_id,
            }));
        }
        files.manifests = manifests;
        Ok(files)
    })
}
