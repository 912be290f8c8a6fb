//! A hot table: commits by writers, snapshots for readers.
//!
//! Commits, merges and changes of the schema take turns under the lock of the state; each writes
//! one version file and then changes the state. Readers take the newest snapshot and wait for
//! nobody.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use hashbrown::HashMap;
#[cfg(feature = "mutants")]
use millstream_core::mutant::Mutant;
use millstream_core::storage::Storage;
use millstream_core::types::sql_name;
use millstream_core::{Error, ErrorKind, Result, Subject};

use super::index::{KeyHasher, can_be_key, key_columns, no_rows};
use super::live::{Subscribers, Subscription};
use super::merge::Maintenance;
use super::name::{Mark, PartName, TableName, parse_part_name, staged_prefix};
use super::part::{Part, parts_folder};
use super::scan::Scan;
use super::schema::{columns, schema};
use super::snapshot::{SnapshotPart, TableSnapshot};
use super::state::{LivePart, NewPart, TableState};
use super::time_column;
use super::version::{PartEntry, Version, version_path, write_version};

/// What a table is.
#[derive(Debug, Clone)]
pub struct TableDefinition {
    /// Its name.
    pub name: TableName,
    /// Its columns. All of them may be null, whatever the schema says.
    pub schema: SchemaRef,
    /// Columns of the primary key; none: rows are only appended.
    pub primary_key: Vec<usize>,
    /// Rows are dropped so many milliseconds after their time; `None`: never.
    pub retention_ms: Option<u64>,
}

/// A table of the data directory.
pub struct HotTable {
    pub(super) name: TableName,
    pub(super) folder: String,
    pub(super) storage: Arc<dyn Storage>,
    /// Bytes of rows kept in memory.
    pub(super) cache_bytes_max: usize,
    primary_key: Vec<usize>,
    hasher: Option<KeyHasher>,
    state: Mutex<TableState>,
    /// The newest snapshot. Locked only to clone or to replace it.
    current: Mutex<TableSnapshot>,
    /// Rows that were staged and not committed yet, by part file.
    staged: Mutex<HashMap<String, Arc<[RecordBatch]>>>,
    pub(super) maintenance: Mutex<Maintenance>,
    subscribers: Subscribers,
}

impl HotTable {
    /// Makes the table with its first version.
    pub(super) fn create(
        storage: &Arc<dyn Storage>,
        definition: &TableDefinition,
        cache_bytes_max: usize,
    ) -> Result<Self> {
        check_definition(definition)?;
        let version = Version {
            database: definition.name.database.clone(),
            table: definition.name.table.clone(),
            columns: columns(&definition.schema)?,
            primary_key: definition.primary_key.clone(),
            retention_ms: definition.retention_ms,
            parts: vec![],
            writers: BTreeMap::new(),
        };
        let folder = definition.name.folder();
        write_version(storage.as_ref(), &folder, 1, &version.encode())?;
        Self::open(storage, 1, version, cache_bytes_max)
    }

    /// Opens the table of version `number`. Reads the keys of all rows.
    pub(super) fn open(
        storage: &Arc<dyn Storage>,
        number: u64,
        version: Version,
        cache_bytes_max: usize,
    ) -> Result<Self> {
        let state = TableState::new(number, &version)?;
        let schema = state.schema.clone();
        let keyed = !version.primary_key.is_empty();
        let hasher = keyed.then(|| KeyHasher::new(&schema, &version.primary_key));
        let name = TableName::new(version.database, version.table)?;
        let table = Self {
            folder: name.folder(),
            name,
            storage: storage.clone(),
            cache_bytes_max,
            primary_key: version.primary_key,
            hasher: hasher.transpose()?,
            current: Mutex::new(state.snapshot()),
            state: Mutex::new(state),
            staged: Mutex::default(),
            maintenance: Mutex::default(),
            subscribers: Subscribers::default(),
        };
        for entry in version.parts {
            let part = Part::new(storage, &table.folder, entry);
            let new = table.with_keys(&schema, part)?;
            table.state().append(new);
        }
        table.show(&table.state());
        Ok(table)
    }

