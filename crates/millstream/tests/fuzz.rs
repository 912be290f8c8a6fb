//! The targets of `fuzz/` on stable, in a few seconds: every file of the fixtures and every pipeline, and
//! thousands of mutations of each, made from a seed. `MILLSTREAM_FUZZ=N` makes N of each; a failure
//! prints target, file and seed. What was found so far is a named test next to the decoder.

#![expect(clippy::unwrap_used, reason = "these are tests")]

#[path = "../../../fuzz/src/targets.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use targets::{TARGETS, Target};

/// Mutations of each file.
const MUTATIONS: u64 = 200;

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound as u64).max(1)).unwrap()
    }
}

/// A file with one to four changes of the kinds that break decoders.
fn mutated(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut chance = Chance(seed);
    let mut bytes = bytes.to_vec();
    for _ in 0..=chance.below(4) {
        let at = chance.below(bytes.len());
        let (to, count) = (chance.below(bytes.len() + 1), chance.below(9));
        match chance.below(8) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << chance.below(8),
            1 if !bytes.is_empty() => bytes[at] = [0, 0xff, 0x7f, 0x80][chance.below(4)],
            2 => bytes.truncate(at),
            // Lengths and counts: all ones, or a huge number in text.
            3 if bytes.len() >= at + count => bytes[at..at + count].fill(0xff),
            4 => {
                let number: &[u8] =
                    [&b"18446744073709551615"[..], b"-1", b"1e400", b"99999"][chance.below(4)];
                let end = bytes[at..].iter().position(|byte| !byte.is_ascii_digit());
                let end = end.map_or(bytes.len(), |end| at + end);
                bytes.splice(at..end, number.iter().copied());
            }
            5 => {
                let piece = bytes[at.min(to)..at.max(to)].to_vec();
                bytes.splice(at..at, piece);
            }
            6 => drop(bytes.drain(at.min(to)..at.max(to))),
            _ => bytes.insert(at, u8::try_from(chance.below(256)).unwrap()),
        }
        bytes.truncate(1 << 16);
    }
    bytes
}

fn files(folder: PathBuf, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}")) {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(path, found),
            false => found.push(path),
        }
    }
    found.sort();
}

fn corpus(target: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folders: &[&str] = match target {
        "manifest" => &["tests/fixtures/manifest", "tests/fixtures/savepoint"],
        "sql" => &["pipelines"],
        "table_version" | "part" => &["tests/fixtures/hot-table"],
        "staged" => &["tests/fixtures/staged"],
        "json" => &["fuzz/seeds/json"],
        _ => &["tests/fixtures/topic", "tests/fixtures/topic-definition"],
    };
    let mut found = vec![];
    for folder in folders {
        files(root.join(folder), &mut found);
    }
    found.retain(|path| target != "sql" || path.extension().is_some_and(|kind| kind == "sql"));
    found
}

/// What a checksum is of, for those targets that make the checksum themselves.
fn inner(target: &str, bytes: &[u8]) -> Vec<u8> {
    let after = |pattern: &[u8]| {
        let at = bytes
            .windows(pattern.len())
            .position(|window| window == pattern);
        at.map(|at| bytes[at + pattern.len()..].to_vec())
    };
    let json = |field: &str| {
        let found = after(format!("\"{field}\":").as_bytes());
        found.map(|rest| rest[..rest.trim_ascii_end().len() - 1].to_vec())
    };
    let found = match target {
        "manifest" => after(b"\n"),
        "table_version" => json("body"),
        "topic_json" => json("topic").or_else(|| json("producers")),
        "topic_segment" => bytes.get(32..).map(<[u8]>::to_vec),
        "acknowledged" => bytes.get(8..32).map(<[u8]>::to_vec),
        _ => None,
    };
    found.unwrap_or_else(|| bytes.to_vec())
}

fn run(name: &str, target: Target) {
    let mutations = std::env::var("MILLSTREAM_FUZZ").map_or(MUTATIONS, |n| n.parse().unwrap());
    for path in corpus(name) {
        let whole = fs::read(&path).unwrap();
        for (kind, bytes) in [("whole", whole.clone()), ("inner", inner(name, &whole))] {
            for seed in 0..mutations {
                let input = match seed {
                    0 => bytes.clone(),
                    _ => mutated(&bytes, seed),
                };
                let held = catch_unwind(AssertUnwindSafe(|| target(&input)));
                assert!(
                    held.is_ok(),
                    "{name}: {}, {kind}, seed {seed}: {}",
                    path.display(),
                    input.escape_ascii()
                );
            }
        }
    }
}

macro_rules! tests {
    ($($name:ident),*) => {$(
        #[test]
        fn $name() {
            let name = stringify!($name);
            let target = TARGETS.iter().find(|(target, _)| *target == name);
            run(name, target.expect("it is one of them").1);
        }
    )*};
}
tests!(
    manifest,
    topic_segment,
    acknowledged,
    topic_json,
    table_version,
    part,
    staged,
    sql,
    json
);
