//! `WITH (…)`: options checked against what the connector and the format take.

use std::collections::BTreeMap;

use millstream_core::connector::{
    ConnectorCatalog, ConnectorInfo, FormatInfo, OptionInfo, OptionKind,
};
use millstream_core::plan::ConnectorConfig;
use millstream_core::quantity::{duration_ms, size_bytes};
use sqlparser::ast::Ident;

use crate::ast::Text;
use crate::diagnostic::{Fault, Result};

/// Every source takes this.
pub(crate) const IDLE_TIMEOUT: &str = "scan.watermark.idle-timeout";
const CONNECTOR: &str = "connector";
const FORMAT: &str = "format";
const VALUE_FORMAT: &str = "value.format";

/// Options that say what they should.
pub(crate) struct CheckedOptions {
    /// For the plan.
    pub config: ConnectorConfig,
    /// What the connector can do.
    pub info: &'static ConnectorInfo,
    /// Idle timeout of its watermark.
    pub idle_timeout_ms: Option<u64>,
}

/// Checks the options of table `name`.
pub(crate) fn check(
    name: &Ident,
    options: &[(Text, Text)],
    catalog: &ConnectorCatalog,
) -> Result<CheckedOptions> {
    let info = find_connector(name, options, catalog)?;
    let format = find_format(options, info, catalog)?;
    let mut config = ConnectorConfig {
        connector: info.name.to_owned(),
        options: BTreeMap::new(),
    };
    let mut idle_timeout_ms = None;
    for (key, value) in options {
        match key.value.as_str() {
            CONNECTOR => continue,
            FORMAT | VALUE_FORMAT => {}
            IDLE_TIMEOUT => idle_timeout_ms = Some(parse(value, key, duration_ms)?),
            _ => match find_option(&key.value, info, format) {
                Some(option) => check_value(key, value, option.kind)?,
                // What it belongs to is missing, which is said below.
                None if format.is_none() && is_of_format(&key.value, info, catalog) => {}
                None => return Err(unknown_option(key, info, format)),
            },
        }
        config
            .options
            .insert(key.value.clone(), value.value.clone());
    }
    if info.needs_format && format.is_none() {
        let connector = options.iter().find(|(key, _)| key.value == CONNECTOR);
        let place = connector.map_or(name.span.start, |(_, value)| value.place);
        let message = format!("option `format` is missing for connector `{}`", info.name);
        let names = catalog.formats.iter().map(|format| format.name);
        return Err(Fault::at(place, message).near("", names));
    }
    let required = info
        .options
        .iter()
        .chain(format.iter().flat_map(|format| format.options));
    for option in required.filter(|option| option.required) {
        if !config.options.contains_key(option.key) {
            let message = format!(
                "option `{}` is missing for connector `{}`",
                option.key, info.name
            );
            let place = options.iter().find(|(key, _)| key.value == CONNECTOR);
            let place = place.map_or(name.span.start, |(_, value)| value.place);
            return Err(Fault::at(place, message).help(format!("{}: {}", option.key, option.help)));
        }
    }
    Ok(CheckedOptions {
        config,
        info,
        idle_timeout_ms,
    })
}

fn find_connector(
    name: &Ident,
    options: &[(Text, Text)],
    catalog: &ConnectorCatalog,
) -> Result<&'static ConnectorInfo> {
    let connectors = catalog.connectors;
    let names = connectors.iter().map(|connector| connector.name);
    let Some((_, value)) = options.iter().find(|(key, _)| key.value == CONNECTOR) else {
        let fault = Fault::at(
            name.span,
            format!("table `{}` has no 'connector'", name.value),
        );
        return Err(fault.near("", names));
    };
    let connector = connectors
        .iter()
        .find(|connector| connector.name == value.value);
    connector.ok_or_else(|| {
        let fault = Fault::at(value.place, format!("unknown connector `{}`", value.value));
        fault.near(&value.value, names)
    })
}