    /// The table's name.
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// Its columns. Columns can be added at the end while it is open.
    pub fn schema(&self) -> SchemaRef {
        self.snapshot().schema.clone()
    }

    /// Columns of the primary key.
    pub fn primary_key(&self) -> &[usize] {
        &self.primary_key
    }

    /// The table as it is now.
    pub fn snapshot(&self) -> TableSnapshot {
        self.current.lock().expect("no panic while locked").clone()
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.snapshot().rows()
    }

    /// Length of its files in bytes.
    pub fn bytes(&self) -> u64 {
        self.snapshot().bytes()
    }

    /// Receives the rows of each commit from now on, at most `capacity` commits behind.
    pub fn subscribe(&self, capacity: usize) -> Subscription {
        self.subscribers.add(capacity)
    }

    /// The table as it is now, and everything that is committed after that: together no row is
    /// missed and none comes twice.
    pub fn snapshot_and_subscribe(&self, capacity: usize) -> (TableSnapshot, Subscription) {
        let state = self.state();
        (state.snapshot(), self.subscribers.add(capacity))
    }

    /// Takes over what `definition` adds: columns at the end, another retention. `InvalidInput`
    /// if it contradicts the table.
    pub(super) fn adopt(&self, definition: &TableDefinition) -> Result<()> {
        check_definition(definition)?;
        let mut state = self.state();
        check_same(&state.schema, &self.primary_key, definition)?;
        let want = columns(&definition.schema)?;
        let same_columns = want.len() == state.schema.fields().len();
        if same_columns && state.retention_ms == definition.retention_ms {
            return Ok(());
        }
        let new_schema = schema(&want)?;
        let mut next = state.version(&self.name)?;
        next.columns = want;
        next.retention_ms = definition.retention_ms;
        self.publish(&mut state, &next)?;
        state.schema = new_schema;
        state.retention_ms = definition.retention_ms;
        self.show(&state);
        Ok(())
    }

    /// Keeps the rows of a staged part in memory until it is committed.
    pub(super) fn stage(&self, file: &str, rows: Arc<[RecordBatch]>) {
        self.staged().insert(file.to_owned(), rows);
    }

    /// Makes staged parts visible and remembers `mark`, in one step. No-op if the table holds
    /// `mark` of this writer already; `Fenced` if it holds a newer incarnation.
    pub(super) fn commit(&self, writer: &str, mark: Mark, entries: &[PartEntry]) -> Result<()> {
        let mut state = self.state();
        match state.writers.get(writer) {
            Some(held) if held.incarnation > mark.incarnation => {
                let (held, found) = (held.incarnation, mark.incarnation);
                let message = format!(
                    "table `{}` holds incarnation={held} of `{writer}`; found incarnation={found}",
                    self.name
                );
                return Err(Error::new(ErrorKind::Fenced, message));
            }
            #[cfg(feature = "mutants")]
            Some(_) if Mutant::TableForgets.is_out() => {}
            Some(held) if *held >= mark => return Ok(()),
            _ => {}
        }
        // A rewound pipeline commits its savepoint's epoch again, under the new incarnation.
        let held = state.writers.get(writer).copied();
        #[cfg(feature = "mutants")]
        let held = held.filter(|_| !Mutant::TableForgets.is_out());
        let is_new = |entry: &&PartEntry| match parse_part_name(&entry.file) {
            Some(PartName::Staged { mark, .. }) => held < Some(mark),
            _ => true,
        };
        let entries: Vec<PartEntry> = entries.iter().filter(is_new).cloned().collect();
        let mut added = Vec::with_capacity(entries.len());
        for entry in &entries {
            let part = Part::new(&self.storage, &self.folder, entry.clone());
            let rows = self.staged().get(&entry.file).cloned();
            // After a recovery they are only in the file.
            let rows = match rows {
                Some(rows) => rows,
                None => part.read_all()?,
            };
            added.push(self.with_keys(&state.schema, part.with_rows(rows))?);
        }
        let mut next = state.version(&self.name)?;
        next.parts.extend_from_slice(&entries);
        next.writers.insert(writer.to_owned(), mark);
        // CRASH: before this the staged parts are invisible and the manifest commits them again;
        // after it the version remembers the epoch.
        self.publish(&mut state, &next)?;
        state.writers = next.writers;
        for new in added {
            self.staged().remove(&new.part.entry.file);
            state.append(new);
        }
        let first_new = state.parts.len() - entries.len();
        let rows = self.rows_from(&state, first_new)?;
        self.show(&state);
        if let Some(rows) = rows {
            self.subscribers.send(&rows);
        }
        Ok(())
    }

