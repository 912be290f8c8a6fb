//! The real binary under `kill -9`: every acknowledged event counts exactly once.
//!
//! ```text
//! loader thread ── POST batches, pinned to partitions ──> millstream run web_clicks.sql
//!      │                                                       ▲ SIGKILL at random moments,
//!      └─> model (what is in the log, by the rules)            │ started again at once
//!                └────────── compared at the end with ─────────┘ tables, counters, offsets
//! ```
//!
//! `MILLSTREAM_BIN` names the binary (default: the one built next to this test),
//! `MILLSTREAM_KILLS` how often it is killed (default 3), `MILLSTREAM_SEED` the seed of chance.

mod load;
mod model;
mod process;
mod reconcile;

use std::path::PathBuf;
use std::sync::Arc;

use load::{Loader, Pace};
use millstream_sim::env::SplitMix;
use process::{Server, Timer};

const KILLS: u64 = 3;
const SEED: u64 = 20_250_615;
/// Longest time between a start and the next kill, in ms.
const LIFE_MS_MAX: u64 = 3_000;

#[test]
fn every_acknowledged_event_counts_once_whatever_is_killed() {
    let Some(binary) = binary() else {
        let message = "skipped: kill test (no millstream binary; build it with cargo build)";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
        println!("{message}");
        return;
    };
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>());
    let kills = number("MILLSTREAM_KILLS").map_or(KILLS, |n| n.expect("a number of kills"));
    let seed = number("MILLSTREAM_SEED").map_or(SEED, |n| n.expect("a seed"));
    println!(
        "kill test: MILLSTREAM_SEED={seed} MILLSTREAM_KILLS={kills} {}",
        binary.display()
    );

    let folder = tempfile::tempdir().expect("a folder for the data");
    let mut random = SplitMix::new(seed);
    let mut server = Server::new(binary, folder.path());
    server.start();
    server.wait_until_ready();
    let pace = Arc::new(Pace::default());
    let mut loader = Loader::new(server.client(), random.next(), pace.clone());
    std::thread::scope(|scope| {
        let loading = scope.spawn(|| loader.run());
        for kill in 0..kills {
            // Half of the lives end soon, some of them while the server still recovers.
            let bound = if kill % 2 == 0 {
                LIFE_MS_MAX
            } else {
                LIFE_MS_MAX / 6
            };
            pace.wait(random.below(bound));
            server.kill();
            server.start();
        }
        server.wait_until_ready();
        pace.wait(500);
        pace.stop();
        loading.join().expect("the loader does not fail");
    });
    loader.close_windows();
    let lost_answers = loader.lost_answers();
    let model = loader.into_model();
    let windows = model.complete().len();
    println!(
        "kill test: {}, {windows} groups, {lost_answers} answers lost",
        model.summary()
    );
    assert!(windows > 0, "no window is complete: nothing was tested");
    assert!(
        model.total() > 1_000 * kills,
        "the loader got little through: {}",
        model.summary()
    );
    reconcile::check(&server.client(), &model, &Timer::start());
}

/// The binary under test, if it is built.
fn binary() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("MILLSTREAM_BIN") {
        let path = PathBuf::from(path);
        assert!(
            path.is_file(),
            "MILLSTREAM_BIN: `{}` is not there",
            path.display()
        );
        return Some(path);
    }
    let test = std::env::current_exe().expect("a test knows where it is");
    let profile = test.parent()?.parent()?;
    Some(profile.join("millstream")).filter(|path| path.is_file())
}
