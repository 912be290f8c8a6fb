//! `millstream verify`: reads a data directory that nobody runs on, and says what is wrong with it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use millstream::env::RealEnv;
use millstream::verify::{Counts, Verified, verify};
use millstream_core::env::Env;

use super::{CommonArguments, Failure, Flags, Outcome, configure, print};
use crate::progress::{Progress, grouped};

const EXAMPLES: &str = "\
Every checksum, every reference from one file to another, what sinks hold against what checkpoints say,
and what only ever grows. Nothing is changed. One line for each problem: `PATH: found …, expected …`.
Exit code: 0 no problem; 1 problems; 2 not a data directory, or a process runs on it.

Examples:
  millstream verify
  millstream verify --data-dir /srv/backup";

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArguments {
    /// The data directory [default: millstream-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Verifies, and prints what was found on stdout.
pub fn run(arguments: &VerifyArguments, common: &CommonArguments) -> Outcome {
    let data_dir = arguments.data_dir.iter();
    let flags: Flags = data_dir
        .map(|path| ("data-dir", path.display().to_string()))
        .collect();
    let config = configure(common, flags)?;
    let path = config
        .data_dir
        .unwrap_or_else(|| PathBuf::from("millstream-data"));
    let env: Arc<dyn Env> = Arc::new(RealEnv::new());
    let started = env.monotonic();
    let mut progress = Progress::new(env.clone(), None);
    let mut read = 0;
    let verified = verify(&path, &mut |path, bytes| {
        read += bytes;
        progress.refresh(|| format!("{} read, at {path}", size(read)));
    });
    progress.finish();
    let verified = verified.map_err(|error| {
        let is_in_use = error.to_string().contains("is in use by");
        let failure = Failure::from(error);
        match is_in_use {
            true => failure.hint("stop it first, or verify a backup: `millstream backup`"),
            false => failure,
        }
    })?;
    print(&report(&verified, env.monotonic().saturating_sub(started)))?;
    match verified.problems.len() {
        0 => Ok(()),
        1 => Err(failure("1 problem")),
        count => Err(failure(&format!("{count} problems"))),
    }
    .map_err(|failure| failure.hint("docs/operations.md, \"Damaged files\", says what to do"))
}

fn failure(problems: &str) -> Failure {
    Failure::runtime(format!("{problems}: see stdout"))
}

fn report(verified: &Verified, took: Duration) -> String {
    let mut lines = counted(&verified.counts);
    let notes = verified.notes.iter();
    lines.extend(notes.map(|note| format!("note: {note}")));
    lines.extend(verified.problems.iter().map(ToString::to_string));
    lines.push(format!(
        "checked {} files, {}, in {:.1} s: {}",
        grouped(verified.files as u64),
        size(verified.bytes),
        took.as_secs_f64(),
        match verified.problems.len() {
            0 => "no problem".to_owned(),
            1 => "1 problem".to_owned(),
            count => format!("{count} problems"),
        }
    ));
    lines.join("\n")
}

fn counted(counts: &Counts) -> Vec<String> {
    vec![
        format!(
            "pipelines: {} (manifests: {}, state segments: {})",
            counts.pipelines, counts.manifests, counts.state_segments
        ),
        format!(
            "topics: {} (partitions: {}, segments: {}, records: {})",
            counts.topics,
            counts.partitions,
            counts.topic_segments,
            grouped(counts.records)
        ),
        format!(
            "tables: {} (versions: {}, parts: {})",
            counts.tables, counts.versions, counts.parts
        ),
    ]
}

/// `1.5 MiB`.
pub(super) fn size(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = units.iter().find(|(_, shift)| bytes >> shift > 0);
    match unit {
        Some((unit, shift)) => {
            let tenths = (bytes >> (shift - 10)) * 10 / 1024;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_that_fits() {
        let sizes = [0, 1023, 1024, 1536, 5 << 20, (3 << 30) + (1 << 29)];
        let expected = [
            "0 bytes",
            "1023 bytes",
            "1.0 KiB",
            "1.5 KiB",
            "5.0 MiB",
            "3.5 GiB",
        ];
        assert_eq!(sizes.map(size), expected);
    }

    #[test]
    fn a_problem_is_a_line_that_begins_with_its_path() {
        let finding = |path: &str, what: &str| millstream::verify::Finding {
            path: path.into(),
            what: what.into(),
        };
        let verified = Verified {
            problems: vec![finding("a/b", "found 1, expected 2")],
            notes: vec![finding("c", "is left over")],
            files: 1234,
            bytes: 2048,
            counts: Counts::default(),
        };
        let text = report(&verified, Duration::from_millis(1250));
        let lines: Vec<&str> = text.lines().skip(3).collect();
        assert_eq!(
            lines,
            [
                "note: c: is left over",
                "a/b: found 1, expected 2",
                "checked 1,234 files, 2.0 KiB, in 1.2 s: 1 problem"
            ]
        );
    }
}
