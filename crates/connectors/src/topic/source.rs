//! The connectors `kafka` and `http` as sources: the embedded topic, one split a partition.
//!
//! `'scan.bounded.mode' = 'latest-offset'` ends each split at the offset that was the end when the
//! source was made. A bounded pipeline that is restarted takes the ends anew, so records that came
//! meanwhile are read too; each is still read once.
//!
//! `'scan.startup.mode' = 'latest-offset'` begins where the end was when the source was made, and
//! a partition that comes later at its beginning: nothing that arrives after the start is missed.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_core::connector::{ConnectorInfo, OptionInfo, OptionKind, Whole};
use millstream_core::plan::{ConnectorConfig, SourcePlan};
use millstream_core::source::{Source, Split, SplitReader};
use millstream_core::{Error, Offset, Result, SplitId, Subject};

use super::definition::{PARTITIONS_MAX, TopicOptions, check_name};
use super::log::{TopicLog, split_name};

const TOPIC: &str = "topic";
const PARTITIONS: &str = "topic.partitions";
const SERVERS: &str = "properties.bootstrap.servers";
const STARTUP: &str = "scan.startup.mode";
const BOUNDED: &str = "scan.bounded.mode";
const LATEST: &str = "latest-offset";
const EARLIEST: &str = "earliest-offset";
const GROUP: &str = "group-offsets";
const UNBOUNDED: &str = "unbounded";

/// What SQL needs to know of `'connector' = 'kafka'`.
pub const KAFKA: ConnectorInfo = ConnectorInfo {
    name: "kafka",
    is_source: true,
    is_sink: true,
    is_upsert: false,
    whole: Whole::Never,
    needs_format: true,
    options: &[
        TOPIC_OPTION,
        PARTITIONS_OPTION,
        STARTUP_OPTION,
        BOUNDED_OPTION,
        option(
            SERVERS,
            OptionKind::Text,
            "addresses of real Kafka brokers; leave it out for the embedded topic log",
        ),
        option(
            "properties.group.id",
            OptionKind::Text,
            "accepted for Flink's sake: positions are kept with the pipeline's state",
        ),
        option(
            "properties.*",
            OptionKind::Text,
            "accepted: settings of Kafka's client",
        ),
        option(
            "sink.delivery-guarantee",
            OptionKind::OneOf(&["exactly-once", "at-least-once", "none"]),
            "accepted for Flink's sake: the embedded topic is always written exactly once",
        ),
        option(
            "sink.transactional-id-prefix",
            OptionKind::Text,
            "accepted for Flink's sake: the pipeline's name is the identity",
        ),
    ],
    metadata: METADATA,
};

/// What SQL needs to know of `'connector' = 'http'`: what the collector has taken for a topic.
pub const HTTP: ConnectorInfo = ConnectorInfo {
    name: "http",
    is_source: true,
    is_sink: false,
    is_upsert: false,
    whole: Whole::Never,
    needs_format: true,
    options: &[
        TOPIC_OPTION,
        PARTITIONS_OPTION,
        STARTUP_OPTION,
        BOUNDED_OPTION,
    ],
    metadata: METADATA,
};

const METADATA: &[&str] = &["topic", "partition", "offset", "timestamp"];

const TOPIC_OPTION: OptionInfo = OptionInfo {
    key: TOPIC,
    required: true,
    kind: OptionKind::Text,
    help: "the topic; it is made if it is not there",
};

const PARTITIONS_OPTION: OptionInfo = option(
    PARTITIONS,
    OptionKind::Integer,
    "number of partitions if the topic is made; default 2",
);

const STARTUP_OPTION: OptionInfo = option(
    STARTUP,
    OptionKind::OneOf(&[EARLIEST, LATEST, GROUP]),
    "where a pipeline without state begins; default `earliest-offset`, and so is `group-offsets`",
);

const BOUNDED_OPTION: OptionInfo = option(
    BOUNDED,
    OptionKind::OneOf(&[UNBOUNDED, LATEST]),
    "`latest-offset`: end with the records that are there at the start; default `unbounded`",
);

const fn option(key: &'static str, kind: OptionKind, help: &'static str) -> OptionInfo {
    OptionInfo {
        key,
        required: false,
        kind,
        help,
    }
}

/// What a table with connector `kafka` or `http` says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TopicTable<'a> {
    /// The topic.
    pub topic: &'a str,
    /// With how many partitions it is made.
    pub partitions: Option<u32>,
    /// Whether it is read from the end that it had at the start.
    is_from_end: bool,
    /// Whether it is read up to the end that it had at the start.
    is_bounded: bool,
}

