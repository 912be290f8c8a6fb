//! SET: what a script, and settings given beside it, say about the pipeline and its tables.
//!
//! Flink's keys that decide nothing here are accepted and kept for the record; so the same file
//! runs on both. Keys that begin with `millstream.` are all known, so a slip in one is an error.

mod restart;

use std::collections::BTreeMap;

use millstream_core::plan::PipelineOptions;
use millstream_core::quantity::duration_ms;

use crate::ast::Text;
use crate::catalog::Catalog;
use crate::diagnostic::{Fault, Origin, Place, Result};

const EPOCH_INTERVAL: &str = "execution.checkpointing.interval";
const PARALLELISM: &str = "parallelism.default";
const NAME: &str = "pipeline.name";
const TIME_ZONE: &str = "table.local-time-zone";
const IDLE_TIMEOUT: &str = "table.exec.source.idle-timeout";
const STATE_TTL: &str = "table.exec.state.ttl";
const EARLY: &str = "table.exec.emit.early-fire.enabled";
const EARLY_DELAY: &str = "table.exec.emit.early-fire.delay";
const LATE: &str = "table.exec.emit.late-fire.enabled";
const ALLOW_LATENESS: &str = "table.exec.emit.allow-lateness";
const PREFIX: &str = "millstream.";
const BATCH_ROWS: &str = "millstream.batch-rows";
const LATENESS: &str = "allowed-lateness";
const LATE_EVENTS: &str = "late-events";
const DEAD_LETTERS: &str = "dead-letters";
const OF_TABLES: [&str; 3] = [LATENESS, LATE_EVENTS, DEAD_LETTERS];

const EPOCH_INTERVAL_MS: u64 = 1_000;
const EPOCH_INTERVAL_MS_MIN: u64 = 10;
const EPOCH_INTERVAL_MS_MAX: u64 = 86_400_000;
const NAME_CHARACTERS_MAX: usize = 128;
const BATCH_ROWS_DEFAULT: usize = 8_192;
const BATCH_ROWS_MAX: usize = 1 << 20;
const PARALLELISM_MAX: u32 = 1_024;

/// Beginnings of Flink's own keys.
const FLINK: [&str; 11] = [
    "execution.",
    "table.",
    "pipeline.",
    "state.",
    "parallelism.",
    "sql-client.",
    "taskmanager.",
    "jobmanager.",
    "rest.",
    "metrics.",
    "cluster.",
];

/// A value and where it was set.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// The value.
    pub value: String,
    /// Where.
    pub place: Origin,
}

/// All settings, the last of each key.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    values: BTreeMap<String, Setting>,
}

/// Where rows go that are not results.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// Nothing was set.
    Default,
    /// `'none'`: they are only counted.
    None,
    /// A declared table, by position.
    Table(usize, Origin),
}

impl Settings {
    /// Takes what a SET statement says.
    pub fn set(&mut self, key: &Text, value: &Text) -> Result<()> {
        let setting = Setting {
            value: value.value.clone(),
            place: Origin::Text(value.place),
        };
        check_key(&key.value, &Origin::Text(key.place))?;
        self.values.insert(key.value.clone(), setting);
        Ok(())
    }

    /// Takes what is given beside the script; it wins.
    pub fn override_with(&mut self, settings: &BTreeMap<String, String>) -> Result<()> {
        for (key, value) in settings {
            let place = Origin::Setting(key.clone());
            check_key(key, &place)?;
            let value = value.clone();
            self.values.insert(key.clone(), Setting { value, place });
        }
        Ok(())
    }

    /// The options of the pipeline; `file` names it unless a setting does.
    pub fn pipeline(&self, file: &str) -> Result<PipelineOptions> {
        if let Some(zone) = self.values.get(TIME_ZONE)
            && !["UTC", "Z", "Etc/UTC", "GMT"].contains(&zone.value.as_str())
        {
            let message = format!("time zone `{}` is", zone.value);
            return Err(Fault::unsupported(&zone.place, message).help("expected `UTC`"));
        }
        let name = self.name(file)?;
        let epoch_interval_ms = match self.values.get(EPOCH_INTERVAL) {
            None => EPOCH_INTERVAL_MS,
            Some(setting) => {
                let ms = duration(setting)?;
                let expected = format!("{EPOCH_INTERVAL_MS_MIN} ms to 1 d");
                let range = (EPOCH_INTERVAL_MS_MIN, EPOCH_INTERVAL_MS_MAX);
                in_range(setting, ms, range, &expected)?
            }
        };
        let parallelism = self.number(PARALLELISM, (1, PARALLELISM_MAX.into()))?;
        let batch_rows = self.number(BATCH_ROWS, (1, BATCH_ROWS_MAX as u64))?;
        Ok(PipelineOptions {
            name,
            epoch_interval_ms,
            parallelism: parallelism.map(|n| u32::try_from(n).expect("checked to be at most 1024")),
            batch_rows: batch_rows.map_or(BATCH_ROWS_DEFAULT, |rows| {
                usize::try_from(rows).expect("checked to be at most 2^20")
            }),
            restart: self.restart()?,
            settings: self
                .values
                .iter()
                .map(|(key, setting)| (key.clone(), setting.value.clone()))
                .collect(),
        })
    }

