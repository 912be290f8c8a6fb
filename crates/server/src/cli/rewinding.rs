//! What going back to an older checkpoint means, in words.

use millstream_engine::runtime::preview::{Rewind, RewoundSink};

use super::{Failure, Outcome};

/// The connector that keeps nothing.
const NOWHERE: &str = "blackhole";

/// What is told before a pipeline goes back.
pub fn notice(rewind: &Rewind) -> String {
    let newest = match rewind.newest {
        Some(newest) => format!("the newest is {newest}"),
        None => "the newest is damaged".to_owned(),
    };
    let mut lines = vec![format!("going back to {}; {newest}", rewind.to)];
    lines.extend(rewind.sinks.iter().map(told));
    if rewind.sinks.is_empty() {
        lines.push("  no table has got rows since".to_owned());
    }
    lines.join("\n")
}

fn told(sink: &RewoundSink) -> String {
    let table = &sink.table;
    let since = match sink.rows_since {
        Some(1) => "1 row has come since".to_owned(),
        Some(rows) => format!("{rows} rows have come since"),
        None => "rows may have come since".to_owned(),
    };
    match sink.is_keyed {
        true => {
            format!("  {table}: {since}; as they come again they take the place of those, by key")
        }
        false if sink.connector == NOWHERE => format!("  {table}: {since}; nothing keeps them"),
        false => format!("  {table}: {since}; they stay, and come again: it will hold them twice"),
    }
}

/// Refuses to go back if a table would hold rows twice.
pub fn check(rewind: &Rewind) -> Outcome {
    let twice = rewind.sinks.iter();
    let twice = twice.filter(|sink| !sink.is_keyed && sink.connector != NOWHERE);
    let twice: Vec<String> = twice.map(|sink| format!("`{}`", sink.table)).collect();
    match twice.is_empty() {
        true => Ok(()),
        false => Err(Failure::usage(format!("rows would be twice in {}", twice.join(", "))).hint(
            "`--yes` goes back all the same; empty these tables first, or take their rows apart \
             afterwards",
        )),
    }
}

#[cfg(test)]
mod tests {
    use millstream_core::sink::EpochMark;
    use millstream_core::{Epoch, Incarnation};

    use super::*;

    fn sink(table: &str, connector: &str, rows_since: Option<u64>, is_keyed: bool) -> RewoundSink {
        RewoundSink {
            table: table.to_owned(),
            connector: connector.to_owned(),
            rows_since,
            is_keyed,
        }
    }

    fn rewind(sinks: Vec<RewoundSink>) -> Rewind {
        let mark = |incarnation, epoch| EpochMark {
            incarnation: Incarnation(incarnation),
            epoch: Epoch(epoch),
        };
        Rewind {
            to: mark(0, 7),
            newest: Some(mark(1, 12)),
            sinks,
        }
    }

    #[test]
    fn it_says_for_each_table_what_becomes_of_it() {
        let rewind = rewind(vec![
            sink("counts", "clickhouse", Some(3), true),
            sink("raw", "kafka", Some(1), false),
            sink("nothing", "blackhole", None, false),
        ]);
        let expected = "\
going back to epoch 7; the newest is epoch 12 of incarnation 1
  counts: 3 rows have come since; as they come again they take the place of those, by key
  raw: 1 row has come since; they stay, and come again: it will hold them twice
  nothing: rows may have come since; nothing keeps them";
        assert_eq!(notice(&rewind), expected);
        let refused = check(&rewind).expect_err("`raw` would hold rows twice");
        assert_eq!(refused.code(), 2);
        assert!(
            refused
                .to_string()
                .contains("twice in `raw`\nhint: `--yes`"),
            "{refused}"
        );
    }

    #[test]
    fn tables_with_keys_need_no_yes() {
        assert_eq!(
            check(&rewind(vec![sink("a", "clickhouse", Some(3), true)])),
            Ok(())
        );
        assert_eq!(check(&rewind(vec![])), Ok(()));
    }
}
