//! Functions with regular expressions in Java's syntax ([`regular_expression`]).
//!
//! A constant pattern is compiled once for the call; one from a column is compiled again only when it
//! changes.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use arrow::datatypes::{DataType, Int32Type};
use millstream_core::pattern::like;
use millstream_core::pattern::regular_expression::{self, compile};
use millstream_core::{Result, types};
use regex::{Match, Regex};

use super::args::{
    Args, Kernel, Numbers, Texts, build_booleans, build_numbers, build_texts, slice_texts,
};
use super::definition::{Body, Call, ConstantText, Function, Kind, Params, Returns};

/// The functions of this module. The pattern is argument 1 of each.
pub(super) fn functions() -> Vec<Function> {
    use Kind::{Long, Text};
    let function = |name, kinds, (least, most), returns, prepare| Function {
        name,
        params: Params { kinds, least, most },
        returns,
        body: Body::Prepared(prepare),
    };
    let text = Returns::Text;
    vec![
        function("REGEXP", &[Text], (2, 2), Returns::Boolean, |call| {
            prepare(call, regexp)
        }),
        function(
            "REGEXP_EXTRACT",
            &[Text, Text, Long],
            (2, 3),
            text,
            |call| prepare(call, extract),
        ),
        function("REGEXP_REPLACE", &[Text], (3, 3), text, |call| {
            prepare(call, replace)
        }),
        function("REGEXP_COUNT", &[Text], (2, 2), Returns::Int, |call| {
            prepare(call, count)
        }),
        function("REGEXP_INSTR", &[Text], (2, 2), Returns::Int, |call| {
            prepare(call, position)
        }),
        function("REGEXP_SUBSTR", &[Text], (2, 2), text, |call| {
            prepare(call, extract)
        }),
        function(
            "REGEXP_EXTRACT_ALL",
            &[Text, Text, Long],
            (2, 3),
            Returns::By(|_| Ok(types::array(DataType::Utf8))),
            |call| prepare(call, extract_all),
        ),
        function("SIMILAR_TO", &[Text], (2, 3), Returns::Boolean, similar_to),
        function("LIKE_PATTERN", &[Text], (2, 2), text, like_pattern),
    ]
}

fn prepare(call: &Call<'_>, kernel: fn(&Args<'_>, &Regexes) -> Result<ArrayRef>) -> Result<Kernel> {
    let constant = match call.text(1) {
        ConstantText::Is(pattern) => Some(compile(&pattern)?),
        ConstantText::Null | ConstantText::Varies => None,
    };
    Ok(Arc::new(move |args| {
        let regexes = match &constant {
            Some(regex) => Regexes::Constant(regex.clone()),
            None => Regexes::PerRow(args.texts(1)?),
        };
        kernel(args, &regexes)
    }))
}

/// The regular expression of each row.
enum Regexes {
    Constant(Regex),
    PerRow(Texts),
}

/// The last expression that was compiled from a column.
#[derive(Default)]
struct Latest(Option<(String, Option<Regex>)>);

impl Regexes {
    /// The expression of `row`; none if it is null or does not compile.
    fn get<'a>(&'a self, row: usize, latest: &'a mut Latest) -> Option<&'a Regex> {
        let patterns = match self {
            Self::Constant(regex) => return Some(regex),
            Self::PerRow(patterns) => patterns,
        };
        let pattern = patterns.get(row)?;
        if latest.0.as_ref().is_none_or(|(last, _)| last != pattern) {
            latest.0 = Some((pattern.to_owned(), compile(pattern).ok()));
        }
        latest.0.as_ref()?.1.as_ref()
    }
}

/// All matches, one after the other, as Java's `Matcher.find` gives them: also an empty one where the one
/// before ended.
fn matches<'t>(regex: &Regex, text: &'t str) -> impl Iterator<Item = Match<'t>> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let found = regex.find_at(text, next?)?;
        next = match found.is_empty() {
            false => Some(found.end()),
            true => {
                let after = text[found.end()..].chars().next();
                after.map(|c| found.end() + c.len_utf8())
            }
        };
        Some(found)
    })
}

/// `REGEXP(text, pattern)`: whether some part of the text matches. An empty pattern never does, nor, as in
/// Flink, one from a column that is wrong.
fn regexp(args: &Args<'_>, regexes: &Regexes) -> Result<ArrayRef> {
    let (input, patterns) = (args.texts(0)?, args.texts(1)?);
    let mut latest = Latest::default();
    Ok(build_booleans(args.rows, |row| {
        let (text, pattern) = (input.get(row)?, patterns.get(row)?);
        let regex = regexes.get(row, &mut latest);
        Some(!pattern.is_empty() && regex.is_some_and(|regex| regex.is_match(text)))
    }))
}

/// `REGEXP_EXTRACT(text, pattern[, group])`: the first match's group, by default the whole match;
/// null if nothing matches or there is no such group.
fn extract(args: &Args<'_>, regexes: &Regexes) -> Result<ArrayRef> {
    let input = args.texts(0)?;
    let groups = match args.len() {
        2 => None,
        _ => Some(args.longs(2)?),
    };
    let mut latest = Latest::default();
    Ok(slice_texts(args.rows, |row| {
        let text = input.get(row)?;
        let group = match &groups {
            None => 0,
            Some(groups) => usize::try_from(groups.get(row)?).ok()?,
        };
        let regex = regexes.get(row, &mut latest)?;
        match group {
            0 => regex.find(text).map(|found| found.as_str()),
            _ => regex.captures(text)?.get(group).map(|found| found.as_str()),
        }
    }))
}