    /// The live rows of the parts from `first` on, if somebody wants to know.
    fn rows_from(&self, state: &TableState, first: usize) -> Result<Option<Arc<[RecordBatch]>>> {
        if self.subscribers.is_empty() {
            return Ok(None);
        }
        let parts = state.parts[first..].iter().map(LivePart::snapshot);
        let rows: Vec<_> =
            Scan::new(parts, state.schema.clone(), None, None)?.collect::<Result<_>>()?;
        Ok((!rows.is_empty()).then(|| rows.into()))
    }

    /// The last epoch that the table holds of `writer`.
    pub(super) fn mark(&self, writer: &str) -> Option<Mark> {
        self.state().writers.get(writer).copied()
    }

    /// Deletes what `writer` staged up to `last` and did not commit, of older incarnations too.
    pub(super) fn discard_through(&self, writer: &str, last: Mark) -> Result<()> {
        let committed = self.mark(writer);
        let folder = parts_folder(&self.folder);
        for path in self
            .storage
            .list(&format!("{folder}{}", staged_prefix(writer)))?
        {
            let file = path.strip_prefix(&folder).unwrap_or(&path);
            let Some(PartName::Staged { mark, .. }) = parse_part_name(file) else {
                continue;
            };
            // What was ever committed may still be in a version: that is maintenance's to decide.
            if mark <= last && committed < Some(mark) {
                self.storage.delete(&path)?;
                self.staged().remove(file);
            }
        }
        Ok(())
    }

    pub(super) fn state(&self) -> MutexGuard<'_, TableState> {
        self.state.lock().expect("no panic while locked")
    }

    fn staged(&self) -> MutexGuard<'_, HashMap<String, Arc<[RecordBatch]>>> {
        self.staged.lock().expect("no panic while locked")
    }

    /// Makes `next` the newest version.
    pub(super) fn publish(&self, state: &mut TableState, next: &Version) -> Result<()> {
        self.settle(state)?;
        let (number, bytes) = (state.number + 1, next.encode());
        let written = write_version(self.storage.as_ref(), &self.folder, number, &bytes);
        if let Err(error) = written {
            // `Fenced` is a clear answer; any other failure may have come after the file was there.
            state.unclear = (error.kind() != ErrorKind::Fenced).then_some(bytes);
            return Err(error);
        }
        state.number = number;
        Ok(())
    }

    /// Finds out whether the last version whose writing failed is there after all. If so its number
    /// is taken, and what it said is superseded by the version that comes next: whoever asked for it
    /// was told that it failed, and asks again.
    pub(super) fn settle(&self, state: &mut TableState) -> Result<()> {
        let Some(bytes) = &state.unclear else {
            return Ok(());
        };
        let (storage, number) = (self.storage.as_ref(), state.number + 1);
        let path = version_path(&self.folder, number);
        if storage.length(&path)?.is_some() {
            write_version(storage, &self.folder, number, bytes)?;
            state.number = number;
        }
        state.unclear = None;
        Ok(())
    }

    /// Shows `state` to readers, and forgets the oldest rows in memory beyond the budget.
    pub(super) fn show(&self, state: &TableState) {
        let mut bytes = 0;
        for live in state.parts.iter().rev() {
            bytes += live.part.cached_bytes();
            if bytes > self.cache_bytes_max {
                live.part.evict();
            }
        }
        *self.current.lock().expect("no panic while locked") = state.snapshot();
    }

    /// Appends the hashes of the keys of `rows`, which has all columns of the table; nothing in a
    /// table without key.
    pub(super) fn hash_keys(&self, rows: &RecordBatch, keys: &mut Vec<u128>) -> Result<()> {
        match &self.hasher {
            Some(hasher) => hasher.hash(&key_columns(rows, &self.primary_key), keys),
            None => Ok(()),
        }
    }

    /// The part with the hashes of its keys.
    fn with_keys(&self, schema: &SchemaRef, part: Part) -> Result<NewPart> {
        let part = Arc::new(part);
        let mut keys = vec![];
        if let Some(hasher) = &self.hasher {
            let only = SnapshotPart {
                part: part.clone(),
                replaced: no_rows(),
            };
            let projection = Some(self.primary_key.as_slice());
            for rows in Scan::new([only].into_iter(), schema.clone(), projection, None)? {
                hasher.hash(rows?.columns(), &mut keys)?;
            }
        }
        Ok(NewPart { part, keys })
    }
}

