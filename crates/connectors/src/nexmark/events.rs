//! [`Events`]: what event n says, each field by itself.
//!
//! The last person and the last auction before an event follow from its number, and each field
//! draws its random numbers from a sequence of its own, begun anew for each event. So nothing has to
//! be remembered, and a field that nobody reads changes no other.

use super::config::Config;
use super::text::kept_letters;
use crate::generator::random::SplitMix64;

/// The number of the first person and of the first auction.
const FIRST_ID: u64 = 1_000;
/// The number of the first category, and how many there are.
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;
/// One in so many people and auctions is hot for a time.
const HOT_EVERY: u64 = 100;
/// How many people are active, and how many auctions take bids, at a time.
const ACTIVE_PEOPLE: u64 = 1_000;
const OPEN_AUCTIONS: u64 = 100;
/// So many people and auctions that are still to come can be named already.
const LEAD: u64 = 10;
/// Prices go from one dollar to a million, in cents, evenly by their logarithm.
const PRICE_STEPS: usize = 256;

/// What an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Person = 0,
    Auction = 1,
    Bid = 2,
}

/// What draws random numbers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Draw {
    Seller,
    Category,
    InitialBid,
    Reserve,
    Expires,
    BidAuction,
    Bidder,
    Price,
    Channel,
    Url,
    Name,
    Email,
    CreditCard,
    City,
    ItemName,
    Description,
    Extra,
}

const DRAWS: usize = Draw::Extra as usize + 1;

/// All events.
#[derive(Debug)]
pub(super) struct Events {
    config: Config,
    seeds: [u64; DRAWS],
    /// Prices in dollars, from one step to the next by the same factor.
    prices: Vec<f64>,
    /// How long an auction takes on average, in ms.
    auction_ms: u64,
    /// What texts without a meaning are pieces of.
    pub letters: String,
}

impl Events {
    pub fn new(config: Config) -> Self {
        let mut random = SplitMix64::new(config.seed);
        let rounds_of_open_auctions = OPEN_AUCTIONS * config.round() / config.auctions.max(1);
        Self {
            seeds: std::array::from_fn(|_| random.next()),
            letters: kept_letters(random.next()),
            prices: prices(),
            auction_ms: rounds_of_open_auctions * 1_000 / config.rate,
            config,
        }
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Random numbers for one field of event `n`.
    pub fn draw(&self, what: Draw, n: u64) -> SplitMix64 {
        SplitMix64::new(SplitMix64::at(self.seeds[what as usize], n))
    }

    /// What event `n` is: people come first in a round, then auctions, then bids.
    pub fn kind(&self, n: u64) -> Kind {
        let place = n % self.config.round();
        if place < self.config.people {
            Kind::Person
        } else if place < self.config.people + self.config.auctions {
            Kind::Auction
        } else {
            Kind::Bid
        }
    }

    /// When it happens, ms since the Unix epoch.
    pub fn time_ms(&self, n: u64) -> i64 {
        // Seconds first, so that large numbers do not overflow.
        let rate = self.config.rate;
        let ms = (n / rate).saturating_mul(1_000) + n % rate * 1_000 / rate;
        self.config.base_ms.saturating_add_unsigned(ms)
    }

    /// How many people there are as of event `n`.
    fn people(&self, n: u64) -> u64 {
        let (round, place) = (n / self.config.round(), n % self.config.round());
        round * self.config.people + (place + 1).min(self.config.people)
    }

    /// How many auctions there are as of event `n`.
    fn auctions(&self, n: u64) -> u64 {
        let (round, place) = (n / self.config.round(), n % self.config.round());
        let of_round = (place + 1).saturating_sub(self.config.people);
        round * self.config.auctions + of_round.min(self.config.auctions)
    }

    pub fn person_id(&self, n: u64) -> u64 {
        FIRST_ID + self.people(n).saturating_sub(1)
    }

    pub fn auction_id(&self, n: u64) -> u64 {
        FIRST_ID + self.auctions(n).saturating_sub(1)
    }

    /// The first of the last hundred people for most auctions, else somebody.
    pub fn seller(&self, n: u64) -> u64 {
        self.somebody(n, Draw::Seller, (self.config.hot_sellers, 0))
    }

    /// The second of the last hundred people for most bids, else somebody.
    pub fn bidder(&self, n: u64) -> u64 {
        self.somebody(n, Draw::Bidder, (self.config.hot_bidders, 1))
    }

    fn somebody(&self, n: u64, draw: Draw, (ratio, hot): (u64, u64)) -> u64 {
        let mut random = self.draw(draw, n);
        let people = self.people(n);
        let number = if random.below(ratio) > 0 {
            people.saturating_sub(1) / HOT_EVERY * HOT_EVERY + hot
        } else {
            let active = people.min(ACTIVE_PEOPLE);
            people - active + random.below(active + LEAD)
        };
        FIRST_ID + number
    }

    /// The first of the last hundred auctions for most bids, else one that may be open.
    pub fn bid_auction(&self, n: u64) -> u64 {
        let mut random = self.draw(Draw::BidAuction, n);
        let last = self.auctions(n).saturating_sub(1);
        let number = if random.below(self.config.hot_auctions) > 0 {
            last / HOT_EVERY * HOT_EVERY
        } else {
            let first = last.saturating_sub(OPEN_AUCTIONS);
            first + random.below(last - first + 1 + LEAD)
        };
        FIRST_ID + number
    }

    pub fn category(&self, n: u64) -> u64 {
        FIRST_CATEGORY + self.draw(Draw::Category, n).below(CATEGORIES)
    }

    pub fn initial_bid(&self, n: u64) -> u64 {
        self.price(Draw::InitialBid, n)
    }

    /// Above the initial bid.
    pub fn reserve(&self, n: u64) -> u64 {
        self.initial_bid(n) + self.price(Draw::Reserve, n)
    }

    pub fn bid_price(&self, n: u64) -> u64 {
        self.price(Draw::Price, n)
    }

    /// In cents. Between two steps prices are spread evenly.
    fn price(&self, draw: Draw, n: u64) -> u64 {
        let place = self.draw(draw, n).unit() * PRICE_STEPS as f64;
        let step = place as usize;
        let (from, to) = (self.prices[step], self.prices[step + 1]);
        ((from + (to - from) * (place - step as f64)) * 100.0).round() as u64
    }

    /// Between 1 ms and twice the average after the auction began, ms since the Unix epoch.
    pub fn expires_ms(&self, n: u64) -> i64 {
        let mut random = self.draw(Draw::Expires, n);
        let length = 1 + random.below((self.auction_ms * 2).max(1));
        self.time_ms(n).saturating_add_unsigned(length)
    }
}

/// 10 to the power of 6 i / [`PRICE_STEPS`], for each i up to the end. By square roots and
/// products, which are the same on every platform, as powers are not.
fn prices() -> Vec<f64> {
    let mut factor = 1e6_f64;
    for _ in 0..PRICE_STEPS.ilog2() {
        factor = factor.sqrt();
    }
    let step = |price: &f64| Some(price * factor);
    std::iter::successors(Some(1.0), step)
        .take(PRICE_STEPS + 1)
        .collect()
}
