//! Lives of the server: each begins with a start, may go through trouble, and ends with a signal.

use std::fmt;

use millstream_sim::env::SplitMix;

use super::disk::Disk;
use super::load::Pace;
use super::process::{Client, Server};

/// Longest time between a start and what ends it, in ms.
const LIFE_MS_MAX: u64 = 1_600;
/// Longest trouble, in ms.
const TROUBLE_MS_MAX: u64 = 400;
/// Room that is left on a full disk, at most: so writes fail in their middle, too.
const ROOM_MAX: u64 = 256 << 10;
/// What a process says that could not start because of a disk that is full or forbidden.
const TROUBLES: [&str; 2] = ["No space left", "Operation not permitted"];

/// What happened.
#[derive(Debug, Default)]
pub struct Counts {
    /// SIGKILL.
    pub kills: u64,
    terminations: u64,
    stops: u64,
    refusals: u64,
    full: u64,
    forbidden: u64,
    gave_up: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} SIGKILL, {} SIGTERM, {} SIGSTOP, {} second processes refused, {} times full, {} times \
             forbidden to write, {} starts that found no way",
            self.kills,
            self.terminations,
            self.stops,
            self.refusals,
            self.full,
            self.forbidden,
            self.gave_up
        )
    }
}

/// Lets lives come and go.
pub struct Faults<'a> {
    /// The server.
    pub server: &'a mut Server,
    /// What happened.
    pub counts: Counts,
    disk: &'a Disk,
    pace: &'a Pace,
    random: SplitMix,
    lives: u64,
}

impl<'a> Faults<'a> {
    /// For a server that has been started and keeps its data on `disk`.
    pub fn new(server: &'a mut Server, disk: &'a Disk, (pace, seed): (&'a Pace, u64)) -> Self {
        Self {
            server,
            disk,
            pace,
            random: SplitMix::new(seed),
            lives: 0,
            counts: Counts::default(),
        }
    }

    /// Lets the server live, ends it, and starts it again.
    pub fn live(&mut self) {
        // Half of the lives end soon, some of them while the server still recovers.
        let bound = match self.lives.is_multiple_of(2) {
            true => LIFE_MS_MAX,
            false => LIFE_MS_MAX / 8,
        };
        if self.lives.is_multiple_of(4) {
            self.server.wait_until_ready();
        }
        self.lives += 1;
        self.pace.wait(self.random.below(bound));
        match self.random.below(16) {
            0 => self.fill_disk(),
            1 => self.forbid_writes(),
            2 | 3 => return self.stop(),
            4 | 5 => return self.terminate(),
            _ => {}
        }
        self.kill();
    }

    fn kill(&mut self) {
        self.server.kill();
        self.counts.kills += 1;
        self.server.start();
    }

    /// SIGTERM: a last epoch, and the next start knows it.
    fn terminate(&mut self) {
        let summary = self.server.terminate();
        self.counts.terminations += 1;
        self.server.start();
        let Some(summary) = summary else { return };
        let number = |key: &str| summary[key].as_u64().expect("a number");
        assert_eq!(summary["state"], "stopped", "{summary}");
        let parts = ["rows_on_time", "rows_late", "rows_undecodable"].map(number);
        assert_eq!(number("rows_read"), parts.iter().sum::<u64>(), "{summary}");
        self.server.wait_until_ready();
        let rows_read = rows_read(&self.server.client());
        assert!(
            rows_read >= number("rows_read"),
            "a clean stop had read {summary}, the next start knows of {rows_read} rows"
        );
    }

    /// SIGSTOP: it does nothing, and holds the directory. Then it goes on, or is killed as it stands.
    fn stop(&mut self) {
        self.server.wait_until_ready();
        self.server.signal("STOP");
        self.counts.stops += 1;
        self.server.check_second_is_refused();
        self.counts.refusals += 1;
        self.pace.wait(self.random.below(TROUBLE_MS_MAX));
        if self.random.below(2) == 0 {
            self.server.signal("CONT");
            self.server.wait_until_ready();
        }
        self.kill();
    }

    fn fill_disk(&mut self) {
        if self.disk.fill(self.random.below(ROOM_MAX)) {
            self.counts.full += 1;
            self.bear_trouble();
            self.disk.free();
            self.recover();
        }
    }

    fn forbid_writes(&mut self) {
        if self.disk.forbid() {
            self.counts.forbidden += 1;
            self.bear_trouble();
            self.disk.allow();
            self.recover();
        }
    }

    /// Some time of it; in half of the cases the server is killed and started in the middle.
    fn bear_trouble(&mut self) {
        self.pace.wait(self.random.below(TROUBLE_MS_MAX));
        if self.random.below(2) == 0 {
            self.server.end();
            self.counts.kills += 1;
            self.server.start();
            self.pace.wait(self.random.below(TROUBLE_MS_MAX));
        }
    }

    /// The trouble is over: the server goes on by itself; only one that could not even start because of
    /// it is started again.
    fn recover(&mut self) {
        while let Some(log) = self.server.wait_until_ready_or_ended() {
            assert!(
                TROUBLES.iter().any(|trouble| log.contains(trouble)),
                "the server has ended:\n{log}"
            );
            self.counts.gave_up += 1;
            self.server.start();
        }
    }
}

/// Rows read by all sources, as the pipeline shows them.
pub fn rows_read(client: &Client) -> u64 {
    let pipelines = client.get("/api/v1/pipelines").expect("the pipelines");
    let sources = pipelines[0]["sources"].as_array().expect("its sources");
    let rows = sources.iter().map(|source| source["rows_read"].as_u64());
    rows.map(|rows| rows.expect("a number")).sum()
}
