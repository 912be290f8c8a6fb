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

fn pick<T: Copy>(random: &mut SplitMix64, of: &[T]) -> T {
    of[random.below(of.len() as u64) as usize]
}

fn letters(random: &mut SplitMix64, count: u64, out: &mut String) {
    let mut left = count as usize;
    while left > 0 {
        // 26 to the power of 12 is far below 2 to the power of 64, so each letter is as likely.
        let mut number = random.next();
        for _ in 0..left.min(LETTERS_AT_ONCE) {
            out.push(char::from(b'a' + (number % 26) as u8));
            number /= 26;
        }
        left = left.saturating_sub(LETTERS_AT_ONCE);
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
        let count = missing - fifth + random.below(2 * fifth + 1);
        letters(&mut random, count, out);
    }
}