    /// The pipeline's name: that of `file` unless a setting says another.
    fn name(&self, file: &str) -> Result<String> {
        let expected = format!(
            "expected 1 to {NAME_CHARACTERS_MAX} letters (a-z), digits, `_`, `-` and `.`, not a \
             `.` first"
        );
        if let Some(setting) = self.values.get(NAME) {
            let name = &setting.value;
            if is_name(name) {
                return Ok(name.clone());
            }
            let message = format!("`{NAME}`: found `{}`, {expected}", visible(name));
            return Err(Fault::at(&setting.place, message));
        }
        let name = stem(file);
        if is_name(&name) {
            return Ok(name);
        }
        let message = format!(
            "the file's name makes `{}` the pipeline's name, {expected}",
            visible(&name)
        );
        let fault = Fault::at(Place::new(1, 1), message);
        Err(fault.help(format!(
            "write SET '{NAME}' = '…', or call the file otherwise"
        )))
    }

    /// `table.exec.source.idle-timeout`; 0 is none.
    pub fn idle_timeout_ms(&self) -> Result<Option<u64>> {
        let timeout = self.values.get(IDLE_TIMEOUT).map(duration).transpose()?;
        Ok(timeout.filter(|ms| *ms > 0))
    }

    /// `table.exec.state.ttl`; 0 is none.
    pub fn state_ttl_ms(&self) -> Result<Option<i64>> {
        let ttl = self.values.get(STATE_TTL).map(duration).transpose()?;
        let ttl = ttl.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
        Ok(ttl.filter(|ms| *ms > 0))
    }

    /// Fails for a setting of a table that is not declared, or that is not supported.
    pub fn check_tables(&self, catalog: &Catalog) -> Result<()> {
        for (key, setting) in &self.values {
            let Some((table, what)) = of_table(key) else {
                continue;
            };
            if catalog.table(table).is_none() {
                let message = format!("`{key}`: unknown table `{table}`");
                let known = catalog.tables.iter().map(|table| table.name.as_str());
                return Err(Fault::at(&setting.place, message).near(table, known));
            }
            if what == LATENESS {
                duration(setting)?;
            }
        }
        Ok(())
    }

    /// How long after their ends the windows over `table` take rows in, in milliseconds, and where that
    /// is set.
    pub fn allowed_lateness(&self, table: &str) -> Result<Option<(i64, Origin)>> {
        let key = format!("{PREFIX}{table}.{LATENESS}");
        let of_all = self.is_true(LATE)?.is_some();
        let of_all = self.values.get(ALLOW_LATENESS).filter(|_| of_all);
        let Some(setting) = self.values.get(&key).or(of_all) else {
            return Ok(None);
        };
        let ms = i64::try_from(duration(setting)?).unwrap_or(i64::MAX / 4);
        Ok((ms > 0).then(|| (ms, setting.place.clone())))
    }

    /// How often results of windows that have not ended come out, in milliseconds, and where that is
    /// set; none: they do not.
    pub fn early_delay_ms(&self) -> Result<Option<(i64, Origin)>> {
        let Some(enabled) = self.is_true(EARLY)? else {
            return Ok(None);
        };
        let Some(delay) = self.values.get(EARLY_DELAY) else {
            let fault = Fault::at(&enabled.place, format!("`{EARLY}` without a delay"));
            return Err(fault.help(format!("write SET '{EARLY_DELAY}' = '5 s'")));
        };
        let ms = i64::try_from(duration(delay)?).unwrap_or(i64::MAX);
        Ok(Some((ms, enabled.place.clone())))
    }

    /// Fails for results of late rows without an end to their lateness.
    pub fn check_late(&self) -> Result<()> {
        match (self.is_true(LATE)?, self.values.get(ALLOW_LATENESS)) {
            (Some(late), None) => {
                let fault = Fault::at(&late.place, format!("`{LATE}` without an allowed lateness"));
                Err(fault.help(format!("write SET '{ALLOW_LATENESS}' = '1 min'")))
            }
            (_, Some(lateness)) => duration(lateness).map(|_| ()),
            (None, None) => Ok(()),
        }
    }

