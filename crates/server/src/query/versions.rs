//! Older states of lake tables. `t FOR SYSTEM_TIME AS OF TIMESTAMP '…'` and
//! `t FOR SYSTEM_VERSION AS OF 123` become names of tables, `"t$time$1750000000000" AS t` and
//! `"t$version$123" AS t`, before DataFusion sees them: its planner has no word for either.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer, Word};
use millstream_connectors::iceberg::{AsOf, MetadataTable};
use millstream_core::{Error, Result};

const TIME: &str = "time";
const VERSION: &str = "version";

/// What of a table a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Its rows.
    Rows(AsOf),
    /// What it knows of itself.
    Metadata(MetadataTable),
}

/// Takes a table's own name apart: `t`, `t$time$…`, `t$version$…`, `t$snapshots`.
pub fn split(name: &str) -> Option<(&str, Part)> {
    let Some((table, part)) = name.split_once('$') else {
        return Some((name, Part::Rows(AsOf::Now)));
    };
    if let Some(metadata) = MetadataTable::named(part) {
        return Some((table, Part::Metadata(metadata)));
    }
    let (kind, number) = part.split_once('$')?;
    let number = number.parse().ok()?;
    match kind {
        TIME => Some((table, Part::Rows(AsOf::Time(number)))),
        VERSION => Some((table, Part::Rows(AsOf::Version(number)))),
        _ => None,
    }
}

/// `sql` with such names in the place of `FOR SYSTEM_…`.
///
/// # Errors
/// `InvalidInput` if what follows is no time or no number.
pub fn named(sql: &str) -> Result<String> {
    if !sql.to_ascii_uppercase().contains("SYSTEM_") {
        return Ok(sql.to_owned());
    }
    // Text that has no tokens is left to the parser, which says where it is wrong.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else {
        return Ok(sql.to_owned());
    };
    let mut rewritten: Vec<Token> = vec![];
    let mut rest = Rest(&tokens);
    while let Some(token) = rest.0.first() {
        let clause = match is_word(token, "FOR") {
            true => rest.clause()?,
            false => None,
        };
        match (clause, name_at_end(&mut rewritten)) {
            (Some(suffix), Some(name)) => {
                let plain = name.value.clone();
                name.value = format!("{plain}{suffix}");
                name.quote_style = Some('"');
                // The blanks before the clause; those behind it stay.
                while rewritten.last().is_some_and(is_space) {
                    rewritten.pop();
                }
                if !rest.has_alias() {
                    rewritten.extend(alias(&plain));
                }
            }
            (Some(_), None) => {
                let message = "`FOR SYSTEM_… AS OF` stands behind the name of a table";
                return Err(Error::invalid(message));
            }
            (None, _) => {
                rewritten.push(token.clone());
                rest.0 = &rest.0[1..];
            }
        }
    }
    Ok(rewritten.iter().map(ToString::to_string).collect())
}

/// ` AS "name"`
fn alias(name: &str) -> [Token; 2] {
    let quoted = Word {
        value: name.to_owned(),
        quote_style: Some('"'),
        keyword: Keyword::NoKeyword,
    };
    [Token::make_keyword(" AS "), Token::Word(quoted)]
}

/// The name that `tokens` end with.
fn name_at_end(tokens: &mut [Token]) -> Option<&mut Word> {
    let last = tokens.iter_mut().rev().find(|token| !is_space(token))?;
    match last {
        Token::Word(word) => Some(word),
        _ => None,
    }
}

/// Tokens that were not looked at.
struct Rest<'a>(&'a [Token]);

