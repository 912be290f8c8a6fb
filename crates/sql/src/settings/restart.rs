//! SET 'restart-strategy.…': keys, values and checks of Flink 2.

use millstream_core::plan::{Backoff, RestartStrategy};

use super::{Origin, Setting, Settings, duration, in_range};
use crate::diagnostic::{Fault, Result};

pub(super) const PREFIX: &str = "restart-strategy";
const TYPE: &str = "restart-strategy.type";
const ATTEMPTS: &str = "restart-strategy.fixed-delay.attempts";
const DELAY: &str = "restart-strategy.fixed-delay.delay";
const INITIAL: &str = "restart-strategy.exponential-delay.initial-backoff";
const MAX: &str = "restart-strategy.exponential-delay.max-backoff";
const MULTIPLIER: &str = "restart-strategy.exponential-delay.backoff-multiplier";
const JITTER: &str = "restart-strategy.exponential-delay.jitter-factor";
const RESET: &str = "restart-strategy.exponential-delay.reset-backoff-threshold";
const BEFORE_RESET: &str = "restart-strategy.exponential-delay.attempts-before-reset-backoff";
const KEYS: [&str; 9] = [
    TYPE,
    ATTEMPTS,
    DELAY,
    INITIAL,
    MAX,
    MULTIPLIER,
    JITTER,
    RESET,
    BEFORE_RESET,
];
/// Flink's keys of a strategy that is not ours; without it they decide nothing there either.
const FAILURE_RATE: &str = "restart-strategy.failure-rate.";

/// A year: more would be a slip.
const PAUSE_MS_MAX: u64 = 365 * 86_400_000;
const DELAY_MS: u64 = 1_000;

/// All keys that begin with [`PREFIX`] are known, as a slip would go unnoticed until a failure.
pub(super) fn check_key(key: &str, place: &Origin) -> Result<()> {
    if KEYS.contains(&key) || key.starts_with(FAILURE_RATE) {
        return Ok(());
    }
    let fault = Fault::at(place, format!("unknown setting `{key}`"));
    Err(match key == PREFIX {
        true => fault.help(format!("did you mean `{TYPE}`?")),
        false => fault.near(key, KEYS),
    })
}

impl Settings {
    /// `restart-strategy.…`. Values of every strategy are checked, whichever is chosen.
    pub(super) fn restart(&self) -> Result<RestartStrategy> {
        let backoff = self.backoff()?;
        let attempts = self.number(ATTEMPTS, (0, u32::MAX.into()))?.unwrap_or(1);
        let delay = self.values.get(DELAY);
        let delay_ms = delay.map(|setting| pause(setting, 0)).transpose()?;
        let fixed = RestartStrategy::FixedDelay {
            attempts: u32::try_from(attempts).expect("checked to be at most 2^32 - 1"),
            delay_ms: delay_ms.unwrap_or(DELAY_MS),
        };
        let Some(setting) = self.values.get(TYPE) else {
            return Ok(RestartStrategy::ExponentialDelay(backoff));
        };
        match setting.value.trim().to_lowercase().as_str() {
            "none" | "off" | "disable" => Ok(RestartStrategy::None),
            "fixed-delay" | "fixeddelay" => Ok(fixed),
            "exponential-delay" | "exponentialdelay" => {
                Ok(RestartStrategy::ExponentialDelay(backoff))
            }
            "failure-rate" | "failurerate" => {
                let message = "the restart strategy `failure-rate` is";
                Err(Fault::unsupported(&setting.place, message).help(
                    "`exponential-delay` with `attempts-before-reset-backoff` gives up as well",
                ))
            }
            _ => {
                let expected = "expected `exponential-delay`, `fixed-delay` or `none`";
                let message = format!("found `{}`, {expected}", setting.value);
                Err(Fault::at(&setting.place, message))
            }
        }
    }

    fn backoff(&self) -> Result<Backoff> {
        let default = Backoff::default();
        let pause_of = |key: &str, least: u64, default: u64| {
            let setting = self.values.get(key);
            setting.map_or(Ok(default), |setting| pause(setting, least))
        };
        let initial_ms = pause_of(INITIAL, 1, default.initial_ms)?;
        let max_ms = pause_of(MAX, 1, default.max_ms.max(initial_ms))?;
        if let Some(setting) = self.values.get(MAX).filter(|_| max_ms < initial_ms) {
            let message = format!(
                "`{MAX}` is {max_ms} ms, expected at least `{INITIAL}`, which is {initial_ms} ms"
            );
            return Err(Fault::at(&setting.place, message));
        }
        let attempts = self.number(BEFORE_RESET, (1, u32::MAX.into()))?;
        Ok(Backoff {
            initial_ms,
            max_ms,
            multiplier: self.fraction(MULTIPLIER, (1.0, 1e6), default.multiplier)?,
            jitter: self.fraction(JITTER, (0.0, 1.0), default.jitter)?,
            reset_after_ms: pause_of(RESET, 0, default.reset_after_ms)?,
            attempts: attempts.map(|n| u32::try_from(n).expect("checked to be at most 2^32 - 1")),
        })
    }