    /// The setting, if it is `true`.
    fn is_true(&self, key: &str) -> Result<Option<&Setting>> {
        let Some(setting) = self.values.get(key) else {
            return Ok(None);
        };
        match setting.value.trim().to_lowercase().as_str() {
            "true" => Ok(Some(setting)),
            "false" => Ok(None),
            _ => {
                let message = format!("found `{}`, expected `true` or `false`", setting.value);
                Err(Fault::at(&setting.place, message))
            }
        }
    }

    /// Where the late rows of `table` go.
    pub fn late_events(&self, table: &str, catalog: &Catalog) -> Result<Target> {
        self.target(table, LATE_EVENTS, catalog)
    }

    /// Where the undecodable records of `table` go.
    pub fn dead_letters(&self, table: &str, catalog: &Catalog) -> Result<Target> {
        self.target(table, DEAD_LETTERS, catalog)
    }

    fn target(&self, table: &str, what: &str, catalog: &Catalog) -> Result<Target> {
        let key = format!("{PREFIX}{table}.{what}");
        let Some(setting) = self.values.get(&key) else {
            return Ok(Target::Default);
        };
        if setting.value == "none" {
            return Ok(Target::None);
        }
        match catalog.table(&setting.value) {
            Some(index) => Ok(Target::Table(index, setting.place.clone())),
            None => {
                let message = format!("`{key}`: unknown table `{}`", setting.value);
                let tables = catalog.tables.iter().map(|table| table.name.as_str());
                let known = tables.chain(["none"]);
                Err(Fault::at(&setting.place, message).near(&setting.value, known))
            }
        }
    }

    fn number(&self, key: &str, range: (u64, u64)) -> Result<Option<u64>> {
        let Some(setting) = self.values.get(key) else {
            return Ok(None);
        };
        let (least, most) = range;
        let expected = format!("a number from {least} to {most}");
        let number = setting.value.trim().parse().unwrap_or(u64::MAX);
        in_range(setting, number, range, &expected).map(Some)
    }
}

fn in_range(
    setting: &Setting,
    number: u64,
    (least, most): (u64, u64),
    expected: &str,
) -> Result<u64> {
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    let message = format!("found `{}`, expected {expected}", setting.value);
    Err(Fault::at(&setting.place, message))
}

fn duration(setting: &Setting) -> Result<u64> {
    duration_ms(&setting.value).map_err(|error| Fault::at(&setting.place, error.to_string()))
}

/// Table and what is set, of `millstream.<table>.<what>`.
fn of_table(key: &str) -> Option<(&str, &str)> {
    let (table, what) = key.strip_prefix(PREFIX)?.rsplit_once('.')?;
    OF_TABLES.contains(&what).then_some((table, what))
}

fn check_key(key: &str, place: &Origin) -> Result<()> {
    if key == BATCH_ROWS || of_table(key).is_some() {
        return Ok(());
    }
    let fault = Fault::at(place, format!("unknown setting `{key}`"));
    if let Some(rest) = key.strip_prefix(PREFIX) {
        return Err(match rest.rsplit_once('.') {
            Some((table, what)) => {
                let known = OF_TABLES.map(|what| format!("{PREFIX}{table}.{what}"));
                let near = crate::diagnostic::nearest(what, &OF_TABLES);
                match near {
                    Some(near) => fault.help(format!("did you mean `{PREFIX}{table}.{near}`?")),
                    None => fault.near("", known.iter().map(String::as_str)),
                }
            }
            None => fault.near(key, [BATCH_ROWS]),
        });
    }
    if key.starts_with(restart::PREFIX) {
        return restart::check_key(key, place);
    }
    if FLINK.iter().any(|prefix| key.starts_with(prefix)) {
        return Ok(());
    }
    let known = [
        EPOCH_INTERVAL,
        PARALLELISM,
        NAME,
        TIME_ZONE,
        IDLE_TIMEOUT,
        BATCH_ROWS,
    ];
    Err(fault.near(key, known))
}

/// Whether a pipeline can be called so: its name becomes a folder's and part of files' names.
fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (1..=NAME_CHARACTERS_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(is_allowed)
}

/// The beginning of a text, without control characters.
fn visible(text: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    let cut = text.chars().nth(CHARACTERS_MAX).map_or("", |_| "…");
    let text: String = text.chars().take(CHARACTERS_MAX).collect();
    format!("{}{cut}", text.escape_debug())
}

