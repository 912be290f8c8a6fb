//! A lake in memory for tests: files that are counted and can fail, a catalog that can reject, fail or
//! not answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use iceberg::io::{
    FileIO, FileIOBuilder, FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage,
    StorageConfig, StorageFactory,
};
use iceberg::spec::{
    NestedField, PrimitiveType, Schema, Struct, Transform, Type, UnboundPartitionSpec,
};
use iceberg::table::Table;
use iceberg::{TableCreation, TableIdent};
use millstream_core::Error;

use super::catalog::{MemoryPointers, PointerCatalog, Pointers, Swapped};
use super::commit::{AddedFile, Append, Commits, Mark, WriterName};
use super::metrics::{Body, Columns, data_file};
use crate::test_env::TestEnv;

/// Random numbers from a seed; `one_in(0)` never.
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(super) fn one_in(&mut self, many: u64) -> bool {
        many > 0 && self.below(many) == 0
    }
}

/// Files by path, with what was read and written.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct TestFiles {
    #[serde(skip)]
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    files: BTreeMap<String, Bytes>,
    bytes: u64,
    fails_one_in: u64,
    chance: Chance,
}

impl Default for State {
    fn default() -> Self {
        Self {
            files: BTreeMap::new(),
            bytes: 0,
            fails_one_in: 0,
            chance: Chance::new(7),
        }
    }
}

impl TestFiles {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn io(&self) -> FileIO {
        FileIOBuilder::new(Arc::new(self.clone())).build()
    }

    /// Bytes read and written since the last call.
    pub(super) fn take_bytes(&self) -> u64 {
        std::mem::take(&mut self.state().bytes)
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.state().files.keys().cloned().collect()
    }

    pub(super) fn put(&self, path: &str, bytes: &[u8]) {
        self.state()
            .files
            .insert(path.to_owned(), Bytes::copy_from_slice(bytes));
    }

    /// From now on one access in `many` fails, before or after its effect; 0: none.
    pub(super) fn fail_one_in(&self, many: u64, seed: u64) {
        let mut state = self.state();
        (state.fails_one_in, state.chance) = (many, Chance::new(seed));
    }

    fn get(&self, path: &str) -> iceberg::Result<Bytes> {
        let mut state = self.state();
        let many = state.fails_one_in;
        if state.chance.one_in(many) {
            return Err(down(path));
        }
        let found = state.files.get(path).cloned().ok_or_else(|| {
            let error = Error::invalid(format!("`{path}` is not there"));
            iceberg::Error::new(iceberg::ErrorKind::Unexpected, "read").with_source(error)
        })?;
        state.bytes += found.len() as u64;
        Ok(found)
    }

    fn set(&self, path: &str, bytes: Bytes) -> iceberg::Result<()> {
        let mut state = self.state();
        let many = state.fails_one_in;
        let (fails, is_done) = (state.chance.one_in(many), state.chance.one_in(2));
        state.bytes += bytes.len() as u64;
        if fails && !is_done {
            return Err(down(path));
        }
        state.files.insert(path.to_owned(), bytes);
        if fails { Err(down(path)) } else { Ok(()) }
    }
}

fn down(path: &str) -> iceberg::Error {
    let error = Error::unavailable(format!("`{path}`: storage is down"));
    iceberg::Error::new(iceberg::ErrorKind::Unexpected, "storage").with_source(error)
}

struct Reader(Bytes);

#[async_trait]
impl FileRead for Reader {
    async fn read(&self, range: std::ops::Range<u64>) -> iceberg::Result<Bytes> {
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        Ok(self.0.slice(range))
    }
}

struct Writer {
    files: TestFiles,
    path: String,
    bytes: Vec<u8>,
}

#[async_trait]
impl FileWrite for Writer {
    async fn write(&mut self, bytes: Bytes) -> iceberg::Result<()> {
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn close(&mut self) -> iceberg::Result<()> {
        self.files
            .set(&self.path, std::mem::take(&mut self.bytes).into())
    }
}

#[async_trait]
#[typetag::serde(name = "LakeTestFiles")]
impl Storage for TestFiles {
    async fn exists(&self, path: &str) -> iceberg::Result<bool> {
        Ok(self.state().files.contains_key(path))
    }

