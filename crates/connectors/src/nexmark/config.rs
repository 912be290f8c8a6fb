//! [`Config`]: what the options say.

use millstream_core::plan::ConnectorConfig;
use millstream_core::quantity::size_bytes;
use millstream_core::{Error, Result, Subject};

use crate::formats::temporal::{self, TimestampStandard};

pub(super) const EVENTS: &str = "events.num";
pub(super) const RATE: &str = "first-event.rate";
pub(super) const NEXT_RATE: &str = "next-event.rate";
pub(super) const MAX_SPEED: &str = "max-emit-speed";
pub(super) const KEEP_ALIVE: &str = "keep-alive";
pub(super) const PEOPLE: &str = "person.proportion";
pub(super) const AUCTIONS: &str = "auction.proportion";
pub(super) const BIDS: &str = "bid.proportion";
pub(super) const HOT_SELLERS: &str = "auction.hot-ratio.sellers";
pub(super) const HOT_AUCTIONS: &str = "bid.hot-ratio.auctions";
pub(super) const HOT_BIDDERS: &str = "bid.hot-ratio.bidders";
pub(super) const PERSON_SIZE: &str = "person.avg-size";
pub(super) const AUCTION_SIZE: &str = "auction.avg-size";
pub(super) const BID_SIZE: &str = "bid.avg-size";
pub(super) const SEED: &str = "seed";
pub(super) const SPLITS: &str = "splits";
pub(super) const BASE_TIME: &str = "base-time";

const BASE_TIME_DEFAULT: &str = "2015-07-15 00:00:00";
/// Rates, proportions and ratios beyond this say nothing that less would not.
const NUMBER_MAX: u64 = 1_000_000_000;
const SPLITS_MAX: u64 = 1_024;
const SIZE_MAX: u64 = 1 << 20;

/// All options, with nothing left to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Config {
    /// How many there are; `None`: without end.
    pub events: Option<u64>,
    /// Events in a second of event time.
    pub rate: u64,
    /// Whether they come as fast as they are read.
    pub max_speed: bool,
    /// Whether the table goes on, without rows, after its last event.
    pub keep_alive: bool,
    /// People, auctions and bids in a round.
    pub people: u64,
    pub auctions: u64,
    pub bids: u64,
    /// All but one in so many are hot.
    pub hot_sellers: u64,
    pub hot_auctions: u64,
    pub hot_bidders: u64,
    /// Average bytes of an event.
    pub person_bytes: u64,
    pub auction_bytes: u64,
    pub bid_bytes: u64,
    pub seed: u64,
    pub splits: u64,
    /// Time of event 0, ms since the Unix epoch.
    pub base_ms: i64,
}

impl Config {
    /// `InvalidInput` for what is out of range.
    pub fn new(options: &ConnectorConfig) -> Result<Self> {
        let number = |key, default, range| number(options, key, default, range);
        let flag = |key, default: bool| match options.get(key).map(str::trim) {
            None => Ok(default),
            Some(text) => text.to_lowercase().parse().map_err(|_| {
                let message = format!("`{key}`: found `{text}`, expected `true` or `false`");
                Error::of_option(key, message)
            }),
        };
        let rate = number(RATE, 10_000, (1, NUMBER_MAX))?;
        let next = number(NEXT_RATE, rate, (1, NUMBER_MAX))?;
        if next != rate {
            let message = format!(
                "`{NEXT_RATE}`: found `{next}`, expected `{rate}` as `{RATE}` says: a rate that \
                 changes is not supported"
            );
            return Err(Error::of_option(NEXT_RATE, message));
        }
        let config = Self {
            events: Some(number(EVENTS, 0, (0, u64::MAX >> 1))?).filter(|events| *events > 0),
            rate,
            max_speed: flag(MAX_SPEED, true)?,
            keep_alive: flag(KEEP_ALIVE, false)?,
            people: number(PEOPLE, 1, (0, NUMBER_MAX))?,
            auctions: number(AUCTIONS, 3, (0, NUMBER_MAX))?,
            bids: number(BIDS, 46, (0, NUMBER_MAX))?,
            hot_sellers: number(HOT_SELLERS, 4, (1, NUMBER_MAX))?,
            hot_auctions: number(HOT_AUCTIONS, 2, (1, NUMBER_MAX))?,
            hot_bidders: number(HOT_BIDDERS, 4, (1, NUMBER_MAX))?,
            person_bytes: size(options, PERSON_SIZE, 200)?,
            auction_bytes: size(options, AUCTION_SIZE, 500)?,
            bid_bytes: size(options, BID_SIZE, 100)?,
            seed: number(SEED, 0, (0, u64::MAX >> 1))?,
            splits: number(SPLITS, 8, (1, SPLITS_MAX))?,
            base_ms: base_time(options.get(BASE_TIME).unwrap_or(BASE_TIME_DEFAULT))?,
        };
        if config.round() == 0 {
            let message = format!(
                "`{PEOPLE}`, `{AUCTIONS}` and `{BIDS}`: found 0 for all, expected at least one more"
            );
            return Err(Error::of_option(BIDS, message));
        }
        Ok(config)
    }

    /// Events in a round.
    pub fn round(&self) -> u64 {
        self.people + self.auctions + self.bids
    }
}

fn number(
    options: &ConnectorConfig,
    key: &str,
    default: u64,
    (least, most): (u64, u64),
) -> Result<u64> {
    let Some(text) = options.get(key) else {
        return Ok(default);
    };
    let value = text.trim().parse().ok();
    let value = value.filter(|value| (least..=most).contains(value));
    value.ok_or_else(|| {
        let expected = format!("a whole number from {least} to {most}");
        Error::of_option(key, format!("`{key}`: found `{text}`, expected {expected}"))
    })
}

fn size(options: &ConnectorConfig, key: &str, default: u64) -> Result<u64> {
    let Some(text) = options.get(key) else {
        return Ok(default);
    };
    let about = Subject::Option(key.to_owned());
    let bytes = size_bytes(text);
    let bytes = bytes.map_err(|error| error.context(format!("`{key}`")).about(about))?;
    if bytes > SIZE_MAX {
        let message = format!("`{key}`: found `{text}`, expected at most {SIZE_MAX} bytes");
        return Err(Error::of_option(key, message));
    }
    Ok(bytes)
}

fn base_time(text: &str) -> Result<i64> {
    let time = temporal::parse_timestamp(text.trim().as_bytes(), TimestampStandard::Sql);
    time.and_then(|time| time.to_units(1_000)).ok_or_else(|| {
        let expected = format!("a timestamp like `{BASE_TIME_DEFAULT}`");
        let message = format!("`{BASE_TIME}`: found `{text}`, expected {expected}");
        Error::of_option(BASE_TIME, message)
    })
}