impl<'a> TopicTable<'a> {
    /// `InvalidInput` about the option that is wrong, or that asks for real Kafka.
    pub fn new(config: &'a ConnectorConfig) -> Result<Self> {
        if config.get(SERVERS).is_some() {
            let message = format!(
                "real Kafka is not built yet; leave out `{SERVERS}` to use the embedded topic log"
            );
            return Err(Error::of_option(SERVERS, message));
        }
        let topic = config.get(TOPIC);
        let topic =
            topic.ok_or_else(|| Error::invalid(format!("no `{TOPIC}`; expected a name")))?;
        check_name(topic).map_err(|e| e.about(Subject::Option(TOPIC.to_owned())))?;
        let partitions = config.get(PARTITIONS).map(|text| {
            let count = text.trim().parse::<u32>().ok();
            let count = count.filter(|count| TopicOptions::partitions(*count).check().is_ok());
            count.ok_or_else(|| {
                let expected = format!("expected a number from 1 to {PARTITIONS_MAX}");
                Error::of_option(
                    PARTITIONS,
                    format!("`{PARTITIONS}` is `{text}`, {expected}"),
                )
            })
        });
        Ok(Self {
            topic,
            partitions: partitions.transpose()?,
            is_from_end: match config.get(STARTUP) {
                None | Some(EARLIEST | GROUP) => false,
                Some(LATEST) => true,
                Some(other) => {
                    return Err(unknown_mode(STARTUP, other, &[EARLIEST, LATEST, GROUP]));
                }
            },
            is_bounded: match config.get(BOUNDED) {
                None | Some(UNBOUNDED) => false,
                Some(LATEST) => true,
                Some(other) => return Err(unknown_mode(BOUNDED, other, &[UNBOUNDED, LATEST])),
            },
        })
    }

    /// Makes the topic if it is not there. `InvalidInput` if it has another number of partitions.
    pub(super) fn ensure(&self, log: &TopicLog) -> Result<()> {
        log.ensure_topic(self.topic, self.partitions)
    }
}

/// The source of a table with connector `kafka` or `http`. Makes the topic if it is not there.
pub fn source(log: &Arc<TopicLog>, plan: &SourcePlan) -> Result<Box<dyn Source>> {
    let open = || TopicSource::open(log, &plan.connector);
    match open() {
        Ok(source) => Ok(Box::new(source)),
        Err(error) => Err(error.context(format!("table `{}`", plan.table))),
    }
}

/// The partitions of a topic.
struct TopicSource {
    log: Arc<TopicLog>,
    topic: String,
    /// Where each partition that was there begins, if that is not the earliest offset.
    starts: Vec<Offset>,
    /// The end of each partition, if the source is bounded.
    ends: Option<Vec<Offset>>,
}

impl TopicSource {
    fn open(log: &Arc<TopicLog>, config: &ConnectorConfig) -> Result<Self> {
        let table = TopicTable::new(config)?;
        table.ensure(log)?;
        Ok(Self {
            log: log.clone(),
            topic: table.topic.to_owned(),
            starts: match table.is_from_end {
                true => log.end_offsets(table.topic)?,
                false => vec![],
            },
            ends: match table.is_bounded {
                true => Some(log.end_offsets(table.topic)?),
                false => None,
            },
        })
    }

    fn start(&self, partition: usize) -> Result<Offset> {
        // Retention may have gone beyond what was the end.
        let earliest = self.log.start_offsets(&self.topic)?[partition];
        let start = self.starts.get(partition);
        Ok(start.map_or(earliest, |start| earliest.max(*start)))
    }
}

fn unknown_mode(key: &str, found: &str, known: &[&str]) -> Error {
    let known = known.join(", ");
    Error::of_option(
        key,
        format!("`{key}` is `{found}`, expected one of: {known}"),
    )
}

impl Source for TopicSource {
    fn splits(&self) -> Result<Vec<Split>> {
        let partitions = self.log.status(&self.topic)?.partitions;
        let split = |number: u32| Split {
            id: SplitId::new(split_name(&self.topic, number)),
            metadata: BTreeMap::from([
                ("topic".to_owned(), self.topic.clone()),
                ("partition".to_owned(), number.to_string()),
            ]),
        };
        Ok(partitions
            .iter()
            .map(|status| split(status.partition))
            .collect())
    }

    fn open(&self, split: &SplitId, from: Option<Offset>) -> Result<Box<dyn SplitReader>> {
        let name = split
            .as_str()
            .rsplit_once('-')
            .filter(|(topic, _)| *topic == self.topic);
        let number = name.and_then(|(_, number)| number.parse::<u32>().ok());
        let count = self.log.status(&self.topic)?.partitions.len();
        let Some(number) = number.filter(|number| (*number as usize) < count) else {
            let message = format!("topic `{}` has no split `{split}`", self.topic);
            return Err(Error::invalid(message));
        };
        let from = match from {
            Some(from) => from,
            None => self.start(number as usize)?,
        };
        let reader = match &self.ends {
            Some(ends) => {
                self.log
                    .bounded_reader(&self.topic, number, (from, ends[number as usize]))?
            }
            None => self.log.reader(&self.topic, number, from)?,
        };
        Ok(Box::new(reader))
    }

    fn is_bounded(&self) -> bool {
        self.ends.is_some()
    }
}
