//! Where generated events go.

use std::fs::File;
use std::io::ErrorKind::BrokenPipe;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use millstream_connectors::storage::DataDirectory;
use millstream_connectors::topic::{RecordSet, TopicLog, TopicLogConfig};
use millstream_core::env::Env;
use millstream_core::{Error, ErrorKind};

use super::batch::Batch;
use crate::cli::{Failure, Outcome};
use crate::client::{Client, Posted};

/// PERF: large writes, few system calls.
const BUFFER_BYTES: usize = 1 << 20;

/// A target as it is named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetName {
    /// A file of JSON lines.
    File(PathBuf),
    /// Standard output.
    Stdout,
    /// A topic of the data directory.
    Topic(String),
    /// The URL of a topic of a collector.
    Http(String),
}

impl FromStr for TargetName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(topic) = text.strip_prefix("topic:") {
            return match topic.is_empty() {
                true => Err("expected a name after `topic:`".to_owned()),
                false => Ok(Self::Topic(topic.to_owned())),
            };
        }
        if let Some(rest) = text.strip_prefix("http://") {
            let is_bare = rest.trim_end_matches('/').split_once('/').is_none();
            let path = if is_bare { "/v1/events/web.clicks" } else { "" };
            return Ok(Self::Http(format!("{}{path}", text.trim_end_matches('/'))));
        }
        match text {
            "" => Err("expected FILE, -, topic:NAME or http://HOST:PORT".to_owned()),
            "-" => Ok(Self::Stdout),
            _ if text.contains("://") => {
                Err("this kind of target is not built yet; expected http://HOST:PORT".to_owned())
            }
            file => Ok(Self::File(PathBuf::from(file))),
        }
    }
}

impl TargetName {
    /// Opens it; `data_dir` has the topics.
    pub fn open(&self, data_dir: &Path, env: &Arc<dyn Env>) -> Outcome<Target> {
        Ok(match self {
            Self::File(path) => {
                let name = path.display().to_string();
                let file = File::create(path).map_err(|error| Error::io(&name, &error))?;
                Target::Lines(lines(file), name)
            }
            Self::Stdout => Target::Lines(lines(std::io::stdout()), "stdout".to_owned()),
            Self::Topic(topic) => Target::Topic(TopicTarget::open(data_dir, topic, env.clone())?),
            Self::Http(url) => Target::Http(Client::new(), url.clone()),
        })
    }
}

fn lines(to: impl Write + 'static) -> BufWriter<Box<dyn Write>> {
    BufWriter::with_capacity(BUFFER_BYTES, Box::new(to))
}

/// An open target.
pub enum Target {
    /// A file or stdout, and its name.
    Lines(BufWriter<Box<dyn Write>>, String),
    /// A topic.
    Topic(TopicTarget),
    /// A collector, and the URL of the topic.
    Http(Client, String),
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It is there.
    Done,
    /// The reader of stdout has gone away, as `head` does: it has seen enough.
    NobodyReads,
    /// It is not there, for this reason; worth another try after this time.
    Busy(Duration, String),
}

impl Target {
    /// Sends a batch.
    pub fn send(&mut self, batch: &Batch) -> Outcome<Sent> {
        match self {
            Self::Lines(writer, name) => match writer.write_all(&batch.lines) {
                Ok(()) => Ok(Sent::Done),
                Err(error) if error.kind() == BrokenPipe => Ok(Sent::NobodyReads),
                Err(error) => Err(Error::io(name, &error).into()),
            },
            Self::Topic(topic) => topic.append(batch),
            Self::Http(client, url) => match client.post_events(url, &batch.lines)? {
                Posted::Busy(patience, reason) => Ok(Sent::Busy(patience, reason)),
                Posted::Accepted(count) if count == batch.ends.len() as u64 => Ok(Sent::Done),
                Posted::Accepted(count) => Err(Failure::runtime(format!(
                    "{url} took {count} events of {}",
                    batch.ends.len()
                ))),
            },
        }
    }

    /// Writes what is still in memory.
    pub fn finish(&mut self) -> Outcome {
        if let Self::Lines(writer, name) = self {
            return match writer.flush() {
                Err(error) if error.kind() != BrokenPipe => Err(Error::io(name, &error).into()),
                _ => Ok(()),
            };
        }
        if let Self::Topic(topic) = self {
            topic.topics.sync_acknowledged()?;
        }
        Ok(())
    }
}

/// A topic of a data directory that this process holds.
pub struct TopicTarget {
    /// Released when this is dropped.
    _directory: DataDirectory,
    topics: Arc<TopicLog>,
    topic: String,
}

impl TopicTarget {
    fn open(data_dir: &Path, topic: &str, env: Arc<dyn Env>) -> Outcome<Self> {
        if let Some(url) = DataDirectory::server_of(data_dir) {
            let message = format!("a server runs on `{}`", data_dir.display());
            let hint = format!("send to it with --to {url}/v1/events/{topic}");
            return Err(Failure::usage(message).hint(hint));
        }
        let directory = DataDirectory::open(data_dir)?;
        let storage = Arc::new(directory.storage());
        let topics = TopicLog::open(storage, env, TopicLogConfig::default())?;
        topics.ensure_topic(topic, None)?;
        Ok(Self {
            _directory: directory,
            topics,
            topic: topic.to_owned(),
        })
    }

    fn append(&self, batch: &Batch) -> Outcome<Sent> {
        let mut start = 0;
        let record = |end: &usize| {
            let record = &batch.lines[start..*end];
            start = end + 1;
            record
        };
        let records = RecordSet::from_records(batch.ends.iter().map(record))?;
        match self.topics.append(&self.topic, None, &records) {
            Ok(_) => Ok(Sent::Done),
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                Ok(Sent::Busy(Duration::from_millis(100), error.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: TargetName) {
        assert_eq!(text.parse(), Ok(expected));
    }

    #[test]
    fn targets_are_told_apart_by_their_prefix() {
        check("clicks.jsonl", TargetName::File("clicks.jsonl".into()));
        check("-", TargetName::Stdout);
        check("topic:web.clicks", TargetName::Topic("web.clicks".into()));
        let full = "http://127.0.0.1:8080/v1/events/web.clicks";
        check("http://127.0.0.1:8080", TargetName::Http(full.into()));
        check("http://127.0.0.1:8080/", TargetName::Http(full.into()));
        let other = "http://127.0.0.1:8080/v1/events/other";
        check(other, TargetName::Http(other.into()));
    }

    #[test]
    fn targets_that_are_not_there_yet_are_refused() {
        for text in [
            "https://example.com",
            "kafka://broker:9092",
            "s3://bucket/a",
            "topic:",
            "",
        ] {
            assert!(text.parse::<TargetName>().is_err(), "{text}");
        }
    }
}
