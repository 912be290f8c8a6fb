use super::super::input::Record;
use super::*;

fn row(seq: i64, k: &'static str, ts: i64) -> Record {
    Record::Row(Row {
        seq,
        k,
        u: seq % 2,
        v: seq,
        ts: DAY_MS + ts,
    })
}

fn input(clicks: Vec<Record>, orders: Vec<Record>, pays: Vec<Record>) -> Input {
    let tables = [("clicks", clicks), ("orders", orders), ("pays", pays)];
    let tables = tables.map(|(name, records)| Table {
        name,
        delay_ms: 0,
        partitions: vec![records],
    });
    Input {
        tables: tables.into(),
    }
}

fn check(answer: &Answer, rows: &[&str], late: &[i64]) {
    assert_eq!(answer.rows, rows);
    assert_eq!(answer.late, late.iter().copied().collect());
}

/// The fourth row is behind all windows of ten seconds, the fifth only behind some of HOP's.
fn clicks() -> Input {
    let records = vec![
        row(1, "a", 1_000),
        row(2, "a", 9_000),
        row(3, "b", 21_000),
        row(4, "b", 8_000),
        row(5, "a", 11_000),
    ];
    input(records, vec![], vec![])
}

#[test]
fn windows_take_what_is_on_time_for_them() {
    let t = "2025-06-15 00:00:";
    check(
        &per_key(&clicks(), 0),
        &[&format!("{t}00  a  2  3  2"), &format!("{t}20  b  1  3  1")],
        &[4, 5],
    );
    // At 21 s the windows up to 20 s have passed: row 5 is in that up to 25 s, row 4 in none.
    let found = hop(&clicks(), 0);
    assert!(found.rows.contains(&format!("{t}25  a  1  5")), "{found:?}");
    assert_eq!(found.late, [4].into());
    // The twenty seconds up to 20 s have passed for both.
    assert_eq!(cumulate(&clicks(), 0).late, [4, 5].into());
    check(&minutes(&clicks(), 0), &[&format!("{t}00  2  1")], &[]);
    assert_eq!(per_key(&clicks(), 12_000).late, [].into());
    assert_eq!(per_key(&clicks(), 11_002).late, [].into());
    assert_eq!(per_key(&clicks(), 11_001).late, [4].into());
}

#[test]
fn orders_meet_payments() {
    let orders = vec![row(1, "a", 1_000), row(2, "a", 5_000), row(3, "a", 9_001)];
    let pays = vec![row(7, "a", 0), row(8, "a", 3_001), row(9, "b", 1_000)];
    let input = input(vec![], orders, pays);
    check(&interval_join(&input, 0), &["1  7"], &[]);
    check(
        &window_join(&input, 0),
        &["1  7", "1  8", "2  7", "2  8", "3  7", "3  8"],
        &[],
    );
    let t = "2025-06-15 00:00:";
    check(
        &sessions(&input, 0),
        &[
            &format!("{t}01  {t}09  a  2  3"),
            &format!("{t}09.001  {t}13.001  a  1  3"),
        ],
        &[],
    );
    check(&over(&input, 0), &["1  1  1", "2  3  2", "3  6  2"], &[]);
    check(&first(&input, 0), &["u0  2", "u1  1"], &[]);
}
