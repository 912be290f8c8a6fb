//! The real binary under every fault: what was acknowledged counts exactly once in every sink.
//!
//! ```text
//! loader thread ── posts batches, writes files ──> millstream run ──> tables, files, topics
//!      │                                               ▲ SIGKILL, SIGTERM, SIGSTOP, a full disk,
//!      └─> what is in, what must come of it            │ forbidden writes; started again at once
//!                └────────── compared at the end with ─┘
//! ```
//!
//! Two pipelines at once: the clicks of `pipelines/web_clicks.sql`, late and damaged ones among them,
//! asked over HTTP at the end; and a shop with every kind of source and sink, read offline.
//!
//! `MILLSTREAM_BIN` names the binary (default: the one built next to this test), `MILLSTREAM_KILLS` how
//! often both together are killed (default 100), `MILLSTREAM_SEED` the seed of chance.

mod disk;
mod faults;
mod load;
mod model;
mod process;
mod reconcile;
mod shop;
mod shop_check;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use disk::Disk;
use faults::{Faults, rows_read};
use load::{Loader, Pace};
use millstream_sim::env::SplitMix;
use process::{Folders, Server, Timer, pause};
use shop::Shop;

const KILLS: u64 = 100;
const SEED: u64 = 20_250_615;
/// Longest wait at the end for what is in the topics to be read.
const READ_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);

/// What a test is about: the binary, how often to kill it, and chance.
struct Setting {
    binary: PathBuf,
    kills: u64,
    random: SplitMix,
    folder: tempfile::TempDir,
}

impl Setting {
    /// Half of the kills. `None` if there is no binary.
    fn new(test: &str) -> Option<Self> {
        let Some(binary) = binary() else {
            let message = "skipped: kill test (no millstream binary; build it with cargo build)";
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
            println!("{message}");
            return None;
        };
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>());
        let kills = number("MILLSTREAM_KILLS").map_or(KILLS, |n| n.expect("a number of kills"));
        let seed = number("MILLSTREAM_SEED").map_or(SEED, |n| n.expect("a seed"));
        println!(
            "{test}: MILLSTREAM_SEED={seed} MILLSTREAM_KILLS={kills}, half of them here; {}",
            binary.display()
        );
        Some(Self {
            binary,
            kills: kills.div_ceil(2),
            // Not the same for both.
            random: SplitMix::new(seed ^ test.len() as u64),
            folder: tempfile::tempdir().expect("a folder for the data"),
        })
    }

    fn folders(&self, disk: &Disk) -> Folders {
        Folders {
            data: disk.path().join("data"),
            logs: self.folder.path().to_owned(),
        }
    }

    /// Lets lives come and go while `load` runs; what happened.
    fn run(
        &mut self,
        server: &mut Server,
        disk: &Disk,
        load: (&Pace, impl FnOnce() + Send),
    ) -> String {
        let (pace, load) = load;
        let seed = self.random.next();
        std::thread::scope(|scope| {
            let loading = scope.spawn(load);
            // Also when what follows panics: the scope waits for the loader.
            let stop = StopLoad(pace);
            let mut faults = Faults::new(server, disk, (pace, seed));
            while faults.counts.kills < self.kills {
                faults.live();
            }
            faults.server.wait_until_ready();
            pace.wait(500);
            drop(stop);
            loading.join().expect("the loader does not fail");
            faults.counts.to_string()
        })
    }
}

/// Stops the loader when it goes.
struct StopLoad<'a>(&'a Pace);

impl Drop for StopLoad<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[test]
fn every_acknowledged_click_counts_once_whatever_happens() {
    let Some(mut setting) = Setting::new("clicks") else {
        return;
    };
    let disk = Disk::new(&setting.folder.path().join("disk"));
    let pipeline = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/web_clicks.sql");
    let folders = setting.folders(&disk);
    let mut server = Server::new(&setting.binary, pipeline, vec![], folders);
    server.start();
    server.wait_until_ready();
    let pace = Arc::new(Pace::default());
    let mut loader = Loader::new(server.client(), setting.random.next(), pace.clone());
    let happened = setting.run(&mut server, &disk, (&pace, || loader.run()));
    loader.close_windows();
    let lost_answers = loader.lost_answers();
    let model = loader.into_model();
    let windows = model.complete().len();
    println!("clicks: {happened}");
    println!(
        "clicks: {}, {windows} groups, {lost_answers} answers lost",
        model.summary()
    );
    assert!(windows > 0, "no window is complete: nothing was tested");
    assert!(
        model.total() > 500 * setting.kills,
        "the loader got little through: {}",
        model.summary()
    );
    reconcile::check(&server.client(), &model, &Timer::start());
}

#[test]
fn a_shop_with_topics_files_and_tables_comes_out_even() {
    let Some(mut setting) = Setting::new("shop") else {
        return;
    };
    let disk = Disk::new(&setting.folder.path().join("disk"));
    let (input, output) = (setting.folder.path().join("in"), disk.path().join("out"));
    std::fs::create_dir(&input).expect("a folder for orders");
    let pipeline = setting.folder.path().join("shop.sql");
    std::fs::write(&pipeline, shop::PIPELINE).expect("the pipeline's file");
    let variable = |name: &str, path: &Path| ["--var".into(), format!("{name}={}", path.display())];
    let arguments = [variable("IN", &input), variable("OUT", &output)].concat();
    let folders = setting.folders(&disk);
    let data = folders.data.clone();
    let mut server = Server::new(&setting.binary, pipeline, arguments, folders);
    server.start();
    server.wait_until_ready();
    let pace = Arc::new(Pace::default());
    let chance = (pace.clone(), setting.random.next());
    let mut shop = Shop::new(server.client(), &input, chance);
    let happened = setting.run(&mut server, &disk, (&pace, || shop.run()));
    let sent = shop.close();
    println!("shop: {happened}");
    let (timer, client) = (Timer::start(), server.client());
    let expected = records(&client) + sent.orders;
    while rows_read(&client) < expected {
        let found = rows_read(&client);
        assert!(
            timer.elapsed() < READ_WITHIN,
            "{found} of {expected} rows are read"
        );
        pause();
    }
    let summary = server.terminate().expect("it was ready");
    assert_eq!(summary["rows_read"].as_u64(), Some(expected), "{summary}");
    println!(
        "shop: {}",
        shop_check::check(&server, (&data, &output), sent)
    );
}

/// Records in the topics that the shop's pipeline reads.
fn records(client: &process::Client) -> u64 {
    let topics = client.get("/api/v1/topics").expect("the topics");
    let topics = topics.as_array().expect("a list of topics");
    let is_read = |name: &str| shop::TOPICS.iter().any(|(topic, _)| *topic == name);
    let read = topics
        .iter()
        .filter(|topic| topic["topic"].as_str().is_some_and(is_read));
    let partitions = read.flat_map(|topic| topic["partitions"].as_array().expect("partitions"));
    let ends = partitions.map(|partition| partition["end_offset"].as_u64());
    ends.map(|end| end.expect("a number")).sum()
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