/// Fails unless `definition` describes a table that has these columns and this key, or adds
/// columns at its end.
pub(crate) fn check_same(
    schema: &Schema,
    primary_key: &[usize],
    definition: &TableDefinition,
) -> Result<()> {
    let name = &definition.name;
    if !columns(&definition.schema)?.starts_with(&columns(schema)?) {
        let message = format!(
            "table `{name}` exists with columns ({}); found ({}); columns can only be added at \
             the end",
            columns_text(schema),
            columns_text(&definition.schema),
        );
        return Err(Error::invalid(message));
    }
    if primary_key != definition.primary_key {
        let message = format!(
            "table `{name}` exists with primary key ({}); found ({})",
            key_text(schema, primary_key),
            key_text(&definition.schema, &definition.primary_key),
        );
        return Err(Error::invalid(message));
    }
    Ok(())
}

/// `InvalidInput` for columns, a key or a retention that no table can have.
pub(super) fn check_definition(definition: &TableDefinition) -> Result<()> {
    columns(&definition.schema)?;
    let name = &definition.name;
    let fields = definition.schema.fields();
    for index in &definition.primary_key {
        let Some(field) = fields.get(*index) else {
            let columns = fields.len();
            let message = format!("table `{name}`: key column {index} of {columns} columns");
            return Err(Error::bug(message));
        };
        if !can_be_key(field.data_type()) {
            let (column, found) = (field.name(), sql_name(field.data_type()));
            let message = format!(
                "table `{name}`: column `{column}` of type {found} cannot be part of the primary key"
            );
            return Err(Error::invalid(message).about(Subject::Column(column.clone())));
        }
    }
    let time = time_column(&definition.schema, &definition.primary_key);
    if definition.retention_ms.is_some() && time.is_none() {
        let message = format!(
            "table `{name}`: `table.retention` needs a TIMESTAMP column in the primary key or a \
             column `window_start` of that type"
        );
        return Err(Error::of_option("table.retention", message));
    }
    Ok(())
}

fn columns_text(columns: &Schema) -> String {
    let fields = columns.fields().iter();
    let columns: Vec<String> = fields
        .map(|field| format!("{} {}", field.name(), sql_name(field.data_type())))
        .collect();
    columns.join(", ")
}

fn key_text(columns: &Schema, key: &[usize]) -> String {
    let names: Vec<&str> = key
        .iter()
        .map(|index| columns.field(*index).name().as_str())
        .collect();
    names.join(", ")
}
