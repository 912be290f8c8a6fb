//! State that is made anew: what is read again for it, and when that cannot be.

use millstream_core::source::{Split, SplitReader};
use millstream_core::{Offset, SplitId};

use super::*;

/// A world of which the first records are gone.
#[derive(Clone)]
struct Trimmed {
    named: Named,
    first: u64,
    /// Whether more splits may come.
    is_open: bool,
}

impl Connectors for Trimmed {
    fn source(&self, plan: &SourcePlan) -> Result<Box<dyn Source>> {
        Ok(Box::new(TrimmedSource {
            inner: self.named.source(plan)?,
            first: self.first,
            is_open: self.is_open,
        }))
    }
    fn decoder(&self, plan: &SourcePlan, schema: &SchemaRef) -> Result<Box<dyn Decoder>> {
        self.named.decoder(plan, schema)
    }
    fn sink(&self, plan: &SinkPlan) -> Result<Box<dyn Sink>> {
        self.named.sink(plan)
    }
}

struct TrimmedSource {
    inner: Box<dyn Source>,
    first: u64,
    is_open: bool,
}

impl Source for TrimmedSource {
    fn splits(&self) -> Result<Vec<Split>> {
        self.inner.splits()
    }
    fn open(&self, split: &SplitId, from: Option<Offset>) -> Result<Box<dyn SplitReader>> {
        match from {
            Some(Offset(from)) if from < self.first => Err(Error::invalid(format!(
                "offset {from} of `{split}` is gone"
            ))),
            _ => self.inner.open(split, from),
        }
    }
    fn is_bounded(&self) -> bool {
        !self.is_open && self.inner.is_bounded()
    }
}

#[test]
fn only_what_open_windows_need_is_read_again() {
    // A record a second, 5 in an epoch: after 30 epochs the watermark is at 148.97 s.
    let records = (0..200).map(|i| format!("{},k", i * 1_000)).collect();
    let ran = Ran::over(
        world(&[("s".to_owned(), records)]),
        windows(10_000, "counts"),
    );
    run_epochs(&ran.config, 25);
    let wider = |mode: Option<&str>| {
        let mut plan = windows(20_000, "counts");
        let options = &mut plan.sources[0].connector.options;
        let mode = mode.map(|mode| ("scan.startup.mode".to_owned(), mode.to_owned()));
        options.extend(mode);
        plan
    };
    let trimmed = |first: u64, plan: Plan| JobConfig {
        connectors: Arc::new(Trimmed {
            named: ran.named.clone(),
            first,
            is_open: false,
        }),
        ..ran.with(plan, &[])
    };
    // The window from 140 s to 160 s is open: its first record is 140.
    let refused = StepJob::open(trimmed(141, wider(None)))
        .map(drop)
        .unwrap_err();
    let expected = "state for `counts` cannot be made anew: ";
    assert!(refused.to_string().starts_with(expected), "{refused}");
    assert!(
        refused
            .to_string()
            .contains("is gone; `--drop-state counts` lets"),
        "{refused}"
    );
    // Where the pipeline began does not matter then either.
    let mut job = StepJob::open(trimmed(60, wider(Some("latest-offset")))).unwrap();
    while !job.is_finished() {
        job.poll().unwrap();
        job.checkpoint().unwrap();
    }
    let counts = ran.named.counts("counts");
    let narrow = (1..=14).map(|end| (end * 10_000, 10));
    let wide = [(160_000, 20), (180_000, 20), (200_000, 20)];
    assert_eq!(counts, narrow.chain(wide).collect::<Vec<_>>());
}

#[test]
fn a_split_that_has_ended_holds_no_time_back_when_it_is_read_again() {
    let records = |from: i64| (from..from + 30).map(|i| format!("{},k", i * 10)).collect();
    let first = ("s".to_owned(), records(0));
    let ran = Ran::over(world(std::slice::from_ref(&first)), plan());
    // Where more splits may come, the end of one leaves the watermark where it is: at 260.
    let open = JobConfig {
        connectors: Arc::new(Trimmed {
            named: ran.named.clone(),
            first: 0,
            is_open: true,
        }),
        ..ran.config.clone()
    };
    run_epochs(&open, 2);
    let named = Named {
        world: world(&[first, ("t".to_owned(), records(30))]),
        ..ran.named.clone()
    };
    let mut job = StepJob::open(JobConfig {
        connectors: Arc::new(named),
        ..ran.with(windows(200, "counts"), &[])
    })
    .unwrap();
    while !job.is_finished() {
        job.poll().unwrap();
        job.checkpoint().unwrap();
    }
    // Half of the window up to 400 was read by the old plan.
    let expected = [(100, 10), (200, 10), (400, 20), (600, 20)];
    assert_eq!(ran.named.counts("counts"), expected);
}

#[test]
fn state_that_depends_on_when_time_went_on_is_not_made_anew() {
    let ran = Ran::new(plan());
    let mut plan = with_lateness(100);
    plan.sources[0].event_time.as_mut().unwrap().idle_timeout_ms = Some(5);
    let expected =
        "cannot be read again for it, as which of its rows were late depended on when others came";
    ran.refused(plan, &[], expected);
}
