//! Adding files: at most once for each mark, never an empty snapshot.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use iceberg::spec::{DataFile, ManifestContentType, Operation};
use iceberg::table::Table;
use millstream_core::env::Env;
use millstream_core::{Error, Result};

use super::{Change, Prepared, Step};
use crate::iceberg::blocking::block_on;
use crate::iceberg::snapshot::{Draft, Entry, ancestors};

const PIPELINE: &str = "millstream.pipeline";
const SINK: &str = "millstream.sink";
const INCARNATION: &str = "millstream.incarnation";
const EPOCH: &str = "millstream.epoch";

/// Who appends: a sink of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriterName {
    /// The pipeline's name.
    pub pipeline: String,
    /// The sink's.
    pub sink: String,
}

impl WriterName {
    /// The table property that holds how far it has come.
    pub fn property(&self) -> String {
        format!("millstream.{}.{}", self.pipeline, self.sink)
    }
}

/// How far a writer has come. A later incarnation is beyond all epochs of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The pipeline's incarnation.
    pub incarnation: u64,
    /// The last epoch that is included.
    pub epoch: u64,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.incarnation, self.epoch)
    }
}

impl Mark {
    fn parse(text: &str) -> Option<Self> {
        let (incarnation, epoch) = text.split_once('/')?;
        let (incarnation, epoch) = (incarnation.parse().ok()?, epoch.parse().ok()?);
        Some(Self { incarnation, epoch })
    }
}

/// A data file and the partition spec that its partition values are of.
#[derive(Debug, Clone)]
pub struct AddedFile {
    /// The file, as the crate's writer told it.
    pub file: DataFile,
    /// One of the table's.
    pub spec_id: i32,
}

/// Files to add.
#[derive(Debug, Clone)]
pub struct Append {
    /// Whose they are.
    pub writer: WriterName,
    /// The first epoch that has rows in them.
    pub first: Mark,
    /// The last one.
    pub mark: Mark,
    /// At least one, no path twice.
    pub files: Vec<AddedFile>,
    /// More of the snapshot's summary.
    pub properties: BTreeMap<String, String>,
}

/// What came of an append.
#[derive(Debug)]
pub enum Appended {
    /// The files are in the table's current or an earlier snapshot.
    Done(Box<Table>),
    /// The table holds this mark or a later one of this writer: nothing was done.
    AlreadyThere {
        /// The table as it is.
        table: Box<Table>,
        /// What it holds. A later incarnation than the append's: a run that was rewound is ahead.
        found: Mark,
    },
    /// The table holds some of the epochs: nothing was done. An answer that was lost has come true after
    /// all, when more epochs were to be appended already.
    Partly {
        /// The table as it is.
        table: Box<Table>,
        /// The last epoch that it holds.
        found: Mark,
    },
}

/// The newest mark of `writer` in `table`: of the property, and of all snapshots up to the current one.
/// `Corrupt` if the property is not a mark.
pub fn mark_of(table: &Table, writer: &WriterName) -> Result<Option<Mark>> {
    let key = writer.property();
    let text = table.metadata().properties().get(&key);
    let property = match text.map(|text| (text, Mark::parse(text))) {
        Some((text, None)) => {
            let message = format!("table `{}`: property `{key}`", table.identifier());
            let message = format!("{message}: found `{text}`, expected `<incarnation>/<epoch>`");
            return Err(Error::corrupt(message));
        }
        Some((_, mark)) => mark,
        None => None,
    };
    let noted = ancestors(table.metadata()).filter_map(|snapshot| {
        let summary = &snapshot.summary().additional_properties;
        let is_his = summary.get(PIPELINE) == Some(&writer.pipeline)
            && summary.get(SINK) == Some(&writer.sink);
        let number = |key| summary.get(key).and_then(|text: &String| text.parse().ok());
        let (incarnation, epoch) = (number(INCARNATION)?, number(EPOCH)?);
        is_his.then_some(Mark { incarnation, epoch })
    });
    Ok(noted.chain(property).max())
}

pub(super) struct Appending<'a> {
    pub append: &'a Append,
}

impl Appending<'_> {
    fn check(&self) -> Result<()> {
        let mut paths = HashSet::new();
        let mut files = self.append.files.iter();
        if let Some(twice) = files.find(|added| !paths.insert(added.file.file_path())) {
            let path = twice.file.file_path();
            return Err(Error::bug(format!("data file `{path}` is appended twice")));
        }
        match paths.is_empty() {
            true => Err(Error::bug("an append without files")),
            false => Ok(()),
        }
    }

    async fn draft(&self, draft: &mut Draft<'_>) -> Result<Prepared> {
        let mut by_spec: BTreeMap<i32, Vec<Entry>> = BTreeMap::new();
        for added in &self.append.files {
            let entries = by_spec.entry(added.spec_id).or_default();
            entries.push(Entry::Added(Box::new(added.file.clone()), None));
        }
        let mut manifests = Vec::new();
        for (spec, entries) in by_spec {
            manifests.push(
                draft
                    .write(spec, ManifestContentType::Data, entries)
                    .await?,
            );
        }
        let kept = draft.parent_manifests().await?;
        manifests.extend(draft.merged(kept).await?);
        let Append { writer, mark, .. } = self.append;
        let mut summary: HashMap<String, String> =
            self.append.properties.clone().into_iter().collect();
        for (key, value) in [
            (PIPELINE, writer.pipeline.clone()),
            (SINK, writer.sink.clone()),
            (INCARNATION, mark.incarnation.to_string()),
            (EPOCH, mark.epoch.to_string()),
        ] {
            summary.insert(key.to_owned(), value);
        }
        let property = HashMap::from([(writer.property(), mark.to_string())]);
        draft
            .finish((Operation::Append, summary), manifests, property)
            .await
    }
}

impl Change for Appending<'_> {
    type Output = Appended;

    fn prepare(&mut self, base: &Table, env: &dyn Env, _: bool) -> Result<Step<Appended>> {
        self.check()?;
        if let Some(found) = mark_of(base, &self.append.writer)?
            && found >= self.append.first
        {
            let table = Box::new(base.clone());
            return Ok(Step::Done(match found >= self.append.mark {
                true => Appended::AlreadyThere { table, found },
                false => Appended::Partly { table, found },
            }));
        }
        let mut draft = Draft::new(base, env)?;
        let prepared = block_on(self.draft(&mut draft));
        prepared.map(Step::Commit).inspect_err(|_| draft.discard())
    }

    fn found(&mut self, table: &Table) -> Option<Appended> {
        Some(Appended::Done(Box::new(table.clone())))
    }

    fn done(&mut self, _: &Table, table: Box<Table>) -> Appended {
        Appended::Done(table)
    }
}