    async fn metadata(&self, path: &str) -> iceberg::Result<FileMetadata> {
        Ok(FileMetadata {
            size: self.get(path)?.len() as u64,
        })
    }

    async fn read(&self, path: &str) -> iceberg::Result<Bytes> {
        self.get(path)
    }

    async fn reader(&self, path: &str) -> iceberg::Result<Box<dyn FileRead>> {
        Ok(Box::new(Reader(self.get(path)?)))
    }

    async fn write(&self, path: &str, bytes: Bytes) -> iceberg::Result<()> {
        self.set(path, bytes)
    }

    async fn writer(&self, path: &str) -> iceberg::Result<Box<dyn FileWrite>> {
        let (files, path) = (self.clone(), path.to_owned());
        Ok(Box::new(Writer {
            files,
            path,
            bytes: Vec::new(),
        }))
    }

    async fn delete(&self, path: &str) -> iceberg::Result<()> {
        let mut state = self.state();
        let many = state.fails_one_in;
        if state.chance.one_in(many) {
            return Err(down(path));
        }
        state.files.remove(path);
        Ok(())
    }

    async fn delete_prefix(&self, _: &str) -> iceberg::Result<()> {
        panic!("nobody deletes by prefix")
    }

    async fn delete_stream(&self, mut paths: BoxStream<'static, String>) -> iceberg::Result<()> {
        while let Some(path) = paths.next().await {
            self.delete(&path).await?;
        }
        Ok(())
    }

    fn new_input(&self, path: &str) -> iceberg::Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, path: &str) -> iceberg::Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), path.to_owned()))
    }
}

#[typetag::serde(name = "LakeTestFiles")]
impl StorageFactory for TestFiles {
    fn build(&self, _: &StorageConfig) -> iceberg::Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.clone()))
    }
}

/// What the next swaps answer, and by what chance otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Plain,
    Failed,
    /// Done, but nobody hears of it.
    Lost,
    /// Not done, and nobody hears of it.
    Never,
    /// It takes effect later, if it still can.
    Late,
}

/// A catalog that can be told how to answer.
#[derive(Default)]
pub(super) struct TestPointers {
    inner: MemoryPointers,
    script: Mutex<Script>,
}

#[derive(Default)]
struct Script {
    next: Vec<Answer>,
    chance: Option<(u64, Chance)>,
    late: Vec<(TableIdent, Option<String>, String)>,
    /// Runs before the next swap.
    before: Option<Box<dyn FnOnce() + Send>>,
}

impl TestPointers {
    pub(super) fn answer(&self, next: &[Answer]) {
        self.script.lock().unwrap().next = next.iter().rev().copied().collect();
    }

    pub(super) fn fault_one_in(&self, many: u64, seed: u64) {
        self.script.lock().unwrap().chance = Some((many, Chance::new(seed)));
    }

    pub(super) fn before_swap(&self, run: impl FnOnce() + Send + 'static) {
        self.script.lock().unwrap().before = Some(Box::new(run));
    }

    fn next(&self) -> Answer {
        let mut script = self.script.lock().unwrap();
        if let Some(answer) = script.next.pop() {
            return answer;
        }
        let Some((many, chance)) = &mut script.chance else {
            return Answer::Plain;
        };
        if !chance.one_in(*many) {
            return Answer::Plain;
        }
        let answers = [Answer::Failed, Answer::Lost, Answer::Never, Answer::Late];
        answers[usize::try_from(chance.below(4)).unwrap()]
    }

    fn land_late(&self) {
        let late = std::mem::take(&mut self.script.lock().unwrap().late);
        for (table, from, to) in late {
            self.inner.swap(&table, from.as_deref(), &to);
        }
    }
}

impl Pointers for TestPointers {
    fn get(&self, table: &TableIdent) -> millstream_core::Result<Option<String>> {
        let found = self.inner.get(table);
        self.land_late();
        found
    }

