//! The texts of events. They are ASCII, so a byte is a character.

use std::fmt::Write as _;

use super::events::{Draw, Events};
use crate::generator::random::SplitMix64;

const FIRST_NAMES: [&str; 12] = [
    "Ada", "Bruno", "Carla", "Dmitri", "Elena", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Keiko",
    "Lena",
];
const LAST_NAMES: [&str; 12] = [
    "Abel", "Baker", "Costa", "Dahl", "Evans", "Fischer", "Garcia", "Haas", "Ito", "Jensen",
    "Keller", "Lopez",
];
/// Cities and their states. Published queries look for `OR`, `ID` and `CA`.
const CITIES: [(&str, &str); 12] = [
    ("Tucson", "AZ"),
    ("Mesa", "AZ"),
    ("Oakland", "CA"),
    ("Fresno", "CA"),
    ("Nampa", "ID"),
    ("Meridian", "ID"),
    ("Salem", "OR"),
    ("Eugene", "OR"),
    ("Tacoma", "WA"),
    ("Spokane", "WA"),
    ("Casper", "WY"),
    ("Laramie", "WY"),
];
/// Half of all bids come over one of these, the others over one of many.
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
const CHANNELS: u64 = 10_000;
const LETTERS_AT_ONCE: usize = 12;
/// The number of pairs of letters, and of six letters.
const PAIRS: usize = 26 * 26;
const SIXES: u64 = (PAIRS * PAIRS * PAIRS) as u64;
/// All pairs of letters; the first of a pair counts by ones.
const PAIR: [[u8; 2]; PAIRS] = {
    let mut pairs = [[b'a'; 2]; PAIRS];
    let mut at = 0;
    while at < PAIRS {
        pairs[at] = [b'a' + (at % 26) as u8, b'a' + (at / 26) as u8];
        at += 1;
    }
    pairs
};

/// Letters that `extra` is made of. They stay in the cache of a core.
const LETTERS_KEPT: usize = 1 << 16;

/// Letters to take pieces of.
pub(super) fn kept_letters(seed: u64) -> String {
    let mut kept = String::with_capacity(LETTERS_KEPT);
    letters(&mut SplitMix64::new(seed), LETTERS_KEPT as u64, &mut kept);
    kept
}

fn pick<T: Copy>(random: &mut SplitMix64, of: &[T]) -> T {
    of[random.below(of.len() as u64) as usize]
}

fn letters(random: &mut SplitMix64, count: u64, out: &mut String) {
    let mut left = count as usize;
    while left > 0 {
        // 26 to the power of 12 is far below 2 to the power of 64, so each letter is as likely.
        let number = random.next();
        let mut text = [0; LETTERS_AT_ONCE];
        let (first, second) = text.split_at_mut(LETTERS_AT_ONCE / 2);
        six_letters(number % SIXES, first);
        six_letters(number / SIXES % SIXES, second);
        let text = &text[..left.min(LETTERS_AT_ONCE)];
        out.push_str(std::str::from_utf8(text).expect("letters are ASCII"));
        left -= text.len();
    }
}

/// PERF: pairs, of numbers below 2^32: the divisions are what letters cost.
fn six_letters(number: u64, out: &mut [u8]) {
    let mut number = u32::try_from(number).expect("below 26 to the power of 6");
    for pair in out.chunks_exact_mut(2) {
        pair.copy_from_slice(&PAIR[number as usize % PAIRS]);
        number /= PAIRS as u32;
    }
}

/// Words of lower-case letters with a space between, `least` to `most` bytes long.
fn words(random: &mut SplitMix64, (least, most): (u64, u64), out: &mut String) {
    let mut left = least + random.below(most - least + 1);
    while left > 0 {
        let word = (3 + random.below(8)).min(left);
        letters(random, word, out);
        left -= word;
        // A space neither ends the text nor leaves one letter for the end.
        if left > 1 {
            out.push(' ');
            left -= 1;
        }
    }
}