/// The file's name without folders and ending.
fn stem(file: &str) -> String {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    match stem.is_empty() {
        true => "pipeline".to_owned(),
        false => stem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<Settings> {
        let mut settings = Settings::default();
        let pairs = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        settings.override_with(&pairs.collect())?;
        Ok(settings)
    }

    #[test]
    fn defaults() {
        let options = settings(&[]).and_then(|s| s.pipeline("dir/web_clicks.sql"));
        let options = options.expect("nothing is wrong");
        assert_eq!(options.name, "web_clicks");
        assert_eq!(
            (options.epoch_interval_ms, options.parallelism),
            (1_000, None)
        );
        assert_eq!(options.batch_rows, 8_192);
    }

    #[test]
    fn flink_keys_are_kept() {
        let pairs = [
            ("pipeline.name", "clicks"),
            ("parallelism.default", "4"),
            ("execution.checkpointing.interval", "100 ms"),
            ("millstream.batch-rows", "1"),
            ("state.backend.type", "rocksdb"),
            ("table.local-time-zone", "UTC"),
        ];
        let options = settings(&pairs)
            .and_then(|s| s.pipeline("x.sql"))
            .expect("all known");
        assert_eq!(options.name, "clicks");
        assert_eq!(
            (options.epoch_interval_ms, options.parallelism),
            (100, Some(4))
        );
        assert_eq!((options.batch_rows, options.settings.len()), (1, 6));
    }

    #[test]
    fn wrong_values() {
        let check = |key: &str, value: &str, expected: &str| {
            let fault = settings(&[(key, value)]).and_then(|s| s.pipeline("x").map(|_| ()));
            let fault = fault.expect_err("wrong");
            assert_eq!(fault.place, Origin::Setting(key.to_owned()));
            let help = fault.help.map_or(String::new(), |help| format!("; {help}"));
            assert_eq!(format!("{}{help}", fault.message), expected);
        };
        check(
            "parallelism.default",
            "0",
            "found `0`, expected a number from 1 to 1024",
        );
        check(
            "millstream.batch-rows",
            "x",
            "found `x`, expected a number from 1 to 1048576",
        );
        check(
            "execution.checkpointing.interval",
            "9 ms",
            "found `9 ms`, expected 10 ms to 1 d",
        );
        check(
            "execution.checkpointing.interval",
            "18446744073709551615",
            "found `18446744073709551615`, expected 10 ms to 1 d",
        );
        check(
            "table.local-time-zone",
            "Europe/Paris",
            "time zone `Europe/Paris` is not supported yet; expected `UTC`",
        );
        check(
            "millstream.batchrows",
            "1",
            "unknown setting `millstream.batchrows`; did you mean `millstream.batch-rows`?",
        );
        check(
            "millstream.clicks.late-event",
            "x",
            "unknown setting `millstream.clicks.late-event`; did you mean \
             `millstream.clicks.late-events`?",
        );
    }

    #[test]
    fn a_name_cannot_leave_its_folder() {
        let named = |name: &str| settings(&[("pipeline.name", name)])?.pipeline("x.sql");
        let longest = "x".repeat(NAME_CHARACTERS_MAX);
        for name in ["a", "web-clicks", "a_B.9", "-", &longest] {
            assert_eq!(named(name).map(|options| options.name).as_deref(), Ok(name));
        }
        let expected = "expected 1 to 128 letters (a-z), digits, `_`, `-` and `.`, not a `.` first";
        let long = "y".repeat(NAME_CHARACTERS_MAX + 1);
        let shown = format!("{}…", "y".repeat(60));
        for (name, shown) in [
            ("", ""),
            (".", "."),
            ("..", ".."),
            (".hidden", ".hidden"),
            ("../../x", "../../x"),
            ("a/b", "a/b"),
            ("a\\b", "a\\\\b"),
            ("a b", "a b"),
            ("é", "é"),
            ("a\u{1b}[2J", "a\\u{1b}[2J"),
            (&long, &shown),
        ] {
            let fault = named(name).expect_err(name);
            let message = format!("`pipeline.name`: found `{shown}`, {expected}");
            assert_eq!(fault.message, message);
        }
    }

    #[test]
    fn a_file_whose_name_is_none_is_told_to_set_one() {
        for file in ["dir/my job.sql", "é.sql", "..sql"] {
            let fault = settings(&[])
                .and_then(|s| s.pipeline(file))
                .expect_err(file);
            assert_eq!(fault.place, Origin::Text(Place::new(1, 1)));
            assert!(
                fault.message.starts_with("the file's name makes `"),
                "{file}"
            );
            let help = "write SET 'pipeline.name' = '…', or call the file otherwise";
            assert_eq!(fault.help.as_deref(), Some(help));
        }
    }
}