fn find_format(
    options: &[(Text, Text)],
    info: &ConnectorInfo,
    catalog: &ConnectorCatalog,
) -> Result<Option<&'static FormatInfo>> {
    let is_format = |key: &Text| matches!(key.value.as_str(), FORMAT | VALUE_FORMAT);
    let given = options.iter().find(|(key, _)| is_format(key));
    let names = catalog.formats.iter().map(|format| format.name);
    match given {
        Some((key, _)) if !info.needs_format => {
            let message = format!("connector `{}` takes no `{}`", info.name, key.value);
            Err(Fault::at(key.place, message))
        }
        Some((_, value)) => {
            let format = catalog
                .formats
                .iter()
                .find(|format| format.name == value.value);
            let unknown = || {
                let fault = Fault::at(value.place, format!("unknown format `{}`", value.value));
                fault.near(&value.value, names)
            };
            Ok(Some(format.ok_or_else(unknown)?))
        }
        None => Ok(None),
    }
}

fn find_option(
    key: &str,
    info: &ConnectorInfo,
    format: Option<&FormatInfo>,
) -> Option<&'static OptionInfo> {
    // A format's options may be those of the value: `value.json.…`.
    let format_key = key.strip_prefix("value.").unwrap_or(key);
    let of_format = format.and_then(|format| matching(format.options, format_key));
    matching(info.options, key).or(of_format)
}

fn is_of_format(key: &str, info: &ConnectorInfo, catalog: &ConnectorCatalog) -> bool {
    let mut formats = catalog.formats.iter();
    info.needs_format && formats.any(|format| find_option(key, info, Some(format)).is_some())
}

fn matching(options: &'static [OptionInfo], key: &str) -> Option<&'static OptionInfo> {
    options
        .iter()
        .find(|option| match option.key.strip_suffix('*') {
            Some(prefix) => key.len() > prefix.len() && key.starts_with(prefix),
            None => option.key == key,
        })
}

fn unknown_option(key: &Text, info: &ConnectorInfo, format: Option<&FormatInfo>) -> Fault {
    let of_format = format.iter().flat_map(|format| format.options);
    let mut known: Vec<&str> = info
        .options
        .iter()
        .chain(of_format)
        .map(|option| option.key)
        .collect();
    known.push(CONNECTOR);
    if info.needs_format {
        known.push(FORMAT);
    }
    if info.is_source {
        known.push(IDLE_TIMEOUT);
    }
    let message = format!(
        "unknown option `{}` of connector `{}`",
        key.value, info.name
    );
    Fault::at(key.place, message).near(&key.value, known)
}

fn check_value(key: &Text, value: &Text, kind: OptionKind) -> Result<()> {
    let text = value.value.trim();
    let wrong = |expected: &str| {
        let message = format!(
            "option `{}`: found `{}`, expected {expected}",
            key.value, value.value
        );
        Err(Fault::at(value.place, message))
    };
    match kind {
        OptionKind::Text => Ok(()),
        OptionKind::Integer if text.parse::<i64>().is_err() => wrong("a whole number"),
        OptionKind::Number if text.parse::<f64>().is_err() => wrong("a number"),
        OptionKind::Boolean if !["true", "false"].contains(&text.to_lowercase().as_str()) => {
            wrong("`true` or `false`")
        }
        OptionKind::Duration => parse(value, key, duration_ms).map(|_| ()),
        OptionKind::Size => parse(value, key, size_bytes).map(|_| ()),
        OptionKind::OneOf(choices) if !choices.contains(&text) => wrong("one of the known values")
            .map_err(|fault| fault.near(text, choices.iter().copied())),
        _ => Ok(()),
    }
}

fn parse<T>(
    value: &Text,
    key: &Text,
    parse: impl Fn(&str) -> millstream_core::Result<T>,
) -> Result<T> {
    let parsed = parse(&value.value);
    parsed.map_err(|error| Fault::at(value.place, format!("option `{}`: {error}", key.value)))
}