impl<'a> Rest<'a> {
    fn next(&mut self) -> Option<&'a Token> {
        while let Some((token, rest)) = self.0.split_first() {
            self.0 = rest;
            if !is_space(token) {
                return Some(token);
            }
        }
        None
    }

    /// `FOR SYSTEM_… AS OF …` as what is put behind the name, and goes past it; nothing if it is
    /// another FOR.
    fn clause(&mut self) -> Result<Option<String>> {
        let mut ahead = Rest(self.0);
        ahead.next();
        let kind = ahead.next();
        let is_time = kind.is_some_and(|token| is_word(token, "SYSTEM_TIME"));
        let is_version = kind.is_some_and(|token| is_word(token, "SYSTEM_VERSION"));
        if !is_time && !is_version {
            return Ok(None);
        }
        for expected in ["AS", "OF"] {
            let found = ahead.next();
            if !found.is_some_and(|token| is_word(token, expected)) {
                return Err(unexpected(found, &format!("`{expected}`")));
            }
        }
        let suffix = match is_time {
            true => format!("${TIME}${}", ahead.time()?),
            false => format!("${VERSION}${}", ahead.version()?),
        };
        self.0 = ahead.0;
        Ok(Some(suffix))
    }

    fn version(&mut self) -> Result<i64> {
        let found = self.next();
        let number = match found {
            Some(Token::Number(text, _)) => text.parse().ok(),
            _ => None,
        };
        number.ok_or_else(|| unexpected(found, "the id of a snapshot"))
    }

    fn time(&mut self) -> Result<i64> {
        const EXPECTED: &str = "TIMESTAMP 'yyyy-MM-dd HH:mm:ss'";
        let mut found = self.next();
        if found.is_some_and(|t| is_word(t, "TIMESTAMP") || is_word(t, "TIMESTAMP_LTZ")) {
            found = self.next();
        }
        let Some(Token::SingleQuotedString(text)) = found else {
            return Err(unexpected(found, EXPECTED));
        };
        let formats = ["%F %T%.f", "%FT%T%.f", "%F %H:%M"];
        let mut times = formats
            .iter()
            .filter_map(|format| chrono::NaiveDateTime::parse_from_str(text.trim(), format).ok());
        let time = times.next().or_else(|| {
            let date = chrono::NaiveDate::parse_from_str(text.trim(), "%F").ok()?;
            date.and_hms_opt(0, 0, 0)
        });
        let time = time.ok_or_else(|| unexpected(found, EXPECTED))?;
        Ok(time.and_utc().timestamp_millis())
    }

    /// Whether an alias comes next.
    fn has_alias(&self) -> bool {
        let Some(Token::Word(word)) = Rest(self.0).next() else {
            return false;
        };
        word.keyword == Keyword::NoKeyword || word.keyword == Keyword::AS
    }
}

fn unexpected(found: Option<&Token>, expected: &str) -> Error {
    let found = found.map_or("the end".to_owned(), |token| format!("`{token}`"));
    Error::invalid(format!(
        "behind `FOR SYSTEM_… AS OF`: found {found}, expected {expected}"
    ))
}

fn is_space(token: &Token) -> bool {
    matches!(token, Token::Whitespace(_))
}

fn is_word(token: &Token, expected: &str) -> bool {
    matches!(token, Token::Word(word)
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_states_become_names() {
        let cases = [
            ("SELECT 1", "SELECT 1"),
            (
                "SELECT * FROM lake.t FOR SYSTEM_VERSION AS OF 12 WHERE a = 1",
                "SELECT * FROM lake.\"t$version$12\" AS \"t\" WHERE a = 1",
            ),
            (
                "select x.a from t for system_time as of timestamp '1970-01-01 00:00:01.5' as x",
                "select x.a from \"t$time$1500\" as x",
            ),
            (
                "SELECT * FROM \"T\" FOR SYSTEM_TIME AS OF '1970-01-02' x JOIN u ON x.a = u.a",
                "SELECT * FROM \"T$time$86400000\" x JOIN u ON x.a = u.a",
            ),
            (
                "SELECT 'FOR SYSTEM_TIME AS OF 1'",
                "SELECT 'FOR SYSTEM_TIME AS OF 1'",
            ),
        ];
        for (sql, expected) in cases {
            assert_eq!(named(sql).unwrap(), expected, "{sql}");
        }
    }

    #[test]
    fn what_is_no_time_and_no_version_is_refused() {
        let cases = [
            (
                "SELECT * FROM t FOR SYSTEM_VERSION AS OF 'x'",
                "found `'x'`, expected the id",
            ),
            (
                "SELECT * FROM t FOR SYSTEM_VERSION 5",
                "found `5`, expected `AS`",
            ),
            (
                "SELECT * FROM t FOR SYSTEM_TIME AS OF '31.1.'",
                "expected TIMESTAMP '",
            ),
            ("SELECT * FROM t FOR SYSTEM_TIME AS OF", "found the end"),
            (
                "SELECT (1) FOR SYSTEM_VERSION AS OF 5",
                "behind the name of a table",
            ),
        ];
        for (sql, expected) in cases {
            let error = named(sql).unwrap_err().to_string();
            assert!(error.contains(expected), "{sql}: {error}");
        }
    }

    #[test]
    fn names_say_which_part_of_a_table_they_mean() {
        assert_eq!(split("t"), Some(("t", Part::Rows(AsOf::Now))));
        assert_eq!(
            split("t$version$-7"),
            Some(("t", Part::Rows(AsOf::Version(-7))))
        );
        assert_eq!(split("t$time$7"), Some(("t", Part::Rows(AsOf::Time(7)))));
        assert_eq!(
            split("t$files"),
            Some(("t", Part::Metadata(MetadataTable::Files)))
        );
        assert_eq!(split("t$nothing"), None);
    }
}