impl Events {
    pub fn name(&self, n: u64, out: &mut String) {
        let mut random = self.draw(Draw::Name, n);
        out.push_str(pick(&mut random, &FIRST_NAMES));
        out.push(' ');
        out.push_str(pick(&mut random, &LAST_NAMES));
    }

    pub fn email(&self, n: u64, out: &mut String) {
        let mut random = self.draw(Draw::Email, n);
        letters(&mut random, 7, out);
        out.push('@');
        letters(&mut random, 5, out);
        out.push_str(".com");
    }

    pub fn credit_card(&self, n: u64, out: &mut String) {
        let mut random = self.draw(Draw::CreditCard, n);
        let mut four = || random.below(10_000);
        let (a, b, c, d) = (four(), four(), four(), four());
        write!(out, "{a:04} {b:04} {c:04} {d:04}").expect("memory takes it");
    }

    pub fn city(&self, n: u64, out: &mut String) {
        out.push_str(pick(&mut self.draw(Draw::City, n), &CITIES).0);
    }

    pub fn state(&self, n: u64, out: &mut String) {
        out.push_str(pick(&mut self.draw(Draw::City, n), &CITIES).1);
    }

    pub fn item_name(&self, n: u64, out: &mut String) {
        words(&mut self.draw(Draw::ItemName, n), (3, 20), out);
    }

    pub fn description(&self, n: u64, out: &mut String) {
        words(&mut self.draw(Draw::Description, n), (3, 100), out);
    }

    pub fn channel(&self, n: u64, out: &mut String) {
        match self.channel_number(n) {
            Ok(hot) => out.push_str(HOT_CHANNELS[hot]),
            Err(number) => write!(out, "channel-{number}").expect("memory takes it"),
        }
    }

    /// A hot channel, or the number of another.
    fn channel_number(&self, n: u64) -> Result<usize, u64> {
        let mut random = self.draw(Draw::Channel, n);
        if random.below(2) > 0 {
            Ok(random.below(HOT_CHANNELS.len() as u64) as usize)
        } else {
            Err(random.below(CHANNELS))
        }
    }

    /// Each channel has a url, and nine of ten that are not hot have a `channel_id` in it.
    pub fn url(&self, n: u64, out: &mut String) {
        let channel = self.channel_number(n);
        let place = match channel {
            Ok(hot) => CHANNELS + hot as u64,
            Err(number) => number,
        };
        let mut random = self.draw(Draw::Url, place);
        out.push_str("https://auctions.example/");
        for _ in 0..3 {
            letters(&mut random, 5, out);
            out.push('/');
        }
        out.push_str("item.htm?query=1");
        if let Err(number) = channel
            && random.below(10) > 0
        {
            let id = number.wrapping_mul(0x9e37_79b1) >> 8 & 0x7fff_ffff;
            write!(out, "&channel_id={id}").expect("memory takes it");
        }
    }

    pub fn person_extra(&self, n: u64, out: &mut String) {
        self.extra(n, (self.config().person_bytes, 68), out);
    }

    pub fn auction_extra(&self, n: u64, out: &mut String) {
        self.extra(n, (self.config().auction_bytes, 111), out);
    }

    pub fn bid_extra(&self, n: u64, out: &mut String) {
        self.extra(n, (self.config().bid_bytes, 32), out);
    }

    /// What is missing to the wanted size of an event whose other fields take `others` bytes, give
    /// or take a fifth.
    fn extra(&self, n: u64, (wanted, others): (u64, u64), out: &mut String) {
        let missing = wanted.saturating_sub(others);
        let fifth = missing / 5;
        let mut random = self.draw(Draw::Extra, n);
        let mut left = (missing - fifth + random.below(2 * fifth + 1)) as usize;
        // PERF: a piece of letters that are there already, as nearly every byte of an event is of these.
        while left > 0 {
            let piece = left.min(LETTERS_KEPT / 2);
            let from = random.below((LETTERS_KEPT - piece) as u64 + 1) as usize;
            out.push_str(&self.letters[from..from + piece]);
            left -= piece;
        }
    }
}
