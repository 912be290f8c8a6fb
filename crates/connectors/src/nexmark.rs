//! The events of the Nexmark benchmark: an auction house's people, auctions and bids.
//!
//! Schema, mix and options are those of <https://github.com/nexmark/nexmark>; texts and random
//! numbers are our own. A round has each kind in its proportion, by default 1 person, 3 auctions and
//! 46 bids. Event n is a function of the options and n alone, and the events are dealt to the splits
//! one by one; so how many shards read them changes nothing, event time never goes back within a
//! split, and a reader that is opened at an offset goes on with the same events. Only columns and
//! fields that are asked for are made.
//!
//! ```text
//! config   options, checked            events   number -> what the event says
//! text     names, addresses, urls      columns  numbers of a batch -> Arrow columns
//! reader   which numbers are next, and since when
//! ```

mod columns;
mod config;
mod events;
mod reader;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_core::connector::{ConnectorInfo, OptionInfo, OptionKind, Whole};
use millstream_core::env::Env;
use millstream_core::plan::{ConnectorConfig, SourcePlan};
use millstream_core::source::{Source, Split, SplitReader};
use millstream_core::{Error, Offset, Result, SplitId};

use self::columns::Columns;
use self::config::Config;
use self::events::Events;
use self::reader::{NexmarkReader, Part};

/// What SQL needs to know of the connector.
pub const INFO: ConnectorInfo = ConnectorInfo {
    name: "nexmark",
    is_source: true,
    is_sink: false,
    is_upsert: false,
    whole: Whole::If(config::EVENTS),
    needs_format: false,
    options: &[
        number(
            config::EVENTS,
            "how many events there are; 0, the default: without end",
        ),
        number(
            config::RATE,
            "events in a second of event time; default 10000",
        ),
        number(
            config::NEXT_RATE,
            "as `first-event.rate`: a rate that changes is refused",
        ),
        flag(
            config::MAX_SPEED,
            "`false`: events come no faster than their times; default `true`",
        ),
        flag(
            config::KEEP_ALIVE,
            "`true`: the table does not end with its events",
        ),
        number(config::PEOPLE, "people in a round of events; default 1"),
        number(config::AUCTIONS, "auctions in a round of events; default 3"),
        number(config::BIDS, "bids in a round of events; default 46"),
        number(
            config::HOT_SELLERS,
            "all but one in so many auctions are of the hot seller; 4",
        ),
        number(
            config::HOT_AUCTIONS,
            "all but one in so many bids are for the hot auction; 2",
        ),
        number(
            config::HOT_BIDDERS,
            "all but one in so many bids are by the hot bidder; 4",
        ),
        size(
            config::PERSON_SIZE,
            "bytes of a person, on average; default 200",
        ),
        size(
            config::AUCTION_SIZE,
            "bytes of an auction, on average; default 500",
        ),
        size(config::BID_SIZE, "bytes of a bid, on average; default 100"),
        number(
            config::SEED,
            "the same seed gives the same events; default 0",
        ),
        number(
            config::SPLITS,
            "how many readers can share the work; default 8",
        ),
        option(
            config::BASE_TIME,
            OptionKind::Text,
            "the time of the first event; default `2015-07-15 00:00:00`",
        ),
    ],
    metadata: &[],
};

const fn option(key: &'static str, kind: OptionKind, help: &'static str) -> OptionInfo {
    OptionInfo {
        key,
        required: false,
        kind,
        help,
    }
}

const fn number(key: &'static str, help: &'static str) -> OptionInfo {
    option(key, OptionKind::Integer, help)
}

const fn size(key: &'static str, help: &'static str) -> OptionInfo {
    option(key, OptionKind::Size, help)
}

const fn flag(key: &'static str, help: &'static str) -> OptionInfo {
    option(key, OptionKind::Boolean, help)
}

/// Makes the events, as fast as they are read or as the clock of `env` says. `InvalidInput` for an
/// option out of range, and for a column or field that events do not have.
pub fn source(plan: &SourcePlan, env: Arc<dyn Env>) -> Result<Box<dyn Source>> {
    let config = Config::new(&plan.connector)?;
    let columns = Columns::new(&plan.generated(), &config)?;
    Ok(Box::new(NexmarkSource {
        events: Arc::new(Events::new(config)),
        columns: Arc::new(columns),
        env,
    }))
}

/// `InvalidInput` for what [`source()`] would refuse of a table with these columns.
pub(crate) fn check(config: &ConnectorConfig, columns: &SchemaRef) -> Result<()> {
    let config = Config::new(config)?;
    Columns::new(columns, &config).map(|_| ())
}

struct NexmarkSource {
    events: Arc<Events>,
    columns: Arc<Columns>,
    env: Arc<dyn Env>,
}

impl Source for NexmarkSource {
    fn splits(&self) -> Result<Vec<Split>> {
        let split = |index: u64| Split {
            id: SplitId::new(index.to_string()),
            metadata: [].into(),
        };
        Ok((0..self.events.config().splits).map(split).collect())
    }

    fn open(&self, split: &SplitId, from: Option<Offset>) -> Result<Box<dyn SplitReader>> {
        let config = self.events.config();
        let index = split.as_str().parse().ok();
        let index = index.filter(|index: &u64| *index < config.splits);
        let part = Part {
            index: index.ok_or_else(|| Error::invalid(format!("no split `{split}`")))?,
            splits: config.splits,
        };
        let (events, columns) = (Arc::clone(&self.events), Arc::clone(&self.columns));
        let from = from.unwrap_or_default().0;
        let env = Arc::clone(&self.env);
        let reader = NexmarkReader::new((events, columns), part, from, env);
        Ok(Box::new(reader))
    }

    fn is_bounded(&self) -> bool {
        let config = self.events.config();
        config.events.is_some() && !config.keep_alive
    }
}