/// `REGEXP_REPLACE(text, pattern, replacement)`: every match by the replacement, taken literally.
fn replace(args: &Args<'_>, regexes: &Regexes) -> Result<ArrayRef> {
    let (input, replacements) = (args.texts(0)?, args.texts(2)?);
    let mut latest = Latest::default();
    Ok(build_texts(args.rows, |row, out| {
        let (text, replacement) = (input.get(row)?, replacements.get(row)?);
        let regex = regexes.get(row, &mut latest)?;
        let mut rest = 0;
        for found in matches(regex, text) {
            out.push_str(&text[rest..found.start()]);
            out.push_str(replacement);
            rest = found.end();
        }
        out.push_str(&text[rest..]);
        Some(())
    }))
}

/// `REGEXP_COUNT(text, pattern)`: how often it matches.
fn count(args: &Args<'_>, regexes: &Regexes) -> Result<ArrayRef> {
    let input = args.texts(0)?;
    let mut latest = Latest::default();
    Ok(build_numbers::<Int32Type>(args.rows, |row| {
        let text = input.get(row)?;
        let regex = regexes.get(row, &mut latest)?;
        i32::try_from(matches(regex, text).count()).ok()
    }))
}

/// `REGEXP_INSTR(text, pattern)`: where the first match begins, from 1; 0 if nothing matches.
fn position(args: &Args<'_>, regexes: &Regexes) -> Result<ArrayRef> {
    let input = args.texts(0)?;
    let mut latest = Latest::default();
    Ok(build_numbers::<Int32Type>(args.rows, |row| {
        let text = input.get(row)?;
        let regex = regexes.get(row, &mut latest)?;
        let before = regex.find(text).map(|found| &text[..found.start()]);
        i32::try_from(before.map_or(0, |before| before.chars().count() + 1)).ok()
    }))
}

/// `REGEXP_EXTRACT_ALL(text, pattern[, group])`: that group of every match, by default the first group;
/// null if there is no such group.
fn extract_all(args: &Args<'_>, regexes: &Regexes) -> Result<ArrayRef> {
    let input = args.texts(0)?;
    let groups = match args.len() {
        2 => Numbers::One(Some(1)),
        _ => args.longs(2)?,
    };
    let mut latest = Latest::default();
    let mut out = ListBuilder::new(StringBuilder::new());
    for row in 0..args.rows {
        let group = groups
            .get(row)
            .and_then(|group| usize::try_from(group).ok());
        let regex = regexes.get(row, &mut latest);
        let (Some(text), Some(group), Some(regex)) = (input.get(row), group, regex) else {
            out.append_null();
            continue;
        };
        if group >= regex.captures_len() {
            out.append_null();
            continue;
        }
        for found in matches(regex, text) {
            let groups = regex.captures_at(text, found.start());
            let found = groups.and_then(|groups| groups.get(group));
            out.values()
                .append_option(found.map(|found| found.as_str()));
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

/// `SIMILAR_TO(text, pattern[, escape])`: SQL's regular expressions, for the whole text.
fn similar_to(call: &Call<'_>) -> Result<Kernel> {
    let escape = escape_of(call, 2)?;
    let constant = match call.text(1) {
        ConstantText::Is(pattern) => Some(regular_expression::similar(&pattern, escape)?),
        ConstantText::Null | ConstantText::Varies => None,
    };
    Ok(Arc::new(move |args| {
        let (input, patterns) = (args.texts(0)?, args.texts(1)?);
        let mut last: Option<(String, Option<Regex>)> = None;
        Ok(build_booleans(args.rows, |row| {
            let (text, pattern) = (input.get(row)?, patterns.get(row)?);
            if let Some(regex) = &constant {
                return Some(regex.is_match(text));
            }
            if last.as_ref().is_none_or(|(known, _)| known != pattern) {
                let regex = regular_expression::similar(pattern, escape).ok();
                last = Some((pattern.to_owned(), regex));
            }
            Some(last.as_ref()?.1.as_ref()?.is_match(text))
        }))
    }))
}

/// The escape character that constant argument `index` is; none without it, or if it is empty.
fn escape_of(call: &Call<'_>, index: usize) -> Result<Option<char>> {
    match call.text(index) {
        ConstantText::Is(text) => like::escape_character(&text),
        ConstantText::Null | ConstantText::Varies => Ok(None),
    }
}

/// `LIKE_PATTERN(pattern, escape)`: the pattern of LIKE with a backslash for the escape character.
fn like_pattern(call: &Call<'_>) -> Result<Kernel> {
    let escape = escape_of(call, 1)?;
    Ok(Arc::new(move |args| {
        let patterns = args.texts(0)?;
        let mut failed = None;
        let result = build_texts(args.rows, |row, out| {
            match like::with_backslashes(patterns.get(row)?, escape) {
                Ok(pattern) => out.push_str(&pattern),
                Err(error) => failed = Some(error),
            }
            Some(())
        });
        failed.map_or(Ok(result), Err)
    }))
}