    fn swap(&self, table: &TableIdent, from: Option<&str>, to: &str) -> Swapped {
        let before = self.script.lock().unwrap().before.take();
        if let Some(before) = before {
            before();
        }
        let lost = Error::unavailable("no answer");
        match self.next() {
            Answer::Plain => self.inner.swap(table, from, to),
            Answer::Failed => Swapped::Failed(Error::unavailable("the catalog is down")),
            Answer::Never => Swapped::Unknown(lost),
            Answer::Lost => {
                self.inner.swap(table, from, to);
                Swapped::Unknown(lost)
            }
            Answer::Late => {
                let late = (table.clone(), from.map(str::to_owned), to.to_owned());
                self.script.lock().unwrap().late.push(late);
                Swapped::Unknown(lost)
            }
        }
    }

    fn list(&self) -> millstream_core::Result<Vec<TableIdent>> {
        self.inner.list()
    }
}

/// A lake with one table `db.t`: `id` long, `day` int (the partition), `text` string.
pub(super) struct TestLake {
    pub files: TestFiles,
    pub pointers: Arc<TestPointers>,
    pub env: Arc<TestEnv>,
    pub commits: Arc<Commits>,
    pub table: TableIdent,
}

impl TestLake {
    pub(super) fn new(properties: &[(&str, &str)]) -> Self {
        let (files, pointers) = (TestFiles::default(), Arc::new(TestPointers::default()));
        let env = Arc::new(TestEnv::default());
        env.now_ms
            .store(1_800_000_000_000, std::sync::atomic::Ordering::SeqCst);
        let table = TableIdent::from_strs(["db", "t"]).unwrap();
        let mut lake = Self {
            commits: Arc::new(commits(&files, &pointers, &env)),
            files,
            pointers,
            env,
            table,
        };
        lake.create(properties);
        lake.commits = lake.process();
        lake
    }

    /// Another process with the same catalog.
    pub(super) fn process(&self) -> Arc<Commits> {
        Arc::new(commits(&self.files, &self.pointers, &self.env))
    }

    fn create(&self, properties: &[(&str, &str)]) {
        let field =
            |id, name: &str, kind| Arc::new(NestedField::optional(id, name, Type::Primitive(kind)));
        let schema = Schema::builder().with_fields([
            field(1, "id", PrimitiveType::Long),
            field(2, "day", PrimitiveType::Int),
            field(3, "text", PrimitiveType::String),
        ]);
        let spec = UnboundPartitionSpec::builder();
        let spec = spec
            .add_partition_field(2, "day", Transform::Identity)
            .unwrap()
            .build();
        let properties = properties
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()));
        let creation = TableCreation::builder()
            .name("t".to_owned())
            .schema(schema.build().unwrap())
            .partition_spec(spec)
            .properties(properties)
            .build();
        self.commits
            .catalog()
            .create(&self.table, creation)
            .unwrap();
    }

    pub(super) fn load(&self) -> Table {
        self.commits.load(&self.table).unwrap()
    }

    pub(super) fn pass(&self, ms: i64) {
        self.env
            .now_ms
            .fetch_add(ms, std::sync::atomic::Ordering::SeqCst);
    }

    /// A file without content, said to have `rows` rows.
    pub(super) fn file(&self, name: &str, rows: u64) -> AddedFile {
        let path = format!("memory:///wh/db/t/data/{name}.parquet");
        self.files.put(&path, b"rows");
        let body = Body {
            path,
            partition: Struct::from_iter([Some(iceberg::spec::Literal::int(1))]),
            spec_id: 0,
            sort_order_id: None,
            rows,
            bytes: 4,
            offsets: vec![4],
        };
        AddedFile {
            file: data_file(body, Columns::default()).unwrap(),
            spec_id: 0,
        }
    }

    pub(super) fn append(&self, writer: &str, epoch: u64, files: Vec<AddedFile>) -> Append {
        Append {
            writer: WriterName {
                pipeline: "p".to_owned(),
                sink: writer.to_owned(),
            },
            first: Mark {
                incarnation: 1,
                epoch,
            },
            mark: Mark {
                incarnation: 1,
                epoch,
            },
            files,
            properties: BTreeMap::new(),
        }
    }
}

fn commits(files: &TestFiles, pointers: &Arc<TestPointers>, env: &Arc<TestEnv>) -> Commits {
    let catalog = PointerCatalog::new(pointers.clone(), files.io(), "memory:///wh", env.clone());
    Commits::new(Arc::new(catalog), env.clone())
}