    fn fraction(&self, key: &str, (least, most): (f64, f64), default: f64) -> Result<f64> {
        let Some(setting) = self.values.get(key) else {
            return Ok(default);
        };
        match setting.value.trim().parse::<f64>() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => {
                let found = &setting.value;
                let message = format!("found `{found}`, expected a number from {least} to {most}");
                Err(Fault::at(&setting.place, message))
            }
        }
    }
}

fn pause(setting: &Setting, least: u64) -> Result<u64> {
    let expected = format!("{least} ms to 365 d");
    in_range(
        setting,
        duration(setting)?,
        (least, PAUSE_MS_MAX),
        &expected,
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn restart(pairs: &[(&str, &str)]) -> Result<RestartStrategy> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let mut settings = Settings::default();
        settings.override_with(&pairs.iter().map(owned).collect::<BTreeMap<_, _>>())?;
        Ok(settings.pipeline("x.sql")?.restart)
    }

    #[test]
    fn strategies_have_the_names_that_flink_gives_them() {
        let is = |pairs: &[(&str, &str)], expected| {
            assert_eq!(restart(pairs).expect("it is right"), expected, "{pairs:?}");
        };
        is(&[], RestartStrategy::default());
        is(&[(TYPE, "exponential-delay")], RestartStrategy::default());
        for none in ["none", "off", "disable", "NONE"] {
            is(&[(TYPE, none)], RestartStrategy::None);
        }
        let fixed = |attempts, delay_ms| RestartStrategy::FixedDelay { attempts, delay_ms };
        is(&[(TYPE, "fixeddelay")], fixed(1, 1_000));
        let pairs = [(TYPE, "fixed-delay"), (ATTEMPTS, "3"), (DELAY, "10 s")];
        is(&pairs, fixed(3, 10_000));
        let backoff = Backoff {
            initial_ms: 1_000,
            max_ms: 60_000,
            multiplier: 1.5,
            jitter: 0.1,
            reset_after_ms: 3_600_000,
            attempts: Some(12),
        };
        let flink = [
            (INITIAL, "1 s"),
            (MAX, "1 min"),
            (MULTIPLIER, "1.5"),
            (JITTER, "0.1"),
            (RESET, "1 h"),
            (BEFORE_RESET, "12"),
        ];
        is(&flink, RestartStrategy::ExponentialDelay(backoff));
        // The longest pause is never less than the first that was asked for.
        let longer = Backoff {
            initial_ms: 20_000,
            max_ms: 20_000,
            ..Backoff::default()
        };
        let longer = RestartStrategy::ExponentialDelay(longer);
        is(&[(INITIAL, "20 s")], longer);
        let other = "restart-strategy.failure-rate.delay";
        is(&[(other, "1 s")], RestartStrategy::default());
    }

    #[test]
    fn slips_are_named() {
        let check = |pairs: &[(&str, &str)], expected: &str| {
            let fault = restart(pairs).expect_err(expected);
            let help = fault.help.map_or(String::new(), |help| format!("; {help}"));
            assert_eq!(format!("{}{help}", fault.message), expected);
        };
        check(
            &[(TYPE, "never")],
            "found `never`, expected `exponential-delay`, `fixed-delay` or `none`",
        );
        check(
            &[(TYPE, "failure-rate")],
            "the restart strategy `failure-rate` is not supported yet; `exponential-delay` with \
             `attempts-before-reset-backoff` gives up as well",
        );
        check(
            &[("restart-strategy", "none")],
            "unknown setting `restart-strategy`; did you mean `restart-strategy.type`?",
        );
        check(
            &[("restart-strategy.fixed-delay.attempt", "1")],
            "unknown setting `restart-strategy.fixed-delay.attempt`; did you mean \
             `restart-strategy.fixed-delay.attempts`?",
        );
        check(
            &[(MULTIPLIER, "0.5")],
            "found `0.5`, expected a number from 1 to 1000000",
        );
        check(
            &[(JITTER, "NaN")],
            "found `NaN`, expected a number from 0 to 1",
        );
        check(&[(INITIAL, "0 s")], "found `0 s`, expected 1 ms to 365 d");
        check(
            &[(INITIAL, "2 s"), (MAX, "1 s")],
            "`restart-strategy.exponential-delay.max-backoff` is 1000 ms, expected at least \
             `restart-strategy.exponential-delay.initial-backoff`, which is 2000 ms",
        );
        check(
            &[(BEFORE_RESET, "0")],
            "found `0`, expected a number from 1 to 4294967295",
        );
    }
}
